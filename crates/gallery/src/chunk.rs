//! Rows of embeddings, about a mebibyte of them, with whose they are beside them.

use allocator_api2::vec::Vec;
use zeroize::{DefaultIsZeroes, Zeroize};

use super::allocation::Memory;
use super::ids::{SampleId, SubjectId};

/// Numbers of one cache line. A row is padded with zeros to whole lines.
pub const LANES: usize = 16;

/// A cache line of a row.
#[derive(Debug, Clone, Copy, PartialEq, Default)]
#[repr(C, align(64))]
pub struct Line(pub [f32; LANES]);

impl DefaultIsZeroes for Line {}

/// Whose a row is.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Owner {
    pub subject: SubjectId,
    pub sample: SampleId,
}

/// What the rows of one chunk take at most. Allocators have classes of 2ⁿ bytes; what they add to
/// align it, or for themselves, is to fit in.
const MAX_BYTES: usize = 1 << 20;
const RESERVED: usize = 128;

/// Rows beyond those in use were never written, or were overwritten with zeros. Its vectors never
/// grow, as that would leave a copy behind in the memory given back.
pub struct Chunk<A: Memory> {
    lines_per_row: usize,
    lines: Vec<Line, A>,
    owners: Vec<Owner, A>,
}

/// Lines of a row.
pub fn lines_per_row(dimensions: usize) -> usize {
    dimensions.div_ceil(LANES)
}

/// Rows of a full chunk.
pub fn rows_per_chunk(lines_per_row: usize) -> usize {
    rows_that_fit(MAX_BYTES, lines_per_row).max(1)
}

fn rows_that_fit(bytes: usize, lines_per_row: usize) -> usize {
    (bytes - RESERVED) / (lines_per_row * size_of::<Line>())
}

impl<A: Memory> Chunk<A> {
    /// An empty chunk with room for `rows`, or some more.
    pub fn with_room(lines_per_row: usize, rows: usize) -> Chunk<A> {
        let bytes = (rows * lines_per_row * size_of::<Line>() + RESERVED).next_power_of_two();
        let capacity = rows_that_fit(bytes, lines_per_row).min(rows_per_chunk(lines_per_row));
        Chunk::with_capacity(lines_per_row, capacity.max(rows))
    }

    fn with_capacity(lines_per_row: usize, rows: usize) -> Chunk<A> {
        Chunk {
            lines_per_row,
            lines: Vec::with_capacity_in(rows * lines_per_row, A::default()),
            owners: Vec::with_capacity_in(rows, A::default()),
        }
    }

    /// The same rows, with room for one more at least.
    pub fn grown(&self) -> Chunk<A> {
        let mut grown = Chunk::with_room(self.lines_per_row, self.rows() + 1);
        grown.copy_from(self);
        grown
    }

    fn copy_from(&mut self, other: &Chunk<A>) {
        self.lines.extend_from_slice(&other.lines);
        self.owners.extend_from_slice(&other.owners);
    }

    pub fn rows(&self) -> usize {
        self.owners.len()
    }

    pub fn has_room(&self) -> bool {
        self.lines.capacity() - self.lines.len() >= self.lines_per_row
            && self.owners.capacity() > self.owners.len()
    }

    pub fn row(&self, row: usize) -> &[Line] {
        self.rows_from(row, 1)
    }

    /// Some rows, one after the other.
    pub fn rows_from(&self, first: usize, count: usize) -> &[Line] {
        &self.lines[first * self.lines_per_row..][..count * self.lines_per_row]
    }

    pub fn owners(&self) -> &[Owner] {
        &self.owners
    }

    /// Adds a row to a chunk that has room.
    pub fn push(&mut self, vector: &[f32], owner: Owner) {
        debug_assert!(self.has_room());
        for numbers in vector.chunks(LANES) {
            let mut line = Line::default();
            line.0[..numbers.len()].copy_from_slice(numbers);
            self.lines.push(line);
        }
        self.owners.push(owner);
    }

    /// Overwrites a row with one of another chunk.
    pub fn replace(&mut self, row: usize, with: &[Line], owner: Owner) {
        self.lines[row * self.lines_per_row..][..self.lines_per_row].copy_from_slice(with);
        self.owners[row] = owner;
    }

    /// Overwrites a row with one of this chunk.
    pub fn replace_within(&mut self, row: usize, with: usize) {
        let start = with * self.lines_per_row;
        self.lines.copy_within(start..start + self.lines_per_row, row * self.lines_per_row);
        self.owners[row] = self.owners[with];
    }

    /// Overwrites the last row with zeros and gives its place back.
    pub fn pop(&mut self) {
        let remaining = self.lines.len() - self.lines_per_row;
        self.lines[remaining..].zeroize();
        self.lines.truncate(remaining);
        self.owners.pop();
    }

    /// Bytes of its allocations, by their size.
    pub fn allocations(&self) -> [usize; 2] {
        [
            self.lines.capacity() * size_of::<Line>() + align_of::<Line>(),
            self.owners.capacity() * size_of::<Owner>(),
        ]
    }
}

impl<A: Memory> Clone for Chunk<A> {
    fn clone(&self) -> Chunk<A> {
        let mut copy = Chunk::with_capacity(self.lines_per_row, self.owners.capacity());
        copy.copy_from(self);
        copy
    }
}

impl<A: Memory> Drop for Chunk<A> {
    fn drop(&mut self) {
        self.lines.as_mut_slice().zeroize();
    }
}
