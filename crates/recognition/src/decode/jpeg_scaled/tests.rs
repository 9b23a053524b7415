//! Against the full decoder: the same picture, the same files refused.

use jpeg_encoder::{ColorType, Encoder, SamplingFactor};

use super::ScaledDecoder;
use crate::decode::jpeg_stream::JpegStream;
use crate::decode::{DecodeLimits, Detail, Photo, decode};

const SAMPLINGS: [SamplingFactor; 8] = [
    SamplingFactor::F_1_1,
    SamplingFactor::F_2_1,
    SamplingFactor::F_1_2,
    SamplingFactor::F_2_2,
    SamplingFactor::F_4_1,
    SamplingFactor::F_4_2,
    SamplingFactor::F_1_4,
    SamplingFactor::F_2_4,
];

/// How a file is written.
#[derive(Clone, Copy, Debug)]
struct Coding {
    size: (u16, u16),
    sampling: SamplingFactor,
    is_grey: bool,
    is_progressive: bool,
    restart_interval: u16,
}

const ORDINARY: Coding = Coding {
    size: (61, 45),
    sampling: SamplingFactor::F_2_2,
    is_grey: false,
    is_progressive: false,
    restart_interval: 0,
};

/// Soft waves of another length in each channel: at most 1.5 levels from a pixel to the next, so
/// that means over pixels and the low frequencies of a block show the same.
fn file(coding: Coding) -> Vec<u8> {
    encoded(coding, |x, y, channel| {
        let slope = 0.02 + 0.005 * channel as f32;
        128.0 + 50.0 * ((x as f32 * slope).sin() - (y as f32 * 0.03 - slope).cos())
    })
}

fn encoded(coding: Coding, picture: impl Fn(usize, usize, usize) -> f32) -> Vec<u8> {
    let (width, height) = coding.size;
    let channels = if coding.is_grey { 1 } else { 3 };
    let mut samples = Vec::new();
    for (y, x) in (0..height).flat_map(|y| (0..width).map(move |x| (y, x))) {
        samples.extend((0..channels).map(|channel| picture(x.into(), y.into(), channel) as u8));
    }
    let mut payload = Vec::new();
    let mut encoder = Encoder::new(&mut payload, 95);
    encoder.set_sampling_factor(coding.sampling);
    encoder.set_progressive(coding.is_progressive);
    encoder.set_restart_interval(coding.restart_interval);
    let colour = if coding.is_grey { ColorType::Luma } else { ColorType::Rgb };
    encoder.encode(&samples, width, height, colour).unwrap();
    payload
}

fn decoded(payload: &[u8], detail: Detail) -> Photo {
    decode(payload, &DecodeLimits::default(), detail).unwrap()
}

/// At 1/denominator.
fn scaled(payload: &[u8], (width, height): (u16, u16), denominator: u16) -> Photo {
    let side = u32::from(width.min(height).div_ceil(denominator));
    let stream = JpegStream::read(payload).unwrap();
    let rgb = ScaledDecoder::new(&stream, denominator.into()).unwrap().decode().unwrap();
    let photo = decoded(payload, Detail::ShortSide(side));
    let reduced = |side: u16| u32::from(side.div_ceil(denominator));
    assert_eq!((photo.full_width, photo.full_height), (width.into(), height.into()));
    // A side of a pixel or two stays so long at several denominators.
    if side > 2 {
        assert_eq!((photo.width, photo.height), (reduced(width), reduced(height)));
        assert!(photo.rgb == rgb);
    }
    Photo { width: reduced(width), height: reduced(height), rgb, ..photo }
}

/// The mean over squares of pixels, at the right and lower edge over what there is of them.
fn box_averages(full: &Photo, denominator: usize) -> Vec<f32> {
    let (width, height) = (full.width as usize, full.height as usize);
    let pixels = full.rgb.as_chunks::<3>().0;
    let mut averages = Vec::new();
    for top in (0..height).step_by(denominator) {
        for left in (0..width).step_by(denominator) {
            let mut sums = [0.0; 3];
            let (bottom, right) =
                ((top + denominator).min(height), (left + denominator).min(width));
            for (y, x) in (top..bottom).flat_map(|y| (left..right).map(move |x| (y, x))) {
                for (sum, &sample) in sums.iter_mut().zip(&pixels[y * width + x]) {
                    *sum += f32::from(sample);
                }
            }
            averages.extend(sums.map(|sum| sum / ((bottom - top) * (right - left)) as f32));
        }
    }
    averages
}

/// Rounding of coefficients, chroma, samples and the full picture make two levels, the slope within
/// a square that is cut at the edge up to 1.5 * 8 / 2 more.
fn assert_shows_the_same(coding: Coding, payload: &[u8], denominator: u16) {
    let photo = scaled(payload, coding.size, denominator);
    let expected = box_averages(&decoded(payload, Detail::Full), denominator.into());
    assert_eq!(photo.rgb.len(), expected.len());
    let differences = photo.rgb.iter().zip(expected).map(|(&a, b)| (f32::from(a) - b).abs());
    let largest = differences.clone().fold(0.0, f32::max);
    let mean = differences.sum::<f32>() / photo.rgb.len() as f32;
    assert!(mean < 2.0 && largest < 8.0, "{coding:?} 1/{denominator}: {mean} {largest}");
}

#[test]
fn every_coding_shows_the_averages_of_the_full_picture() {
    for ((index, sampling), size) in SAMPLINGS
        .into_iter()
        .enumerate()
        .flat_map(|one| [(61, 45), (64, 32), (1, 9)].map(|size| (one, size)))
    {
        for variant in 0..8 {
            let coding = Coding {
                size,
                sampling,
                is_grey: variant & 1 != 0,
                // The encoder writes the coarsest chroma in scans of its own, unless progressive.
                is_progressive: variant & 2 != 0 || index > 3,
                restart_interval: if variant & 4 != 0 { 3 } else { 0 },
            };
            let payload = file(coding);
            for denominator in [2, 4, 8] {
                assert_shows_the_same(coding, &payload, denominator);
            }
        }
    }
}

#[test]
fn a_file_that_ends_early_is_refused_where_the_full_decoder_refuses_it() {
    for (is_progressive, restart_interval) in [(false, 0), (false, 2), (true, 0), (true, 2)] {
        let payload = file(Coding { is_progressive, restart_interval, ..ORDINARY });
        let mut accepted = 0;
        for length in 0..payload.len() {
            let outcome = |detail| decode(&payload[..length], &DecodeLimits::default(), detail);
            let full = outcome(Detail::Full).map(|_| ());
            accepted += usize::from(full.is_ok());
            for side in [1, 12, 23] {
                assert_eq!(outcome(Detail::ShortSide(side)).map(|_| ()), full, "{length}");
            }
        }
        assert!(accepted < 20, "{accepted}");
    }
}

#[test]
fn entropy_coded_data_that_ends_early_is_not_decoded() {
    for restart_interval in [0, 2] {
        let payload = file(Coding { size: (161, 90), restart_interval, ..ORDINARY });
        for missing in 3..200 {
            let cut = [&payload[..payload.len() - 2 - missing], &[0xff, 0xd9]].concat();
            let stream = JpegStream::read(&cut).unwrap();
            let outcome = ScaledDecoder::new(&stream, 8).unwrap().decode();
            assert!(outcome.is_err(), "{missing}");
        }
    }
}

#[test]
fn no_damaged_byte_makes_it_panic() {
    for is_progressive in [false, true] {
        for sampling in [SamplingFactor::F_1_1, SamplingFactor::F_2_2] {
            let coding = Coding { size: (40, 24), is_progressive, sampling, ..ORDINARY };
            let payload = file(coding);
            for (index, flip) in
                (0..payload.len()).flat_map(|index| [1, 0x10, 0xff].map(|flip| (index, flip)))
            {
                let mut damaged = payload.clone();
                damaged[index] ^= flip;
                let Ok(stream) = JpegStream::read(&damaged) else { continue };
                if stream.frame.width > 1000 || stream.frame.height > 1000 {
                    continue; // for the limits, which are not asked here
                }
                for denominator in [2, 4, 8] {
                    if let Some(decoder) = ScaledDecoder::new(&stream, denominator) {
                        let (width, height) = decoder.size();
                        let length = (width * height * 3) as usize;
                        if let Ok(rgb) = decoder.decode() {
                            assert_eq!(rgb.len(), length);
                        }
                    }
                }
            }
        }
    }
}

#[test]
fn sides_are_those_of_the_upright_picture() {
    let mut payload = Vec::new();
    let mut encoder = Encoder::new(&mut payload, 90);
    let exif = b"II*\0\x08\0\0\0\x01\0\x12\x01\x03\0\x01\0\0\0\x06\0\0\0\0\0\0\0";
    encoder.add_exif_metadata(exif).unwrap();
    encoder.encode(&[90; 64 * 32], 64, 32, ColorType::Luma).unwrap();
    let photo = decoded(&payload, Detail::LongSide(16));
    assert_eq!((photo.full_width, photo.full_height), (32, 64));
    assert_eq!((photo.width, photo.height), (8, 16));
    assert!(photo.rgb.iter().all(|sample| sample.abs_diff(90) <= 1));
}

#[test]
fn the_side_that_is_wanted_remains() {
    let sides = |detail: Detail| {
        let photo = decoded(&file(Coding { size: (161, 90), ..ORDINARY }), detail);
        (photo.width, photo.height)
    };
    assert_eq!(sides(Detail::Full), (161, 90));
    assert_eq!(sides(Detail::ShortSide(46)), (161, 90));
    assert_eq!(sides(Detail::ShortSide(45)), (81, 45));
    assert_eq!(sides(Detail::ShortSide(23)), (41, 23));
    assert_eq!(sides(Detail::ShortSide(12)), (21, 12));
    assert_eq!(sides(Detail::LongSide(82)), (161, 90));
    assert_eq!(sides(Detail::LongSide(81)), (81, 45));
    assert_eq!(sides(Detail::LongSide(0)), (21, 12));
}
