//! ONNX Runtime: any model, on the processor or on an NVIDIA GPU.
//!
//! Every window is expanded to its one-hot columns and put through the graph for itself, many in one batch. That is
//! slow, but it holds for any graph. Graphs without padding have a dense one that scores all windows of a stretch at
//! once: networks of the DeepBind family that of [`build::dense`](crate::model::onnx::build::dense), others that of
//! [`onnx::dense`](crate::model::onnx::dense). Windows of other graphs share the layers that padding does not reach, by
//! [`onnx::shared`](crate::model::onnx::shared). The library is loaded at run time; [`library`] says where it is looked for.

use std::borrow::Cow;
use std::fmt::Display;
use std::sync::{Arc, Mutex, PoisonError};

use super::reference::{check_window, flanks};
use crate::engine::stretch::{not_a_number, oriented, other_length, past_ends};
use crate::engine::{Device, Engine, Sharing};
use crate::model::onnx::dense::{Rewrite, rewrite};
use crate::model::onnx::receptive_field::{self, Node};
use crate::model::onnx::shared::{Shared, share};
use crate::model::onnx::unpad::{Unpadded, unpad};
use crate::model::{ACGT, Input, Layout, Model, ModelSpec};
use crate::scores::Scores;
use crate::seq::alphabet::{ONE_HOT, one_hot};
use crate::seq::chunk::Chunk;
use crate::seq::contig::Strand;
use crate::seq::window::{Context, WindowPlan};
use crate::{Error, Result};

mod dense;
pub mod graph;
pub mod library;
mod session;

use session::{Runner, SharedSession};

/// Most windows in a batch on the processor: enough to hide the cost of a call, few enough to stay in the cache.
const CPU_BATCH: usize = 256;
/// Windows in every batch on a GPU.
const CUDA_BATCH: usize = 4096;
/// Most input values in a batch (16 MiB), however long the windows are; a batch has one window at least.
const BATCH_VALUES: usize = 4 << 20;

/// Graphs for which buffers are kept while another one is taken up.
const MOST_RUNNERS: usize = 2;

/// Most values of a tensor within the graph for a batch on the processor (64 MiB): a few of them are held at a time.
const TENSOR_VALUES: usize = 16 << 20;

/// Graph that is run.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Form {
    /// The model's own, fed a window.
    Window,
    /// The model's without its padding, fed a window of so many bases and its flanks.
    Flanked(usize),
    /// The dense graph of the model without its padding, for stretches of windows of so many bases (with flanks).
    Dense(usize),
    /// The dense graph of a model that is not of the DeepBind family, without its padding, for windows of so many bases
    /// and their flanks.
    DenseFlanked(usize),
    /// The graph by which windows of so many bases, one each so many bases, share what padding does not reach.
    Shared { window: usize, stride: usize },
}

/// A model that is not of the DeepBind family without its padding, and its dense graph or why there is none.
#[derive(Debug)]
struct FlankedModel {
    model: Model,
    left: usize,
    right: usize,
    rewrite: Result<Rewrite, String>,
}

/// A dense graph, or why there is none.
type Rewritten = Arc<Result<Rewrite, String>>;
type Flanked = Arc<Result<Arc<FlankedModel>, String>>;
/// A graph by which windows share layers, or why there is none.
type SharedGraph = Arc<Result<Shared, String>>;

impl FlankedModel {
    fn new(model: &Model, window: usize) -> Result<FlankedModel, String> {
        let Unpadded { graph, left, right } = unpad(&model.graph, &model.input, &model.output, window)?;
        let length = left + window + right;
        let input = Input { length: model.input.length.map(|_| length), ..model.input.clone() };
        let rewrite = rewrite(&graph, &input, &model.output, length);
        if let Err(reason) = &rewrite {
            log::info!("model {}: windows and their flanks one at a time: {reason}", model.spec.name);
        }
        Ok(FlankedModel { model: Model { graph, input, ..model.clone() }, left, right, rewrite })
    }
}

/// The sessions of a model on a device, opened when first asked for.
#[derive(Debug)]
struct Sessions {
    model: Model,
    /// The model without its padding, or why it is not of the DeepBind family.
    unpadded: Result<Model, String>,
    device: Device,
    open: Mutex<Vec<(Form, SharedSession)>>,
    /// The dense graph of a model that is not of the DeepBind family, for the window length last asked for.
    rewritten: Mutex<Option<(usize, Rewritten)>>,
    /// The model without its padding, for the window length last asked for, or why it cannot be without.
    flanked: Mutex<Option<(usize, Flanked)>>,
    /// The graph by which windows share layers, for the window length and stride last asked for.
    shared: Mutex<Option<((usize, usize), SharedGraph)>>,
}

impl Sessions {
    /// The model whose graph serves `form`.
    fn model(&self, form: Form) -> Result<Cow<'_, Model>> {
        let Model { spec, input, .. } = &self.model;
        let dense = |rewrite: &Result<Rewrite, String>| match rewrite {
            Ok(rewrite) => Ok(Cow::Owned(dense::from_graph(spec, rewrite.graph.clone(), input.channels))),
            Err(reason) => Err(Error::model(&spec.name, format!("has no dense graph: {reason}"))),
        };
        match (form, self.unpadded()) {
            (Form::Window, _) => Ok(Cow::Borrowed(&self.model)),
            (Form::Flanked(_), Ok(unpadded)) => Ok(Cow::Borrowed(unpadded)),
            (Form::Flanked(window), Err(_)) => Ok(Cow::Owned(self.with_flanks(window)?.model.clone())),
            (Form::Dense(window) | Form::DenseFlanked(window), Ok(unpadded)) => {
                Ok(Cow::Owned(dense::from_network(unpadded, window)))
            }
            (Form::Dense(window), Err(_)) => dense(&self.rewritten(window)),
            (Form::DenseFlanked(window), Err(_)) => dense(&self.with_flanks(window)?.rewrite),
            (Form::Shared { window, stride }, _) => match &*self.shared(window, stride) {
                Ok(shared) => Ok(Cow::Owned(dense::from_shared(&self.model, shared.graph.clone()))),
                Err(reason) => {
                    Err(Error::model(&spec.name, format!("has windows that share nothing: {reason}")))
                }
            },
        }
    }

    /// A model that is not of the DeepBind family without its padding.
    ///
    /// # Errors
    /// A graph whose padding cannot be taken away.
    fn with_flanks(&self, window: usize) -> Result<Arc<FlankedModel>> {
        let flanked = self.flanked(window);
        let fail = |reason: &String| {
            let message =
                format!("cannot score windows with their flanks: {reason}; leave out --context flank");
            Error::model(&self.model.spec.name, message)
        };
        match &*flanked {
            Err(reason) => Err(fail(reason)),
            Ok(flanked) => Ok(Arc::clone(flanked)),
        }
    }

    fn flanked(&self, window: usize) -> Flanked {
        let mut last = self.flanked.lock().unwrap_or_else(PoisonError::into_inner);
        if let Some((_, flanked)) = last.as_ref().filter(|(length, _)| *length == window) {
            return Arc::clone(flanked);
        }
        let flanked = Arc::new(FlankedModel::new(&self.model, window).map(Arc::new));
        *last = Some((window, Arc::clone(&flanked)));
        flanked
    }

    /// Columns of the input, before and behind, that lie past the contig's ends, of `length` bases from `start` on as
    /// `strand` reads them. A model of the DeepBind family has N there, others have zeros as they pad with.
    fn beyond(&self, chunk: &Chunk, start: i64, length: usize, strand: Strand) -> (usize, usize) {
        if self.model.network.is_ok() {
            return (0, 0);
        }
        past_ends(chunk, start, length, strand)
    }

    /// The model without its padding, or why there is none.
    fn unpadded(&self) -> Result<&Model, &str> {
        self.unpadded.as_ref().map_err(String::as_str)
    }

    /// The dense graph for windows of `window` bases, or why there is none, for a model that is not of the DeepBind
    /// family.
    fn rewritten(&self, window: usize) -> Rewritten {
        let mut last = self.rewritten.lock().unwrap_or_else(PoisonError::into_inner);
        if let Some((_, rewrite)) = last.as_ref().filter(|(length, _)| *length == window) {
            return Arc::clone(rewrite);
        }
        let Model { spec, graph, input, output, .. } = &self.model;
        let rewrite = rewrite(graph, input, output, window);
        if let Err(reason) = &rewrite {
            log::info!("model {}: windows one at a time: {reason}", spec.name);
        }
        let rewrite = Arc::new(rewrite);
        *last = Some((window, Arc::clone(&rewrite)));
        rewrite
    }

    /// The graph by which windows of `window` bases, one each `stride` bases, share layers, or why there is none.
    fn shared(&self, window: usize, stride: usize) -> SharedGraph {
        let mut last = self.shared.lock().unwrap_or_else(PoisonError::into_inner);
        if let Some((_, shared)) = last.as_ref().filter(|(plan, _)| *plan == (window, stride)) {
            return Arc::clone(shared);
        }
        let Model { spec, graph, input, output, .. } = &self.model;
        let shared = share(graph, input, output, window, stride);
        if let Err(reason) = &shared {
            log::info!("model {}: windows share nothing: {reason}", spec.name);
        }
        let shared = Arc::new(shared);
        *last = Some(((window, stride), Arc::clone(&shared)));
        shared
    }

    /// New buffers for `form`, bound to its session.
    fn runner(&self, form: Form) -> Result<Runner> {
        let model = self.model(form)?;
        let mut open = self.open.lock().unwrap_or_else(PoisonError::into_inner);
        let session = match open.iter().find(|(opened, _)| *opened == form) {
            Some((_, session)) => Arc::clone(session),
            None => {
                let session = session::open(&model, self.device)?;
                open.push((form, Arc::clone(&session)));
                session
            }
        };
        Runner::new(session, &model)
    }
}

/// Scores windows with ONNX Runtime.
#[derive(Debug)]
pub struct OnnxEngine {
    sessions: Arc<Sessions>,
    form: Form,
    runner: Runner,
    /// Those of other graphs that were taken up before.
    others: Vec<(Form, Runner)>,
    /// True if windows are scored together where they can be.
    together: bool,
    /// The graph for that which was checked last, and whether it passed.
    checked: Option<(Form, bool)>,
    /// Values of the largest tensor of a window within a graph, for windows of so many bases.
    largest: Option<(Form, usize, usize)>,
    /// Codes of the window in hand, and of its reverse complement.
    codes: Vec<u8>,
    reversed: Vec<u8>,
}

impl OnnxEngine {
    /// Opens a model on a device. The first engine of a process loads the library ([`library`]).
    ///
    /// # Errors
    /// A library that is missing, too old or none; a device that it cannot use; a graph that it refuses.
    pub fn new(model: &Model, device: Device) -> Result<Self> {
        let unpadded = match &model.network {
            Ok(network) => Ok(Model::from_network(model.spec.clone(), network.unpadded())?),
            Err(reason) => Err(reason.clone()),
        };
        let (model, open) = (model.clone(), Mutex::default());
        let (rewritten, flanked, shared) = (Mutex::default(), Mutex::default(), Mutex::default());
        Self::on(Arc::new(Sessions { model, unpadded, device, open, rewritten, flanked, shared }))
    }

    /// An engine for another worker: with a session of its own on the processor, with the same session on a GPU,
    /// where the workers take turns.
    ///
    /// # Errors
    /// As [`OnnxEngine::new`].
    pub fn for_another_worker(&self) -> Result<Self> {
        let engine = match self.sessions.device {
            Device::Cpu => Self::new(&self.sessions.model, Device::Cpu)?,
            Device::Cuda(_) => Self::on(Arc::clone(&self.sessions))?,
        };
        Ok(OnnxEngine { together: self.together, ..engine })
    }

    /// Scores the windows of a stretch together where the model and the plan allow it: for scanning, where there are
    /// many windows under one plan. Every new window length opens and checks a graph of its own, so this is not for
    /// many plans with few windows each.
    pub fn scoring_together(mut self) -> Self {
        self.together = true;
        self
    }

    fn on(sessions: Arc<Sessions>) -> Result<Self> {
        let runner = sessions.runner(Form::Window)?;
        let (form, codes, reversed) = (Form::Window, Vec::new(), Vec::new());
        Ok(OnnxEngine {
            sessions,
            form,
            runner,
            others: Vec::new(),
            together: false,
            checked: None,
            largest: None,
            codes,
            reversed,
        })
    }

    fn model(&self) -> &Model {
        &self.sessions.model
    }

    /// Real bases that a window is fed with, before and after it on the forward strand.
    fn fed_flanks(&self, plan: &WindowPlan) -> (usize, usize) {
        match (plan.context, &self.model().network) {
            (Context::Flank, Ok(network)) => (network.padding.left, network.padding.right),
            // A model that has no form with flanks is refused before it is fed.
            (Context::Flank, Err(_)) => {
                let flanked = self.sessions.flanked(plan.window);
                (*flanked).as_ref().map_or((0, 0), |flanked| (flanked.left, flanked.right))
            }
            (Context::Padding, _) => (0, 0),
        }
    }

    /// Bases before a window's start that it is fed with on `strand`, and bases it is fed with in all.
    fn extent(&self, plan: &WindowPlan, strand: Strand) -> (usize, usize) {
        let (left, right) = self.fed_flanks(plan);
        (if strand == Strand::Forward { left } else { right }, left + plan.window + right)
    }

    /// The graph that scores each window of `plan` for itself.
    ///
    /// # Errors
    /// A window that the model cannot take.
    fn window_form(&self, plan: &WindowPlan) -> Result<Form> {
        let model = self.model();
        if let Ok(network) = &model.network {
            check_window(&model.spec, network, plan.window)?;
        }
        if plan.context == Context::Flank && model.network.is_err() {
            self.sessions.with_flanks(plan.window)?;
        }
        if self.fed_flanks(plan) != (0, 0) {
            return Ok(Form::Flanked(plan.window));
        }
        match model.input.length {
            Some(length) if length != plan.window => Err(other_length(&model.spec.name, length, plan)),
            _ => Ok(Form::Window),
        }
    }

    /// Takes up the graph that `plan` needs: one for all windows of a stretch where there is one and it pays.
    fn prepare(&mut self, plan: &WindowPlan) -> Result<()> {
        let by_window = self.window_form(plan)?;
        let joint = if self.together { self.joint_form(plan) } else { None };
        let joint = joint.filter(|&joint| self.checked != Some((joint, false)));
        let Some(joint) = joint else { return self.take_up(by_window) };
        if self.checked == Some((joint, true)) {
            return self.take_up(joint);
        }
        self.take_up(by_window)?;
        let passed = self.try_joint(joint, plan);
        self.checked = Some((joint, passed.is_ok()));
        if let Err(reason) = passed {
            log::warn!("model {}: windows one at a time: {reason}", self.model().spec.name);
            self.take_up(by_window)?;
        }
        Ok(())
    }

    /// The channel of each base in the graph that is taken up; one that was made of a network has the usual order.
    fn channels(&self) -> [usize; 4] {
        match (self.form, &self.model().network) {
            (Form::Window | Form::Shared { .. }, _) | (_, Err(_)) => self.model().input.channels,
            (_, Ok(_)) => ACGT,
        }
    }

    /// The order of the input's dimensions in the graph that is taken up, which scores windows one at a time.
    fn layout(&self) -> Layout {
        match (self.form, &self.model().network) {
            (Form::Flanked(_), Ok(_)) => Layout::ChannelsFirst,
            _ => self.model().input.layout,
        }
    }

    fn take_up(&mut self, form: Form) -> Result<()> {
        if self.form != form {
            let runner = match self.others.iter().position(|(other, _)| *other == form) {
                Some(rank) => self.others.swap_remove(rank).1,
                None => self.sessions.runner(form)?,
            };
            let before = std::mem::replace(&mut self.runner, runner);
            self.others.push((self.form, before));
            // The same graphs serve scores and cores; those of other windows do not come back.
            self.others.drain(..self.others.len().saturating_sub(MOST_RUNNERS));
            self.form = form;
        }
        Ok(())
    }

    /// The values of the largest tensor within the graph that is taken up, for a window of `length` bases.
    fn largest_tensor(&mut self, length: usize) -> usize {
        if let Some((.., values)) =
            self.largest.filter(|&(form, bases, _)| (form, bases) == (self.form, length))
        {
            return values;
        }
        let values = self.sessions.model(self.form).map_or(0, |model| {
            let nodes = receptive_field::receptive_fields(&model.graph, &model.input, length);
            let size = |node: &Node| match node {
                Node::Layer(seen) => seen.shape.iter().flatten().copied().fold(1, usize::saturating_mul),
                Node::Constant | Node::Unknown => 0,
            };
            nodes.iter().map(size).max().unwrap_or(0)
        });
        let values = values.max(4 * length);
        self.largest = Some((self.form, length, values));
        values
    }

    /// Windows of `length` bases in a batch, and whether a batch must always have that many.
    fn batch(&mut self, length: usize) -> (usize, bool) {
        let is_own = match self.form {
            Form::Window => true,
            Form::Flanked(_) => self.model().network.is_err(),
            Form::Dense(_) | Form::DenseFlanked(_) | Form::Shared { .. } => false,
        };
        let fixed = if is_own { self.model().input.batch } else { None };
        let fits = |rows: usize| rows.min(BATCH_VALUES / (4 * length)).max(1);
        match (fixed, self.sessions.device) {
            (Some(rows), _) => (rows, true),
            (None, Device::Cpu) => {
                // A power of two, so that chunks have no odd rest.
                let most = (TENSOR_VALUES / self.largest_tensor(length)).max(1);
                (fits(CPU_BATCH).min(1 << most.ilog2()), false)
            }
            (None, Device::Cuda(_)) => (fits(CUDA_BATCH), true),
        }
    }

    /// Scores into `out`, which has the shape for `plan`, with the graph that is taken up.
    fn fill(&mut self, chunk: &Chunk, plan: &WindowPlan, out: &mut Scores) -> Result<()> {
        for (wanted, strand) in
            [(plan.strands.forward(), Strand::Forward), (plan.strands.reverse(), Strand::Reverse)]
        {
            match (wanted, self.form) {
                (false, _) => {}
                (true, Form::Dense(_) | Form::DenseFlanked(_)) => {
                    self.score_stretches(chunk, plan, strand, out)?;
                }
                (true, Form::Shared { .. }) => self.score_together(chunk, plan, strand, out)?,
                (true, _) => self.score_windows(chunk, plan, strand, out)?,
            }
        }
        Ok(())
    }

    fn score_windows(
        &mut self,
        chunk: &Chunk,
        plan: &WindowPlan,
        strand: Strand,
        out: &mut Scores,
    ) -> Result<()> {
        let (before, length) = self.extent(plan, strand);
        let (most, fixed) = self.batch(length);
        let (layout, channels) = (self.layout(), self.channels());
        let outputs = out.outputs;
        for begin in (0..out.windows).step_by(most) {
            let count = most.min(out.windows - begin);
            let rows = if fixed { most } else { count };
            let input = self.runner.input(&shape(layout, rows, length))?;
            for (i, row) in input.chunks_exact_mut(4 * length).enumerate() {
                // Rows past the last window repeat it; their scores are not looked at.
                let start = start_of(out, begin + i.min(count - 1)) - before as i64;
                self.codes.clear();
                chunk.codes_at(start, length, &mut self.codes);
                let beyond = self.sessions.beyond(chunk, start, length, strand);
                expand(oriented(&mut self.codes, strand, channels, &mut self.reversed), layout, row);
                clear(row, layout, beyond);
            }
            let batch = Batch { begin, count, rows, values: outputs };
            let place = |window: usize, output: usize| window * outputs + output;
            self.run(&batch, place, strand, out)
                .map_err(|failure| self.describe(failure, chunk, plan, strand))?;
        }
        Ok(())
    }

    /// Runs the graph on the input buffer and stores the scores of the batch. `place` tells where in the output the
    /// score of a window of the batch is.
    fn run(
        &mut self,
        batch: &Batch,
        place: impl Fn(usize, usize) -> usize,
        strand: Strand,
        out: &mut Scores,
    ) -> Result<(), Failure> {
        let (start, windows, outputs, stride) = (out.start, out.windows, out.outputs, out.stride);
        let target = if strand == Strand::Forward { &mut out.forward } else { &mut out.reverse };
        let take = |shape: &[i64], scores: &[f32]| {
            let &Batch { begin, count, rows, values } = batch;
            if shape.first() != Some(&(rows as i64)) || scores.len() != rows * values {
                return Err(Failure::Shape { shape: shape.to_vec(), rows, values });
            }
            for output in 0..outputs {
                let stored = &mut target[output * windows + begin..][..count];
                for (window, stored) in stored.iter_mut().enumerate() {
                    *stored = scores[place(window, output)];
                }
                if let Some(window) = stored.iter().position(|score| score.is_nan()) {
                    return Err(Failure::NotANumber { start: start + ((begin + window) * stride) as u64 });
                }
            }
            Ok(())
        };
        self.runner.run(take).map_err(Failure::Run)?
    }

    fn describe(&self, failure: Failure, chunk: &Chunk, plan: &WindowPlan, strand: Strand) -> Error {
        let message = match failure {
            Failure::Run(reason) => format!("cannot score windows of {} bases: {reason}", plan.window),
            Failure::Shape { shape, rows, values } => format!(
                "its output has the shape {shape:?}, where [{rows}, {values}] is needed for its outputs"
            ),
            Failure::NotANumber { start } => {
                return not_a_number(&self.model().spec.name, chunk, start, plan, strand);
            }
        };
        Error::model(&self.model().spec.name, message)
    }
}

impl Engine for OnnxEngine {
    fn spec(&self) -> &ModelSpec {
        &self.model().spec
    }

    fn description(&self) -> String {
        format!("onnx/{}", self.sessions.device)
    }

    fn flanks(&self, plan: &WindowPlan) -> (usize, usize) {
        match &self.model().network {
            Ok(network) => flanks(network, plan),
            Err(_) => {
                // The reverse strand sees them mirrored.
                let (left, right) = self.fed_flanks(plan);
                (left.max(right), left.max(right))
            }
        }
    }

    fn sharing(&self) -> Sharing {
        match self.form {
            Form::Window | Form::Flanked(_) => Sharing::Nothing,
            Form::Dense(_) | Form::DenseFlanked(_) => Sharing::Everything,
            Form::Shared { .. } => Sharing::Interior,
        }
    }

    fn score(&mut self, chunk: &Chunk, plan: &WindowPlan, out: &mut Scores) -> Result<()> {
        self.prepare(plan)?;
        out.reset(chunk, plan, self.model().spec.outputs.len());
        self.fill(chunk, plan, out)
    }
}

/// The windows that one run of a graph scores.
#[derive(Debug)]
struct Batch {
    /// Number of the first window in the chunk.
    begin: usize,
    /// Windows.
    count: usize,
    /// Length of the output's first axis.
    rows: usize,
    /// Values that the output has for each of them.
    values: usize,
}

/// Why a batch gave no scores.
#[derive(Debug)]
enum Failure {
    /// The library's own reason.
    Run(String),
    /// An output that is not one row a window.
    Shape { shape: Vec<i64>, rows: usize, values: usize },
    /// A score that is not a number, and where its window starts.
    NotANumber { start: u64 },
}

/// Contig position of a window's first base.
fn start_of(out: &Scores, window: usize) -> i64 {
    (out.start + (window * out.stride) as u64) as i64
}

/// Shape of an input of `rows` windows of `length` bases.
pub(crate) fn shape(layout: Layout, rows: usize, length: usize) -> Vec<i64> {
    let (rows, length) = (rows as i64, length as i64);
    match layout {
        Layout::ChannelsFirst => vec![rows, 4, length],
        Layout::ChannelsLast => vec![rows, length, 4],
        Layout::ImageRows => vec![rows, 1, 4, length],
        Layout::ImageChannels => vec![rows, 4, 1, length],
        Layout::ImageColumns => vec![rows, 4, length, 1],
        Layout::LastRows => vec![rows, 1, length, 4],
        Layout::LastColumns => vec![rows, length, 1, 4],
        Layout::LastImage => vec![rows, length, 4, 1],
    }
}

/// Writes the one-hot columns of one window.
fn expand(codes: &[u8], layout: Layout, row: &mut [f32]) {
    match layout {
        Layout::ChannelsFirst | Layout::ImageRows | Layout::ImageChannels | Layout::ImageColumns => {
            one_hot(codes, row);
        }
        Layout::ChannelsLast | Layout::LastRows | Layout::LastColumns | Layout::LastImage => {
            for (column, &code) in row.as_chunks_mut::<4>().0.iter_mut().zip(codes) {
                *column = ONE_HOT[usize::from(code)];
            }
        }
    }
}

/// Sets the first and the last columns of an input to zero.
fn clear(row: &mut [f32], layout: Layout, (before, behind): (usize, usize)) {
    if (before, behind) == (0, 0) {
        return;
    }
    let length = row.len() / 4;
    let columns = || (0..before).chain(length.saturating_sub(behind)..length);
    match layout {
        Layout::ChannelsFirst | Layout::ImageRows | Layout::ImageChannels | Layout::ImageColumns => {
            for channel in row.chunks_exact_mut(length) {
                columns().for_each(|column| channel[column] = 0.0);
            }
        }
        Layout::ChannelsLast | Layout::LastRows | Layout::LastColumns | Layout::LastImage => {
            columns().for_each(|column| row[4 * column..4 * column + 4].fill(0.0));
        }
    }
}

/// A message of the library without its line breaks.
fn one_line(message: &dyn Display) -> String {
    message.to_string().split_whitespace().collect::<Vec<_>>().join(" ")
}
