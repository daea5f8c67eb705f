//! Scans a genome with a model, and prints its sites.
//!
//! `cargo run --release --example scan_genome -- genome.fa ELK1 1.0`
#![allow(clippy::print_stdout, reason = "it is a program")]

use std::process::ExitCode;

use bindscan::{Model, Scan};

fn main() -> ExitCode {
    let arguments: Vec<String> = std::env::args().skip(1).collect();
    let [genome, model, threshold] = &arguments[..] else {
        eprintln!("usage: scan_genome GENOME MODEL THRESHOLD");
        return ExitCode::from(2);
    };
    let Ok(threshold) = threshold.parse() else {
        eprintln!("{threshold} is no number");
        return ExitCode::from(2);
    };
    match scan(genome, model, threshold) {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) => {
            eprintln!("{error}");
            ExitCode::FAILURE
        }
    }
}

fn scan(genome: &str, model: &str, threshold: f32) -> bindscan::Result<()> {
    let mut sites = Scan::new(genome).models(Model::find_all(model)?).threshold(threshold).sites()?;
    let names = sites.names().to_vec();
    for site in &mut sites {
        let site = site?;
        let strand = site.strand.map_or('.', bindscan::seq::contig::Strand::symbol);
        println!(
            "{}\t{}\t{}\t{}\t{}\t{strand}",
            site.contig, site.start, site.end, names[site.target], site.score
        );
    }
    if let Some(summary) = sites.summary() {
        eprintln!("{} sites in {} bases", summary.sites, summary.bases);
    }
    Ok(())
}
