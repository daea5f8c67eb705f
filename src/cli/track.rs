//! Options that say what a scan writes, and where.

use std::path::{Path, PathBuf};

use super::Session;
use super::models::Planned;
use anyhow::{Result, ensure};
use bindscan::track::outputs::provenance as provenance_of;
use bindscan::track::provenance::Provenance;
use bindscan::track::score::Summary;
use bindscan::track::site::Columns;
use bindscan::track::{Format, ReadsFormat, ScoreFormat, SiteFormat};
use clap::{Args, ValueEnum};

pub(super) use bindscan::track::outputs::{Extension, Outputs, TrackFile, Tracks};

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

impl TrackArgs {
    /// Finds the format of each output, with columns of significance where a format has room for them. `stride` is the bases between
    /// window starts; scores are meant where only standard output is asked for, without a format, and `scores` is set.
    pub(super) fn outputs(&self, stride: usize, columns: Columns, scores: bool) -> Result<Outputs> {
        let summary = match self.summary {
            SummaryArg::Max => Summary::Max,
            SummaryArg::Mean => Summary::Mean,
        };
        let mut format = self.format.map(Format::from);
        if scores && format.is_none() && matches!(&*self.output, [only] if only == Path::new("-")) {
            format = Some(Format::Scores(ScoreFormat::BedGraph));
        }
        let outputs = Outputs::new(&self.output, format)?
            .columns(columns)
            .bin(self.bin_size.unwrap_or(stride) as u64)
            .summary(summary)
            .sparse(self.sparse)
            .header(self.header);
        ensure!(
            !self.sparse || outputs.have_scores(),
            "--sparse is for tracks of scores, and none is written: name a .bedGraph or .bw"
        );
        Ok(outputs)
    }
}

/// How tracks of these models were made; `significance` has the origin of each model's p-values.
pub(super) fn provenance(
    models: &[Planned],
    significance: &[(String, String)],
    session: Session,
) -> Provenance {
    provenance_of(session.invocation.of_content(), models, significance)
}
