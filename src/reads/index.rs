//! The index beside a file of reads.

use std::fs;
use std::ops::Range;
use std::path::{Path, PathBuf};

use crate::io::binning_index::{self, BinningIndex, Stretch};
use crate::{Error, Result};

/// The index of a file of reads: `x.bam.EXTENSION`, or else `x.EXTENSION`, with the first of `extensions` that there is.
///
/// # Errors
/// There is none, or it is older than the file.
pub(crate) fn path_beside(file: &Path, extensions: &[&str]) -> Result<PathBuf> {
    let longer = |extension: &&str| {
        let mut name = file.as_os_str().to_owned();
        name.push(format!(".{extension}"));
        PathBuf::from(name)
    };
    let places = extensions.iter().map(longer);
    let mut places = places.chain(extensions.iter().map(|extension| file.with_extension(extension)));
    let Some(path) = places.find(|path| path.exists()) else {
        let message = "regions need an index, and none is beside the file; make one with samtools index";
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

/// The index of a BAM file, and its path.
pub(crate) struct Index {
    path: PathBuf,
    index: BinningIndex,
}

impl Index {
    /// Reads the index of the file at `path`: the first that exists of `x.bam.csi`, `x.bam.bai`, `x.csi` and `x.bai`.
    ///
    /// # Errors
    /// There is none, it cannot be read, is damaged, or is older than the file.
    pub(crate) fn beside(file: &Path) -> Result<Index> {
        let path = path_beside(file, &["csi", "bai"])?;
        let index = BinningIndex::read(&path).map_err(Error::io(&path, "cannot read the index"))?;
        let damaged = || Error::format(&path, None, "the index is damaged; renew it with samtools index");
        let index = index.ok_or_else(damaged)?;
        Ok(Index { path, index })
    }

    /// Stretches of the file that contain the reads of a region (0-based half-open) of a contig, in order.
    ///
    /// # Errors
    /// The index does not have the contig.
    pub(crate) fn stretches(&self, contig: usize, region: &Range<u64>) -> Result<Vec<Stretch>> {
        if !self.index.has_contig(contig) {
            let message = "the index does not have all contigs of the file; renew it with samtools index";
            return Err(Error::format(&self.path, None, message));
        }
        let mut stretches = Vec::new();
        if !region.is_empty() {
            self.index.stretches(contig, std::slice::from_ref(region), &mut stretches);
            binning_index::join(&mut stretches);
        }
        Ok(stretches)
    }
}
