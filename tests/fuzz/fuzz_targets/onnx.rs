//! ONNX files: any bytes give a model or an error; a model can be inspected, and a recognised network is sound.
#![no_main]

use bindscan::model::{Model, inspect::inspect};
use libfuzzer_sys::fuzz_target;

fuzz_target!(|bytes: &[u8]| {
    if let Ok(model) = Model::from_bytes("fuzz", bytes) {
        let _ = inspect(&model).to_string();
        if let Ok(network) = &model.network {
            assert!(network.check().is_ok());
        }
    }
});
