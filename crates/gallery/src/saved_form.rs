//! The form in which a gallery is saved: in an RDB, by DUMP.
//!
//! The number of the form; a header; blocks of subjects' names; blocks of rows; a checksum of the
//! bytes of all of them. Numbers in them are little-endian. What is loaded may be anything: it is
//! checked by its meaning, not only by the checksum, and no count in it is believed before what it
//! counts is there, so that loading takes memory in proportion to what was read.

use std::fmt;

use crc32fast::Hasher;
use zeroize::Zeroizing;

use super::allocation::Memory;
use super::binding::{Binding, Space};
use super::ids::{SampleId, SubjectId};
use super::limits::{MAX_DIMENSIONS, MAX_SUBJECT_NAME};
use super::store::Gallery;
use super::subjects::Subjects;
use super::vector::is_unit_vector;

/// Raised whenever the form changes. It is the data type's encoding version in an RDB.
pub const FORMAT: u64 = 1;

/// A block is written once it is as long as this.
const BLOCK_BYTES: usize = 256 << 10;

/// Where a gallery is saved to.
pub trait Sink {
    fn save_unsigned(&mut self, number: u64);
    fn save_bytes(&mut self, bytes: &[u8]);
}

/// Where a gallery is loaded from. `None` where the source has failed or ended.
pub trait Source {
    type Bytes: AsRef<[u8]>;
    fn load_unsigned(&mut self) -> Option<u64>;
    fn load_bytes(&mut self) -> Option<Self::Bytes>;
}

/// Why what was saved is no gallery.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct FormError(pub &'static str);

impl fmt::Display for FormError {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        formatter.write_str(self.0)
    }
}

impl std::error::Error for FormError {}

const ENDED: FormError = FormError("the gallery's data ends too early");

impl<A: Memory> Gallery<A> {
    /// Saves the gallery. Runs in a forked child too: see the head of `gallery`.
    pub fn encode(&self, sink: &mut impl Sink) {
        sink.save_unsigned(FORMAT);
        let mut blocks = Blocks { sink, checksum: Hasher::new(), block: Zeroizing::default() };
        let Binding { model, space, dimensions } = self.binding();
        blocks.put(&(model.len() as u16).to_le_bytes());
        blocks.put(model.as_bytes());
        blocks.put(&space.0.to_le_bytes());
        blocks.put(&(*dimensions as u32).to_le_bytes());
        blocks.put(&self.next_sample().to_le_bytes());
        blocks.put(&(self.subject_count() as u32).to_le_bytes());
        blocks.put(&(self.sample_count() as u32).to_le_bytes());
        blocks.end_block();
        for name in self.names() {
            blocks.put(&(name.len() as u16).to_le_bytes());
            blocks.put(name);
            blocks.end_long_block();
        }
        blocks.end_block();
        let numbers = self.numbers_of_subjects();
        self.each_row(|owner, vector| {
            blocks.put(&numbers[owner.subject.slot() as usize].to_le_bytes());
            blocks.put(&owner.sample.0.to_le_bytes());
            blocks.put(vector);
            blocks.end_long_block();
        });
        blocks.end_block();
        let checksum = blocks.checksum.finalize();
        sink.save_unsigned(checksum.into());
    }

    /// Loads what [`Gallery::encode`] saved, or refuses what it cannot have saved.
    pub fn decode(source: &mut impl Source) -> Result<Gallery<A>, FormError> {
        if source.load_unsigned().ok_or(ENDED)? != FORMAT {
            return Err(FormError(
                "the gallery was saved in a form that this version does not know",
            ));
        }
        let mut checksum = Hasher::new();
        let mut load_block = || {
            let block = source.load_bytes().ok_or(ENDED)?;
            checksum.update(block.as_ref());
            Ok(block)
        };
        let header = load_block()?;
        let Header { binding, next_sample, subjects, samples } = Header::parse(header.as_ref())?;
        let record = Record { dimensions: binding.dimensions };
        let mut gallery = Gallery::new(binding).map_err(|_| FormError("a bad name of a model"))?;
        gallery.raise_next_sample(next_sample);

        let mut ids = Vec::new();
        while ids.len() < subjects {
            let block = load_block()?;
            load_names(block.as_ref(), subjects, gallery.subjects_mut(), &mut ids)?;
        }
        let mut numbers = Zeroizing::new(Vec::new());
        while gallery.sample_count() < samples {
            let block = load_block()?;
            let rows = record.rows(block.as_ref())?;
            if rows.len() > samples - gallery.sample_count() {
                return Err(FormError("more samples than the gallery says that it has"));
            }
            for row in rows {
                let (subject, sample) = record.parse(row, &mut numbers)?;
                let subject = *ids.get(subject).ok_or(FormError("a sample of no subject"))?;
                if sample.0 == 0 || sample.0 >= next_sample || gallery.has_sample(sample) {
                    return Err(FormError("a sample id that cannot be"));
                }
                if !is_unit_vector(&numbers) {
                    return Err(FormError("an embedding that is not of unit length"));
                }
                gallery.insert(subject, &numbers, sample);
            }
        }
        if ids.iter().any(|&id| gallery.has_no_sample(id)) {
            return Err(FormError("a subject without a sample"));
        }
        if source.load_unsigned().ok_or(ENDED)? != u64::from(checksum.finalize()) {
            return Err(FormError("the gallery's checksum is wrong"));
        }
        Ok(gallery)
    }
}

struct Blocks<'a, S: Sink> {
    sink: &'a mut S,
    checksum: Hasher,
    block: Zeroizing<Vec<u8>>,
}

impl<S: Sink> Blocks<'_, S> {
    fn put(&mut self, bytes: &[u8]) {
        self.block.extend_from_slice(bytes);
    }

    fn end_long_block(&mut self) {
        if self.block.len() >= BLOCK_BYTES {
            self.end_block();
        }
    }

    fn end_block(&mut self) {
        if !self.block.is_empty() {
            self.checksum.update(&self.block);
            self.sink.save_bytes(&self.block);
            self.block.clear();
        }
    }
}

struct Header {
    binding: Binding,
    next_sample: u64,
    subjects: usize,
    samples: usize,
}

impl Header {
    fn parse(bytes: &[u8]) -> Result<Header, FormError> {
        Header::read(bytes).ok_or(FormError("the gallery's header is damaged"))
    }

    fn read(mut bytes: &[u8]) -> Option<Header> {
        let model_length = u16::from_le_bytes(take(&mut bytes)?);
        let (model, mut rest) = bytes.split_at_checked(model_length.into())?;
        let model = str::from_utf8(model).ok()?.to_owned();
        let space = Space(u32::from_le_bytes(take(&mut rest)?));
        let dimensions = u32::from_le_bytes(take(&mut rest)?) as usize;
        let next_sample = u64::from_le_bytes(take(&mut rest)?);
        let subjects = u32::from_le_bytes(take(&mut rest)?) as usize;
        let samples = u32::from_le_bytes(take(&mut rest)?) as usize;
        let sound = rest.is_empty()
            && (1..=MAX_DIMENSIONS).contains(&dimensions)
            && (1..=SampleId::MAX.0 + 1).contains(&next_sample)
            && subjects <= samples
            && (subjects == 0) == (samples == 0)
            && (samples as u64) < next_sample;
        let binding = Binding { model, space, dimensions };
        sound.then_some(Header { binding, next_sample, subjects, samples })
    }
}

fn load_names<A: Memory>(
    mut block: &[u8],
    expected: usize,
    subjects: &mut Subjects<A>,
    ids: &mut Vec<SubjectId>,
) -> Result<(), FormError> {
    if block.is_empty() {
        return Err(FormError("an empty block"));
    }
    while !block.is_empty() {
        let length = take(&mut block).map(u16::from_le_bytes).ok_or(ENDED)?;
        let (name, rest) = block.split_at_checked(length.into()).ok_or(ENDED)?;
        block = rest;
        if name.is_empty() || name.len() > MAX_SUBJECT_NAME {
            return Err(FormError("a name of a subject that is empty or too long"));
        }
        if ids.len() == expected {
            return Err(FormError("more subjects than the gallery says that it has"));
        }
        if subjects.find(name).is_some() {
            return Err(FormError("a subject is there twice"));
        }
        ids.push(subjects.find_or_add(name));
    }
    Ok(())
}

/// One row: the number of its subject, its sample id, its embedding.
struct Record {
    dimensions: usize,
}

impl Record {
    fn rows<'a>(&self, block: &'a [u8]) -> Result<std::slice::ChunksExact<'a, u8>, FormError> {
        let rows = block.chunks_exact(4 + 8 + 4 * self.dimensions);
        if rows.len() == 0 || !rows.remainder().is_empty() {
            return Err(FormError("a block that does not hold whole samples"));
        }
        Ok(rows)
    }

    fn parse(
        &self,
        mut row: &[u8],
        numbers: &mut Vec<f32>,
    ) -> Result<(usize, SampleId), FormError> {
        let subject = take(&mut row).map(u32::from_le_bytes).ok_or(ENDED)?;
        let sample = take(&mut row).map(u64::from_le_bytes).ok_or(ENDED)?;
        numbers.clear();
        numbers.extend(row.as_chunks().0.iter().map(|&number| f32::from_le_bytes(number)));
        Ok((subject as usize, SampleId(sample)))
    }
}

fn take<const N: usize>(bytes: &mut &[u8]) -> Option<[u8; N]> {
    let (taken, rest) = bytes.split_first_chunk()?;
    *bytes = rest;
    Some(*taken)
}
