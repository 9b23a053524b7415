//! Files made here, format by format: what is shown, and what is refused.

use std::io::Cursor;

use image::{
    DynamicImage, ExtendedColorType, ImageBuffer, ImageEncoder, ImageFormat, Rgb, RgbImage, Rgba,
    RgbaImage,
};

use super::{Background, DecodeLimits, Detail, Photo, Wanted, decode};
use crate::error::RecognitionError;

fn decoded(payload: &[u8]) -> Photo {
    decode(payload, &DecodeLimits::default(), Detail::Full).unwrap()
}

/// The sentence with which a payload is refused.
pub(super) fn refused(payload: &[u8]) -> String {
    refused_by(payload, &DecodeLimits::default())
}

fn refused_by(payload: &[u8], limits: &DecodeLimits) -> String {
    match decode(payload, limits, Detail::Full) {
        Err(RecognitionError::BadImage(sentence)) => sentence,
        other => panic!("{other:?}"),
    }
}

/// A picture in which every pixel differs from its neighbours, yet smooth enough for JPEG.
fn gradient(width: u32, height: u32) -> RgbImage {
    RgbImage::from_fn(width, height, |x, y| {
        Rgb([(x * 255 / width) as u8, (y * 255 / height) as u8, 90])
    })
}

fn encoded(picture: impl Into<DynamicImage>, format: ImageFormat) -> Vec<u8> {
    let mut payload = Cursor::new(Vec::new());
    picture.into().write_to(&mut payload, format).unwrap();
    payload.into_inner()
}

#[test]
fn lossless_formats_give_every_pixel_as_it_was() {
    let picture = gradient(37, 21);
    for format in [ImageFormat::Png, ImageFormat::WebP, ImageFormat::Bmp] {
        let photo = decoded(&encoded(picture.clone(), format));
        assert_eq!((photo.width, photo.height), (37, 21), "{format:?}");
        assert!(photo.rgb == *picture.as_raw(), "{format:?}");
    }
}

#[test]
fn jpeg_comes_close_to_what_it_was() {
    let picture = gradient(64, 48);
    let photo = decoded(&encoded(picture.clone(), ImageFormat::Jpeg));
    let largest = photo.rgb.iter().zip(picture.as_raw()).map(|(a, b)| a.abs_diff(*b)).max();
    assert!(largest < Some(24), "{largest:?}");
}

#[test]
fn grey_becomes_rgb() {
    let picture = ImageBuffer::from_fn(9, 5, |x, y| image::Luma([(x * 20 + y) as u8]));
    for format in [ImageFormat::Png, ImageFormat::Jpeg, ImageFormat::Bmp] {
        let photo = decoded(&encoded(picture.clone(), format));
        for (pixel, grey) in photo.rgb.chunks(3).zip(picture.as_raw()) {
            assert!(pixel.iter().all(|value| value.abs_diff(*grey) < 4), "{format:?}");
        }
    }
}

#[test]
fn sixteen_bits_are_cut_to_their_high_bytes() {
    let picture = ImageBuffer::from_fn(4, 1, |x, _| Rgb([0x12ff, 0xff00, x as u16 * 0x0101]));
    let photo = decoded(&encoded(DynamicImage::ImageRgb16(picture), ImageFormat::Png));
    assert_eq!(photo.rgb, [0x12, 0xff, 0, 0x12, 0xff, 1, 0x12, 0xff, 2, 0x12, 0xff, 3]);
}

#[test]
fn transparency_lies_over_white() {
    let picture = RgbaImage::from_fn(3, 1, |x, _| Rgba([0, 100, 255, [0, 128, 255][x as usize]]));
    for format in [ImageFormat::Png, ImageFormat::WebP] {
        let photo = decoded(&encoded(picture.clone(), format));
        assert_eq!(photo.rgb, [255, 255, 255, 127, 177, 255, 0, 100, 255], "{format:?}");
    }
}

#[test]
fn grey_with_transparency_lies_over_white() {
    let picture = ImageBuffer::from_fn(2, 1, |x, _| image::LumaA([40, [0, 255][x as usize]]));
    let photo = decoded(&encoded(DynamicImage::ImageLumaA8(picture), ImageFormat::Png));
    assert_eq!(photo.rgb, [255, 255, 255, 40, 40, 40]);
}

#[test]
fn transparency_lies_over_what_contrasts_if_that_is_wanted() {
    let grounds = |payload: &[u8]| {
        let over = |background| {
            let wanted = Wanted { detail: Detail::Full, background };
            let photo = decode(payload, &DecodeLimits::default(), wanted).unwrap();
            assert_eq!(photo.rgb[3..6], [240; 3]);
            photo.rgb[..3].to_vec()
        };
        (over(Background::White), over(Background::Contrast))
    };
    // Light letters on nothing.
    let grey = |x| if x == 0 { [90, 90, 90, 0] } else { [240, 240, 240, 255] };
    let picture = RgbaImage::from_fn(4, 3, |x, _| Rgba(grey(x)));
    let greys = ImageBuffer::from_fn(4, 3, |x, _| image::LumaA([grey(x)[0], grey(x)[3]]));
    let mut payloads = vec![encoded(DynamicImage::ImageLumaA8(greys), ImageFormat::Png)];
    for format in [ImageFormat::Png, ImageFormat::WebP, ImageFormat::Gif] {
        payloads.push(encoded(picture.clone(), format));
    }
    for payload in payloads {
        assert_eq!(grounds(&payload), (vec![255; 3], vec![0; 3]), "{:?}", &payload[..4]);
    }
}

/// A TIFF block with nothing but an orientation.
fn exif(orientation: u8) -> Vec<u8> {
    let entry = [0x12, 1, 3, 0, 1, 0, 0, 0, orientation, 0, 0, 0];
    [&b"II*\0\x08\0\0\0\x01\0"[..], &entry, &[0; 4]].concat()
}

/// The bytes with others put in at a place.
fn with_inserted(payload: &[u8], at: usize, inserted: &[u8]) -> Vec<u8> {
    [&payload[..at], inserted, &payload[at..]].concat()
}

#[test]
fn exif_orientation_counts_in_jpeg_png_and_webp() {
    let stored = gradient(16, 8);
    let upright = image::imageops::rotate90(&stored);

    let mut jpeg = Vec::new();
    let mut encoder = image::codecs::jpeg::JpegEncoder::new_with_quality(&mut jpeg, 100);
    encoder.set_exif_metadata(exif(6)).unwrap();
    encoder.write_image(stored.as_raw(), 16, 8, ExtendedColorType::Rgb8).unwrap();
    let mut png = Vec::new();
    let mut encoder = image::codecs::png::PngEncoder::new(&mut png);
    encoder.set_exif_metadata(exif(6)).unwrap();
    encoder.write_image(stored.as_raw(), 16, 8, ExtendedColorType::Rgb8).unwrap();
    let mut webp = Vec::new();
    let mut encoder = image::codecs::webp::WebPEncoder::new_lossless(&mut webp);
    encoder.set_exif_metadata(exif(6)).unwrap();
    encoder.write_image(stored.as_raw(), 16, 8, ExtendedColorType::Rgb8).unwrap();

    for payload in [jpeg, png, webp] {
        let photo = decoded(&payload);
        assert_eq!((photo.width, photo.height), (8, 16));
        let far = photo.rgb.iter().zip(upright.as_raw()).filter(|(a, b)| a.abs_diff(**b) > 16);
        assert_eq!(far.count(), 0, "{:?}", &payload[..4]);
    }
}

/// A PNG chunk with its check sum.
fn png_chunk(kind: &[u8; 4], content: &[u8]) -> Vec<u8> {
    let mut remainder = !0u32;
    for byte in kind.iter().chain(content) {
        remainder ^= u32::from(*byte);
        for _ in 0..8 {
            remainder = (remainder >> 1) ^ (0xedb8_8320 & (remainder & 1).wrapping_neg());
        }
    }
    let length = (content.len() as u32).to_be_bytes();
    [&length[..], kind, content, &(!remainder).to_be_bytes()].concat()
}

/// Where the header chunk of a PNG ends.
const PNG_AFTER_HEADER: usize = 8 + 12 + 13;

#[test]
fn exif_behind_the_pixels_of_a_png_counts() {
    let png = encoded(gradient(16, 8), ImageFormat::Png);
    let photo = decoded(&with_inserted(&png, png.len() - 12, &png_chunk(b"eXIf", &exif(8))));
    assert_eq!((photo.width, photo.height), (8, 16));
}

#[test]
fn a_palette_that_ends_inside_a_colour_is_refused() {
    let png = encoded(gradient(4, 4), ImageFormat::Png);
    for length in [0, 1, 50] {
        let palette = png_chunk(b"PLTE", &vec![7; length]);
        refused(&with_inserted(&png, PNG_AFTER_HEADER, &palette));
    }
}

#[test]
fn a_transparent_colour_of_a_png_is_white() {
    let picture = RgbImage::from_fn(2, 1, |x, _| Rgb([9, 8, [7, 6][x as usize]]));
    let png = encoded(picture, ImageFormat::Png);
    let transparent = png_chunk(b"tRNS", &[0, 9, 0, 8, 0, 7]);
    let photo = decoded(&with_inserted(&png, PNG_AFTER_HEADER, &transparent));
    assert_eq!(photo.rgb, [255, 255, 255, 9, 8, 6]);
}

#[test]
fn metadata_of_a_png_is_bounded() {
    let png = encoded(gradient(4, 4), ImageFormat::Png);
    let large = png_chunk(b"eXIf", &vec![0; 9_000_000]);
    let sentence = refused(&with_inserted(&png, PNG_AFTER_HEADER, &large));
    assert!(sentence.contains("metadata"), "{sentence}");
    let text = png_chunk(b"tEXt", &vec![b'x'; 9_000_000]);
    decoded(&with_inserted(&png, PNG_AFTER_HEADER, &text));
}

#[test]
fn truncated_files_are_refused() {
    // Noise: whatever is missing, pixels are.
    let mut seed = 1u32;
    let noise = RgbImage::from_fn(40, 40, |_, _| {
        seed = seed.wrapping_mul(1_664_525).wrapping_add(1_013_904_223);
        Rgb([(seed >> 24) as u8, (seed >> 16) as u8, (seed >> 8) as u8])
    });
    for format in
        [ImageFormat::Jpeg, ImageFormat::Png, ImageFormat::WebP, ImageFormat::Gif, ImageFormat::Bmp]
    {
        let payload = encoded(noise.clone(), format);
        decoded(&payload);
        let without_end = payload.len() - 64;
        for length in (0..without_end).step_by(7).chain([without_end]) {
            refused(&payload[..length]);
        }
    }
}

/// Headers alone: the size is read and refused without any pixel there.
#[test]
fn too_many_pixels_are_refused_by_the_header() {
    let jpeg =
        b"\xff\xd8\xff\xc0\0\x0b\x08\xff\xff\xff\xff\x01\x01\x11\0\xff\xda\0\x08\x01\x01\0\0\x3f\0"
            .to_vec();
    let png_header = png_chunk(b"IHDR", &[0, 1, 0, 0, 0, 1, 0, 0, 8, 2, 0, 0, 0]);
    let png = [&b"\x89PNG\r\n\x1a\n"[..], &png_header].concat();
    let gif = b"GIF89a\xff\xff\xff\xff\0\0\0\x2c\0\0\0\0\x01\0\x01\0\0\x02".to_vec();
    let mut bmp = encoded(gradient(2, 2), ImageFormat::Bmp);
    bmp[18..26].copy_from_slice(&[0xff, 0xff, 0, 0, 0xff, 0xff, 0, 0]);
    let webp = b"RIFF\x12\0\0\0WEBPVP8L\x05\0\0\0\x2f\xfe\xbf\xff\x0f\0".to_vec();
    for payload in [jpeg, png, gif, bmp, webp] {
        let sentence = refused(&payload);
        assert!(sentence.contains("image.max-pixels is 50000000"), "{sentence}");
    }
}

#[test]
fn limits_are_exact_and_named() {
    let payload = encoded(gradient(30, 20), ImageFormat::Png);
    let limits = DecodeLimits { max_pixels: 600, ..DecodeLimits::default() };
    assert!(decode(&payload, &limits, Detail::Full).is_ok());
    let sentence = refused_by(&payload, &DecodeLimits { max_pixels: 599, ..limits });
    assert_eq!(sentence, "the image is too large: 30x20 is 600 pixels, image.max-pixels is 599");
    let sentence = refused_by(&payload, &DecodeLimits { memory: 1000, ..limits });
    assert!(sentence.ends_with("image.decode-memory is 1000"), "{sentence}");
}

/// A GIF of 4x3 whose only frame, one pixel of colour 1, is at (2, 1). Colour 0 is the background.
fn gif_with_small_frame(transparent: Option<u8>) -> Vec<u8> {
    let mut gif = b"GIF89a\x04\0\x03\0\x80\0\0".to_vec();
    gif.extend([10, 20, 30, 40, 50, 60]);
    if let Some(index) = transparent {
        gif.extend([0x21, 0xf9, 4, 1, 0, 0, index, 0]);
    }
    gif.extend([0x2c, 2, 0, 1, 0, 1, 0, 1, 0, 0]);
    gif.extend([2, 2, 0x4c, 0x01, 0, 0x3b]); // codes of 3 bits: clear, 1, end
    gif
}

#[test]
fn a_gif_frame_is_put_in_its_place() {
    let photo = decoded(&gif_with_small_frame(None));
    let mut expected = [[10, 20, 30]; 12];
    expected[4 + 2] = [40, 50, 60];
    assert_eq!(photo.rgb.as_chunks().0, expected);
}

#[test]
fn a_gif_with_a_transparent_colour_is_white_where_nothing_is() {
    let mut expected = [[255; 3]; 12];
    assert_eq!(decoded(&gif_with_small_frame(Some(1))).rgb.as_chunks().0, expected);
    expected[4 + 2] = [40, 50, 60];
    assert_eq!(decoded(&gif_with_small_frame(Some(0))).rgb.as_chunks().0, expected);
}

#[test]
fn a_gif_frame_beyond_the_screen_is_cut() {
    let mut gif = gif_with_small_frame(None);
    let frame = gif.iter().rposition(|&byte| byte == 0x2c).unwrap();
    gif[frame + 1..frame + 5].copy_from_slice(&[9, 0, 9, 0]);
    assert_eq!(decoded(&gif).rgb.as_chunks().0, [[10, 20, 30]; 12]);
    gif[frame + 1..frame + 5].copy_from_slice(&[0xff; 4]);
    assert_eq!(decoded(&gif).rgb.as_chunks().0, [[10, 20, 30]; 12]);
}

#[test]
fn every_kind_of_garbage_is_an_error_and_no_panic() {
    let mut seed = 7u32;
    for format in
        [ImageFormat::Jpeg, ImageFormat::Png, ImageFormat::WebP, ImageFormat::Gif, ImageFormat::Bmp]
    {
        let good = encoded(gradient(24, 24), format);
        for _ in 0..300 {
            let mut bad = good.clone();
            for _ in 0..4 {
                seed = seed.wrapping_mul(1_664_525).wrapping_add(1_013_904_223);
                let place = (seed >> 8) as usize % bad.len();
                bad[place] = (seed >> 24) as u8;
            }
            if let Ok(photo) = decode(&bad, &DecodeLimits::default(), Detail::Full) {
                assert_eq!(photo.rgb.len(), photo.width as usize * photo.height as usize * 3);
            }
        }
    }
}
