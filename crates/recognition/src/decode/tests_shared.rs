//! Every file of the shared folder of hostile images, against its manifest.

use std::path::PathBuf;
use std::time::{Duration, Instant};

use harness::shared_folder;
use serde_json::Value;

use super::{DecodeLimits, Detail, Photo, decode};

fn folder() -> PathBuf {
    shared_folder().join("reference/bad")
}

fn shared_photo(name: &str) -> Photo {
    let payload = std::fs::read(folder().join(name)).unwrap();
    decode(&payload, &DecodeLimits::default(), Detail::Full).unwrap()
}

fn mean_colour(photo: &Photo) -> [f64; 3] {
    let pixels = photo.rgb.as_chunks::<3>().0;
    let mean = |channel: usize| {
        pixels.iter().map(|pixel| f64::from(pixel[channel])).sum::<f64>() / pixels.len() as f64
    };
    [mean(0), mean(1), mean(2)]
}

/// Mean absolute difference of two photos of the same size, per sample.
fn difference(one: &Photo, other: &Photo) -> f64 {
    assert_eq!((one.width, one.height), (other.width, other.height));
    let differences = one.rgb.iter().zip(&other.rgb).map(|(a, b)| f64::from(a.abs_diff(*b)));
    differences.sum::<f64>() / one.rgb.len() as f64
}

#[test]
fn every_file_gives_what_its_manifest_says() {
    let folder = folder();
    let manifest = std::fs::read_to_string(folder.join("MANIFEST.json")).unwrap();
    let manifest: serde_json::Map<String, Value> = serde_json::from_str(&manifest).unwrap();
    let mut wrong = Vec::new();
    let details = [Detail::Full, Detail::ShortSide(32), Detail::LongSide(40), Detail::ShortSide(1)];
    for ((name, entry), detail) in manifest.iter().flat_map(|file| details.map(|one| (file, one))) {
        let payload = std::fs::read(folder.join(name)).unwrap();
        let started = Instant::now();
        let outcome = decode(&payload, &DecodeLimits::default(), detail);
        let time = started.elapsed();
        if time > Duration::from_secs(2) {
            wrong.push(format!("{name} {detail:?}: took {time:?}"));
        }
        let size = (entry["width"].as_u64(), entry["height"].as_u64());
        let is_right = match (&outcome, entry["expect"].as_str().unwrap()) {
            (Ok(photo), "result") => {
                size == (Some(photo.full_width.into()), Some(photo.full_height.into()))
            }
            (Err(_), "error") | (_, "either") => true,
            _ => false,
        };
        if !is_right {
            wrong.push(format!("{name} {detail:?}: {outcome:?} ({})", entry["why"]));
        }
        if let Err(error) = &outcome {
            let sentence = error.to_string();
            let is_printable = sentence.bytes().all(|byte| byte == b' ' || byte.is_ascii_graphic());
            if !is_printable || sentence.len() > 400 || sentence.ends_with('.') {
                wrong.push(format!("{name}: not fit to send: {sentence:?}"));
            }
        }
        if let Ok(photo) = &outcome {
            assert_eq!(
                photo.rgb.len() as u64,
                u64::from(photo.width) * u64::from(photo.height) * 3
            );
        }
    }
    assert!(wrong.is_empty(), "{}", wrong.join("\n"));
}

#[test]
fn scans_of_single_components_have_the_right_colours() {
    let photo = shared_photo("jpeg_scan_per_component.jpg");
    for (found, expected) in mean_colour(&photo).into_iter().zip([146.0, 111.0, 85.0]) {
        assert!((found - expected).abs() < 2.0, "{:?}", mean_colour(&photo));
    }
    let ordinary = shared_photo("jpeg_420.jpg");
    assert!(difference(&photo, &ordinary) < 2.0, "{}", difference(&photo, &ordinary));
}

#[test]
fn the_same_picture_in_every_orientation() {
    let upright = shared_photo("exif_orientation_1.jpg");
    for number in 2..=8 {
        let photo = shared_photo(&format!("exif_orientation_{number}.jpg"));
        let difference = difference(&photo, &upright);
        assert!(difference < 4.0, "orientation {number}: {difference}");
    }
    for name in ["exif_orientation_6_big_endian.jpg", "exif_orientation_6.webp"] {
        let difference = difference(&shared_photo(name), &upright);
        assert!(difference < 8.0, "{name}: {difference}");
    }
}

#[test]
fn the_same_picture_in_every_jpeg_coding() {
    let ordinary = shared_photo("jpeg_baseline.jpg");
    for name in [
        "jpeg_411.jpg",
        "jpeg_420.jpg",
        "jpeg_422.jpg",
        "jpeg_440.jpg",
        "jpeg_444.jpg",
        "jpeg_cmyk_adobe.jpg",
        "jpeg_component_ids_0_1_2.jpg",
        "jpeg_extended_sof1.jpg",
        "jpeg_progressive.jpg",
        "jpeg_restart_every_mcu.jpg",
        "jpeg_restart_every_row.jpg",
        "jpeg_rgb_adobe.jpg",
        "jpeg_rgb_component_ids.jpg",
        "jpeg_sampling_uneven.jpg",
        "jpeg_ycck_adobe.jpg",
    ] {
        let difference = difference(&shared_photo(name), &ordinary);
        assert!(difference < 8.0, "{name}: {difference}");
    }
}
