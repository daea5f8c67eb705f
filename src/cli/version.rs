//! What `bindscan --version` says.

use bindscan::engine::kernel::Simd;
use bindscan::engine::onnx::library::find_library;
use bindscan::model::bundled;

/// The version, and what this build finds on this machine: instruction sets, ONNX Runtime, bundled models.
pub(super) fn long() -> String {
    let names: Vec<&str> = Simd::available().iter().map(Simd::name).collect();
    // A wrong BINDSCAN_SIMD is an error where something is scanned.
    let simd = Simd::from_environment().map_or("none of its name", |simd| simd.name());
    let library = find_library().map_or_else(|error| error.to_string(), |path| path.display().to_string());
    format!(
        "{}\nengine kernel: {simd} (here: {})\nengine onnx: {library}\nbundled models: {}",
        env!("CARGO_PKG_VERSION"),
        names.join(", "),
        bundled::names().count()
    )
}
