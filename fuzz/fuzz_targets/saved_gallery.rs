//! A saved gallery with its checksum made right: refused, or loaded as a gallery that works.
#![no_main]

use crc32fast::Hasher;
use gallery::{Binding, FORMAT, Gallery, SampleId, Sink, Source, Space, UnitVector};
use libfuzzer_sys::fuzz_target;

#[derive(Default)]
struct Saved(Vec<Vec<u8>>);

impl Sink for Saved {
    fn save_unsigned(&mut self, _: u64) {}

    fn save_bytes(&mut self, bytes: &[u8]) {
        self.0.push(bytes.to_vec());
    }
}

struct Loading<'a> {
    blocks: std::slice::Iter<'a, Vec<u8>>,
    checksum: Option<Hasher>,
}

impl<'a> Source for Loading<'a> {
    type Bytes = &'a [u8];

    fn load_unsigned(&mut self) -> Option<u64> {
        let Some(checksum) = self.checksum.replace(Hasher::new()) else { return Some(FORMAT) };
        Some(checksum.finalize().into())
    }

    fn load_bytes(&mut self) -> Option<&'a [u8]> {
        let block = self.blocks.next()?;
        self.checksum.get_or_insert_default().update(block);
        Some(block)
    }
}

impl Saved {
    fn load(&self) -> Option<Gallery> {
        Gallery::decode(&mut Loading { blocks: self.0.iter(), checksum: None }).ok()
    }
}

// The first byte says whether the rest is blocks, each behind its length, or the history of a
// gallery and what is then changed in its saved form.
fuzz_target!(|data: &[u8]| {
    let Some((&kind, rest)) = data.split_first() else { return };
    let saved = if kind % 4 == 0 { blocks(rest) } else { changed(kind, rest) };
    if let Some(gallery) = saved.load() {
        use_up(gallery);
    }
});

fn blocks(mut rest: &[u8]) -> Saved {
    let mut saved = Saved::default();
    while let Some((length, after)) = rest.split_first_chunk() {
        let length = usize::from(u16::from_le_bytes(*length)).min(after.len());
        saved.0.push(after[..length].to_vec());
        rest = &after[length..];
    }
    saved
}

fn changed(kind: u8, rest: &[u8]) -> Saved {
    let dimensions = 1 + usize::from(kind / 4) % 20;
    let binding = Binding { model: "faces".to_owned(), space: Space(1), dimensions };
    let mut gallery: Gallery = Gallery::new(binding).unwrap();
    let (history, changes) = rest.split_at(rest.len() / 2);
    for step in history.as_chunks::<4>().0 {
        let name = [step[1] % 8];
        let id = SampleId(u64::from(step[3]) % 32);
        let mut numbers = vec![1.0; dimensions];
        numbers[0] = 0.5 + f32::from(step[2]);
        let vector = UnitVector::new(&numbers).unwrap();
        match step[0] % 4 {
            0 => drop(gallery.forget(&name, (step[3] % 2 == 0).then_some(id))),
            1 => drop(gallery.enrol(&name, &vector, Some(id))),
            _ => drop(gallery.enrol(&name, &vector, None)),
        }
    }
    let mut saved = Saved::default();
    gallery.encode(&mut saved);
    for change in changes.as_chunks::<5>().0 {
        let at = usize::from(change[1]) % saved.0.len();
        let place = usize::from(u16::from_le_bytes([change[2], change[3]]));
        let block = &mut saved.0[at];
        match change[0] % 8 {
            0 => block.truncate(place % (block.len() + 1)),
            1 => block.insert(place % (block.len() + 1), change[4]),
            2 => {
                let copy = block.clone();
                saved.0.insert(usize::from(change[4]) % (saved.0.len() + 1), copy);
            }
            3 if place > 0 => block.clear(),
            _ => {
                if let Some(byte) = block.get_mut(place) {
                    *byte ^= change[4];
                }
            }
        }
    }
    saved
}

fn use_up(mut gallery: Gallery) {
    let mut saved = Saved::default();
    gallery.encode(&mut saved);
    let again = saved.load().expect("what was loaded can be saved and loaded");
    assert_eq!(content(&again), content(&gallery));
    let query = UnitVector::new(&vec![1.0; gallery.binding().dimensions]).unwrap();
    let found = gallery.snapshot().search(&[query], 3).unwrap().remove(0);
    assert!(found.windows(2).all(|pair| pair[0].similarity >= pair[1].similarity));
    assert!(found.iter().all(|found| gallery.subject_name(found.subject).is_some()));
    let listed = gallery.subjects(0, usize::MAX).subjects;
    let names: Vec<Vec<u8>> = listed.iter().map(|entry| entry.name.to_vec()).collect();
    let expected = gallery.sample_count();
    let forgotten: usize = names.iter().map(|name| gallery.forget(name, None).samples).sum();
    assert_eq!((forgotten, gallery.sample_count(), gallery.subject_count()), (expected, 0, 0));
}

fn content(gallery: &Gallery) -> Vec<Vec<u8>> {
    let mut parts = Vec::new();
    gallery.digest_parts(|part| parts.push(part.to_vec()));
    parts.sort();
    parts
}
