//! Progress that is told from several threads.

use std::sync::{Mutex, MutexGuard, PoisonError};

use crate::cli::{Session, progress::Progress};

/// A line of progress for several threads.
pub(super) fn shared(session: Session) -> Mutex<Progress> {
    Mutex::new(Progress::start(session, "making the first fits"))
}

/// The line, for one of them.
pub(super) fn lock(shown: &Mutex<Progress>) -> MutexGuard<'_, Progress> {
    shown.lock().unwrap_or_else(PoisonError::into_inner)
}
