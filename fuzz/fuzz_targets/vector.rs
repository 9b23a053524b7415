//! The VECTOR argument: refused, or of unit length and then the same for ever.
#![no_main]

use gallery::{Binding, Gallery, Space, UnitVector};
use libfuzzer_sys::fuzz_target;

fuzz_target!(|data: &[u8]| {
    let Ok(vector) = UnitVector::from_bytes(data) else { return };
    let square: f64 = vector.as_slice().iter().map(|&x| f64::from(x).powi(2)).sum();
    assert!((square - 1.0).abs() < 1e-4);
    let again = UnitVector::from_bytes(&vector.to_bytes()).unwrap();
    assert_eq!(again.to_bytes(), vector.to_bytes());
    let binding =
        Binding { model: "m".to_owned(), space: Space(1), dimensions: vector.dimensions() };
    let mut gallery: Gallery = Gallery::new(binding).unwrap();
    let sample = gallery.enrol(b"s", &vector, None).unwrap();
    assert_eq!(gallery.enrol(b"s", &again, Some(sample)), Ok(sample));
    let found = gallery.snapshot().search(&[vector], 1).unwrap();
    assert!((found[0][0].similarity - 1.0).abs() < 1e-4);
});
