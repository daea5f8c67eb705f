//! A value for each base.

use std::sync::Arc;

use super::{BigWigSink, Encoder};
use crate::Result;
use crate::io::bbi::LEVEL;
use crate::io::deflate::Deflater;
use crate::io::output::{Output, Sealed};
use crate::seq::contig::Contig;
use crate::track::score::{Encoded, TILE, TileValues};

/// A bigWig of values of single bases, in the order of the contigs.
#[derive(Debug)]
pub struct BaseSink {
    sink: BigWigSink,
    encoder: Encoder,
    deflater: Deflater,
    encoded: Encoded,
    /// The values that are not written yet, of consecutive bases of this contig from this one on.
    waiting: Option<(Arc<Contig>, u64, Vec<f32>)>,
}

impl BaseSink {
    /// Writes to `output`, with comments as [`BigWigSink::new`] has them.
    ///
    /// # Errors
    /// An output that cannot be written, or is no file.
    pub fn new(output: Output, comments: &str) -> Result<BaseSink> {
        let sink = BigWigSink::new(output, 1, comments)?;
        let (encoder, encoded, deflater) = (Encoder::default(), Encoded::default(), Deflater::new(LEVEL));
        Ok(BaseSink { sink, encoder, deflater, encoded, waiting: None })
    }

    /// Appends the values of consecutive bases from `start` on. Contigs come in the order of their ids, bases in that of
    /// their positions.
    ///
    /// # Errors
    /// An output that cannot be written; a contig too long for the format.
    pub fn write(&mut self, contig: &Arc<Contig>, start: u64, values: &[f32]) -> Result<()> {
        for (&value, start) in values.iter().zip(start..) {
            let follows = self.waiting.as_ref().is_some_and(|(current, from, waiting)| {
                let waiting = waiting.len() as u64;
                current.id == contig.id && from + waiting == start && waiting < TILE
            });
            if !follows {
                self.flush()?;
            }
            let (.., waiting) = self.waiting.get_or_insert_with(|| (Arc::clone(contig), start, Vec::new()));
            waiting.push(value);
        }
        Ok(())
    }

    fn flush(&mut self) -> Result<()> {
        let Some((contig, start, values)) = self.waiting.take() else { return Ok(()) };
        self.encoded.clear();
        let values = TileValues::Steps { start, step: 1, values: &values };
        self.encoder.encode(&contig, 1, values, &mut self.deflater, &mut self.encoded);
        self.sink.write(&contig, &self.encoded)
    }

    /// Writes what is left; `contigs` are all there are, in their order.
    ///
    /// # Errors
    /// As [`BaseSink::write`].
    pub fn seal(mut self, contigs: &[Arc<Contig>]) -> Result<Sealed> {
        self.flush()?;
        self.sink.seal(contigs)
    }
}
