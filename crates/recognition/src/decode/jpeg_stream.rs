//! The segments of a JPEG file, read before any decoder sees it. What comes out is the frame
//! header, the EXIF block, the segments that decoding needs, and, for decoders that want a file, a
//! copy with nothing but these.
//!
//! The copy is a defence: zune-jpeg would spend memory and time on metadata and on needless scans. It gets
//! none of these to see.

use crate::error::RecognitionError;

/// The most scans of a progressive file. Encoders write about ten; each costs a walk over the whole
/// picture.
pub(super) const MAX_SCANS: usize = 100;
/// The most bytes of Huffman and quantisation tables: each table of 20 bytes costs microseconds to
/// build.
const MAX_TABLE_BYTES: usize = 1024 * 1024;
/// The most segments that are kept, for the memory of their list.
const MAX_SEGMENTS: usize = 10_000;

const START_OF_IMAGE: u8 = 0xd8;
const END_OF_IMAGE: u8 = 0xd9;
pub(super) const START_OF_SCAN: u8 = 0xda;
pub(super) const HUFFMAN_TABLES: u8 = 0xc4;
pub(super) const QUANTISATION_TABLES: u8 = 0xdb;
pub(super) const RESTART_INTERVAL: u8 = 0xdd;
pub(super) const ADOBE: u8 = 0xee;

/// The frame header: everything that memory depends on.
#[derive(Debug)]
pub(super) struct Frame {
    pub progressive: bool,
    pub width: u32,
    pub height: u32,
    /// 1 to 4 colour components.
    pub components: Vec<Component>,
}

impl Frame {
    /// Is the first component, luma, sampled as finely as any, and are the others a power of two
    /// coarser?
    pub fn has_usual_sampling(&self) -> bool {
        let factors = || {
            let components = self.components.iter();
            components.flat_map(|component| [component.horizontal, component.vertical])
        };
        let first = self.components[0];
        let luma_is_finest = self.components.iter().all(|component| {
            component.horizontal <= first.horizontal && component.vertical <= first.vertical
        });
        self.components.len() == 1 || luma_is_finest && factors().all(u32::is_power_of_two)
    }
}

/// A component, as the frame header describes it.
#[derive(Clone, Copy, Debug)]
pub(super) struct Component {
    /// What scans call it.
    pub id: u8,
    /// How many of its blocks are in one unit, across and down: each 1 to 4.
    pub horizontal: u32,
    pub vertical: u32,
    /// The number of its quantisation table.
    pub quantisation: u8,
}

/// A segment that decoding needs.
#[derive(Debug)]
pub(super) struct Segment<'a> {
    pub marker: u8,
    /// Without its length.
    pub content: &'a [u8],
    /// Behind the header of a scan: its entropy-coded data, with stuffed zeros and restart markers.
    pub pixels: &'a [u8],
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
    /// Without metadata, comments and whatever follows the picture.
    pub segments: Vec<Segment<'a>>,
    /// Does the last scan end with a marker, or at the end of the file?
    pub has_end: bool,
}

impl<'a> JpegStream<'a> {
    /// Reads all segments up to the end of the picture.
    pub fn read(payload: &'a [u8]) -> Result<Self, RecognitionError> {
        SegmentReader {
            payload,
            position: 2,
            segments: Vec::new(),
            has_end: false,
            frame: None,
            exif: None,
            table_bytes: 0,
            scans: 0,
            first_scan_is_complete: false,
        }
        .read()
    }

    /// The length of [`JpegStream::to_file`].
    pub fn file_length(&self) -> usize {
        let segments = self.segments.iter();
        let length = |segment: &Segment| 4 + segment.content.len() + segment.pixels.len();
        2 + segments.map(length).sum::<usize>() + if self.has_end { 2 } else { 0 }
    }

    /// The file without all that decoding does not need.
    pub fn to_file(&self) -> Vec<u8> {
        let mut file = Vec::with_capacity(self.file_length());
        file.extend([0xff, START_OF_IMAGE]);
        for segment in &self.segments {
            let length = segment.content.len() as u16 + 2; // was read from two bytes: fits
            file.extend([0xff, segment.marker]);
            file.extend(length.to_be_bytes());
            file.extend_from_slice(segment.content);
            file.extend_from_slice(segment.pixels);
        }
        if self.has_end {
            file.extend([0xff, END_OF_IMAGE]);
        }
        file
    }
}

struct SegmentReader<'a> {
    payload: &'a [u8],
    position: usize,
    segments: Vec<Segment<'a>>,
    has_end: bool,
    frame: Option<Frame>,
    exif: Option<&'a [u8]>,
    table_bytes: usize,
    scans: usize,
    first_scan_is_complete: bool,
}

impl<'a> SegmentReader<'a> {
    fn read(mut self) -> Result<JpegStream<'a>, RecognitionError> {
        while let Some(marker) = self.next_marker() {
            match marker {
                END_OF_IMAGE => {
                    self.has_end = true;
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
            segments: self.segments,
            has_end: self.has_end,
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
                self.keep(marker, segment, &[])?;
            }
            HUFFMAN_TABLES | QUANTISATION_TABLES => {
                self.table_bytes += segment.len();
                if self.table_bytes > MAX_TABLE_BYTES {
                    return Err(damaged("it has more than 1 MB of coding tables"));
                }
                self.keep(marker, segment, &[])?;
            }
            START_OF_SCAN => return self.take_scan(segment),
            // Restart interval; JFIF or AVI header; Adobe's colour transform.
            RESTART_INTERVAL | 0xe0 | ADOBE => self.keep(marker, segment, &[])?,
            0xe1 => self.exif = self.exif.or_else(|| segment.strip_prefix(b"Exif\0\0")),
            0xc3 => return Err(unsupported("lossless")),
            0xc9..=0xcc => return Err(unsupported("arithmetic")),
            0xc5..=0xcf | 0xde | 0xdf => return Err(unsupported("hierarchical or lossless")),
            _ => {}
        }
        Ok(false)
    }

    fn take_scan(&mut self, header: &'a [u8]) -> Result<bool, RecognitionError> {
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
        let is_part_of_scan = |marker: u8| marker == 0 || matches!(marker, 0xd0..=0xd7);
        let end = scan_to_marker(self.payload, self.position, is_part_of_scan);
        let pixels = &self.payload[self.position..end.unwrap_or(self.payload.len())];
        self.position += pixels.len();
        self.keep(START_OF_SCAN, header, pixels)?;

        let is_last = !is_progressive && self.first_scan_is_complete;
        self.has_end = is_last && end.is_some();
        Ok(is_last)
    }

    fn keep(
        &mut self,
        marker: u8,
        content: &'a [u8],
        pixels: &'a [u8],
    ) -> Result<(), RecognitionError> {
        if self.segments.len() == MAX_SEGMENTS {
            return Err(damaged("it has more than 10,000 headers and coding tables"));
        }
        self.segments.push(Segment { marker, content, pixels });
        Ok(())
    }
}

/// Where the next marker starts (its 0xff) that is not to be skipped. Fill bytes and stuffed zeros
/// are none.
fn scan_to_marker(bytes: &[u8], from: usize, skip: impl Fn(u8) -> bool) -> Option<usize> {
    let mut position = from;
    loop {
        position += find_ff(bytes.get(position..)?)?;
        match *bytes.get(position + 1)? {
            0xff => position += 1,
            marker if marker == 0 || skip(marker) => position += 2,
            _ => return Some(position),
        }
    }
}

/// Where the first 0xff is. Blocks without one are passed over without a branch for each byte.
pub(super) fn find_ff(bytes: &[u8]) -> Option<usize> {
    let has_ff = |block: &[u8; 32]| block.iter().fold(false, |found, &byte| found | (byte == 0xff));
    let (blocks, _) = bytes.as_chunks::<32>();
    let passed = blocks.iter().position(has_ff).unwrap_or(blocks.len()) * 32;
    Some(passed + bytes[passed..].iter().position(|&byte| byte == 0xff)?)
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
    let mut frame_components = Vec::with_capacity(4);
    for &[id, factors, quantisation] in components.as_chunks::<3>().0 {
        let (horizontal, vertical) = (u32::from(factors >> 4), u32::from(factors & 0xf));
        if !(1..=4).contains(&horizontal) || !(1..=4).contains(&vertical) {
            return Err(damaged("a sampling factor is not 1 to 4"));
        }
        frame_components.push(Component { id, horizontal, vertical, quantisation });
    }
    Ok(Frame {
        progressive: marker == 0xc2,
        width: u32::from(u16::from_be_bytes([width_high, width_low])),
        height: u32::from(u16::from_be_bytes([height_high, height_low])),
        components: frame_components,
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
        assert_eq!(stream.to_file(), file(&[FRAME, SCAN, b"\xff\xd9"]));
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
