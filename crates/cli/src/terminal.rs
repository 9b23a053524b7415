//! What the person at the terminal is told, beside the output proper.

use std::io::{self, Write};

/// A line for the user on standard error. That nobody reads it any more must end nothing.
pub fn tell(line: &str) {
    let _ = writeln!(io::stderr(), "{line}");
}
