//! What models of every task have in their manifest: refused with a sentence, or sound.
#![no_main]

use libfuzzer_sys::fuzz_target;
use recognition::manifest::{Graph, LabelList, Manifest};

fuzz_target!(|data: &[u8]| {
    let Ok(text) = str::from_utf8(data) else { return };
    let Ok(manifest) = Manifest::parse(text) else { return };
    for value in manifest.body.into_iter().map(|(_, value)| value) {
        if let Ok(graph) = value.clone().try_into::<Graph>()
            && graph.input.check().is_ok()
        {
            let values: usize = graph.input.shape().into_iter().product();
            assert!(values <= 3 * 4096 * 4096);
        }
        let _ = value.try_into::<LabelList>();
    }
});
