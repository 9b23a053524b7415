//! The saved form: what goes in comes out, and nothing else comes in.

use crc32fast::Hasher;

use super::*;

/// What a gallery was saved as. Loading from it can be made to compute the checksum anew, as
/// otherwise it alone would refuse whatever is changed.
#[derive(Debug, Clone, Default, PartialEq)]
pub struct Saved {
    pub numbers: Vec<u64>,
    pub blocks: Vec<Vec<u8>>,
}

impl Sink for Saved {
    fn save_unsigned(&mut self, number: u64) {
        self.numbers.push(number);
    }

    fn save_bytes(&mut self, bytes: &[u8]) {
        self.blocks.push(bytes.to_vec());
    }
}

struct Loading<'a> {
    numbers: std::slice::Iter<'a, u64>,
    blocks: std::slice::Iter<'a, Vec<u8>>,
}

impl<'a> Source for Loading<'a> {
    type Bytes = &'a [u8];

    fn load_unsigned(&mut self) -> Option<u64> {
        self.numbers.next().copied()
    }

    fn load_bytes(&mut self) -> Option<&'a [u8]> {
        self.blocks.next().map(Vec::as_slice)
    }
}

impl Saved {
    pub fn of(gallery: &Gallery) -> Saved {
        let mut saved = Saved::default();
        gallery.encode(&mut saved);
        saved
    }

    pub fn load(&self) -> Result<Gallery, FormError> {
        let mut source = Loading { numbers: self.numbers.iter(), blocks: self.blocks.iter() };
        Gallery::decode(&mut source)
    }

    /// With the checksum made right.
    pub fn sealed(mut self) -> Saved {
        let mut checksum = Hasher::new();
        self.blocks.iter().for_each(|block| checksum.update(block));
        self.numbers.truncate(1);
        self.numbers.push(checksum.finalize().into());
        self
    }

    /// Whether it is refused or gives a gallery that works.
    pub fn is_withstood(&self) -> bool {
        let Ok(mut gallery) = self.load() else { return true };
        let count = gallery.sample_count();
        let dimensions = gallery.binding().dimensions;
        let query = UnitVector::new(&vec![1.0; dimensions]).unwrap();
        let found = gallery.snapshot().search(std::slice::from_ref(&query), 3).unwrap().remove(0);
        let ordered = found.windows(2).all(|pair| pair[0].similarity >= pair[1].similarity);
        let named = found.iter().all(|found| gallery.subject_name(found.subject).is_some());
        let again = Saved::of(&gallery).load().unwrap();
        let same = content(&again) == content(&gallery);
        let full = gallery.next_sample() > SampleId::MAX.0;
        let enrolled = gallery.enrol(b"one more", &query, None).is_ok() != full;
        let names: Vec<Vec<u8>> = gallery
            .subjects(0, usize::MAX)
            .subjects
            .iter()
            .map(|entry| entry.name.to_vec())
            .collect();
        let forgotten: usize = names.iter().map(|name| gallery.forget(name, None).samples).sum();
        let emptied = forgotten == count + usize::from(!full) && gallery.sample_count() == 0;
        ordered && named && same && enrolled && emptied
    }
}

pub fn sample_gallery(dimensions: usize, samples: usize, seed: u64) -> Gallery {
    let mut random = Random::new(seed);
    let mut gallery = empty(dimensions);
    for sample in 0..samples {
        let name = format!("s{}", random.below(samples / 2 + 1));
        gallery.enrol(name.as_bytes(), &random.vector(dimensions), None).unwrap();
        if sample % 5 == 4 {
            let id = 1 + random.below(sample) as u64;
            for name in 0..=samples / 2 {
                gallery.forget(format!("s{name}").as_bytes(), Some(SampleId(id)));
            }
        }
    }
    gallery
}

#[test]
fn what_was_saved_is_loaded() {
    for (dimensions, samples) in [(1, 0), (1, 1), (3, 50), (128, 3000), (4096, 200)] {
        let gallery = sample_gallery(dimensions, samples, 20);
        let saved = Saved::of(&gallery);
        assert_eq!(saved.numbers[0], FORMAT);
        let loaded = saved.load().unwrap();
        assert_eq!(content(&loaded), content(&gallery));
        assert_eq!(loaded.binding(), gallery.binding());
        assert_eq!(loaded.next_sample(), gallery.next_sample());
        assert!(saved.is_withstood());
    }
}

#[test]
fn an_emptied_gallery_keeps_its_binding_and_its_numbering() {
    let mut gallery = sample_gallery(7, 20, 21);
    for name in 0..=10 {
        gallery.forget(format!("s{name}").as_bytes(), None);
    }
    let loaded = Saved::of(&gallery).load().unwrap();
    assert_eq!((loaded.sample_count(), loaded.next_sample()), (0, 21));
    assert_eq!(loaded.binding(), gallery.binding());
}

#[test]
fn every_flipped_bit_is_refused_and_without_the_checksum_withstood() {
    let saved = Saved::of(&sample_gallery(3, 12, 22));
    for block in 0..saved.blocks.len() {
        for place in 0..saved.blocks[block].len() {
            for bit in 0..8 {
                let mut changed = saved.clone();
                changed.blocks[block][place] ^= 1 << bit;
                assert!(changed.load().is_err());
                assert!(changed.sealed().is_withstood(), "block {block}, byte {place}, bit {bit}");
            }
        }
    }
    for number in 0..2 {
        for bit in 0..64 {
            let mut changed = saved.clone();
            changed.numbers[number] ^= 1 << bit;
            assert!(changed.load().is_err());
        }
    }
}

#[test]
fn every_truncation_is_refused() {
    let saved = Saved::of(&sample_gallery(3, 12, 23));
    for block in 0..saved.blocks.len() {
        let mut fewer = saved.clone();
        fewer.blocks.truncate(block);
        assert!(fewer.sealed().load().is_err());
        for length in 0..saved.blocks[block].len() {
            let mut shorter = saved.clone();
            shorter.blocks[block].truncate(length);
            assert!(shorter.clone().sealed().load().is_err(), "block {block}, length {length}");
            shorter.blocks.truncate(block + 1);
            assert!(shorter.sealed().load().is_err());
        }
    }
    for count in 0..2 {
        let mut fewer = saved.clone();
        fewer.numbers.truncate(count);
        assert!(fewer.load().is_err());
    }
}

#[test]
fn contradictions_are_refused() {
    type Change = fn(&mut Saved);
    // Of the header: the name of the model in 2 + 5 bytes, space, dimensions, next sample id,
    // subjects, samples. Of a row: the number of its subject, its id, its embedding.
    let changes: [(&str, Change); 12] = [
        ("no dimensions", |saved| saved.blocks[0][11..15].fill(0)),
        ("absurd dimensions", |saved| saved.blocks[0][11..15].fill(0xff)),
        ("an absurd next id", |saved| saved.blocks[0][15..23].fill(0xff)),
        ("absurd counts", |saved| saved.blocks[0][23..31].fill(0xff)),
        ("fewer subjects", |saved| saved.blocks[0][23] -= 1),
        ("fewer samples", |saved| saved.blocks[0][27] -= 1),
        ("a subject twice", |saved| saved.blocks[1].copy_within(0..4, 4)),
        ("a sample twice", |saved| saved.blocks[2].copy_within(4..12, 24 + 4)),
        ("a sample of nobody", |saved| saved.blocks[2][3] = 1),
        ("a sample id of the future", |saved| saved.blocks[2][11] = 1),
        ("not unit length", |saved| saved.blocks[2][12..24].fill(0)),
        ("an empty block", |saved| saved.blocks.insert(2, Vec::new())),
    ];
    let mut gallery = empty(3);
    let mut random = Random::new(24);
    for name in [b"ab", b"cd"] {
        gallery.enrol(name, &random.vector(3), None).unwrap();
    }
    let saved = Saved::of(&gallery);
    assert!(saved.clone().sealed().is_withstood() && saved.load().is_ok());
    for (what, change) in changes {
        let mut changed = saved.clone();
        change(&mut changed);
        assert!(changed.sealed().load().is_err(), "{what}");
    }
}
