//! Parameter files: any bytes give a model or an error, and a model survives its ONNX file.
#![no_main]

use bindscan::model::{Model, deepbind};
use libfuzzer_sys::fuzz_target;

fuzz_target!(|bytes: &[u8]| {
    if let Ok(model) = deepbind::parse("fuzz.txt", bytes) {
        let read = Model::from_bytes("fuzz", &model.to_bytes()).unwrap();
        assert_eq!(read.network, model.network);
        assert_eq!(read.spec, model.spec);
    }
});
