//! Random damage to saved galleries and vectors. `fuzz/` looks further.

use super::saved_form::{Saved, sample_gallery};
use super::*;

const ROUNDS: usize = 20_000;

#[test]
fn random_damage_to_a_saved_gallery_is_withstood() {
    let mut random = Random::new(30);
    let originals: Vec<Saved> = [(1, 9), (2, 3), (16, 30), (5, 0)]
        .map(|(dimensions, samples)| Saved::of(&sample_gallery(dimensions, samples, 31)))
        .into();
    let mut loaded = 0;
    for round in 0..ROUNDS {
        let mut saved = originals[random.below(originals.len())].clone();
        for _ in 0..=random.below(3) {
            damage(&mut saved, &mut random);
        }
        let saved = saved.sealed();
        assert!(saved.is_withstood(), "round {round}: {saved:?}");
        loaded += usize::from(saved.load().is_ok());
    }
    // Otherwise nothing but the refusals was tested.
    assert!(loaded > ROUNDS / 100, "{loaded} of {ROUNDS} were loaded");
}

fn damage(saved: &mut Saved, random: &mut Random) {
    if saved.blocks.is_empty() {
        return;
    }
    let at = random.below(saved.blocks.len());
    let other = saved.blocks[random.below(saved.blocks.len())].clone();
    let block = &mut saved.blocks[at];
    let place = random.below(block.len() + 1);
    match random.below(8) {
        0 | 1 if place < block.len() => block[place] = random.next() as u8,
        2 | 3 if place < block.len() => block[place] ^= 1 << random.below(8),
        4 => block.truncate(place),
        5 => {
            block.splice(place..place, other);
        }
        6 => {
            saved.blocks.remove(at);
        }
        _ => saved.blocks.insert(at, other),
    }
}

#[test]
fn random_vectors_are_refused_or_have_unit_length() {
    let mut random = Random::new(32);
    for _ in 0..ROUNDS {
        let length = random.below(40);
        // Few different bytes, so that zeros, infinities and the smallest numbers come up.
        let choice = [0, 0, 0x7f, 0x80, 0xff, random.next() as u8];
        let bytes: Vec<u8> = (0..length).map(|_| choice[random.below(choice.len())]).collect();
        let Ok(vector) = UnitVector::from_bytes(&bytes) else { continue };
        let square: f64 = vector.as_slice().iter().map(|&x| f64::from(x).powi(2)).sum();
        assert!((square - 1.0).abs() < 1e-4);
        assert_eq!(UnitVector::from_bytes(&vector.to_bytes()).unwrap(), vector);
        assert_eq!(vector.dimensions() * 4, length);
    }
}
