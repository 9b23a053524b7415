//! From samples of the components to RGB.

/// What the components mean.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum ColourSpace {
    Grey,
    YCbCr,
    Rgb,
}

/// Pixels that are converted at a time.
const RUN: usize = 16;

/// Appends a row of pixels, given the row of each component.
pub(super) fn write_row<'a>(
    colour_space: ColourSpace,
    mut rows: impl Iterator<Item = &'a [u8]>,
    rgb: &mut Vec<u8>,
) {
    let [first, second, third] = [rows.next(), rows.next(), rows.next()];
    let Some(first) = first else { return };
    let (second, third) = (second.unwrap_or(first), third.unwrap_or(first));
    let start = rgb.len();
    rgb.resize(start + first.len() * 3, 0);
    let pixels = rgb[start..].as_chunks_mut::<3>().0;
    let runs = first.chunks(RUN).zip(second.chunks(RUN)).zip(third.chunks(RUN));
    for (pixels, ((first, second), third)) in pixels.chunks_mut(RUN).zip(runs) {
        if colour_space == ColourSpace::YCbCr {
            write_ycc(pixels, first, second, third);
            continue;
        }
        for (pixel, ((first, second), third)) in
            pixels.iter_mut().zip(first.iter().zip(second).zip(third))
        {
            *pixel = [*first, *second, *third];
        }
    }
}

#[inline(always)]
fn write_ycc(pixels: &mut [[u8; 3]], luma: &[u8], blue: &[u8], red: &[u8]) {
    for (pixel, ((&luma, &blue), &red)) in pixels.iter_mut().zip(luma.iter().zip(blue).zip(red)) {
        let luma = (i32::from(luma) << 16) + (1 << 15);
        let (blue, red) = (i32::from(blue) - 128, i32::from(red) - 128);
        let clamped = |value: i32| (value >> 16).clamp(0, 255) as u8;
        // 1.402, 0.344136, 0.714136 and 1.772 of the JFIF standard, times 2^16.
        *pixel = [
            clamped(luma + 91_881 * red),
            clamped(luma - 22_554 * blue - 46_802 * red),
            clamped(luma + 116_130 * blue),
        ];
    }
}
