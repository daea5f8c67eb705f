//! Sites as records in memory, for a program that iterates over them.
//!
//! Workers encode a site as they format a line of BED, so that sites in memory come from the same code, and in the same
//! order, as those in files.

use std::ops::Range;
use std::sync::Arc;

use crossbeam_channel::{Receiver, Sender, bounded};

use crate::null::distribution::Origin;
use crate::seq::contig::Strand;
use crate::track::site::{QValue, Site};
use crate::{Error, Result};

/// Batches that may wait for the reader.
const WAITING: usize = 4;

/// A site that a scan found.
#[derive(Debug, Clone, PartialEq)]
#[non_exhaustive]
pub struct SiteRecord {
    /// Name of the contig.
    pub contig: Arc<str>,
    /// First base, 0-based.
    pub start: u64,
    /// One past the last base.
    pub end: u64,
    /// The base at the centre of those that carry the score.
    pub summit: u64,
    /// The bases that the model has scored.
    pub window: Range<u64>,
    /// Rank of the target: an output of a model.
    pub target: usize,
    /// Strand; `None` where both strands have the same score.
    pub strand: Option<Strand>,
    /// The model's score.
    pub score: f32,
    /// Probability of such a score or a higher one in background, if sites are chosen by p-values.
    pub p_value: Option<f64>,
    /// Lowest false discovery rate at which the site is found, if sites are chosen by q-values.
    pub q_value: Option<f64>,
    /// Source of the p-value.
    pub p_source: Option<Origin>,
}

/// Strands by their code in a record.
const STRANDS: [Option<Strand>; 3] = [None, Some(Strand::Forward), Some(Strand::Reverse)];

/// Origins of p-values by their code in a record.
const ORIGINS: [Option<Origin>; 4] =
    [None, Some(Origin::Exact), Some(Origin::Sampled), Some(Origin::Extrapolated)];

/// Appends a site: the length and the bytes of the contig's name, then numbers, little-endian.
pub(super) fn encode(site: &Site<'_>, out: &mut Vec<u8>) {
    let Site { contig, target, hit, significance, .. } = site;
    let span = site.span();
    let strand = (!target.symmetric).then_some(hit.strand);
    let p = significance.map_or(f64::NAN, |known| known.p);
    let q = significance.and_then(|known| known.q).map_or(f64::NAN, |q| match q {
        QValue::Known(q) => q,
        QValue::Later(..) => f64::NAN,
    });
    let origin = significance.map(|known| known.origin);
    out.extend_from_slice(&(contig.name.len() as u32).to_le_bytes());
    out.extend_from_slice(contig.name.as_bytes());
    for number in [span.start, span.end, site.summit(), hit.start, target.window, hit.target as u64] {
        out.extend_from_slice(&number.to_le_bytes());
    }
    out.push(place(&STRANDS, &strand));
    out.extend_from_slice(&hit.score.to_le_bytes());
    out.extend_from_slice(&p.to_le_bytes());
    out.extend_from_slice(&q.to_le_bytes());
    out.push(place(&ORIGINS, &origin));
}

fn place<T: PartialEq>(values: &[T], value: &T) -> u8 {
    values.iter().position(|known| known == value).unwrap_or_default() as u8
}

/// Where a scan writes records.
#[derive(Debug)]
pub struct RecordSink(Sender<Vec<u8>>);

impl RecordSink {
    /// Hands over whole records.
    ///
    /// # Errors
    /// [`Error::Interrupted`] if nobody reads them any more.
    pub(super) fn write(&self, records: &[u8]) -> Result<()> {
        if records.is_empty() {
            return Ok(());
        }
        self.0.send(records.to_vec()).map_err(|_| Error::Interrupted)
    }
}

/// Reads the records that a [`RecordSink`] is given.
#[derive(Debug)]
pub struct Records {
    batches: Receiver<Vec<u8>>,
    batch: Vec<u8>,
    at: usize,
    contig: Arc<str>,
}

/// A sink of records, and what reads them.
pub fn channel() -> (RecordSink, Records) {
    let (sender, batches) = bounded(WAITING);
    (RecordSink(sender), Records { batches, batch: Vec::new(), at: 0, contig: Arc::from("") })
}

impl Records {
    /// The batches that are still to come.
    pub(crate) fn batches(&self) -> &Receiver<Vec<u8>> {
        &self.batches
    }

    /// True if a record is at hand.
    pub(crate) fn has_next(&self) -> bool {
        self.at < self.batch.len()
    }

    /// Takes a batch, once the last one is used up.
    pub(crate) fn put(&mut self, batch: Vec<u8>) {
        (self.batch, self.at) = (batch, 0);
    }

    /// Reads no more: the scan that writes ends with its next record.
    pub(crate) fn close(&mut self) {
        self.batches = crossbeam_channel::never();
    }

    fn bytes<const N: usize>(&mut self) -> [u8; N] {
        let bytes = self.batch[self.at..].first_chunk().expect("records are whole");
        self.at += N;
        *bytes
    }

    fn number(&mut self) -> u64 {
        u64::from_le_bytes(self.bytes())
    }

    fn probability(&mut self) -> Option<f64> {
        Some(f64::from_le_bytes(self.bytes())).filter(|value| !value.is_nan())
    }

    /// Decodes the next record of the batch at hand.
    fn decode(&mut self) -> SiteRecord {
        let length = u32::from_le_bytes(self.bytes()) as usize;
        let name = &self.batch[self.at..self.at + length];
        if self.contig.as_bytes() != name {
            self.contig = String::from_utf8_lossy(name).into();
        }
        self.at += length;
        let (start, end, summit) = (self.number(), self.number(), self.number());
        let (window, length) = (self.number(), self.number());
        let target = self.number() as usize;
        let [strand] = self.bytes();
        let score = f32::from_le_bytes(self.bytes());
        let (p_value, q_value) = (self.probability(), self.probability());
        let [origin] = self.bytes();
        SiteRecord {
            contig: Arc::clone(&self.contig),
            start,
            end,
            summit,
            window: window..window + length,
            target,
            strand: STRANDS[usize::from(strand)],
            score,
            p_value,
            q_value,
            p_source: ORIGINS[usize::from(origin)],
        }
    }
}

impl Iterator for Records {
    type Item = SiteRecord;

    fn next(&mut self) -> Option<SiteRecord> {
        while !self.has_next() {
            let batch = self.batches.recv().ok()?;
            self.put(batch);
        }
        Some(self.decode())
    }
}
