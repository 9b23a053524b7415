//! The search against a plain one.

use std::collections::HashMap;

use super::super::chunk::{LANES, Line};
use super::super::kernel;
use super::*;

/// The dot product in the promised order.
pub fn plain_product(a: &[f32], b: &[f32]) -> f32 {
    let mut sums = [0.0_f32; LANES];
    for (place, (a, b)) in a.iter().zip(b).enumerate() {
        sums[place % LANES] += a * b;
    }
    let quarter = |lane| (sums[lane] + sums[lane + 8]) + (sums[lane + 4] + sums[lane + 12]);
    (quarter(0) + quarter(2)) + (quarter(1) + quarter(3))
}

/// All subjects, the best first, as name, sample and similarity.
pub fn plain_search<'a>(
    samples: impl Iterator<Item = (&'a [u8], u64, &'a [f32])>,
    query: &UnitVector,
) -> Vec<(Vec<u8>, u64, f32)> {
    let mut best: HashMap<&[u8], (f32, u64)> = HashMap::new();
    for (subject, sample, vector) in samples {
        let similarity = plain_product(vector, query.as_slice());
        let entry = best.entry(subject).or_insert((similarity, sample));
        if similarity > entry.0 || similarity == entry.0 && sample < entry.1 {
            *entry = (similarity, sample);
        }
    }
    let mut found: Vec<_> = best
        .into_iter()
        .map(|(name, (similarity, sample))| (name.to_vec(), sample, similarity))
        .collect();
    found.sort_by(|a, b| b.2.total_cmp(&a.2).then(a.1.cmp(&b.1)));
    for entry in &mut found {
        entry.2 = entry.2.clamp(-1.0, 1.0);
    }
    found
}

#[test]
fn products_are_the_same_to_the_last_bit_whatever_the_shape() {
    let mut random = Random::new(4);
    for dimensions in (1..150).chain([512, 1280, 4095, 4096]) {
        let lines = |vector: &UnitVector| -> Vec<Line> {
            let numbers = vector.as_slice().chunks(LANES);
            let padded = numbers.map(|numbers| {
                Line(std::array::from_fn(|lane| numbers.get(lane).copied().unwrap_or(0.0)))
            });
            padded.collect()
        };
        let rows: Vec<_> = (0..1 + random.below(40)).map(|_| random.vector(dimensions)).collect();
        let row_lines: Vec<Line> = rows.iter().flat_map(lines).collect();
        for count in 0..10 {
            let queries: Vec<_> = (0..count).map(|_| random.vector(dimensions)).collect();
            let query_lines: Vec<Vec<Line>> = queries.iter().map(lines).collect();
            let query_lines: Vec<&[Line]> = query_lines.iter().map(Vec::as_slice).collect();
            let mut products = Vec::new();
            kernel::products(&row_lines, &query_lines, &mut products);
            let expected: Vec<u32> = queries
                .iter()
                .flat_map(|query| rows.iter().map(move |row| (row, query)))
                .map(|(row, query)| plain_product(row.as_slice(), query.as_slice()).to_bits())
                .collect();
            let products: Vec<u32> = products.into_iter().map(f32::to_bits).collect();
            assert_eq!(products, expected, "{dimensions} dimensions, {count} queries");
        }
    }
}

#[test]
fn a_subject_counts_by_its_best_sample() {
    let mut gallery = empty(2);
    let at = |degrees: f32| {
        UnitVector::new(&[degrees.to_radians().cos(), degrees.to_radians().sin()]).unwrap()
    };
    for (name, degrees) in [("alice", 80.0), ("alice", 10.0), ("bob", 20.0), ("alice", 15.0)] {
        gallery.enrol(name.as_bytes(), &at(degrees), None).unwrap();
    }
    let snapshot = gallery.snapshot();
    let found = &snapshot.search(&[at(0.0)], 5).unwrap()[0];
    let names: Vec<_> = found.iter().map(|found| gallery.subject_name(found.subject)).collect();
    assert_eq!(names, [Some(&b"alice"[..]), Some(b"bob")]);
    assert_eq!(found[0].sample, SampleId(2));
    assert!((found[0].similarity - 10_f32.to_radians().cos()).abs() < 1e-6);
    assert_eq!(snapshot.verify(&at(0.0), found[1].subject).unwrap(), Some(found[1]));
    assert_eq!(snapshot.search(&[at(0.0)], 0).unwrap(), [vec![]]);
    assert!(snapshot.search(&[], 5).unwrap().is_empty());
}

#[test]
fn equal_similarities_are_ordered_by_sample_id_and_none_is_above_one() {
    let mut random = Random::new(5);
    let mut gallery = empty(33);
    let vector = random.vector(33);
    for id in (1..300).rev() {
        let name = format!("subject {}", id % 150);
        gallery.enrol(name.as_bytes(), &vector, Some(SampleId(id))).unwrap();
    }
    let found = &gallery.snapshot().search(&[vector], 20).unwrap()[0];
    let samples: Vec<u64> = found.iter().map(|found| found.sample.0).collect();
    assert_eq!(samples, (1..=20).collect::<Vec<u64>>());
    assert!(found.iter().all(|found| found.similarity <= 1.0));
}

#[test]
fn rows_that_come_the_worst_first_are_all_considered() {
    let mut gallery = empty(2);
    let at = |part: usize| {
        let angle = 3.0 - 3.0 * part as f32 / 5000.0;
        UnitVector::new(&[angle.cos(), angle.sin()]).unwrap()
    };
    for part in 0..5000 {
        gallery.enrol(format!("{}", part % 1000).as_bytes(), &at(part), None).unwrap();
    }
    let query = UnitVector::new(&[1.0, 0.0]).unwrap();
    for wanted in [1, 7, 64, 999, 1000, 5000, usize::MAX] {
        let found = &gallery.snapshot().search(std::slice::from_ref(&query), wanted).unwrap()[0];
        let samples: Vec<u64> = found.iter().map(|found| found.sample.0).collect();
        let expected: Vec<u64> = (4001..=5000).rev().take(wanted).collect();
        assert_eq!(samples, expected, "{wanted}");
    }
}

#[test]
fn a_search_refuses_other_dimensions() {
    let mut random = Random::new(6);
    let mut gallery = empty(16);
    gallery.enrol(b"alice", &random.vector(16), None).unwrap();
    let snapshot = gallery.snapshot();
    let wrong = Err(GalleryError::Dimensions { expected: 16, found: 17 });
    assert_eq!(snapshot.search(&[random.vector(16), random.vector(17)], 1), wrong);
}
