//! Options that say where labelled sequences come from.

use std::path::{Path, PathBuf};

use anyhow::{Result, bail};
use bindscan::train::dataset::peaks::{self, PeakOptions, Windows};
use bindscan::train::dataset::table::{Column, TableOptions, Targets, read_table};
use bindscan::train::dataset::{Dataset, fasta};
use bindscan::train::negatives;
use clap::Args;

#[derive(Debug, Args)]
pub(super) struct DataArgs {
    /// Table of sequences and targets (TSV with a header; .seq.gz), FASTA of bound sequences, or, with --genome, peaks
    /// (BED, narrowPeak); plain or gzip
    data: PathBuf,
    /// Unbound sequences (FASTA)
    #[arg(long, value_name = "FASTA", conflicts_with = "genome")]
    negatives: Option<PathBuf>,
    /// Negatives to make for each bound sequence, where the data have none: shuffles that keep the dinucleotides
    #[arg(long, value_name = "COUNT")]
    negatives_per_positive: Option<f64>,
    /// Column with the targets, by name or rank (repeatable) [default: bound, label or target, or the first number]
    #[arg(long, value_name = "NAME|RANK")]
    target: Vec<String>,
    /// Column with the sequences, by name or rank [default: seq, sequence or probe]
    #[arg(long, value_name = "NAME|RANK")]
    column: Option<String>,
    /// Genome (FASTA) that the peaks lie on
    #[arg(long, value_name = "FASTA")]
    genome: Option<PathBuf>,
    /// Bases of a window around a summit
    #[arg(long, default_value = "101", value_parser = super::parse_positive, requires = "genome")]
    width: usize,
    /// Use the strongest peaks only
    #[arg(long, value_name = "COUNT", value_parser = super::parse_positive, requires = "genome")]
    max_peaks: Option<usize>,
    /// Hold the peaks on this contig out for the test (repeatable, or separated by commas)
    #[arg(long, value_name = "CONTIG", value_delimiter = ',', requires = "genome")]
    test_contig: Vec<String>,
    /// Negatives are windows of the genome of the same GC content, rather than shuffles
    #[arg(long, requires = "genome")]
    genomic_negatives: bool,
}

/// Data to train on, and to test on.
pub(super) struct Data {
    pub(super) training: Dataset,
    pub(super) test: Option<Dataset>,
    /// What is to be said about them.
    pub(super) notes: Vec<String>,
}

impl DataArgs {
    /// Reads the data; `ratio` negatives are made for each positive where there are none and the user does not say.
    pub(super) fn open(&self, ratio: f64, stranded: bool, seed: u64) -> Result<Data> {
        let ratio = self.negatives_per_positive.unwrap_or(ratio);
        let Some(genome) = &self.genome else {
            let mut training = self.read(&self.data)?;
            if let Some(path) = &self.negatives {
                training.add_negatives(fasta::read_fasta(path)?)?;
            }
            if training.has_positives_only() {
                add_shuffles(&mut training, ratio, seed)?;
            }
            return Ok(Data { training, test: None, notes: Vec::new() });
        };
        let options = PeakOptions {
            width: self.width,
            max_peaks: self.max_peaks,
            test_contigs: self.test_contig.clone(),
            stranded,
            background: if self.genomic_negatives { ratio } else { 0.0 },
            seed,
        };
        let windows = peaks::cut_windows(genome, &self.data, &options)?;
        let dataset = |windows: Windows, ratio: f64| -> Result<Dataset> {
            let mut dataset = Dataset::of_classes(windows.peaks, windows.background)?;
            if dataset.has_positives_only() {
                add_shuffles(&mut dataset, ratio, seed)?;
            }
            Ok(dataset)
        };
        Ok(Data {
            test: (!self.test_contig.is_empty()).then(|| dataset(windows.test, 1.0)).transpose()?,
            training: dataset(windows.training, ratio)?,
            notes: windows.skipped.messages(),
        })
    }

    /// Reads a test set in the form of the training data, with one shuffle for each positive if it has no negatives.
    pub(super) fn open_test(&self, path: &Path, seed: u64) -> Result<Dataset> {
        let mut test = self.read(path)?;
        if test.has_positives_only() {
            add_shuffles(&mut test, 1.0, seed)?;
        }
        Ok(test)
    }

    fn read(&self, path: &Path) -> Result<Dataset> {
        if fasta::is_fasta(path)? {
            if !self.target.is_empty() || self.column.is_some() {
                bail!("{}: FASTA has no columns; leave out --target and --column", path.display());
            }
            return Ok(Dataset::of_classes(fasta::read_fasta(path)?, Vec::new())?);
        }
        let targets = self.target.iter().map(|text| column(text)).collect::<Result<Vec<_>>>()?;
        let options = TableOptions {
            sequence: self.column.as_deref().map(column).transpose()?,
            targets: if targets.is_empty() { Targets::Usual } else { Targets::These(targets) },
            fold: None,
            kind: None,
        };
        Ok(read_table(path, &options)?)
    }
}

fn add_shuffles(dataset: &mut Dataset, ratio: f64, seed: u64) -> Result<()> {
    let shuffles = negatives::shuffles(&dataset.sequences, ratio, seed)?;
    Ok(dataset.add_negatives(shuffles)?)
}

fn column(text: &str) -> Result<Column> {
    match text.parse::<usize>() {
        Ok(0) => bail!("columns are counted from 1"),
        Ok(rank) => Ok(Column::Rank(rank)),
        Err(_) => Ok(Column::Name(text.to_owned())),
    }
}
