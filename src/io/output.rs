//! Where results are written: standard output, or a file that gets its name only when it is whole.
//!
//! All outputs of the process are listed in one register. It refuses a file that is an input ([`protect`]) or already an
//! output, it knows whether a closed pipe was the last output, and it has the names of unfinished files
//! ([`remove_unfinished`]).

use std::collections::BTreeSet;
use std::fs::{self, File};
use std::io::{self, BufWriter, Seek, SeekFrom, Write};
use std::path::{Path, PathBuf};

use tempfile::NamedTempFile;

use crate::{Error, Result};

mod destination;
mod register;

pub use self::register::{protect, remove_unfinished};
use crate::io::output::destination::Destination;
use crate::io::output::register::Registration;

const BUFFER: usize = 256 * 1024;

/// A destination of results. Dropping it without [`Output::finish`] leaves nothing under the final name.
///
/// When the reader of a pipe goes away while other outputs are open, the rest of what is written to the pipe is dropped
/// and the others go on. If it was the last output, writing fails ([`Error::is_broken_pipe`]).
#[derive(Debug)]
pub struct Output {
    /// As it was given, for messages; of a link, what it points to is written.
    path: PathBuf,
    sink: Sink,
    registration: Registration,
}

#[derive(Debug)]
enum Sink {
    Stdout(BufWriter<io::Stdout>),
    /// A pipe, a device or an open descriptor: written in place.
    InPlace(BufWriter<File>),
    /// Written beside the final name, and renamed.
    File(BufWriter<NamedTempFile>, PathBuf),
}

impl Output {
    /// Opens `path` for writing. `-`, `/dev/stdout` and `/dev/fd/N` are open descriptors, written where they stand; pipes
    /// and devices are written in place; regular files, wherever they lie, are replaced when the output is finished.
    ///
    /// # Errors
    /// A directory that does not exist or cannot be written; a path that is a directory, an input ([`protect`]), or
    /// another output.
    pub fn create(path: &Path) -> Result<Output> {
        let destination = Destination::find(path)?;
        let mut registration = Registration::new(path, &destination)?;
        let sink = match destination {
            Destination::Stdout(_) => Sink::Stdout(BufWriter::with_capacity(BUFFER, io::stdout())),
            Destination::InPlace(file, _) => Sink::InPlace(BufWriter::with_capacity(BUFFER, file)),
            Destination::File(target, _) => {
                let file = beside(path, &target)?;
                registration.set_part(file.path())?;
                Sink::File(BufWriter::with_capacity(BUFFER, file), target)
            }
        };
        Ok(Output { path: path.to_path_buf(), sink, registration })
    }

    /// Appends bytes.
    ///
    /// # Errors
    /// A full disk or a closed pipe ([`Error::is_broken_pipe`]).
    pub fn write(&mut self, bytes: &[u8]) -> Result<()> {
        if self.registration.is_closed() {
            return self.check(Err(io::ErrorKind::BrokenPipe.into()));
        }
        let result = match &mut self.sink {
            Sink::Stdout(sink) => sink.write_all(bytes),
            Sink::InPlace(sink) => sink.write_all(bytes),
            Sink::File(sink, _) => sink.write_all(bytes),
        };
        self.check(result)
    }

    /// Hands what is buffered to whoever reads standard output, a pipe or a device. Does nothing for files, which nobody
    /// reads before they have their names.
    ///
    /// # Errors
    /// As [`Output::write`].
    pub fn pass_on(&mut self) -> Result<()> {
        if self.registration.is_closed() {
            return Ok(());
        }
        let result = match &mut self.sink {
            Sink::Stdout(sink) => sink.flush(),
            Sink::InPlace(sink) => sink.flush(),
            Sink::File(..) => Ok(()),
        };
        self.check(result)
    }

    /// Turns the result of a write into an error, unless a reader went away and other outputs are left.
    fn check(&mut self, result: io::Result<()>) -> Result<()> {
        match result {
            Err(error) if error.kind() == io::ErrorKind::BrokenPipe && self.registration.close() => Ok(()),
            result => result.map_err(Error::io(&self.path, "cannot write")),
        }
    }

    /// Overwrites the first bytes of a file whose name is still to come.
    ///
    /// # Errors
    /// As [`Output::write`]; an output that is no file ([`Output::target`]).
    pub fn write_front(&mut self, bytes: &[u8]) -> Result<()> {
        let result = match &mut self.sink {
            Sink::Stdout(_) | Sink::InPlace(_) => Err(io::ErrorKind::NotSeekable.into()),
            Sink::File(sink, _) => (|| {
                sink.seek(SeekFrom::Start(0))?;
                sink.write_all(bytes)?;
                sink.seek(SeekFrom::End(0)).map(drop)
            })(),
        };
        result.map_err(Error::io(&self.path, "cannot write"))
    }

    /// The name as it was given, for messages.
    pub fn path(&self) -> &Path {
        &self.path
    }

    /// Writes what is buffered and gives the file its name.
    ///
    /// # Errors
    /// As [`Output::write`], and a name that cannot be taken.
    pub fn finish(self) -> Result<()> {
        self.seal()?.publish()
    }

    /// Writes what is buffered. The file has its name once it is [published](publish), so that several can appear together
    /// when all are whole.
    ///
    /// # Errors
    /// As [`Output::write`].
    pub fn seal(mut self) -> Result<Sealed> {
        self.pass_on()?;
        let Output { path, sink, registration } = self;
        let file = match sink {
            Sink::Stdout(_) | Sink::InPlace(_) => None,
            Sink::File(sink, target) => {
                let file = sink.into_inner();
                let file = file.map_err(|error| Error::io(&path, "cannot write")(error.into_error()))?;
                Some((file, target))
            }
        };
        Ok(Sealed { path, file, obsolete: Vec::new(), _registration: registration })
    }

    /// The file that is written, every link followed; `None` for standard output, pipes and devices.
    pub fn target(&self) -> Option<&Path> {
        match &self.sink {
            Sink::File(_, target) => Some(target),
            Sink::Stdout(_) | Sink::InPlace(_) => None,
        }
    }
}

/// A name that is taken for an output that is still to be created.
#[derive(Debug)]
pub struct Reservation {
    /// Keeps the name taken.
    _registration: Registration,
}

/// Finds out, before long work, whether [`Output::create`] would refuse `path`; while the reservation exists, it does.
///
/// # Errors
/// As [`Output::create`], as far as it shows before a file is made.
pub fn reserve(path: &Path) -> Result<Reservation> {
    let destination = Destination::find(path)?;
    Ok(Reservation { _registration: Registration::new(path, &destination)? })
}

/// Results that are whole and wait for their name. Dropping it leaves nothing under that.
#[derive(Debug)]
pub struct Sealed {
    path: PathBuf,
    file: Option<(NamedTempFile, PathBuf)>,
    obsolete: Vec<PathBuf>,
    /// Keeps the name taken.
    _registration: Registration,
}

impl Sealed {
    /// Names files that are to go once this one has its name: they were about what this one replaces.
    pub(crate) fn replacing(self, obsolete: Vec<PathBuf>) -> Sealed {
        Sealed { obsolete, ..self }
    }

    /// Gives the file its name: [`publish`] for a single one.
    ///
    /// # Errors
    /// As [`publish`].
    pub fn publish(self) -> Result<()> {
        publish([self])
    }

    /// Brings the content to the disk, so that a power failure after the renaming cannot leave a name without its content.
    fn sync(&self) -> Result<()> {
        let Some((file, _)) = &self.file else { return Ok(()) };
        match file.as_file().sync_all() {
            // Some file systems have no such operation.
            Err(error)
                if !matches!(error.kind(), io::ErrorKind::Unsupported | io::ErrorKind::InvalidInput) =>
            {
                Err(Error::io(&self.path, "cannot write")(error))
            }
            _ => Ok(()),
        }
    }

    /// Renames the file; gives the directory it is in.
    fn rename(self) -> Result<Option<PathBuf>> {
        let Some((file, target)) = self.file else { return Ok(None) };
        file.persist(&target).map_err(|error| Error::io(&self.path, "cannot write")(error.error))?;
        for path in &self.obsolete {
            match fs::remove_file(path) {
                Err(error) if error.kind() != io::ErrorKind::NotFound => {
                    return Err(Error::io(path, "cannot remove this old index")(error));
                }
                _ => {}
            }
        }
        Ok(Some(directory_of(&target).to_path_buf()))
    }
}

/// Gives files their names, once the content of all of them is on the disk.
///
/// # Errors
/// Content that cannot be written, a name that cannot be taken.
pub fn publish(sealed: impl IntoIterator<Item = Sealed>) -> Result<()> {
    let sealed: Vec<Sealed> = sealed.into_iter().collect();
    sealed.iter().try_for_each(Sealed::sync)?;
    // An interruption waits: either all files have their names, or none.
    let _renaming = register::renaming();
    let mut directories = BTreeSet::new();
    for file in sealed {
        directories.extend(file.rename()?);
    }
    for directory in directories {
        // Where a directory cannot be synchronised, the names reach the disk a little later.
        let _ = File::open(directory).and_then(|directory| directory.sync_all());
    }
    Ok(())
}

/// The directory that holds a file.
fn directory_of(path: &Path) -> &Path {
    path.parent().filter(|parent| !parent.as_os_str().is_empty()).unwrap_or(Path::new("."))
}

/// A temporary file in the directory of `target`, with the permissions an ordinary new file has; `path` is for messages. It
/// is locked for as long as it is written, and those that nobody locks any more are removed: a killed run left them.
fn beside(path: &Path, target: &Path) -> Result<NamedTempFile> {
    let directory = directory_of(target);
    let name = target.file_name().unwrap_or_default().to_string_lossy();
    let mut builder = tempfile::Builder::new();
    let prefix = format!(".{name}.");
    builder.prefix(&prefix).suffix(SUFFIX);
    #[cfg(unix)]
    {
        use std::os::unix::fs::PermissionsExt;
        builder.permissions(fs::Permissions::from_mode(0o666));
    }
    remove_abandoned(directory, &prefix);
    let created = (|| {
        loop {
            let file = builder.tempfile_in(directory)?;
            // Where locks are not supported nothing is ever removed.
            let _ = file.as_file().try_lock();
            // Somebody may have taken it for abandoned before it was locked.
            if file.path().exists() {
                return Ok(file);
            }
        }
    })();
    created.map_err(|error: io::Error| {
        // The plain reason, without the temporary file's name.
        let inner = error.get_ref().and_then(|wrapped| wrapped.source()?.downcast_ref::<io::Error>());
        let plain = inner.and_then(io::Error::raw_os_error).map_or(error, io::Error::from_raw_os_error);
        Error::io(path, "cannot create")(plain)
    })
}

const SUFFIX: &str = ".part";

/// Removes temporary files that are not locked. What cannot be read or removed stays.
fn remove_abandoned(directory: &Path, prefix: &str) {
    let entries = fs::read_dir(directory).into_iter().flatten().flatten();
    for entry in entries {
        let name = entry.file_name();
        let name = name.to_string_lossy();
        if name.starts_with(prefix)
            && name.ends_with(SUFFIX)
            && let Ok(file) = File::options().write(true).open(entry.path())
            && file.try_lock().is_ok()
        {
            // The lock is held until the file is gone.
            let _ = fs::remove_file(entry.path());
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_file_has_its_name_only_once_finished() {
        let directory = tempfile::tempdir().unwrap();
        let path = directory.path().join("sites.bed");
        let mut output = Output::create(&path).unwrap();
        output.write(b"chr1\t0\t10\n").unwrap();
        assert!(!path.exists());
        output.finish().unwrap();
        assert_eq!(fs::read(&path).unwrap(), b"chr1\t0\t10\n");

        let mut output = Output::create(&path).unwrap();
        output.write(b"????\t0\t10\n").unwrap();
        output.write_front(b"chr1").unwrap();
        output.write(b"chr1\t9\t19\n").unwrap();
        output.finish().unwrap();
        assert_eq!(fs::read(&path).unwrap(), b"chr1\t0\t10\nchr1\t9\t19\n");
        fs::write(&path, b"chr1\t0\t10\n").unwrap();

        let mut abandoned = Output::create(&path).unwrap();
        abandoned.write(b"half").unwrap();
        drop(abandoned);
        assert_eq!(fs::read(&path).unwrap(), b"chr1\t0\t10\n");
        assert_eq!(fs::read_dir(directory.path()).unwrap().count(), 1);
    }

    #[test]
    fn what_a_killed_run_left_is_removed_and_what_a_running_one_writes_is_not() {
        let directory = tempfile::tempdir().unwrap();
        let path = directory.path().join("sites.bed");
        let running = directory.path().join(".sites.bed.running.part");
        let lock = File::create(&running).unwrap();
        lock.lock().unwrap();
        for left in [".sites.bed.abc.part", ".other.bed.abc.part"] {
            fs::write(directory.path().join(left), b"half").unwrap();
        }
        Output::create(&path).unwrap().finish().unwrap();
        assert!(!directory.path().join(".sites.bed.abc.part").exists());
        assert!(directory.path().join(".other.bed.abc.part").exists());
        assert!(running.exists());
    }

    #[cfg(unix)]
    #[test]
    fn a_link_stays_and_what_it_points_to_is_written() {
        let directory = tempfile::tempdir().unwrap();
        let (link, target) = (directory.path().join("link.bed"), directory.path().join("target.bed"));
        fs::write(&target, b"old").unwrap();
        std::os::unix::fs::symlink(&target, &link).unwrap();
        let mut output = Output::create(&link).unwrap();
        output.write(b"new").unwrap();
        output.finish().unwrap();
        assert!(fs::symlink_metadata(&link).unwrap().is_symlink());
        assert_eq!(fs::read(&target).unwrap(), b"new");
    }

    #[test]
    fn a_directory_and_a_missing_directory_are_refused() {
        let directory = tempfile::tempdir().unwrap();
        assert!(Output::create(directory.path()).unwrap_err().to_string().contains("is a directory"));
        let missing = directory.path().join("no/such/sites.bed");
        assert!(Output::create(&missing).unwrap_err().to_string().contains("cannot create"));
    }
}
