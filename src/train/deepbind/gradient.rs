//! Loss and gradient of a batch.
//!
//! The batch goes through the network block by block of sixteen filters, so that the tables of a block stay in the
//! nearest cache for all its sequences.

use crate::model::{Network, Strands};
use crate::simd;
use crate::simd::{Lanes, Task, WIDTH};
use crate::train::deepbind::convolution;
use crate::train::deepbind::convolution::{NOWHERE, Pooled, Table};
use crate::train::deepbind::kmer_index::{ENTRIES, Triplets, groups};
use crate::train::deepbind::parameters::{Architecture, Layout};
use crate::{Error, Result};

/// Loss, as the mean over a batch's targets; missing targets (NaN) do not count.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Loss {
    /// Of a score s and a label y: `ln(1 + exp(s)) - y s`.
    Logistic,
    /// Of a score s and a target y: `(s - y)²`.
    Squared,
}

impl Loss {
    /// Loss of a score, and its derivative.
    #[inline(always)]
    fn of(self, score: f32, target: f32) -> (f64, f32) {
        match self {
            Loss::Logistic => {
                // exp(-|s|) never overflows.
                let e = (-score.abs()).exp();
                let probability = if score >= 0.0 { 1.0 / (1.0 + e) } else { e / (1.0 + e) };
                (f64::from(score.max(0.0) + e.ln_1p() - target * score), probability - target)
            }
            Loss::Squared => {
                let error = score - target;
                (f64::from(error * error), 2.0 * error)
            }
        }
    }
}

/// Loss of `network` on sequences (codes) with `targets[sequence * outputs + output]`, and its gradient in the shape
/// of the network. With [`Strands::Both`] an output's score is the greater of those of the two strands, and the
/// gradient goes through that strand; with [`Strands::Symmetric`] the layers after the pool see every feature summed
/// over both strands ([`crate::train::deepbind::rc_tied`]).
///
/// # Errors
/// A network that cannot be fitted (zero padding, unrectified filters, a logistic output), and sequences on which
/// no filter can be placed.
pub fn loss_and_gradient(
    network: &Network,
    strands: Strands,
    loss: Loss,
    sequences: &[Vec<u8>],
    targets: &[f32],
) -> Result<(f64, Network)> {
    let error = |message: String| Error::model("to be fitted", message);
    network.check().map_err(error)?;
    let architecture = Architecture::from_network(network, strands).map_err(error)?;
    if targets.len() != sequences.len() * architecture.outputs {
        return Err(Error::Mismatch(format!("{} targets for {} sequences", targets.len(), sequences.len())));
    }
    if sequences.iter().any(|codes| network.alignments(codes.len()) == 0) {
        return Err(Error::Data("a sequence is shorter than the filters".into()));
    }
    let layout = Layout::new(architecture);
    let parameters = layout.parameters(network);
    let triplets = index(sequences, &architecture);
    let mut workspace = Workspace::new(&layout, sequences.len());
    let mut gradient = vec![Lanes::ZERO; layout.size()];
    let batch: Vec<u32> = (0..sequences.len() as u32).collect();
    let loss = simd::run(Gradient {
        layout: &layout,
        parameters: &parameters,
        triplets: &triplets,
        batch: &batch,
        targets,
        loss,
        masks: &[],
        workspace: &mut workspace,
        gradient: &mut gradient,
    });
    Ok((loss, layout.network(&gradient)))
}

/// The rows of `sequences` for a network of this shape.
pub(crate) fn index(sequences: &[Vec<u8>], architecture: &Architecture) -> Triplets {
    let padding = architecture.padding();
    let both = architecture.strands != Strands::Single;
    Triplets::new(sequences.iter().map(Vec::as_slice), architecture.filter_length, padding.left, both)
}

/// Memory that batches reuse.
#[derive(Debug)]
pub(crate) struct Workspace {
    /// Tables of one block.
    tables: Vec<Table>,
    /// Their gradients.
    table_gradients: Vec<Table>,
    /// Pooled features, `[example][strand][vector]`; their gradients take the same places afterwards.
    features: Vec<Lanes>,
    /// Positions of the maxima, `[example][strand][block]`.
    at: Vec<[u32; WIDTH]>,
    /// Hidden units of both strands.
    hidden: Vec<Lanes>,
    /// Outputs of both strands.
    scores: Vec<f32>,
}

impl Workspace {
    /// For batches of up to `examples`.
    pub(crate) fn new(layout: &Layout, examples: usize) -> Workspace {
        let groups = groups(layout.architecture.filter_length);
        let rows = 2 * examples;
        Workspace {
            tables: vec![[Lanes::ZERO; ENTRIES]; groups],
            table_gradients: vec![[Lanes::ZERO; ENTRIES]; groups],
            features: vec![Lanes::ZERO; rows * layout.features],
            at: vec![[NOWHERE; WIDTH]; rows * layout.blocks],
            hidden: vec![Lanes::ZERO; 2 * layout.hidden],
            scores: vec![0.0; 2 * layout.architecture.outputs],
        }
    }
}

/// Computes the loss and the gradient of a batch, the gradient being overwritten.
pub(crate) struct Gradient<'a> {
    pub(crate) layout: &'a Layout,
    pub(crate) parameters: &'a [Lanes],
    pub(crate) triplets: &'a Triplets,
    /// Sequences, by rank.
    pub(crate) batch: &'a [u32],
    /// Targets of all sequences.
    pub(crate) targets: &'a [f32],
    pub(crate) loss: Loss,
    /// Factors on the inputs of the output layer, `[example][vector]`: 0 where dropped. None at all for no dropout.
    pub(crate) masks: &'a [Lanes],
    pub(crate) workspace: &'a mut Workspace,
    pub(crate) gradient: &'a mut [Lanes],
}

impl Task for Gradient<'_> {
    type Output = f64;

    #[inline(always)]
    fn run(mut self) -> f64 {
        self.gradient.fill(Lanes::ZERO);
        pool(self.layout, self.parameters, self.triplets, self.batch, self.workspace);
        let loss = self.dense();
        self.convolution();
        loss
    }
}

impl Gradient<'_> {
    /// The layers after the pool, forward and backward; leaves the gradient of the features in their place.
    #[inline(always)]
    fn dense(&mut self) -> f64 {
        let outputs = self.layout.architecture.outputs;
        let of = |&i: &u32| &self.targets[i as usize * outputs..(i as usize + 1) * outputs];
        let observed = self.batch.iter().flat_map(of).filter(|target| !target.is_nan()).count();
        let share = 1.0 / observed.max(1) as f32;
        let mut total = 0.0;
        for (example, i) in self.batch.iter().enumerate() {
            total += self.example(example, of(i), share);
        }
        total * f64::from(share)
    }

    #[inline(always)]
    fn example(&mut self, example: usize, targets: &[f32], share: f32) -> f64 {
        if self.layout.architecture.strands == Strands::Symmetric {
            return self.symmetric_example(example, targets, share);
        }
        let (layout, strands) = (self.layout, self.triplets.strands());
        let inputs = layout.inputs();
        let Workspace { features, hidden, scores, .. } = &mut *self.workspace;
        let features = &mut features[example * strands * layout.features..][..strands * layout.features];
        let mask = (!self.masks.is_empty()).then(|| &self.masks[example * inputs..(example + 1) * inputs]);
        forward(layout, self.parameters, features, mask, hidden, scores);

        let mut total = 0.0;
        let (forward, reverse) = scores.split_at_mut(targets.len());
        for (o, &target) in targets.iter().enumerate() {
            let reversed = strands == 2 && reverse[o] > forward[o];
            let score = if reversed { reverse[o] } else { forward[o] };
            let (loss, slope) = if target.is_nan() { (0.0, 0.0) } else { self.loss.of(score, target) };
            total += loss;
            (forward[o], reverse[o]) = if reversed { (0.0, slope * share) } else { (slope * share, 0.0) };
        }
        for (strand, features) in features.chunks_exact_mut(layout.features).enumerate() {
            let slopes = &scores[strand * targets.len()..(strand + 1) * targets.len()];
            let units = &mut hidden[strand * layout.hidden..(strand + 1) * layout.hidden];
            if slopes.iter().all(|&slope| slope == 0.0) {
                features.fill(Lanes::ZERO);
            } else {
                backward(layout, self.parameters, self.gradient, features, units, slopes, mask);
            }
        }
        total
    }

    /// As [`Gradient::example`], with the features of both strands summed; each strand gets the gradient of the sum.
    #[inline(always)]
    fn symmetric_example(&mut self, example: usize, targets: &[f32], share: f32) -> f64 {
        let (layout, inputs) = (self.layout, self.layout.inputs());
        let Workspace { features, hidden, scores, .. } = &mut *self.workspace;
        let features = &mut features[2 * example * layout.features..][..2 * layout.features];
        let mask = (!self.masks.is_empty()).then(|| &self.masks[example * inputs..(example + 1) * inputs]);
        let sums = sum_strands(layout, features);
        forward(layout, self.parameters, sums, mask, hidden, scores);

        let mut total = 0.0;
        let scores = &mut scores[..targets.len()];
        for (score, &target) in scores.iter_mut().zip(targets) {
            let (loss, slope) = if target.is_nan() { (0.0, 0.0) } else { self.loss.of(*score, target) };
            total += loss;
            *score = slope * share;
        }
        let units = &mut hidden[..layout.hidden];
        backward(layout, self.parameters, self.gradient, sums, units, scores, mask);
        features.copy_within(..layout.features, layout.features);
        total
    }

    /// From the gradient of the features to that of the filters.
    #[inline(always)]
    fn convolution(&mut self) {
        let (layout, strands) = (self.layout, self.triplets.strands());
        let pooling = layout.architecture.pooling;
        let workspace = &mut *self.workspace;
        for block in 0..layout.blocks {
            // With one block the tables are still those of the forward pass.
            if pooling.has_average() && layout.blocks > 1 {
                build(layout, self.parameters, block, &mut workspace.tables);
            }
            let Workspace { tables, table_gradients, features, at, .. } = &mut *workspace;
            table_gradients.fill([Lanes::ZERO; ENTRIES]);
            for (example, &i) in self.batch.iter().enumerate() {
                for strand in 0..strands {
                    let place = example * strands + strand;
                    let features = &features[place * layout.features..(place + 1) * layout.features];
                    let row = self.triplets.row(i as usize, strand);
                    if pooling.has_max() {
                        let at = &at[place * layout.blocks + block];
                        convolution::scatter_maximum(table_gradients, row, at, features[block]);
                    }
                    if pooling.has_average() {
                        let mean = features[layout.features - layout.blocks + block];
                        if mean != Lanes::ZERO {
                            let each = mean * Lanes::splat(1.0 / row.placements as f32);
                            convolution::scatter_sum(tables, table_gradients, row, each);
                        }
                    }
                }
            }
            let size = layout.block();
            let (weights, rest) = self.gradient.split_at_mut(layout.biases.start);
            let weights = &mut weights[block * size..(block + 1) * size];
            convolution::fold(table_gradients, weights, &mut rest[block]);
        }
    }
}

/// Adds the features of the reverse strand to those of the forward one, which are returned.
#[inline(always)]
fn sum_strands<'a>(layout: &Layout, features: &'a mut [Lanes]) -> &'a mut [Lanes] {
    let (forward, reverse) = features.split_at_mut(layout.features);
    forward.iter_mut().zip(reverse).for_each(|(sum, &mut other)| *sum += other);
    forward
}

/// Scores of sequences: with [`Strands::Both`] the better strand's, `[example][output]`, appended to `scores`.
pub(crate) struct Score<'a> {
    pub(crate) layout: &'a Layout,
    pub(crate) parameters: &'a [Lanes],
    pub(crate) triplets: &'a Triplets,
    /// Sequences, by rank; no more than the workspace is made for.
    pub(crate) batch: &'a [u32],
    pub(crate) workspace: &'a mut Workspace,
    pub(crate) scores: &'a mut Vec<f32>,
}

impl Task for Score<'_> {
    type Output = ();

    #[inline(always)]
    fn run(self) {
        let (layout, strands) = (self.layout, self.triplets.strands());
        pool(layout, self.parameters, self.triplets, self.batch, self.workspace);
        let Workspace { features, hidden, scores, .. } = self.workspace;
        let better = layout.architecture.strands == Strands::Both;
        for mut features in features.chunks_exact_mut(strands * layout.features).take(self.batch.len()) {
            if layout.architecture.strands == Strands::Symmetric {
                features = sum_strands(layout, features);
            }
            forward(layout, self.parameters, features, None, hidden, scores);
            let (forward, reverse) = scores.split_at(layout.architecture.outputs);
            self.scores.extend(forward.iter().zip(reverse).map(|(&f, &r)| if better { f.max(r) } else { f }));
        }
    }
}

#[inline(always)]
fn build(layout: &Layout, parameters: &[Lanes], block: usize, tables: &mut [Table]) {
    let size = layout.block();
    let bias = parameters[layout.biases.start + block];
    convolution::build(&parameters[block * size..(block + 1) * size], bias, tables);
}

/// Fills the pooled features of a batch.
#[inline(always)]
fn pool(
    layout: &Layout,
    parameters: &[Lanes],
    triplets: &Triplets,
    batch: &[u32],
    workspace: &mut Workspace,
) {
    let (pooling, strands) = (layout.architecture.pooling, triplets.strands());
    let Workspace { tables, features, at, .. } = workspace;
    for block in 0..layout.blocks {
        build(layout, parameters, block, tables);
        for (example, &i) in batch.iter().enumerate() {
            for strand in 0..strands {
                let place = example * strands + strand;
                let features = &mut features[place * layout.features..(place + 1) * layout.features];
                let row = triplets.row(i as usize, strand);
                let pooled: Pooled = if pooling.has_average() {
                    convolution::pool::<true>(tables, row)
                } else {
                    convolution::pool::<false>(tables, row)
                };
                if pooling.has_max() {
                    features[block] = pooled.maximum;
                    at[place * layout.blocks + block] = pooled.at;
                }
                if pooling.has_average() {
                    features[layout.features - layout.blocks + block] =
                        pooled.sum * Lanes::splat(1.0 / row.placements as f32);
                }
            }
        }
    }
}

/// The layers after the pool, for each strand. `mask` is applied to the inputs of the output layer, in place.
#[inline(always)]
fn forward(
    layout: &Layout,
    parameters: &[Lanes],
    features: &mut [Lanes],
    mask: Option<&[Lanes]>,
    hidden: &mut [Lanes],
    scores: &mut [f32],
) {
    let outputs = layout.architecture.outputs;
    for (strand, features) in features.chunks_exact_mut(layout.features).enumerate() {
        let inputs = if layout.hidden > 0 {
            let units = &mut hidden[strand * layout.hidden..(strand + 1) * layout.hidden];
            hidden_layer(layout, parameters, features, units);
            units
        } else {
            features
        };
        if let Some(mask) = mask {
            inputs.iter_mut().zip(mask).for_each(|(x, &m)| *x = *x * m);
        }
        let weights = &parameters[layout.output_weights.clone()];
        for o in 0..outputs {
            let mut sum = Lanes::ZERO;
            for (&x, &w) in inputs.iter().zip(&weights[o * inputs.len()..]) {
                sum += x * w;
            }
            let bias = parameters[layout.output_bias.start + o / WIDTH].0[o % WIDTH];
            scores[strand * outputs + o] = sum.sum() + bias;
        }
    }
}

#[inline(always)]
fn hidden_layer(layout: &Layout, parameters: &[Lanes], features: &[Lanes], units: &mut [Lanes]) {
    units.copy_from_slice(&parameters[layout.hidden_bias.clone()]);
    let weights = &parameters[layout.hidden_weights.clone()];
    for (x, weights) in features.iter().flat_map(|x| x.0).zip(weights.chunks_exact(layout.hidden)) {
        if x != 0.0 {
            for (unit, &weight) in units.iter_mut().zip(weights) {
                *unit += Lanes::splat(x) * weight;
            }
        }
    }
    units.iter_mut().for_each(|unit| *unit = unit.map(|x| if x > 0.0 { x } else { 0.0 }));
}

/// Adds the gradient of the layers after the pool for one strand, given the slopes of its outputs, and replaces the
/// features and hidden units by their gradients. A feature or unit that is 0 was not active or was dropped, and passes
/// nothing on.
#[inline(always)]
fn backward(
    layout: &Layout,
    parameters: &[Lanes],
    gradient: &mut [Lanes],
    features: &mut [Lanes],
    units: &mut [Lanes],
    slopes: &[f32],
    mask: Option<&[Lanes]>,
) {
    for (o, &slope) in slopes.iter().enumerate() {
        gradient[layout.output_bias.start + o / WIDTH].0[o % WIDTH] += slope;
    }
    let count = layout.inputs();
    // Gradient of input `i` of the output layer, before the mask; adds that of the weights on the way.
    let input = |gradient: &mut [Lanes], i: usize, x: Lanes| {
        let mut sum = Lanes::ZERO;
        for (o, &slope) in slopes.iter().enumerate() {
            let at = layout.output_weights.start + o * count + i;
            gradient[at] += x * Lanes::splat(slope);
            sum += parameters[at] * Lanes::splat(slope);
        }
        let sum = mask.map_or(sum, |mask| sum * mask[i]);
        sum.zip(x, |g, x| if x != 0.0 { g } else { 0.0 })
    };
    if layout.hidden == 0 {
        for (i, feature) in features.iter_mut().enumerate() {
            *feature = input(gradient, i, *feature);
        }
        return;
    }
    for (i, unit) in units.iter_mut().enumerate() {
        *unit = input(gradient, i, *unit);
        gradient[layout.hidden_bias.start + i] += *unit;
    }
    let at = layout.hidden_weights.start;
    for (i, x) in features.iter_mut().flat_map(|x| &mut x.0).enumerate().filter(|(_, x)| **x != 0.0) {
        let mut sum = Lanes::ZERO;
        for (h, &slope) in units.iter().enumerate() {
            let at = at + i * units.len() + h;
            gradient[at] += Lanes::splat(*x) * slope;
            sum += parameters[at] * slope;
        }
        *x = sum.sum();
    }
}
