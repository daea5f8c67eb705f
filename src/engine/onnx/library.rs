//! Finding and loading the ONNX Runtime library, once a process.
//!
//! The program is not linked to ONNX Runtime. The first engine that needs it looks in these places, in this order,
//! and loads the first library it finds:
//!
//! 1. the file (or the directory) that the environment variable `ORT_DYLIB_PATH` names;
//! 2. the executable's own directory and `../lib` beside it;
//! 3. `bindscan/onnxruntime-cuda`, then `bindscan/onnxruntime`, in the user's data directory (`$XDG_DATA_HOME`, or
//!    `~/.local/share`), where `scripts/install-onnxruntime` puts it;
//! 4. the directories that the system's loader searches.
//!
//! The path is always known to exist before it is handed on: loading a library that is not there can hang.

use std::env::{self, consts};
use std::error::Error as _;
use std::ffi::{OsStr, OsString};
use std::fs;
use std::io::Read as _;
use std::path::{Path, PathBuf};
use std::sync::{Arc, OnceLock};

use log::{debug, info};
use ort::environment::Environment;

use super::one_line;
use crate::io::guard::caught;
use crate::{Error, Result};

/// The command that installs the library.
const INSTALL: &str = "run scripts/install-onnxruntime";

/// A loaded library.
#[derive(Debug)]
pub(super) struct Library {
    /// The file it was loaded from.
    pub(super) path: PathBuf,
    /// The process's one environment.
    pub(super) environment: Environment,
}

/// The library, loaded by the first call; later calls give the same one, or the same error.
///
/// # Errors
/// No library found, one that cannot be loaded, or one that is too old.
pub(super) fn library() -> Result<&'static Library> {
    static LIBRARY: OnceLock<std::result::Result<Library, String>> = OnceLock::new();
    LIBRARY.get_or_init(load).as_ref().map_err(|message| Error::Runtime(message.clone()))
}

/// Path of the ONNX Runtime library that an engine would load, by the order above.
///
/// # Errors
/// If there is none, or `ORT_DYLIB_PATH` is set and names none.
pub fn find_library() -> Result<PathBuf> {
    find(&Places::from_environment()).map_err(Error::Runtime)
}

fn load() -> std::result::Result<Library, String> {
    let path = find(&Places::from_environment())?;
    if is_cut_short(&path) {
        return Err(format!("{} is cut short; {INSTALL}", path.display()));
    }
    let environment = caught(|| {
        let builder = ort::init_from(&path).map_err(|error| explain(&path, &error))?;
        builder
            .with_name("bindscan")
            .with_telemetry(false)
            .with_logger(Arc::new(|_, _, _, _, message| debug!("ONNX Runtime: {message}")))
            .build()
            .map_err(|error| format!("{}: {}", path.display(), one_line(&error)))
    })
    .unwrap_or_else(|| {
        let path = path.display();
        Err(format!(
            "{path} has no API of version 1.{}: it is damaged or some other library; {INSTALL}",
            ort::MINOR_VERSION
        ))
    })?;
    // Failures come back as errors; the library's own lines would only repeat them.
    environment.set_log_level(ort::logging::LogLevel::Warning);
    info!("loaded ONNX Runtime from {}", path.display());
    Ok(Library { path, environment })
}

/// True if the file is an ELF library whose end is missing, as an interrupted copy leaves it: loading one stops the
/// process. Its last part, the table of sections, must lie within the file.
fn is_cut_short(path: &Path) -> bool {
    let mut header = [0; 64];
    let read = fs::File::open(path).and_then(|mut file| {
        file.read_exact(&mut header)?;
        Ok(file.metadata()?.len())
    });
    let Ok(length) = read else { return false };
    let [0x7f, b'E', b'L', b'F', 2, 1, ..] = header else { return false };
    let number =
        |at: usize, bytes: usize| header[at..at + bytes].iter().rev().fold(0, |n, &b| n << 8 | u64::from(b));
    let (offset, entry, count) = (number(0x28, 8), number(0x3a, 2), number(0x3c, 2));
    offset.saturating_add(entry * count) > length
}

fn explain(path: &Path, error: &ort::LoadDynamicError) -> String {
    use ort::LoadDynamicError::{BadVersion, Dlopen, InvalidVersionString, MissingApi};
    let path = path.display();
    match error {
        BadVersion { version_str, .. } => {
            format!(
                "found version {version_str} at {path}, need 1.{} or newer; {INSTALL}",
                ort::MINOR_VERSION
            )
        }
        Dlopen { error, .. } => {
            let reason = error.source().map_or_else(|| one_line(error), |cause| one_line(&cause));
            format!("cannot load {path} ({reason}); {INSTALL}")
        }
        MissingApi { .. } | InvalidVersionString => {
            format!("{path} is some other library; {INSTALL}")
        }
    }
}

/// Settings on which the look-up depends.
#[derive(Debug, Default)]
struct Places {
    /// Value of `ORT_DYLIB_PATH`, if it is set and not empty.
    named: Option<PathBuf>,
    /// Directories to look in, in order.
    directories: Vec<PathBuf>,
}

impl Places {
    fn from_environment() -> Places {
        let set = |name: &str| env::var_os(name).filter(|value| !value.is_empty());
        let mut directories = Vec::new();
        if let Some(beside) = env::current_exe().ok().as_deref().and_then(Path::parent) {
            directories.extend([beside.to_path_buf(), beside.join("../lib")]);
        }
        let data = data_directory(set("XDG_DATA_HOME"), set("HOME"));
        if let Some(data) = data {
            let ours = data.join("bindscan");
            directories.extend([ours.join("onnxruntime-cuda"), ours.join("onnxruntime")]);
        }
        directories.extend(loader_directories(
            set("LD_LIBRARY_PATH").or_else(|| set("DYLD_LIBRARY_PATH")).as_deref(),
        ));
        Places { named: set("ORT_DYLIB_PATH").map(PathBuf::from), directories }
    }
}

/// The directory of the user's data. A relative `XDG_DATA_HOME` is ignored, as the XDG base directory specification says:
/// what is loaded must not depend on the working directory.
fn data_directory(xdg_data_home: Option<OsString>, home: Option<OsString>) -> Option<PathBuf> {
    let data = xdg_data_home.map(PathBuf::from).filter(|data| data.is_absolute());
    data.or_else(|| home.map(|home| Path::new(&home).join(".local/share")))
}

/// The directories of the loader's path: those of the environment, those configured, and the usual ones.
fn loader_directories(search_path: Option<&OsStr>) -> Vec<PathBuf> {
    let mut directories: Vec<PathBuf> = search_path
        .into_iter()
        .flat_map(env::split_paths)
        .filter(|path| !path.as_os_str().is_empty())
        .collect();
    let configured = fs::read_dir("/etc/ld.so.conf.d").into_iter().flatten().flatten();
    let mut files: Vec<PathBuf> = configured.map(|entry| entry.path()).collect();
    files.sort();
    for text in files.iter().filter_map(|file| fs::read_to_string(file).ok()) {
        directories
            .extend(text.lines().map(str::trim).filter(|line| line.starts_with('/')).map(PathBuf::from));
    }
    let usual = ["/usr/local/lib", "/opt/homebrew/lib", "/lib64", "/usr/lib64", "/lib", "/usr/lib"];
    directories.extend(usual.map(PathBuf::from));
    directories
}

fn find(places: &Places) -> std::result::Result<PathBuf, String> {
    let found = match &places.named {
        Some(named) if named.is_dir() => in_directory(named),
        Some(named) => named.is_file().then(|| named.clone()),
        None => places.directories.iter().find_map(|directory| in_directory(directory)),
    };
    let path = found.ok_or_else(|| match &places.named {
        Some(named) => format!("ORT_DYLIB_PATH names {}, where no library is; {INSTALL}", named.display()),
        None => format!("no library found (a model outside the DeepBind family needs it); {INSTALL}"),
    })?;
    path.canonicalize().map_err(|error| format!("{}: {error}", path.display()))
}

/// The newest ONNX Runtime library in a directory.
fn in_directory(directory: &Path) -> Option<PathBuf> {
    let entries = fs::read_dir(directory).ok()?.flatten();
    let candidates =
        entries.filter_map(|entry| Some((version_in_name(entry.file_name().to_str()?)?, entry.path())));
    candidates.filter(|(_, path)| path.is_file()).max().map(|(_, path)| path)
}

/// Version numbers in a library's file name (`libonnxruntime.so.1.32.0`, `libonnxruntime.1.32.0.dylib`), none for a
/// plain one (`libonnxruntime.so`), `None` for any other file.
fn version_in_name(name: &str) -> Option<Vec<u32>> {
    let rest = name.strip_prefix(consts::DLL_PREFIX)?.strip_prefix("onnxruntime")?;
    let at = rest.find(consts::DLL_SUFFIX)?;
    let (before, after) = (&rest[..at], &rest[at + consts::DLL_SUFFIX.len()..]);
    let digits = before.split('.').chain(after.split('.')).filter(|part| !part.is_empty());
    digits.map(|part| part.parse().ok()).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn name(version: &str) -> String {
        format!("{}onnxruntime{}{version}", consts::DLL_PREFIX, consts::DLL_SUFFIX)
    }

    #[test]
    fn only_the_library_itself_is_taken_for_it() {
        assert_eq!(version_in_name(&name("")), Some(vec![]));
        assert_eq!(version_in_name(&name(".1.32.0")), Some(vec![1, 32, 0]));
        let provider = format!("{}onnxruntime_providers_shared{}", consts::DLL_PREFIX, consts::DLL_SUFFIX);
        for other in [provider, name(".bak"), "onnxruntime.txt".into(), String::new()] {
            assert_eq!(version_in_name(&other), None, "{other}");
        }
    }

    #[test]
    fn a_relative_data_directory_is_ignored() {
        let data = |xdg: &str| data_directory(Some(xdg.into()), Some("/home/u".into())).unwrap();
        assert_eq!(data("/data"), Path::new("/data"));
        assert_eq!(data("data"), Path::new("/home/u/.local/share"));
        assert_eq!(data_directory(Some("data".into()), None), None);
    }

    #[test]
    fn the_newest_of_the_first_directory_that_has_one_is_found() {
        let (empty, full, later) =
            (tempfile::tempdir().unwrap(), tempfile::tempdir().unwrap(), tempfile::tempdir().unwrap());
        for (directory, version) in [(&full, ".1.9.0"), (&full, ".1.32.0"), (&later, ".1.40.0")] {
            fs::write(directory.path().join(name(version)), "").unwrap();
        }
        let directories = [&empty, &full, &later].map(|directory| directory.path().to_path_buf()).to_vec();
        let found = find(&Places { named: None, directories }).unwrap();
        assert_eq!(found, full.path().canonicalize().unwrap().join(name(".1.32.0")));
    }

    #[test]
    fn a_named_library_is_the_only_one_looked_for() {
        let directory = tempfile::tempdir().unwrap();
        fs::write(directory.path().join(name("")), "").unwrap();
        let named = Some(directory.path().join("absent.so"));
        let error = find(&Places { named, directories: vec![directory.path().to_path_buf()] }).unwrap_err();
        assert!(error.contains("absent.so") && error.contains("install-onnxruntime"), "{error}");
        let named = Some(directory.path().to_path_buf());
        assert!(find(&Places { named, directories: vec![] }).unwrap().ends_with(name("")));
    }

    #[test]
    fn a_library_without_its_end_is_noticed() {
        let Ok(own) = fs::read(env::current_exe().unwrap()) else { return };
        let directory = tempfile::tempdir().unwrap();
        let file = directory.path().join("library");
        let cut_short_at = |length: usize| {
            fs::write(&file, &own[..length]).unwrap();
            is_cut_short(&file)
        };
        assert_eq!(cut_short_at(own.len() / 2), cfg!(all(target_os = "linux", target_endian = "little")));
        assert!(!cut_short_at(own.len()));
        assert!(!cut_short_at(0));
    }

    #[test]
    fn without_a_library_the_error_names_the_command() {
        let error = find(&Places::default()).unwrap_err();
        assert!(error.contains("scripts/install-onnxruntime"), "{error}");
        assert!(!error.contains('\n'));
    }
}
