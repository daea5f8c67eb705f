//! Fits under way, kept in a file so that an interrupted training can go on.
//!
//! The file is a line of JSON, and then the numbers of each fit as little-endian f32.

use std::path::Path;

use serde::{Deserialize, Serialize};

use crate::Result;
use crate::io::output::Output;
use crate::train::layers::fit::Course;
use crate::train::trainer::{not_a_state, other_run, read_state};

/// A fit as it stood after its last epoch.
#[derive(Debug, Clone, Default)]
pub(crate) struct Standing {
    pub(crate) course: Course,
    pub(crate) memory: Vec<f32>,
}

#[derive(Debug, Serialize, Deserialize)]
struct Header {
    format: u32,
    /// Digest of everything that determines the outcome.
    run: String,
    fits: Vec<(Course, usize)>,
}

const FORMAT: u32 = 1;

/// Reads the states of the `fits` fits of this run; `None` for each where there is no file.
///
/// # Errors
/// A file that cannot be read, is no such file, or belongs to another run.
pub(crate) fn read(path: &Path, run: &str, fits: usize) -> Result<Vec<Option<Standing>>> {
    let Some(bytes) = read_state(path)? else { return Ok(vec![None; fits]) };
    let unreadable = || not_a_state(path, "");
    let end = bytes.iter().position(|&byte| byte == b'\n').ok_or_else(unreadable)?;
    let header: Header = serde_json::from_slice(&bytes[..end]).map_err(|_| unreadable())?;
    if header.format != FORMAT || header.run != run || header.fits.len() != fits {
        return Err(other_run(path));
    }
    let mut rest = &bytes[end + 1..];
    let mut all = Vec::with_capacity(fits);
    for (course, count) in header.fits {
        let (own, others) =
            count.checked_mul(4).and_then(|length| rest.split_at_checked(length)).ok_or_else(unreadable)?;
        rest = others;
        let memory = own.as_chunks::<4>().0.iter().map(|&bytes| f32::from_le_bytes(bytes)).collect();
        all.push((!course.epochs.is_empty()).then_some(Standing { course, memory }));
    }
    if rest.is_empty() { Ok(all) } else { Err(unreadable()) }
}

/// Writes the file; it is whole at any time.
///
/// # Errors
/// A place that cannot be written.
pub(crate) fn write(path: &Path, run: &str, fits: &[Option<Standing>]) -> Result<()> {
    let entry = |fit: &Option<Standing>| {
        fit.as_ref().map_or_else(Default::default, |fit| (fit.course.clone(), fit.memory.len()))
    };
    let header = Header { format: FORMAT, run: run.to_owned(), fits: fits.iter().map(entry).collect() };
    let mut file = Output::create(path)?;
    file.write(serde_json::json!(header).to_string().as_bytes())?;
    file.write(b"\n")?;
    for fit in fits.iter().flatten() {
        let bytes: Vec<u8> = fit.memory.iter().flat_map(|x| x.to_le_bytes()).collect();
        file.write(&bytes)?;
    }
    file.finish()
}
