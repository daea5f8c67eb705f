//! Options that say where labelled sequences come from.

use std::path::{Path, PathBuf};

use anyhow::{Result, bail};
use bindscan::dataset::load::{DataRequest, Loaded, Negatives, load};
use bindscan::dataset::peaks::PeakOptions;
use bindscan::dataset::table::{TableOptions, Targets};
use bindscan::dataset::{Dataset, TargetKind};
use bindscan::genome::sequences::Column;
use clap::{Args, ValueEnum};

use super::{Session, message};

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
    /// [default: bound, label, target, y or another name that says so; else the last, or the only one that holds numbers]
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
    /// Leave out peaks on unknown contigs and empty ones, and count them, instead of refusing the file
    #[arg(long)]
    skip_bad_regions: bool,
    /// Go on although more than half of the peaks is lost
    #[arg(long)]
    force: bool,
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

/// Negatives that are made for each positive, where the data have none.
#[derive(Debug, Clone, Copy)]
pub(super) struct Ratios {
    training: f64,
    test: f64,
}

/// Negatives made for each positive of test data, by every subcommand, unless it is said otherwise.
const TEST_RATIO: f64 = 1.0;

impl Ratios {
    /// What is asked for, or else `training` for training data.
    pub(super) fn of_training(asked: Option<f64>, training: f64) -> Ratios {
        Ratios { training: asked.unwrap_or(training), test: asked.unwrap_or(TEST_RATIO) }
    }

    /// What is asked for, or else that of test data.
    pub(super) fn of_test(asked: Option<f64>) -> Ratios {
        Ratios::of_training(asked, TEST_RATIO)
    }
}

/// How data are read.
#[derive(Debug, Clone, Copy)]
pub(super) struct Reading {
    pub(super) ratios: Ratios,
    /// Read peaks on their own strand.
    pub(super) stranded: bool,
    pub(super) seed: u64,
}

impl DataArgs {
    /// Reads the data, and says what is to be said about them.
    pub(super) fn open(&self, reading: Reading, session: Session) -> Result<Loaded> {
        let loaded = load(&self.request(&self.data, reading)?)?;
        if !session.quiet {
            loaded.notes.iter().for_each(message);
        }
        Ok(loaded)
    }

    /// Reads other data of the same form, with as many negatives as test data have, and says what is to be said about them.
    pub(super) fn open_other(&self, path: &Path, reading: Reading, session: Session) -> Result<Dataset> {
        let ratios = Ratios { training: reading.ratios.test, ..reading.ratios };
        let mut request = self.request(path, Reading { ratios, ..reading })?;
        request.peaks.test_contigs.clear();
        let loaded = load(&request)?;
        if !session.quiet {
            loaded.notes.iter().for_each(|note| message(format_args!("{}: {note}", path.display())));
        }
        Ok(loaded.training)
    }

    /// The file.
    pub(super) fn path(&self) -> &Path {
        &self.data
    }

    /// Whether some of the data are held out for the test.
    pub(super) fn holds_out(&self) -> bool {
        !self.test_contigs.is_empty()
    }

    fn request(&self, data: &Path, reading: Reading) -> Result<DataRequest> {
        let Reading { ratios, stranded, seed } = reading;
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
            negatives_per_positive: ratios.training,
            test_negatives_per_positive: Some(ratios.test),
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
                skip_bad_regions: self.skip_bad_regions,
                force: self.force,
                ..PeakOptions::default()
            },
            seed,
        })
    }
}
