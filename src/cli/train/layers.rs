//! `bindscan train --arch`: networks of layers.

use std::path::PathBuf;
use std::time::Instant;

use anyhow::{Result, bail};
use bindscan::Error;
use bindscan::dataset::Dataset;
use bindscan::model::Strands;
use bindscan::train::layers::training;
use bindscan::train::layers::training::{Progress, Training};
use bindscan::train::layers::{Architecture, Function, NetworkEngine, Settings, trained};
use bindscan::train::{Resources, metric_name};
use clap::Args;

use super::{Data, Judge, StrandsArg, TrainArgs, meter, state_path, tell_held_out};
use crate::cli::heading;
use crate::cli::{Session, message, parse_positive};

/// Options that select a training of layers.
#[derive(Debug, Args)]
pub(super) struct LayersArgs {
    /// Choose the network: deepbind, a named architecture (cnn, resnet, …) or a TOML file
    ///
    /// deepbind networks are searched for. Other names: cnn, resnet, rnn, danq, cnn-4 and those of
    /// models/ARCHITECTURES.md, which also describes the TOML file.
    #[arg(long, default_value = "deepbind", value_name = "NAME|TOML", help_heading = heading::NETWORK)]
    arch: String,
    /// Use an exponential activation after the first convolution (--arch only)
    #[arg(long, help_heading = heading::NETWORK)]
    exponential: bool,
    /// Compare epochs on this data (--arch only) [default: a tenth of the training data]
    #[arg(long, value_name = "FILE", help_heading = heading::INPUT)]
    validation: Option<PathBuf>,
    /// Limit the epochs of a fit (--arch only) [default: 100; with --quick 10]
    #[arg(long, value_parser = parse_positive, help_heading = heading::TRAINING)]
    epochs: Option<usize>,
    /// Stop after this many epochs without improvement (--arch only) [default: 12]
    ///
    /// After a third of them the learning rate falls. With --quick the default is 4.
    #[arg(long, value_name = "EPOCHS", value_parser = parse_positive, help_heading = heading::TRAINING)]
    patience: Option<usize>,
    /// Set Adam's initial learning rate (--arch only) [default: 0.001]
    #[arg(long, value_name = "RATE", help_heading = heading::TRAINING)]
    learning_rate: Option<f32>,
    /// Set the L2 penalty on weights (--arch only) [default: 1e-6]
    ///
    /// The factor of half the sum of squares.
    #[arg(long, value_name = "FACTOR", help_heading = heading::TRAINING)]
    weight_decay: Option<f32>,
}

/// Negatives made for each positive, of which an epoch takes as many as there are positives.
const NEGATIVES: f64 = 3.0;

impl LayersArgs {
    /// True if DeepBind networks are searched for.
    pub(super) fn is_deepbind(&self) -> bool {
        self.arch == "deepbind"
    }

    /// The data by which epochs are compared, if they are given.
    pub(super) fn validation(&self) -> Option<&PathBuf> {
        self.validation.as_ref()
    }

    /// The first option that only goes with layers.
    pub(super) fn misplaced(&self) -> Option<&'static str> {
        let given = [
            ("--exponential", self.exponential),
            ("--validation", self.validation.is_some()),
            ("--epochs", self.epochs.is_some()),
            ("--patience", self.patience.is_some()),
            ("--learning-rate", self.learning_rate.is_some()),
            ("--weight-decay", self.weight_decay.is_some()),
        ];
        given.into_iter().find_map(|(option, given)| given.then_some(option))
    }

    fn architecture(&self) -> Result<Architecture> {
        let architecture = Architecture::find(&self.arch)?;
        Ok(if self.exponential {
            architecture.with_first_function(Function::Exponential)
        } else {
            architecture
        })
    }

    fn settings(&self, args: &TrainArgs, strands: Strands) -> Result<Settings> {
        let rate = self.learning_rate.unwrap_or(1e-3);
        let penalty = self.weight_decay.unwrap_or(1e-6);
        if !(rate > 0.0 && rate <= 1.0) {
            bail!("--learning-rate {rate}: a number above 0, up to 1 is needed");
        }
        if !(0.0..=1.0).contains(&penalty) {
            bail!("--weight-decay {penalty}: a number from 0 to 1 is needed");
        }
        Ok(Settings {
            rate,
            penalty,
            batch: args.batch,
            epochs: self.epochs.unwrap_or(if args.quick { 10 } else { 100 }),
            patience: self.patience.unwrap_or(if args.quick { 4 } else { 12 }),
            strands,
            seed: args.seed,
        })
    }
}

/// Fits a network of layers.
pub(super) fn run(args: &TrainArgs, session: Session) -> Result<()> {
    let began = Instant::now();
    let state = state_path(&args.output, "training");
    args.check(&state)?;
    args.explain_resume(&state, session);
    if let Some(option) = args.only_for_deepbind() {
        bail!("{option} is only valid with --arch deepbind; an architecture sets it by itself");
    }
    let architecture = args.layers.architecture()?;
    let strands = match (args.strands, args.alphabet()) {
        (Some(StrandsArg::Symmetric), _) => {
            bail!("--strands symmetric: only DeepBind networks can be made symmetric; give both or single")
        }
        (Some(StrandsArg::Single), _) | (None, bindscan::model::Alphabet::Rna) => Strands::Single,
        (Some(StrandsArg::Both) | None, _) => Strands::Both,
    };
    let settings = args.layers.settings(args, strands)?;
    let Data { training: all, test, validation, notes, scaling } = args.data(NEGATIVES, strands, session)?;
    let (fitted, validation) = match validation {
        Some(validation) => (all, validation),
        None => training::split(&all, strands, args.seed)?,
    };
    let training = Training {
        architecture: &architecture,
        training: &fitted,
        validation: &validation,
        settings,
        fits: args.finals.unwrap_or(1),
    };
    let resources = args.resources(&state);
    let outcome = fit(&training, &resources, session)?;
    let mut model = trained::model(&args.name(), args.alphabet(), &training, &outcome)?;
    let engine = NetworkEngine::new(model.spec.clone(), outcome.network.clone());
    let window = model.spec.window;
    let judge = |set: &str, dataset: &Dataset| {
        let engines = (0..resources.threads).map(|_| Box::new(engine.clone()) as Box<_>).collect();
        Judge { engines, window, strands, seed: args.seed }.judge(set, dataset)
    };
    let mut outcomes = match &test {
        Some(test) => judge("held out", test)?,
        None => Vec::new(),
    };
    let measured = args.note(&mut model, scaling, &outcomes)?;
    model.save(&args.output)?;
    args.conclude(&state, session, || {
        outcomes.extend(judge("validation", &validation)?);
        outcomes.extend(judge("training", &fitted)?);
        Ok(trained::report(&model, &training, &outcome, outcomes, notes))
    })?;
    if !session.quiet {
        let chosen = &outcome.fits[outcome.chosen];
        let diverged = outcome.fits.iter().filter(|fit| fit.metric.is_none()).count();
        let validated = chosen.metric.unwrap_or(f64::NAN);
        message(format_args!(
            "{} sequences, {} parameters, {} fits ({diverged} diverged), the best after {} of {} epochs, {:.0} s; \
             {} {validated:.4} on {} validation sequences",
            fitted.len(),
            outcome.network.parameters(),
            outcome.fits.len(),
            chosen.best + 1,
            chosen.epochs.len(),
            began.elapsed().as_secs_f64(),
            metric_name(fitted.kind),
            validation.len()
        ));
        tell_held_out(&measured);
    }
    Ok(())
}

fn fit(
    training: &Training<'_>,
    resources: &Resources<'_>,
    session: Session,
) -> Result<bindscan::train::layers::training::Outcome> {
    let shown = meter::shared(session);
    let (most, metric) = (training.fits * training.settings.epochs, metric_name(training.training.kind));
    let outcome = training.run(resources, &|progress: Progress| {
        let message = || {
            let best = progress.best.map_or_else(String::new, |best| format!(", best {metric} {best:.4}"));
            format!("{} epochs, {} of {} fits done{best}", progress.epochs, progress.fits, training.fits)
        };
        meter::lock(&shown).show(progress.epochs as u64, Some(most as u64), message);
    });
    meter::lock(&shown).clear();
    match outcome {
        Err(Error::Interrupted) if resources.state.is_some_and(std::path::Path::exists) => {
            bail!("interrupted; finished epochs are kept: continue with --resume")
        }
        outcome => Ok(outcome?),
    }
}
