//! Scanning sequencing reads: each read's own bases are scored, and what is found is lifted to the reference.
//!
//! A read is scored by itself, as it is stored: in the direction of the reference, so that strands are those of the
//! reference. Sites are placed as [`Alignment::lift`](crate::reads::alignment::Alignment::lift) says.

use std::collections::HashSet;
use std::ops::Range;
use std::path::Path;
use std::sync::Arc;
use std::sync::atomic::AtomicBool;

use super::{NAMES_KEPT, Overlaps, ScanSummary};
use crate::Result;
use crate::engine::scanner::Scanners;
use crate::io::output;
use crate::io::output::{Output, Sealed};
use crate::null::distribution::Null;
use crate::pipeline;
use crate::reads;
use crate::reads::record::Read;
use crate::reads::{Batch, ReadFilter, ReadSource, Skip};
use crate::scan::chunk_hits::{Found, Need};
use crate::scores::{Hit, Scores, choose};
use crate::seq::chunk::Chunk;
use crate::seq::contig::{Contig, Strand};
use crate::sites::core::{Core, Located, Locator};
use crate::track::Target;
use crate::track::bam::{self, BamSink, BestWindow, Tagger};
use crate::track::provenance::Provenance;
use crate::track::read::ReadSite;
use crate::track::score::{Encoders, ScoreSink, ScoreWriter, Series, Shown};
use crate::track::site::Significance;
use crate::track::site::{Site, SiteLines, SiteSink};

mod aggregate;
mod lines;

pub use aggregate::Aggregate;
use aggregate::{Cell, Gather};
use lines::Lines;

/// Rank of a contig, and a position on it.
type Key = (u32, u64);

/// Behind all places.
const END: Key = (u32::MAX, u64::MAX);

/// Targets and outputs of a scan of reads.
#[derive(Debug)]
pub struct ReadScan {
    targets: Vec<Target>,
    overlaps: Overlaps,
    sites: Vec<(SiteLines, SiteSink)>,
    aggregates: Vec<(Aggregate, Series, ScoreSink)>,
    tagged: Vec<(usize, Output)>,
    provenance: Provenance,
    batch: usize,
}

/// Bases that a worker takes at a time, about, unless they are set.
const BATCH: usize = 1 << 16;

impl ReadScan {
    /// A scan for targets, in the order that tracks refer to, without an output so far.
    pub fn new(targets: Vec<Target>, overlaps: Overlaps) -> ReadScan {
        let (sites, aggregates, tagged) = (Vec::new(), Vec::new(), Vec::new());
        let provenance = Provenance::default();
        ReadScan { targets, overlaps, sites, aggregates, tagged, provenance, batch: BATCH }
    }

    /// Sets the tracks of sites: BED or TSV.
    pub fn sites(self, sites: Vec<(SiteLines, SiteSink)>) -> ReadScan {
        ReadScan { sites, ..self }
    }

    /// Sets the tracks of scores by reference position: how the reads become one value, target, strand and bin, and where it
    /// goes.
    pub fn aggregates(self, aggregates: Vec<(Aggregate, Series, ScoreSink)>) -> ReadScan {
        ReadScan { aggregates, ..self }
    }

    /// Sets the BAM files of all reads, those that are skipped included, in their order, each with the best window of one
    /// target in its tags; reads outside of the regions are left out.
    pub fn tagged(self, tagged: Vec<(usize, Output)>) -> ReadScan {
        ReadScan { tagged, ..self }
    }

    /// Sets the provenance, for the headers of BAM files.
    pub fn provenance(self, provenance: Provenance) -> ReadScan {
        ReadScan { provenance, ..self }
    }

    /// Sets the bases that a worker takes at a time, about; never changes the output.
    pub fn batch(self, batch: usize) -> ReadScan {
        ReadScan { batch, ..self }
    }
}

/// Counts of a scan of reads.
#[derive(Debug, Clone, Default)]
pub struct ReadSummary {
    /// Bases, windows and sites, of which reads are the segments.
    pub scan: ScanSummary,
    /// Reads that were skipped, in the order of [`Skip::ALL`].
    pub skipped: [u64; Skip::ALL.len()],
    /// Sites that were not written, because their middle is clipped.
    pub clipped_sites: u64,
}

impl ReadSummary {
    /// Counts that scans of genomes do not have, by name.
    pub fn counts(&self) -> [(&'static str, u64); 2] {
        [("reads_skipped", self.skipped.iter().sum()), ("sites_clipped", self.clipped_sites)]
    }

    fn add(&mut self, other: &ReadSummary) {
        let ScanSummary { bases, windows, left_out, sites, segments, short_segments, short_names, .. } =
            &other.scan;
        self.scan.bases += bases;
        self.scan.windows += windows;
        self.scan.left_out += left_out;
        self.scan.sites += sites;
        self.scan.segments += segments;
        self.scan.short_segments += short_segments;
        let room = NAMES_KEPT.saturating_sub(self.scan.short_names.len());
        self.scan.short_names.extend(short_names.iter().take(room).cloned());
        self.skipped.iter_mut().zip(other.skipped).for_each(|(all, more)| *all += more);
        self.clipped_sites += other.clipped_sites;
    }
}

/// Scans the reads of `source` with one set of scanners a worker, and writes the tracks of `scan`. Sites are written
/// sorted by contig, start and end if the reads are said to be sorted ([`ReadSource::is_sorted`]), else in the order of
/// the reads. Score tracks and tracks with an index need sorted reads, whether they are said to be so or not. `progress` is
/// told how far the input is read ([`ReadSource::progress`]) and the summary so far.
///
/// # Errors
/// Whatever the source, an engine or an output meets first; reads that are not sorted though they should be.
pub fn run(
    mut source: ReadSource,
    workers: Vec<Scanners>,
    scan: ReadScan,
    mut progress: impl FnMut((u64, Option<u64>), &ScanSummary),
    cancel: &AtomicBool,
) -> Result<ReadSummary> {
    let (lines, sinks): (Vec<_>, Vec<_>) = scan.sites.into_iter().unzip();
    let indexed = sinks.iter().any(SiteSink::is_compressed);
    let ordered = source.is_sorted() || indexed || !scan.aggregates.is_empty();
    if ordered {
        source.require_order();
    }
    let (tagged, outputs): (Vec<_>, Vec<_>) = scan.tagged.into_iter().unzip();
    if !tagged.is_empty() {
        source.group(bam::ROOM, bam::EXTRA);
    }
    let aggregates: Vec<_> = scan.aggregates.iter().map(|(how, series, _)| (*how, *series)).collect();
    let (contigs, filter) = (source.contigs().to_vec(), source.filter().clone());
    let path = source.path().to_path_buf();
    let lengths = source.lengths();
    let layout = Layout {
        targets: &scan.targets,
        overlaps: scan.overlaps,
        lines: &lines,
        aggregates: &aggregates,
        tagged: &tagged,
        filter: &filter,
        contigs: &contigs,
        lengths: &lengths,
        path: &path,
        ordered,
    };
    let workers = workers
        .into_iter()
        .map(|scanners| {
            let mut worker = Worker::new(layout, scanners);
            move |item: &Item, part: &mut Part| {
                part.progress = item.progress;
                worker.scan(&item.batch, part)
            }
        })
        .collect();
    let scores =
        scan.aggregates.into_iter().map(|(_, series, sink)| ScoreWriter::new(series, sink)).collect();
    let bam = |(&target, output): (&usize, Output)| {
        BamSink::new(output, source.header(), &contigs, &scan.targets[target], &scan.provenance)
    };
    let bams = tagged.iter().zip(outputs).map(bam).collect::<Result<Vec<_>>>()?;
    let mut writer = Writer::new(layout, sinks, scores, bams);
    pipeline::run(
        |item: &mut Item| {
            let more = source.read_batch(scan.batch, &mut item.batch)?;
            item.progress = source.progress();
            Ok(more)
        },
        workers,
        |part: &mut Part| {
            writer.write(part)?;
            progress(part.progress, &writer.summary.scan);
            Ok(())
        },
        cancel,
    )?;
    let (summary, sealed) = writer.seal()?;
    output::publish(sealed)?;
    Ok(summary)
}

#[derive(Default)]
struct Item {
    batch: Batch,
    progress: (u64, Option<u64>),
}

/// State that workers and writer of a scan share.
#[derive(Debug, Clone, Copy)]
struct Layout<'a> {
    targets: &'a [Target],
    overlaps: Overlaps,
    lines: &'a [SiteLines],
    aggregates: &'a [(Aggregate, Series)],
    /// The target of each BAM.
    tagged: &'a [usize],
    filter: &'a ReadFilter,
    contigs: &'a [Arc<Contig>],
    lengths: &'a [u64],
    path: &'a Path,
    /// True if reads come sorted.
    ordered: bool,
}

impl Layout<'_> {
    /// True if windows below the threshold count.
    fn whole(&self) -> bool {
        self.aggregates.iter().any(|(how, series)| !how.is_of_reached(series))
    }

    /// Gathers the windows `kept` of a read for one target, from row `row` of `scores`; or else gives the start of a window
    /// whose score is NaN. `places` are those of the read's bases, none of a read that is not aligned; what lies outside the
    /// region is not wanted.
    fn gather(
        &self,
        (rank, target): (usize, &Target),
        (scores, row): (&Scores, usize),
        kept: &[Range<usize>],
        (places, region): (&[u64], Option<&Range<u64>>),
        gathers: &mut [Gather],
    ) -> Result<(), u64> {
        for ((how, series), gather) in self.aggregates.iter().zip(gathers) {
            if series.target != rank || places.is_empty() {
                continue;
            }
            for i in kept.iter().flat_map(Range::clone) {
                let start = scores.start as usize + i * scores.stride;
                let strands = strands(series.strand, scores, row * scores.windows + i);
                if strands.into_iter().flatten().any(f32::is_nan) {
                    return Err(start as u64);
                }
                let lowest =
                    if how.is_of_reached(series) { target.thresholds } else { [f32::NEG_INFINITY; 2] };
                let Some((score, _)) = choose(strands[0], strands[1], lowest) else { continue };
                let place = places[start + target.window as usize / 2];
                let wanted = place != u64::MAX && region.is_none_or(|region| region.contains(&place));
                if wanted {
                    gather.add(place, score);
                }
            }
        }
        Ok(())
    }

    /// Puts the best of the windows `kept` of a read for one target, from row `row` of `scores`, where it is wanted; or else
    /// gives the start of a window whose score is NaN.
    fn find_best(
        &self,
        (rank, target): (usize, &Target),
        (scores, row): (&Scores, usize),
        kept: &[Range<usize>],
        best: &mut [Option<BestWindow>],
    ) -> Result<(), u64> {
        if !self.tagged.contains(&rank) {
            return Ok(());
        }
        let start = |at: usize| scores.start + (at * scores.stride) as u64;
        let part = |strand: &'_ [f32], range: &Range<usize>| match strand.is_empty() {
            true => 0..0,
            false => row * scores.windows + range.start..row * scores.windows + range.end,
        };
        let mut found: Option<(usize, f32, Strand)> = None;
        for range in kept {
            let forward = &scores.forward[part(&scores.forward, range)];
            let reverse = &scores.reverse[part(&scores.reverse, range)];
            let best = crate::scores::best(forward, reverse).map_err(|at| start(range.start + at))?;
            if let Some((at, score, strand)) = best
                && found.is_none_or(|(_, highest, _)| score > highest)
            {
                found = Some((range.start + at, score, strand));
            }
        }
        let found = found.map(|(at, score, strand)| BestWindow {
            score,
            offset: start(at),
            strand: (!target.symmetric).then_some(strand),
        });
        for (_, best) in self.tagged.iter().zip(best).filter(|(tagged, _)| **tagged == rank) {
            *best = found;
        }
        Ok(())
    }
}

/// A worker's share of the tracks.
#[derive(Default)]
struct Part {
    /// A site track each.
    lines: Vec<Lines>,
    /// A score track each, sorted.
    cells: Vec<Vec<(Key, Cell)>>,
    /// Blocks of each BAM.
    blocks: Vec<Vec<u8>>,
    /// Place of the last read; all that comes later starts there or behind it.
    reached: Option<Key>,
    summary: ReadSummary,
    progress: (u64, Option<u64>),
}

struct Worker<'a> {
    layout: Layout<'a>,
    groups: HashSet<&'a [u8]>,
    scanners: Scanners,
    /// The targets of each scanner, with their ranks.
    targets: Vec<Vec<(usize, &'a Target)>>,
    /// Hits of the current scanner.
    found: Found,
    locator: Locator,
    read: Read,
    /// The read, as engines see it.
    chunk: Chunk,
    /// Places of the read's bases, if score tracks are wanted.
    places: Vec<u64>,
    /// A score track each.
    gathers: Vec<Gather>,
    /// A BAM each.
    taggers: Vec<Tagger>,
    /// The best window of the read, for each BAM.
    best: Vec<Option<BestWindow>>,
    blocks: Vec<Range<u64>>,
    /// Contig name of reads that are not aligned.
    nowhere: Contig,
}

impl<'a> Worker<'a> {
    fn new(layout: Layout<'a>, scanners: Scanners) -> Worker<'a> {
        let of_scanner = |number| {
            let ranked = layout.targets.iter().enumerate();
            ranked.filter(|(_, target)| target.scanner == number).collect()
        };
        Worker {
            targets: (0..scanners.len()).map(of_scanner).collect(),
            taggers: layout.tagged.iter().map(|_| Tagger::new()).collect(),
            best: vec![None; layout.tagged.len()],
            groups: reads::groups(layout.filter),
            gathers: layout.aggregates.iter().map(|(how, series)| Gather::new(*how, series.bin)).collect(),
            layout,
            scanners,
            found: Found::default(),
            locator: Locator::default(),
            read: Read::default(),
            chunk: Chunk::whole("", Vec::new()),
            places: Vec::new(),
            blocks: Vec::new(),
            nowhere: Contig { id: usize::MAX, name: "*".into(), length: None },
        }
    }

    fn scan(&mut self, batch: &Batch, part: &mut Part) -> Result<()> {
        part.summary = ReadSummary::default();
        part.reached = batch.reached;
        part.lines.resize_with(self.layout.lines.len(), Lines::default);
        part.lines.iter_mut().for_each(Lines::clear);
        part.cells.resize_with(self.layout.aggregates.len(), Vec::new);
        part.cells.iter_mut().for_each(Vec::clear);
        part.blocks.resize_with(self.layout.tagged.len(), Vec::new);
        part.blocks.iter_mut().for_each(Vec::clear);
        for (rank, (number, record)) in batch.records().enumerate() {
            let Layout { filter, lengths, .. } = self.layout;
            let taken = self.read.take(record, filter, &self.groups, lengths, &mut self.chunk.codes);
            let skip = taken.map_err(|message| self.read.error(self.layout.path, number, &message))?;
            let place = reads::record_place(record);
            self.best.fill(None);
            let wanted = batch.region().is_none_or(|region| self.overlaps(skip, place, region));
            match skip {
                _ if !wanted => {}
                Some(skip) => part.summary.skipped[skip as usize] += 1,
                None => self.scan_read(number, place, batch.region(), part)?,
            }
            for ((tagger, best), blocks) in self.taggers.iter_mut().zip(&self.best).zip(&mut part.blocks) {
                if wanted {
                    let put = tagger.put(record, best.as_ref());
                    put.map_err(|message| self.read.error(self.layout.path, number, &message))?;
                }
                if batch.ends_group(rank) {
                    tagger.end_block(blocks);
                }
            }
        }
        for (gather, cells) in self.gathers.iter_mut().zip(&mut part.cells) {
            gather.finish(cells);
        }
        if self.layout.ordered {
            part.lines.iter_mut().for_each(Lines::sort);
        }
        Ok(())
    }

    /// True if a read overlaps a region of its contig. Of one that is skipped, or not aligned, the start decides.
    fn overlaps(&self, skip: Option<Skip>, (_, place): Key, region: &Range<u64>) -> bool {
        let end = match (skip, self.read.contig) {
            (None, Some(_)) => self.read.alignment.end(),
            _ => place + 1,
        };
        place < region.end && end > region.start
    }

    fn scan_read(
        &mut self,
        number: u64,
        place: Key,
        region: Option<&Range<u64>>,
        part: &mut Part,
    ) -> Result<()> {
        let bases = self.chunk.codes.len() as u64;
        (self.chunk.own, self.chunk.end) = (0..bases, bases);
        part.summary.scan.bases += bases;
        part.summary.scan.segments += 1;
        let placed = self.read.contig.filter(|_| !self.gathers.is_empty());
        if let Some(contig) = placed {
            self.read.alignment.places(&mut self.places);
            for (gather, cells) in self.gathers.iter_mut().zip(&mut part.cells) {
                gather.advance(contig as u32, self.read.start, cells);
            }
        }
        let layout = self.layout;
        let need = Need {
            all: layout.whole() || !layout.tagged.is_empty(),
            scores: !layout.aggregates.is_empty() || !layout.tagged.is_empty(),
            hits: !layout.lines.is_empty(),
        };
        let (read, gathers, best) = (&self.read, &mut self.gathers, &mut self.best);
        let places = if placed.is_some() { &*self.places } else { &[] };
        let mut short = false;
        let mut sites = Vec::new();
        for (scanner, targets) in self.scanners.iter_mut().zip(&self.targets) {
            self.found.scan(
                scanner.as_mut(),
                &self.chunk,
                targets,
                need,
                |target, scores, row, kept| {
                    layout.gather(target, (scores, row), kept, (places, region), gathers)?;
                    layout.find_best(target, (scores, row), kept, best)
                },
                |start| format!("base {} of record {number} ({})", start + 1, read.shown_name()),
            )?;
            part.summary.scan.windows += self.found.windows.iter().sum::<u64>() - self.found.left_out;
            part.summary.scan.left_out += self.found.left_out;
            short |= self.found.windows.contains(&0);
            for &(rank, target) in targets {
                let found = self.found.hits(target.output);
                found.iter_mut().for_each(|hit| hit.target = rank);
                if layout.overlaps == Overlaps::Keep {
                    let core = Core::whole(target.window);
                    sites.extend(found.drain(..).map(|hit| Located { hit, core, spread: f32::NAN }));
                    continue;
                }
                let mut finder =
                    self.locator.begin(&target.cores, scanner.as_mut(), target.output, &self.chunk);
                let everything = 0..u64::MAX;
                let found = target.suppress(found, &everything, |i| finder.off_centre(&found[i]));
                let mut located = |hit: Hit| Located { hit, core: finder.core(&hit), spread: f32::NAN };
                sites.extend(found.hits.into_iter().map(&mut located));
                finder.finish()?;
            }
        }
        if short {
            part.summary.scan.short_segments += 1;
            if part.summary.scan.short_names.len() < NAMES_KEPT {
                part.summary.scan.short_names.push(self.read.shown_name());
            }
        }
        sites.sort_unstable_by_key(Located::place);
        for site in &sites {
            self.write(site, place, part);
        }
        Ok(())
    }

    /// Writes a site.
    fn write(&mut self, located: &Located, place: Key, part: &mut Part) {
        let Located { hit, core, spread } = located;
        let target = &self.layout.targets[hit.target];
        let span = target.span_of(located);
        let (contig, place) = match self.read.contig {
            Some(contig) => {
                let of_read = span.start as usize..span.end as usize;
                if !self.read.alignment.lift(of_read, &mut self.blocks) {
                    part.summary.clipped_sites += 1;
                    return;
                }
                (&*self.layout.contigs[contig], (contig as u32, self.blocks[0].start))
            }
            None => {
                self.blocks.clear();
                self.blocks.push(span);
                (&self.nowhere, place)
            }
        };
        let step = |null: &Null| null.step(hit.score, hit.strand);
        let significance = target.null.as_ref().map(|null| Significance::new(null, step(null), None));
        let site = Site { contig, target, hit, core: *core, spread: *spread, codes: &[], significance };
        let Read { name, flags, mapq, .. } = &self.read;
        let read = ReadSite { name, flags: *flags, mapq: *mapq, blocks: &self.blocks };
        part.summary.scan.sites += 1;
        for (track, lines) in self.layout.lines.iter().zip(&mut part.lines) {
            if track.target.is_none_or(|only| only == hit.target) {
                lines.add(place, read.end(), |out| track.write_read(&site, &read, out));
            }
        }
    }
}

/// The forward and the reverse score of a window, as far as a track of a strand shows them.
fn strands(strand: Shown, scores: &Scores, at: usize) -> [Option<f32>; 2] {
    let forward = (strand != Shown::Reverse).then(|| scores.forward.get(at)).flatten();
    let reverse = (strand != Shown::Forward).then(|| scores.reverse.get(at)).flatten();
    [forward, reverse].map(Option::<&f32>::copied)
}

/// Writer of the workers' parts, in the order of the reads.
struct Writer<'a> {
    layout: Layout<'a>,
    sinks: Vec<SiteSink>,
    scores: Vec<ScoreWriter>,
    encoders: Encoders,
    bams: Vec<BamSink>,
    /// A site track each.
    lines: Vec<Lines>,
    /// A score track each, sorted.
    cells: Vec<Vec<(Key, Cell)>>,
    text: Vec<u8>,
    summary: ReadSummary,
}

impl<'a> Writer<'a> {
    fn new(
        layout: Layout<'a>,
        sinks: Vec<SiteSink>,
        scores: Vec<ScoreWriter>,
        bams: Vec<BamSink>,
    ) -> Writer<'a> {
        Writer {
            layout,
            bams,
            lines: sinks.iter().map(|_| Lines::default()).collect(),
            cells: vec![Vec::new(); scores.len()],
            sinks,
            scores,
            encoders: Encoders::default(),
            text: Vec::new(),
            summary: ReadSummary::default(),
        }
    }

    fn write(&mut self, part: &mut Part) -> Result<()> {
        self.summary.add(&part.summary);
        self.bams.iter_mut().zip(&part.blocks).try_for_each(|(bam, blocks)| bam.write(blocks))?;
        if !self.layout.ordered {
            return self
                .sinks
                .iter_mut()
                .zip(&part.lines)
                .try_for_each(|(sink, lines)| sink.write(lines.bytes()));
        }
        for (pending, lines) in self.lines.iter_mut().zip(&part.lines) {
            pending.append(lines);
        }
        for (pending, cells) in self.cells.iter_mut().zip(&mut part.cells) {
            pending.append(cells);
            aggregate::join(pending);
        }
        self.settle(part.reached.unwrap_or_default())
    }

    /// Writes what lies before `bound`.
    fn settle(&mut self, bound: Key) -> Result<()> {
        for (pending, sink) in self.lines.iter_mut().zip(&mut self.sinks) {
            self.text.clear();
            pending.settle(bound, &mut self.text);
            sink.write(&self.text)?;
        }
        let tracks = self.layout.aggregates.iter().zip(&mut self.cells).zip(&mut self.scores);
        for (((how, series), pending), writer) in tracks {
            let settled = pending.partition_point(|&((contig, start), _)| {
                (contig, start.saturating_add(series.bin - 1)) < bound
            });
            let mut values = Vec::new();
            for of_contig in pending[..settled].chunk_by(|a, b| a.0.0 == b.0.0) {
                let contig = of_contig[0].0.0 as usize;
                let length = self.layout.lengths[contig];
                values.clear();
                values.extend(of_contig.iter().map(|((_, start), cell)| {
                    (*start, start.saturating_add(series.bin).min(length), cell.value(*how))
                }));
                writer.write_values(&self.layout.contigs[contig], &values, &mut self.encoders)?;
            }
            pending.drain(..settled);
        }
        Ok(())
    }

    /// Writes what is left; gives the summary, and the files that wait for their names.
    fn seal(mut self) -> Result<(ReadSummary, Vec<Sealed>)> {
        self.settle(END)?;
        let mut sealed = Vec::new();
        for sink in self.sinks {
            sealed.extend(sink.seal(self.layout.contigs)?);
        }
        for writer in self.scores {
            sealed.extend(writer.seal(self.layout.contigs, &mut self.encoders)?);
        }
        for bam in self.bams {
            sealed.push(bam.seal()?);
        }
        Ok((self.summary, sealed))
    }
}
