//! A worker: scores a chunk with every model, and turns the scores into sites and bins.

use std::ops::Range;
use std::sync::Arc;

use super::statistics::{Sampled, Sampler, Stretch};
use crate::Result;
use crate::engine::scanner::{Scanner, Scanners};
use crate::scan::chunk_hits::{Found, Need};
use crate::scan::{Layout, Overlaps, deferred};
use crate::scores::Hit;
use crate::scores::Scores;
use crate::seq::chunk::Chunk;
use crate::seq::contig::Contig;
use crate::sites::core::{Core, CoreSource, Located, Locator};
use crate::track::Target;
use crate::track::score::{Encoders, ScorePart};

/// A worker's share of the tracks: one chunk's sites and bins.
#[derive(Default)]
pub(super) struct Part {
    pub(super) contig: Option<Arc<Contig>>,
    pub(super) own: Range<u64>,
    /// Positions whose sites and bins are wanted, and whether the chunk is among them ([`Chunk::kept`]).
    pub(super) kept: Range<u64>,
    pub(super) counts: bool,
    /// End of the segment; of its last chunk only.
    pub(super) segment_end: Option<u64>,
    pub(super) first: bool,
    /// Hits left of the settled stretch, which are decided together with those that the previous chunk left, and sites whose
    /// lines come between these.
    pub(super) head: Vec<Located>,
    /// Lines of the wanted sites within the settled stretch, a site track each, and the number of sites.
    pub(super) lines: Vec<Vec<u8>>,
    pub(super) sites: u64,
    /// True if sites of the settled stretch have their place behind all of `head`, wanted or not.
    pub(super) settled: bool,
    /// The sites as a [spool](crate::scan::deferred) holds them: in place of lines if they wait for their q-values, or else
    /// beside them if statistics are wanted.
    pub(super) spooled: Vec<u8>,
    /// The windows of each target that are in the sample of the statistics, if there are any.
    pub(super) sampled: Vec<Sampled>,
    /// Counts of tests of each target, if q-values are asked for.
    pub(super) tests: Vec<Tests>,
    /// Hits right of the settled stretch, and sites whose lines may stand among theirs.
    pub(super) tail: Vec<Located>,
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
    /// Windows.
    pub(super) all: u64,
    /// Steps of the null distribution, of the sites that are wanted.
    pub(super) steps: Vec<u32>,
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

    /// Takes the bins of one target from the windows `kept` in row `row` of `scores`; or else gives the start of a window
    /// whose score is NaN.
    fn take(
        &mut self,
        (rank, target): (usize, &Target),
        (scores, row): (&Scores, usize),
        kept: &[Range<usize>],
        chunk: &Chunk,
        layout: &Layout<'_>,
        encoders: &mut Encoders,
    ) -> Result<(), u64> {
        for ((series, encoding), bins) in layout.series.iter().zip(&mut self.scores) {
            if series.target == rank {
                bins.fill(encoders, (series, *encoding), chunk, (scores, kept), (row, target.window))?;
            }
        }
        Ok(())
    }
}

pub(super) struct Worker<'a> {
    layout: Layout<'a>,
    scanners: Scanners,
    /// Hits of the current scanner.
    found: Found,
    encoders: Encoders,
    sampler: Sampler,
    locator: Locator,
}

impl<'a> Worker<'a> {
    pub(super) fn new(layout: Layout<'a>, scanners: Scanners) -> Worker<'a> {
        let (encoders, sampler) = (Encoders::default(), Sampler::new(&scanners));
        Worker { layout, scanners, found: Found::default(), encoders, sampler, locator: Locator::default() }
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

    /// The distance of a hit's summit from the middle of its window in `chunk`.
    pub(super) fn off_centre(&mut self, rank: usize, chunk: &Chunk, hit: &Hit) -> Result<u64> {
        let target = &self.layout.targets[rank];
        let scanner = self.scanners[target.scanner].as_mut();
        let mut finder = self.locator.begin(&target.cores, scanner, target.output, chunk);
        let distance = finder.off_centre(hit);
        finder.finish().map(|()| distance)
    }

    pub(super) fn into_scanners(self) -> Scanners {
        self.scanners
    }

    pub(super) fn scan(&mut self, chunk: &Chunk, part: &mut Part) -> Result<()> {
        part.begin(chunk, &self.layout);
        let seen =
            if chunk.first { 0 } else { chunk.own.start }..if chunk.last { u64::MAX } else { chunk.own.end };
        let mut settled = 0..u64::MAX;
        let mut sites = Vec::new();
        let layout = self.layout;
        let spreads = layout.shows_spread();
        let mut locator = std::mem::take(&mut self.locator);
        self.find(chunk, part, |rank, scanner, found| {
            let target = &layout.targets[rank];
            if layout.overlaps == Overlaps::Keep {
                let core = Core::whole(target.window);
                let mut finder = locator.begin(&CoreSource::Window, scanner, target.output, chunk);
                let mut spread = |hit: &Hit| if spreads { finder.spread(hit) } else { f32::NAN };
                sites.extend(found.drain(..).map(|hit| Located { hit, core, spread: spread(&hit) }));
                return finder.finish();
            }
            let mut finder = locator.begin(&target.cores, scanner, target.output, chunk);
            let found = target.suppress(found, &seen, |i| finder.off_centre(&found[i]));
            settled = settled.start.max(found.settled_from)..settled.end.min(found.settled_to);
            for hit in found.hits {
                let (core, spread) =
                    (finder.core(&hit), if spreads { finder.spread(&hit) } else { f32::NAN });
                sites.push(Located { hit, core, spread });
            }
            finder.finish()
        })?;
        self.locator = locator;
        self.layout.sort(&mut sites);
        // A hit with a longer window may wait from before a short chunk until after it. Where all hits are kept, none waits.
        let is_short = chunk.own.end - chunk.own.start < layout.most_seen();
        let may_wait = layout.overlaps == Overlaps::Suppress && layout.targets.len() > 1;
        if settled.start > settled.end || (may_wait && is_short && !chunk.first) {
            part.head = sites;
        } else {
            self.split(chunk, settled, sites, part);
        }
        part.head.sort_unstable_by_key(Located::place);
        part.tail.sort_unstable_by_key(Located::place);
        self.keep_codes(chunk, part);
        Ok(())
    }

    /// Puts settled sites, in the order of their lines, where they belong: into lines as far as no line of an earlier or a
    /// later chunk can stand among theirs.
    fn split(&self, chunk: &Chunk, settled: Range<u64>, sites: Vec<Located>, part: &mut Part) {
        let (early, late) = self.layout.line_starts();
        // Lines of what was found before begin less than this behind here.
        let from = if late > 0 { settled.start.max(chunk.own.start).saturating_add(late) } else { 0 };
        // Lines of what is found later begin here or behind.
        let to = if late > 0 { settled.end.saturating_sub(early) } else { u64::MAX };
        let mut lines = Vec::new();
        for site in sites {
            let begin = self.layout.begin(&site);
            if site.hit.start < settled.start || (site.hit.start < settled.end && begin < from) {
                part.head.push(site);
            } else if site.hit.start >= settled.end || begin >= to {
                part.tail.push(site);
            } else {
                lines.push(site);
            }
        }
        part.settled = !lines.is_empty();
        self.put(chunk, &lines, part);
    }

    /// Writes the settled sites that are wanted, or keeps them for the end.
    fn put(&self, chunk: &Chunk, sites: &[Located], part: &mut Part) {
        let Layout { statistics, codes: shown, .. } = self.layout;
        let spools = self.layout.spools();
        let mut codes = Vec::new();
        let kept = |site: &Located| chunk.kept.contains(&self.layout.begin(site));
        for (site, known) in sites.iter().zip(self.layout.significances(sites)) {
            if !kept(site) {
                continue;
            }
            let (step, significance) = known.unzip();
            if shown {
                let target = &self.layout.targets[site.hit.target];
                codes.clear();
                chunk.codes_at(target.frame_of(&site.hit), target.seen() as usize, &mut codes);
            }
            part.sites += 1;
            if let Some((step, tests)) = step.zip(part.tests.get_mut(site.hit.target)) {
                tests.steps.push(step);
            }
            if spools || statistics {
                deferred::encode(site, step, &codes, &mut part.spooled);
            }
            if !spools {
                self.layout.write_site(&chunk.contig, site, &codes, significance, &mut part.lines);
            }
        }
    }

    /// Scores the chunk with every scanner and hands each target's rank, its scanner and its hits to `take`; bins go into
    /// `part`.
    pub(super) fn find(
        &mut self,
        chunk: &Chunk,
        part: &mut Part,
        mut take: impl FnMut(usize, &mut dyn Scanner, &mut Vec<Hit>) -> Result<()>,
    ) -> Result<()> {
        let (layout, encoders) = (self.layout, &mut self.encoders);
        let need = Need {
            all: layout.series.iter().any(|(series, _)| series.needs_all()),
            scores: !layout.series.is_empty(),
            hits: !layout.lines.is_empty(),
        };
        for (number, scanner) in self.scanners.iter_mut().enumerate() {
            let ranked = layout.targets.iter().enumerate();
            let targets: Vec<_> = ranked.filter(|(_, target)| target.scanner == number).collect();
            self.found.scan(
                scanner.as_mut(),
                chunk,
                &targets,
                need,
                |target, scores, row, kept| part.take(target, (scores, row), kept, chunk, &layout, encoders),
                |start| format!("{}:{}", chunk.contig.name, start + 1),
            )?;
            part.windows.append(&mut self.found.windows);
            part.left_out += self.found.left_out;
            for (rank, target) in targets {
                if let Some(tests) = part.tests.get_mut(rank) {
                    tests.all += self.found.tested[target.output];
                }
                let found = self.found.hits(target.output);
                found.iter_mut().for_each(|hit| hit.target = rank);
                take(rank, scanner.as_mut(), found)?;
            }
        }
        Ok(())
    }

    fn keep_codes(&self, chunk: &Chunk, part: &mut Part) {
        if self.layout.codes {
            part.codes[0].hold(&part.head, self.layout.targets, chunk);
            part.codes[1].hold(&part.tail, self.layout.targets, chunk);
        }
    }
}
