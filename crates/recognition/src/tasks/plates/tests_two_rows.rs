//! Plates in two rows, drawn into the picture of a car's back and read by all of the task. Skipped
//! without the weights.

use ab_glyph::{Font, FontRef, ScaleFont, point};

use super::tests_shared::task;
use crate::decode::Photo;
use crate::geometry::{Point, Projection, Quad};
use crate::prepare::Scratch;

const FONT: &[u8] =
    include_bytes!(concat!(env!("CARGO_MANIFEST_DIR"), "/../annotate/fonts/DejaVuSans.ttf"));

const WHITE: [u8; 3] = [228, 230, 226];
const YELLOW: [u8; 3] = [226, 186, 40];
const GREY: [u8; 3] = [186, 190, 194];

const WIDTH: usize = 960;
const HEIGHT: usize = 720;

/// A plate is drawn so many times as large as it is in the picture.
const FINE: f64 = 4.0;

struct Drawn {
    rows: [&'static str; 2],
    ground: [u8; 3],
    /// Pixels in the picture.
    width: f64,
    height: f64,
    /// Clockwise, and how much lower its right side is than its left one, in shares of its height.
    degrees: f64,
    narrowing: f64,
}

const fn drawn(rows: [&'static str; 2], ground: [u8; 3], size: [f64; 2], view: [f64; 2]) -> Drawn {
    let [width, height] = size;
    let [degrees, narrowing] = view;
    Drawn { rows, ground, width, height, degrees, narrowing }
}

const PLATES: [Drawn; 10] = [
    drawn(["AB", "123CD"], WHITE, [200.0, 140.0], [0.0, 0.0]),
    drawn(["BC58", "KLM"], YELLOW, [220.0, 156.0], [3.0, 0.0]),
    drawn(["4821", "HJK"], WHITE, [180.0, 130.0], [-4.0, 0.06]),
    drawn(["KWT", "3907"], GREY, [190.0, 150.0], [0.0, 0.1]),
    drawn(["RHP", "2A18"], WHITE, [160.0, 128.0], [2.0, 0.0]),
    drawn(["WX", "48213"], WHITE, [210.0, 150.0], [-2.0, 0.08]),
    drawn(["2B6", "4071"], WHITE, [150.0, 106.0], [5.0, 0.0]),
    drawn(["FG734", "TL"], WHITE, [230.0, 150.0], [0.0, 0.05]),
    drawn(["EX61", "NVR"], WHITE, [170.0, 120.0], [-6.0, 0.0]),
    drawn(["PNK", "6352"], GREY, [240.0, 180.0], [1.0, 0.05]),
];

/// The same noise each time: 0 to 1.
struct Noise(u64);

impl Noise {
    fn next(&mut self) -> f64 {
        self.0 = self.0.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1);
        (self.0 >> 40) as f64 / f64::from(1 << 24)
    }
}

/// The plate by itself: its ground, an edge, two rows of letters that fill its width alike.
fn plate(drawn: &Drawn) -> (usize, usize, Vec<[f64; 3]>) {
    let (width, height) = ((drawn.width * FINE) as usize, (drawn.height * FINE) as usize);
    let mut pixels = vec![drawn.ground.map(f64::from); width * height];
    let edge = (0.012 * width as f64) as usize;
    for (index, pixel) in pixels.iter_mut().enumerate() {
        let (x, y) = (index % width, index / width);
        let from_edge = x.min(width - 1 - x).min(y.min(height - 1 - y));
        if (edge..2 * edge).contains(&from_edge) {
            *pixel = [30.0; 3];
        }
    }
    let font = FontRef::try_from_slice(FONT).unwrap();
    for (row, text) in drawn.rows.iter().enumerate() {
        let scale = 0.5 * height as f32;
        let scaled = font.as_scaled(scale);
        let advance = |c: char| scaled.h_advance(font.glyph_id(c)) * 1.04;
        let total: f32 = text.chars().map(advance).sum();
        let squeeze = (0.88 * width as f32 / total).min(1.0);
        let mut left = (width as f32 - total * squeeze) / 2.0;
        let base = height as f32 * if row == 0 { 0.46 } else { 0.9 };
        for c in text.chars() {
            let mut glyph =
                font.glyph_id(c).with_scale(ab_glyph::PxScale { x: scale * squeeze, y: scale });
            glyph.position = point(left, base);
            left += advance(c) * squeeze;
            let Some(outline) = font.outline_glyph(glyph) else { continue };
            let bounds = outline.px_bounds();
            outline.draw(|x, y, share| {
                // Letters of plates are bolder than the font's.
                for bolder in 0..edge {
                    let x = bounds.min.x as usize + x as usize + bolder;
                    let y = bounds.min.y as usize + y as usize;
                    if x < width && y < height && share > 0.5 {
                        pixels[y * width + x] = [26.0, 26.0, 30.0];
                    }
                }
            });
        }
    }
    (width, height, pixels)
}

/// Where the plate is in the picture.
fn place(drawn: &Drawn) -> Quad {
    let (sine, cosine) = drawn.degrees.to_radians().sin_cos();
    let far = 1.0 - drawn.narrowing;
    [(-0.5, -0.5), (0.5, -0.5 * far), (0.5, 0.5 * far), (-0.5, 0.5)].map(|(x, y)| {
        let (x, y) = (x * drawn.width, y * drawn.height);
        Point { x: 470.0 + x * cosine - y * sine, y: 430.0 + x * sine + y * cosine }
    })
}

/// A road, a car's back with a window, lights and a bumper, and the plate on it, with the noise of a
/// sensor.
fn picture(drawn: &Drawn) -> Photo {
    let mut noise = Noise(drawn.rows[1].bytes().map(u64::from).sum());
    let mut pixels: Vec<[f64; 3]> = (0..WIDTH * HEIGHT)
        .map(|index| {
            let (x, y) = ((index % WIDTH) as f64, (index / WIDTH) as f64);
            let inside = |left: f64, top: f64, right: f64, bottom: f64| {
                (left..right).contains(&x) && (top..bottom).contains(&y)
            };
            let shade = 1.0 - 0.25 * (y - 200.0) / HEIGHT as f64;
            if inside(250.0, 110.0, 710.0, 250.0) {
                [40.0 + y / 8.0, 50.0 + y / 8.0, 60.0 + y / 8.0]
            } else if inside(170.0, 300.0, 260.0, 400.0) || inside(700.0, 300.0, 790.0, 400.0) {
                [190.0 * shade, 30.0, 28.0]
            } else if inside(150.0, 540.0, 810.0, 620.0) {
                [58.0 * shade, 60.0 * shade, 62.0 * shade]
            } else if inside(160.0, 80.0, 800.0, 620.0) {
                [70.0 * shade, 92.0 * shade, 128.0 * shade]
            } else if y > 500.0 {
                [104.0, 102.0, 98.0].map(|grey: f64| grey + (x / 40.0).sin() * 6.0)
            } else {
                [150.0 - y / 10.0, 160.0 - y / 10.0, 150.0 - y / 9.0]
            }
        })
        .collect();
    let (width, height, letters) = plate(drawn);
    let map = Projection::of_rectangle(width as f64, height as f64, &place(drawn)).unwrap();
    let mut sums = vec![([0.0; 3], 0.0); WIDTH * HEIGHT];
    for (index, letter) in letters.iter().enumerate() {
        let at = Point { x: (index % width) as f64 + 0.5, y: (index / width) as f64 + 0.5 };
        let Point { x, y } = map.apply(at);
        let (sum, count) = &mut sums[y as usize * WIDTH + x as usize];
        sum.iter_mut().zip(letter).for_each(|(sum, sample)| *sum += sample);
        *count += 1.0;
    }
    for (pixel, (sum, count)) in pixels.iter_mut().zip(sums) {
        if count > 0.0 {
            *pixel = sum.map(|sum| sum / count);
        }
    }
    let noisy = |sample: f64, noise: f64| (sample + 14.0 * (noise - 0.5)).clamp(0.0, 255.0) as u8;
    let rgb = pixels.iter().flat_map(|pixel| pixel.map(|sample| noisy(sample, noise.next())));
    Photo::new(WIDTH as u32, HEIGHT as u32, rgb.collect())
}

#[test]
fn thorough_reads_both_rows_of_a_plate() {
    let task = task("thorough");
    let mut right = 0;
    for drawn in &PLATES {
        let photo = picture(drawn);
        let result = task.recognize(&photo, &mut Scratch::default()).unwrap().json;
        let result: serde_json::Value = serde_json::from_str(&result).unwrap();
        let plates = result["plates"].as_array().unwrap();
        let texts: Vec<&str> = plates.iter().map(|one| one["text"].as_str().unwrap()).collect();
        let wanted = drawn.rows.concat();
        right += usize::from(texts == [&wanted[..]]);
        println!("{wanted} is read {texts:?} {result}");
    }
    println!("{right} of {} plates in two rows", PLATES.len());
    assert!(right >= 9, "{right} of {}", PLATES.len());
}
