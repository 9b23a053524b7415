//! JPEG at 1/2, 1/4 or 1/8 of its size: the coefficients that the smaller picture cannot show are
//! passed over and never computed with.
//!
//! For what cameras, phones and common programs write: sequential with one scan, or progressive; grey,
//! YCbCr or RGB. It is stricter than any full decoder, and whatever it does not like is
//! [`Undecodable`]: the full decoder then has the word, on what is refused and on why.
//!
//! Why there is a decoder of our own. libjpeg-turbo does this well, but it is C, and would parse hostile
//! bytes inside a database's process: one fault in it costs the data of everybody. zune-jpeg cannot
//! scale. jpeg-decoder can, but gains little and takes truncated data for grey pixels. Milliseconds of
//! CPU for a 12-megapixel photo of 3.8 MB (AMD EPYC, 2026-11): zune-jpeg in full 73; at 1/4 and 1/8
//! jpeg-decoder 51 and 48, libjpeg-turbo (Pillow's `draft`) 34 and 30, this one 25 and 18.

mod band;
mod bits;
mod colour;
mod huffman;
mod idct;
mod picture;
mod progressive;
mod sequential;
mod tables;
mod undecodable;

#[cfg(test)]
mod tests;
#[cfg(test)]
mod tests_progressive;

use super::jpeg_stream::{ADOBE, JpegStream, START_OF_SCAN};
use colour::ColourSpace;
use picture::Picture;
use tables::Tables;
use undecodable::Undecodable;

/// How a file will be decoded.
pub(super) struct ScaledDecoder<'a> {
    stream: &'a JpegStream<'a>,
    picture: Picture,
}

impl<'a> ScaledDecoder<'a> {
    /// `denominator` is 2, 4 or 8. `None` if the file is of a kind that is not decoded here.
    pub fn new(stream: &'a JpegStream<'a>, denominator: u32) -> Option<Self> {
        let colour_space = colour_space(stream)?;
        let is_complete = match stream.frame.progressive {
            true => stream.has_end, // the end of the last scan shows nothing
            false => stream.first_scan_is_complete,
        };
        if !is_complete || !stream.frame.has_usual_sampling() {
            return None;
        }
        Some(Self { stream, picture: Picture::new(&stream.frame, denominator, colour_space) })
    }

    /// Width and height that the picture will have.
    pub fn size(&self) -> (u32, u32) {
        (self.picture.width as u32, self.picture.height as u32)
    }

    /// Bytes that decoding takes, the output included.
    pub fn memory(&self) -> u64 {
        let longest_scan = self.stream.segments.iter().map(|segment| segment.pixels.len()).max();
        let output = self.picture.width * self.picture.height * 3;
        let coefficients = match self.stream.frame.progressive {
            true => progressive::memory(&self.picture),
            false => 0,
        };
        (output + longest_scan.unwrap_or(0)) as u64 + self.picture.row_memory() + coefficients
    }

    pub fn decode(mut self) -> Result<Vec<u8>, Undecodable> {
        if self.stream.frame.progressive {
            return progressive::decode(&mut self.picture, &self.stream.segments);
        }
        let mut tables = Tables::default();
        for segment in &self.stream.segments {
            tables.update(segment)?;
            if segment.marker == START_OF_SCAN {
                self.picture.prepare(&tables)?;
                return sequential::decode(&mut self.picture, segment, &tables);
            }
        }
        Err(Undecodable)
    }
}

/// What the components mean: YCbCr, unless Adobe's segment or the components' names say otherwise.
fn colour_space(stream: &JpegStream) -> Option<ColourSpace> {
    let ids: Vec<u8> = stream.frame.components.iter().map(|component| component.id).collect();
    match ids[..] {
        [_] => return Some(ColourSpace::Grey),
        [b'R', b'G', b'B'] => return Some(ColourSpace::Rgb),
        [_, _, _] => {}
        _ => return None,
    }
    let mut adobe = stream.segments.iter().filter(|segment| segment.marker == ADOBE);
    let transform = match (adobe.next(), adobe.next()) {
        (None, _) => return Some(ColourSpace::YCbCr),
        (Some(segment), None) => segment.content.strip_prefix(b"Adobe")?.get(6)?,
        _ => return None,
    };
    match transform {
        0 => Some(ColourSpace::Rgb),
        1 => Some(ColourSpace::YCbCr),
        _ => None,
    }
}
