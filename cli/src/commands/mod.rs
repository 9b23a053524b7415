//! One file per subcommand: its options, and its story.

pub mod annotate;
pub mod recognize;
pub mod watch;
