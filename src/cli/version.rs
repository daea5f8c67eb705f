//! The output of `bindscan --version`.

use bindscan::engine::kernel::Simd;
use bindscan::model::bundled;
use serde_json::{Value, json};

/// This build, and what it finds on this machine.
struct Facts {
    version: &'static str,
    /// The instruction set of the kernel. A wrong BINDSCAN_SIMD is an error where something is scanned.
    simd: Option<&'static str>,
    /// All instruction sets that the processor has.
    available: Vec<&'static str>,
    /// Where ONNX Runtime is, or why there is none.
    library: Result<String, String>,
    models: Vec<&'static str>,
}

impl Facts {
    fn new() -> Facts {
        Facts {
            version: env!("CARGO_PKG_VERSION"),
            simd: Simd::from_environment().map(|simd| simd.name()).ok(),
            available: Simd::available().iter().map(Simd::name).collect(),
            library: onnx_runtime(),
            models: bundled::names().collect(),
        }
    }
}

#[cfg(feature = "onnx")]
fn onnx_runtime() -> Result<String, String> {
    let path = bindscan::engine::onnx::library::find_library();
    path.map(|path| path.display().to_string()).map_err(|error| error.to_string())
}

#[cfg(not(feature = "onnx"))]
fn onnx_runtime() -> Result<String, String> {
    Err("built without it (Cargo feature onnx)".into())
}

/// The version, and what this build finds on this machine: instruction sets, ONNX Runtime, bundled models.
pub(super) fn long() -> String {
    let Facts { version, simd, available, library, models } = Facts::new();
    let simd = simd.unwrap_or("none of its name");
    let library = library.unwrap_or_else(|error| error);
    format!(
        "{version}\nengine kernel: {simd} (here: {})\nengine onnx: {library}\nbundled models: {}",
        available.join(", "),
        models.join(", ")
    )
}

/// The same as one JSON object.
pub(super) fn json() -> Value {
    let Facts { version, simd, available, library, models } = Facts::new();
    let (library, error) = match library {
        Ok(library) => (Some(library), None),
        Err(error) => (None, Some(error)),
    };
    json!({
        "name": "bindscan",
        "version": version,
        "engines": {
            "kernel": {"simd": simd, "available": available},
            "onnx": {"library": library, "error": error},
        },
        "bundled_models": models,
    })
}
