//! The picture being drawn: smooth lines, dots, filled rectangles and outlines of letters.

use image::RgbImage;
use tiny_skia::{
    Color, FillRule, IntSize, LineCap, Paint, Path, PathBuilder, Pixmap, Rect, Stroke, Transform,
};

use crate::colour::Colour;
use crate::error::Error;
use crate::geometry::{Area, Point};

pub(crate) struct Canvas {
    pixels: Pixmap,
}

impl Canvas {
    pub(crate) fn over(photo: &RgbImage) -> Result<Canvas, Error> {
        let (width, height) = photo.dimensions();
        let opaque = photo.pixels().flat_map(|pixel| [pixel[0], pixel[1], pixel[2], 255]).collect();
        let pixels =
            IntSize::from_wh(width, height).and_then(|size| Pixmap::from_vec(opaque, size));
        Ok(Canvas { pixels: pixels.ok_or(Error::PhotoSize(width, height))? })
    }

    pub(crate) fn area(&self) -> Area {
        Area::at(0.0, 0.0, self.pixels.width() as f32, self.pixels.height() as f32)
    }

    /// Lines with round ends, with or without others at them. They must not begin or end far outside.
    pub(crate) fn lines(
        &mut self,
        lines: &[(Point, Point)],
        width: f32,
        colour: Colour,
        opacity: f32,
    ) {
        let mut builder = PathBuilder::new();
        for (from, to) in lines {
            builder.move_to(from.x, from.y);
            builder.line_to(to.x, to.y);
        }
        let stroke = Stroke { width, line_cap: LineCap::Round, ..Stroke::default() };
        if let Some(path) = builder.finish() {
            let paint = paint(colour, opacity);
            self.pixels.stroke_path(&path, &paint, &stroke, Transform::identity(), None);
        }
    }

    pub(crate) fn dot(&mut self, centre: Point, radius: f32, colour: Colour, opacity: f32) {
        if let Some(circle) = PathBuilder::from_circle(centre.x, centre.y, radius) {
            self.fill(&circle, colour, opacity);
        }
    }

    pub(crate) fn rectangle(&mut self, area: Area, colour: Colour, opacity: f32) {
        if let Some(rect) = Rect::from_ltrb(area.left, area.top, area.right, area.bottom) {
            self.pixels.fill_rect(rect, &paint(colour, opacity), Transform::identity(), None);
        }
    }

    pub(crate) fn fill(&mut self, path: &Path, colour: Colour, opacity: f32) {
        let paint = paint(colour, opacity);
        self.pixels.fill_path(path, &paint, FillRule::Winding, Transform::identity(), None);
    }

    pub(crate) fn finish(self) -> RgbImage {
        let rgba = self.pixels.pixels();
        let (width, height) = (self.pixels.width(), self.pixels.height());
        RgbImage::from_fn(width, height, |x, y| {
            let pixel = rgba[y as usize * width as usize + x as usize];
            image::Rgb([pixel.red(), pixel.green(), pixel.blue()])
        })
    }
}

fn paint(colour: Colour, opacity: f32) -> Paint<'static> {
    let mut paint = Paint { anti_alias: true, ..Paint::default() };
    let mut color = Color::from_rgba8(colour.red, colour.green, colour.blue, 255);
    color.set_alpha(opacity);
    paint.set_color(color);
    paint
}
