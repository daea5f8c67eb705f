//! Scores as numbers in memory, for a program that takes tracks as arrays.
//!
//! Workers encode bins as they encode those of a bigWig; a message is a run of bins of one contig.

use crossbeam_channel::{Receiver, Sender, bounded};

use super::score::TileValues;
use crate::seq::contig::Contig;
use crate::{Error, Result};

/// Messages that may wait for the reader.
const WAITING: usize = 4;

/// Appends bins in runs of neighbours: the first base of the first bin, the number of bins, their values.
pub(super) fn encode(bin: u64, values: TileValues<'_>, out: &mut Vec<u8>) {
    let mut first = 0;
    while first < values.len() {
        let start = values.at(first).start;
        let next = |i: usize| (start / bin + (i - first) as u64) * bin;
        let follows = |&i: &usize| i == first || values.at(i).start == next(i);
        let end = (first..values.len()).take_while(follows).count() + first;
        out.extend_from_slice(&start.to_le_bytes());
        out.extend_from_slice(&((end - first) as u64).to_le_bytes());
        (first..end).for_each(|i| out.extend_from_slice(&values.at(i).value.to_le_bytes()));
        first = end;
    }
}

/// Bins of one track and contig.
#[derive(Debug)]
pub(crate) struct Values {
    /// Rank of the track.
    pub(crate) track: usize,
    /// Rank of the contig.
    pub(crate) contig: usize,
    bytes: Vec<u8>,
}

impl Values {
    /// Calls `each` with every run: the first base of its first bin, and the values.
    pub(crate) fn runs(&self, mut each: impl FnMut(u64, &[[u8; 4]])) {
        let number = |bytes: &[u8]| u64::from_le_bytes(*bytes.first_chunk().expect("runs are whole"));
        let mut rest = self.bytes.as_slice();
        while !rest.is_empty() {
            let (first, count) = (number(rest), number(&rest[8..]) as usize);
            let (values, after) = rest[16..].split_at(4 * count);
            let (values, _) = values.as_chunks();
            each(first, values);
            rest = after;
        }
    }
}

/// Where a scan writes values.
#[derive(Debug)]
pub struct ValueSink {
    track: usize,
    sender: Sender<Values>,
}

impl ValueSink {
    pub(super) fn write(&self, contig: &Contig, bytes: &[u8]) -> Result<()> {
        let values = Values { track: self.track, contig: contig.id, bytes: bytes.to_vec() };
        self.sender.send(values).map_err(|_| Error::Interrupted)
    }
}

/// Sinks of so many tracks, and what reads them.
pub(crate) fn channel(tracks: usize) -> (Vec<ValueSink>, Receiver<Values>) {
    let (sender, receiver) = bounded(WAITING * tracks.max(1));
    let sinks = (0..tracks).map(|track| ValueSink { track, sender: sender.clone() }).collect();
    (sinks, receiver)
}
