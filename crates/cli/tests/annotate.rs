//! `redis-image annotate` as a shell calls it: files in, a picture out.

use std::io::Write;
use std::path::Path;
use std::process::{Command, Output, Stdio};

use image::codecs::jpeg::JpegEncoder;
use image::{ImageEncoder, Rgb, RgbImage, Rgba, RgbaImage};

const OBJECT: &str =
    r#"{"task":"objects","objects":[{"label":"cat","id":3,"score":0.9,"box":[20,100,60,100]}],"#;

fn program() -> Command {
    let mut program = Command::new(env!("CARGO_BIN_EXE_redis-image"));
    program.arg("annotate");
    program
}

/// Runs it with the result on standard input.
fn annotated(photo: &Path, result: &str, output: &Path) -> Output {
    let mut program = program();
    program.arg(photo).arg("-").arg(output).stdin(Stdio::piped()).stdout(Stdio::piped());
    let mut running = program.stderr(Stdio::piped()).spawn().unwrap();
    // It may end before it reads.
    running.stdin.take().unwrap().write_all(result.as_bytes()).ok();
    running.wait_with_output().unwrap()
}

fn complaint(output: &Output) -> String {
    assert_eq!(output.status.code(), Some(1));
    let text = String::from_utf8(output.stderr.clone()).unwrap();
    assert!(text.starts_with("redis-image: ") && text.lines().count() == 1, "{text}");
    text
}

#[test]
fn the_picture_is_written_in_the_format_that_its_name_says() {
    let folder = tempfile::tempdir().unwrap();
    let photo = folder.path().join("photo");
    let ground = RgbImage::from_pixel(160, 240, Rgb([120, 120, 120]));
    ground.save_with_format(&photo, image::ImageFormat::Bmp).unwrap();
    for (name, start) in [
        ("a.png", &b"\x89PNG"[..]),
        ("a.jpg", &b"\xff\xd8\xff"[..]),
        ("a.JPEG", &b"\xff\xd8\xff"[..]),
    ] {
        let output = folder.path().join(name);
        let result = format!("{OBJECT}\"width\":160,\"height\":240}}\n");
        let outcome = annotated(&photo, &result, &output);
        assert!(outcome.status.success(), "{outcome:?}");
        assert!(std::fs::read(&output).unwrap().starts_with(start), "{name}");
    }
    let seen = image::open(folder.path().join("a.png")).unwrap().into_rgb8();
    assert_ne!(seen.get_pixel(20, 150).0, [120; 3]);
    assert_eq!(seen.get_pixel(50, 150).0, [120; 3]);
}

#[test]
fn a_photo_that_exif_turns_is_drawn_on_upright() {
    let folder = tempfile::tempdir().unwrap();
    let photo = folder.path().join("turned.jpg");
    // Stored lying: its left half, dark, is the upper half of the upright photo of 160x240.
    let stored = RgbImage::from_fn(240, 160, |x, _| Rgb([if x < 120 { 20 } else { 220 }; 3]));
    let mut file = Vec::new();
    let mut encoder = JpegEncoder::new_with_quality(&mut file, 95);
    // One entry, the orientation 6: turn by a quarter clockwise.
    let exif = b"II*\0\x08\0\0\0\x01\0\x12\x01\x03\0\x01\0\0\0\x06\0\0\0\0\0\0\0";
    encoder.set_exif_metadata(exif.to_vec()).unwrap();
    stored.write_with_encoder(encoder).unwrap();
    std::fs::write(&photo, file).unwrap();

    let output = folder.path().join("out.png");
    let outcome = annotated(&photo, &format!("{OBJECT}\"width\":160,\"height\":240}}"), &output);
    assert!(outcome.status.success(), "{outcome:?}");
    let seen = image::open(&output).unwrap().into_rgb8();
    assert_eq!(seen.dimensions(), (160, 240));
    assert!(seen.get_pixel(120, 20).0[0] < 40 && seen.get_pixel(120, 220).0[0] > 200);
    let [red, green, blue] = seen.get_pixel(20, 150).0;
    assert!(red != green || green != blue, "the frame has a colour");
}

#[test]
fn transparency_is_laid_over_white() {
    let folder = tempfile::tempdir().unwrap();
    let photo = folder.path().join("clear.png");
    RgbaImage::from_pixel(160, 240, Rgba([0, 0, 0, 0])).save(&photo).unwrap();
    let output = folder.path().join("out.png");
    let outcome = annotated(&photo, &format!("{OBJECT}\"width\":160,\"height\":240}}"), &output);
    assert!(outcome.status.success(), "{outcome:?}");
    let seen = image::open(&output).unwrap().into_rgb8();
    assert_eq!(seen.get_pixel(120, 20).0, [255; 3]);
}

#[test]
fn what_goes_wrong_is_told_and_writes_nothing() {
    let folder = tempfile::tempdir().unwrap();
    let photo = folder.path().join("photo.png");
    RgbImage::from_pixel(160, 240, Rgb([120, 120, 120])).save(&photo).unwrap();
    let stored = std::fs::read(&photo).unwrap();
    let output = folder.path().join("out.png");
    let result = format!("{OBJECT}\"width\":160,\"height\":240}}");

    let refused = annotated(&photo, "NOMODEL no model objects\n", &output);
    assert!(complaint(&refused).contains("NOMODEL no model objects"));
    let missing = annotated(Path::new("/nowhere.png"), &result, &output);
    assert!(complaint(&missing).contains("/nowhere.png"));
    let no_image = annotated(Path::new(env!("CARGO_BIN_EXE_redis-image")), &result, &output);
    assert!(complaint(&no_image).contains("photo can't be read"));
    assert!(!output.exists());
    let other_format = annotated(&photo, &result, &folder.path().join("out.gif"));
    assert!(complaint(&other_format).contains(".png or .jpg"));
    let itself = annotated(&photo, &result, &photo);
    assert!(complaint(&itself).contains("the photo itself"));
    assert_eq!(std::fs::read(&photo).unwrap(), stored);
    assert_eq!(program().arg("one").output().unwrap().status.code(), Some(2));
}
