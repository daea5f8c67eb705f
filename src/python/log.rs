//! Messages of the library as those of Python's `logging`, under the name `bindscan`.

use std::sync::Once;

use log::{Level, LevelFilter, Log, Metadata, Record};
use pyo3::prelude::*;

struct PythonLog;

impl Log for PythonLog {
    fn enabled(&self, metadata: &Metadata<'_>) -> bool {
        metadata.level() <= Level::Warn && metadata.target().starts_with("bindscan")
    }

    fn log(&self, record: &Record<'_>) {
        if !self.enabled(record.metadata()) {
            return;
        }
        let method = if record.level() == Level::Error { "error" } else { "warning" };
        let words = record.args().to_string();
        let sent = Python::attach(|py| -> PyResult<()> {
            let logger = py.import("logging")?.call_method1("getLogger", ("bindscan",))?;
            logger.call_method1(method, ("%s", words))?;
            Ok(())
        });
        // A message that cannot be shown must not end what runs.
        drop(sent);
    }

    fn flush(&self) {}
}

/// Sends warnings to Python's `logging` from now on.
#[pyfunction]
pub(super) fn start_log() {
    static STARTED: Once = Once::new();
    STARTED.call_once(|| {
        if log::set_logger(&PythonLog).is_ok() {
            log::set_max_level(LevelFilter::Warn);
        }
    });
}
