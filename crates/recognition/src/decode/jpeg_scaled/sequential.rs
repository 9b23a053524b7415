//! Sequential files with one scan of all components: a row of units at a time.

use super::bits::{Bits, Intervals};
use super::huffman::{Coefficients, HuffmanCode};
use super::picture::{Block, Picture};
use super::tables::{ScanHeader, Tables, defined};
use super::undecodable::Undecodable;
use crate::decode::jpeg_stream::Segment;

/// What the blocks of a component are read with.
struct ScanReading<'a> {
    dc: HuffmanCode<'a>,
    ac: Coefficients<'a>,
    /// The first coefficient of the block before.
    previous: i32,
}

/// Decodes a scan to RGB.
pub(super) fn decode(
    picture: &mut Picture,
    scan: &Segment,
    tables: &Tables,
) -> Result<Vec<u8>, Undecodable> {
    let ids: Vec<u8> = picture.planes.iter().map(|plane| plane.component.id).collect();
    let header = ScanHeader::read(scan.content, &ids)?;
    if header.components.len() != ids.len() || header.band != (0, 63) || header.bits != (0, 0) {
        return Err(Undecodable);
    }
    let mut readings = Vec::with_capacity(ids.len());
    for &(_, dc, ac) in &header.components {
        readings.push(ScanReading {
            dc: HuffmanCode::new(defined(&tables.dc, dc)?)?,
            ac: Coefficients::new(defined(&tables.ac, ac)?)?,
            previous: 0,
        });
    }

    let mut rgb = Vec::with_capacity(picture.width * picture.height * 3);
    let mut intervals = Intervals::new(scan.pixels);
    let mut storage = Vec::with_capacity(scan.pixels.len());
    let mut bits = intervals.next(&mut storage)?;
    let interval = tables.restart_interval;
    let mut block = [0.0; 128];
    let mut until_restart = interval;
    for unit_row in 0..picture.units.1 {
        for unit in 0..picture.units.0 {
            if interval != 0 && until_restart == 0 {
                if bits.has_more() {
                    return Err(Undecodable);
                }
                bits = intervals.next(&mut storage)?;
                readings.iter_mut().for_each(|reading| reading.previous = 0);
                until_restart = interval;
            }
            until_restart = until_restart.wrapping_sub(1);
            for (plane, reading) in readings.iter_mut().enumerate() {
                let (across, down) =
                    (picture.planes[plane].blocks_across, picture.planes[plane].blocks_down);
                for y in 0..down {
                    for x in unit * across..(unit + 1) * across {
                        read_block(&mut bits, reading, picture, (plane, x, y), &mut block)?;
                    }
                }
            }
            bits.check()?;
        }
        picture.write(unit_row, &mut rgb);
    }
    if intervals.is_at_end() { Ok(rgb) } else { Err(Undecodable) }
}

#[inline(always)]
fn read_block(
    bits: &mut Bits,
    reading: &mut ScanReading,
    picture: &mut Picture,
    (plane, x, y): (usize, usize, usize),
    block: &mut Block,
) -> Result<(), Undecodable> {
    bits.refill();
    let size = u32::from(reading.dc.symbol(bits)?);
    if size > 15 {
        return Err(Undecodable);
    }
    reading.previous = reading.previous.wrapping_add(bits.take_signed(size));
    let target = &picture.planes[plane];
    let first = reading.previous as f32 * target.weights[0];
    let mut is_flat = true;
    let next = reading.ac.read(bits, target.last, |position, value| {
        let place = usize::from(target.places[position & 63]) & 127;
        block[place] = value as f32 * target.weights[position & 63];
        is_flat = false;
    })?;
    reading.ac.skip(bits, next)?;
    if is_flat {
        picture.show_flat(plane, x, y, first);
    } else {
        block[0] = first;
        picture.show(plane, x, y, block);
    }
    Ok(())
}
