//! `bindscan simulate genome`.

use std::path::PathBuf;

use anyhow::Result;
use bindscan::Error;
use bindscan::io::output::Output;
use bindscan::simulate::Simulation;
use clap::Args;

use crate::cli::heading;
use crate::cli::import::choose_motif;
use crate::cli::progress::grouped;
use crate::cli::{CANCELLED, Session, message, parse_count, parse_positive};

/// Letters on a line of FASTA.
const LINE: usize = 60;

/// Simulate a genome of random bases with sites drawn from a motif
#[derive(Debug, Args)]
pub(super) struct GenomeArgs {
    /// Motif file to draw the sites from
    file: PathBuf,
    /// Take this motif of the file, by ID or name
    #[arg(long, value_name = "ID", help_heading = heading::MOTIFS)]
    motif: Option<String>,
    /// Set the total length
    #[arg(long, value_name = "BASES", default_value = "100M", value_parser = parse_count, help_heading = heading::GENOME)]
    length: u64,
    /// Set the number of contigs
    #[arg(long, default_value = "4", value_parser = parse_positive, help_heading = heading::GENOME)]
    contigs: usize,
    /// Set the fraction of G and C
    #[arg(long, default_value = "0.41", help_heading = heading::GENOME)]
    gc: f64,
    /// Implant this many sites in all
    #[arg(long, default_value = "10000", value_parser = parse_count, help_heading = heading::GENOME)]
    sites: u64,
    /// Set the seed; the same one gives the same genome
    #[arg(long, default_value = "1", help_heading = heading::GENOME)]
    seed: u64,
    /// Write the genome to this FASTA file; - is standard output
    #[arg(short, long, value_name = "FASTA", default_value = "-", help_heading = heading::OUTPUT)]
    output: PathBuf,
    /// Write the implanted sites to this BED file
    #[arg(long, value_name = "BED", help_heading = heading::OUTPUT)]
    truth: PathBuf,
}

impl GenomeArgs {
    pub(super) fn run(self, session: Session) -> Result<()> {
        let motif = choose_motif(&self.file, self.motif.as_deref())?;
        let simulation = Simulation {
            length: self.length,
            contigs: self.contigs,
            gc: self.gc,
            sites: self.sites,
            seed: self.seed,
        };
        simulation.check(motif.width())?;
        let mut genome = Output::create(&self.output)?;
        let mut truth = Output::create(&self.truth)?;
        for index in 0..self.contigs {
            let (name, bases, sites) = simulation.contig(index, &motif.counts);
            genome.write(format!(">{name}\n").as_bytes())?;
            for line in bases.chunks(LINE) {
                genome.write(line)?;
                genome.write(b"\n")?;
            }
            for site in sites {
                let end = site.start + motif.width() as u64;
                let line = format!("{name}\t{}\t{end}\t{}\t0\t{}\n", site.start, motif.id, site.strand);
                truth.write(line.as_bytes())?;
            }
            if CANCELLED.load(std::sync::atomic::Ordering::Relaxed) {
                return Err(Error::Interrupted.into());
            }
        }
        genome.finish()?;
        truth.finish()?;
        if !session.quiet {
            let (length, sites) = (grouped(self.length), grouped(self.sites));
            message(format_args!(
                "{length} bases in {} contigs, {sites} sites of {}",
                self.contigs, motif.id
            ));
        }
        Ok(())
    }
}
