//! What recognition can say when it has no result. The text is printable ASCII, a sentence without
//! a full stop, and fit to be sent to a client: nothing of a payload may enter it unfiltered.

use std::fmt;

/// The longest text taken over from a decoder, in bytes.
const LONGEST_DETAIL: usize = 200;

/// Why there is no result.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum RecognitionError {
    /// The payload's fault: not an image, damaged, of an unsupported kind, or over a limit.
    BadImage(String),
    /// Inference's fault.
    Failed(String),
    /// The model could not be loaded when it was first used.
    NotLoaded(LoadError),
}

impl RecognitionError {
    /// A `BadImage` that ends with what a decoder said, made printable and short.
    pub(crate) fn bad_image_with_detail(sentence: &str, detail: &str) -> Self {
        Self::BadImage(format!("{sentence}: {}", printable(detail)))
    }
}

impl fmt::Display for RecognitionError {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::BadImage(sentence) | Self::Failed(sentence) => formatter.write_str(sentence),
            Self::NotLoaded(error) => error.fmt(formatter),
        }
    }
}

impl std::error::Error for RecognitionError {}

/// Why a model's folder cannot be used: a sentence for the person who put it there.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct LoadError(pub String);

impl fmt::Display for LoadError {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        formatter.write_str(&self.0)
    }
}

impl std::error::Error for LoadError {}

/// Printable ASCII of at most [`LONGEST_DETAIL`] bytes: other characters become `?`, runs of white
/// space one space.
pub(crate) fn printable(text: &str) -> String {
    let mut result = String::new();
    // Each word can only shorten: without this cut a megabyte of text would be walked for nothing.
    for word in text.split_whitespace() {
        if !result.is_empty() {
            result.push(' ');
        }
        let as_ascii = |c: char| if c.is_ascii_graphic() { c } else { '?' };
        result.extend(word.chars().take(LONGEST_DETAIL).map(as_ascii));
        if result.len() > LONGEST_DETAIL {
            result.truncate(LONGEST_DETAIL);
            break;
        }
    }
    result.truncate(result.trim_end_matches(['.', ' ']).len());
    result
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn details_become_short_printable_ascii() {
        assert_eq!(printable("bad \u{1b}[31m m\u{e4}rker\r\n at 7."), "bad ?[31m m?rker at 7");
        let long = "x".repeat(100_000);
        assert_eq!(printable(&long).len(), LONGEST_DETAIL);
        assert_eq!(printable(""), "");
    }

    #[test]
    fn display_gives_the_sentence_alone() {
        let error =
            RecognitionError::bad_image_with_detail("the PNG data is damaged", "bad filter");
        assert_eq!(error.to_string(), "the PNG data is damaged: bad filter");
    }
}
