//! What variants do to binding: every allele of a VCF or BCF is scored in its place, next to the reference.
//!
//! Records keep their order and, in VCF, their text; scores are added to INFO, or are a table of their own.

use std::collections::BTreeMap;
use std::fmt;
use std::ops::Range;
use std::sync::atomic::AtomicBool;

use crate::Result;
use crate::output::Sealed;
use crate::pipeline;
use crate::scan::Scanner;
use crate::source::lookup::Lookup;
use crate::track::Provenance;
use crate::track::line::LineSink;

mod call;
mod header;
pub mod score;
pub mod source;
mod worker;

use call::Kind;
use header::Fields;
use score::{Scorer, Target};
use source::Batch;
pub use source::Calls;
use worker::{Numbered, Part, Shared, TABLE_HEADER, Worker};

/// A format of annotated calls.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Format {
    /// The records as they came, with fields `BS_…` in INFO.
    Vcf,
    /// A row for each alternative allele and target.
    Tsv,
}

/// What calls are scored against, and with.
#[derive(Debug)]
pub struct Annotation<'a> {
    /// The genome that the calls refer to.
    pub genome: &'a Lookup,
    /// What scores them.
    pub targets: &'a [Target],
    /// Only records whose reference allele overlaps these stretches are kept ([`Lookup::select`]).
    pub regions: Option<&'a [Vec<Range<u64>>]>,
    /// Whether a record that does not fit the genome is an error; otherwise it is passed on without scores, and counted.
    pub strict: bool,
}

impl Annotation<'_> {
    /// What stands before the records of `calls` in a file of each format.
    pub fn header(&self, calls: &Calls, format: Format, provenance: &Provenance) -> Vec<u8> {
        match format {
            Format::Tsv => TABLE_HEADER.as_bytes().to_vec(),
            Format::Vcf => self.annotated(calls, provenance).text,
        }
    }

    fn annotated(&self, calls: &Calls, provenance: &Provenance) -> header::Annotated {
        let fields = Fields::of(self.targets);
        header::annotate(calls.header(), (self.targets, &fields), self.genome.contigs(), provenance)
    }
}

/// What became of the records and alleles.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct Counts {
    /// Records read that lie in the wanted regions.
    pub records: u64,
    /// Records outside them, which are left out.
    pub outside: u64,
    /// Records of which some allele was scored.
    pub scored: u64,
    /// Alternative alleles that were scored.
    pub alleles: u64,
    /// Of these, and for each target, those that are too short for it, in a contig no longer than a window.
    pub short: u64,
    /// Records without an alternative.
    pub no_alternative: u64,
    /// Alleles `*`.
    pub spanned: u64,
    /// Symbolic alleles.
    pub symbolic: u64,
    /// Breakends.
    pub breakends: u64,
    /// Records on contigs that the genome does not have.
    pub unknown_contig: u64,
    /// Records past their contig's ends.
    pub past_end: u64,
    /// Records whose REF is not what the genome has.
    pub mismatch: u64,
}

/// Why a record does not fit the genome.
#[derive(Debug, Clone, Copy)]
enum Problem {
    PastEnd,
    Mismatch,
}

impl Counts {
    fn add(&mut self, kind: Kind) {
        match kind {
            Kind::Bases => {}
            Kind::Missing => self.no_alternative += 1,
            Kind::Spanned => self.spanned += 1,
            Kind::Symbolic => self.symbolic += 1,
            Kind::Breakend => self.breakends += 1,
        }
    }

    fn add_problem(&mut self, problem: Problem) {
        match problem {
            Problem::PastEnd => self.past_end += 1,
            Problem::Mismatch => self.mismatch += 1,
        }
    }

    fn merge(&mut self, other: &Counts) {
        self.records += other.records;
        self.outside += other.outside;
        self.scored += other.scored;
        self.alleles += other.alleles;
        self.short += other.short;
        self.no_alternative += other.no_alternative;
        self.spanned += other.spanned;
        self.symbolic += other.symbolic;
        self.breakends += other.breakends;
        self.unknown_contig += other.unknown_contig;
        self.past_end += other.past_end;
        self.mismatch += other.mismatch;
    }

    /// What was passed on without a score, and why: a phrase for each kind there is.
    pub fn unscored(&self) -> Vec<String> {
        let kinds = [
            (self.no_alternative, "without an ALT allele"),
            (self.spanned, "alleles *"),
            (self.symbolic, "symbolic alleles"),
            (self.breakends, "breakends"),
            (self.unknown_contig, "on contigs that the genome does not have"),
            (self.past_end, "past the contig's end"),
            (self.mismatch, "whose REF differs from the genome"),
            (self.short, "scores of contigs too short for a model"),
        ];
        kinds
            .into_iter()
            .filter(|(count, _)| *count > 0)
            .map(|(count, what)| format!("{} {what}", crate::report::grouped(count)))
            .collect()
    }
}

/// What a run did.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Summary {
    /// Records and alleles.
    pub counts: Counts,
    /// The contigs that the genome does not have, each with the number of its records.
    pub unknown: BTreeMap<String, u64>,
}

/// Told while records are annotated.
pub trait Watch {
    /// How far the input is read, in bytes of it, and in all where known.
    fn progress(&mut self, at: (u64, Option<u64>), counts: &Counts);
    /// A record does not fit the genome; told of the first few of each batch of records, in order.
    fn problem(&mut self, message: &str);
}

/// Annotates `calls` with one set of scanners a worker, into `outputs`, which appear together when they are whole. The
/// bytes do not depend on the number of workers.
///
/// # Errors
/// Whatever the input, an engine or an output meets first; lines that are no records of VCF; contigs that have other names
/// in the genome.
pub fn annotate(
    mut calls: Calls,
    annotation: &Annotation<'_>,
    scanners: Vec<Vec<Scanner>>,
    provenance: &Provenance,
    mut outputs: Vec<(Format, LineSink)>,
    watch: &mut dyn Watch,
    cancel: &AtomicBool,
) -> Result<Summary> {
    let fields = Fields::of(annotation.targets);
    let again = annotation.annotated(&calls, provenance).again;
    let record_header = calls.record_header();
    let path = calls.path().to_path_buf();
    let wants = |format: Format| outputs.iter().any(|(wanted, _)| *wanted == format);
    let shared = Shared {
        path: &path,
        genome: annotation.genome,
        fields: &fields,
        again,
        regions: annotation.regions,
        strict: annotation.strict,
        wanted: (wants(Format::Vcf), wants(Format::Tsv)),
        numbered: record_header.as_deref().map_or(Numbered::Lines, Numbered::Records),
    };
    let workers = scanners
        .into_iter()
        .map(|scanners| {
            let mut worker = Worker::new(shared, Scorer::new(annotation.targets, scanners));
            move |batch: &Batch, part: &mut Part| worker.annotate(batch, part)
        })
        .collect();
    let mut summary = Summary::default();
    pipeline::run(
        |batch: &mut Batch| calls.read(batch),
        workers,
        |part: &mut Part| {
            for (format, sink) in &mut outputs {
                sink.write(match format {
                    Format::Vcf => &part.vcf,
                    Format::Tsv => &part.table,
                })?;
            }
            summary.counts.merge(&part.counts);
            for (name, count) in &part.unknown {
                *summary.unknown.entry(name.clone()).or_default() += count;
            }
            part.problems.iter().for_each(|problem| watch.problem(problem));
            watch.progress(part.progress, &summary.counts);
            Ok(())
        },
        cancel,
    )?;
    let sealed = outputs.into_iter().map(|(_, sink)| sink.seal()).collect::<Result<Vec<_>>>()?;
    sealed.into_iter().flatten().try_for_each(Sealed::publish)?;
    Ok(summary)
}

impl fmt::Display for Summary {
    /// `12 records, 13 alleles scored`, and what was not.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Counts { records, alleles, outside, .. } = self.counts;
        let grouped = crate::report::grouped;
        write!(f, "{} records, {} alleles scored", grouped(records), grouped(alleles))?;
        if outside > 0 {
            write!(f, "; {} records outside the regions left out", grouped(outside))?;
        }
        let unscored = self.counts.unscored();
        if unscored.is_empty() { Ok(()) } else { write!(f, "; not scored: {}", unscored.join(", ")) }
    }
}
