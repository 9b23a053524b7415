//! The gallery itself: what is enrolled and forgotten.

use std::hash::{BuildHasher, RandomState};
use std::sync::Arc;

use allocator_api2::alloc::Global;
use hashbrown::HashTable;
use zeroize::Zeroizing;

use super::allocation::{Memory, allocated};
use super::binding::Binding;
use super::chunk::{Chunk, Owner, lines_per_row, rows_per_chunk};
use super::error::GalleryError;
use super::ids::{SampleId, SubjectId};
use super::limits::{MAX_DIMENSIONS, MAX_MODEL_NAME, MAX_SUBJECT_NAME};
use super::search::Snapshot;
use super::subjects::{Page, SubjectEntry, Subjects};
use super::vector::UnitVector;

/// Known subjects, each with samples. Row `r` is in chunk `r / rows_per_chunk`; all chunks but the
/// last are full.
pub struct Gallery<A: Memory = Global> {
    binding: Binding,
    next_sample: u64,
    subjects: Subjects<A>,
    rows_per_chunk: usize,
    chunks: Vec<Arc<Chunk<A>>>,
    /// The rows of the samples, hashed by sample id.
    by_sample: HashTable<u32, A>,
    hasher: RandomState,
}

/// What [`Gallery::forget`] removed.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Forgotten {
    pub samples: usize,
    /// The subject had no other sample.
    pub subject_is_gone: bool,
}

/// One sample, as it is written to the AOF or exported.
#[derive(Debug, Clone, Copy)]
pub struct Sample<'a> {
    pub subject: &'a [u8],
    pub sample: SampleId,
    /// 32-bit little-endian floats.
    pub vector: &'a [u8],
}

impl<A: Memory> Gallery<A> {
    pub fn new(binding: Binding) -> Result<Gallery<A>, GalleryError> {
        let Binding { model, dimensions, .. } = &binding;
        let printable = model.bytes().all(|byte| byte.is_ascii_graphic());
        if model.is_empty() || model.len() > MAX_MODEL_NAME || !printable {
            return Err(GalleryError::ModelName);
        }
        if *dimensions == 0 || *dimensions > MAX_DIMENSIONS {
            return Err(GalleryError::NoSuchDimensions { found: *dimensions });
        }
        Ok(Gallery {
            next_sample: 1,
            subjects: Subjects::new(),
            rows_per_chunk: rows_per_chunk(lines_per_row(*dimensions)),
            chunks: Vec::new(),
            by_sample: HashTable::new_in(A::default()),
            hasher: RandomState::new(),
            binding,
        })
    }

    pub fn binding(&self) -> &Binding {
        &self.binding
    }

    /// The id of the next sample that comes without one.
    pub fn next_sample(&self) -> u64 {
        self.next_sample
    }

    /// Leaves out ids that were given out already: of samples forgotten before the AOF was written.
    pub fn raise_next_sample(&mut self, next: u64) {
        self.next_sample = self.next_sample.max(next.min(SampleId::MAX.0 + 1));
    }

    pub fn subject_count(&self) -> usize {
        self.subjects.count()
    }

    pub fn sample_count(&self) -> usize {
        self.by_sample.len()
    }

    /// Adds a sample. One that comes with an id is a replay: it is put where it was, and nothing is
    /// done if it is there already.
    pub fn enrol(
        &mut self,
        subject: &[u8],
        vector: &UnitVector,
        sample: Option<SampleId>,
    ) -> Result<SampleId, GalleryError> {
        if subject.is_empty() || subject.len() > MAX_SUBJECT_NAME {
            return Err(GalleryError::SubjectName { found: subject.len() });
        }
        self.check_dimensions(vector)?;
        if let Some(sample) = sample
            && let Some(row) = self.row_of(sample)
        {
            let same = self.owner_of_row(row) == Some(subject) && self.has_row(row, vector);
            return if same { Ok(sample) } else { Err(GalleryError::SampleTaken(sample)) };
        }
        let id = sample.unwrap_or(SampleId(self.next_sample));
        if id.0 == 0 || id > SampleId::MAX {
            return Err(if sample.is_some() { GalleryError::SampleId } else { GalleryError::Full });
        }
        if self.sample_count() >= u32::MAX as usize {
            return Err(GalleryError::Full);
        }
        let subject = self.subjects.find_or_add(subject);
        self.insert(subject, vector.as_slice(), id);
        Ok(id)
    }

    /// Adds a sample with an id that is free to a subject that is there.
    pub(super) fn insert(&mut self, subject: SubjectId, vector: &[f32], sample: SampleId) {
        let row = self.sample_count() as u32;
        self.subjects.add_sample(subject, sample);
        self.push_row(vector, Owner { subject, sample });
        let Gallery { by_sample, chunks, hasher, rows_per_chunk, .. } = self;
        by_sample.insert_unique(hasher.hash_one(sample.0), row, |&row| {
            hasher.hash_one(owner_in(chunks, *rows_per_chunk, row).sample.0)
        });
        self.next_sample = self.next_sample.max(sample.0 + 1);
    }

    /// Removes a sample of a subject, or all of them, and overwrites their bytes.
    pub fn forget(&mut self, subject: &[u8], sample: Option<SampleId>) -> Forgotten {
        let mut forgotten = Forgotten { samples: 0, subject_is_gone: false };
        let Some(entry) = self.subjects.find(subject).and_then(|id| self.subjects.get(id)) else {
            return forgotten;
        };
        let id = entry.id;
        let samples = match sample {
            Some(sample) if entry.samples.binary_search(&sample).is_ok() => vec![sample],
            Some(_) => return forgotten,
            None => entry.samples.to_vec(),
        };
        // From the last on, so that none is moved within the list.
        for &sample in samples.iter().rev() {
            if let Some(row) = self.row_of(sample) {
                self.remove_row(row);
                forgotten.samples += 1;
            }
            forgotten.subject_is_gone = self.subjects.remove_sample(id, sample);
        }
        forgotten
    }

    /// What a search found: nothing once the subject was forgotten.
    pub fn subject_name(&self, id: SubjectId) -> Option<&[u8]> {
        self.subjects.get(id).map(|entry| entry.name)
    }

    pub fn subject(&self, name: &[u8]) -> Option<SubjectEntry<'_>> {
        self.subjects.get(self.subjects.find(name)?)
    }

    /// At most `limit` subjects from the place `cursor` on, which is 0 or what the last page gave.
    /// A subject that is there all the while is listed once, whatever else comes and goes.
    pub fn subjects(&self, cursor: u64, limit: usize) -> Page<'_> {
        self.subjects.page(cursor, limit)
    }

    /// Shows every sample, in the order of the rows.
    pub fn each_sample(&self, mut show: impl FnMut(Sample)) {
        self.each_row(|Owner { subject, sample }, vector| {
            let subject = self.subject_name(subject).unwrap_or_default();
            show(Sample { subject, sample, vector });
        });
    }

    /// The embedding of a sample, 32-bit little-endian floats.
    pub fn vector(&self, sample: SampleId) -> Option<Vec<u8>> {
        let (chunk, row) = self.place(self.row_of(sample)?);
        let numbers = self.chunks[chunk].row(row).iter().flat_map(|line| line.0);
        Some(numbers.take(self.binding.dimensions).flat_map(f32::to_le_bytes).collect())
    }

    pub(super) fn each_row(&self, mut show: impl FnMut(Owner, &[u8])) {
        let mut vector = Zeroizing::new(Vec::with_capacity(4 * self.binding.dimensions));
        for chunk in &self.chunks {
            for (row, &owner) in chunk.owners().iter().enumerate() {
                vector.clear();
                let numbers = chunk.row(row).iter().flat_map(|line| line.0);
                let bytes = numbers.take(self.binding.dimensions).map(f32::to_le_bytes);
                bytes.for_each(|number| vector.extend_from_slice(&number));
                show(owner, &vector);
            }
        }
    }

    /// The names in the order in which they are saved.
    pub(super) fn names(&self) -> impl Iterator<Item = &[u8]> {
        self.subjects.iter().map(|entry| entry.name)
    }

    /// By slot, the place of the subject in that order.
    pub(super) fn numbers_of_subjects(&self) -> Vec<u32> {
        let mut numbers = vec![0; self.subjects.slots()];
        for (number, entry) in (0..).zip(self.subjects.iter()) {
            numbers[entry.id.slot() as usize] = number;
        }
        numbers
    }

    pub(super) fn subjects_mut(&mut self) -> &mut Subjects<A> {
        &mut self.subjects
    }

    pub(super) fn has_sample(&self, sample: SampleId) -> bool {
        self.row_of(sample).is_some()
    }

    pub(super) fn has_no_sample(&self, id: SubjectId) -> bool {
        self.subjects.get(id).is_none_or(|entry| entry.samples.is_empty())
    }

    /// Shows byte strings that say all that is in the gallery. As a set they depend on its content
    /// alone, not on the order in which it came about.
    pub fn digest_parts(&self, mut show: impl FnMut(&[u8])) {
        let Binding { model, space, dimensions } = &self.binding;
        show(format!("{model} {space} {dimensions} {}", self.next_sample).as_bytes());
        let mut part = Zeroizing::new(Vec::new());
        self.each_sample(|Sample { subject, sample, vector }| {
            part.clear();
            part.extend_from_slice(&sample.0.to_le_bytes());
            part.extend_from_slice(&(subject.len() as u64).to_le_bytes());
            part.extend_from_slice(subject);
            part.extend_from_slice(vector);
            show(&part);
        });
    }

    /// All rows as they are now, for a search on any thread. Costs no copy of them.
    pub fn snapshot(&self) -> Snapshot<A> {
        Snapshot::new(self.binding.dimensions, self.chunks.clone())
    }

    /// Bytes that the gallery takes, what its allocator adds to them included.
    pub fn memory_usage(&self) -> usize {
        let size = |chunk: &Arc<Chunk<A>>| -> usize {
            let parts = [chunk.allocations().as_slice(), &[size_of::<Chunk<A>>() + 16]].concat();
            parts.into_iter().map(allocated).sum()
        };
        // All but the last are full, and so of one size.
        let full = self.chunks.len().saturating_sub(1);
        let chunks =
            self.chunks.first().map_or(0, size) * full + self.chunks.last().map_or(0, size);
        let list = allocated(self.chunks.capacity() * size_of::<Arc<Chunk<A>>>());
        let subjects: usize = self.subjects.allocations().into_iter().map(allocated).sum();
        size_of::<Self>()
            + chunks
            + list
            + subjects
            + self.subjects.held()
            + allocated(self.by_sample.allocation_size())
            + allocated(self.binding.model.capacity())
    }

    pub(super) fn check_dimensions(&self, vector: &UnitVector) -> Result<(), GalleryError> {
        let expected = self.binding.dimensions;
        let found = vector.dimensions();
        if found == expected { Ok(()) } else { Err(GalleryError::Dimensions { expected, found }) }
    }

    fn row_of(&self, sample: SampleId) -> Option<u32> {
        let hash = self.hasher.hash_one(sample.0);
        self.by_sample.find(hash, |&row| self.owner(row).sample == sample).copied()
    }

    fn owner(&self, row: u32) -> Owner {
        owner_in(&self.chunks, self.rows_per_chunk, row)
    }

    fn owner_of_row(&self, row: u32) -> Option<&[u8]> {
        self.subject_name(self.owner(row).subject)
    }

    fn has_row(&self, row: u32, vector: &UnitVector) -> bool {
        let (chunk, row) = self.place(row);
        let stored = self.chunks[chunk].row(row).iter().flat_map(|line| line.0);
        // By their bits, as the digest sees them.
        stored.zip(vector.as_slice()).all(|(stored, new)| stored.to_bits() == new.to_bits())
    }

    fn place(&self, row: u32) -> (usize, usize) {
        (row as usize / self.rows_per_chunk, row as usize % self.rows_per_chunk)
    }

    fn push_row(&mut self, vector: &[f32], owner: Owner) {
        let rows_per_chunk = self.rows_per_chunk;
        match self.chunks.last_mut() {
            Some(last) if last.rows() < rows_per_chunk => {
                if !last.has_room() {
                    *last = Arc::new(last.grown());
                }
            }
            _ => {
                let lines_per_row = lines_per_row(self.binding.dimensions);
                self.chunks.push(Arc::new(Chunk::with_room(lines_per_row, 1)));
            }
        }
        if let Some(last) = self.chunks.last_mut() {
            Arc::make_mut(last).push(vector, owner);
        }
    }

    /// Moves the last row into the place of this one.
    fn remove_row(&mut self, row: u32) {
        let hash = self.hasher.hash_one(self.owner(row).sample.0);
        if let Ok(entry) = self.by_sample.find_entry(hash, |&entry| entry == row) {
            entry.remove();
        }
        // The entry is out of the table already.
        let last = self.by_sample.len() as u32;
        if row != last {
            let hash = self.hasher.hash_one(self.owner(last).sample.0);
            if let Some(entry) = self.by_sample.find_mut(hash, |&entry| entry == last) {
                *entry = row;
            }
        }
        let (chunk, row) = self.place(row);
        let (last_chunk, last) = self.place(last);
        if chunk == last_chunk {
            let chunk = Arc::make_mut(&mut self.chunks[chunk]);
            if row != last {
                chunk.replace_within(row, last);
            }
            chunk.pop();
        } else {
            let (before, after) = self.chunks.split_at_mut(last_chunk);
            let owner = after[0].owners()[last];
            Arc::make_mut(&mut before[chunk]).replace(row, after[0].row(last), owner);
            Arc::make_mut(&mut after[0]).pop();
        }
        if self.chunks[last_chunk].rows() == 0 {
            self.chunks.pop();
        }
    }
}

impl<A: Memory> Clone for Gallery<A> {
    /// Shares the rows until either of both is changed. What is forgotten in one stays in the other.
    fn clone(&self) -> Gallery<A> {
        Gallery {
            binding: self.binding.clone(),
            next_sample: self.next_sample,
            subjects: self.subjects.clone(),
            rows_per_chunk: self.rows_per_chunk,
            chunks: self.chunks.clone(),
            by_sample: self.by_sample.clone(),
            hasher: self.hasher.clone(),
        }
    }
}

fn owner_in<A: Memory>(chunks: &[Arc<Chunk<A>>], rows_per_chunk: usize, row: u32) -> Owner {
    chunks[row as usize / rows_per_chunk].owners()[row as usize % rows_per_chunk]
}
