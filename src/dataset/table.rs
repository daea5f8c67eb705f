//! Tables with a sequence and one or more targets on each line.
//!
//! Columns are separated by tabs, where the first line has no tab by commas, and where it has neither by white space.
//! Fields may be quoted (`"…"`, a quote within written twice). A first line in which nothing is a number or a sequence is
//! a header. The tables of ENCODE (`FoldID EventID seq Bound`), of protein-binding microarrays (probe, signal, background),
//! of RNAcompete (intensity, probe) and lines as `>chr20:307938-308038 SEQ 0` are read without further options.
//!
//! A column is taken for the target only if its name says so, if it is the last one, or if no other can be. Columns with
//! the names of something else (`id`, `start`, `gc`), and the coordinates with which a table without a header begins as BED
//! does, are never taken unless they are asked for.

use std::borrow::Cow;
use std::path::Path;

use crate::dataset::text::{Lines, encode_sequence};
use crate::dataset::{BOUND, Dataset, TargetKind};
use crate::genome::sequences::Column;
use crate::seq::alphabet::count_ambiguous;
use crate::{Error, Result};

/// Columns that hold the targets.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub enum Targets {
    /// The column whose name is that of a target (`bound`, `label`, `y` and others); otherwise the last of the table, if it
    /// holds numbers, or the only one that does.
    #[default]
    Usual,
    /// Every column whose first value is a number or missing, apart from the folds, identifiers and coordinates.
    All,
    /// These.
    These(Vec<Column>),
}

/// Options for reading a table.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct TableOptions {
    /// The column with the sequences; otherwise the one named `seq`, `sequence` or `probe`, otherwise the first that
    /// holds a sequence.
    pub sequence: Option<Column>,
    /// The columns with the targets.
    pub targets: Targets,
    /// The column with the cross-validation folds; otherwise the one named `fold` or `FoldID`, if it has several.
    pub fold: Option<Column>,
    /// Kind of the targets; if not given, binary if all are 0 or 1, else real.
    pub kind: Option<TargetKind>,
}

/// Names under which the columns are looked for, in lower case.
const SEQUENCE_NAMES: [&str; 3] = ["seq", "sequence", "probe"];
const TARGET_NAMES: [&str; 12] = [
    BOUND,
    "label",
    "target",
    "y",
    "class",
    "signal",
    "intensity",
    "affinity",
    "activity",
    "expression",
    "score",
    "value",
];
const FOLD_NAMES: [&str; 2] = ["fold", "foldid"];

/// Names, in lower case, of columns that hold numbers and are no targets.
const OTHER_NAMES: [&str; 24] = [
    "id",
    "index",
    "idx",
    "name",
    "row",
    "rank",
    "chr",
    "chrom",
    "chromosome",
    "contig",
    "start",
    "chromstart",
    "end",
    "chromend",
    "stop",
    "pos",
    "position",
    "strand",
    "length",
    "len",
    "gc",
    "gc_content",
    "background",
    "split",
];

/// Letters that a field has at least if it is to be taken for a sequence.
const SHORTEST_SEQUENCE: usize = 4;

/// Reads a table, plain or gzip. One without a target has bound sequences only.
///
/// # Errors
/// A file that cannot be read or has no rows or not those columns; several columns of which each may be the target; a row
/// with too few columns, a letter that is no nucleotide or a target that is no number, with its line.
pub fn read_table(path: &Path, options: &TableOptions) -> Result<Dataset> {
    Ok(read(Lines::open(path)?, options)?.dataset)
}

/// A data set, and which columns it is made of.
pub(crate) struct Table {
    pub(crate) dataset: Dataset,
    /// The columns in words, as `sequence: column 1 (seq); target: column 2 (bound)`.
    pub(crate) columns: String,
    /// Letters that stand for several bases.
    pub(crate) ambiguous: u64,
}

/// As [`read_table`], from lines of which none has been taken.
pub(crate) fn read(mut lines: Lines, options: &TableOptions) -> Result<Table> {
    let first = lines.next(true)?.map(str::to_owned);
    let Some(first) = first else { return Err(lines.file_error("there are no rows in it")) };
    let separator = Separator::from_line(&first);
    let fields = separator.split(&first).map_err(|message| lines.error(message))?;
    let header = is_header(&fields).then(|| fields.iter().map(|field| field.clone().into_owned()).collect());
    let sample = match &header {
        Some(_) => lines.next(true)?.map(str::to_owned),
        None => Some(first.clone()),
    };
    let Some(sample) = sample else { return Err(lines.file_error("there is a header and no rows")) };
    let names: Option<Vec<String>> = header;
    let fields = separator.split(&sample).map_err(|message| lines.error(message))?;
    let layout = Layout::find(names.as_deref(), &fields, options);
    let layout = layout.map_err(|message| lines.file_error(message))?;

    let mut rows = Rows::default();
    let mut row = Some(sample.as_str());
    while let Some(line) = row {
        let read = separator.split(line).and_then(|fields| rows.add(&fields, &layout));
        read.map_err(|message| lines.error(message))?;
        row = lines.next(true)?;
    }
    let (columns, ambiguous) = (layout.describe(names.as_deref()), rows.ambiguous);
    let dataset = rows.finish(layout, options.kind).map_err(|error| lines.file_error(error.to_string()))?;
    Ok(Table { dataset, columns, ambiguous })
}

/// Separator of columns.
#[derive(Clone, Copy)]
enum Separator {
    Tab,
    Comma,
    WhiteSpace,
}

impl Separator {
    fn from_line(line: &str) -> Separator {
        match line {
            line if line.contains('\t') => Separator::Tab,
            line if line.contains(',') => Separator::Comma,
            _ => Separator::WhiteSpace,
        }
    }

    fn separates(self, letter: char) -> bool {
        match self {
            Separator::Tab => letter == '\t',
            Separator::Comma => letter == ',',
            Separator::WhiteSpace => letter.is_whitespace(),
        }
    }

    /// The fields of a line, without white space around them.
    fn split(self, line: &str) -> Result<Vec<Cow<'_, str>>, String> {
        if line.contains('"') {
            return self.split_quoted(line);
        }
        Ok(match self {
            Separator::Tab => line.split('\t').map(|field| field.trim().into()).collect(),
            Separator::Comma => line.split(',').map(|field| field.trim().into()).collect(),
            Separator::WhiteSpace => line.split_whitespace().map(Cow::from).collect(),
        })
    }

    /// The fields of a line of which some are quoted.
    fn split_quoted(self, line: &str) -> Result<Vec<Cow<'_, str>>, String> {
        let mut fields = Vec::new();
        let mut rest = line.trim();
        loop {
            rest = rest.trim_start_matches(|letter: char| letter.is_whitespace() && !self.separates(letter));
            let field;
            (field, rest) = match rest.strip_prefix('"') {
                Some(quoted) => unquote(quoted)?,
                None => {
                    let end = rest.find(|letter| self.separates(letter)).unwrap_or(rest.len());
                    (Cow::from(rest[..end].trim()), &rest[end..])
                }
            };
            fields.push(field);
            if matches!(self, Separator::WhiteSpace) {
                rest = rest.trim_start();
                if rest.is_empty() {
                    return Ok(fields);
                }
                continue;
            }
            rest = rest.trim_start_matches(|letter: char| letter.is_whitespace() && !self.separates(letter));
            let mut letters = rest.chars();
            match letters.next() {
                None => return Ok(fields),
                Some(letter) if self.separates(letter) => rest = letters.as_str(),
                Some(letter) => return Err(format!("'{letter}' stands behind a quoted field")),
            }
        }
    }
}

/// The text up to the closing quote, in which two quotes stand for one, and what follows it.
fn unquote(text: &str) -> Result<(Cow<'_, str>, &str), String> {
    let mut from = 0;
    while let Some(quote) = text[from..].find('"').map(|at| from + at) {
        if !text[quote + 1..].starts_with('"') {
            let field = match from {
                0 => Cow::from(text[..quote].trim()),
                _ => Cow::from(text[..quote].replace("\"\"", "\"")),
            };
            return Ok((field, &text[quote + 1..]));
        }
        from = quote + 2;
    }
    Err("a quoted field does not end on its line".into())
}

fn is_header(fields: &[Cow<'_, str>]) -> bool {
    !fields.iter().any(|field| is_taken_for_data(field))
}

/// True if a field would be taken for a number or a sequence: as a column's name it would hide the header.
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

/// Indices of the columns, from 0.
struct Layout {
    sequence: usize,
    targets: Vec<usize>,
    target_names: Vec<String>,
    fold: Option<usize>,
    /// The fold column was not asked for, and counts only if there are several folds.
    fold_found: bool,
}

impl Layout {
    fn find(
        names: Option<&[String]>,
        sample: &[Cow<'_, str>],
        options: &TableOptions,
    ) -> Result<Layout, String> {
        if let Some(names) = names
            && names.len() < sample.len()
        {
            return Err(format!(
                "the header has {} columns, and the first row {}: give every column a name",
                names.len(),
                sample.len()
            ));
        }
        let place = |column: &Column| place(column, names, sample.len());
        let sequence = match &options.sequence {
            Some(column) => place(column)?,
            None => named(names, &SEQUENCE_NAMES)
                .or_else(|| sample.iter().position(|field| is_sequence(field)))
                .ok_or("no column of it holds sequences; they are needed beside the targets")?,
        };
        let fold = match &options.fold {
            Some(column) => Some(place(column)?),
            None => named(names, &FOLD_NAMES),
        };
        let candidates = candidates(names, sample, sequence, fold);
        let targets: Vec<usize> = match &options.targets {
            Targets::These(columns) => columns.iter().map(place).collect::<Result<_, _>>()?,
            Targets::All => candidates,
            Targets::Usual => match named(names, &TARGET_NAMES) {
                Some(named) => vec![named],
                None => usual_target(&candidates, names, sample, sequence)?.into_iter().collect(),
            },
        };
        if let Some(twice) = targets.iter().find(|&&i| i == sequence || Some(i) == fold) {
            return Err(format!("column {} cannot hold the targets, too", twice + 1));
        }
        let name = |&i: &usize| match names.and_then(|names| names.get(i)) {
            Some(name) => name.clone(),
            None if targets.len() == 1 => "target".to_owned(),
            None => format!("column_{}", i + 1),
        };
        let target_names = targets.iter().map(name).collect();
        Ok(Layout { sequence, target_names, targets, fold, fold_found: options.fold.is_none() })
    }

    /// Description of the columns that are used.
    fn describe(&self, names: Option<&[String]>) -> String {
        let column = |&i: &usize| match names.and_then(|names| names.get(i)) {
            Some(name) => format!("column {} ({name})", i + 1),
            None => format!("column {}", i + 1),
        };
        let sequence = column(&self.sequence);
        let targets: Vec<String> = self.targets.iter().map(column).collect();
        match targets.len() {
            0 => format!(
                "sequence: {sequence}; no target: all are taken for bound (--target chooses a column)"
            ),
            1 => format!("sequence: {sequence}; target: {}", targets[0]),
            _ => format!("sequence: {sequence}; targets: {}", targets.join(", ")),
        }
    }
}

/// The first column with one of these names.
fn named(names: Option<&[String]>, wanted: &[&str]) -> Option<usize> {
    names?.iter().position(|name| wanted.contains(&name.to_ascii_lowercase().as_str()))
}

/// Columns that may hold targets: numbers, or else missing values, and nothing that is known to be something else.
fn candidates(
    names: Option<&[String]>,
    sample: &[Cow<'_, str>],
    sequence: usize,
    fold: Option<usize>,
) -> Vec<usize> {
    let coordinates = if names.is_none() && begins_as_bed(sample) { 3 } else { 0 };
    let is_other = |i: usize| {
        let name = names.and_then(|names| names.get(i)).map(|name| name.to_ascii_lowercase());
        name.is_some_and(|name| OTHER_NAMES.contains(&name.as_str()))
    };
    // A dot is a BED field without a value rather than a missing measurement.
    let holds_target = |i: usize| is_number(&sample[i]) || (is_missing(&sample[i]) && sample[i] != ".");
    (coordinates..sample.len())
        .filter(|&i| i != sequence && Some(i) != fold && !is_other(i) && holds_target(i))
        .collect()
}

/// True if the first columns are a contig, a start and an end.
fn begins_as_bed(sample: &[Cow<'_, str>]) -> bool {
    let [contig, start, end, _, ..] = sample else { return false };
    let position = |field: &str| field.parse::<u64>().ok();
    let ordered = position(start).zip(position(end)).is_some_and(|(start, end)| start < end);
    ordered && !is_sequence(contig)
}

/// The target where no name says which it is.
fn usual_target(
    candidates: &[usize],
    names: Option<&[String]>,
    sample: &[Cow<'_, str>],
    sequence: usize,
) -> Result<Option<usize>, String> {
    let numbers: Vec<usize> = candidates.iter().copied().filter(|&i| is_number(&sample[i])).collect();
    let is_class = |i: usize| sample[i] == "0" || sample[i] == "1";
    match numbers[..] {
        // Protein-binding microarrays: probe, signal, background.
        [1, 2] if names.is_none() && sequence == 0 && sample.len() == 3 && !is_class(2) => Ok(Some(1)),
        _ if candidates.last() == Some(&(sample.len() - 1)) => Ok(candidates.last().copied()),
        [only] => Ok(Some(only)),
        // A value that is missing is no reason to overlook the column.
        [] => Ok(candidates.first().copied()),
        _ => {
            let shown: Vec<String> = numbers.iter().map(|i| (i + 1).to_string()).collect();
            Err(format!("columns {} hold numbers: say which is the target (--target)", shown.join(", ")))
        }
    }
}

/// Rank of a column, counted from 0.
fn place(column: &Column, names: Option<&[String]>, columns: usize) -> Result<usize, String> {
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
    ambiguous: u64,
}

impl Rows {
    fn add(&mut self, fields: &[Cow<'_, str>], layout: &Layout) -> Result<(), String> {
        let field = |i: usize| {
            fields
                .get(i)
                .map(Cow::as_ref)
                .ok_or_else(|| format!("column {} is missing; the line has {}", i + 1, fields.len()))
        };
        let letters = field(layout.sequence)?;
        self.sequences.push(encode_sequence(letters)?);
        self.ambiguous += count_ambiguous(letters.as_bytes());
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
        let Rows { sequences, mut targets, folds, fold_names, .. } = self;
        let mut names = layout.target_names;
        if names.is_empty() {
            (targets, names) = (vec![1.0; sequences.len()], vec![BOUND.into()]);
        }
        let binary = || targets.iter().all(|target| target.is_nan() || *target == 0.0 || *target == 1.0);
        if targets.iter().all(|target| target.is_nan()) {
            return Err(Error::Data(format!("every value of {} is missing", names.join(", "))));
        }
        let kind = kind.unwrap_or_else(|| if binary() { TargetKind::Binary } else { TargetKind::Real });
        if kind == TargetKind::Binary && !binary() {
            return Err(Error::Data("not all targets are 0 or 1; they are no classes".into()));
        }
        let mut dataset = Dataset::new(sequences, targets, names, kind)?;
        if layout.fold.is_some() && (fold_names.len() > 1 || !layout.fold_found) {
            dataset.folds = Some(folds);
        }
        Ok(dataset)
    }
}
