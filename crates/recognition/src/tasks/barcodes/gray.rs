//! Grey pictures of several sizes, and the straight lines that readers of linear codes look along.

use super::symbol::PixelPoint;
use crate::decode::Photo;

/// A picture of one byte a pixel.
pub struct Gray {
    pub width: usize,
    pub height: usize,
    pub pixels: Vec<u8>,
    /// Pixels of the photo under a side of one pixel here.
    pub scale: f32,
}

/// A line across a picture: samples one pixel apart, from `start` on in the direction `step`.
#[derive(Clone, Copy, Debug)]
pub struct ScanLine {
    pub start: PixelPoint,
    /// Of length 1.
    pub step: PixelPoint,
    pub samples: usize,
}

impl Gray {
    /// Luma as ITU-R BT.601 weighs the colours.
    pub fn of(photo: &Photo) -> Gray {
        let luma = |pixel: &[u8; 3]| {
            let [red, green, blue] = pixel.map(u32::from);
            ((red * 306 + green * 601 + blue * 117 + 512) >> 10) as u8
        };
        Gray {
            width: photo.width as usize,
            height: photo.height as usize,
            pixels: photo.rgb.as_chunks::<3>().0.iter().map(luma).collect(),
            scale: 1.0,
        }
    }

    /// Half the size, each pixel the mean of four; an odd last row or column is left out.
    pub fn halved(&self) -> Gray {
        let (width, height) = ((self.width / 2).max(1), (self.height / 2).max(1));
        let mut pixels = Vec::with_capacity(width * height);
        for y in 0..height {
            let upper = self.row(2 * y);
            let lower = self.row((2 * y + 1).min(self.height - 1));
            for x in 0..width {
                let (left, right) = (2 * x, (2 * x + 1).min(self.width - 1));
                let sum = [upper[left], upper[right], lower[left], lower[right]];
                pixels.push((sum.map(u32::from).iter().sum::<u32>().div_ceil(4)).min(255) as u8);
            }
        }
        Gray { width, height, pixels, scale: self.scale * 2.0 }
    }

    /// Twice the size, interpolated: of the four nearest pixels 9, 3, 3 and 1 parts in 16.
    pub fn doubled(&self) -> Gray {
        let (width, height) = (self.width * 2, self.height * 2);
        let mut pixels = Vec::with_capacity(width * height);
        let mut mixed = vec![0u16; self.width];
        for y in 0..height {
            let near = self.row(y / 2);
            let far = if y % 2 == 0 {
                (y / 2).saturating_sub(1)
            } else {
                (y / 2 + 1).min(self.height - 1)
            };
            for (mixed, (near, far)) in mixed.iter_mut().zip(near.iter().zip(self.row(far))) {
                *mixed = 3 * u16::from(*near) + u16::from(*far);
            }
            let pixel = |near: u16, far: u16| ((3 * near + far + 8) / 16) as u8;
            for (x, &near) in mixed.iter().enumerate() {
                let left = mixed[x.saturating_sub(1)];
                let right = mixed[(x + 1).min(self.width - 1)];
                pixels.extend([pixel(near, left), pixel(near, right)]);
            }
        }
        Gray { width, height, pixels, scale: self.scale / 2.0 }
    }

    pub fn row(&self, y: usize) -> &[u8] {
        &self.pixels[y * self.width..(y + 1) * self.width]
    }

    /// A point of this picture in pixels of the photo.
    pub fn in_photo(&self, point: PixelPoint) -> PixelPoint {
        let side = |value: f32| (value + 0.5) * self.scale;
        PixelPoint { x: side(point.x), y: side(point.y) }
    }

    /// Bilinear; beyond the edge the edge's pixels go on.
    fn at(&self, point: PixelPoint) -> f32 {
        let x = point.x.clamp(0.0, (self.width - 1) as f32);
        let y = point.y.clamp(0.0, (self.height - 1) as f32);
        let (left, top) = (x as usize, y as usize);
        let (right, below) = ((left + 1).min(self.width - 1), (top + 1).min(self.height - 1));
        let (fx, fy) = (x - left as f32, y - top as f32);
        let (upper, lower) = (self.row(top), self.row(below));
        let mix = |row: &[u8]| {
            let (a, b) = (f32::from(row[left]), f32::from(row[right]));
            a + (b - a) * fx
        };
        let (a, b) = (mix(upper), mix(lower));
        a + (b - a) * fy
    }

    /// The values under a line, each the mean of `thickness` ones across it.
    pub fn sample(&self, line: &ScanLine, thickness: usize, values: &mut Vec<f32>) {
        values.clear();
        values.resize(line.samples, 0.0);
        let weight = 1.0 / thickness as f32;
        let across = PixelPoint { x: -line.step.y, y: line.step.x };
        let layers = (0..thickness).map(|layer| {
            let shift = layer as f32 - (thickness - 1) as f32 / 2.0;
            line.start + across * shift
        });
        if line.step.y == 0.0 && line.start.x == 0.0 {
            for start in layers {
                self.add_row(start.y, weight, values);
            }
        } else if line.step.x == 0.0 && line.start.y == 0.0 {
            for start in layers {
                self.add_column(start.x, weight, values);
            }
        } else {
            for start in layers {
                self.add_slanted(start, line.step, weight, values);
            }
        }
    }

    /// Adds the values between two rows, from the left on.
    fn add_row(&self, y: f32, weight: f32, values: &mut [f32]) {
        let (top, below, share) = between(y, self.height);
        for (row, weight) in [(top, weight * (1.0 - share)), (below, weight * share)] {
            for (value, pixel) in values.iter_mut().zip(self.row(row)) {
                *value += f32::from(*pixel) * weight;
            }
        }
    }

    /// Adds the values between two columns, from the top on.
    fn add_column(&self, x: f32, weight: f32, values: &mut [f32]) {
        let (left, right, share) = between(x, self.width);
        let (a, b) = (weight * (1.0 - share), weight * share);
        for (value, row) in values.iter_mut().zip(self.pixels.chunks_exact(self.width)) {
            *value += f32::from(row[left]) * a + f32::from(row[right]) * b;
        }
    }

    /// Adds the values along a line of any direction.
    fn add_slanted(&self, start: PixelPoint, step: PixelPoint, weight: f32, values: &mut [f32]) {
        /// Places have so many bits behind the point: a line is at most some ten thousand steps long.
        const BITS: u32 = 32;
        let fixed = |value: f32| (f64::from(value) * f64::from(2f32).powi(BITS as i32)) as i64;
        let (mut x, mut y) = (fixed(start.x), fixed(start.y));
        let (dx, dy) = (fixed(step.x), fixed(step.y));
        let (inside_x, inside_y) = (0..self.width as i64 - 1, 0..self.height as i64 - 1);
        let is_inside = |index: usize| {
            let (x, y) = (x + dx * index as i64, y + dy * index as i64);
            inside_x.contains(&(x >> BITS)) && inside_y.contains(&(y >> BITS))
        };
        // All but the line's ends.
        let count = values.len();
        let first = (0..count).find(|index| is_inside(*index)).unwrap_or(count);
        let last =
            (first..count).rev().find(|index| is_inside(*index)).map_or(first, |last| last + 1);
        for index in (0..first).chain(last..count) {
            values[index] += self.at(start + step * index as f32) * weight;
        }
        (x, y) = (x + dx * first as i64, y + dy * first as i64);
        let width = self.width;
        let weight = weight / 65536.0;
        for value in &mut values[first..last] {
            let pixel = (y >> BITS) as usize * width + (x >> BITS) as usize;
            let pixels = &self.pixels[pixel..pixel + width + 2];
            // What is right of and below the place counts this many parts of 256.
            let (right, below) = ((x >> (BITS - 8) & 255) as i32, (y >> (BITS - 8) & 255) as i32);
            let mix = |a: u8, b: u8| (i32::from(a) << 8) + (i32::from(b) - i32::from(a)) * right;
            let upper = mix(pixels[0], pixels[1]);
            let lower = mix(pixels[width], pixels[width + 1]);
            *value += ((upper << 8) + (lower - upper) * below) as f32 * weight;
            x += dx;
            y += dy;
        }
    }

    /// At most `count` parallel lines in the direction of `angle` (radians, clockwise as seen),
    /// evenly spread over the picture.
    pub fn lines(&self, angle: f32, count: usize) -> Vec<ScanLine> {
        // The cosine of a right angle is not quite 0.
        let exact = |value: f32| if value.abs() < 1e-6 { 0.0 } else { value };
        let step = PixelPoint { x: exact(angle.cos()), y: exact(angle.sin()) };
        let across = PixelPoint { x: -step.y, y: step.x };
        let (width, height) = ((self.width - 1) as f32, (self.height - 1) as f32);
        let centre = PixelPoint { x: width / 2.0, y: height / 2.0 };
        let extent = width * across.x.abs() + height * across.y.abs();
        let distance = ((extent + 1.0) / count as f32).max(1.0);
        let reach = (extent / 2.0 / distance).floor() as i32;
        (-reach..=reach)
            .filter_map(|index| {
                let middle = centre + across * (index as f32 * distance);
                let (from, to) = clip(middle, step, width, height)?;
                let samples = (to - from) as usize + 1;
                Some(ScanLine { start: middle + step * from, step, samples })
            })
            .collect()
    }
}

/// The two rows or columns around a place, and the share of the second; beyond the edge the edge goes on.
fn between(place: f32, count: usize) -> (usize, usize, f32) {
    let place = place.clamp(0.0, (count - 1) as f32);
    let first = place as usize;
    (first, (first + 1).min(count - 1), place - first as f32)
}

/// Between which multiples of `step` a line through `point` is inside the picture.
fn clip(point: PixelPoint, step: PixelPoint, width: f32, height: f32) -> Option<(f32, f32)> {
    let (mut from, mut to) = (f32::NEG_INFINITY, f32::INFINITY);
    for (at, step, side) in [(point.x, step.x, width), (point.y, step.y, height)] {
        if step.abs() < 1e-6 {
            if !(-0.5..=side + 0.5).contains(&at) {
                return None;
            }
            continue;
        }
        let (a, b) = (-at / step, (side - at) / step);
        from = from.max(a.min(b));
        to = to.min(a.max(b));
    }
    (from <= to && from.is_finite() && to.is_finite()).then_some((from, to))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn noise(width: usize, height: usize) -> Gray {
        let mut random = 1u32;
        let mut next = || {
            random = random.wrapping_mul(1_664_525).wrapping_add(1_013_904_223);
            (random >> 24) as u8
        };
        Gray { width, height, pixels: (0..width * height).map(|_| next()).collect(), scale: 1.0 }
    }

    #[test]
    fn lines_of_every_direction_have_the_interpolated_values() {
        let gray = noise(61, 43);
        let mut values = Vec::new();
        for degrees in (0..180).step_by(15) {
            for thickness in 1..4 {
                for line in gray.lines((degrees as f32).to_radians(), 25) {
                    gray.sample(&line, thickness, &mut values);
                    assert_eq!(values.len(), line.samples);
                    let across = PixelPoint { x: -line.step.y, y: line.step.x };
                    for (index, value) in values.iter().enumerate() {
                        let layers = (0..thickness).map(|layer| {
                            let shift = layer as f32 - (thickness - 1) as f32 / 2.0;
                            gray.at(line.start + across * shift + line.step * index as f32)
                        });
                        let expected = layers.sum::<f32>() / thickness as f32;
                        let off = (value - expected).abs();
                        assert!(off < 2.0, "{degrees}, {thickness}, {line:?}: {value}, {expected}");
                    }
                }
            }
        }
    }

    #[test]
    fn twice_the_size_has_the_interpolated_values() {
        for (width, height) in [(1, 1), (2, 7), (13, 6)] {
            let gray = noise(width, height);
            let doubled = gray.doubled();
            assert_eq!(
                (doubled.width, doubled.height, doubled.scale),
                (2 * width, 2 * height, 0.5)
            );
            for (index, pixel) in doubled.pixels.iter().enumerate() {
                let (x, y) = (index % doubled.width, index / doubled.width);
                let place = PixelPoint { x: x as f32 / 2.0 - 0.25, y: y as f32 / 2.0 - 0.25 };
                assert_eq!(f32::from(*pixel), gray.at(place).round(), "{x}, {y}");
            }
        }
    }
}
