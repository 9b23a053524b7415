//! Embeddings of unit length.

use zeroize::Zeroizing;

use super::error::GalleryError;
use super::limits::MAX_DIMENSIONS;

/// How far the square of a length may be from 1 for the vector to be taken as it is. Rounding its
/// numbers to `f32` moves it by 2⁻²³ at most, so what was made unit length stays as it is, bit by
/// bit: on replicas, from the AOF, from an export.
const TOLERANCE: f64 = 1e-5;

/// An embedding that is finite and has unit length.
#[derive(Debug, Clone, PartialEq)]
pub struct UnitVector(Zeroizing<Vec<f32>>);

impl UnitVector {
    /// Scales `numbers` to unit length, unless they have it.
    pub fn new(numbers: &[f32]) -> Result<UnitVector, GalleryError> {
        if numbers.is_empty() || numbers.len() > MAX_DIMENSIONS {
            return Err(GalleryError::NoSuchDimensions { found: numbers.len() });
        }
        if !numbers.iter().all(|number| number.is_finite()) {
            return Err(GalleryError::NotFinite);
        }
        let square = square_length(numbers);
        if square == 0.0 {
            return Err(GalleryError::ZeroVector);
        }
        let mut unit = Zeroizing::new(numbers.to_vec());
        if !is_unit(square) {
            let length = square.sqrt();
            for number in unit.iter_mut() {
                *number = (f64::from(*number) / length) as f32;
            }
        }
        Ok(UnitVector(unit))
    }

    /// Reads 32-bit little-endian floats.
    pub fn from_bytes(bytes: &[u8]) -> Result<UnitVector, GalleryError> {
        let (numbers, rest) = bytes.as_chunks::<4>();
        if !rest.is_empty() {
            return Err(GalleryError::VectorBytes { found: bytes.len() });
        }
        if numbers.len() > MAX_DIMENSIONS {
            return Err(GalleryError::NoSuchDimensions { found: numbers.len() });
        }
        let numbers: Vec<f32> = numbers.iter().map(|&number| f32::from_le_bytes(number)).collect();
        UnitVector::new(&Zeroizing::new(numbers))
    }

    pub fn dimensions(&self) -> usize {
        self.0.len()
    }

    pub fn as_slice(&self) -> &[f32] {
        &self.0
    }

    /// 32-bit little-endian floats: what is replicated.
    pub fn to_bytes(&self) -> Vec<u8> {
        self.0.iter().flat_map(|number| number.to_le_bytes()).collect()
    }
}

/// Whether [`UnitVector::new`] would leave the numbers as they are.
pub(super) fn is_unit_vector(numbers: &[f32]) -> bool {
    numbers.iter().all(|number| number.is_finite()) && is_unit(square_length(numbers))
}

fn square_length(numbers: &[f32]) -> f64 {
    numbers.iter().map(|&number| f64::from(number) * f64::from(number)).sum()
}

fn is_unit(square_length: f64) -> bool {
    (square_length - 1.0).abs() <= TOLERANCE
}
