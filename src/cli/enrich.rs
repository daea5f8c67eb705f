//! `bindscan enrich`.

use std::fmt::Write;
use std::path::PathBuf;

use anyhow::{Result, ensure};
use bindscan::engine::scanner::Scanners;
use bindscan::enrichment::report::{EnrichmentReport, Shown, logo};
use bindscan::enrichment::{Count, Enrichment, matched_background, test};
use bindscan::io::output;
use bindscan::io::output::Output;
use bindscan::regions::{Job, Question, Region, Rows, score};
use bindscan::report::counted;
use bindscan::track::Target;
use clap::Args;

use super::heading;
use super::models::{ModelArgs, Planned};
use super::progress::{Progress, grouped};
use super::regions::{Prepared, RegionArgs};
use super::{CANCELLED, Session, message};

/// Find models with sites in more of some regions than of background regions
///
/// For each model, the regions with a site are counted. The p-value is that of Fisher's exact test, one-sided; q-values
/// are Benjamini and Hochberg's over the models. Background regions of the same lengths and GC content are drawn from
/// the genome, or given.
#[derive(Debug, Args)]
pub(super) struct EnrichArgs {
    /// Regions (BED, narrowPeak, GFF); - for standard input
    regions: PathBuf,
    #[command(flatten)]
    models: ModelArgs,
    #[command(flatten)]
    scored: RegionArgs,
    /// Compare with these regions (BED, narrowPeak, GFF) [default: drawn from the genome]
    #[arg(long, value_name = "BED", help_heading = heading::COMPARISON)]
    against: Option<PathBuf>,
    /// Draw this many background regions for each region
    #[arg(long, value_name = "COUNT", default_value = "1", value_parser = super::parse_positive, conflicts_with = "against",
          help_heading = heading::COMPARISON)]
    each: usize,
    /// Set the seed of the background regions
    #[arg(long, value_name = "SEED", default_value = "1", help_heading = heading::COMPARISON)]
    seed: u64,
    /// Count models with at most this q-value as enriched, in the summary and on the page
    #[arg(long, value_name = "Q", default_value = "0.05", value_parser = super::significance::parse_probability,
          help_heading = heading::COMPARISON)]
    rate: f64,
    /// Write the table to this file (TSV); - is standard output
    #[arg(short, long, value_name = "FILE", default_value = "-", help_heading = heading::OUTPUT)]
    output: PathBuf,
    /// Write the background regions that were drawn (BED)
    #[arg(long, value_name = "BED", conflicts_with = "against", help_heading = heading::OUTPUT)]
    save_background: Option<PathBuf>,
    /// Write a page with logos (HTML)
    #[arg(long, value_name = "HTML", help_heading = heading::OUTPUT)]
    report: Option<PathBuf>,
}

impl EnrichArgs {
    pub(super) fn run(self, session: Session) -> Result<()> {
        ensure!(
            self.scored.choose_sites(),
            "say what a site is: --pvalue P (1e-4 suits most motifs) or --threshold SCORE"
        );
        // An output that cannot be written is an error before the work begins.
        let mut table = Output::create(&self.output)?;
        let mut page = self.report.as_deref().map(Output::create).transpose()?;
        let mut drawn = self.save_background.as_deref().map(Output::create).transpose()?;
        let mut prepared = self.scored.prepare(&self.models, false)?;
        let foreground = self.scored.read(&self.regions, &prepared, session)?.regions;
        let (background, mut notes) = self.background(&foreground, &prepared, session)?;
        self.scored.set_p_values(&mut prepared.search, session)?;
        if let Some(drawn) = &mut drawn {
            for region in &background {
                let contig = &prepared.genome.contigs()[region.contig].name;
                drawn.write(format!("{contig}\t{}\t{}\n", region.start, region.end).as_bytes())?;
            }
        }
        notes.extend(length_note(&foreground, &background));
        notes.iter().for_each(|note| log::warn!("{note}"));

        let workers = std::mem::take(&mut prepared.search.workers);
        let counts = self.count(&foreground, &background, workers, &prepared, session)?;
        let tested = test(&counts);
        let models = shown(&prepared.search.models, &prepared.search.targets);
        table.write(to_tsv(&tested, &models).as_bytes())?;
        if let Some(page) = &mut page {
            let report = EnrichmentReport {
                regions: file_name(&self.regions),
                tested: &tested,
                models: &models,
                rate: self.rate,
                facts: self.facts(&prepared, background.len(), session),
                notes,
            };
            page.write(report.to_html().as_bytes())?;
        }
        let outputs = std::iter::once(table).chain(page).chain(drawn);
        output::publish(outputs.map(Output::seal).collect::<bindscan::Result<Vec<_>>>()?)?;
        if !session.quiet {
            let enriched = tested.iter().filter(|tested| tested.q <= self.rate).count();
            message(format_args!(
                "{enriched} of {} enriched (q ≤ {}) in {} against {} of background, in {:.2} s",
                counted(tested.len() as u64, "model"),
                self.rate,
                counted(foreground.len() as u64, "region"),
                grouped(background.len() as u64),
                session.elapsed().as_secs_f64()
            ));
        }
        Ok(())
    }

    /// Background regions, and what is odd about them.
    fn background(
        &self,
        foreground: &[Region],
        prepared: &Prepared,
        session: Session,
    ) -> Result<(Vec<Region>, Vec<String>)> {
        if let Some(path) = &self.against {
            return Ok((self.scored.read(path, prepared, session)?.regions, Vec::new()));
        }
        let _progress = Progress::start(session, "drawing background regions");
        let drawn = matched_background(&prepared.genome, foreground, self.each, self.seed, &CANCELLED)?;
        ensure!(
            !drawn.regions.is_empty(),
            "no background regions were found beside the regions: they take up too much of the genome, or have a composition of their own; give --against BED"
        );
        let mut notes = Vec::new();
        if drawn.unmatched > 0 {
            notes.push(format!(
                "for {} too few background regions of their length and GC content were found",
                counted(drawn.unmatched as u64, "region")
            ));
        }
        Ok((drawn.regions, notes))
    }

    /// Counts, for each model, the regions with a site.
    fn count(
        &self,
        foreground: &[Region],
        background: &[Region],
        workers: Vec<Scanners>,
        prepared: &Prepared,
        session: Session,
    ) -> Result<Vec<(Count, Count)>> {
        let all: Vec<Region> = foreground.iter().chain(background).cloned().collect();
        let question = Question { best: false, sites: Some(self.scored.overlaps()) };
        let job = Job::new(&prepared.genome, &all, &prepared.search.targets, question);
        let mut counts = vec![(Count::default(), Count::default()); prepared.search.targets.len()];
        let mut progress = Progress::start(session, "scoring regions");
        let total = all.len() as u64;
        let mut rank = 0;
        score(
            job,
            workers,
            |_, cells, rows: &mut Rows| rows.text.extend(cells.iter().map(|cell| u8::from(cell.sites > 0))),
            |rows| {
                for cells in rows.text.chunks_exact(counts.len()) {
                    for ((fore, back), &hit) in counts.iter_mut().zip(cells) {
                        let count = if rank < foreground.len() { fore } else { back };
                        count.regions += 1;
                        count.hits += u64::from(hit);
                    }
                    rank += 1;
                }
                Ok(())
            },
            |done| progress.show(done, Some(total), || format!("{} regions", grouped(done))),
            &CANCELLED,
        )?;
        progress.clear();
        Ok(counts)
    }

    fn facts(&self, prepared: &Prepared, background: usize, session: Session) -> Vec<(String, String)> {
        let background = match &self.against {
            Some(path) => path.display().to_string(),
            None => format!(
                "{} regions drawn from the genome, of the same lengths and GC content (seed {})",
                grouped(background as u64),
                self.seed
            ),
        };
        let mut facts = vec![
            ("Command".to_owned(), session.invocation.text()),
            ("Version".to_owned(), format!("bindscan {}", env!("CARGO_PKG_VERSION"))),
            ("Genome".to_owned(), self.scored.genome.display().to_string()),
            ("Regions".to_owned(), self.regions.display().to_string()),
            ("Background".to_owned(), background),
            ("Site".to_owned(), self.scored.site_words()),
            (
                "Test".to_owned(),
                "Fisher's exact test, one-sided; Benjamini-Hochberg over the models".to_owned(),
            ),
        ];
        let words = prepared.search.significance.first();
        facts.extend(words.map(|(_, words)| ("p-values of sites".to_owned(), words.clone())));
        facts
    }
}

fn file_name(path: &std::path::Path) -> String {
    path.file_name().unwrap_or_default().to_string_lossy().into_owned()
}

/// Warns of background regions of another length: a longer region has more sites.
fn length_note(foreground: &[Region], background: &[Region]) -> Option<String> {
    let mean = |regions: &[Region]| {
        let bases: u64 = regions.iter().map(|region| region.end - region.start).sum();
        bases as f64 / regions.len() as f64
    };
    let (ours, theirs) = (mean(foreground), mean(background));
    ((ours / theirs).ln().abs() > 0.1).then(|| {
        format!(
            "the regions have {ours:.0} bases on average, those of the background {theirs:.0}: longer ones have more sites by chance"
        )
    })
}

/// Entries of the page, one for each target.
fn shown(models: &[Planned], targets: &[Target]) -> Vec<Shown> {
    let logos = models.iter().flat_map(|planned| {
        let outputs = planned.names().len();
        std::iter::repeat_n(logo(planned.model()), outputs)
    });
    let of_target =
        |(target, logo): (&Target, _)| Shown { name: target.name.clone(), alias: target.alias.clone(), logo };
    targets.iter().zip(logos).map(of_target).collect()
}

fn to_tsv(tested: &[Enrichment], models: &[Shown]) -> String {
    let mut text = String::from(
        "model\tmotif_name\tregions_with_site\tregions\tbackground_with_site\tbackground\tfold\todds_ratio\tp_value\tq_value\n",
    );
    for one in tested {
        let Shown { name, alias, .. } = &models[one.target];
        let alias = if alias.is_empty() { "." } else { alias };
        let odds = one.odds_ratio();
        let odds = if odds.is_nan() { "NA".to_owned() } else { format!("{odds:.4}") };
        let _ = writeln!(
            text,
            "{name}\t{alias}\t{}\t{}\t{}\t{}\t{:.4}\t{odds}\t{:.4e}\t{:.4e}",
            one.foreground.hits,
            one.foreground.regions,
            one.background.hits,
            one.background.regions,
            one.fold(),
            one.p,
            one.q
        );
    }
    text
}
