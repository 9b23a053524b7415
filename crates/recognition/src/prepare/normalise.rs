//! From 8-bit samples to the numbers that a graph takes.

use crate::manifest::{Colour, Input, Layout};

/// One pass over the pixels of a picture: `(sample / divide_by - mean) / std` as one multiplication
/// and one addition. Its rows may be shorter than the tensor's: zeros follow on the right.
pub fn normalise<Sample: Copy>(
    rgb: &[Sample],
    width: u32,
    padded_width: u32,
    input: &Input,
    tensor: &mut Vec<f32>,
) where
    f32: From<Sample>,
{
    let (width, padded_width) = (width as usize, padded_width as usize);
    let pixels = rgb.len() / 3 / width * padded_width;
    if padded_width > width {
        tensor.clear();
    }
    tensor.resize(pixels * 3, 0.0);
    let factor = input.std.map(|std| 1.0 / (std * input.divide_by));
    let offset = [0, 1, 2].map(|channel| -input.mean[channel] / input.std[channel]);
    let source_channel = match input.colour {
        Colour::Rgb => [0, 1, 2],
        Colour::Bgr => [2, 1, 0],
    };
    let rows = rgb.chunks_exact(width * 3);
    match input.layout {
        Layout::Nchw => {
            let (first, rest) = tensor.split_at_mut(pixels);
            let (second, third) = rest.split_at_mut(pixels);
            let targets = first
                .chunks_exact_mut(padded_width)
                .zip(second.chunks_exact_mut(padded_width))
                .zip(third.chunks_exact_mut(padded_width));
            for (((first, second), third), row) in targets.zip(rows) {
                let planes = first.iter_mut().zip(second).zip(third);
                for (((a, b), c), pixel) in planes.zip(row.chunks_exact(3)) {
                    let [x, y, z] = source_channel.map(|channel| f32::from(pixel[channel]));
                    *a = x * factor[0] + offset[0];
                    *b = y * factor[1] + offset[1];
                    *c = z * factor[2] + offset[2];
                }
            }
        }
        Layout::Nhwc => {
            for (target, row) in tensor.chunks_exact_mut(padded_width * 3).zip(rows) {
                for (values, pixel) in target.chunks_exact_mut(3).zip(row.chunks_exact(3)) {
                    for channel in 0..3 {
                        let sample = f32::from(pixel[source_channel[channel]]);
                        values[channel] = sample * factor[channel] + offset[channel];
                    }
                }
            }
        }
    }
}
