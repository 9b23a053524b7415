//! The manifest's rules for what counts as a line of text.

use serde::{Deserialize, Serialize};

/// `[output]` of the manifest.
#[derive(Deserialize, Serialize, Clone)]
#[serde(deny_unknown_fields, rename_all = "kebab-case")]
pub struct TextRules {
    pub setting: TextSetting,
    /// Pixels of the detector's map above this are text.
    pub pixel_threshold: f64,
    /// How much lines are grown: they are found too tight.
    pub unclip: f64,
    /// The least mean of a line in the detector's map.
    pub box_threshold: Thresholds,
    /// The least mean score of a line's characters.
    pub score_threshold: Thresholds,
    /// The same for lines that only a second or third look has found.
    pub late_score_threshold: f64,
    /// The most lines of a picture; the largest are kept.
    pub max_lines: usize,
    /// Pixels of width after which *thorough* reads no further line, and no line another way.
    pub max_read: u64,
    pub max_read_again: u64,
}

#[derive(Deserialize, Serialize, Clone, Copy, PartialEq, Eq)]
#[serde(rename_all = "lowercase")]
pub enum TextSetting {
    Quick,
    Thorough,
}

/// A threshold of each setting.
#[derive(Deserialize, Serialize, Clone, Copy)]
#[serde(deny_unknown_fields)]
pub struct Thresholds {
    pub quick: f64,
    pub thorough: f64,
}
