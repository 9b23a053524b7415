//! `redis-image-annotate PHOTO RESULT OUTPUT`: draws a result of `IMAGE.RECOGNIZE` over its photo.

use std::ffi::{OsStr, OsString};
use std::fs::{self, File};
use std::io::{Read, stdin};
use std::path::Path;
use std::process::ExitCode;

use redis_image_annotate::{Error, MAX_RESULT, annotate, read_photo, write_picture};

const USAGE: &str = "\
Draws a result of IMAGE.RECOGNIZE over its photo.

    redis-image-annotate PHOTO RESULT OUTPUT

PHOTO   the JPEG, PNG, WebP, GIF or BMP file that was recognised
RESULT  a file with the result's JSON, or - for standard input
OUTPUT  the picture to write, its name ending in .png or .jpg

    redis-cli --raw -x IMAGE.RECOGNIZE < cat.jpg | redis-image-annotate cat.jpg - cat-seen.png
";

fn main() -> ExitCode {
    let arguments: Vec<OsString> = std::env::args_os().skip(1).collect();
    let outcome = match arguments.as_slice() {
        [one] if one == "--help" || one == "-h" => {
            print!("{USAGE}");
            return ExitCode::SUCCESS;
        }
        [photo, result, output] => run(Path::new(photo), result, Path::new(output)),
        _ => {
            eprint!("{USAGE}");
            return ExitCode::from(2);
        }
    };
    match outcome {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) => {
            eprintln!("redis-image-annotate: {error}");
            ExitCode::FAILURE
        }
    }
}

fn run(photo_path: &Path, result: &OsStr, output: &Path) -> Result<(), Error> {
    let is_photo_itself = fs::canonicalize(output)
        .is_ok_and(|output| fs::canonicalize(photo_path).is_ok_and(|photo| photo == output));
    if is_photo_itself {
        return Err(Error::Picture(format!("{} is the photo itself", output.display())));
    }
    let result = read_result(result)?;
    let photo = read_photo(photo_path)?;
    write_picture(&annotate(&photo, &result)?, output)
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
