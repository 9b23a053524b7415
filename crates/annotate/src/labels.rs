//! Where a label goes: beside its mark, within the picture, and where it is easy neither on another label nor on what
//! another mark shows.

use crate::geometry::Area;

/// Labels already placed and marks to be kept visible.
pub(crate) struct Layout {
    picture: Area,
    marks: Vec<Area>,
    labels: Vec<Area>,
}

/// A label over a label is worse than one over a mark.
const COST_OF_LABEL: f32 = 8.0;
/// Hiding what the label belongs to is a little worse than hiding something else.
const COST_OF_OWN_MARK: f32 = 1.5;
/// For the later ones of the possible places, so that labels stand alike where nothing speaks against it.
const COST_OF_ORDER: f32 = 0.02;

impl Layout {
    pub(crate) fn new(picture: Area, marks: Vec<Area>) -> Layout {
        Layout { picture, marks, labels: vec![] }
    }

    /// The place of a label of this width and height at `mark`. `None` if the picture is smaller than the label.
    pub(crate) fn place(&mut self, mark: Area, width: f32, height: f32) -> Option<Area> {
        if width > self.picture.width() || height > self.picture.height() {
            return None;
        }
        let (right, below) = (mark.right - width, mark.bottom - height);
        let places = [
            (mark.left, mark.top - height),
            (mark.left, mark.bottom),
            (right, mark.top - height),
            (right, mark.bottom),
            (mark.right, mark.top),
            (mark.left - width, mark.top),
            (mark.right, below),
            (mark.left - width, below),
            (mark.left, mark.top),
            (mark.left, below),
            (right, mark.top),
            (right, below),
        ];
        let areas = places.map(|(left, top)| {
            let left = left.min(self.picture.right - width).max(self.picture.left);
            let top = top.min(self.picture.bottom - height).max(self.picture.top);
            Area::at(left, top, width, height)
        });
        let costs = areas
            .iter()
            .zip(0u8..)
            .map(|(area, order)| self.cost(area, &mark) + f32::from(order) * COST_OF_ORDER);
        let (best, _) = areas.iter().zip(costs).min_by(|one, other| one.1.total_cmp(&other.1))?;
        self.labels.push(*best);
        Some(*best)
    }

    fn cost(&self, label: &Area, own: &Area) -> f32 {
        let over_labels: f32 = self.labels.iter().map(|other| other.share_under(label)).sum();
        let over_marks: f32 = self.marks.iter().map(|mark| mark.share_under(label)).sum();
        COST_OF_LABEL * over_labels + over_marks + (COST_OF_OWN_MARK - 1.0) * own.share_under(label)
    }
}
