//! The JASPAR format: `>ID name`, then four rows of counts for A, C, G and T, as `A [ 1 2 3 ]` or bare numbers.

use super::{LARGEST_WIDTH, Lines, Motif};
use crate::Result;

pub(super) fn read(mut lines: Lines<'_>) -> Result<Vec<Motif>> {
    let mut motifs: Vec<Motif> = Vec::new();
    while let Some(line) = lines.next() {
        let Some(header) = line.strip_prefix('>') else {
            return Err(lines.error("a motif must start with `>ID name`"));
        };
        let mut words = header.split_whitespace();
        let id = words.next().ok_or_else(|| lines.error("a motif without an identifier"))?.to_owned();
        lines.unique(&motifs, &id)?;
        let name = words.collect::<Vec<_>>().join(" ");
        let mut rna = false;
        let mut rows: Vec<Vec<f64>> = Vec::with_capacity(4);
        for letter in ["A", "C", "G", "T"] {
            let row =
                lines.next().ok_or_else(|| lines.error(format!("motif {id} has no row of {letter}")))?;
            rna |= letter == "T" && row.starts_with('U');
            rows.push(read_row(row, letter).map_err(|message| lines.error(message))?);
            if rows.iter().any(|row| row.len() != rows[0].len()) {
                return Err(lines.error(format!("motif {id} has rows of different lengths")));
            }
        }
        let counts = by_position(&rows).map_err(|m| lines.error(format!("motif {id} {m}")))?;
        motifs.push(Motif { id, name, counts, background: None, rna });
    }
    Ok(motifs)
}

fn read_row(row: &str, letter: &str) -> Result<Vec<f64>, String> {
    let bare = match row.as_bytes().first() {
        Some(first) if first.is_ascii_alphabetic() => {
            let found = &row[..1];
            if found != letter && (found, letter) != ("U", "T") {
                return Err(format!("the row of {letter} starts with {found}"));
            }
            &row[1..]
        }
        _ => row,
    };
    let numbers = bare.replace(['[', ']', '|'], " ");
    let counts = numbers.split_whitespace().map(|word| {
        let count: Option<f64> = word.parse().ok().filter(|&count: &f64| count >= 0.0 && count.is_finite());
        count.ok_or_else(|| format!("`{word}` is not a count"))
    });
    counts.collect()
}

/// The counts of each position, from those of each base.
fn by_position(rows: &[Vec<f64>]) -> Result<Vec<[f64; 4]>, String> {
    let width = rows[0].len();
    if width == 0 || width > LARGEST_WIDTH {
        return Err(format!("is {width} positions wide"));
    }
    let counts: Vec<[f64; 4]> = (0..width).map(|i| std::array::from_fn(|base| rows[base][i])).collect();
    let sites = |counts: &[f64; 4]| counts.iter().sum::<f64>();
    match counts.iter().position(|counts| !(sites(counts) > 0.0 && sites(counts).is_finite())) {
        Some(i) => Err(format!("has no counts at position {}", i + 1)),
        None => Ok(counts),
    }
}
