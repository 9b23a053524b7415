//! A block's part of an AC scan of a progressive file.

use super::bits::Bits;
use super::huffman::{HuffmanCode, Values};
use super::undecodable::Undecodable;

/// The part of a block that an AC scan is about.
pub(super) struct Band<'a> {
    pub first: usize,
    pub last: usize,
    /// The bit that the scan comes down to.
    pub low: u32,
    pub places: &'a [u8; 64],
    /// The last coefficient, in zigzag order, that the picture needs.
    pub last_needed: usize,
    pub values: &'a mut [i16],
    pub history: &'a mut u64,
}

impl Band<'_> {
    /// Reads coefficients of which nothing is known. `end_run`: how many blocks have ended here.
    pub fn read_first(
        &mut self,
        bits: &mut Bits,
        code: &Values,
        end_run: &mut i32,
    ) -> Result<(), Undecodable> {
        if *end_run > 0 {
            *end_run -= 1;
            return Ok(());
        }
        let mut position = self.first;
        while position <= self.last {
            bits.refill();
            if let Some((place, value)) = code.short_value(bits, position) {
                // A run of 16 zeros ends with a value of 0.
                if value != 0 {
                    self.set(place, value)?;
                }
                position = place + 1;
                continue;
            }
            let symbol = code.code.symbol(bits)?;
            let (zeros, size) = (u32::from(symbol >> 4), u32::from(symbol & 0xf));
            if size == 0 && zeros < 15 {
                *end_run = (1 << zeros) - 1 + bits.take(zeros);
                return Ok(());
            }
            position += zeros as usize;
            if size != 0 {
                let value = bits.take_signed(size);
                self.set(position, value)?;
            }
            position += 1;
        }
        Ok(())
    }

    /// Reads the next bit of coefficients that are known, and new ones between them.
    pub fn correct(
        &mut self,
        bits: &mut Bits,
        code: &HuffmanCode,
        end_run: &mut i32,
    ) -> Result<(), Undecodable> {
        let mut position = self.first;
        while *end_run == 0 && position <= self.last {
            bits.refill();
            let symbol = code.symbol(bits)?;
            let (zeros, size) = (u32::from(symbol >> 4), u32::from(symbol & 0xf));
            let value = match size {
                0 if zeros < 15 => {
                    *end_run = (1 << zeros) + bits.take(zeros);
                    break;
                }
                0 => 0,
                1 => bits.take(1) * 2 - 1,
                _ => return Err(Undecodable),
            };
            // The place behind that many zeros, past all that is known before.
            let mut unknown = !*self.history & (u64::MAX << position);
            for _ in 0..zeros {
                unknown &= unknown.wrapping_sub(1);
            }
            let place = (unknown.trailing_zeros() as usize).min(self.last + 1);
            self.correct_known(bits, position, place);
            position = place;
            if value != 0 {
                self.set(position, value)?;
            }
            position += 1;
        }
        if *end_run > 0 {
            *end_run -= 1;
            self.correct_known(bits, position, self.last + 1);
        }
        Ok(())
    }

    /// A coefficient that was zero becomes `value`, from the scan's lowest bit on.
    #[inline(always)]
    fn set(&mut self, position: usize, value: i32) -> Result<(), Undecodable> {
        if position > self.last {
            return Err(Undecodable);
        }
        *self.history |= 1 << position;
        if let Some(kept) = self.values.get_mut(usize::from(self.places[position])) {
            *kept = (value << self.low) as i16;
        }
        Ok(())
    }

    /// The known coefficients of some positions, up to 64, get a bit more each.
    fn correct_known(&mut self, bits: &mut Bits, from: usize, to: usize) {
        let below = |end: usize| if end < 64 { (1u64 << end) - 1 } else { u64::MAX };
        let mut known = *self.history & below(to) & !below(from);
        while known != 0 {
            let position = known.trailing_zeros() as usize;
            if position > self.last_needed {
                break;
            }
            known &= known - 1;
            bits.refill();
            let is_larger = bits.take(1) != 0;
            let kept = self.values.get_mut(usize::from(self.places[position]));
            let bit = 1 << self.low;
            if let Some(kept) = kept
                && is_larger
                && *kept & bit == 0
            {
                *kept = kept.wrapping_add(if *kept < 0 { -bit } else { bit });
            }
        }
        bits.skip_many(known.count_ones());
    }
}
