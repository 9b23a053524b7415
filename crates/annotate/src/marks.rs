//! What to draw for each finding: lines, dots, a label, a colour.

use crate::colour::Colour;
use crate::geometry::Point;
use crate::result::{Barcode, Face, Found, Label, Line, Object, Plate, RawBox, RawPoint};

/// All that is drawn over one photo.
#[derive(Default)]
pub(crate) struct Sheet {
    pub(crate) marks: Vec<Mark>,
    /// Lines of text about the picture as a whole.
    pub(crate) caption: Vec<String>,
}

/// One finding.
pub(crate) struct Mark {
    /// The upright box.
    pub(crate) frame: Option<[Point; 2]>,
    /// Corners of a closed outline, the first being its top left.
    pub(crate) outline: Vec<Point>,
    pub(crate) landmarks: Vec<Point>,
    pub(crate) label: String,
    pub(crate) colour: Colour,
}

pub(crate) fn of(found: Found) -> Sheet {
    match found {
        Found::Labels(labels) => caption(of_labels(&labels)),
        Found::Embedding { dimensions } => {
            caption(vec![format!("embedding, {dimensions} dimensions")])
        }
        Found::Objects(objects) => marks("objects", objects.iter().map(of_object).collect()),
        Found::Faces(faces) => marks("faces", numbered(&faces, of_face)),
        Found::Lines(lines) => marks("text", numbered(&lines, of_line)),
        Found::Plates(plates) => marks("plates", numbered(&plates, of_plate)),
        Found::Barcodes(barcodes) => marks("barcodes", numbered(&barcodes, of_barcode)),
    }
}

fn caption(lines: Vec<String>) -> Sheet {
    Sheet { caption: lines, ..Sheet::default() }
}

/// A picture where nothing was found says so: otherwise it could not be told from one that was not looked at.
fn marks(what: &str, marks: Vec<Mark>) -> Sheet {
    let caption = if marks.is_empty() { vec![format!("no {what} found")] } else { vec![] };
    Sheet { marks, caption }
}

fn numbered<T>(items: &[T], mark: impl Fn(u64, &T) -> Mark) -> Vec<Mark> {
    (0..).zip(items).map(|(number, item)| mark(number, item)).collect()
}

fn of_labels(labels: &[Label]) -> Vec<String> {
    if labels.is_empty() {
        return vec!["no labels".to_owned()];
    }
    labels.iter().map(|label| format!("{:.2}  {}", label.score, label.label)).collect()
}

fn of_object(object: &Object) -> Mark {
    Mark {
        frame: Some(frame(object.frame)),
        outline: vec![],
        landmarks: vec![],
        label: format!("{} {:.2}", object.label, object.score),
        colour: Colour::of(object.id),
    }
}

fn of_face(number: u64, face: &Face) -> Mark {
    Mark {
        frame: Some(frame(face.frame)),
        outline: vec![],
        landmarks: points(&face.landmarks),
        label: format!("{:.2}", face.score),
        colour: Colour::of(number),
    }
}

fn of_line(number: u64, line: &Line) -> Mark {
    Mark {
        frame: None,
        outline: points(&line.quad),
        landmarks: vec![],
        label: format!("{} {:.2}", line.text, line.score),
        colour: Colour::of(number),
    }
}

fn of_plate(number: u64, plate: &Plate) -> Mark {
    let mut label = plate.text.clone();
    if let Some(corrected) = &plate.corrected {
        label += &format!(" → {corrected}");
    }
    label += &format!(" {:.2}", plate.score);
    if let Some(format) = &plate.format {
        label += &format!(" {format}");
    }
    Mark {
        frame: Some(frame(plate.frame)),
        outline: points(&plate.corners),
        landmarks: vec![],
        label,
        colour: Colour::of(number),
    }
}

fn of_barcode(number: u64, barcode: &Barcode) -> Mark {
    let label = match &barcode.isbn {
        Some(isbn) => format!("ISBN {isbn}"),
        None => format!("{} {}", barcode.format, barcode.text),
    };
    Mark {
        frame: None,
        outline: points(&barcode.corners),
        landmarks: vec![],
        label,
        colour: Colour::of(number),
    }
}

/// Top left and bottom right.
fn frame([x, y, width, height]: RawBox) -> [Point; 2] {
    let (right, bottom) = (x + width.max(0.0), y + height.max(0.0));
    [Point::new(x, y), Point::new(right, bottom)]
}

fn points(raw: &[RawPoint]) -> Vec<Point> {
    raw.iter().map(|[x, y]| Point::new(*x, *y)).collect()
}
