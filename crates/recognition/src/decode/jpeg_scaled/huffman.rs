//! Huffman tables, made for speed: several bits are looked up at once.

use super::bits::{Bits, signed};
use super::undecodable::Undecodable;

/// Bits of the tables of codes and of coefficients.
const WINDOW: u32 = 10;
/// Bits of the table for skipping.
const SKIP_WINDOW: u32 = 12;
/// An advance that leads out of the block: its end.
const END: u32 = 0x80;
/// An advance that leads out of the block: the window was too small.
const LONG: u32 = 0xff;

/// A code as a file defines it: how many codes there are of 1 to 16 bits, and what they stand for.
#[derive(Clone, Copy)]
pub(super) struct Definition<'a> {
    pub counts: &'a [u8; 16],
    pub symbols: &'a [u8],
}

/// A code, ready to read symbols.
pub(super) struct HuffmanCode<'a> {
    /// For each window that starts with a short code: its length << 8 | the symbol. Else 0.
    short: Box<[u16; 1 << WINDOW]>,
    /// For each length: the first code that is longer, as 16 bits, and the place of the symbol of
    /// code 0, if all codes had this length.
    lengths: [(u32, i32); 17],
    symbols: &'a [u8],
}

impl<'a> HuffmanCode<'a> {
    pub fn new(definition: Definition<'a>) -> Result<Self, Undecodable> {
        let Definition { counts, symbols } = definition;
        let mut short = Box::new([0; 1 << WINDOW]);
        let mut lengths = [(0, 0); 17];
        let (mut code, mut place) = (0u32, 0usize);
        for (length, &count) in (1u32..).zip(counts) {
            code <<= 1;
            lengths[length as usize].1 = place as i32 - code as i32;
            for &symbol in symbols.get(place..place + usize::from(count)).ok_or(Undecodable)? {
                if length <= WINDOW {
                    let spare = WINDOW - length;
                    let windows = (code << spare) as usize..((code + 1) << spare) as usize;
                    let entries = short.get_mut(windows).ok_or(Undecodable)?;
                    entries.fill((length as u16) << 8 | u16::from(symbol));
                }
                code += 1;
            }
            if code > 1 << length {
                return Err(Undecodable);
            }
            place += usize::from(count);
            lengths[length as usize].0 = code << (16 - length);
        }
        Ok(Self { short, lengths, symbols })
    }

    /// Takes one code, of 1 to 16 bits that are ready.
    #[inline(always)]
    pub fn symbol(&self, bits: &mut Bits) -> Result<u8, Undecodable> {
        let entry = self.short[bits.peek(WINDOW)];
        if entry == 0 {
            return self.long_symbol(bits);
        }
        bits.skip(u32::from(entry >> 8));
        Ok(entry as u8)
    }

    #[cold]
    fn long_symbol(&self, bits: &mut Bits) -> Result<u8, Undecodable> {
        let window = bits.peek(16) as u32;
        for (length, &(end, offset)) in (1u32..).zip(&self.lengths[1..]) {
            if window < end {
                bits.skip(length);
                let place = (window >> (16 - length)) as i32 + offset;
                return self.symbols.get(place as usize).copied().ok_or(Undecodable);
            }
        }
        Err(Undecodable)
    }
}

/// The code of AC coefficients, with those that are short known at a glance.
pub(super) struct Values<'a> {
    pub code: HuffmanCode<'a>,
    /// For each window: value << 16 | zeros before it << 8 | bits, of a coefficient that fits.
    entries: Box<[u32; 1 << WINDOW]>,
}

impl<'a> Values<'a> {
    pub fn new(definition: Definition<'a>) -> Result<Self, Undecodable> {
        let code = HuffmanCode::new(definition)?;
        let mut entries = Box::new([0; 1 << WINDOW]);
        for (window, entry) in (0u32..).zip(entries.iter_mut()) {
            *entry = value_entry(&code, window);
        }
        Ok(Self { code, entries })
    }

    /// Takes a coefficient, if it and its zeros are short; at least 10 bits are ready. Its position
    /// if the next one is `position`, below 64, and its value.
    #[inline(always)]
    pub fn short_value(&self, bits: &mut Bits, position: usize) -> Option<(usize, i32)> {
        let entry = self.entries[bits.peek(WINDOW)];
        let place = position + (entry >> 8 & 0xff) as usize;
        if place > 63 {
            return None;
        }
        bits.skip(entry & 0xff);
        Some((place, entry as i32 >> 16))
    }
}

/// The code of a sequential picture's AC coefficients.
pub(super) struct Coefficients<'a> {
    values: Values<'a>,
    /// For each window: bits << 8 | coefficients, of all whose codes are in it.
    skips: Box<[u16; 1 << SKIP_WINDOW]>,
}

impl<'a> Coefficients<'a> {
    pub fn new(definition: Definition<'a>) -> Result<Self, Undecodable> {
        let values = Values::new(definition)?;
        let mut skips = Box::new([0; 1 << SKIP_WINDOW]);
        for (window, entry) in (0u32..).zip(skips.iter_mut()) {
            *entry = skip_entry(&values.code, window);
        }
        Ok(Self { values, skips })
    }

    /// Reads coefficients from `position` on, in zigzag order, and hands each with its position to
    /// `keep`, until the position is above `last`. What is the next position? 64 after the end of
    /// the block.
    #[inline(always)]
    pub fn read(
        &self,
        bits: &mut Bits,
        last: usize,
        mut keep: impl FnMut(usize, i32),
    ) -> Result<usize, Undecodable> {
        let mut position = 1;
        while position <= last {
            bits.refill();
            if let Some((place, value)) = self.values.short_value(bits, position) {
                keep(place, value);
                position = place + 1;
                continue;
            }
            match self.read_one(bits, position)? {
                Some((place, value)) => {
                    keep(place, value);
                    position = place + 1;
                }
                None => return Ok(64),
            }
        }
        Ok(position)
    }

    /// Takes what remains of a block.
    #[inline(always)]
    pub fn skip(&self, bits: &mut Bits, mut position: usize) -> Result<(), Undecodable> {
        while position < 64 {
            bits.refill();
            let entry = u32::from(self.skips[bits.peek(SKIP_WINDOW)]);
            let next = position + (entry & 0xff) as usize;
            if next < 64 {
                bits.skip(entry >> 8);
                position = next;
                continue;
            }
            let advance = entry & 0xff;
            if advance != LONG && advance >= END && position + ((advance - END) as usize) < 64 {
                bits.skip(entry >> 8);
                return Ok(());
            }
            match self.read_one(bits, position)? {
                Some((place, _)) => position = place + 1,
                None => return Ok(()),
            }
        }
        Ok(())
    }

    /// One coefficient with its place, or the end of the block.
    #[inline]
    fn read_one(
        &self,
        bits: &mut Bits,
        position: usize,
    ) -> Result<Option<(usize, i32)>, Undecodable> {
        let symbol = self.values.code.symbol(bits)?;
        let (zeros, size) = (usize::from(symbol >> 4), u32::from(symbol & 0xf));
        if size == 0 && zeros < 15 {
            return Ok(None);
        }
        let place = position + zeros;
        if place > 63 {
            return Err(Undecodable);
        }
        Ok(Some((place, bits.take_signed(size))))
    }
}

fn value_entry(code: &HuffmanCode, window: u32) -> u32 {
    let short = u32::from(code.short[window as usize]);
    let (length, zeros, size) = (short >> 8, short >> 4 & 0xf, short & 0xf);
    if short == 0 || length + size > WINDOW || size == 0 && zeros < 15 {
        return LONG << 8;
    }
    let bits = (window >> (WINDOW - length - size)) & ((1 << size) - 1);
    (signed(bits as i32, size) as u32) << 16 | zeros << 8 | (length + size)
}

fn skip_entry(code: &HuffmanCode, window: u32) -> u16 {
    let (mut bits, mut advance) = (0, 0);
    while bits < SKIP_WINDOW {
        // What the window no longer holds are zeros here; they must not be part of the code.
        let rest = window << bits & ((1 << SKIP_WINDOW) - 1);
        let short = u32::from(code.short[(rest >> (SKIP_WINDOW - WINDOW)) as usize]);
        let (length, zeros, size) = (short >> 8, short >> 4 & 0xf, short & 0xf);
        if short == 0 || bits + length > SKIP_WINDOW || advance + zeros >= 64 {
            break;
        }
        bits += length + size;
        if size == 0 && zeros < 15 {
            advance |= END;
            break;
        }
        advance += zeros + 1;
    }
    if bits == 0 { LONG as u16 } else { (bits << 8 | advance) as u16 }
}
