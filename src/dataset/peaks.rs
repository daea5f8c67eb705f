//! Windows of a genome around measured peaks, and windows without peaks that match them in GC content.

use std::collections::{BTreeMap, BTreeSet, HashMap, HashSet};
use std::path::Path;
use std::sync::Arc;

use rand::{RngExt, SeedableRng};
use rand_xoshiro::Xoshiro256PlusPlus;

use crate::dataset::contig_names::{ContigNames, means};
use crate::dataset::text::Lines;
use crate::genome;
use crate::genome::regions::{BadRegions, Flaw, RegionLines, suggestion};
use crate::genome::sequence_source::SequenceSource;
use crate::report::counted;
use crate::seq::alphabet::{N, reverse_complement_into};
use crate::seq::chunk::{Chunk, ChunkShape};
use crate::seq::contig::Contig;
use crate::{Error, Result};

/// Options for cutting windows around peaks.
#[derive(Debug, Clone, PartialEq)]
pub struct PeakOptions {
    /// Bases of a window, centred on the summit: `summit - width / 2` is its first.
    pub width: usize,
    /// Use only so many peaks, the strongest.
    pub max_peaks: Option<usize>,
    /// Peaks on these contigs are the test set.
    pub test_contigs: Vec<String>,
    /// Read peaks on the reverse strand as their reverse complement (RNA); otherwise the strand is ignored.
    pub stranded: bool,
    /// Windows without peaks that are drawn for each peak, on average; 0 for none.
    pub background: f64,
    /// The same for each peak on the test contigs.
    pub test_background: f64,
    /// Seed of the windows without peaks.
    pub seed: u64,
    /// Leave out peaks that do not fit the genome (unknown contig, past its end, empty) instead of refusing them.
    pub skip_bad_regions: bool,
    /// Go on although more than half of the peaks is lost.
    pub force: bool,
}

impl Default for PeakOptions {
    /// Windows of 101 bases around all peaks, no test set, no background.
    fn default() -> Self {
        PeakOptions {
            width: 101,
            max_peaks: None,
            test_contigs: Vec::new(),
            stranded: false,
            background: 0.0,
            test_background: 0.0,
            seed: 1,
            skip_bad_regions: false,
            force: false,
        }
    }
}

/// Windows on some contigs.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Windows {
    /// Around the peaks, strongest first.
    pub peaks: Vec<Vec<u8>>,
    /// Without peaks, of the same GC content and on the same contigs.
    pub background: Vec<Vec<u8>>,
}

/// Windows for training and test, and what became of the other peaks.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct PeakWindows {
    /// Windows on the contigs that were not held out.
    pub training: Windows,
    /// Windows on the test contigs.
    pub test: Windows,
    /// Peaks that were not used, and why.
    pub skipped: Skipped,
}

/// Peaks that were not used.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct Skipped {
    /// On a contig that the genome does not have.
    pub unknown_contig: usize,
    /// Intervals that are empty.
    pub empty: usize,
    /// The window would reach past the contig's ends.
    pub past_end: usize,
    /// More than half of the window is N.
    pub n_rich: usize,
    /// A stronger peak, or an earlier one, has the same summit.
    pub same_summit: usize,
    /// Weaker than the strongest that were asked for.
    pub weaker: usize,
    /// Peaks for which fewer windows without peaks were found than asked for.
    pub unmatched: usize,
}

impl Skipped {
    /// One sentence for each kind there is.
    pub fn messages(&self) -> Vec<String> {
        let kinds = [
            (self.unknown_contig, "on contigs that the genome does not have"),
            (self.empty, "empty"),
            (self.past_end, "past a contig's end, or too close to it"),
            (self.n_rich, "in stretches that are more than half N"),
            (self.same_summit, "with the summit of another"),
            (self.weaker, "weaker than the strongest that were asked for"),
        ];
        let mut messages: Vec<String> = kinds
            .iter()
            .filter(|(count, _)| *count > 0)
            .map(|&(count, why)| format!("{} {why}: left out", counted(count as u64, "peak")))
            .collect();
        if self.unmatched > 0 {
            let peaks = counted(self.unmatched as u64, "peak");
            messages.push(format!("for {peaks} too few windows without peaks were found"));
        }
        messages
    }
}

/// A line of a BED or narrowPeak file.
#[derive(Debug, Clone, PartialEq)]
struct Peak {
    line: u64,
    contig: String,
    start: u64,
    end: u64,
    summit: u64,
    strength: f64,
    reverse: bool,
}

/// Columns of narrowPeak. (BED with 12 columns has something else in the tenth.)
const NARROW_PEAK_COLUMNS: usize = 10;

/// Cuts windows around the peaks of a BED or narrowPeak file (plain or gzip) out of a FASTA file.
///
/// The summit is narrowPeak's tenth column, where there is one that is not -1, otherwise the middle of the interval.
/// Strongest first is by signal (narrowPeak) or score (fifth column), then in the order of the file.
///
/// # Errors
/// A file that cannot be read, a line that is no BED line, peaks that do not fit the genome (all of them are counted) unless
/// they are skipped, more than half of the peaks lost unless that is forced, a test contig that the genome does not have,
/// and nothing left outside the test contigs, or on them if there are any.
pub fn cut_windows(genome: &Path, peaks: &Path, options: &PeakOptions) -> Result<PeakWindows> {
    if options.width == 0 {
        return Err(Error::Request("a window must have 1 base or more".into()));
    }
    let mut skipped = Skipped::default();
    let all = read_peaks(peaks)?;
    let total = all.len();
    let mut check =
        Check { file: peaks, bad: BadRegions::default(), contigs: Vec::new(), ends: HashMap::new() };
    all.iter().for_each(|peak| check.take(peak, &mut skipped));
    let peaks_by_contig = by_contig(all.into_iter().filter(|peak| !peak.is_empty()).collect(), &mut skipped);
    let mut contig_names = ContigNames::new(
        peaks_by_contig.keys().chain(check.ends.keys()).collect::<BTreeSet<_>>().into_iter(),
    );
    let mut names = BTreeSet::new();
    let mut cut = Vec::new();
    for_each_contig(genome, |name, codes| {
        names.insert(name.to_owned());
        let theirs = contig_names.of(name)?.unwrap_or_else(|| name.to_owned());
        check.met(&theirs, name, codes.len() as u64);
        if let Some(peaks) = peaks_by_contig.get(&theirs) {
            let rng = Xoshiro256PlusPlus::seed_from_u64(options.seed.wrapping_add(names.len() as u64));
            let test = options.test_contigs.iter().any(|given| means(given, name));
            cut.extend(cut_contig((codes, test), peaks, options, rng, &mut skipped));
        }
        Ok(())
    })?;
    contig_names.tell();
    let unknown = peaks_by_contig.iter().filter(|(name, _)| !contig_names.is_met(name));
    skipped.unknown_contig = unknown.map(|(_, peaks)| peaks.len()).sum();
    check_held_out(&options.test_contigs, genome, &names)?;
    check.settle(total, options.skip_bad_regions)?;
    let windows = split(cut, options, skipped);
    let held_out = !options.test_contigs.is_empty();
    let missing = |where_from: &str| {
        let mut why = windows.skipped.messages();
        if windows.skipped.unknown_contig > 0 {
            why.push(format!(
                "the peaks are on {}; the genome has {}",
                some(peaks_by_contig.keys()),
                some(names.iter())
            ));
        }
        let why = if why.is_empty() { String::new() } else { format!(" ({})", why.join("; ")) };
        Err(Error::format(peaks, None, format!("no peak is left{where_from}{why}")))
    };
    let Skipped { unknown_contig, empty, past_end, n_rich, .. } = windows.skipped;
    let lost = unknown_contig + empty + past_end + n_rich;
    let any_left = windows.training.peaks.len() + windows.test.peaks.len() > 0;
    if any_left && 2 * lost > total && !options.force {
        let message = format!(
            "{lost} of {total} peaks are lost ({}): is this the genome that they were found on? --force goes on",
            windows.skipped.messages().join("; ")
        );
        return Err(Error::format(peaks, None, message));
    }
    match &windows {
        PeakWindows { training, .. } if training.peaks.is_empty() => {
            missing(if held_out { " outside the test contigs" } else { "" })
        }
        PeakWindows { test, .. } if test.peaks.is_empty() && held_out => missing(" on the test contigs"),
        _ => Ok(windows),
    }
}

/// Options for reading whole contigs with peaks.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct HeldOutOptions<'a> {
    /// Contigs that are read; none: all that have summits.
    pub contigs: &'a [String],
    /// Leave out summits that do not fit the genome, with a warning, instead of refusing them.
    pub skip_bad_regions: bool,
    /// Go on although more than half of the summits is lost.
    pub force: bool,
}

/// A contig that is held out, with the summits on it.
#[derive(Debug, Clone, PartialEq)]
pub struct HeldOut {
    /// Name of the contig.
    pub name: String,
    /// Codes of its bases.
    pub codes: Vec<u8>,
    /// Positions of the summits, ascending.
    pub summits: Vec<u64>,
}

/// Reads whole contigs with the summits on them.
///
/// # Errors
/// Files that cannot be read, a named contig that the genome does not have, no summits, summits that do not fit the genome
/// unless they are skipped, and more than half of the summits lost unless that is forced.
pub fn read_held_out(genome: &Path, peaks: &Path, options: &HeldOutOptions<'_>) -> Result<Vec<HeldOut>> {
    let mut summits: BTreeMap<String, BTreeSet<u64>> = BTreeMap::new();
    for peak in read_peaks(peaks)?.into_iter().filter(|peak| !peak.is_empty()) {
        summits.entry(peak.contig).or_default().insert(peak.summit);
    }
    let total: usize = summits.values().map(BTreeSet::len).sum();
    let (mut held_out, mut names, mut lost) = (Vec::new(), BTreeSet::new(), 0);
    let mut contig_names = ContigNames::new(summits.keys());
    for_each_contig(genome, |name, codes| {
        names.insert(name.to_owned());
        let theirs = contig_names.of(name)?;
        let mut here = theirs.and_then(|theirs| summits.remove(&theirs)).unwrap_or_default();
        lost += here.split_off(&(codes.len() as u64)).len();
        let named = if options.contigs.is_empty() {
            !here.is_empty()
        } else {
            options.contigs.iter().any(|given| means(given, name))
        };
        if named {
            let (name, codes) = (name.to_owned(), codes.to_vec());
            held_out.push(HeldOut { name, codes, summits: here.into_iter().collect() });
        }
        Ok(())
    })?;
    contig_names.tell();
    check_held_out(options.contigs, genome, &names)?;
    lost += summits.values().map(BTreeSet::len).sum::<usize>();
    let wrong = |message: String| Err(Error::format(peaks, None, message));
    let words = format!("{lost} of {total} summits lie on no contig of the genome, or past its end");
    if lost > 0 && !options.skip_bad_regions {
        return wrong(format!("{words}; --skip-bad-regions leaves them out"));
    }
    if 2 * lost > total && !options.force {
        return wrong(format!("{words}: is this the genome that they were found on? --force goes on"));
    }
    if lost > 0 {
        log::warn!("{words}: left out");
    }
    if held_out.iter().all(|contig| contig.summits.is_empty()) {
        return wrong(format!("none of its {total} summits lies on the contigs that are judged"));
    }
    Ok(held_out)
}

/// Refuses contigs to test on that the genome, with contigs of these `names`, does not have, or of which it has two.
fn check_held_out(given: &[String], genome: &Path, names: &BTreeSet<String>) -> Result<()> {
    for given in given {
        let meant: Vec<&String> = names.iter().filter(|name| means(given, name)).collect();
        let message = match meant[..] {
            [_] => continue,
            [] => format!("it has no contig {given} to test on; it has {}", some(names.iter())),
            _ => format!("its contigs {} are all called {given}: rename them", some(meant.into_iter())),
        };
        return Err(Error::format(genome, None, message));
    }
    Ok(())
}

/// Peaks that do not fit the genome.
struct Check<'a> {
    file: &'a Path,
    bad: BadRegions,
    /// Contigs of the genome as far as they have been read.
    contigs: Vec<Arc<Contig>>,
    /// Line, start and end of the peaks of each contig that has not been met.
    ends: HashMap<String, Vec<(u64, u64, u64)>>,
}

impl Check<'_> {
    /// Takes a peak into account.
    fn take(&mut self, peak: &Peak, skipped: &mut Skipped) {
        if peak.is_empty() {
            skipped.empty += 1;
            let (contig, start, end) = (&peak.contig, peak.start, peak.end);
            let place = self.place(peak.line);
            self.bad.add(Flaw::Empty, || format!("{contig} {start} {end} {place}: it is empty"));
        } else {
            let ends = self.ends.entry(peak.contig.clone()).or_default();
            ends.push((peak.line, peak.start, peak.end));
        }
    }

    fn place(&self, line: u64) -> String {
        format!("({}, line {line})", self.file.display())
    }

    /// Counts the peaks that end behind the contig `name` of this length, which has another name in their file.
    fn met(&mut self, theirs: &str, name: &str, length: u64) {
        let id = self.contigs.len();
        self.contigs.push(Arc::new(Contig { id, name: name.to_owned(), length: Some(length) }));
        for (line, start, end) in self.ends.remove(theirs).unwrap_or_default() {
            if end > length {
                let place = self.place(line);
                let words = || {
                    format!(
                        "{theirs} {start} {end} {place} runs past the end of {name}, which has {length} bases"
                    )
                };
                self.bad.add_clipped(words);
            }
        }
    }

    /// Refuses what does not fit, once all contigs are met; or says what is left out.
    fn settle(&mut self, total: usize, skip: bool) -> Result<()> {
        let mut unknown: Vec<((u64, u64, u64), String)> = Vec::new();
        for (name, ends) in std::mem::take(&mut self.ends) {
            unknown.extend(ends.into_iter().map(|peak| (peak, name.clone())));
        }
        unknown.sort_unstable();
        for ((line, start, end), name) in unknown {
            let (place, contigs) = (self.place(line), &self.contigs);
            let words = || {
                let hint = suggestion(&name, contigs);
                format!("{name} {start} {end} {place}: there is no contig {name} in the genome; {hint}")
            };
            self.bad.add(Flaw::UnknownContig, words);
        }
        // Peaks left out are counted in the notes.
        if skip { Ok(()) } else { self.bad.settle(total, "peaks", false) }
    }
}

/// The first few names.
fn some<'a>(names: impl ExactSizeIterator<Item = &'a String>) -> String {
    let (count, shown) = (names.len(), 5);
    let listed: Vec<&str> = names.take(shown).map(String::as_str).collect();
    listed.join(", ") + if count > shown { ", …" } else { "" }
}

/// Peaks with their places in the order of strength.
type Ranked = Vec<(usize, Peak)>;

/// Sorts by strength, drops peaks at the same place, and puts the rest by contig.
fn by_contig(mut peaks: Vec<Peak>, skipped: &mut Skipped) -> BTreeMap<String, Ranked> {
    peaks.sort_by(|a, b| b.strength.total_cmp(&a.strength));
    let mut summits = HashSet::new();
    let mut contigs: BTreeMap<String, Ranked> = BTreeMap::new();
    for (rank, peak) in peaks.into_iter().enumerate() {
        if summits.insert((peak.contig.clone(), peak.summit, peak.reverse)) {
            contigs.entry(peak.contig.clone()).or_default().push((rank, peak));
        } else {
            skipped.same_summit += 1;
        }
    }
    contigs
}

/// A window around a peak, with those drawn to match it.
struct Cut {
    rank: usize,
    test: bool,
    codes: Vec<u8>,
    background: Vec<Vec<u8>>,
}

/// Cuts the windows out of one contig. Its codes are used up: what has been taken is overwritten with N, so that a
/// window without N is free. `test` is true for a contig that is tested on.
fn cut_contig(
    (codes, test): (&mut [u8], bool),
    peaks: &Ranked,
    options: &PeakOptions,
    mut rng: Xoshiro256PlusPlus,
    skipped: &mut Skipped,
) -> Vec<Cut> {
    let mut cuts = Vec::with_capacity(peaks.len());
    for (rank, peak) in peaks {
        let start = peak.summit.checked_sub(options.width as u64 / 2);
        let range = start.map(|start| start as usize..(start as usize).saturating_add(options.width));
        let Some(window) = range.and_then(|range| codes.get(range)) else {
            skipped.past_end += 1;
            continue;
        };
        if 2 * window.iter().filter(|&&code| code == N).count() > window.len() {
            skipped.n_rich += 1;
            continue;
        }
        let codes = if options.stranded && peak.reverse { reversed(window) } else { window.to_vec() };
        cuts.push(Cut { rank: *rank, test, codes, background: Vec::new() });
    }
    if options.background > 0.0 || options.test_background > 0.0 {
        let half = options.width as u64 / 2;
        for (_, peak) in peaks {
            let taken = peak.start.min(peak.summit.saturating_sub(half))
                ..peak.end.max(peak.summit.saturating_add(half + 1));
            mask(codes, taken.start as usize, taken.end as usize);
        }
        draw_background(codes, &mut cuts, options, &mut rng, skipped);
    }
    cuts
}

impl Peak {
    fn is_empty(&self) -> bool {
        self.end <= self.start
    }
}

fn reversed(codes: &[u8]) -> Vec<u8> {
    let mut reverse = Vec::with_capacity(codes.len());
    reverse_complement_into(codes, &mut reverse);
    reverse
}

fn mask(codes: &mut [u8], start: usize, end: usize) {
    let end = end.min(codes.len());
    codes[start.min(end)..end].fill(N);
}

/// Places tried for a window, and after how many the GC count may be off by one base more.
const TRIES: usize = 20_000;
const TRIES_PER_BASE: usize = 400;

fn draw_background(
    codes: &mut [u8],
    cuts: &mut [Cut],
    options: &PeakOptions,
    rng: &mut Xoshiro256PlusPlus,
    skipped: &mut Skipped,
) {
    for (i, cut) in cuts.iter_mut().enumerate() {
        let background = if cut.test { options.test_background } else { options.background };
        let share = |count: usize| (count as f64 * background).round() as usize;
        let wanted = share(i + 1) - share(i);
        for _ in 0..wanted {
            let Some(start) = free_window(codes, &cut.codes, rng) else {
                skipped.unmatched += 1;
                break;
            };
            let end = start + options.width;
            cut.background.push(codes[start..end].to_vec());
            mask(codes, start, end);
        }
    }
}

/// Start of a random window without N and with the GC content of `like`, as near as it is found.
fn free_window(codes: &[u8], like: &[u8], rng: &mut Xoshiro256PlusPlus) -> Option<usize> {
    let last = codes.len().checked_sub(like.len())?;
    let gc = |window: &[u8]| window.iter().filter(|&&code| code == 1 || code == 2).count();
    let goal = gc(like);
    (0..TRIES).find_map(|attempt| {
        let start = rng.random_range(0..=last);
        let window = &codes[start..start + like.len()];
        let fits = !window.contains(&N) && gc(window).abs_diff(goal) <= attempt / TRIES_PER_BASE;
        fits.then_some(start)
    })
}

fn split(mut cuts: Vec<Cut>, options: &PeakOptions, mut skipped: Skipped) -> PeakWindows {
    cuts.sort_by_key(|cut| cut.rank);
    let keep = options.max_peaks.unwrap_or(cuts.len()).min(cuts.len());
    skipped.weaker = cuts.len() - keep;
    let mut windows = PeakWindows { skipped, ..PeakWindows::default() };
    for cut in cuts.into_iter().take(keep) {
        let side = if cut.test { &mut windows.test } else { &mut windows.training };
        side.peaks.push(cut.codes);
        side.background.extend(cut.background);
    }
    windows
}

/// Reads the contigs of a FASTA file, each as a whole.
fn for_each_contig(genome: &Path, mut visit: impl FnMut(&str, &mut [u8]) -> Result<()>) -> Result<()> {
    let shape = ChunkShape { own: 1 << 20, left: 0, right: 0, reach: 0 };
    let mut source = genome::open(genome, &genome::GenomeOptions::default())?.into_chunks(shape);
    let (mut chunk, mut codes) = (Chunk::default(), Vec::new());
    while source.read_chunk(&mut chunk)? {
        if chunk.first {
            codes.clear();
        }
        codes.extend_from_slice(&chunk.codes);
        if chunk.last {
            visit(&chunk.contig.name, &mut codes)?;
        }
    }
    Ok(())
}

fn read_peaks(path: &Path) -> Result<Vec<Peak>> {
    let mut lines = Lines::open(path)?;
    let (mut peaks, mut regions) = (Vec::new(), RegionLines::default());
    while let Some(line) = lines.next(false)? {
        let peak = match regions.parse(line) {
            Ok(Some((contig, start, end))) => parse_peak(line, contig, start, end).map(Some),
            Ok(None) => Ok(None),
            Err(message) => Err(message),
        };
        let peak = peak.map_err(|message| lines.error(message))?;
        if regions.ended {
            break;
        }
        peaks.extend(peak.map(|peak| Peak { line: lines.number(), ..peak }));
    }
    if peaks.is_empty() {
        return Err(lines.file_error("there is no peak in it"));
    }
    Ok(peaks)
}

/// A peak with this interval; the line is counted by the caller.
fn parse_peak(line: &str, contig: &str, start: u64, end: u64) -> Result<Peak, String> {
    let fields: Vec<&str> = line.split_whitespace().collect();
    let bed = fields.get(1).is_some_and(|field| field.parse::<u64>().is_ok());
    let peak = Peak {
        line: 0,
        contig: contig.to_owned(),
        start,
        end,
        summit: start,
        strength: 0.0,
        reverse: fields.get(if bed { 5 } else { 6 }) == Some(&"-"),
    };
    if !bed || peak.is_empty() {
        let summit = start + end.saturating_sub(start) / 2;
        return Ok(Peak { summit, ..peak });
    }
    let narrow = fields.len() == NARROW_PEAK_COLUMNS;
    let offset = match fields.get(NARROW_PEAK_COLUMNS - 1).filter(|_| narrow) {
        None | Some(&"-1") => (end - start) / 2,
        Some(text) => {
            let offset = text.parse().ok().filter(|&offset| offset < end - start);
            offset.ok_or_else(|| format!("the summit {text} (column 10) is no place within the interval"))?
        }
    };
    let number = |i: usize| fields.get(i).and_then(|field| field.parse::<f64>().ok()).filter(|x| !x.is_nan());
    let strength = number(if narrow { 6 } else { 4 }).unwrap_or(0.0);
    Ok(Peak { summit: start + offset, strength, ..peak })
}
