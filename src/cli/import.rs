//! `bindscan import`.

use std::collections::HashSet;
use std::fs;
use std::path::PathBuf;

use anyhow::{Result, bail, ensure};
use bindscan::model::motif::{self, Background, Motif, MotifOptions, PwmOptions};
use bindscan::model::{Alphabet, Model, deepbind, name};
use clap::{Args, Subcommand, ValueEnum};

use super::heading;
use super::{Session, message};

/// Convert Keras models, published DeepBind models and motifs to ONNX
#[derive(Debug, Args)]
pub(super) struct ImportArgs {
    #[command(subcommand)]
    from: From,
}

#[derive(Debug, Subcommand)]
enum From {
    Deepbind(DeepbindArgs),
    #[cfg(feature = "keras")]
    Keras(KerasArgs),
    #[command(alias = "meme")]
    Motifs(MotifsArgs),
}

/// Convert a parameter file of the published DeepBind program (D00328.003.txt)
#[derive(Debug, Args)]
struct DeepbindArgs {
    /// Parameter file
    file: PathBuf,
    /// Write the model to this ONNX file
    #[arg(short, long, value_name = "FILE", help_heading = heading::OUTPUT)]
    output: PathBuf,
    /// Set the model's name [default: the file's]
    #[arg(long, help_heading = heading::OUTPUT)]
    name: Option<String>,
    /// Choose the alphabet that the model was made for (the file does not say)
    #[arg(long, default_value = "dna", help_heading = heading::MODEL)]
    alphabet: AlphabetArg,
}

#[derive(Debug, Clone, Copy, ValueEnum)]
enum AlphabetArg {
    Dna,
    Rna,
}

/// Convert a model saved by Keras 2 or 3 (.h5, .keras)
///
/// The inputs and outputs keep the names that they have in Keras. A layer that is not known is named, and nothing is
/// written. Python code in a file is never run.
#[cfg(feature = "keras")]
#[derive(Debug, Args)]
struct KerasArgs {
    /// Model file, saved whole (model.save)
    file: PathBuf,
    /// Write the model to this ONNX file
    #[arg(short, long, value_name = "FILE", help_heading = heading::OUTPUT)]
    output: PathBuf,
}

/// Convert motifs to log-odds models, in bits
///
/// The files may be MEME, JASPAR, TRANSFAC, HOMER, HOCOMOCO, UniPROBE, CIS-BP, Cluster-Buster, bare matrices or aligned
/// sites, plain or gzip; their content decides. Log-odds (HOCOMOCO's pwm) are kept as they are.
#[derive(Debug, Args)]
struct MotifsArgs {
    /// Motif files
    #[arg(required = true, value_name = "FILE")]
    files: Vec<PathBuf>,
    /// Write an ONNX file; for several motifs a folder, or a name with {name} in it
    #[arg(short, long, value_name = "FILE|FOLDER", help_heading = heading::OUTPUT)]
    output: PathBuf,
    /// Take this motif: an ID, a name or a glob (repeatable) [default: all]
    #[arg(long = "motif", value_name = "ID|NAME|GLOB", help_heading = heading::MOTIFS)]
    patterns: Vec<String>,
    /// Set the model's name [default: the motif's ID]
    #[arg(long, help_heading = heading::OUTPUT)]
    name: Option<String>,
    /// Compute log-odds against this background
    ///
    /// file takes the frequencies that the motif file gives, or uniform ones if it gives none.
    #[arg(long, default_value = "file", value_name = "file|uniform|A,C,G,T", value_parser = parse_background, help_heading = heading::MOTIFS)]
    background: Background,
    /// Add this many pseudocounts, divided as the background is
    #[arg(long, default_value = "0.1", help_heading = heading::MOTIFS)]
    pseudocount: f64,
    /// Fail if a motif of a file cannot be used; without this, it is skipped with a warning
    #[arg(long, help_heading = heading::MOTIFS)]
    strict: bool,
}

/// Distance from 1 that the sum of rounded frequencies may have.
const MOST_OFF: f64 = 0.02;

pub(super) fn parse_background(text: &str) -> Result<Background, String> {
    match text {
        "uniform" => Ok(Background::Uniform),
        "file" => Ok(Background::File),
        list => {
            let numbers: Result<Vec<f64>, _> = list.split(',').map(|field| field.trim().parse()).collect();
            let four: [f64; 4] = numbers
                .ok()
                .and_then(|numbers| numbers.try_into().ok())
                .ok_or("give uniform, file, or four numbers with commas between them")?;
            if (four.iter().sum::<f64>() - 1.0).abs() > MOST_OFF {
                return Err("the four frequencies must add up to 1".into());
            }
            Ok(Background::Given(four))
        }
    }
}

impl ImportArgs {
    pub(super) fn run(self, session: Session) -> Result<()> {
        match self.from {
            From::Deepbind(args) => {
                let model = args.import()?;
                model.save(&args.output)?;
                if !session.quiet {
                    message(format_args!("{} written to {}", model.spec.name, args.output.display()));
                }
                Ok(())
            }
            #[cfg(feature = "keras")]
            From::Keras(args) => args.run(session),
            From::Motifs(args) => args.run(session),
        }
    }
}

impl DeepbindArgs {
    fn import(&self) -> Result<Model> {
        let mut model = deepbind::open(&self.file)?;
        rename(&mut model, self.name.as_deref())?;
        if matches!(self.alphabet, AlphabetArg::Rna) {
            model.spec.alphabet = Alphabet::Rna;
        }
        Ok(model)
    }
}

#[cfg(feature = "keras")]
impl KerasArgs {
    fn run(&self, session: Session) -> Result<()> {
        let imported = bindscan::model::keras::open(&self.file)?;
        imported.save(&self.output)?;
        if !session.quiet {
            imported.notes.iter().for_each(|note| message(format_args!("{}: {note}", self.file.display())));
            let (inputs, outputs) = (imported.inputs.join(", "), imported.outputs.join(", "));
            message(format_args!("{inputs} -> {outputs} written to {}", self.output.display()));
        }
        Ok(())
    }
}

/// Placeholder for a model's name in the name of an output.
const NAME: &str = "{name}";

impl MotifsArgs {
    fn run(&self, session: Session) -> Result<()> {
        let mut models = self.models()?;
        if let [model] = &mut models[..] {
            rename(model, self.name.as_deref())?;
        }
        let outputs = self.outputs(&models)?;
        for (model, output) in models.iter().zip(&outputs) {
            model.save(output)?;
        }
        if session.quiet {
            return Ok(());
        }
        match &models[..] {
            [model] => message(format_args!("{} written to {}", model.spec.name, outputs[0].display())),
            _ => message(format_args!("{} models written to {}", models.len(), self.output.display())),
        }
        Ok(())
    }

    fn models(&self) -> Result<Vec<Model>> {
        let options = MotifOptions {
            patterns: self.patterns.clone(),
            pwm: PwmOptions { background: self.background, pseudocount: self.pseudocount },
            strict: self.strict,
        };
        let mut models = Vec::new();
        for file in &self.files {
            let Some((found, notes)) = motif::models(file, &options)? else {
                bail!("{}: not a motif file: it is not text", file.display());
            };
            notes.iter().for_each(|note| log::warn!("{note}"));
            models.extend(found);
        }
        Ok(models)
    }

    /// The file that each model is written to, no two alike.
    fn outputs(&self, models: &[Model]) -> Result<Vec<PathBuf>> {
        let text = self.output.to_string_lossy();
        let file = self.files[0].display();
        if !text.contains(NAME) && models.len() == 1 && !self.output.is_dir() {
            return Ok(vec![self.output.clone()]);
        }
        ensure!(
            self.name.is_none() || models.len() == 1,
            "{file}: has {} motifs, and --name names one; choose one with --motif",
            models.len()
        );
        let is_folder = self.output.is_dir()
            || text.ends_with(std::path::is_separator)
            || self.output.extension().is_none();
        if !text.contains(NAME) && !is_folder {
            let names =
                models.iter().take(8).map(|model| model.spec.name.as_str()).collect::<Vec<_>>().join(", ");
            bail!(
                "{file}: has {} motifs; choose one with --motif, or give a folder or {NAME}.onnx to -o; it has {names}",
                models.len()
            );
        }
        if !text.contains(NAME) {
            fs::create_dir_all(&self.output).map_err(bindscan::Error::io(&self.output, "cannot create"))?;
        }
        let mut taken = HashSet::new();
        let mut outputs = Vec::with_capacity(models.len());
        for model in models {
            let name = name::file_part(&model.spec.name);
            let output = match text.contains(NAME) {
                true => PathBuf::from(text.replace(NAME, &name)),
                false => self.output.join(format!("{name}.onnx")),
            };
            ensure!(taken.insert(output.clone()), "{}: two motifs would be written to it", output.display());
            outputs.push(output);
        }
        Ok(outputs)
    }
}

/// Gives the model the name that was asked for, if any.
fn rename(model: &mut Model, name: Option<&str>) -> Result<()> {
    if let Some(name) = name {
        ensure!(
            name::clean(name) == name,
            "--name {name:?}: a name must have letters, and no blanks, control characters, `<`, `>`, `\"` or `\\`"
        );
        name.clone_into(&mut model.spec.name);
    }
    Ok(())
}

/// The motif with an ID or name, or the only one of the file.
pub(super) fn choose_motif(file: &std::path::Path, id: Option<&str>) -> Result<Motif> {
    let collection = motif::read(file)?;
    collection.notes().iter().for_each(|note| log::warn!("{note}"));
    let mut motifs = collection.motifs;
    let known = || {
        let mut names: Vec<String> = motifs.iter().take(8).map(|motif| motif.id.clone()).collect();
        if motifs.len() > names.len() {
            names.push(format!("and {} more", motifs.len() - names.len()));
        }
        names.join(", ")
    };
    let file = file.display();
    match id {
        Some(id) => match motifs.iter().position(|motif| motif.id == id || motif.name == id) {
            Some(at) => Ok(motifs.swap_remove(at)),
            None => bail!("{file}: has no motif {id}; it has {}", known()),
        },
        None => {
            ensure!(
                motifs.len() == 1,
                "{file}: has {} motifs, choose one with --motif: {}",
                motifs.len(),
                known()
            );
            Ok(motifs.remove(0))
        }
    }
}
