//! The segments of a JPEG file, read before any decoder sees it. What comes out is the frame
//! header, the EXIF block, and a copy of the file without all that decoding does not need.
//!
//! The copy is a defence: zune-jpeg keeps every metadata segment, takes quadratic time over pieces
//! of extended XMP, and decodes a baseline picture anew for each further scan. It gets none of
//! these to see.

use crate::recognition::error::RecognitionError;

/// The most scans of a progressive file. Encoders write about ten; each costs a walk over the whole
/// picture.
pub(super) const MAX_SCANS: usize = 100;
/// The most bytes of Huffman and quantisation tables: each table of 20 bytes costs microseconds to
/// build.
const MAX_TABLE_BYTES: usize = 1024 * 1024;

const START_OF_IMAGE: u8 = 0xd8;
const END_OF_IMAGE: u8 = 0xd9;
const START_OF_SCAN: u8 = 0xda;

/// The frame header: everything that memory depends on.
#[derive(Debug)]
pub(super) struct Frame {
    pub progressive: bool,
    pub width: u32,
    pub height: u32,
    /// 1 to 4 colour components.
    pub components: Vec<Sampling>,
}

/// How many blocks of a component are in one unit, across and down: each 1 to 4.
#[derive(Clone, Copy, Debug)]
pub(super) struct Sampling {
    pub horizontal: u32,
    pub vertical: u32,
}

/// A JPEG file, taken apart.
#[derive(Debug)]
pub(super) struct JpegStream<'a> {
    pub frame: Frame,
    /// The first EXIF block, without its `Exif` prefix.
    pub exif: Option<&'a [u8]>,
    pub scans: usize,
    /// Does the first scan hold every component? If not, a sequential file has one scan for each,
    /// or for some, of them.
    pub first_scan_is_complete: bool,
    /// The file without metadata, comments and whatever follows the picture.
    pub bytes: Vec<u8>,
}

impl<'a> JpegStream<'a> {
    /// Reads all segments up to the end of the picture.
    pub fn read(payload: &'a [u8]) -> Result<Self, RecognitionError> {
        Reader {
            payload,
            position: 2,
            bytes: Vec::with_capacity(payload.len() + 2),
            frame: None,
            exif: None,
            table_bytes: 0,
            scans: 0,
            first_scan_is_complete: false,
        }
        .read()
    }
}

struct Reader<'a> {
    payload: &'a [u8],
    position: usize,
    bytes: Vec<u8>,
    frame: Option<Frame>,
    exif: Option<&'a [u8]>,
    table_bytes: usize,
    scans: usize,
    first_scan_is_complete: bool,
}

impl<'a> Reader<'a> {
    fn read(mut self) -> Result<JpegStream<'a>, RecognitionError> {
        self.bytes.extend([0xff, START_OF_IMAGE]);
        while let Some(marker) = self.next_marker() {
            match marker {
                END_OF_IMAGE => {
                    self.bytes.extend([0xff, END_OF_IMAGE]);
                    break;
                }
                START_OF_IMAGE => return Err(damaged("a second picture starts inside the first")),
                0x01 | 0xd0..=0xd7 => continue, // no content, no meaning here
                _ => {}
            }
            let segment = self.next_segment()?;
            let is_last = self.take_segment(marker, segment)?;
            if is_last {
                break;
            }
        }

        let frame = self.frame.ok_or_else(|| damaged("it has no frame header"))?;
        if self.scans == 0 {
            return Err(damaged("it ends before the first pixel"));
        }
        Ok(JpegStream {
            frame,
            exif: self.exif,
            scans: self.scans,
            first_scan_is_complete: self.first_scan_is_complete,
            bytes: self.bytes,
        })
    }

    /// Moves behind the next marker; bytes that belong to none are skipped, as every decoder does.
    fn next_marker(&mut self) -> Option<u8> {
        let start = scan_to_marker(self.payload, self.position, |_| false)?;
        self.position = start + 2;
        Some(self.payload[start + 1])
    }

    /// Moves behind the segment whose length comes next; its content without the length.
    fn next_segment(&mut self) -> Result<&'a [u8], RecognitionError> {
        let rest = &self.payload[self.position..];
        let truncated = || damaged("a segment is longer than the rest of the file");
        let length_bytes = rest.first_chunk::<2>().ok_or_else(truncated)?;
        let length = usize::from(u16::from_be_bytes(*length_bytes));
        if length < 2 {
            return Err(damaged("a segment is shorter than its own length field"));
        }
        let segment = rest.get(2..length).ok_or_else(truncated)?;
        self.position += length;
        Ok(segment)
    }

    /// Uses or copies one segment. True if nothing behind it is needed.
    fn take_segment(&mut self, marker: u8, segment: &'a [u8]) -> Result<bool, RecognitionError> {
        match marker {
            0xc0..=0xc2 => {
                if self.frame.is_some() {
                    return Err(damaged("it has two frame headers"));
                }
                self.frame = Some(read_frame(marker, segment)?);
                self.copy(marker, segment);
            }
            0xc4 | 0xdb => {
                self.table_bytes += segment.len();
                if self.table_bytes > MAX_TABLE_BYTES {
                    return Err(damaged("it has more than 1 MB of coding tables"));
                }
                self.copy(marker, segment);
            }
            START_OF_SCAN => return self.take_scan(segment),
            // Restart interval; JFIF or AVI header; Adobe's colour transform.
            0xdd | 0xe0 | 0xee => self.copy(marker, segment),
            0xe1 => self.exif = self.exif.or_else(|| segment.strip_prefix(b"Exif\0\0")),
            0xc3 => return Err(unsupported("lossless")),
            0xc9..=0xcc => return Err(unsupported("arithmetic")),
            0xc5..=0xcf | 0xde | 0xdf => return Err(unsupported("hierarchical or lossless")),
            _ => {}
        }
        Ok(false)
    }

    fn take_scan(&mut self, header: &[u8]) -> Result<bool, RecognitionError> {
        let Some(frame) = &self.frame else {
            return Err(damaged("pixels come before the frame header"));
        };
        let component_count = frame.components.len();
        let is_complete = header.first().map(|&count| usize::from(count)) == Some(component_count);
        if self.scans == 0 {
            self.first_scan_is_complete = is_complete;
        }
        self.scans += 1;
        // A sequential picture has no use for more scans than components.
        let is_progressive = frame.progressive;
        let most_scans = if is_progressive { MAX_SCANS } else { component_count };
        if self.scans > most_scans {
            return Err(RecognitionError::BadImage(format!(
                "the JPEG has more than {most_scans} scans; save it as an ordinary JPEG"
            )));
        }
        self.copy(START_OF_SCAN, header);

        let is_part_of_scan = |marker: u8| marker == 0 || matches!(marker, 0xd0..=0xd7);
        let end = scan_to_marker(self.payload, self.position, is_part_of_scan);
        let pixels = &self.payload[self.position..end.unwrap_or(self.payload.len())];
        self.bytes.extend_from_slice(pixels);
        self.position += pixels.len();

        let is_last = !is_progressive && self.first_scan_is_complete;
        if is_last && end.is_some() {
            self.bytes.extend([0xff, END_OF_IMAGE]);
        }
        Ok(is_last)
    }

    fn copy(&mut self, marker: u8, segment: &[u8]) {
        let length = segment.len() as u16 + 2; // was read from two bytes: fits
        self.bytes.extend([0xff, marker]);
        self.bytes.extend(length.to_be_bytes());
        self.bytes.extend_from_slice(segment);
    }
}

/// Where the next marker starts (its 0xff) that is not to be skipped. Fill bytes and stuffed zeros
/// are none.
fn scan_to_marker(bytes: &[u8], from: usize, skip: impl Fn(u8) -> bool) -> Option<usize> {
    let mut position = from;
    loop {
        position += bytes.get(position..)?.iter().position(|&byte| byte == 0xff)?;
        match *bytes.get(position + 1)? {
            0xff => position += 1,
            marker if marker == 0 || skip(marker) => position += 2,
            _ => return Some(position),
        }
    }
}

fn read_frame(marker: u8, segment: &[u8]) -> Result<Frame, RecognitionError> {
    let Some((header, components)) = segment.split_first_chunk::<6>() else {
        return Err(damaged("the frame header is too short"));
    };
    let [precision, height_high, height_low, width_high, width_low, component_count] = *header;
    if precision != 8 {
        return Err(RecognitionError::BadImage(format!(
            "the JPEG has {precision} bits a sample, only 8 are supported"
        )));
    }
    if !(1..=4).contains(&component_count) {
        return Err(RecognitionError::BadImage(format!(
            "the JPEG has {component_count} colour components, 1 to 4 are supported"
        )));
    }
    if components.len() != 3 * usize::from(component_count) {
        return Err(damaged("the frame header has a wrong length"));
    }
    let mut samplings = Vec::with_capacity(4);
    for [_, factors, _] in components.as_chunks::<3>().0 {
        let (horizontal, vertical) = (u32::from(factors >> 4), u32::from(factors & 0xf));
        if !(1..=4).contains(&horizontal) || !(1..=4).contains(&vertical) {
            return Err(damaged("a sampling factor is not 1 to 4"));
        }
        samplings.push(Sampling { horizontal, vertical });
    }
    Ok(Frame {
        progressive: marker == 0xc2,
        width: u32::from(u16::from_be_bytes([width_high, width_low])),
        height: u32::from(u16::from_be_bytes([height_high, height_low])),
        components: samplings,
    })
}

fn damaged(what: &str) -> RecognitionError {
    RecognitionError::BadImage(format!("the JPEG data is damaged or truncated: {what}"))
}

fn unsupported(coding: &str) -> RecognitionError {
    RecognitionError::BadImage(format!(
        "the JPEG uses {coding} coding, which is not supported; save it as an ordinary JPEG"
    ))
}

#[cfg(test)]
mod tests {
    use super::*;

    const FRAME: &[u8] = &[0xff, 0xc0, 0, 11, 8, 0, 16, 0, 32, 1, 1, 0x11, 0];
    const SCAN: &[u8] = &[0xff, 0xda, 0, 8, 1, 1, 0, 0, 63, 0, 0x12, 0xff, 0, 0xff, 0xd3, 0x34];

    fn file(parts: &[&[u8]]) -> Vec<u8> {
        [&[0xff, 0xd8][..], &parts.concat()].concat()
    }

    #[test]
    fn metadata_and_what_follows_the_picture_are_left_out() {
        let exif = b"\xff\xe1\0\x0aExif\0\0ab";
        let comment = b"\xff\xff\xff\xfe\0\x04hi";
        let payload = file(&[exif, comment, FRAME, SCAN, b"\xff\xd9 second picture \xff\xda"]);
        let stream = JpegStream::read(&payload).unwrap();
        assert_eq!(stream.exif, Some(&b"ab"[..]));
        assert!(stream.first_scan_is_complete);
        assert_eq!((stream.frame.width, stream.frame.height), (32, 16));
        assert_eq!(stream.bytes, file(&[FRAME, SCAN, b"\xff\xd9"]));
    }

    #[test]
    fn scans_without_end_are_refused() {
        let mut progressive = FRAME.to_vec();
        progressive[1] = 0xc2;
        let payload = file(&[&progressive, &SCAN.repeat(MAX_SCANS)]);
        assert!(JpegStream::read(&payload).is_ok());
        let payload = file(&[&progressive, &SCAN.repeat(MAX_SCANS + 1)]);
        let sentence = JpegStream::read(&payload).unwrap_err().to_string();
        assert!(sentence.contains("scans"), "{sentence}");
    }

    #[test]
    fn tables_without_end_are_refused() {
        let table = [&[0xff, 0xc4, 0, 19][..], &[0; 17]].concat();
        let payload = file(&[&table.repeat(70_000), FRAME, SCAN]);
        assert!(JpegStream::read(&payload).unwrap_err().to_string().contains("tables"));
    }

    #[test]
    fn segments_beyond_the_end_are_refused() {
        for cut in 2..FRAME.len() {
            assert!(JpegStream::read(&file(&[&FRAME[..cut]])).is_err(), "{cut}");
        }
    }
}
