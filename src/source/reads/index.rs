//! The index beside a file of reads.

use std::fs;
use std::ops::Range;
use std::path::{Path, PathBuf};

use noodles::core::Position;
use noodles::core::region::Interval;
use noodles::csi::BinningIndex;
use noodles::csi::binning_index::index::reference_sequence::bin::Chunk;
use noodles::{bam, csi};

use crate::{Error, Result};

/// The index of a file of reads: `x.bam.EXTENSION`, or else `x.EXTENSION`, with the first of `extensions` that there is.
///
/// # Errors
/// There is none, or it is older than the file.
pub(super) fn path_beside(file: &Path, extensions: &[&str]) -> Result<PathBuf> {
    let longer = |extension: &&str| {
        let mut name = file.as_os_str().to_owned();
        name.push(format!(".{extension}"));
        PathBuf::from(name)
    };
    let places = extensions.iter().map(longer);
    let mut places = places.chain(extensions.iter().map(|extension| file.with_extension(extension)));
    let Some(path) = places.find(|path| path.exists()) else {
        let message = "regions need an index, and there is none beside it; make it with samtools index";
        return Err(Error::format(file, None, message));
    };
    let modified = |path: &Path| {
        let modified = fs::metadata(path).and_then(|metadata| metadata.modified());
        modified.map_err(Error::io(path, "cannot read"))
    };
    if modified(&path)? < modified(file)? {
        let message =
            "the index is older than the file; renew it with samtools index, or touch it if it is right";
        return Err(Error::format(&path, None, message));
    }
    Ok(path)
}

/// The index of a BAM file, and where it was found.
pub(super) struct Index {
    path: PathBuf,
    index: Box<dyn BinningIndex + Send>,
}

impl Index {
    /// Reads the index of the file at `path`: `x.bam.csi`, `x.bam.bai`, `x.csi` or `x.bai`, the first there is.
    ///
    /// # Errors
    /// There is none, it cannot be read, or it is older than the file.
    pub(super) fn beside(file: &Path) -> Result<Index> {
        let path = path_beside(file, &["csi", "bai"])?;
        let csi = path.extension().is_some_and(|extension| extension == "csi");
        let index: std::io::Result<Box<dyn BinningIndex + Send>> = if csi {
            csi::fs::read(&path).map(|index| Box::new(index) as _)
        } else {
            bam::bai::fs::read(&path).map(|index| Box::new(index) as _)
        };
        let index = index.map_err(Error::io(&path, "cannot read the index"))?;
        Ok(Index { path, index })
    }

    /// Stretches of the file that hold the reads of a region (0-based half-open) of a contig.
    ///
    /// # Errors
    /// The index is damaged, or of another file.
    pub(super) fn chunks(&self, contig: usize, region: &Range<u64>) -> Result<Vec<Chunk>> {
        if region.is_empty() {
            return Ok(Vec::new());
        }
        let position = |at: u64| usize::try_from(at).ok().and_then(Position::new);
        let interval = position(region.start + 1).zip(position(region.end));
        let interval = interval.map(|(first, last)| Interval::from(first..=last));
        let Some(interval) = interval else { return Ok(Vec::new()) };
        self.index.query(contig, interval).map_err(Error::io(&self.path, "cannot look up a region"))
    }
}
