//! Models planned for scoring: which windows of which outputs are scored, on which strands, and by which engine.

use crate::engine::ensemble::MeanEngine;
use crate::engine::kernel::{MatrixScanner, Simd};
use crate::engine::scanner::{EngineScanner, Scanner, Scanners};
use crate::engine::{self, Device, Engine, EngineKind, Workload};
use crate::io::digest::of_bytes;
use crate::model::{LONGEST_WINDOW, Model, Network, Strands};
use crate::seq::window::{Context, StrandChoice, WindowPlan};
use crate::{Error, Result};

/// Options for scoring with a model. The defaults are the model's own window, strands and context, every output, a stride of
/// 1, and the fastest engine on the CPU.
///
/// ```
/// use bindscan::Model;
/// use bindscan::engine::planned::{PlanOptions, Planned};
/// use bindscan::seq::window::StrandChoice;
///
/// let options = PlanOptions::default().window(30).strands(StrandChoice::Forward);
/// let planned = Planned::new(Model::find("ELK1")?, &options)?;
/// assert_eq!(planned.plan().window, 30);
/// # Ok::<(), bindscan::Error>(())
/// ```
#[derive(Debug, Clone, PartialEq)]
pub struct PlanOptions {
    window: Option<usize>,
    stride: usize,
    strands: Option<StrandChoice>,
    outputs: Option<Vec<String>>,
    context: Option<Context>,
    engine: EngineKind,
    device: Device,
}

impl Default for PlanOptions {
    fn default() -> PlanOptions {
        PlanOptions {
            window: None,
            stride: 1,
            strands: None,
            outputs: None,
            context: None,
            engine: EngineKind::Auto,
            device: Device::Cpu,
        }
    }
}

impl PlanOptions {
    /// Sets the window in bases; `None` is the model's own.
    pub fn window(self, window: impl Into<Option<usize>>) -> Self {
        PlanOptions { window: window.into(), ..self }
    }

    /// Sets the bases between window starts.
    pub fn stride(self, stride: usize) -> Self {
        PlanOptions { stride, ..self }
    }

    /// Sets the strands that are scored; `None` is as the model says.
    pub fn strands(self, strands: impl Into<Option<StrandChoice>>) -> Self {
        PlanOptions { strands: strands.into(), ..self }
    }

    /// Scores these outputs only, in this order: names, or ranks from 0. `None` is every output.
    pub fn outputs(self, outputs: impl Into<Option<Vec<String>>>) -> Self {
        PlanOptions { outputs: outputs.into(), ..self }
    }

    /// Sets what lies past a window's ends; `None` is as the model says.
    pub fn context(self, context: impl Into<Option<Context>>) -> Self {
        PlanOptions { context: context.into(), ..self }
    }

    /// Sets the engine.
    pub fn engine(self, engine: EngineKind) -> Self {
        PlanOptions { engine, ..self }
    }

    /// Sets the device that ONNX Runtime computes on.
    pub fn device(self, device: Device) -> Self {
        PlanOptions { device, ..self }
    }
}

/// A model with the windows it is to score.
#[derive(Debug, Clone)]
pub struct Planned {
    /// The model, with the outputs that are scored.
    pub(crate) model: Model,
    /// The windows.
    pub(crate) plan: WindowPlan,
    engine: EngineKind,
    device: Device,
    /// Further models of an ensemble, whose scores are averaged with the model's.
    others: Vec<Model>,
}

impl Planned {
    /// Plans the windows of a model.
    ///
    /// # Errors
    /// A window or stride of 0, a model without a window where none is set, an output that the model does not have.
    pub fn new(mut model: Model, options: &PlanOptions) -> Result<Planned> {
        let window = model.window(options.window)?;
        if window == 0 || options.stride == 0 {
            return Err(Error::Request("window and stride must be at least 1 base".into()));
        }
        if window > LONGEST_WINDOW || options.stride > LONGEST_WINDOW {
            return Err(Error::Request(format!("window and stride must be at most {LONGEST_WINDOW} bases")));
        }
        if model.free_window {
            // It is the model's own from here on, and stays so in a file that is written.
            (model.spec.window, model.free_window) = (window, false);
        }
        if let Some(outputs) = &options.outputs {
            model = model.with_outputs(outputs)?;
        }
        let strands = options.strands.unwrap_or(match model.spec.strands {
            Strands::Both => StrandChoice::Both,
            Strands::Single | Strands::Symmetric => StrandChoice::Forward,
        });
        let context = options.context.unwrap_or(model.spec.context);
        let plan = WindowPlan { window, stride: options.stride, strands, context };
        let (engine, device) = (options.engine, options.device);
        Ok(Planned { model, plan, engine, device, others: Vec::new() })
    }

    /// The model, with the outputs that are scored.
    pub fn model(&self) -> &Model {
        &self.model
    }

    /// Takes the model, with the outputs that are scored, out of its plan.
    pub fn into_model(self) -> Model {
        self.model
    }

    /// The windows.
    pub fn plan(&self) -> &WindowPlan {
        &self.plan
    }

    /// The network, if it can be scanned as a motif matrix.
    fn as_matrix(&self) -> Option<&Network> {
        let kernel =
            matches!(self.engine, EngineKind::Auto | EngineKind::Kernel) && self.device == Device::Cpu;
        let is_fit = kernel && self.others.is_empty();
        self.model.network.as_ref().ok().filter(|network| is_fit && network.is_matrix(self.plan.window))
    }

    fn log(&self, engine: &str) {
        let WindowPlan { window, stride, .. } = self.plan;
        let name = &self.model.spec.name;
        log::info!("{name}: window {window}, stride {stride}, engine {engine}");
        if let Some(digest) = &self.model.digest {
            log::debug!("{name}: SHA-256 {digest}");
        }
    }

    /// Opens engines for the model, one for each worker.
    ///
    /// # Errors
    /// As [`engine::open`].
    pub fn engines(&self, workers: usize, workload: Workload) -> Result<Vec<Box<dyn Engine>>> {
        let engines = engine::open(&self.model, self.engine, self.device, workers, workload)?;
        if self.others.is_empty() {
            return Ok(engines);
        }
        let mut members: Vec<Vec<Box<dyn Engine>>> = engines.into_iter().map(|engine| vec![engine]).collect();
        for other in &self.others {
            let engines = engine::open(other, self.engine, self.device, workers, workload)?;
            members.iter_mut().zip(engines).for_each(|(members, engine)| members.push(engine));
        }
        let mean = |members| Box::new(MeanEngine::new(self.model.spec.clone(), members)) as Box<dyn Engine>;
        Ok(members.into_iter().map(mean).collect())
    }

    /// Makes one model of several, which has the mean of their scores. It has the first one's name with `_mean` behind it.
    ///
    /// # Errors
    /// Fewer than two models, and models that differ in their windows, outputs or activation.
    pub fn mean(models: Vec<Planned>) -> Result<Planned> {
        let mut members = models.into_iter();
        let few = || Error::Request("an ensemble needs several models (-m A -m B)".into());
        let mut first = members.next().ok_or_else(few)?;
        let mut digest = first.model.digest.clone().unwrap_or_default();
        for member in members {
            let (own, other) = (&first.model.spec, &member.model.spec);
            // A single output may have another name in each model; several must be the same ones.
            let same_outputs = match (&own.outputs[..], &other.outputs[..]) {
                ([_], [_]) => true,
                (own, other) => own == other,
            };
            let alike = first.plan == member.plan
                && same_outputs
                && own.strands == other.strands
                && own.activation == other.activation;
            if !alike {
                return Err(Error::Mismatch(format!(
                    "{} and {} make no ensemble: they differ in their window, strands, outputs or activation",
                    own.name, other.name
                )));
            }
            digest += member.model.digest.as_deref().unwrap_or_default();
            first.others.push(member.model);
        }
        if first.others.is_empty() {
            return Err(few());
        }
        let Model { spec, digest: own, .. } = &mut first.model;
        spec.name += "_mean";
        // The calibration was that of one of them.
        spec.null = None;
        spec.thresholds.clear();
        *own = Some(of_bytes(digest.as_bytes()));
        Ok(first)
    }

    /// The model, or the members of the ensemble.
    pub(crate) fn members(&self) -> impl Iterator<Item = &Model> {
        std::iter::once(&self.model).chain(&self.others)
    }

    /// True if the model's scores are the mean of several models'.
    pub fn is_ensemble(&self) -> bool {
        !self.others.is_empty()
    }

    /// Bases of the shortest sequence that the model, or each member of an ensemble, can score.
    pub fn shortest(&self) -> usize {
        let shortest = |model: &Model| {
            model.network.as_ref().map_or(model.input.length.unwrap_or(1), |network| {
                network.filter_length.saturating_sub(network.padding.left + network.padding.right).max(1)
            })
        };
        self.members().map(shortest).max().unwrap_or(1)
    }

    /// The model's outputs, of which the first has this place.
    pub fn outputs(&self, place: Place) -> Vec<ModelOutput> {
        let output = |(rank, name)| ModelOutput {
            name,
            scanner: place.scanner,
            output: place.output + rank,
            window: self.plan.window,
            shortest: self.shortest(),
            symmetric: self.model.spec.strands == Strands::Symmetric,
        };
        self.names().into_iter().enumerate().map(output).collect()
    }

    /// Names of the model's columns or targets: the model's own name, and the output's where it has several.
    pub fn names(&self) -> Vec<String> {
        let spec = &self.model.spec;
        match spec.outputs.as_slice() {
            [_] => vec![spec.name.clone()],
            many => many.iter().map(|output| format!("{}.{output}", spec.name)).collect(),
        }
    }
}

/// Refuses models of which two have the same name, as their columns and sites could not be told apart.
///
/// # Errors
/// The name.
pub fn check_names(models: &[Planned]) -> Result<()> {
    let mut names: Vec<String> = models.iter().flat_map(Planned::names).collect();
    names.sort();
    match names.windows(2).find(|pair| pair[0] == pair[1]) {
        Some(twice) => Err(Error::Mismatch(format!(
            "two models are named {}: give them different names (import --name)",
            twice[0]
        ))),
        None => Ok(()),
    }
}

/// Source of a model's scores.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct Place {
    /// Rank of the scanner.
    pub scanner: usize,
    /// The scanner's output that is the model's first.
    pub output: usize,
}

/// One output of one model, and the scanner that scores it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct ModelOutput {
    /// Name, as files show it.
    pub name: String,
    /// Rank of the scanner.
    pub scanner: usize,
    /// Output of that scanner: a model's output, or a matrix's rank.
    pub output: usize,
    /// Window in bases.
    pub window: usize,
    /// Bases of the shortest sequence that the model can score.
    pub shortest: usize,
    /// True if both strands have the same score, so that a window has no strand.
    pub symmetric: bool,
}

/// Lists the outputs of each model, in the order of the models.
pub fn model_outputs(models: &[Planned], places: &[Place]) -> Vec<ModelOutput> {
    models.iter().zip(places).flat_map(|(planned, &place)| planned.outputs(place)).collect()
}

/// Makes scanners for each of `workers`, and gives the place of each model among them. Matrices that are read alike share
/// one.
///
/// # Errors
/// As [`engine::open`].
pub fn scanners(models: &[Planned], workers: usize) -> Result<(Vec<Scanners>, Vec<Place>)> {
    let mut made: Vec<Scanners> = (0..workers).map(|_| Scanners::new()).collect();
    let mut places = vec![Place::default(); models.len()];
    for (rank, planned) in models.iter().enumerate() {
        let scanner = made[0].len();
        if planned.as_matrix().is_none() {
            let engines = planned.engines(workers, Workload::Contigs(planned.plan))?;
            planned.log(&engines[0].description());
            places[rank] = Place { scanner, output: 0 };
            for (worker, engine) in made.iter_mut().zip(engines) {
                worker.push(Box::new(EngineScanner::new(engine, planned.plan)));
            }
            continue;
        }
        let alike = |other: &Planned| {
            let reads = |planned: &Planned| (planned.plan.strands, planned.plan.stride);
            other.as_matrix().is_some() && reads(other) == reads(planned)
        };
        if models[..rank].iter().any(alike) {
            continue;
        }
        let group: Vec<usize> = (rank..models.len()).filter(|&other| alike(&models[other])).collect();
        let networks: Vec<&Network> = group.iter().filter_map(|&member| models[member].as_matrix()).collect();
        let matrices = MatrixScanner::new(&networks, &planned.plan, Simd::from_environment()?);
        for (output, &member) in group.iter().enumerate() {
            models[member].log(&matrices.description());
            places[member] = Place { scanner, output };
        }
        made.iter_mut().for_each(|worker| worker.push(Box::new(matrices.clone())));
    }
    Ok((made, places))
}
