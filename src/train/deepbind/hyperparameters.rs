//! Hyper-parameters, and the distributions they are drawn from.

use rand::{RngExt, SeedableRng};
use rand_xoshiro::Xoshiro256PlusPlus;
use serde_json::{Map, Value, json};

use crate::model::{Pooling, Strands};
use crate::train::deepbind::fit::Settings;
use crate::train::deepbind::init::Start;
use crate::train::deepbind::optimizer::{Optimizer, Penalty};
use crate::train::deepbind::parameters::Architecture;

/// Source of hyper-parameters, and treatment of the final fits.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Recipe {
    /// As DeepBind's authors did (Alipanahi et al. 2015, supplementary notes; ranges as the public
    /// re-implementations have them): Nesterov SGD with learning rate log-uniform in 5e-4 … 0.05 and momentum 0.95 +
    /// 0.04 √u; dropout 0, 0, 0.25 or 0.5; initial scales log-uniform in 1e-7 … 1e-3 (filters) and 1e-5 … 1e-2
    /// (dense layers); L1 decay log-uniform in 1e-15 … 1e-3 (filters) and 1e-10 … 1e-3 (dense layers); maximum or
    /// maximum and average; with or without 32 hidden units. Of the final fits the best on the training data is
    /// kept.
    Published,
    /// Settings that did best in cross-validation on seven ENCODE training sets: every filter begins as an
    /// enriched k-mer, and all final fits are merged into one network. Further: Adam with learning rate log-uniform
    /// in 1e-3 … 1e-2, a hidden layer unless there is said to be none (then the learning rate is from 6e-3 to 1.2e-2, and
    /// there is no dropout), the running mean of the parameters; the rest as published. Maxima only: means beside them gain
    /// nothing, and make a scan slower.
    Tuned,
}

impl Recipe {
    /// Its name, as the command line and the metadata have it.
    pub fn name(self) -> &'static str {
        match self {
            Recipe::Published => "published",
            Recipe::Tuned => "tuned",
        }
    }
}

/// Hyper-parameters that are given rather than drawn, and those that no recipe varies.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct Space {
    /// Random numbers for the rest.
    pub recipe: Recipe,
    /// Filters.
    pub filters: usize,
    /// Length of the filters in bases.
    pub filter_length: usize,
    /// True if windows are padded with N.
    pub padded: bool,
    /// Strands read.
    pub strands: Strands,
    /// Outputs.
    pub outputs: usize,
    /// Sequences a step.
    pub batch: usize,
    /// Pooling, unless it is drawn.
    pub pooling: Option<Pooling>,
    /// Hidden units (0 for none), unless drawn.
    pub hidden: Option<usize>,
    /// True if steps are Adam's, unless the recipe says.
    pub adam: Option<bool>,
}

/// Hidden units, where there are any (the published number).
const HIDDEN: usize = 32;

/// One draw: all that makes a fit, but for the data, the seed and the number of steps.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct Candidate {
    /// Shape of the network.
    pub architecture: Architecture,
    /// Options of its fit.
    pub settings: Settings,
}

impl Space {
    /// Draws a candidate. The same seed gives the same one; what is given instead of drawn does not change the rest.
    pub fn draw(&self, seed: u64) -> Candidate {
        let mut rng = Xoshiro256PlusPlus::seed_from_u64(seed);
        let mut uniform = || rng.random::<f64>();
        let published = self.recipe == Recipe::Published;
        let pooling = if uniform() >= 0.5 && published { Pooling::MaxAndAverage } else { Pooling::Max };
        let hidden = if uniform() < 0.5 && published { 0 } else { HIDDEN };
        let hidden = self.hidden.unwrap_or(hidden);
        // Without a hidden layer, dropout takes whole filters away, and makes every fit worse.
        let shallow = !published && hidden == 0;
        let keep = [1.0, 1.0, 0.75, 0.5][(uniform() * 4.0) as usize];
        let keep = if shallow { 1.0 } else { keep };
        let momentum = (0.95 + 0.04 * uniform().sqrt()) as f32;
        let mut log = |low: f64, high: f64| (low.ln() + uniform() * (high / low).ln()).exp() as f32;
        let penalty =
            Penalty { filters: log(1e-15, 1e-3), hidden: log(1e-10, 1e-3), output: log(1e-10, 1e-3) };
        let adam = self.adam.unwrap_or(!published);
        let rate = match adam {
            true if shallow => log(6e-3, 1.2e-2),
            true => log(1e-3, 1e-2),
            false => log(5e-4, 5e-2),
        };
        let start = match self.recipe {
            Recipe::Published => {
                Start { filter_scale: log(1e-7, 1e-3), dense_scale: Some(log(1e-5, 1e-2)), kmers: 0.0 }
            }
            Recipe::Tuned => Start { filter_scale: 0.05, dense_scale: None, kmers: 1.0 },
        };
        Candidate {
            architecture: Architecture {
                filters: self.filters,
                filter_length: self.filter_length,
                padded: self.padded,
                pooling: self.pooling.unwrap_or(pooling),
                hidden,
                outputs: self.outputs,
                strands: self.strands,
            },
            settings: Settings {
                batch: self.batch,
                optimizer: if adam { Optimizer::Adam } else { Optimizer::Nesterov { momentum } },
                rate,
                keep,
                penalty,
                start,
                averaged: !published,
            },
        }
    }
}

impl Candidate {
    /// The hyper-parameters by name, for a model's metadata.
    pub fn describe(&self) -> Map<String, Value> {
        let Candidate { architecture, settings } = self;
        let (optimizer, momentum) = match settings.optimizer {
            Optimizer::Adam => ("adam", None),
            Optimizer::Nesterov { momentum } => ("nesterov", Some(decimal(momentum))),
        };
        let pooling = match architecture.pooling {
            Pooling::Max => "max",
            Pooling::Average => "avg",
            Pooling::MaxAndAverage => "max+avg",
        };
        let fields = json!({
            "pooling": pooling,
            "hidden": architecture.hidden,
            "optimizer": optimizer,
            "momentum": momentum,
            "learning_rate": decimal(settings.rate),
            "dropout": decimal(1.0 - settings.keep),
            "l1_filters": decimal(settings.penalty.filters),
            "l1_hidden": decimal(settings.penalty.hidden),
            "l1_output": decimal(settings.penalty.output),
            "filter_scale": decimal(settings.start.filter_scale),
            "dense_scale": settings.start.dense_scale.map(decimal),
            "kmer_share": decimal(settings.start.kmers),
            "averaged": settings.averaged,
            "batch": settings.batch,
        });
        match fields {
            Value::Object(fields) => fields,
            _ => Map::new(),
        }
    }
}

/// The shortest decimal that stands for the number in single precision.
fn decimal(x: f32) -> f64 {
    x.to_string().parse().unwrap_or(f64::from(x))
}
