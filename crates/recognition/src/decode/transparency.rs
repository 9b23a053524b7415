//! What is under transparent pixels, and RGBA made RGB.

/// What transparent pictures are laid over.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum Background {
    #[default]
    White,
    /// What its opaque pixels stand out from: white, black or grey. White text on nothing would
    /// vanish on white.
    Contrast,
}

/// The level of grey that stands for white.
pub(super) const WHITE: u8 = 255;

/// One colour value with its alpha over a level of grey, rounded to the nearest.
pub(super) fn over(value: u8, alpha: u8, background: u8) -> u8 {
    let (value, alpha, background) = (u32::from(value), u32::from(alpha), u32::from(background));
    // Division by 255 with rounding, exact for all sums up to 255 * 255.
    let sum = value * alpha + background * (255 - alpha) + 128;
    ((sum + (sum >> 8)) >> 8) as u8
}

/// Turns RGBA into RGB over the background within the same memory.
pub(super) fn rgba_to_rgb_in_place(pixels: &mut Vec<u8>, background: Background) {
    let level = match background {
        Background::White => WHITE,
        Background::Contrast => {
            let mut visible = Visible::default();
            for [red, green, blue, alpha] in pixels.as_chunks::<4>().0 {
                visible.add([*red, *green, *blue], *alpha, 1);
            }
            visible.contrast()
        }
    };
    let count = pixels.len() / 4;
    for index in 0..count {
        let from = index * 4;
        let to = index * 3;
        let [red, green, blue, alpha] =
            [pixels[from], pixels[from + 1], pixels[from + 2], pixels[from + 3]];
        pixels[to] = over(red, alpha, level);
        pixels[to + 1] = over(green, alpha, level);
        pixels[to + 2] = over(blue, alpha, level);
    }
    pixels.truncate(count * 3);
}

/// How light and dark the visible pixels of a picture are: sums over pixels, weighed with their alpha.
#[derive(Default)]
pub(super) struct Visible {
    pixels: u64,
    /// Pixels that are more transparent than not.
    clear: u64,
    alpha: u64,
    light: u64,
    dark: u64,
    /// Of 1000 times the luma.
    luma: u64,
}

impl Visible {
    /// From where on luma (ITU-R BT.601, times 1000) is light, and up to where dark: a third each.
    const LIGHT: u64 = 170_000;
    const DARK: u64 = 85_000;

    /// Adds so many pixels of that colour.
    pub fn add(&mut self, [red, green, blue]: [u8; 3], alpha: u8, count: u64) {
        let luma = 299 * u64::from(red) + 587 * u64::from(green) + 114 * u64::from(blue);
        let weight = u64::from(alpha) * count;
        self.pixels += count;
        self.alpha += weight;
        self.luma += luma * weight;
        if alpha < 128 {
            self.clear += count;
        }
        if luma >= Self::LIGHT {
            self.light += weight;
        } else if luma < Self::DARK {
            self.dark += weight;
        }
    }

    /// The level of grey that they stand out from: black for light ones, white for dark ones, and
    /// between where there are both and the background is to be seen.
    pub fn contrast(&self) -> u8 {
        let is_fifth = |part: u64| self.alpha > 0 && part * 5 >= self.alpha;
        let shows = self.clear * 20 >= self.pixels;
        if shows && is_fifth(self.light) && is_fifth(self.dark) {
            return 128;
        }
        if self.luma > self.alpha * 127_500 { 0 } else { WHITE }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn blending_rounds_to_the_nearest() {
        for value in 0..=255u8 {
            for alpha in 0..=255u8 {
                let exact = f64::from(value) * f64::from(alpha) / 255.0 + 255.0 - f64::from(alpha);
                assert_eq!(over(value, alpha, WHITE), exact.round() as u8, "{value} {alpha}");
            }
        }
    }

    #[test]
    fn rgba_shrinks_in_place() {
        let mut pixels = vec![10, 20, 30, 255, 1, 2, 3, 0, 0, 100, 255, 128];
        rgba_to_rgb_in_place(&mut pixels, Background::White);
        assert_eq!(pixels, [10, 20, 30, 255, 255, 255, 127, 177, 255]);
    }

    #[test]
    fn the_ground_contrasts_with_what_is_visible() {
        let laid = |rgba: &[[u8; 4]]| {
            let mut pixels = rgba.as_flattened().to_vec();
            rgba_to_rgb_in_place(&mut pixels, Background::Contrast);
            pixels[0]
        };
        let clear = [90, 90, 90, 0];
        assert_eq!(laid(&[clear, [250, 250, 250, 255]]), 0);
        assert_eq!(laid(&[clear, [20, 20, 20, 255]]), 255);
        assert_eq!(laid(&[clear, [250, 250, 250, 255], [20, 20, 20, 255]]), 128);
        assert_eq!(laid(&[clear]), 255);
        let mut opaque = [[250, 250, 250, 255]; 40];
        opaque[1..20].fill([20, 20, 20, 255]);
        assert_eq!(laid(&opaque), 250);
    }
}
