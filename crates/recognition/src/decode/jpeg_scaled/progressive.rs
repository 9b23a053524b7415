//! Progressive files: scan by scan into the coefficients that are needed, then to RGB. Scans that
//! no needed coefficient depends on are not even read, so what is wrong with them stays unnoticed.

use super::band::Band;
use super::bits::Intervals;
use super::huffman::{HuffmanCode, Values};
use super::picture::{Picture, Plane};
use super::tables::{ScanHeader, Tables, defined};
use super::undecodable::Undecodable;
use crate::decode::jpeg_stream::{QUANTISATION_TABLES, START_OF_SCAN, Segment};

/// The coefficients of a component.
struct StoredCoefficients {
    /// Those of a block that are needed, block by block, as they are placed in the plane's blocks.
    values: Vec<i16>,
    /// For each block a bit for each coefficient, in zigzag order: is it known not to be zero?
    /// Corrections come for these, needed or not. Empty if no AC coefficient is needed.
    history: Vec<u64>,
    /// Needed coefficients of a block.
    length: usize,
    /// Blocks in a row.
    stride: usize,
    /// Blocks across and down that a scan of the component alone has.
    alone: (usize, usize),
}

/// Bytes of the coefficients.
pub(super) fn memory(picture: &Picture) -> u64 {
    let bytes = |plane: &Plane| {
        let history = if plane.last == 0 { 0 } else { 8 };
        block_count(picture, plane) * (plane.length() * 2 + history)
    };
    picture.planes.iter().map(bytes).sum::<usize>() as u64
}

fn block_count(picture: &Picture, plane: &Plane) -> usize {
    picture.units.0 * picture.units.1 * plane.blocks_across * plane.blocks_down
}

/// Decodes all that is needed.
pub(super) fn decode(picture: &mut Picture, segments: &[Segment]) -> Result<Vec<u8>, Undecodable> {
    let ids: Vec<u8> = picture.planes.iter().map(|plane| plane.component.id).collect();
    let scans = segments.iter().filter(|segment| segment.marker == START_OF_SCAN);
    let headers = scans.map(|scan| ScanHeader::read(scan.content, &ids));
    let headers: Vec<ScanHeader> = headers.collect::<Result<_, _>>()?;
    let needed = needed_scans(picture, &headers)?;
    let mut headers = headers.iter().zip(needed);

    let mut stored: Vec<StoredCoefficients> = Vec::with_capacity(ids.len());
    let longest_scan = segments.iter().map(|segment| segment.pixels.len()).max();
    let mut storage = Vec::with_capacity(longest_scan.unwrap_or(0));
    let mut tables = Tables::default();
    for segment in segments {
        // The standard lets a table change between scans, but hardly anybody does.
        if segment.marker == QUANTISATION_TABLES && !stored.is_empty() {
            return Err(Undecodable);
        }
        tables.update(segment)?;
        if segment.marker != START_OF_SCAN {
            continue;
        }
        if stored.is_empty() {
            picture.prepare(&tables)?;
            stored
                .extend(picture.planes.iter().map(|plane| StoredCoefficients::new(picture, plane)));
        }
        let Some((header, is_needed)) = headers.next() else { break };
        if is_needed {
            let scan = Scan { picture, header, tables: &tables };
            scan.read(segment.pixels, &mut storage, &mut stored)?;
        }
    }
    drop(storage);
    Ok(render(picture, &stored))
}

/// Which scans must be read? Those with a coefficient that the picture needs, and those that such a
/// scan corrects.
fn needed_scans(picture: &Picture, headers: &[ScanHeader]) -> Result<Vec<bool>, Undecodable> {
    let mut last: Vec<usize> = picture.planes.iter().map(|plane| plane.last).collect();
    let mut needed = vec![false; headers.len()];
    for (header, needed) in headers.iter().zip(&mut needed).rev() {
        let (first, end) = header.band;
        let (high, low) = header.bits;
        let is_dc = first == 0 && end == 0;
        let is_ac = first > 0 && first <= end && end < 64 && header.components.len() == 1;
        if !is_dc && !is_ac || low > 13 || high != 0 && high != low + 1 {
            return Err(Undecodable);
        }
        for &(plane, _, _) in &header.components {
            if first <= last[plane] {
                *needed = true;
                if high != 0 {
                    last[plane] = last[plane].max(end);
                }
            }
        }
    }
    Ok(needed)
}

impl StoredCoefficients {
    fn new(picture: &Picture, plane: &Plane) -> Self {
        let count = block_count(picture, plane);
        Self {
            values: vec![0; count * plane.length()],
            history: if plane.last == 0 { Vec::new() } else { vec![0; count] },
            length: plane.length(),
            stride: picture.units.0 * plane.blocks_across,
            alone: plane.blocks_alone,
        }
    }
}

/// A scan that is being read.
struct Scan<'a> {
    picture: &'a Picture,
    header: &'a ScanHeader,
    tables: &'a Tables<'a>,
}

impl Scan<'_> {
    fn read(
        &self,
        pixels: &[u8],
        storage: &mut Vec<u8>,
        stored: &mut [StoredCoefficients],
    ) -> Result<(), Undecodable> {
        let mut intervals = Intervals::new(pixels);
        match &self.header.components[..] {
            &[(plane, _, ac)] if self.header.band.0 > 0 => {
                let code = Values::new(defined(&self.tables.ac, ac)?)?;
                self.read_ac(&mut intervals, storage, &code, plane, &mut stored[plane])?;
            }
            _ => self.read_dc(&mut intervals, storage, stored)?,
        }
        if intervals.is_at_end() { Ok(()) } else { Err(Undecodable) }
    }

    fn read_dc(
        &self,
        intervals: &mut Intervals,
        storage: &mut Vec<u8>,
        stored: &mut [StoredCoefficients],
    ) -> Result<(), Undecodable> {
        let (high, low) = self.header.bits;
        let mut codes = Vec::with_capacity(3);
        for &(plane, dc, _) in &self.header.components {
            // Corrections are bare bits.
            let code = match high {
                0 => Some(HuffmanCode::new(defined(&self.tables.dc, dc)?)?),
                _ => None,
            };
            codes.push((plane, code, 0i32));
        }
        let is_alone = codes.len() == 1;
        let units = match codes[..] {
            [(plane, ..)] => stored[plane].alone,
            _ => self.picture.units,
        };
        let mut bits = intervals.next(storage)?;
        let mut until_restart = self.tables.restart_interval;
        for (unit_y, unit_x) in (0..units.1).flat_map(|y| (0..units.0).map(move |x| (y, x))) {
            if self.tables.restart_interval != 0 {
                if until_restart == 0 {
                    if bits.has_more() {
                        return Err(Undecodable);
                    }
                    bits = intervals.next(storage)?;
                    codes.iter_mut().for_each(|(_, _, previous)| *previous = 0);
                    until_restart = self.tables.restart_interval;
                }
                until_restart -= 1;
            }
            for (plane, code, previous) in &mut codes {
                let stored = &mut stored[*plane];
                let plane = &self.picture.planes[*plane];
                let (across, down) =
                    if is_alone { (1, 1) } else { (plane.blocks_across, plane.blocks_down) };
                for y in unit_y * down..(unit_y + 1) * down {
                    for x in unit_x * across..(unit_x + 1) * across {
                        let value = &mut stored.values[(y * stored.stride + x) * stored.length];
                        bits.refill();
                        match code {
                            Some(code) => {
                                let size = u32::from(code.symbol(&mut bits)?);
                                if size > 15 {
                                    return Err(Undecodable);
                                }
                                *previous = previous.wrapping_add(bits.take_signed(size));
                                *value = (*previous << low) as i16;
                            }
                            None => *value |= (bits.take(1) << low) as i16,
                        }
                    }
                }
            }
            bits.check()?;
        }
        Ok(())
    }

    fn read_ac(
        &self,
        intervals: &mut Intervals,
        storage: &mut Vec<u8>,
        code: &Values,
        plane: usize,
        stored: &mut StoredCoefficients,
    ) -> Result<(), Undecodable> {
        let Plane { places, last: last_needed, .. } = &self.picture.planes[plane];
        let (first, last) = self.header.band;
        let (high, low) = self.header.bits;
        let mut bits = intervals.next(storage)?;
        let mut until_restart = self.tables.restart_interval;
        let mut end_run = 0;
        for y in 0..stored.alone.1 {
            for x in 0..stored.alone.0 {
                if self.tables.restart_interval != 0 {
                    if until_restart == 0 {
                        if bits.has_more() {
                            return Err(Undecodable);
                        }
                        bits = intervals.next(storage)?;
                        end_run = 0;
                        until_restart = self.tables.restart_interval;
                    }
                    until_restart -= 1;
                }
                let index = y * stored.stride + x;
                let mut block = Band {
                    first,
                    last,
                    low,
                    places,
                    last_needed: *last_needed,
                    values: &mut stored.values[index * stored.length..][..stored.length],
                    history: &mut stored.history[index],
                };
                if high == 0 {
                    block.read_first(&mut bits, code, &mut end_run)?;
                } else {
                    block.correct(&mut bits, &code.code, &mut end_run)?;
                }
                bits.check()?;
            }
        }
        Ok(())
    }
}

fn render(picture: &mut Picture, stored: &[StoredCoefficients]) -> Vec<u8> {
    let mut rgb = Vec::with_capacity(picture.width * picture.height * 3);
    let mut block = [0.0; 128];
    for unit_row in 0..picture.units.1 {
        for (index, stored) in stored.iter().enumerate() {
            let weights = picture.planes[index].placed_weights();
            let down = picture.planes[index].blocks_down;
            let row_length = stored.stride * stored.length;
            for y in 0..down {
                let row = &stored.values[(unit_row * down + y) * row_length..][..row_length];
                for (x, values) in row.chunks_exact(stored.length).enumerate() {
                    if values[1..].iter().all(|&value| value == 0) {
                        let flat = f32::from(values[0]) * weights[0];
                        picture.show_flat(index, x, y, flat);
                        continue;
                    }
                    for ((to, &value), weight) in block.iter_mut().zip(values).zip(weights) {
                        *to = f32::from(value) * weight;
                    }
                    picture.show(index, x, y, &mut block);
                }
            }
        }
        picture.write(unit_row, &mut rgb);
    }
    rgb
}
