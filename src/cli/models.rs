//! Options that say which models are run, and how.

use std::io::Read;
use std::path::{Path, PathBuf};

use anyhow::{Context as _, Result, bail, ensure};
use bindscan::engine::planned::{PlanOptions, check_names};
use bindscan::engine::{Device, EngineKind};
use bindscan::model::motif::{self, Background, MotifOptions, PwmOptions};
use bindscan::model::{Heads, Model, OpenOptions};
use bindscan::seq::window::{Context, StrandChoice};
use clap::{Args, ValueEnum};

pub(super) use bindscan::engine::planned::{Place, Planned, model_outputs, scanners};

use super::{check_stdin, heading};

#[derive(Debug, Args)]
pub(super) struct ModelArgs {
    /// Score with this ONNX file, motif file or bundled model (repeatable)
    ///
    /// All models are run in one pass. A motif file (MEME, JASPAR, TRANSFAC, HOMER, HOCOMOCO, UniPROBE, CIS-BP,
    /// Cluster-Buster, bare matrices, aligned sites; plain or gzip) gives one model for each motif, named by its ID.
    /// bindscan models lists the bundled models.
    #[arg(short, long = "model", value_name = "MODEL", required = true, help_heading = heading::MODEL)]
    models: Vec<PathBuf>,
    #[command(flatten)]
    motifs: MotifFileArgs,
    #[command(flatten)]
    plan: PlanArgs,
    /// Combine the models, folds of one training, into one with the mean of their scores
    ///
    /// Tables of sites have a column score_sd with the standard deviation of the models' scores of the window.
    #[arg(long, value_name = "mean", help_heading = heading::MODEL)]
    ensemble: Option<EnsembleArg>,
}

/// Combination of the scores of an ensemble's members.
#[derive(Debug, Clone, Copy, ValueEnum)]
enum EnsembleArg {
    /// Their mean
    Mean,
}

/// Options that choose the motifs of motif files, and make models of them.
#[derive(Debug, Args)]
pub(super) struct MotifFileArgs {
    /// Take this motif of a motif file: an ID, a name or a glob (repeatable) [default: all]
    #[arg(long = "motif", value_name = "ID|NAME|GLOB", help_heading = heading::MOTIFS)]
    patterns: Vec<String>,
    /// Compute log-odds against this background
    ///
    /// file takes the frequencies that the motif file gives, or uniform ones if it gives none.
    #[arg(long, default_value = "file", value_name = "file|uniform|A,C,G,T", value_parser = super::import::parse_background, help_heading = heading::MOTIFS)]
    motif_background: Background,
    /// Add this many pseudocounts, divided as the background is
    #[arg(long, value_name = "SITES", default_value = "0.1", help_heading = heading::MOTIFS)]
    pseudocount: f64,
    /// Fail if a motif of the file cannot be used; without this, it is skipped with a warning
    #[arg(long, help_heading = heading::MOTIFS)]
    strict_motifs: bool,
}

#[derive(Debug, Args)]
pub(super) struct PlanArgs {
    /// Set the window length [default: the model's own]
    #[arg(long, value_name = "BASES", value_parser = super::parse_positive, help_heading = heading::MODEL)]
    window: Option<usize>,
    /// Choose the strands to score; with both, the better one counts [default: the model's]
    #[arg(long, value_name = "both|+|-", allow_hyphen_values = true, help_heading = heading::MODEL)]
    strand: Option<StrandArg>,
    /// Score these outputs, by name or rank from 0, separated by commas
    #[arg(long, value_name = "OUTPUTS", value_delimiter = ',', default_value = "all", help_heading = heading::MODEL)]
    target: Vec<String>,
    /// Score these heads (graph outputs), separated by commas; all takes every one
    ///
    /// A model with several heads needs this option. bindscan inspect lists them.
    #[arg(long, value_name = "HEADS", value_delimiter = ',', help_heading = heading::MODEL)]
    head: Vec<String>,
    /// Score by the value before the sigmoid or softmax that a model ends in
    ///
    /// It ranks windows as the probability does and does not saturate. bindscan inspect says how a model ends.
    #[arg(long, help_heading = heading::MODEL)]
    logit: bool,
    /// Set the order of the input channels [default: the model's, else ACGT]
    ///
    /// For a model made elsewhere whose channels have another order, such as ATGC.
    #[arg(long, value_name = "ACGT", help_heading = heading::MODEL)]
    channels: Option<String>,
    /// Choose what lies past a window's ends: the model's padding, or the flanking bases [default: the model's]
    #[arg(long, help_heading = heading::MODEL)]
    context: Option<ContextArg>,
    /// Choose the engine; auto takes the fastest one that can run the model
    ///
    /// kernel is the built-in engine, onnx is ONNX Runtime, reference is slow and exact (64-bit), for comparison.
    #[arg(long, default_value = "auto", value_name = "auto|kernel|dense|onnx|reference", help_heading = heading::MODEL)]
    engine: EngineKind,
    /// Choose the device that ONNX Runtime uses: cpu, cuda or cuda:N
    #[arg(long, default_value = "cpu", help_heading = heading::MODEL)]
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

impl ModelArgs {
    /// True if several models are named, of which each has scores of its own.
    pub(super) fn are_several(&self) -> bool {
        self.models.len() > 1 && self.ensemble.is_none()
    }

    /// True if the models are one ensemble.
    pub(super) fn is_ensemble(&self) -> bool {
        self.ensemble.is_some()
    }

    /// Checks that a model and `input`, in words `what`, do not both come from standard input.
    pub(super) fn check_stdin(&self, input: &Path, what: &str) -> Result<()> {
        self.models.iter().try_for_each(|path| check_stdin((path, "models"), (input, what)))
    }

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
        if let Some(EnsembleArg::Mean) = self.ensemble {
            planned = vec![Planned::mean(planned)?];
        }
        check_names(&planned)?;
        Ok(planned)
    }
}

impl MotifFileArgs {
    /// The models of a motif file; `None` for any other model.
    ///
    /// A pipe is read here, once, and can only give motifs.
    pub(super) fn models(&self, path: &Path) -> Result<Option<Vec<Model>>> {
        let is_stdin = path == Path::new("-");
        let is_pipe = is_stdin || (path.exists() && !path.is_file() && !path.is_dir());
        if !is_pipe && !path.is_file() {
            return Ok(None);
        }
        let options = MotifOptions {
            patterns: self.patterns.clone(),
            pwm: PwmOptions { background: self.motif_background, pseudocount: self.pseudocount },
            strict: self.strict_motifs,
        };
        let bytes = match is_stdin {
            true => read_stdin(),
            false => std::fs::read(path),
        };
        let bytes = bytes.with_context(|| format!("{}: cannot read", path.display()))?;
        let Some((models, notes)) = motif::models_of_bytes(path, &bytes, &options)? else {
            ensure!(
                !is_pipe,
                "{}: is no motif file; an ONNX model is read from a file, not from a pipe",
                path.display()
            );
            return Ok(None);
        };
        notes.iter().for_each(|note| log::warn!("{note}"));
        Ok(Some(models))
    }

    /// As [`MotifFileArgs::models`], for the only model of a command: what chooses motifs is refused if that is no motif
    /// file.
    pub(super) fn models_of_only(&self, path: &Path) -> Result<Option<Vec<Model>>> {
        let models = self.models(path)?;
        ensure!(
            models.is_some() || self.patterns.is_empty(),
            "--motif chooses from a motif file, and {} is none",
            path.display()
        );
        Ok(models)
    }

    /// The model of a motif file from which one motif is chosen; `None` for any other model.
    pub(super) fn model(&self, path: &Path) -> Result<Option<Model>> {
        let Some(mut models) = self.models_of_only(path)? else { return Ok(None) };
        if models.len() > 1 {
            let names =
                models.iter().take(8).map(|model| model.spec.name.as_str()).collect::<Vec<_>>().join(", ");
            bail!("{}: has {} motifs, choose one with --motif: {names}", path.display(), models.len());
        }
        Ok(models.pop())
    }
}

impl PlanArgs {
    /// True if some of the outputs are left out.
    pub(super) fn chooses_targets(&self) -> bool {
        self.target != ["all"]
    }

    /// Opens a model and plans its windows.
    pub(super) fn open(&self, path: &std::path::Path, stride: usize) -> Result<Planned> {
        let (channels, logit) = (self.channels.clone(), self.logit);
        let options = OpenOptions { channels, heads: heads(&self.head), logit };
        self.plan(Model::find_with(path, &options)?, stride)
    }

    /// Plans the windows of a model.
    pub(super) fn plan(&self, model: Model, stride: usize) -> Result<Planned> {
        let context = self.context.map(|context| match context {
            ContextArg::Padding => Context::Padding,
            ContextArg::Flank => Context::Flank,
        });
        let options = PlanOptions::default()
            .window(self.window)
            .stride(stride)
            .strands(self.strand.map(StrandChoice::from))
            .outputs(self.chooses_targets().then(|| self.target.clone()))
            .context(context)
            .engine(self.engine)
            .device(self.device);
        Ok(Planned::new(model, &options)?)
    }
}

fn read_stdin() -> std::io::Result<Vec<u8>> {
    let mut bytes = Vec::new();
    std::io::stdin().lock().read_to_end(&mut bytes)?;
    Ok(bytes)
}

/// The heads that `--head` names.
pub(super) fn heads(names: &[String]) -> Heads {
    match names {
        [] => Heads::Only,
        [all] if all == "all" => Heads::All,
        names => Heads::Named(names.to_vec()),
    }
}
