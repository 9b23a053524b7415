//! Reading a photo as the module sees it (upright, transparency over white), and writing a picture.

use std::fs;
use std::io::{BufRead, Cursor, Seek};
use std::path::Path;

use image::codecs::jpeg::JpegEncoder;
use image::metadata::Orientation;
use image::{DynamicImage, ImageDecoder, ImageFormat, ImageReader, Rgb, RgbImage};

use crate::error::Error;
use crate::limits::MAX_PIXELS;

const JPEG_QUALITY: u8 = 92;

/// Reads a JPEG, PNG, WebP, GIF (first frame) or BMP file; its content tells the format, not its name. EXIF orientation
/// is applied, transparency is laid over white.
///
/// # Errors
/// [`Error::Photo`] if it can't be read or decoded, [`Error::PhotoSize`] if it has more than [`MAX_PIXELS`].
pub fn read_photo(path: &Path) -> Result<RgbImage, Error> {
    let name = path.display().to_string();
    let reader = ImageReader::open(path).map_err(|error| unreadable(&name, &error))?;
    read(reader, &name)
}

/// The same of a file that is in memory.
///
/// # Errors
/// As [`read_photo`].
pub fn photo_of(file: &[u8]) -> Result<RgbImage, Error> {
    read(ImageReader::new(Cursor::new(file)), "standard input")
}

fn unreadable(name: &str, error: &dyn std::error::Error) -> Error {
    Error::Photo(format!("{name}: {error}"))
}

fn read(reader: ImageReader<impl BufRead + Seek>, name: &str) -> Result<RgbImage, Error> {
    let unreadable = |error: &dyn std::error::Error| unreadable(name, error);
    let reader = reader.with_guessed_format().map_err(|error| unreadable(&error))?;
    // The limits of crate image are in force: 512 MB for what it decodes.
    let mut decoder = reader.into_decoder().map_err(|error| unreadable(&error))?;
    let (width, height) = decoder.dimensions();
    check_size(width, height)?;
    let orientation = orientation(&mut decoder);
    let mut photo = DynamicImage::from_decoder(decoder).map_err(|error| unreadable(&error))?;
    photo.apply_orientation(orientation);
    Ok(over_white(photo))
}

/// Writes a picture as JPEG or PNG, by the ending of its name.
///
/// # Errors
/// [`Error::Picture`] if the ending is another one, the format does not hold such a picture (a JPEG has at most 65535
/// pixels a side), or the file can't be written.
pub fn write_picture(picture: &RgbImage, path: &Path) -> Result<(), Error> {
    let unwritable =
        |why: &dyn std::fmt::Display| Error::Picture(format!("{}: {why}", path.display()));
    let mut file = Cursor::new(Vec::new());
    let encoded = match ImageFormat::from_path(path) {
        Ok(ImageFormat::Png) => picture.write_to(&mut file, ImageFormat::Png),
        Ok(ImageFormat::Jpeg) => {
            picture.write_with_encoder(JpegEncoder::new_with_quality(&mut file, JPEG_QUALITY))
        }
        _ => return Err(unwritable(&"its name must end in .png or .jpg")),
    };
    encoded.map_err(|error| unwritable(&error))?;
    fs::write(path, file.into_inner()).map_err(|error| unwritable(&error))
}

pub(crate) fn check_size(width: u32, height: u32) -> Result<(), Error> {
    let pixels = u64::from(width) * u64::from(height);
    if (1..=MAX_PIXELS).contains(&pixels) { Ok(()) } else { Err(Error::PhotoSize(width, height)) }
}

/// As the module does it: whatever is wrong with the EXIF block, the photo stays as stored.
fn orientation(decoder: &mut impl ImageDecoder) -> Orientation {
    let exif = decoder.exif_metadata().ok().flatten().unwrap_or_default();
    // PNG and WebP hold the bare TIFF block, though some writers keep the prefix that JPEG has.
    let tiff = exif.strip_prefix(b"Exif\0\0").unwrap_or(&exif);
    Orientation::from_exif_chunk(tiff).unwrap_or(Orientation::NoTransforms)
}

fn over_white(photo: DynamicImage) -> RgbImage {
    if !photo.color().has_alpha() {
        return photo.into_rgb8();
    }
    let rgba = photo.into_rgba8();
    RgbImage::from_fn(rgba.width(), rgba.height(), |x, y| {
        let [red, green, blue, alpha] = rgba.get_pixel(x, y).0.map(u32::from);
        let blend = |value: u32| ((value * alpha + 255 * (255 - alpha) + 127) / 255) as u8;
        Rgb([red, green, blue].map(blend))
    })
}
