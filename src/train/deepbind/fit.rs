//! One fit: a network, the examples it is fitted to, and the steps of the optimizer.

use crate::seq::rng::shuffle;
use std::sync::atomic::{AtomicBool, Ordering};

use rand::{RngExt, SeedableRng};
use rand_xoshiro::Xoshiro256PlusPlus;

use crate::dataset::{Dataset, TargetKind};
use crate::model::{Network, Strands};
use crate::simd;
use crate::simd::Lanes;
use crate::train::deepbind::gradient;
use crate::train::deepbind::gradient::{Gradient, Loss, Score, Workspace};
use crate::train::deepbind::init;
use crate::train::deepbind::init::Start;
use crate::train::deepbind::kmer_index::Triplets;
use crate::train::deepbind::optimizer::{Memory, Optimizer, Penalty, Update};
use crate::train::deepbind::parameters::{Architecture, Layout};
use crate::train::deepbind::rc_tied;

/// Sequences that are scored together.
const SCORED_TOGETHER: usize = 64;

/// Decay rate of the running average of the parameters.
const AVERAGING: f32 = 0.999;

/// Options of a fit beside the shape of the network.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct Settings {
    /// Sequences a step.
    pub batch: usize,
    /// Options of the optimizer.
    pub optimizer: Optimizer,
    /// Learning rate.
    pub rate: f32,
    /// Probability with which an input of the output layer is kept; 1 for no dropout.
    pub keep: f32,
    /// L1 penalties.
    pub penalty: Penalty,
    /// Initial parameters.
    pub start: Start,
    /// True if the network of a fit has the running mean of the parameters (over about the last 1,000 steps) rather
    /// than the last ones.
    pub averaged: bool,
}

/// A data set as fits take it, made once and shared by all of one shape.
#[derive(Debug)]
pub struct Examples<'a> {
    dataset: &'a Dataset,
    triplets: Triplets,
    architecture: Architecture,
    /// Matrices that the first filters begin as.
    motifs: Vec<Network>,
}

impl<'a> Examples<'a> {
    /// Prepares `dataset` for networks of this shape; pooling and hidden layer do not matter. The data must have
    /// been checked: [`Dataset::require`].
    ///
    /// # Panics
    /// If a sequence is too short for a filter, or the outputs are not those of the data.
    pub fn new(dataset: &'a Dataset, architecture: &Architecture) -> Examples<'a> {
        assert_eq!(dataset.outputs, architecture.outputs);
        let triplets = gradient::index(&dataset.sequences, architecture);
        Examples { dataset, triplets, architecture: *architecture, motifs: Vec::new() }
    }

    /// Lets the first filters begin as these matrices.
    #[must_use]
    pub fn with_motifs(mut self, motifs: &[Network]) -> Examples<'a> {
        self.motifs = motifs.to_vec();
        self
    }

    /// The data set.
    pub fn dataset(&self) -> &'a Dataset {
        self.dataset
    }

    fn loss(&self) -> Loss {
        match self.dataset.kind {
            TargetKind::Binary => Loss::Logistic,
            TargetKind::Real => Loss::Squared,
        }
    }
}

/// Why a fit ended early.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Stopped {
    /// The loss or a parameter is not finite any more: the learning rate is too high.
    Diverged,
    /// The run was cancelled.
    Cancelled,
}

/// A fit under way.
#[derive(Debug)]
pub struct Fit<'a> {
    examples: &'a Examples<'a>,
    layout: Layout,
    settings: Settings,
    parameters: Vec<Lanes>,
    averages: Vec<Lanes>,
    gradient: Vec<Lanes>,
    memory: Memory,
    workspace: Workspace,
    sampler: Sampler,
    batch: Vec<u32>,
    masks: Vec<Lanes>,
    rng: Xoshiro256PlusPlus,
}

impl<'a> Fit<'a> {
    /// A fit of a network of this shape to the examples with the given ranks, from its initial parameters on. The
    /// same seed gives the same fit.
    ///
    /// # Panics
    /// If the shape is not the one that the examples were made for, or there are no ranks.
    pub fn new(
        examples: &'a Examples<'a>,
        ranks: &[u32],
        architecture: Architecture,
        settings: Settings,
        seed: u64,
    ) -> Fit<'a> {
        let mut rng = Xoshiro256PlusPlus::seed_from_u64(seed);
        let network =
            init::network(examples.dataset, ranks, &architecture, settings.start, &examples.motifs, &mut rng);
        Fit::begin(examples, ranks, architecture, &network, settings, rng)
    }

    /// As [`Fit::new`], from the parameters of `network` on, which has this shape.
    pub(crate) fn from_network(
        examples: &'a Examples<'a>,
        ranks: &[u32],
        architecture: Architecture,
        network: &Network,
        settings: Settings,
        seed: u64,
    ) -> Fit<'a> {
        let rng = Xoshiro256PlusPlus::seed_from_u64(seed);
        Fit::begin(examples, ranks, architecture, network, settings, rng)
    }

    fn begin(
        examples: &'a Examples<'a>,
        ranks: &[u32],
        architecture: Architecture,
        network: &Network,
        settings: Settings,
        mut rng: Xoshiro256PlusPlus,
    ) -> Fit<'a> {
        let Architecture { pooling, hidden, filters, .. } = architecture;
        assert_eq!(architecture, Architecture { pooling, hidden, filters, ..examples.architecture });
        let layout = Layout::new(architecture);
        let parameters = layout.parameters(network);
        let size = if settings.averaged { layout.size() } else { 0 };
        Fit {
            examples,
            gradient: vec![Lanes::ZERO; layout.size()],
            averages: vec![Lanes::ZERO; size],
            memory: Memory::new(settings.optimizer, layout.size()),
            workspace: Workspace::new(&layout, settings.batch.max(SCORED_TOGETHER)),
            sampler: Sampler::new(examples.dataset, ranks, &mut rng),
            batch: Vec::with_capacity(settings.batch),
            masks: Vec::new(),
            parameters,
            settings,
            layout,
            rng,
        }
    }

    /// Makes `steps` more steps; the mean of their losses (penalties not counted).
    ///
    /// # Errors
    /// Parameters that run away, and cancellation. The fit cannot go on then.
    pub fn run(&mut self, steps: usize, cancel: &AtomicBool) -> Result<f64, Stopped> {
        let mut total = 0.0;
        for _ in 0..steps {
            if cancel.load(Ordering::Relaxed) {
                return Err(Stopped::Cancelled);
            }
            let loss = self.step();
            if !loss.is_finite() {
                return Err(Stopped::Diverged);
            }
            total += loss;
        }
        if self.parameters.iter().any(|x| x.0.iter().any(|x| !x.is_finite())) {
            return Err(Stopped::Diverged);
        }
        Ok(total / steps.max(1) as f64)
    }

    fn step(&mut self) -> f64 {
        self.sampler.draw(self.settings.batch, &mut self.batch, &mut self.rng);
        self.draw_masks();
        let loss = simd::run(Gradient {
            layout: &self.layout,
            parameters: &self.parameters,
            triplets: &self.examples.triplets,
            batch: &self.batch,
            targets: &self.examples.dataset.targets,
            loss: self.examples.loss(),
            masks: &self.masks,
            workspace: &mut self.workspace,
            gradient: &mut self.gradient,
        });
        simd::run(Update {
            layout: &self.layout,
            memory: &mut self.memory,
            rate: self.settings.rate,
            penalty: self.settings.penalty,
            parameters: &mut self.parameters,
            gradient: &mut self.gradient,
            averages: &mut self.averages,
            averaging: AVERAGING,
        });
        loss
    }

    /// Draws what is dropped; what is kept is scaled up, so that nothing need be scaled when scoring.
    fn draw_masks(&mut self) {
        let keep = self.settings.keep;
        if keep >= 1.0 {
            return;
        }
        let (limit, factor) = ((keep * 65536.0) as u64, 1.0 / keep);
        self.masks.resize(self.batch.len() * self.layout.inputs(), Lanes::ZERO);
        for mask in &mut self.masks {
            for four in mask.0.chunks_exact_mut(4) {
                let bits: u64 = self.rng.random();
                for (i, x) in four.iter_mut().enumerate() {
                    *x = if bits >> (16 * i) & 0xFFFF < limit { factor } else { 0.0 };
                }
            }
        }
    }

    /// Sets the learning rate of the steps to come.
    pub(crate) fn set_rate(&mut self, rate: f32) {
        self.settings.rate = rate;
    }

    /// Steps made so far.
    pub fn steps(&self) -> usize {
        self.memory.steps()
    }

    /// The network as it stands; with [`Strands::Symmetric`] the one that reads one strand ([`rc_tied::unfold`]).
    pub fn network(&self) -> Network {
        let network = self.half();
        match self.layout.architecture.strands {
            Strands::Symmetric => rc_tied::unfold(&network),
            Strands::Both | Strands::Single => network,
        }
    }

    /// The network as it is fitted; with [`Strands::Symmetric`] without the reverse complements of its filters.
    pub(crate) fn half(&self) -> Network {
        self.layout.network(&self.current())
    }

    /// The parameters that count: the last ones, or their average.
    fn current(&self) -> Vec<Lanes> {
        if !self.settings.averaged || self.steps() == 0 {
            return self.parameters.clone();
        }
        // The average began at 0.
        let weight = Lanes::splat(1.0 / (1.0 - AVERAGING.powi(self.steps() as i32)));
        self.averages.iter().map(|&x| x * weight).collect()
    }

    /// Scores of examples, with [`Strands::Both`] the better strand's: `[rank][output]`.
    pub fn scores(&mut self, ranks: &[u32]) -> Vec<f32> {
        let mut scores = Vec::with_capacity(ranks.len() * self.layout.architecture.outputs);
        let parameters = self.current();
        for batch in ranks.chunks(SCORED_TOGETHER) {
            simd::run(Score {
                layout: &self.layout,
                parameters: &parameters,
                triplets: &self.examples.triplets,
                batch,
                workspace: &mut self.workspace,
                scores: &mut scores,
            });
        }
        scores
    }
}

/// Draws batches: every example of a class once before one comes again. Classes of a binary data set with one output
/// take turns, so that a batch has as many of the one as of the other, however many there are of each.
#[derive(Debug)]
struct Sampler {
    classes: Vec<Vec<u32>>,
    /// Examples of each class drawn in this round.
    drawn: Vec<usize>,
    turn: usize,
}

impl Sampler {
    fn new(dataset: &Dataset, ranks: &[u32], rng: &mut Xoshiro256PlusPlus) -> Sampler {
        let by_class = dataset.kind == TargetKind::Binary && dataset.outputs == 1;
        let (positives, negatives): (Vec<u32>, Vec<u32>) =
            ranks.iter().partition(|&&rank| !by_class || dataset.targets[rank as usize] > 0.5);
        let mut classes = vec![positives, negatives];
        classes.retain(|class| !class.is_empty());
        assert!(!classes.is_empty(), "no examples to draw from");
        classes.iter_mut().for_each(|class| shuffle(class, rng));
        Sampler { drawn: vec![0; classes.len()], turn: 0, classes }
    }

    fn draw(&mut self, count: usize, batch: &mut Vec<u32>, rng: &mut Xoshiro256PlusPlus) {
        batch.clear();
        for _ in 0..count {
            let (class, drawn) = (&mut self.classes[self.turn], &mut self.drawn[self.turn]);
            if *drawn == class.len() {
                shuffle(class, rng);
                *drawn = 0;
            }
            batch.push(class[*drawn]);
            *drawn += 1;
            self.turn = (self.turn + 1) % self.classes.len();
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::model::Pooling;

    /// One step, gradient and update.
    struct Step<'a> {
        layout: &'a Layout,
        parameters: Vec<Lanes>,
        examples: &'a Examples<'a>,
        memory: Memory,
        workspace: Workspace,
    }

    impl simd::Task for Step<'_> {
        type Output = (f64, Vec<Lanes>);

        #[inline(always)]
        fn run(mut self) -> Self::Output {
            let mut gradient = vec![Lanes::ZERO; self.layout.size()];
            let mut averages = gradient.clone();
            let loss = Gradient {
                layout: self.layout,
                parameters: &self.parameters,
                triplets: &self.examples.triplets,
                batch: &[3, 1, 4, 1, 5, 9],
                targets: &self.examples.dataset.targets,
                loss: self.examples.loss(),
                masks: &[],
                workspace: &mut self.workspace,
                gradient: &mut gradient,
            }
            .run();
            Update {
                layout: self.layout,
                memory: &mut self.memory,
                rate: 0.01,
                penalty: Penalty { filters: 1e-3, hidden: 1e-3, output: 1e-3 },
                parameters: &mut self.parameters,
                gradient: &mut gradient,
                averages: &mut averages,
                averaging: AVERAGING,
            }
            .run();
            (loss, self.parameters)
        }
    }

    #[test]
    fn every_instruction_set_makes_the_same_step() {
        let mut rng = Xoshiro256PlusPlus::seed_from_u64(1);
        let mut sequences = || {
            (0..6).map(|i| (0..40 + i).map(|_| rng.random_range(0..5)).collect()).collect::<Vec<Vec<u8>>>()
        };
        let dataset = Dataset::from_classes(sequences(), sequences()).unwrap();
        for (pooling, hidden, strands) in [
            (Pooling::Max, 0, Strands::Both),
            (Pooling::MaxAndAverage, 32, Strands::Both),
            (Pooling::MaxAndAverage, 32, Strands::Symmetric),
        ] {
            let architecture = Architecture {
                filters: 20,
                filter_length: 11,
                padded: true,
                pooling,
                hidden,
                outputs: 1,
                strands,
            };
            let (layout, examples) = (Layout::new(architecture), Examples::new(&dataset, &architecture));
            let start = Start { filter_scale: 0.3, dense_scale: None, kmers: 0.0 };
            let mut rng = Xoshiro256PlusPlus::seed_from_u64(2);
            let network = init::network(&dataset, &[0, 1, 7, 8], &architecture, start, &[], &mut rng);
            for optimizer in [Optimizer::Adam, Optimizer::Nesterov { momentum: 0.9 }] {
                let steps = simd::run_with_each(|| Step {
                    layout: &layout,
                    parameters: layout.parameters(&network),
                    examples: &examples,
                    memory: Memory::new(optimizer, layout.size()),
                    workspace: Workspace::new(&layout, 6),
                });
                assert!(steps[0].0 > 0.0 && steps[0].1 != layout.parameters(&network));
                assert!(steps.iter().all(|step| *step == steps[0]), "{architecture:?} {optimizer:?}");
            }
        }
    }
}
