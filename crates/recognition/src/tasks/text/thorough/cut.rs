//! Cutting a line out of the photo, straight and upright, and a long one into pieces.

use super::region::Region;
use super::source::Source;
use super::vectors::{dot, down_of};
use crate::decode::Photo;
use crate::geometry::{Outside, Point, sample_at_pixels};

/// The most pixels of a line's height and of its picture: larger ones are sampled coarser. It is then
/// still read at a fraction of that.
const HIGHEST: f64 = 384.0;
const MOST_PIXELS: f64 = 8e6;

/// The line as it looks with `axis` to the right, which is one of the directions of its sides.
pub fn cut(source: &Source, region: &Region, axis: Point) -> Photo {
    let along = dot(axis, region.rect.axis);
    let is_along = along.abs() > 0.7;
    let (width, height) = match is_along {
        true => (region.rect.width, region.thickness),
        false => (region.rect.height, region.rect.width),
    };
    let scale = (HIGHEST / height).min((MOST_PIXELS / (width * height)).sqrt()).min(1.0);
    let (columns, rows) = ((width * scale).floor().max(1.0), (height * scale).floor().max(1.0));
    let down = down_of(axis);
    let Point { x, y } = region.rect.centre;
    let place = |at: Point| {
        let u = (at.x + 0.5) * width / columns - width / 2.0;
        let mut v = (at.y + 0.5) * height / rows - height / 2.0;
        if is_along {
            v += along.signum() * region.bend.at(along.signum() * u);
        }
        Point { x: x + u * axis.x + v * down.x - 0.5, y: y + u * axis.y + v * down.y - 0.5 }
    };
    let outside = Outside::Plain(source.border);
    sample_at_pixels(source.photo, columns as u32, rows as u32, outside, place)
}

/// A picture of some of the columns.
pub fn columns(picture: &Photo, start: u32, end: u32) -> Photo {
    let bytes = start as usize * 3..end as usize * 3;
    let rows = picture.rgb.chunks_exact(picture.width as usize * 3);
    let rgb = rows.flat_map(|row| &row[bytes.clone()]).copied().collect();
    Photo::new(end - start, picture.height, rgb)
}

/// The line in so many pieces of about the same length, parted where it is blankest.
pub fn pieces(line: &Photo, count: u32) -> Vec<Photo> {
    let (width, height) = (f64::from(line.width), f64::from(line.height));
    let unevenness = smoothed(&unevenness(line), (line.height / 8).max(1) as usize);
    let mut cuts = vec![0];
    for index in 1..count {
        let middle = f64::from(index) * width / f64::from(count);
        let start = (middle - 3.0 * height).max(0.0) as usize;
        let end = ((middle + 3.0 * height) as usize).min(unevenness.len());
        let blankest = (start..end).min_by_key(|column| unevenness[*column]);
        cuts.extend(blankest.map(|column| column as u32));
    }
    cuts.push(line.width);
    let parts = cuts.windows(2).filter(|pair| pair[0] < pair[1]);
    parts.map(|pair| columns(line, pair[0], pair[1])).collect()
}

/// How much the luma differs within each column.
fn unevenness(line: &Photo) -> Vec<u32> {
    let width = line.width as usize;
    let mut range = vec![(u32::MAX, 0); width];
    for row in line.rgb.as_chunks::<3>().0.chunks_exact(width) {
        for ((least, most), [red, green, blue]) in range.iter_mut().zip(row) {
            let luma = luma(*red, *green, *blue);
            (*least, *most) = (luma.min(*least), luma.max(*most));
        }
    }
    range.iter().map(|(least, most)| most.saturating_sub(*least)).collect()
}

/// ITU-R BT.601, rounded.
fn luma(red: u8, green: u8, blue: u8) -> u32 {
    (u32::from(red) * 19595 + u32::from(green) * 38470 + u32::from(blue) * 7471 + 0x8000) >> 16
}

/// The sum of so many values around each, zeros outside.
fn smoothed(values: &[u32], count: usize) -> Vec<u32> {
    let mut sums = vec![0];
    for value in values {
        sums.push(sums[sums.len() - 1] + value);
    }
    let ahead = (count - 1) / 2;
    let sum_around = |index: usize| {
        let end = (index + ahead + 1).min(values.len());
        sums[end] - sums[(index + ahead + 1).saturating_sub(count).min(end)]
    };
    (0..values.len()).map(sum_around).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn long_lines_are_parted_between_words() {
        // Black above white, but for a gap at 520 to 540 of 1000.
        let is_dark = |x: u32, y: u32| !(520..540).contains(&x) && y < 10;
        let rgb = (0..20 * 1000)
            .flat_map(|index| [if is_dark(index % 1000, index / 1000) { 0 } else { 255 }; 3])
            .collect();
        let line = Photo::new(1000, 20, rgb);
        let parts = pieces(&line, 2);
        let widths: Vec<u32> = parts.iter().map(|part| part.width).collect();
        assert_eq!(widths.iter().sum::<u32>(), 1000);
        assert!(widths.len() == 2 && (520..540).contains(&widths[0]), "{widths:?}");
        assert_eq!(parts[0].rgb[..3], [0; 3]);
        assert_eq!(pieces(&Photo::new(1, 1, vec![0; 3]), 9).len(), 1);
    }
}
