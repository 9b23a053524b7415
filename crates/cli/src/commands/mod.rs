//! One file or folder per subcommand: its options, and its story.

pub mod annotate;
pub mod bench;
pub mod completions;
pub mod gallery;
pub mod models;
pub mod recognize;
pub mod status;
pub mod stocktake;
pub mod table;
pub mod watch;
