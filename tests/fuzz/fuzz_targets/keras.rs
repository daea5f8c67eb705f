//! Keras files: any bytes, or any description beside sound weights, give a graph that is read as a model, or an error in one
//! line.
//!
//! The first byte chooses: the bytes as they are, or `config.json` of an archive with the weights of a sound one.

#![no_main]

use std::io::{Cursor, Read, Write};
use std::sync::LazyLock;

use bindscan::model::{Model, inspect::inspect, keras};
use libfuzzer_sys::fuzz_target;
use prost::Message;
use zip::write::SimpleFileOptions;
use zip::{CompressionMethod, ZipArchive, ZipWriter};

const ARCHIVES: [&[u8]; 3] = [
    include_bytes!("../../data/keras/pools.keras"),
    include_bytes!("../../data/keras/gated.keras"),
    include_bytes!("../../data/keras/recurrent.keras"),
];

static WEIGHTS: LazyLock<[Vec<u8>; 3]> = LazyLock::new(|| {
    ARCHIVES.map(|archive| {
        let mut archive = ZipArchive::new(Cursor::new(archive)).expect("an archive");
        let mut bytes = Vec::new();
        archive.by_name("model.weights.h5").expect("weights").read_to_end(&mut bytes).expect("weights");
        bytes
    })
});

fn archive(config: &[u8], weights: &[u8]) -> Vec<u8> {
    let mut archive = ZipWriter::new(Cursor::new(Vec::new()));
    let options = SimpleFileOptions::default().compression_method(CompressionMethod::Stored);
    let members = [
        ("config.json", config),
        ("metadata.json", br#"{"keras_version":"3.0"}"#),
        ("model.weights.h5", weights),
    ];
    for (name, bytes) in members {
        archive.start_file(name, options).expect("memory takes all");
        archive.write_all(bytes).expect("memory takes all");
    }
    archive.finish().expect("memory takes all").into_inner()
}

fuzz_target!(|data: &[u8]| {
    let Some((&choice, bytes)) = data.split_first() else { return };
    let mut file = tempfile::NamedTempFile::new().expect("a temporary file");
    let written = match WEIGHTS.get(usize::from(choice % 4)) {
        Some(weights) => archive(bytes, weights),
        None => bytes.to_vec(),
    };
    file.write_all(&written).expect("a temporary file");
    match keras::open(file.path()) {
        Ok(imported) => {
            if let Ok(model) = Model::from_bytes("fuzz", &imported.graph.encode_to_vec()) {
                let _ = inspect(&model).to_string();
            }
        }
        Err(error) => assert_eq!(error.to_string().lines().count(), 1, "{error}"),
    }
});
