//! Cores of sites: the bases that carry the score of a window.
//!
//! Each base that the score of a window depends on has a contribution to it: the bases of the window, and where the model
//! sees them, those of its flanks ([`Context::Flank`]). A core may therefore lie partly beside its window. It never leaves
//! the segment that is scanned. The core is the stretch whose contributions stand out, and the
//! summit is the centre of gravity of the core. Contributions come from the model:
//!
//! - A motif matrix is as long as its window: the window is the core.
//! - In a network of the DeepBind family, the score is a sum over bases as long as the same alignments win and the same
//!   hidden units are active. A base contributes what it adds in that sum, compared with an N in its place
//!   ([`Contributions`]). One pass over the window finds all contributions.
//! - For any other network, a base contributes what substitutions of it take from the score, on average
//!   ([`substitutions`]), as in a mutation map.

use std::sync::Arc;

use crate::Result;
use crate::engine::Engine;
use crate::engine::scanner::Scanner;
use crate::model::{Dense, Model, Network};
use crate::scores::{Hit, Scores};
use crate::seq::alphabet::{N, ONE_HOT, reverse_complement};
use crate::seq::chunk::Chunk;
use crate::seq::contig::Strand;
use crate::seq::window::{Context, StrandChoice, WindowPlan};

/// The bases that carry the score of a window, as distances from the first base of the window; negative before it.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct Core {
    /// First base of the core.
    pub start: i32,
    /// End of the core: the base behind its last one.
    pub end: i32,
    /// The base at the centre of the core.
    pub summit: i32,
}

/// Number of the largest contributions whose mean is the scale of a core.
const LARGEST: usize = 5;

/// Share of that scale that a base of the core contributes, on balance. It was set with ChIP-exo summits on the
/// even-numbered yeast chromosomes.
const SHARE: f64 = 0.3;

impl Core {
    /// The whole window, with its middle as the summit.
    pub fn whole(window: u64) -> Core {
        let window = window.min(i32::MAX as u64) as i32;
        Core { start: 0, end: window, summit: window / 2 }
    }

    /// The core among bases that make these contributions: the stretch with the largest sum of contributions, each less a
    /// share of the largest ones. `None` without any contribution.
    pub fn of(contributions: &[f64]) -> Option<Core> {
        let mut largest = [0.0f64; LARGEST];
        for &contribution in contributions {
            let rank = largest.partition_point(|&other| other >= contribution);
            if rank < LARGEST {
                largest[rank..].rotate_right(1);
                largest[rank] = contribution;
            }
        }
        let scale = largest.iter().sum::<f64>() / LARGEST.min(contributions.len()).max(1) as f64;
        if scale <= 0.0 || !scale.is_finite() {
            return None;
        }
        let (mut best, mut core) = (0.0, 0..0);
        let (mut sum, mut from) = (0.0, 0);
        for (at, contribution) in contributions.iter().enumerate() {
            if sum <= 0.0 {
                (sum, from) = (0.0, at);
            }
            sum += contribution - SHARE * scale;
            if sum > best {
                (best, core) = (sum, from..at + 1);
            }
        }
        let gains = || core.clone().map(|at| (at, contributions[at].max(0.0)));
        let total: f64 = gains().map(|(_, gain)| gain).sum();
        let moment: f64 = gains().map(|(at, gain)| at as f64 * gain).sum();
        let summit = (moment / total).round();
        Some(Core { start: core.start as i32, end: core.end as i32, summit: summit as i32 })
    }

    /// The same core seen from the other strand of so many bases.
    pub fn reversed(self, length: i32) -> Core {
        Core { start: length - self.end, end: length - self.start, summit: length - 1 - self.summit }
    }

    /// The same core as distances from a base that lies `by` bases before the one that they were counted from.
    pub fn moved(self, by: i32) -> Core {
        Core { start: self.start + by, end: self.end + by, summit: self.summit + by }
    }

    /// The contig position of its first base, for a window that starts here.
    pub fn start_in(self, window_start: u64) -> u64 {
        window_start.saturating_add_signed(self.start.into())
    }

    /// The contig position of its end, for a window that starts here.
    pub fn end_in(self, window_start: u64) -> u64 {
        window_start.saturating_add_signed(self.end.into())
    }

    /// The contig position of its summit, for a window that starts here.
    pub fn summit_in(self, window_start: u64) -> u64 {
        window_start.saturating_add_signed(self.summit.into())
    }

    /// Distance of the summit from the middle of the window.
    pub fn off_centre(self, window: u64) -> u64 {
        i64::from(self.summit).abs_diff(window as i64 / 2)
    }
}

/// Method by which the cores of a model's sites are found.
#[derive(Debug, Clone)]
pub enum CoreSource {
    /// The window is the core.
    Window,
    /// By the contributions of the filters.
    Contributions(Arc<Contributions>),
    /// By substitutions.
    Substitutions,
}

impl CoreSource {
    /// The source that suits a model on windows of this length. It does not depend on the engine.
    pub fn of(model: &Model, window: usize) -> CoreSource {
        match &model.network {
            Ok(network) if network.is_matrix(window) => CoreSource::Window,
            Ok(network) => CoreSource::Contributions(Arc::new(Contributions::new(network))),
            Err(_) => CoreSource::Substitutions,
        }
    }
}

/// A hit, and where in its window the score comes from.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct Located {
    /// The hit.
    pub hit: Hit,
    /// Its core.
    pub core: Core,
}

impl Located {
    /// A key that sorts sites by the start of their windows.
    pub fn place(&self) -> (u64, usize) {
        (self.hit.start, self.hit.target)
    }
}

/// Finds cores, with scratch memory of its own.
#[derive(Debug, Default)]
pub struct Locator {
    scratch: Scratch,
}

impl Locator {
    /// The core of a hit in `chunk`, whose score is this output of `scanner`.
    ///
    /// # Errors
    /// A failure of the engine that scores substitutions.
    pub fn core(
        &mut self,
        source: &CoreSource,
        scanner: &mut dyn Scanner,
        output: usize,
        chunk: &Chunk,
        hit: &Hit,
    ) -> Result<Core> {
        let plan = *scanner.plan(output);
        let whole = || Ok(Core::whole(plan.window as u64));
        match source {
            CoreSource::Window => whole(),
            CoreSource::Contributions(contributions) => {
                Ok(contributions.core(output, chunk, hit, &plan, &mut self.scratch))
            }
            CoreSource::Substitutions => match scanner.engine() {
                Some(engine) => substitutions(engine, output, chunk, hit, &plan),
                None => whole(),
            },
        }
    }
}

/// Codes of [`Contributions`]: bases, N, and what the network pads with.
const CODES: usize = 6;
const PAD: u8 = N + 1;

/// Finds what each base contributes to a score of a network of the DeepBind family.
#[derive(Debug)]
pub struct Contributions {
    filters: usize,
    length: usize,
    /// Contribution of a code to the activation of each filter: `columns[(j * CODES + code) * filters + filter]`.
    columns: Vec<f32>,
    /// Contribution of a base less the mean of the four bases', in the same order.
    gains: Vec<f32>,
    biases: Vec<f32>,
    rectify: bool,
    has_max: bool,
    has_average: bool,
    padding: [usize; 2],
    hidden: Option<Hidden>,
    output: Dense,
}

/// A hidden layer.
#[derive(Debug)]
struct Hidden {
    layer: Dense,
    /// The weights, all units of a feature together.
    by_feature: Vec<f32>,
}

impl Hidden {
    fn new(layer: &Dense) -> Hidden {
        let of_feature = |feature| layer.weights.iter().skip(feature).step_by(layer.inputs).copied();
        Hidden { by_feature: (0..layer.inputs).flat_map(of_feature).collect(), layer: layer.clone() }
    }

    /// Puts the sums of the units, before they are rectified, into `sums`.
    fn sums(&self, features: impl Iterator<Item = f32>, sums: &mut Vec<f32>) {
        sums.clear();
        sums.extend_from_slice(&self.layer.bias);
        let features = features.zip(self.by_feature.chunks_exact(self.layer.outputs));
        for (feature, weights) in features.filter(|(feature, _)| *feature != 0.0) {
            sums.iter_mut().zip(weights).for_each(|(sum, weight)| *sum += weight * feature);
        }
    }
}

/// Scratch memory of [`Contributions`].
#[derive(Debug, Default)]
pub struct Scratch {
    codes: Vec<u8>,
    activations: Vec<f32>,
    highest: Vec<f32>,
    winners: Vec<u32>,
    sums: Vec<f32>,
    units: Vec<f32>,
    slopes: Vec<f64>,
    contributions: Vec<f64>,
}

impl Contributions {
    /// Prepares to explain scores of a network.
    pub fn new(network: &Network) -> Contributions {
        let (filters, length) = (network.detectors, network.detector_length);
        let mut columns = vec![0.0; length * CODES * filters];
        let mut gains = columns.clone();
        let pad = [network.padding.value; 4];
        for j in 0..length {
            for filter in 0..filters {
                let weights: [f32; 4] =
                    std::array::from_fn(|channel| network.weights[(filter * 4 + channel) * length + j]);
                let mean = weights.iter().sum::<f32>() / 4.0;
                for code in 0..CODES {
                    let inputs = if code == usize::from(PAD) { pad } else { ONE_HOT[code] };
                    let sum: f32 = inputs.iter().zip(&weights).map(|(input, weight)| input * weight).sum();
                    let at = (j * CODES + code) * filters + filter;
                    columns[at] = sum;
                    gains[at] = if code < usize::from(N) { weights[code] - mean } else { 0.0 };
                }
            }
        }
        Contributions {
            filters,
            length,
            columns,
            gains,
            biases: network.thresholds.clone(),
            rectify: network.rectify,
            has_max: network.pooling.has_max(),
            has_average: network.pooling.has_average(),
            padding: [network.padding.left, network.padding.right],
            hidden: network.hidden.as_ref().map(Hidden::new),
            output: network.output.clone(),
        }
    }

    /// The core of a hit in `chunk`, whose score is this output.
    pub fn core(
        &self,
        output: usize,
        chunk: &Chunk,
        hit: &Hit,
        plan: &WindowPlan,
        scratch: &mut Scratch,
    ) -> Core {
        let reverse = hit.strand == Strand::Reverse;
        let [left, right] = self.padding;
        let before = if reverse { right } else { left };
        scratch.codes.clear();
        let frame = hit.start as i64 - before as i64;
        match plan.context {
            Context::Padding => {
                scratch.codes.resize(left, PAD);
                let from = scratch.codes.len();
                chunk.codes_at(hit.start as i64, plan.window, &mut scratch.codes);
                if reverse {
                    reverse_complement(&mut scratch.codes[from..]);
                }
                scratch.codes.resize(left + plan.window + right, PAD);
            }
            Context::Flank => {
                chunk.codes_at(frame, left + plan.window + right, &mut scratch.codes);
                if reverse {
                    reverse_complement(&mut scratch.codes);
                }
            }
        }
        if scratch.codes.len() < self.length {
            return Core::whole(plan.window as u64);
        }
        self.explain(output, scratch);
        if reverse {
            scratch.contributions.reverse();
        }
        within(&scratch.contributions, frame, chunk, hit, plan)
    }

    /// Puts what each of the codes contributes to an output into `scratch.contributions`.
    fn explain(&self, output: usize, scratch: &mut Scratch) {
        let Scratch { codes, activations, highest, winners, sums, units, slopes, contributions } = scratch;
        let places = codes.len() + 1 - self.length;
        let filters = self.filters;
        for (values, first) in [(&mut *highest, f32::NEG_INFINITY), (&mut *sums, 0.0)] {
            values.clear();
            values.resize(filters, first);
        }
        winners.clear();
        winners.resize(filters, 0);
        for place in 0..places {
            self.activate(&codes[place..], activations);
            if self.has_max {
                let best = highest.iter_mut().zip(winners.iter_mut()).zip(&*activations);
                for ((highest, winner), &activation) in best {
                    *winner = if activation > *highest { place as u32 } else { *winner };
                    *highest = if activation > *highest { activation } else { *highest };
                }
            }
            if self.has_average {
                let floor = if self.rectify { 0.0 } else { f32::MIN };
                sums.iter_mut()
                    .zip(&*activations)
                    .for_each(|(sum, &activation)| *sum += activation.max(floor));
            }
        }
        let inputs = self.output.inputs;
        let output = &self.output.weights[output * inputs..(output + 1) * inputs];
        self.slopes(output, places, (highest, sums), units, slopes);
        contributions.clear();
        contributions.resize(codes.len(), 0.0);
        let floor = if self.rectify { 0.0 } else { f32::NEG_INFINITY };
        if self.has_max {
            for filter in 0..filters {
                if slopes[filter] != 0.0 && highest[filter] > floor {
                    let place = winners[filter] as usize;
                    self.add(filter, slopes[filter], &codes[place..], &mut contributions[place..]);
                }
            }
        }
        if self.has_average {
            let slopes = &slopes[slopes.len() - filters..];
            for place in 0..places {
                self.activate(&codes[place..], activations);
                for filter in (0..filters).filter(|&filter| activations[filter] > floor) {
                    let slope = slopes[filter] / places as f64;
                    self.add(filter, slope, &codes[place..], &mut contributions[place..]);
                }
            }
        }
    }

    /// Puts the activations of all filters at the first of the codes into `activations`.
    fn activate(&self, codes: &[u8], activations: &mut Vec<f32>) {
        activations.clear();
        activations.extend_from_slice(&self.biases);
        for (j, &code) in codes[..self.length].iter().enumerate() {
            let from = (j * CODES + usize::from(code)) * self.filters;
            let column = &self.columns[from..from + self.filters];
            activations.iter_mut().zip(column).for_each(|(sum, weight)| *sum += weight);
        }
    }

    /// Puts into `slopes` by how much the score rises with each feature: with maxima, then with means. `output` has the
    /// weights of the output.
    fn slopes(
        &self,
        output: &[f32],
        places: usize,
        (highest, sums): (&[f32], &[f32]),
        units: &mut Vec<f32>,
        slopes: &mut Vec<f64>,
    ) {
        slopes.clear();
        let Some(hidden) = &self.hidden else {
            slopes.extend(output.iter().map(|&weight| f64::from(weight)));
            return;
        };
        let floor = if self.rectify { 0.0 } else { f32::MIN };
        let maxima = highest.iter().filter(|_| self.has_max).map(|&highest| highest.max(floor));
        let means = sums.iter().filter(|_| self.has_average).map(|&sum| sum / places as f32);
        hidden.sums(maxima.chain(means), units);
        let Dense { inputs, weights, .. } = &hidden.layer;
        slopes.resize(*inputs, 0.0);
        let active = weights.chunks_exact(*inputs).zip(output).zip(&*units).filter(|(_, sum)| **sum > 0.0);
        for ((row, &weight), _) in active {
            let weight = f64::from(weight);
            slopes.iter_mut().zip(row).for_each(|(slope, &own)| *slope += weight * f64::from(own));
        }
    }

    /// Adds what bases contribute through one filter that is aligned with the first of the codes.
    fn add(&self, filter: usize, slope: f64, codes: &[u8], contributions: &mut [f64]) {
        let of_codes = codes[..self.length].iter().zip(contributions).enumerate();
        for (j, (&code, contribution)) in of_codes {
            let gain = self.gains[(j * CODES + usize::from(code)) * self.filters + filter];
            *contribution += slope * f64::from(gain);
        }
    }
}

/// The core of a hit among bases from contig position `frame` on that make these contributions: those of its window, and
/// those of its flanks if the model sees them, as far as they lie in the segment. A window without any contribution is its
/// own core.
fn within(contributions: &[f64], frame: i64, chunk: &Chunk, hit: &Hit, plan: &WindowPlan) -> Core {
    let window = hit.start as i64..hit.start as i64 + plan.window as i64;
    let seen = match plan.context {
        Context::Padding => window,
        Context::Flank => {
            let end = i64::try_from(chunk.segment_end).unwrap_or(i64::MAX);
            let segment = chunk.segment_start as i64..end.max(window.end);
            frame.max(segment.start)..(frame + contributions.len() as i64).min(segment.end)
        }
    };
    let core = Core::of(&contributions[(seen.start - frame) as usize..(seen.end - frame) as usize]);
    core.map_or_else(
        || Core::whole(plan.window as u64),
        |core| core.moved((seen.start - hit.start as i64) as i32),
    )
}

/// Variants of a window that are scored together.
const TOGETHER: usize = 1024;

/// Finds the core of a hit in `chunk` by scoring all substitutions of the bases that its score depends on with an engine of
/// its model.
///
/// # Errors
/// A failure of the engine.
pub fn substitutions(
    engine: &mut dyn Engine,
    output: usize,
    chunk: &Chunk,
    hit: &Hit,
    plan: &WindowPlan,
) -> Result<Core> {
    let strands = match hit.strand {
        Strand::Forward => StrandChoice::Forward,
        Strand::Reverse => StrandChoice::Reverse,
    };
    let (left, right) = engine.flanks(plan);
    let unit = left + plan.window + right;
    // Windows lie one behind the other, each with its own flanks, and start at multiples of the stride.
    let plan = WindowPlan { stride: unit, strands, ..*plan };
    let mut codes = Vec::with_capacity(unit);
    chunk.codes_at(hit.start as i64 - left as i64, unit, &mut codes);
    let changed = match plan.context {
        Context::Padding => left..left + plan.window,
        Context::Flank => 0..unit,
    };
    let changes: Vec<(usize, u8)> = changed
        .flat_map(|at| (0..N).map(move |base| (at, base)))
        .filter(|&(at, base)| codes[at] != base)
        .collect();
    let mut totals = vec![(0.0, 0u32); unit];
    let mut scores = Scores::default();
    for changes in changes.chunks(TOGETHER) {
        let mut variants = Chunk::whole("variants", codes.repeat(changes.len()));
        for (variant, &(at, base)) in changes.iter().enumerate() {
            variants.codes[variant * unit + at] = base;
        }
        variants.start = (unit - left) as u64;
        variants.own = unit as u64..((changes.len() + 1) * unit) as u64;
        variants.end = (changes.len() * unit + plan.window) as u64;
        engine.score(&variants, &plan, &mut scores)?;
        let of_strand = if scores.forward.is_empty() { &scores.reverse } else { &scores.forward };
        let row = &of_strand[output * scores.windows..(output + 1) * scores.windows];
        for (&(at, _), &score) in changes.iter().zip(row) {
            let (sum, count) = &mut totals[at];
            *sum += f64::from(score);
            *count += 1;
        }
    }
    let score = f64::from(hit.score);
    let loss = |&(sum, count): &(f64, u32)| if count > 0 { score - sum / f64::from(count) } else { 0.0 };
    let losses: Vec<f64> = totals.iter().map(loss).collect();
    Ok(within(&losses, hit.start as i64 - left as i64, chunk, hit, &plan))
}
