//! What a gallery leaves in memory, and how much it takes, seen by an allocator that knows every
//! block: no byte of a forgotten embedding stays in one, nor was in one that was given back.

use std::alloc::Layout;
use std::collections::BTreeMap;
use std::ptr::NonNull;
use std::sync::{Mutex, MutexGuard};

use allocator_api2::alloc::{AllocError, Allocator, Global};

use gallery::{Binding, SampleId, Sink, Space, UnitVector};

type Gallery = gallery::Gallery<Watching>;

#[derive(Clone, Copy, Default)]
struct Watching;

#[derive(Default)]
struct Watched {
    /// Size of each block, by its address.
    blocks: BTreeMap<usize, usize>,
    taken: usize,
    /// What must not be in a block that is given back.
    secret: Vec<u8>,
    leaks: usize,
}

static WATCHED: Mutex<Option<Watched>> = Mutex::new(None);

fn watched<T>(look: impl FnOnce(&mut Watched) -> T) -> T {
    let mut guard: MutexGuard<Option<Watched>> = WATCHED.lock().expect("no test panics with it");
    look(guard.get_or_insert_default())
}

fn bytes_of(address: usize, size: usize) -> &'static [u8] {
    // SAFETY: a block that is allocated, read at once; this program has one thread, and what was
    // never written holds the zeros that `allocate` put there.
    unsafe { std::slice::from_raw_parts(std::ptr::with_exposed_provenance(address), size) }
}

fn contains(bytes: &[u8], secret: &[u8]) -> bool {
    !secret.is_empty() && bytes.windows(secret.len()).any(|window| window == secret)
}

// SAFETY: blocks are the global allocator's.
unsafe impl Allocator for Watching {
    fn allocate(&self, layout: Layout) -> Result<NonNull<[u8]>, AllocError> {
        let block = Global.allocate_zeroed(layout)?;
        let address = block.cast::<u8>().as_ptr().expose_provenance();
        watched(|watched| {
            watched.blocks.insert(address, layout.size());
            watched.taken += layout.size();
        });
        Ok(block)
    }

    unsafe fn deallocate(&self, block: NonNull<u8>, layout: Layout) {
        watched(|watched| {
            let address = block.as_ptr().addr();
            watched.blocks.remove(&address);
            watched.taken -= layout.size();
            let leaks = contains(bytes_of(address, layout.size()), &watched.secret);
            watched.leaks += usize::from(leaks);
        });
        // SAFETY: the caller's promises are passed on.
        unsafe { Global.deallocate(block, layout) };
    }
}

/// Blocks in which the bytes are.
fn holders(secret: &[u8]) -> usize {
    watched(|watched| {
        let blocks = watched.blocks.iter();
        blocks.filter(|(address, size)| contains(bytes_of(**address, **size), secret)).count()
    })
}

#[derive(Default)]
struct Bytes(Vec<u8>);

impl Sink for Bytes {
    fn save_unsigned(&mut self, number: u64) {
        self.0.extend_from_slice(&number.to_le_bytes());
    }

    fn save_bytes(&mut self, bytes: &[u8]) {
        self.0.extend_from_slice(bytes);
    }
}

fn saved(gallery: &Gallery) -> Vec<u8> {
    let mut bytes = Bytes::default();
    gallery.encode(&mut bytes);
    bytes.0
}

/// A vector that no other is like in any 8 bytes of it.
fn vector(dimensions: usize, number: usize) -> UnitVector {
    let mut state = (number as u64).wrapping_mul(0x9e37_79b9_7f4a_7c15);
    let numbers: Vec<f32> = (0..dimensions)
        .map(|_| {
            state = state.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1_442_695_040_888);
            (state >> 40) as f32 / (1_u64 << 23) as f32 - 1.0
        })
        .collect();
    UnitVector::new(&numbers).expect("finite and not zero")
}

/// Three numbers in the middle of it.
fn secret(vector: &UnitVector) -> Vec<u8> {
    let bytes = vector.to_bytes();
    let middle = bytes.len() / 2;
    bytes[middle..middle + 12].to_vec()
}

fn filled(dimensions: usize, samples: usize) -> Gallery {
    let binding = Binding { model: "faces".to_owned(), space: Space(1), dimensions };
    let mut gallery = Gallery::new(binding).expect("sound");
    for number in 0..samples {
        let name = format!("subject {}", number / 2);
        gallery.enrol(name.as_bytes(), &vector(dimensions, number), None).expect("sound");
    }
    gallery
}

fn forgets(dimensions: usize, samples: usize, number: usize, with_snapshot: bool) {
    let what = format!("sample {number} of {samples} x {dimensions}, held: {with_snapshot}");
    let mut gallery = filled(dimensions, samples);
    let secret = secret(&vector(dimensions, number));
    assert_eq!(holders(&secret), 1, "{what}");
    assert!(contains(&saved(&gallery), &secret), "{what}");
    watched(|watched| (watched.secret, watched.leaks) = (secret.clone(), 0));
    let held = with_snapshot.then(|| gallery.snapshot());
    let name = format!("subject {}", number / 2);
    let forgotten = gallery.forget(name.as_bytes(), Some(SampleId(number as u64 + 1)));
    assert_eq!(forgotten.samples, 1, "{what}");
    assert!(!contains(&saved(&gallery), &secret), "{what}");
    if let Some(held) = held {
        assert_eq!(holders(&secret), 1, "{what}: the search still has it");
        let query = [vector(dimensions, number)];
        let found = held.search(&query, 1).expect("sound");
        assert_eq!(found[0][0].sample, SampleId(number as u64 + 1), "{what}");
        drop(held);
    }
    assert_eq!(holders(&secret), 0, "{what}");
    // What was moved into its place is there once, and once only.
    for other in [samples - 1, samples / 2].into_iter().filter(|other| *other != number) {
        assert_eq!(holders(&self::secret(&vector(dimensions, other))), 1, "{what}: {other}");
    }
    drop(gallery);
    watched(|watched| assert_eq!((watched.leaks, watched.taken), (0, 0), "{what}"));
}

fn nothing_forgotten_stays() {
    for (dimensions, samples) in [(8, 1), (8, 40), (100, 33), (1280, 450), (4096, 200)] {
        for number in [0, samples / 3, samples - 1] {
            forgets(dimensions, samples, number, false);
            forgets(dimensions, samples, number, true);
        }
    }
}

/// Also where a chunk grows: the smaller one is given back.
fn growth_leaves_nothing_behind() {
    let first = secret(&vector(8, 0));
    watched(|watched| (watched.secret, watched.leaks) = (first.clone(), 0));
    let gallery = filled(8, 1000);
    assert_eq!(holders(&first), 1);
    drop(gallery);
    watched(|watched| assert_eq!((watched.leaks, watched.taken), (0, 0)));
}

/// The usage is estimated in an allocator's size classes: above the plain sizes, by little.
fn memory_usage_is_near_what_is_taken() {
    for (dimensions, samples) in [(1, 20_000), (128, 100), (128, 20_000), (512, 3000), (1280, 900)]
    {
        let mut gallery = filled(dimensions, samples);
        for round in 0..2 {
            let taken = watched(|watched| watched.taken) as f64;
            let usage = gallery.memory_usage() as f64;
            let share = usage / taken;
            println!("{samples} x {dimensions}, round {round}: {usage} of {taken}, {share:.3}");
            assert!((0.99..1.05).contains(&share) || dimensions < 128, "{share}");
            assert!((0.99..1.15).contains(&share), "{share}");
            for number in (0..samples).step_by(3) {
                gallery.forget(format!("subject {}", number / 2).as_bytes(), None);
            }
        }
    }
    watched(|watched| assert_eq!((watched.taken, watched.blocks.len()), (0, 0)));
}

fn main() {
    nothing_forgotten_stays();
    growth_leaves_nothing_behind();
    memory_usage_is_near_what_is_taken();
    println!("what is forgotten is gone, and the memory that is taken is known");
}
