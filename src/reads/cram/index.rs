//! The index beside a CRAM file: .crai.

use std::ops::Range;
use std::path::Path;

use noodles::cram::crai;

use crate::reads::index;
use crate::{Error, Result};

/// An index: slices, with their contigs, stretches and containers.
pub(crate) struct Index(crai::Index);

impl Index {
    /// Reads the index of the file at `path`: `x.cram.crai` or `x.crai`.
    ///
    /// # Errors
    /// There is none, it cannot be read, or it is older than the file.
    pub(crate) fn beside(file: &Path) -> Result<Index> {
        let path = index::path_beside(file, &["crai"])?;
        crai::fs::read(&path).map(Index).map_err(Error::io(&path, "cannot read the index"))
    }

    /// Places of the containers that hold reads of a region (0-based half-open) of a contig, in their order.
    pub(crate) fn places(&self, contig: usize, region: &Range<u64>) -> Vec<u64> {
        let overlaps = |slice: &&crai::Record| {
            let start = slice.alignment_start().map_or(0, |start| usize::from(start) as u64 - 1);
            let end = start.saturating_add(slice.alignment_span() as u64);
            slice.reference_sequence_id() == Some(contig) && start < region.end && region.start < end
        };
        let mut places: Vec<u64> = self.0.iter().filter(overlaps).map(crai::Record::offset).collect();
        places.sort_unstable();
        places.dedup();
        places
    }
}
