//! The sequences that filters are shown.

use std::ops::Range;
use std::path::{Path, PathBuf};

use crate::dataset::load;
use crate::dataset::peaks::{PeakOptions, cut_windows};
use crate::dataset::table::TableOptions;
use crate::genome;
use crate::genome::GenomeOptions;
use crate::genome::sequence_source::SequenceSource;
use crate::seq::chunk::{Chunk, ChunkShape};
use crate::{Error, Result};

/// Sequences, held in memory or read anew each time they are gone through.
#[derive(Debug, Clone)]
pub struct Sequences {
    from: From,
    /// Oddities in them, one sentence each.
    pub notes: Vec<String>,
}

#[derive(Debug, Clone)]
enum From {
    Memory(Vec<Vec<u8>>),
    Genome(PathBuf),
}

/// A stretch of sequence.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Piece<'a> {
    pub(crate) codes: &'a [u8],
    /// Places that are this piece's start before this one; what lies behind is there for them to reach into.
    pub(crate) own: usize,
}

/// Bases that are read before they are looked at.
const BATCH: usize = 16 << 20;

impl Sequences {
    /// Reads peaks (BED, narrowPeak) with their genome, or a table of sequences; or checks a genome (FASTA, 2bit), which
    /// is read when it is gone through, unless it comes from standard input.
    ///
    /// # Errors
    /// A file that cannot be read or holds no sequence, and peaks without a genome.
    pub fn open(
        path: &Path,
        genome: Option<&Path>,
        table: &TableOptions,
        peaks: &PeakOptions,
    ) -> Result<Sequences> {
        if load::has_peak_name(path) || genome.is_some() {
            let missing = || Error::format(path, None, "peaks need their genome (--genome)");
            let windows = cut_windows(genome.ok_or_else(missing)?, path, peaks)?;
            let notes = windows.skipped.messages();
            return Ok(Sequences { from: From::Memory(windows.training.peaks), notes });
        }
        // Standard input cannot be read twice.
        let from = if path.as_os_str() != "-" && genome::is_genome(path)? {
            From::Genome(path.to_path_buf())
        } else {
            From::Memory(load::sequences(path, table)?)
        };
        Ok(Sequences { from, notes: Vec::new() })
    }

    /// Goes through all sequences in pieces, many at a time. Sequences longer than `most` are cut; a piece reaches `reach`
    /// bases into the next one.
    pub(crate) fn for_each_batch(
        &self,
        most: usize,
        reach: usize,
        mut visit: impl FnMut(&[Piece<'_>]) -> Result<()>,
    ) -> Result<()> {
        match &self.from {
            From::Memory(all) => {
                let pieces = all.iter().flat_map(|codes| cut(codes, most, reach));
                visit(&pieces.collect::<Vec<_>>())
            }
            From::Genome(path) => {
                let shape = ChunkShape { own: most, left: 0, right: reach, reach };
                let mut source = genome::open(path, &GenomeOptions::default())?.into_chunks(shape);
                let (mut chunks, mut spare) = (Vec::new(), Vec::<Chunk>::new());
                loop {
                    let mut bases = 0;
                    while bases < BATCH {
                        let mut chunk = spare.pop().unwrap_or_default();
                        if !source.read_chunk(&mut chunk)? {
                            break;
                        }
                        bases += chunk.codes.len() + 1;
                        chunks.push(chunk);
                    }
                    if chunks.is_empty() {
                        return Ok(());
                    }
                    let pieces: Vec<Piece<'_>> = chunks.iter().map(piece).collect();
                    visit(&pieces)?;
                    spare.append(&mut chunks);
                }
            }
        }
    }
}

fn piece(chunk: &Chunk) -> Piece<'_> {
    let Range { start, end } = chunk.own;
    let codes = chunk.codes.get((start - chunk.start) as usize..).unwrap_or_default();
    Piece { codes, own: (end - start) as usize }
}

fn cut(codes: &[u8], most: usize, reach: usize) -> impl Iterator<Item = Piece<'_>> {
    (0..codes.len()).step_by(most).map(move |start| {
        let end = start.saturating_add(most).saturating_add(reach).min(codes.len());
        Piece { codes: &codes[start..end], own: most }
    })
}
