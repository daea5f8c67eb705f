//! `bindscan regions`.

use std::path::PathBuf;

use anyhow::{Result, bail, ensure};
use bindscan::calibrate::nulls::Setting;
use bindscan::genome::digest_of_contigs;
use bindscan::genome::random_access::Lookup;
use bindscan::io::output;
use bindscan::regions::table::{Form, RowFormat, TableSink, Value};
use bindscan::regions::{Job, Question, RegionList, check_lengths, score};
use bindscan::report::counted;
use bindscan::scan::Overlaps;
use bindscan::scan::search::{Search, SiteChoice};
use clap::{Args, ValueEnum};

use super::heading;
use super::models::ModelArgs;
use super::progress::{Progress, grouped};
use super::region::AliasArgs;
use super::scan::{OverlapsArg, parse_fraction, parse_threshold};
use super::significance::{NullArgs, NullProgress, parse_probability};
use super::track::Extension;
use super::{CANCELLED, Session, message};

/// Score regions with models: a matrix, or a table with a row for each region and model
///
/// The matrix has a row for each region, in the order of the file, and a column for each model: the score of the best
/// window, or with a threshold the number of sites. Windows lie wholly inside a region.
#[derive(Debug, Args)]
pub(super) struct RegionsArgs {
    /// Regions (BED, narrowPeak, GFF); - for standard input
    regions: PathBuf,
    #[command(flatten)]
    models: ModelArgs,
    #[command(flatten)]
    scored: RegionArgs,
    /// Choose the value of a matrix [default: best; with a threshold: count]
    #[arg(long, conflicts_with = "long", help_heading = heading::OUTPUT)]
    value: Option<ValueArg>,
    /// Write a row for each region and model
    ///
    /// It has the best window, its strand, place and p-value, and the number and the sum of the sites.
    #[arg(long, help_heading = heading::OUTPUT)]
    long: bool,
    /// Write to this file, .tsv or .mtx; - is standard output
    ///
    /// A matrix in Matrix Market (NAME.mtx) has its rows in NAME.regions.bed and its columns in NAME.models.tsv. .gz
    /// behind the extension compresses.
    #[arg(short, long, value_name = "FILE", default_value = "-", help_heading = heading::OUTPUT)]
    output: PathBuf,
}

/// Options for reading and scoring regions.
#[derive(Debug, Args)]
pub(super) struct RegionArgs {
    /// Take the regions from this genome (FASTA or 2bit)
    #[arg(short, long, value_name = "GENOME", help_heading = heading::INPUT)]
    pub(super) genome: PathBuf,
    /// Count sites with at least this score; repeat for one score a model
    #[arg(long, value_name = "SCORE", value_parser = parse_threshold, help_heading = heading::SITES)]
    threshold: Vec<f32>,
    /// Count sites with at most this p-value
    ///
    /// The p-value is the probability that one strand of one window of background sequence scores as high.
    #[arg(long, value_name = "P", value_parser = parse_probability, conflicts_with = "threshold", help_heading = heading::SITES)]
    pvalue: Option<f64>,
    /// Choose what happens to overlapping windows that reach the threshold
    #[arg(long, default_value = "suppress", help_heading = heading::SITES)]
    overlaps: OverlapsArg,
    /// Skip or clip regions that do not fit the genome, and count them
    ///
    /// Regions on unknown contigs and empty ones are left out; those that end past their contig are clipped. Without
    /// this option they are an error.
    #[arg(long, help_heading = heading::INPUT)]
    skip_bad_regions: bool,
    #[command(flatten)]
    aliases: AliasArgs,
    /// Read soft-masked (lower-case) bases as N
    #[arg(long, help_heading = heading::INPUT)]
    mask_lowercase: bool,
    /// Leave out windows with a larger fraction of N [default: 0.1; motifs: 0]
    #[arg(long, value_name = "FRACTION", value_parser = parse_fraction, help_heading = heading::SITES)]
    max_n: Option<f64>,
    /// Use this many threads [default: all cores]
    #[arg(short, long, value_parser = super::parse_threads, help_heading = heading::RUN)]
    threads: Option<usize>,
    #[command(flatten)]
    null: NullArgs,
}

#[derive(Debug, Clone, Copy, ValueEnum)]
enum ValueArg {
    /// Score of the best window
    Best,
    /// Number of sites
    Count,
    /// 1 where there is a site, 0 elsewhere
    Match,
    /// Sum of the scores of the sites
    Sum,
    /// -log10 of the p-value of the best window
    Logp,
}

impl From<ValueArg> for Value {
    fn from(value: ValueArg) -> Value {
        match value {
            ValueArg::Best => Value::Best,
            ValueArg::Count => Value::Count,
            ValueArg::Match => Value::Match,
            ValueArg::Sum => Value::Sum,
            ValueArg::Logp => Value::LogP,
        }
    }
}

/// A genome, models, and what is scored for.
pub(super) struct Prepared {
    pub(super) genome: Lookup,
    pub(super) search: Search,
}

impl RegionArgs {
    /// True if it is said what a site is.
    pub(super) fn choose_sites(&self) -> bool {
        self.pvalue.is_some() || !self.threshold.is_empty()
    }

    pub(super) fn overlaps(&self) -> Overlaps {
        match self.overlaps {
            OverlapsArg::Suppress => Overlaps::Suppress,
            OverlapsArg::Keep => Overlaps::Keep,
        }
    }

    /// Definition of a site, in words.
    pub(super) fn site_words(&self) -> String {
        match (self.pvalue, self.threshold.as_slice()) {
            (Some(p), _) => format!("p ≤ {p:e}"),
            (None, [one]) => format!("score ≥ {one}"),
            (None, _) => "score ≥ a threshold for each model".to_owned(),
        }
    }

    /// Opens the genome and the models; `needs_p` says that p-values are shown.
    pub(super) fn prepare(&self, models: &ModelArgs, needs_p: bool) -> Result<Prepared> {
        let models = models.open(1)?;
        let aliases = self.aliases.table()?;
        let genome = Lookup::open(&self.genome, self.mask_lowercase)?.with_aliases(aliases)?;
        let has_p = needs_p || self.pvalue.is_some();
        ensure!(
            has_p || !self.null.options().makes_new(),
            "options for p-values go with p-values: give --pvalue"
        );
        ensure!(
            !needs_p || self.threshold.is_empty(),
            "p-values of best windows go without --threshold; give --pvalue"
        );
        let choice = match self.pvalue {
            Some(p) => SiteChoice::PValue(p),
            // Every window has such a p-value.
            None if needs_p => SiteChoice::PValue(1.0),
            None if self.threshold.is_empty() => SiteChoice::All,
            None => SiteChoice::Threshold(self.threshold.clone()),
        };
        let search = Search::new(models, choice, self.max_n, super::threads(self.threads))?;
        if has_p {
            let scanned = digest_of_contigs(genome.contigs());
            self.null.options().warn_of_other_genome(&search.models, &scanned);
        }
        Ok(Prepared { genome, search })
    }

    /// Prepares p-values, if sites are chosen by them or they are shown. It may take a while: regions are read, and refused,
    /// before.
    pub(super) fn set_p_values(&self, search: &mut Search, session: Session) -> Result<()> {
        let setting = Setting {
            genome: Some(&self.genome),
            mask_lowercase: self.mask_lowercase,
            threads: super::threads(self.threads),
            cancel: &CANCELLED,
        };
        let options = self.null.options();
        Ok(search.set_p_values(&options, self.overlaps(), &setting, &mut NullProgress::new(session))?)
    }

    /// Reads regions of the prepared genome, and says which contigs have other names.
    pub(super) fn read(
        &self,
        path: &std::path::Path,
        prepared: &Prepared,
        session: Session,
    ) -> Result<RegionList> {
        let list = RegionList::read(path, &prepared.genome, self.skip_bad_regions)?;
        if let (Some(words), false) = (list.renaming(), session.quiet) {
            message(words);
        }
        check_lengths(&list.regions, &prepared.search.targets)?;
        Ok(list)
    }
}

impl RegionsArgs {
    pub(super) fn run(self, session: Session) -> Result<()> {
        let has_sites = self.scored.choose_sites();
        let form = self.form(has_sites)?;
        let needs_p = matches!(form, Form::Matrix(Value::LogP) | Form::MatrixMarket(Value::LogP));
        // An output that cannot be written is an error before the work begins.
        let reserved = output::reserve(&self.output)?;
        let mut prepared = self.scored.prepare(&self.models, needs_p)?;
        let list = self.scored.read(&self.regions, &prepared, session)?;
        self.scored.set_p_values(&mut prepared.search, session)?;
        let best = match form {
            Form::Matrix(value) | Form::MatrixMarket(value) => value.is_of_best(),
            Form::Long => true,
        };
        let sites = has_sites.then(|| self.scored.overlaps());
        let question = Question { best, sites };
        let job = Job::new(&prepared.genome, &list.regions, &prepared.search.targets, question);
        let contigs = prepared.genome.contigs();
        let format = RowFormat { form, contigs, targets: &prepared.search.targets, has_sites };
        drop(reserved);
        let Extension { compressed, .. } = Extension::from_path(&self.output);
        let mut sink = TableSink::create(&self.output, compressed, &format)?;
        let mut progress = Progress::start(session, "scoring regions");
        let total = list.regions.len() as u64;
        let workers = std::mem::take(&mut prepared.search.workers);
        score(
            job,
            workers,
            |rank, cells, rows| format.write(rank, &list.regions[rank], cells, rows),
            |rows| sink.write(rows),
            |done| progress.show(done, Some(total), || format!("{} regions", grouped(done))),
            &CANCELLED,
        )?;
        progress.clear();
        output::publish(sink.seal(&format, &list.regions)?)?;
        if !session.quiet {
            let (regions, models) =
                (counted(total, "region"), counted(prepared.search.targets.len() as u64, "model"));
            let seconds = session.elapsed().as_secs_f64();
            let p = prepared.search.significance.first();
            let p = p.map_or_else(String::new, |(_, words)| format!("; p-values: {words}"));
            message(format_args!("{regions} scored with {models} in {seconds:.2} s{p}"));
        }
        Ok(())
    }

    fn form(&self, has_sites: bool) -> Result<Form> {
        let extension = Extension::from_path(&self.output).name;
        let value = match self.value {
            Some(value) => Value::from(value),
            None if has_sites => Value::Count,
            None => Value::Best,
        };
        ensure!(
            has_sites || value.is_of_best(),
            "counts, matches and sums are of sites: say what a site is, with --pvalue or --threshold"
        );
        match (extension.as_deref(), self.long) {
            (Some("mtx"), true) => bail!("--long is a table: write .tsv"),
            (Some("mtx"), false) => Ok(Form::MatrixMarket(value)),
            (Some("tsv" | "txt") | None, long) => Ok(if long { Form::Long } else { Form::Matrix(value) }),
            (Some(_), long) if self.output.exists() && !self.output.is_file() => {
                Ok(if long { Form::Long } else { Form::Matrix(value) })
            }
            (Some("h5ad"), _) => {
                bail!("h5ad is not written: write .mtx, and read that with scanpy.read_mtx")
            }
            (Some(other), _) => bail!("no table goes with .{other}: give a name in .tsv or .mtx"),
        }
    }
}
