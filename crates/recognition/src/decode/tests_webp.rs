//! WebP files built by hand: sizes that lie, and coding trees without end.

use super::tests::refused;
use super::webp_lossless::{CODE_LENGTH_ORDER, tree_memory};

/// A WebP file of one chunk.
fn webp(kind: &[u8; 4], content: &[u8]) -> Vec<u8> {
    let length = |bytes: usize| (bytes as u32).to_le_bytes();
    let padding = &[0][..content.len() % 2];
    let file_length = 4 + 8 + content.len() + padding.len();
    [b"RIFF", &length(file_length), b"WEBP", kind, &length(content.len()), content, padding]
        .concat()
}

#[test]
fn webp_sizes_that_disagree_are_refused() {
    let canvas = [0, 0, 0, 0, 9, 0, 0, 9, 0, 0];
    let inner = b"VP8 \x0a\0\0\0\x30\x01\0\x9d\x01\x2a\xff\x3f\xff\x3f";
    let mut payload = webp(b"VP8X", &canvas);
    payload.extend_from_slice(inner);
    payload[4] = (payload.len() - 8) as u8;
    let sentence = refused(&payload);
    assert!(sentence.contains("16383x16383 in a frame of 10x10"), "{sentence}");
}

#[test]
fn a_webp_side_of_16384_is_named_as_unsupported() {
    let payload = webp(b"VP8L", &[0x2f, 0xff, 0x3f, 0, 0, 0, 0, 0]);
    assert!(refused(&payload).contains("16384"), "{}", refused(&payload));
}

#[derive(Default)]
struct Writer(Vec<bool>);

impl Writer {
    fn number(&mut self, number: usize, bits: usize) {
        self.0.extend((0..bits).map(|place| number >> place & 1 == 1));
    }

    /// A code of one symbol.
    fn single(&mut self, symbol: usize) {
        self.number(0b101, 3);
        self.number(symbol, 8);
    }

    /// A code of so many symbols, all of one length: their lengths take no bits.
    fn uniform(&mut self, length: usize, symbol_count: usize) {
        let place = CODE_LENGTH_ORDER.iter().position(|&other| other == length).unwrap();
        self.number(0, 1);
        self.number(place + 1 - 4, 4);
        (0..=place).for_each(|other| self.number(usize::from(other == place), 3));
        self.number(1, 1);
        self.number(5, 3); // 12 bits for the count
        self.number(symbol_count - 2, 12);
    }

    fn into_bytes(self) -> Vec<u8> {
        let byte =
            |bits: &[bool]| bits.iter().rev().fold(0, |byte, &bit| byte << 1 | u8::from(bit));
        self.0.chunks(8).map(byte).collect()
    }
}

/// A picture of one pixel with so many groups of the largest trees.
fn bomb(groups: usize) -> Vec<u8> {
    let mut writer = Writer::default();
    writer.number(0, 32); // header: 1x1
    writer.number(0, 1); // no transform
    writer.number(1, 1); // a colour cache of 2048
    writer.number(11, 4);
    writer.number(1, 1); // groups by blocks of 4x4, numbered in an image without a cache
    writer.number(0, 3 + 1);
    let last = groups - 1;
    [last & 0xff, last >> 8, 0, 0, 0].into_iter().for_each(|symbol| writer.single(symbol));
    for _ in 0..groups {
        writer.uniform(11, 2048);
        (0..3).for_each(|_| writer.uniform(8, 256));
        writer.uniform(5, 32);
    }
    writer.into_bytes()
}

#[test]
fn large_trees_in_few_bytes_are_counted() {
    let payload = bomb(1000);
    assert!(payload.len() < 50_000);
    let memory = tree_memory(&payload, 1, 1, u64::MAX, true).unwrap();
    assert!((70_000_000..80_000_000).contains(&memory), "{memory}");
}

#[test]
fn counting_stops_at_the_limit() {
    let memory = tree_memory(&bomb(65_536), 1, 1, 1_000_000_000, true).unwrap();
    assert!((1_000_000_000..1_100_000_000).contains(&memory), "{memory}");
}

#[test]
fn data_that_ends_among_the_trees_is_refused() {
    let payload = bomb(3);
    for length in 0..payload.len() - 1 {
        assert!(tree_memory(&payload[..length], 1, 1, u64::MAX, true).is_err(), "{length}");
    }
}

#[test]
fn an_ordinary_picture_has_small_trees() {
    let picture = image::RgbaImage::from_fn(64, 64, |x, y| image::Rgba([x as u8, y as u8, 9, 255]));
    let mut payload = std::io::Cursor::new(Vec::new());
    picture.write_to(&mut payload, image::ImageFormat::WebP).unwrap();
    let bits = &payload.into_inner()[21..];
    let memory = tree_memory(bits, 64, 64, u64::MAX, true).unwrap();
    assert!((1_000..100_000).contains(&memory), "{memory}");
}
