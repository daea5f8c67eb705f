//! Writes a track of its own: for each kilobase of a genome, the share of windows that score above a threshold.
//!
//! `cargo run --release --example custom_track -- genome.fa ELK1 0.5`
#![allow(clippy::print_stdout, reason = "it is a program")]

use std::process::ExitCode;

use bindscan::{Model, Scan};

/// Bases of a line.
const STEP: usize = 1000;

fn main() -> ExitCode {
    let arguments: Vec<String> = std::env::args().skip(1).collect();
    let [genome, model, threshold] = &arguments[..] else {
        eprintln!("usage: custom_track GENOME MODEL THRESHOLD");
        return ExitCode::from(2);
    };
    let Ok(threshold) = threshold.parse() else {
        eprintln!("{threshold} is no number");
        return ExitCode::from(2);
    };
    match write_track(genome, model, threshold) {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) => {
            eprintln!("{error}");
            ExitCode::FAILURE
        }
    }
}

fn write_track(genome: &str, model: &str, threshold: f32) -> bindscan::Result<()> {
    for track in Scan::new(genome).model(Model::find(model)?).scores()? {
        let track = track?;
        for (i, values) in track.values.chunks(STEP).enumerate() {
            // Places without a window are NaN.
            let scored = values.iter().filter(|value| !value.is_nan()).count();
            let above = values.iter().filter(|&&value| value >= threshold).count();
            let start = track.start + (i * STEP) as u64;
            let share = above as f64 / scored.max(1) as f64;
            println!("{}\t{start}\t{}\t{share:.4}", track.contig, start + values.len() as u64);
        }
    }
    Ok(())
}
