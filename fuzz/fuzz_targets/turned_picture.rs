//! Turning a picture upright, with room for a copy and without: the same pixels, each where EXIF says.
#![no_main]

use libfuzzer_sys::fuzz_target;
use recognition::decode::fuzzing::turned;

// Width, height, orientation, and how much memory there is.
fuzz_target!(|data: [u8; 5]| {
    let [width, height, exif, low, high] = data;
    let (width, height) = (u32::from(width) + 1, u32::from(height) + 1);
    let exif = exif % 8 + 1;
    let rgb: Vec<u8> = (0..width * height).flat_map(|place| place.to_le_bytes()[..3].to_vec()).collect();
    let memory = u64::from(u16::from_le_bytes([low, high])) * 16;
    let photo = turned(width, height, rgb.clone(), exif, memory);
    let swapped = exif > 4;
    assert_eq!((photo.width, photo.height), if swapped { (height, width) } else { (width, height) });
    for y in 0..photo.height {
        for x in 0..photo.width {
            // Where the pixel was stored (Exif 2.32, tag 0x0112).
            let (column, row) = match exif {
                1 => (x, y),
                2 => (width - 1 - x, y),
                3 => (width - 1 - x, height - 1 - y),
                4 => (x, height - 1 - y),
                5 => (y, x),
                6 => (y, height - 1 - x),
                7 => (width - 1 - y, height - 1 - x),
                _ => (width - 1 - y, x),
            };
            let (from, to) = ((row * width + column) as usize * 3, (y * photo.width + x) as usize * 3);
            assert_eq!(rgb[from..from + 3], photo.rgb[to..to + 3]);
        }
    }
});
