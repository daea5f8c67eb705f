//! Tracks: sites as lines of text.

use std::io::Write;

use crate::genome::Contig;
use crate::hits::Hit;
use crate::model::{Activation, ModelSpec};

/// A text format of sites.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Format {
    /// BED6 and the raw score: contig, start (0-based), end, name, score 0-1000, strand, raw score (4 decimals).
    Bed,
    /// A header line; contig, start (0-based), end, name, strand, raw score (6 decimals).
    Tsv,
}

/// One output of one model: what a site is named after, and how its score is shown.
#[derive(Debug, Clone)]
pub struct Target {
    /// Name in the track.
    pub name: String,
    /// Rank of the scanner that scores it.
    pub scanner: usize,
    /// Output of that scanner: a model's output, or a matrix's rank.
    pub output: usize,
    /// Window in bases: the length of a site.
    pub window: u64,
    /// Lowest score of a hit.
    pub threshold: f32,
    /// How a raw score becomes BED's 0-1000.
    pub scale: ScoreScale,
}

/// How a raw score becomes BED's 0-1000 (the shade in a genome browser).
#[derive(Debug, Clone, Copy, PartialEq)]
pub enum ScoreScale {
    /// Linear between the lowest and the highest score a model can give (matrices).
    Range {
        /// Score shown as 0.
        low: f32,
        /// Score shown as 1000.
        high: f32,
    },
    /// The logistic function of the score: DeepBind is fitted to give the logit of binding.
    Logistic,
    /// The score is a probability.
    Probability,
}

impl ScoreScale {
    /// The scale that suits a model's outputs.
    pub fn of(spec: &ModelSpec) -> ScoreScale {
        match (spec.score_range, spec.activation) {
            (Some([low, high]), _) if high > low => ScoreScale::Range { low, high },
            (_, Activation::Identity) => ScoreScale::Logistic,
            (_, Activation::Sigmoid | Activation::Softmax) => ScoreScale::Probability,
        }
    }

    /// The BED score, 0 to 1000, of a raw score.
    pub fn bed_score(self, score: f32) -> u16 {
        let share = match self {
            ScoreScale::Range { low, high } => (score - low) / (high - low),
            ScoreScale::Logistic => 1.0 / (1.0 + (-score).exp()),
            ScoreScale::Probability => score,
        };
        (share.clamp(0.0, 1.0) * 1000.0).round() as u16
    }
}

/// Writes sites as lines.
#[derive(Debug, Clone)]
pub struct SiteFormat {
    format: Format,
    targets: Vec<Target>,
}

impl SiteFormat {
    /// Lines of `format` for hits on `targets`.
    pub fn new(format: Format, targets: Vec<Target>) -> Self {
        SiteFormat { format, targets }
    }

    /// The targets, in the order that hits refer to.
    pub fn targets(&self) -> &[Target] {
        &self.targets
    }

    /// The line before the first site; empty if the format has none.
    pub fn header(&self) -> &'static str {
        match self.format {
            Format::Bed => "",
            Format::Tsv => "contig\tstart\tend\tname\tstrand\tscore\n",
        }
    }

    /// Appends the line of one hit.
    pub fn write(&self, contig: &Contig, hit: &Hit, out: &mut Vec<u8>) {
        let target = &self.targets[hit.target];
        let (start, end) = (hit.start, hit.start + target.window);
        let (contig, name, strand, score) = (&contig.name, &target.name, hit.strand.symbol(), hit.score);
        let line = match self.format {
            Format::Bed => {
                let shade = target.scale.bed_score(score);
                writeln!(out, "{contig}\t{start}\t{end}\t{name}\t{shade}\t{strand}\t{score:.4}")
            }
            Format::Tsv => writeln!(out, "{contig}\t{start}\t{end}\t{name}\t{strand}\t{score:.6}"),
        };
        line.expect("writing to memory does not fail");
    }
}
