//! Sources of sequence: contigs cut into chunks of codes.

use crate::seq::chunk::Chunk;
use std::sync::Arc;

use serde::{Deserialize, Serialize};

use crate::Result;
use crate::seq::contig::Contig;

/// Position up to which a genome, or a shard of it, has been read.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Place {
    /// Segments (contigs, or regions of them) that are done.
    pub segments: u64,
    /// First window start that is not done of the next one, if some of it is.
    pub position: Option<u64>,
}

/// A genome, read in order.
pub trait SequenceSource: Send {
    /// All contigs where the source is indexed; on a stream those met so far, with the lengths of those that have ended.
    fn contigs(&self) -> &[Arc<Contig>];

    /// Fills `chunk` with the next one; `false` at the end. Chunks come in input order, segments sorted within a
    /// contig. A segment with no bases still gives one (empty) chunk, so that it can be counted.
    ///
    /// # Errors
    /// Unreadable or malformed input.
    fn read_chunk(&mut self, chunk: &mut Chunk) -> Result<bool>;

    /// Reads on to the end of the contig in hand, so that its length is known ([`SequenceSource::contigs`]).
    ///
    /// # Errors
    /// As [`SequenceSource::read_chunk`].
    fn end_contig(&mut self) -> Result<()>;

    /// Input consumed so far and in all (`None` if unknown), in bytes or bases: for progress only.
    fn progress(&self) -> (u64, Option<u64>);
}
