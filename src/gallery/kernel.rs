//! Dot products of rows and queries, each summed in the same order on every machine.
//!
//! Plain Rust that the compiler turns into vector instructions, compiled for several instruction
//! sets, of which the best that the processor has is called. Products are rounded before they are
//! added: fused ones would round otherwise on machines that have them.

use multiversion::multiversion;

use super::chunk::{LANES, Line};

/// Queries whose products with a row are computed at once, so that a line loaded serves them all.
const QUERIES: usize = 4;

/// The dot products of all `rows` with all `queries`, by query: first all those of the first one.
pub fn products(rows: &[Line], queries: &[&[Line]], products: &mut Vec<f32>) {
    let Some(lines_per_row) = queries.first().map(|query| query.len()) else { return };
    let count = rows.len() / lines_per_row;
    products.clear();
    products.resize(count * queries.len(), 0.0);
    for (queries, products) in
        queries.chunks(QUERIES).zip(products.chunks_mut((count * QUERIES).max(1)))
    {
        match *queries {
            [a, b, c, d] => products_of_4(rows, [a, b, c, d], products),
            [a, b, c] => products_of_3(rows, [a, b, c], products),
            [a, b] => products_of_2(rows, [a, b], products),
            [a] => products_of_1(rows, [a], products),
            _ => (),
        }
    }
}

macro_rules! for_each_instruction_set {
    ($($name:ident $queries:literal)*) => {
        $(
            #[multiversion(targets(
                "x86_64+avx512f+avx512vl+avx512dq+avx512bw+avx2+avx",
                "x86_64+avx2+avx",
                "aarch64+neon",
            ))]
            fn $name(rows: &[Line], queries: [&[Line]; $queries], products: &mut [f32]) {
                each_row(rows, queries, products);
            }
        )*
    };
}

for_each_instruction_set! { products_of_1 1 products_of_2 2 products_of_3 3 products_of_4 4 }

#[inline(always)]
fn each_row<const Q: usize>(rows: &[Line], queries: [&[Line]; Q], products: &mut [f32]) {
    let lines_per_row = queries[0].len();
    let count = rows.len() / lines_per_row;
    let queries = queries.map(|query| &query[..lines_per_row]);
    for (group, rows) in rows.chunks(lines_per_row * LANES).enumerate() {
        let mut quarters = [[[0.0; 4]; LANES]; Q];
        for (place, row) in rows.chunks_exact(lines_per_row).enumerate() {
            let sums = dot(row, queries);
            for query in 0..Q {
                quarters[query][place % LANES] = quarter(sums[query]);
            }
        }
        let rows = rows.len() / lines_per_row;
        for (query, quarters) in quarters.iter().enumerate() {
            let first = query * count + group * LANES;
            products[first..first + rows].copy_from_slice(&totals(quarters)[..rows]);
        }
    }
}

/// The products of a row and the queries, to be summed over the lanes.
#[inline(always)]
fn dot<const Q: usize>(row: &[Line], queries: [&[Line]; Q]) -> [Line; Q] {
    let mut sums = [Line::default(); Q];
    for (place, line) in row.iter().enumerate() {
        for (sum, query) in sums.iter_mut().zip(queries) {
            *sum = add_product(*sum, line, &query[place]);
        }
    }
    sums
}

#[inline(always)]
fn add_product(sum: Line, a: &Line, b: &Line) -> Line {
    Line(std::array::from_fn(|lane| sum.0[lane] + a.0[lane] * b.0[lane]))
}

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
