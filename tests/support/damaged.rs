//! Picture files: one of every kind that is easily written, and damaged copies of them. All are drawn and damaged by
//! fixed rules, so every run has the same bytes. None of them makes a decoder panic; the tests assert that, too.

use image::{DynamicImage, ImageFormat, Rgb, RgbImage};
use jpeg_encoder::{ColorType, Encoder, SamplingFactor};
use std::io::Cursor;

pub struct File {
    pub name: String,
    pub bytes: Vec<u8>,
    pub outcome: Outcome,
}

/// What becomes of a file.
#[derive(Clone, Copy, Debug)]
pub enum Outcome {
    /// It is read as a picture of this size.
    Read(u32, u32),
    Refused,
    /// Depends on where the damage is, and on the decoder.
    Either,
}

/// The size of every picture but the few of extreme shape.
const SIZE: (u32, u32) = (96, 64);

/// Ranges of damaged bytes are this long.
const RANGE: usize = 16;

/// Files that are as they should be.
pub fn good() -> Vec<File> {
    let mut files = ordinary();
    for (width, height) in [(1, 1), (7, 9), (1, 2000), (2000, 1)] {
        let picture = DynamicImage::from(drawing(width, height));
        for format in FORMATS {
            let name = format!("{width}x{height} {format:?}");
            files.push(file(name, written(&picture, format), Outcome::Read(width, height)));
        }
    }
    for format in FORMATS {
        let mut bytes = written(&DynamicImage::from(drawing(SIZE.0, SIZE.1)), format);
        bytes.extend(Random(11).bytes(500));
        files.push(file(
            format!("{format:?} and more bytes"),
            bytes,
            Outcome::Read(SIZE.0, SIZE.1),
        ));
    }
    files
}

/// The ordinary ones, cut off and with bytes changed; and headers that claim far more pixels than there are.
pub fn damaged() -> Vec<File> {
    let mut files: Vec<File> = ordinary().iter().flat_map(damages).collect();
    files.extend(oversized());
    files
}

const FORMATS: [ImageFormat; 5] =
    [ImageFormat::Jpeg, ImageFormat::Png, ImageFormat::WebP, ImageFormat::Gif, ImageFormat::Bmp];

fn file(name: impl Into<String>, bytes: Vec<u8>, outcome: Outcome) -> File {
    File { name: name.into(), bytes, outcome }
}

/// Every colour type and every way of coding that the encoders know, in one size.
fn ordinary() -> Vec<File> {
    let picture = DynamicImage::from(drawing(SIZE.0, SIZE.1));
    let mut files = Vec::new();
    let mut add = |name: &str, bytes| files.push(file(name, bytes, Outcome::Read(SIZE.0, SIZE.1)));
    let seen_through = {
        let mut pixels = picture.to_rgba8();
        pixels.enumerate_pixels_mut().for_each(|(x, y, pixel)| pixel[3] = (x + y) as u8);
        DynamicImage::from(pixels)
    };
    let png = |picture: &DynamicImage| written(picture, ImageFormat::Png);
    add("rgb.png", png(&picture));
    add("rgba.png", png(&seen_through));
    add("grey.png", png(&picture.to_luma8().into()));
    add("grey and alpha.png", png(&seen_through.to_luma_alpha8().into()));
    add("grey of 16 bits.png", png(&picture.to_luma16().into()));
    add("rgb of 16 bits.png", png(&picture.to_rgb16().into()));
    add("rgba of 16 bits.png", png(&seen_through.to_rgba16().into()));
    add("rgb.gif", written(&picture, ImageFormat::Gif));
    add("rgba.gif", written(&seen_through, ImageFormat::Gif));
    add("rgb.webp", written(&picture, ImageFormat::WebP));
    add("rgba.webp", written(&seen_through, ImageFormat::WebP));
    add("rgb.bmp", written(&picture, ImageFormat::Bmp));
    add("rgba.bmp", written(&seen_through, ImageFormat::Bmp));
    add("grey.bmp", written(&picture.to_luma8().into(), ImageFormat::Bmp));

    let jpeg = |quality, set: &dyn Fn(&mut Encoder<&mut Vec<u8>>)| {
        coded(&picture.to_rgb8(), ColorType::Rgb, quality, set)
    };
    for (name, sampling) in [
        ("4:4:4", SamplingFactor::R_4_4_4),
        ("4:4:0", SamplingFactor::R_4_4_0),
        ("4:2:2", SamplingFactor::R_4_2_2),
        ("4:2:0", SamplingFactor::R_4_2_0),
        ("4:1:1", SamplingFactor::R_4_1_1),
    ] {
        add(&format!("{name}.jpg"), jpeg(85, &|encoder| encoder.set_sampling_factor(sampling)));
        let progressive = jpeg(85, &|encoder| {
            encoder.set_sampling_factor(sampling);
            encoder.set_progressive(true);
        });
        add(&format!("{name} progressive.jpg"), progressive);
    }
    add("worst quality.jpg", jpeg(1, &|_| ()));
    add("restarts.jpg", jpeg(85, &|encoder| encoder.set_restart_interval(3)));
    add("own tables.jpg", jpeg(85, &|encoder| encoder.set_optimized_huffman_tables(true)));
    add("grey.jpg", coded(&picture.to_luma8(), ColorType::Luma, 85, &|_| ()));
    // Four samples a pixel, whatever they stand for.
    add("cmyk.jpg", coded(&seen_through.to_rgba8(), ColorType::Cmyk, 85, &|_| ()));
    add("ycck.jpg", coded(&seen_through.to_rgba8(), ColorType::CmykAsYcck, 85, &|_| ()));
    files
}

/// Slopes of colour, a disc, and noise in a quarter of the picture.
fn drawing(width: u32, height: u32) -> RgbImage {
    let mut random = Random(7);
    let (half_width, half_height) = (width / 2, height / 2);
    RgbImage::from_fn(width, height, |x, y| {
        let noise = random.next() as u8;
        let from_middle = x.abs_diff(half_width).pow(2) + y.abs_diff(half_height).pow(2);
        if x < half_width && y < half_height {
            Rgb([noise, noise.rotate_left(3), noise.rotate_left(5)])
        } else if from_middle < (height / 4).pow(2) {
            Rgb([220, 40, 60])
        } else {
            Rgb([(x * 255 / width) as u8, (y * 255 / height) as u8, 128])
        }
    })
}

fn written(picture: &DynamicImage, format: ImageFormat) -> Vec<u8> {
    let mut file = Cursor::new(Vec::new());
    picture.write_to(&mut file, format).expect("encodes");
    file.into_inner()
}

fn coded(
    samples: &[u8],
    colours: ColorType,
    quality: u8,
    set: &dyn Fn(&mut Encoder<&mut Vec<u8>>),
) -> Vec<u8> {
    let mut file = Vec::new();
    let mut encoder = Encoder::new(&mut file, quality);
    set(&mut encoder);
    encoder.encode(samples, SIZE.0 as u16, SIZE.1 as u16, colours).expect("encodes");
    file
}

fn damages(whole: &File) -> Vec<File> {
    let (name, bytes) = (&whole.name, &whole.bytes);
    let mut random = Random(name.bytes().map(u64::from).sum());
    let mut files = Vec::new();
    // Of a JPEG the upper rows, or coarse ones, may be there.
    let is_jpeg = name.ends_with(".jpg");
    for percent in [1, 10, 50, 90, 99] {
        let may_be_read = is_jpeg && percent > 10;
        let outcome = if may_be_read { Outcome::Either } else { Outcome::Refused };
        let part = bytes[..bytes.len() * percent / 100].to_vec();
        files.push(file(format!("{percent}% of {name}"), part, outcome));
    }
    let mut change = |how: &str, change: &dyn Fn(&mut Vec<u8>, usize, u8)| {
        let mut changed = bytes.clone();
        // The first bytes say which format it is.
        let place = 12 + random.below(bytes.len() - 12 - RANGE);
        change(&mut changed, place, 1 + random.below(255) as u8);
        files.push(file(format!("{name}, {how} at {place}"), changed, Outcome::Either));
    };
    for _ in 0..6 {
        change("a byte changed", &|bytes, place, bits| bytes[place] ^= bits);
    }
    for _ in 0..2 {
        change("zeros", &|bytes, place, _| bytes[place..place + RANGE].fill(0));
        change("ones", &|bytes, place, _| bytes[place..place + RANGE].fill(0xff));
        change("bytes missing", &|bytes, place, _| drop(bytes.drain(place..place + RANGE)));
        change("bytes twice", &|bytes, place, _| {
            let again = bytes[place..place + RANGE].to_vec();
            bytes.splice(place..place, again);
        });
    }
    files
}

/// Good files but for the size in their headers, which is beyond every limit.
fn oversized() -> Vec<File> {
    let picture = DynamicImage::from(drawing(SIZE.0, SIZE.1));
    let mut bmp = written(&picture, ImageFormat::Bmp);
    bmp[18..22].copy_from_slice(&20_000_u32.to_le_bytes());
    bmp[22..26].copy_from_slice(&20_000_u32.to_le_bytes());
    let mut gif = written(&picture, ImageFormat::Gif);
    gif[6..10].fill(0xff);
    let mut webp = written(&picture, ImageFormat::WebP);
    // After the signature of a lossless picture: 14 bits each for width and height, less one.
    webp[21..24].fill(0xff);
    webp[24] |= 0x0f;
    let jpeg = |progressive: bool| {
        let mut bytes = coded(&picture.to_rgb8(), ColorType::Rgb, 85, &|encoder| {
            encoder.set_progressive(progressive);
        });
        let marker = if progressive { [0xff, 0xc2] } else { [0xff, 0xc0] };
        let frame = bytes.windows(2).position(|two| two == marker).expect("a frame");
        bytes[frame + 5..frame + 9].fill(0xff);
        bytes
    };
    let files = [
        ("20000x20000.bmp", bmp),
        ("65535x65535.gif", gif),
        ("16384x16384.webp", webp),
        ("65535x65535.jpg", jpeg(false)),
        ("65535x65535 progressive.jpg", jpeg(true)),
    ];
    files.into_iter().map(|(name, bytes)| file(name, bytes, Outcome::Refused)).collect()
}

/// splitmix64
struct Random(u64);

impl Random {
    fn next(&mut self) -> u64 {
        self.0 = self.0.wrapping_add(0x9e37_79b9_7f4a_7c15);
        let mut mixed = self.0;
        mixed = (mixed ^ (mixed >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
        mixed = (mixed ^ (mixed >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
        mixed ^ (mixed >> 31)
    }

    fn below(&mut self, end: usize) -> usize {
        (self.next() % end as u64) as usize
    }

    fn bytes(&mut self, count: usize) -> Vec<u8> {
        (0..count).map(|_| self.next() as u8).collect()
    }
}
