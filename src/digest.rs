//! SHA-256 of a payload, and the keys that name one.

use recognition::hex;
use sha2::{Digest as _, Sha256};

/// SHA-256 of a payload.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub struct Digest([u8; 32]);

/// Hex digits of a digest.
const HEX_LEN: usize = 64;

impl Digest {
    pub fn of(payload: &[u8]) -> Digest {
        Digest(Sha256::digest(payload).into())
    }

    /// Reads 64 hex digits of either case.
    pub fn parse(text: &[u8]) -> Option<Digest> {
        if text.len() != HEX_LEN {
            return None;
        }
        let mut bytes = [0; 32];
        for (byte, pair) in bytes.iter_mut().zip(text.chunks_exact(2)) {
            let high = char::from(pair[0]).to_digit(16)?;
            let low = char::from(pair[1]).to_digit(16)?;
            *byte = (high * 16 + low) as u8;
        }
        Some(Digest(bytes))
    }

    /// 64 lower-case hex digits.
    pub fn hex(&self) -> String {
        hex(&self.0)
    }

    /// The digest that a key's name ends in: `:` and 64 hex digits.
    pub fn named_by(key: &[u8]) -> Option<Digest> {
        let start = key.len().checked_sub(HEX_LEN)?;
        let (head, tail) = key.split_at(start);
        if head.last() == Some(&b':') { Digest::parse(tail) } else { None }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const EMPTY: &str = "e3b0c44298fc1c149afbf4c8996fb92427ae41e4649b934ca495991b7852b855";

    #[test]
    fn hex_is_read_and_written() {
        let digest = Digest::of(b"");
        assert_eq!(digest.hex(), EMPTY);
        assert_eq!(Digest::parse(EMPTY.as_bytes()), Some(digest));
        assert_eq!(Digest::parse(EMPTY.to_uppercase().as_bytes()), Some(digest));
        assert_eq!(Digest::parse(&EMPTY.as_bytes()[1..]), None);
        assert_eq!(Digest::parse(EMPTY.replace('e', "g").as_bytes()), None);
    }

    #[test]
    fn a_key_names_a_digest_only_behind_a_colon() {
        let digest = Digest::of(b"");
        assert_eq!(Digest::named_by(format!("image:{EMPTY}").as_bytes()), Some(digest));
        assert_eq!(Digest::named_by(format!("{{hall 1}}:{EMPTY}").as_bytes()), Some(digest));
        assert_eq!(Digest::named_by(EMPTY.as_bytes()), None);
        assert_eq!(Digest::named_by(format!("image-{EMPTY}").as_bytes()), None);
        assert_eq!(Digest::named_by(b"camera:17"), None);
    }
}
