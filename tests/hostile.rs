//! Files that are no pictures, or bad ones, or meant to do harm: a sentence for each, and the server lives.

use crate::commands::RED_RESULT;
use crate::support::damaged::Outcome;
use crate::support::*;
use image::{ImageFormat, RgbImage, RgbaImage};
use redis::{Connection, cmd};
use serde_json::Value as Json;
use std::collections::BTreeMap;
use std::io::Cursor;

const FORMATS: [ImageFormat; 5] =
    [ImageFormat::Jpeg, ImageFormat::Png, ImageFormat::WebP, ImageFormat::Gif, ImageFormat::Bmp];

/// A picture that does not compress, so that a part of its file lacks a part of its pixels.
fn noise(format: ImageFormat) -> Vec<u8> {
    let mut state = 7_u32;
    let pixels = std::iter::repeat_with(|| {
        state = state.wrapping_mul(1_664_525).wrapping_add(1_013_904_223);
        (state >> 24) as u8
    });
    let picture =
        RgbImage::from_vec(60, 40, pixels.take(60 * 40 * 3).collect()).expect("enough pixels");
    let mut file = Cursor::new(Vec::new());
    picture.write_to(&mut file, format).expect("encodes");
    file.into_inner()
}

#[track_caller]
fn assert_bad(client: &mut Connection, payload: &[u8], what: &str) {
    let error = recognize("bad", payload).error(client);
    let sentence = error.strip_prefix("BADIMAGE ").unwrap_or_else(|| panic!("{what}: {error}"));
    assert!(sentence.contains(' ') && sentence.is_ascii(), "{what}: {sentence}");
    assert_eq!(cmd("EXISTS").arg("bad").number(client), 0, "{what}");
}

#[track_caller]
fn size_of(result: &str) -> (u64, u64) {
    let json: Json = serde_json::from_str(result).expect("JSON");
    (json["width"].as_u64().expect("a width"), json["height"].as_u64().expect("a height"))
}

/// Resident memory in MiB.
fn resident(server: &Server) -> i64 {
    let status = std::fs::read_to_string(format!("/proc/{}/status", server.pid())).expect("Linux");
    let line = status.lines().find_map(|line| line.strip_prefix("VmRSS:")).expect("VmRSS");
    line.trim().trim_end_matches(" kB").parse::<i64>().expect("a number") / 1024
}

#[test]
fn every_format_is_read_and_every_part_of_a_file_refused() {
    let server = Server::start();
    let mut client = server.client();
    for format in FORMATS {
        let whole = noise(format);
        let result = recognize(format!("{format:?}"), &whole).text(&mut client);
        assert_eq!(size_of(&result), (60, 40), "{format:?}");
        for percent in [1, 10, 50] {
            let part = &whole[..whole.len() * percent / 100];
            assert_bad(&mut client, part, &format!("{percent}% of a {format:?}"));
        }
    }
    assert_eq!(server.count("bad_images"), 15);
}

#[test]
fn what_is_no_picture_is_refused() {
    let server = Server::start();
    let mut client = server.client();
    let html = b"<!doctype html><title>404</title><h1>Not Found</h1>";
    let svg = b"<svg xmlns='http://www.w3.org/2000/svg' width='8' height='8'/>";
    let cases: [(&[u8], &str); 9] = [
        (b"", "nothing"),
        (b"\xff", "one byte"),
        (html, "a page"),
        (svg, "a drawing"),
        (b"%PDF-1.7\n", "a document"),
        (b"II*\0\x08\0\0\0\0\0", "a TIFF"),
        (b"\xff\xd8\xff\xe0", "the start of a JPEG"),
        (b"\x89PNG\r\n\x1a\n", "the start of a PNG"),
        (&[0; 4096], "zeros"),
    ];
    for (payload, what) in cases {
        assert_bad(&mut client, payload, what);
        let keyless = cmd("IMAGE.RECOGNIZE_AUTO").arg(payload).error(&mut client);
        assert!(keyless.starts_with("BADIMAGE "), "{what}: {keyless}");
        assert!(recognize_ro("bad", payload).error(&mut client).starts_with("BADIMAGE "), "{what}");
    }
    assert_bad(&mut client, &photos::padded(b"no picture", 1_000_000), "a megabyte of nothing");
}

#[test]
fn limits_are_checked_before_pixels_are_decoded() {
    let server = Server::with().setting("max-payload", 500_000).start();
    let mut client = server.client();
    assert_eq!(
        recognize("k", &photos::padded(&photos::red(), 500_000)).text(&mut client),
        RED_RESULT
    );
    let before = resident(&server);
    assert_bad(&mut client, &photos::padded(&photos::red(), 500_001), "over max-payload");
    assert_bad(&mut client, &photos::padded(&photos::red(), 5_000_000), "far over max-payload");

    for (width, height) in
        [(7072, 7072), (20_000, 20_000), (u32::MAX / 2, 1), (65_535, 65_535), (0, 9)]
    {
        assert_bad(
            &mut client,
            &png_header(width, height),
            &format!("a PNG that claims {width}x{height}"),
        );
    }
    // 49 million pixels of 16 bits each: within max-pixels, not within decode-memory.
    assert_bad(&mut client, &png_header_16_bit(7000, 7000), "a PNG of 400 MB");
    let after = resident(&server);
    assert!(after < before + 64, "from {before} to {after} MiB");

    cmd("CONFIG").arg("SET").arg("image.max-pixels").arg(1199).text(&mut client);
    assert_bad(&mut client, &photos::unique(&photos::red()), "1200 pixels");
    cmd("CONFIG").arg("SET").arg("image.max-pixels").arg(1200).text(&mut client);
    assert_eq!(recognize("k", &photos::unique(&photos::red())).text(&mut client), RED_RESULT);
}

#[test]
fn orientation_is_applied_and_transparency_laid_over_white() {
    let server = Server::start();
    let mut client = server.client();
    let jpeg = photos::picture(photos::RED, 40, 30, ImageFormat::Jpeg);
    for (orientation, size) in
        [(1, (40, 30)), (3, (40, 30)), (6, (30, 40)), (8, (30, 40)), (9, (40, 30))]
    {
        let result = recognize("k", &with_orientation(&jpeg, orientation)).text(&mut client);
        assert_eq!(size_of(&result), size, "orientation {orientation}");
    }
    let mut transparent = Cursor::new(Vec::new());
    RgbaImage::new(9, 9).write_to(&mut transparent, ImageFormat::Png).expect("encodes");
    let result = recognize("k", &transparent.into_inner()).text(&mut client);
    assert_eq!(
        result.matches(r#""score":1.0"#).count(),
        3,
        "white is red, green and blue: {result}"
    );
}

#[test]
fn a_panic_costs_one_request_and_no_worker() {
    let server = Server::with().setting("threads", 1).start();
    let mut client = server.client();
    for _ in 0..3 {
        assert!(recognize("k", &photos::panicking()).error(&mut client).starts_with("FAILED "));
    }
    assert_eq!(recognize("k", &photos::red()).text(&mut client), RED_RESULT);
    assert_eq!(panics(&server).len(), 3);
    wait_until("nothing is left", || {
        server.count("workers_busy") + server.count("queue_bytes") == 0
    });
}

/// A file, and what a request with it may get.
struct Case {
    name: String,
    payload: Vec<u8>,
    may_be_read: bool,
    may_be_refused: bool,
    /// Where it is read and its size is known.
    width: Option<u64>,
    height: Option<u64>,
    why: String,
}

impl From<damaged::File> for Case {
    fn from(file: damaged::File) -> Case {
        let size = match file.outcome {
            Outcome::Read(width, height) => Some((width.into(), height.into())),
            Outcome::Refused | Outcome::Either => None,
        };
        Case {
            name: file.name,
            payload: file.bytes,
            may_be_read: !matches!(file.outcome, Outcome::Refused),
            may_be_refused: !matches!(file.outcome, Outcome::Read(..)),
            width: size.map(|(width, _)| width),
            height: size.map(|(_, height)| height),
            why: "made by the tests".to_owned(),
        }
    }
}

impl Case {
    /// What the reply was; `Err` where it may not be so.
    fn ask(&self, client: &mut Connection, model: &str) -> Result<(), String> {
        let mut command = recognize("hostile", &self.payload);
        match command.arg(&["REFRESH", "MODEL", model]).reply(client) {
            Reply::Error(error) if error.starts_with("BADIMAGE ") && error.len() > 20 => {
                if self.may_be_refused { Ok(()) } else { Err(error) }
            }
            Reply::Value(result) => {
                let result: String = redis::from_redis_value(result).expect("JSON");
                let (width, height) = size_of(&result);
                let fits = self.width.is_none_or(|wanted| wanted == width)
                    && self.height.is_none_or(|wanted| wanted == height)
                    && width * height > 0;
                if self.may_be_read && fits { Ok(()) } else { Err(format!("{width}x{height}")) }
            }
            other => Err(format!("{other:?}")),
        }
    }
}

#[track_caller]
fn assert_as_expected(cases: &[Case], client: &mut Connection, model: &str) {
    let wrong: Vec<String> = cases
        .iter()
        .filter_map(|case| {
            let reply = case.ask(client, model).err()?;
            Some(format!("{model}: {}: {reply} ({})", case.name, case.why))
        })
        .collect();
    assert!(wrong.is_empty(), "of {} files: {wrong:#?}", cases.len());
}

/// Twice, and the second time costs no more memory.
#[track_caller]
fn assert_harmless(cases: &[Case], server: &mut Server) {
    let mut client = server.client();
    recognize("k", &photos::red()).text(&mut client);
    let at_rest = resident(server);
    let memory = [0, 1].map(|_round| {
        assert_as_expected(cases, &mut client, "tiny");
        resident(server)
    });
    assert!(server.is_alive());
    assert!(
        memory[1] < memory[0] + 48 && memory[1] < at_rest + 160,
        "from {at_rest} MiB to {memory:?}"
    );
}

#[track_caller]
fn assert_harmless_under_every_task(cases: &[Case]) -> Server {
    let mut server = Server::with().real_models().setting("timeout", 120_000).start();
    let mut client = server.client();
    for model in crate::models::models(&server).keys() {
        assert_as_expected(cases, &mut client, model);
    }
    assert!(server.is_alive());
    server
}

/// The panics that the server's log tells of, including those that were caught.
fn panics(server: &Server) -> Vec<String> {
    let log = server.log();
    log.lines().filter(|line| line.contains("panicked at")).map(str::to_owned).collect()
}

fn made(files: Vec<damaged::File>) -> Vec<Case> {
    files.into_iter().map(Case::from).collect()
}

#[test]
fn good_files_of_every_kind_are_read_and_damaged_ones_do_no_harm() {
    let mut server = Server::start();
    let mut cases = made(damaged::good());
    cases.extend(made(damaged::damaged()));
    assert!(cases.len() > 300, "{}", cases.len());
    assert_harmless(&cases, &mut server);
    assert_eq!(panics(&server), [""; 0], "a decoder panics at what the tests make");
}

#[test]
fn good_files_are_read_and_damaged_ones_do_no_harm_under_every_task() {
    let damaged = made(damaged::damaged()).into_iter().step_by(7);
    let cases: Vec<Case> = made(damaged::good()).into_iter().chain(damaged).collect();
    let server = assert_harmless_under_every_task(&cases);
    assert_eq!(panics(&server), [""; 0], "a decoder panics at what the tests make");
}

/// The hostile files of the shared folder, and what its manifest says of each.
fn shared_cases() -> Vec<Case> {
    let folder = needs::shared().join("reference/bad");
    let text = std::fs::read(folder.join("MANIFEST.json")).expect("a manifest");
    let files: BTreeMap<String, Json> = serde_json::from_slice(&text).expect("JSON");
    let case = |(name, entry): (String, Json)| Case {
        payload: std::fs::read(folder.join(&name)).expect("the file"),
        may_be_read: entry["expect"] != "error",
        may_be_refused: entry["expect"] != "result",
        width: entry["width"].as_u64(),
        height: entry["height"].as_u64(),
        why: entry["why"].to_string(),
        name,
    };
    let cases: Vec<Case> = files.into_iter().map(case).collect();
    assert!(cases.len() > 300, "{}", cases.len());
    cases
}

#[test]
fn every_shared_hostile_file_behaves_as_its_manifest_says() {
    assert_harmless(&shared_cases(), &mut Server::start());
}

#[test]
fn every_shared_hostile_file_behaves_so_under_every_task() {
    assert_harmless_under_every_task(&shared_cases());
}

/// A PNG of one chunk, which says how large the picture would be.
fn png_header(width: u32, height: u32) -> Vec<u8> {
    png_of(width, height, &[8, 2, 0, 0, 0])
}

fn png_header_16_bit(width: u32, height: u32) -> Vec<u8> {
    png_of(width, height, &[16, 6, 0, 0, 0])
}

fn png_of(width: u32, height: u32, kind: &[u8]) -> Vec<u8> {
    let body = [b"IHDR", &width.to_be_bytes()[..], &height.to_be_bytes(), kind].concat();
    let empty_pixels = [b"IDAT" as &[u8], b"\x78\x9c\x03\x00\x00\x00\x00\x01"].concat();
    let chunk = |body: &[u8]| {
        [&(body.len() as u32 - 4).to_be_bytes()[..], body, &crc32(body).to_be_bytes()].concat()
    };
    [b"\x89PNG\r\n\x1a\n", &chunk(&body)[..], &chunk(&empty_pixels), &chunk(b"IEND")].concat()
}

fn crc32(bytes: &[u8]) -> u32 {
    !bytes.iter().fold(u32::MAX, |crc, byte| {
        (0..8).fold(crc ^ u32::from(*byte), |crc, _| {
            if crc & 1 == 1 { crc >> 1 ^ 0xedb8_8320 } else { crc >> 1 }
        })
    })
}

/// The JPEG with an EXIF segment of this one entry.
fn with_orientation(jpeg: &[u8], orientation: u8) -> Vec<u8> {
    let entry = [1, 0x12, 0, 3, 0, 0, 0, 1, 0, orientation, 0, 0];
    let tiff = [b"MM\0*\0\0\0\x08\0\x01" as &[u8], &entry, &[0; 4]].concat();
    let segment = [b"Exif\0\0" as &[u8], &tiff].concat();
    let length = (segment.len() as u16 + 2).to_be_bytes();
    [&jpeg[..2], &[0xff, 0xe1], &length, &segment, &jpeg[2..]].concat()
}
