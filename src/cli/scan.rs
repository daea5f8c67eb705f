//! `bindscan scan`.

use std::path::{Path, PathBuf};

use anyhow::{Context, Result, bail, ensure};
use bindscan::calibrate::nulls::{Oddities, Setting};
use bindscan::engine::scanner::chunk_shape;
use bindscan::genome;
use bindscan::genome::shard::Shard;
use bindscan::genome::{Genome, GenomeOptions};
use bindscan::io::digest;
use bindscan::io::input::RawInput;
use bindscan::io::output;
use bindscan::model::usage::{Level, Threshold};
use bindscan::null::fdr::TestCounts;
use bindscan::null::peaks::HIGHEST_P;
use bindscan::reads::ReadFormat;
use bindscan::report::counted;
use bindscan::scan::journal::Journal;
use bindscan::scan::reads::Aggregate;
use bindscan::scan::search::{Search, SiteChoice};
use bindscan::scan::{self, Job, Overlaps, ScanSummary};
use bindscan::seq::contig::RegionQuery;
use bindscan::seq::contig::Strand;
use bindscan::track::provenance::Provenance;
use bindscan::track::provenance::ShardMark;
use bindscan::track::site::Columns;
use bindscan::track::{self, Format, SiteFormat, Span, Target};
use clap::error::ErrorKind;
use clap::{Args, ValueEnum};

use super::estimate;
use super::heading;
use super::models::{ModelArgs, Planned};
use super::progress::{Findings, Progress, bases_per_second, grouped};
use super::reads::{self, ReadArgs};
use super::region::{AliasArgs, RegionArgs};
use super::report::{self, ReportArgs};
use super::significance::{NullArgs, NullProgress, parse_probability};
use super::summary::{self, SummaryArgs};
use super::track::{Outputs, TrackArgs, Tracks, provenance};
use super::{CANCELLED, Session, message};

/// Find binding sites in a genome or in reads
///
/// Scores every window of every contig with every model. Windows that reach the threshold become sites: of overlapping
/// windows the best one is kept. Sites are written in the order of the genome. Scores of all windows are written as
/// bedGraph or bigWig in the same pass.
///
/// Of reads (BAM, SAM, CRAM), the sequenced bases are scored and sites are lifted to the reference. Their BED has 12
/// columns, with the read's name as the name, followed by the model, the raw score and the window's first base in the
/// read.
#[derive(Debug, Args)]
pub(super) struct ScanArgs {
    /// Genome (FASTA, plain or compressed, or 2bit) or reads (BAM, SAM, CRAM); - for standard input
    genome: PathBuf,
    #[command(flatten)]
    models: ModelArgs,
    /// Report sites with at least this score; repeat for one score a model [default: each model's own]
    ///
    /// Trained and calibrated models have a default threshold; inspect prints what it means.
    #[arg(long, value_name = "SCORE", value_parser = parse_threshold, help_heading = heading::SITES)]
    threshold: Vec<f32>,
    /// Report sites with at most this p-value
    ///
    /// The p-value is the probability that one strand of one window of background sequence scores as high. Those of
    /// motifs are exact; networks without a stored calibration are sampled first.
    #[arg(long, value_name = "P", value_parser = parse_probability, conflicts_with_all = ["threshold", "all", "qvalue"], help_heading = heading::SITES)]
    pvalue: Option<f64>,
    /// Report sites at this false discovery rate (Benjamini-Hochberg)
    ///
    /// The rate is that of sites: what background has after suppression is compared with what the genome has. With
    /// --shard, candidate sites are written and bindscan merge computes the q-values.
    #[arg(long, value_name = "Q", value_parser = parse_probability, conflicts_with_all = ["threshold", "all"], help_heading = heading::SITES)]
    qvalue: Option<f64>,
    /// Write every window, whatever its score
    #[arg(long, conflicts_with_all = ["overlaps", "threshold"], help_heading = heading::SITES)]
    all: bool,
    /// Choose what happens to overlapping windows that reach the threshold
    #[arg(long, default_value = "suppress", help_heading = heading::SITES)]
    overlaps: OverlapsArg,
    /// Report sites of each strand by themselves, as FIMO does
    ///
    /// A palindrome is then a site on both strands. By default only the better strand of a window is reported.
    #[arg(long, help_heading = heading::SITES)]
    both_strands: bool,
    /// Choose what a site spans in tracks [default: core]
    ///
    /// The core is the bases that carry the score; a motif is its own core. With --all and --overlaps keep, windows
    /// are written.
    #[arg(long, value_name = "core|window", conflicts_with = "all", help_heading = heading::SITES)]
    site: Option<SiteArg>,
    /// Set the distance between window starts
    #[arg(long, value_name = "BASES", default_value = "1", value_parser = super::parse_positive, help_heading = heading::MODEL)]
    stride: usize,
    /// Leave out windows with a larger fraction of N [default: 0.1; motifs: 0]
    ///
    /// Such windows give no sites, no p-values and no values in tracks; the summary counts them. 1 keeps all windows.
    #[arg(long, value_name = "FRACTION", value_parser = parse_fraction, help_heading = heading::SITES)]
    max_n: Option<f64>,
    #[command(flatten)]
    null: NullArgs,
    #[command(flatten)]
    regions: RegionArgs,
    #[command(flatten)]
    aliases: AliasArgs,
    /// Scan one of N equal parts of the genome, as 3/10; join the outputs with merge
    #[arg(long, value_name = "I/N", help_heading = heading::SHARDS)]
    shard: Option<Shard>,
    /// Continue an interrupted scan that was started with this option
    ///
    /// The state is kept beside the first output and removed at the end.
    #[arg(long, help_heading = heading::SHARDS)]
    resume: bool,
    /// Read soft-masked (lower-case) bases as N
    #[arg(long, help_heading = heading::INPUT)]
    mask_lowercase: bool,
    #[command(flatten)]
    reads: ReadArgs,
    #[command(flatten)]
    tracks: TrackArgs,
    #[command(flatten)]
    report: ReportArgs,
    #[command(flatten)]
    summary: SummaryArgs,
    /// Use this many threads [default: all cores]
    #[arg(short, long, value_parser = super::parse_threads, help_heading = heading::RUN)]
    threads: Option<usize>,
    /// Set the window starts of a chunk [default: 65536, fewer with many outputs]
    ///
    /// The output does not depend on it.
    #[arg(long, value_name = "BASES", value_parser = super::parse_positive, hide_short_help = true, help_heading = heading::RUN)]
    chunk_size: Option<usize>,
}

pub(super) fn parse_threshold(text: &str) -> Result<f32, String> {
    match text.parse::<f32>() {
        Ok(threshold) if !threshold.is_nan() => Ok(threshold),
        _ => Err("not a number".into()),
    }
}

pub(super) fn parse_fraction(text: &str) -> Result<f64, String> {
    match text.parse::<f64>() {
        Ok(fraction) if (0.0..=1.0).contains(&fraction) => Ok(fraction),
        _ => Err("give a number from 0 to 1".into()),
    }
}

#[derive(Debug, Clone, Copy, ValueEnum)]
pub(super) enum OverlapsArg {
    /// Keep the best one
    Suppress,
    /// Keep all
    Keep,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq, ValueEnum)]
enum SiteArg {
    /// The bases that carry the score
    Core,
    /// The window
    Window,
}

impl ScanArgs {
    pub(super) fn run(self, session: Session) -> Result<()> {
        let (p, q) = (self.rate().is_some(), self.qvalue.is_some());
        let columns =
            Columns { p, q, read: false, summit: !self.keeps_all(), spread: self.models.is_ensemble() };
        let aggregate = self.reads.aggregate();
        let mut outputs = self.tracks.outputs(self.stride, columns, aggregate.is_some())?;
        let chosen = outputs.have_sites() || outputs.are_sparse() || aggregate == Some(Aggregate::Count);
        self.check_thresholds(&outputs, chosen)?;
        outputs.check_significance(columns.p, self.q_later())?;
        ensure!(
            !(outputs.are_sparse() && aggregate == Some(Aggregate::Count)),
            "--sparse has no effect with --aggregate count: only windows that reach the threshold are counted; leave it out"
        );
        ensure!(
            !(self.q_later() && self.report.is_wanted()),
            "--report cannot be combined with --shard and --qvalue: q-values are only known after merge"
        );
        ensure!(
            !(self.site == Some(SiteArg::Core) && matches!(self.overlaps, OverlapsArg::Keep)),
            "--site core cannot be combined with --overlaps keep, which writes all windows"
        );
        self.models.check_stdin(&self.genome, "genome")?;
        let models = self.models.open(self.stride)?;
        let threads = super::threads(self.threads);
        let choice = self.choice(&models, chosen, session)?;
        let mut search = Search::new(models, choice, self.max_n, threads)?;
        let strands = search.strands();
        if self.site == Some(SiteArg::Window) {
            search.targets.iter_mut().for_each(|target| target.span = Span::Window);
        }
        let options = self.source_options()?;
        let input = RawInput::open(&self.genome)?;
        let is_reads = ReadFormat::detect(&input).is_some();
        if is_reads {
            self.refuse_for_reads()?;
            outputs.show_reads(aggregate.is_some())?;
        } else if let Some(option) = self.reads.given() {
            bail!("{option} is for reads, and {} is neither BAM, SAM nor CRAM", self.genome.display());
        } else if let Some(path) = outputs.of_reads() {
            bail!("{}: BAM is written of reads, and {} holds none", path.display(), self.genome.display());
        }
        let setting = Setting {
            genome: (!is_reads).then_some(&*self.genome),
            mask_lowercase: self.mask_lowercase,
            threads,
            cancel: &CANCELLED,
        };
        let overlaps = if self.keeps_all() { Overlaps::Keep } else { Overlaps::Suppress };
        if self.both_strands {
            search.report_each_strand(overlaps)?;
        }
        search.set_p_values(&self.null.options(), overlaps, &setting, &mut NullProgress::new(session))?;
        let mut speeds = estimate::Speeds::default();
        let chunk_size = match self.chunk_size {
            Some(size) => size,
            None => {
                let most = search.default_chunk_size(self.all);
                estimate::chunk_size(&mut search.workers[0], &mut speeds, most)
            }
        };
        let Search { models, mut workers, places, targets, significance, .. } = search;
        let tested = targets.clone();
        let shape = chunk_shape(chunk_size, &workers[0]);
        if is_reads {
            let source = self.reads.open(
                &self.genome,
                input,
                options.regions,
                threads,
                outputs.of_reads().is_some(),
            )?;
            self.reads.check_places(outputs.have_indexed_sites())?;
            let provenance = provenance(&models, &significance, session);
            let tracks = outputs.open(&targets, &strands, &provenance)?;
            let batch = chunk_size;
            let left_out = self.left_out_words(&models);
            let found = (targets, overlaps, left_out);
            let summary_file = self.summary.open()?;
            let done = self.reads.scan(source, workers, found, tracks, provenance, batch, session)?;
            if let Some(output) = summary_file {
                let more = done.counts();
                output::publish([summary::write(
                    output,
                    &self.scanned(&models, session),
                    &done.scan,
                    &more,
                )?])?;
            }
            return Ok(());
        }
        let open = if self.shard.is_some() { genome::indexed_of_input } else { genome::from_input };
        let genome = open(&self.genome, input, &options)?;
        if let (Some(digest), Some(_)) = (genome.digest(), self.rate()) {
            self.null.options().warn_of_other_genome(&models, &digest);
        }
        if let Some(contigs) = genome.contigs() {
            self.aliases.table()?.check(contigs)?;
        }
        match genome.contigs() {
            Some(contigs) => log::debug!("{}: mapped, {} contigs", self.genome.display(), contigs.len()),
            None => log::debug!("{}: read as a stream", self.genome.display()),
        }
        log::debug!("{threads} workers, {} window starts at a time", shape.own);
        if let Some(bases) = bases_to_scan(&genome, &options.regions, self.shard) {
            estimate::tell_if_long(&models, &mut workers[0], &mut speeds, bases, threads, session);
        }
        let inputs = self.inputs()?;
        let mark = self.shard.map(|shard| ShardMark {
            shard,
            format: Format::Sites(SiteFormat::Bed),
            track: None,
            bin: None,
            rate: self.qvalue,
            genome: genome.digest().unwrap_or_default(),
            inputs: inputs.clone(),
        });
        let mut source = match &self.shard {
            None => genome.into_chunks(shape),
            Some(shard) => {
                let mut source = genome.into_shard(shape, shard, outputs.seam_unit())?;
                let overlaps = outputs.have_sites().then_some(overlaps);
                scan::shard_overlap::widen(
                    &mut source,
                    &mut workers[0],
                    &targets,
                    self.stride as u64,
                    overlaps,
                )?;
                source
            }
        };
        let provenance = Provenance { shard: mark, ..provenance(&models, &significance, session) };
        let tracks = outputs.open(&targets, &strands, &provenance)?;
        let journal =
            self.resume.then(|| self.journal(&tracks, &outputs, &provenance, &inputs)).transpose()?;
        let before = journal.as_ref().map_or(0, Journal::bases);
        if let Some(journal) = &journal {
            source.skip_to(journal.place());
        }
        if before > 0 && !session.quiet {
            message(format_args!(
                "continuing after {} bases that an interrupted run has scanned",
                grouped(before)
            ));
        }
        let report = self.report.open(&tracks.files)?;
        let summary_file = self.summary.open()?;
        let context = report.as_ref().map(|_| report::Context {
            genome: &self.genome,
            models: &models,
            places: &places,
            engines: workers[0].iter().map(|scanner| scanner.description()).collect(),
            targets: self.shown_targets(&targets),
            threads,
            shard: self.shard,
            significance: &significance,
            command: session.invocation.text(),
        });
        let statistics = context.as_ref().map(report::Context::statistics);
        let nulls: Vec<_> = targets.iter().map(|target| (target.name.clone(), target.null.clone())).collect();
        let q_later = self.q_later();
        let scan = Job::new(targets, overlaps)
            .sites(tracks.sites)
            .scores(tracks.scores)
            .false_discovery_rate(self.qvalue)
            .defer_q_values(q_later)
            .statistics(statistics)
            .journal(journal);

        let findings = match self.qvalue {
            _ if !outputs.have_sites() => Findings::Nothing,
            Some(_) => Findings::Candidates,
            None => Findings::Sites,
        };
        let mut progress = Progress::start(session, "scanning the first chunk");
        let result = scan::run_unpublished(
            Box::new(source),
            workers,
            scan,
            |at, summary| progress.show_scan(at, summary, before, findings),
            &CANCELLED,
        );
        progress.clear();
        let (summary, finished) = result?;
        if let (Some(rate), false) = (self.qvalue, q_later) {
            let mut oddities = Oddities::default();
            for ((name, null), tests) in nulls.iter().zip(&summary.tests) {
                if let Some(null) = null {
                    oddities.note_extrapolation(name, null, tests.highest_p(null, rate).unwrap_or(1.0));
                }
            }
            oddities.warn(rate);
        }
        let page = match (report, context) {
            (Some(report), Some(context)) => {
                Some(report.write(&context, &summary, before, session.elapsed())?)
            }
            _ => None,
        };
        let counts = summary_file
            .map(|output| summary::write(output, &self.scanned(&models, session), &summary, &[]))
            .transpose()?;
        finished.publish(page.into_iter().chain(counts))?;
        if outputs.have_sites() && summary.windows > 0 && !q_later && !session.quiet {
            // The outputs are in place: a word less is no failure.
            if let Err(error) = self.explain_few(&models, &tested, &summary) {
                log::warn!("the lowest p-value of a window was not found: {error}");
            }
        }
        if !session.quiet {
            let sites = match findings {
                Findings::Candidates if q_later => {
                    format!("{} for sites (merge has their q-values)", findings.describe(summary.sites))
                }
                Findings::Candidates => Findings::Sites.describe(summary.sites),
                findings => findings.describe(summary.sites),
            };
            let mut line = summary_line(&summary, &sites, before, session.elapsed().as_secs_f64());
            if summary.left_out > 0 {
                line += &format!(
                    "; {} {} left out",
                    counted(summary.left_out, "window"),
                    self.left_out_words(&models)
                );
            }
            if let Some(words) = describe(&significance) {
                line += &format!("; p-values: {words}");
            }
            message(line);
        }
        Ok(())
    }

    fn scanned<'a>(&'a self, models: &'a [Planned], session: Session) -> summary::Scanned<'a> {
        summary::Scanned {
            file: self.summary.path(),
            input: &self.genome,
            shard: self.shard,
            models,
            command: session.invocation.of_result(),
        }
    }

    /// True if q-values wait for the other shards.
    fn q_later(&self) -> bool {
        self.qvalue.is_some() && self.shard.is_some()
    }

    /// The targets as a report shows them: where q-values decide, no score does alone.
    fn shown_targets(&self, targets: &[Target]) -> Vec<Target> {
        let thresholds = |target: &Target| self.qvalue.map_or(target.thresholds, |_| [f32::NEG_INFINITY; 2]);
        targets.iter().map(|target| Target { thresholds: thresholds(target), ..target.clone() }).collect()
    }

    /// Digests of the files that decide what is found, beside the models. Only what is joined or goes on needs them: shards,
    /// and scans with --resume.
    fn inputs(&self) -> Result<Vec<(String, String)>> {
        if self.shard.is_none() && !self.resume {
            return Ok(Vec::new());
        }
        let mut inputs = Vec::new();
        let files = [
            ("genome", Some(&*self.genome)),
            ("regions", self.regions.file()),
            ("background", self.null.background_file()),
            ("aliases", self.aliases.file()),
        ];
        for (option, path) in files {
            if let Some(path) = path.filter(|path| path.is_file()) {
                inputs.push((option.to_owned(), digest::of_file(path)?));
            }
        }
        Ok(inputs)
    }

    /// Journal that an interrupted run of the same scan has left, or a new one.
    fn journal(
        &self,
        tracks: &Tracks,
        outputs: &Outputs,
        provenance: &Provenance,
        inputs: &[(String, String)],
    ) -> Result<Journal> {
        ensure!(
            self.genome != Path::new("-"),
            "--resume: what came from standard input is gone after an interruption; give the genome as a file"
        );
        let Some(files) = &tracks.regular else {
            bail!(
                "--resume: what is written to a pipe or device is gone after an interruption; name files (-o)"
            )
        };
        let genome = self.genome.display();
        let metadata = self.genome.metadata().with_context(|| format!("{genome}: cannot read"))?;
        let changed = metadata.modified().ok();
        let comments = provenance.comments();
        // A page needs to know of everything, from the beginning.
        let report = self.report.is_wanted();
        let key = format!(
            "{comments}{} bytes, {changed:?}, {inputs:?}, {outputs:?}, {files:?}, {report}",
            metadata.len()
        );
        Ok(Journal::open(&files[0], key)?)
    }

    fn refuse_for_reads(&self) -> Result<()> {
        let options = [
            (self.qvalue.is_some(), "--qvalue"),
            (self.shard.is_some(), "--shard"),
            (self.resume, "--resume"),
            (self.mask_lowercase, "--mask-lowercase"),
            (self.report.is_wanted(), "--report"),
        ];
        reads::refuse(&self.genome, &options)
    }

    /// The p-value, or the false discovery rate, that sites are chosen by.
    fn rate(&self) -> Option<f64> {
        self.pvalue.or(self.qvalue)
    }

    /// Rule by which windows are hits.
    fn choice(&self, models: &[Planned], sites: bool, session: Session) -> Result<SiteChoice> {
        Ok(match (self.pvalue, self.qvalue) {
            (Some(p), _) => SiteChoice::PValue(p),
            (_, Some(q)) => SiteChoice::QValue(q),
            _ if !self.threshold.is_empty() => SiteChoice::Threshold(self.threshold.clone()),
            _ if sites && !self.all => {
                let own = models.iter().map(|planned| own_threshold(planned, session));
                SiteChoice::Threshold(own.collect::<Result<_>>()?)
            }
            _ => SiteChoice::All,
        })
    }

    /// Rule for overlapping windows: all are written, or the best alone.
    fn keeps_all(&self) -> bool {
        self.all || matches!(self.overlaps, OverlapsArg::Keep)
    }

    /// Says why a scan by p-values has no site, or one by q-values next to none, and what would have.
    fn explain_few(&self, models: &[Planned], targets: &[Target], summary: &ScanSummary) -> Result<()> {
        let several = if targets.len() > 1 { " of any model" } else { "" };
        if let Some(rate) = self.qvalue
            && summary.sites < FEW
        {
            let own = |planned: &Planned| {
                planned.model().spec.thresholds.iter().any(|own| own.level == Level::Default)
            };
            log::warn!("{}", few(rate, summary.sites, targets, &summary.tests, models.iter().all(own)));
        }
        if summary.sites > 0 {
            return Ok(());
        }
        let Some(p) = self.pvalue else { return Ok(()) };
        let windows = summary.windows / models.len().max(1) as u64;
        let lowest = self.lowest_p(models, targets, summary, p)?;
        let seen = lowest.map_or_else(String::new, |(lowest, rank)| {
            format!("; the lowest p-value is {lowest:.1e}, of {}", targets[rank].name)
        });
        // One window in so many has such a p-value by chance.
        let advice = 10f64.powf((lowest.map_or(p * 10.0, |lowest| lowest.0)).log10().ceil()).min(1.0);
        log::warn!(
            "no site{several}: none of {} windows has a p-value of {p:e} or less{seen}. Give a higher --pvalue, as {advice:e}",
            grouped(windows)
        );
        Ok(())
    }

    /// The lowest p-value in a genome that holds no site, if it can be found in short time.
    fn lowest_p(
        &self,
        models: &[Planned],
        targets: &[Target],
        summary: &ScanSummary,
        p: f64,
    ) -> Result<Option<(f64, usize)>> {
        if self.shard.is_some() || !self.genome.is_file() || summary.bases > SEARCHED {
            return Ok(None);
        }
        let mut search = Search::new(models.to_vec(), SiteChoice::All, self.max_n, 1)?;
        let shape = chunk_shape(search.default_chunk_size(false), &search.workers[0]);
        let mut p = p;
        while p < 1.0 {
            p = (p * 30.0).min(1.0);
            let mut lower = targets.to_vec();
            for target in &mut lower {
                let null = target.null.as_ref().filter(|null| !null.is_constant());
                target.thresholds = [Strand::Forward, Strand::Reverse]
                    .map(|strand| null.and_then(|null| null.threshold(p, strand)).unwrap_or(f32::MAX));
            }
            let source = genome::open(&self.genome, &self.source_options()?)?.into_chunks(shape);
            let lowest = scan::lowest::lowest_p(Box::new(source), &mut search.workers[0], &lower)?;
            if lowest.is_some() {
                return Ok(lowest);
            }
        }
        Ok(None)
    }

    /// Checks that sites are chosen only where some are `written`.
    fn check_thresholds(&self, outputs: &Outputs, written: bool) -> Result<(), clap::Error> {
        let options = [
            (!self.threshold.is_empty(), "--threshold"),
            (self.pvalue.is_some(), "--pvalue"),
            (self.qvalue.is_some(), "--qvalue"),
            (self.all, "--all"),
        ];
        let given = options.into_iter().find_map(|(given, option)| given.then_some(option));
        if let (Some(option), false) = (given, written) {
            let message = format!(
                "{option} chooses sites, and none are written: {}",
                self.instead_of_choosing(outputs, option)
            );
            return Err(usage_error(ErrorKind::ArgumentConflict, &message));
        }
        if self.null.options().makes_new() && self.rate().is_none() {
            let message = "options of significance need --pvalue or --qvalue";
            return Err(usage_error(ErrorKind::MissingRequiredArgument, message));
        }
        Ok(())
    }

    /// Ways to go on without an `option` that chooses sites of none, or with it.
    fn instead_of_choosing(&self, outputs: &Outputs, option: &str) -> String {
        let Some(path) = outputs.of_scores() else {
            return format!("leave {option} out, or add an output of sites (-o sites.bed)");
        };
        let mut words = format!(
            "{} holds the scores of all windows. Leave {option} out, or add an output of sites (-o sites.bed)",
            path.display()
        );
        if matches!(option, "--threshold" | "--pvalue") {
            words += ", or keep only the scores that reach it (--sparse)";
        }
        if self.models.are_several() && !path.to_string_lossy().contains("{name}") {
            words += "; and put {name} into the name of that file, since each model has scores of its own";
        }
        words
    }

    /// Says which windows are left out.
    fn left_out_words(&self, models: &[Planned]) -> String {
        let mut fractions: Vec<f64> =
            models.iter().map(|planned| track::largest_n_fraction(planned, self.max_n)).collect();
        fractions.sort_by(f64::total_cmp);
        fractions.dedup();
        let limit = match fractions.as_slice() {
            [0.0] => "any N".to_owned(),
            [one] => format!("more than {}% N", (one * 1e4).round() / 1e2),
            _ => "too much N".to_owned(),
        };
        let masked = if self.mask_lowercase { " (or lower case)" } else { "" };
        format!("with {limit}{masked}")
    }

    fn source_options(&self) -> Result<GenomeOptions> {
        let mut regions = self.regions.queries((&self.genome, "genome"))?;
        self.aliases.table()?.name_regions(&mut regions);
        Ok(GenomeOptions { mask_lowercase: self.mask_lowercase, regions })
    }
}

/// The default threshold that a model recommends, which is told.
fn own_threshold(planned: &Planned, session: Session) -> Result<f32> {
    let spec = &planned.model().spec;
    let own = spec.thresholds.iter().find(|threshold| threshold.level == Level::Default);
    let Some(own) = own.filter(|_| planned.plan().window == spec.window) else {
        let why = match spec.thresholds[..] {
            [] => "has no threshold of its own",
            _ => "has a threshold of its own for its default window only",
        };
        let message = format!(
            "choose which sites to write: --threshold SCORE, --pvalue P, --qvalue Q, or --all ({} {why})",
            spec.name
        );
        return Err(usage_error(ErrorKind::MissingRequiredArgument, &message).into());
    };
    if !session.quiet {
        let Threshold { score, p_value, background, .. } = own;
        message(format_args!(
            "{}: threshold {score}, the model's default (p {p_value} on {background}); --threshold sets another",
            spec.name
        ));
    }
    Ok(own.score)
}

/// An error in how the subcommand is used.
fn usage_error(kind: ErrorKind, message: &str) -> clap::Error {
    let mut command = super::help::command();
    command.build();
    command.find_subcommand_mut("scan").expect("this is it").error(kind, message)
}

/// Bases that a scan reads, where the genome and the regions say it.
fn bases_to_scan(genome: &Genome, regions: &[RegionQuery], shard: Option<Shard>) -> Option<u64> {
    let contigs = genome.contigs()?;
    let length =
        |name: &str| contigs.iter().find(|contig| contig.name == name).and_then(|contig| contig.length);
    let bases = if regions.is_empty() {
        contigs.iter().filter_map(|contig| contig.length).sum::<u64>()
    } else {
        let of_region = |region: &RegionQuery| match &region.interval {
            Some(Ok(interval)) => {
                let end = interval.end.or_else(|| length(&interval.contig)).unwrap_or(interval.start);
                end.saturating_sub(interval.start)
            }
            _ => region.whole.as_deref().and_then(length).unwrap_or(0),
        };
        regions.iter().map(of_region).sum()
    };
    Some(shard.map_or(bases, |shard| bases / shard.of))
}
/// Bases at most in which the lowest p-value is searched where no site was found.
const SEARCHED: u64 = 30_000_000;

/// Sites of a scan by q-values that are so few that it says why.
const FEW: u64 = 10;

/// False discovery rates that are tried where one gives few sites.
const LAXER: [f64; 3] = [0.1, 0.25, 0.5];

/// Says why so few sites have a q-value of `rate` or less, with `own` if the models have thresholds of their own.
fn few(rate: f64, sites: u64, targets: &[Target], tests: &[TestCounts], own: bool) -> String {
    let several = if targets.len() > 1 { " of any model" } else { "" };
    let number = match sites {
        0 => format!("no site{several}"),
        _ => format!("only {}", counted(sites, "site")),
    };
    let tested = || {
        targets.iter().zip(tests).filter_map(|(target, tests)| Some((target, tests, target.null.as_ref()?)))
    };
    let best = tested().filter_map(|(target, tests, null)| Some((&target.name, tests.best(null)?)));
    let Some((name, best)) = best.min_by(|a, b| a.1.q.total_cmp(&b.1.q)) else {
        return format!(
            "{number} at a false discovery rate of {rate}: no window has a p-value of {:e} or less",
            rate.min(HIGHEST_P)
        );
    };
    let why = match sites {
        0 => format!(
            "the lowest q-value is {}, of {} of {name}, where background has {}",
            two_digits(best.q),
            counted(best.sites, "site"),
            two_digits(best.expected)
        ),
        _ => "background has sites as good as the others".into(),
    };
    let laxer = LAXER.iter().filter(|&&laxer| laxer > rate).find_map(|&laxer| {
        let found = tested().map(|(_, tests, null)| tests.found(null, laxer)).sum::<u64>();
        (found >= FEW.max(2 * sites))
            .then(|| format!(" (--qvalue {laxer} reports {})", counted(found, "site")))
    });
    let own = if own { ", or leave out --qvalue for all that reach the model's own threshold" } else { "" };
    format!(
        "{number} at a false discovery rate of {rate}: {why}. Give a higher --qvalue{}, or regions (-R) with fewer bases to choose from{own}",
        laxer.unwrap_or_default()
    )
}

/// A number with two digits that count.
fn two_digits(number: f64) -> String {
    match number {
        10.0.. => format!("{number:.0}"),
        1.0.. => format!("{number:.1}"),
        0.1.. => format!("{number:.2}"),
        0.01.. => format!("{number:.3}"),
        _ => format!("{number:.1e}"),
    }
}

/// Origin of the p-values, in a few words.
fn describe(significance: &[(String, String)]) -> Option<String> {
    let (_, first) = significance.first()?;
    Some(if significance.iter().all(|(_, words)| words == first) {
        first.clone()
    } else {
        format!("{first}, and others (-v says which)")
    })
}

/// Work that was done, including the bases `before` of an interrupted run. The sites found are in `sites`.
fn summary_line(summary: &ScanSummary, sites: &str, before: u64, seconds: f64) -> String {
    let mut line = format!(
        "{}, {}{sites} in {seconds:.2} s ({})",
        counted(summary.bases, "base"),
        counted(summary.windows, "window"),
        bases_per_second(summary.bases - before, seconds)
    );
    if summary.short_segments > 0 {
        line += &format!(
            "; {} of {} contigs or regions shorter than a window of a model, which skipped them: {}",
            grouped(summary.short_segments),
            grouped(summary.segments),
            summary.short_list()
        );
    }
    line
}
