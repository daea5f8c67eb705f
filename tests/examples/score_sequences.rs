//! Scores the sequences of a FASTA file with a model, one after another, and prints the best of them.
//!
//! `cargo run --release --example score_sequences -- sequences.fa ELK1`
#![allow(clippy::print_stdout, reason = "it is a program")]

use std::path::Path;
use std::process::ExitCode;

use bindscan::genome::sequences::SequenceReader;
use bindscan::io::input::Input;
use bindscan::{Error, Model, Result};

fn main() -> ExitCode {
    let arguments: Vec<String> = std::env::args().skip(1).collect();
    let [sequences, model] = &arguments[..] else {
        eprintln!("usage: score_sequences SEQUENCES MODEL");
        return ExitCode::from(2);
    };
    match best(Path::new(sequences), model) {
        Ok(Some((name, score))) => {
            println!("{name}\t{score}");
            ExitCode::SUCCESS
        }
        Ok(None) => {
            eprintln!("{sequences}: no sequence is long enough for the model");
            ExitCode::FAILURE
        }
        // Errors can be told apart by their kinds.
        Err(Error::Io { path, source, .. }) => {
            eprintln!("{} cannot be read: {source}", path.display());
            ExitCode::from(3)
        }
        Err(error) => {
            eprintln!("{error}");
            ExitCode::FAILURE
        }
    }
}

/// The sequence with the highest score of the model's first output.
fn best(sequences: &Path, model: &str) -> Result<Option<(String, f32)>> {
    let mut scorer = Model::find(model)?.scorer()?;
    let mut reader = SequenceReader::new(sequences, Input::open(sequences)?, None)?;
    let mut best: Option<(String, f32)> = None;
    while let Some(sequence) = reader.read()? {
        let score = scorer.score_codes(&sequence.codes)?[0];
        if !score.is_nan() && best.as_ref().is_none_or(|(_, highest)| score > *highest) {
            best = Some((sequence.name, score));
        }
    }
    Ok(best)
}
