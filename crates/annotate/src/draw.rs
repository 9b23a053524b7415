//! Draws a sheet of marks over a photo. Lines and letters grow with the picture.

use image::RgbImage;

use crate::canvas::Canvas;
use crate::colour::Colour;
use crate::error::Error;
use crate::geometry::{Area, Point};
use crate::labels::Layout;
use crate::lettering::Lettering;
use crate::marks::{Mark, Sheet};

/// Smaller letters can't be read.
const MIN_LETTERS: f32 = 9.0;

/// Widths in pixels for a picture of a certain size.
struct Scale {
    /// Width of a line.
    line: f32,
    /// Pixels per em.
    letters: f32,
}

impl Scale {
    fn of(picture: &Area) -> Scale {
        let side = picture.size().sqrt();
        let highest = (picture.height() / 3.0).max(MIN_LETTERS);
        Scale {
            line: (side / 280.0).round().max(2.0),
            letters: (side / 38.0).max(12.0).min(highest),
        }
    }
}

pub(crate) fn draw(photo: &RgbImage, sheet: &Sheet) -> Result<RgbImage, Error> {
    let mut canvas = Canvas::over(photo)?;
    let picture = canvas.area();
    let scale = Scale::of(&picture);
    for mark in &sheet.marks {
        draw_lines(&mut canvas, mark, &scale);
    }
    draw_labels(&mut canvas, &sheet.marks, &scale);
    draw_caption(&mut canvas, &sheet.caption, &scale);
    Ok(canvas.finish())
}

/// The lines and dots of one mark, with a dark rim so that they stand out from every ground.
fn draw_lines(canvas: &mut Canvas, mark: &Mark, scale: &Scale) {
    const RIM: f32 = 0.45;
    let has_outline = !mark.outline.is_empty();
    // Where both are there, the outline is what counts.
    let frame_width = if has_outline { scale.line * 0.5 } else { scale.line };
    let frame = frame_lines(mark, &canvas.area(), frame_width);
    let outline = outline_lines(&mark.outline, &canvas.area().inset(-2.0 * scale.line));
    for (lines, width) in [(frame, frame_width), (outline, scale.line)] {
        canvas.lines(&lines, width + scale.line, Colour::BLACK, RIM);
        canvas.lines(&lines, width, mark.colour, 1.0);
    }

    let picture = canvas.area();
    // The first corner tells which way up the outline is.
    let dots = mark.landmarks.iter().chain(mark.outline.first());
    for centre in dots.filter(|centre| picture.holds(**centre)) {
        canvas.dot(*centre, scale.line * 1.9, Colour::BLACK, RIM);
        canvas.dot(*centre, scale.line * 1.5, mark.colour, 1.0);
    }
}

/// The box as far as it is within the picture, its lines too: a box at the edge keeps its whole line.
fn frame_lines(mark: &Mark, picture: &Area, width: f32) -> Vec<(Point, Point)> {
    let Some(area) = mark.frame.and_then(|corners| Area::around(&corners)?.common(picture)) else {
        return vec![];
    };
    let within = picture.inset(width / 2.0);
    let Area { left, top, right, bottom } = area.common(&within).unwrap_or(area);
    let corners = [(left, top), (right, top), (right, bottom), (left, bottom)];
    closed(&corners.map(|(x, y)| Point { x, y }))
}

fn outline_lines(corners: &[Point], visible: &Area) -> Vec<(Point, Point)> {
    let lines = closed(corners);
    lines.into_iter().filter_map(|(from, to)| visible.cut_line(from, to)).collect()
}

fn closed(corners: &[Point]) -> Vec<(Point, Point)> {
    let next = corners.iter().cycle().skip(1);
    corners.iter().zip(next).map(|(from, to)| (*from, *to)).collect()
}

/// What of a mark is within the picture. `None` if nothing is.
fn visible_area(mark: &Mark, picture: &Area) -> Option<Area> {
    let corners = mark.frame.iter().flatten().chain(&mark.outline).copied();
    Area::around(&corners.collect::<Vec<Point>>())?.common(picture)
}

fn draw_labels(canvas: &mut Canvas, marks: &[Mark], scale: &Scale) {
    let picture = canvas.area();
    let lettering = Lettering::new();
    let visible: Vec<(&Mark, Area)> =
        marks.iter().filter_map(|mark| Some((mark, visible_area(mark, &picture)?))).collect();
    let mut layout = Layout::new(picture, visible.iter().map(|(_, area)| *area).collect());
    for (mark, area) in visible {
        // Small marks stand close together: their labels are smaller.
        let of_mark = area.width().min(area.height()) * 0.5;
        let letters =
            of_mark.clamp((scale.letters * 0.6).max(MIN_LETTERS.min(scale.letters)), scale.letters);
        let padding = (letters * 0.25).round();
        let Some(words) = lettering.fit(&mark.label, letters, picture.width() - 2.0 * padding)
        else {
            continue;
        };
        let width = words.width + 2.0 * padding;
        let Some(place) = layout.place(area, width, lettering.height(letters)) else {
            continue;
        };
        canvas.rectangle(place, mark.colour, 1.0);
        if let Some(path) = lettering.path(&words, place.left + padding, place.top) {
            canvas.fill(&path, mark.colour.of_letters(), 1.0);
        }
    }
}

/// Text about the whole picture at its bottom left, over at most two thirds of it.
fn draw_caption(canvas: &mut Canvas, caption: &[String], scale: &Scale) {
    const GROUND: f32 = 0.7;
    let picture = canvas.area();
    let lettering = Lettering::new();
    let line_height = lettering.height(scale.letters);
    let padding = (scale.letters * 0.4).round();
    let room = picture.width() - 2.0 * padding;
    let most = ((picture.height() * 0.67 / line_height) as usize).max(1);

    let lines = caption.iter().take(most);
    let lines: Vec<_> = lines.filter_map(|line| lettering.fit(line, scale.letters, room)).collect();
    let width = lines.iter().map(|line| line.width).fold(0.0, f32::max) + 2.0 * padding;
    let height = lines.len() as f32 * line_height + padding;
    if lines.is_empty() || height > picture.height() {
        return;
    }
    let ground = Area::at(0.0, picture.bottom - height, width, height);
    canvas.rectangle(ground, Colour::BLACK, GROUND);
    for (line, number) in lines.iter().zip(0u16..) {
        let top = ground.top + padding / 2.0 + f32::from(number) * line_height;
        if let Some(path) = lettering.path(line, padding, top) {
            canvas.fill(&path, Colour::WHITE, 1.0);
        }
    }
}
