//! `bindscan import`.

use std::path::PathBuf;

use anyhow::{Result, bail, ensure};
use bindscan::model::motif::{self, Background, Motif, PwmOptions};
use bindscan::model::{Alphabet, Model, deepbind, name};
use clap::{Args, Subcommand, ValueEnum};

use super::{Session, message};

/// Turn a published DeepBind model or a motif matrix into an ONNX model
#[derive(Debug, Args)]
pub(super) struct ImportArgs {
    #[command(subcommand)]
    from: From,
}

#[derive(Debug, Subcommand)]
enum From {
    Deepbind(DeepbindArgs),
    Meme(MemeArgs),
}

/// A parameter file of the published DeepBind program (D00328.003.txt)
#[derive(Debug, Args)]
struct DeepbindArgs {
    /// Parameter file
    file: PathBuf,
    /// Model to write (ONNX)
    #[arg(short, long, value_name = "FILE")]
    output: PathBuf,
    /// Name of the model [default: the file's]
    #[arg(long)]
    name: Option<String>,
    /// What the model was made for (the file does not say)
    #[arg(long, default_value = "dna")]
    alphabet: AlphabetArg,
}

#[derive(Debug, Clone, Copy, ValueEnum)]
enum AlphabetArg {
    Dna,
    Rna,
}

/// A motif matrix in MEME or JASPAR format, as a log-odds model in bits
#[derive(Debug, Args)]
struct MemeArgs {
    /// Motif file
    file: PathBuf,
    /// Model to write (ONNX)
    #[arg(short, long, value_name = "FILE")]
    output: PathBuf,
    /// Which motif of the file, by ID or name
    #[arg(long, value_name = "ID")]
    motif: Option<String>,
    /// Name of the model [default: the motif's ID]
    #[arg(long)]
    name: Option<String>,
    /// Background: file (what the motif file says, else uniform), uniform, or the frequencies of A, C, G and T
    #[arg(long, default_value = "file", value_name = "file|uniform|A,C,G,T", value_parser = parse_background)]
    background: Background,
    /// Pseudocount, spread over the bases as the background is
    #[arg(long, default_value = "0.1")]
    pseudocount: f64,
}

fn parse_background(text: &str) -> Result<Background, String> {
    match text {
        "uniform" => Ok(Background::Uniform),
        "file" => Ok(Background::File),
        list => {
            let numbers: Result<Vec<f64>, _> = list.split(',').map(|field| field.trim().parse()).collect();
            let four: [f64; 4] = numbers
                .ok()
                .and_then(|numbers| numbers.try_into().ok())
                .ok_or("give uniform, file, or four numbers with commas between them")?;
            Ok(Background::Given(four))
        }
    }
}

impl ImportArgs {
    pub(super) fn run(self, session: Session) -> Result<()> {
        let (model, output) = match self.from {
            From::Deepbind(args) => (args.import()?, args.output),
            From::Meme(args) => (args.import()?, args.output),
        };
        model.save(&output)?;
        if !session.quiet {
            message(format_args!("{} written to {}", model.spec.name, output.display()));
        }
        Ok(())
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

impl MemeArgs {
    fn import(&self) -> Result<Model> {
        let motif = choose_motif(&self.file, self.motif.as_deref())?;
        let options = PwmOptions { background: self.background, pseudocount: self.pseudocount };
        let mut model = motif.to_model(&options)?;
        rename(&mut model, self.name.as_deref())?;
        Ok(model)
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
    let mut motifs = motif::open(file)?;
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
