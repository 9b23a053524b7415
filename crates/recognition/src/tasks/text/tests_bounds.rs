//! How much `thorough` reads at most, and how much photos need.

use std::path::PathBuf;

use ab_glyph::{Font, FontRef, ScaleFont, point};
use harness::{need, shared_folder};

use super::*;
use crate::decode::{DecodeLimits, decode};
use crate::engine::{EngineChoice, Engines};
use crate::folder::Folder;
use crate::manifest::Manifest;

const FONT: &[u8] =
    include_bytes!(concat!(env!("CARGO_MANIFEST_DIR"), "/../annotate/fonts/DejaVuSans.ttf"));

/// What a line of the page adds at most to what is read: it is about 40 times as long as high.
const ONE_LINE: u64 = 2560;

fn project() -> PathBuf {
    PathBuf::from(env!("CARGO_MANIFEST_DIR")).join("../..")
}

fn open() -> Text {
    let path = project().join("models/text");
    let text = std::fs::read_to_string(path.join("model.toml")).unwrap();
    let manifest: TextManifest = Manifest::parse(&text).unwrap().body().unwrap();
    for graph in manifest.graphs() {
        let file = path.join(&graph.file);
        need(file.exists().then_some(()), &format!("models/text/{}", graph.file));
    }
    let folder = Folder::open(&path).unwrap();
    let labels = folder.labels(manifest.labels().unwrap()).unwrap();
    let engines = Engines::find(EngineChoice::Auto, &[project().join("onnxruntime")]);
    Text::open(&manifest, &labels, &mut Loading::new(&folder, &engines)).unwrap()
}

/// How many lines, and the widths read: once, and again.
fn read(text: &Text, photo: &Photo) -> (usize, u64, u64) {
    let mut scratch = Scratch::default();
    let (lines, widths) =
        thorough::lines_and_widths(photo, &text.networks, &text.rules, &mut scratch).unwrap();
    (lines.len(), widths.read, widths.read_again)
}

/// Of 127 photos (of text, cars, books, faces, things) these need the most: 10,240 pixels once, 23,360 again.
const MOST_NEEDED: [&str; 4] = [
    "faces/group_kit_with_rose.jpg",
    "plates/cn_hyperlpr_test_img.jpg",
    "text/page.png",
    "text/text.png",
];

#[test]
fn no_photo_comes_near_the_bounds() {
    let text = open();
    let shared = shared_folder();
    for name in MOST_NEEDED {
        let payload = std::fs::read(shared.join("photos").join(name)).unwrap();
        let photo = decode(&payload, &DecodeLimits::default(), text.detail()).unwrap();
        let (lines, once, again) = read(&text, &photo);
        println!("{name}: {lines} lines, {once} read once, {again} again");
        assert!(once * 10 <= text.rules.max_read, "{name}: {once}");
        assert!(again * 2 <= text.rules.max_read_again, "{name}: {again}");
    }
}

/// Black letters on white, as many as fit in.
fn page(width: usize, height: usize, letter: f32) -> Photo {
    let font = FontRef::try_from_slice(FONT).unwrap();
    let scaled = font.as_scaled(letter);
    let mut rgb = vec![255; width * height * 3];
    let mut letters = "The quick brown fox jumps over the lazy dog 0123456789 ".chars().cycle();
    let mut base = 2.0 * letter;
    while base < height as f32 - letter {
        let mut left = letter;
        while left < width as f32 - 2.0 * letter {
            let glyph = font.glyph_id(letters.next().unwrap());
            let outline =
                font.outline_glyph(glyph.with_scale_and_position(letter, point(left, base)));
            left += scaled.h_advance(glyph);
            let Some(outline) = outline else { continue };
            let corner = outline.px_bounds().min;
            outline.draw(|x, y, share| {
                let (x, y) = (corner.x as usize + x as usize, corner.y as usize + y as usize);
                let start = (y * width + x) * 3;
                rgb[start..start + 3].fill(255 - (share * 255.0) as u8);
            });
        }
        base += 1.5 * letter;
    }
    Photo::new(width as u32, height as u32, rgb)
}

#[test]
fn a_page_full_of_letters_is_read_up_to_the_bounds() {
    let mut text = open();
    let page = page(500, 300, 16.0);
    let (all, once, _) = read(&text, &page);
    assert!(all >= 8 && once > 2 * ONE_LINE, "{all} lines, {once}");
    text.rules.max_read = once / 2;
    let (some, bounded, _) = read(&text, &page);
    assert!(bounded >= once / 2 && bounded <= once / 2 + ONE_LINE, "{bounded} of {once}");
    assert!(some < all && some * 3 > all, "{some} of {all} lines");
    text.rules.max_read = 0;
    assert_eq!(read(&text, &page), (0, 0, 0));
}

#[test]
fn doubtful_lines_are_read_again_up_to_the_bound() {
    let mut text = open();
    // Letters that are too faint and small to be sure of.
    let mut page = page(300, 150, 9.0);
    page.rgb.iter_mut().for_each(|sample| *sample = 205 + *sample / 6);
    let (_, once, again) = read(&text, &page);
    assert!(again > 2 * ONE_LINE, "{again} again, {once} once");
    text.rules.max_read_again = again / 2;
    let (_, same, bounded) = read(&text, &page);
    assert!(bounded >= again / 2 && bounded <= again / 2 + ONE_LINE, "{bounded} of {again}");
    assert_eq!(same, once);
    text.rules.max_read_again = 0;
    assert_eq!(read(&text, &page).2, 0);
}
