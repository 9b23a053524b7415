//! `redis-image stocktake`: books by their barcodes, titles and covers.

use crate::cli_recognize::{lines, url};
use crate::support::tool::{Told, run};
use crate::support::*;
use image::{DynamicImage, GrayImage, ImageFormat, Luma, Rgb, RgbImage, imageops};
use std::fs;
use std::io::Cursor;
use std::path::Path;

/// Motifs without a title; each gives two covers.
const MOTIFS: [&str; 10] = [
    "astronaut.png",
    "biden.jpg",
    "chelsea.png",
    "china.jpg",
    "coffee.png",
    "flower.jpg",
    "motorcycle_left.png",
    "obama3.jpg",
    "plate.png",
    "rocket.jpg",
];
const WIDTH: u32 = 360;
const HEIGHT: u32 = 480;

fn server() -> Server {
    Server::with().real_models().setting("timeout", 120_000).start()
}

fn tool(server: &Server, arguments: &[&str]) -> Told {
    let url = url(server);
    run([arguments, &["--url", &url]].concat())
}

fn text(path: &Path) -> &str {
    path.to_str().expect("UTF-8")
}

fn encoded(picture: impl Into<DynamicImage>) -> Vec<u8> {
    let mut file = Cursor::new(Vec::new());
    picture.into().write_to(&mut file, ImageFormat::Png).expect("encodes");
    file.into_inner()
}

fn write(folder: &Path, place: &str, content: &[u8]) {
    let path = folder.join(place);
    fs::create_dir_all(path.parent().expect("a folder")).expect("made");
    fs::write(path, content).expect("written");
}

/// Twenty covers: a motif as it is, and a part of it in other colours with a broad frame.
fn covers() -> Vec<(String, RgbImage)> {
    let mut covers = Vec::new();
    for motif in MOTIFS {
        let photo = image::load_from_memory(&photos::photo(motif)).expect("a photo");
        let name = motif.split_once('.').expect("an ending").0;
        let filter = imageops::FilterType::Triangle;
        let whole = photo.resize_to_fill(WIDTH, HEIGHT, filter).to_rgb8();
        let part = photo.crop_imm(0, 0, photo.width() / 2, photo.height() / 2);
        let part = part.resize_to_fill(WIDTH - 120, HEIGHT - 160, filter).huerotate(150).fliph();
        let mut framed = RgbImage::from_pixel(WIDTH, HEIGHT, Rgb([150, 30, 40]));
        imageops::replace(&mut framed, &part.to_rgb8(), 60, 120);
        covers.push((name.to_owned(), whole));
        covers.push((format!("{name} framed"), framed));
    }
    covers
}

/// Turned around its centre, on grey.
fn turned(picture: &RgbImage, degrees: f32) -> RgbImage {
    let (sin, cos) = degrees.to_radians().sin_cos();
    let (x0, y0) = (picture.width() as f32 / 2.0, picture.height() as f32 / 2.0);
    RgbImage::from_fn(picture.width(), picture.height(), |x, y| {
        let (dx, dy) = (x as f32 - x0, y as f32 - y0);
        let (u, v) = (x0 + dx * cos + dy * sin, y0 - dx * sin + dy * cos);
        imageops::sample_bilinear(
            picture,
            u / (picture.width() - 1) as f32,
            v / (picture.height() - 1) as f32,
        )
        .unwrap_or(Rgb([128; 3]))
    })
}

fn cropped(picture: &RgbImage) -> RgbImage {
    let (width, height) = picture.dimensions();
    imageops::crop_imm(picture, width / 12, height / 12, width * 5 / 6, height * 5 / 6).to_image()
}

fn darker(picture: &RgbImage) -> RgbImage {
    let mut dark = picture.clone();
    dark.iter_mut().for_each(|value| *value = (f32::from(*value) * 0.55) as u8);
    dark
}

fn enrol_covers(server: &Server, covers: &[(String, RgbImage)], more: &[&str]) {
    let folder = tempfile::tempdir().expect("a folder");
    for (name, cover) in covers {
        write(folder.path(), &format!("{name}/cover.png"), &encoded(cover.clone()));
    }
    let arguments = ["gallery", "enrol", "covers", text(folder.path()), "--model", "embed"];
    let told = tool(server, &[&arguments, more].concat());
    assert_eq!(told.status, 0, "{told:?}");
}

/// How many of the changed covers are told by their names, by another's, and are nearest to themselves.
fn found(
    server: &Server,
    covers: &[(String, RgbImage)],
    changed: impl Fn(&RgbImage) -> RgbImage,
) -> (usize, usize, usize) {
    let folder = tempfile::tempdir().expect("a folder");
    for (name, cover) in covers {
        write(folder.path(), &format!("{name}.png"), &encoded(changed(cover)));
    }
    let arguments = ["gallery", "identify", "covers", text(folder.path()), "--output", "json"];
    let told = tool(server, &arguments);
    assert_eq!(told.status, 0, "{told:?}");
    let (mut right, mut wrong, mut nearest) = (0, 0, 0);
    for line in lines(&told.out) {
        let path = Path::new(line["path"].as_str().expect("a path"));
        let name = path.file_stem().expect("a name").to_str().expect("UTF-8");
        let found = &line["faces"][0];
        match found["subject"].as_str() {
            Some(subject) if subject == name => right += 1,
            Some(_) => wrong += 1,
            None => (),
        }
        nearest += usize::from(found["candidates"][0]["subject"] == name);
    }
    (right, wrong, nearest)
}

#[test]
fn twenty_covers_are_known_cropped_darker_and_askew() {
    let server = server();
    let covers = covers();
    assert_eq!(covers.len(), 20);
    enrol_covers(&server, &covers, &[]);
    let all = (20, 0, 20);
    assert_eq!(found(&server, &covers, cropped), all);
    assert_eq!(found(&server, &covers, darker), all);
    assert_eq!(found(&server, &covers, |cover| turned(cover, 5.0)), all);
    assert_eq!(found(&server, &covers, |cover| turned(cover, -10.0)), all);
    // Lying on its side a cover is still most like itself, but not always enough to be told.
    let (_, wrong, nearest) = found(&server, &covers, imageops::rotate90);
    assert_eq!((wrong, nearest), (0, 20));
}

#[test]
fn twenty_covers_enrolled_turned_are_known_on_their_sides_too() {
    let server = server();
    let covers = covers();
    enrol_covers(&server, &covers, &["--turned"]);
    assert_eq!(galleries::total(&server, "covers", "samples"), 80);
    let all = (20, 0, 20);
    let turns: [fn(&RgbImage) -> RgbImage; 3] = [
        |cover| imageops::rotate90(cover),
        |cover| imageops::rotate180(cover),
        |cover| imageops::rotate270(cover),
    ];
    for turn in turns {
        // As nobody photographs it again as it was.
        assert_eq!(
            found(&server, &covers, |cover| turn(&darker(&turned(&cropped(cover), 4.0)))),
            all
        );
    }
}

/// ISBN as a picture of an EAN-13 (GS1 General Specifications, section 5.2).
fn barcode(isbn: &str) -> GrayImage {
    const LEFT: [&str; 10] = [
        "0001101", "0011001", "0010011", "0111101", "0100011", "0110001", "0101111", "0111011",
        "0110111", "0001011",
    ];
    /// Which of the left digits are of even parity, by the first digit.
    const EVEN: [&str; 10] = [
        "000000", "001011", "001101", "001110", "010011", "011001", "011100", "010101", "010110",
        "011010",
    ];
    let inverted = |code: &str| -> String {
        code.chars().map(|bit| if bit == '0' { '1' } else { '0' }).collect()
    };
    let digits: Vec<usize> = isbn.bytes().map(|digit| usize::from(digit - b'0')).collect();
    let mut bars = "101".to_owned();
    for (digit, is_even) in digits[1..7].iter().zip(EVEN[digits[0]].chars()) {
        bars += &match is_even {
            '1' => inverted(LEFT[*digit]).chars().rev().collect(),
            _ => LEFT[*digit].to_owned(),
        };
    }
    bars += "01010";
    bars.extend(digits[7..].iter().map(|digit| inverted(LEFT[*digit])));
    bars += "101";
    let (side, margin) = (3, 60);
    let mut picture =
        GrayImage::from_pixel(bars.len() as u32 * side + 2 * margin, 260, Luma([240]));
    for (place, bar) in bars.bytes().enumerate() {
        if bar == b'1' {
            for x in 0..side {
                for y in 50..200 {
                    picture.put_pixel(margin + place as u32 * side + x, y, Luma([20]));
                }
            }
        }
    }
    picture
}

#[test]
fn stock_is_taken_by_barcode_title_and_cover() {
    let server = server();
    let covers = covers();
    let cover = |wanted: &str| {
        let found = covers.iter().find(|(name, _)| name == wanted);
        found.expect("a cover").1.clone()
    };
    let enrolled: Vec<(String, RgbImage)> =
        ["coffee", "chelsea", "rocket"].map(|name| (name.to_owned(), cover(name))).into();
    enrol_covers(&server, &enrolled, &["--turned"]);

    let folder = tempfile::tempdir().expect("a folder");
    let shelves = folder.path().join("shelves");
    for (place, photo) in [
        ("north/back.png", encoded(barcode("9780140013993"))),
        ("north/other back.png", encoded(barcode("9780306406157"))),
        ("north/title.png", photos::photo("page.png")),
        ("north/cat.png", encoded(cropped(&cover("chelsea")))),
        ("south/coffee.png", encoded(darker(&cover("coffee")))),
        ("south/bare.png", encoded(RgbImage::from_pixel(300, 300, Rgb([90, 120, 200])))),
    ] {
        write(&shelves, place, &photo);
    }
    let catalogue = folder.path().join("books.csv");
    let content = "isbn,title,shelf,cover\n\
                   0-14-001399-0,Of the barcode,north,\n\
                   ,Region-based segmentation,south,\n\
                   ,Coffee,south,coffee\n\
                   ,Cats at Home,south,chelsea\n\
                   9780262033848,Algorithms Unseen,south,\n\
                   ,Rockets,north,rocket\n";
    fs::write(&catalogue, content).expect("written");
    let take = |more: &[&str]| {
        let paths = [text(&shelves), "--catalogue", text(&catalogue), "--covers", "covers"];
        tool(&server, &[&["stocktake"], &paths[..], more].concat())
    };
    let told = take(&["--output", "json"]);
    assert_eq!(told.status, 0, "{told:?}");
    let stock = told.json();
    let of = |name: &str| {
        let mut lines = stock["photos"].as_array().expect("photos").iter();
        let line =
            lines.find(|line| line["photo"].as_str().is_some_and(|path| path.ends_with(name)));
        let line = line.unwrap_or_else(|| panic!("no {name} in {stock:#}"));
        ["shelf", "by", "found"].map(|field| line[field].as_str().expect("text"))
    };
    assert_eq!(of("/back.png"), ["north", "isbn", "9780140013993"]);
    assert_eq!(of("other back.png"), ["north", "isbn", "9780306406157"]);
    assert_eq!(of("title.png"), ["north", "title", "Region-based segmentation"]);
    assert_eq!(of("cat.png"), ["north", "cover", "chelsea"]);
    assert_eq!(of("coffee.png"), ["south", "cover", "coffee"]);
    assert_eq!(of("bare.png"), ["south", "nothing", ""]);
    assert_eq!(
        stock["missing"],
        serde_json::json!(["Algorithms Unseen (9780262033848)", "Rockets"])
    );
    let misplaced = |book: &str| serde_json::json!({ "book": book, "found_on": "north", "belongs_on": "south" });
    assert_eq!(
        stock["misplaced"],
        serde_json::json!([misplaced("Region-based segmentation"), misplaced("Cats at Home")])
    );
    assert_eq!(stock["unknown"], serde_json::json!(["9780306406157"]));

    let told = take(&[]);
    assert_eq!(told.status, 0, "{told:?}");
    for line in [
        "missing: 2",
        "  Algorithms Unseen (9780262033848)",
        "misplaced: 2",
        "  Cats at Home: on north, belongs on south",
        "not in the catalogue: 1",
        "  9780306406157",
    ] {
        assert!(told.out.lines().any(|told| told == line), "{line}: {}", told.out);
    }
    assert_eq!(server.model_count("barcodes", "computed"), 6, "a second round costs look-ups");

    write(&shelves, "south/broken.jpg", b"no photo");
    let told = take(&[]);
    assert_eq!(told.status, 1, "{told:?}");
    let broken = told.out.lines().find(|line| line.contains("broken.jpg")).expect("a line");
    assert!(broken.contains("failed: BADIMAGE"), "{broken}");
    fs::write(&catalogue, "isbn,title,shelf\n,,north\n").expect("written");
    let told = take(&[]);
    assert!(told.status == 2 && told.err.contains("line 2 has neither"), "{told:?}");
}
