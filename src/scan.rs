//! Scanning a genome: what the workers and the writer of the [`pipeline`] do.
//!
//! A worker scores a chunk with every model, calls hits, suppresses overlapping ones as far as the chunk tells, and
//! formats the sites for every site track; it summarises the scores in bins, and encodes them, for every score track.
//! Only the few hits and bins that hang on the next chunk are left to the writer.

use std::sync::atomic::AtomicBool;

use crate::Result;
use crate::engine::scanner::Scanners;
use crate::genome::sequence_source::SequenceSource;
use crate::io::output;
use crate::io::output::Sealed;
use crate::null::fdr::TestCounts;
use crate::pipeline;
use crate::scores::Hit;
use crate::seq::chunk::Chunk;
use crate::seq::contig::Contig;
use crate::sites::core::{CoreSource, Located};
use crate::track::score::{Encoding, ScoreSink, ScoreWriter, Series};
use crate::track::site::{QValue, Significance, Site, SiteLines, SiteSink};
use crate::track::{Span, Target};

mod ambiguous;
mod builder;
pub(crate) mod chunk_hits;
mod deferred;
pub mod journal;
pub mod lowest;
pub mod reads;
pub mod report;
pub mod search;
pub mod shard_overlap;
pub mod statistics;
mod worker;
mod writer;

pub use builder::{Scan, ScoreTrack, Scores, Sites};
use journal::Journal;
use statistics::Statistics;
use worker::{Part, Worker};
use writer::Writer;

/// Targets and outputs of a scan.
#[derive(Debug)]
pub struct Job {
    targets: Vec<Target>,
    overlaps: Overlaps,
    sites: Vec<(SiteLines, SiteSink)>,
    scores: Vec<(Series, ScoreSink)>,
    false_discovery_rate: Option<f64>,
    q_later: bool,
    statistics: Option<Statistics>,
    journal: Option<Journal>,
}

impl Job {
    /// A scan for targets, in the order that tracks refer to, without an output so far.
    pub fn new(targets: Vec<Target>, overlaps: Overlaps) -> Job {
        Job {
            targets,
            overlaps,
            sites: Vec::new(),
            scores: Vec::new(),
            false_discovery_rate: None,
            q_later: false,
            statistics: None,
            journal: None,
        }
    }

    /// Sets the tracks of sites. Without one, no hits are called.
    pub fn sites(self, sites: Vec<(SiteLines, SiteSink)>) -> Job {
        Job { sites, ..self }
    }

    /// Sets the tracks of scores. With one that shows all, every window is scored in full; others show what reaches the
    /// threshold of their target.
    pub fn scores(self, scores: Vec<(Series, ScoreSink)>) -> Job {
        Job { scores, ..self }
    }

    /// Sets the highest false discovery rate of a site, if sites are chosen by their q-values. Every target has a null
    /// distribution then, and a threshold that is the lowest score with a p-value of that rate or less:
    /// [`crate::null::fdr`] says why no other can be a site. The sites wait for the end of the scan in a temporary file.
    pub fn false_discovery_rate(self, rate: Option<f64>) -> Job {
        Job { false_discovery_rate: rate, ..self }
    }

    /// Leaves the q-values of a shard to [`crate::merge`]: the sites are those up to the p-value of the false discovery rate
    /// then, followed by the counts of their p-values.
    pub fn defer_q_values(self, q_later: bool) -> Job {
        Job { q_later, ..self }
    }

    /// Adds to statistics.
    pub fn statistics(self, statistics: Option<Statistics>) -> Job {
        Job { statistics, ..self }
    }

    /// Sets the journal for a scan that can resume after an interruption; the source resumes from its position.
    pub fn journal(self, journal: Option<Journal>) -> Job {
        Job { journal, ..self }
    }
}

/// Treatment of hits whose windows overlap.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Overlaps {
    /// The best of them is reported ([`crate::sites::suppress`]).
    Suppress,
    /// All are reported.
    Keep,
}

/// Counts of a scan.
#[derive(Debug, Clone, Default)]
pub struct ScanSummary {
    /// Bases read (of the regions, where regions were given).
    pub bases: u64,
    /// Windows scored, over all models; both strands of a window count once.
    pub windows: u64,
    /// Windows left out because too many of their bases are N ([`Target::most_n`]), over all models.
    pub left_out: u64,
    /// Sites found; each is a line of every site track that shows its target.
    pub sites: u64,
    /// Contigs, or regions of them.
    pub segments: u64,
    /// Of these, the ones too short for a window of some model.
    pub short_segments: u64,
    /// Names of the first few of those.
    pub short_names: Vec<String>,
    /// Counts of tests of each target, if sites were chosen by their q-values.
    pub tests: Vec<TestCounts>,
    /// Statistics, if they were wanted.
    pub statistics: Option<Statistics>,
}

impl ScanSummary {
    /// [`ScanSummary::short_names`] in a list, which says whether there are more.
    pub fn short_list(&self) -> String {
        let more = if self.short_segments > self.short_names.len() as u64 { ", …" } else { "" };
        self.short_names.join(", ") + more
    }
}

/// Names kept in [`ScanSummary::short_names`].
const NAMES_KEPT: usize = 5;

/// Scans `source` with one set of scanners a worker and writes the tracks of `job`, in input order and sorted by start
/// within a contig; they appear together, when all are whole. `progress` is told how far the input is read
/// ([`SequenceSource::progress`]) and the summary so far.
///
/// # Errors
/// Whatever the source, an engine or an output meets first.
pub fn run(
    source: Box<dyn SequenceSource>,
    workers: Vec<Scanners>,
    job: Job,
    progress: impl FnMut((u64, Option<u64>), &ScanSummary),
    cancel: &AtomicBool,
) -> Result<ScanSummary> {
    let (summary, finished) = run_unpublished(source, workers, job, progress, cancel)?;
    finished.publish(None)?;
    Ok(summary)
}

/// The tracks of a scan, whole and without their names, and what was kept for an interruption.
#[derive(Debug)]
pub struct Finished {
    sealed: Vec<Sealed>,
    journal: Option<Journal>,
}

impl Finished {
    /// Gives the tracks their names, and `others` with them; then what was kept is removed. Dropped instead, a scan leaves
    /// no track, and keeps what another with the same journal goes on from.
    ///
    /// # Errors
    /// A name that cannot be taken.
    pub fn publish(self, others: impl IntoIterator<Item = Sealed>) -> Result<()> {
        output::publish(self.sealed.into_iter().chain(others))?;
        self.journal.map_or(Ok(()), Journal::remove)
    }
}

/// As [`run`], but the tracks wait for [`Finished::publish`].
///
/// # Errors
/// As [`run`].
pub fn run_unpublished(
    mut source: Box<dyn SequenceSource>,
    workers: Vec<Scanners>,
    job: Job,
    mut progress: impl FnMut((u64, Option<u64>), &ScanSummary),
    cancel: &AtomicBool,
) -> Result<(ScanSummary, Finished)> {
    let (lines, sinks): (Vec<_>, Vec<_>) = job.sites.into_iter().unzip();
    let series: Vec<_> = job.scores.iter().map(|(series, sink)| (*series, sink.encoding())).collect();
    let needs_lengths =
        job.scores.iter().any(|(_, sink)| sink.needs_lengths()) || sinks.iter().any(SiteSink::needs_lengths);
    let layout = Layout {
        targets: &job.targets,
        overlaps: job.overlaps,
        lines: &lines,
        series: &series,
        false_discovery_rate: job.false_discovery_rate,
        q_later: job.q_later,
        statistics: job.statistics.is_some(),
        codes: job.statistics.is_some() || lines.iter().any(crate::track::site::SiteLines::shows_sequence),
    };
    let workers = workers
        .into_iter()
        .map(|scanners| {
            let mut worker = Worker::new(layout, scanners);
            move |item: &Item, part: &mut Part| {
                part.progress = item.progress;
                worker.scan(&item.chunk, part)?;
                worker.sample(&item.chunk, item.before, part)
            }
        })
        .collect();
    let scores = job.scores.into_iter().map(|(series, sink)| ScoreWriter::new(series, sink)).collect();
    let mut read = job.journal.as_ref().map_or(0, Journal::bases);
    let mut writer = Writer::new(layout, sinks, scores, job.statistics, job.journal)?;
    pipeline::run(
        |item: &mut Item| {
            let more = source.read_chunk(&mut item.chunk)?;
            item.before = read;
            if item.chunk.is_kept() {
                read += item.chunk.own.end - item.chunk.own.start;
            }
            item.progress = source.progress();
            Ok(more)
        },
        workers,
        |part: &mut Part| {
            writer.write(part)?;
            progress(part.progress, &writer.summary);
            Ok(())
        },
        cancel,
    )?;
    if needs_lengths {
        source.end_contig()?;
    }
    let (summary, sealed, journal) = writer.seal(source.contigs())?;
    Ok((summary, Finished { sealed, journal }))
}

#[derive(Default)]
struct Item {
    chunk: Chunk,
    /// Bases that come before the chunk.
    before: u64,
    progress: (u64, Option<u64>),
}

/// State of a scan's tracks that workers and writer share.
#[derive(Debug, Clone, Copy)]
struct Layout<'a> {
    targets: &'a [Target],
    overlaps: Overlaps,
    lines: &'a [SiteLines],
    series: &'a [(Series, Encoding)],
    false_discovery_rate: Option<f64>,
    q_later: bool,
    /// True if statistics are wanted.
    statistics: bool,
    /// True if the bases of sites are wanted, by statistics or by a format that shows them.
    codes: bool,
}

impl Layout<'_> {
    /// Most bases that the score of a window depends on.
    fn most_seen(&self) -> u64 {
        self.targets.iter().map(Target::seen).max().unwrap_or_default()
    }

    /// True if sites wait for the end of the scan.
    fn spools(&self) -> bool {
        self.false_discovery_rate.is_some() && !self.q_later
    }

    /// Where the line of a site begins, by which lines are sorted and shards own sites.
    fn begin(&self, site: &Located) -> u64 {
        self.targets[site.hit.target].span_of(site).start
    }

    /// Most bases that a line may begin before the start of its window, and behind it.
    fn line_starts(&self) -> (u64, u64) {
        let around = |target: &Target| match (&target.cores, target.span) {
            (CoreSource::Window, _) | (_, Span::Window) => (0, 0),
            _ => (target.flanks.0, target.window + target.flanks.1),
        };
        let most = |most: (u64, u64), own: (u64, u64)| (most.0.max(own.0), most.1.max(own.1));
        match self.overlaps {
            Overlaps::Suppress => self.targets.iter().map(around).fold((0, 0), most),
            Overlaps::Keep => (0, 0),
        }
    }

    /// True if lines show how far the members of an ensemble lie apart.
    fn shows_spread(&self) -> bool {
        self.lines.iter().any(SiteLines::shows_spread)
    }

    /// Sorts sites in the order of their lines.
    fn sort(&self, sites: &mut [Located]) {
        sites.sort_unstable_by_key(|site| (self.begin(site), site.place()));
    }

    /// The step of its target's null distribution that each of some sites is on, and its significance; `None` where there is no
    /// such distribution. Those of one target are looked up together: with a collection of motifs their null distributions
    /// together are much larger than any cache.
    fn significances(&self, sites: &[Located]) -> Vec<Option<(u32, Significance)>> {
        let mut order: Vec<usize> = (0..sites.len()).collect();
        order.sort_by_key(|&i| sites[i].hit.target);
        let mut found = vec![None; sites.len()];
        order.into_iter().for_each(|i| found[i] = self.significance(&sites[i].hit));
        found
    }

    /// As [`significances`](Layout::significances), of one hit.
    fn significance(&self, hit: &Hit) -> Option<(u32, Significance)> {
        let null = self.targets[hit.target].null.as_ref()?;
        let step = null.step(hit.score, hit.strand);
        let q = self.q_later.then_some(QValue::Later(hit.target, step));
        Some((step as u32, Significance::new(null, step, q)))
    }

    /// Appends the lines of a site to `lines`, which has an entry for each site track. `codes` are the bases that its score
    /// depends on if these are [wanted](Layout::codes).
    fn write_site(
        &self,
        contig: &Contig,
        site: &Located,
        codes: &[u8],
        significance: Option<Significance>,
        lines: &mut [Vec<u8>],
    ) {
        let Located { hit, core, spread } = site;
        let target = &self.targets[hit.target];
        let span = target.span_of(site);
        let place = |position: u64| (position as i64 - target.frame_of(hit)) as usize;
        let within = place(span.start)..place(span.end);
        let codes = codes.get(within).unwrap_or_default();
        let site = Site { contig, target, hit, core: *core, spread: *spread, codes, significance };
        for (track, out) in self.lines.iter().zip(lines) {
            if track.target.is_none_or(|only| only == hit.target) {
                track.write(&site, out);
            }
        }
    }
}
