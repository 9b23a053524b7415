//! The search of galleries as a process that `gallery.py` drives, line by line on standard input:
//!
//! - `load ROWS QUERIES DIMENSIONS PATH`: enrols the first vectors of a file, keeps the last as queries
//! - `search FIRST COUNT WANTED`: searches twice, answers the microseconds of the second time, then
//!   each query's rows
//! - `sum`: the microseconds of adding up as many numbers as the rows have

use std::hint::black_box;
use std::io::{self, BufRead};
use std::time::Instant;

use gallery::{Binding, Gallery, Snapshot, Space, UnitVector};

type Failure = Box<dyn std::error::Error>;

struct Loaded {
    gallery: Gallery,
    queries: Vec<UnitVector>,
    numbers: Vec<f32>,
}

fn main() -> Result<(), Failure> {
    let mut loaded: Option<Loaded> = None;
    for line in io::stdin().lock().lines() {
        let line = line?;
        let words: Vec<&str> = line.split_whitespace().collect();
        match (words.as_slice(), &loaded) {
            (["load", rows, queries, dimensions, path], _) => {
                let started = Instant::now();
                let now = load(rows.parse()?, queries.parse()?, dimensions.parse()?, path)?;
                let bytes = now.gallery.memory_usage();
                println!("{} {bytes}", started.elapsed().as_micros());
                loaded = Some(now);
            }
            (["search", first, count, wanted], Some(loaded)) => {
                let first: usize = first.parse()?;
                let queries = &loaded.queries[first..first + count.parse::<usize>()?];
                search(&loaded.gallery.snapshot(), queries, wanted.parse()?)?;
            }
            (["sum"], Some(loaded)) => {
                black_box(sum(black_box(&loaded.numbers)));
                let started = Instant::now();
                black_box(sum(black_box(&loaded.numbers)));
                println!("{}", microseconds(started));
            }
            _ => return Err(format!("not understood: {line}").into()),
        }
    }
    Ok(())
}

fn load(rows: usize, queries: usize, dimensions: usize, path: &str) -> Result<Loaded, Failure> {
    let bytes = std::fs::read(path)?;
    let vectors = || bytes.chunks_exact(4 * dimensions).map(UnitVector::from_bytes);
    let binding = Binding { model: "faces".to_owned(), space: Space(1), dimensions };
    let mut gallery = Gallery::new(binding)?;
    for (row, vector) in vectors().take(rows).enumerate() {
        gallery.enrol(format!("subject {row}").as_bytes(), &vector?, None)?;
    }
    let queries = vectors().skip(rows).take(queries).collect::<Result<Vec<_>, _>>()?;
    let numbers = bytes.as_chunks().0[..rows * dimensions].iter();
    let numbers = numbers.map(|&number| f32::from_le_bytes(number)).collect();
    Ok(Loaded { gallery, queries, numbers })
}

fn search<A: gallery::Memory>(
    snapshot: &Snapshot<A>,
    queries: &[UnitVector],
    wanted: usize,
) -> Result<(), Failure> {
    black_box(snapshot.search(queries, wanted)?);
    let started = Instant::now();
    let found = black_box(snapshot.search(queries, wanted)?);
    let mut answer = microseconds(started);
    for matches in found {
        let rows: Vec<String> = matches.iter().map(|it| (it.sample.0 - 1).to_string()).collect();
        answer.push(' ');
        answer.push_str(&rows.join(","));
    }
    println!("{answer}");
    Ok(())
}

fn microseconds(started: Instant) -> String {
    format!("{:.2}", started.elapsed().as_secs_f64() * 1e6)
}

/// As fast as memory gives the numbers.
#[multiversion::multiversion(targets("x86_64+avx512f+avx512vl+avx2", "x86_64+avx2"))]
fn sum(numbers: &[f32]) -> f32 {
    let mut sums = [[0.0; 16]; 4];
    for numbers in numbers.as_chunks::<64>().0 {
        for (sums, numbers) in sums.iter_mut().zip(numbers.as_chunks::<16>().0) {
            for (sum, number) in sums.iter_mut().zip(numbers) {
                *sum += number;
            }
        }
    }
    sums.iter().flatten().sum()
}
