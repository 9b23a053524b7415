//! What can go wrong with one image, and with one model.

use std::fmt;

/// Why an image has no result.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum RecognitionError {
    /// The payload's fault: not an image, truncated, over a limit. The text says which.
    BadImage(String),
    /// Inference's fault: the graph failed or gave numbers that mean nothing.
    Failed(String),
}

impl fmt::Display for RecognitionError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::BadImage(reason) | Self::Failed(reason) => f.write_str(reason),
        }
    }
}

impl std::error::Error for RecognitionError {}

/// Why a model's folder cannot be used: a sentence for the person who put it there.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct LoadError(pub String);

impl fmt::Display for LoadError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}

impl std::error::Error for LoadError {}
