//! What every step looks at.

use crate::decode::Photo;
use crate::tasks::text::networks::Networks;
use crate::tasks::text::rules::TextRules;

/// What is looked at, and with what.
pub struct Source<'a> {
    pub photo: &'a Photo,
    /// The colour of what is outside the photo: red, green, blue.
    pub border: [u8; 3],
    pub networks: &'a Networks,
    pub rules: &'a TextRules,
}
