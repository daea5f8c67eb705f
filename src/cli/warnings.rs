//! Warnings of this run: printed like all messages, and kept for the pages that show them.

use std::sync::{Mutex, PoisonError};

use log::{LevelFilter, Log, Metadata, Record};

/// Warnings so far, in order, each once.
static WARNINGS: Mutex<Vec<String>> = Mutex::new(Vec::new());

/// The log: prints what was asked for, and keeps warnings even where none is printed.
struct Keeper {
    printed: env_logger::Logger,
}

impl Log for Keeper {
    fn enabled(&self, metadata: &Metadata<'_>) -> bool {
        is_warning(metadata) || self.printed.enabled(metadata)
    }

    fn log(&self, record: &Record<'_>) {
        if is_warning(record.metadata()) {
            let text = record.args().to_string();
            let mut warnings = WARNINGS.lock().unwrap_or_else(PoisonError::into_inner);
            if !warnings.contains(&text) {
                warnings.push(text);
            }
        }
        self.printed.log(record);
    }

    fn flush(&self) {
        self.printed.flush();
    }
}

fn is_warning(metadata: &Metadata<'_>) -> bool {
    metadata.level() == log::Level::Warn && metadata.target().starts_with("bindscan")
}

/// Makes this the log of the program; the first call counts.
pub(super) fn install(printed: env_logger::Logger) {
    let level = printed.filter().max(LevelFilter::Warn);
    if log::set_boxed_logger(Box::new(Keeper { printed })).is_ok() {
        log::set_max_level(level);
    }
}

/// The warnings so far.
pub(super) fn so_far() -> Vec<String> {
    WARNINGS.lock().unwrap_or_else(PoisonError::into_inner).clone()
}
