//! The subjects of a gallery, found by name and by id, with their samples.

use std::hash::{BuildHasher, RandomState};

use allocator_api2::vec::Vec;
use hashbrown::HashTable;
use hashbrown::hash_table::Entry;
use zeroize::Zeroize;

use super::allocation::{Memory, allocated};
use super::ids::{SampleId, SubjectId};

/// A subject has a slot. Its id holds the slot's number and how often the slot was used before.
pub struct Subjects<A: Memory> {
    slots: Vec<Slot<A>, A>,
    free: Vec<u32, A>,
    by_name: HashTable<u32, A>,
    hasher: RandomState,
    /// Bytes of the allocations of names and lists of samples.
    held: usize,
}

#[derive(Clone)]
struct Slot<A: Memory> {
    generation: u32,
    subject: Option<Subject<A>>,
}

pub struct Subject<A: Memory> {
    name: Vec<u8, A>,
    /// Ascending.
    samples: Vec<SampleId, A>,
}

/// One subject of a listing.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct SubjectEntry<'a> {
    pub id: SubjectId,
    pub name: &'a [u8],
    pub samples: &'a [SampleId],
}

/// Part of a listing.
#[derive(Debug)]
pub struct Page<'a> {
    pub subjects: std::vec::Vec<SubjectEntry<'a>>,
    /// Where the next page begins, none after the last.
    pub next: Option<u64>,
}

impl SubjectId {
    fn new(slot: u32, generation: u32) -> SubjectId {
        SubjectId(u64::from(generation) << 32 | u64::from(slot))
    }

    pub(super) fn slot(self) -> u32 {
        self.0 as u32
    }

    fn generation(self) -> u32 {
        (self.0 >> 32) as u32
    }
}

impl<A: Memory> Subjects<A> {
    pub fn new() -> Subjects<A> {
        Subjects {
            slots: Vec::new_in(A::default()),
            free: Vec::new_in(A::default()),
            by_name: HashTable::new_in(A::default()),
            hasher: RandomState::new(),
            held: 0,
        }
    }

    pub fn count(&self) -> usize {
        self.by_name.len()
    }

    pub fn find(&self, name: &[u8]) -> Option<SubjectId> {
        let hash = self.hasher.hash_one(name);
        let slot = *self.by_name.find(hash, |&slot| name_in(&self.slots, slot) == name)?;
        Some(SubjectId::new(slot, self.slots[slot as usize].generation))
    }

    pub fn get(&self, id: SubjectId) -> Option<SubjectEntry<'_>> {
        let slot = self.slots.get(id.slot() as usize)?;
        let subject = slot.subject.as_ref().filter(|_| slot.generation == id.generation())?;
        Some(SubjectEntry { id, name: &subject.name, samples: &subject.samples })
    }

    /// The subject of this name, made if there is none.
    pub fn find_or_add(&mut self, name: &[u8]) -> SubjectId {
        let Subjects { slots, free, by_name, hasher, held } = self;
        let entry = by_name.entry(
            hasher.hash_one(name),
            |&slot| name_in(slots, slot) == name,
            |&slot| hasher.hash_one(name_in(slots, slot)),
        );
        let vacant = match entry {
            Entry::Occupied(found) => {
                let slot = *found.get();
                return SubjectId::new(slot, slots[slot as usize].generation);
            }
            Entry::Vacant(vacant) => vacant,
        };
        let mut own_name = Vec::with_capacity_in(name.len(), A::default());
        own_name.extend_from_slice(name);
        let subject = Subject { name: own_name, samples: Vec::new_in(A::default()) };
        *held += subject.held();
        let slot = match free.pop() {
            Some(slot) => {
                slots[slot as usize].subject = Some(subject);
                slot
            }
            None => {
                slots.push(Slot { generation: 0, subject: Some(subject) });
                (slots.len() - 1) as u32
            }
        };
        vacant.insert(slot);
        SubjectId::new(slot, slots[slot as usize].generation)
    }

    /// Adds a sample to a subject that is there.
    pub fn add_sample(&mut self, id: SubjectId, sample: SampleId) {
        let Some(subject) = self.subject_mut(id) else { return };
        let before = subject.held();
        if let Err(place) = subject.samples.binary_search(&sample) {
            subject.samples.insert(place, sample);
        }
        let after = subject.held();
        self.held = self.held - before + after;
    }

    /// Removes a sample, and its subject with the last one. Whether the subject is gone.
    pub fn remove_sample(&mut self, id: SubjectId, sample: SampleId) -> bool {
        let Some(subject) = self.subject_mut(id) else { return true };
        if let Ok(place) = subject.samples.binary_search(&sample) {
            subject.samples.remove(place);
        }
        if !subject.samples.is_empty() {
            return false;
        }
        self.remove(id);
        true
    }

    fn remove(&mut self, id: SubjectId) {
        let Subjects { slots, free, by_name, hasher, held } = self;
        let hash = hasher.hash_one(name_in(slots, id.slot()));
        if let Ok(entry) = by_name.find_entry(hash, |&slot| slot == id.slot()) {
            entry.remove();
        }
        let slot = &mut slots[id.slot() as usize];
        if let Some(subject) = slot.subject.take() {
            *held -= subject.held();
        }
        // A slot that has used up its generations is left alone.
        if let Some(next) = slot.generation.checked_add(1) {
            slot.generation = next;
            free.push(id.slot());
        }
    }

    /// All subjects, in the order of their slots.
    pub fn iter(&self) -> impl Iterator<Item = SubjectEntry<'_>> {
        self.beginning_at(0)
    }

    fn beginning_at(&self, first: usize) -> impl Iterator<Item = SubjectEntry<'_>> {
        self.slots.iter().enumerate().skip(first).filter_map(|(place, slot)| {
            let id = SubjectId::new(place as u32, slot.generation);
            let subject = slot.subject.as_ref()?;
            Some(SubjectEntry { id, name: &subject.name, samples: &subject.samples })
        })
    }

    /// As many slots as there are, those without a subject included.
    pub fn slots(&self) -> usize {
        self.slots.len()
    }

    /// At most `limit` subjects from the place `cursor` on, which is 0 or what the last page gave.
    /// A subject that is there all the while is listed once, whatever else comes and goes.
    pub fn page(&self, cursor: u64, limit: usize) -> Page<'_> {
        let first = usize::try_from(cursor).unwrap_or(usize::MAX);
        let mut rest = self.beginning_at(first).peekable();
        let subjects = rest.by_ref().take(limit.max(1)).collect();
        Page { subjects, next: rest.peek().map(|next| next.id.slot().into()) }
    }

    /// Bytes of all allocations but those of names and lists.
    pub fn allocations(&self) -> [usize; 3] {
        [
            self.slots.capacity() * size_of::<Slot<A>>(),
            self.free.capacity() * size_of::<u32>(),
            self.by_name.allocation_size(),
        ]
    }

    /// Bytes of the allocations of names and lists.
    pub fn held(&self) -> usize {
        self.held
    }

    fn subject_mut(&mut self, id: SubjectId) -> Option<&mut Subject<A>> {
        let slot = self.slots.get_mut(id.slot() as usize)?;
        slot.subject.as_mut().filter(|_| slot.generation == id.generation())
    }
}

impl<A: Memory> Clone for Subjects<A> {
    fn clone(&self) -> Subjects<A> {
        let mut copy = Subjects {
            slots: self.slots.clone(),
            free: self.free.clone(),
            by_name: self.by_name.clone(),
            hasher: self.hasher.clone(),
            held: 0,
        };
        copy.held = copy.slots.iter().flat_map(|slot| &slot.subject).map(Subject::held).sum();
        copy
    }
}

impl<A: Memory> Subject<A> {
    fn held(&self) -> usize {
        allocated(self.name.capacity()) + allocated(self.samples.capacity() * size_of::<SampleId>())
    }
}

impl<A: Memory> Clone for Subject<A> {
    fn clone(&self) -> Subject<A> {
        Subject { name: self.name.clone(), samples: self.samples.clone() }
    }
}

impl<A: Memory> Drop for Subject<A> {
    fn drop(&mut self) {
        self.name.as_mut_slice().zeroize();
    }
}

fn name_in<A: Memory>(slots: &[Slot<A>], slot: u32) -> &[u8] {
    slots.get(slot as usize).and_then(|slot| slot.subject.as_ref()).map_or(&[], |it| &it.name)
}
