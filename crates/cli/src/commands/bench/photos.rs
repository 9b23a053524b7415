//! The pictures that a load is made of. Bytes behind the end of a file make another digest of the same picture: no
//! decoder reads them.

use std::fs;
use std::path::{Path, PathBuf};

use crate::error::Error;

/// More would only take longer to prepare.
const MAX_PHOTOS: usize = 200;
/// Of all photos together, as they are held in memory.
const MAX_BYTES: u64 = 1 << 30;

const EXTENSIONS: [&str; 6] = ["jpg", "jpeg", "png", "webp", "gif", "bmp"];

pub struct BenchPhoto {
    pub name: String,
    pub bytes: Vec<u8>,
}

/// The photos of a folder, those in folders inside it not among them.
pub fn read(folder: &Path) -> Result<Vec<BenchPhoto>, Error> {
    let entries = fs::read_dir(folder).map_err(|why| Error::file(folder, why))?;
    let mut paths: Vec<PathBuf> = entries.filter_map(|entry| Some(entry.ok()?.path())).collect();
    paths.retain(|path| {
        let extension = path.extension().unwrap_or_default().to_string_lossy().to_ascii_lowercase();
        EXTENSIONS.contains(&extension.as_str()) && path.is_file()
    });
    paths.sort();
    let mut photos = Vec::new();
    let mut left = MAX_BYTES;
    for path in paths.into_iter().take(MAX_PHOTOS) {
        let size = fs::metadata(&path).map_err(|why| Error::file(&path, why))?.len();
        if size > left {
            break;
        }
        left -= size;
        let bytes = fs::read(&path).map_err(|why| Error::file(&path, why))?;
        photos.push(BenchPhoto { name: path.display().to_string(), bytes });
    }
    if photos.is_empty() {
        return Err(Error::Usage(format!(
            "{} holds no photo ({})",
            folder.display(),
            EXTENSIONS.join(", ")
        )));
    }
    Ok(photos)
}

/// A picture for those who name no photos: a ground that changes slowly, with some noise, as a BMP file.
pub fn made() -> BenchPhoto {
    const WIDTH: u32 = 320;
    const HEIGHT: u32 = 240;
    const HEADER: u32 = 54;
    let pixels = WIDTH * HEIGHT * 3;
    let mut bytes = b"BM".to_vec();
    for number in
        [HEADER + pixels, 0, HEADER, 40, WIDTH, HEIGHT, 1 | 24 << 16, 0, pixels, 2835, 2835, 0, 0]
    {
        bytes.extend(number.to_le_bytes());
    }
    let mut noise = 1u32;
    for y in 0..HEIGHT {
        for x in 0..WIDTH {
            noise = noise.wrapping_mul(1_664_525).wrapping_add(1_013_904_223);
            let grain = noise >> 28;
            let samples = [x * 200 / WIDTH, y * 200 / HEIGHT, (x + y) * 200 / (WIDTH + HEIGHT)];
            bytes.extend(samples.map(|sample| (sample + grain) as u8));
        }
    }
    BenchPhoto { name: "a made picture of 320x240".to_owned(), bytes }
}
