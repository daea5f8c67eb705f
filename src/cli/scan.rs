//! `bindscan scan`.

use std::path::{Path, PathBuf};

use anyhow::{Result, bail, ensure};
use bindscan::genome::RegionQuery;
use bindscan::output::Output;
use bindscan::scan::{self, Overlaps, ScanSummary, chunk_shape};
use bindscan::source::fasta::{self, FastaOptions};
use bindscan::source::region;
use bindscan::track::{Format, ScoreScale, SiteFormat, Target};
use clap::{ArgGroup, Args, ValueEnum};

use super::models::{ModelArgs, Place, Planned, scanners};
use super::progress::{Progress, grouped};
use super::{CANCELLED, Session};

/// Find the windows of a genome that a model scores highly
///
/// Every window of every contig is scored by every model; those that reach the threshold are reduced to sites (of
/// overlapping windows the best one) and written in the order of the genome.
#[derive(Debug, Args)]
#[command(group = ArgGroup::new("which").required(true).args(["threshold", "all"]))]
pub(super) struct ScanArgs {
    /// Genome: FASTA, plain, gzip or BGZF; - is standard input
    genome: PathBuf,
    #[command(flatten)]
    models: ModelArgs,
    /// Lowest score of a site (one for all models, or one for each, in order)
    #[arg(long, value_name = "SCORE", allow_negative_numbers = true, value_parser = parse_threshold)]
    threshold: Vec<f32>,
    /// Write every window, whatever its score
    #[arg(long, conflicts_with = "overlaps")]
    all: bool,
    /// What becomes of overlapping windows that reach the threshold
    #[arg(long, default_value = "suppress")]
    overlaps: OverlapsArg,
    /// Bases between window starts
    #[arg(long, value_name = "BASES", default_value = "1", value_parser = super::parse_positive)]
    stride: usize,
    /// Region to scan, as chr1 or chr1:1000-2000 (1-based, inclusive; repeatable; overlapping ones are joined)
    #[arg(short, long = "region", value_name = "REGION")]
    regions: Vec<String>,
    /// Regions to scan, as BED
    #[arg(short = 'R', long, value_name = "BED")]
    regions_file: Option<PathBuf>,
    /// Read soft-masked (lower-case) bases as N
    #[arg(long)]
    mask_lowercase: bool,
    /// Where to write; - is standard output
    #[arg(short, long, value_name = "FILE", default_value = "-")]
    output: PathBuf,
    /// Format of the output [default: by the file's extension, else bed]
    #[arg(long)]
    format: Option<FormatArg>,
    /// Threads [default: all cores]
    #[arg(short, long, value_parser = super::parse_threads)]
    threads: Option<usize>,
    /// Window starts a worker takes at a time: never changes the output
    #[arg(long, value_name = "BASES", default_value = "65536", value_parser = super::parse_positive, hide_short_help = true)]
    chunk_size: usize,
}

fn parse_threshold(text: &str) -> Result<f32, String> {
    match text.parse::<f32>() {
        Ok(threshold) if !threshold.is_nan() => Ok(threshold),
        _ => Err("not a number".into()),
    }
}

#[derive(Debug, Clone, Copy, ValueEnum)]
enum OverlapsArg {
    /// Only the best of them is written
    Suppress,
    /// All are written
    Keep,
}

#[derive(Debug, Clone, Copy, ValueEnum)]
enum FormatArg {
    Bed,
    Tsv,
}

impl ScanArgs {
    pub(super) fn run(self, session: Session) -> Result<()> {
        let models = self.models.open(self.stride)?;
        let thresholds = self.thresholds(models.len())?;
        let threads = super::threads(self.threads);
        let (workers, places) = scanners(&models, threads)?;
        let format = SiteFormat::new(self.format()?, targets(&models, &places, &thresholds));
        let shape = chunk_shape(self.chunk_size, &workers[0]);
        let overlaps = match self.overlaps {
            _ if self.all => Overlaps::Keep,
            OverlapsArg::Keep => Overlaps::Keep,
            OverlapsArg::Suppress => Overlaps::Suppress,
        };
        let source = fasta::open(&self.genome, &self.source_options()?)?.into_chunks(shape);
        let output = Output::create(&self.output)?;

        let mut progress = Progress::start(session);
        let result = scan::run(
            Box::new(source),
            workers,
            &format,
            overlaps,
            output,
            |at, summary| progress.show_scan(at, summary),
            &CANCELLED,
        );
        progress.clear();
        let summary = result?;
        if !session.quiet {
            eprintln!("bindscan: {}", summary_line(&summary, progress.elapsed().as_secs_f64()));
        }
        Ok(())
    }

    fn format(&self) -> Result<Format> {
        ensure!(
            !self.output.extension().is_some_and(|extension| extension.eq_ignore_ascii_case("gz")),
            "{}: output is not compressed here; write to standard output and pipe it through bgzip",
            self.output.display()
        );
        if let Some(format) = self.format {
            return Ok(match format {
                FormatArg::Bed => Format::Bed,
                FormatArg::Tsv => Format::Tsv,
            });
        }
        let device = self.output.exists() && !self.output.is_file();
        let extension = self.output.extension().map(|extension| extension.to_string_lossy().to_lowercase());
        match extension.as_deref() {
            Some("tsv") => Ok(Format::Tsv),
            Some("bed") | None => Ok(Format::Bed),
            Some(_) if device => Ok(Format::Bed),
            Some(other) => bail!("no format goes with .{other}: give --format, or a name in .bed or .tsv"),
        }
    }

    /// The threshold of each model.
    fn thresholds(&self, models: usize) -> Result<Vec<f32>> {
        match self.threshold.as_slice() {
            [] => Ok(vec![f32::NEG_INFINITY; models]),
            [one] => Ok(vec![*one; models]),
            each if each.len() == models => Ok(each.to_vec()),
            each => bail!("{} thresholds for {models} models: give one for all, or one for each", each.len()),
        }
    }

    fn source_options(&self) -> Result<FastaOptions> {
        let stdin = Path::new("-");
        ensure!(
            self.genome != stdin || self.regions_file.as_deref() != Some(stdin),
            "the genome and the regions cannot both come from standard input"
        );
        let mut regions: Vec<RegionQuery> =
            self.regions.iter().map(|text| RegionQuery::parse(text)).collect();
        if let Some(file) = &self.regions_file {
            regions.extend(region::read_bed(file)?);
        }
        Ok(FastaOptions { mask_lowercase: self.mask_lowercase, regions })
    }
}

/// A target for each output of each model, in the order of the models.
fn targets(models: &[Planned], places: &[Place], thresholds: &[f32]) -> Vec<Target> {
    let of_model = |((planned, place), &threshold): ((&Planned, &Place), &f32)| {
        let target = |(output, name)| Target {
            name,
            scanner: place.scanner,
            output: place.output + output,
            window: planned.plan.window as u64,
            threshold,
            scale: ScoreScale::of(&planned.model.spec),
        };
        planned.names().into_iter().enumerate().map(target).collect::<Vec<_>>()
    };
    models.iter().zip(places).zip(thresholds).flat_map(of_model).collect()
}

fn summary_line(summary: &ScanSummary, seconds: f64) -> String {
    let rate = summary.bases as f64 / 1e6 / seconds.max(1e-9);
    let mut line = format!(
        "{} bases, {} windows, {} sites in {seconds:.2} s ({rate:.1} Mbp/s)",
        grouped(summary.bases),
        grouped(summary.windows),
        grouped(summary.sites)
    );
    if summary.short_segments > 0 {
        let names = summary.short_names.join(", ");
        let more = if summary.short_segments > summary.short_names.len() as u64 { ", …" } else { "" };
        line += &format!(
            "; {} of {} contigs or regions skipped, shorter than a window: {names}{more}",
            grouped(summary.short_segments),
            grouped(summary.segments)
        );
    }
    line
}
