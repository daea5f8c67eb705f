//! Tables of numbers as matrices: which of rows and columns are the positions, and what the numbers are.

use super::text::Line;
use super::{DEFAULT_SITES, LARGEST_WIDTH, ROUNDING};
use crate::model::name;

/// Largest relative difference of sums that count as equal.
const EQUAL: f64 = 0.01;

/// Meaning of a row of a table.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Axis {
    /// A row is a base, and a column a position.
    Bases,
    /// A row is a position, and a column a base.
    Positions,
}

/// Why a motif cannot be used, and where.
#[derive(Debug, Clone, PartialEq)]
pub(super) struct Fault {
    pub(super) line: usize,
    pub(super) reason: String,
}

impl Fault {
    pub(super) fn new(line: usize, reason: impl Into<String>) -> Fault {
        Fault { line, reason: reason.into() }
    }
}

/// The numbers of one matrix, with bases in the order A, C, G, T as far as the file names them.
#[derive(Debug, Clone, PartialEq)]
pub(super) struct Table {
    rows: Vec<Vec<f64>>,
    /// Meaning of a row, if letters give it.
    axis: Option<Axis>,
    pub(super) rna: bool,
    /// Line of the last row.
    pub(super) line: usize,
}

/// Meaning of the numbers of a matrix.
#[derive(Debug, Clone, PartialEq)]
pub(super) struct Values {
    /// Counts at each position: those given, or the probabilities times a number of sites.
    pub(super) counts: Vec<[f64; 4]>,
    /// The numbers themselves, if they are log-odds.
    pub(super) scores: Option<Vec<[f64; 4]>>,
}

/// Rank of a base's letter, and whether it is U.
fn base(letter: &str) -> Option<usize> {
    match letter {
        "A" | "a" => Some(0),
        "C" | "c" => Some(1),
        "G" | "g" => Some(2),
        "T" | "t" | "U" | "u" => Some(3),
        _ => None,
    }
}

/// Columns that a heading such as `Pos A C G T` names: the rank of the base in each.
pub(super) fn heading(line: &Line<'_>) -> Option<[usize; 4]> {
    let words: Vec<&str> = line.words().collect();
    let letters = match words.as_slice() {
        [_, a, c, g, t, ..] if base(words[0]).is_none() || words.len() > 4 => [*a, *c, *g, *t],
        [a, c, g, t] => [*a, *c, *g, *t],
        _ => return None,
    };
    let ranks = letters.map(base);
    let [Some(a), Some(c), Some(g), Some(t)] = ranks else { return None };
    let mut seen = [false; 4];
    [a, c, g, t].iter().for_each(|&rank| seen[rank] = true);
    (seen == [true; 4]).then_some([a, c, g, t])
}

/// The base that a row such as `A [ 1 2 ]` or `A: 1 2` is of, and the rest of it.
fn labelled<'a>(line: &Line<'a>) -> Option<(usize, &'a str)> {
    let letter = line.text.get(..1)?;
    let rest = &line.text[1..];
    let parted = rest.is_empty() || rest.starts_with(|c: char| c.is_whitespace() || ":[|=".contains(c));
    let rest = rest.trim_start_matches(|c: char| c.is_whitespace() || ":|=".contains(c));
    parted.then_some(())?;
    Some((base(letter)?, rest))
}

/// The numbers of a row, or the word that is none.
fn numbers(text: &str) -> Result<Vec<f64>, &str> {
    let parts = text.split(|c: char| c.is_whitespace() || "[]|".contains(c)).filter(|word| !word.is_empty());
    parts.map(|word| word.parse().ok().filter(|number: &f64| number.is_finite()).ok_or(word)).collect()
}

/// True if a line is one of a matrix: a heading, a row with its base, or numbers.
pub(super) fn is_row(line: &Line<'_>) -> bool {
    let starts_with_number = |text: &str| {
        let first =
            text.split(|c: char| c.is_whitespace() || "[]|".contains(c)).find(|word| !word.is_empty());
        first.is_some_and(|word| word.parse::<f64>().is_ok())
    };
    heading(line).is_some()
        || starts_with_number(line.text)
        || labelled(line).is_some_and(|(_, rest)| starts_with_number(rest))
}

impl Table {
    /// Reads the rows of a matrix.
    pub(super) fn read(lines: &[Line<'_>]) -> Result<Table, Fault> {
        let first = lines.first().ok_or_else(|| Fault::new(0, "no matrix"))?;
        let table = match heading(first) {
            Some(order) => Table::with_heading(lines, order)?,
            None if lines.iter().any(|line| labelled(line).is_some()) => Table::with_labels(lines)?,
            None => Table::bare(lines)?,
        };
        let width = match table.axis {
            Some(Axis::Bases) => table.rows[0].len(),
            Some(Axis::Positions) => table.rows.len(),
            None => table.rows.len().max(table.rows[0].len()),
        };
        if width == 0 || width > LARGEST_WIDTH {
            return Err(Fault::new(table.line, format!("the matrix is {width} positions wide")));
        }
        Ok(table)
    }

    fn with_heading(lines: &[Line<'_>], order: [usize; 4]) -> Result<Table, Fault> {
        let rna = lines[0].words().any(|word| word == "U" || word == "u");
        let mut rows = Vec::new();
        for line in &lines[1..] {
            // TRANSFAC ends a row with the letter of the consensus.
            let text = line.text.trim_end_matches(|c: char| c.is_ascii_alphabetic()).trim_end();
            let text = if text.len() + 1 < line.text.len() { text } else { line.text };
            let numbers = numbers(text).map_err(|word| not_a_number(line, word))?;
            let four: Option<[f64; 4]> = match numbers.as_slice() {
                [_, row @ ..] if row.len() == 4 => row.try_into().ok(),
                row => row.try_into().ok(),
            };
            let four = four.ok_or_else(|| Fault::new(line.number, "a row is not of four numbers"))?;
            let mut row = vec![0.0; 4];
            order.iter().zip(four).for_each(|(&base, number)| row[base] = number);
            rows.push(row);
        }
        let line = lines[lines.len() - 1].number;
        if rows.is_empty() {
            return Err(Fault::new(line, "no matrix"));
        }
        Ok(Table { rows, axis: Some(Axis::Positions), rna, line })
    }

    fn with_labels(lines: &[Line<'_>]) -> Result<Table, Fault> {
        let mut rows: [Option<Vec<f64>>; 4] = [const { None }; 4];
        let mut rna = false;
        let mut width = None;
        for line in lines {
            let (base, rest) = labelled(line).ok_or_else(|| {
                Fault::new(line.number, format!("`{}` is not a row of a base", shortened(line.text)))
            })?;
            let row = numbers(rest).map_err(|word| not_a_number(line, word))?;
            if *width.get_or_insert(row.len()) != row.len() {
                return Err(Fault::new(line.number, "the rows have different lengths"));
            }
            rna |= line.text.starts_with(['U', 'u']);
            if rows[base].replace(row).is_some() {
                return Err(Fault::new(
                    line.number,
                    format!("two rows of {}", "ACGT".as_bytes()[base] as char),
                ));
            }
        }
        let line = lines[lines.len() - 1].number;
        let missing =
            |base: usize| Fault::new(line, format!("no row of {}", "ACGT".as_bytes()[base] as char));
        let rows = rows.into_iter().enumerate().map(|(base, row)| row.ok_or_else(|| missing(base)));
        Ok(Table { rows: rows.collect::<Result<_, _>>()?, axis: Some(Axis::Bases), rna, line })
    }

    fn bare(lines: &[Line<'_>]) -> Result<Table, Fault> {
        let mut rows: Vec<Vec<f64>> = Vec::with_capacity(lines.len());
        for line in lines {
            let row = numbers(line.text).map_err(|word| not_a_number(line, word))?;
            if rows.first().is_some_and(|first| first.len() != row.len()) {
                return Err(Fault::new(line.number, "the rows have different lengths"));
            }
            rows.push(row);
        }
        let line = lines[lines.len() - 1].number;
        let (height, width) = (rows.len(), rows[0].len());
        if height != 4 && width == 5 && numbered(&rows) {
            for row in &mut rows {
                row.remove(0);
            }
            return Ok(Table { rows, axis: Some(Axis::Positions), rna: false, line });
        }
        let axis = match (height, width) {
            (4, 4) => None,
            (4, 5) if numbered(&rows) => {
                return Err(Fault::new(
                    line,
                    format!(
                        "a matrix of 4 rows and 5 columns may be 4 numbered positions or 5 positions of 4 bases; {REMEDY}"
                    ),
                ));
            }
            (4, _) => Some(Axis::Bases),
            (_, 4) => Some(Axis::Positions),
            _ => {
                let reason = format!("a matrix of {height} rows and {width} columns has 4 of neither");
                return Err(Fault::new(line, reason));
            }
        };
        Ok(Table { rows, axis, rna: false, line })
    }

    /// Meaning of a row, from letters, shape or sums; `None` if these leave it open.
    pub(super) fn axis(&self) -> Option<Axis> {
        self.axis.or_else(|| self.axis_by_sums())
    }

    fn axis_by_sums(&self) -> Option<Axis> {
        let positions = adds_up(&self.columns(Axis::Positions));
        let bases = adds_up(&self.columns(Axis::Bases));
        match (positions, bases) {
            (true, false) => Some(Axis::Positions),
            (false, true) => Some(Axis::Bases),
            _ => None,
        }
    }

    /// The four numbers of each position.
    fn columns(&self, axis: Axis) -> Vec<[f64; 4]> {
        match axis {
            Axis::Positions => self.rows.iter().map(|row| std::array::from_fn(|base| row[base])).collect(),
            Axis::Bases => {
                (0..self.rows[0].len()).map(|i| std::array::from_fn(|base| self.rows[base][i])).collect()
            }
        }
    }

    /// The matrix, given what the other matrices of the file are.
    pub(super) fn values(&self, of_file: Option<Axis>) -> Result<Values, Fault> {
        let axis = self.axis().or(of_file);
        let axis = axis.ok_or_else(|| {
            Fault::new(
                self.line,
                format!("a matrix of 4 rows and 4 columns whose sums do not tell its positions; {REMEDY}"),
            )
        })?;
        values(self.columns(axis)).map_err(|reason| Fault::new(self.line, reason))
    }
}

/// Hint on how to state the orientation of a matrix.
const REMEDY: &str = "start its rows with A, C, G and T, or put a line `A C G T` above them";

fn not_a_number(line: &Line<'_>, word: &str) -> Fault {
    Fault::new(line.number, format!("`{}` is not a number", shortened(word)))
}

/// The first characters of a word or line, for messages.
pub(super) fn shortened(text: &str) -> String {
    const SHOWN: usize = 40;
    let more = if text.chars().count() > SHOWN { "…" } else { "" };
    let shown: String = text.chars().take(SHOWN).collect();
    name::printable(&shown).into_owned() + more
}

/// True if the first column counts the rows, from 0 or 1.
fn numbered(rows: &[Vec<f64>]) -> bool {
    let first = rows[0][0];
    (first == 0.0 || first == 1.0)
        && rows.iter().zip(0u32..).all(|(row, rank)| row[0] == first + f64::from(rank))
}

/// True if all positions have the same number of sites, or log-odds that give probabilities.
fn adds_up(columns: &[[f64; 4]]) -> bool {
    if columns.iter().flatten().any(|&number| number < 0.0) {
        return [std::f64::consts::E, 2.0, 10.0]
            .into_iter()
            .any(|base| columns.iter().all(|column| (odds_sum(column, base) - 1.0).abs() < 10.0 * EQUAL));
    }
    let sums = columns.iter().map(|column| column.iter().sum::<f64>());
    let (least, most) = sums.fold((f64::MAX, 0.0f64), |(least, most), sum| (least.min(sum), most.max(sum)));
    most - least <= EQUAL * most
}

/// Sum of the probabilities that log-odds to some base give, against equal probabilities.
fn odds_sum(column: &[f64; 4], base: f64) -> f64 {
    column.iter().map(|score| base.powf(*score) / 4.0).sum()
}

/// Tells what the numbers are: log-odds if any is negative, probabilities if each position has a sum of 1, counts otherwise.
fn values(columns: Vec<[f64; 4]>) -> Result<Values, String> {
    if columns.iter().flatten().any(|&number| number < 0.0) {
        return log_odds(columns);
    }
    let sums: Vec<f64> = columns.iter().map(|column| column.iter().sum()).collect();
    if let Some(at) = sums.iter().position(|&sum| !(sum > 0.0 && sum.is_finite())) {
        return Err(format!("no counts at position {}", at + 1));
    }
    if sums.iter().all(|sum| (sum - 1.0).abs() <= ROUNDING) {
        let counts = columns.iter().zip(&sums).map(|(column, sum)| column.map(|p| p / sum * DEFAULT_SITES));
        return Ok(Values { counts: counts.collect(), scores: None });
    }
    if let Some(at) = sums.iter().position(|&sum| sum < 1.0 - ROUNDING) {
        let message = "neither probabilities, with a sum of 1, nor counts";
        return Err(format!("position {} has a sum of {:.3}: {message}", at + 1, sums[at]));
    }
    Ok(Values { counts: columns, scores: None })
}

/// Log-odds, to the base under which they give probabilities best.
fn log_odds(columns: Vec<[f64; 4]>) -> Result<Values, String> {
    let misfit =
        |base: f64| columns.iter().map(|column| odds_sum(column, base).ln().abs()).fold(0.0, f64::max);
    let (misfit, base) = [std::f64::consts::E, 2.0, 10.0]
        .map(|base| (misfit(base), base))
        .into_iter()
        .fold((f64::INFINITY, 2.0), |best, next| if next.0 < best.0 { next } else { best });
    // The background and pseudocounts move the sum a little.
    if misfit.is_nan() || misfit > std::f64::consts::LN_2 / 2.0 {
        return Err("negative numbers, but no log-odds scores: these give no probabilities".into());
    }
    let count = |column: &[f64; 4]| {
        let sum = odds_sum(column, base) * 4.0;
        column.map(|score| base.powf(score) / sum * DEFAULT_SITES)
    };
    Ok(Values { counts: columns.iter().map(count).collect(), scores: Some(columns) })
}
