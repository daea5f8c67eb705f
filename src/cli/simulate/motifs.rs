//! `bindscan simulate motifs`.

use std::fmt::Write;
use std::fs;
use std::path::PathBuf;

use anyhow::{Result, bail, ensure};
use bindscan::Error;
use bindscan::dataset::table::is_taken_for_data;
use bindscan::io::output;
use bindscan::io::output::Output;
use bindscan::model::motif::{self, Motif};
use bindscan::simulate::dataset::{DatasetSimulation, Example, FACTORS};
use clap::Args;

use crate::cli::heading;
use crate::cli::progress::grouped;
use crate::cli::{Session, message, parse_positive};

/// Simulate labelled sequences with sites of several motifs (Koo & Eddy 2019)
///
/// Writes train.tsv, validation.tsv and test.tsv (70, 10 and 20 % of the sequences; a column of 0 and 1 for each motif:
/// train --target all), truth.bed with the implanted sites, and motifs.meme with their motifs.
#[derive(Debug, Args)]
pub(super) struct MotifsArgs {
    /// Motif file
    file: PathBuf,
    /// Implant these motifs, by ID or name, separated by commas [default: the published twelve]
    #[arg(long, value_name = "IDS", value_delimiter = ',', help_heading = heading::MOTIFS)]
    motifs: Vec<String>,
    /// Make this many sequences in all
    #[arg(long, default_value = "25000", value_parser = parse_positive, help_heading = heading::SEQUENCES)]
    sequences: usize,
    /// Set the length of a sequence
    #[arg(long, value_name = "BASES", default_value = "200", value_parser = parse_positive, help_heading = heading::SEQUENCES)]
    length: usize,
    /// Set the seed; the same one gives the same data
    #[arg(long, default_value = "1", help_heading = heading::SEQUENCES)]
    seed: u64,
    /// Write to this folder; it is made if it does not exist
    #[arg(short, long, value_name = "FOLDER", help_heading = heading::OUTPUT)]
    output: PathBuf,
}

impl MotifsArgs {
    pub(super) fn run(self, session: Session) -> Result<()> {
        let motifs = self.choose()?;
        let names = names(&motifs)?;
        let simulation =
            DatasetSimulation { sequences: self.sequences, length: self.length, seed: self.seed };
        let parts = simulation.make(&motifs)?;
        fs::create_dir_all(&self.output).map_err(Error::io(&self.output, "cannot create"))?;
        let mut files = vec![("motifs.meme".to_owned(), motif::to_meme(&motifs))];
        let mut truth = String::new();
        for (part, examples) in ["train", "validation", "test"].into_iter().zip(&parts) {
            files.push((format!("{part}.tsv"), table(part, examples, &names)));
            note_sites(&mut truth, part, examples, &motifs, &names);
        }
        files.push(("truth.bed".into(), truth));
        let mut sealed = Vec::with_capacity(files.len());
        for (name, text) in files {
            let mut output = Output::create(&self.output.join(name))?;
            output.write(text.as_bytes())?;
            sealed.push(output.seal()?);
        }
        output::publish(sealed)?;
        if !session.quiet {
            let [training, validation, test] = parts.each_ref().map(|part| grouped(part.len() as u64));
            let sites: usize = parts.iter().flatten().map(|example| example.sites.len()).sum();
            message(format_args!(
                "{training} sequences for training, {validation} for validation, {test} for test; {} sites of {} motifs",
                grouped(sites as u64),
                motifs.len()
            ));
        }
        Ok(())
    }

    /// The motifs, in the order in which they were asked for.
    fn choose(&self) -> Result<Vec<Motif>> {
        let collection = motif::read(&self.file)?;
        collection.notes().iter().for_each(|note| log::warn!("{note}"));
        let all = collection.motifs;
        let file = self.file.display();
        let published = || FACTORS.iter().map(|&factor| factor.to_owned()).collect();
        let wanted: Vec<String> = if self.motifs.is_empty() { published() } else { self.motifs.clone() };
        let mut chosen: Vec<Motif> = Vec::with_capacity(wanted.len());
        for id in &wanted {
            let Some(motif) = all.iter().find(|motif| motif.id == *id || motif.name == *id) else {
                let remedy = if self.motifs.is_empty() {
                    ", one of the published twelve; choose others with --motifs"
                } else {
                    ""
                };
                bail!("{file}: has no motif {id}{remedy}");
            };
            ensure!(!chosen.contains(motif), "--motifs: {id} is named twice");
            chosen.push(motif.clone());
        }
        Ok(chosen)
    }
}

/// A column for each motif: its name, or its ID where it has none of its own.
fn names(motifs: &[Motif]) -> Result<Vec<String>> {
    let name = |motif: &Motif| {
        let alone = motifs.iter().filter(|other| other.name == motif.name).count() == 1;
        let name = if motif.name.is_empty() || !alone { &motif.id } else { &motif.name };
        let name = name.replace(char::is_whitespace, "_");
        // A header is told from data by what stands in it.
        if is_taken_for_data(&name) { format!("{name}.motif") } else { name }
    };
    let names: Vec<String> = motifs.iter().map(name).collect();
    for (i, name) in names.iter().enumerate() {
        ensure!(!names[..i].contains(name), "two columns would be named {name}");
    }
    Ok(names)
}

fn table(part: &str, examples: &[Example], names: &[String]) -> String {
    let mut text = format!("id\tsequence\t{}\n", names.join("\t"));
    for (rank, Example { bases, .. }) in examples.iter().enumerate() {
        let _ = write!(text, "{part}{}\t{}", rank + 1, String::from_utf8_lossy(bases));
        for motif in 0..names.len() {
            text += if examples[rank].has(motif) { "\t1" } else { "\t0" };
        }
        text.push('\n');
    }
    text
}

/// Adds the sites as lines of BED.
fn note_sites(truth: &mut String, part: &str, examples: &[Example], motifs: &[Motif], names: &[String]) {
    for (rank, example) in examples.iter().enumerate() {
        for site in &example.sites {
            let (start, name) = (site.start, &names[site.motif]);
            let end = start + motifs[site.motif].width();
            let _ = writeln!(truth, "{part}{}\t{start}\t{end}\t{name}\t0\t{}", rank + 1, site.strand);
        }
    }
}
