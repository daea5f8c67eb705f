//! Reading the regions of compressed calls with the index beside them.

use std::fs::{self, File};
use std::io::{self, BufRead, Read};
use std::path::{Path, PathBuf};
use std::vec::IntoIter;

use noodles::bgzf;
use noodles::bgzf::VirtualPosition;

use crate::io::binning_index::{self, BinningIndex, Stretch};
use crate::{Error, Result};

/// Reads the index beside a file; `None` without one that can be used, for a reason that is logged.
pub(crate) fn index_beside(file: &Path, extensions: &[&str]) -> Option<BinningIndex> {
    let place = |extension: &&str| {
        let mut name = file.as_os_str().to_owned();
        name.push(format!(".{extension}"));
        PathBuf::from(name)
    };
    let Some(path) = extensions.iter().map(place).find(|path| path.exists()) else {
        log::info!("{}: has no index beside it; all of it is read", file.display());
        return None;
    };
    let modified = |path: &Path| fs::metadata(path).and_then(|metadata| metadata.modified()).ok();
    let ignored = |why: &str| {
        log::warn!("{}: {why}, and is not used; all of {} is read", path.display(), file.display());
        None
    };
    if modified(&path) < modified(file) {
        return ignored("is older than the file");
    }
    match BinningIndex::read(&path) {
        Ok(Some(index)) => Some(index),
        Ok(None) => ignored("is damaged, or no index of calls"),
        Err(error) => ignored(&format!("cannot be read ({error})")),
    }
}

/// Text of some stretches of a BGZF file.
pub(crate) struct Stretches {
    reader: bgzf::io::Reader<File>,
    left: IntoIter<Stretch>,
    end: u64,
    /// Compressed bytes of the stretches that are done, and of all.
    done: u64,
    total: u64,
}

impl Stretches {
    /// The text of `stretches`, in the order of the file; none of it twice.
    pub(crate) fn open(path: &Path, mut stretches: Vec<Stretch>) -> Result<Stretches> {
        let file = File::open(path).map_err(Error::io(path, "cannot open"))?;
        binning_index::join(&mut stretches);
        let total = stretches.iter().map(compressed).sum();
        let left = stretches.into_iter();
        Ok(Stretches { reader: bgzf::io::Reader::new(file), left, end: 0, done: 0, total })
    }

    /// Goes to the next record's place; `false` after the last.
    pub(crate) fn go_on(&mut self) -> io::Result<bool> {
        // The end of a block is the start of the next one.
        while self.reader.fill_buf()?.is_empty() || u64::from(self.reader.virtual_position()) >= self.end {
            let Some(next) = self.left.next() else { return Ok(false) };
            self.reader.seek(VirtualPosition::from(next.start))?;
            self.done += compressed(&next);
            self.end = next.end;
        }
        Ok(true)
    }

    /// Bytes read, and in all.
    pub(crate) fn progress(&self) -> (u64, Option<u64>) {
        (self.done, Some(self.total))
    }
}

fn compressed(stretch: &Stretch) -> u64 {
    (stretch.end >> 16).saturating_sub(stretch.start >> 16)
}

impl Read for Stretches {
    fn read(&mut self, out: &mut [u8]) -> io::Result<usize> {
        self.reader.read(out)
    }
}

impl BufRead for Stretches {
    fn fill_buf(&mut self) -> io::Result<&[u8]> {
        self.reader.fill_buf()
    }

    fn consume(&mut self, amount: usize) {
        self.reader.consume(amount);
    }
}
