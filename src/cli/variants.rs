//! `bindscan variants`.

use std::path::{Path, PathBuf};

use anyhow::{Result, bail, ensure};
use bindscan::genome::random_access::Lookup;
use bindscan::io::output::Output;
use bindscan::report::counted;
use bindscan::variants;
use bindscan::variants::{Annotation, Calls, Counts, Format, Summary, Watch};
use clap::{Args, ValueEnum};

use super::heading;
use super::models::{ModelArgs, model_outputs, scanners};
use super::progress::{Progress, grouped, per_second};
use super::region::{AliasArgs, RegionArgs};
use super::track::{Extension, provenance};
use super::{CANCELLED, Session, message};

/// Score the effect of the variants of a VCF or BCF file on binding
///
/// For each alternative allele, the windows whose sequence it changes are scored on both haplotypes, on the strands
/// that the model reads. Each model gets the best reference and the best alternative score, their difference
/// (alternative less reference), DeepBind's effect score (the difference times max(0, alternative, reference)), and
/// strand and offset of both windows. An offset is where the window starts, in bases from POS; that of an alternative
/// counts along the alternative haplotype.
///
/// A window is changed unless it lies wholly in the longest common prefix, or wholly in the longest common suffix, of
/// the two haplotypes, so an allele has the same effect however it is written. An allele that changes no window, such
/// as a base less in a long homopolymer, has no scores and effect 0.
///
/// Records keep their order and their text. Symbolic alleles (*, <DEL>, breakends) and records whose REF differs from
/// the genome are not scored; they are passed through and counted, and the first ones are named. The table has the
/// reason in its last column. If more than half of the records do not fit the genome, or none is scored, the run fails.
#[derive(Debug, Args)]
pub(super) struct VariantsArgs {
    /// Calls: VCF (plain, gzip, BGZF) or BCF; - for standard input
    calls: PathBuf,
    #[command(flatten)]
    models: ModelArgs,
    /// Read the reference genome from this 2bit or FASTA file
    ///
    /// A compressed FASTA is held in memory, one byte a base.
    #[arg(long, value_name = "FILE", help_heading = heading::INPUT)]
    genome: PathBuf,
    /// Write .vcf, .vcf.gz (indexed), .bcf, .tsv or .tsv.gz (repeatable); - is standard output
    #[arg(short, long, value_name = "FILE", default_value = "-", help_heading = heading::OUTPUT)]
    output: Vec<PathBuf>,
    /// Set the format of an output without an extension [default: vcf]
    #[arg(long, help_heading = heading::OUTPUT)]
    format: Option<FormatArg>,
    #[command(flatten)]
    regions: RegionArgs,
    #[command(flatten)]
    aliases: AliasArgs,
    /// Fail at the first record that does not fit the genome
    ///
    /// That is: another REF, an unknown contig, or a position past its end.
    #[arg(long, help_heading = heading::INPUT)]
    strict: bool,
    /// Write the output even if most records do not fit the genome, or none is scored
    #[arg(long, conflicts_with = "strict", help_heading = heading::INPUT)]
    force: bool,
    /// Read soft-masked (lower-case) bases as N
    #[arg(long, help_heading = heading::INPUT)]
    mask_lowercase: bool,
    /// Use this many threads [default: all cores]
    #[arg(short, long, value_parser = super::parse_threads, help_heading = heading::RUN)]
    threads: Option<usize>,
}

#[derive(Debug, Clone, Copy, ValueEnum)]
enum FormatArg {
    Vcf,
    Bcf,
    Tsv,
}

impl VariantsArgs {
    pub(super) fn run(self, session: Session) -> Result<()> {
        let wanted = self.outputs()?;
        let models = self.models.open(1)?;
        let threads = super::threads(self.threads);
        let (workers, places) = scanners(&models, threads)?;
        let targets = model_outputs(&models, &places);
        let genome = Lookup::open(&self.genome, self.mask_lowercase)?.with_aliases(self.aliases.table()?)?;
        let regions = self.regions(&genome)?;
        let calls = Calls::open(&self.calls)?;
        let annotation = Annotation {
            genome: &genome,
            targets: &targets,
            regions: regions.as_deref(),
            strict: self.strict,
            check: !self.force,
        };
        let provenance = provenance(&models, &[], session);
        let mut outputs = Vec::new();
        for (path, format, compressed) in wanted {
            outputs.push(annotation.sink(
                &calls,
                Output::create(path)?,
                (format, compressed),
                &provenance,
            )?);
        }
        let mut view = View { progress: Progress::start(session, "scoring the first records"), told: 0 };
        let done =
            variants::annotate(calls, &annotation, workers, &provenance, outputs, &mut view, &CANCELLED);
        view.progress.clear();
        let summary = done?;
        let seconds = session.elapsed().as_secs_f64();
        warn(&summary);
        if !session.quiet {
            let rate = per_second(summary.counts.scored, seconds);
            message(format_args!("{summary}; {seconds:.1} s, {rate} records/s"));
        }
        Ok(())
    }

    /// Path, format, and whether it is compressed, of each output.
    fn outputs(&self) -> Result<Vec<(&Path, Format, bool)>> {
        ensure!(
            self.format.is_none() || self.output.len() == 1,
            "--format is for one output; give names whose extensions say the formats"
        );
        let mut outputs: Vec<(&Path, Format, bool)> = Vec::new();
        for path in &self.output {
            let Extension { name, compressed } = Extension::from_path(path);
            let device = path.exists() && !path.is_file();
            let format = match (self.format, name.as_deref()) {
                (Some(FormatArg::Vcf), _) | (None, Some("vcf") | None) => Format::Vcf,
                (Some(FormatArg::Bcf), _) | (None, Some("bcf")) => Format::Bcf,
                (Some(FormatArg::Tsv), _) | (None, Some("tsv")) => Format::Tsv,
                (None, _) if device => Format::Vcf,
                (None, _) => bail!(
                    "{}: unknown output extension; use .vcf, .vcf.gz, .bcf or .tsv, or --format",
                    path.display()
                ),
            };
            ensure!(
                format != Format::Bcf || !compressed,
                "{}: BCF is compressed by itself; leave out the .gz",
                path.display()
            );
            outputs.push((path, format, compressed));
        }
        Ok(outputs)
    }

    fn regions(&self, genome: &Lookup) -> Result<Option<Vec<Vec<std::ops::Range<u64>>>>> {
        let regions = self.regions.queries((&self.calls, "calls"))?;
        Ok(if regions.is_empty() { None } else { Some(genome.select(&regions)?) })
    }
}

/// Messages and progress of a run.
struct View {
    progress: Progress,
    /// Records that were named because they do not fit.
    told: u64,
}

/// Records that do not fit are named as warnings up to so many, and with -v from there on.
const TOLD: u64 = 5;

impl Watch for View {
    fn progress(&mut self, (done, total): (u64, Option<u64>), counts: &Counts) {
        let (progress, count) = (&mut self.progress, counts.records);
        let seconds = progress.elapsed().as_secs_f64();
        progress
            .show(done, total, || format!("{} records, {}/s", grouped(count), per_second(count, seconds)));
    }

    fn problem(&mut self, message: &str) {
        self.told += 1;
        if self.told <= TOLD {
            log::warn!("{message}");
        } else {
            log::info!("{message}");
        }
    }
}

/// Says what may mean that genome and calls do not belong together.
fn warn(summary: &Summary) {
    let counts = &summary.counts;
    if !summary.unknown.is_empty() {
        let names: Vec<&str> = summary.unknown.keys().map(String::as_str).take(5).collect();
        let more = if summary.unknown.len() > names.len() { ", …" } else { "" };
        log::warn!(
            "on contigs that the genome does not have: {}, {}{more}",
            counted(counts.unknown_contig, "record"),
            names.join(", ")
        );
    }
    if !summary.aliases.is_empty() {
        let names = summary.aliases.iter().take(5).map(|(name, own)| format!("{name} is {own}"));
        let more = if summary.aliases.len() > 5 { ", …" } else { "" };
        log::warn!("contigs have other names in the genome: {}{more}", names.collect::<Vec<_>>().join(", "));
    }
    let misfits = counts.mismatch + counts.outside_contig;
    if misfits > TOLD {
        log::warn!("{} records in all do not fit the genome (-v names more)", grouped(misfits));
    }
    if misfits > counts.scored {
        log::warn!("most records do not fit: is this the genome that they were called on?");
    }
}
