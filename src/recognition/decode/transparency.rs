//! Transparent pixels laid over white, and grey made RGB.

/// One colour value with its alpha over white, rounded to the nearest.
pub(super) fn over_white(value: u8, alpha: u8) -> u8 {
    let (value, alpha) = (u32::from(value), u32::from(alpha));
    // Division by 255 with rounding, exact for all sums up to 255 * 255.
    let sum = value * alpha + 255 * (255 - alpha) + 128;
    ((sum + (sum >> 8)) >> 8) as u8
}

/// Turns RGBA into RGB over white within the same memory.
pub(super) fn rgba_to_rgb_in_place(pixels: &mut Vec<u8>) {
    let count = pixels.len() / 4;
    for index in 0..count {
        let from = index * 4;
        let to = index * 3;
        let [red, green, blue, alpha] =
            [pixels[from], pixels[from + 1], pixels[from + 2], pixels[from + 3]];
        pixels[to] = over_white(red, alpha);
        pixels[to + 1] = over_white(green, alpha);
        pixels[to + 2] = over_white(blue, alpha);
    }
    pixels.truncate(count * 3);
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn blending_rounds_to_the_nearest() {
        for value in 0..=255u8 {
            for alpha in 0..=255u8 {
                let exact = f64::from(value) * f64::from(alpha) / 255.0 + 255.0 - f64::from(alpha);
                assert_eq!(over_white(value, alpha), exact.round() as u8, "{value} {alpha}");
            }
        }
    }

    #[test]
    fn rgba_shrinks_in_place() {
        let mut pixels = vec![10, 20, 30, 255, 1, 2, 3, 0, 0, 100, 255, 128];
        rgba_to_rgb_in_place(&mut pixels);
        assert_eq!(pixels, [10, 20, 30, 255, 255, 255, 127, 177, 255]);
    }
}
