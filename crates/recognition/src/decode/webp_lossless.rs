//! How much memory the coding trees of lossless WebP data take, without keeping them.
//!
//! A short file can make image-webp 0.2.4 reserve gigabytes for them, so everything before the pixels is
//! read here first. The names follow the specification, "WebP Lossless Bitstream"; what image-webp would
//! refuse may pass here, as it refuses it later.

use crate::error::RecognitionError;

pub(super) const CODE_LENGTH_ORDER: [usize; 19] =
    [17, 18, 0, 1, 2, 3, 4, 5, 16, 6, 7, 8, 9, 10, 11, 12, 13, 14, 15];
const LONGEST_CODE: usize = 15;
const LITERALS: usize = 256;
const LENGTH_CODES: usize = 24;
const DISTANCE_CODES: usize = 40;

/// Sizes within image-webp: a group of five trees (tripled, as the list of them grows by doubling),
/// an allocation's overhead, a node of a tree, an entry of its table and how many bits of a code
/// the table covers.
const BYTES_OF_GROUP: u64 = 3 * 5 * 64;
const BYTES_OF_ALLOCATION: u64 = 32;
const BYTES_OF_NODE: u64 = 16;
const BYTES_OF_TABLE_ENTRY: u64 = 4;
const TABLE_BITS: usize = 10;

/// The bytes of all coding trees of a picture, at most (counting stops beyond `limit`). `bits`
/// starts with the picture's header, or, in an alpha chunk (`has_header` false), behind it.
pub(super) fn tree_memory(
    bits: &[u8],
    width: u32,
    height: u32,
    limit: u64,
    has_header: bool,
) -> Result<u64, RecognitionError> {
    let mut reader = BitReader { bytes: bits, position: 0 };
    if has_header {
        reader.skip(14 + 14 + 1 + 3);
    }
    let measured = measure(&mut reader, width as usize, height as usize, limit);
    measured.ok_or_else(|| {
        RecognitionError::BadImage(
            "the WebP data is damaged or truncated: its coding trees are broken".to_owned(),
        )
    })
}

fn measure(reader: &mut BitReader, width: usize, height: usize, limit: u64) -> Option<u64> {
    let coded_width = skip_transforms(reader, width, height)?;
    let cache_bits = read_cache_bits(reader)?;
    let mut groups = 1;
    if reader.bit()? {
        let block_bits = reader.number(3)? + 2;
        let block_width = coded_width.div_ceil(1 << block_bits);
        let block_height = height.div_ceil(1 << block_bits);
        let group_numbers = read_image(reader, block_width, block_height)?;
        // Red and green are the two bytes of a group's number.
        groups += group_numbers.iter().map(|argb| argb >> 8 & 0xffff).max()?;
    }
    let mut total = u64::from(groups) * BYTES_OF_GROUP;
    for _ in 0..groups {
        for alphabet in alphabets(cache_bits) {
            total += read_code(reader, alphabet)?.memory();
        }
        if total > limit {
            return Some(total);
        }
    }
    Some(total)
}

/// Passes over the transforms; the width of the picture that is coded, smaller if it has few
/// colours.
fn skip_transforms(reader: &mut BitReader, width: usize, height: usize) -> Option<usize> {
    let mut coded_width = width;
    let mut seen = [false; 4];
    while reader.bit()? {
        let kind = reader.number(2)?;
        if std::mem::replace(&mut seen[kind], true) {
            return None;
        }
        match kind {
            0 | 1 => {
                let block_bits = reader.number(3)? + 2;
                let block_width = coded_width.div_ceil(1 << block_bits);
                read_image(reader, block_width, height.div_ceil(1 << block_bits))?;
            }
            2 => {}
            _ => {
                let colours = reader.number(8)? + 1;
                read_image(reader, colours, 1)?;
                let packing_bits = match colours {
                    ..3 => 3,
                    3..5 => 2,
                    5..17 => 1,
                    _ => 0,
                };
                coded_width = coded_width.div_ceil(1 << packing_bits);
            }
        }
    }
    Some(coded_width)
}

fn read_cache_bits(reader: &mut BitReader) -> Option<Option<usize>> {
    if !reader.bit()? {
        return Some(None);
    }
    let bits = reader.number(4)?;
    (1..=11).contains(&bits).then_some(Some(bits))
}

fn alphabets(cache_bits: Option<usize>) -> [usize; 5] {
    let cache_size = cache_bits.map_or(0, |bits| 1 << bits);
    [LITERALS + LENGTH_CODES + cache_size, LITERALS, LITERALS, LITERALS, DISTANCE_CODES]
}

/// A small image inside the picture's data: its pixels as ARGB.
fn read_image(reader: &mut BitReader, width: usize, height: usize) -> Option<Vec<u32>> {
    let count = width * height;
    let cache_bits = read_cache_bits(reader)?;
    let mut cache = vec![0u32; cache_bits.map_or(0, |bits| 1 << bits)];
    let remember = |cache: &mut Vec<u32>, argb: u32| {
        if let Some(bits) = cache_bits {
            cache[(argb.wrapping_mul(0x1e35_a7bd) >> (32 - bits)) as usize] = argb;
        }
    };
    let alphabets = alphabets(cache_bits);
    let green = read_code(reader, alphabets[0])?;
    let red = read_code(reader, alphabets[1])?;
    let blue = read_code(reader, alphabets[2])?;
    let alpha = read_code(reader, alphabets[3])?;
    let distances = read_code(reader, alphabets[4])?;

    let mut pixels: Vec<u32> = Vec::with_capacity(count);
    while pixels.len() < count {
        let symbol = green.read(reader)?;
        if symbol < LITERALS {
            let [red, blue, alpha] = [red.read(reader)?, blue.read(reader)?, alpha.read(reader)?];
            let argb = (alpha << 24 | red << 16 | symbol << 8 | blue) as u32;
            remember(&mut cache, argb);
            pixels.push(argb);
        } else if symbol < LITERALS + LENGTH_CODES {
            let length = read_extended(reader, symbol - LITERALS)?;
            let distance_symbol = distances.read(reader)?;
            let distance = plane_distance(read_extended(reader, distance_symbol)?, width);
            if distance > pixels.len() || length > count - pixels.len() {
                return None;
            }
            for _ in 0..length {
                let argb = pixels[pixels.len() - distance];
                remember(&mut cache, argb);
                pixels.push(argb);
            }
        } else {
            let argb = *cache.get(symbol - LITERALS - LENGTH_CODES)?;
            remember(&mut cache, argb);
            pixels.push(argb);
        }
    }
    Some(pixels)
}

/// A length or distance from its prefix code.
fn read_extended(reader: &mut BitReader, symbol: usize) -> Option<usize> {
    if symbol < 4 {
        return Some(symbol + 1);
    }
    let extra_bits = (symbol - 2) >> 1;
    let offset = (2 + (symbol & 1)) << extra_bits;
    Some(offset + reader.number(extra_bits)? + 1)
}

/// Distances up to 120 name a neighbour by its place in the plane; larger ones count pixels.
fn plane_distance(code: usize, width: usize) -> usize {
    match code.checked_sub(1).and_then(|index| NEIGHBOURS.get(index)) {
        Some(&(left, up)) => {
            let distance = up as i64 * width as i64 + i64::from(left);
            usize::try_from(distance).unwrap_or(1).max(1)
        }
        None => code - NEIGHBOURS.len(),
    }
}

/// A prefix code: how many codes there are of each length, and the symbols in the order of their
/// codes.
struct PrefixCode {
    counts: [u16; LONGEST_CODE + 1],
    symbols: Vec<u16>,
    is_simple: bool,
}

impl PrefixCode {
    fn read(&self, reader: &mut BitReader) -> Option<usize> {
        if let [only] = self.symbols[..] {
            return Some(usize::from(only)); // takes no bits
        }
        let (mut code, mut first, mut index) = (0, 0, 0);
        for &count in &self.counts[1..] {
            code |= i32::from(reader.bit()?);
            let count = i32::from(count);
            if code - first < count {
                return self.symbols.get((index + code - first) as usize).copied().map(usize::from);
            }
            index += count;
            first = (first + count) << 1;
            code <<= 1;
        }
        None
    }

    /// What image-webp takes for it: a table of the first bits, and nodes for longer codes.
    fn memory(&self) -> u64 {
        if self.symbols.len() == 1 {
            return 0;
        }
        if self.is_simple {
            return 2 * BYTES_OF_ALLOCATION + 3 * BYTES_OF_NODE + 2 * BYTES_OF_TABLE_ENTRY;
        }
        let longest = self.counts.iter().rposition(|&count| count != 0).unwrap_or(0);
        let table_entries = 1u64 << longest.min(TABLE_BITS);
        let long_codes: u64 =
            self.counts[TABLE_BITS + 1..].iter().map(|&count| u64::from(count)).sum();
        let nodes = 2 * long_codes;
        2 * BYTES_OF_ALLOCATION + table_entries * BYTES_OF_TABLE_ENTRY + nodes * BYTES_OF_NODE
    }
}

fn read_code(reader: &mut BitReader, alphabet: usize) -> Option<PrefixCode> {
    if reader.bit()? {
        return read_simple_code(reader, alphabet);
    }
    let mut code_lengths = [0; CODE_LENGTH_ORDER.len()];
    let written = reader.number(4)? + 4;
    for &place in CODE_LENGTH_ORDER.iter().take(written) {
        code_lengths[place] = reader.number(3)? as u8;
    }
    let length_code = code_of_lengths(&code_lengths)?;

    let mut remaining = alphabet;
    if reader.bit()? {
        let bits = reader.number(3)? * 2 + 2;
        remaining = reader.number(bits)? + 2;
    }
    let mut lengths = Vec::with_capacity(alphabet);
    let mut previous = 8;
    while lengths.len() < alphabet && remaining > 0 {
        remaining -= 1;
        let symbol = length_code.read(reader)?;
        let (length, times) = match symbol {
            0..=15 => (symbol as u8, 1),
            16 => (previous, reader.number(2)? + 3),
            17 => (0, reader.number(3)? + 3),
            _ => (0, reader.number(7)? + 11),
        };
        if symbol < 16 && length != 0 {
            previous = length;
        }
        if times > alphabet - lengths.len() {
            return None;
        }
        lengths.extend(std::iter::repeat_n(length, times));
    }
    code_of_lengths(&lengths)
}

/// A code of one or two symbols, written out.
fn read_simple_code(reader: &mut BitReader, alphabet: usize) -> Option<PrefixCode> {
    let symbol_count = reader.number(1)? + 1;
    let first_symbol_bits = if reader.bit()? { 8 } else { 1 };
    let mut symbols = vec![reader.number(first_symbol_bits)? as u16];
    let mut counts = [0; LONGEST_CODE + 1];
    if symbol_count == 2 {
        symbols.push(reader.number(8)? as u16);
        counts[1] = 2;
    }
    // Written in 8 bits, a symbol may lie outside of a small alphabet.
    if symbols.iter().any(|symbol| usize::from(*symbol) >= alphabet) {
        return None;
    }
    Some(PrefixCode { counts, symbols, is_simple: true })
}

/// The canonical code of these code lengths, 0 for an unused symbol.
fn code_of_lengths(lengths: &[u8]) -> Option<PrefixCode> {
    let mut counts = [0u16; LONGEST_CODE + 1];
    for &length in lengths.iter().filter(|&&length| length != 0) {
        counts[usize::from(length)] += 1;
    }
    let mut symbols = Vec::new();
    for length in 1..=LONGEST_CODE as u8 {
        if counts[usize::from(length)] == 0 {
            continue;
        }
        let of_this_length = lengths.iter().enumerate().filter(|&(_, &found)| found == length);
        symbols.extend(of_this_length.map(|(symbol, _)| symbol as u16));
    }
    (!symbols.is_empty()).then_some(PrefixCode { counts, symbols, is_simple: false })
}

/// Bits, the lowest of each byte first.
struct BitReader<'a> {
    bytes: &'a [u8],
    position: usize,
}

impl BitReader<'_> {
    fn skip(&mut self, bits: usize) {
        self.position += bits;
    }

    fn bit(&mut self) -> Option<bool> {
        let byte = self.bytes.get(self.position / 8)?;
        let bit = byte >> (self.position % 8) & 1;
        self.position += 1;
        Some(bit == 1)
    }

    fn number(&mut self, bits: usize) -> Option<usize> {
        let mut number = 0;
        for place in 0..bits {
            number |= usize::from(self.bit()?) << place;
        }
        Some(number)
    }
}

/// Neighbours of a pixel by nearness, as (left, up): the first 120 distance codes.
#[rustfmt::skip]
const NEIGHBOURS: [(i8, i8); 120] = [
    (0, 1),  (1, 0),  (1, 1),  (-1, 1), (0, 2),  (2, 0),  (1, 2),  (-1, 2),
    (2, 1),  (-2, 1), (2, 2),  (-2, 2), (0, 3),  (3, 0),  (1, 3),  (-1, 3),
    (3, 1),  (-3, 1), (2, 3),  (-2, 3), (3, 2),  (-3, 2), (0, 4),  (4, 0),
    (1, 4),  (-1, 4), (4, 1),  (-4, 1), (3, 3),  (-3, 3), (2, 4),  (-2, 4),
    (4, 2),  (-4, 2), (0, 5),  (3, 4),  (-3, 4), (4, 3),  (-4, 3), (5, 0),
    (1, 5),  (-1, 5), (5, 1),  (-5, 1), (2, 5),  (-2, 5), (5, 2),  (-5, 2),
    (4, 4),  (-4, 4), (3, 5),  (-3, 5), (5, 3),  (-5, 3), (0, 6),  (6, 0),
    (1, 6),  (-1, 6), (6, 1),  (-6, 1), (2, 6),  (-2, 6), (6, 2),  (-6, 2),
    (4, 5),  (-4, 5), (5, 4),  (-5, 4), (3, 6),  (-3, 6), (6, 3),  (-6, 3),
    (0, 7),  (7, 0),  (1, 7),  (-1, 7), (5, 5),  (-5, 5), (7, 1),  (-7, 1),
    (4, 6),  (-4, 6), (6, 4),  (-6, 4), (2, 7),  (-2, 7), (7, 2),  (-7, 2),
    (3, 7),  (-3, 7), (7, 3),  (-7, 3), (5, 6),  (-5, 6), (6, 5),  (-6, 5),
    (8, 0),  (4, 7),  (-4, 7), (7, 4),  (-7, 4), (8, 1),  (8, 2),  (6, 6),
    (-6, 6), (8, 3),  (5, 7),  (-5, 7), (7, 5),  (-7, 5), (8, 4),  (6, 7),
    (-6, 7), (7, 6),  (-7, 6), (8, 5),  (7, 7),  (-7, 7), (8, 6),  (8, 7)
];

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_simple_code_holds_symbols_of_its_alphabet_only() {
        // Simple, one symbol, in 8 bits: 200.
        let bits = (200u16 << 3 | 0b101).to_le_bytes();
        let read = |alphabet| read_code(&mut BitReader { bytes: &bits, position: 0 }, alphabet);
        assert!(read(LITERALS).is_some());
        assert!(read(DISTANCE_CODES).is_none());
    }
}
