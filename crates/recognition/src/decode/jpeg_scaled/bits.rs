//! The bits of entropy-coded data: stuffed zeros are taken out of a whole interval at once, so that
//! reading needs no look at single bytes.

use super::undecodable::Undecodable;
use crate::decode::jpeg_stream::find_ff;

/// Entropy-coded data, cut at its restart markers.
pub(super) struct Intervals<'a> {
    rest: &'a [u8],
    next_number: u8,
}

impl<'a> Intervals<'a> {
    pub fn new(pixels: &'a [u8]) -> Self {
        Self { rest: pixels, next_number: 0 }
    }

    /// The bits up to the next restart marker, whose number must be the right one, or to the end.
    /// They are kept in `storage`.
    pub fn next<'b>(&mut self, storage: &'b mut Vec<u8>) -> Result<Bits<'b>, Undecodable> {
        storage.clear();
        loop {
            let Some(position) = find_ff(self.rest) else {
                storage.extend_from_slice(self.rest);
                self.rest = &[];
                break;
            };
            let (bytes, rest) = self.rest.split_at(position);
            storage.extend_from_slice(bytes);
            match rest.get(1) {
                Some(0) => {
                    storage.push(0xff);
                    self.rest = &rest[2..];
                }
                Some(0xff) => self.rest = &rest[1..], // a fill byte
                Some(&marker) if marker == 0xd0 + self.next_number => {
                    self.next_number = (self.next_number + 1) % 8;
                    self.rest = &rest[2..];
                    break;
                }
                Some(_) => return Err(Undecodable),
                None => self.rest = &[],
            }
        }
        Ok(Bits::new(storage))
    }

    /// Has the last interval been taken?
    pub fn is_at_end(&self) -> bool {
        self.rest.is_empty()
    }
}

/// Reads bits, the highest of a byte first; behind the end come zeros, see [`Bits::check`].
pub(super) struct Bits<'a> {
    bytes: &'a [u8],
    /// Of the next byte to load.
    position: usize,
    /// The next bits, from the highest down. Below the `count` valid ones stand more bits of the
    /// data, or zeros.
    buffer: u64,
    count: u32,
}

impl<'a> Bits<'a> {
    pub fn new(bytes: &'a [u8]) -> Self {
        Self { bytes, position: 0, buffer: 0, count: 0 }
    }

    /// Makes at least 56 bits ready.
    #[inline(always)]
    pub fn refill(&mut self) {
        let word = match self.bytes.get(self.position..).and_then(<[u8]>::first_chunk::<8>) {
            Some(bytes) => u64::from_be_bytes(*bytes),
            None => self.last_word(),
        };
        self.buffer |= word >> self.count;
        self.position += ((63 - self.count) >> 3) as usize;
        self.count |= 56;
    }

    #[cold]
    fn last_word(&self) -> u64 {
        let rest = self.bytes.get(self.position..).unwrap_or_default();
        let mut word = [0; 8];
        word[..rest.len()].copy_from_slice(rest);
        u64::from_be_bytes(word)
    }

    /// The next bits without taking them: 1 to 16, that are ready.
    #[inline(always)]
    pub fn peek(&self, count: u32) -> usize {
        (self.buffer >> (64 - count)) as usize
    }

    /// Takes bits that are ready.
    #[inline(always)]
    pub fn skip(&mut self, count: u32) {
        self.buffer <<= count;
        self.count -= count;
    }

    /// Takes 0 to 16 bits that are ready.
    #[inline(always)]
    pub fn take(&mut self, count: u32) -> i32 {
        let bits = (self.buffer >> 1 >> (63 - count)) as i32;
        self.skip(count);
        bits
    }

    /// Takes any number of bits, ready or not.
    pub fn skip_many(&mut self, mut count: u32) {
        while count > 0 {
            self.refill();
            let part = count.min(56);
            self.skip(part);
            count -= part;
        }
    }

    /// Takes a number of that many bits that are ready, 0 to 16, where numbers without their highest
    /// bit are negative (EXTEND of the standard).
    #[inline(always)]
    pub fn take_signed(&mut self, size: u32) -> i32 {
        signed(self.take(size), size)
    }

    /// Have more bits been taken than there were?
    pub fn check(&self) -> Result<(), Undecodable> {
        let taken = self.position * 8 - self.count as usize;
        if taken > self.bytes.len() * 8 { Err(Undecodable) } else { Ok(()) }
    }

    /// Is there a whole byte that nobody took?
    pub fn has_more(&self) -> bool {
        let taken = self.position * 8 - self.count as usize;
        taken + 8 <= self.bytes.len() * 8
    }
}

/// The number that `size` bits stand for.
#[inline(always)]
pub(super) fn signed(bits: i32, size: u32) -> i32 {
    let is_negative = bits < (1 << size) >> 1;
    if is_negative { bits - (1 << size) + 1 } else { bits }
}
