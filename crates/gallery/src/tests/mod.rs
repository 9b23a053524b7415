//! A gallery against what it promises.

mod history;
mod mutations;
mod saved_form;
mod search;
mod vector;

use super::*;

/// A pseudo-random sequence, the same in every run.
pub struct Random(u64);

impl Random {
    pub fn new(seed: u64) -> Random {
        Random(seed.wrapping_mul(0x9e37_79b9_7f4a_7c15) | 1)
    }

    pub fn next(&mut self) -> u64 {
        self.0 ^= self.0 << 13;
        self.0 ^= self.0 >> 7;
        self.0 ^= self.0 << 17;
        self.0
    }

    pub fn below(&mut self, bound: usize) -> usize {
        (self.next() >> 11) as usize % bound
    }

    pub fn number(&mut self) -> f32 {
        (self.next() >> 40) as f32 / (1_u64 << 23) as f32 - 1.0
    }

    pub fn vector(&mut self, dimensions: usize) -> UnitVector {
        let numbers: Vec<f32> = (0..dimensions).map(|_| self.number()).collect();
        UnitVector::new(&numbers).unwrap()
    }
}

pub fn binding(dimensions: usize) -> Binding {
    Binding { model: "faces".to_owned(), space: Space(0x51c2_e08d), dimensions }
}

pub fn empty(dimensions: usize) -> Gallery {
    Gallery::new(binding(dimensions)).unwrap()
}

/// The content of a gallery, whatever its history.
pub fn content(gallery: &Gallery) -> Vec<Vec<u8>> {
    let mut parts = Vec::new();
    gallery.digest_parts(|part| parts.push(part.to_vec()));
    parts.sort();
    parts
}

#[test]
fn a_space_is_eight_hex_digits() {
    assert_eq!("0051c2ef".parse(), Ok(Space(0x0051_c2ef)));
    assert_eq!(Space(0x51c2ef).to_string(), "0051c2ef");
    for wrong in ["", "51c2ef", "+51c2e08", "51C2E08D", "51c2e08d0", "51c2e08g", "é1c2e08"] {
        assert_eq!(wrong.parse::<Space>(), Err(GalleryError::Space), "{wrong}");
    }
}

#[test]
fn a_gallery_refuses_what_it_cannot_be_bound_to() {
    for dimensions in [0, MAX_DIMENSIONS + 1, usize::MAX] {
        assert!(Gallery::<allocator_api2::alloc::Global>::new(binding(dimensions)).is_err());
    }
    for model in [String::new(), "a b".to_owned(), "x".repeat(256), "\u{100}".to_owned()] {
        let binding = Binding { model, ..binding(4) };
        assert!(Gallery::<allocator_api2::alloc::Global>::new(binding).is_err());
    }
}

#[test]
fn names_and_dimensions_are_checked_before_anything_is_changed() {
    let mut gallery = empty(4);
    let vector = UnitVector::new(&[1.0; 4]).unwrap();
    let other = UnitVector::new(&[1.0; 5]).unwrap();
    let long = [b'x'; MAX_SUBJECT_NAME + 1];
    assert_eq!(gallery.enrol(b"", &vector, None), Err(GalleryError::SubjectName { found: 0 }));
    assert!(gallery.enrol(&long, &vector, None).is_err());
    assert!(gallery.enrol(&long[1..], &vector, None).is_ok());
    let wrong = GalleryError::Dimensions { expected: 4, found: 5 };
    assert_eq!(gallery.enrol(b"bob", &other, None), Err(wrong));
    for id in [0, SampleId::MAX.0 + 1, u64::MAX] {
        assert_eq!(gallery.enrol(b"bob", &vector, Some(SampleId(id))), Err(GalleryError::SampleId));
    }
    assert_eq!((gallery.subject_count(), gallery.sample_count()), (1, 1));
}

#[test]
fn the_last_sample_id_ends_the_numbering() {
    let mut gallery = empty(1);
    let vector = UnitVector::new(&[1.0]).unwrap();
    assert!(gallery.enrol(b"alice", &vector, Some(SampleId::MAX)).is_ok());
    assert_eq!(gallery.enrol(b"alice", &vector, None), Err(GalleryError::Full));
    assert!(gallery.enrol(b"alice", &vector, Some(SampleId(1))).is_ok());
}

#[test]
fn a_replay_is_done_once_and_contradicts_nothing() {
    let mut random = Random::new(1);
    let mut gallery = empty(20);
    let (first, second) = (random.vector(20), random.vector(20));
    let id = gallery.enrol(b"alice", &first, None).unwrap();
    let before = content(&gallery);
    assert_eq!(gallery.enrol(b"alice", &first, Some(id)), Ok(id));
    let taken = Err(GalleryError::SampleTaken(id));
    assert_eq!(gallery.enrol(b"alice", &second, Some(id)), taken);
    assert_eq!(gallery.enrol(b"bob", &first, Some(id)), taken);
    assert_eq!(content(&gallery), before);
    assert!(gallery.subject(b"bob").is_none());
}

#[test]
fn a_forgotten_subject_resolves_to_nothing_also_when_its_name_returns() {
    let mut random = Random::new(2);
    let mut gallery = empty(8);
    gallery.enrol(b"alice", &random.vector(8), None).unwrap();
    let old = gallery.subject(b"alice").unwrap().id;
    let held = gallery.snapshot();
    assert!(gallery.forget(b"alice", None).subject_is_gone);
    gallery.enrol(b"alice", &random.vector(8), None).unwrap();
    assert_eq!(gallery.subject_name(old), None);
    let found = held.search(&[random.vector(8)], 5).unwrap();
    assert_eq!(found[0][0].subject, old);
    assert_ne!(gallery.subject(b"alice").unwrap().id, old);
    assert_eq!(gallery.next_sample(), 3);
}
