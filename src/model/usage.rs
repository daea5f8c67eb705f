//! Metadata on the use of a model: recommended thresholds, scores of bound sequences, the main motif.

use serde::{Deserialize, Serialize};

use crate::null::distribution::Null;
use crate::seq::contig::Strand;

/// Strictness of a recommended threshold.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum Level {
    /// p = 1e-3
    Lenient,
    /// p = 1e-4
    Default,
    /// p = 1e-5
    Strict,
}

impl Level {
    /// All levels, the most lenient first.
    pub const ALL: [Level; 3] = [Level::Lenient, Level::Default, Level::Strict];

    /// Probability that the same strand of a background window reaches the threshold.
    pub fn p_value(self) -> f64 {
        match self {
            Level::Lenient => 1e-3,
            Level::Default => 1e-4,
            Level::Strict => 1e-5,
        }
    }

    /// Its name in the metadata.
    pub fn name(self) -> &'static str {
        match self {
            Level::Lenient => "lenient",
            Level::Default => "default",
            Level::Strict => "strict",
        }
    }
}

/// A recommended threshold of a model with one output.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct Threshold {
    /// Its strictness.
    pub level: Level,
    /// The lowest score of a site.
    pub score: f32,
    /// Share of the background's windows that reach it, on one strand.
    pub p_value: f64,
    /// Where the background comes from: a file's name, `training sequences` or `uniform`.
    pub background: String,
    /// Its sites on whole held-out contigs.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub genome_wide: Option<GenomeWide>,
}

/// Sites at a threshold on whole held-out contigs, against peaks.
#[derive(Debug, Clone, Copy, PartialEq, Serialize, Deserialize)]
pub struct GenomeWide {
    /// Sites found.
    pub sites: u64,
    /// Share of the sites that lie on a peak.
    pub precision: f64,
    /// Share of the peaks that a site lies on.
    pub recall: f64,
}

impl Threshold {
    /// The recommended thresholds of a model whose scores have this null distribution; a level that no score reaches is left
    /// out.
    pub fn recommend(null: &Null, background: &str) -> Vec<Threshold> {
        let threshold = |level: Level| {
            let p_value = level.p_value();
            let strands = [Strand::Forward, Strand::Reverse].map(|strand| null.threshold(p_value, strand));
            let score = strands.into_iter().flatten().reduce(f32::max)?;
            let background = background.to_owned();
            score.is_finite().then_some(Threshold { level, score, p_value, background, genome_wide: None })
        };
        Level::ALL.into_iter().filter_map(threshold).collect()
    }
}

/// Scores of bound sequences: from them follows the share that reaches any threshold.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct BoundScores {
    /// The data: `held out` or `training`.
    pub data: String,
    /// Sequences scored.
    pub sequences: usize,
    /// Scores at equal steps from 0 to 100 %, ascending: at each percent, or at every fifth in older models.
    pub quantiles: Vec<f32>,
}

/// Parts that quantiles divide scores into.
const PARTS: usize = 100;

impl BoundScores {
    /// Summarises `scores`, of which there is one at least; `None` if there is none.
    pub fn of(data: &str, mut scores: Vec<f32>) -> Option<BoundScores> {
        let last = scores.len().checked_sub(1)?;
        scores.sort_by(f32::total_cmp);
        let quantile = |part: usize| {
            let place = part as f64 / PARTS as f64 * last as f64;
            let (below, above) = (scores[place.floor() as usize], scores[place.ceil() as usize]);
            below + (above - below) * place.fract() as f32
        };
        let quantiles = (0..=PARTS).map(quantile).collect();
        Some(BoundScores { data: data.to_owned(), sequences: scores.len(), quantiles })
    }

    /// Share of the sequences that score `threshold` or more, between quantiles by interpolation.
    pub fn share_above(&self, threshold: f32) -> f64 {
        let below = self.quantiles.partition_point(|&quantile| quantile < threshold);
        let (Some(&next), true) = (self.quantiles.get(below), below > 0) else {
            return if below == 0 { 1.0 } else { 0.0 };
        };
        let last = self.quantiles[below - 1];
        let part = f64::from(threshold - last) / f64::from(next - last);
        1.0 - ((below - 1) as f64 + part) / (self.quantiles.len() - 1) as f64
    }
}

/// The motif of the filter that tells bound sequences from others best.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct MainMotif {
    /// Rank of the filter in the network, from 0.
    pub filter: usize,
    /// Sites that were aligned.
    pub sites: usize,
    /// `counts[position]`: sites with A, C, G, T there.
    pub counts: Vec<[u32; 4]>,
}

impl MainMotif {
    /// The most frequent base of each position, in lower case where it has less than half of the sites.
    pub fn consensus(&self) -> String {
        let letter = |counts: &[u32; 4]| {
            let best = (0..4).reduce(|best, next| if counts[next] > counts[best] { next } else { best });
            let letter = ['A', 'C', 'G', 'T'][best.unwrap_or(0)];
            let most = counts[best.unwrap_or(0)];
            let all: u64 = counts.iter().map(|&count| u64::from(count)).sum();
            if 2 * u64::from(most) >= all { letter } else { letter.to_ascii_lowercase() }
        };
        self.counts.iter().map(letter).collect()
    }
}

/// Checks what was read from a file.
pub(super) fn check(
    thresholds: &[Threshold],
    bound: Option<&BoundScores>,
    motif: Option<&MainMotif>,
) -> Result<(), String> {
    if thresholds.iter().any(|threshold| !threshold.score.is_finite()) {
        return Err("a recommended threshold is not finite".into());
    }
    let sorted = |bound: &BoundScores| {
        bound.quantiles.len() > 1
            && bound.quantiles.is_sorted()
            && bound.quantiles.iter().all(|q| q.is_finite())
    };
    if bound.is_some_and(|bound| !sorted(bound)) {
        return Err("the quantiles of its bound sequences are damaged".into());
    }
    if motif.is_some_and(|motif| motif.counts.is_empty()) {
        return Err("its motif has no positions".into());
    }
    Ok(())
}

impl Threshold {
    /// Its meaning, in words: `p 0.0001 on genome.fa; about 93 % of 500 held-out bound sequences reach it`.
    pub fn meaning(&self, bound: Option<&BoundScores>) -> String {
        let mut words = format!("p {} on {}", self.p_value, self.background);
        if let Some(bound) = bound {
            let share = 100.0 * bound.share_above(self.score);
            words += &format!(
                "; about {share:.0} % of {} bound sequences ({}) reach it",
                bound.sequences, bound.data
            );
        }
        if let Some(GenomeWide { sites, precision, recall }) = self.genome_wide {
            words +=
                &format!("; held-out contigs: {sites} sites, precision {precision:.3}, recall {recall:.3}");
        }
        words
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::null::distribution::Origin;

    #[test]
    fn a_level_is_the_lowest_score_of_its_p_value_on_either_strand() {
        let forward = Null::new([(0.0, 0.5), (1.0, 1e-3), (2.0, 1e-4)], Origin::Sampled);
        let reverse = Null::new([(0.0, 0.5), (1.5, 1e-3)], Origin::Sampled);
        let thresholds = Threshold::recommend(&Null::from_strands(forward, reverse), "genome.fa");
        let scores: Vec<(Level, f32)> = thresholds.iter().map(|one| (one.level, one.score)).collect();
        assert_eq!(scores, [(Level::Lenient, 1.5), (Level::Default, 2.0)]);
    }

    #[test]
    fn shares_above_follow_from_quantiles() {
        let scores = BoundScores::of("training", (0..=100).map(|i| i as f32).collect()).unwrap();
        assert_eq!((scores.sequences, scores.quantiles.len()), (101, 101));
        for (threshold, share) in
            [(-1.0, 1.0), (0.0, 1.0), (25.0, 0.75), (97.5, 0.025), (100.0, 0.0), (101.0, 0.0)]
        {
            assert!((scores.share_above(threshold) - share).abs() < 1e-6, "{threshold}");
        }
        assert_eq!(BoundScores::of("training", Vec::new()), None);
    }
}
