//! Text as outlines of the committed font. What the font lacks becomes its empty box.

use ab_glyph::{Font, FontRef, GlyphId, OutlineCurve};
use tiny_skia::{Path, PathBuilder};

/// Of a longer text no more is looked at.
const MAX_CHARACTERS: usize = 300;

const ELLIPSIS: char = '…';

pub(crate) struct Lettering {
    font: FontRef<'static>,
    /// The font's own units per em.
    units: f32,
}

/// A text that fits into its place.
pub(crate) struct Words {
    glyphs: Vec<GlyphId>,
    /// Pixels per em.
    letters: f32,
    pub(crate) width: f32,
}

impl Lettering {
    pub(crate) fn new() -> Lettering {
        let font = FontRef::try_from_slice(include_bytes!("../fonts/DejaVuSans.ttf"))
            .expect("the font is part of the program and known to be valid");
        let units = font.units_per_em().unwrap_or(2048.0);
        Lettering { font, units }
    }

    /// From the top of the highest letter to the bottom of the lowest.
    pub(crate) fn height(&self, letters: f32) -> f32 {
        (self.font.ascent_unscaled() - self.font.descent_unscaled()) * letters / self.units
    }

    /// The text in letters of this size (pixels per em), cut with an ellipsis where it is wider than `room`. `None` if
    /// not even two characters have room.
    pub(crate) fn fit(&self, text: &str, letters: f32, room: f32) -> Option<Words> {
        let scale = letters / self.units;
        let advance = |glyph: GlyphId| self.font.h_advance_unscaled(glyph) * scale;
        let glyph_of = |character: char| {
            // A line break is no letter that the font lacks.
            self.font.glyph_id(if character.is_whitespace() { ' ' } else { character })
        };
        let ellipsis = glyph_of(ELLIPSIS);

        let mut glyphs: Vec<GlyphId> = text.chars().take(MAX_CHARACTERS).map(glyph_of).collect();
        let mut width: f32 = glyphs.iter().map(|glyph| advance(*glyph)).sum();
        let is_cut = text.chars().nth(MAX_CHARACTERS).is_some() || width > room;
        if is_cut {
            while width + advance(ellipsis) > room {
                width -= advance(glyphs.pop()?);
            }
            if glyphs.len() < 2 {
                return None;
            }
            glyphs.push(ellipsis);
            width += advance(ellipsis);
        }
        Some(Words { glyphs, letters, width })
    }

    /// The outlines of a text whose highest letters begin at `top`. `None` if nothing is to be seen.
    pub(crate) fn path(&self, words: &Words, left: f32, top: f32) -> Option<Path> {
        let scale = words.letters / self.units;
        let baseline = top + self.font.ascent_unscaled() * scale;
        let mut builder = PathBuilder::new();
        let mut x = left;
        for glyph in &words.glyphs {
            if let Some(outline) = self.font.outline(*glyph) {
                push_outline(&mut builder, &outline.curves, |point| {
                    (x + point.x * scale, baseline - point.y * scale)
                });
            }
            x += self.font.h_advance_unscaled(*glyph) * scale;
        }
        builder.finish()
    }
}

/// Curves come one after the other; where one does not begin at the end of the last, a new contour begins.
fn push_outline(
    builder: &mut PathBuilder,
    curves: &[OutlineCurve],
    place: impl Fn(ab_glyph::Point) -> (f32, f32),
) {
    let mut end = None;
    for curve in curves {
        let (from, to) = match curve {
            OutlineCurve::Line(from, to)
            | OutlineCurve::Quad(from, _, to)
            | OutlineCurve::Cubic(from, _, _, to) => (*from, *to),
        };
        if end != Some(from) {
            builder.close();
            let (x, y) = place(from);
            builder.move_to(x, y);
        }
        let (x, y) = place(to);
        match curve {
            OutlineCurve::Line(..) => builder.line_to(x, y),
            OutlineCurve::Quad(_, control, _) => {
                let (x1, y1) = place(*control);
                builder.quad_to(x1, y1, x, y);
            }
            OutlineCurve::Cubic(_, one, other, _) => {
                let ((x1, y1), (x2, y2)) = (place(*one), place(*other));
                builder.cubic_to(x1, y1, x2, y2, x, y);
            }
        }
        end = Some(to);
    }
    builder.close();
}
