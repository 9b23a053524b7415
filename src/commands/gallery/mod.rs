//! The commands on galleries: their arguments, and what can be answered at once.

mod bind;
mod call;
mod documentation;
mod enroll;
mod forget;
mod identify;
mod show;

pub use bind::bind;
pub use documentation::DOCUMENTATION;
pub use enroll::enroll;
pub use forget::forget;
pub use identify::{identify, identify_stored, verify};
pub use show::{gallery, subjects};
