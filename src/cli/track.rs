//! Options that say what a scan writes, and where.

use std::path::{Path, PathBuf};

use super::Session;
use super::heading;
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
    /// Write a file in the format of its extension (repeatable); - is standard output
    ///
    /// Extensions: .bed, .tsv, .narrowPeak, .gff3, .bb, fimo.tsv and homer.txt for sites; .bedGraph and .bw for scores; .bam
    /// for tagged reads. With .gz after it, text is compressed as BGZF and indexed (.tbi, or .csi for contigs longer than
    /// 512 Mb).
    ///
    /// All files are written in one pass and appear together when they are complete. {name} in a file name gives each
    /// model a file of its own (MODEL.OUTPUT for a model with several outputs), {strand} each strand (plus, minus).
    /// Scores of several models need {name}, and so does a .bam: it has all reads in their order, each with its best
    /// window's score (tag ys), start in the read (yo) and strand (yd).
    #[arg(short, long, value_name = "FILE", default_value = "-", help_heading = heading::OUTPUT)]
    output: Vec<PathBuf>,
    /// Set the format of an output without an extension [default: bed]
    #[arg(long, help_heading = heading::OUTPUT)]
    format: Option<FormatArg>,
    /// Write comments that say how the file was made (gff3 always has them)
    #[arg(long, help_heading = heading::OUTPUT)]
    header: bool,
    /// Set the bases of a bin of score tracks [default: the stride]
    #[arg(long, value_name = "BASES", value_parser = super::parse_positive, help_heading = heading::OUTPUT)]
    bin_size: Option<usize>,
    /// Choose the value of a bin with several scores
    #[arg(long, default_value = "max", conflicts_with = "aggregate", help_heading = heading::OUTPUT)]
    summary: SummaryArg,
    /// Write only bins that reach the threshold to score tracks
    ///
    /// Such tracks are small, and take hardly longer than sites unless they show means.
    #[arg(long, conflicts_with_all = ["all", "qvalue"], help_heading = heading::OUTPUT)]
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
    /// The table of MEME's FIMO
    Fimo,
    /// HOMER's position file
    Homer,
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
            FormatArg::Fimo => Format::Sites(SiteFormat::Fimo),
            FormatArg::Homer => Format::Sites(SiteFormat::Homer),
            FormatArg::BedGraph => Format::Scores(ScoreFormat::BedGraph),
            FormatArg::BigWig => Format::Scores(ScoreFormat::BigWig),
            FormatArg::Bam => Format::Reads(ReadsFormat::Bam),
        }
    }
}

#[derive(Debug, Clone, Copy, ValueEnum)]
enum SummaryArg {
    /// The highest score
    Max,
    /// The mean score
    Mean,
}

impl TrackArgs {
    /// Finds the format of each output, with columns of significance where a format has room for them. `stride` is the bases
    /// between window starts; scores are meant where only standard output is asked for, without a format, and `scores` is
    /// set.
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

/// Provenance of tracks of these models; `significance` has the origin of each model's p-values.
pub(super) fn provenance(
    models: &[Planned],
    significance: &[(String, String)],
    session: Session,
) -> Provenance {
    provenance_of(session.invocation.of_content(), models, significance)
}
