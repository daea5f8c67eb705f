//! Options that say what a scan writes, and where.

use std::path::{Path, PathBuf};

use super::Session;
use super::models::Planned;
use anyhow::{Result, bail, ensure};
use bindscan::io::line::LineSink;
use bindscan::io::output::Output;
use bindscan::io::tabix::Layout;
use bindscan::seq::window::StrandChoice;
use bindscan::track::bigbed::BigBedSink;
use bindscan::track::bigwig::BigWigSink;
use bindscan::track::provenance::Provenance;
use bindscan::track::score::{ScoreSink, Series, Shown, Summary};
use bindscan::track::site::{Columns, SiteLines, SiteSink};
use bindscan::track::{Format, ReadsFormat, ScoreFormat, SiteFormat, Target};
use clap::{Args, ValueEnum};

#[derive(Debug, Args)]
pub(super) struct TrackArgs {
    /// File to write, in the format of its extension: .bed, .tsv, .narrowPeak, .gff3, .bb, .bedGraph, .bw, .bam (repeatable)
    ///
    /// All files are written in one pass and appear together, when they are whole. {name} in a file's name stands for each
    /// model in turn (MODEL.OUTPUT where a model has several outputs), {strand} for plus and minus: each has a file of its own
    /// then. Scores of several models need {name}, and so does a .bam: of reads, all as they came, each with the score of its
    /// best window (tag ys), where that starts in the read (yo) and its strand (yd). With .gz behind its extension, text is
    /// compressed as BGZF and a tabix index stands beside it (.tbi; .csi where contigs are longer than 512 Mb). - is standard
    /// output.
    #[arg(short, long, value_name = "FILE", default_value = "-")]
    output: Vec<PathBuf>,
    /// Format of the output, where its name has no extension that says so [default: bed]
    #[arg(long)]
    format: Option<FormatArg>,
    /// Put comments before the first line that say how it was made (gff3 always has them)
    #[arg(long)]
    header: bool,
    /// Bases that have one value in a track of scores [default: the stride]
    #[arg(long, value_name = "BASES", value_parser = super::parse_positive)]
    bin_size: Option<usize>,
    /// Which value a track of scores shows where a bin has several
    #[arg(long, default_value = "max", conflicts_with = "aggregate")]
    summary: SummaryArg,
    /// Leave out of tracks of scores what does not reach the threshold: these take little room then, and unless they show means hardly
    /// longer than sites
    #[arg(long, conflicts_with_all = ["all", "qvalue"])]
    sparse: bool,
}

#[derive(Debug, Clone, Copy, ValueEnum)]
enum FormatArg {
    Bed,
    Tsv,
    #[value(name = "narrowpeak")]
    NarrowPeak,
    Gff3,
    #[value(name = "bigbed")]
    BigBed,
    #[value(name = "bedgraph")]
    BedGraph,
    #[value(name = "bigwig")]
    BigWig,
    Bam,
}

impl From<FormatArg> for Format {
    fn from(format: FormatArg) -> Format {
        match format {
            FormatArg::Bed => Format::Sites(SiteFormat::Bed),
            FormatArg::Tsv => Format::Sites(SiteFormat::Tsv),
            FormatArg::NarrowPeak => Format::Sites(SiteFormat::NarrowPeak),
            FormatArg::Gff3 => Format::Sites(SiteFormat::Gff3),
            FormatArg::BigBed => Format::Sites(SiteFormat::BigBed),
            FormatArg::BedGraph => Format::Scores(ScoreFormat::BedGraph),
            FormatArg::BigWig => Format::Scores(ScoreFormat::BigWig),
            FormatArg::Bam => Format::Reads(ReadsFormat::Bam),
        }
    }
}

#[derive(Debug, Clone, Copy, ValueEnum)]
enum SummaryArg {
    /// The highest
    Max,
    /// The mean
    Mean,
}

/// What the name of an output says of its format.
#[derive(Debug)]
pub(super) struct Extension {
    /// Its extension in lower case, without the .gz (or .bgz) behind it.
    pub(super) name: Option<String>,
    /// Whether there is a .gz.
    pub(super) compressed: bool,
}

impl Extension {
    pub(super) fn of(path: &Path) -> Extension {
        let extension = |path: &Path| Some(path.extension()?.to_string_lossy().to_ascii_lowercase());
        match extension(path) {
            Some(gz) if gz == "gz" || gz == "bgz" => {
                Extension { name: extension(&path.with_extension("")), compressed: true }
            }
            name => Extension { name, compressed: false },
        }
    }
}

/// An output that was asked for: the name may hold {name} and {strand}.
#[derive(Debug)]
struct Wanted {
    path: PathBuf,
    format: Format,
    /// Compressed, with an index.
    compressed: bool,
}

/// The outputs that were asked for.
#[derive(Debug)]
pub(super) struct Outputs {
    wanted: Vec<Wanted>,
    bin: u64,
    summary: Summary,
    sparse: bool,
    header: bool,
    columns: Columns,
}

/// The tracks of a scan.
#[derive(Debug, Default)]
pub(super) struct Tracks {
    pub(super) sites: Vec<(SiteLines, SiteSink)>,
    pub(super) scores: Vec<(Series, ScoreSink)>,
    /// Files of reads, each with the target that its tags are of.
    pub(super) reads: Vec<(usize, Output)>,
    /// The files that are written, every link followed; `None` if something else than files is.
    pub(super) regular: Option<Vec<PathBuf>>,
    /// Where they are written.
    pub(super) files: Vec<TrackFile>,
}

/// Where a track is written, which need not be a file.
#[derive(Debug, Clone)]
pub(super) struct TrackFile {
    /// As it was given.
    pub(super) path: PathBuf,
    pub(super) format: Format,
}

impl TrackArgs {
    /// Finds the format of each output, with columns of significance where a format has room for them. `stride` is the bases between
    /// window starts; scores are meant where only standard output is asked for, without a format, and `scores` is set.
    pub(super) fn outputs(&self, stride: usize, columns: Columns, scores: bool) -> Result<Outputs> {
        ensure!(
            self.format.is_none() || self.output.len() == 1,
            "--format is for one output; give names whose extensions say the formats"
        );
        let mut wanted = self.output.iter().map(|path| self.wanted(path)).collect::<Result<Vec<_>>>()?;
        if scores && self.format.is_none() && matches!(&*self.output, [only] if only == Path::new("-")) {
            wanted[0].format = Format::Scores(ScoreFormat::BedGraph);
        }
        let summary = match self.summary {
            SummaryArg::Max => Summary::Max,
            SummaryArg::Mean => Summary::Mean,
        };
        let have_scores = wanted.iter().any(|wanted| matches!(wanted.format, Format::Scores(_)));
        ensure!(
            !self.sparse || have_scores,
            "--sparse is for tracks of scores, and none is written: name a .bedGraph or .bw"
        );
        let bin = self.bin_size.unwrap_or(stride) as u64;
        Ok(Outputs { wanted, bin, summary, sparse: self.sparse, header: self.header, columns })
    }

    fn wanted(&self, path: &Path) -> Result<Wanted> {
        let Extension { compressed, .. } = Extension::of(path);
        let bare = if compressed { path.with_extension("") } else { path.to_path_buf() };
        let format = self.format_of(&bare)?;
        let binary = matches!(
            format,
            Format::Scores(ScoreFormat::BigWig) | Format::Sites(SiteFormat::BigBed) | Format::Reads(_)
        );
        ensure!(
            !(compressed && binary),
            "{}: {format} is compressed by itself; leave out the .gz",
            path.display()
        );
        Ok(Wanted { path: path.to_path_buf(), format, compressed })
    }

    fn format_of(&self, path: &Path) -> Result<Format> {
        let extension = path.extension().map(|extension| extension.to_string_lossy().into_owned());
        if let Some(format) = self.format {
            return Ok(format.into());
        }
        let device = path.exists() && !path.is_file();
        match (Format::of_extension(path), extension) {
            (Some(format), _) => Ok(format),
            (None, Some(other)) if !device => {
                bail!("no format goes with .{other}: give --format, or a name in .bed, .tsv or so")
            }
            _ => Ok(Format::Sites(SiteFormat::Bed)),
        }
    }
}

const NAME: &str = "{name}";
const STRAND: &str = "{strand}";

impl Outputs {
    /// What the seams between shards are multiples of: a bin has one shard.
    pub(super) fn seam_unit(&self) -> u64 {
        let have_scores = self.wanted.iter().any(|wanted| matches!(wanted.format, Format::Scores(_)));
        if have_scores { self.bin } else { 1 }
    }

    /// Whether tracks of scores show only what reaches the threshold.
    pub(super) fn are_sparse(&self) -> bool {
        self.sparse
    }

    /// Whether sites are written, so that a threshold is needed.
    pub(super) fn have_sites(&self) -> bool {
        self.wanted.iter().any(|wanted| matches!(wanted.format, Format::Sites(_)))
    }

    /// An output of reads, if there is one.
    pub(super) fn of_reads(&self) -> Option<&Path> {
        self.wanted
            .iter()
            .find(|wanted| matches!(wanted.format, Format::Reads(_)))
            .map(|wanted| &*wanted.path)
    }

    /// Whether sites are written as indexed files.
    pub(super) fn have_indexed_sites(&self) -> bool {
        self.wanted.iter().any(|wanted| wanted.compressed && matches!(wanted.format, Format::Sites(_)))
    }

    /// Makes lines tell of reads, and checks that every output can; `aggregate` says whether reads become one value a
    /// position.
    pub(super) fn show_reads(&mut self, aggregate: bool) -> Result<()> {
        self.columns.read = true;
        for Wanted { path, format, .. } in &self.wanted {
            match format {
                Format::Sites(SiteFormat::Bed | SiteFormat::Tsv) | Format::Reads(_) => {}
                Format::Sites(format) => {
                    let format = Format::Sites(*format);
                    bail!("{}: sites in reads are written as BED or TSV, not as {format}", path.display())
                }
                Format::Scores(_) => ensure!(
                    aggregate,
                    "{}: say how the reads at a position become one value: --aggregate max, mean or count",
                    path.display()
                ),
            }
        }
        ensure!(
            !aggregate || self.wanted.iter().any(|wanted| matches!(wanted.format, Format::Scores(_))),
            "--aggregate is for tracks of scores, and none is written: name a .bedGraph or .bw"
        );
        Ok(())
    }

    /// Opens the outputs for `targets`, each of which is scored on the strands that stand beside it.
    pub(super) fn open(
        &self,
        targets: &[Target],
        strands: &[StrandChoice],
        provenance: &Provenance,
    ) -> Result<Tracks> {
        let (taken, tracks) = (Vec::new(), Tracks::default());
        let mut opener =
            Opener { outputs: self, targets, provenance, compressed: false, taken, others: false, tracks };
        for Wanted { path, format, compressed } in &self.wanted {
            opener.compressed = *compressed;
            let text = path.to_string_lossy();
            let each = text.contains(NAME);
            match format {
                Format::Sites(format) => {
                    ensure!(
                        !text.contains(STRAND),
                        "{text}: {STRAND} is for scores; a line of sites says its strand"
                    );
                    if !each {
                        opener.sites(path, *format, None)?;
                    }
                    for (rank, target) in targets.iter().enumerate().filter(|_| each) {
                        opener.sites(&expanded(&text, target, ""), *format, Some(rank))?;
                    }
                }
                Format::Reads(_) => {
                    ensure!(
                        each || targets.len() == 1,
                        "{text}: the tags of a read are of one model, and there are {}; put {NAME} into its name",
                        targets.len()
                    );
                    ensure!(!text.contains(STRAND), "{text}: {STRAND} is for scores; a tag says the strand");
                    for (rank, target) in targets.iter().enumerate() {
                        let output = opener.open(&expanded(&text, target, ""))?;
                        opener.tracks.reads.push((rank, output));
                    }
                }
                Format::Scores(format) => {
                    ensure!(
                        each || targets.len() == 1,
                        "{text}: scores of {} models do not go into one file; put {NAME} into its name",
                        targets.len()
                    );
                    for (rank, (target, strands)) in targets.iter().zip(strands).enumerate() {
                        for (shown, word) in shown(text.contains(STRAND), *strands) {
                            opener.scores(&expanded(&text, target, word), *format, rank, shown)?;
                        }
                    }
                }
            }
        }
        let regular = (!opener.others).then_some(opener.taken);
        Ok(Tracks { regular, ..opener.tracks })
    }
}

/// The strands that have a file of their own, and what stands for them in its name.
fn shown(each: bool, strands: StrandChoice) -> Vec<(Shown, &'static str)> {
    let (forward, reverse) = ((Shown::Forward, "plus"), (Shown::Reverse, "minus"));
    match (each, strands) {
        (false, _) => vec![(Shown::Better, "")],
        (true, StrandChoice::Both) => vec![forward, reverse],
        (true, StrandChoice::Forward) => vec![forward],
        (true, StrandChoice::Reverse) => vec![reverse],
    }
}

fn expanded(text: &str, target: &Target, strand: &str) -> PathBuf {
    let name = bindscan::model::name::file_part(&target.name);
    text.replace(STRAND, strand).replace(NAME, &name).into()
}

/// Opens outputs.
struct Opener<'a> {
    outputs: &'a Outputs,
    targets: &'a [Target],
    provenance: &'a Provenance,
    /// Whether lines are compressed.
    compressed: bool,
    taken: Vec<PathBuf>,
    /// Whether something else than files is written.
    others: bool,
    tracks: Tracks,
}

impl Opener<'_> {
    /// Whether there are comments: a shard's say which one it is.
    fn has_header(&self) -> bool {
        self.outputs.header || self.provenance.shard.is_some()
    }

    fn open(&mut self, path: &Path) -> Result<Output> {
        let output = Output::create(path)?;
        if output.target().is_none() {
            self.others = true;
        }
        self.taken.extend(output.target().map(Path::to_path_buf));
        Ok(output)
    }

    fn sites(&mut self, path: &Path, format: SiteFormat, target: Option<usize>) -> Result<()> {
        let lines = SiteLines { format, target, columns: self.outputs.columns };
        let track = target.map(|rank| self.targets[rank].name.clone());
        let provenance = self.provenance.of_track(Format::Sites(format), track, None);
        let header = lines.header(&provenance, self.has_header());
        let sink = if format == SiteFormat::BigBed {
            ensure!(
                self.provenance.shard.is_none(),
                "{}: shards of bigBed cannot be merged; write .bed and make a bigBed of the whole (bedToBigBed)",
                path.display()
            );
            let sink = BigBedSink::new(self.open(path)?, self.outputs.columns, &header)?;
            SiteSink::BigBed(Box::new(sink))
        } else {
            SiteSink::Lines(self.lines(path, &header, format.layout())?)
        };
        self.tracks.sites.push((lines, sink));
        self.tracks.files.push(TrackFile { path: path.to_path_buf(), format: Format::Sites(format) });
        Ok(())
    }

    fn lines(&mut self, path: &Path, header: &str, layout: Layout) -> Result<LineSink> {
        let output = self.open(path)?;
        Ok(if self.compressed && self.provenance.shard.is_some() {
            LineSink::compressed_and_checked(output, header, layout)?
        } else if self.compressed {
            LineSink::compressed(output, header, layout)?
        } else if self.provenance.shard.is_some() {
            LineSink::checked(output, header)?
        } else {
            LineSink::new(output, header)?
        })
    }

    fn scores(&mut self, path: &Path, format: ScoreFormat, target: usize, strand: Shown) -> Result<()> {
        let lowest = if self.outputs.sparse { self.targets[target].lowest() } else { f32::NEG_INFINITY };
        let series = Series { target, strand, bin: self.outputs.bin, summary: self.outputs.summary, lowest };
        let name = &self.targets[target].name;
        let track = match strand {
            Shown::Better => name.clone(),
            Shown::Forward => format!("{name} +"),
            Shown::Reverse => format!("{name} -"),
        };
        let provenance = self.provenance.of_track(Format::Scores(format), Some(track), Some(series.bin));
        let comments = if self.has_header() { provenance.comments() } else { String::new() };
        let sink = match format {
            ScoreFormat::BedGraph => ScoreSink::BedGraph(self.lines(path, &comments, Layout::Bed)?),
            ScoreFormat::BigWig => {
                let output = self.open(path)?;
                ScoreSink::BigWig(if self.provenance.shard.is_some() {
                    BigWigSink::checked(output, series.bin, &comments)?
                } else {
                    BigWigSink::new(output, series.bin, &comments)?
                })
            }
        };
        self.tracks.scores.push((series, sink));
        self.tracks.files.push(TrackFile { path: path.to_path_buf(), format: Format::Scores(format) });
        Ok(())
    }
}

/// How tracks of these models were made; `significance` has the origin of each model's p-values.
pub(super) fn provenance(
    models: &[Planned],
    significance: &[(String, String)],
    session: Session,
) -> Provenance {
    let of_model =
        |Planned { model, .. }: &Planned| (model.spec.name.clone(), model.digest.clone().unwrap_or_default());
    Provenance {
        command: session.invocation.of_content(),
        models: models.iter().map(of_model).collect(),
        significance: significance.iter().map(|(name, words)| format!("{name}: {words}")).collect(),
        shard: None,
    }
}
