//! Why nothing was drawn, in a sentence for whoever called the program.

use std::fmt;

use crate::limits::{MAX_MARKS, MAX_PIXELS, MAX_RESULT};

#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Error {
    /// Redis replied something else than a result, most likely an error: its text.
    Reply(String),
    /// Nothing but white space.
    NoResult,
    /// Not the JSON of a result: why not.
    NotAResult(String),
    /// More than [`MAX_RESULT`] bytes.
    ResultTooLong,
    /// More than [`MAX_MARKS`] things to draw: how many.
    TooManyMarks(usize),
    /// Width and height that the result names, and those of the photo.
    OtherPhoto { result: (u32, u32), photo: (u32, u32) },
    /// The photo's width and height, without pixels or over [`MAX_PIXELS`].
    PhotoSize(u32, u32),
    /// The photo can't be read: why not.
    Photo(String),
    /// The picture can't be written: why not.
    Picture(String),
}

impl fmt::Display for Error {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Error::Reply(text) => {
                write!(f, "this is no result but a reply of Redis: {}", printable(text))
            }
            Error::NoResult => {
                write!(f, "the result is empty: nothing is stored, or redis-cli got no reply")
            }
            Error::NotAResult(why) => {
                write!(f, "this is not the JSON of a result: {}", printable(why))
            }
            Error::ResultTooLong => write!(f, "the result is longer than {MAX_RESULT} bytes"),
            Error::TooManyMarks(count) => {
                write!(f, "the result holds {count} things to draw, {MAX_MARKS} is the most")
            }
            Error::OtherPhoto { result, photo } => write!(
                f,
                "the result belongs to another photo: of {}x{} pixels, and this one has {}x{}",
                result.0, result.1, photo.0, photo.1
            ),
            Error::PhotoSize(width, height) => {
                write!(f, "the photo has {width}x{height} pixels, 1 to {MAX_PIXELS} are possible")
            }
            Error::Photo(why) => write!(f, "the photo can't be read: {}", printable(why)),
            Error::Picture(why) => write!(f, "the picture can't be written: {}", printable(why)),
        }
    }
}

impl std::error::Error for Error {}

/// Longest foreign text in a sentence, in characters.
const MAX_FOREIGN_TEXT: usize = 300;

/// Foreign text on one line of a terminal: control characters escaped, cut to a bearable length.
fn printable(text: &str) -> String {
    let mut line = String::new();
    for (index, character) in text.trim().chars().enumerate() {
        if index == MAX_FOREIGN_TEXT {
            line.push('…');
            break;
        }
        if character.is_control() {
            line.extend(character.escape_debug());
        } else {
            line.push(character);
        }
    }
    line
}
