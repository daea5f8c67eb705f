//! The tail of a distribution past what was observed: a generalised Pareto distribution.

use serde::{Deserialize, Serialize};

/// Fewest exceedances that a tail is fitted to.
const FEWEST: usize = 50;

/// Shapes that are believed: past them the moments of a fit do not exist, or its end is an artefact.
const SHAPES: std::ops::RangeInclusive<f64> = -0.5..=0.3;

/// Where a fitted tail goes on as an exponential one, as a share of what lies above its start. A tail of negative shape
/// has an end; past the data nobody knows where, and no score is impossible.
const BELIEVED: f64 = 1e-2;

/// Decay of the probability of a score above `from`.
#[derive(Debug, Clone, Copy, PartialEq, Serialize, Deserialize)]
pub struct Tail {
    /// The score it begins at.
    pub from: f32,
    /// Scale σ, in units of the score.
    pub scale: f64,
    /// Shape ξ: 0 for an exponential tail, below 0 for a lighter one.
    pub shape: f64,
}

impl Tail {
    /// Fits a tail to exceedances over `threshold` (ascending, positive) by probability-weighted moments (Hosking &
    /// Wallis 1987, Technometrics 29:339, equations 13 and 14, with ξ = -k), and lets it begin at `from`, which lies at or
    /// above the threshold. `None` if there are too few different ones.
    pub(crate) fn fit(threshold: f32, exceedances: &[f64], from: f32) -> Option<Tail> {
        let n = exceedances.len();
        let different = exceedances.windows(2).filter(|pair| pair[0] < pair[1]).count();
        if n < FEWEST || different < FEWEST / 2 {
            return None;
        }
        let mean = exceedances.iter().sum::<f64>() / n as f64;
        let weighted = exceedances.iter().zip(1..).map(|(y, i)| y * (n - i) as f64 / (n - 1) as f64);
        let weighted = weighted.sum::<f64>() / n as f64;
        let shape = 2.0 - mean / (mean - 2.0 * weighted);
        if !shape.is_finite() {
            return None;
        }
        let shape = shape.clamp(*SHAPES.start(), *SHAPES.end());
        // The mean of the distribution is σ / (1 - ξ).
        let scale = mean * (1.0 - shape);
        // Above a higher start a generalised Pareto distribution has the same shape.
        let scale = scale + shape * f64::from(from - threshold);
        (scale > 0.0 && scale.is_finite()).then_some(Tail { from, scale, shape })
    }

    /// Probability of `score` or more, given `from` or more. Never 0.
    pub fn survival(&self, score: f32) -> f64 {
        let x = f64::from(score - self.from);
        let Tail { scale, shape, .. } = *self;
        if x <= 0.0 {
            return 1.0;
        }
        if shape.abs() < 1e-9 {
            return (-x / scale).exp();
        }
        let power = |x: f64| (1.0 + shape * x / scale).max(0.0).powf(-1.0 / shape);
        let believed = scale * (BELIEVED.powf(-shape) - 1.0) / shape;
        if shape > 0.0 || x <= believed {
            power(x)
        } else {
            BELIEVED * (-(x - believed) / (scale + shape * believed)).exp()
        }
    }

    /// The lowest score whose [`survival`](Tail::survival) is `p` or less, about.
    pub(crate) fn quantile(&self, p: f64) -> f64 {
        let Tail { from, scale, shape } = *self;
        let power = |p: f64| scale * (p.powf(-shape) - 1.0) / shape;
        f64::from(from)
            + if shape.abs() < 1e-9 {
                -scale * p.ln()
            } else if shape > 0.0 || p >= BELIEVED {
                power(p)
            } else {
                let believed = power(BELIEVED);
                believed - (scale + shape * believed) * (p / BELIEVED).ln()
            }
    }

    /// True if the numbers are those of a tail: for what is read from a file.
    pub(crate) fn is_sound(&self) -> bool {
        self.from.is_finite() && self.scale.is_finite() && self.scale > 0.0 && SHAPES.contains(&self.shape)
    }
}

#[cfg(test)]
mod tests {
    use rand::{RngExt, SeedableRng};
    use rand_xoshiro::Xoshiro256PlusPlus;

    use super::*;

    #[test]
    fn a_fit_finds_the_scale_and_shape_that_made_the_data() {
        for shape in [-0.3, -0.1, 0.0, 0.2] {
            let made = Tail { from: 5.0, scale: 1.5, shape };
            let mut rng = Xoshiro256PlusPlus::seed_from_u64(7);
            let power = |u: f64| if shape == 0.0 { -u.ln() } else { (u.powf(-shape) - 1.0) / shape };
            let mut data: Vec<f64> = (0..20_000).map(|_| 1.5 * power(1.0 - rng.random::<f64>())).collect();
            data.sort_by(f64::total_cmp);
            let fit = Tail::fit(5.0, &data, 5.0).unwrap();
            assert!((fit.shape - shape).abs() < 0.03 && (fit.scale - 1.5).abs() < 0.05, "{fit:?}");
            // Seen from a higher start, the same distribution.
            let higher = Tail::fit(5.0, &data, 6.0).unwrap();
            let expected = made.survival(7.0) / made.survival(6.0);
            assert!((higher.survival(7.0) / expected - 1.0).abs() < 0.05);
        }
    }

    #[test]
    fn the_quantile_undoes_the_survival_and_no_score_is_impossible() {
        for shape in [-0.5, -0.2, 0.0, 0.1] {
            let tail = Tail { from: 2.0, scale: 0.7, shape };
            for p in [0.9, 0.1, 0.011, 0.009, 1e-6, 1e-20] {
                let score = tail.quantile(p) as f32;
                assert!((tail.survival(score).ln() - p.ln()).abs() < 1e-3, "{shape} {p}");
            }
            assert!(tail.survival(20.0) > 0.0);
        }
    }

    #[test]
    fn too_few_or_equal_exceedances_have_no_tail() {
        assert_eq!(Tail::fit(0.0, &[1.0; 30], 0.0), None);
        assert_eq!(Tail::fit(0.0, &[1.0; 300], 0.0), None);
    }
}
