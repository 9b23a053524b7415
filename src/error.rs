//! What a client is told when it gets no result: a code for programs, a sentence for people.

use std::fmt;

use gallery::GalleryError;
use recognition::RecognitionError;

/// The first word of an error reply, for programs.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum ErrorCode {
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

impl ErrorCode {
    /// What an enrolment may be refused with by the command that writes it, and its client is told.
    pub const PASSED_ON: [ErrorCode; 5] = [
        ErrorCode::Stale,
        ErrorCode::WrongType,
        ErrorCode::NoModel,
        ErrorCode::NoReplicas,
        ErrorCode::MisConf,
    ];

    pub fn as_str(self) -> &'static str {
        match self {
            ErrorCode::Err => "ERR",
            ErrorCode::NoModel => "NOMODEL",
            ErrorCode::BadImage => "BADIMAGE",
            ErrorCode::WrongType => "WRONGTYPE",
            ErrorCode::QueueFull => "QUEUEFULL",
            ErrorCode::Timeout => "TIMEOUT",
            ErrorCode::NoWaiting => "NOWAITING",
            ErrorCode::Failed => "FAILED",
            ErrorCode::NoPerm => "NOPERM",
            ErrorCode::Oom => "OOM",
            ErrorCode::NoReplicas => "NOREPLICAS",
            ErrorCode::MisConf => "MISCONF",
            ErrorCode::ReadOnly => "READONLY",
            ErrorCode::NoGallery => "NOGALLERY",
            ErrorCode::NoSubject => "NOSUBJECT",
            ErrorCode::NoFace => "NOFACE",
            ErrorCode::ManyFaces => "MANYFACES",
            ErrorCode::LowQuality => "LOWQUALITY",
            ErrorCode::Stale => "STALE",
        }
    }
}

/// An error reply. Its text is printable ASCII: other text can harm the server (`CString`, log).
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Error {
    pub code: ErrorCode,
    sentence: String,
}

/// The longest sentence of an error.
const MAX_SENTENCE: usize = 400;

impl Error {
    pub fn new(code: ErrorCode, sentence: impl AsRef<str>) -> Error {
        Error { code, sentence: printable(sentence.as_ref().as_bytes(), MAX_SENTENCE) }
    }
}

impl fmt::Display for Error {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{} {}", self.code.as_str(), self.sentence)
    }
}

impl From<GalleryError> for Error {
    fn from(error: GalleryError) -> Error {
        Error::new(ErrorCode::Err, error.to_string())
    }
}

impl From<RecognitionError> for Error {
    fn from(error: RecognitionError) -> Error {
        match error {
            RecognitionError::BadImage(reason) => Error::new(ErrorCode::BadImage, reason),
            RecognitionError::Failed(reason) => Error::new(ErrorCode::Failed, reason),
            RecognitionError::NotLoaded(error) => {
                Error::new(ErrorCode::NoModel, format!("the model could not be loaded: {error}"))
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
    fn an_error_begins_with_its_code() {
        let error = Error::new(ErrorCode::QueueFull, "the queue holds 1024 jobs");
        assert_eq!(error.to_string(), "QUEUEFULL the queue holds 1024 jobs");
    }
}
