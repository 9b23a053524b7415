//! Which format a payload is in, by its first bytes: names and types that come with a file lie too
//! often.

use std::fmt;

use crate::error::RecognitionError;

const SUPPORTED: &str = "supported are JPEG, PNG, WebP, GIF and BMP";

/// A format that is decoded here.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum FileFormat {
    Jpeg,
    Png,
    Gif,
    WebP,
    Bmp,
}

impl fmt::Display for FileFormat {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        formatter.write_str(match self {
            Self::Jpeg => "JPEG",
            Self::Png => "PNG",
            Self::Gif => "GIF",
            Self::WebP => "WebP",
            Self::Bmp => "BMP",
        })
    }
}

/// Signatures of what people send instead, and what to call it. The first that fits counts.
const UNSUPPORTED: &[(&[u8], &str)] = &[
    (b"II*\0", "a TIFF image"),
    (b"MM\0*", "a TIFF image"),
    (b"\0\0\x01\0", "an icon (ICO)"),
    (b"\0\0\0\x0cjP  ", "a JPEG 2000 image"),
    (b"\0\0\0\x0cJXL ", "a JPEG XL image"),
    (b"\xff\x0a", "a JPEG XL image"),
    (b"8BPS", "a Photoshop document"),
    (b"qoif", "a QOI image"),
    (b"%PDF", "a PDF document"),
    (b"RIFF", "a RIFF file other than WebP"),
    (b"PK\x03\x04", "a zip archive"),
    (b"\x1f\x8b", "a gzip archive"),
    (b"data:", "a data URI (send the bytes it encodes)"),
    (b"/9j/", "base64 text (send the bytes it encodes)"),
    (b"iVBORw0KGgo", "base64 text (send the bytes it encodes)"),
];

/// The format of a payload.
pub(super) fn recognise(payload: &[u8]) -> Result<FileFormat, RecognitionError> {
    if payload.starts_with(b"\xff\xd8") {
        return Ok(FileFormat::Jpeg);
    }
    if payload.starts_with(b"\x89PNG\r\n\x1a\n") {
        return Ok(FileFormat::Png);
    }
    if payload.starts_with(b"GIF87a") || payload.starts_with(b"GIF89a") {
        return Ok(FileFormat::Gif);
    }
    if payload.starts_with(b"RIFF") && payload.get(8..12) == Some(b"WEBP") {
        return Ok(FileFormat::WebP);
    }
    if payload.starts_with(b"BM") {
        return Ok(FileFormat::Bmp);
    }
    Err(RecognitionError::BadImage(describe_unsupported(payload)))
}

fn describe_unsupported(payload: &[u8]) -> String {
    if payload.is_empty() {
        return "the payload is empty".to_owned();
    }
    match guess(payload) {
        Some(name) => format!("the payload is {name}; {SUPPORTED}"),
        None => format!("the payload is not an image in a known format; {SUPPORTED}"),
    }
}

fn guess(payload: &[u8]) -> Option<&'static str> {
    if payload.get(4..8) == Some(b"ftyp") {
        let brand = payload.get(8..12).unwrap_or_default();
        return Some(match brand {
            b"avif" | b"avis" => "an AVIF image",
            b"heic" | b"heix" | b"hevc" | b"heim" | b"heis" | b"mif1" | b"msf1" => "an HEIC image",
            _ => "a video or another MP4 file",
        });
    }
    let known = UNSUPPORTED.iter().find(|(signature, _)| payload.starts_with(signature));
    if let Some((_, name)) = known {
        return Some(name);
    }
    if matches!(payload, [b'P', b'1'..=b'7', separator, ..] if separator.is_ascii_whitespace()) {
        return Some("a PNM image");
    }
    guess_text(payload)
}

fn guess_text(payload: &[u8]) -> Option<&'static str> {
    let beginning = &payload[..payload.len().min(512)];
    let lower_case = beginning.to_ascii_lowercase();
    let contains = |word: &[u8]| lower_case.windows(word.len()).any(|window| window == word);
    if contains(b"<svg") {
        return Some("an SVG drawing");
    }
    if contains(b"<html") || contains(b"<!doctype html") {
        return Some("an HTML page");
    }
    let is_text = |byte: &u8| byte.is_ascii_graphic() || byte.is_ascii_whitespace();
    beginning.iter().all(is_text).then_some("text")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names_what_is_not_supported() {
        let cases: &[(&[u8], &str)] = &[
            (b"", "empty"),
            (b"II*\0\x08\0\0\0", "TIFF"),
            (b"\0\0\0\x18ftypheic\0\0\0\0", "HEIC"),
            (b"\0\0\0\x18ftypavif\0\0\0\0", "AVIF"),
            (b"<?xml version=\"1.0\"?><svg/>", "SVG"),
            (b"<!DOCTYPE HTML><title>404</title>", "HTML"),
            (b"P6\n1 1\n255\nabc", "PNM"),
            (b"RIFF\x04\0\0\0WAVE", "RIFF"),
            (b"hello", "text"),
            (b"\x80\x81\x82\x83", "not an image"),
        ];
        for (payload, word) in cases {
            let sentence = recognise(payload).unwrap_err().to_string();
            assert!(sentence.contains(word), "{sentence}");
        }
    }
}
