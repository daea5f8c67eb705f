//! Scoring all windows of a stretch in one run: with a dense graph, or with one by which they share their first layers.

use super::{Batch, Failure, Form, OnnxEngine, TENSOR_VALUES, clear, expand, start_of};
use crate::engine::Device;
use crate::engine::stretch::oriented;
use crate::model::onnx::dense::Rewrite;
use crate::model::onnx::shared::{self, Shared};
use crate::model::onnx::{ModelProto, build};
use crate::model::{ACGT, Input, Layout, Model, ModelSpec};
use crate::scores::Scores;
use crate::seq::alphabet::N;
use crate::seq::chunk::Chunk;
use crate::seq::contig::Strand;
use crate::seq::window::{Context, WindowPlan};
use crate::{Error, Result};

/// Most window starts in a stretch on the processor.
const CPU_POSITIONS: usize = 8 << 10;
/// Window starts in every stretch on a GPU.
const CUDA_POSITIONS: usize = 64 << 10;
/// Fewest window starts that are computed: with fewer, ONNX Runtime adds up in another order.
const FEWEST_POSITIONS: usize = 128;
/// Most values of a tensor within the graph (16 MiB), unless windows are very long.
const STRETCH_VALUES: usize = 4 << 20;
/// Most windows on which a dense graph is checked, and fewest.
const CHECKED: (usize, usize) = (200, 20);
/// Windows that share layers in a run even where they are very long.
const LONG_WINDOWS: usize = 64;
/// Part of what they cost otherwise that windows may cost at most if they share layers.
const WORTH_SHARING: f64 = 0.8;
/// Part of the cost of a dense graph that windows may cost at most if they share layers by a graph with more nodes.
const WORTH_MORE_NODES: f64 = 0.5;
/// Bases that these windows have in all, if they are not fewer or more.
const CHECKED_BASES: usize = 20_000;

/// The dense model of an unpadded one, for windows of `window` bases.
pub(super) fn from_network(unpadded: &Model, window: usize) -> Model {
    let network = unpadded.network.as_ref().expect("an unpadded model was made from its network");
    from_graph(&unpadded.spec, build::dense::model(network, window), ACGT)
}

/// The model of a dense graph.
pub(super) fn from_graph(spec: &ModelSpec, graph: ModelProto, channels: [usize; 4]) -> Model {
    Model {
        spec: spec.clone(),
        input: Input {
            name: build::INPUT.into(),
            layout: Layout::ImageChannels,
            length: None,
            batch: None,
            channels,
        },
        output: build::OUTPUT.into(),
        graph,
        network: Err("it scores stretches, not windows".into()),
        digest: None,
        heads: vec![build::OUTPUT.into()],
        notes: Vec::new(),
        free_window: false,
        filed: None,
    }
}

/// The model of a graph by which the windows of `model` share layers.
pub(super) fn from_shared(model: &Model, graph: ModelProto) -> Model {
    let input = Input {
        name: shared::INPUT.into(),
        layout: Layout::ImageChannels,
        length: None,
        ..model.input.clone()
    };
    Model {
        input,
        graph,
        network: Err("it scores stretches, not windows".into()),
        filed: None,
        ..model.clone()
    }
}

impl OnnxEngine {
    /// The graph that scores the windows of `plan` together, if there is one and it pays. A run of a dense one computes
    /// every start, so with a long stride single windows cost less.
    pub(super) fn joint_form(&self, plan: &WindowPlan) -> Option<Form> {
        let Ok(network) = self.model().network.as_ref() else { return self.rewritten_form(plan) };
        let padded = network.padding.left + network.padding.right > 0;
        if padded && plan.context == Context::Padding {
            return self.shared_form(plan).map(|(form, _)| form);
        }
        let (_, length) = self.extent(plan, Strand::Forward);
        (plan.stride <= network.alignments(plan.window)).then_some(Form::Dense(length))
    }

    /// As [`joint_form`](OnnxEngine::joint_form), for a model that is not of the DeepBind family.
    fn rewritten_form(&self, plan: &WindowPlan) -> Option<Form> {
        let cost = |rewrite: &Rewrite| plan.stride as f64 * rewrite.cost;
        let pays = |rewrite: &Rewrite| cost(rewrite) <= rewrite.window_cost;
        if plan.context == Context::Padding {
            let rewrite = self.sessions.rewritten(plan.window);
            let dense = (*rewrite).as_ref().ok().filter(|rewrite| pays(rewrite));
            let dense = dense.map(|rewrite| (Form::Dense(plan.window), cost(rewrite)));
            let worth_it =
                |&(_, shared): &(Form, f64)| dense.is_none_or(|(_, cost)| shared <= WORTH_MORE_NODES * cost);
            let shared = self.shared_form(plan).filter(worth_it);
            return shared.or(dense).map(|(form, _)| form);
        }
        let flanked = self.sessions.with_flanks(plan.window).ok()?;
        flanked.rewrite.as_ref().is_ok_and(pays).then_some(Form::DenseFlanked(plan.window))
    }

    /// The graph by which windows share layers, if it pays, and its cost for each window.
    fn shared_form(&self, plan: &WindowPlan) -> Option<(Form, f64)> {
        // Windows that do not overlap have nothing to share.
        if plan.stride >= plan.window {
            return None;
        }
        let shared = self.sessions.shared(plan.window, plan.stride);
        let shared = (*shared).as_ref().ok()?;
        let beside = (plan.window - 1) as f64 / self.together(plan, shared) as f64;
        let cost = shared.base_cost * (plan.stride as f64 + beside) + shared.cost;
        let form = Form::Shared { window: plan.window, stride: plan.stride };
        (cost <= WORTH_SHARING * shared.window_cost).then_some((form, cost))
    }

    /// Windows that a run scores at most with a graph by which they share layers.
    fn together(&self, plan: &WindowPlan, shared: &Shared) -> usize {
        let (stretch, most) = match self.sessions.device {
            Device::Cpu => (STRETCH_VALUES, CPU_POSITIONS),
            Device::Cuda(_) => (4 * STRETCH_VALUES, CUDA_POSITIONS),
        };
        let of_stretch = (stretch / shared.widest).saturating_sub(plan.window) / plan.stride;
        of_stretch.max(LONG_WINDOWS).min(TENSOR_VALUES / shared.values).min(most).max(1)
    }

    /// Window starts in a stretch: most of them, and the fewest that are computed. A GPU always gets the same shape.
    fn positions(&self, plan: &WindowPlan) -> (usize, usize) {
        let widest = match (&self.model().network, plan.context) {
            (Ok(_), _) => 1,
            (Err(_), Context::Padding) => {
                (*self.sessions.rewritten(plan.window)).as_ref().map_or(1, |rewrite| rewrite.widest)
            }
            (Err(_), Context::Flank) => {
                let flanked = self.sessions.with_flanks(plan.window);
                flanked.ok().and_then(|flanked| flanked.rewrite.as_ref().ok().map(|r| r.widest)).unwrap_or(1)
            }
        };
        // Stretches overlap by a window, which must not become the most of the work.
        let fits = |most: usize| most.min(STRETCH_VALUES / widest).max(4 * plan.window);
        match self.sessions.device {
            Device::Cpu => (fits(CPU_POSITIONS), FEWEST_POSITIONS),
            Device::Cuda(_) => (fits(CUDA_POSITIONS), fits(CUDA_POSITIONS)),
        }
    }

    /// Takes up a graph that scores windows together, after checking on random windows that it scores like the graph that is
    /// in use. On an error it is not to be used.
    pub(super) fn try_joint(&mut self, joint: Form, plan: &WindowPlan) -> Result<()> {
        let (left, length) = self.extent(plan, Strand::Forward);
        let checked = (CHECKED_BASES / length).clamp(CHECKED.1, CHECKED.0);
        // A dense graph computes every start, whatever the stride.
        let stride = if let Form::Shared { stride, .. } = joint { stride } else { 1 };
        let span = (checked - 1) * stride + 1;
        let mut chunk = Chunk::whole("random", random_codes(length + span - 1));
        // As many windows as are to be checked, each with its flanks.
        chunk.own = left as u64..(left + span) as u64;
        let plan = WindowPlan { stride, ..*plan };
        let (mut want, mut have) = (Scores::default(), Scores::default());
        want.reset(&chunk, &plan, self.model().spec.outputs.len());
        have.clone_from(&want);
        self.fill(&chunk, &plan, &mut want)?;
        self.take_up(joint)?;
        self.fill(&chunk, &plan, &mut have)?;
        let pairs = |have: &[f32], want: &[f32]| {
            let differences = have.iter().zip(want).map(|(x, y)| (x - y).abs() / y.abs().max(1.0));
            differences.fold(0.0, f32::max)
        };
        let worst = pairs(&have.forward, &want.forward).max(pairs(&have.reverse, &want.reverse));
        if worst <= 1e-4 {
            return Ok(());
        }
        let message = format!(
            "the graph for all windows of a stretch differs from its own by {worst:.1e} on random ones"
        );
        Err(Error::model(&self.model().spec.name, message))
    }

    pub(super) fn score_stretches(
        &mut self,
        chunk: &Chunk,
        plan: &WindowPlan,
        strand: Strand,
        out: &mut Scores,
    ) -> Result<()> {
        let (before, length) = self.extent(plan, strand);
        let (most, fewest) = self.positions(plan);
        let most = most.div_ceil(plan.stride);
        for begin in (0..out.windows).step_by(most) {
            let count = most.min(out.windows - begin);
            // Starts past the last window are not looked at.
            let positions = ((count - 1) * plan.stride + 1).max(fewest);
            let bases = positions + length - 1;
            self.feed_stretch(chunk, start_of(out, begin) - before as i64, bases, strand)?;
            let batch = Batch { begin, count, rows: 1, values: out.outputs * positions };
            let place = |window: usize, output: usize| {
                let start = window * plan.stride;
                output * positions + if strand == Strand::Forward { start } else { positions - 1 - start }
            };
            self.run(&batch, place, strand, out)
                .map_err(|failure: Failure| self.describe(failure, chunk, plan, strand))?;
        }
        Ok(())
    }

    /// Fills the input with so many bases from contig position `start` on, as `strand` reads them.
    fn feed_stretch(&mut self, chunk: &Chunk, start: i64, bases: usize, strand: Strand) -> Result<()> {
        let channels = self.channels();
        let input = self.runner.input(&[1, 4, 1, bases as i64])?;
        self.codes.clear();
        chunk.codes_at(start, bases, &mut self.codes);
        let codes = oriented(&mut self.codes, strand, channels, &mut self.reversed);
        expand(codes, Layout::ImageChannels, input);
        clear(input, Layout::ImageChannels, self.sessions.beyond(chunk, start, bases, strand));
        Ok(())
    }

    /// Scores with the graph by which windows share layers.
    pub(super) fn score_together(
        &mut self,
        chunk: &Chunk,
        plan: &WindowPlan,
        strand: Strand,
        out: &mut Scores,
    ) -> Result<()> {
        let shared = self.sessions.shared(plan.window, plan.stride);
        let (most, fewest) =
            (*shared).as_ref().map_or((1, 1), |shared| (self.together(plan, shared), shared.fewest));
        let fewest = fewest.max(FEWEST_POSITIONS.saturating_sub(plan.window).div_ceil(plan.stride) + 1);
        for begin in (0..out.windows).step_by(most) {
            let count = most.min(out.windows - begin);
            // Windows past the last one are not looked at. A GPU always gets the same shape.
            let rows = match self.sessions.device {
                Device::Cpu => count.max(fewest),
                Device::Cuda(_) => most,
            };
            let bases = (rows - 1) * plan.stride + plan.window;
            self.feed_stretch(chunk, start_of(out, begin), bases, strand)?;
            let batch = Batch { begin, count, rows, values: out.outputs };
            let outputs = out.outputs;
            let place = |window: usize, output: usize| {
                let row = if strand == Strand::Forward { window } else { rows - 1 - window };
                row * outputs + output
            };
            self.run(&batch, place, strand, out)
                .map_err(|failure: Failure| self.describe(failure, chunk, plan, strand))?;
        }
        Ok(())
    }
}

/// Bases from a small generator (xorshift), every 32nd or so an N; the same for every call.
fn random_codes(length: usize) -> Vec<u8> {
    let mut state = 0x9e37_79b9_7f4a_7c15_u64;
    let mut draw = || {
        state ^= state << 13;
        state ^= state >> 7;
        state ^= state << 17;
        state >> 32
    };
    (0..length).map(|_| if draw() % 32 == 0 { N } else { (draw() % 4) as u8 }).collect()
}
