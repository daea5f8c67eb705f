//! Options that say where labelled sequences come from.

use std::path::{Path, PathBuf};

use anyhow::{Result, bail};
use bindscan::source::sequences::Column;
use bindscan::train::dataset::load::{DataRequest, Loaded, Negatives, load};
use bindscan::train::dataset::peaks::PeakOptions;
use bindscan::train::dataset::table::{TableOptions, Targets};
use bindscan::train::dataset::{Dataset, TargetKind};
use clap::{Args, ValueEnum};

/// What the data are. `train` and `eval` take the same forms.
#[derive(Debug, Args)]
pub(super) struct DataArgs {
    /// Sequences with targets (a table; .seq.gz), bound sequences (FASTA), or peaks (BED, narrowPeak; with --genome);
    /// plain or gzip
    data: PathBuf,
    /// Genome that the peaks lie on (FASTA or 2bit)
    #[arg(long, value_name = "FASTA")]
    genome: Option<PathBuf>,
    /// Unbound sequences, where the data have none: shuffle (dinucleotides kept), genome (windows of the same GC
    /// content; with peaks), or a FASTA file
    #[arg(long, value_name = "shuffle|genome|FASTA", default_value = "shuffle", value_parser = parse_negatives)]
    negatives: Negatives,
    /// Columns of the table with the targets, by name or rank, separated by commas; all: every one that holds numbers
    /// [default: bound, label or target, or the first that holds numbers]
    #[arg(long, value_name = "COLUMNS", value_delimiter = ',')]
    target: Vec<String>,
    /// Column with the sequences, by name or rank [default: seq, sequence or probe, or the first that holds them]
    #[arg(long, value_name = "COLUMN", value_parser = parse_column)]
    column: Option<Column>,
    /// Column with the cross-validation folds, by name or rank [default: fold or FoldID, if there are several]
    #[arg(long, value_name = "COLUMN", value_parser = parse_column)]
    fold_column: Option<Column>,
    /// What the targets are [default: classes if all are 0 or 1, else numbers]
    #[arg(long)]
    kind: Option<KindArg>,
    /// Bases of a window around a peak's summit
    #[arg(long, value_name = "BASES", default_value = "101", value_parser = super::parse_positive)]
    width: usize,
    /// Use the strongest peaks only
    #[arg(long, value_name = "COUNT", value_parser = super::parse_positive)]
    max_peaks: Option<usize>,
    /// The peaks on these contigs, separated by commas, are the test: train leaves them out, eval takes no others
    #[arg(long, value_name = "CONTIGS", value_delimiter = ',')]
    test_contigs: Vec<String>,
}

#[derive(Debug, Clone, Copy, ValueEnum)]
enum KindArg {
    /// 0 or 1
    Classes,
    /// Any number
    Numbers,
}

fn parse_negatives(text: &str) -> Result<Negatives, String> {
    Ok(match text {
        "shuffle" => Negatives::Shuffle,
        "genome" => Negatives::Genome,
        file => Negatives::File(file.into()),
    })
}

/// Reads a column's name or rank.
pub(super) fn parse_column(text: &str) -> Result<Column, String> {
    match text.parse::<usize>() {
        Ok(0) => Err("columns are counted from 1".into()),
        Ok(rank) => Ok(Column::Rank(rank)),
        Err(_) => Ok(Column::Name(text.to_owned())),
    }
}

impl DataArgs {
    /// Reads the data. `ratio` negatives are made for each positive where there are none; with `stranded`, peaks are
    /// read on their own strand.
    pub(super) fn open(&self, ratio: f64, stranded: bool, seed: u64) -> Result<Loaded> {
        Ok(load(&self.request(&self.data, ratio, stranded, seed)?)?)
    }

    /// Reads other data of the same form, with one negative for each positive if they have none.
    pub(super) fn open_other(&self, path: &Path, stranded: bool, seed: u64) -> Result<Dataset> {
        let mut request = self.request(path, 1.0, stranded, seed)?;
        request.peaks.test_contigs.clear();
        Ok(load(&request)?.training)
    }

    /// The file.
    pub(super) fn path(&self) -> &Path {
        &self.data
    }

    /// Whether some of the data are held out for the test.
    pub(super) fn holds_out(&self) -> bool {
        !self.test_contigs.is_empty()
    }

    fn request(&self, data: &Path, ratio: f64, stranded: bool, seed: u64) -> Result<DataRequest> {
        let columns = self.target.iter().map(|text| parse_column(text).map_err(anyhow::Error::msg));
        let targets = match &self.target[..] {
            [] => Targets::Usual,
            [all] if all == "all" => Targets::All,
            _ => Targets::These(columns.collect::<Result<_>>()?),
        };
        if self.width < 4 {
            bail!("--width {}: a window of 4 bases or more is needed", self.width);
        }
        Ok(DataRequest {
            data: data.to_path_buf(),
            genome: self.genome.clone(),
            negatives: self.negatives.clone(),
            negatives_per_positive: ratio,
            table: TableOptions {
                sequence: self.column.clone(),
                targets,
                fold: self.fold_column.clone(),
                kind: self.kind.map(|kind| match kind {
                    KindArg::Classes => TargetKind::Binary,
                    KindArg::Numbers => TargetKind::Real,
                }),
            },
            peaks: PeakOptions {
                width: self.width,
                max_peaks: self.max_peaks,
                test_contigs: self.test_contigs.clone(),
                stranded,
                ..PeakOptions::default()
            },
            seed,
        })
    }
}
