//! EXIF orientation: where it stands, and turning pixels upright.

use image::metadata::Orientation;

use super::photo::{Decoded, Photo};

/// Side of the squares in which a picture is turned: reading along rows and writing along columns
/// stays within the cache.
const TILE: usize = 32;

/// The orientation an EXIF block asks for. Whatever is wrong with the block, the picture stays as
/// stored.
pub(super) fn from_exif(exif: Option<&[u8]>) -> Orientation {
    let Some(exif) = exif else {
        return Orientation::NoTransforms;
    };
    // PNG and WebP hold the bare TIFF block, though some writers keep the prefix that JPEG has.
    let tiff = exif.strip_prefix(b"Exif\0\0").unwrap_or(exif);
    Orientation::from_exif_chunk(tiff).unwrap_or(Orientation::NoTransforms)
}

/// Bytes that turning takes beside the pixels themselves, if `memory` is all there is.
pub(super) fn extra_memory(orientation: Orientation, width: u32, height: u32, memory: u64) -> u64 {
    if !swaps_sides(orientation) {
        return 0;
    }
    let (width, pixels) = (u64::from(width), u64::from(width) * u64::from(height));
    match band_to_turn_in_place(width, u64::from(height), memory) {
        Some(band) => pixels / band + band * (width + 1) * 3,
        None => pixels * 3,
    }
}

/// The pixels turned upright: flips and half turns in place, quarter turns with a copy if `memory`
/// allows it.
pub(super) fn upright(decoded: Decoded, memory: u64) -> Photo {
    let Decoded { width, height, mut rgb, orientation, full_size } = decoded;
    let (full_width, full_height) = full_size;
    if swaps_sides(orientation) {
        match band_to_turn_in_place(width.into(), height.into(), memory) {
            Some(band) => turn_in_place(&mut rgb, width as usize, band as usize, orientation),
            None => rgb = quarter_turned(&rgb, width as usize, height as usize, orientation),
        }
        return Photo {
            width: height,
            height: width,
            rgb,
            full_width: full_height,
            full_height: full_width,
        };
    }
    let turn = match orientation {
        Orientation::FlipHorizontal => flip_columns,
        Orientation::FlipVertical => flip_rows,
        Orientation::Rotate180 => half_turn,
        _ => |_: &mut [[u8; 3]], _: usize| {},
    };
    turn(rgb.as_chunks_mut().0, width as usize);
    Photo { width, height, rgb, full_width, full_height }
}

/// How many rows [`turn_in_place`] shall take at a time. `None` if a copy fits into the memory, or
/// nothing divides the height.
fn band_to_turn_in_place(width: u64, height: u64, memory: u64) -> Option<u64> {
    let with_copy = width * height * 6;
    if with_copy <= memory {
        return None;
    }
    (4..=128).rev().find(|band| height.is_multiple_of(*band))
}

fn swaps_sides(orientation: Orientation) -> bool {
    matches!(
        orientation,
        Orientation::Rotate90
            | Orientation::Rotate270
            | Orientation::Rotate90FlipH
            | Orientation::Rotate270FlipH
    )
}

fn half_turn(pixels: &mut [[u8; 3]], _width: usize) {
    pixels.reverse();
}

fn flip_columns(pixels: &mut [[u8; 3]], width: usize) {
    pixels.chunks_exact_mut(width).for_each(<[_]>::reverse);
}

fn flip_rows(pixels: &mut [[u8; 3]], width: usize) {
    let height = pixels.len() / width;
    let (top, rest) = pixels.split_at_mut(height / 2 * width);
    let from_below = rest.rchunks_exact_mut(width);
    for (upper, lower) in top.chunks_exact_mut(width).zip(from_below) {
        upper.swap_with_slice(lower);
    }
}

/// A quarter turn with a few megabytes beside the pixels, for photos of 50 megapixels from an
/// upright phone: a few times slower than a copy. `band` divides the height.
///
/// Rows and columns are swapped first within each band of rows, so that a column of it is one run
/// of bytes, then these runs move to their places, along the cycles in which they displace each
/// other. Then it is a flip.
fn turn_in_place(rgb: &mut [u8], width: usize, band: usize, orientation: Orientation) {
    let (pixels, _) = rgb.as_chunks_mut::<3>();
    let height = pixels.len() / width;
    let mut scratch = vec![[0; 3]; band * width];
    for rows in pixels.chunks_exact_mut(band * width) {
        scratch.copy_from_slice(rows);
        for (x, run) in rows.chunks_exact_mut(band).enumerate() {
            for (y, pixel) in run.iter_mut().enumerate() {
                *pixel = scratch[y * width + x];
            }
        }
    }

    let bands = height / band;
    let mut is_placed = vec![false; bands * width];
    let mut displaced = vec![[0; 3]; band];
    for start in 0..is_placed.len() {
        if is_placed[start] {
            continue;
        }
        displaced.copy_from_slice(&pixels[start * band..][..band]);
        let mut place = start;
        while !is_placed[start] {
            place = place % width * bands + place / width;
            displaced.swap_with_slice(&mut pixels[place * band..][..band]);
            is_placed[place] = true;
        }
    }

    match orientation {
        Orientation::Rotate90 => flip_columns(pixels, height),
        Orientation::Rotate270 => flip_rows(pixels, height),
        Orientation::Rotate270FlipH => half_turn(pixels, height),
        _ => {}
    }
}

fn quarter_turned(rgb: &[u8], width: usize, height: usize, orientation: Orientation) -> Vec<u8> {
    // Row y becomes a column, counted from the right if the turn is clockwise; column x becomes a
    // row.
    let column_from_right =
        matches!(orientation, Orientation::Rotate90 | Orientation::Rotate270FlipH);
    let row_from_bottom =
        matches!(orientation, Orientation::Rotate270 | Orientation::Rotate270FlipH);

    let mut turned = vec![0; rgb.len()];
    let (from, _) = rgb.as_chunks::<3>();
    let (to, _) = turned.as_chunks_mut::<3>();
    for top in (0..height).step_by(TILE) {
        for left in (0..width).step_by(TILE) {
            for y in top..(top + TILE).min(height) {
                let new_x = if column_from_right { height - 1 - y } else { y };
                for x in left..(left + TILE).min(width) {
                    let new_y = if row_from_bottom { width - 1 - x } else { x };
                    to[new_y * height + new_x] = from[y * width + x];
                }
            }
        }
    }
    turned
}

#[cfg(test)]
mod tests {
    use super::*;

    /// A picture of numbered pixels, laid out for each orientation so that turning it gives 1 2 3 /
    /// 4 5 6.
    #[test]
    fn every_orientation_shows_the_same_upright_picture() {
        let stored: [(u32, [u8; 6]); 8] = [
            (3, [1, 2, 3, 4, 5, 6]),
            (3, [3, 2, 1, 6, 5, 4]),
            (3, [6, 5, 4, 3, 2, 1]),
            (3, [4, 5, 6, 1, 2, 3]),
            (2, [1, 4, 2, 5, 3, 6]),
            (2, [3, 6, 2, 5, 1, 4]),
            (2, [6, 3, 5, 2, 4, 1]),
            (2, [4, 1, 5, 2, 6, 3]),
        ];
        for (index, (width, pixels)) in stored.into_iter().enumerate() {
            let number = index as u8 + 1;
            let decoded = Decoded {
                width,
                height: 6 / width,
                full_size: (width, 6 / width),
                rgb: pixels.into_iter().flat_map(|pixel| [pixel, 0, number]).collect(),
                orientation: Orientation::from_exif(number).unwrap(),
            };
            let photo = upright(decoded, u64::MAX);
            assert_eq!((photo.width, photo.height), (3, 2), "orientation {number}");
            let shown: Vec<u8> = photo.rgb.chunks(3).map(|pixel| pixel[0]).collect();
            assert_eq!(shown, [1, 2, 3, 4, 5, 6], "orientation {number}");
        }
    }

    #[test]
    fn turning_in_place_does_what_turning_by_a_copy_does() {
        for (width, height) in [(1, 4), (5, 4), (7, 12), (64, 128), (33, 250), (40, 40), (3, 7)] {
            for number in 5..=8 {
                let decoded = || Decoded {
                    width,
                    height,
                    full_size: (width, height),
                    rgb: (0..width * height * 3).map(|index| (index % 251) as u8).collect(),
                    orientation: Orientation::from_exif(number).unwrap(),
                };
                assert!(upright(decoded(), 0) == upright(decoded(), u64::MAX), "{width}x{height}");
            }
        }
    }

    #[test]
    fn broken_exif_leaves_the_picture_as_it_is() {
        for exif in [&b""[..], b"Exif\0\0", b"II*\0", b"II*\0\xff\xff\xff\xff", b"nonsense"] {
            assert_eq!(from_exif(Some(exif)), Orientation::NoTransforms);
        }
    }
}
