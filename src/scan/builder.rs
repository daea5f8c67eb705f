//! The front door: a scan described step by step, whose sites are iterated over, whose scores are taken as arrays, or whose
//! tracks are written to files.

use std::collections::VecDeque;
use std::fmt;
use std::ops::Range;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::thread::{self, JoinHandle};
use std::time::Duration;

use crossbeam_channel::{Receiver, RecvTimeoutError};

use super::search::{Search, SiteChoice};
use super::{Job, Overlaps, ScanSummary};
use crate::calibrate::nulls::{NullOptions, Setting};
use crate::engine::planned::{PlanOptions, Planned, check_names};
use crate::engine::scanner::chunk_shape;
use crate::genome::regions::read_regions;
use crate::genome::{self, Genome, GenomeOptions};
use crate::io::input::RawInput;
use crate::model::Model;
use crate::reads::ReadFormat;
use crate::scores::HitStrands;
use crate::seq::contig::{Contig, RegionQuery};
use crate::track::SiteFormat;
use crate::track::outputs::{Outputs, provenance};
use crate::track::record::{self, Records, SiteRecord};
use crate::track::score::{ScoreSink, Series, Shown, Summary};
use crate::track::site::{Columns, SiteLines, SiteSink};
use crate::track::values::{self, Values};
use crate::{Error, Result};

/// A scan of a genome with one or several models.
///
/// A genome is a FASTA file (plain, gzip or BGZF) or a 2bit file. Methods that take no result only set options; the scan
/// itself is done by [`Scan::sites`], [`Scan::scores`] or [`Scan::write`], by the same code as that of the program.
///
/// ```
/// use bindscan::{Model, Scan};
///
/// let scan = Scan::new("tests/data/genome.fa").model(Model::find("ELK1")?).threshold(1.0).region("sim1:1-9,000");
/// let mut found = 0;
/// for site in scan.sites()? {
///     let site = site?;
///     assert!(site.score >= 1.0 && site.end <= 9_000);
///     found += 1;
/// }
/// assert!(found > 0);
/// # Ok::<(), bindscan::Error>(())
/// ```
#[derive(Debug, Clone)]
pub struct Scan {
    genome: PathBuf,
    models: Vec<Model>,
    plan: PlanOptions,
    choice: Option<SiteChoice>,
    overlaps: Overlaps,
    hit_strands: HitStrands,
    regions: Vec<RegionQuery>,
    mask_lowercase: bool,
    most_n: Option<f64>,
    nulls: NullOptions,
    threads: Option<usize>,
    chunk_size: Option<usize>,
    bin: Option<u64>,
    summary: Summary,
    cancel: Option<Arc<AtomicBool>>,
}

impl Scan {
    /// A scan of the genome in a file; `-` is standard input.
    pub fn new(genome: impl Into<PathBuf>) -> Scan {
        Scan {
            genome: genome.into(),
            models: Vec::new(),
            plan: PlanOptions::default(),
            choice: None,
            overlaps: Overlaps::Suppress,
            hit_strands: HitStrands::Better,
            regions: Vec::new(),
            mask_lowercase: false,
            most_n: None,
            nulls: NullOptions::default(),
            threads: None,
            chunk_size: None,
            bin: None,
            summary: Summary::Max,
            cancel: None,
        }
    }

    /// Adds a model; all are run in one pass.
    pub fn model(mut self, model: Model) -> Self {
        self.models.push(model);
        self
    }

    /// Adds models, such as those of a motif file ([`Model::find_all`]).
    pub fn models(mut self, models: impl IntoIterator<Item = Model>) -> Self {
        self.models.extend(models);
        self
    }

    /// Sets window, stride, strands, outputs and engine, for all models.
    pub fn plan(self, plan: PlanOptions) -> Self {
        Scan { plan, ..self }
    }

    /// Chooses sites by their score: this or a higher one.
    pub fn threshold(self, score: f32) -> Self {
        self.choose(SiteChoice::Threshold(vec![score]))
    }

    /// Chooses sites by their p-value, the probability that one strand of a window of background scores as high: this or a
    /// lower one.
    pub fn pvalue(self, p: f64) -> Self {
        self.choose(SiteChoice::PValue(p))
    }

    /// Chooses sites by their false discovery rate (Benjamini-Hochberg over the whole scan): this or a lower one.
    pub fn qvalue(self, q: f64) -> Self {
        self.choose(SiteChoice::QValue(q))
    }

    /// Chooses sites in one of the ways there are.
    pub fn choose(self, choice: SiteChoice) -> Self {
        Scan { choice: Some(choice), ..self }
    }

    /// Sets how null distributions are made, if sites are chosen by p-values or false discovery rates.
    pub fn nulls(self, nulls: NullOptions) -> Self {
        Scan { nulls, ..self }
    }

    /// Sets what becomes of hits whose windows overlap. By default only the best of them is a site.
    pub fn overlaps(self, overlaps: Overlaps) -> Self {
        Scan { overlaps, ..self }
    }

    /// Sets which strands of a window can be hits. By default only the better one is.
    pub fn hit_strands(self, strands: HitStrands) -> Self {
        Scan { hit_strands: strands, ..self }
    }

    /// Adds a region, as `chr1` or `chr1:1001-2000` (1-based, both ends included). Without one, the whole genome is scanned.
    pub fn region(mut self, region: &str) -> Self {
        self.regions.push(RegionQuery::parse(region));
        self
    }

    /// Adds the regions of a BED, narrowPeak or GFF file.
    ///
    /// # Errors
    /// A file that cannot be read, and lines that are no regions.
    pub fn regions_file(mut self, path: impl AsRef<Path>) -> Result<Self> {
        self.regions.extend(read_regions(path.as_ref())?);
        Ok(self)
    }

    /// Reads lower-case (soft-masked) bases as N, if `mask`.
    pub fn mask_lowercase(self, mask: bool) -> Self {
        Scan { mask_lowercase: mask, ..self }
    }

    /// Sets the largest fraction of N in a window; windows with more are left out. By default 0 for matrices and 0.1 for
    /// other models.
    pub fn most_n(self, fraction: f64) -> Self {
        Scan { most_n: Some(fraction), ..self }
    }

    /// Sets the number of threads. By default all cores are used; results do not depend on it.
    pub fn threads(self, threads: usize) -> Self {
        Scan { threads: Some(threads), ..self }
    }

    /// Sets the window starts that a worker takes at a time; results do not depend on it.
    pub fn chunk_size(self, starts: usize) -> Self {
        Scan { chunk_size: Some(starts), ..self }
    }

    /// Sets the bases of a bin of scores. By default a bin is the stride.
    pub fn bin(self, bases: u64) -> Self {
        Scan { bin: Some(bases), ..self }
    }

    /// Sets which value a bin has that several windows have their centre in. By default the highest.
    pub fn summary(self, summary: Summary) -> Self {
        Scan { summary, ..self }
    }

    /// Sets a flag that ends the scan, with [`Error::Interrupted`], once it is true. Sites or scores that are dropped early
    /// set it themselves.
    pub fn cancel(self, cancel: Arc<AtomicBool>) -> Self {
        Scan { cancel: Some(cancel), ..self }
    }

    /// Starts the scan, and gives its sites, in the order of the genome, as they are found.
    ///
    /// # Errors
    /// A genome or region that cannot be read, a model that cannot be run, no choice of sites. What goes wrong later comes
    /// as an item.
    pub fn sites(&self) -> Result<Sites> {
        let ready = self.prepare(true, genome::from_input)?;
        let names = ready.search.targets.iter().map(|target| Arc::from(target.name.as_str())).collect();
        let (sink, records) = record::channel();
        let lines = SiteLines { format: SiteFormat::Records, target: None, columns: Columns::default() };
        let tracks = (vec![(lines, SiteSink::Records(sink))], Vec::new());
        let scan = ready.start(tracks)?;
        Ok(Sites { records, names, scan })
    }

    /// Starts the scan, and gives the scores of all windows as arrays, one for each contig (or region) and output. The score
    /// of a window stands at its centre ([`crate::track::score`]); bins without one are NaN.
    ///
    /// ```
    /// use bindscan::{Model, Scan};
    ///
    /// let scan = Scan::new("tests/data/genome.fa").model(Model::find("ELK1")?).region("sim1:101-600");
    /// for track in scan.scores()? {
    ///     let track = track?;
    ///     assert_eq!((&*track.name, track.start, track.values.len()), ("ELK1", 100, 500));
    /// }
    /// # Ok::<(), bindscan::Error>(())
    /// ```
    ///
    /// # Errors
    /// As [`Scan::sites`], but no choice of sites is needed.
    pub fn scores(&self) -> Result<Scores> {
        let ready = self.prepare(false, genome::indexed_of_input)?;
        let bin = self.bin_size(&ready.search);
        let targets = &ready.search.targets;
        let segments = ready.genome.segments()?;
        let (sinks, values) = values::channel(targets.len());
        let series = |target| {
            let summary = self.summary;
            Series { target, strand: Shown::Better, bin, summary, lowest: f32::NEG_INFINITY }
        };
        let scores =
            sinks.into_iter().enumerate().map(|(rank, sink)| (series(rank), ScoreSink::Values(sink)));
        let scores = scores.collect();
        let names = targets.iter().map(|target| Arc::from(target.name.as_str())).collect();
        let scan = ready.start((Vec::new(), scores))?;
        Ok(Scores::new(values, segments, names, bin, scan))
    }

    /// Scans, and writes tracks to files, in the format of each one's extension, as the program does with `-o`. All appear
    /// together, when they are whole.
    ///
    /// # Errors
    /// As [`Scan::sites`]; a file name that no format goes with, and an output that cannot be written.
    pub fn write(&self, paths: &[PathBuf]) -> Result<ScanSummary> {
        let choice = self.choice.as_ref();
        let columns = Columns {
            p: choice.is_some_and(|choice| choice.rate().is_some()),
            q: choice.is_some_and(|choice| choice.false_discovery_rate().is_some()),
            read: false,
            summit: self.overlaps == Overlaps::Suppress && choice != Some(&SiteChoice::All),
            // A scan of the library has no ensembles.
            spread: false,
        };
        let outputs = Outputs::new(paths, None)?.columns(columns).summary(self.summary);
        let ready = self.prepare(outputs.have_sites(), genome::from_input)?;
        let outputs = outputs.bin(self.bin_size(&ready.search));
        let search = &ready.search;
        let command = format!("bindscan {} (library)", env!("CARGO_PKG_VERSION"));
        let provenance = provenance(command, &search.models, &search.significance);
        let tracks = outputs.open(&search.targets, &search.strands(), &provenance)?;
        ready.run((tracks.sites, tracks.scores))
    }

    fn bin_size(&self, search: &Search) -> u64 {
        self.bin.unwrap_or_else(|| search.models.first().map_or(1, |planned| planned.plan.stride as u64))
    }

    /// Opens everything that is read. A choice of sites is needed where there are `sites`.
    fn prepare(
        &self,
        sites: bool,
        open: fn(&Path, RawInput, &GenomeOptions) -> Result<Genome>,
    ) -> Result<Ready> {
        let choice = match (&self.choice, sites) {
            (Some(choice), _) => choice.clone(),
            (None, false) => SiteChoice::All,
            (None, true) => {
                let message =
                    "say which sites are wanted: a threshold, a p-value, a false discovery rate, or all";
                return Err(Error::Request(message.into()));
            }
        };
        if self.models.is_empty() {
            return Err(Error::Request("a scan needs a model".into()));
        }
        let threads = self.threads.unwrap_or_else(|| thread::available_parallelism().map_or(1, usize::from));
        let plan = |model: &Model| Planned::new(model.clone(), &self.plan);
        let models: Vec<Planned> = self.models.iter().map(plan).collect::<Result<_>>()?;
        check_names(&models)?;
        let mut search = Search::new(models, choice.clone(), self.most_n, threads.max(1))?;
        let input = RawInput::open(&self.genome)?;
        if ReadFormat::detect(&input).is_some() {
            let message = "holds reads; a scan from a program takes a genome (FASTA or 2bit)";
            return Err(Error::format(&self.genome, None, message));
        }
        let cancel = self.cancel.clone().unwrap_or_default();
        let setting = Setting {
            genome: Some(&self.genome),
            mask_lowercase: self.mask_lowercase,
            threads: threads.max(1),
            cancel: &cancel,
        };
        let overlaps = if choice == SiteChoice::All { Overlaps::Keep } else { self.overlaps };
        if self.hit_strands == HitStrands::Each {
            search.report_each_strand(overlaps)?;
        }
        search.set_p_values(&self.nulls, overlaps, &setting, &mut ())?;
        let options = GenomeOptions { mask_lowercase: self.mask_lowercase, regions: self.regions.clone() };
        let genome = open(&self.genome, input, &options)?;
        if let (Some(digest), Some(_)) = (genome.digest(), choice.rate()) {
            self.nulls.warn_of_other_genome(&search.models, &digest);
        }
        let chunk_size = self
            .chunk_size
            .unwrap_or_else(|| search.default_chunk_size(sites && choice == SiteChoice::All))
            .max(1);
        let rate = choice.false_discovery_rate();
        Ok(Ready { search, genome, overlaps, chunk_size, rate, cancel })
    }
}

/// Tracks of sites and of scores.
type Tracks = (Vec<(SiteLines, SiteSink)>, Vec<(Series, ScoreSink)>);

/// A scan whose inputs are open.
struct Ready {
    search: Search,
    genome: Genome,
    overlaps: Overlaps,
    chunk_size: usize,
    rate: Option<f64>,
    cancel: Arc<AtomicBool>,
}

impl Ready {
    fn run(self, (sites, scores): Tracks) -> Result<ScanSummary> {
        let source = self.genome.into_chunks(chunk_shape(self.chunk_size, &self.search.workers[0]));
        let false_discovery_rate = self.rate.filter(|_| !sites.is_empty());
        let job = Job::new(self.search.targets, self.overlaps);
        let job = job.sites(sites).scores(scores).false_discovery_rate(false_discovery_rate);
        super::run(Box::new(source), self.search.workers, job, |_, _| {}, &self.cancel)
    }

    /// Scans on a thread of its own.
    fn start(self, tracks: Tracks) -> Result<Running> {
        let cancel = Arc::clone(&self.cancel);
        let thread = thread::Builder::new().name("scan".into()).spawn(move || self.run(tracks));
        let thread = thread.map_err(|error| Error::Request(format!("cannot start a thread: {error}")))?;
        Ok(Running { thread: Some(thread), cancel, summary: None })
    }
}

/// A scan on a thread of its own.
struct Running {
    thread: Option<JoinHandle<Result<ScanSummary>>>,
    cancel: Arc<AtomicBool>,
    summary: Option<ScanSummary>,
}

impl fmt::Debug for Running {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Running").field("summary", &self.summary).finish_non_exhaustive()
    }
}

impl Running {
    /// Ends the scan, and leaves the flag as it was: a later scan may have the same.
    fn stop(&mut self) {
        if self.thread.is_some() {
            let before = self.cancel.swap(true, Ordering::Relaxed);
            self.finish();
            self.cancel.fetch_and(before, Ordering::Relaxed);
        }
    }

    /// Waits for the end, and gives what went wrong, if that has not been given before.
    fn finish(&mut self) -> Option<Error> {
        let joined = self.thread.take()?.join();
        let lost =
            || Error::Internal("a scan ended before its work was done: this is a bug in bindscan".into());
        match joined.unwrap_or_else(|_| Err(lost())) {
            Ok(summary) => {
                self.summary = Some(summary);
                None
            }
            Err(error) => Some(error),
        }
    }
}

/// The sites of a scan, in the order of the genome. Dropped early, it ends the scan.
#[derive(Debug)]
pub struct Sites {
    records: Records,
    names: Vec<Arc<str>>,
    scan: Running,
}

impl Sites {
    /// Names of the targets, by [`SiteRecord::target`]: a model's name, and the output's where it has several.
    pub fn names(&self) -> &[Arc<str>] {
        &self.names
    }

    /// The summary of the scan, once all sites have been taken.
    pub fn summary(&self) -> Option<&ScanSummary> {
        self.scan.summary.as_ref()
    }

    /// Waits so long for a site; true if [`Iterator::next`] does not have to wait any more.
    pub fn wait(&mut self, time: Duration) -> bool {
        if self.records.has_next() {
            return true;
        }
        match self.records.batches().recv_timeout(time) {
            Ok(batch) => {
                self.records.put(batch);
                true
            }
            Err(RecvTimeoutError::Disconnected) => true,
            Err(RecvTimeoutError::Timeout) => false,
        }
    }
}

impl Iterator for Sites {
    type Item = Result<SiteRecord>;

    fn next(&mut self) -> Option<Result<SiteRecord>> {
        match self.records.next() {
            Some(record) => Some(Ok(record)),
            None => self.scan.finish().map(Err),
        }
    }
}

impl Drop for Sites {
    fn drop(&mut self) {
        // A scan that waits for room in the channel meets a closed one.
        self.records.close();
        self.scan.stop();
    }
}

/// Scores of an output of a model along a contig, or a region of it.
#[derive(Debug, Clone, PartialEq)]
#[non_exhaustive]
pub struct ScoreTrack {
    /// The target: the model's name, and the output's where it has several.
    pub name: Arc<str>,
    /// Name of the contig.
    pub contig: Arc<str>,
    /// First base of the contig that has a value, 0-based.
    pub start: u64,
    /// Bases of a bin; bins are the multiples of it, counted from the contig's first base.
    pub bin: u64,
    /// A value for each bin; NaN where no window has its centre.
    pub values: Vec<f32>,
}

/// A stretch of a contig that is scanned, a region or all of it.
pub(crate) type Segment = (Arc<Contig>, Range<u64>);

/// A track in the making.
#[derive(Debug)]
struct Assembly {
    name: Arc<str>,
    /// Rank of the segment in hand.
    segment: usize,
    values: Vec<f32>,
}

/// The scores of a scan, as arrays. Dropped early, it ends the scan.
#[derive(Debug)]
pub struct Scores {
    messages: Receiver<Values>,
    segments: Vec<Segment>,
    tracks: Vec<Assembly>,
    bin: u64,
    done: VecDeque<ScoreTrack>,
    scan: Running,
}

impl Scores {
    fn new(
        messages: Receiver<Values>,
        segments: Vec<Segment>,
        names: Vec<Arc<str>>,
        bin: u64,
        scan: Running,
    ) -> Scores {
        let assembly = |name| Assembly { name, segment: 0, values: Vec::new() };
        let tracks = names.into_iter().map(assembly).collect();
        Scores { messages, segments, tracks, bin, done: VecDeque::new(), scan }
    }

    /// The summary of the scan, once all tracks have been taken.
    pub fn summary(&self) -> Option<&ScanSummary> {
        self.scan.summary.as_ref()
    }

    /// Waits so long for values; true if some more have come, or the end.
    pub fn wait(&mut self, time: Duration) -> bool {
        if !self.done.is_empty() {
            return true;
        }
        match self.messages.recv_timeout(time) {
            Ok(values) => {
                self.take(&values);
                !self.done.is_empty()
            }
            Err(RecvTimeoutError::Disconnected) => true,
            Err(RecvTimeoutError::Timeout) => false,
        }
    }

    /// Ranks of the first bin of a segment, and of the one past its last.
    fn bins(&self, segment: usize) -> Range<u64> {
        let (_, stretch) = &self.segments[segment];
        stretch.start / self.bin..stretch.end.div_ceil(self.bin)
    }

    fn take(&mut self, values: &Values) {
        values.runs(|start, run| self.take_run(values, start, run));
    }

    /// Takes neighbouring bins, the first of which begins at `start`.
    fn take_run(&mut self, values: &Values, mut start: u64, mut run: &[[u8; 4]]) {
        while !run.is_empty() {
            while !self.reaches(values.track, values.contig, start) {
                self.end_segment(values.track);
            }
            let bins = self.bins(self.tracks[values.track].segment);
            let first = start / self.bin;
            let (here, rest) = run.split_at(run.len().min((bins.end - first) as usize));
            let room = &mut self.tracks[values.track].values;
            room.resize((bins.end - bins.start) as usize, f32::NAN);
            let places = room[(first - bins.start) as usize..].iter_mut();
            places.zip(here).for_each(|(place, bytes)| *place = f32::from_le_bytes(*bytes));
            (start, run) = ((first + here.len() as u64) * self.bin, rest);
        }
    }

    /// True if the track's segment in hand has the bin that begins at a position of a contig.
    fn reaches(&self, track: usize, contig: usize, start: u64) -> bool {
        let (own, stretch) = &self.segments[self.tracks[track].segment];
        own.id == contig && stretch.contains(&start)
    }

    /// Gives the track's segment in hand, and goes to the next.
    fn end_segment(&mut self, track: usize) {
        let bins = self.bins(self.tracks[track].segment);
        let assembly = &mut self.tracks[track];
        let (contig, stretch) = &self.segments[assembly.segment];
        assembly.values.resize((bins.end - bins.start) as usize, f32::NAN);
        self.done.push_back(ScoreTrack {
            name: Arc::clone(&assembly.name),
            contig: contig.name.as_str().into(),
            start: stretch.start,
            bin: self.bin,
            values: std::mem::take(&mut assembly.values),
        });
        assembly.segment += 1;
    }

    /// Gives what is left of all tracks.
    fn end(&mut self) {
        for track in 0..self.tracks.len() {
            while self.tracks[track].segment < self.segments.len() {
                self.end_segment(track);
            }
        }
    }
}

impl Iterator for Scores {
    type Item = Result<ScoreTrack>;

    fn next(&mut self) -> Option<Result<ScoreTrack>> {
        loop {
            if let Some(track) = self.done.pop_front() {
                return Some(Ok(track));
            }
            match self.messages.recv() {
                Ok(values) => self.take(&values),
                Err(_) if self.scan.thread.is_some() => match self.scan.finish() {
                    Some(error) => return Some(Err(error)),
                    None => self.end(),
                },
                Err(_) => return None,
            }
        }
    }
}

impl Drop for Scores {
    fn drop(&mut self) {
        // A scan that waits for room in the channel meets a closed one.
        self.messages = crossbeam_channel::never();
        self.scan.stop();
    }
}
