//! Black and white: a threshold for every place, by the blocks around it.
//!
//! The same as `rxing`'s `HybridBinarizer`, bit for bit, which works pixel by pixel; here rows are taken
//! at once.

use rxing::common::{BitArray, BitMatrix};

use super::gray::Gray;

const BLOCK: usize = 8;
/// Blocks to either side whose thresholds are averaged.
const REACH: usize = 2;
/// A smaller picture has too few blocks.
const LEAST_SIDE: usize = BLOCK * (2 * REACH + 1);
/// A block with less contrast is all light or all dark.
const LEAST_RANGE: u8 = 24;

/// The dark pixels, or nothing where the picture is too small.
pub fn local(gray: &Gray) -> Option<BitMatrix> {
    let (width, height) = (gray.width, gray.height);
    if width.min(height) < LEAST_SIDE {
        return None;
    }
    let (columns, rows) = (width.div_ceil(BLOCK), height.div_ceil(BLOCK));
    let levels = levels(gray, columns, rows);
    let mut matrix = BitMatrix::new(width as u32, height as u32).ok()?;
    let mut line = BitArray::with_size(width);
    // Two buffers: where the last block laps over the one before, what either says is dark is dark.
    let mut thresholds = vec![0; width];
    let mut before = vec![0; width];
    for row in 0..rows {
        std::mem::swap(&mut thresholds, &mut before);
        spread(&averages(&levels, columns, rows, row), &mut thresholds);
        let is_last = row + 1 == rows;
        for y in row * BLOCK..height.min((row + 1) * BLOCK) {
            // All rows of the last block but those that no other block has.
            set_dark(gray.row(y), &thresholds, &mut line);
            matrix.setRow(y as u32, &line);
        }
        if is_last {
            for y in height - BLOCK..row * BLOCK {
                for (before, threshold) in before.iter_mut().zip(&thresholds) {
                    *before = (*before).max(*threshold);
                }
                set_dark(gray.row(y), &before, &mut line);
                matrix.setRow(y as u32, &line);
            }
        }
    }
    Some(matrix)
}

/// Of each block the value between its dark and its light.
fn levels(gray: &Gray, columns: usize, rows: usize) -> Vec<u8> {
    let width = gray.width;
    let mut levels: Vec<u8> = Vec::with_capacity(columns * rows);
    let (mut lows, mut highs, mut sums) = (vec![0; width], vec![0; width], vec![0; width]);
    for row in 0..rows {
        let top = (row * BLOCK).min(gray.height - BLOCK);
        lows.fill(u8::MAX);
        highs.fill(u8::MIN);
        sums.fill(0u16);
        for y in top..top + BLOCK {
            let sides = lows.iter_mut().zip(&mut highs).zip(&mut sums);
            for (((low, high), sum), &pixel) in sides.zip(gray.row(y)) {
                *low = pixel.min(*low);
                *high = pixel.max(*high);
                *sum += u16::from(pixel);
            }
        }
        for column in 0..columns {
            let left = (column * BLOCK).min(width - BLOCK);
            let side = left..left + BLOCK;
            let low = lows[side.clone()].iter().fold(u8::MAX, |low, value| low.min(*value));
            let high = highs[side.clone()].iter().fold(u8::MIN, |high, value| high.max(*value));
            let sum: u32 = sums[side].iter().map(|sum| u32::from(*sum)).sum();
            let level = if high - low > LEAST_RANGE {
                sum / (BLOCK * BLOCK) as u32
            } else if row > 0 && column > 0 {
                // Light as a rule; dark where it is darker than what the blocks before found.
                let [above, corner] = [column, column - 1]
                    .map(|column| u32::from(levels[(row - 1) * columns + column]));
                let left = u32::from(levels[row * columns + column - 1]);
                let around = (above + 2 * left + corner) / 4;
                if u32::from(low) < around { around } else { u32::from(low / 2) }
            } else {
                u32::from(low / 2)
            };
            levels.push(level as u8);
        }
    }
    levels
}

/// Of each block of a row the mean of the blocks around it.
fn averages(levels: &[u8], columns: usize, rows: usize, row: usize) -> Vec<u8> {
    let middle = row.clamp(REACH, rows - 1 - REACH);
    let mut sums = vec![0u32; columns];
    for levels in levels.chunks_exact(columns).skip(middle - REACH).take(2 * REACH + 1) {
        sums.iter_mut().zip(levels).for_each(|(sum, level)| *sum += u32::from(*level));
    }
    (0..columns)
        .map(|column| {
            let middle = column.clamp(REACH, columns - 1 - REACH);
            let sum: u32 = sums[middle - REACH..=middle + REACH].iter().sum();
            (sum / (2 * REACH as u32 + 1).pow(2)) as u8
        })
        .collect()
}

/// The threshold of each pixel of a row of blocks, of which the last may lap over the one before.
fn spread(averages: &[u8], thresholds: &mut [u8]) {
    for (side, average) in thresholds.chunks_mut(BLOCK).zip(averages) {
        side.fill(*average);
    }
    let first = thresholds.len() - BLOCK;
    if let Some(last) = averages.last() {
        thresholds[first..].iter_mut().for_each(|threshold| *threshold = (*last).max(*threshold));
    }
}

/// Sets the bits of the pixels that are not over their threshold.
fn set_dark(pixels: &[u8], thresholds: &[u8], line: &mut BitArray) {
    const WORD: usize = usize::BITS as usize;
    for (word, (pixels, thresholds)) in pixels.chunks(WORD).zip(thresholds.chunks(WORD)).enumerate()
    {
        let mut dark = [0u8; WORD];
        for (dark, (pixel, threshold)) in dark.iter_mut().zip(pixels.iter().zip(thresholds)) {
            *dark = u8::from(pixel <= threshold);
        }
        // Gathers the lowest bits of eight bytes.
        let gather = |eight: &[u8; 8]| {
            (u64::from_le_bytes(*eight).wrapping_mul(0x0102_0408_1020_4080) >> 56) as usize
        };
        let eights = dark.as_chunks::<8>().0.iter().enumerate();
        let bits = eights.fold(0, |bits, (index, eight)| bits | gather(eight) << (8 * index));
        line.setBulk(word * WORD, bits);
    }
}

#[cfg(test)]
mod tests {
    use rxing::common::HybridBinarizer;
    use rxing::{Binarizer, Luma8LuminanceSource};

    use super::*;

    #[test]
    fn it_says_what_rxings_binarizer_says() {
        let mut random = 1u32;
        for (width, height) in [(40, 40), (41, 47), (64, 48), (127, 65), (130, 200), (203, 41)] {
            let pixels: Vec<u8> = (0..width * height)
                .map(|index| {
                    random = random.wrapping_mul(1_664_525).wrapping_add(1_013_904_223);
                    // Noise, dark and light areas, a slope.
                    match index / 977 % 3 {
                        0 => (random >> 24) as u8,
                        1 => (random >> 28) as u8 + 7,
                        _ => (index % width) as u8,
                    }
                })
                .collect();
            let source =
                Luma8LuminanceSource::new(pixels.clone(), width as u32, height as u32).unwrap();
            let expected = HybridBinarizer::new(source);
            let gray = Gray { width, height, pixels, scale: 1.0 };
            assert!(local(&gray).as_ref() == expected.get_black_matrix().ok(), "{width}x{height}");
        }
        let small = Gray { width: 39, height: 80, pixels: vec![0; 39 * 80], scale: 1.0 };
        assert!(local(&small).is_none());
    }
}
