//! `bindscan motifs`.

use std::fmt::Write;
use std::fs;
use std::path::{Path, PathBuf};

use anyhow::{Result, ensure};
use bindscan::Error;
use bindscan::dataset::peaks::PeakOptions;
use bindscan::dataset::table::TableOptions;
use bindscan::genome::sequences::Column;
use bindscan::io::output::Output;
use bindscan::model::motif::similarity::{Database, Match};
use bindscan::model::motif::{self, Motif};
use bindscan::model::{Alphabet, Heads, Model, OpenOptions, Strands, name};
use bindscan::motifs;
use bindscan::motifs::Trim;
use bindscan::motifs::report::{ComparedWith, FilterEntry, FilterReport};
use bindscan::motifs::sequences::Sequences;
use bindscan::motifs::sites::{Learned, Method, Search, learn};
use bindscan::report::counted;
use bindscan::report::logo::Logo;
use clap::{Args, ValueEnum};
use rayon::prelude::*;

use super::heading;
use super::models::StrandArg;
use super::progress::grouped;
use super::{Session, message};

/// Show what the first-layer filters of a model have learned, as motifs and logos
///
/// A filter's motif is the average of its sites in some sequences. The model may be any whose first layer is a
/// convolution on the one-hot sequence. Sites with an N are left out. Filters that nothing activates are dead and have
/// no motif. With --compare the motifs are compared with known ones, by Tomtom's method.
#[derive(Debug, Args)]
pub(super) struct MotifsArgs {
    /// Model: an ONNX file, or the name of a bundled model
    model: PathBuf,
    /// Search these sequences: FASTA, 2bit, a table, or peaks (BED, narrowPeak; with --genome)
    #[arg(long, value_name = "FILE", help_heading = heading::INPUT)]
    sequences: PathBuf,
    /// Read the peaks' sequences from this genome (FASTA or 2bit)
    #[arg(long, value_name = "FASTA", help_heading = heading::INPUT)]
    genome: Option<PathBuf>,
    /// Take this many bases around each peak's summit
    #[arg(long, value_name = "BASES", default_value = "101", value_parser = super::parse_positive, help_heading = heading::INPUT)]
    width: usize,
    /// Skip peaks on unknown contigs and empty ones, and count them
    #[arg(long, help_heading = heading::INPUT)]
    skip_bad_regions: bool,
    /// Continue even if more than half of the peaks are lost
    #[arg(long, help_heading = heading::INPUT)]
    force: bool,
    /// Use this sequence column, by name or rank [default: seq, sequence or probe, else the first]
    #[arg(long, value_name = "COLUMN", value_parser = super::data::parse_column, help_heading = heading::INPUT)]
    column: Option<Column>,
    /// Choose which positions are a filter's sites
    #[arg(long, default_value = "koo-eddy", help_heading = heading::SITES)]
    method: MethodArg,
    /// Cut longer sequences into pieces of this length (--method deepbind)
    #[arg(long, value_name = "BASES", default_value = "1000", value_parser = super::parse_positive, help_heading = heading::SITES)]
    piece: usize,
    /// Choose the strands to search [default: both, unless the model reads one]
    ///
    /// Of two filters that are each other's reverse complement one is shown, unless the model reads one strand.
    #[arg(long, value_name = "both|+", allow_hyphen_values = true, help_heading = heading::SITES)]
    strand: Option<StrandArg>,
    /// Trim columns with at most this information from a motif's ends
    #[arg(long, value_name = "BITS", default_value = "0.5", help_heading = heading::OUTPUT)]
    trim: f64,
    /// Keep this many columns on each side after trimming
    #[arg(long, value_name = "COLUMNS", default_value = "3", help_heading = heading::OUTPUT)]
    trim_flank: usize,
    /// Write the motifs to this file, in MEME format; - is standard output
    #[arg(short, long, value_name = "MEME", default_value = "-", help_heading = heading::OUTPUT)]
    output: PathBuf,
    /// Write a logo of each filter (SVG) to this folder
    #[arg(long, value_name = "FOLDER", help_heading = heading::OUTPUT)]
    logos: Option<PathBuf>,
    /// Write a web page with all filters
    #[arg(long, value_name = "HTML", help_heading = heading::OUTPUT)]
    report: Option<PathBuf>,
    /// Compare the motifs with those of a motif file, by Tomtom's method
    #[arg(long, value_name = "MOTIFS", help_heading = heading::COMPARISON)]
    compare: Option<PathBuf>,
    /// Show matches up to this E-value
    #[arg(long, value_name = "E", default_value = "0.1", requires = "compare", help_heading = heading::COMPARISON)]
    evalue: f64,
    /// Write all matches to this TSV file, in the columns of Tomtom
    #[arg(long, value_name = "TSV", requires = "compare", help_heading = heading::COMPARISON)]
    matches: Option<PathBuf>,
    /// Use this many threads [default: all cores]
    #[arg(short, long, value_parser = super::parse_threads, help_heading = heading::RUN)]
    threads: Option<usize>,
}

#[derive(Debug, Clone, Copy, ValueEnum)]
enum MethodArg {
    /// Where the activation is above half of the filter's maximum (Koo & Eddy 2019)
    KooEddy,
    /// The best position of each sequence, if it activates the filter (Alipanahi et al. 2015)
    #[value(name = "deepbind")]
    DeepBind,
}

/// A database of known motifs that was read.
struct Known {
    name: String,
    motifs: Vec<Motif>,
}

impl MotifsArgs {
    pub(super) fn run(self, session: Session) -> Result<()> {
        let trim = Trim { bits: self.trim, flank: self.trim_flank };
        ensure!((0.0..=2.0).contains(&trim.bits), "--trim {}: 0 to 2 bits are possible", trim.bits);
        ensure!(self.evalue >= 0.0, "--evalue {}: 0 or more is needed", self.evalue);
        // All heads have the same first layer.
        let options = OpenOptions { heads: Heads::First, ..OpenOptions::default() };
        let model = Model::find_with(&self.model, &options)?;
        let both_strands = self.both_strands(&model)?;
        let filters = motifs::filters(&model).map_err(|reason| {
            Error::model(
                &model.spec.name,
                format!("has no first layer that can be shown as motifs: {reason}"),
            )
        })?;
        let (filters, complements) =
            if both_strands { motifs::without_complements(filters) } else { (filters, 0) };
        let known = self.known()?;
        // An output that cannot be written is an error before the work begins.
        let mut meme = Output::create(&self.output)?;
        let page = self.report.as_deref().map(Output::create).transpose()?;
        let tsv = self.matches.as_deref().map(Output::create).transpose()?;
        let sequences = self.open(&model)?;
        if !session.quiet {
            sequences.notes.iter().for_each(message);
        }

        let pool = rayon::ThreadPoolBuilder::new().num_threads(super::threads(self.threads)).build()?;
        let search = Search { method: self.method(), both_strands, piece: self.piece };
        let learned = pool.install(|| learn(&filters, &sequences, &search))?;
        let rna = model.spec.alphabet == Alphabet::Rna;
        let of = |learned: &Learned| learned.motif(trim.kept(&learned.counts), &model.spec.name, rna);
        let motifs: Vec<Option<Motif>> = learned.iter().map(of).collect();
        let database = known.as_ref().map(|known| Database::new(&known.motifs, !rna));
        let compare = |motif: &Option<Motif>| {
            let matches =
                database.as_ref().zip(motif.as_ref()).map(|(database, motif)| database.compare(motif));
            let mut matches = matches.unwrap_or_default();
            matches.retain(|found| found.e <= self.evalue);
            matches
        };
        let matches: Vec<Vec<Match>> = pool.install(|| motifs.par_iter().map(compare).collect());

        let alive: Vec<Motif> = motifs.iter().flatten().cloned().collect();
        meme.write(motif::to_meme(&alive).as_bytes())?;
        meme.finish()?;
        if let Some(folder) = &self.logos {
            write_logos(folder, &alive, model.spec.alphabet)?;
        }
        if let (Some(mut tsv), Some(known)) = (tsv, &known) {
            tsv.write(table(&motifs, &matches, &known.motifs).as_bytes())?;
            tsv.finish()?;
        }
        let summary = self.summary(&learned, complements, &matches, known.as_ref());
        if let Some(mut page) = page {
            let entries = learned.iter().zip(&motifs).zip(&matches).map(|((learned, motif), matches)| {
                FilterEntry { learned, motif: motif.as_ref(), matches: matches.clone() }
            });
            let report = FilterReport {
                model: model.spec.name.clone(),
                alphabet: model.spec.alphabet,
                filters: entries.collect(),
                database: known.as_ref().map(|known| ComparedWith {
                    name: &known.name,
                    targets: &known.motifs,
                    highest_e: self.evalue,
                }),
                facts: self.facts(&model, both_strands, &learned, session),
                notes: sequences.notes.iter().chain(&summary).cloned().collect(),
            };
            page.write(report.to_html().as_bytes())?;
            page.finish()?;
        }
        if !session.quiet {
            summary.iter().for_each(message);
        }
        Ok(())
    }

    fn both_strands(&self, model: &Model) -> Result<bool> {
        match self.strand {
            Some(StrandArg::Both) => Ok(true),
            Some(StrandArg::Forward) => Ok(false),
            Some(StrandArg::Reverse) => {
                anyhow::bail!("--strand -: a motif of one strand reads on +; use + or both")
            }
            None => Ok(model.spec.strands != Strands::Single),
        }
    }

    fn method(&self) -> Method {
        match self.method {
            MethodArg::KooEddy => Method::KooEddy,
            MethodArg::DeepBind => Method::DeepBind,
        }
    }

    fn open(&self, model: &Model) -> Result<Sequences> {
        let table = TableOptions { sequence: self.column.clone(), ..TableOptions::default() };
        let stranded = model.spec.strands == Strands::Single;
        let peaks = PeakOptions {
            width: self.width,
            stranded,
            skip_bad_regions: self.skip_bad_regions,
            force: self.force,
            ..PeakOptions::default()
        };
        Ok(Sequences::open(&self.sequences, self.genome.as_deref(), &table, &peaks)?)
    }

    fn known(&self) -> Result<Option<Known>> {
        let Some(path) = &self.compare else { return Ok(None) };
        let name = path.file_name().unwrap_or_default().to_string_lossy().into_owned();
        let collection = motif::read(path)?;
        collection.notes().iter().for_each(|note| log::warn!("{note}"));
        Ok(Some(Known { name, motifs: collection.motifs }))
    }

    /// Results, one sentence each.
    fn summary(
        &self,
        learned: &[Learned],
        complements: usize,
        matches: &[Vec<Match>],
        known: Option<&Known>,
    ) -> Vec<String> {
        let alive = learned.iter().filter(|learned| learned.sites > 0).count();
        let mut lines = vec![format!("{}, {alive} with sites", counted(learned.len() as u64, "filter"))];
        if complements > 0 {
            let filters = counted(complements as u64, "filter");
            lines.push(format!("{filters} more are reverse complements of these, and not shown"));
        }
        let dead: Vec<String> = learned
            .iter()
            .filter(|learned| learned.sites == 0)
            .map(|learned| learned.filter.to_string())
            .collect();
        if !dead.is_empty() {
            let filters = counted(dead.len() as u64, "filter");
            lines.push(format!("{filters} dead, no sequence activates them: {}", shortened(&dead)));
        }
        if let Some(known) = known {
            let matching = matches.iter().filter(|matches| !matches.is_empty()).count();
            lines.push(format!(
                "{matching} of {} match one of the {} motifs of {} (E ≤ {})",
                counted(learned.len() as u64, "filter"),
                grouped(known.motifs.len() as u64),
                known.name,
                self.evalue
            ));
        }
        lines
    }

    fn facts(
        &self,
        model: &Model,
        both_strands: bool,
        learned: &[Learned],
        session: Session,
    ) -> Vec<(String, String)> {
        let method = match self.method {
            MethodArg::KooEddy => "places above half of the filter's highest activation (Koo & Eddy 2019)",
            MethodArg::DeepBind => {
                "the best place of each sequence, where it activates (Alipanahi et al. 2015)"
            }
        };
        let sites: u64 = learned.iter().map(|learned| learned.sites).sum();
        let mut facts = vec![
            ("Command".to_owned(), session.invocation.text()),
            ("Version".to_owned(), format!("bindscan {}", env!("CARGO_PKG_VERSION"))),
            ("Sequences".to_owned(), self.sequences.display().to_string()),
            ("Sites".to_owned(), format!("{method}; {} in all", grouped(sites))),
            ("Strands".to_owned(), if both_strands { "both" } else { "forward" }.to_owned()),
            (
                "Trimmed".to_owned(),
                format!("to columns above {} bits and {} more on both sides", self.trim, self.trim_flank),
            ),
        ];
        if let Some(digest) = &model.digest {
            facts.push((format!("Model {}", model.spec.name), format!("SHA-256 {digest}")));
        }
        facts
    }
}

/// The first few of many.
fn shortened(names: &[String]) -> String {
    const SHOWN: usize = 10;
    let more = if names.len() > SHOWN { ", …" } else { "" };
    names.iter().take(SHOWN).map(String::as_str).collect::<Vec<_>>().join(", ") + more
}

fn write_logos(folder: &Path, motifs: &[Motif], alphabet: Alphabet) -> Result<()> {
    fs::create_dir_all(folder).map_err(Error::io(folder, "cannot create"))?;
    for motif in motifs {
        let mut output = Output::create(&folder.join(format!("{}.svg", name::file_part(&motif.id))))?;
        output.write(Logo::from_counts(&motif.counts, alphabet).to_svg(&motif.id).as_bytes())?;
        output.finish()?;
    }
    Ok(())
}

/// Matches in the columns of Tomtom's table, and the target's name.
fn table(motifs: &[Option<Motif>], matches: &[Vec<Match>], targets: &[Motif]) -> String {
    let mut text = String::from(
        "Query_ID\tTarget_ID\tOptimal_offset\tp-value\tE-value\tq-value\tOverlap\tQuery_consensus\tTarget_consensus\t\
         Orientation\tTarget_name\n",
    );
    for (motif, matches) in motifs.iter().zip(matches) {
        let Some(query) = motif else { continue };
        for found in matches {
            let target = &targets[found.target];
            let _ = writeln!(
                text,
                "{}\t{}\t{}\t{:.6e}\t{:.6e}\t{:.6e}\t{}\t{}\t{}\t{}\t{}",
                query.id,
                target.id,
                found.offset,
                found.p,
                found.e,
                found.q,
                found.overlap,
                query.consensus(),
                target.consensus(),
                found.strand,
                target.name
            );
        }
    }
    text
}
