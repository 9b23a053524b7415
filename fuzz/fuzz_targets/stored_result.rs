//! A stored result, which any client may have written: its lists are shortened and its embeddings read.
#![no_main]

use libfuzzer_sys::fuzz_target;
use recognition::{stored, trim_lists};

// The first byte is the length of lists and the dimensions of embeddings, the rest the text.
fuzz_target!(|data: &[u8]| {
    let Some((&first, text)) = data.split_first() else { return };
    let Ok(text) = str::from_utf8(text) else { return };
    let (count, dimensions) = (usize::from(first % 16), usize::from(first / 16) + 1);
    let _ = trim_lists(text, count);
    if let Some(found) = stored::embeddings(text, dimensions) {
        assert!(found.iter().all(|embedded| embedded.values.len() == dimensions));
    }
});
