//! Draws a result over its photo, as `redis-image annotate` does, without building the whole tool.
//!
//!     cargo run --release --package redis-image-annotate --example draw -- photo.jpg result.json picture.png

use std::error::Error;
use std::path::Path;

use annotate::{annotate, read_photo, write_picture};

fn main() -> Result<(), Box<dyn Error>> {
    let arguments: Vec<String> = std::env::args().collect();
    let [_, photo, result, picture] = arguments.as_slice() else {
        return Err("draw PHOTO RESULT PICTURE".into());
    };
    let photo = read_photo(Path::new(photo))?;
    let drawn = annotate(&photo, &std::fs::read_to_string(result)?)?;
    write_picture(&drawn, Path::new(picture))?;
    Ok(())
}
