//! Writer of the workers' parts, in input order.

use std::ops::Range;
use std::sync::Arc;
use std::time::{Duration, Instant};

use super::journal::{self, Counts, Journal, State};
use super::statistics::{self, Statistics, Stretch};
use super::worker::Part;
use super::{Layout, NAMES_KEPT, ScanSummary};
use crate::Result;
use crate::genome::sequence_source::Place;
use crate::io::output::Sealed;
use crate::null::fdr::{ShardTests, TestCounts};
use crate::scan::deferred;
use crate::scan::deferred::{Entry, Spool};
use crate::scores::Hit;
use crate::seq::contig::Contig;
use crate::sites::core::{Core, Located};
use crate::track::Target;
use crate::track::score::{Encoders, ScoreWriter};
use crate::track::site::{QValue, Significance, SiteSink};

/// Bytes of lines that are written at a time in the end.
const LINES_TOGETHER: usize = 64 << 10;

/// Lines do not wait longer for others before they are passed on, whenever a chunk is done: the first ones not at all.
const PATIENCE: Duration = Duration::from_millis(50);

/// Larger than any count or position of a scan: numbers in a journal that are larger are damaged.
const MOST: u64 = 1 << 60;

pub(super) struct Writer<'a> {
    layout: Layout<'a>,
    sinks: Vec<SiteSink>,
    scores: Vec<ScoreWriter>,
    encoders: Encoders,
    /// Hits of the current segment that wait for the next chunk.
    pending: Vec<Located>,
    /// Codes of their windows, if the bases of sites are wanted.
    codes: Vec<Stretch>,
    /// The contig in hand, if statistics are wanted, and the bases scanned of it so far.
    contig: Option<(Arc<Contig>, u64)>,
    /// Windows of the current segment so far, by model.
    windows: Vec<u64>,
    /// True if the segment is counted by this shard.
    counts: bool,
    lines: Vec<Vec<u8>>,
    journal: Option<Journal>,
    place: Place,
    /// Sites that wait for their q-values.
    spool: Option<Spool>,
    /// Statistics, if they are wanted, and the bytes of codes that a site of each target has: all that its score depends on, or none.
    statistics: Option<Statistics>,
    coded: Vec<usize>,
    encoded: Vec<u8>,
    /// When lines were last passed on.
    passed_on: Option<Instant>,
    pub(super) summary: ScanSummary,
}

impl<'a> Writer<'a> {
    /// A writer to the site tracks' `sinks`, in the order of the layout, and to `scores`.
    ///
    /// With a journal, it goes on from where that ends.
    ///
    /// # Errors
    /// A journal that cannot be read, an output that cannot be written.
    pub(super) fn new(
        layout: Layout<'a>,
        sinks: Vec<SiteSink>,
        scores: Vec<ScoreWriter>,
        statistics: Option<Statistics>,
        journal: Option<Journal>,
    ) -> Result<Writer<'a>> {
        let coded = |target: &Target| if layout.codes { target.seen() as usize } else { 0 };
        let tested = if layout.false_discovery_rate.is_some() { layout.targets.len() } else { 0 };
        let tests = vec![TestCounts::default(); tested];
        let mut writer = Writer {
            layout,
            lines: vec![Vec::new(); sinks.len()],
            sinks,
            scores,
            encoders: Encoders::default(),
            pending: Vec::new(),
            codes: Vec::new(),
            contig: None,
            windows: Vec::new(),
            counts: true,
            journal: None,
            place: Place::default(),
            spool: layout.spools().then(Spool::new),
            coded: layout.targets.iter().map(coded).collect(),
            statistics,
            encoded: Vec::new(),
            passed_on: None,
            summary: ScanSummary { tests, ..ScanSummary::default() },
        };
        if let Some(mut journal) = journal {
            let damaged = journal.damaged();
            let state = journal.replay(|entry| match entry {
                journal::Entry::Lines(track, lines) => {
                    writer.sinks.get_mut(track).ok_or_else(&damaged)?.write(&lines)
                }
                journal::Entry::Scores(track, contig, encoded) => {
                    writer.scores.get_mut(track).ok_or_else(&damaged)?.rewrite(&contig, &encoded)
                }
                journal::Entry::Sites(contig, sites) => {
                    if !deferred::are_sites(&sites, &writer.coded) {
                        return Err(damaged());
                    }
                    writer.take_sites(&contig, &sites)
                }
                journal::Entry::End(contig, bases) => {
                    writer.take_end(&contig, bases);
                    Ok(())
                }
                journal::Entry::Sample(sampled) => {
                    writer.statistics.iter_mut().for_each(|statistics| statistics.add_sample(&sampled));
                    Ok(())
                }
            })?;
            if let Some(state) = state {
                if !writer.fits(&state) {
                    return Err(damaged());
                }
                writer.restore(state);
            }
            writer.journal = Some(journal);
        }
        Ok(writer)
    }

    /// True if a state that was read is one of this scan: what is put into it again can be worked with.
    fn fits(&self, state: &State) -> bool {
        let targets = self.layout.targets;
        let is_site = |site: Located| {
            let target = &targets[site.hit.target];
            let Core { start, end, summit } = site.core;
            site.hit.start < MOST
                && start <= end
                && i64::from(start.min(summit)) >= -(target.flanks.0 as i64)
                && i64::from(end.max(summit)) <= (target.window + target.flanks.1) as i64
        };
        let is_of_target = |(target, tests): (&Target, &TestCounts)| {
            let steps = target.null.as_ref().map_or(0, |null| null.steps());
            let counts = tests.counts();
            counts.len() <= steps && counts.iter().chain([&tests.tests]).all(|&count| count < MOST)
        };
        let Counts { bases, windows, left_out, sites, segments, short_segments, .. } = state.summary;
        let counts = [bases, windows, left_out, sites, segments, short_segments, state.place.segments];
        deferred::are_sites(&state.pending, &vec![0; targets.len()])
            && state.sites(targets.len()).into_iter().all(is_site)
            && (state.pending.is_empty() || !self.layout.codes || !state.codes.is_empty())
            && state.scores.len() == self.scores.len()
            && self.scores.iter().zip(&state.scores).all(|(writer, state)| writer.fits(state))
            && state.tests.len() == self.summary.tests.len()
            && targets.iter().zip(&state.tests).all(is_of_target)
            && counts.iter().chain(&state.windows).all(|&count| count < MOST)
            && state.contig.as_ref().is_none_or(|(_, _, _, bases)| *bases < MOST)
    }

    fn restore(&mut self, mut state: State) {
        self.pending = state.sites(self.layout.targets.len());
        (self.place, self.windows, self.counts) = (state.place, state.windows, state.counts);
        self.scores.iter_mut().zip(state.scores.drain(..)).for_each(|(writer, state)| writer.restore(state));
        self.codes = std::mem::take(&mut state.codes);
        self.contig = state
            .contig
            .take()
            .map(|(id, name, length, bases)| (Arc::new(Contig { id, name, length }), bases));
        let Counts { bases, windows, left_out, sites, segments, short_segments, short_names } = state.summary;
        let (rest, tests) = (std::mem::take(&mut self.summary), state.tests);
        self.summary = ScanSummary {
            bases,
            windows,
            left_out,
            sites,
            segments,
            short_segments,
            short_names,
            tests,
            ..rest
        };
    }

    fn state(&self) -> State {
        let ScanSummary { bases, windows, left_out, sites, segments, short_segments, .. } = self.summary;
        let short_names = self.summary.short_names.clone();
        let mut state = State {
            place: self.place,
            windows: self.windows.clone(),
            counts: self.counts,
            scores: self.scores.iter().map(ScoreWriter::state).collect(),
            tests: self.summary.tests.clone(),
            contig: self
                .contig
                .as_ref()
                .map(|(contig, bases)| (contig.id, contig.name.clone(), contig.length, *bases)),
            codes: self.codes.clone(),
            summary: Counts { bases, windows, left_out, sites, segments, short_segments, short_names },
            ..State::default()
        };
        state.hold(&self.pending);
        state
    }

    /// Saves where the scan stands, if it is time to.
    fn save(&mut self) -> Result<()> {
        let Some(mut journal) = self.journal.take_if(|journal| journal.is_due()) else { return Ok(()) };
        let saved = journal.save(self.state());
        self.journal = Some(journal);
        saved
    }

    pub(super) fn write(&mut self, part: &mut Part) -> Result<()> {
        let contig = part.contig.take().expect("a worker sets the contig");
        let last = part.segment_end.is_some();
        let seen = if last { u64::MAX } else { part.own.end };
        if self.layout.statistics && part.counts {
            self.count_bases(&contig, part.own.end - part.own.start)?;
        }
        self.hold(&part.codes[0]);
        if let (false, Some(statistics)) = (part.sampled.is_empty(), &mut self.statistics) {
            self.journal.iter_mut().try_for_each(|journal| journal.sample(&part.sampled))?;
            statistics.add_sample(&part.sampled);
        }
        self.pending.append(&mut part.head);
        self.pending.sort_unstable_by_key(Located::place);
        self.settle(&contig, seen, &part.kept)?;
        if part.settled || !part.tail.is_empty() {
            // Everything before the settled stretch was written just now.
            debug_assert!(!part.settled || self.pending.is_empty());
            self.keep_sites(&contig, &part.spooled)?;
            if self.spool.is_none() {
                write_lines(&mut self.sinks, &part.lines, self.journal.as_mut())?;
            }
            self.pending.append(&mut part.tail);
            self.pending.sort_unstable_by_key(Located::place);
            self.hold(&part.codes[1]);
        }
        for (track, (writer, bins)) in self.scores.iter_mut().zip(&part.scores).enumerate() {
            let journal = &mut self.journal;
            let encoders = &mut self.encoders;
            writer.write(&contig, bins, part.segment_end, encoders, &mut |contig, encoded| {
                journal.iter_mut().try_for_each(|journal| journal.scores(track, contig, encoded))
            })?;
        }

        let summary = &mut self.summary;
        if part.counts {
            summary.bases += part.own.end - part.own.start;
            summary.windows += part.windows.iter().sum::<u64>() - part.left_out;
            summary.left_out += part.left_out;
        }
        for (counts, tests) in summary.tests.iter_mut().zip(&part.tests) {
            counts.tests += if part.counts { tests.all } else { 0 };
            tests.steps.iter().for_each(|&step| counts.add(step as usize));
        }
        summary.sites += part.sites;
        if part.first {
            self.windows.clear();
            // A shard that begins within a segment reads some of what lies before, and does not count it.
            self.counts = part.counts;
            summary.segments += u64::from(part.counts);
        }
        self.windows.resize(part.windows.len(), 0);
        self.windows.iter_mut().zip(&part.windows).for_each(|(all, more)| *all += more);
        if last && self.counts && self.windows.contains(&0) {
            summary.short_segments += 1;
            if summary.short_names.len() < NAMES_KEPT {
                summary.short_names.push(contig.name.clone());
            }
        }
        self.place.segments += u64::from(last);
        self.place.position = (!last).then_some(part.own.end);
        if self.summary.sites > 0 && self.passed_on.is_none_or(|at| at.elapsed() >= PATIENCE) {
            self.sinks.iter_mut().try_for_each(SiteSink::pass_on)?;
            self.passed_on = Some(Instant::now());
        }
        self.save()
    }

    /// Writes the pending hits that are sites now that all windows that start before `seen` are known, and that start in
    /// `kept`.
    fn settle(&mut self, contig: &Arc<Contig>, seen: u64, kept: &Range<u64>) -> Result<()> {
        if self.pending.is_empty() {
            return Ok(());
        }
        let settled_to = self.suppress(seen);
        let decided = self.pending.partition_point(|site| site.hit.start < settled_to);
        let waiting = self.pending.split_off(decided);
        let mut sites = std::mem::replace(&mut self.pending, waiting);
        let (early, late) = self.layout.line_starts();
        if late > 0 {
            // Lines of what is not known yet begin here or behind.
            let reached = settled_to.min(seen).saturating_sub(early);
            let (now, later) = sites.into_iter().partition(|site| self.layout.begin(site) < reached);
            (sites, self.pending) = (now, [later, std::mem::take(&mut self.pending)].concat());
            self.pending.sort_unstable_by_key(Located::place);
        }
        self.layout.sort(&mut sites);
        for site in sites.iter().filter(|site| kept.contains(&self.layout.begin(site))) {
            self.summary.sites += 1;
            let (step, significance) = self.layout.significance(&site.hit).unzip();
            if let Some((step, tests)) = step.zip(self.summary.tests.get_mut(site.hit.target)) {
                tests.add(step as usize);
            }
            let codes = if self.layout.codes { self.codes_of(&site.hit) } else { Vec::new() };
            if self.spool.is_some() || self.layout.statistics {
                deferred::encode(site, step, &codes, &mut self.encoded);
            }
            if self.spool.is_none() {
                self.layout.write_site(contig, site, &codes, significance, &mut self.lines);
            }
        }
        let mut encoded = std::mem::take(&mut self.encoded);
        self.keep_sites(contig, &encoded)?;
        encoded.clear();
        self.encoded = encoded;
        write_lines(&mut self.sinks, &self.lines, self.journal.as_mut())?;
        self.lines.iter_mut().for_each(Vec::clear);
        let first = self.pending.first().map_or(u64::MAX, |site| site.hit.start);
        self.codes.retain(|stretch| !stretch.ends_before(first));
        Ok(())
    }

    /// Drops the pending hits that others suppress, now that all windows that start before `seen` are known; gives the end
    /// of what is decided.
    fn suppress(&mut self, seen: u64) -> u64 {
        let mut settled_to = u64::MAX;
        let mut left = Vec::new();
        // Those of a target stay in their order.
        self.pending.sort_by_key(|site| site.hit.target);
        for waiting in self.pending.chunk_by(|one, next| one.hit.target == next.hit.target) {
            let target = &self.layout.targets[waiting[0].hit.target];
            let hits: Vec<Hit> = waiting.iter().map(|site| site.hit).collect();
            let sites = target.suppress(&hits, &(0..seen), |i| waiting[i].core.off_centre(target.window));
            settled_to = settled_to.min(sites.settled_to);
            let mut kept = sites.hits.into_iter().peekable();
            for waiting in waiting {
                let hit = waiting.hit;
                if kept.next_if(|site| (site.start, site.strand) == (hit.start, hit.strand)).is_some() {
                    left.push(*waiting);
                }
            }
        }
        left.sort_unstable_by_key(Located::place);
        self.pending = left;
        settled_to
    }

    /// The bases that the score of a pending hit depends on; N beside the contig. One of the stretches was kept for it, and has
    /// as many of them as any.
    fn codes_of(&self, hit: &Hit) -> Vec<u8> {
        let target = &self.layout.targets[hit.target];
        let (frame, length) = (target.frame_of(hit), target.seen() as usize);
        let most = self.codes.iter().max_by_key(|stretch| stretch.overlap(frame, length));
        most.expect("pending hits have their codes").codes_at(frame, length)
    }

    fn hold(&mut self, stretch: &Stretch) {
        if !stretch.ends_before(0) {
            self.codes.push(stretch.clone());
        }
    }

    /// Takes [encoded](deferred::encode) sites of a contig that wait for their q-values, or that statistics are made of.
    fn keep_sites(&mut self, contig: &Arc<Contig>, sites: &[u8]) -> Result<()> {
        self.journal.iter_mut().try_for_each(|journal| journal.sites(contig, sites))?;
        self.take_sites(contig, sites)
    }

    fn take_sites(&mut self, contig: &Arc<Contig>, sites: &[u8]) -> Result<()> {
        match (&mut self.spool, &mut self.statistics) {
            (Some(spool), _) => spool.append(contig, sites)?,
            (None, Some(statistics)) => {
                for (site, codes) in deferred::sites(sites, &self.coded) {
                    statistics.add_site(contig, &site, codes);
                }
            }
            (None, None) => {}
        }
        Ok(())
    }

    /// Takes the end of a contig, which matters to statistics.
    fn take_end(&mut self, contig: &Arc<Contig>, bases: u64) {
        match (&mut self.spool, &mut self.statistics) {
            (Some(spool), _) => spool.end_contig(contig, bases),
            (None, Some(statistics)) => statistics.end_contig(contig, bases),
            (None, None) => {}
        }
    }

    /// Counts bases of a contig; when another begins, all that was found on the last one is known.
    fn count_bases(&mut self, contig: &Arc<Contig>, bases: u64) -> Result<()> {
        match &mut self.contig {
            Some((last, so_far)) if last.id == contig.id => *so_far += bases,
            _ => {
                self.end_contig()?;
                self.contig = Some((Arc::clone(contig), bases));
            }
        }
        Ok(())
    }

    fn end_contig(&mut self) -> Result<()> {
        let Some((contig, bases)) = self.contig.take() else { return Ok(()) };
        self.journal.iter_mut().try_for_each(|journal| journal.end(&contig, bases))?;
        self.take_end(&contig, bases);
        Ok(())
    }

    /// Writes the sites that were kept for their q-values, now that all windows are known.
    fn write_spooled(&mut self, spool: Spool, rate: f64) -> Result<()> {
        let Layout { targets, .. } = self.layout;
        let nulls = targets.iter().map(|target| target.null.as_ref().expect("a scan by q-values has them"));
        let q: Vec<Vec<f64>> =
            self.summary.tests.iter().zip(nulls).map(|(tests, null)| tests.q_values(null)).collect();
        self.summary.sites = 0;
        spool.replay(&self.coded, |entry| {
            let (contig, site, step, codes) = match (entry, &mut self.statistics) {
                (Entry::Site(contig, site, step, codes), _) => (contig, site, step, codes),
                (Entry::End(contig, bases), Some(statistics)) => {
                    statistics.end_contig(contig, bases);
                    return Ok(());
                }
                (Entry::End(..), None) => return Ok(()),
            };
            let (target, step) = (site.hit.target, step as usize);
            if q[target][step] > rate {
                return Ok(());
            }
            self.summary.sites += 1;
            let q = Some(QValue::Known(q[target][step]));
            let significance = targets[target].null.as_ref().map(|null| Significance::new(null, step, q));
            self.layout.write_site(contig, &site, codes, significance, &mut self.lines);
            for (sink, lines) in self.sinks.iter_mut().zip(&mut self.lines) {
                if lines.len() >= LINES_TOGETHER {
                    sink.write(lines)?;
                    lines.clear();
                }
            }
            if let Some(statistics) = &mut self.statistics {
                statistics.add_site(contig, &site, codes);
            }
            Ok(())
        })?;
        for (sink, lines) in self.sinks.iter_mut().zip(&mut self.lines) {
            sink.write(lines)?;
            lines.clear();
        }
        Ok(())
    }

    /// Writes what is left; gives the summary, the files that wait for their names, and the journal, which is to be removed
    /// once they have them.
    ///
    /// `contigs` are all that were read, in their order.
    pub(super) fn seal(
        mut self,
        contigs: &[Arc<Contig>],
    ) -> Result<(ScanSummary, Vec<Sealed>, Option<Journal>)> {
        self.end_contig()?;
        if let (Some(spool), Some(rate)) = (self.spool.take(), self.layout.false_discovery_rate) {
            self.write_spooled(spool, rate)?;
        }
        if self.layout.q_later {
            let nulls = self.layout.targets.iter().filter_map(|target| target.null.as_ref());
            let tests =
                self.summary.tests.iter().zip(nulls).map(|(tests, null)| ShardTests::new(tests, null));
            let comment = crate::track::provenance::tests_comment(&tests.collect::<Vec<_>>());
            self.sinks.iter_mut().try_for_each(|sink| sink.comment(&comment))?;
        }
        let mut sealed = Vec::new();
        for sink in self.sinks {
            sealed.extend(sink.seal(contigs)?);
        }
        for writer in self.scores {
            sealed.extend(writer.seal(contigs, &mut self.encoders)?);
        }
        self.summary.statistics = self.statistics.map(statistics::finish);
        Ok((self.summary, sealed, self.journal))
    }
}

/// Gives every site track its lines.
fn write_lines(sinks: &mut [SiteSink], lines: &[Vec<u8>], mut journal: Option<&mut Journal>) -> Result<()> {
    for (track, (sink, lines)) in sinks.iter_mut().zip(lines).enumerate() {
        journal.iter_mut().try_for_each(|journal| journal.lines(track, lines))?;
        sink.write(lines)?;
    }
    Ok(())
}
