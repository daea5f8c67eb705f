//! The one error type of the library: every variant prints as one line that says what, where, and what to do.

use std::path::{Path, PathBuf};

/// Result of a library call.
pub type Result<T, E = Error> = std::result::Result<T, E>;

/// An error. `Display` gives one line for the user.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum Error {
    /// The operating system refused to open, read or write something.
    #[error("{path}: {action}: {source}", path = .path.display())]
    Io {
        /// The file, or `-` for a standard stream.
        path: PathBuf,
        /// The attempted operation, as in "cannot read".
        action: &'static str,
        /// The system's own reason.
        source: std::io::Error,
    },
    /// An input file does not say what its format says it should.
    #[error("{path}{at}: {message}", path = .path.display(), at = line_suffix(*.line))]
    Format {
        /// The file, or `-` for standard input.
        path: PathBuf,
        /// 1-based line number, where there is one.
        line: Option<u64>,
        /// The error, and its remedy.
        message: String,
    },
    /// A model cannot be used, or not in the way that was asked for.
    #[error("model {name}: {message}")]
    Model {
        /// The model's name or file.
        name: String,
        /// The error, and its remedy.
        message: String,
    },
    /// There is neither a file nor a bundled model of this name.
    #[error("{name}: no such file and no bundled model; those are {bundled}")]
    UnknownModel {
        /// The name.
        name: String,
        /// Names of the bundled models.
        bundled: String,
    },
    /// A region that does not fit the input: an unknown contig, an interval past its end.
    #[error("{0}")]
    Region(String),
    /// A letter in a sequence that stands for no nucleotide.
    #[error("'{}' (character {position}) is not a nucleotide", .letter.escape_default())]
    Letter {
        /// The letter.
        letter: char,
        /// Its place in the sequence, counted from 1.
        position: usize,
    },
    /// Data that cannot be used: too few of them, sequences too short, values that are missing or do not differ.
    #[error("{0}")]
    Data(String),
    /// Parts that do not belong together: models of an ensemble, a model and data, shards.
    #[error("{0}")]
    Mismatch(String),
    /// An output that cannot be made as it was asked for: an unknown extension, a format that cannot hold the results, a
    /// place where another run is at work.
    #[error("{0}")]
    Output(String),
    /// A training of which no fit came to finite numbers.
    #[error("{0}")]
    Diverged(String),
    /// A fault of the library.
    #[error("{0}")]
    Internal(String),
    /// A request that cannot be met: options that do not go together, a value out of range.
    #[error("{0}")]
    Request(String),
    /// ONNX Runtime is missing, too old, or failed.
    #[error("ONNX Runtime: {0}")]
    Runtime(String),
    /// The run was cancelled (Ctrl-C).
    #[error("interrupted")]
    Interrupted,
}

/// A message without line breaks: what files hold may be in it.
fn one_line(message: String) -> String {
    if message.contains(['\n', '\r']) { message.replace(['\n', '\r'], " ") } else { message }
}

fn line_suffix(line: Option<u64>) -> String {
    line.map(|line| format!(", line {line}")).unwrap_or_default()
}

impl Error {
    /// Wraps an I/O error with the file and the action that failed; to be used in `map_err`.
    pub fn io(path: impl AsRef<Path>, action: &'static str) -> impl FnOnce(std::io::Error) -> Error {
        let path = path.as_ref().to_path_buf();
        move |source| Error::Io { path, action, source }
    }

    /// A format error at a 1-based line (or at no line in particular).
    pub fn format(path: impl AsRef<Path>, line: impl Into<Option<u64>>, message: impl Into<String>) -> Error {
        let message = one_line(message.into());
        Error::Format { path: path.as_ref().to_path_buf(), line: line.into(), message }
    }

    /// An error that concerns a model.
    pub fn model(name: impl Into<String>, message: impl Into<String>) -> Error {
        Error::Model { name: name.into(), message: one_line(message.into()) }
    }

    /// True if this is a closed pipe on the reading side (`bindscan … | head`): not a failure.
    pub fn is_broken_pipe(&self) -> bool {
        matches!(self, Error::Io { source, .. } if source.kind() == std::io::ErrorKind::BrokenPipe)
    }
}

/// Lists the first `most` of some words for a message, and the number of the others.
pub(crate) fn listed(words: impl Iterator<Item = String>, most: usize) -> String {
    let mut words = words.peekable();
    let shown: Vec<String> = words.by_ref().take(most).collect();
    match words.count() {
        0 => shown.join(", "),
        more => format!("{} and {more} more", shown.join(", ")),
    }
}
