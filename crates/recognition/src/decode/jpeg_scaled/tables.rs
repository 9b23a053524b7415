//! The tables that segments before a scan define.

use super::huffman::Definition;
use super::undecodable::Undecodable;
use crate::decode::jpeg_stream::{HUFFMAN_TABLES, QUANTISATION_TABLES, RESTART_INTERVAL, Segment};

/// What is defined at some place of a file. There are four tables of each kind.
#[derive(Default)]
pub(super) struct Tables<'a> {
    /// In zigzag order.
    pub quantisation: [Option<[u16; 64]>; 4],
    pub dc: [Option<Definition<'a>>; 4],
    pub ac: [Option<Definition<'a>>; 4],
    /// Units between restart markers, 0 for none.
    pub restart_interval: usize,
}

impl<'a> Tables<'a> {
    /// Takes in one segment.
    pub fn update(&mut self, segment: &Segment<'a>) -> Result<(), Undecodable> {
        match segment.marker {
            HUFFMAN_TABLES => self.define_codes(segment.content),
            QUANTISATION_TABLES => self.define_quantisation(segment.content),
            RESTART_INTERVAL => {
                let interval = <[u8; 2]>::try_from(segment.content).map_err(|_| Undecodable)?;
                self.restart_interval = u16::from_be_bytes(interval).into();
                Ok(())
            }
            _ => Ok(()),
        }
    }

    fn define_codes(&mut self, mut content: &'a [u8]) -> Result<(), Undecodable> {
        while let Some((&kind, rest)) = content.split_first() {
            let (counts, rest) = rest.split_first_chunk::<16>().ok_or(Undecodable)?;
            let symbol_count = counts.iter().map(|&count| usize::from(count)).sum();
            let (symbols, rest) = rest.split_at_checked(symbol_count).ok_or(Undecodable)?;
            let tables = match kind >> 4 {
                0 => &mut self.dc,
                1 => &mut self.ac,
                _ => return Err(Undecodable),
            };
            let table = tables.get_mut(usize::from(kind & 0xf)).ok_or(Undecodable)?;
            *table = Some(Definition { counts, symbols });
            content = rest;
        }
        Ok(())
    }

    fn define_quantisation(&mut self, mut content: &'a [u8]) -> Result<(), Undecodable> {
        while let Some((&kind, rest)) = content.split_first() {
            let table = self.quantisation.get_mut(usize::from(kind & 0xf)).ok_or(Undecodable)?;
            let (values, rest) = match kind >> 4 {
                0 => {
                    let (bytes, rest) = rest.split_first_chunk::<64>().ok_or(Undecodable)?;
                    (bytes.map(u16::from), rest)
                }
                1 => {
                    let (bytes, rest) = rest.split_first_chunk::<128>().ok_or(Undecodable)?;
                    let pairs = bytes.as_chunks::<2>().0;
                    (std::array::from_fn(|index| u16::from_be_bytes(pairs[index])), rest)
                }
                _ => return Err(Undecodable),
            };
            *table = Some(values);
            content = rest;
        }
        Ok(())
    }
}

/// The header of a scan.
pub(super) struct ScanHeader {
    /// Of each component in the scan: its place in the frame, its DC and its AC table.
    pub components: Vec<(usize, usize, usize)>,
    /// The first and the last coefficient, in zigzag order.
    pub band: (usize, usize),
    /// The bit that earlier scans came down to, 0 if there were none, and the one it comes down to.
    pub bits: (u32, u32),
}

impl ScanHeader {
    /// Reads the header of a scan in a frame of components with these ids.
    pub fn read(content: &[u8], ids: &[u8]) -> Result<Self, Undecodable> {
        let (&count, rest) = content.split_first().ok_or(Undecodable)?;
        let (selectors, rest) = rest.split_at_checked(usize::from(count) * 2).ok_or(Undecodable)?;
        let &[first, last, bits] = rest else { return Err(Undecodable) };
        let mut components = Vec::with_capacity(ids.len());
        for &[id, tables] in selectors.as_chunks::<2>().0 {
            let place = ids.iter().position(|&known| known == id).ok_or(Undecodable)?;
            // In the frame's order, none twice: so the standard wants it.
            if components.last().is_some_and(|&(before, _, _)| before >= place) {
                return Err(Undecodable);
            }
            components.push((place, usize::from(tables >> 4), usize::from(tables & 0xf)));
        }
        if components.is_empty() {
            return Err(Undecodable);
        }
        Ok(Self {
            components,
            band: (first.into(), last.into()),
            bits: (u32::from(bits >> 4), u32::from(bits & 0xf)),
        })
    }
}

/// The table of that number.
pub(super) fn defined<T: Copy>(tables: &[Option<T>; 4], number: usize) -> Result<T, Undecodable> {
    tables.get(number).copied().flatten().ok_or(Undecodable)
}
