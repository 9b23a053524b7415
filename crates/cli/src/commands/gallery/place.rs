//! Which gallery is meant.

use clap::Args;

use crate::connect;

/// A gallery and where it is.
#[derive(Args)]
pub struct GalleryPlace {
    /// The gallery's key
    #[arg(value_name = "GALLERY")]
    pub gallery: String,

    #[command(flatten)]
    pub connection: connect::Options,
}
