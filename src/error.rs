//! What a client is told when it gets no result: a word for programs, a sentence for people.

use std::fmt;

use gallery::GalleryError;
use recognition::RecognitionError;

/// The first word of an error reply.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Word {
    Err,
    NoModel,
    BadImage,
    WrongType,
    QueueFull,
    Timeout,
    NoWaiting,
    Failed,
    NoPerm,
    Oom,
    NoReplicas,
    MisConf,
    ReadOnly,
    NoGallery,
    NoSubject,
    NoFace,
    ManyFaces,
    LowQuality,
    Stale,
}

impl Word {
    pub fn as_str(self) -> &'static str {
        match self {
            Word::Err => "ERR",
            Word::NoModel => "NOMODEL",
            Word::BadImage => "BADIMAGE",
            Word::WrongType => "WRONGTYPE",
            Word::QueueFull => "QUEUEFULL",
            Word::Timeout => "TIMEOUT",
            Word::NoWaiting => "NOWAITING",
            Word::Failed => "FAILED",
            Word::NoPerm => "NOPERM",
            Word::Oom => "OOM",
            Word::NoReplicas => "NOREPLICAS",
            Word::MisConf => "MISCONF",
            Word::ReadOnly => "READONLY",
            Word::NoGallery => "NOGALLERY",
            Word::NoSubject => "NOSUBJECT",
            Word::NoFace => "NOFACE",
            Word::ManyFaces => "MANYFACES",
            Word::LowQuality => "LOWQUALITY",
            Word::Stale => "STALE",
        }
    }
}

/// An error reply. Its text is printable ASCII: other text can harm the server (`CString`, log).
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Error {
    pub word: Word,
    sentence: String,
}

/// The longest sentence of an error.
const MAX_SENTENCE: usize = 400;

impl Error {
    pub fn new(word: Word, sentence: impl AsRef<str>) -> Error {
        Error { word, sentence: printable(sentence.as_ref().as_bytes(), MAX_SENTENCE) }
    }
}

impl fmt::Display for Error {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{} {}", self.word.as_str(), self.sentence)
    }
}

impl From<GalleryError> for Error {
    fn from(error: GalleryError) -> Error {
        Error::new(Word::Err, error.to_string())
    }
}

impl From<RecognitionError> for Error {
    fn from(error: RecognitionError) -> Error {
        match error {
            RecognitionError::BadImage(reason) => Error::new(Word::BadImage, reason),
            RecognitionError::Failed(reason) => Error::new(Word::Failed, reason),
            RecognitionError::NotLoaded(error) => {
                Error::new(Word::NoModel, format!("the model could not be loaded: {error}"))
            }
        }
    }
}

/// What somebody else wrote, as an error may quote it: short and printable.
pub fn quoted(bytes: &[u8]) -> String {
    const MAX_QUOTED: usize = 64;
    format!("'{}'", printable(bytes, MAX_QUOTED))
}

fn printable(bytes: &[u8], limit: usize) -> String {
    let mut text: String = bytes
        .iter()
        .take(limit)
        .map(|&byte| if byte == b' ' || byte.is_ascii_graphic() { char::from(byte) } else { '?' })
        .collect();
    if bytes.len() > limit {
        text.push_str("...");
    }
    text
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn quoted_text_is_printable_and_short() {
        assert_eq!(quoted(b"cat"), "'cat'");
        assert_eq!(quoted("%s\0\u{100}\r\n".as_bytes()), "'%s?????'");
        assert_eq!(quoted(&[b'x'; 1000]).len(), 64 + "''...".len());
    }

    #[test]
    fn an_error_begins_with_its_word() {
        let error = Error::new(Word::QueueFull, "the queue holds 1024 jobs");
        assert_eq!(error.to_string(), "QUEUEFULL the queue holds 1024 jobs");
    }
}
