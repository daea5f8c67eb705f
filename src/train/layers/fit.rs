//! One fit: a network, epochs of Adam, and the best of its states on validation data.

use rand::{RngExt, SeedableRng};
use rand_xoshiro::Xoshiro256PlusPlus;
use serde::{Deserialize, Serialize};

use crate::dataset::evaluation::{mean_metric, rounded};
use crate::dataset::{Dataset, TargetKind};
use crate::model::Strands;
use crate::seq::alphabet::reverse_complement_into;
use crate::seq::rng::shuffle;
use crate::train::layers::architecture::Architecture;
use crate::train::layers::layer::Pass;
use crate::train::layers::network::Network;
use crate::train::layers::tensor::Tensor;
use crate::train::trainer::{Point, Purpose, stream};

/// Options of fits.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct Settings {
    /// Learning rate of Adam at the beginning.
    pub rate: f32,
    /// Penalty of half the sum of the weights' squares.
    pub penalty: f32,
    /// Sequences a step.
    pub batch: usize,
    /// Most epochs.
    pub epochs: usize,
    /// Epochs without a better validation metric after which a fit ends; after a third of them the learning rate falls to
    /// [`SLOWER`] of what it was.
    pub patience: usize,
    /// With [`Strands::Both`], each sequence is seen on a random strand in training, and its score is the better
    /// strand's.
    pub strands: Strands,
    /// Seed of everything random.
    pub seed: u64,
}

/// Factor of the learning rate where the validation metric stands still.
pub const SLOWER: f32 = 0.3;

/// Checkpoint of a fit: all that it needs to resume, except for the parameters of the network.
#[derive(Debug, Clone, Default, PartialEq, Serialize, Deserialize)]
pub(crate) struct Course {
    pub(crate) epochs: Vec<Point>,
    /// Steps made.
    pub(crate) steps: u64,
    pub(crate) rate: f32,
    /// Rank of the best epoch.
    pub(crate) best: usize,
    /// True if a number became infinite or none.
    pub(crate) diverged: bool,
    /// True if nothing is left to do.
    pub(crate) ended: bool,
}

/// A fit under way.
#[derive(Debug)]
pub(crate) struct Fit<'a> {
    training: &'a Dataset,
    validation: &'a Dataset,
    settings: Settings,
    /// Rank of the fit: gives it random numbers of its own.
    rank: usize,
    network: Network,
    pub(crate) course: Course,
    /// The network's numbers at its best epoch.
    best: Vec<f32>,
}

/// Windows that are scored together.
const SCORED_TOGETHER: usize = 100;

impl<'a> Fit<'a> {
    /// A fit from random weights on. All sequences must have the length of the window.
    pub(crate) fn new(
        architecture: &Architecture,
        training: &'a Dataset,
        validation: &'a Dataset,
        settings: Settings,
        rank: usize,
    ) -> Result<Fit<'a>, String> {
        let (_, window) = training.lengths();
        let seed = stream(settings.seed, Purpose::Weights, rank, 0);
        let mut rng = Xoshiro256PlusPlus::seed_from_u64(seed);
        let mut network = Network::new(architecture, window, training.outputs, &mut rng)?;
        if training.kind == TargetKind::Binary {
            set_base_rates(&mut network, training);
        }
        let course = Course { rate: settings.rate, ..Course::default() };
        Ok(Fit { training, validation, settings, rank, network, course, best: Vec::new() })
    }

    /// One epoch; `false` if `is_cancelled` ended it early, and the fit must not go on.
    pub(crate) fn epoch(&mut self, is_cancelled: impl Fn() -> bool) -> bool {
        let number = self.course.epochs.len();
        let seed = stream(self.settings.seed, Purpose::Epoch, self.rank, number);
        let mut rng = Xoshiro256PlusPlus::seed_from_u64(seed);
        let order = draw(self.training, &mut rng);
        let (mut loss, mut count, mut codes) = (0.0, 0, Vec::new());
        for batch in order.chunks(self.settings.batch) {
            if is_cancelled() {
                return false;
            }
            codes.clear();
            for &rank in batch {
                let sequence = &self.training.sequences[rank as usize];
                if self.settings.strands == Strands::Both && rng.random() {
                    reverse_complement_into(sequence, &mut codes);
                } else {
                    codes.extend_from_slice(sequence);
                }
            }
            loss += self.step(&codes, batch, &mut rng);
            count += 1;
        }
        let scores = scores(&mut self.network, self.validation, self.settings.strands);
        let loss = rounded(loss / f64::from(count.max(1)));
        if !loss.is_finite() || scores.iter().any(|score| !score.is_finite()) {
            (self.course.diverged, self.course.ended) = (true, true);
            return true;
        }
        let ranks: Vec<u32> = (0..self.validation.len() as u32).collect();
        let metric = mean_metric(self.validation, &ranks, &scores);
        self.note(Point { loss, metric });
        true
    }

    fn note(&mut self, epoch: Point) {
        let Course { epochs, best, rate, ended, .. } = &mut self.course;
        if epochs.is_empty() || epoch.metric > epochs[*best].metric {
            *best = epochs.len();
            self.best = self.network.values();
        }
        epochs.push(epoch);
        let waited = epochs.len() - 1 - *best;
        if waited > 0 && waited.is_multiple_of(self.settings.patience.div_ceil(3)) {
            *rate *= SLOWER;
        }
        *ended = waited >= self.settings.patience || epochs.len() >= self.settings.epochs;
    }

    /// One step of Adam; gives the loss.
    fn step(&mut self, codes: &[u8], batch: &[u32], rng: &mut Xoshiro256PlusPlus) -> f64 {
        let outputs = self.network.forward(codes, batch.len(), &mut Pass::Training(rng));
        let (loss, gradient) = loss(self.training, batch, outputs);
        self.network.backward(&gradient);
        self.course.steps += 1;
        let (number, rate, penalty) = (self.course.steps, self.course.rate, self.settings.penalty);
        self.network.visit(&mut |parameter| parameter.step(number, rate, penalty));
        loss
    }

    /// The best state's metric; `None` if there is none.
    pub(crate) fn metric(&self) -> Option<f64> {
        self.course.epochs.get(self.course.best).filter(|_| !self.course.diverged).map(|epoch| epoch.metric)
    }

    /// The network in its best state.
    pub(crate) fn into_network(mut self) -> Network {
        if !self.best.is_empty() {
            self.network.set_values(&self.best);
        }
        self.network
    }

    /// Shows all vectors of numbers that the fit goes on from, always in the same order.
    fn visit_memory(&mut self, seen: &mut dyn FnMut(&mut Vec<f32>)) {
        self.network.visit(&mut |parameter| parameter.memory().into_iter().for_each(&mut *seen));
        self.network.modules.iter_mut().for_each(|module| module.visit_statistics(seen));
    }

    /// All numbers that the fit goes on from, those of the best state last.
    pub(crate) fn memory(&mut self) -> Vec<f32> {
        let mut all = Vec::new();
        self.visit_memory(&mut |values| all.extend_from_slice(values));
        all.extend_from_slice(&self.best);
        all
    }

    /// Goes on from where a fit stood; `false` if the numbers are not as many.
    pub(crate) fn restore(&mut self, course: Course, memory: &[f32]) -> bool {
        let mut rest = Some(memory);
        self.visit_memory(&mut |values| {
            rest = rest.and_then(|rest| rest.split_at_checked(values.len())).map(|(own, others)| {
                values.copy_from_slice(own);
                others
            });
        });
        let Some(best) = rest else { return false };
        if !best.is_empty() && best.len() != self.network.values().len() {
            return false;
        }
        self.best = best.to_vec();
        self.course = course;
        true
    }
}

/// The ranks of an epoch's examples in random order: all of them, or with one output of two classes as many of each, so
/// many as the rarer has.
fn draw(dataset: &Dataset, rng: &mut Xoshiro256PlusPlus) -> Vec<u32> {
    let mut all: Vec<u32> = (0..dataset.len() as u32).collect();
    shuffle(&mut all, rng);
    if dataset.kind == TargetKind::Binary && dataset.outputs == 1 {
        let target = |rank: u32| dataset.targets[rank as usize];
        let (positives, negatives): (Vec<u32>, Vec<u32>) =
            all.iter().filter(|&&rank| !target(rank).is_nan()).partition(|&&rank| target(rank) > 0.5);
        all = positives.into_iter().zip(negatives).flat_map(|(a, b)| [a, b]).collect();
    }
    all
}

/// Lets the outputs begin at the logits of the classes' frequencies, so that the first steps are not spent on them.
fn set_base_rates(network: &mut Network, dataset: &Dataset) {
    for (output, bias) in network.output.bias.values.iter_mut().enumerate() {
        let column = dataset.target_column(output);
        let (positives, all) = column
            .iter()
            .filter(|target| !target.is_nan())
            .fold((1.0f32, 2.0f32), |(positives, all), target| (positives + target, all + 1.0));
        // With one output the classes come equally often.
        let share = if dataset.outputs == 1 { 0.5 } else { positives / all };
        *bias = (share / (1.0 - share)).ln();
    }
}

/// The mean loss over the known targets of a batch, and its gradient.
fn loss(dataset: &Dataset, batch: &[u32], mut outputs: Tensor) -> (f64, Tensor) {
    let width = dataset.outputs;
    let targets = || batch.iter().flat_map(|&rank| &dataset.targets[rank as usize * width..][..width]);
    let known = targets().filter(|target| !target.is_nan()).count().max(1) as f32;
    let mut loss = 0.0;
    for (y, &target) in outputs.values.iter_mut().zip(targets()) {
        if target.is_nan() {
            *y = 0.0;
            continue;
        }
        let slope = match dataset.kind {
            TargetKind::Binary => {
                // ln(1 + e^y) - target y, without overflow.
                loss += f64::from(y.max(0.0) - target * *y + (-y.abs()).exp().ln_1p());
                1.0 / (1.0 + (-*y).exp()) - target
            }
            TargetKind::Real => {
                loss += f64::from(*y - target).powi(2) / 2.0;
                *y - target
            }
        };
        *y = slope / known;
    }
    (loss / f64::from(known), outputs)
}

/// Scores of all sequences, `[sequence * outputs + output]`: with [`Strands::Both`] the better strand's.
pub(crate) fn scores(network: &mut Network, dataset: &Dataset, strands: Strands) -> Vec<f32> {
    let mut all = Vec::with_capacity(dataset.len() * network.outputs());
    let (mut codes, mut reversed) = (Vec::new(), Vec::new());
    for part in dataset.sequences.chunks(SCORED_TOGETHER) {
        codes.clear();
        part.iter().for_each(|sequence| codes.extend_from_slice(sequence));
        let mut scores = network.scores(&codes, part.len());
        if strands == Strands::Both {
            reversed.clear();
            part.iter().for_each(|sequence| reverse_complement_into(sequence, &mut reversed));
            let others = network.scores(&reversed, part.len());
            scores.iter_mut().zip(others).for_each(|(score, other)| *score = score.max(other));
        }
        all.extend(scores);
    }
    all
}
