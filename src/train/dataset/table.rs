//! Tables with a sequence and one or more targets on each line.
//!
//! Columns are separated by tabs, where the first line has no tab by commas, and where it has neither by white space. A
//! first line in which nothing is a number or a sequence is a header. The tables of ENCODE (`FoldID EventID seq Bound`), of protein-binding
//! microarrays (probe, signal, background) and of RNAcompete (intensity, probe) are read without further options.

use std::path::Path;

use super::text::{Lines, encode_sequence};
use super::{BOUND, Dataset, TargetKind};
use crate::source::sequences::Column;
use crate::{Error, Result};

/// Which columns hold the targets.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub enum Targets {
    /// The column named `bound`, `label` or `target`; otherwise the first that holds numbers.
    #[default]
    Usual,
    /// Every column whose first value is a number or missing, apart from the folds.
    All,
    /// These.
    These(Vec<Column>),
}

/// How a table is read.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct TableOptions {
    /// The column with the sequences; otherwise the one named `seq`, `sequence` or `probe`, otherwise the first that
    /// holds a sequence.
    pub sequence: Option<Column>,
    /// The columns with the targets.
    pub targets: Targets,
    /// The column with the cross-validation folds; otherwise the one named `fold` or `FoldID`, if it has several.
    pub fold: Option<Column>,
    /// What the targets are; otherwise binary if all are 0 or 1, and real if not.
    pub kind: Option<TargetKind>,
}

/// Names under which the columns are looked for, in lower case.
const SEQUENCE_NAMES: [&str; 3] = ["seq", "sequence", "probe"];
const TARGET_NAMES: [&str; 3] = [BOUND, "label", "target"];
const FOLD_NAMES: [&str; 2] = ["fold", "foldid"];

/// Letters that a field has at least if it is to be taken for a sequence.
const SHORTEST_SEQUENCE: usize = 4;

/// Reads a table, plain or gzip. One without any numbers has bound sequences only.
///
/// # Errors
/// A file that cannot be read or has no rows or not those columns; a row with too few columns, a letter that is no
/// nucleotide or a target that is no number, with its line.
pub fn read_table(path: &Path, options: &TableOptions) -> Result<Dataset> {
    read(Lines::open(path)?, options)
}

/// As [`read_table`], from lines of which none has been read.
pub(super) fn read(mut lines: Lines, options: &TableOptions) -> Result<Dataset> {
    let first = lines.next(true)?.map(str::to_owned);
    let Some(first) = first else { return Err(lines.file_error("there are no rows in it")) };
    let separator = Separator::of(&first);
    let header = is_header(&separator.split(&first)).then(|| first.clone());
    let sample = match &header {
        Some(_) => lines.next(true)?.map(str::to_owned),
        None => Some(first.clone()),
    };
    let Some(sample) = sample else { return Err(lines.file_error("there is a header and no rows")) };
    let names = header.as_deref().map(|header| separator.split(header));
    let layout = Layout::find(names.as_deref(), &separator.split(&sample), options);
    let layout = layout.map_err(|message| lines.file_error(message))?;

    let mut rows = Rows::default();
    let mut row = Some(sample.as_str());
    while let Some(line) = row {
        let read = rows.add(&separator.split(line), &layout);
        read.map_err(|message| lines.error(message))?;
        row = lines.next(true)?;
    }
    rows.finish(layout, options.kind).map_err(|error| lines.file_error(error.to_string()))
}

/// What stands between columns.
#[derive(Clone, Copy)]
enum Separator {
    Tab,
    Comma,
    WhiteSpace,
}

impl Separator {
    fn of(line: &str) -> Separator {
        match line {
            line if line.contains('\t') => Separator::Tab,
            line if line.contains(',') => Separator::Comma,
            _ => Separator::WhiteSpace,
        }
    }

    fn split(self, line: &str) -> Vec<&str> {
        match self {
            Separator::Tab => line.split('\t').map(str::trim).collect(),
            Separator::Comma => line.split(',').map(str::trim).collect(),
            Separator::WhiteSpace => line.split_whitespace().collect(),
        }
    }
}

fn is_header(fields: &[&str]) -> bool {
    !fields.iter().any(|field| is_taken_for_data(field))
}

/// Whether a field would be taken for a number or a sequence: as a column's name it would hide the header.
pub fn is_taken_for_data(field: &str) -> bool {
    is_number(field) || is_sequence(field)
}

fn is_number(field: &str) -> bool {
    field.parse::<f32>().is_ok_and(f32::is_finite)
}

fn is_missing(field: &str) -> bool {
    ["", "na", "nan", "."].contains(&field.to_ascii_lowercase().as_str())
}

fn is_sequence(field: &str) -> bool {
    field.len() >= SHORTEST_SEQUENCE && field.bytes().all(|letter| b"ACGTUNacgtun".contains(&letter))
}

/// Where the columns are, counted from 0.
struct Layout {
    sequence: usize,
    targets: Vec<usize>,
    target_names: Vec<String>,
    fold: Option<usize>,
    /// The fold column was not asked for, and counts only if there are several folds.
    fold_found: bool,
}

impl Layout {
    fn find(names: Option<&[&str]>, sample: &[&str], options: &TableOptions) -> Result<Layout, String> {
        let named = |wanted: &[&str]| {
            let is_wanted = |name: &&str| wanted.contains(&name.to_ascii_lowercase().as_str());
            names.and_then(|names| names.iter().position(is_wanted))
        };
        let place = |column: &Column| place(column, names, sample.len());
        let sequence = match &options.sequence {
            Some(column) => place(column)?,
            None => named(&SEQUENCE_NAMES)
                .or_else(|| sample.iter().position(|field| is_sequence(field)))
                .ok_or("no column of it holds sequences; they are needed beside the targets")?,
        };
        let fold = match &options.fold {
            Some(column) => Some(place(column)?),
            None => named(&FOLD_NAMES),
        };
        let others = || (0..sample.len()).filter(|&i| i != sequence && Some(i) != fold);
        let targets: Vec<usize> = match &options.targets {
            Targets::These(columns) => columns.iter().map(place).collect::<Result<_, _>>()?,
            Targets::All => others().filter(|&i| is_number(sample[i]) || is_missing(sample[i])).collect(),
            Targets::Usual => named(&TARGET_NAMES)
                .or_else(|| others().find(|&i| is_number(sample[i])))
                // A value that is missing is no reason to overlook the column.
                .or_else(|| others().find(|&i| is_missing(sample[i])))
                .into_iter()
                .collect(),
        };
        if let Some(twice) = targets.iter().find(|&&i| i == sequence || Some(i) == fold) {
            return Err(format!("column {} cannot hold the targets, too", twice + 1));
        }
        let name = |&i: &usize| match names.and_then(|names| names.get(i)) {
            Some(name) => (*name).to_owned(),
            None if targets.len() == 1 => "target".to_owned(),
            None => format!("column_{}", i + 1),
        };
        let target_names = targets.iter().map(name).collect();
        let unused: Vec<String> = others()
            .filter(|&i| is_number(sample[i]) && !targets.contains(&i))
            .map(|i| (i + 1).to_string())
            .collect();
        if !unused.is_empty() {
            log::info!("numbers in column {} are not used (--target)", unused.join(", "));
        }
        Ok(Layout { sequence, target_names, targets, fold, fold_found: options.fold.is_none() })
    }
}

/// Rank of a column, counted from 0.
fn place(column: &Column, names: Option<&[&str]>, columns: usize) -> Result<usize, String> {
    match (column, names) {
        (Column::Rank(rank), _) if (1..=columns).contains(rank) => Ok(rank - 1),
        (Column::Rank(rank), _) => Err(format!("there is no column {rank}; there are {columns}")),
        (Column::Name(name), None) => Err(format!("there is no column {name}, because there is no header")),
        (Column::Name(name), Some(names)) => names
            .iter()
            .position(|other| other == name)
            .ok_or_else(|| format!("there is no column {name}; there are {}", names.join(", "))),
    }
}

/// The rows read so far.
#[derive(Default)]
struct Rows {
    sequences: Vec<Vec<u8>>,
    targets: Vec<f32>,
    folds: Vec<u8>,
    fold_names: Vec<String>,
}

impl Rows {
    fn add(&mut self, fields: &[&str], layout: &Layout) -> Result<(), String> {
        let field = |i: usize| {
            fields
                .get(i)
                .copied()
                .ok_or_else(|| format!("column {} is missing; the line has {}", i + 1, fields.len()))
        };
        self.sequences.push(encode_sequence(field(layout.sequence)?)?);
        for (&i, name) in layout.targets.iter().zip(&layout.target_names) {
            let text = field(i)?;
            let value = text.parse::<f32>().ok().filter(|value| value.is_finite());
            self.targets.push(match value {
                Some(value) => value,
                None if is_missing(text) => f32::NAN,
                None => {
                    let what = "is no number (classes are 0 and 1)";
                    return Err(format!("{text:?} in column {} ({name}) {what}", i + 1));
                }
            });
        }
        if let Some(i) = layout.fold {
            let fold = self.fold(field(i)?)?;
            self.folds.push(fold);
        }
        Ok(())
    }

    /// Number of the fold with this name; folds are numbered as they appear.
    fn fold(&mut self, name: &str) -> Result<u8, String> {
        let known = self.fold_names.iter().position(|other| other == name);
        let number = known.unwrap_or(self.fold_names.len());
        if known.is_none() {
            self.fold_names.push(name.to_owned());
        }
        u8::try_from(number).map_err(|_| "there are more than 256 folds; is this the fold column?".into())
    }

    fn finish(self, layout: Layout, kind: Option<TargetKind>) -> Result<Dataset> {
        let Rows { sequences, mut targets, folds, fold_names } = self;
        let mut names = layout.target_names;
        if names.is_empty() {
            (targets, names) = (vec![1.0; sequences.len()], vec![BOUND.into()]);
        }
        let binary = || targets.iter().all(|target| target.is_nan() || *target == 0.0 || *target == 1.0);
        if targets.iter().all(|target| target.is_nan()) {
            return Err(Error::Request(format!("every value of {} is missing", names.join(", "))));
        }
        let kind = kind.unwrap_or_else(|| if binary() { TargetKind::Binary } else { TargetKind::Real });
        if kind == TargetKind::Binary && !binary() {
            return Err(Error::Request("not all targets are 0 or 1; they are no classes".into()));
        }
        let mut dataset = Dataset::new(sequences, targets, names, kind)?;
        if layout.fold.is_some() && (fold_names.len() > 1 || !layout.fold_found) {
            dataset.folds = Some(folds);
        }
        Ok(dataset)
    }
}
