//! The decoder of JPEG at a reduced size: undecodable, or a picture of the size that was foretold.
#![no_main]

use libfuzzer_sys::fuzz_target;
use recognition::decode::fuzzing::scaled_jpeg;

// The first byte says how much smaller, the rest is the file.
fuzz_target!(|data: &[u8]| {
    let Some((&first, payload)) = data.split_first() else { return };
    let denominator = [2, 4, 8][usize::from(first) % 3];
    if let Some((width, height, rgb)) = scaled_jpeg(payload, denominator) {
        assert_eq!(rgb.len(), width as usize * height as usize * 3);
    }
});
