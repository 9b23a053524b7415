//! `faces`: where faces are, their landmarks, and an embedding of each, which tells people apart.
//! The detector is YuNet's kind (OpenCV zoo, `face_detection_yunet`).

use serde::{Deserialize, Serialize};

use super::task::{Body, Outcome, Task, TaskKind};
use crate::decode::Photo;
use crate::embedding::{
    self, Embedded, GalleryManifest, GalleryRules, LANDMARKS, Pose, Quality, check_dimensions,
};
use crate::engine::Output;
use crate::error::{LoadError, RecognitionError};
use crate::geometry::{
    Outside, Point, Rect, Similarity, non_maximum_suppression, sample_at_pixels,
};
use crate::json;
use crate::manifest::{Graph, check_shares};
use crate::network::{Loading, Network};
use crate::prepare::Scratch;

/// Pixels of a cell of each of the detector's grids, in the order of its outputs.
const STRIDES: [u32; 3] = [8, 16, 32];
/// Its outputs for a grid, in their order: class score, objectness, box, landmarks.
const NUMBERS: [usize; 4] = [1, 1, 4, 2 * LANDMARKS];

#[derive(Deserialize, Serialize)]
#[serde(deny_unknown_fields)]
pub struct FacesManifest {
    graph: FacesGraphs,
    output: FacesRules,
    /// No result depends on it.
    #[serde(skip_serializing)]
    gallery: Option<GalleryManifest>,
}

#[derive(Deserialize, Serialize)]
#[serde(deny_unknown_fields)]
struct FacesGraphs {
    detect: Graph,
    embed: Graph,
}

#[derive(Deserialize, Serialize, Clone)]
#[serde(deny_unknown_fields, rename_all = "kebab-case")]
struct FacesRules {
    /// The least score of a face, 0 to 1.
    score_threshold: f64,
    /// Of two boxes with a larger IoU the worse goes.
    iou_threshold: f64,
    /// The most faces of a picture; the surest are kept. Each costs a run of `graph.embed`.
    max_faces: usize,
    /// Pixels of the photo: a face whose box has a shorter side is left out.
    #[serde(default)]
    min_size: f64,
    /// Where the landmarks are in the picture that `graph.embed` takes, in indices of its pixels.
    template: [[f64; 2]; LANDMARKS],
    /// Whether embeddings are part of the result, and so are kept.
    #[serde(default = "yes")]
    embedding: bool,
}

fn yes() -> bool {
    true
}

pub struct Faces {
    detector: Network,
    /// None if no embeddings are wanted.
    embedder: Option<Network>,
    /// What the manifest says that an embedding has.
    dimensions: Option<usize>,
    rules: FacesRules,
}

impl Body for FacesManifest {
    fn graphs(&self) -> Vec<&Graph> {
        vec![&self.graph.detect, &self.graph.embed]
    }

    fn gallery(&self) -> Result<GalleryRules, LoadError> {
        if !self.output.embedding {
            return Err(LoadError("its model.toml says `embedding = false`".to_owned()));
        }
        let template = &self.output.template;
        match &self.gallery {
            Some(gallery) => gallery.rules(&(Faces::NAME, ALIGNMENT, &self.graph.embed, template)),
            None => Err(LoadError("its model.toml has no [gallery]".to_owned())),
        }
    }

    fn check(&self, _labels: &[String]) -> Result<(), LoadError> {
        self.gallery.as_ref().map_or(Ok(()), GalleryManifest::check)?;
        check_shares(&[
            ("score-threshold", self.output.score_threshold),
            ("iou-threshold", self.output.iou_threshold),
        ])
    }
}

/// Raised whenever the same landmarks lead to another embedding.
const ALIGNMENT: u32 = 1;

impl TaskKind for Faces {
    const NAME: &'static str = "faces";
    const REVISION: u32 = 1;
    type Manifest = FacesManifest;

    fn load(
        manifest: &FacesManifest,
        _labels: &[String],
        loading: &mut Loading,
    ) -> Result<Box<dyn Task>, LoadError> {
        let embedder = match manifest.output.embedding {
            true => Some(loading.network(&manifest.graph.embed)?),
            false => None,
        };
        let detector = loading.network(&manifest.graph.detect)?;
        let dimensions = manifest.gallery.as_ref().map(|gallery| gallery.dimensions);
        Ok(Box::new(Faces { detector, embedder, dimensions, rules: manifest.output.clone() }))
    }
}

#[derive(Serialize)]
struct FacesResult<'a> {
    task: &'static str,
    faces: Vec<FoundFace<'a>>,
    width: u32,
    height: u32,
}

#[derive(Serialize)]
struct FoundFace<'a> {
    #[serde(serialize_with = "json::score")]
    score: f32,
    #[serde(rename = "box")]
    place: Rect,
    landmarks: [Point; LANDMARKS],
    #[serde(skip_serializing_if = "<[f32]>::is_empty", serialize_with = "json::embedding")]
    embedding: &'a [f32],
}

/// A face in pixels of the photo.
struct FaceDetection {
    score: f64,
    place: Rect,
    landmarks: [Point; LANDMARKS],
}

impl Task for Faces {
    fn recognize(&self, photo: &Photo, scratch: &mut Scratch) -> Result<Outcome, RecognitionError> {
        let detections = self.detect(photo, scratch)?;
        let embeddings: Vec<Embedded> = match &self.embedder {
            Some(embedder) => detections
                .iter()
                .map(|detection| self.embedded(embedder, detection, photo, scratch))
                .collect::<Result<_, _>>()?,
            None => Vec::new(),
        };
        let faces = detections.iter().enumerate().map(|(index, detection)| FoundFace {
            score: detection.score as f32,
            place: detection.place.clipped(photo.width, photo.height),
            landmarks: detection.landmarks,
            embedding: embeddings.get(index).map_or(&[], |embedded| &embedded.values),
        });
        let json = json::text(&FacesResult {
            task: Faces::NAME,
            faces: faces.collect(),
            width: photo.width,
            height: photo.height,
        })?;
        Ok(Outcome { json, embeddings })
    }

    fn try_out(&self, scratch: &mut Scratch) -> Result<(), RecognitionError> {
        let grey = Photo::new(112, 112, vec![127; 112 * 112 * 3]);
        self.detect(&grey, scratch)?;
        let Some(embedder) = &self.embedder else { return Ok(()) };
        let landmarks = self.rules.template.map(|[x, y]| Point { x, y });
        let place = Rect { left: 0.0, top: 0.0, right: 112.0, bottom: 112.0 };
        let face = FaceDetection { score: 1.0, place, landmarks };
        self.embedded(embedder, &face, &grey, scratch).map(drop)
    }
}

impl Faces {
    /// The surest first.
    fn detect(
        &self,
        photo: &Photo,
        scratch: &mut Scratch,
    ) -> Result<Vec<FaceDetection>, RecognitionError> {
        let (outputs, placement) = self.detector.run_placed(photo, scratch)?;
        let mut candidates = self.candidates(&outputs)?;
        for candidate in &mut candidates {
            candidate.place = placement.rect_in_photo(candidate.place);
            candidate.landmarks = candidate.landmarks.map(|point| placement.in_photo(point));
        }
        let place = |face: &FaceDetection| (face.place, face.score);
        let found = non_maximum_suppression(candidates, place, self.rules.iou_threshold);
        let is_large = |face: &FaceDetection| {
            face.place.width().min(face.place.height()) >= self.rules.min_size
        };
        Ok(found.into_iter().filter(is_large).take(self.rules.max_faces).collect())
    }

    /// Every cell whose score is high enough, in pixels of the detector's input.
    fn candidates(&self, outputs: &[Output]) -> Result<Vec<FaceDetection>, RecognitionError> {
        let (width, height) = (self.detector.input.width, self.detector.input.height);
        let mut candidates = Vec::new();
        for (grid, stride) in STRIDES.into_iter().enumerate() {
            let (columns, rows) = (width / stride, height / stride);
            let part = |number: usize| -> Result<&[f32], RecognitionError> {
                let values = outputs.get(number * STRIDES.len() + grid).map(|o| &o.values[..]);
                let wanted = columns as usize * rows as usize * NUMBERS[number];
                values.filter(|values| values.len() == wanted).ok_or_else(|| {
                    RecognitionError::Failed(format!(
                        "the detector's outputs do not fit its input of {width}x{height}: twelve \
                         are expected, scores, objectness, boxes and landmarks for strides of 8, \
                         16 and 32"
                    ))
                })
            };
            let (class, objectness, boxes, landmarks) = (part(0)?, part(1)?, part(2)?, part(3)?);
            let places = boxes.as_chunks::<4>().0;
            let landmarks = landmarks.as_chunks::<{ 2 * LANDMARKS }>().0;
            for (cell, place) in places.iter().enumerate() {
                let share = |value: f32| f64::from(value).clamp(0.0, 1.0);
                let score = (share(class[cell]) * share(objectness[cell])).sqrt();
                if score < self.rules.score_threshold {
                    continue;
                }
                let stride = f64::from(stride);
                let column = f64::from(cell as u32 % columns);
                let row = f64::from(cell as u32 / columns);
                let point = |x: f32, y: f32| Point {
                    x: (column + f64::from(x)) * stride,
                    y: (row + f64::from(y)) * stride,
                };
                let side = |logarithm: f32| f64::from(logarithm).exp() * stride;
                let marks = &landmarks[cell];
                candidates.push(FaceDetection {
                    score,
                    place: Rect::around(point(place[0], place[1]), side(place[2]), side(place[3])),
                    landmarks: [0, 1, 2, 3, 4].map(|i| point(marks[2 * i], marks[2 * i + 1])),
                });
            }
        }
        Ok(candidates)
    }

    /// A face with its embedding, of unit length, and its quality.
    fn embedded(
        &self,
        embedder: &Network,
        detection: &FaceDetection,
        photo: &Photo,
        scratch: &mut Scratch,
    ) -> Result<Embedded, RecognitionError> {
        let FaceDetection { score, place, landmarks } = *detection;
        let aligned = self.aligned(embedder, &landmarks, photo)?;
        let values = embedder.embedding(&aligned, scratch)?;
        check_dimensions(values.len(), self.dimensions)?;
        let quality = Pose::of(&landmarks).map(|pose| Quality {
            size: place.width().min(place.height()),
            sharpness: embedding::sharpness(&grey(&aligned), aligned.width as usize),
            pose,
        });
        let place = place.clipped(photo.width, photo.height);
        let face = embedding::Face { score: score as f32, place, landmarks, quality };
        Ok(Embedded { face: Some(face), values })
    }

    /// The face with these landmarks, as the embedder takes it. Fitted from the photo to the template
    /// and then inverted: the other way costs .08 of the cosine.
    fn aligned(
        &self,
        embedder: &Network,
        landmarks: &[Point; LANDMARKS],
        photo: &Photo,
    ) -> Result<Photo, RecognitionError> {
        let template = self.rules.template.map(|[x, y]| Point { x, y });
        let similarity = Similarity::fit(landmarks, &template).ok_or_else(|| {
            RecognitionError::Failed("the landmarks of a face are all the same point".to_owned())
        })?;
        let to_photo = similarity.inverse();
        let (width, height) = (embedder.input.width, embedder.input.height);
        Ok(sample_at_pixels(photo, width, height, Outside::Plain([0; 3]), |point| {
            to_photo.apply(point)
        }))
    }
}

/// Luma of each pixel (ITU-R BT.601).
fn grey(photo: &Photo) -> Vec<f32> {
    let luma = |[red, green, blue]: &[u8; 3]| {
        0.299 * f32::from(*red) + 0.587 * f32::from(*green) + 0.114 * f32::from(*blue)
    };
    photo.rgb.as_chunks::<3>().0.iter().map(luma).collect()
}
