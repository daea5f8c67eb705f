//! ONNX Runtime: any model, on the processor or on an NVIDIA GPU.
//!
//! Every window is expanded to its one-hot columns and put through the graph for itself, many in one batch. That is
//! slow, but it holds for any graph. The library is loaded at run time; [`library`] tells where it is looked for.

use std::fmt::Display;
use std::sync::{Arc, Mutex, PoisonError};

use super::reference::{check_window, flanks};
use super::{Context, Device, Engine, Scores, WindowPlan};
use crate::encode::{ONE_HOT, one_hot, reverse_complement_into};
use crate::genome::Strand;
use crate::model::{Layout, Model, ModelSpec, Network};
use crate::source::Chunk;
use crate::{Error, Result};

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
}

/// The sessions of a model on a device, opened when first asked for.
#[derive(Debug)]
struct Sessions {
    model: Model,
    /// The model without its padding, where it is of the DeepBind family.
    unpadded: Option<Model>,
    device: Device,
    open: Mutex<Vec<(Form, SharedSession)>>,
}

impl Sessions {
    /// The model whose graph serves `form`.
    fn model(&self, form: Form) -> Result<&Model> {
        match (form, &self.unpadded, &self.model.network) {
            (Form::Window, ..) => Ok(&self.model),
            (Form::Flanked, Some(unpadded), _) => Ok(unpadded),
            (Form::Flanked, None, network) => {
                let reason = network.as_ref().err().map_or("its network is not known", String::as_str);
                Err(Error::model(
                    &self.model.spec.name,
                    format!("cannot score windows with their flanks: {reason}"),
                ))
            }
        }
    }

    /// New buffers for `form`, bound to its session.
    fn runner(&self, form: Form) -> Result<Runner> {
        let model = self.model(form)?;
        let mut open = self.open.lock().unwrap_or_else(PoisonError::into_inner);
        let session = match open.iter().find(|(opened, _)| *opened == form) {
            Some((_, session)) => Arc::clone(session),
            None => {
                let session = session::open(model, self.device)?;
                open.push((form, Arc::clone(&session)));
                session
            }
        };
        Runner::new(session, model)
    }
}

/// Scores windows with ONNX Runtime.
#[derive(Debug)]
pub struct OnnxEngine {
    sessions: Arc<Sessions>,
    form: Form,
    runner: Runner,
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
        let unpadded = model.network.as_ref().ok().map(Network::unpadded);
        let unpadded =
            unpadded.map(|network| Model::from_network(model.spec.clone(), network)).transpose()?;
        Self::on(Arc::new(Sessions { model: model.clone(), unpadded, device, open: Mutex::default() }))
    }

    /// An engine for another worker: with a session of its own on the processor, with the same session on a GPU,
    /// where the workers take turns.
    ///
    /// # Errors
    /// As [`OnnxEngine::new`].
    pub fn for_another_worker(&self) -> Result<Self> {
        match self.sessions.device {
            Device::Cpu => Self::new(&self.sessions.model, Device::Cpu),
            Device::Cuda(_) => Self::on(Arc::clone(&self.sessions)),
        }
    }

    fn on(sessions: Arc<Sessions>) -> Result<Self> {
        let runner = sessions.runner(Form::Window)?;
        Ok(OnnxEngine { sessions, form: Form::Window, runner, codes: Vec::new(), reversed: Vec::new() })
    }

    fn model(&self) -> &Model {
        &self.sessions.model
    }

    /// Refuses a window that the model cannot take.
    fn check_plan(&self, plan: &WindowPlan) -> Result<()> {
        let model = self.model();
        if let Ok(network) = &model.network {
            check_window(&model.spec, network, plan.window)?;
        }
        match model.input.length {
            Some(length) if self.form == Form::Window && length != plan.window => Err(Error::model(
                &model.spec.name,
                format!(
                    "its graph takes windows of {length} bases only, not of {}; use --window {length}",
                    plan.window
                ),
            )),
            _ => Ok(()),
        }
    }

    /// Takes up the graph that `plan` needs.
    fn prepare(&mut self, plan: &WindowPlan) -> Result<()> {
        let padded = !matches!(&self.model().network, Ok(network) if network.padding.left + network.padding.right == 0);
        let form = if plan.context == Context::Flank && padded { Form::Flanked } else { Form::Window };
        if form != self.form {
            self.runner = self.sessions.runner(form)?;
            self.form = form;
        }
        self.check_plan(plan)
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

    fn score_strand(
        &mut self,
        chunk: &Chunk,
        plan: &WindowPlan,
        strand: Strand,
        out: &mut Scores,
    ) -> Result<()> {
        let (left, right) = match (self.form, &self.model().network) {
            (Form::Flanked, Ok(network)) => (network.padding.left, network.padding.right),
            _ => (0, 0),
        };
        let before = if strand == Strand::Forward { left } else { right };
        let length = left + plan.window + right;
        let (most, fixed) = self.batch(length);
        let layout = self.sessions.model(self.form)?.input.layout;
        let (first, windows, stride) = (out.start, out.windows, plan.stride as u64);
        for begin in (0..windows).step_by(most) {
            let count = most.min(windows - begin);
            let rows = if fixed { most } else { count };
            let input = self.runner.input(&shape(layout, rows, length))?;
            for (i, row) in input.chunks_exact_mut(4 * length).enumerate() {
                // Rows past the last window repeat it; their scores are not looked at.
                let window = begin + i.min(count - 1);
                let start = (first + window as u64 * stride) as i64;
                self.codes.clear();
                chunk.codes_at(start - before as i64, length, &mut self.codes);
                expand(oriented(&self.codes, strand, &mut self.reversed), layout, row);
            }
            self.run_batch(begin, count, rows, strand, out).map_err(|failure| {
                let message = failure.describe(chunk, plan, first, strand);
                Error::model(&self.model().spec.name, message)
            })?;
        }
        Ok(())
    }

    /// Runs the batch that is in the input buffer and stores the scores of its first `count` rows, which are the
    /// windows from number `begin`.
    fn run_batch(
        &mut self,
        begin: usize,
        count: usize,
        rows: usize,
        strand: Strand,
        out: &mut Scores,
    ) -> Result<(), Failure> {
        let (windows, outputs) = (out.windows, out.outputs);
        let target = if strand == Strand::Forward { &mut out.forward } else { &mut out.reverse };
        let take = |shape: &[i64], scores: &[f32]| {
            if shape.first() != Some(&(rows as i64)) || scores.len() != rows * outputs {
                return Err(Failure::Shape { shape: shape.to_vec(), rows, outputs });
            }
            for (i, row) in scores.chunks_exact(outputs).take(count).enumerate() {
                if row.iter().any(|score| score.is_nan()) {
                    return Err(Failure::NotANumber { window: begin + i });
                }
                for (output, &score) in row.iter().enumerate() {
                    target[output * windows + begin + i] = score;
                }
            }
            Ok(())
        };
        self.runner.run(take).map_err(Failure::Run)?
    }
}

impl Engine for OnnxEngine {
    fn spec(&self) -> &ModelSpec {
        &self.model().spec
    }

    fn flanks(&self, plan: &WindowPlan) -> (usize, usize) {
        self.model().network.as_ref().map_or((0, 0), |network| flanks(network, plan))
    }

    fn score(&mut self, chunk: &Chunk, plan: &WindowPlan, out: &mut Scores) -> Result<()> {
        self.prepare(plan)?;
        out.reset(chunk, plan, self.model().spec.outputs.len());
        for (wanted, strand) in
            [(plan.strands.forward(), Strand::Forward), (plan.strands.reverse(), Strand::Reverse)]
        {
            if wanted {
                self.score_strand(chunk, plan, strand, out)?;
            }
        }
        Ok(())
    }
}

/// Why a batch gave no scores.
#[derive(Debug)]
enum Failure {
    /// The library's own reason.
    Run(String),
    /// An output that is not one row a window.
    Shape { shape: Vec<i64>, rows: usize, outputs: usize },
    /// A score that is not a number.
    NotANumber { window: usize },
}

impl Failure {
    fn describe(self, chunk: &Chunk, plan: &WindowPlan, first: u64, strand: Strand) -> String {
        match self {
            Failure::Run(reason) => format!("cannot score windows of {} bases: {reason}", plan.window),
            Failure::Shape { shape, rows, outputs } => format!(
                "its output has the shape {shape:?} for {rows} windows; [{rows}, {outputs}] is needed, as its specification says"
            ),
            Failure::NotANumber { window } => {
                let start = first + (window * plan.stride) as u64;
                let (end, contig) = (start + plan.window as u64, &chunk.contig.name);
                format!(
                    "the score of the window {contig}:{}-{end}, strand {strand}, is not a number",
                    start + 1
                )
            }
        }
    }
}

/// Shape of an input of `rows` windows of `length` bases.
fn shape(layout: Layout, rows: usize, length: usize) -> Vec<i64> {
    let (rows, length) = (rows as i64, length as i64);
    match layout {
        Layout::ChannelsFirst => vec![rows, 4, length],
        Layout::ChannelsLast => vec![rows, length, 4],
        Layout::ImageRows => vec![rows, 1, 4, length],
        Layout::ImageChannels => vec![rows, 4, 1, length],
    }
}

/// The codes as `strand` reads them.
fn oriented<'a>(codes: &'a [u8], strand: Strand, reversed: &'a mut Vec<u8>) -> &'a [u8] {
    if strand == Strand::Forward {
        return codes;
    }
    reversed.clear();
    reverse_complement_into(codes, reversed);
    reversed
}

/// Writes the one-hot columns of one window.
fn expand(codes: &[u8], layout: Layout, row: &mut [f32]) {
    match layout {
        Layout::ChannelsFirst | Layout::ImageRows | Layout::ImageChannels => one_hot(codes, row),
        Layout::ChannelsLast => {
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
