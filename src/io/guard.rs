//! Panics of libraries that read damaged input, as values.

use std::cell::Cell;
use std::panic::{self, AssertUnwindSafe};
use std::sync::Once;

thread_local! {
    /// True while a panic on this thread becomes an error.
    static CAUGHT: Cell<bool> = const { Cell::new(false) };
}

static HOOK: Once = Once::new();

/// Runs code of a library that may panic on damaged input; `None` if it did. Nothing is printed then: the caller reports
/// the error in the input.
///
/// The panic hook that was set before still prints all other panics.
pub(crate) fn caught<T>(run: impl FnOnce() -> T) -> Option<T> {
    HOOK.call_once(|| {
        let tell = panic::take_hook();
        panic::set_hook(Box::new(move |panic| {
            if !CAUGHT.get() {
                tell(panic);
            }
        }));
    });
    let outer = CAUGHT.replace(true);
    let result = panic::catch_unwind(AssertUnwindSafe(run));
    CAUGHT.set(outer);
    result.ok()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_panic_is_no_value() {
        assert_eq!(caught(|| 7), Some(7));
        assert_eq!(caught(|| [1, 2][..][usize::from(caught(|| ()).is_some()) + 2]), None);
        assert!(!CAUGHT.get());
    }
}
