//! The register of all outputs of the process, and of the inputs that none of them may replace.

use std::fs;
use std::path::{Path, PathBuf};
use std::sync::{Mutex, MutexGuard, PoisonError};

use crate::io::output::destination::{Destination, Identity};
use crate::{Error, Result};

static REGISTER: Mutex<Register> =
    Mutex::new(Register { inputs: Vec::new(), outputs: Vec::new(), next: 0, ended: false });

/// Held while files get their names.
static RENAMING: Mutex<()> = Mutex::new(());

#[derive(Debug)]
struct Register {
    inputs: Vec<Input>,
    outputs: Vec<Entry>,
    /// The number of the next output.
    next: u64,
    /// True if the process is about to end.
    ended: bool,
}

#[derive(Debug)]
struct Input {
    /// The file, links followed.
    path: PathBuf,
    identity: Option<Identity>,
}

/// An output.
#[derive(Debug)]
struct Entry {
    number: u64,
    target: Option<PathBuf>,
    identity: Option<Identity>,
    /// The temporary file that will be renamed.
    part: Option<PathBuf>,
    /// True if the reader of this pipe has gone.
    closed: bool,
}

impl Entry {
    fn is_same(&self, target: Option<&Path>, identity: Option<Identity>) -> bool {
        is_same(self.target.as_deref(), target) || is_same(self.identity, identity)
    }
}

fn is_same<T: PartialEq + Copy>(one: Option<T>, other: Option<T>) -> bool {
    one.is_some() && one == other
}

fn lock<T>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}

/// Names regular files that no output may replace from now on: the inputs of a command. Other files are passed over.
pub fn protect(files: impl IntoIterator<Item = PathBuf>) {
    let mut register = lock(&REGISTER);
    for file in files {
        let Ok(metadata) = fs::metadata(&file) else { continue };
        if metadata.is_file() {
            let path = fs::canonicalize(&file).unwrap_or(file);
            register.inputs.push(Input { path, identity: Identity::from_metadata(&metadata) });
        }
    }
}

/// Removes the temporary files of all outputs that are not published, and lets none be created or published any more: for a
/// process that ends at once.
pub fn remove_unfinished() {
    // Files that are getting their names get them; others never will.
    std::mem::forget(lock(&RENAMING));
    let mut register = lock(&REGISTER);
    register.ended = true;
    for part in register.outputs.iter().filter_map(|entry| entry.part.as_ref()) {
        // It may be gone already.
        let _ = fs::remove_file(part);
    }
}

/// Keeps [`remove_unfinished`] waiting.
pub(crate) fn renaming() -> MutexGuard<'static, ()> {
    lock(&RENAMING)
}

/// The entry of an output, for as long as the output exists.
#[derive(Debug)]
pub(crate) struct Registration {
    number: u64,
    closed: bool,
}

impl Registration {
    /// Enters an output; `path` is for messages.
    pub(crate) fn new(path: &Path, destination: &Destination) -> Result<Registration> {
        let (target, identity) = destination.key();
        let mut register = lock(&REGISTER);
        if register.ended {
            return Err(Error::Interrupted);
        }
        let is_input =
            |input: &Input| is_same(Some(&*input.path), target) || is_same(input.identity, identity);
        if register.inputs.iter().any(is_input) {
            let message = "is an input of this command; write to another file";
            return Err(Error::format(path, None, message));
        }
        if register.outputs.iter().any(|entry| entry.is_same(target, identity)) {
            return Err(Error::format(path, None, "two outputs would be written to it"));
        }
        let number = register.next;
        register.next += 1;
        let target = target.map(Path::to_path_buf);
        register.outputs.push(Entry { number, target, identity, part: None, closed: false });
        Ok(Registration { number, closed: false })
    }

    /// Names the temporary file.
    ///
    /// # Errors
    /// The process is about to end, and would leave the file behind.
    pub(crate) fn set_part(&mut self, part: &Path) -> Result<()> {
        let mut register = lock(&REGISTER);
        if register.ended {
            return Err(Error::Interrupted);
        }
        let entry = register.outputs.iter_mut().find(|entry| entry.number == self.number);
        if let Some(entry) = entry {
            entry.part = Some(part.to_path_buf());
        }
        Ok(())
    }

    /// True if the reader has gone.
    pub(crate) fn is_closed(&self) -> bool {
        self.closed
    }

    /// Notes that the reader has gone; tells whether other outputs are left.
    pub(crate) fn close(&mut self) -> bool {
        self.closed = true;
        let mut register = lock(&REGISTER);
        let mut left = false;
        for entry in &mut register.outputs {
            entry.closed |= entry.number == self.number;
            left |= !entry.closed;
        }
        left
    }
}

impl Drop for Registration {
    fn drop(&mut self) {
        lock(&REGISTER).outputs.retain(|entry| entry.number != self.number);
    }
}
