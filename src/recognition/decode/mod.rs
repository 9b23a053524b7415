
pub struct DecodeLimits { pub max_pixels: u64, pub memory: u64 }
pub struct Photo { pub width: u32, pub height: u32, pub rgb: Vec<u8> }
pub fn decode(payload: &[u8], _l: &DecodeLimits) -> Result<Photo, super::error::RecognitionError> {
    let i = image::load_from_memory(payload).map_err(|e| super::error::RecognitionError::BadImage(e.to_string()))?.into_rgb8();
    Ok(Photo { width: i.width(), height: i.height(), rgb: i.into_raw() })
}
