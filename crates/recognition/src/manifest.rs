//! The parts of `model.toml` that models of every task share. What is particular to a task is
//! declared in that task's file. Unknown keys are refused: a misspelt `mean` must not pass.

use serde::{Deserialize, Serialize};

use super::error::LoadError;

/// The head of a manifest; `body` is what the task itself describes.
#[derive(Deserialize)]
pub struct Manifest {
    pub task: String,
    /// Loaded when it is first used, not when the server starts: no result depends on it.
    #[serde(default)]
    pub lazy: bool,
    #[serde(flatten)]
    pub body: toml::Table,
}

impl Manifest {
    pub fn parse(text: &str) -> Result<Manifest, LoadError> {
        let mut manifest: Manifest = toml::from_str(text)
            .map_err(|error| LoadError(format!("model.toml: {}", error.to_string().trim_end())))?;
        // For people only: no result depends on them.
        manifest.body.remove("licence");
        manifest.body.remove("source");
        Ok(manifest)
    }

    /// The task's own part.
    pub fn body<T: for<'de> Deserialize<'de>>(self) -> Result<T, LoadError> {
        toml::Value::Table(self.body)
            .try_into()
            .map_err(|error| LoadError(format!("model.toml: {}", error.to_string().trim_end())))
    }
}

/// One ONNX file and how a picture becomes its input. Where the file comes from is not serialised:
/// `version` is made of the serialised form, and no result depends on it.
#[derive(Deserialize, Serialize, Clone)]
#[serde(deny_unknown_fields, rename_all = "kebab-case")]
pub struct Graph {
    #[serde(skip_serializing)]
    pub file: String,
    /// SHA-256 of the file, 64 lower-case hex digits.
    pub sha256: String,
    /// The package that carries the weights, read by `make models` only.
    #[serde(skip_serializing, rename = "package")]
    _package: Option<String>,
    #[serde(skip_serializing, rename = "path")]
    _path: Option<String>,
    /// The one value to take, if not the file's outputs: any value of the graph, by its name.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub output: Option<String>,
    pub input: Input,
}

/// A file of labels, one a line, and where it comes from. A version is made of the labels themselves.
#[derive(Deserialize, Serialize, Clone)]
#[serde(deny_unknown_fields)]
pub struct LabelList {
    pub file: String,
    #[serde(rename = "source")]
    _source: Option<String>,
    #[serde(rename = "licence")]
    _licence: Option<String>,
}

/// How a photo becomes a tensor: resize, crop to `width` x `height`, then for every sample
/// `(sample / divide_by - mean) / std`, with `mean` and `std` in the order of `colour`.
#[derive(Deserialize, Serialize, Clone)]
#[serde(deny_unknown_fields, rename_all = "kebab-case")]
pub struct Input {
    pub width: u32,
    pub height: u32,
    pub layout: Layout,
    pub colour: Colour,
    pub resize: Resize,
    pub divide_by: f32,
    pub mean: [f32; 3],
    pub std: [f32; 3],
}

#[derive(Deserialize, Serialize, Clone, Copy, PartialEq, Eq)]
#[serde(rename_all = "lowercase")]
pub enum Layout {
    /// One plane a channel: `[1, 3, height, width]`.
    Nchw,
    /// Interleaved: `[1, height, width, 3]`.
    Nhwc,
}

#[derive(Deserialize, Serialize, Clone, Copy, PartialEq, Eq)]
#[serde(rename_all = "lowercase")]
pub enum Colour {
    Rgb,
    Bgr,
}

/// How the photo becomes a picture of the input's size.
#[derive(Deserialize, Serialize, Clone, Copy)]
#[serde(tag = "rule", deny_unknown_fields, rename_all = "kebab-case")]
pub enum Resize {
    /// The short side becomes `size` pixels, the proportions stay; then the centre is cut out.
    ShortSide { size: u32 },
    /// The photo becomes `width` x `height` pixels, whatever its proportions; then the centre is cut
    /// out.
    Stretch { width: u32, height: u32 },
    /// All of the photo as large as it fits in, its proportions kept, on a plain ground.
    Letterbox {
        /// The ground, red, green, blue.
        fill: [u8; 3],
        position: Position,
        rounding: Rounding,
    },
    /// Nothing: the task hands over pictures of the input's size, cut out of the photo.
    None,
}

/// Where in the letterbox the photo is.
#[derive(Deserialize, Serialize, Clone, Copy, PartialEq, Eq)]
#[serde(rename_all = "kebab-case")]
pub enum Position {
    TopLeft,
    Centre,
}

/// How the scaled photo's sides become whole pixels.
#[derive(Deserialize, Serialize, Clone, Copy, PartialEq, Eq)]
#[serde(rename_all = "kebab-case")]
pub enum Rounding {
    Down,
    Nearest,
}

/// Refuses thresholds that are not 0 to 1.
pub fn check_shares(shares: &[(&str, f64)]) -> Result<(), LoadError> {
    match shares.iter().find(|(_, share)| !(0.0..=1.0).contains(share)) {
        Some((name, _)) => Err(LoadError(format!("model.toml: {name} must be 0 to 1"))),
        None => Ok(()),
    }
}

/// Sides beyond this are a mistake, not a model.
const MAX_SIDE: u32 = 4096;

impl Input {
    /// The shape of the tensor that the graph takes.
    pub fn shape(&self) -> [usize; 4] {
        let (width, height) = (self.width as usize, self.height as usize);
        match self.layout {
            Layout::Nchw => [1, 3, height, width],
            Layout::Nhwc => [1, height, width, 3],
        }
    }

    pub fn check(&self) -> Result<(), LoadError> {
        let refuse = |reason: String| Err(LoadError(format!("model.toml: {reason}")));
        let (resized_width, resized_height) = match self.resize {
            Resize::ShortSide { size } => (size, size),
            Resize::Stretch { width, height } => (width, height),
            Resize::Letterbox { .. } | Resize::None => (self.width, self.height),
        };
        let sides = [self.width, self.height, resized_width, resized_height];
        if sides.iter().any(|side| !(1..=MAX_SIDE).contains(side)) {
            return refuse(format!("input sides must be 1 to {MAX_SIDE} pixels"));
        }
        if resized_width < self.width || resized_height < self.height {
            return refuse(format!(
                "the input of {}x{} cannot be cropped out of a photo resized to {resized_width}x{resized_height}",
                self.width, self.height
            ));
        }
        let numbers = [self.divide_by].into_iter().chain(self.mean).chain(self.std);
        if numbers.into_iter().any(|number| !number.is_finite()) {
            return refuse("divide-by, mean and std must be finite numbers".to_owned());
        }
        if self.divide_by == 0.0 || self.std.contains(&0.0) {
            return refuse("divide-by and std must not be zero".to_owned());
        }
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const INPUT: &str = r#"
        width = 224
        height = 224
        layout = "nchw"
        colour = "rgb"
        resize = { rule = "short-side", size = 256 }
        divide-by = 255.0
        mean = [0.485, 0.456, 0.406]
        std = [0.229, 0.224, 0.225]
    "#;

    fn refusal(text: &str) -> String {
        match toml::from_str::<Input>(text) {
            Err(error) => error.to_string(),
            Ok(input) => input.check().expect_err("must be refused").0,
        }
    }

    #[test]
    fn a_full_input_is_accepted() {
        let input: Input = toml::from_str(INPUT).expect("valid");
        assert!(input.check().is_ok());
        assert_eq!(input.shape(), [1, 3, 224, 224]);
    }

    #[test]
    fn mistakes_are_refused_and_named() {
        assert!(refusal(&INPUT.replace("mean", "maen")).contains("maen"));
        assert!(refusal(&INPUT.replace("size = 256", "siez = 256")).contains("siez"));
        assert!(refusal(&INPUT.replace("size = 256", "size = 100")).contains("cropped"));
        assert!(refusal(&INPUT.replace("width = 224", "width = 0")).contains("sides"));
        assert!(refusal(&INPUT.replace("0.229", "0.0")).contains("zero"));
        assert!(refusal(&INPUT.replace("255.0", "nan")).contains("finite"));
        assert!(refusal(&INPUT.replace("nchw", "nwch")).contains("nwch"));
    }
}
