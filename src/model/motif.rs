//! Motif matrices: MEME and JASPAR files, and the log-odds models made of them.

use std::fs;
use std::path::Path;

use super::{Dense, Model, ModelSpec, Network, Padding, Pooling, name};
use crate::{Error, Result};

mod jaspar;
mod meme;
pub mod similarity;

/// A background of equal probabilities.
pub const UNIFORM: [f64; 4] = [0.25; 4];

/// Widest motif that is read.
const LARGEST_WIDTH: usize = 4096;

/// A motif as its file gives it.
#[derive(Debug, Clone, PartialEq)]
pub struct Motif {
    /// Identifier, as in `MA0139.1`.
    pub id: String,
    /// Name, as in `CTCF`; empty if the file gives none.
    pub name: String,
    /// Sites with A, C, G and T (or U) at each position; of a file of probabilities, these times its number of sites.
    pub counts: Vec<[f64; 4]>,
    /// Background that the file states, probabilities of A, C, G and T; `None` if it states none.
    pub background: Option<[f64; 4]>,
    /// Whether the file's alphabet is RNA.
    pub rna: bool,
}

/// Background probabilities of a log-odds score.
#[derive(Debug, Clone, Copy, PartialEq)]
pub enum Background {
    /// 0.25 each.
    Uniform,
    /// Those of the motif's file; 0.25 each where it states none.
    File,
    /// These, for A, C, G and T.
    Given([f64; 4]),
}

/// How a motif becomes a log-odds matrix.
#[derive(Debug, Clone, PartialEq)]
pub struct PwmOptions {
    /// What a site is compared with.
    pub background: Background,
    /// Sites added in the background's proportions, so that a count of 0 has a finite score.
    pub pseudocount: f64,
}

impl Default for PwmOptions {
    /// The background of the file, and a pseudocount of 0.1 as in MEME's FIMO.
    fn default() -> Self {
        PwmOptions { background: Background::File, pseudocount: 0.1 }
    }
}

/// Opens a MEME file (text, minimal or full) or a JASPAR one (`>ID name` and four rows of counts).
///
/// # Errors
/// A file that cannot be read, or one that [`parse`] refuses.
pub fn open(path: impl AsRef<Path>) -> Result<Vec<Motif>> {
    let path = path.as_ref();
    let bytes = fs::read(path).map_err(Error::io(path, "cannot read"))?;
    parse(path, &bytes)
}

/// Reads the bytes of a MEME or JASPAR file; `path` is for messages.
///
/// # Errors
/// A file of another format, a motif twice, a matrix that is cut short or holds no probabilities or counts: with
/// the line.
pub fn parse(path: impl AsRef<Path>, bytes: &[u8]) -> Result<Vec<Motif>> {
    let path = path.as_ref();
    let text =
        str::from_utf8(bytes).map_err(|_| Error::format(path, None, "not a motif file: it is not text"))?;
    let lines = Lines { path, lines: text.lines().collect(), at: 0 };
    let first =
        lines.lines.iter().map(|line| line.trim()).find(|line| !line.is_empty() && !line.starts_with('#'));
    let mut motifs = match first {
        // The full format puts a banner of asterisks before the version.
        Some(line) if line.starts_with("MEME version") || line.starts_with("****") => meme::read(lines)?,
        Some(line) if line.starts_with('>') => jaspar::read(lines)?,
        _ => {
            let message = "not a motif file: it has neither `MEME version` nor `>` on its first line";
            return Err(Error::format(path, None, message));
        }
    };
    if motifs.is_empty() {
        return Err(Error::format(path, None, "it holds no motif"));
    }
    for motif in &mut motifs {
        motif.id = name::clean(&motif.id);
        // Names may have blanks, and may be missing.
        motif.name = motif.name.split_whitespace().map(name::clean).collect::<Vec<_>>().join(" ");
    }
    Ok(motifs)
}

/// Motifs as a file in the minimal MEME format, with the alphabet and the background of the first. Probabilities have six
/// decimals, and the number of sites is rounded.
pub fn to_meme(motifs: &[Motif]) -> String {
    meme::write(motifs)
}

/// The columns of a matrix, `[position]` of A, C, G, T, read on the other strand.
pub fn reverse_complement<T: Copy>(columns: &[[T; 4]]) -> Vec<[T; 4]> {
    columns.iter().rev().map(|&[a, c, g, t]| [t, g, c, a]).collect()
}

/// Information content of a column of counts or probabilities in bits, against equal probabilities: 2 + Σ p log2 p
/// (Schneider et al. 1986), without a correction for few sites; 0 without counts.
pub fn information(counts: &[f64; 4]) -> f64 {
    let total: f64 = counts.iter().sum();
    if total <= 0.0 {
        return 0.0;
    }
    let shares = counts.iter().map(|count| count / total).filter(|&share| share > 0.0);
    2.0 + shares.map(|share| share * share.log2()).sum::<f64>()
}

impl Motif {
    /// Width in bases.
    pub fn width(&self) -> usize {
        self.counts.len()
    }

    /// Sites behind the matrix: the most at any position.
    pub fn sites(&self) -> f64 {
        self.counts.iter().map(|counts| counts.iter().sum()).fold(0.0, f64::max)
    }

    /// The most frequent base of each position.
    pub fn consensus(&self) -> String {
        let letters = if self.rna { b"ACGU" } else { b"ACGT" };
        let most = |counts: &[f64; 4]| {
            (1..4).fold(0, |most, base| if counts[base] > counts[most] { base } else { most })
        };
        self.counts.iter().map(|counts| char::from(letters[most(counts)])).collect()
    }

    /// A model whose score is the log-odds of a site in bits, Σ log2(p / background), on both strands.
    ///
    /// With a pseudocount s, p = (count + s · background) / (sites + s) at each position, as in MEME. An N scores the
    /// mean of the four bases.
    ///
    /// # Errors
    /// A background that is none, a negative pseudocount, or a probability that stays 0 for want of one.
    pub fn to_model(&self, options: &PwmOptions) -> Result<Model> {
        let fail = |message: String| Error::model(&self.id, message);
        let background = match options.background {
            Background::Uniform => UNIFORM,
            Background::File => self.background.unwrap_or(UNIFORM),
            Background::Given(background) => normalize(background).map_err(fail)?,
        };
        let pseudocount = options.pseudocount;
        if !(pseudocount.is_finite() && pseudocount >= 0.0) {
            return Err(fail(format!("the pseudocount is {pseudocount}; it must be 0 or more")));
        }
        let odds = |counts: &[f64; 4]| -> [f32; 4] {
            let sites: f64 = counts.iter().sum();
            std::array::from_fn(|base| {
                let p = (counts[base] + pseudocount * background[base]) / (sites + pseudocount);
                (p / background[base]).log2() as f32
            })
        };
        let columns: Vec<[f32; 4]> = self.counts.iter().map(odds).collect();
        if columns.iter().flatten().any(|score| !score.is_finite()) {
            return Err(fail("a base with probability 0 has no score; give a pseudocount".into()));
        }
        let network = one_detector(&columns);
        let mut spec = ModelSpec::of_network(&self.id, &network);
        let sum = |pick: fn(f32, f32) -> f32| {
            columns
                .iter()
                .map(|column| f64::from(column.iter().copied().reduce(pick).unwrap_or(0.0)))
                .sum::<f64>()
        };
        spec.score_range = Some([sum(f32::min) as f32, sum(f32::max) as f32]);
        if self.rna {
            spec.alphabet = super::Alphabet::Rna;
        }
        spec.provenance = serde_json::json!({
            "motif": self.id,
            "motif_name": self.name,
            "sites": self.sites(),
            "background": background,
            "pseudocount": pseudocount,
        })
        .as_object()
        .cloned()
        .unwrap_or_default();
        Model::from_network(spec, network)
    }
}

/// The network that adds up one score a position.
fn one_detector(columns: &[[f32; 4]]) -> Network {
    let weights = (0..4).flat_map(|base| columns.iter().map(move |column| column[base])).collect();
    Network {
        detectors: 1,
        detector_length: columns.len(),
        weights,
        thresholds: vec![0.0],
        rectify: false,
        padding: Padding::NONE,
        pooling: Pooling::Max,
        hidden: None,
        output: Dense { inputs: 1, outputs: 1, weights: vec![1.0], bias: vec![0.0] },
        sigmoid: false,
    }
}

/// Positive numbers scaled to a sum of 1.
fn normalize(row: [f64; 4]) -> Result<[f64; 4], String> {
    let sum: f64 = row.iter().sum();
    if row.iter().all(|&p| p > 0.0 && p.is_finite()) && sum.is_finite() {
        return Ok(row.map(|p| p / sum));
    }
    Err(format!("the background {row:?} is not four positive numbers"))
}

/// A text file, line by line.
struct Lines<'a> {
    path: &'a Path,
    lines: Vec<&'a str>,
    at: usize,
}

impl<'a> Lines<'a> {
    /// The next line, trimmed; blank ones are skipped.
    fn next(&mut self) -> Option<&'a str> {
        while let Some(line) = self.lines.get(self.at) {
            self.at += 1;
            if !line.trim().is_empty() {
                return Some(line.trim());
            }
        }
        None
    }

    /// Puts the line read last back.
    fn back(&mut self) {
        self.at -= 1;
    }

    /// An error on the line read last.
    fn error(&self, message: impl Into<String>) -> Error {
        Error::format(self.path, self.at as u64, message)
    }

    /// Refuses an identifier that was given before.
    fn unique(&self, motifs: &[Motif], id: &str) -> Result<()> {
        if motifs.iter().any(|motif| motif.id == id) {
            return Err(self.error(format!("motif {id} is given again")));
        }
        Ok(())
    }
}
