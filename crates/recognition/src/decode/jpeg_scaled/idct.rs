//! The inverse DCT at a reduced size: the N-point transform of the N lowest frequencies, in each
//! direction. It keeps what the smaller picture can show and drops what would alias; a mean over
//! the pixels of the full picture, the alternative, would weaken the highest that are kept.
//!
//! In floating point, where no coefficient or quantisation value can overflow.

use std::f32::consts::FRAC_1_SQRT_2;

/// cos(k pi / 16)
const C1: f32 = 0.980_785_25;
const C2: f32 = 0.923_879_5;
const C3: f32 = 0.831_469_6;
const C5: f32 = 0.555_570_24;
const C6: f32 = 0.382_683_43;
const C7: f32 = 0.195_090_32;

/// Turns a block of weighted coefficients into samples, which go to the first rows of the given
/// ones, whose length is the stride.
pub(super) type Inverse = fn(&[f32; 64], &mut [u8], usize);

/// What a coefficient is multiplied with before the transform, in each direction.
pub(super) fn weight(frequency: usize) -> f32 {
    if frequency == 0 { 0.5 * FRAC_1_SQRT_2 } else { 0.5 }
}

/// The transform to that many columns and rows: 1, 2, 4 or 8. The coefficients are in rows as long
/// as those of the result.
pub(super) fn inverse(columns: usize, rows: usize) -> Inverse {
    match (columns, rows) {
        (1, 1) => to_samples::<1, 1>,
        (1, 2) => to_samples::<1, 2>,
        (1, 4) => to_samples::<1, 4>,
        (1, _) => to_samples::<1, 8>,
        (2, 1) => to_samples::<2, 1>,
        (2, 2) => to_samples::<2, 2>,
        (2, 4) => to_samples::<2, 4>,
        (2, _) => to_samples::<2, 8>,
        (4, 1) => to_samples::<4, 1>,
        (4, 2) => to_samples::<4, 2>,
        (4, 4) => to_samples::<4, 4>,
        (4, _) => to_samples::<4, 8>,
        (_, 1) => to_samples::<8, 1>,
        (_, 2) => to_samples::<8, 2>,
        (_, 4) => to_samples::<8, 4>,
        (_, _) => to_samples::<8, 8>,
    }
}

fn to_samples<const COLUMNS: usize, const ROWS: usize>(
    block: &[f32; 64],
    samples: &mut [u8],
    stride: usize,
) {
    let mut rows = [[0.0; COLUMNS]; ROWS];
    for (row, coefficients) in rows.iter_mut().zip(block.chunks_exact(COLUMNS)) {
        row.copy_from_slice(coefficients);
    }
    transform(&mut rows);
    let mut columns = transposed(&rows);
    transform(&mut columns);
    let rows = transposed(&columns);
    for (row, samples) in rows.iter().zip(samples.chunks_mut(stride)) {
        samples[..COLUMNS].copy_from_slice(&row.map(sample));
    }
}

/// A sample, rounded to the nearest: at 2^23 the numbers have no fraction.
#[inline(always)]
pub(super) fn sample(value: f32) -> u8 {
    (value.clamp(-128.0, 127.0) + (8_388_608.0 + 128.0)).to_bits() as u8
}

fn transposed<const COLUMNS: usize, const ROWS: usize>(
    rows: &[[f32; COLUMNS]; ROWS],
) -> [[f32; ROWS]; COLUMNS] {
    std::array::from_fn(|column| std::array::from_fn(|row| rows[row][column]))
}

/// The transform down the rows, of all columns side by side.
#[inline(always)]
fn transform<const LANES: usize>(rows: &mut [[f32; LANES]]) {
    match rows {
        [a, b] => [*a, *b] = two(*a, *b),
        [a, b, c, d] => [*a, *b, *c, *d] = four([*a, *b, *c, *d]),
        [a, b, c, d, e, f, g, h] => {
            let even = four([*a, *c, *e, *g]);
            let odd = [*b, *d, *f, *h];
            let sums = [
                sum(odd, [C1, C3, C5, C7]),
                sum(odd, [C3, -C7, -C1, -C5]),
                sum(odd, [C5, -C1, C7, C3]),
                sum(odd, [C7, -C5, C3, -C1]),
            ];
            for (index, (even, odd)) in even.into_iter().zip(sums).enumerate() {
                rows[index] = add(even, odd);
                rows[7 - index] = subtract(even, odd);
            }
        }
        _ => {}
    }
}

#[inline(always)]
fn two<const LANES: usize>(a: [f32; LANES], b: [f32; LANES]) -> [[f32; LANES]; 2] {
    let b = b.map(|value| value * FRAC_1_SQRT_2);
    [add(a, b), subtract(a, b)]
}

#[inline(always)]
fn four<const LANES: usize>([a, b, c, d]: [[f32; LANES]; 4]) -> [[f32; LANES]; 4] {
    let [outer, inner] = two(a, c);
    let first: [f32; LANES] = std::array::from_fn(|lane| b[lane] * C2 + d[lane] * C6);
    let second = std::array::from_fn(|lane| b[lane] * C6 - d[lane] * C2);
    [add(outer, first), add(inner, second), subtract(inner, second), subtract(outer, first)]
}

#[inline(always)]
fn sum<const LANES: usize>(rows: [[f32; LANES]; 4], factors: [f32; 4]) -> [f32; LANES] {
    let [a, b, c, d] = factors;
    std::array::from_fn(|lane| {
        rows[0][lane] * a + rows[1][lane] * b + (rows[2][lane] * c + rows[3][lane] * d)
    })
}

#[inline(always)]
fn add<const LANES: usize>(a: [f32; LANES], b: [f32; LANES]) -> [f32; LANES] {
    std::array::from_fn(|lane| a[lane] + b[lane])
}

#[inline(always)]
fn subtract<const LANES: usize>(a: [f32; LANES], b: [f32; LANES]) -> [f32; LANES] {
    std::array::from_fn(|lane| a[lane] - b[lane])
}
