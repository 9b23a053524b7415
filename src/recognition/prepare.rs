//! From a photo to the tensor that a graph takes: resize, crop, normalise.

use std::fmt::Display;
use std::ops::Range;
use std::time::Duration;

use fast_image_resize::images::{Image, ImageRef};
use fast_image_resize::{FilterType, PixelType, ResizeAlg, ResizeOptions, Resizer};

use super::decode::Photo;
use super::error::RecognitionError;
use super::geometry::{Point, Rect};
use super::manifest::{Colour, Input, Layout, Position, Resize, Rounding};

/// The buffers of one worker, kept from photo to photo.
#[derive(Default)]
pub struct Scratch {
    resizer: Resizer,
    narrowed: Vec<u8>,
    resized: Vec<u8>,
    ground: Vec<u8>,
    /// The graph's input.
    pub(super) input: Vec<f32>,
    /// How long the graphs have run for the photo at hand.
    pub(super) inference: Duration,
}

/// Where the photo's pixels are in the input: at `photo * scale + left`, and so on.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Placement {
    pub scale_x: f64,
    pub scale_y: f64,
    pub left: f64,
    pub top: f64,
}

impl Placement {
    /// Where in the photo a point of the input is.
    pub fn in_photo(&self, point: Point) -> Point {
        Point { x: (point.x - self.left) / self.scale_x, y: (point.y - self.top) / self.scale_y }
    }

    /// What a box of the input is in the photo.
    pub fn rect_in_photo(&self, rect: Rect) -> Rect {
        let first = self.in_photo(Point { x: rect.left, y: rect.top });
        let last = self.in_photo(Point { x: rect.right, y: rect.bottom });
        Rect { left: first.x, top: first.y, right: last.x, bottom: last.y }
    }
}

/// Fills the scratch with the graph's input: `input.shape()`, channels as `layout` and `colour` say.
pub fn prepare(
    photo: &Photo,
    input: &Input,
    scratch: &mut Scratch,
) -> Result<Placement, RecognitionError> {
    let (width, height) = (input.width, input.height);
    let placement = match input.resize {
        Resize::ShortSide { .. } | Resize::Stretch { .. } => {
            let (crop, placement) = crop(photo, input);
            resize(photo, &crop, width, height, scratch)?;
            placement
        }
        Resize::Letterbox { fill, position, rounding } => {
            let fit = Fit::new(photo, input, position, rounding);
            resize(photo, &whole(photo), fit.width, fit.height, scratch)?;
            fit.put_on_ground(input, fill, scratch);
            fit.placement()
        }
        Resize::None => {
            scratch.resized.clone_from(&photo.rgb);
            Placement { scale_x: 1.0, scale_y: 1.0, left: 0.0, top: 0.0 }
        }
    };
    normalise(&scratch.resized, input, &mut scratch.input);
    Ok(placement)
}

/// A part of the photo, in the photo's own pixels.
struct Crop {
    left: f64,
    top: f64,
    width: f64,
    height: f64,
}

fn whole(photo: &Photo) -> Crop {
    Crop { left: 0.0, top: 0.0, width: photo.width.into(), height: photo.height.into() }
}

/// The part that ends up in the input. Scaling the whole photo and cropping its centre gives the
/// same samples as scaling the part of the photo under that centre, without making the rest.
fn crop(photo: &Photo, input: &Input) -> (Crop, Placement) {
    let (photo_width, photo_height) = (f64::from(photo.width), f64::from(photo.height));
    let (width, height) = (f64::from(input.width), f64::from(input.height));
    let (scaled_width, scaled_height) = match input.resize {
        Resize::Stretch { width, height } => (f64::from(width), f64::from(height)),
        Resize::ShortSide { size } => {
            let size = f64::from(size);
            let scale = size / photo_width.min(photo_height);
            let scaled = |side: f64| (side * scale).round_ties_even().max(size);
            (scaled(photo_width), scaled(photo_height))
        }
        Resize::Letterbox { .. } | Resize::None => (width, height),
    };
    let (step_x, step_y) = (photo_width / scaled_width, photo_height / scaled_height);
    let left = ((scaled_width - width) / 2.0).floor();
    let top = ((scaled_height - height) / 2.0).floor();
    let crop = Crop {
        left: left * step_x,
        top: top * step_y,
        width: width * step_x,
        height: height * step_y,
    };
    (crop, Placement { scale_x: 1.0 / step_x, scale_y: 1.0 / step_y, left: -left, top: -top })
}

/// The photo in a letterbox.
struct Fit {
    scale: f64,
    width: u32,
    height: u32,
    left: u32,
    top: u32,
}

impl Fit {
    fn new(photo: &Photo, input: &Input, position: Position, rounding: Rounding) -> Fit {
        let (photo_width, photo_height) = (f64::from(photo.width), f64::from(photo.height));
        let scale =
            (f64::from(input.width) / photo_width).min(f64::from(input.height) / photo_height);
        let whole = |side: f64, most: u32| {
            let side = match rounding {
                // A side that fills the input is not to lose a pixel to the last bit of a product.
                Rounding::Down => (side + 1e-9).floor(),
                Rounding::Nearest => side.round_ties_even(),
            };
            (side as u32).clamp(1, most)
        };
        let width = whole(photo_width * scale, input.width);
        let height = whole(photo_height * scale, input.height);
        let (left, top) = match position {
            Position::TopLeft => (0, 0),
            Position::Centre => ((input.width - width) / 2, (input.height - height) / 2),
        };
        Fit { scale, width, height, left, top }
    }

    fn placement(&self) -> Placement {
        Placement {
            scale_x: self.scale,
            scale_y: self.scale,
            left: self.left.into(),
            top: self.top.into(),
        }
    }

    /// Puts the resized photo of the scratch onto a ground of the input's size.
    fn put_on_ground(&self, input: &Input, fill: [u8; 3], scratch: &mut Scratch) {
        let Scratch { resized, ground, .. } = scratch;
        let row_bytes = input.width as usize * 3;
        let pixels = input.width as usize * input.height as usize;
        ground.clear();
        ground.extend(std::iter::repeat_n(fill, pixels).flatten());
        let start = self.top as usize * row_bytes + self.left as usize * 3;
        let rows = resized.chunks_exact(self.width as usize * 3);
        for (target, row) in ground[start..].chunks_mut(row_bytes).zip(rows) {
            target[..row.len()].copy_from_slice(row);
        }
        std::mem::swap(resized, ground);
    }
}

/// Pixels between the two passes of a resize; a photo that would need more takes them in the other
/// order, which then needs few.
const MAX_NARROWED: usize = 16 << 20;

/// Scales a part of the photo to `width` x `height`, which the scratch then holds.
///
/// Triangle filter (bilinear, widened when it scales down) on 8-bit samples, rows first and columns
/// second: the order in which Pillow rounds, so that the samples are those that models are trained
/// and compared with. (`fast_image_resize` alone does columns first.)
fn resize(
    photo: &Photo,
    crop: &Crop,
    width: u32,
    height: u32,
    scratch: &mut Scratch,
) -> Result<(), RecognitionError> {
    let Scratch { resizer, narrowed, resized, .. } = scratch;
    let rows = rows_under(crop, photo, height);
    let row_bytes = photo.width as usize * 3;
    let pixels = &photo.rgb[rows.start * row_bytes..rows.end * row_bytes];
    let source = Source { pixels, width: photo.width, height: rows.len() as u32 };
    let top = crop.top - rows.start as f64;
    if width as usize * rows.len() > MAX_NARROWED {
        let part = [crop.left, top, crop.width, crop.height];
        return scale(resizer, source, part, resized, width, height);
    }
    let full_height = f64::from(source.height);
    let part = [crop.left, 0.0, crop.width, full_height];
    scale(resizer, source, part, narrowed, width, rows.len() as u32)?;
    let source = Source { pixels: narrowed, width, height: rows.len() as u32 };
    scale(resizer, source, [0.0, top, f64::from(width), crop.height], resized, width, height)
}

/// The rows of the photo that the filter reads.
fn rows_under(crop: &Crop, photo: &Photo, height: u32) -> Range<usize> {
    let support = (crop.height / f64::from(height)).max(1.0) + 1.0;
    let last = f64::from(photo.height);
    let start = (crop.top - support).floor().clamp(0.0, last - 1.0);
    let end = (crop.top + crop.height + support).ceil().clamp(start + 1.0, last);
    start as usize..end as usize
}

/// 8-bit RGB pixels.
struct Source<'a> {
    pixels: &'a [u8],
    width: u32,
    height: u32,
}

/// Scales a part (left, top, width, height) of the source to `width` x `height`.
fn scale(
    resizer: &mut Resizer,
    source: Source,
    [left, top, part_width, part_height]: [f64; 4],
    target: &mut Vec<u8>,
    width: u32,
    height: u32,
) -> Result<(), RecognitionError> {
    let failed = |error: &dyn Display| {
        RecognitionError::Failed(format!("the photo could not be resized: {error}"))
    };
    let source = ImageRef::new(source.width, source.height, source.pixels, PixelType::U8x3)
        .map_err(|error| failed(&error))?;
    target.resize(width as usize * height as usize * 3, 0);
    let mut target = Image::from_slice_u8(width, height, target, PixelType::U8x3)
        .map_err(|error| failed(&error))?;
    let options = ResizeOptions::new()
        .resize_alg(ResizeAlg::Convolution(FilterType::Bilinear))
        .crop(left, top, part_width, part_height);
    resizer.resize(&source, &mut target, &options).map_err(|error| failed(&error))
}

/// One pass over the pixels: `(sample / divide_by - mean) / std` as one multiplication and one
/// addition.
fn normalise(rgb: &[u8], input: &Input, tensor: &mut Vec<f32>) {
    let pixels = rgb.len() / 3;
    let factor = input.std.map(|std| 1.0 / (std * input.divide_by));
    let offset = [0, 1, 2].map(|channel| -input.mean[channel] / input.std[channel]);
    let source_channel = match input.colour {
        Colour::Rgb => [0, 1, 2],
        Colour::Bgr => [2, 1, 0],
    };
    tensor.resize(pixels * 3, 0.0);
    match input.layout {
        Layout::Nchw => {
            let (first, rest) = tensor.split_at_mut(pixels);
            let (second, third) = rest.split_at_mut(pixels);
            let planes = first.iter_mut().zip(second).zip(third);
            for (((a, b), c), pixel) in planes.zip(rgb.chunks_exact(3)) {
                let [x, y, z] = source_channel.map(|channel| f32::from(pixel[channel]));
                *a = x * factor[0] + offset[0];
                *b = y * factor[1] + offset[1];
                *c = z * factor[2] + offset[2];
            }
        }
        Layout::Nhwc => {
            for (values, pixel) in tensor.chunks_exact_mut(3).zip(rgb.chunks_exact(3)) {
                for channel in 0..3 {
                    let sample = f32::from(pixel[source_channel[channel]]);
                    values[channel] = sample * factor[channel] + offset[channel];
                }
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn input(layout: Layout, colour: Colour) -> Input {
        Input {
            width: 2,
            height: 1,
            layout,
            colour,
            resize: Resize::Stretch { width: 2, height: 1 },
            divide_by: 10.0,
            mean: [1.0, 2.0, 3.0],
            std: [1.0, 2.0, 4.0],
        }
    }

    fn prepared(layout: Layout, colour: Colour) -> Vec<f32> {
        let photo = Photo::new(2, 1, vec![10, 20, 30, 110, 120, 130]);
        let mut scratch = Scratch::default();
        prepare(&photo, &input(layout, colour), &mut scratch).expect("prepared");
        scratch.input
    }

    #[track_caller]
    fn assert_near(got: &[f32], want: &[f32]) {
        assert_eq!(got.len(), want.len());
        for (a, b) in got.iter().zip(want) {
            assert!((a - b).abs() < 1e-5, "{got:?} is not {want:?}");
        }
    }

    #[test]
    fn planes_or_pixels_in_the_order_of_the_colours() {
        assert_near(&prepared(Layout::Nchw, Colour::Rgb), &[0.0, 10.0, 0.0, 5.0, 0.0, 2.5]);
        assert_near(&prepared(Layout::Nhwc, Colour::Rgb), &[0.0, 0.0, 0.0, 10.0, 5.0, 2.5]);
        assert_near(&prepared(Layout::Nchw, Colour::Bgr), &[2.0, 12.0, 0.0, 5.0, -0.5, 2.0]);
        assert_near(&prepared(Layout::Nhwc, Colour::Bgr), &[2.0, 0.0, -0.5, 12.0, 5.0, 2.0]);
    }

    #[test]
    fn the_crop_is_the_centre_of_the_scaled_photo() {
        let photo = Photo::new(800, 600, Vec::new());
        let mut input = input(Layout::Nchw, Colour::Rgb);
        (input.width, input.height) = (224, 224);
        input.resize = Resize::ShortSide { size: 256 };
        let (crop, placement) = crop(&photo, &input);
        // 800x600 becomes 341x256; the crop starts at (58, 16).
        assert!((crop.left - 58.0 * 800.0 / 341.0).abs() < 1e-9);
        assert!((crop.top - 16.0 * 600.0 / 256.0).abs() < 1e-9);
        assert!((crop.width - 224.0 * 800.0 / 341.0).abs() < 1e-9);
        assert!((crop.height - 224.0 * 600.0 / 256.0).abs() < 1e-9);
        let centre = placement.in_photo(Point { x: 112.0, y: 112.0 });
        assert!((centre.x - 170.0 * 800.0 / 341.0).abs() < 1e-9);
        assert!((centre.y - 300.0).abs() < 1e-9);
    }

    #[test]
    fn a_letterbox_holds_the_whole_photo_on_its_ground() {
        let photo = Photo { width: 5, height: 2, rgb: vec![200; 30] };
        let mut input = input(Layout::Nchw, Colour::Rgb);
        (input.width, input.height) = (10, 6);
        (input.divide_by, input.mean, input.std) = (1.0, [0.0; 3], [1.0; 3]);
        let mut rows = |position, rounding| {
            input.resize = Resize::Letterbox { fill: [7, 8, 9], position, rounding };
            let mut scratch = Scratch::default();
            let placement = prepare(&photo, &input, &mut scratch).expect("prepared");
            assert_eq!(scratch.input.len(), 180);
            assert_eq!(scratch.input[60 + 59], 8.0);
            let corner = placement.in_photo(Point { x: 10.0, y: 4.0 + placement.top });
            assert_eq!(corner, Point { x: 5.0, y: 2.0 });
            (0..6).filter(|row| scratch.input[row * 10] == 200.0).collect::<Vec<_>>()
        };
        assert_eq!(rows(Position::TopLeft, Rounding::Down), [0, 1, 2, 3]);
        assert_eq!(rows(Position::Centre, Rounding::Nearest), [1, 2, 3, 4]);
    }

    #[test]
    fn only_the_rows_that_are_read_are_scaled() {
        let mut input = input(Layout::Nchw, Colour::Rgb);
        (input.width, input.height) = (224, 224);
        input.resize = Resize::ShortSide { size: 256 };
        let photo = Photo::new(600, 2000, Vec::new());
        let (crop, _) = crop(&photo, &input);
        let rows = rows_under(&crop, &photo, 224);
        assert!(rows.start as f64 <= crop.top - crop.height / 224.0);
        assert!(rows.end as f64 >= crop.top + crop.height * 225.0 / 224.0);
        assert!(rows.len() < 600);
    }

    #[test]
    fn extreme_shapes_are_prepared() {
        let mut input = input(Layout::Nchw, Colour::Rgb);
        (input.width, input.height) = (224, 224);
        input.resize = Resize::ShortSide { size: 256 };
        let stretch = Resize::Stretch { width: 256, height: 256 };
        let letterbox = Resize::Letterbox {
            fill: [90; 3],
            position: Position::Centre,
            rounding: Rounding::Down,
        };
        for resize in [input.resize, stretch, letterbox] {
            input.resize = resize;
            for (width, height) in [(1, 200_000), (200_000, 1), (1, 1), (7, 9), (30, 100_000)] {
                let photo = Photo::new(width, height, vec![90; (width * height * 3) as usize]);
                let mut scratch = Scratch::default();
                prepare(&photo, &input, &mut scratch).expect("prepared");
                let (tensor, plane) = (&scratch.input, 224 * 224);
                assert_eq!(tensor.len(), 3 * plane);
                assert!(tensor[..plane].iter().all(|value| (value - tensor[0]).abs() < 1e-5));
                assert!(scratch.narrowed.len() <= MAX_NARROWED * 3);
            }
        }
    }
}
