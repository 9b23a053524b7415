//! Dot products of rows and queries, each summed in the same order on every machine.
//!
//! Plain Rust that the compiler turns into vector instructions, compiled for several instruction
//! sets, of which the best that the processor has is called. Products are rounded before they are
//! added: fused ones would round otherwise on machines that have them.

use std::hint::black_box;

use multiversion::multiversion;

use super::chunk::{LANES, Line};

/// Queries whose products with a row are computed at once: a line of it is loaded once for all.
const AT_ONCE: usize = 4;

/// The dot products of all `rows` with all `queries`, by query: first all those of the first one.
pub fn products(rows: &[Line], queries: &[&[Line]], products: &mut Vec<f32>) {
    let Some(lines_per_row) = queries.first().map(|query| query.len()) else { return };
    let count = rows.len() / lines_per_row;
    products.clear();
    products.resize(count * queries.len(), 0.0);
    let (groups, rest) = queries.as_chunks::<AT_ONCE>();
    let (of_groups, of_rest) = products.split_at_mut(count * AT_ONCE * groups.len());
    for (group, products) in groups.iter().zip(of_groups.chunks_exact_mut(count * AT_ONCE)) {
        with_several(rows, *group, products);
    }
    for (query, products) in rest.iter().zip(of_rest.chunks_exact_mut(count)) {
        with_one(rows, query, products);
    }
}

/// Each row with all the queries at once.
#[multiversion(targets(
    "x86_64+avx512f+avx512vl+avx512dq+avx512bw+avx2+avx",
    "x86_64+avx2+avx",
    "aarch64+neon",
))]
fn with_several(rows: &[Line], queries: [&[Line]; AT_ONCE], products: &mut [f32]) {
    let lines_per_row = queries[0].len();
    let count = rows.len() / lines_per_row;
    for (group, rows) in rows.chunks(lines_per_row * LANES).enumerate() {
        let mut quarters = [[[0.0; 4]; LANES]; AT_ONCE];
        let mut filled = 0;
        for row in rows.chunks_exact(lines_per_row).take(LANES) {
            let sums = dot(row, queries);
            for query in 0..AT_ONCE {
                quarters[query][filled % LANES] = quarter(sums[query]);
            }
            filled += 1;
        }
        for (query, quarters) in quarters.iter().enumerate() {
            let first = query * count + group * LANES;
            products[first..first + filled].copy_from_slice(&totals(quarters)[..filled]);
        }
    }
}

/// Row by row, as they stand in memory: several at once would be faster in the cache, and several
/// times slower out of it, as processors fetch ahead of one reader, not of four close to each other.
#[multiversion(targets(
    "x86_64+avx512f+avx512vl+avx512dq+avx512bw+avx2+avx",
    "x86_64+avx2+avx",
    "aarch64+neon",
))]
fn with_one(rows: &[Line], query: &[Line], products: &mut [f32]) {
    let lines_per_row = query.len();
    for (rows, products) in rows.chunks(lines_per_row * LANES).zip(products.chunks_mut(LANES)) {
        let mut quarters = [[0.0; 4]; LANES];
        for (row, quarters) in rows.chunks_exact(lines_per_row).zip(&mut quarters) {
            // Otherwise the sums are kept in the narrow registers that `quarter` wants.
            let [sums] = black_box(dot(row, [query]));
            *quarters = quarter(sums);
        }
        products.copy_from_slice(&totals(&quarters)[..products.len()]);
    }
}

/// The products of one row and the others, to be summed over the lanes.
#[inline(always)]
fn dot<const N: usize>(one: &[Line], others: [&[Line]; N]) -> [Line; N] {
    let others = others.map(|other| &other[..one.len()]);
    let mut sums = [Line::default(); N];
    for (place, line) in one.iter().enumerate() {
        for (sum, other) in sums.iter_mut().zip(others) {
            *sum = add_product(*sum, line, &other[place]);
        }
    }
    sums
}

#[inline(always)]
fn add_product(sum: Line, a: &Line, b: &Line) -> Line {
    Line(std::array::from_fn(|lane| sum.0[lane] + a.0[lane] * b.0[lane]))
}

/// The first half of summing over the lanes. In two halves both become vector instructions.
#[inline(always)]
fn quarter(Line(sums): Line) -> [f32; 4] {
    let of = |lane| (sums[lane] + sums[lane + 8]) + (sums[lane + 4] + sums[lane + 12]);
    [of(0), of(1), of(2), of(3)]
}

#[inline(always)]
fn totals(quarters: &[[f32; 4]; LANES]) -> [f32; LANES] {
    let mut totals = [0.0; LANES];
    for (total, quarter) in totals.iter_mut().zip(quarters) {
        *total = (quarter[0] + quarter[2]) + (quarter[1] + quarter[3]);
    }
    totals
}
