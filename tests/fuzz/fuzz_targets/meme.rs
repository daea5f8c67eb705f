//! Motif files: any bytes give motifs or an error, and so do the models made of them.
#![no_main]

use bindscan::model::motif::{self, PwmOptions};
use libfuzzer_sys::fuzz_target;

fuzz_target!(|bytes: &[u8]| {
    for motif in motif::parse("fuzz.meme", bytes).into_iter().flatten() {
        if let Ok(model) = motif.to_model(&PwmOptions::default()) {
            assert!(model.network.unwrap().check().is_ok());
        }
    }
});
