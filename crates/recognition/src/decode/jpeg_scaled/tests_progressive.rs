//! Progressive files with bits that come later, which no encoder at hand writes: random
//! coefficients, written once in one scan and once in many, must show the same.

use super::ScaledDecoder;
use crate::decode::jpeg_stream::JpegStream;

/// Blocks across and down.
const BLOCKS: (usize, usize) = (7, 5);

/// Coefficients in zigzag order.
type Block = [i32; 64];

/// Bits, the highest first, with a zero behind each 0xff.
#[derive(Default)]
struct BitWriter {
    bytes: Vec<u8>,
    pending: u8,
    count: u32,
}

impl BitWriter {
    fn write(&mut self, bits: u32, count: u32) {
        for place in (0..count).rev() {
            self.pending = self.pending << 1 | (bits >> place & 1) as u8;
            self.count += 1;
            if self.count == 8 {
                self.bytes.push(self.pending);
                if self.pending == 0xff {
                    self.bytes.push(0);
                }
                self.count = 0;
            }
        }
    }

    /// In the tables of these files every symbol has 8 bits and is its own code.
    fn symbol(&mut self, high: u32, low: u32) {
        self.write(high << 4 | low, 8);
    }

    fn value(&mut self, value: i32) {
        let size = size_of(value);
        let bits = if value < 0 { value - 1 } else { value };
        self.write(bits as u32 & ((1 << size) - 1), size);
    }

    fn finish(mut self) -> Vec<u8> {
        while self.count != 0 {
            self.write(1, 1);
        }
        self.bytes
    }
}

fn size_of(value: i32) -> u32 {
    32 - value.unsigned_abs().leading_zeros()
}

/// Blocks that have ended, of which nothing is written yet, and the corrections in them.
#[derive(Default)]
struct EndRun {
    count: u32,
    corrections: Vec<u32>,
}

impl EndRun {
    fn write(&mut self, bits: &mut BitWriter) {
        if self.count > 0 {
            let size = self.count.ilog2();
            bits.symbol(size, 0);
            bits.write(self.count - (1 << size), size);
            self.count = 0;
        }
        self.corrections.drain(..).for_each(|bit| bits.write(bit, 1));
    }
}

fn dc_scan(blocks: &[Block], low: u32, is_first: bool) -> Vec<u8> {
    let mut bits = BitWriter::default();
    let mut previous = 0;
    for block in blocks {
        let value = block[0] >> low;
        if is_first {
            bits.symbol(0, size_of(value - previous));
            bits.value(value - previous);
            previous = value;
        } else {
            bits.write(value as u32 & 1, 1);
        }
    }
    bits.finish()
}

/// `high` is the bit that earlier scans came down to.
fn ac_scan(
    blocks: &[Block],
    (first, last): (usize, usize),
    high: Option<u32>,
    low: u32,
) -> Vec<u8> {
    let mut bits = BitWriter::default();
    let mut end_run = EndRun::default();
    for block in blocks {
        let size = |position: usize| block[position].abs() >> low;
        let is_old = |position: usize| high.is_some() && size(position) > 1;
        let is_new = |position: usize| size(position) > 0 && !is_old(position);
        let mut zeros = 0;
        let mut corrections = Vec::new();
        let end =
            (first..=last).rev().find(|&position| is_new(position)).map_or(first, |end| end + 1);
        for (position, &coefficient) in block.iter().enumerate().take(end).skip(first) {
            if is_old(position) {
                corrections.push(size(position) as u32 & 1);
            } else if !is_new(position) {
                zeros += 1;
                if zeros == 16 && (position + 1..end).any(is_new) {
                    end_run.write(&mut bits);
                    bits.symbol(15, 0);
                    corrections.drain(..).for_each(|bit| bits.write(bit, 1));
                    zeros = 0;
                }
            } else {
                end_run.write(&mut bits);
                let value = size(position) * coefficient.signum();
                bits.symbol(zeros, size_of(value));
                bits.value(value);
                corrections.drain(..).for_each(|bit| bits.write(bit, 1));
                zeros = 0;
            }
        }
        if end <= last {
            end_run.count += 1;
            let rest = (end..=last).filter(|&position| is_old(position));
            end_run.corrections.extend(corrections);
            end_run.corrections.extend(rest.map(|position| size(position) as u32 & 1));
        }
    }
    end_run.write(&mut bits);
    bits.finish()
}

fn sequential_scan(blocks: &[Block]) -> Vec<u8> {
    let mut bits = BitWriter::default();
    let mut previous = 0;
    for block in blocks {
        bits.symbol(0, size_of(block[0] - previous));
        bits.value(block[0] - previous);
        previous = block[0];
        let mut zeros = 0;
        for (position, &value) in block.iter().enumerate().skip(1) {
            if value == 0 {
                zeros += 1;
                continue;
            }
            while zeros > 15 {
                bits.symbol(15, 0);
                zeros -= 16;
            }
            bits.symbol(zeros, size_of(value));
            bits.value(value);
            zeros = 0;
            if position == 63 {
                break;
            }
        }
        if block[63] == 0 {
            bits.symbol(0, 0);
        }
    }
    bits.finish()
}

/// A grey file of these scans: first and last coefficient, the two bits, and the data.
fn file(frame_marker: u8, scans: &[([u8; 3], Vec<u8>)]) -> Vec<u8> {
    let segment = |marker: u8, content: &[u8]| {
        [&[0xff, marker][..], &(content.len() as u16 + 2).to_be_bytes(), content].concat()
    };
    let (width, height) = (BLOCKS.0 as u16 * 8 - 3, BLOCKS.1 as u16 * 8 - 5);
    let mut frame = vec![8];
    frame.extend(height.to_be_bytes());
    frame.extend(width.to_be_bytes());
    frame.extend([1, 1, 0x11, 0]);
    let mut file = vec![0xff, 0xd8];
    file.extend(segment(0xdb, &[&[0][..], &[3; 64]].concat()));
    file.extend(segment(frame_marker, &frame));
    for class in [0, 0x10] {
        let mut table = vec![class, 0, 0, 0, 0, 0, 0, 0, 255, 0, 0, 0, 0, 0, 0, 0, 0];
        table.extend(0..255);
        file.extend(segment(0xc4, &table));
    }
    for ([first, last, bits], data) in scans {
        file.extend(segment(0xda, &[1, 1, 0, *first, *last, *bits]));
        file.extend(data);
    }
    file.extend([0xff, 0xd9]);
    file
}

/// Mostly zeros, sometimes none at all, sometimes up to the last; of all sizes up to 40.
fn random_blocks(seed: u32) -> Vec<Block> {
    let mut state = seed;
    let mut random = |below: u32| {
        state = state.wrapping_mul(1_664_525).wrapping_add(1_013_904_223);
        (state >> 8) % below
    };
    let mut blocks = vec![[0; 64]; BLOCKS.0 * BLOCKS.1];
    for block in &mut blocks {
        let density = [0, 2, 10, 30, 60][random(5) as usize];
        block[0] = random(200) as i32 - 100;
        for value in &mut block[1..] {
            if random(64) < density {
                let most = 1 << random(6);
                *value = random(most) as i32 * (random(2) as i32 * 2 - 1);
            }
        }
    }
    blocks
}

fn decoded(file: &[u8], denominator: u32) -> Vec<u8> {
    let stream = JpegStream::read(file).unwrap();
    ScaledDecoder::new(&stream, denominator).unwrap().decode().unwrap()
}

#[test]
fn bits_that_come_later_show_what_one_scan_shows() {
    for seed in 0..20 {
        let blocks = random_blocks(seed);
        let at_once = file(0xc0, &[([0, 63, 0], sequential_scan(&blocks))]);
        let later = file(
            0xc2,
            &[
                ([0, 0, 0x01], dc_scan(&blocks, 1, true)),
                ([1, 5, 0x02], ac_scan(&blocks, (1, 5), None, 2)),
                ([6, 63, 0x02], ac_scan(&blocks, (6, 63), None, 2)),
                ([1, 63, 0x21], ac_scan(&blocks, (1, 63), Some(2), 1)),
                ([0, 0, 0x10], dc_scan(&blocks, 0, false)),
                ([1, 63, 0x10], ac_scan(&blocks, (1, 63), Some(1), 0)),
            ],
        );
        for denominator in [2, 4, 8] {
            assert!(decoded(&at_once, denominator) == decoded(&later, denominator), "{seed}");
        }
    }
}

#[test]
fn scans_above_the_needed_frequencies_are_not_read() {
    let blocks = random_blocks(1);
    let dc = || ([0, 0, 0], dc_scan(&blocks, 0, true));
    let low = || ([1, 5, 0], ac_scan(&blocks, (1, 5), None, 0));
    let garbage = || ([6, 63, 0], vec![0xfe; 3]);
    let good = file(0xc2, &[dc(), low(), ([6, 63, 0], ac_scan(&blocks, (6, 63), None, 0))]);
    let damaged = file(0xc2, &[dc(), low(), garbage()]);
    for denominator in [4, 8] {
        assert!(decoded(&good, denominator) == decoded(&damaged, denominator));
    }
    let stream = JpegStream::read(&damaged).unwrap();
    assert!(ScaledDecoder::new(&stream, 2).unwrap().decode().is_err());
}
