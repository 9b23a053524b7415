//! `redis-image annotate PHOTO RESULT OUTPUT`: draws a result of `IMAGE.RECOGNIZE` over its photo. Needs no server.

use crate::terminal::tell;
use annotate::{Error, MAX_RESULT, annotate, read_photo, write_picture};
use clap::Args;
use std::ffi::OsStr;
use std::fs::{self, File};
use std::io::{Read, stdin};
use std::path::{Path, PathBuf};
use std::process::ExitCode;

/// Draw a result over its photo
#[derive(Args)]
#[command(after_long_help = "\
Example:
  redis-cli --raw -x IMAGE.RECOGNIZE_AUTO < cat.jpg | redis-image annotate cat.jpg - cat-seen.png")]
pub struct Arguments {
    /// The JPEG, PNG, WebP, GIF or BMP file that was recognised
    photo: PathBuf,
    /// A file with the result's JSON, or - for standard input
    result: PathBuf,
    /// The picture to write, its name ending in .png or .jpg
    output: PathBuf,
}

pub fn run(arguments: &Arguments) -> ExitCode {
    match outcome(arguments) {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) => {
            tell(&format!("redis-image: {error}"));
            ExitCode::FAILURE
        }
    }
}

fn outcome(arguments: &Arguments) -> Result<(), Error> {
    refuse_photo_itself(&arguments.photo, &arguments.output)?;
    let result = read_result(arguments.result.as_os_str())?;
    draw(&arguments.photo, &result, &arguments.output)
}

/// Draws `result` over `photo` into `output`, which must be another file.
pub fn draw(photo: &Path, result: &str, output: &Path) -> Result<(), Error> {
    refuse_photo_itself(photo, output)?;
    write_picture(&annotate(&read_photo(photo)?, result)?, output)
}

fn refuse_photo_itself(photo: &Path, output: &Path) -> Result<(), Error> {
    let is_photo_itself = fs::canonicalize(output)
        .is_ok_and(|output| fs::canonicalize(photo).is_ok_and(|photo| photo == output));
    if is_photo_itself {
        return Err(Error::Picture(format!("{} is the photo itself", output.display())));
    }
    Ok(())
}

fn read_result(result: &OsStr) -> Result<String, Error> {
    let unreadable = |why: &dyn std::fmt::Display| {
        Error::NotAResult(format!("{}: {why}", Path::new(result).display()))
    };
    let mut text = Vec::new();
    // One byte more, so that a longer result is told as such.
    let most = MAX_RESULT as u64 + 1;
    let read = if result == "-" {
        stdin().take(most).read_to_end(&mut text)
    } else {
        File::open(result).and_then(|file| file.take(most).read_to_end(&mut text))
    };
    read.map_err(|error| unreadable(&error))?;
    if text.len() > MAX_RESULT {
        return Err(Error::ResultTooLong);
    }
    String::from_utf8(text).map_err(|error| unreadable(&error))
}
