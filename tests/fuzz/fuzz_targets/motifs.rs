//! Motif files of any kind (MEME, JASPAR, TRANSFAC, HOMER, UniPROBE, Cluster-Buster, sites, bare matrices; the content says
//! which): any bytes give motifs or an error in one line, and the models made of them are sound.

#![no_main]

use bindscan::model::motif::similarity::Database;
use bindscan::model::motif::{self, Background, PwmOptions};
use libfuzzer_sys::fuzz_target;

fuzz_target!(|bytes: &[u8]| {
    let _ = motif::is_text(bytes);
    let collection = match motif::read_bytes("fuzz.txt", bytes) {
        Ok(collection) => collection,
        Err(error) => {
            assert_eq!(error.to_string().lines().count(), 1, "{error}");
            return;
        }
    };
    assert!(!collection.motifs.is_empty());
    for note in collection.notes() {
        assert_eq!(note.lines().count(), 1, "{note}");
    }
    let uniform = PwmOptions { background: Background::Uniform, pseudocount: 1.0 };
    for motif in &collection.motifs {
        assert!(motif.width() > 0 && motif.consensus().len() == motif.width());
        for options in [&PwmOptions::default(), &uniform] {
            if let Ok(model) = motif.to_model(options) {
                assert!(model.network.unwrap().check().is_ok());
            }
        }
    }
    if collection.motifs.len() <= 8 && collection.motifs.iter().all(|motif| motif.width() <= 50) {
        let database = Database::new(&collection.motifs, true);
        assert_eq!(database.compare(&collection.motifs[0]).len(), collection.motifs.len());
    }
    // What is written is read again.
    if collection.motifs.iter().all(|motif| !motif.id.is_empty()) {
        let text = motif::to_meme(&collection.motifs);
        if let Ok(again) = motif::read_bytes("again.meme", text.as_bytes()) {
            assert!(again.motifs.len() <= collection.motifs.len());
        }
    }
});
