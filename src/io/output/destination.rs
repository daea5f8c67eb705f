//! The kinds of places that an output can be written to.

use std::fs::{self, File, Metadata};
use std::io;
use std::path::{Path, PathBuf};

use crate::io::output::directory_of;
use crate::{Error, Result};

/// Links are followed so far, as Linux does.
const LINKS: usize = 40;

/// A file that may have several names: its device and its number there.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Identity(u64, u64);

impl Identity {
    /// The identity of what `metadata` describes; `None` for devices, which any number of outputs can share.
    #[cfg(unix)]
    pub(crate) fn from_metadata(metadata: &Metadata) -> Option<Identity> {
        use std::os::unix::fs::{FileTypeExt, MetadataExt};
        let kind = metadata.file_type();
        (kind.is_file() || kind.is_fifo()).then(|| Identity(metadata.dev(), metadata.ino()))
    }

    /// Always `None`: names are compared on this system.
    #[cfg(not(unix))]
    pub(crate) fn from_metadata(_: &Metadata) -> Option<Identity> {
        None
    }
}

/// Destination of an output, and the file that exists there already.
#[derive(Debug)]
pub(crate) enum Destination {
    /// Standard output.
    Stdout(Option<Identity>),
    /// A pipe, a device, or another open descriptor.
    InPlace(File, Option<Identity>),
    /// A regular file, every link followed, whether it exists or not.
    File(PathBuf, Option<Identity>),
}

impl Destination {
    /// Tells by its kind what `path` is.
    pub(crate) fn find(path: &Path) -> Result<Destination> {
        let failed = || Error::io(path, "cannot write");
        let target = match follow(path).map_err(failed())? {
            Followed::Descriptor(1) => return Ok(Destination::Stdout(stdout_identity())),
            Followed::Descriptor(number) => {
                let file = descriptor(number).map_err(failed())?;
                let identity = file.metadata().ok().and_then(|metadata| Identity::from_metadata(&metadata));
                return Ok(Destination::InPlace(file, identity));
            }
            Followed::Path(target) => target,
        };
        match fs::metadata(&target) {
            Ok(metadata) if metadata.is_dir() => {
                Err(Error::format(path, None, "is a directory; give a file to write to"))
            }
            Ok(metadata) if !metadata.is_file() => {
                let file = File::options().write(true).open(&target).map_err(failed())?;
                Ok(Destination::InPlace(file, Identity::from_metadata(&metadata)))
            }
            Ok(metadata) => {
                Ok(Destination::File(with_real_directory(&target), Identity::from_metadata(&metadata)))
            }
            Err(_) => Ok(Destination::File(with_real_directory(&target), None)),
        }
    }

    /// The file that will be replaced, and what is there now.
    pub(crate) fn key(&self) -> (Option<&Path>, Option<Identity>) {
        match self {
            Destination::Stdout(identity) | Destination::InPlace(_, identity) => (None, *identity),
            Destination::File(target, identity) => (Some(target), *identity),
        }
    }
}

enum Followed {
    /// An open descriptor of this process.
    Descriptor(i32),
    /// No link.
    Path(PathBuf),
}

/// Follows links, also one that leads to a file that does not exist.
fn follow(path: &Path) -> io::Result<Followed> {
    let mut path = path.to_path_buf();
    for _ in 0..LINKS {
        if let Some(number) = descriptor_number(&path) {
            return Ok(Followed::Descriptor(number));
        }
        match fs::symlink_metadata(&path) {
            Ok(metadata) if metadata.is_symlink() => path = directory_of(&path).join(fs::read_link(&path)?),
            _ => return Ok(Followed::Path(path)),
        }
    }
    Err(io::Error::other("too many levels of symbolic links"))
}

/// The number of the open descriptor that `path` stands for.
fn descriptor_number(path: &Path) -> Option<i32> {
    match path.to_str()? {
        "-" => Some(1),
        _ if cfg!(not(unix)) => None,
        "/dev/stdin" => Some(0),
        "/dev/stdout" => Some(1),
        "/dev/stderr" => Some(2),
        text => {
            let number = text.strip_prefix("/dev/fd/").or_else(|| text.strip_prefix("/proc/self/fd/"))?;
            number.parse().ok().filter(|number| *number >= 0)
        }
    }
}

/// The path with every link in its directory followed, so that one file has one name.
fn with_real_directory(target: &Path) -> PathBuf {
    match (fs::canonicalize(directory_of(target)), target.file_name()) {
        (Ok(directory), Some(name)) => directory.join(name),
        // Creating the file fails, and says why.
        _ => target.to_path_buf(),
    }
}

/// A descriptor that shares its place in the file with one that the process was started with.
#[cfg(unix)]
fn descriptor(number: i32) -> io::Result<File> {
    use std::os::fd::BorrowedFd;
    // SAFETY: the number is not negative. The descriptor is borrowed for this one system call, which duplicates it, and
    // fails if it is not open.
    let borrowed = unsafe { BorrowedFd::borrow_raw(number) };
    Ok(borrowed.try_clone_to_owned()?.into())
}

#[cfg(not(unix))]
fn descriptor(_: i32) -> io::Result<File> {
    Err(io::ErrorKind::Unsupported.into())
}

#[cfg(unix)]
fn stdout_identity() -> Option<Identity> {
    use std::os::fd::AsFd;
    let file = File::from(io::stdout().as_fd().try_clone_to_owned().ok()?);
    Identity::from_metadata(&file.metadata().ok()?)
}

#[cfg(not(unix))]
fn stdout_identity() -> Option<Identity> {
    None
}
