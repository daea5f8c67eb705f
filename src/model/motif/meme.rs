//! The MEME text format: a header with alphabet and background, then `MOTIF id name` sections, of which the
//! `letter-probability matrix` is read. Log-odds matrices, sites and everything else are passed over.

use std::fmt::Write;
use std::path::Path;

use super::collection::Builder;
use super::matrix::Fault;
use super::text::Line;
use super::{DEFAULT_SITES, LARGEST_WIDTH, Motif, ROUNDING, UNIFORM, normalize};
use crate::{Error, Result};

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

/// Settings of the file that apply to all motifs after them.
#[derive(Default)]
struct Header {
    background: Option<[f64; 4]>,
    rna: bool,
}

/// Reads the motifs; `path` is for messages. What is wrong with the alphabet or the background is wrong with the file,
/// anything else with one motif.
pub(super) fn read(path: &Path, lines: &[Line<'_>], builder: &mut Builder) -> Result<()> {
    let error = |fault: Fault| Error::format(path, fault.line as u64, fault.reason);
    let mut header = Header::default();
    let mut at = 0;
    while let Some(line) = lines.get(at) {
        at += 1;
        if let Some(alphabet) = line.text.strip_prefix("ALPHABET") {
            header.rna = is_rna(alphabet).map_err(|reason| error(Fault::new(line.number, reason)))?;
        } else if line.text.starts_with("Background letter frequencies") {
            let next = lines[at..].iter().find(|line| !line.text.is_empty()).unwrap_or(line);
            header.background = Some(background(next).map_err(error)?);
        } else if line.first_word() == "MOTIF" {
            let end = lines[at..].iter().position(|line| line.first_word() == "MOTIF");
            let end = end.map_or(lines.len(), |length| at + length);
            section(line, &lines[at..end], &header, builder);
            at = end;
        } else if line.text.starts_with(MATRIX) {
            return Err(error(Fault::new(line.number, "a matrix outside a MOTIF section")));
        }
    }
    Ok(())
}

const MATRIX: &str = "letter-probability matrix:";

/// Reads the section of one motif.
fn section(first: &Line<'_>, lines: &[Line<'_>], header: &Header, builder: &mut Builder) {
    // The full format of old versions says `MOTIF 1 width = 8 …`.
    let mut words = first.words().skip(1).take_while(|word| *word != "width");
    let id = words.next().unwrap_or_default();
    let name = words.next().unwrap_or_default().to_owned();
    let counts = match id {
        "" => Err(Fault::new(first.number, "a motif without an identifier")),
        _ => matrix(first, lines),
    };
    let motif = counts.map(|counts| Motif {
        id: id.to_owned(),
        name,
        counts,
        background: header.background,
        rna: header.rna,
        ..Motif::default()
    });
    builder.add(first.number, id, motif);
}

/// Reads the matrix of a section.
fn matrix(first: &Line<'_>, lines: &[Line<'_>]) -> Result<Vec<[f64; 4]>, Fault> {
    let at = lines.iter().position(|line| line.text.starts_with(MATRIX));
    let at = at.ok_or_else(|| Fault::new(first.number, "no matrix"))?;
    let (width, sites) = read_header(&lines[at])?;
    let rows = read_rows(&lines[at..], width)?;
    Ok(rows.iter().map(|row| row.map(|p| p * sites)).collect())
}

/// True if an alphabet line (`= ACGT`, ` "DNA" DNA-LIKE`) is of RNA.
fn is_rna(alphabet: &str) -> Result<bool, String> {
    let letters = alphabet.trim_start_matches(['=', ' ', '\t']);
    let word = letters.split_whitespace().next().unwrap_or_default().trim_matches('"');
    match word {
        "ACGT" | "DNA" => Ok(false),
        "ACGU" | "RNA" => Ok(true),
        _ if letters.contains("DNA-LIKE") => Ok(false),
        _ if letters.contains("RNA-LIKE") => Ok(true),
        _ => Err(format!("the alphabet is {word}; ACGT or ACGU is needed")),
    }
}

/// `A 0.25 C 0.25 G 0.25 T 0.25`.
fn background(line: &Line<'_>) -> Result<[f64; 4], Fault> {
    let fault = |reason: &str| Fault::new(line.number, reason);
    let words: Vec<&str> = line.words().collect();
    let [a, p, c, q, g, r, t, s] = words[..] else {
        return Err(fault("the background must be `A x C x G x T x`"));
    };
    if [a, c, g] != ["A", "C", "G"] || !["T", "U"].contains(&t) {
        return Err(fault("the background must be of A, C, G and T, in this order"));
    }
    let mut background = [0.0; 4];
    for (to, word) in background.iter_mut().zip([p, q, r, s]) {
        *to = word.parse().map_err(|_| fault(&format!("`{word}` is not a number")))?;
    }
    normalize(background).map_err(|reason| fault(&reason))
}

/// Width (0 if not stated) and number of sites of `alength= 4 w= 8 nsites= 20 E= 0`.
fn read_header(line: &Line<'_>) -> Result<(usize, f64), Fault> {
    let fault = |reason: String| Fault::new(line.number, reason);
    let words = line.text.replace('=', " ");
    let mut words = words.split_whitespace().skip(2);
    let (mut width, mut sites) = (0, DEFAULT_SITES);
    while let Some(key) = words.next() {
        if !["alength", "w", "nsites"].contains(&key) {
            continue;
        }
        let value = words.next().ok_or_else(|| fault(format!("{key} has no value")))?;
        let number: f64 = value.parse().map_err(|_| fault(format!("{key} is `{value}`")))?;
        match key {
            "alength" if number != 4.0 => return Err(fault("the alphabet length must be 4".into())),
            "w" if number >= 1.0 && number <= LARGEST_WIDTH as f64 && number.fract() == 0.0 => {
                width = number as usize;
            }
            "w" => return Err(fault(format!("the width is {value}"))),
            // A number of 0 means that it is not known.
            "nsites" if number > 0.0 && number.is_finite() => sites = number,
            "nsites" if number != 0.0 => return Err(fault(format!("the number of sites is {value}"))),
            _ => {}
        }
    }
    Ok((width, sites))
}

/// The four numbers of a row.
fn row(line: &Line<'_>) -> Option<[f64; 4]> {
    let numbers: Vec<f64> = line.words().map(str::parse).collect::<Result<_, _>>().ok()?;
    numbers.try_into().ok()
}

/// The rows below the header of a matrix, up to the first line that is not of numbers: as many as stated.
fn read_rows(lines: &[Line<'_>], width: usize) -> Result<Vec<[f64; 4]>, Fault> {
    let mut rows = Vec::new();
    let mut last = lines[0];
    for line in lines[1..].iter().filter(|line| !line.text.is_empty()) {
        let Some(row) = row(line) else {
            if rows.len() < width {
                let reason = format!("row {} of {width} is not four numbers", rows.len() + 1);
                return Err(Fault::new(line.number, reason));
            }
            break;
        };
        last = *line;
        if width > 0 && rows.len() == width {
            return Err(Fault::new(line.number, format!("the matrix has more than the {width} rows stated")));
        }
        let sum: f64 = row.iter().sum();
        if let Some(p) = row.iter().find(|p| !(0.0..=1.0 + ROUNDING).contains(*p)) {
            return Err(Fault::new(line.number, format!("{p} is no probability")));
        }
        if (sum - 1.0).abs() > ROUNDING {
            return Err(Fault::new(line.number, format!("the probabilities sum to {sum}, not to 1")));
        }
        rows.push(row.map(|p| p / sum));
    }
    if rows.is_empty() || rows.len() < width {
        let reason = format!("the matrix ends after {} of {width} rows", rows.len());
        return Err(Fault::new(last.number, reason));
    }
    if rows.len() > LARGEST_WIDTH {
        return Err(Fault::new(last.number, format!("the width is {}", rows.len())));
    }
    Ok(rows)
}
