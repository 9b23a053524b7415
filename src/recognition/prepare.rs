//! From a photo to the tensor that a graph takes: resize, crop, normalise.

use std::time::Duration;

use fast_image_resize::images::{Image, ImageRef};
use fast_image_resize::{FilterType, PixelType, ResizeAlg, ResizeOptions, Resizer};

use super::decode::Photo;
use super::error::RecognitionError;
use super::manifest::{Colour, Input, Layout, Resize};

/// The buffers of one worker, kept from photo to photo.
#[derive(Default)]
pub struct Scratch {
    resizer: Resizer,
    resized: Vec<u8>,
    input: Vec<f32>,
    /// How long the graphs have run for the photo at hand.
    pub(super) inference: Duration,
}

/// Fills the scratch with the graph's input and lends it: `input.shape()`, channels as `layout` and
/// `colour` say.
pub fn prepare<'a>(
    photo: &Photo,
    input: &Input,
    scratch: &'a mut Scratch,
) -> Result<&'a [f32], RecognitionError> {
    resize(photo, input, scratch)?;
    normalise(&scratch.resized, input, &mut scratch.input);
    Ok(&scratch.input)
}

/// The part of the photo that ends up in the input, in the photo's own pixels.
struct Crop {
    left: f64,
    top: f64,
    width: f64,
    height: f64,
}

/// Scaling the whole photo and cropping its centre gives the same samples as scaling the part of
/// the photo under that centre, without making the rest.
fn crop(photo: &Photo, input: &Input) -> Crop {
    let (photo_width, photo_height) = (f64::from(photo.width), f64::from(photo.height));
    let (scaled_width, scaled_height) = match input.resize {
        Resize::Stretch { width, height } => (f64::from(width), f64::from(height)),
        Resize::ShortSide { size } => {
            let size = f64::from(size);
            let scale = size / photo_width.min(photo_height);
            let scaled = |side: f64| (side * scale).round_ties_even().max(size);
            (scaled(photo_width), scaled(photo_height))
        }
    };
    let (width, height) = (f64::from(input.width), f64::from(input.height));
    let (step_x, step_y) = (photo_width / scaled_width, photo_height / scaled_height);
    Crop {
        left: ((scaled_width - width) / 2.0).floor() * step_x,
        top: ((scaled_height - height) / 2.0).floor() * step_y,
        width: width * step_x,
        height: height * step_y,
    }
}

fn resize(photo: &Photo, input: &Input, scratch: &mut Scratch) -> Result<(), RecognitionError> {
    let failed = |error: &dyn std::fmt::Display| {
        RecognitionError::Failed(format!("the photo could not be resized: {error}"))
    };
    let source = ImageRef::new(photo.width, photo.height, &photo.rgb, PixelType::U8x3)
        .map_err(|error| failed(&error))?;
    scratch.resized.resize(input.width as usize * input.height as usize * 3, 0);
    let mut target =
        Image::from_slice_u8(input.width, input.height, &mut scratch.resized, PixelType::U8x3)
            .map_err(|error| failed(&error))?;
    let crop = crop(photo, input);
    let options = ResizeOptions::new()
        .resize_alg(ResizeAlg::Convolution(FilterType::Bilinear))
        .crop(crop.left, crop.top, crop.width, crop.height);
    scratch.resizer.resize(&source, &mut target, &options).map_err(|error| failed(&error))
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
            for (channel, plane) in tensor.chunks_exact_mut(pixels).enumerate() {
                let samples = rgb.iter().skip(source_channel[channel]).step_by(3);
                for (value, sample) in plane.iter_mut().zip(samples) {
                    *value = f32::from(*sample) * factor[channel] + offset[channel];
                }
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
        let photo = Photo { width: 2, height: 1, rgb: vec![10, 20, 30, 110, 120, 130] };
        let mut scratch = Scratch::default();
        prepare(&photo, &input(layout, colour), &mut scratch).expect("prepared").to_vec()
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
        let photo = Photo { width: 800, height: 600, rgb: Vec::new() };
        let mut input = input(Layout::Nchw, Colour::Rgb);
        (input.width, input.height) = (224, 224);
        input.resize = Resize::ShortSide { size: 256 };
        let crop = crop(&photo, &input);
        // 800x600 becomes 341x256; the crop starts at (58, 16).
        assert!((crop.left - 58.0 * 800.0 / 341.0).abs() < 1e-9);
        assert!((crop.top - 16.0 * 600.0 / 256.0).abs() < 1e-9);
        assert!((crop.width - 224.0 * 800.0 / 341.0).abs() < 1e-9);
        assert!((crop.height - 224.0 * 600.0 / 256.0).abs() < 1e-9);
    }

    #[test]
    fn extreme_shapes_are_prepared() {
        let mut input = input(Layout::Nchw, Colour::Rgb);
        (input.width, input.height) = (224, 224);
        input.resize = Resize::ShortSide { size: 256 };
        for (width, height) in [(1, 20000), (20000, 1), (1, 1), (7, 9)] {
            let photo = Photo { width, height, rgb: vec![90; (width * height * 3) as usize] };
            let mut scratch = Scratch::default();
            let tensor = prepare(&photo, &input, &mut scratch).expect("prepared");
            assert_eq!(tensor.len(), 3 * 224 * 224);
            assert!(tensor.iter().all(|value| (value - tensor[0]).abs() < 20.0));
        }
    }
}
