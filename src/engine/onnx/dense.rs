//! Scoring with a dense graph: all windows of a stretch in one run.

use super::{Batch, Failure, Form, OnnxEngine, clear, expand, oriented, start_of};
use crate::engine::Device;
use crate::model::onnx::dense::Rewrite;
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

impl OnnxEngine {
    /// The dense graph for `plan`, if there is one (nothing may be padded) and it pays: a run computes every start,
    /// so with a stride longer than a window has alignments, single windows cost less.
    pub(super) fn dense_form(&self, plan: &WindowPlan) -> Option<Form> {
        let Ok(network) = self.model().network.as_ref() else { return self.rewritten_form(plan) };
        let padded = network.padding.left + network.padding.right > 0;
        let holds = plan.context == Context::Flank || !padded;
        let (_, length) = self.extent(plan, Strand::Forward);
        (holds && plan.stride <= network.alignments(plan.window)).then_some(Form::Dense(length))
    }

    /// As [`dense_form`](OnnxEngine::dense_form), for a model that is not of the DeepBind family.
    fn rewritten_form(&self, plan: &WindowPlan) -> Option<Form> {
        let pays = |rewrite: &Rewrite| plan.stride as f64 * rewrite.cost <= rewrite.window_cost;
        if plan.context == Context::Padding {
            let rewrite = self.sessions.rewritten(plan.window);
            return (*rewrite).as_ref().is_ok_and(pays).then_some(Form::Dense(plan.window));
        }
        let flanked = self.sessions.with_flanks(plan.window).ok()?;
        flanked.rewrite.as_ref().is_ok_and(pays).then_some(Form::DenseFlanked(plan.window))
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

    /// Takes up a dense graph, after checking on random windows that it scores like the graph that is in use. On an
    /// error the dense graph is not to be used.
    pub(super) fn try_dense(&mut self, dense: Form, plan: &WindowPlan) -> Result<()> {
        let (left, length) = self.extent(plan, Strand::Forward);
        let checked = (CHECKED_BASES / length).clamp(CHECKED.1, CHECKED.0);
        let mut chunk = Chunk::whole("random", random_codes(length + checked - 1));
        // As many windows as are to be checked, each with its flanks.
        chunk.own = left as u64..(left + checked) as u64;
        let plan = WindowPlan { stride: 1, ..*plan };
        let (mut want, mut have) = (Scores::default(), Scores::default());
        want.reset(&chunk, &plan, self.model().spec.outputs.len());
        have.clone_from(&want);
        self.fill(&chunk, &plan, &mut want)?;
        self.take_up(dense)?;
        self.fill(&chunk, &plan, &mut have)?;
        let pairs = |have: &[f32], want: &[f32]| {
            let differences = have.iter().zip(want).map(|(x, y)| (x - y).abs() / y.abs().max(1.0));
            differences.fold(0.0, f32::max)
        };
        let worst = pairs(&have.forward, &want.forward).max(pairs(&have.reverse, &want.reverse));
        if worst <= 1e-4 {
            return Ok(());
        }
        let message = format!("the dense graph differs from its own by {worst:.1e} on random windows");
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
            let channels = self.channels();
            let input = self.runner.input(&[1, 4, 1, bases as i64])?;
            self.codes.clear();
            chunk.codes_at(start_of(out, begin) - before as i64, bases, &mut self.codes);
            let beyond = self.sessions.beyond(chunk, start_of(out, begin) - before as i64, bases, strand);
            let codes = oriented(&mut self.codes, strand, channels, &mut self.reversed);
            expand(codes, Layout::ImageChannels, input);
            clear(input, Layout::ImageChannels, beyond);
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
