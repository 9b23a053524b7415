//! What becomes of a vector from outside.

use super::*;

#[test]
fn what_has_no_direction_is_refused() {
    let wrong = |numbers: &[f32]| UnitVector::new(numbers).unwrap_err();
    assert_eq!(wrong(&[]), GalleryError::NoSuchDimensions { found: 0 });
    assert_eq!(wrong(&[1.0; 4097]), GalleryError::NoSuchDimensions { found: 4097 });
    assert_eq!(wrong(&[1.0, f32::NAN]), GalleryError::NotFinite);
    assert_eq!(wrong(&[f32::INFINITY, 1.0]), GalleryError::NotFinite);
    assert_eq!(wrong(&[0.0, f32::NEG_INFINITY]), GalleryError::NotFinite);
    assert_eq!(wrong(&[0.0, -0.0, 0.0]), GalleryError::ZeroVector);
    for length in [1, 3, 5, 4099] {
        let found = UnitVector::from_bytes(&vec![1; length]);
        assert_eq!(found, Err(GalleryError::VectorBytes { found: length }));
    }
    assert!(UnitVector::from_bytes(&[]).is_err());
    assert!(UnitVector::from_bytes(&vec![1; 4 * 4097]).is_err());
}

#[test]
fn every_finite_vector_gets_unit_length_the_smallest_and_the_largest_too() {
    let smallest = f32::from_bits(1);
    for scale in [smallest, 1e-40, 1e-20, 0.5, 1.0, 1e20, f32::MAX] {
        for dimensions in [1, 2, 100, 4096] {
            let unit = UnitVector::new(&vec![scale; dimensions]).unwrap();
            let square: f64 = unit.as_slice().iter().map(|&x| f64::from(x).powi(2)).sum();
            assert!((square - 1.0).abs() < 1e-6, "{scale} {dimensions}: {square}");
        }
    }
    let mixed = UnitVector::new(&[f32::MAX, smallest]).unwrap();
    assert_eq!(mixed.as_slice(), [1.0, 0.0]);
}

#[test]
fn a_unit_vector_stays_as_it_is_to_the_last_bit() {
    let mut random = Random::new(3);
    for round in 0..2000 {
        let dimensions = 1 + random.below(if round < 1900 { 200 } else { 4096 });
        let once = random.vector(dimensions);
        let again = UnitVector::from_bytes(&once.to_bytes()).unwrap();
        assert_eq!(once.to_bytes(), again.to_bytes());
    }
}
