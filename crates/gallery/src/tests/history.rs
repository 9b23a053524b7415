//! Random sequences of enrolling and forgetting, against a plain map.

use std::collections::{BTreeMap, BTreeSet};

use super::search::plain_search;
use super::*;

/// A gallery as anybody would write it.
#[derive(Default, Clone)]
struct Plain {
    next_sample: u64,
    samples: BTreeMap<u64, (Vec<u8>, UnitVector)>,
}

impl Plain {
    fn enrol(&mut self, subject: &[u8], vector: &UnitVector, sample: Option<u64>) -> Option<u64> {
        let id = sample.unwrap_or(self.next_sample.max(1));
        let (owner, known) =
            self.samples.entry(id).or_insert_with(|| (subject.to_vec(), vector.clone()));
        self.next_sample = self.next_sample.max(id + 1);
        (owner == subject && known == vector).then_some(id)
    }

    fn forget(&mut self, subject: &[u8], sample: Option<u64>) -> usize {
        let before = self.samples.len();
        self.samples
            .retain(|id, (owner, _)| owner != subject || sample.is_some_and(|one| one != *id));
        before - self.samples.len()
    }

    fn names(&self) -> BTreeSet<&[u8]> {
        self.samples.values().map(|(owner, _)| owner.as_slice()).collect()
    }

    fn rows(&self) -> impl Iterator<Item = (&[u8], u64, &[f32])> {
        self.samples.iter().map(|(id, (owner, vector))| (owner.as_slice(), *id, vector.as_slice()))
    }
}

fn check(gallery: &Gallery, plain: &Plain, random: &mut Random) {
    assert_eq!(gallery.sample_count(), plain.samples.len());
    assert_eq!(gallery.subject_count(), plain.names().len());
    let mut listed = BTreeMap::new();
    let mut cursor = Some(0);
    while let Some(from) = cursor {
        let page = gallery.subjects(from, 3);
        for entry in &page.subjects {
            assert_eq!(gallery.subject_name(entry.id), Some(entry.name));
            assert_eq!(gallery.subject(entry.name), Some(*entry));
            for sample in entry.samples {
                assert_eq!(listed.insert(sample.0, entry.name), None);
            }
        }
        cursor = page.next;
    }
    let expected: BTreeMap<u64, &[u8]> = plain.rows().map(|(name, id, _)| (id, name)).collect();
    assert_eq!(listed, expected);
    let mut seen = BTreeMap::new();
    gallery.each_sample(|sample| {
        seen.insert(sample.sample.0, sample.vector.to_vec());
    });
    let expected: BTreeMap<u64, Vec<u8>> =
        plain.samples.iter().map(|(id, (_, vector))| (*id, vector.to_bytes())).collect();
    assert_eq!(seen, expected);
    check_search(gallery, &gallery.snapshot(), plain, random);
}

fn check_search(
    names: &Gallery,
    snapshot: &Snapshot<allocator_api2::alloc::Global>,
    plain: &Plain,
    random: &mut Random,
) {
    let dimensions = names.binding().dimensions;
    let queries: Vec<_> = (0..1 + random.below(6)).map(|_| random.vector(dimensions)).collect();
    let wanted = random.below(12);
    for (found, query) in snapshot.search(&queries, wanted).unwrap().iter().zip(&queries) {
        let mut expected = plain_search(plain.rows(), query);
        expected.truncate(wanted);
        let found: Vec<_> = found.iter().map(|m| (m.sample.0, m.similarity.to_bits())).collect();
        let expected: Vec<_> = expected.iter().map(|m| (m.1, m.2.to_bits())).collect();
        assert_eq!(found, expected);
    }
}

fn live(dimensions: usize, steps: usize, seed: u64) {
    let mut random = Random::new(seed);
    let mut gallery = empty(dimensions);
    let mut plain = Plain::default();
    let mut held = Vec::new();
    let vectors: Vec<_> = (0..50).map(|_| random.vector(dimensions)).collect();
    for step in 0..steps {
        let subject = format!("subject {}", random.below(40)).into_bytes();
        let vector = &vectors[random.below(vectors.len())];
        match random.below(20) {
            0..10 => {
                let id = gallery.enrol(&subject, vector, None).ok().map(|id| id.0);
                assert_eq!(id, plain.enrol(&subject, vector, None));
            }
            10..13 => {
                let id = 1 + random.below(gallery.next_sample() as usize + 3) as u64;
                let enrolled = gallery.enrol(&subject, vector, Some(SampleId(id)));
                assert_eq!(enrolled.ok().map(|id| id.0), plain.enrol(&subject, vector, Some(id)));
            }
            13..18 => {
                let id = 1 + random.below(gallery.next_sample() as usize) as u64;
                let owner = plain.samples.get(&id).map_or(subject, |(owner, _)| owner.clone());
                let forgotten = gallery.forget(&owner, Some(SampleId(id)));
                assert_eq!(forgotten.samples, plain.forget(&owner, Some(id)));
                let gone = !plain.names().contains(owner.as_slice()) && forgotten.samples > 0;
                assert_eq!(forgotten.subject_is_gone, gone);
            }
            18 => {
                let forgotten = gallery.forget(&subject, None);
                assert_eq!(forgotten.samples, plain.forget(&subject, None));
                assert_eq!(forgotten.subject_is_gone, forgotten.samples > 0);
            }
            _ => held.push((gallery.clone(), gallery.snapshot(), plain.clone())),
        }
        assert_eq!(gallery.next_sample(), plain.next_sample.max(1));
        if step % 97 == 0 {
            check(&gallery, &plain, &mut random);
        }
        if held.len() > 3 {
            let (copy, snapshot, plain) = held.remove(random.below(held.len()));
            check(&copy, &plain, &mut random);
            check_search(&copy, &snapshot, &plain, &mut random);
        }
    }
    check(&gallery, &plain, &mut random);
    for name in plain.names().into_iter().map(<[u8]>::to_vec).collect::<Vec<_>>() {
        gallery.forget(&name, None);
    }
    assert_eq!((gallery.sample_count(), gallery.subject_count()), (0, 0));
    assert_eq!(gallery.next_sample(), plain.next_sample);
}

#[test]
fn a_gallery_holds_what_a_plain_map_would() {
    live(1, 3000, 10);
    live(17, 3000, 11);
    live(128, 3000, 12);
}

#[test]
fn so_it_does_across_many_chunks() {
    // 63 rows fill a chunk.
    live(4096, 1200, 13);
}

#[test]
fn the_digest_knows_the_content_and_not_its_history() {
    let mut random = Random::new(14);
    let vectors: Vec<_> = (0..200).map(|_| random.vector(300)).collect();
    let mut straight = empty(300);
    for (id, vector) in (1..).zip(&vectors[..100]) {
        straight.enrol(format!("{}", id % 30).as_bytes(), vector, Some(SampleId(id))).unwrap();
    }
    straight.raise_next_sample(201);
    let mut winding = empty(300);
    for id in (1..=200).rev() {
        let vector = &vectors[id as usize - 1];
        winding.enrol(format!("{}", id % 30).as_bytes(), vector, Some(SampleId(id))).unwrap();
    }
    assert_ne!(content(&straight), content(&winding));
    for id in 101..=200 {
        winding.forget(format!("{}", id % 30).as_bytes(), Some(SampleId(id)));
    }
    assert_eq!(content(&straight), content(&winding));
    winding.raise_next_sample(202);
    assert_ne!(content(&straight), content(&winding));
}

#[test]
fn a_listing_shows_each_subject_once_while_others_come_and_go() {
    let mut random = Random::new(15);
    let mut gallery = empty(2);
    for name in 0..300 {
        gallery.enrol(format!("stays {name}").as_bytes(), &random.vector(2), None).unwrap();
        gallery.enrol(format!("goes {name}").as_bytes(), &random.vector(2), None).unwrap();
    }
    let mut stays = Vec::new();
    let mut cursor = Some(0);
    let mut round = 0;
    while let Some(from) = cursor {
        let page = gallery.subjects(from, 7);
        cursor = page.next;
        let names = page.subjects.iter().map(|entry| entry.name.to_vec());
        stays.extend(names.filter(|name| name.starts_with(b"stays")));
        gallery.forget(format!("goes {}", random.below(300)).as_bytes(), None);
        gallery.enrol(format!("new {round}").as_bytes(), &random.vector(2), None).unwrap();
        round += 1;
    }
    assert_eq!(stays.len(), 300);
    assert_eq!(stays.iter().collect::<BTreeSet<_>>().len(), 300);
    assert_eq!(gallery.subjects(u64::MAX, 7).next, None);
}
