//! The peak memory of `decode()`, measured by counting every allocation of the process: below the
//! limit for every file, and, where a file decodes, below what was estimated from its header. One
//! test only: the counters belong to the whole process, as one of the decoders works in threads of
//! its own.

// What each file must come to is another test's concern.
#[allow(dead_code)]
#[path = "support/damaged.rs"]
mod damaged;

use std::alloc::{GlobalAlloc, Layout, System};
use std::io::Cursor;
use std::path::PathBuf;
use std::sync::atomic::{AtomicUsize, Ordering::Relaxed};
use std::time::{Duration, Instant};

use image::ImageFormat;
use recognition::decode::{DecodeLimits, Detail, decode};

struct Counting;

static LIVE: AtomicUsize = AtomicUsize::new(0);
static PEAK: AtomicUsize = AtomicUsize::new(0);

fn grow(bytes: usize) {
    let live = LIVE.fetch_add(bytes, Relaxed) + bytes;
    PEAK.fetch_max(live, Relaxed);
}

// SAFETY: every call goes unchanged to the system's allocator, which keeps the contract.
unsafe impl GlobalAlloc for Counting {
    unsafe fn alloc(&self, layout: Layout) -> *mut u8 {
        grow(layout.size());
        // SAFETY: the caller's promises are passed on.
        unsafe { System.alloc(layout) }
    }

    unsafe fn alloc_zeroed(&self, layout: Layout) -> *mut u8 {
        grow(layout.size());
        // SAFETY: the caller's promises are passed on.
        unsafe { System.alloc_zeroed(layout) }
    }

    unsafe fn dealloc(&self, pointer: *mut u8, layout: Layout) {
        LIVE.fetch_sub(layout.size(), Relaxed);
        // SAFETY: the caller's promises are passed on.
        unsafe { System.dealloc(pointer, layout) }
    }

    /// Counted as if the block moved: old and new at the same time.
    unsafe fn realloc(&self, pointer: *mut u8, layout: Layout, new_size: usize) -> *mut u8 {
        grow(new_size);
        LIVE.fetch_sub(layout.size(), Relaxed);
        // SAFETY: the caller's promises are passed on.
        unsafe { System.realloc(pointer, layout, new_size) }
    }
}

#[global_allocator]
static ALLOCATOR: Counting = Counting;

/// What one payload did: did it decode, how high was the peak, how long did it take.
fn measure(payload: &[u8], limits: &DecodeLimits, detail: Detail) -> (bool, u64, Duration) {
    let before = LIVE.load(Relaxed);
    PEAK.store(before, Relaxed);
    let started = Instant::now();
    let decodes = decode(payload, limits, detail).is_ok();
    let time = started.elapsed();
    (decodes, (PEAK.load(Relaxed) - before) as u64, time)
}

/// A large picture in every format, and small ones of every kind, good and damaged.
fn made_files() -> Vec<(String, Vec<u8>)> {
    let picture = image::RgbImage::from_fn(3000, 2000, |x, y| {
        image::Rgb([(x % 251) as u8, (y % 241) as u8, ((x * y) % 239) as u8])
    });
    let formats = ["jpg", "png", "gif", "webp", "bmp"];
    let mut files: Vec<(String, Vec<u8>)> = formats
        .iter()
        .map(|extension| {
            let format = ImageFormat::from_extension(extension).expect("a known format");
            let mut file = Cursor::new(Vec::new());
            picture.write_to(&mut file, format).expect("encoded");
            (format!("generated.{extension}"), file.into_inner())
        })
        .collect();
    let mut progressive = Vec::new();
    let mut encoder = jpeg_encoder::Encoder::new(&mut progressive, 90);
    encoder.set_progressive(true);
    encoder.set_sampling_factor(jpeg_encoder::SamplingFactor::F_2_2);
    let (width, height) = (picture.width() as u16, picture.height() as u16);
    encoder.encode(&picture, width, height, jpeg_encoder::ColorType::Rgb).expect("encoded");
    files.push(("generated.progressive.jpg".to_owned(), progressive));
    let small = damaged::good().into_iter().chain(damaged::damaged());
    files.extend(small.map(|file| (file.name, file.bytes)));
    files
}

/// The hostile files of the shared folder. None where there is no such folder.
fn shared_files() -> Option<Vec<(String, Vec<u8>)>> {
    let shared = match std::env::var_os("REDIS_IMAGE_SHARED") {
        Some(path) => PathBuf::from(path),
        None => PathBuf::from(env!("CARGO_MANIFEST_DIR")).join("../../shared"),
    };
    let entries = std::fs::read_dir(shared.join("reference/bad")).ok()?;
    let mut paths: Vec<PathBuf> = entries.map(|entry| entry.expect("readable").path()).collect();
    paths.sort();
    let read =
        |path: PathBuf| (path.display().to_string(), std::fs::read(&path).expect("readable"));
    Some(paths.into_iter().map(read).collect())
}

fn main() {
    let limits = DecodeLimits::default();
    let mut largest = (0, String::new());
    let mut slowest = (Duration::ZERO, String::new());
    let mut wrong = Vec::new();
    // Sides that make a JPEG of 3000x2000 come at 1/2, 1/4 and 1/8.
    let details =
        [Detail::Full, Detail::ShortSide(1000), Detail::LongSide(750), Detail::ShortSide(1)];
    let (mut files, shared) = (made_files(), shared_files());
    let told = match &shared {
        Some(shared) => format!("{} shared files were added", shared.len()),
        None => {
            "no shared files were added: there is no such folder (REDIS_IMAGE_SHARED)".to_owned()
        }
    };
    files.extend(shared.unwrap_or_default());
    let cases = files.iter().flat_map(|file| details.map(|detail| (file, detail)));
    for ((name, payload), detail) in cases {
        let name = format!("{name} {detail:?}");
        let (decodes, peak, time) = measure(payload, &limits, detail);
        largest = largest.max((peak, name.clone()));
        slowest = slowest.max((time, name.clone()));
        if peak > limits.memory {
            wrong.push(format!("{name}: peak {peak}, over the limit"));
        }
        // With a byte less than it took, the estimate must refuse it, or find a way that takes less.
        let a_byte_less = DecodeLimits { memory: peak.saturating_sub(1), ..limits };
        let (decodes_again, peak_again, _) = measure(payload, &a_byte_less, detail);
        if decodes && decodes_again && peak_again >= peak {
            wrong.push(format!("{name}: estimated less than its peak {peak}"));
        }
    }
    println!("largest peak {largest:?}; slowest {slowest:?}");
    assert!(wrong.is_empty(), "{}", wrong.join("\n"));
    println!("{told}");
}
