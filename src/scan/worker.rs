//! A worker: scores a chunk with every model, and turns the scores into sites and bins.

use std::ops::Range;
use std::sync::Arc;

use super::statistics::{Sampled, Sampler, Stretch};
use crate::Result;
use crate::engine::scanner::Scanner;
use crate::scan::chunk_hits::{Found, Need};
use crate::scan::{Layout, Overlaps, deferred, sort};
use crate::scores::Hit;
use crate::scores::Scores;
use crate::seq::chunk::Chunk;
use crate::seq::contig::{Contig, Strand};
use crate::sites;
use crate::track::Target;
use crate::track::score::{Encoder, ScorePart};

/// A worker's share of the tracks: one chunk's sites and bins.
#[derive(Default)]
pub(super) struct Part {
    pub(super) contig: Option<Arc<Contig>>,
    pub(super) own: Range<u64>,
    /// Positions whose sites and bins are wanted, and whether the chunk is among them ([`Chunk::kept`]).
    pub(super) kept: Range<u64>,
    pub(super) counts: bool,
    /// Where the segment ends; of its last chunk only.
    pub(super) segment_end: Option<u64>,
    pub(super) first: bool,
    /// Hits left of the settled stretch, to be joined with what the previous chunk left.
    pub(super) head: Vec<Hit>,
    /// Lines of the wanted sites within the settled stretch, a site track each, and the number of sites.
    pub(super) lines: Vec<Vec<u8>>,
    pub(super) sites: u64,
    /// True if there are sites in the settled stretch, wanted or not.
    pub(super) settled: bool,
    /// The sites as a [spool](crate::scan::deferred) holds them: in place of lines if they wait for their q-values, or else beside them if
    /// statistics are wanted.
    pub(super) spooled: Vec<u8>,
    /// The windows of each target that are in the sample of the statistics, if there are any.
    pub(super) sampled: Vec<Sampled>,
    /// How the windows of each target tested, if q-values are wanted.
    pub(super) tests: Vec<Tests>,
    /// Hits right of the settled stretch.
    pub(super) tail: Vec<Hit>,
    /// Codes of the windows of `head` and `tail`, if the bases of sites are wanted.
    pub(super) codes: [Stretch; 2],
    /// Windows of each model, and how many of all are left out.
    pub(super) windows: Vec<u64>,
    pub(super) left_out: u64,
    /// Bins, a score track each.
    pub(super) scores: Vec<ScorePart>,
    pub(super) progress: (u64, Option<u64>),
}

/// A chunk's tests of one target.
#[derive(Debug, Default)]
pub(super) struct Tests {
    /// Scanned strands of windows.
    pub(super) all: u64,
    /// Steps of the null distribution, of those that reach the threshold.
    pub(super) steps: Vec<u32>,
}

impl Tests {
    /// Takes the tests of the windows `kept` in row `row` of `scores`.
    fn take(&mut self, target: &Target, scores: &Scores, row: usize, kept: &[Range<usize>]) {
        let Some(null) = &target.null else { return };
        let strands = [(&scores.forward, Strand::Forward), (&scores.reverse, Strand::Reverse)];
        for ((of_strand, strand), threshold) in strands.into_iter().zip(target.thresholds) {
            if of_strand.is_empty() {
                continue;
            }
            let scores = &of_strand[row * scores.windows..(row + 1) * scores.windows];
            for range in kept {
                self.all += range.len() as u64;
                let reached = scores[range.clone()].iter().filter(|&&score| score >= threshold);
                self.steps.extend(reached.map(|&score| null.step(score, strand) as u32));
            }
        }
    }
}

impl Part {
    fn begin(&mut self, chunk: &Chunk, layout: &Layout<'_>) {
        self.contig = Some(chunk.contig.clone());
        (self.own, self.first) = (chunk.own.clone(), chunk.first);
        (self.kept, self.counts) = (chunk.kept.clone(), chunk.is_kept());
        self.segment_end = chunk.last.then_some(chunk.end);
        (self.sites, self.settled) = (0, false);
        self.spooled.clear();
        self.sampled.clear();
        let tested = if layout.false_discovery_rate.is_some() { layout.targets.len() } else { 0 };
        self.tests.resize_with(tested, Tests::default);
        for tests in &mut self.tests {
            tests.all = 0;
            tests.steps.clear();
        }
        self.windows.clear();
        self.left_out = 0;
        self.head.clear();
        self.tail.clear();
        self.codes.iter_mut().for_each(Stretch::clear);
        self.lines.resize_with(layout.lines.len(), Vec::new);
        self.lines.iter_mut().for_each(Vec::clear);
        self.scores.resize_with(layout.series.len(), ScorePart::default);
        self.scores.iter_mut().for_each(ScorePart::clear);
    }

    /// Takes tests and bins of one target from the windows `kept` in row `row` of `scores`; or else gives the start of a window whose score is NaN.
    fn take(
        &mut self,
        (rank, target): (usize, &Target),
        (scores, row): (&Scores, usize),
        kept: &[Range<usize>],
        chunk: &Chunk,
        layout: &Layout<'_>,
        encoders: &mut [Encoder],
    ) -> Result<(), u64> {
        if let Some(tests) = self.tests.get_mut(rank) {
            tests.take(target, scores, row, kept);
        }
        for (((series, _), encoder), bins) in layout.series.iter().zip(encoders).zip(&mut self.scores) {
            if series.target == rank {
                bins.fill(encoder, series, chunk, (scores, kept), (row, target.window))?;
            }
        }
        Ok(())
    }
}

pub(super) struct Worker<'a> {
    layout: Layout<'a>,
    scanners: Vec<Scanner>,
    /// What the scanner in hand found.
    found: Found,
    /// A score track each.
    encoders: Vec<Encoder>,
    sampler: Sampler,
}

impl<'a> Worker<'a> {
    pub(super) fn new(layout: Layout<'a>, scanners: Vec<Scanner>) -> Worker<'a> {
        let encoders = layout.series.iter().map(|(_, encoding)| Encoder::new(*encoding)).collect();
        let sampler = Sampler::new(&scanners);
        Worker { layout, scanners, found: Found::default(), encoders, sampler }
    }

    /// Scores the windows of `chunk` that belong to the sample of the statistics; so many bases come before it.
    pub(super) fn sample(&mut self, chunk: &Chunk, before: u64, part: &mut Part) -> Result<()> {
        if !self.layout.statistics || !chunk.is_kept() {
            return Ok(());
        }
        self.sampler.sample(&mut self.scanners, self.layout.targets, (chunk, before), &mut part.sampled)
    }

    pub(super) fn targets(&self) -> &'a [Target] {
        self.layout.targets
    }

    pub(super) fn into_scanners(self) -> Vec<Scanner> {
        self.scanners
    }

    pub(super) fn scan(&mut self, chunk: &Chunk, part: &mut Part) -> Result<()> {
        part.begin(chunk, &self.layout);
        let seen =
            if chunk.first { 0 } else { chunk.own.start }..if chunk.last { u64::MAX } else { chunk.own.end };
        let mut settled = 0..u64::MAX;
        let mut sites = Vec::new();
        let layout = self.layout;
        self.find(chunk, part, |rank, found| {
            if layout.overlaps == Overlaps::Keep {
                sites.append(found);
            } else {
                let found = sites::suppress(found, layout.targets[rank].window, &seen);
                settled = settled.start.max(found.settled_from)..settled.end.min(found.settled_to);
                sites.extend(found.hits);
            }
        })?;
        sort(&mut sites);
        if settled.start > settled.end {
            part.head = sites;
            self.keep_codes(chunk, part);
            return Ok(());
        }
        let head = sites.partition_point(|hit| hit.start < settled.start);
        let tail = sites.partition_point(|hit| hit.start < settled.end);
        part.settled = tail > head;
        part.head.extend_from_slice(&sites[..head]);
        part.tail.extend_from_slice(&sites[tail..]);
        self.put(chunk, &sites[head..tail], part);
        self.keep_codes(chunk, part);
        Ok(())
    }

    /// Writes the settled sites that are wanted, or keeps them for the end.
    fn put(&self, chunk: &Chunk, sites: &[Hit], part: &mut Part) {
        let Layout { statistics, codes: shown, .. } = self.layout;
        let spools = self.layout.spools();
        for hit in sites.iter().filter(|hit| chunk.kept.contains(&hit.start)) {
            let from = (hit.start - chunk.start) as usize;
            let codes = &chunk.codes[from..from + self.layout.targets[hit.target].window as usize];
            part.sites += 1;
            if spools || statistics {
                deferred::encode(hit, if shown { codes } else { &[] }, &mut part.spooled);
            }
            if !spools {
                self.layout.write_site(&chunk.contig, hit, codes, None, &mut part.lines);
            }
        }
    }

    /// Scores the chunk with every scanner and hands each target's rank and hits to `take`; bins go into `part`.
    pub(super) fn find(
        &mut self,
        chunk: &Chunk,
        part: &mut Part,
        mut take: impl FnMut(usize, &mut Vec<Hit>),
    ) -> Result<()> {
        let (layout, encoders) = (self.layout, &mut self.encoders);
        let need = Need {
            all: layout.series.iter().any(|(series, _)| series.needs_all()),
            scores: !layout.series.is_empty() || layout.false_discovery_rate.is_some(),
            hits: !layout.lines.is_empty(),
        };
        for (number, scanner) in self.scanners.iter_mut().enumerate() {
            let ranked = layout.targets.iter().enumerate();
            let targets: Vec<_> = ranked.filter(|(_, target)| target.scanner == number).collect();
            scanner.scan(
                chunk,
                &targets,
                need,
                &mut self.found,
                |target, scores, row, kept| part.take(target, (scores, row), kept, chunk, &layout, encoders),
                |start| format!("{}:{}", chunk.contig.name, start + 1),
            )?;
            part.windows.append(&mut self.found.windows);
            part.left_out += self.found.left_out;
            for (rank, target) in targets {
                let found = self.found.hits(target.output);
                found.iter_mut().for_each(|hit| hit.target = rank);
                take(rank, found);
            }
        }
        Ok(())
    }

    fn keep_codes(&self, chunk: &Chunk, part: &mut Part) {
        if self.layout.codes {
            let window = self.layout.longest_window();
            part.codes[0].hold(&part.head, window, chunk);
            part.codes[1].hold(&part.tail, window, chunk);
        }
    }
}
