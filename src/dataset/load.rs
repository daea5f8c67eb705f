//! Data sets from files, whatever form they have: one request, one answer.

use std::path::{Path, PathBuf};

use crate::dataset::fasta;
use crate::dataset::fasta::read_sequences;
use crate::dataset::negatives;
use crate::dataset::negatives::shuffles;
use crate::dataset::peaks::{PeakOptions, Windows, cut_windows};
use crate::dataset::scaling::join_replicates;
use crate::dataset::table;
use crate::dataset::table::TableOptions;
use crate::dataset::text::Lines;
use crate::dataset::{Dataset, TargetKind};
use crate::genome::sequences::is_located;
use crate::seq::alphabet::ambiguous_note;
use crate::{Error, Result};

/// Files to read, and options.
#[derive(Debug, Clone, Default, PartialEq)]
pub struct DataRequest {
    /// Peaks (BED, narrowPeak), sequences (FASTA) or a table; plain or gzip.
    pub data: PathBuf,
    /// FASTA of the genome that peaks lie on.
    pub genome: Option<PathBuf>,
    /// Source of unbound sequences if the data have none.
    pub negatives: Negatives,
    /// Unbound sequences for each bound one.
    pub negatives_per_positive: f64,
    /// The same for peaks that are held out; as many, if it is not given.
    pub test_negatives_per_positive: Option<f64>,
    /// Options for reading a table.
    pub table: TableOptions,
    /// Options for cutting out peaks. The background and the seed are set from the other fields.
    pub peaks: PeakOptions,
    /// Seed of the negatives.
    pub seed: u64,
}

impl DataRequest {
    /// Unbound sequences for each bound one that is held out.
    fn test_ratio(&self) -> f64 {
        self.test_negatives_per_positive.unwrap_or(self.negatives_per_positive)
    }
}

/// Source of unbound sequences.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub enum Negatives {
    /// Dinucleotide-preserving shuffles of the bound ones.
    #[default]
    Shuffle,
    /// Windows of the genome, with peaks only.
    Genome,
    /// A FASTA file.
    File(PathBuf),
}

/// Data sets that were read.
#[derive(Debug, Clone, PartialEq)]
pub struct Loaded {
    /// The data, apart from what was held out.
    pub training: Dataset,
    /// Held-out data: peaks on the test contigs.
    pub test: Option<Dataset>,
    /// Notes on changes of the data and on oddities in them, one sentence each.
    pub notes: Vec<String>,
}

/// Reads a data set.
///
/// Peaks are cut out of the genome; bound sequences without unbound ones get negatives; measured numbers of the same
/// sequence are joined to their median.
///
/// # Errors
/// Files that cannot be read or do not say what their format says they should, and options that do not go with them.
pub fn load(request: &DataRequest) -> Result<Loaded> {
    negatives::wanted(1, request.negatives_per_positive)?;
    negatives::wanted(1, request.test_ratio())?;
    let given = match &request.negatives {
        Negatives::File(path) => Some(read_sequences(path)?),
        _ => None,
    };
    if has_peak_name(&request.data) || request.genome.is_some() {
        return load_peaks(request, given);
    }
    let wrong = |message: &str| Err(Error::format(&request.data, None, message));
    if request.negatives == Negatives::Genome {
        return wrong("windows of the genome are negatives for peaks only; these are sequences");
    }
    if !request.peaks.test_contigs.is_empty() {
        return wrong("test contigs go with peaks only; give the test sequences as a file of their own");
    }
    let mut notes = Vec::new();
    // Opened once: it may be standard input.
    let mut lines = Lines::open(&request.data)?;
    let dataset = if is_fasta(&mut lines)? {
        let mut reader = lines.into_sequences();
        let sequences = fasta::read(&request.data, &mut reader)?;
        notes.extend(ambiguous_note(reader.ambiguous()));
        Dataset::from_classes(sequences, Vec::new())?
    } else {
        let table = table::read(lines, &request.table)?;
        notes.push(table.columns);
        notes.extend(ambiguous_note(table.ambiguous));
        table.dataset
    };
    let training = complete(dataset, given, request, request.seed, &mut notes)?;
    Ok(Loaded { training, test: None, notes })
}

/// The sequences of a file, FASTA or a table, whatever their targets.
///
/// # Errors
/// As [`load`].
pub fn sequences(path: &Path, table: &TableOptions) -> Result<Vec<Vec<u8>>> {
    let mut lines = Lines::open(path)?;
    match is_fasta(&mut lines)? {
        true => fasta::read(path, &mut lines.into_sequences()),
        false => Ok(table::read(lines, table)?.dataset.sequences),
    }
}

/// True if a file, of which nothing has been read yet, is FASTA. Reads its first line if it is, and holds it if not.
fn is_fasta(lines: &mut Lines) -> Result<bool> {
    if !lines.starts_with(b'>')? {
        return Ok(false);
    }
    let fasta = lines.next(false)?.is_some_and(|line| !is_located(line));
    if !fasta {
        lines.hold();
    }
    Ok(fasta)
}

/// True if the name is that of a file of peaks.
pub(crate) fn has_peak_name(path: &Path) -> bool {
    let name = path.to_string_lossy().to_ascii_lowercase();
    let name = name.strip_suffix(".gz").unwrap_or(&name);
    [".bed", ".narrowpeak", ".broadpeak"].iter().any(|extension| name.ends_with(extension))
}

fn load_peaks(request: &DataRequest, given: Option<Vec<Vec<u8>>>) -> Result<Loaded> {
    let missing = || Error::format(&request.data, None, "peaks need their genome (--genome)");
    let genome = request.genome.as_ref().ok_or_else(missing)?;
    let (ratio, test_ratio) = (request.negatives_per_positive, request.test_ratio());
    let (background, test_background) =
        if request.negatives == Negatives::Genome { (ratio, test_ratio) } else { (0.0, 0.0) };
    let options = PeakOptions { background, test_background, seed: request.seed, ..request.peaks.clone() };
    let windows = cut_windows(genome, &request.data, &options)?;
    let mut notes = windows.skipped.messages();
    let (training_given, test_given) = match given {
        Some(given) => {
            let share = share_of_test(windows.training.peaks.len(), windows.test.peaks.len());
            let (training, test) = deal(given, share);
            (Some(training), Some(test))
        }
        None => (None, None),
    };
    let mut side = |windows: Windows, given, ratio, seed| -> Result<Dataset> {
        let dataset = Dataset::from_classes(windows.peaks, windows.background)?;
        let request = DataRequest { negatives_per_positive: ratio, ..request.clone() };
        complete(dataset, given, &request, seed, &mut notes)
    };
    let test = match windows.test {
        Windows { peaks, .. } if peaks.is_empty() => None,
        // Another stream of shuffles than that of the training set.
        test => Some(side(test, test_given, test_ratio, !request.seed)?),
    };
    let training = side(windows.training, training_given, ratio, request.seed)?;
    Ok(Loaded { training, test, notes })
}

fn share_of_test(training: usize, test: usize) -> f64 {
    test as f64 / (training + test) as f64
}

/// Deals sequences out: a share of them, evenly spread, is second.
fn deal(sequences: Vec<Vec<u8>>, share: f64) -> (Vec<Vec<u8>>, Vec<Vec<u8>>) {
    let dealt = |count: usize| (count as f64 * share) as usize;
    let (mut first, mut second) = (Vec::new(), Vec::new());
    for (i, codes) in sequences.into_iter().enumerate() {
        if dealt(i + 1) > dealt(i) { second.push(codes) } else { first.push(codes) }
    }
    (first, second)
}

/// Adds what is missing and notes what is odd.
fn complete(
    mut dataset: Dataset,
    given: Option<Vec<Vec<u8>>>,
    request: &DataRequest,
    seed: u64,
    notes: &mut Vec<String>,
) -> Result<Dataset> {
    let positives = dataset.len();
    let mut quality = dataset.quality();
    if dataset.kind == TargetKind::Real {
        // Replicates are joined, which has a note of its own.
        (quality.duplicates, quality.contradictions) = (0, 0);
    }
    match (dataset.kind, given) {
        (TargetKind::Real, Some(_)) => {
            let message = "negatives go with bound sequences; these have measured numbers";
            return Err(Error::format(&request.data, None, message));
        }
        (TargetKind::Real, None) => {
            let (joined, count) = join_replicates(&dataset)?;
            if count > 0 {
                notes.push(format!("{count} replicates were joined to the median of their sequence"));
            }
            dataset = joined;
        }
        (TargetKind::Binary, Some(given)) => {
            notes.push(format!("{} unbound sequences were added from a file", given.len()));
            dataset.add_negatives(given)?;
            quality = dataset.quality();
        }
        (TargetKind::Binary, None) if dataset.has_positives_only() && dataset.outputs == 1 => {
            let made = shuffles(&dataset.sequences, request.negatives_per_positive, seed)?;
            notes.push(format!(
                "{} dinucleotide shuffles of the {positives} bound sequences are the unbound ones",
                made.len()
            ));
            dataset.add_negatives(made)?;
        }
        (TargetKind::Binary, None) => {}
    }
    notes.extend(quality.messages());
    Ok(dataset)
}
