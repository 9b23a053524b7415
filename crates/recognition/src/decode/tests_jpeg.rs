//! JPEG files built block by block: unusual scans, sampling and colours that no encoder at hand
//! writes.

use super::{DecodeLimits, Detail, Photo, decode};

const MARKER: u8 = 0xff;

/// A component: its sampling factors, and the brightness (0 to 255) of each of its 8x8 blocks, in
/// rows.
struct Component {
    horizontal: u8,
    vertical: u8,
    blocks: Vec<Vec<u8>>,
}

fn component(horizontal: u8, vertical: u8, blocks: &[&[u8]]) -> Component {
    Component { horizontal, vertical, blocks: blocks.iter().map(|row| row.to_vec()).collect() }
}

/// Bits, the highest first, with a zero behind each 0xff.
#[derive(Default)]
struct BitWriter {
    bytes: Vec<u8>,
    pending: u32,
    count: u32,
}

impl BitWriter {
    fn write(&mut self, bits: u32, count: u32) {
        for place in (0..count).rev() {
            self.pending = self.pending << 1 | (bits >> place & 1);
            self.count += 1;
            if self.count == 8 {
                let byte = self.pending as u8;
                self.bytes.push(byte);
                if byte == MARKER {
                    self.bytes.push(0);
                }
                (self.pending, self.count) = (0, 0);
            }
        }
    }

    /// A block of one brightness: the difference to the block before, and the end of the block.
    fn write_flat_block(&mut self, difference: i32) {
        let category = 32 - difference.unsigned_abs().leading_zeros();
        self.write(category, 4); // all codes of the DC table have 4 bits
        let bits = if difference < 0 { difference - 1 } else { difference };
        self.write(bits as u32 & ((1 << category) - 1), category);
        self.write(0, 1);
    }

    fn finish(mut self) -> Vec<u8> {
        while self.count != 0 {
            self.write(1, 1);
        }
        self.bytes
    }
}

fn segment(marker: u8, content: &[u8]) -> Vec<u8> {
    let length = (content.len() as u16 + 2).to_be_bytes();
    [&[MARKER, marker], &length[..], content].concat()
}

/// The block at a place, the last one where the picture has been exceeded.
fn coefficient(component: &Component, x: usize, y: usize) -> i32 {
    let row = &component.blocks[y.min(component.blocks.len() - 1)];
    // Quantised by 8: a flat block's first coefficient is its brightness around the middle.
    i32::from(row[x.min(row.len() - 1)]) - 128
}

/// The scan of some components; one alone is written block by block, several interleaved in units.
fn scan(components: &[Component], chosen: &[usize], units: (usize, usize)) -> Vec<u8> {
    let mut header = vec![chosen.len() as u8];
    header.extend(chosen.iter().flat_map(|&index| [index as u8 + 1, 0]));
    header.extend([0, 63, 0]);

    let mut bits = BitWriter::default();
    let mut previous = [0; 4];
    let mut write = |bits: &mut BitWriter, index: usize, x: usize, y: usize| {
        let value = coefficient(&components[index], x, y);
        bits.write_flat_block(value - previous[index]);
        previous[index] = value;
    };
    if let [only] = chosen {
        let rows = &components[*only].blocks;
        for (y, row) in rows.iter().enumerate() {
            (0..row.len()).for_each(|x| write(&mut bits, *only, x, y));
        }
    } else {
        for (unit_y, unit_x) in (0..units.1).flat_map(|y| (0..units.0).map(move |x| (y, x))) {
            for &index in chosen {
                let (across, down) =
                    (components[index].horizontal.into(), components[index].vertical.into());
                for (y, x) in (0..down).flat_map(|y| (0..across).map(move |x| (y, x))) {
                    write(&mut bits, index, unit_x * across + x, unit_y * down + y);
                }
            }
        }
    }
    [segment(0xda, &header), bits.finish()].concat()
}

/// A sequential JPEG with these scans. `adobe` is the colour transform of an Adobe segment.
fn jpeg(
    size: (u16, u16),
    components: &[Component],
    scans: &[&[usize]],
    adobe: Option<u8>,
) -> Vec<u8> {
    let most =
        |factor: fn(&Component) -> u8| usize::from(components.iter().map(factor).max().unwrap());
    let (across, down) =
        (most(|component| component.horizontal), most(|component| component.vertical));
    let units = (usize::from(size.0).div_ceil(8 * across), usize::from(size.1).div_ceil(8 * down));

    let mut frame = vec![8];
    frame.extend(size.1.to_be_bytes());
    frame.extend(size.0.to_be_bytes());
    frame.push(components.len() as u8);
    for (index, component) in components.iter().enumerate() {
        frame.extend([index as u8 + 1, component.horizontal << 4 | component.vertical, 0]);
    }
    // DC: twelve codes of 4 bits. AC: one code of 1 bit, the end of a block.
    let mut dc_table = vec![0, 0, 0, 0, 12, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0];
    dc_table.extend(0..12);
    let ac_table = [0x10, 1, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0];

    let mut file = vec![MARKER, 0xd8];
    if let Some(transform) = adobe {
        file.extend(segment(0xee, &[b"Adobe\0\x64\0\0\0\0", &[transform][..]].concat()));
    }
    file.extend(segment(0xdb, &[&[0][..], &[8; 64]].concat()));
    file.extend(segment(0xc0, &frame));
    file.extend(segment(0xc4, &dc_table));
    file.extend(segment(0xc4, &ac_table));
    for chosen in scans {
        file.extend(scan(components, chosen, units));
    }
    file.extend([MARKER, 0xd9]);
    file
}

fn decoded(payload: &[u8]) -> Photo {
    decode(payload, &DecodeLimits::default(), Detail::Full).unwrap()
}

/// The colour in the middle of the block at (x, y), counted in blocks of 8.
fn colour(photo: &Photo, x: usize, y: usize) -> [u8; 3] {
    photo.rgb.as_chunks::<3>().0[(y * 8 + 4) * photo.width as usize + x * 8 + 4]
}

fn assert_near(found: [u8; 3], expected: [u8; 3]) {
    let is_near = found.iter().zip(expected).all(|(a, b)| a.abs_diff(b) <= 2);
    assert!(is_near, "{found:?}, not {expected:?}");
}

fn assert_same(one: &Photo, other: &Photo) {
    assert_eq!((one.width, one.height), (other.width, other.height));
    let largest = one.rgb.iter().zip(&other.rgb).map(|(a, b)| a.abs_diff(*b)).max();
    assert!(largest <= Some(3), "{largest:?}");
}

/// 32x32, chroma at half the size.
fn subsampled() -> Vec<Component> {
    let luma = component(
        2,
        2,
        &[&[40, 60, 80, 90], &[50, 70, 90, 110], &[150, 160, 170, 180], &[200, 190, 180, 170]],
    );
    let blue = component(1, 1, &[&[128, 150], &[110, 128]]);
    let red = component(1, 1, &[&[140, 128], &[128, 100]]);
    vec![luma, blue, red]
}

#[test]
fn a_scan_for_each_component_shows_what_one_scan_shows() {
    let components = subsampled();
    let together = decoded(&jpeg((32, 32), &components, &[&[0, 1, 2]], None));
    assert_near(
        colour(&decoded(&jpeg((32, 32), &components, &[&[0], &[1], &[2]], None)), 0, 3),
        colour(&together, 0, 3),
    );
    for scans in [&[&[0][..], &[1], &[2]][..], &[&[0], &[1, 2]], &[&[1], &[0], &[2]]] {
        assert_same(&decoded(&jpeg((32, 32), &components, scans, None)), &together);
    }
}

#[test]
fn a_missing_scan_is_refused() {
    let payload = jpeg((32, 32), &subsampled(), &[&[0], &[1]], None);
    assert!(decode(&payload, &DecodeLimits::default(), Detail::Full).is_err());
}

#[test]
fn scans_that_come_again_are_refused() {
    let payload = jpeg((32, 32), &subsampled(), &[&[0], &[1], &[2], &[0]], None);
    assert!(
        decode(&payload, &DecodeLimits::default(), Detail::Full)
            .unwrap_err()
            .to_string()
            .contains("scans")
    );
}

#[test]
fn a_second_complete_scan_is_not_even_read() {
    let components = subsampled();
    let once = decoded(&jpeg((32, 32), &components, &[&[0, 1, 2]], None));
    let often = decoded(&jpeg((32, 32), &components, &[&[0, 1, 2][..]; 50], None));
    assert_same(&often, &once);
}

#[test]
fn luma_coarser_than_chroma_keeps_its_colours() {
    let luma = component(1, 1, &[&[120, 200]]);
    let chroma = || component(2, 2, &[&[128; 4], &[128; 4]]);
    let photo = decoded(&jpeg((32, 16), &[luma, chroma(), chroma()], &[&[0, 1, 2]], None));
    assert_near(colour(&photo, 0, 0), [120; 3]);
    assert_near(colour(&photo, 3, 1), [200; 3]);
}

#[test]
fn adobe_says_what_the_components_mean() {
    let three =
        || [component(1, 1, &[&[200]]), component(1, 1, &[&[100]]), component(1, 1, &[&[50]])];
    let rgb = decoded(&jpeg((8, 8), &three(), &[&[0, 1, 2]], Some(0)));
    assert_near(colour(&rgb, 0, 0), [200, 100, 50]);
    // Y 200, Cb 100, Cr 50
    let ycc = decoded(&jpeg((8, 8), &three(), &[&[0, 1, 2]], Some(1)));
    assert_near(colour(&ycc, 0, 0), [91, 255, 150]);
}

#[test]
fn cmyk_becomes_rgb_by_either_decoder() {
    let four = || {
        let [cyan, magenta, yellow] = [200, 100, 50].map(|value| component(1, 1, &[&[value]]));
        [cyan, magenta, yellow, component(1, 1, &[&[128]])]
    };
    for scans in [&[&[0, 1, 2, 3][..]][..], &[&[0], &[1], &[2], &[3]]] {
        let photo = decoded(&jpeg((8, 8), &four(), scans, Some(0)));
        assert_near(colour(&photo, 0, 0), [100, 50, 25]);
    }
    // YCCK: the same by either.
    let together = decoded(&jpeg((8, 8), &four(), &[&[0, 1, 2, 3]], Some(2)));
    let apart = decoded(&jpeg((8, 8), &four(), &[&[0], &[1], &[2], &[3]], Some(2)));
    assert_same(&apart, &together);
}
