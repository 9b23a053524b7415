//! What is wrong with servers, and what a person should know.

use serde::Serialize;

#[derive(Debug, Default, Serialize)]
pub struct Findings {
    /// Each of these makes `status` end with 1.
    pub problems: Vec<String>,
    pub notes: Vec<String>,
}
