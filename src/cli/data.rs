//! Options that say where labelled sequences come from.

use std::path::{Path, PathBuf};

use anyhow::{Result, bail};
use bindscan::dataset::load::{DataRequest, Loaded, Negatives, load};
use bindscan::dataset::peaks::{HeldOutOptions, PeakOptions};
use bindscan::dataset::table::{TableOptions, Targets};
use bindscan::dataset::{Dataset, TargetKind};
use bindscan::genome::sequences::Column;
use clap::{Args, ValueEnum};

use super::heading;
use super::{Session, message};

/// Training or test data. `train` and `eval` take the same forms.
#[derive(Debug, Args)]
pub(super) struct DataArgs {
    /// Data: a table, bound sequences (FASTA), or peaks (BED, narrowPeak; with --genome)
    ///
    /// A table has sequences and targets: TSV, CSV or .seq.gz. All files may be gzipped.
    data: PathBuf,
    /// Read the peaks' sequences from this genome (FASTA or 2bit)
    #[arg(long, value_name = "FASTA", help_heading = heading::INPUT)]
    genome: Option<PathBuf>,
    /// Choose the unbound sequences, if the data have none
    ///
    /// shuffle keeps the dinucleotides of each positive; genome draws windows of the same GC content (with peaks); or a
    /// FASTA file.
    #[arg(long, value_name = "shuffle|genome|FASTA", default_value = "shuffle", value_parser = parse_negatives, help_heading = heading::INPUT)]
    negatives: Negatives,
    /// Use these target columns, by name or rank, separated by commas; all: all numbers
    ///
    /// [default: bound, label, target, y or a similar name, else the last column, or the only one with numbers]
    #[arg(long, value_name = "COLUMNS", value_delimiter = ',', help_heading = heading::INPUT)]
    target: Vec<String>,
    /// Use this sequence column, by name or rank [default: seq, sequence or probe, else the first]
    #[arg(long, value_name = "COLUMN", value_parser = parse_column, help_heading = heading::INPUT)]
    column: Option<Column>,
    /// Use this column of cross-validation folds, by name or rank [default: fold or FoldID]
    #[arg(long, value_name = "COLUMN", value_parser = parse_column, help_heading = heading::INPUT)]
    fold_column: Option<Column>,
    /// Treat targets as classes or numbers [default: classes if all are 0 or 1]
    #[arg(long, help_heading = heading::INPUT)]
    kind: Option<KindArg>,
    /// Take this many bases around each peak's summit
    #[arg(long, value_name = "BASES", default_value = "101", value_parser = super::parse_positive, help_heading = heading::INPUT)]
    width: usize,
    /// Use only this many of the strongest peaks [default: all]
    #[arg(long, value_name = "COUNT", value_parser = super::parse_positive, help_heading = heading::INPUT)]
    max_peaks: Option<usize>,
    /// Hold out the peaks on these contigs, separated by commas, for the test
    ///
    /// train leaves them out of the fit, eval uses no others.
    #[arg(long, value_name = "CONTIGS", value_delimiter = ',', help_heading = heading::INPUT)]
    test_contigs: Vec<String>,
    /// Skip peaks on unknown contigs and empty ones, and count them
    #[arg(long, help_heading = heading::INPUT)]
    skip_bad_regions: bool,
    /// Continue even if more than half of the peaks are lost
    #[arg(long, help_heading = heading::INPUT)]
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
    /// The given value, or else `training` for training data.
    pub(super) fn for_training(asked: Option<f64>, training: f64) -> Ratios {
        Ratios { training: asked.unwrap_or(training), test: asked.unwrap_or(TEST_RATIO) }
    }

    /// The given value, or else that of test data.
    pub(super) fn for_test(asked: Option<f64>) -> Ratios {
        Ratios::for_training(asked, TEST_RATIO)
    }
}

/// Options for reading data.
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

    /// The genome that peaks lie on, if one was given.
    pub(super) fn genome(&self) -> Option<&Path> {
        self.genome.as_deref()
    }

    /// Options for reading whole contigs with peaks.
    pub(super) fn held_out_options(&self) -> HeldOutOptions<'_> {
        let DataArgs { test_contigs, skip_bad_regions, force, .. } = self;
        HeldOutOptions { contigs: test_contigs, skip_bad_regions: *skip_bad_regions, force: *force }
    }

    /// True if some of the data are held out for the test.
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
