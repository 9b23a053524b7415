//! Dot products, each summed in the same order on every machine.

use super::chunk::{LANES, Line};

/// The dot product of two rows.
pub fn dot(a: &[Line], b: &[Line]) -> f32 {
    let mut sums = [0.0; LANES];
    for (a, b) in a.iter().zip(b) {
        for lane in 0..LANES {
            sums[lane] += a.0[lane] * b.0[lane];
        }
    }
    total(sums)
}

/// The sum of the lanes, as a tree.
fn total(mut sums: [f32; LANES]) -> f32 {
    let mut half = LANES / 2;
    while half > 0 {
        for lane in 0..half {
            sums[lane] += sums[lane + half];
        }
        half /= 2;
    }
    sums[0]
}
