//! The whole task on pictures that `rxing`'s own writers draw, and on the shared photos.

use rxing::{BarcodeFormat, MultiFormatWriter, Writer};
use serde_json::Value;

use super::symbol::PixelPoint;
use super::*;
use crate::decode::{DecodeLimits, Detail, decode};
use crate::manifest::Manifest;

const ALL: [CodeFormat; 9] = [
    CodeFormat::Ean13,
    CodeFormat::Ean8,
    CodeFormat::UpcA,
    CodeFormat::UpcE,
    CodeFormat::Code128,
    CodeFormat::Code39,
    CodeFormat::Itf,
    CodeFormat::QRCode,
    CodeFormat::DataMatrix,
];

/// A white picture.
fn sheet(width: u32, height: u32) -> Photo {
    Photo::new(width, height, vec![255; (width * height * 3) as usize])
}

fn set(photo: &mut Photo, x: u32, y: u32, value: u8) {
    let at = ((y * photo.width + x) * 3) as usize;
    photo.rgb[at..at + 3].fill(value);
}

/// Draws a code with its top left corner at a place; linear ones `height` pixels high.
fn draw(
    photo: &mut Photo,
    (left, top): (u32, u32),
    format: BarcodeFormat,
    text: &str,
    side: u32,
    height: i32,
) {
    let bits = MultiFormatWriter.encode(text, &format, 0, height).unwrap();
    for y in 0..bits.height() * side {
        for x in 0..bits.width() * side {
            if bits.get(x / side, y / side) {
                set(photo, left + x, top + y, 20);
            }
        }
    }
}

/// The picture turned clockwise around its centre, on white.
fn turned(photo: &Photo, degrees: f32) -> Photo {
    let gray = Gray::of(photo);
    let (sin, cos) = degrees.to_radians().sin_cos();
    let side = f32::hypot(photo.width as f32, photo.height as f32).ceil() as u32;
    let mut result = sheet(side, side);
    for y in 0..side {
        for x in 0..side {
            let (dx, dy) = (x as f32 - side as f32 / 2.0, y as f32 - side as f32 / 2.0);
            let from_x = dx * cos + dy * sin + photo.width as f32 / 2.0;
            let from_y = dy * cos - dx * sin + photo.height as f32 / 2.0;
            if (0.0..photo.width as f32).contains(&from_x)
                && (0.0..photo.height as f32).contains(&from_y)
            {
                let value = gray.pixels[from_y as usize * gray.width + from_x as usize];
                set(&mut result, x, y, value);
            }
        }
    }
    result
}

fn book() -> Photo {
    let mut photo = sheet(400, 200);
    draw(&mut photo, (60, 40), BarcodeFormat::EAN_13, "9780140013993", 2, 50);
    photo
}

fn result(photo: &Photo, formats: &[CodeFormat]) -> Value {
    let task = Barcodes { formats: formats.to_vec() };
    serde_json::from_str(&task.recognize(photo, &mut Scratch::default()).unwrap().json).unwrap()
}

fn texts(photo: &Photo) -> Vec<String> {
    read(photo, &ALL).into_iter().map(|code| code.text).collect()
}

#[test]
fn an_isbn_is_told_at_every_angle() {
    for degrees in (0..360).step_by(15) {
        let result = result(&turned(&book(), degrees as f32), &ALL);
        let codes = result["barcodes"].as_array().unwrap();
        assert_eq!(codes.len(), 1, "{degrees}: {result}");
        assert_eq!(codes[0]["format"], "EAN-13");
        assert_eq!(codes[0]["isbn"], "9780140013993", "{degrees}");
    }
}

#[test]
fn the_result_has_the_designs_shape() {
    let task = Barcodes { formats: ALL.to_vec() };
    let json = task.recognize(&book(), &mut Scratch::default()).unwrap().json;
    let start =
        r#"{"task":"barcodes","barcodes":[{"format":"EAN-13","text":"9780140013993","corners":[["#;
    assert!(json.starts_with(start), "{json}");
    assert!(json.ends_with(r#"]],"isbn":"9780140013993"}],"width":400,"height":200}"#), "{json}");
    let none = task.recognize(&sheet(8, 8), &mut Scratch::default()).unwrap().json;
    assert_eq!(none, r#"{"task":"barcodes","barcodes":[],"width":8,"height":8}"#);
}

#[test]
fn corners_are_those_of_the_code_as_it_is_read() {
    let mut photo = book();
    // The writer leaves four modules on the left; the sheet is 400x200.
    for (x, y) in [(68.0, 40.0), (160.0, 68.0), (332.0, 160.0), (40.0, 332.0)] {
        let corners = read(&photo, &ALL)[0].corners;
        let off = corners[0] - PixelPoint { x, y };
        assert!(off.length() < 5.0, "{corners:?} should start at {x}, {y}");
        assert!(((corners[1] - corners[0]).length() - 190.0).abs() < 3.0, "{corners:?}");
        photo = quarter_turned(&photo);
    }
}

fn quarter_turned(photo: &Photo) -> Photo {
    let mut result = sheet(photo.height, photo.width);
    for y in 0..photo.height {
        for x in 0..photo.width {
            let value = photo.rgb[((y * photo.width + x) * 3) as usize];
            set(&mut result, photo.height - 1 - y, x, value);
        }
    }
    result
}

#[test]
fn every_format_is_read_and_only_where_it_is_wanted() {
    let codes = [
        (CodeFormat::Ean13, BarcodeFormat::EAN_13, "4006381333931"),
        (CodeFormat::UpcA, BarcodeFormat::UPC_A, "036000291452"),
        (CodeFormat::Ean8, BarcodeFormat::EAN_8, "96385074"),
        (CodeFormat::UpcE, BarcodeFormat::UPC_E, "04252614"),
        (CodeFormat::Code128, BarcodeFormat::CODE_128, "Shelf-42/b"),
        (CodeFormat::Code39, BarcodeFormat::CODE_39, "SHELF-42"),
        (CodeFormat::Itf, BarcodeFormat::ITF, "12345678"),
        (CodeFormat::QRCode, BarcodeFormat::QR_CODE, "https://example.org/1"),
        (CodeFormat::DataMatrix, BarcodeFormat::DATA_MATRIX, "shelf 42"),
    ];
    for (format, written, text) in codes {
        let is_matrix = matches!(format, CodeFormat::QRCode | CodeFormat::DataMatrix);
        let mut photo = sheet(700, 300);
        draw(
            &mut photo,
            (60, 60),
            written,
            text,
            if is_matrix { 5 } else { 2 },
            if is_matrix { 0 } else { 40 },
        );
        let found = read(&photo, &ALL);
        assert_eq!(found.len(), 1, "{format:?}: {found:?}");
        assert_eq!((found[0].format, found[0].text.as_str()), (format, text));
        assert_eq!(found[0].isbn(), None);
        let others: Vec<CodeFormat> = ALL.into_iter().filter(|other| *other != format).collect();
        assert!(read(&photo, &others).iter().all(|code| code.text != text), "{format:?}");
    }
}

#[test]
fn several_codes_come_in_reading_order_and_the_same_text_at_two_places_twice() {
    let mut photo = sheet(900, 600);
    draw(&mut photo, (500, 60), BarcodeFormat::QR_CODE, "right", 5, 0);
    draw(&mut photo, (60, 60), BarcodeFormat::EAN_13, "9780140013993", 2, 50);
    draw(&mut photo, (60, 400), BarcodeFormat::EAN_13, "9780140013993", 2, 50);
    draw(&mut photo, (500, 400), BarcodeFormat::DATA_MATRIX, "below", 5, 0);
    assert_eq!(texts(&photo), ["9780140013993", "right", "9780140013993", "below"]);
}

#[test]
fn a_code_is_read_in_dim_light_with_noise_beside_stripes() {
    let mut photo = book();
    for x in (4..40).step_by(3) {
        (0..200).for_each(|y| set(&mut photo, x, y, 0));
    }
    let mut random = 1u32;
    for value in &mut photo.rgb {
        random = random.wrapping_mul(1_664_525).wrapping_add(1_013_904_223);
        *value = (f32::from(*value) * 0.3) as u8 + 20 + (random >> 28) as u8;
    }
    assert_eq!(texts(&photo), ["9780140013993"]);
}

#[test]
fn a_wrong_check_digit_is_no_isbn() {
    let quad = [PixelPoint { x: 0.0, y: 0.0 }; 4];
    let isbn =
        |text: &str| Code::new(CodeFormat::Ean13, text.to_owned(), quad).isbn().map(str::to_owned);
    assert_eq!(isbn("9780140013993").as_deref(), Some("9780140013993"));
    assert_eq!(isbn("9780140013994"), None);
    assert_eq!(isbn("4006381333931"), None);
}

/// No codes, and an answer in bounded time. (The bound is wide: tests run unoptimised, beside others.)
#[test]
fn pictures_without_codes_and_of_hostile_shapes_give_nothing_in_bounded_time() {
    let mut noise = sheet(1200, 900);
    let mut random = 7u32;
    for value in &mut noise.rgb {
        random = random.wrapping_mul(1_664_525).wrapping_add(1_013_904_223);
        *value = (random >> 24) as u8;
    }
    let mut stripes = sheet(3000, 2000);
    for y in 0..2000 {
        (0..3000).filter(|x| x % 4 < 2).for_each(|x| set(&mut stripes, x, y, 0));
    }
    // Nothing but finder patterns of QR codes.
    let mut finders = sheet(1440, 900);
    for y in 0..900 {
        for x in 0..1440 {
            let ring = u32::abs_diff(x / 2 % 9, 4).max(u32::abs_diff(y / 2 % 9, 4));
            if matches!(ring, 0 | 1 | 3) {
                set(&mut finders, x, y, 0);
            }
        }
    }
    let pictures = [
        sheet(1, 1),
        sheet(8, 8),
        sheet(1, 20_000),
        sheet(20_000, 1),
        sheet(7000, 7000),
        noise,
        stripes,
        finders,
    ];
    for photo in pictures {
        let found = texts(&photo);
        assert!(found.is_empty(), "{photo:?}: {found:?}");
    }
}

#[test]
fn manifests_name_formats_and_nothing_else() {
    let load = |text: &str| {
        let manifest: BarcodesManifest = Manifest::parse(text)?.body()?;
        manifest.check(&[])
    };
    assert!(load("task = \"barcodes\"\nformats = [\"EAN-13\", \"QRCode\"]").is_ok());
    for wrong in ["", "formats = []", "formats = [\"EAN-14\"]", "formats = [\"ITF\"]\ntop = 3"] {
        assert!(load(&format!("task = \"barcodes\"\n{wrong}")).is_err(), "{wrong}");
    }
}

#[test]
fn shared_photos_say_what_a_person_sees() {
    let shared = harness::shared_folder();
    // Too blurred, or with bars that run into each other: no reading is right, a wrong one is not.
    const UNREAD: [&str; 3] = [
        "barcodes/ean13-2_01_9780804816632.png",
        "barcodes/formats/upca-6_02.png",
        "barcodes/formats/upca-6_03.png",
    ];
    let json = |path: &str| -> Value {
        serde_json::from_str(&std::fs::read_to_string(shared.join(path)).unwrap()).unwrap()
    };
    let photo = |name: &str| {
        let payload = std::fs::read(shared.join("photos").join(name)).unwrap();
        decode(&payload, &DecodeLimits::default(), Detail::Full).unwrap()
    };
    let mut wrong = Vec::new();
    for (name, truth) in json("photos/truth.json").as_object().unwrap() {
        if !name.starts_with("barcodes/") || name.contains("/multi-") {
            continue;
        }
        let expected: Vec<&str> = truth["text"].as_str().into_iter().collect();
        let found = texts(&photo(name));
        if found != expected && !(found.is_empty() && UNREAD.contains(&name.as_str())) {
            wrong.push(format!("{name}: {found:?}, not {expected:?}"));
        }
    }
    for (name, entry) in json("reference/expected.json")["photos"].as_object().unwrap() {
        let Some(expected) = entry.get("barcodes") else { continue };
        let expected = expected["barcodes"].as_array().unwrap();
        let expected: Vec<_> = expected.iter().map(|code| code["text"].as_str().unwrap()).collect();
        let found = texts(&photo(name));
        if found != expected {
            wrong.push(format!("{name}: {found:?}, not {expected:?}"));
        }
    }
    assert!(wrong.is_empty(), "{}", wrong.join("\n"));
}
