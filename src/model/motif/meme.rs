//! The MEME text format: a header with alphabet and background, then `MOTIF id name` sections, of which the
//! `letter-probability matrix` is read. Log-odds matrices, sites and everything else are passed over.

use std::fmt::Write;

use super::{LARGEST_WIDTH, Lines, Motif, UNIFORM, normalize};
use crate::{Error, Result};

/// How far from 1 the probabilities of a row may sum: files round to six decimals, or to fewer.
const ROUNDING: f64 = 0.01;

/// Sites of a matrix that does not state their number, as MEME assumes.
const DEFAULT_SITES: f64 = 20.0;

/// The minimal format. One file has one alphabet and one background: those of the first motif.
pub(super) fn write(motifs: &[Motif]) -> String {
    let rna = motifs.first().is_some_and(|motif| motif.rna);
    let [a, c, g, t] = motifs.first().and_then(|motif| motif.background).unwrap_or(UNIFORM);
    let (letters, strands, last) = if rna { ("ACGU", "+", 'U') } else { ("ACGT", "+ -", 'T') };
    let mut text = format!(
        "MEME version 4\n\nALPHABET= {letters}\n\nstrands: {strands}\n\n\
         Background letter frequencies\nA {a:.5} C {c:.5} G {g:.5} {last} {t:.5}\n"
    );
    for motif in motifs {
        let _ = write!(
            text,
            "\nMOTIF {}\nletter-probability matrix: alength= 4 w= {} nsites= {} E= 0\n",
            format!("{} {}", motif.id, motif.name).trim_end(),
            motif.width(),
            motif.sites().round().max(1.0)
        );
        for counts in &motif.counts {
            let sites: f64 = counts.iter().sum();
            let [a, c, g, t] = counts.map(|count| count / sites);
            let _ = writeln!(text, " {a:.6}  {c:.6}  {g:.6}  {t:.6}");
        }
    }
    text
}

pub(super) fn read(mut lines: Lines<'_>) -> Result<Vec<Motif>> {
    let mut motifs: Vec<Motif> = Vec::new();
    let (mut background, mut rna) = (None, false);
    let mut motif: Option<(String, String)> = None;
    while let Some(line) = lines.next() {
        if let Some(alphabet) = line.strip_prefix("ALPHABET") {
            rna = is_rna(alphabet).map_err(|message| lines.error(message))?;
        } else if line.starts_with("Background letter frequencies") {
            background = Some(read_background(&mut lines)?);
        } else if let Some(words) = line.strip_prefix("MOTIF ") {
            let mut words = words.split_whitespace();
            let id = words.next().ok_or_else(|| lines.error("a motif without an identifier"))?;
            lines.unique(&motifs, id)?;
            if let Some((before, _)) = &motif {
                return Err(without_matrix(&lines, before));
            }
            motif = Some((id.to_owned(), words.next().unwrap_or_default().to_owned()));
        } else if let Some(header) = line.strip_prefix("letter-probability matrix:") {
            let (id, name) = motif.take().ok_or_else(|| lines.error("a matrix outside a MOTIF section"))?;
            let (width, sites) = read_header(&lines, header)?;
            let rows = read_rows(&mut lines, width)?;
            let counts = rows.iter().map(|row| row.map(|p| p * sites)).collect();
            motifs.push(Motif { id, name, counts, background, rna });
        }
    }
    match motif {
        Some((id, _)) => Err(without_matrix(&lines, &id)),
        None => Ok(motifs),
    }
}

fn without_matrix(lines: &Lines<'_>, id: &str) -> Error {
    lines.error(format!("motif {id} has no letter-probability matrix before this line"))
}

/// Whether an alphabet line (`= ACGT`, ` "DNA" DNA-LIKE`) is of RNA.
fn is_rna(alphabet: &str) -> Result<bool, String> {
    let letters = alphabet.trim_start_matches(['=', ' ', '\t']);
    let word = letters.split_whitespace().next().unwrap_or_default().trim_matches('"');
    match word {
        "ACGT" | "DNA" => Ok(false),
        "ACGU" | "RNA" => Ok(true),
        _ => Err(format!("the alphabet is {word}; ACGT or ACGU is needed")),
    }
}

/// `A 0.25 C 0.25 G 0.25 T 0.25`, on the next line.
fn read_background(lines: &mut Lines<'_>) -> Result<[f64; 4]> {
    let words: Vec<&str> = lines.next().unwrap_or_default().split_whitespace().collect();
    let [a, p, c, q, g, r, t, s] = words[..] else {
        return Err(lines.error("the background must be `A x C x G x T x`"));
    };
    if [a, c, g] != ["A", "C", "G"] || !["T", "U"].contains(&t) {
        return Err(lines.error("the background must be of A, C, G and T, in this order"));
    }
    let mut background = [0.0; 4];
    for (to, word) in background.iter_mut().zip([p, q, r, s]) {
        *to = word.parse().map_err(|_| lines.error(format!("`{word}` is not a number")))?;
    }
    normalize(background).map_err(|message| lines.error(message))
}

/// Width (0 if not stated) and number of sites of `alength= 4 w= 8 nsites= 20 E= 0`.
fn read_header(lines: &Lines<'_>, header: &str) -> Result<(usize, f64)> {
    let words = header.replace('=', " ");
    let words: Vec<&str> = words.split_whitespace().collect();
    let (mut width, mut sites) = (0, DEFAULT_SITES);
    for pair in words.chunks(2) {
        let &[key, value] = pair else { return Err(lines.error(format!("{} has no value", pair[0]))) };
        let number: f64 = value.parse().map_err(|_| lines.error(format!("{key} is `{value}`")))?;
        match key {
            "alength" if number != 4.0 => return Err(lines.error("the alphabet length must be 4")),
            "w" if number >= 1.0 && number <= LARGEST_WIDTH as f64 && number.fract() == 0.0 => {
                width = number as usize;
            }
            "w" => return Err(lines.error(format!("the width is {value}"))),
            // A number of 0 means that it is not known.
            "nsites" if number == 0.0 => {}
            "nsites" if number > 0.0 && number.is_finite() => sites = number,
            "nsites" => return Err(lines.error(format!("the number of sites is {value}"))),
            _ => {}
        }
    }
    Ok((width, sites))
}

/// The rows of a matrix: as many as stated, or up to the first line that is not of numbers.
fn read_rows(lines: &mut Lines<'_>, width: usize) -> Result<Vec<[f64; 4]>> {
    let mut rows = Vec::new();
    while width == 0 || rows.len() < width {
        let Some(line) = lines.next() else { break };
        let numbers: Result<Vec<f64>, _> = line.split_whitespace().map(str::parse).collect();
        let row = numbers.ok().and_then(|numbers| <[f64; 4]>::try_from(numbers).ok());
        let Some(row) = row else {
            if width > 0 {
                return Err(lines.error(format!("row {} of {width} is not four numbers", rows.len() + 1)));
            }
            lines.back();
            break;
        };
        let sum: f64 = row.iter().sum();
        if row.iter().any(|&p| !(0.0..=1.0 + ROUNDING).contains(&p)) || (sum - 1.0).abs() > ROUNDING {
            return Err(lines.error(format!("the probabilities sum to {sum}, not to 1")));
        }
        rows.push(row.map(|p| p / sum));
    }
    if rows.is_empty() || rows.len() < width {
        return Err(lines.error(format!("the matrix ends after {} of {width} rows", rows.len())));
    }
    Ok(rows)
}
