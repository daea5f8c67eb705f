//! Motif matrices: files of them, and the log-odds models made of them.
//!
//! The formats are MEME (full, minimal, DREME, STREME), JASPAR, TRANSFAC, HOMER, HOCOMOCO, UniPROBE, CIS-BP, Cluster-Buster,
//! bare matrices, and aligned sites; plain or gzip. The content of a file says which it is. A matrix of 4 rows and 4 columns
//! is read as letters, its sums, or the other matrices of the file say, and cannot be used if none of them do.

use std::fs;
use std::path::Path;

use rayon::prelude::*;
use sha2::{Digest, Sha256};

use super::{Dense, Model, ModelSpec, Network, Padding, Pooling, name};
use crate::io::digest::hex;
use crate::{Error, Result};

pub mod collection;
mod matrix;
mod meme;
mod sections;
pub mod similarity;
mod sites;
mod text;

pub use collection::Collection;
use collection::{Builder, Format};
use matrix::Values;
use text::Line;

/// A background of equal probabilities.
pub const UNIFORM: [f64; 4] = [0.25; 4];

/// Widest motif that is read.
const LARGEST_WIDTH: usize = 4096;

/// Largest distance from 1 of the sum of a position's probabilities: files round to six decimals, or to fewer.
const ROUNDING: f64 = 0.01;

/// Sites of probabilities that do not state their number, as MEME assumes.
const DEFAULT_SITES: f64 = 20.0;

/// A motif as its file gives it.
#[derive(Debug, Clone, Default, PartialEq)]
pub struct Motif {
    /// Identifier, as in `MA0139.1`.
    pub id: String,
    /// Name, as in `CTCF`; empty if the file gives none.
    pub name: String,
    /// Sites with A, C, G and T (or U) at each position; of a file of probabilities, these times its number of sites.
    pub counts: Vec<[f64; 4]>,
    /// Log-odds of A, C, G and T at each position, in a file of these; the counts then are estimates.
    pub scores: Option<Vec<[f64; 4]>>,
    /// Background that the file states, probabilities of A, C, G and T; `None` if it states none.
    pub background: Option<[f64; 4]>,
    /// True if the file's alphabet is RNA.
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

/// Options for turning a motif into a log-odds matrix.
#[derive(Debug, Clone, PartialEq)]
pub struct PwmOptions {
    /// Background with which a site is compared.
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

/// Opens a motif file all of whose motifs can be used.
///
/// # Errors
/// A file that cannot be read, or one that [`parse`] refuses.
pub fn open(path: impl AsRef<Path>) -> Result<Vec<Motif>> {
    Ok(read(path)?.strict()?.motifs)
}

/// Reads the bytes of a motif file all of whose motifs can be used; `path` is for messages.
///
/// # Errors
/// As [`read_bytes`], and a motif that cannot be used: with the line.
pub fn parse(path: impl AsRef<Path>, bytes: &[u8]) -> Result<Vec<Motif>> {
    Ok(read_bytes(path, bytes)?.strict()?.motifs)
}

/// Reads a motif file, with the motifs that cannot be used.
///
/// # Errors
/// A file that cannot be read, or one that [`read_bytes`] refuses.
pub fn read(path: impl AsRef<Path>) -> Result<Collection> {
    let path = path.as_ref();
    let bytes = fs::read(path).map_err(Error::io(path, "cannot read"))?;
    read_bytes(path, &bytes)
}

/// Reads the bytes of a motif file, with the motifs that cannot be used; `path` is for messages, and names a motif that has
/// no name of its own.
///
/// # Errors
/// A file that is no motif file, and one without a motif that can be used.
pub fn read_bytes(path: impl AsRef<Path>, bytes: &[u8]) -> Result<Collection> {
    let path = path.as_ref();
    let bytes = text::decompress(path, bytes)?;
    let lines = text::lines(text::decode(path, &bytes)?);
    let mut builder = Builder::default();
    let format = read_lines(path, &lines, &mut builder)?;
    builder.finish(path, format)
}

/// Choice of the motifs of a file, and options for turning them into models.
#[derive(Debug, Clone, Default, PartialEq)]
pub struct MotifOptions {
    /// IDs, names or globs of the motifs that are wanted; all of them if there are none ([`Collection::choose`]).
    pub patterns: Vec<String>,
    /// Options for log-odds.
    pub pwm: PwmOptions,
    /// True if a motif that cannot be used is an error.
    pub strict: bool,
}

/// The models of a motif file, one for each motif, and what there is to say about the file
/// ([`Collection::notes`]); `None` if the file is not text, so that it is a network.
///
/// # Errors
/// A file that cannot be read or is no motif file, a pattern that names no motif, and what [`Motif::to_model`] refuses.
pub fn models(path: impl AsRef<Path>, options: &MotifOptions) -> Result<Option<(Vec<Model>, Vec<String>)>> {
    let path = path.as_ref();
    let bytes = fs::read(path).map_err(Error::io(path, "cannot read"))?;
    models_of_bytes(path, &bytes, options)
}

/// As [`models`], of the bytes of a motif file; `path` is for messages.
///
/// # Errors
/// As [`models`].
pub fn models_of_bytes(
    path: impl AsRef<Path>,
    bytes: &[u8],
    options: &MotifOptions,
) -> Result<Option<(Vec<Model>, Vec<String>)>> {
    let path = path.as_ref();
    if !is_text(bytes) {
        return Ok(None);
    }
    let mut collection = read_bytes(path, bytes)?;
    if options.strict {
        collection = collection.strict()?;
    }
    let collection = collection.choose(&options.patterns)?;
    let notes = collection.notes();
    let models: Result<Vec<Model>> =
        collection.motifs.par_iter().map(|motif| Ok(motif.to_model(&options.pwm)?.with_digest())).collect();
    Ok(Some((models?, notes)))
}

/// True if the bytes of a file, plain or gzip, are text, as motif files are and ONNX files are not.
pub fn is_text(bytes: &[u8]) -> bool {
    text::decompress(Path::new(""), bytes).is_ok_and(|bytes| !bytes.is_empty() && text::is_text(&bytes))
}

/// Recognises the format, and reads the motifs.
fn read_lines(path: &Path, lines: &[Line<'_>], builder: &mut Builder) -> Result<Format> {
    let not_one = || {
        let message = "not a motif file: neither MEME, JASPAR, TRANSFAC, HOMER nor a matrix of numbers";
        Error::format(path, None, message)
    };
    let is_matrix =
        |line: &Line<'_>| line.first_word() == "MOTIF" || line.text.starts_with("letter-probability");
    let meme = |line: &Line<'_>| line.text.starts_with("MEME version");
    let mut significant = lines.iter().filter(|line| !line.text.is_empty() && !line.text.starts_with('#'));
    let first = significant.next().ok_or_else(not_one)?;
    if first.text.starts_with('<') {
        return Err(Error::format(
            path,
            None,
            "is XML or HTML; give the text form of the motifs (MEME's .txt or .meme)",
        ));
    }
    if first.text.starts_with('>') {
        return Ok(read_headed(path, lines, first, builder));
    }
    if lines.iter().any(meme) || is_matrix(first) {
        meme::read(path, lines, builder)?;
        return Ok(Format::Meme);
    }
    let unnamed = stem(path);
    if sections::is_transfac(first) {
        sections::build(sections::transfac(lines), &unnamed, builder);
        return Ok(Format::Transfac);
    }
    if !lines.iter().any(matrix::is_row) {
        return Err(not_one());
    }
    sections::build(sections::plain(lines), &unnamed, builder);
    Ok(Format::Table)
}

/// Reads a file whose motifs start with `>`.
fn read_headed(path: &Path, lines: &[Line<'_>], first: &Line<'_>, builder: &mut Builder) -> Format {
    let sections = sections::headed(lines);
    if sections.first().is_some_and(sections::Section::is_sites) {
        sites::build(&sections, &stem(path), builder);
        return Format::Sites;
    }
    let fields: Vec<&str> = first.text[1..].split('\t').collect();
    let format =
        match (sections::is_homer(&fields), sections.iter().any(sections::Section::has_position_rows)) {
            (true, _) => Format::Homer,
            (false, true) => Format::PositionRows,
            (false, false) => Format::Jaspar,
        };
    sections::build(sections, &stem(path), builder);
    format
}

/// A file's name without `.gz` and its extension.
fn stem(path: &Path) -> String {
    let name = path.file_name().unwrap_or_default().to_string_lossy().into_owned();
    let name = name.strip_suffix(".gz").unwrap_or(&name);
    let stem = Path::new(name).file_stem().unwrap_or_default().to_string_lossy();
    name::clean(&stem)
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
    /// True if this is its ID or its name.
    pub fn is_called(&self, name: &str) -> bool {
        !name.is_empty() && (self.id == name || self.name == name)
    }

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
    /// mean of the four bases. Log-odds that the file gives are taken as they are, in its own unit.
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
        let columns: Vec<[f32; 4]> = match &self.scores {
            Some(scores) => scores.iter().map(|column| column.map(|score| score as f32)).collect(),
            None => self.counts.iter().map(odds).collect(),
        };
        if columns.iter().flatten().any(|score| !score.is_finite()) {
            return Err(fail("a base with probability 0 has no score; give a pseudocount".into()));
        }
        let network = one_filter(&columns);
        let mut spec = ModelSpec::from_network(&self.id, &network);
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
        let mut provenance = serde_json::json!({ "motif": self.id, "motif_name": self.name });
        match &self.scores {
            Some(_) => provenance["scores"] = "as the file gives them".into(),
            None => {
                provenance["sites"] = self.sites().into();
                provenance["background"] = serde_json::json!(background);
                provenance["pseudocount"] = pseudocount.into();
            }
        }
        spec.provenance = provenance.as_object().cloned().unwrap_or_default();
        Model::from_network(spec, network)
    }
}

impl Model {
    /// The model with the digest of the file that it would be written to.
    fn with_digest(self) -> Model {
        let digest = Some(hex(&Sha256::digest(self.to_bytes())));
        Model { digest, ..self }
    }
}

/// The network that adds up one score a position.
fn one_filter(columns: &[[f32; 4]]) -> Network {
    let weights = (0..4).flat_map(|base| columns.iter().map(move |column| column[base])).collect();
    Network {
        filters: 1,
        filter_length: columns.len(),
        weights,
        biases: vec![0.0],
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
