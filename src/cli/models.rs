//! Options that say which models are run, and how.

use std::path::PathBuf;

use anyhow::{Result, bail, ensure};
use bindscan::engine;
use bindscan::engine::kernel::{MatrixScanner, Simd};
use bindscan::engine::{Device, Engine, EngineKind, Workload};
use bindscan::model::motif::{self, Background, MotifOptions, PwmOptions};
use bindscan::model::{Heads, Model, Network, OpenOptions, Strands};
use bindscan::scan::Scanner;
use bindscan::seq::window::{Context, StrandChoice, WindowPlan};
use bindscan::variants::scorer::Target;
use clap::{Args, ValueEnum};

#[derive(Debug, Args)]
pub(super) struct ModelArgs {
    /// Model: an ONNX file, a motif file, or the name of a bundled model (repeatable; all are run in one pass)
    ///
    /// A motif file (MEME, JASPAR, TRANSFAC, HOMER, HOCOMOCO, UniPROBE, CIS-BP, Cluster-Buster, bare matrices, aligned sites;
    /// plain or gzip) gives one model for each motif, named by its ID.
    #[arg(short, long = "model", value_name = "MODEL", required = true)]
    models: Vec<PathBuf>,
    #[command(flatten)]
    motifs: MotifFileArgs,
    #[command(flatten)]
    plan: PlanArgs,
}

/// How the motifs of motif files are chosen, and become models.
#[derive(Debug, Args)]
pub(super) struct MotifFileArgs {
    /// Take this motif of a motif file: an ID, a name, or a glob (repeatable) [default: all]
    #[arg(long = "motif", value_name = "ID|NAME|GLOB", help_heading = MOTIF_HEADING)]
    patterns: Vec<String>,
    /// Compare a motif with this background: file (what its file says, else uniform), uniform, or A,C,G,T
    #[arg(long, default_value = "file", value_name = "file|uniform|A,C,G,T", value_parser = super::import::parse_background,
          help_heading = MOTIF_HEADING)]
    motif_background: Background,
    /// Add a pseudocount to a motif, spread over the bases as the background is
    #[arg(long, value_name = "SITES", default_value = "0.1", help_heading = MOTIF_HEADING)]
    pseudocount: f64,
    /// Fail if a motif of the file cannot be used
    #[arg(long, help_heading = MOTIF_HEADING)]
    strict_motifs: bool,
}

const MOTIF_HEADING: &str = "Options for motif files";

#[derive(Debug, Args)]
pub(super) struct PlanArgs {
    /// Window in bases [default: the model's own]
    #[arg(long, value_name = "BASES", value_parser = super::parse_positive)]
    window: Option<usize>,
    /// Strands to score, the better one counting [default: as the model says]
    #[arg(long, value_name = "both|+|-", allow_hyphen_values = true)]
    strand: Option<StrandArg>,
    /// Outputs of the model, by name or rank from 0, separated by commas; all: every one
    #[arg(long, value_name = "OUTPUTS", value_delimiter = ',', default_value = "all")]
    target: Vec<String>,
    /// Score these heads (graph outputs) of a model with several, comma-separated; all takes every one
    #[arg(long, value_name = "HEADS", value_delimiter = ',')]
    head: Vec<String>,
    /// Order of the channels of a model made elsewhere [default: as the model says, ACGT if it does not]
    #[arg(long, value_name = "ACGT")]
    channels: Option<String>,
    /// What lies past a window's ends: the model's padding, or the real bases beside it
    #[arg(long, default_value = "padding")]
    context: ContextArg,
    /// What computes the scores; auto takes the fastest that can
    #[arg(long, default_value = "auto", value_name = "auto|kernel|onnx|reference")]
    engine: EngineKind,
    /// Where ONNX Runtime computes: cpu, cuda or cuda:N
    #[arg(long, default_value = "cpu")]
    device: Device,
}

#[derive(Debug, Clone, Copy, ValueEnum)]
pub(super) enum StrandArg {
    Both,
    #[value(name = "+")]
    Forward,
    #[value(name = "-")]
    Reverse,
}

#[derive(Debug, Clone, Copy, ValueEnum)]
pub(super) enum ContextArg {
    Padding,
    Flank,
}

impl From<StrandArg> for StrandChoice {
    fn from(strand: StrandArg) -> Self {
        match strand {
            StrandArg::Both => StrandChoice::Both,
            StrandArg::Forward => StrandChoice::Forward,
            StrandArg::Reverse => StrandChoice::Reverse,
        }
    }
}

/// A model with the windows it is to score.
pub(super) struct Planned {
    pub(super) model: Model,
    pub(super) plan: WindowPlan,
    kind: EngineKind,
    device: Device,
}

impl Planned {
    /// The network, if it can be scanned as a motif matrix.
    fn as_matrix(&self) -> Option<&Network> {
        let kernel = matches!(self.kind, EngineKind::Auto | EngineKind::Kernel) && self.device == Device::Cpu;
        self.model.network.as_ref().ok().filter(|network| kernel && network.is_matrix(self.plan.window))
    }

    fn log(&self, engine: &str) {
        let WindowPlan { window, stride, .. } = self.plan;
        let name = &self.model.spec.name;
        log::info!("{name}: window {window}, stride {stride}, engine {engine}");
        if let Some(digest) = &self.model.digest {
            log::debug!("{name}: SHA-256 {digest}");
        }
    }

    /// Engines for the model, one for each worker.
    pub(super) fn engines(&self, workers: usize, workload: Workload) -> Result<Vec<Box<dyn Engine>>> {
        Ok(engine::open(&self.model, self.kind, self.device, workers, workload)?)
    }

    /// Bases of the shortest sequence that the model can score.
    pub(super) fn shortest(&self) -> usize {
        self.model.network.as_ref().map_or(self.model.input.length.unwrap_or(1), |network| {
            network.detector_length.saturating_sub(network.padding.left + network.padding.right).max(1)
        })
    }

    /// Names of the model's columns or targets: the model's own name, and the output's where it has several.
    pub(super) fn names(&self) -> Vec<String> {
        let spec = &self.model.spec;
        match spec.outputs.as_slice() {
            [_] => vec![spec.name.clone()],
            many => many.iter().map(|output| format!("{}.{output}", spec.name)).collect(),
        }
    }
}

impl ModelArgs {
    /// Opens the models and plans their windows.
    pub(super) fn open(&self, stride: usize) -> Result<Vec<Planned>> {
        let mut planned = Vec::new();
        let mut motif_file = false;
        for path in &self.models {
            match self.motifs.models(path)? {
                Some(models) => {
                    motif_file = true;
                    ensure!(
                        self.plan.channels.is_none(),
                        "--channels is for networks; {} is a motif file, which says its order",
                        path.display()
                    );
                    for model in models {
                        planned.push(self.plan.plan(model, stride)?);
                    }
                }
                None => planned.push(self.plan.open(path, stride)?),
            }
        }
        ensure!(
            motif_file || self.motifs.patterns.is_empty(),
            "--motif chooses from a motif file, and no model is one"
        );
        let mut names: Vec<String> = planned.iter().flat_map(Planned::names).collect();
        names.sort();
        if let Some(twice) = names.windows(2).find(|pair| pair[0] == pair[1]) {
            bail!("two models are named {}: give them different names (import --name)", twice[0]);
        }
        Ok(planned)
    }
}

impl MotifFileArgs {
    /// The models of a motif file; `None` for any other model.
    pub(super) fn models(&self, path: &std::path::Path) -> Result<Option<Vec<Model>>> {
        if !path.is_file() {
            return Ok(None);
        }
        let options = MotifOptions {
            patterns: self.patterns.clone(),
            pwm: PwmOptions { background: self.motif_background, pseudocount: self.pseudocount },
            strict: self.strict_motifs,
        };
        let Some((models, notes)) = motif::models(path, &options)? else { return Ok(None) };
        notes.iter().for_each(|note| log::warn!("{note}"));
        Ok(Some(models))
    }

    /// The model of a motif file from which one motif is chosen; `None` for any other model.
    pub(super) fn model(&self, path: &std::path::Path) -> Result<Option<Model>> {
        let Some(mut models) = self.models(path)? else { return Ok(None) };
        if models.len() > 1 {
            let names =
                models.iter().take(8).map(|model| model.spec.name.as_str()).collect::<Vec<_>>().join(", ");
            bail!("{}: has {} motifs, choose one with --motif: {names}", path.display(), models.len());
        }
        Ok(models.pop())
    }
}

impl PlanArgs {
    /// Whether some of the outputs are left out.
    pub(super) fn chooses_targets(&self) -> bool {
        self.target != ["all"]
    }

    /// Opens a model and plans its windows.
    pub(super) fn open(&self, path: &std::path::Path, stride: usize) -> Result<Planned> {
        let options = OpenOptions { channels: self.channels.clone(), heads: heads(&self.head) };
        self.plan(Model::find_with(path, &options)?, stride)
    }

    /// Plans the windows of a model.
    pub(super) fn plan(&self, mut model: Model, stride: usize) -> Result<Planned> {
        let window = model.window(self.window)?;
        if model.free_window {
            // It is the model's own from here on, and stays so in a file that is written.
            (model.spec.window, model.free_window) = (window, false);
        }
        if self.chooses_targets() {
            model = model.with_outputs(&self.target)?;
        }
        let spec = &model.spec;
        let strands = match (self.strand, spec.strands) {
            (Some(strand), _) => strand.into(),
            (None, Strands::Both) => StrandChoice::Both,
            (None, Strands::Single | Strands::Symmetric) => StrandChoice::Forward,
        };
        let context = match self.context {
            ContextArg::Padding => Context::Padding,
            ContextArg::Flank => Context::Flank,
        };
        let plan = WindowPlan { window, stride, strands, context };
        Ok(Planned { plan, kind: self.engine, device: self.device, model })
    }
}

/// The heads that `--head` names.
pub(super) fn heads(names: &[String]) -> Heads {
    match names {
        [] => Heads::Only,
        [all] if all == "all" => Heads::All,
        names => Heads::Named(names.to_vec()),
    }
}

/// Where a model's scores come from.
#[derive(Debug, Clone, Copy, Default)]
pub(super) struct Place {
    /// Rank of the scanner.
    pub(super) scanner: usize,
    /// The scanner's output that is the model's first.
    pub(super) output: usize,
}

/// Scanners for each of `workers`, and the place of each model among them. Matrices that are read alike share one.
pub(super) fn scanners(models: &[Planned], workers: usize) -> Result<(Vec<Vec<Scanner>>, Vec<Place>)> {
    let mut made: Vec<Vec<Scanner>> = (0..workers).map(|_| Vec::new()).collect();
    let mut places = vec![Place::default(); models.len()];
    for (rank, planned) in models.iter().enumerate() {
        let scanner = made[0].len();
        if planned.as_matrix().is_none() {
            let engines = planned.engines(workers, Workload::Contigs)?;
            planned.log(&engines[0].description());
            places[rank] = Place { scanner, output: 0 };
            for (worker, engine) in made.iter_mut().zip(engines) {
                worker.push(Scanner::Model { engine, plan: planned.plan });
            }
            continue;
        }
        let alike =
            |other: &Planned| other.as_matrix().is_some() && other.plan.strands == planned.plan.strands;
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
        made.iter_mut().for_each(|worker| worker.push(Scanner::Matrices(matrices.clone())));
    }
    Ok((made, places))
}

/// A target for each output of each model, in the order of the models, for scoring alleles.
pub(super) fn variant_targets(models: &[Planned], places: &[Place]) -> Vec<Target> {
    let of_model = |(planned, place): (&Planned, &Place)| {
        let target = |(output, name)| Target {
            name,
            scanner: place.scanner,
            output: place.output + output,
            window: planned.plan.window,
            shortest: planned.shortest(),
            symmetric: planned.model.spec.strands == Strands::Symmetric,
        };
        planned.names().into_iter().enumerate().map(target).collect::<Vec<_>>()
    };
    models.iter().zip(places).flat_map(of_model).collect()
}
