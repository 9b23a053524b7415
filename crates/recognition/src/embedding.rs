//! Embeddings as values, beside a result's text: what galleries hold and compare. And what a model's
//! manifest says of galleries; nothing of it is part of a result, nor of the model's version.

use std::fmt;

use serde::{Deserialize, Serialize};
use sha2::{Digest, Sha256};

use super::error::{LoadError, RecognitionError};
use super::folder::hex;
use super::geometry::distance;
pub use super::geometry::{Point, Rect};

/// Right eye, left eye, nose, right and left corner of the mouth: right is the person's.
pub const LANDMARKS: usize = 5;

/// One embedding of a picture.
#[derive(Debug, Clone)]
pub struct Embedded {
    /// Whose it is; none if it is the whole picture's.
    pub face: Option<Face>,
    /// Of unit length.
    pub values: Vec<f32>,
}

/// A face in pixels of the photo.
#[derive(Debug, Clone)]
pub struct Face {
    pub score: f32,
    pub place: Rect,
    pub landmarks: [Point; LANDMARKS],
    /// None where the photo itself is not at hand: a stored result does not have it.
    pub quality: Option<Quality>,
}

/// How well a face can be told from others.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct Quality {
    /// Pixels of the photo: the shorter side of the face's box.
    pub size: f64,
    /// See [`sharpness`].
    pub sharpness: f64,
    pub pose: Pose,
}

/// Where a face looks, from five landmarks; 0 is straight ahead.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct Pose {
    /// How far the nose is from the middle between the eyes, in halves of their distance: 1 is under
    /// an eye.
    pub yaw: f64,
    /// How far the nose is from the middle between eyes and mouth, in halves of their distance: -1
    /// is level with the eyes, 1 with the mouth.
    pub pitch: f64,
    /// Degrees that the line of the eyes is turned.
    pub roll: f64,
}

impl Pose {
    /// None if eyes or mouth fall together.
    pub fn of(landmarks: &[Point; LANDMARKS]) -> Option<Pose> {
        let [right_eye, left_eye, nose, right_mouth, left_mouth] = *landmarks;
        let middle = |a: Point, b: Point| Point { x: (a.x + b.x) / 2.0, y: (a.y + b.y) / 2.0 };
        let (eyes, mouth) = (middle(right_eye, left_eye), middle(right_mouth, left_mouth));
        let apart = distance(right_eye, left_eye);
        // Along the eyes and across them, so that a tilted head is as good as an upright one.
        let along =
            Point { x: (left_eye.x - right_eye.x) / apart, y: (left_eye.y - right_eye.y) / apart };
        let across = Point { x: -along.y, y: along.x };
        let part =
            |point: Point, axis: Point| (point.x - eyes.x) * axis.x + (point.y - eyes.y) * axis.y;
        let height = part(mouth, across);
        let pose = Pose {
            yaw: 2.0 * part(nose, along) / apart,
            pitch: 2.0 * part(nose, across) / height - 1.0,
            roll: along.y.atan2(along.x).to_degrees(),
        };
        [pose.yaw, pose.pitch, pose.roll].iter().all(|ratio| ratio.is_finite()).then_some(pose)
    }
}

/// How sharp the face on a grey picture of an aligned face is: the mean square of its Laplacian in
/// relation to that of its gradient, so that neither light nor contrast nor how much there is to see
/// counts. Blur and enlargement take away what changes from one pixel to the next first. Of the
/// middle, where the face is. 0 for a plain picture.
///
/// Measured on the photos of eight people: 1.3 to 7.5 as taken, .40 to .72 blurred by one pixel of
/// the aligned face, .19 to .35 by 1.5, .12 to .20 by 2, at most .13 by 3.
pub fn sharpness(grey: &[f32], width: usize) -> f64 {
    let height = grey.len().checked_div(width).unwrap_or(0);
    let (mut bends, mut slopes) = (0.0, 0.0);
    for row in (height / 5).max(1)..height.saturating_sub(height / 10 + 1) {
        for column in (width / 5).max(1)..width.saturating_sub(width / 5 + 1) {
            let at = row * width + column;
            let [above, left, right, below] =
                [grey[at - width], grey[at - 1], grey[at + 1], grey[at + width]].map(f64::from);
            bends += (above + left + right + below - 4.0 * f64::from(grey[at])).powi(2);
            slopes += ((right - left) / 2.0).powi(2) + ((below - above) / 2.0).powi(2);
        }
    }
    if slopes == 0.0 { 0.0 } else { bends / slopes }
}

/// What galleries need to know of a model, before its graphs are loaded.
#[derive(Debug, Clone, PartialEq)]
pub struct GalleryRules {
    /// Eight hex digits of SHA-256 over what an embedding depends on: embeddings of one space can be
    /// compared, whatever else changes.
    pub space: String,
    pub dimensions: usize,
    /// Similarity from which on two embeddings show the same.
    pub threshold: f64,
    /// What a face must be to be enrolled; none where the picture is no face.
    pub gate: Option<Gate>,
}

/// The manifest's `[gallery]`.
#[derive(Deserialize, Clone)]
#[serde(deny_unknown_fields, rename_all = "kebab-case")]
pub struct GalleryManifest {
    pub dimensions: usize,
    pub threshold: f64,
    pub gate: Option<Gate>,
}

/// The manifest's `[gallery.gate]`.
#[derive(Deserialize, Debug, Clone, Copy, PartialEq)]
#[serde(deny_unknown_fields, rename_all = "kebab-case")]
pub struct Gate {
    pub min_size: f64,
    pub min_sharpness: f64,
    /// Of either sign.
    pub max_yaw: f64,
    pub max_pitch: f64,
}

/// More values than this are no embedding.
const MAX_DIMENSIONS: usize = 4096;

impl GalleryManifest {
    pub fn check(&self) -> Result<(), LoadError> {
        let refuse = |reason: &str| Err(LoadError(format!("model.toml: [gallery]: {reason}")));
        if !(1..=MAX_DIMENSIONS).contains(&self.dimensions) {
            return refuse(&format!("dimensions must be 1 to {MAX_DIMENSIONS}"));
        }
        if !(-1.0..=1.0).contains(&self.threshold) {
            return refuse("threshold must be -1 to 1");
        }
        let limits = self.gate.map(|g| [g.min_size, g.min_sharpness, g.max_yaw, g.max_pitch]);
        if limits.iter().flatten().any(|limit| limit.is_nan() || *limit < 0.0) {
            return refuse("the gate's limits must not be negative");
        }
        Ok(())
    }

    /// `parts` is all that an embedding depends on, but for its length.
    pub fn rules(&self, parts: &impl Serialize) -> Result<GalleryRules, LoadError> {
        let text = serde_json::to_string(&(parts, self.dimensions))
            .map_err(|error| LoadError(format!("model.toml: {error}")))?;
        let mut space = hex(&Sha256::digest(text));
        space.truncate(8);
        let GalleryManifest { dimensions, threshold, gate } = *self;
        Ok(GalleryRules { space, dimensions, threshold, gate })
    }
}

/// Refuses an embedding of another length than the manifest says.
pub fn check_dimensions(given: usize, wanted: Option<usize>) -> Result<(), RecognitionError> {
    match wanted {
        Some(wanted) if wanted != given => Err(RecognitionError::Failed(format!(
            "the graph gave {given} values, [gallery] of model.toml says {wanted} dimensions"
        ))),
        _ => Ok(()),
    }
}

/// Why a face is not fit to be enrolled.
#[derive(Debug, Clone, Copy, PartialEq)]
pub enum Flaw {
    TooSmall { size: f64, least: f64 },
    TooBlurred { sharpness: f64, least: f64 },
    LooksAway,
}

impl Gate {
    pub fn check(&self, quality: &Quality) -> Result<(), Flaw> {
        let Quality { size, sharpness, pose } = *quality;
        if size < self.min_size {
            return Err(Flaw::TooSmall { size, least: self.min_size });
        }
        // A head that is turned away has other proportions and less to be sharp.
        if pose.yaw.abs() > self.max_yaw || pose.pitch.abs() > self.max_pitch {
            return Err(Flaw::LooksAway);
        }
        if sharpness < self.min_sharpness {
            return Err(Flaw::TooBlurred { sharpness, least: self.min_sharpness });
        }
        Ok(())
    }
}

impl fmt::Display for Flaw {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Flaw::TooSmall { size, least } => write!(
                f,
                "the face is too small: {size:.0} pixels, {least:.0} are needed; take it from nearer, or a larger photo"
            ),
            Flaw::TooBlurred { sharpness, least } => write!(
                f,
                "the face is too blurred: a sharpness of {sharpness:.2}, {least:.2} is needed; take a sharper photo"
            ),
            Flaw::LooksAway => {
                f.write_str("the face looks away; take a photo in which it looks at the camera")
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const FRONTAL: [[f64; 2]; LANDMARKS] =
        [[30.0, 50.0], [70.0, 50.0], [50.0, 70.0], [36.0, 90.0], [64.0, 90.0]];

    fn points(landmarks: [[f64; 2]; LANDMARKS]) -> [Point; LANDMARKS] {
        landmarks.map(|[x, y]| Point { x, y })
    }

    fn turned(landmarks: [[f64; 2]; LANDMARKS], degrees: f64) -> [Point; LANDMARKS] {
        let (sin, cos) = degrees.to_radians().sin_cos();
        landmarks.map(|[x, y]| Point { x: x * cos - y * sin, y: x * sin + y * cos })
    }

    #[test]
    fn a_pose_is_told_from_landmarks_whatever_the_tilt() {
        let mut aside = FRONTAL;
        aside[2] = [66.0, 70.0];
        for tilt in [-80.0, -20.0, 0.0, 45.0] {
            let ahead = Pose::of(&turned(FRONTAL, tilt)).expect("a pose");
            assert!(ahead.yaw.abs() < 1e-9 && ahead.pitch.abs() < 1e-9, "{ahead:?}");
            assert!((ahead.roll - tilt).abs() < 1e-9, "{ahead:?}");
            let away = Pose::of(&turned(aside, tilt)).expect("a pose");
            assert!((away.yaw - 0.8).abs() < 1e-9, "{away:?}");
        }
        assert_eq!(Pose::of(&points([[1.0, 1.0]; LANDMARKS])), None);
    }

    #[test]
    fn sharpness_falls_with_blur_and_not_with_contrast() {
        const SIDE: usize = 32;
        let value = |at: usize| f32::from((at * 7919 % 251) as u8);
        let sharp: Vec<f32> = (0..SIDE * SIDE).map(value).collect();
        let pale: Vec<f32> = sharp.iter().map(|grey| grey * 0.25 + 90.0).collect();
        let blurred: Vec<f32> =
            sharp.windows(5).map(|five| five.iter().sum::<f32>() / 5.0).collect();
        let blurred = &blurred[..SIDE * (SIDE - 1)];
        assert!((sharpness(&sharp, SIDE) - sharpness(&pale, SIDE)).abs() < 1e-3);
        assert!(sharpness(blurred, SIDE) < sharpness(&sharp, SIDE));
        assert_eq!(sharpness(&[127.0; 100], 10), 0.0);
        assert_eq!(sharpness(&[], 10), 0.0);
    }

    #[test]
    fn the_gate_names_what_is_wrong() {
        let gate = Gate { min_size: 60.0, min_sharpness: 0.01, max_yaw: 0.6, max_pitch: 0.6 };
        let pose = Pose { yaw: 0.1, pitch: -0.1, roll: 30.0 };
        let good = Quality { size: 80.0, sharpness: 0.05, pose };
        assert_eq!(gate.check(&good), Ok(()));
        let small = Quality { size: 59.0, ..good };
        assert!(gate.check(&small).is_err_and(|flaw| flaw.to_string().contains("59 pixels")));
        let blurred = Quality { sharpness: 0.001, ..good };
        assert!(gate.check(&blurred).is_err_and(|flaw| flaw.to_string().contains("blurred")));
        let away = Quality { pose: Pose { yaw: -0.7, ..pose }, ..good };
        assert_eq!(gate.check(&away), Err(Flaw::LooksAway));
    }

    #[test]
    fn a_threshold_is_no_part_of_the_space() {
        let manifest = |text: &str| toml::from_str::<GalleryManifest>(text).expect("a manifest");
        let space = |text: &str| manifest(text).rules(&("weights", 1)).expect("rules").space;
        let one = space("dimensions = 128\nthreshold = 0.363");
        assert_eq!(one, space("dimensions = 128\nthreshold = 0.5"));
        assert_ne!(one, space("dimensions = 64\nthreshold = 0.363"));
        assert!(manifest("dimensions = 0\nthreshold = 0.5").check().is_err());
        assert!(manifest("dimensions = 3\nthreshold = nan").check().is_err());
    }
}
