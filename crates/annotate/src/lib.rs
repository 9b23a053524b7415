//! Draws a result of `IMAGE.RECOGNIZE` over its photo, so that a person sees whether it is right: boxes, landmarks,
//! quads and corners with what was read or recognised in them. Nothing here knows Redis or runs a model.
//!
//! Data flows one way: JSON → [`result`] → [`marks`] (what to draw, in pixels of the photo) → [`labels`] (where the
//! text goes) → [`canvas`].

mod canvas;
mod colour;
mod draw;
mod error;
mod geometry;
mod labels;
mod lettering;
mod limits;
mod marks;
mod photo;
mod result;

use image::RgbImage;

pub use error::Error;
pub use limits::{MAX_MARKS, MAX_PIXELS, MAX_RESULT};
pub use photo::{photo_of, read_photo, write_picture};

/// The photo with the result drawn over it, of the same size.
///
/// `photo` is upright (EXIF orientation applied), as [`read_photo`] gives it. `result` is the JSON text of any task; a
/// reply of Redis that is none (an error, nothing at all) is told as such. What lies outside the photo is cut off.
/// Text that has no room (in a photo of a few pixels) is left out.
///
/// # Errors
/// The result is not one, is one of a photo of another size, or exceeds [`MAX_RESULT`] or [`MAX_MARKS`]; the photo is
/// empty or exceeds [`MAX_PIXELS`].
pub fn annotate(photo: &RgbImage, result: &str) -> Result<RgbImage, Error> {
    photo::check_size(photo.width(), photo.height())?;
    let finding = result::parse(result)?;
    let size = (photo.width(), photo.height());
    if finding.size != size {
        return Err(Error::OtherPhoto { result: finding.size, photo: size });
    }
    let sheet = marks::of(finding.found);
    if sheet.marks.len() > MAX_MARKS {
        return Err(Error::TooManyMarks(sheet.marks.len()));
    }
    draw::draw(photo, &sheet)
}
