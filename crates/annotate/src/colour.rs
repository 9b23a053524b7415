//! Colours that are told apart, the same for the same number every time.

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Colour {
    pub(crate) red: u8,
    pub(crate) green: u8,
    pub(crate) blue: u8,
}

impl Colour {
    pub(crate) const BLACK: Colour = Colour { red: 0, green: 0, blue: 0 };
    pub(crate) const WHITE: Colour = Colour { red: 255, green: 255, blue: 255 };

    /// The colour of a class or of a place in a list. Neighbouring numbers lie far apart: each turns the hue by the
    /// golden angle, which never comes back to where it was, and changes the lightness.
    pub(crate) fn of(number: u64) -> Colour {
        const LIGHTNESS: [f64; 3] = [0.74, 0.58, 0.86];
        const CHROMA: f64 = 0.19;
        let turn = number % 10_000;
        let hue = (turn as f64 * 137.507_764 + 140.0).to_radians();
        let lightness = LIGHTNESS[(turn % 3) as usize];
        from_oklab(lightness, CHROMA * hue.cos(), CHROMA * hue.sin())
    }

    /// Black or white, whichever is easier to read on this ground (the greater contrast ratio of WCAG).
    pub(crate) fn of_letters(self) -> Colour {
        let luminance =
            0.2126 * linear(self.red) + 0.7152 * linear(self.green) + 0.0722 * linear(self.blue);
        let against_white = 1.05 / (luminance + 0.05);
        let against_black = (luminance + 0.05) / 0.05;
        if against_black >= against_white { Colour::BLACK } else { Colour::WHITE }
    }
}

/// sRGB of a colour in Björn Ottosson's Oklab, where equal distances look equally far; cut to what a screen has.
fn from_oklab(lightness: f64, a: f64, b: f64) -> Colour {
    let long = (lightness + 0.396_337_777_4 * a + 0.215_803_757_3 * b).powi(3);
    let medium = (lightness - 0.105_561_345_8 * a - 0.063_854_172_8 * b).powi(3);
    let short = (lightness - 0.089_484_177_5 * a - 1.291_485_548 * b).powi(3);
    Colour {
        red: encoded(4.076_741_662_1 * long - 3.307_711_591_3 * medium + 0.230_969_929_2 * short),
        green: encoded(
            -1.268_438_004_6 * long + 2.609_757_401_1 * medium - 0.341_319_396_5 * short,
        ),
        blue: encoded(-0.004_196_086_3 * long - 0.703_418_614_7 * medium + 1.707_614_701_0 * short),
    }
}

/// Linear light as an 8-bit value of sRGB.
fn encoded(light: f64) -> u8 {
    let light = light.clamp(0.0, 1.0);
    let value =
        if light <= 0.003_130_8 { 12.92 * light } else { 1.055 * light.powf(1.0 / 2.4) - 0.055 };
    (value * 255.0).round() as u8
}

/// An 8-bit value of sRGB as linear light.
fn linear(value: u8) -> f64 {
    let value = f64::from(value) / 255.0;
    if value <= 0.040_45 { value / 12.92 } else { ((value + 0.055) / 1.055).powf(2.4) }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_first_colours_differ_clearly() {
        let colours: Vec<Colour> = (0..12).map(Colour::of).collect();
        for (index, one) in colours.iter().enumerate() {
            for other in &colours[..index] {
                let difference = one.red.abs_diff(other.red) as u32
                    + one.green.abs_diff(other.green) as u32
                    + one.blue.abs_diff(other.blue) as u32;
                assert!(difference >= 48, "{one:?} {other:?}");
            }
        }
    }

    #[test]
    fn letters_are_dark_on_light_and_light_on_dark() {
        assert_eq!(Colour { red: 255, green: 255, blue: 0 }.of_letters(), Colour::BLACK);
        assert_eq!(Colour { red: 120, green: 0, blue: 120 }.of_letters(), Colour::WHITE);
    }
}
