//! Scanning reads: options that choose them, and what becomes of them.

use std::path::{Path, PathBuf};

use anyhow::{Result, bail, ensure};
use bindscan::engine::scanner::Scanners;
use bindscan::io::input::RawInput;
use bindscan::reads::{ReadFilter, ReadOptions, ReadSource, Skip, parse_flags};
use bindscan::report::counted;
use bindscan::scan::Overlaps;
use bindscan::scan::reads::{self, Aggregate, ReadScan, ReadSummary};
use bindscan::seq::contig::RegionQuery;
use bindscan::track::Target;
use bindscan::track::provenance::Provenance;
use clap::{Args, ValueEnum};

use super::heading;
use super::progress::{Findings, Progress, bases_per_second, grouped};
use super::track::Tracks;
use super::{CANCELLED, Session, message};

#[derive(Debug, Args)]
pub(super) struct ReadArgs {
    /// Decode CRAM with this genome (FASTA or 2bit) [default: the one that the CRAM names]
    #[arg(short = 'T', long, value_name = "GENOME", help_heading = heading::READS)]
    reference: Option<PathBuf>,
    /// Skip aligned reads with a lower mapping quality
    #[arg(short = 'q', long, value_name = "QUALITY", help_heading = heading::READS)]
    min_mapq: Option<u8>,
    /// Skip reads without all of these flags: a number (0x…) or names (DUP,SECONDARY)
    #[arg(short = 'f', long, value_name = "FLAGS", value_parser = parse_flags, help_heading = heading::READS)]
    require_flags: Option<u16>,
    /// Skip reads with any of these flags [default: 0xF00]
    ///
    /// The default skips secondary and supplementary alignments, duplicates, and reads that failed quality checks.
    #[arg(short = 'F', long, value_name = "FLAGS", value_parser = parse_flags, help_heading = heading::READS)]
    exclude_flags: Option<u16>,
    /// Read bases with a lower quality as N
    #[arg(long, value_name = "QUALITY", help_heading = heading::READS)]
    min_baseq: Option<u8>,
    /// Also score unmapped reads (on contig *, in read coordinates)
    #[arg(long, help_heading = heading::READS)]
    unmapped: bool,
    /// Score reads of this read group only (repeatable)
    #[arg(long, value_name = "ID", help_heading = heading::READS)]
    read_group: Vec<String>,
    /// Combine the reads at a position into one value of a score track
    ///
    /// Needed for .bedGraph and .bw output. A window counts at its middle base.
    #[arg(long, value_name = "HOW", help_heading = heading::READS)]
    aggregate: Option<AggregateArg>,
}

#[derive(Debug, Clone, Copy, ValueEnum)]
enum AggregateArg {
    /// The highest score
    Max,
    /// The mean score
    Mean,
    /// The number of windows that reach the threshold
    Count,
}

impl ReadArgs {
    /// Aggregation of reads into one value, if asked for.
    pub(super) fn aggregate(&self) -> Option<Aggregate> {
        self.aggregate.map(|aggregate| match aggregate {
            AggregateArg::Max => Aggregate::Max,
            AggregateArg::Mean => Aggregate::Mean,
            AggregateArg::Count => Aggregate::Count,
        })
    }

    /// An option that has a meaning for reads only, if one was given.
    pub(super) fn given(&self) -> Option<&'static str> {
        let options = [
            (self.reference.is_some(), "--reference (-T)"),
            (self.min_mapq.is_some(), "--min-mapq (-q)"),
            (self.require_flags.is_some(), "--require-flags (-f)"),
            (self.exclude_flags.is_some(), "--exclude-flags (-F)"),
            (self.min_baseq.is_some(), "--min-baseq"),
            (self.unmapped, "--unmapped"),
            (!self.read_group.is_empty(), "--read-group"),
            (self.aggregate.is_some(), "--aggregate"),
        ];
        options.into_iter().find_map(|(given, option)| given.then_some(option))
    }

    fn filter(&self) -> ReadFilter {
        ReadFilter {
            min_mapq: self.min_mapq.unwrap_or_default(),
            required: self.require_flags.unwrap_or_default(),
            excluded: self.exclude_flags.unwrap_or(ReadFilter::EXCLUDED),
            unmapped: self.unmapped,
            min_base_quality: self.min_baseq.unwrap_or_default(),
            read_groups: self.read_group.clone(),
        }
    }

    /// Opens reads; `threads` score them. `tagged`: they are written again.
    pub(super) fn open(
        &self,
        path: &Path,
        input: RawInput,
        regions: Vec<RegionQuery>,
        threads: usize,
        tagged: bool,
    ) -> Result<ReadSource> {
        // A thread decompresses about as fast as two score.
        let options = ReadOptions {
            filter: self.filter(),
            regions,
            threads: threads.div_ceil(2),
            reference: self.reference.clone(),
            all_tags: tagged,
        };
        let source = ReadSource::open(path, input, options)?;
        log::debug!("{}: reads on {} contigs", path.display(), source.contigs().len());
        Ok(source)
    }

    /// Checks that every site has a place where an index is wanted: `indexed` tracks of sites are.
    pub(super) fn check_places(&self, indexed: bool) -> Result<()> {
        ensure!(
            !indexed || !self.unmapped,
            "--unmapped: sites without a place cannot be indexed; leave out the .gz"
        );
        Ok(())
    }

    /// Scans reads.
    #[allow(clippy::too_many_arguments, reason = "what a scan is made of")]
    pub(super) fn scan(
        &self,
        source: ReadSource,
        workers: Vec<Scanners>,
        (targets, overlaps, left_out): (Vec<Target>, Overlaps, String),
        tracks: Tracks,
        provenance: Provenance,
        batch: usize,
        session: Session,
    ) -> Result<ReadSummary> {
        let how = self.aggregate();
        let aggregates = tracks.scores.into_iter();
        let aggregates = aggregates
            .map(|(series, sink)| (how.expect("there are no score tracks without it"), series, sink))
            .collect();
        let findings = if tracks.sites.is_empty() { Findings::Nothing } else { Findings::Sites };
        let scan = ReadScan::new(targets, overlaps)
            .sites(tracks.sites)
            .aggregates(aggregates)
            .tagged(tracks.reads)
            .provenance(provenance)
            .batch(batch);
        let mut progress = Progress::start(session, "scanning the first reads");
        let result = reads::run(
            source,
            workers,
            scan,
            |at, summary| progress.show_scan(at, summary, 0, findings),
            &CANCELLED,
        );
        progress.clear();
        let summary = result?;
        if !session.quiet {
            let mut line = summary_line(&summary, findings, session.elapsed().as_secs_f64());
            if summary.scan.left_out > 0 {
                line += &format!("; {} {left_out} left out", counted(summary.scan.left_out, "window"));
            }
            message(line);
        }
        Ok(summary)
    }
}

/// Refuses an option that was given, but has no meaning for reads.
pub(super) fn refuse(path: &Path, options: &[(bool, &str)]) -> Result<()> {
    if let Some((_, option)) = options.iter().find(|(given, _)| *given) {
        bail!("{option} is for genomes, and {} holds reads", path.display());
    }
    Ok(())
}

fn summary_line(summary: &ReadSummary, findings: Findings, seconds: f64) -> String {
    let scan = &summary.scan;
    let mut line = format!(
        "{}, {} bases, {} windows{} in {seconds:.2} s ({})",
        counted(scan.segments, "read"),
        grouped(scan.bases),
        grouped(scan.windows),
        findings.describe(scan.sites),
        bases_per_second(scan.bases, seconds)
    );
    if summary.clipped_sites > 0 {
        line += &format!("; {} with a clipped middle not written", counted(summary.clipped_sites, "site"));
    }
    if scan.short_segments > 0 {
        let list = scan.short_list();
        let short = counted(scan.short_segments, "read");
        line += &format!("; {short} shorter than a window (--window sets another): {list}");
    }
    if let Some(skipped) = skipped(&summary.skipped) {
        line += &format!("; {skipped}");
    }
    line
}

/// The reads that were skipped, and why, in words; `None` if there is none.
pub(super) fn skipped(counts: &[u64; Skip::ALL.len()]) -> Option<String> {
    let counts = Skip::ALL.iter().zip(counts).filter(|(_, count)| **count > 0);
    let words: Vec<_> = counts.map(|(skip, &count)| format!("{} {}", grouped(count), skip.words())).collect();
    (!words.is_empty()).then(|| format!("skipped: {}", words.join(", ")))
}
