//! Effects of variants on binding: every allele of a VCF or BCF is scored in its place, next to the reference.
//!
//! Records keep their order and, in VCF, their text; scores are added to INFO, or are a table of their own.

pub mod mutation_map;
use std::collections::BTreeMap;
use std::fmt;
use std::ops::Range;
use std::path::Path;
use std::sync::atomic::AtomicBool;

use crate::engine::planned::ModelOutput;
use crate::engine::scanner::Scanners;
use crate::genome::random_access::Lookup;
use crate::io::line::LineSink;
use crate::io::output;
use crate::io::output::{Output, Sealed};
use crate::io::tabix::Layout;
use crate::pipeline;
use crate::track::provenance::Provenance;
use crate::{Error, Result};

mod allele;
mod bcf;
mod contigs;
mod header;
mod index;
pub mod reader;
pub mod scorer;
mod worker;

pub use self::reader::Calls;
use crate::report::{counted, grouped};
use crate::variants::allele::Kind;
use crate::variants::bcf::BcfSink;
use crate::variants::contigs::Contigs;
use crate::variants::header::Fields;
use crate::variants::reader::Batch;
use crate::variants::scorer::Scorer;
use crate::variants::worker::{Numbered, Part, Shared, TABLE_HEADER, Worker};

/// A format of annotated calls.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Format {
    /// The records as they came, with fields `BS_…` in INFO.
    Vcf,
    /// The same as BCF.
    Bcf,
    /// A row for each alternative allele and target.
    Tsv,
}

/// Genome and models with which calls are scored.
#[derive(Debug)]
pub struct Annotation<'a> {
    /// The genome that the calls refer to.
    pub genome: &'a Lookup,
    /// Scorers of the windows.
    pub targets: &'a [ModelOutput],
    /// Only records whose reference allele overlaps these stretches are kept ([`Lookup::select`]).
    pub regions: Option<&'a [Vec<Range<u64>>]>,
    /// True if a record that does not fit the genome is an error; otherwise it is passed on without scores, and counted.
    pub strict: bool,
    /// True if calls of which most do not fit the genome, or none is scored, are an error.
    pub check: bool,
}

/// A destination of annotated calls.
#[derive(Debug)]
pub enum CallSink {
    /// Lines of VCF.
    Vcf(LineSink),
    /// Records of BCF.
    Bcf(BcfSink),
    /// Rows.
    Tsv(LineSink),
}

impl CallSink {
    fn format(&self) -> Format {
        match self {
            CallSink::Vcf(_) => Format::Vcf,
            CallSink::Bcf(_) => Format::Bcf,
            CallSink::Tsv(_) => Format::Tsv,
        }
    }

    fn write(&mut self, part: &Part) -> Result<()> {
        match self {
            CallSink::Vcf(sink) => sink.write(&part.vcf),
            CallSink::Bcf(sink) => sink.write(&part.bcf),
            CallSink::Tsv(sink) => sink.write(&part.table),
        }
    }

    fn seal(self) -> Result<Vec<Sealed>> {
        match self {
            CallSink::Vcf(sink) | CallSink::Tsv(sink) => sink.seal(),
            CallSink::Bcf(sink) => Ok(vec![sink.seal()?]),
        }
    }
}

impl Annotation<'_> {
    /// A destination in a format for the annotated `calls`, with what stands before them; lines are compressed, and have an
    /// index, if so said.
    ///
    /// # Errors
    /// A header that makes none of BCF; an output that cannot be written.
    pub fn sink(
        &self,
        calls: &Calls,
        output: Output,
        (format, compressed): (Format, bool),
        provenance: &Provenance,
    ) -> Result<CallSink> {
        let lines = |output, header: &[u8], layout| match compressed {
            true => LineSink::compressed(output, header, layout),
            false => LineSink::new(output, header),
        };
        let header = || self.annotated(calls, provenance).text;
        Ok(match format {
            Format::Tsv => CallSink::Tsv(lines(output, TABLE_HEADER.as_bytes(), Layout::Position)?),
            Format::Vcf => CallSink::Vcf(lines(output, &header(), Layout::Vcf)?),
            Format::Bcf => CallSink::Bcf(BcfSink::new(output, &header())?),
        })
    }

    fn annotated(&self, calls: &Calls, provenance: &Provenance) -> header::Annotated {
        let fields = Fields::from_targets(self.targets);
        header::annotate(calls.header(), (self.targets, &fields), self.genome.contigs(), provenance)
    }
}

/// Outcome for records and alleles.
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
    /// Of these, those that change no window of any target: their effect is 0.
    pub unchanged: u64,
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
    /// Records outside the bases of their contig.
    pub outside_contig: u64,
    /// Records whose REF is not what the genome has.
    pub mismatch: u64,
    /// Of these, those of which an ALT allele is what the genome has.
    pub swapped: u64,
}

/// Why a record does not fit the genome.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Problem {
    UnknownContig,
    OutsideContig,
    Mismatch,
    /// A mismatch where the genome has an ALT allele.
    Swapped,
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
            Problem::UnknownContig => self.unknown_contig += 1,
            Problem::OutsideContig => self.outside_contig += 1,
            Problem::Mismatch => self.mismatch += 1,
            Problem::Swapped => {
                self.mismatch += 1;
                self.swapped += 1;
            }
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
        self.outside_contig += other.outside_contig;
        self.mismatch += other.mismatch;
        self.swapped += other.swapped;
        self.unchanged += other.unchanged;
    }

    /// Records that do not fit the genome.
    pub fn misfits(&self) -> u64 {
        self.unknown_contig + self.outside_contig + self.mismatch
    }

    /// Records and alleles that were passed on without a score, and the reasons: a phrase for each kind that occurred.
    pub fn unscored(&self) -> Vec<String> {
        let kinds = [
            (self.no_alternative, "without an ALT allele"),
            (self.spanned, "of the allele *"),
            (self.symbolic, "symbolic"),
            (self.breakends, "of breakends"),
            (self.unknown_contig, "on contigs that the genome does not have"),
            (self.outside_contig, "outside the contig's bases"),
            (self.mismatch, "whose REF differs from the genome"),
            (self.swapped, "of them with the genome's allele as ALT (REF and ALT swapped?)"),
            (self.short, "on contigs too short for a model"),
        ];
        kinds
            .into_iter()
            .filter(|(count, _)| *count > 0)
            .map(|(count, what)| format!("{} {what}", grouped(count)))
            .collect()
    }
}

/// Counts of a run.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Summary {
    /// Records and alleles.
    pub counts: Counts,
    /// The contigs that the genome does not have, each with the number of its records.
    pub unknown: BTreeMap<String, u64>,
    /// The contigs that the genome has by another name, and that name.
    pub aliases: BTreeMap<String, String>,
}

/// Told while records are annotated.
pub trait Watch {
    /// Bytes of the input that were read, and their total where it is known.
    fn progress(&mut self, at: (u64, Option<u64>), counts: &Counts);
    /// A record does not fit the genome; told of the first few of each batch of records, in order.
    fn problem(&mut self, message: &str);
}

/// Annotates `calls` with one set of scanners a worker, into `outputs`, which appear together when they are whole. The
/// bytes do not depend on the number of workers.
///
/// # Errors
/// Whatever the input, an engine or an output meets first; lines that are no records of VCF; calls of which none is scored
/// or most do not fit the genome ([`Annotation::check`]).
pub fn annotate(
    mut calls: Calls,
    annotation: &Annotation<'_>,
    scanners: Vec<Scanners>,
    provenance: &Provenance,
    mut outputs: Vec<CallSink>,
    watch: &mut dyn Watch,
    cancel: &AtomicBool,
) -> Result<Summary> {
    let fields = Fields::from_targets(annotation.targets);
    let header::Annotated { text, again } = annotation.annotated(&calls, provenance);
    let contigs = Contigs::new(annotation.genome, calls.header());
    let other = contigs.other_lengths();
    if !other.is_empty() {
        let (first, more) = (&other[..other.len().min(5)], if other.len() > 5 { ", …" } else { "" });
        let path = calls.path().display();
        log::warn!("{path}: contigs of other lengths in the header: {}{more}", first.join(", "));
    }
    let indexed = match annotation.regions {
        Some(regions) => calls.select(&contigs, regions)?,
        None => false,
    };
    let record_header = calls.record_header();
    let path = calls.path().to_path_buf();
    let wants = |format: Format| outputs.iter().any(|sink| sink.format() == format);
    let from_bcf = if wants(Format::Bcf) { Some(bcf::header(&text).map_err(Error::Request)?) } else { None };
    let shared = Shared {
        path: &path,
        genome: annotation.genome,
        contigs: &contigs,
        fields: &fields,
        again,
        regions: annotation.regions,
        strict: annotation.strict,
        wanted: (wants(Format::Vcf) || from_bcf.is_some(), wants(Format::Tsv)),
        bcf: from_bcf.as_ref(),
        numbered: record_header.as_deref().map_or(Numbered::Lines(!indexed), Numbered::Records),
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
            outputs.iter_mut().try_for_each(|sink| sink.write(part))?;
            summary.counts.merge(&part.counts);
            for (name, count) in &part.unknown {
                *summary.unknown.entry(name.clone()).or_default() += count;
            }
            for (name, own) in &part.aliases {
                summary.aliases.entry(name.clone()).or_insert_with(|| own.clone());
            }
            part.problems.iter().for_each(|problem| watch.problem(problem));
            watch.progress(part.progress, &summary.counts);
            Ok(())
        },
        cancel,
    )?;
    if annotation.check {
        summary.check(&path)?;
    }
    let sealed = outputs.into_iter().map(CallSink::seal).collect::<Result<Vec<_>>>()?;
    output::publish(sealed.into_iter().flatten())?;
    Ok(summary)
}

impl Summary {
    /// # Errors
    /// Records none of which is scored, or more than half of which do not fit the genome.
    fn check(&self, path: &Path) -> Result<()> {
        let Counts { records, scored, .. } = self.counts;
        let misfits = self.counts.misfits();
        if records == 0 || (scored > 0 && misfits <= records / 2) {
            return Ok(());
        }
        let (records, misfits) = (crate::report::grouped(records), crate::report::grouped(misfits));
        let what = match scored {
            0 => format!("none of {records} records is scored"),
            _ => format!("{misfits} of {records} records do not fit the genome"),
        };
        let mut reasons = self.counts.unscored().join(", ");
        if let Some((first, _)) = self.unknown.first_key_value() {
            reasons += &format!("; the genome does not have {first}");
        }
        let message = format!("{what} ({reasons}); is this the genome they were called on? --force goes on");
        Err(Error::format(path, None, message))
    }
}

impl fmt::Display for Summary {
    /// `12 records, 13 alleles scored`, and what was not.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Counts { records, alleles, outside, .. } = self.counts;
        write!(f, "{}, {} scored", counted(records, "record"), counted(alleles, "allele"))?;
        if self.counts.unchanged > 0 {
            write!(f, " (no window changed by {}: effect 0)", grouped(self.counts.unchanged))?;
        }
        if outside > 0 {
            write!(f, "; {} outside the regions left out", counted(outside, "record"))?;
        }
        let unscored = self.counts.unscored();
        if unscored.is_empty() { Ok(()) } else { write!(f, "; not scored: {}", unscored.join(", ")) }
    }
}
