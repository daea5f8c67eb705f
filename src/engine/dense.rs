//! The dense engine: convolutional networks of any kind, scored for every window of a stretch at once.
//!
//! A network whose layers slide along the sequence computes the same numbers for windows that overlap. Its dense graph
//! ([`model::onnx::dense`](crate::model::onnx::dense)) computes each of them once, and here are the loops that run it. Where
//! windows lie so far apart that they share little, each is computed by itself, from the positions that belong to it; the sums
//! are the same to the bit.
//!
//! A convolution of a tensor is a product of matrices: for six positions and up to 64 channels at a time, sums stay in
//! registers while weights stream from the cache, so that the multipliers are always busy. The first convolution looks products
//! up, since a base is one of six columns.

use std::sync::Arc;

use crate::engine::kernel::simd::Simd;
use crate::engine::stretch::{not_a_number, oriented, other_length, past_ends};
use crate::engine::{Engine, Sharing};
use crate::model::onnx::dense::program::{Kind, Operation, Program};
use crate::model::onnx::dense::rewrite;
use crate::model::onnx::shared::share;
use crate::model::onnx::unpad::{Unpadded, unpad};
use crate::model::{Input, Model, ModelSpec};
use crate::scores::Scores;
use crate::seq::chunk::Chunk;
use crate::seq::contig::Strand;
use crate::seq::window::{Context, WindowPlan};
use crate::{Error, Result};

mod layers;
mod packed;
mod run;

use packed::Packed;
use run::{Buffers, Positions};

/// Numbers of the widest tensor of a stretch, about: what the second-level cache holds.
const STRETCH: usize = 1 << 17;
/// Window starts of a stretch for each base of a window, at least: stretches overlap by a window.
const WINDOWS: usize = 4;
/// The code for a base past a contig's end, where a network pads with zeros.
const NOTHING: u8 = 5;
/// Part of the cost of the dense graph that another way to score the windows must not exceed to be better. Products cost ONNX
/// Runtime twice as much.
const CHEAPER: f64 = 0.25;

/// Weights of a layer with more of which ONNX Runtime is faster: they come from memory again and again.
const HEAVY: usize = 1 << 22;

/// Scores windows of a convolutional network.
#[derive(Debug)]
pub struct DenseEngine {
    model: Arc<Model>,
    simd: Simd,
    compiled: Arc<Compiled>,
    buffers: Buffers,
    sharing: Sharing,
    codes: Vec<u8>,
    reversed: Vec<u8>,
}

/// The program for windows of one length.
#[derive(Debug)]
struct Compiled {
    window: usize,
    context: Context,
    /// Bases that are seen before and behind a window.
    left: usize,
    right: usize,
    packed: Packed,
    /// Operations for each window start of a stretch, and for a window by itself.
    cost: f64,
    window_cost: f64,
    widest: usize,
    /// Most weights of a layer.
    heaviest: usize,
}

impl Compiled {
    /// # Errors
    /// Why windows cannot share what is computed, or only by another engine.
    fn new(model: &Model, window: usize, context: Context) -> Result<Compiled, String> {
        let Model { graph, input, output, .. } = model;
        if model.network.as_ref().is_ok_and(|network| network.padding.left + network.padding.right > 0) {
            return Err("it pads windows with N".into());
        }
        let (rewritten, left, right) = match context {
            Context::Padding => (rewrite(graph, input, output, window)?, 0, 0),
            Context::Flank => {
                let Unpadded { graph, left, right } = unpad(graph, input, output, window)?;
                let length = left + window + right;
                let input = Input { length: input.length.map(|_| length), ..input.clone() };
                (rewrite(&graph, &input, output, length)?, left, right)
            }
        };
        let program = Program::new(&rewritten)?;
        let weights = |operation: &Operation| match &operation.kind {
            Kind::Convolution { weights, .. } => weights.len(),
            _ => 0,
        };
        let heaviest = program.operations.iter().map(weights).max().unwrap_or(0);
        let packed = Packed::new(&program);
        let (cost, window_cost, widest) = (rewritten.cost, rewritten.window_cost, rewritten.widest);
        Ok(Compiled { window, context, left, right, packed, cost, window_cost, widest, heaviest })
    }

    fn is_for(&self, plan: &WindowPlan) -> bool {
        (self.window, self.context) == (plan.window, plan.context)
    }

    /// True if a stretch of windows costs less than each by itself.
    fn shares(&self, plan: &WindowPlan) -> bool {
        plan.stride as f64 * self.cost <= self.window_cost
    }
}

impl DenseEngine {
    /// Prepares a model for windows of `plan`; others are prepared when they are asked for.
    ///
    /// # Errors
    /// A network with padding at the window's ends, recurrent layers, or operators that only ONNX Runtime runs; a window that
    /// the model cannot take.
    pub fn new(model: &Model, plan: &WindowPlan, simd: Simd) -> Result<DenseEngine> {
        let model = Arc::new(model.clone());
        let compiled = Arc::new(compile(&model, plan)?);
        Ok(DenseEngine::from_parts(model, simd, compiled))
    }

    fn from_parts(model: Arc<Model>, simd: Simd, compiled: Arc<Compiled>) -> DenseEngine {
        let (codes, reversed) = (Vec::new(), Vec::new());
        let (buffers, sharing) = (Buffers::default(), Sharing::Nothing);
        DenseEngine { model, simd, compiled, buffers, sharing, codes, reversed }
    }

    /// True if ONNX Runtime is not known to score the windows of `plan` faster.
    pub(super) fn is_best_for(&self, plan: &WindowPlan) -> bool {
        let Compiled { cost, heaviest, .. } = *self.compiled;
        if !self.compiled.shares(plan) || heaviest > HEAVY {
            return false;
        }
        if plan.context == Context::Flank || plan.stride >= plan.window {
            return true;
        }
        let Model { graph, input, output, .. } = &*self.model;
        let shared = share(graph, input, output, plan.window, plan.stride);
        let stride = plan.stride as f64;
        shared.map_or(true, |shared| shared.base_cost * stride + shared.cost > CHEAPER * cost * stride)
    }

    /// Scores the windows of one strand.
    fn fill(&mut self, chunk: &Chunk, plan: &WindowPlan, strand: Strand, out: &mut Scores) -> Result<()> {
        let compiled = Arc::clone(&self.compiled);
        let Compiled { left, right, packed, widest, .. } = &*compiled;
        let (before, length) =
            (if strand == Strand::Forward { *left } else { *right }, left + plan.window + right);
        let (positions, most) = if compiled.shares(plan) {
            let starts = (STRETCH / widest).max(WINDOWS * length);
            (Positions::All, starts.div_ceil(plan.stride))
        } else {
            (Positions::OfWindow, 1)
        };
        self.sharing = if positions == Positions::All { Sharing::Everything } else { Sharing::Nothing };
        let (first, windows, outputs) = (out.start, out.windows, out.outputs);
        for begin in (0..windows).step_by(most) {
            let count = most.min(windows - begin);
            let starts = (count - 1) * plan.stride + 1;
            let start = (first + (begin * plan.stride) as u64) as i64 - before as i64;
            self.run(&compiled, chunk, start, starts + length - 1, strand, positions);
            let target = if strand == Strand::Forward { &mut out.forward } else { &mut out.reverse };
            for output in 0..outputs {
                for window in 0..count {
                    let place = window * plan.stride;
                    let place = if strand == Strand::Forward { place } else { starts - 1 - place };
                    let score = self.buffers.score(packed, output, place).unwrap_or(f32::NAN);
                    if score.is_nan() {
                        let start = first + ((begin + window) * plan.stride) as u64;
                        return Err(not_a_number(&self.model.spec.name, chunk, start, plan, strand));
                    }
                    target[output * windows + begin + window] = score;
                }
            }
        }
        Ok(())
    }

    /// Runs the program on so many bases from contig position `start` on, as `strand` reads them.
    fn run(
        &mut self,
        compiled: &Compiled,
        chunk: &Chunk,
        start: i64,
        bases: usize,
        strand: Strand,
        positions: Positions,
    ) {
        self.codes.clear();
        chunk.codes_at(start, bases, &mut self.codes);
        let codes = oriented(&mut self.codes, strand, self.model.input.channels, &mut self.reversed);
        if compiled.context == Context::Flank {
            let (first, last) = past_ends(chunk, start, bases, strand);
            codes[..first].fill(NOTHING);
            codes[bases - last..].fill(NOTHING);
        }
        self.buffers.run(&compiled.packed, codes, positions, self.simd);
    }
}

/// # Errors
/// As [`DenseEngine::new`].
fn compile(model: &Model, plan: &WindowPlan) -> Result<Compiled> {
    let name = &model.spec.name;
    if let Some(length) = model.input.length.filter(|&length| length != plan.window) {
        return Err(other_length(name, length, plan));
    }
    Compiled::new(model, plan.window, plan.context).map_err(|reason| {
        Error::model(name, format!("the dense engine cannot run it: {reason}; use --engine onnx"))
    })
}

impl Clone for DenseEngine {
    /// An engine with the same weights and buffers of its own.
    fn clone(&self) -> Self {
        DenseEngine::from_parts(Arc::clone(&self.model), self.simd, Arc::clone(&self.compiled))
    }
}

impl Engine for DenseEngine {
    fn spec(&self) -> &ModelSpec {
        &self.model.spec
    }

    fn description(&self) -> String {
        format!("dense/{}", self.simd.name())
    }

    fn flanks(&self, plan: &WindowPlan) -> (usize, usize) {
        let flanks = match plan.context {
            Context::Padding => (0, 0),
            Context::Flank if self.compiled.is_for(plan) => (self.compiled.left, self.compiled.right),
            Context::Flank => Compiled::new(&self.model, plan.window, plan.context)
                .map_or((0, 0), |compiled| (compiled.left, compiled.right)),
        };
        // The reverse strand sees them mirrored.
        (flanks.0.max(flanks.1), flanks.0.max(flanks.1))
    }

    fn sharing(&self) -> Sharing {
        self.sharing
    }

    fn score(&mut self, chunk: &Chunk, plan: &WindowPlan, out: &mut Scores) -> Result<()> {
        if !self.compiled.is_for(plan) {
            self.compiled = Arc::new(compile(&self.model, plan)?);
        }
        out.reset(chunk, plan, self.model.spec.outputs.len());
        for (wanted, strand) in
            [(plan.strands.forward(), Strand::Forward), (plan.strands.reverse(), Strand::Reverse)]
        {
            if wanted {
                self.fill(chunk, plan, strand, out)?;
            }
        }
        Ok(())
    }
}
