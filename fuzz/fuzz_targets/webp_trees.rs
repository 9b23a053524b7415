//! The measure of the coding trees in lossless WebP data: broken, or a number of bytes.
#![no_main]

use libfuzzer_sys::fuzz_target;
use recognition::decode::fuzzing::webp_tree_memory;

// Two bytes for each side, one that says whether the data begins with a header, then the data.
fuzz_target!(|data: &[u8]| {
    let Some((&[a, b, c, d, header], bits)) = data.split_first_chunk() else { return };
    let side = |low, high| u32::from(u16::from_le_bytes([low, high]) % 16_383) + 1;
    let (width, height) = (side(a, b), side(c, d));
    // Larger pictures are refused before: `image.max-pixels`.
    if width * height <= 50_000_000 {
        let _ = webp_tree_memory(bits, width, height, header % 2 == 0);
    }
});
