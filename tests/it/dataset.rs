//! Data sets, negatives, metrics and reports, through the library's public interface.

mod command;
mod evaluation;
mod inputs;
mod metrics;
mod negatives;
mod peaks;
mod report;

use std::io::Write;
use std::path::{Path, PathBuf};

use bindscan::seq::alphabet;

/// Codes of letters.
fn codes(letters: &str) -> Vec<u8> {
    alphabet::encode(letters.as_bytes()).expect("nucleotides")
}

/// A file with this text in a directory that lives as long as the first value.
fn file(name: &str, text: &str) -> (tempfile::TempDir, PathBuf) {
    let directory = tempfile::tempdir().expect("a temporary directory");
    let path = directory.path().join(name);
    write(&path, text);
    (directory, path)
}

fn write(path: &Path, text: &str) {
    std::fs::write(path, text).expect("a file that can be written");
}

fn write_gzip(path: &Path, text: &str) {
    let file = std::fs::File::create(path).expect("a file that can be written");
    let mut gzip = flate2::write::GzEncoder::new(file, flate2::Compression::default());
    gzip.write_all(text.as_bytes()).and_then(|()| gzip.finish()).expect("a file that can be written");
}

/// A file of the shared real data, or `None` (said on one line) where they are absent.
fn shared(name: &str) -> Option<PathBuf> {
    let path = Path::new(env!("CARGO_MANIFEST_DIR")).join("../shared/data").join(name);
    if !path.exists() {
        eprintln!("skipped: no {}", path.display());
        return None;
    }
    Some(path)
}
