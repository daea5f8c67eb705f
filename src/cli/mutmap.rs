//! `bindscan mutmap`.

use std::collections::HashSet;
use std::collections::VecDeque;
use std::ops::Range;
use std::path::{Path, PathBuf};
use std::sync::Arc;

use anyhow::{Result, bail, ensure};
use bindscan::engine::planned::ModelOutput;
use bindscan::genome::random_access::Lookup;
use bindscan::genome::sequences::SequenceReader;
use bindscan::io::line::LineSink;
use bindscan::io::output::Output;
use bindscan::io::tabix::Layout;
use bindscan::seq::contig::Contig;
use bindscan::track::bigwig::BaseSink;
use bindscan::variants::mutation_map;
use bindscan::variants::mutation_map::{
    Picture, RowLayout, Series, Shown, Sink, Stretch, TABLE_HEADER, stretches_of_genome,
};
use bindscan::variants::scorer::flank;
use clap::{Args, ValueEnum};

use super::heading;
use super::models::{ModelArgs, model_outputs, scanners};
use super::progress::{Progress, grouped};
use super::region::{self, AliasArgs};
use super::track::{Extension, provenance};
use super::{CANCELLED, Session, message};

/// Map the effect of every substitution at every position
///
/// Maps a sequence, or a region of a genome with its flanking bases. A substitution is scored as bindscan variants
/// scores the same SNV: the best window that touches it against the best one on the reference.
///
/// A picture shows DeepBind's effect score, the difference times max(0, mutant, reference), as a heat map, red where
/// binding is lost. Above it stands the sequence, each letter as high as the most that a substitution takes away.
#[derive(Debug, Args)]
pub(super) struct MutmapArgs {
    /// Sequences to map, each by itself (FASTA, or one a line); - for standard input
    #[arg(required_unless_present_any = ["genome", "regions", "regions_file"], conflicts_with = "genome")]
    sequences: Option<PathBuf>,
    #[command(flatten)]
    models: ModelArgs,
    /// Map regions of this genome (2bit or FASTA)
    ///
    /// A compressed FASTA is held in memory, one byte a base.
    #[arg(long, value_name = "FILE", help_heading = heading::INPUT)]
    genome: Option<PathBuf>,
    /// Map this region, as chr1:1000-2000 (1-based, inclusive; repeatable) [default: all]
    #[arg(short, long = "region", value_name = "REGION", help_heading = heading::INPUT)]
    regions: Vec<String>,
    /// Map the regions of a BED, narrowPeak or GFF file
    #[arg(short = 'R', long, value_name = "BED", help_heading = heading::INPUT)]
    regions_file: Option<PathBuf>,
    /// Skip or clip regions that do not fit the genome, and count them
    ///
    /// Regions on unknown contigs and empty ones are left out; those that end past their contig are clipped. Without
    /// this option they are an error.
    #[arg(long, requires = "genome", help_heading = heading::INPUT)]
    skip_bad_regions: bool,
    #[command(flatten)]
    aliases: AliasArgs,
    /// Write .svg, .png, .tsv, .tsv.gz or .bw (repeatable); - is standard output
    ///
    /// A bigWig has the strongest substitution at each base, or with {base} in its name that to A, C, G and T, each in
    /// a file of its own. {name} stands for each model in turn.
    #[arg(short, long, value_name = "FILE", default_value = "-", help_heading = heading::OUTPUT)]
    output: Vec<PathBuf>,
    /// Set the format of an output without an extension [default: tsv]
    #[arg(long, help_heading = heading::OUTPUT)]
    format: Option<FormatArg>,
    /// Scale a PNG to this many pixels for each unit of the SVG [default: 2]
    ///
    /// A position is 10 units wide.
    #[arg(long, value_name = "PIXELS", value_parser = parse_scale, help_heading = heading::OUTPUT)]
    scale: Option<f32>,
    /// Set the most positions in a row of a picture [default: 110]
    #[arg(long, value_name = "POSITIONS", value_parser = super::parse_positive, help_heading = heading::OUTPUT)]
    columns: Option<usize>,
    /// Give all maps of a picture the same scale of colours and heights
    #[arg(long, help_heading = heading::OUTPUT)]
    one_scale: bool,
    /// Choose what pictures and bigWigs show; a table has both
    #[arg(long, default_value = "effect", help_heading = heading::OUTPUT)]
    show: ShownArg,
    /// Read soft-masked (lower-case) bases as N
    #[arg(long, help_heading = heading::INPUT)]
    mask_lowercase: bool,
    /// Use this many threads [default: all cores]
    #[arg(short, long, value_parser = super::parse_threads, help_heading = heading::RUN)]
    threads: Option<usize>,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq, ValueEnum)]
enum FormatArg {
    Svg,
    Png,
    Tsv,
    #[value(name = "bigwig")]
    BigWig,
}

#[derive(Debug, Clone, Copy, ValueEnum)]
enum ShownArg {
    /// DeepBind's effect score
    Effect,
    /// The difference of the scores
    Difference,
}

/// Pixels of a PNG for each unit, unless it is said otherwise.
const SCALE: f32 = 2.0;

fn parse_scale(text: &str) -> Result<f32, String> {
    match text.parse::<f32>() {
        Ok(scale) if (0.1..=20.0).contains(&scale) => Ok(scale),
        _ => Err("not a number from 0.1 to 20".into()),
    }
}

impl MutmapArgs {
    /// Checks that there is one kind of input.
    fn check_input(&self) -> Result<()> {
        let has_regions = !self.regions.is_empty() || self.regions_file.is_some();
        ensure!(
            self.genome.is_some() || self.aliases.file().is_none(),
            "--aliases names the contigs of a genome: give --genome FILE"
        );
        match (&self.sequences, &self.genome) {
            (Some(path), None) if has_regions => {
                bail!(
                    "regions are those of a genome: give --genome {} instead of a sequence file",
                    path.display()
                )
            }
            (Some(path), None) => self.models.check_stdin(path, "sequences"),
            (None, None) => bail!("regions need their genome: --genome FILE"),
            (_, Some(_)) => Ok(()),
        }
    }

    pub(super) fn run(self, session: Session) -> Result<()> {
        self.check_input()?;
        let outputs = self.output.iter().map(|path| self.format_of(path)).collect::<Result<Vec<_>>>()?;
        ensure!(
            self.scale.is_none() || outputs.iter().any(|(_, format, _)| *format == FormatArg::Png),
            "--scale is for PNG, and no output is one (-o map.png)"
        );
        let draws = outputs.iter().any(|(_, format, _)| matches!(format, FormatArg::Svg | FormatArg::Png));
        ensure!(
            draws || (self.columns.is_none() && !self.one_scale),
            "--columns and --one-scale are for pictures, and no output is one (-o map.svg)"
        );
        let models = self.models.open(1)?;
        let threads = super::threads(self.threads);
        let (workers, places) = scanners(&models, threads)?;
        let targets = model_outputs(&models, &places);
        let comments = provenance(&models, &[], session).comments();
        let mut contigs = Vec::new();
        let mut stretches: Box<dyn FnMut() -> bindscan::Result<Option<Stretch>> + Send> =
            match (&self.genome, &self.sequences) {
                (Some(path), _) => {
                    let genome =
                        Lookup::open(path, self.mask_lowercase)?.with_aliases(self.aliases.table()?)?;
                    contigs = genome.contigs().to_vec();
                    let flank = flank(&workers[0]);
                    let wanted = self.wanted(&genome, path)?;
                    Box::new(stretches_of_genome(genome, wanted, flank as u64))
                }
                (None, Some(sequences)) => {
                    let read = read_sequences(sequences)?;
                    contigs.extend(read.iter().map(|stretch| Arc::clone(&stretch.contig)));
                    let mut read = VecDeque::from(read);
                    Box::new(move || Ok(read.pop_front()))
                }
                (None, None) => bail!("give sequences, or a genome (--genome)"),
            };
        if outputs.iter().any(|(_, format, _)| *format == FormatArg::BigWig) {
            let mut names = HashSet::new();
            if let Some(twice) = contigs.iter().find(|contig| !names.insert(&contig.name)) {
                bail!("two sequences are named {}: a bigWig needs different names", twice.name);
            }
        }
        let scale = self.scale.unwrap_or(SCALE);
        let layout = RowLayout { columns: self.columns, one_scale: self.one_scale };
        let sinks = open(&outputs, &targets, &comments, (scale, layout))?;
        let shown = match self.show {
            ShownArg::Effect => Shown::Effect,
            ShownArg::Difference => Shown::Difference,
        };
        let mut progress = Progress::start(session, "mapping the first positions");
        let done = mutation_map::run(
            &mut *stretches,
            (&targets, workers),
            (shown, sinks),
            &contigs,
            |positions| progress.show(positions, None, || format!("{} positions", grouped(positions))),
            &CANCELLED,
        );
        progress.clear();
        let summary = done?;
        if summary.short > 0 {
            log::warn!("{} positions of sequences too short for a model: left out", grouped(summary.short));
        }
        if !session.quiet {
            let (positions, substitutions) = (grouped(summary.positions), grouped(summary.substitutions));
            let seconds = session.elapsed().as_secs_f64();
            message(format_args!(
                "{positions} positions, {substitutions} substitutions scored in {seconds:.2} s"
            ));
        }
        Ok(())
    }

    /// Path, format, and whether it is compressed.
    fn format_of<'a>(&self, path: &'a Path) -> Result<(&'a Path, FormatArg, bool)> {
        ensure!(
            self.format.is_none() || self.output.len() == 1,
            "--format is for one output; give names whose extensions say the formats"
        );
        let Extension { name, compressed } = Extension::from_path(path);
        let device = path.exists() && !path.is_file();
        let format = match (self.format, name.as_deref()) {
            (Some(format), _) => format,
            (None, Some("svg")) => FormatArg::Svg,
            (None, Some("png")) => FormatArg::Png,
            (None, Some("bw" | "bigwig")) => FormatArg::BigWig,
            (None, Some("tsv") | None) => FormatArg::Tsv,
            (None, _) if device => FormatArg::Tsv,
            (None, Some(other)) => {
                bail!(
                    "{}: unknown output extension .{other}; use .svg, .png, .tsv or .bw, or --format",
                    path.display()
                )
            }
        };
        ensure!(
            !compressed || format == FormatArg::Tsv,
            "{}: only .tsv is compressed; leave out the .gz",
            path.display()
        );
        Ok((path, format, compressed))
    }

    /// The wanted stretches of each contig.
    fn wanted(&self, genome: &Lookup, path: &Path) -> Result<Vec<Vec<Range<u64>>>> {
        let regions = region::queries(
            &self.regions,
            self.regions_file.as_deref(),
            (path, "genome"),
            self.skip_bad_regions,
        )?;
        if regions.is_empty() {
            let whole = |contig: &Arc<Contig>| std::iter::once(0..contig.length.unwrap_or(0)).collect();
            return Ok(genome.contigs().iter().map(whole).collect());
        }
        Ok(genome.select(&regions)?)
    }
}

/// All sequences of a file, each as a contig.
fn read_sequences(path: &Path) -> Result<Vec<Stretch>> {
    let mut reader = SequenceReader::open(path, None)?;
    let mut stretches = Vec::new();
    while let Some(sequence) = reader.read()? {
        let length = sequence.codes.len() as u64;
        let contig = Contig { id: stretches.len(), name: sequence.name, length: Some(length) };
        let (contig, codes) = (Arc::new(contig), sequence.codes);
        stretches.push(Stretch { contig, start: 0, codes, wanted: 0..length });
    }
    ensure!(!stretches.is_empty(), "{}: it has no sequence", path.display());
    Ok(stretches)
}

const NAME: &str = "{name}";
const BASE: &str = "{base}";

/// Opens the outputs.
fn open(
    outputs: &[(&Path, FormatArg, bool)],
    targets: &[ModelOutput],
    comments: &str,
    (scale, layout): (f32, RowLayout),
) -> Result<Vec<Sink>> {
    let mut sinks = Vec::new();
    let create = |path: &str| Output::create(Path::new(path));
    for (path, format, compressed) in outputs {
        let text = path.to_string_lossy();
        ensure!(
            *format == FormatArg::BigWig || !(text.contains(NAME) || text.contains(BASE)),
            "{text}: {NAME} and {BASE} are for bigWigs; a table or a picture has all models"
        );
        match format {
            FormatArg::Svg => sinks.push(Sink::Picture(create(&text)?, Picture::Svg, layout)),
            FormatArg::Png => sinks.push(Sink::Picture(create(&text)?, Picture::Png(scale), layout)),
            FormatArg::Tsv if *compressed => {
                sinks.push(Sink::Table(LineSink::compressed(
                    create(&text)?,
                    TABLE_HEADER,
                    Layout::Position,
                )?));
            }
            FormatArg::Tsv => sinks.push(Sink::Table(LineSink::new(create(&text)?, TABLE_HEADER)?)),
            FormatArg::BigWig => {
                ensure!(
                    targets.len() == 1 || text.contains(NAME),
                    "{text}: {} models do not go into one bigWig; put {NAME} into its name",
                    targets.len()
                );
                for (rank, target) in targets.iter().enumerate() {
                    let named = text.replace(NAME, &target.name.replace(std::path::MAIN_SEPARATOR, "_"));
                    let series = match named.contains(BASE) {
                        true => (0..4).map(Series::Base).collect(),
                        false => vec![Series::Strongest],
                    };
                    for series in series {
                        let letter = match series {
                            Series::Base(base) => ["A", "C", "G", "T"][usize::from(base)],
                            Series::Strongest => "",
                        };
                        let output = create(&named.replace(BASE, letter))?;
                        sinks.push(Sink::Track(BaseSink::new(output, comments)?, rank, series));
                    }
                }
            }
        }
    }
    Ok(sinks)
}
