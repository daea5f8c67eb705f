//! Engines score every window of a chunk.

use crate::scores::Scores;
use crate::seq::window::{Context, StrandChoice, WindowPlan};
use std::fmt;
use std::str::FromStr;

use crate::model::{Model, ModelSpec};
use crate::seq::chunk::Chunk;
use crate::{Error, Result};

pub mod dense;
pub mod ensemble;
pub mod kernel;
#[cfg(feature = "onnx")]
pub mod onnx;
pub mod planned;
pub mod reference;
pub mod scanner;
pub mod scorer;
pub mod speed;
mod stretch;
pub mod summary;

/// Device on which an engine computes.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub enum Device {
    /// The processor.
    #[default]
    Cpu,
    /// The NVIDIA GPU with this number, counted from 0.
    Cuda(u32),
}

impl fmt::Display for Device {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Device::Cpu => write!(f, "cpu"),
            Device::Cuda(number) => write!(f, "cuda:{number}"),
        }
    }
}

impl FromStr for Device {
    type Err = Error;

    /// Reads `cpu`, `cuda` (the first GPU) or `cuda:N`.
    fn from_str(text: &str) -> Result<Device> {
        let unknown = || Error::Request(format!("unknown device {text:?}: use cpu, cuda or cuda:N"));
        match text {
            "cpu" => Ok(Device::Cpu),
            "cuda" => Ok(Device::Cuda(0)),
            _ => {
                let number = text.strip_prefix("cuda:").ok_or_else(unknown)?;
                number.parse().map(Device::Cuda).map_err(|_| unknown())
            }
        }
    }
}

/// Extent to which overlapping windows are computed together.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Sharing {
    /// Each window by itself.
    Nothing,
    /// The first layers, where padding does not reach.
    Interior,
    /// The whole network.
    Everything,
}

impl fmt::Display for Sharing {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.pad(match self {
            Sharing::Nothing => "windows one at a time",
            Sharing::Interior => "windows share their first layers",
            Sharing::Everything => "densely",
        })
    }
}

/// Scores windows with one model. Every engine gives the same scores within 1e-4 · max(1, |score|).
pub trait Engine: Send {
    /// The model's specification.
    fn spec(&self) -> &ModelSpec;

    /// Name of the implementation: the engine, and its instruction set or device.
    fn description(&self) -> String;

    /// Real bases that the engine looks at on each side of a window under `plan`: left and right.
    fn flanks(&self, plan: &WindowPlan) -> (usize, usize);

    /// Scores every window of `chunk` under `plan` into `out`.
    ///
    /// # Errors
    /// A window length that the model cannot take, or a failure of the device.
    fn score(&mut self, chunk: &Chunk, plan: &WindowPlan, out: &mut Scores) -> Result<()>;

    /// Extent to which the windows of the last chunk were computed together.
    fn sharing(&self) -> Sharing {
        Sharing::Everything
    }

    /// The engines whose scores this one averages; none unless it is an ensemble.
    fn members(&mut self) -> &mut [Box<dyn Engine>] {
        &mut []
    }

    /// As [`score`](Engine::score), for a caller that only wants scores of `threshold` and more: all of those are
    /// the same, and an engine may give minus infinity in place of any that are lower.
    ///
    /// # Errors
    /// As [`score`](Engine::score).
    fn score_above(
        &mut self,
        chunk: &Chunk,
        plan: &WindowPlan,
        threshold: f32,
        out: &mut Scores,
    ) -> Result<()> {
        let _ = threshold;
        self.score(chunk, plan, out)
    }
}

/// Engine that computes the scores.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum EngineKind {
    /// The fastest that can run the model on the device.
    Auto,
    /// The compiled scan kernel ([`kernel`]): the DeepBind family.
    Kernel,
    /// Convolutional networks of any kind without padding, or with real bases in its place ([`dense`]).
    Dense,
    /// Plain f64: the oracle ([`mod@reference`]).
    Reference,
    /// ONNX Runtime (feature `onnx`).
    Onnx,
}

impl EngineKind {
    /// Every engine there is.
    pub const ALL: [EngineKind; 4] =
        [EngineKind::Kernel, EngineKind::Dense, EngineKind::Onnx, EngineKind::Reference];
}

impl fmt::Display for EngineKind {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.pad(match self {
            EngineKind::Auto => "auto",
            EngineKind::Kernel => "kernel",
            EngineKind::Dense => "dense",
            EngineKind::Reference => "reference",
            EngineKind::Onnx => "onnx",
        })
    }
}

impl FromStr for EngineKind {
    type Err = String;

    fn from_str(text: &str) -> std::result::Result<Self, String> {
        let all = [EngineKind::Auto].into_iter().chain(EngineKind::ALL);
        all.into_iter().find(|kind| kind.to_string() == text).ok_or_else(|| {
            let names: Vec<String> = EngineKind::ALL.iter().map(EngineKind::to_string).collect();
            format!("unknown engine; known: auto, {}", names.join(", "))
        })
    }
}

/// Purpose for which engines are opened.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Workload {
    /// Many windows under this plan: preparing for it pays.
    Contigs(WindowPlan),
    /// Short sequences, each perhaps with a window of its own.
    Sequences,
}

/// Opens engines for `model`, one for each of `workers`.
///
/// # Errors
/// An engine that cannot run the model or has not the device, or ONNX Runtime missing where it is needed.
pub fn open(
    model: &Model,
    kind: EngineKind,
    device: Device,
    workers: usize,
    workload: Workload,
) -> Result<Vec<Box<dyn Engine>>> {
    let kind = match (kind, &model.network, device) {
        (EngineKind::Auto, Ok(_), Device::Cpu) => EngineKind::Kernel,
        (EngineKind::Auto, Err(_), Device::Cpu) => {
            let dense = dense_for(model, workload)?;
            if let Some((engine, true)) = &dense {
                return Ok(copies(engine, workers));
            }
            let opened = open_onnx(model, device, workers, workload);
            return opened.or_else(|missing| match &dense {
                Some((engine, _)) => {
                    log::info!("{missing}; the dense engine does its work");
                    Ok(copies(engine, workers))
                }
                None => Err(missing),
            });
        }
        (EngineKind::Auto, ..) => EngineKind::Onnx,
        (kind, ..) => kind,
    };
    if kind == EngineKind::Onnx {
        return open_onnx(model, device, workers, workload);
    }
    if device != Device::Cpu {
        let message = format!("the {kind} engine computes on the CPU; --device {device} needs --engine onnx");
        return Err(Error::Request(message));
    }
    if kind == EngineKind::Dense {
        let plan = match workload {
            Workload::Contigs(plan) => plan,
            Workload::Sequences => WindowPlan {
                window: model.spec.window,
                stride: 1,
                strands: StrandChoice::Forward,
                context: Context::Padding,
            },
        };
        let simd = kernel::Simd::from_environment()?;
        return Ok(copies(&dense::DenseEngine::new(model, &plan, simd)?, workers));
    }
    let network = model.network.as_ref().map_err(|why| {
        let message =
            format!("the {kind} engine runs the DeepBind family only, and {why}; use --engine onnx");
        Error::model(&model.spec.name, message)
    })?;
    let (spec, network) = (model.spec.clone(), network.clone());
    Ok(if kind == EngineKind::Kernel {
        copies(&kernel::KernelEngine::new(spec, network, kernel::Simd::from_environment()?)?, workers)
    } else {
        copies(&reference::ReferenceEngine::new(spec, network), workers)
    })
}

/// The dense engine for contigs, where it can run the model, and whether it scores the windows faster than ONNX Runtime.
///
/// # Errors
/// An instruction set that is forced and that there is not.
fn dense_for(model: &Model, workload: Workload) -> Result<Option<(dense::DenseEngine, bool)>> {
    let Workload::Contigs(plan) = workload else { return Ok(None) };
    match dense::DenseEngine::new(model, &plan, kernel::Simd::from_environment()?) {
        Ok(engine) => {
            let is_best = engine.is_best_for(&plan);
            Ok(Some((engine, is_best)))
        }
        Err(reason) => {
            log::info!("{reason}");
            Ok(None)
        }
    }
}

#[cfg(feature = "onnx")]
fn open_onnx(
    model: &Model,
    device: Device,
    workers: usize,
    workload: Workload,
) -> Result<Vec<Box<dyn Engine>>> {
    let first = onnx::OnnxEngine::new(model, device)?;
    let first = if matches!(workload, Workload::Contigs(_)) { first.scoring_together() } else { first };
    let others = (1..workers).map(|_| first.for_another_worker()).collect::<Result<Vec<_>>>()?;
    Ok([first].into_iter().chain(others).map(|engine| Box::new(engine) as Box<dyn Engine>).collect())
}

#[cfg(not(feature = "onnx"))]
fn open_onnx(model: &Model, device: Device, _: usize, _: Workload) -> Result<Vec<Box<dyn Engine>>> {
    let why = match &model.network {
        Err(why) => format!("{why}, so ONNX Runtime would have to run it"),
        Ok(_) => format!("ONNX Runtime was asked for on {device}"),
    };
    let message = format!("{why}; this bindscan is built without it (Cargo feature onnx)");
    Err(Error::model(&model.spec.name, message))
}

fn copies<E: Engine + Clone + 'static>(engine: &E, workers: usize) -> Vec<Box<dyn Engine>> {
    (0..workers).map(|_| Box::new(engine.clone()) as Box<dyn Engine>).collect()
}
