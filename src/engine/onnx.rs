//! ONNX Runtime: any model, on the processor or on an NVIDIA GPU.
//!
//! Every window is expanded to its one-hot columns and put through the graph for itself, many in one batch. That is
//! slow, but it holds for any graph. Graphs without padding have a dense one that scores all windows of a stretch at
//! once: networks of the DeepBind family that of [`build::dense`](crate::model::onnx::build::dense), others that of
//! [`onnx::dense`](crate::model::onnx::dense). The library is loaded at run time; [`library`] tells where it is looked
//! for.

use std::borrow::Cow;
use std::fmt::Display;
use std::sync::{Arc, Mutex, PoisonError};

use super::reference::{check_window, flanks};
use crate::engine::{Device, Engine};
use crate::model::onnx::dense::{Rewrite, rewrite};
use crate::model::{ACGT, Layout, Model, ModelSpec};
use crate::scores::Scores;
use crate::seq::alphabet::{N, ONE_HOT, one_hot, reverse_complement_into};
use crate::seq::chunk::Chunk;
use crate::seq::contig::Strand;
use crate::seq::window::{Context, WindowPlan};
use crate::{Error, Result};

mod dense;
pub mod library;
mod session;

use session::{Runner, SharedSession};

/// Most windows in a batch on the processor: enough to hide the cost of a call, few enough to stay in the cache.
const CPU_BATCH: usize = 256;
/// Windows in every batch on a GPU.
const CUDA_BATCH: usize = 4096;
/// Most input values in a batch (16 MiB), however long the windows are; a batch has one window at least.
const BATCH_VALUES: usize = 4 << 20;

/// Which graph is run.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Form {
    /// The model's own, fed a window.
    Window,
    /// The model's without its padding, fed a window and its flanks.
    Flanked,
    /// The dense graph of the model without its padding, for stretches of windows of so many bases (with flanks).
    Dense(usize),
}

/// A dense graph, or why there is none.
type Rewritten = Arc<Result<Rewrite, String>>;

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
}

impl Sessions {
    /// The model whose graph serves `form`.
    fn model(&self, form: Form) -> Result<Cow<'_, Model>> {
        match (form, self.unpadded()) {
            (Form::Window, _) => Ok(Cow::Borrowed(&self.model)),
            (Form::Flanked, Ok(unpadded)) => Ok(Cow::Borrowed(unpadded)),
            (Form::Dense(window), Ok(unpadded)) => Ok(Cow::Owned(dense::of_network(unpadded, window))),
            (Form::Dense(window), Err(_)) => match &*self.rewritten(window) {
                Ok(rewrite) => Ok(Cow::Owned(dense::of_graph(
                    &self.model.spec,
                    rewrite.graph.clone(),
                    self.model.input.channels,
                ))),
                Err(reason) => {
                    Err(Error::model(&self.model.spec.name, format!("has no dense graph: {reason}")))
                }
            },
            (Form::Flanked, Err(reason)) => Err(Error::model(
                &self.model.spec.name,
                format!("cannot score windows with their flanks: {reason}"),
            )),
        }
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
    /// True if dense graphs are used where they hold.
    dense: bool,
    /// A dense graph that failed its check, and is not to be tried again.
    refused: Option<Form>,
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
        let (model, open, rewritten) = (model.clone(), Mutex::default(), Mutex::default());
        Self::on(Arc::new(Sessions { model, unpadded, device, open, rewritten }))
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
        Ok(OnnxEngine { dense: self.dense, ..engine })
    }

    /// Scores all windows of a stretch at once where the model and the plan allow it: for scanning, where there are
    /// many windows under one plan. Every new window length opens and checks a graph of its own, so this is not for
    /// many plans with few windows each.
    pub fn with_dense_graphs(mut self) -> Self {
        self.dense = true;
        self
    }

    /// True if the last chunk was scored with a dense graph.
    pub fn is_dense(&self) -> bool {
        matches!(self.form, Form::Dense(_))
    }

    fn on(sessions: Arc<Sessions>) -> Result<Self> {
        let runner = sessions.runner(Form::Window)?;
        let (form, codes, reversed) = (Form::Window, Vec::new(), Vec::new());
        Ok(OnnxEngine { sessions, form, runner, dense: false, refused: None, codes, reversed })
    }

    fn model(&self) -> &Model {
        &self.sessions.model
    }

    /// Real bases that a window is fed with, before and after it on the forward strand.
    fn fed_flanks(&self, plan: &WindowPlan) -> (usize, usize) {
        match (plan.context, &self.model().network) {
            (Context::Flank, Ok(network)) => (network.padding.left, network.padding.right),
            _ => (0, 0),
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
        let padded = match &model.network {
            Ok(network) => {
                check_window(&model.spec, network, plan.window)?;
                network.padding.left + network.padding.right > 0
            }
            Err(_) => true,
        };
        if plan.context == Context::Flank && padded {
            return Ok(Form::Flanked);
        }
        match model.input.length {
            Some(length) if length != plan.window => Err(Error::model(
                &model.spec.name,
                format!(
                    "its graph takes windows of {length} bases only, not of {}; use --window {length}",
                    plan.window
                ),
            )),
            _ => Ok(Form::Window),
        }
    }

    /// Takes up the graph that `plan` needs: a dense one where there is one and it pays.
    fn prepare(&mut self, plan: &WindowPlan) -> Result<()> {
        let by_window = self.window_form(plan)?;
        let dense = self.dense_form(plan).filter(|&dense| self.dense && self.refused != Some(dense));
        if self.form == dense.unwrap_or(by_window) {
            return Ok(());
        }
        self.take_up(by_window)?;
        let Some(dense) = dense else { return Ok(()) };
        if let Err(reason) = self.try_dense(dense, plan) {
            log::warn!("model {}: windows one at a time: {reason}", self.model().spec.name);
            self.refused = Some(dense);
            self.take_up(by_window)?;
        }
        Ok(())
    }

    /// The channel of each base in the graph that is taken up; one that was made of a network has the usual order.
    fn channels(&self) -> [usize; 4] {
        match (self.form, &self.model().network) {
            (Form::Window, _) | (Form::Dense(_), Err(_)) => self.model().input.channels,
            (Form::Flanked, _) | (Form::Dense(_), Ok(_)) => ACGT,
        }
    }

    fn take_up(&mut self, form: Form) -> Result<()> {
        if self.form != form {
            self.runner = self.sessions.runner(form)?;
            self.form = form;
        }
        Ok(())
    }

    /// Windows of `length` bases in a batch, and whether a batch must always have that many.
    fn batch(&self, length: usize) -> (usize, bool) {
        let fixed = if self.form == Form::Window { self.model().input.batch } else { None };
        let fits = |rows: usize| rows.min(BATCH_VALUES / (4 * length)).max(1);
        match (fixed, self.sessions.device) {
            (Some(rows), _) => (rows, true),
            (None, Device::Cpu) => (fits(CPU_BATCH), false),
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
                (true, Form::Dense(_)) => self.score_stretches(chunk, plan, strand, out)?,
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
        let (layout, channels) = (self.sessions.model(self.form)?.input.layout, self.channels());
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
                expand(oriented(&mut self.codes, strand, channels, &mut self.reversed), layout, row);
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
                let (first, last) = (start + 1, start + plan.window as u64);
                let contig = &chunk.contig.name;
                format!("the score of the window {contig}:{first}-{last}, strand {strand}, is not a number")
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
        self.model().network.as_ref().map_or((0, 0), |network| flanks(network, plan))
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
fn shape(layout: Layout, rows: usize, length: usize) -> Vec<i64> {
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

/// The codes as `strand` reads them, each base as the channel that stands for it.
fn oriented<'a>(
    codes: &'a mut [u8],
    strand: Strand,
    channels: [usize; 4],
    reversed: &'a mut Vec<u8>,
) -> &'a [u8] {
    let read = if strand == Strand::Forward {
        codes
    } else {
        reversed.clear();
        reverse_complement_into(codes, reversed);
        reversed
    };
    if channels != ACGT {
        read.iter_mut().filter(|code| **code < N).for_each(|code| *code = channels[usize::from(*code)] as u8);
    }
    read
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

/// A message of the library without its line breaks.
fn one_line(message: &dyn Display) -> String {
    message.to_string().split_whitespace().collect::<Vec<_>>().join(" ")
}
