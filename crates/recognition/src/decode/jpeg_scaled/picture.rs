//! The picture at its reduced size: which coefficients of each component it needs, and a row of
//! units on its way from coefficients to RGB.

use super::colour::{ColourSpace, write_row};
use super::idct::{Inverse, inverse, sample, weight};
use super::tables::{Tables, defined};
use super::undecodable::Undecodable;
use crate::decode::jpeg_stream::{Component, Frame};

/// Row and column of each coefficient in zigzag order: row * 8 + column.
#[rustfmt::skip]
const ZIGZAG: [u8; 64] = [
     0,  1,  8, 16,  9,  2,  3, 10, 17, 24, 32, 25, 18, 11,  4,  5,
    12, 19, 26, 33, 40, 48, 41, 34, 27, 20, 13,  6,  7, 14, 21, 28,
    35, 42, 49, 56, 57, 50, 43, 36, 29, 22, 15, 23, 30, 37, 44, 51,
    58, 59, 52, 45, 38, 31, 39, 46, 53, 60, 61, 54, 47, 55, 62, 63,
];

/// Where coefficients go that are not needed: behind the block.
const DROPPED: u8 = 64;

/// The coefficients of a block that are needed, weighted, and room for those that are not.
pub(super) type Block = [f32; 128];

/// The picture at its reduced size.
pub(super) struct Picture {
    pub width: usize,
    pub height: usize,
    /// Units (minimum coded units) across and down.
    pub units: (usize, usize),
    pub planes: Vec<Plane>,
    colour_space: ColourSpace,
    /// Samples in a row of a plane, which has whole units.
    stride: usize,
    /// Rows of samples in a row of units.
    unit_rows: usize,
}

/// A component. All have the same number of samples: a component with fewer blocks is transformed
/// to larger ones.
pub(super) struct Plane {
    pub component: Component,
    /// Blocks of a unit, across and down.
    pub blocks_across: usize,
    pub blocks_down: usize,
    /// Blocks across and down that a scan of this component alone has: those with pixels.
    pub blocks_alone: (usize, usize),
    /// Samples that a block becomes, across and down: 1, 2, 4 or 8.
    columns: usize,
    rows: usize,
    /// How often a sample is repeated, across and down.
    repeats: (usize, usize),
    /// The last coefficient that is needed, in zigzag order.
    pub last: usize,
    /// Where each coefficient, in zigzag order, is in a [`Block`].
    pub places: [u8; 64],
    /// What it is multiplied with: quantisation value and weight. Filled in before the first scan.
    pub weights: [f32; 64],
    inverse: Inverse,
    /// A row of units.
    samples: Vec<u8>,
}

impl Picture {
    /// The first component must be the finest, and all sampling factors powers of two.
    pub fn new(frame: &Frame, denominator: u32, colour_space: ColourSpace) -> Self {
        let is_alone = frame.components.len() == 1;
        // The sampling factors of a single component have no meaning.
        let sampling = |component: &Component| match is_alone {
            true => (1, 1),
            false => (component.horizontal as usize, component.vertical as usize),
        };
        let (most_across, most_down) = sampling(&frame.components[0]);
        let (width, height) = (frame.width as usize, frame.height as usize);
        let units = (width.div_ceil(8 * most_across), height.div_ceil(8 * most_down));
        let size = 8 / denominator as usize;
        let stride = units.0 * most_across * size;
        let unit_rows = most_down * size;
        let planes = frame.components.iter().map(|component| {
            let (across, down) = sampling(component);
            Plane {
                blocks_across: across,
                blocks_down: down,
                blocks_alone: (
                    (width * across).div_ceil(8 * most_across),
                    (height * down).div_ceil(8 * most_down),
                ),
                ..Plane::new(*component, size * most_across / across, size * most_down / down)
            }
        });
        Self {
            width: width.div_ceil(denominator as usize),
            height: height.div_ceil(denominator as usize),
            units,
            planes: planes.collect(),
            colour_space,
            stride,
            unit_rows,
        }
    }

    /// Bytes of the samples in a row of units.
    pub fn row_memory(&self) -> u64 {
        (self.planes.len() * self.stride * self.unit_rows) as u64
    }

    /// Takes what is defined before the first scan, and makes room for a row of units.
    pub fn prepare(&mut self, tables: &Tables) -> Result<(), Undecodable> {
        for plane in &mut self.planes {
            let values = defined(&tables.quantisation, plane.component.quantisation.into())?;
            for (weight, value) in plane.weights.iter_mut().zip(values) {
                *weight *= f32::from(value);
            }
            plane.samples = vec![0; self.stride * self.unit_rows];
        }
        Ok(())
    }

    /// Turns a block into samples of the row of units, and clears it. `x` and `y` count the
    /// component's blocks in this row.
    #[inline(always)]
    pub fn show(&mut self, plane: usize, x: usize, y: usize, block: &mut Block) {
        let stride = self.stride;
        let plane = &mut self.planes[plane];
        let (columns, rows) = (plane.columns, plane.rows);
        let (repeat_across, repeat_down) = plane.repeats;
        let place = y * rows * repeat_down * stride + x * columns * repeat_across;
        let samples = &mut plane.samples[place..];
        let Some((block, _)) = block.split_first_chunk_mut::<64>() else { return };
        if plane.repeats == (1, 1) {
            (plane.inverse)(block, samples, stride);
        } else {
            let mut small = [0; 64];
            (plane.inverse)(block, &mut small, columns);
            for (index, row) in samples.chunks_mut(stride).take(rows * repeat_down).enumerate() {
                let from = &small[index / repeat_down * columns..][..columns];
                for (to, &sample) in row.chunks_exact_mut(repeat_across).zip(from) {
                    to.fill(sample);
                }
            }
        }
        block[..columns * rows].fill(0.0);
    }

    /// As [`Picture::show`], of a block with one brightness.
    #[inline(always)]
    pub fn show_flat(&mut self, plane: usize, x: usize, y: usize, coefficient: f32) {
        let stride = self.stride;
        let plane = &mut self.planes[plane];
        let columns = plane.columns * plane.repeats.0;
        let rows = plane.rows * plane.repeats.1;
        let brightness = sample(coefficient);
        let samples = &mut plane.samples[y * rows * stride + x * columns..];
        for row in samples.chunks_mut(stride).take(rows) {
            row[..columns].fill(brightness);
        }
    }

    /// Appends a finished row of units to the picture, as far as it is part of it.
    pub fn write(&self, unit_row: usize, rgb: &mut Vec<u8>) {
        let first = unit_row * self.unit_rows;
        let count = self.unit_rows.min(self.height - first);
        for row in 0..count {
            let range = row * self.stride..row * self.stride + self.width;
            let rows = self.planes.iter().map(|plane| &plane.samples[range.clone()]);
            write_row(self.colour_space, rows, rgb);
        }
    }
}

impl Plane {
    /// Coefficients of a block that are needed.
    pub fn length(&self) -> usize {
        self.columns * self.rows
    }

    /// The weights of a [`Block`].
    pub fn placed_weights(&self) -> [f32; 64] {
        let mut weights = [0.0; 64];
        for (&place, &weight) in self.places.iter().zip(&self.weights) {
            if place != DROPPED {
                weights[usize::from(place)] = weight;
            }
        }
        weights
    }

    fn new(component: Component, across: usize, down: usize) -> Self {
        let (columns, rows) = (across.min(8), down.min(8));
        let mut plane = Self {
            component,
            blocks_across: 1,
            blocks_down: 1,
            blocks_alone: (0, 0),
            columns,
            rows,
            repeats: (across / columns, down / rows),
            last: 0,
            places: [DROPPED; 64],
            weights: [0.0; 64],
            inverse: inverse(columns, rows),
            samples: Vec::new(),
        };
        for (index, &place) in ZIGZAG.iter().enumerate() {
            let (row, column) = (usize::from(place / 8), usize::from(place % 8));
            if row < rows && column < columns {
                plane.places[index] = (row * columns + column) as u8;
                plane.weights[index] = weight(row) * weight(column);
                plane.last = index;
            }
        }
        plane
    }
}
