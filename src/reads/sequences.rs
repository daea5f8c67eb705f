//! The sequences of reads alone, one by one.

use std::collections::HashSet;
use std::path::Path;

use crate::Result;
use crate::genome::sequences::Sequence;
use crate::io::input::RawInput;
use crate::reads::record::Read;
use crate::reads::{Batch, ReadFilter, ReadOptions, ReadSource, Skip};

/// Bases read at a time.
const BATCH: usize = 64 << 10;

/// Reads the sequences of a BAM, SAM or CRAM file, as they are stored: in the direction of the reference. Reads need not be
/// aligned; those that [`ReadFilter`] excludes unless it is said otherwise are skipped and counted.
#[derive(Debug)]
pub struct ReadSequences {
    source: ReadSource,
    lengths: Vec<u64>,
    batch: Batch,
    /// Records of the batch that are done.
    done: usize,
    read: Read,
    skipped: [u64; Skip::ALL.len()],
}

impl ReadSequences {
    /// Opens reads; `path` stands for the input in messages. `reference` is that of CRAM, as in [`ReadOptions::reference`].
    ///
    /// # Errors
    /// As [`ReadSource::open`].
    pub fn open(path: &Path, input: RawInput, reference: Option<&Path>) -> Result<ReadSequences> {
        let filter = ReadFilter { unmapped: true, ..ReadFilter::default() };
        let source = ReadSource::open(
            path,
            input,
            ReadOptions {
                filter,
                threads: 1,
                reference: reference.map(Path::to_path_buf),
                ..ReadOptions::default()
            },
        )?;
        Ok(ReadSequences {
            lengths: source.lengths(),
            source,
            batch: Batch::default(),
            done: 0,
            read: Read::default(),
            skipped: [0; Skip::ALL.len()],
        })
    }

    /// The next read, with /1 or /2 behind its name if it is one of a pair; `None` at the end.
    ///
    /// # Errors
    /// Input that cannot be read, is cut short or damaged.
    pub fn read(&mut self) -> Result<Option<Sequence>> {
        let mut codes = Vec::new();
        loop {
            let Some((number, record)) = self.batch.record(self.done) else {
                self.done = 0;
                if !self.source.read_batch(BATCH, &mut self.batch)? {
                    return Ok(None);
                }
                continue;
            };
            self.done += 1;
            let filter = self.source.filter();
            let taken = self.read.take(record, filter, &HashSet::new(), &self.lengths, &mut codes);
            let skip = taken.map_err(|message| self.read.error(self.source.path(), number, &message))?;
            match skip {
                Some(skip) => self.skipped[skip as usize] += 1,
                None => return Ok(Some(Sequence { name: self.read.shown_name(), codes })),
            }
        }
    }

    /// Reads that were skipped so far, in the order of [`Skip::ALL`].
    pub fn skipped(&self) -> &[u64; Skip::ALL.len()] {
        &self.skipped
    }
}
