//! Where plates may be: a network of RetinaFace's kind that gives for each prior box of some grids a
//! score, a box and four corners (HyperLPR's detector).

use serde::{Deserialize, Serialize};

use crate::decode::Photo;
use crate::engine::Output;
use crate::error::{LoadError, RecognitionError};
use crate::geometry::{Point, Quad, Rect, is_convex, non_maximum_suppression, sides};
use crate::network::Network;
use crate::prepare::Scratch;

/// Numbers of a prior in each output.
const BOX: usize = 4;
const SCORES: usize = 2;
const CORNERS: usize = 8;
/// The sides of a pass's input are multiples of this share of its long side: so it has few shapes.
const SIDE_SHARES: u32 = 5;
/// Pixels of the photo; what is lower or narrower is no plate that could be read.
const LEAST_SIDE: f64 = 4.0;
/// Detections whose boxes overlap by more, of the smaller one, are of one plate.
const SAME_PLATE: f64 = 0.6;

/// What the network's numbers mean: `[output.detector]`.
#[derive(Deserialize, Serialize, Clone)]
#[serde(deny_unknown_fields, rename_all = "kebab-case")]
pub struct DetectorRules {
    /// Pixels of a cell of each grid, in the outputs' order.
    strides: Vec<u32>,
    /// Sides of the square prior boxes of each grid's cells, in pixels.
    prior_sides: Vec<Vec<f64>>,
    /// Of centres and corners, and of sides.
    variances: [f64; 2],
    /// Which of the network's corners are top left, top right, bottom right, bottom left.
    corner_order: [usize; 4],
    /// Of two detections with a larger IoU the worse goes.
    pub iou_threshold: f64,
}

impl DetectorRules {
    pub fn check(&self) -> Result<(), LoadError> {
        let refuse = |reason: &str| Err(LoadError(format!("model.toml: detector: {reason}")));
        if self.strides.is_empty() || self.strides.len() != self.prior_sides.len() {
            return refuse("strides and prior-sides must be as many, one at least");
        }
        if self.strides.contains(&0) || self.corner_order.iter().any(|corner| *corner > 3) {
            return refuse("a stride must be 1 at least, a corner 0 to 3");
        }
        let numbers = self.prior_sides.iter().flatten().chain(&self.variances);
        if numbers.into_iter().any(|number| !(number.is_finite() && *number > 0.0)) {
            return refuse("prior-sides and variances must be positive numbers");
        }
        Ok(())
    }

    /// The prior boxes of an input of that size, in the order of the outputs.
    fn priors(&self, width: u32, height: u32) -> impl Iterator<Item = Prior> {
        let grids = self.strides.iter().zip(&self.prior_sides);
        grids.flat_map(move |(stride, sides)| {
            let cells = (0..height / stride)
                .flat_map(move |row| (0..width / stride).map(move |column| (column, row)));
            let stride = f64::from(*stride);
            cells.flat_map(move |(column, row)| {
                let x = (f64::from(column) + 0.5) * stride;
                let y = (f64::from(row) + 0.5) * stride;
                sides.iter().map(move |side| Prior { centre: Point { x, y }, side: *side })
            })
        })
    }

    /// What a prior's numbers say, in pixels of the input.
    fn decode(&self, prior: &Prior, numbers: &[f32], corners: &[f32]) -> (Rect, Quad) {
        let [shift, growth] = self.variances;
        let moved = |numbers: &[f32]| Point {
            x: prior.centre.x + f64::from(numbers[0]) * shift * prior.side,
            y: prior.centre.y + f64::from(numbers[1]) * shift * prior.side,
        };
        let side = |logarithm: f32| prior.side * (f64::from(logarithm) * growth).exp();
        let place = Rect::around(moved(numbers), side(numbers[2]), side(numbers[3]));
        (place, self.corner_order.map(|corner| moved(&corners[2 * corner..])))
    }
}

struct Prior {
    centre: Point,
    side: f64,
}

/// A plate, perhaps; pixels of the photo.
#[derive(Clone, Debug, PartialEq)]
pub struct PlateDetection {
    pub score: f64,
    pub place: Rect,
    pub corners: Quad,
}

pub struct Detector {
    pub network: Network,
    pub rules: DetectorRules,
}

impl Detector {
    /// All that scores at least `threshold`, best first, on the photo as the manifest's input has it.
    pub fn detect(
        &self,
        photo: &Photo,
        threshold: f64,
        scratch: &mut Scratch,
    ) -> Result<Vec<PlateDetection>, RecognitionError> {
        let (width, height) = (self.network.input.width, self.network.input.height);
        self.detect_sized(photo, width, height, threshold, scratch)
    }

    /// The same on the photo scaled to a long side, with little beside it.
    pub fn detect_at(
        &self,
        photo: &Photo,
        long_side: u32,
        threshold: f64,
        scratch: &mut Scratch,
    ) -> Result<Vec<PlateDetection>, RecognitionError> {
        let step = long_side / SIDE_SHARES;
        let longest = u64::from(photo.width.max(photo.height));
        let side = |side: u32| {
            let scaled = (u64::from(side) * u64::from(long_side)).div_ceil(longest) as u32;
            scaled.next_multiple_of(step)
        };
        let (width, height) = (side(photo.width), side(photo.height));
        self.detect_sized(photo, width, height, threshold, scratch)
    }

    fn detect_sized(
        &self,
        photo: &Photo,
        width: u32,
        height: u32,
        threshold: f64,
        scratch: &mut Scratch,
    ) -> Result<Vec<PlateDetection>, RecognitionError> {
        let (outputs, placement) = self.network.run_sized(photo, width, height, scratch)?;
        let priors: Vec<Prior> = self.rules.priors(width, height).collect();
        let boxes = rows::<BOX>(&outputs, priors.len())?;
        let scores = rows::<SCORES>(&outputs, priors.len())?;
        let corners = rows::<CORNERS>(&outputs, priors.len())?;
        let mut found = Vec::new();
        for (index, prior) in priors.iter().enumerate() {
            let score = f64::from(scores[index][1]);
            if score < threshold {
                continue;
            }
            let (place, quad) = self.rules.decode(prior, &boxes[index], &corners[index]);
            found.push(PlateDetection {
                score: score.min(1.0),
                place: placement.rect_in_photo(place),
                corners: quad.map(|corner| placement.in_photo(corner)),
            });
        }
        Ok(self.best(found))
    }

    /// Non-maximum suppression.
    fn best(&self, found: Vec<PlateDetection>) -> Vec<PlateDetection> {
        let place = |detection: &PlateDetection| (detection.place, detection.score);
        non_maximum_suppression(found, place, self.rules.iou_threshold)
    }
}

/// The output that has so many numbers for each prior.
fn rows<const NUMBERS: usize>(
    outputs: &[Output],
    priors: usize,
) -> Result<&[[f32; NUMBERS]], RecognitionError> {
    let fits = |output: &&Output| output.shape == [1, priors, NUMBERS];
    let output = outputs.iter().find(fits).ok_or_else(|| {
        let shapes: Vec<_> = outputs.iter().map(|output| &output.shape).collect();
        RecognitionError::Failed(format!(
            "the detector's outputs have the shapes {shapes:?}, none is [1, {priors}, {NUMBERS}]: \
             strides and prior-sides do not fit it"
        ))
    })?;
    Ok(output.values.as_chunks().0)
}

/// The detections of several passes over a photo, those of one plate together: at most one of each
/// pass, best first. At most `most` plates, best first.
pub fn grouped(passes: Vec<Vec<PlateDetection>>, most: usize) -> Vec<Vec<PlateDetection>> {
    let numbered = passes.into_iter().enumerate();
    let mut found: Vec<(usize, PlateDetection)> =
        numbered.flat_map(|(pass, found)| found.into_iter().map(move |one| (pass, one))).collect();
    found.sort_by(|(_, a), (_, b)| b.score.total_cmp(&a.score));
    let mut groups: Vec<Vec<(usize, PlateDetection)>> = Vec::new();
    for (pass, one) in found.into_iter().filter(|(_, one)| can_be_read(one)) {
        let is_same = |group: &Vec<(usize, PlateDetection)>| {
            group[0].1.place.share_of_smaller(&one.place) > SAME_PLATE
        };
        match groups.iter().position(is_same) {
            Some(index) if groups[index].iter().any(|(other, _)| *other == pass) => {}
            Some(index) => groups[index].push((pass, one)),
            None if groups.len() < most => groups.push(vec![(pass, one)]),
            None => {}
        }
    }
    groups.into_iter().map(|group| group.into_iter().map(|(_, one)| one).collect()).collect()
}

fn can_be_read(detection: &PlateDetection) -> bool {
    let (width, height) = sides(&detection.corners);
    let Rect { left, top, right, bottom } = detection.place;
    [left, top, right, bottom].iter().all(|side| side.is_finite())
        && is_convex(&detection.corners)
        && width.min(height) >= LEAST_SIDE
}

#[cfg(test)]
mod tests {
    use super::*;

    fn rules() -> DetectorRules {
        DetectorRules {
            strides: vec![8, 16],
            prior_sides: vec![vec![24.0, 48.0], vec![96.0]],
            variances: [0.1, 0.2],
            corner_order: [2, 3, 0, 1],
            iou_threshold: 0.4,
        }
    }

    fn detection(score: f64, left: f64, width: f64) -> PlateDetection {
        let place = Rect { left, top: 0.0, right: left + width, bottom: 10.0 };
        let corner = |x: f64, y: f64| Point { x, y };
        let (left, right) = (place.left, place.right);
        let corners =
            [corner(left, 0.0), corner(right, 0.0), corner(right, 10.0), corner(left, 10.0)];
        PlateDetection { score, place, corners }
    }

    #[test]
    fn priors_come_grid_by_grid_row_by_row_side_by_side() {
        let priors: Vec<Prior> = rules().priors(32, 16).collect();
        assert_eq!(priors.len(), 4 * 2 * 2 + 2);
        let at = |index: usize| {
            let Prior { centre, side } = &priors[index];
            (centre.x, centre.y, *side)
        };
        assert_eq!([at(0), at(1), at(2)], [(4.0, 4.0, 24.0), (4.0, 4.0, 48.0), (12.0, 4.0, 24.0)]);
        assert_eq!([at(8), at(17)], [(4.0, 12.0, 24.0), (24.0, 8.0, 96.0)]);
    }

    #[test]
    fn numbers_are_relative_to_their_prior() {
        let prior = Prior { centre: Point { x: 100.0, y: 50.0 }, side: 40.0 };
        let corners = [1.0, 1.0, -1.0, 1.0, -1.0, -1.0, 1.0, -1.0];
        let (place, quad) = rules().decode(&prior, &[1.0, -1.0, 0.0, 0.0], &corners);
        assert_eq!(place, Rect { left: 84.0, top: 26.0, right: 124.0, bottom: 66.0 });
        assert_eq!((quad[0].x, quad[0].y, quad[2].x, quad[2].y), (96.0, 46.0, 104.0, 54.0));
    }

    #[test]
    fn detections_of_one_plate_come_together_and_those_that_are_none_go() {
        let mut folded = detection(0.99, 300.0, 40.0);
        folded.corners.swap(0, 1);
        let passes = vec![
            vec![folded, detection(0.9, 0.0, 40.0), detection(0.3, 100.0, 40.0)],
            vec![detection(0.8, 2.0, 36.0), detection(0.7, 4.0, 30.0), detection(0.5, 200.0, 3.0)],
        ];
        let scores = |most: usize| -> Vec<Vec<f64>> {
            let groups = grouped(passes.clone(), most);
            groups.iter().map(|group| group.iter().map(|one| one.score).collect()).collect()
        };
        assert_eq!(scores(12), [vec![0.9, 0.8], vec![0.3]]);
        assert_eq!(scores(1), [vec![0.9, 0.8]]);
        let mut endless = detection(0.9, 0.0, 40.0);
        endless.place.right = f64::INFINITY;
        assert!(grouped(vec![vec![endless]], 12).is_empty());
    }

    #[test]
    fn outputs_are_told_by_their_shapes() {
        let output = |shape: [usize; 3]| Output {
            values: vec![0.5; shape.iter().product()],
            shape: shape.to_vec(),
        };
        let outputs = [output([1, 3, 2]), output([1, 3, 4])];
        assert_eq!(rows::<4>(&outputs, 3).map(<[_]>::len), Ok(3));
        assert!(rows::<8>(&outputs, 3).is_err());
        assert!(rows::<4>(&outputs, 4).is_err());
    }
}
