//! Where results are written: standard output, or a file that appears under its own name only when it is whole.

use std::fs::{self, File};
use std::io::{self, BufWriter, Seek, SeekFrom, Write};
use std::path::{Path, PathBuf};

use tempfile::NamedTempFile;

use crate::{Error, Result};

const BUFFER: usize = 256 * 1024;

/// A destination of results. Dropping it without [`Output::finish`] leaves nothing under the final name.
#[derive(Debug)]
pub struct Output {
    /// As it was given, for messages; of a link, what it points to is written.
    path: PathBuf,
    sink: Sink,
}

#[derive(Debug)]
enum Sink {
    Stdout(BufWriter<io::Stdout>),
    /// A pipe or device that exists already: written in place.
    Device(BufWriter<File>),
    /// Written beside the final name, and renamed.
    File(BufWriter<NamedTempFile>, PathBuf),
}

impl Output {
    /// Opens `path` for writing; `-` is standard output.
    ///
    /// # Errors
    /// The directory does not exist or cannot be written, or `path` is a directory.
    pub fn create(path: &Path) -> Result<Output> {
        let sink = if path == Path::new("-") {
            Sink::Stdout(BufWriter::with_capacity(BUFFER, io::stdout()))
        } else {
            match fs::metadata(path) {
                Ok(meta) if meta.is_dir() => {
                    return Err(Error::format(path, None, "is a directory; give a file to write to"));
                }
                // The file behind standard output is the caller's: it is written, never replaced.
                Ok(meta) if !meta.is_file() || path.starts_with("/dev") => {
                    let file =
                        File::options().write(true).open(path).map_err(Error::io(path, "cannot write"))?;
                    Sink::Device(BufWriter::with_capacity(BUFFER, file))
                }
                found => {
                    let target = if found.is_ok() { fs::canonicalize(path) } else { Ok(path.to_path_buf()) };
                    let target = target.map_err(Error::io(path, "cannot write"))?;
                    Sink::File(BufWriter::with_capacity(BUFFER, beside(&target)?), target)
                }
            }
        };
        Ok(Output { path: path.to_path_buf(), sink })
    }

    /// Appends bytes.
    ///
    /// # Errors
    /// A full disk or a closed pipe ([`Error::is_broken_pipe`]).
    pub fn write(&mut self, bytes: &[u8]) -> Result<()> {
        let result = match &mut self.sink {
            Sink::Stdout(sink) => sink.write_all(bytes),
            Sink::Device(sink) => sink.write_all(bytes),
            Sink::File(sink, _) => sink.write_all(bytes),
        };
        result.map_err(Error::io(&self.path, "cannot write"))
    }

    /// Hands what is buffered to whoever reads standard output, a pipe or a device. Does nothing for files, which nobody
    /// reads before they have their names.
    ///
    /// # Errors
    /// As [`Output::write`].
    pub fn pass_on(&mut self) -> Result<()> {
        let result = match &mut self.sink {
            Sink::Stdout(sink) => sink.flush(),
            Sink::Device(sink) => sink.flush(),
            Sink::File(..) => Ok(()),
        };
        result.map_err(Error::io(&self.path, "cannot write"))
    }

    /// Overwrites the first bytes of a file whose name is still to come.
    ///
    /// # Errors
    /// As [`Output::write`]; an output that is no file ([`Output::target`]).
    pub fn write_front(&mut self, bytes: &[u8]) -> Result<()> {
        let result = match &mut self.sink {
            Sink::Stdout(_) | Sink::Device(_) => Err(io::ErrorKind::NotSeekable.into()),
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

    /// Writes what is buffered. The file has its name once it is [published](Sealed::publish), so that several can
    /// appear together when all are whole.
    ///
    /// # Errors
    /// As [`Output::write`].
    pub fn seal(self) -> Result<Sealed> {
        let path = self.path;
        let failed = || Error::io(&path, "cannot write");
        let file = match self.sink {
            Sink::Stdout(mut sink) => sink.flush().map(|()| None).map_err(failed())?,
            Sink::Device(mut sink) => sink.flush().map(|()| None).map_err(failed())?,
            Sink::File(sink, target) => {
                let file = sink.into_inner().map_err(|error| failed()(error.into_error()))?;
                Some((file, target))
            }
        };
        Ok(Sealed { path, file, obsolete: Vec::new() })
    }

    /// The file that is written, every link followed; `None` for standard output and devices.
    pub fn target(&self) -> Option<&Path> {
        match &self.sink {
            Sink::File(_, target) => Some(target),
            Sink::Stdout(_) | Sink::Device(_) => None,
        }
    }
}

/// Results that are whole and wait for their name. Dropping it leaves nothing under that.
#[derive(Debug)]
pub struct Sealed {
    path: PathBuf,
    file: Option<(NamedTempFile, PathBuf)>,
    obsolete: Vec<PathBuf>,
}

impl Sealed {
    /// Names files that are to go once this one has its name: they were about what this one replaces.
    pub(crate) fn replacing(self, obsolete: Vec<PathBuf>) -> Sealed {
        Sealed { obsolete, ..self }
    }

    /// Gives the file its name.
    ///
    /// # Errors
    /// A name that cannot be taken.
    pub fn publish(self) -> Result<()> {
        let Some((file, target)) = self.file else { return Ok(()) };
        file.persist(target).map_err(|error| Error::io(&self.path, "cannot write")(error.error))?;
        self.obsolete.iter().try_for_each(|path| match fs::remove_file(path) {
            Err(error) if error.kind() != io::ErrorKind::NotFound => {
                Err(Error::io(path, "cannot remove this old index")(error))
            }
            _ => Ok(()),
        })
    }
}

/// A temporary file in the directory of `path`, with the permissions an ordinary new file has. It is locked for as long as
/// it is written, and those that nobody locks any more are removed: a killed run left them.
fn beside(path: &Path) -> Result<NamedTempFile> {
    let directory = path.parent().filter(|parent| !parent.as_os_str().is_empty()).unwrap_or(Path::new("."));
    let name = path.file_name().unwrap_or_default().to_string_lossy();
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
        let running = Output::create(&path).unwrap();
        for left in [".sites.bed.abc.part", ".other.bed.abc.part"] {
            fs::write(directory.path().join(left), b"half").unwrap();
        }
        Output::create(&path).unwrap().finish().unwrap();
        assert!(!directory.path().join(".sites.bed.abc.part").exists());
        assert!(directory.path().join(".other.bed.abc.part").exists());
        running.finish().unwrap();
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
