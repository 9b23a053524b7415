//! The commands: one file a family, each the story of its request on the main thread.

pub mod documentation;
pub mod gallery;
pub mod get;
pub mod info;
pub mod models;
mod options;
mod payload;
pub mod recognize;
pub mod wait;
