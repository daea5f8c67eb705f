//! Tracks: what a scan writes. Site tracks have a line for each site ([`site`]), score tracks a value for each stretch
//! of the genome ([`score`]); reads can be written as they came, with their best windows in tags.

pub mod provenance;
use std::fmt;
use std::ops::Range;
use std::path::Path;
use std::sync::Arc;

use serde::{Deserialize, Serialize};

use crate::engine::planned::{ModelOutput, Place, Planned};
use crate::model::{Activation, ModelSpec};
use crate::null::distribution::Null;
use crate::scores::{Hit, HitRule, HitStrands};
use crate::seq::contig::Strand;
use crate::sites;
use crate::sites::Sites;
use crate::sites::core::{CoreSource, Located};

pub(crate) mod bam;
mod bedgraph;
pub mod bigbed;
pub mod bigwig;
pub mod fimo;
pub mod homer;
pub mod outputs;
pub mod read;
pub mod record;
pub mod score;
pub mod site;
pub mod values;

pub use crate::io::number::push_score;
pub use score::ScoreFormat;
pub use site::SiteFormat;

/// Why writing to a vector is no error that could be handled.
const IN_MEMORY: &str = "writing to memory does not fail";

/// A format of tracks.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(untagged)]
pub enum Format {
    /// One of sites.
    Sites(SiteFormat),
    /// One of scores.
    Scores(ScoreFormat),
    /// One of reads.
    Reads(ReadsFormat),
}

/// A format of reads, with what was found in them in tags.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum ReadsFormat {
    /// BAM: the records as they came, each with the best of its windows in tags `ys` (score), `yo` (first base in the read)
    /// and `yd` (strand).
    Bam,
}

impl Format {
    /// The format that goes with a file name's extension, in upper or lower case; `fimo.tsv` and `homer.txt` are two of
    /// their own, as `x.fimo.tsv` is. A `.gz` behind it is for the caller to take off.
    pub fn from_extension(path: &Path) -> Option<Format> {
        let extension = path.extension()?.to_str()?.to_ascii_lowercase();
        let before = Path::new(path.file_stem()?).to_str()?.to_ascii_lowercase();
        let kind = before.rsplit('.').next().unwrap_or_default();
        Some(match extension.as_str() {
            "tsv" | "txt" if kind == "fimo" => Format::Sites(SiteFormat::Fimo),
            "tsv" | "txt" if kind == "homer" => Format::Sites(SiteFormat::Homer),
            "bed" => Format::Sites(SiteFormat::Bed),
            "tsv" => Format::Sites(SiteFormat::Tsv),
            "narrowpeak" => Format::Sites(SiteFormat::NarrowPeak),
            "gff3" | "gff" => Format::Sites(SiteFormat::Gff3),
            "bigbed" | "bb" => Format::Sites(SiteFormat::BigBed),
            "bedgraph" | "bdg" => Format::Scores(ScoreFormat::BedGraph),
            "bigwig" | "bw" => Format::Scores(ScoreFormat::BigWig),
            "bam" => Format::Reads(ReadsFormat::Bam),
            _ => return None,
        })
    }
}

impl fmt::Display for Format {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.serialize(f)
    }
}

/// One output of one model: what a site is named after, and how its score is shown.
#[derive(Debug, Clone)]
pub struct Target {
    /// Name in the track.
    pub name: String,
    /// Name that people use beside it, as CTCF for MA0139.1; empty if there is none.
    pub alias: String,
    /// Rank of the scanner that scores it.
    pub scanner: usize,
    /// Output of that scanner: a model's output, or a matrix's rank.
    pub output: usize,
    /// Window in bases: the length of a site.
    pub window: u64,
    /// Bases before and behind a window on which its score depends too.
    pub flanks: (u64, u64),
    /// Most bases of a window that may be N; windows with more are left out.
    pub most_n: u64,
    /// True if both strands have the same score, so that a site has no strand.
    pub symmetric: bool,
    /// Lowest score of a hit on the forward and on the reverse strand: p-values differ where the background is skewed.
    pub thresholds: [f32; 2],
    /// Scale from raw scores to BED's 0-1000, for scores without p-values.
    pub scale: ScoreScale,
    /// The distribution of its scores in background, where p-values are wanted.
    pub null: Option<Arc<Null>>,
    /// The stored distribution of its scores in background, by which sites without a p-value are shaded.
    pub shades: Option<Arc<Null>>,
    /// Method by which the cores of its sites are found.
    pub cores: CoreSource,
    /// Bases that its sites span in tracks.
    pub span: Span,
    /// Strands of a window that can be hits.
    pub hit_strands: HitStrands,
}

/// Bases that a site spans in a track.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub enum Span {
    /// The bases that carry the score.
    #[default]
    Core,
    /// All that the model has scored.
    Window,
}

impl Target {
    /// An output of the first scanner that every window hits, with scores whose logistic function is a probability; sites are
    /// whole windows.
    pub fn new(name: impl Into<String>, window: u64) -> Target {
        Target {
            name: name.into(),
            alias: String::new(),
            scanner: 0,
            output: 0,
            window,
            flanks: (0, 0),
            most_n: window,
            symmetric: false,
            thresholds: [f32::NEG_INFINITY; 2],
            scale: ScoreScale::Logistic,
            null: None,
            shades: None,
            cores: CoreSource::Window,
            span: Span::default(),
            hit_strands: HitStrands::default(),
        }
    }

    /// Rule by which windows are hits.
    pub fn hit_rule(&self) -> HitRule {
        HitRule { thresholds: self.thresholds, strands: self.hit_strands }
    }

    /// The bases that a site spans in tracks.
    pub fn span_of(&self, site: &Located) -> Range<u64> {
        let start = site.hit.start;
        match self.span {
            Span::Core => site.core.start_in(start)..site.core.end_in(start),
            Span::Window => start..start + self.window,
        }
    }

    /// The contig position of the first base that the score of a hit depends on; negative before the contig's start.
    pub fn frame_of(&self, hit: &Hit) -> i64 {
        hit.start as i64 - self.flanks.0 as i64
    }

    /// Bases that the score of a window depends on: the window and its flanks. Windows that share one of them see the same
    /// match of a filter, so that one of them is a site.
    pub fn seen(&self) -> u64 {
        self.flanks.0 + self.window + self.flanks.1
    }

    /// Suppresses the hits of the target that better ones overlap ([`sites::suppress`]): on each strand by itself, if each
    /// can be a hit.
    pub fn suppress(
        &self,
        hits: &[Hit],
        seen: &Range<u64>,
        mut off_centre: impl FnMut(usize) -> u64,
    ) -> Sites {
        if self.hit_strands == HitStrands::Better {
            return sites::suppress(hits, self.seen(), seen, off_centre);
        }
        let [mut both, reverse] = [Strand::Forward, Strand::Reverse].map(|strand| {
            let ranks: Vec<usize> = (0..hits.len()).filter(|&i| hits[i].strand == strand).collect();
            let of_strand: Vec<Hit> = ranks.iter().map(|&i| hits[i]).collect();
            sites::suppress(&of_strand, self.seen(), seen, |i| off_centre(ranks[i]))
        });
        both.settled_from = both.settled_from.max(reverse.settled_from);
        both.settled_to = both.settled_to.min(reverse.settled_to);
        both.hits.extend(reverse.hits);
        both.hits.sort_by_key(|hit| hit.start);
        both
    }

    /// The lowest score of a hit on any strand.
    pub fn lowest(&self) -> f32 {
        self.thresholds[0].min(self.thresholds[1])
    }

    /// As [`Target::lowest`]; `None` if every window is a hit, or none can be.
    pub fn threshold(&self) -> Option<f32> {
        Some(self.lowest()).filter(|&lowest| lowest.is_finite() && lowest < f32::MAX)
    }
}

/// Makes a target for each output of each model, in the order of the models. `thresholds` has the lowest score of a hit of
/// each model; `most_n` is the largest fraction of N in a window ([`largest_n_fraction`]).
pub fn targets(models: &[Planned], places: &[Place], thresholds: &[f32], most_n: Option<f64>) -> Vec<Target> {
    let mut targets = Vec::new();
    for ((planned, place), &threshold) in models.iter().zip(places).zip(thresholds) {
        let window = planned.plan.window;
        let cores = CoreSource::of(planned);
        // A product such as 0.07 * 100 may lie just below the whole number that it is.
        let most_n = (largest_n_fraction(planned, most_n) * window as f64 + 1e-6) as u64;
        for ModelOutput { name, scanner, output, symmetric, .. } in planned.outputs(*place) {
            targets.push(Target {
                alias: planned.model.spec.motif_name().to_owned(),
                scanner,
                output,
                most_n,
                symmetric,
                thresholds: [threshold; 2],
                scale: ScoreScale::from_spec(&planned.model.spec),
                cores: cores.clone(),
                ..Target::new(name, window as u64)
            });
        }
    }
    targets
}

/// Gives targets, in the order of the models, the null distributions that are stored with these: sites without a p-value are
/// shaded by them.
pub fn set_shades(models: &[Planned], targets: &mut [Target]) {
    let mut targets = targets.iter_mut();
    for planned in models {
        let shades = stored_nulls(planned);
        for (output, target) in targets.by_ref().take(planned.names().len()).enumerate() {
            target.shades = shades.get(output).cloned();
        }
    }
}

/// The null distributions that are stored with a model and hold for its windows.
fn stored_nulls(planned: &Planned) -> Vec<Arc<Null>> {
    let stored = planned.model.spec.null.as_ref().filter(|stored| stored.fits(&planned.plan).is_ok());
    let nulls = stored.and_then(|stored| stored.nulls(&planned.model).ok());
    nulls.into_iter().flatten().map(Arc::new).collect()
}

/// Largest fraction of N in a window of a model that is no matrix.
const MAX_N: f64 = 0.1;

/// Returns the largest fraction of N in a window of a model that is scored: `given`, or else 0 for a matrix and 0.1 for any
/// other model.
pub fn largest_n_fraction(planned: &Planned, given: Option<f64>) -> f64 {
    let network = planned.model.network.as_ref();
    // The window decides, not the engine that happens to be used.
    let is_matrix = network.is_ok_and(|network| network.is_matrix(planned.plan.window));
    given.unwrap_or(if is_matrix { 0.0 } else { MAX_N })
}

/// Scale from raw scores to BED's 0-1000 (the shade in a genome browser).
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
    pub fn from_spec(spec: &ModelSpec) -> ScoreScale {
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
