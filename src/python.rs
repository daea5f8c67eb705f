//! The Python module `bindscan._bindscan`, over which the package in `src/python/bindscan` lies.
//!
//! Work is done without the interpreter's lock, on threads of the library; the calling thread looks for signals meanwhile,
//! so that Ctrl-C ends what runs. Errors are exceptions with the words of [`Error`].

use std::ffi::OsString;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::thread;
use std::time::Duration;

use crossbeam_channel::{RecvTimeoutError, bounded};
use pyo3::create_exception;
use pyo3::exceptions::{PyException, PyFileNotFoundError, PyKeyboardInterrupt, PyOSError};
use pyo3::prelude::*;

use crate::{Error, Result};

mod log;
mod model;
mod sequences;
mod tracks;
mod variants;

create_exception!(bindscan, BindscanError, PyException, "What bindscan cannot do; the base of its errors.");
create_exception!(
    bindscan,
    FormatError,
    BindscanError,
    "A file does not say what its format says it should."
);
create_exception!(bindscan, ModelError, BindscanError, "A model cannot be used, or not in this way.");
create_exception!(bindscan, RegionError, BindscanError, "A region does not fit the genome.");
create_exception!(bindscan, RequestError, BindscanError, "A request that cannot be met.");
create_exception!(bindscan, EngineError, BindscanError, "ONNX Runtime is missing, too old, or failed.");

impl From<Error> for PyErr {
    fn from(error: Error) -> PyErr {
        let words = error.to_string();
        match error {
            Error::Io { source, .. } if source.kind() == std::io::ErrorKind::NotFound => {
                PyFileNotFoundError::new_err(words)
            }
            Error::Io { .. } => PyOSError::new_err(words),
            Error::Format { .. } => FormatError::new_err(words),
            Error::Model { .. } | Error::UnknownModel { .. } => ModelError::new_err(words),
            Error::Region(_) => RegionError::new_err(words),
            Error::Runtime(_) => EngineError::new_err(words),
            Error::Interrupted => PyKeyboardInterrupt::new_err(words),
            Error::Letter { .. }
            | Error::Data(_)
            | Error::Mismatch(_)
            | Error::Output(_)
            | Error::Diverged(_)
            | Error::Internal(_)
            | Error::Request(_) => RequestError::new_err(words),
        }
    }
}

/// A request that cannot be met.
fn request(words: impl Into<String>) -> PyErr {
    RequestError::new_err(words.into())
}

/// Interval at which the calling thread looks for signals.
const POLL: Duration = Duration::from_millis(50);

/// Waits with `poll`, without the interpreter's lock, until that says that it need not wait any more; a signal ends the
/// wait, and sets `cancel`.
fn wait(py: Python<'_>, cancel: &AtomicBool, mut poll: impl FnMut(Duration) -> bool + Send) -> PyResult<()> {
    while !py.detach(|| poll(POLL)) {
        if let Err(signal) = py.check_signals() {
            cancel.store(true, Ordering::Relaxed);
            return Err(signal);
        }
    }
    Ok(())
}

/// Does work that may take long on a thread of its own.
fn interruptible<T: Send>(
    py: Python<'_>,
    work: impl FnOnce(&Arc<AtomicBool>) -> Result<T> + Send,
) -> PyResult<T> {
    let cancel = Arc::new(AtomicBool::new(false));
    let (done, finished) = bounded::<()>(1);
    thread::scope(|scope| {
        let flag = &cancel;
        let worker = scope.spawn(move || {
            let result = work(flag);
            drop(done);
            result
        });
        let poll = |time| !matches!(finished.recv_timeout(time), Err(RecvTimeoutError::Timeout));
        let waited = wait(py, &cancel, poll);
        let result = py.detach(|| worker.join());
        waited?;
        let result = result.unwrap_or_else(|panic| std::panic::resume_unwind(panic));
        result.map_err(PyErr::from)
    })
}

/// Runs the command line `arguments`, of which the first is the program's name, and gives its exit status.
#[pyfunction]
fn main(py: Python<'_>, arguments: Vec<OsString>) -> u8 {
    py.detach(|| crate::cli::main(arguments))
}

/// The extension module.
#[pymodule(gil_used = false)]
#[pyo3(name = "_bindscan")]
fn extension(module: &Bound<'_, PyModule>) -> PyResult<()> {
    let py = module.py();
    module.add("__version__", env!("CARGO_PKG_VERSION"))?;
    module.add("BindscanError", py.get_type::<BindscanError>())?;
    module.add("FormatError", py.get_type::<FormatError>())?;
    module.add("ModelError", py.get_type::<ModelError>())?;
    module.add("RegionError", py.get_type::<RegionError>())?;
    module.add("RequestError", py.get_type::<RequestError>())?;
    module.add("EngineError", py.get_type::<EngineError>())?;
    module.add_function(wrap_pyfunction!(main, module)?)?;
    module.add_function(wrap_pyfunction!(log::start_log, module)?)?;
    module.add_function(wrap_pyfunction!(model::bundled_models, module)?)?;
    module.add_function(wrap_pyfunction!(sequences::one_hot, module)?)?;
    module.add_function(wrap_pyfunction!(sequences::letters, module)?)?;
    module.add_function(wrap_pyfunction!(variants::variants, module)?)?;
    module.add_function(wrap_pyfunction!(variants::map_sequences, module)?)?;
    module.add_function(wrap_pyfunction!(variants::map_regions, module)?)?;
    module.add_class::<model::Models>()?;
    module.add_class::<tracks::SiteStream>()?;
    module.add_class::<tracks::TrackStream>()
}
