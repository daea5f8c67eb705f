//! Work on a batch of records.

use std::collections::BTreeMap;
use std::ops::Range;
use std::path::Path;
use std::sync::Arc;

use noodles::vcf;
use noodles::vcf::variant::io::Write as _;

use crate::genome::random_access::Lookup;
use crate::io::guard;
use crate::io::number::{push_integer, push_score};
use crate::seq::alphabet::{CODE_OF_ASCII, N, ascii_of_code, may_be};
use crate::seq::contig::Contig;
use crate::variants::allele::{Call, Kind, shown};
use crate::variants::bcf::{self, Encoder};
use crate::variants::contigs::Contigs;
use crate::variants::header::{Field, Fields};
use crate::variants::reader::Batch;
use crate::variants::scorer::{Best, Comparison, Effect, Haplotypes, Scorer};
use crate::variants::{Counts, Problem};
use crate::{Error, Result};

/// Lines of a batch, and what became of its records.
#[derive(Debug, Default)]
pub(crate) struct Part {
    pub(crate) vcf: Vec<u8>,
    /// The same as records of BCF.
    pub(crate) bcf: Vec<u8>,
    pub(crate) table: Vec<u8>,
    pub(crate) counts: Counts,
    /// Records that could not be scored: the first few of each batch.
    pub(crate) problems: Vec<String>,
    /// Contigs that the genome does not have, and their records.
    pub(crate) unknown: BTreeMap<String, u64>,
    /// Contigs that the genome has by another name, and that name.
    pub(crate) aliases: BTreeMap<String, String>,
    pub(crate) progress: (u64, Option<u64>),
}

/// Problems of a batch that are kept.
const KEPT: usize = 5;

/// State that all workers share.
#[derive(Clone, Copy)]
pub(crate) struct Shared<'a> {
    /// Name of the input of records, for messages.
    pub(crate) path: &'a Path,
    pub(crate) genome: &'a Lookup,
    pub(crate) contigs: &'a Contigs<'a>,
    pub(crate) fields: &'a [Fields],
    /// True if records may have the fields already.
    pub(crate) again: bool,
    /// The wanted stretches of each contig; all if there are none.
    pub(crate) regions: Option<&'a [Vec<Range<u64>>]>,
    pub(crate) strict: bool,
    /// True if lines of VCF, and of the table, are wanted.
    pub(crate) wanted: (bool, bool),
    /// Header that records of BCF refer to, if they are wanted; lines of VCF are wanted as well then.
    pub(crate) bcf: Option<&'a vcf::Header>,
    pub(crate) numbered: Numbered<'a>,
}

/// The numbers that messages give to records.
#[derive(Clone, Copy)]
pub(crate) enum Numbered<'a> {
    /// The lines of a VCF, of which the numbers are known unless an index was used.
    Lines(bool),
    /// The records of a BCF with this header.
    Records(&'a vcf::Header),
}

pub(crate) struct Worker<'a> {
    shared: Shared<'a>,
    scorer: Scorer<'a>,
    encoder: Option<Encoder<'a>>,
    /// Lines made of the records of a BCF.
    lines: Vec<u8>,
    /// The contig of the record before, which most have.
    contig: Option<Arc<Contig>>,
    /// Its name in the records.
    entered: Vec<u8>,
    /// Codes of the reference with its flanks, of the reference allele, and of an alternative one.
    codes: Vec<u8>,
    reference: Vec<u8>,
    alternative: Vec<u8>,
    /// Comparison of each alternative with the reference, for each target; empty for alternatives that are not scored.
    comparisons: Vec<Vec<Comparison>>,
    kinds: Vec<Kind>,
    info: Vec<u8>,
}

impl<'a> Worker<'a> {
    pub(crate) fn new(shared: Shared<'a>, scorer: Scorer<'a>) -> Worker<'a> {
        Worker {
            shared,
            scorer,
            encoder: shared.bcf.map(Encoder::new),
            lines: Vec::new(),
            contig: None,
            entered: Vec::new(),
            codes: Vec::new(),
            reference: Vec::new(),
            alternative: Vec::new(),
            comparisons: Vec::new(),
            kinds: Vec::new(),
            info: Vec::new(),
        }
    }

    pub(crate) fn annotate(&mut self, batch: &Batch, part: &mut Part) -> Result<()> {
        part.vcf.clear();
        part.table.clear();
        part.counts = Counts::default();
        part.problems.clear();
        part.unknown.clear();
        part.aliases.clear();
        part.progress = batch.progress;
        let mut lines = std::mem::take(&mut self.lines);
        let text = match self.shared.numbered {
            Numbered::Lines(_) => &batch.text,
            Numbered::Records(header) => {
                lines.clear();
                let mut writer = vcf::io::Writer::new(&mut lines);
                for (record, number) in batch.records[..batch.count].iter().zip(batch.first..) {
                    let begin = writer.get_ref().len();
                    let written = guard::caught(|| writer.write_variant_record(header, record));
                    let why = match written {
                        Some(Ok(())) => {
                            bcf::unescape(header, writer.get_mut(), begin);
                            continue;
                        }
                        Some(Err(error)) => error.to_string(),
                        None => "it is damaged".to_owned(),
                    };
                    let message = format!("record {number} makes no line of VCF: {why}");
                    return Err(Error::format(self.shared.path, None, message));
                }
                &lines
            }
        };
        for (line, number) in text.split_inclusive(|&byte| byte == b'\n').zip(batch.first..) {
            self.annotate_line(line, number, part)?;
        }
        self.lines = lines;
        if let Some(encoder) = &mut self.encoder {
            let encoded = encoder.encode(&part.vcf, &mut part.bcf);
            encoded.map_err(|message| Error::format(self.shared.path, None, message))?;
        }
        Ok(())
    }

    fn error(&self, number: u64, message: &str) -> Error {
        match self.shared.numbered {
            Numbered::Lines(true) => Error::format(self.shared.path, number, message),
            Numbered::Lines(false) => Error::format(self.shared.path, None, message),
            Numbered::Records(_) => {
                Error::format(self.shared.path, None, format!("record {number}: {message}"))
            }
        }
    }

    fn annotate_line(&mut self, line: &[u8], number: u64, part: &mut Part) -> Result<()> {
        let content = line.strip_suffix(b"\n").unwrap_or(line);
        let content = content.strip_suffix(b"\r").unwrap_or(content);
        if content.is_empty() {
            return Ok(());
        }
        let wrong = |worker: &Self, message: String| worker.error(number, &message);
        let call = Call::parse(content).map_err(|message| wrong(self, message))?;
        self.enter(call.contig, part);
        if !self.is_wanted(&call) {
            part.counts.outside += 1;
            return Ok(());
        }
        part.counts.records += 1;
        self.kinds.clear();
        for allele in call.alleles() {
            let kind = Kind::from_allele(allele).map_err(|message| wrong(self, message))?;
            part.counts.add(kind);
            self.kinds.push(kind);
        }
        let problem = match self.kinds.contains(&Kind::Bases) {
            true => self.score(&call, number, part)?,
            false => None,
        };
        let scored = self.kinds.contains(&Kind::Bases) && problem.is_none();
        if self.shared.wanted.0 {
            self.put_line(content, &line[content.len()..], &call, scored, &mut part.vcf);
        }
        if self.shared.wanted.1 {
            self.put_rows(&call, problem, &mut part.table);
        }
        Ok(())
    }

    /// Makes the contig of this name the current one.
    fn enter(&mut self, name: &[u8], part: &mut Part) {
        if self.entered != name {
            self.entered.clear();
            self.entered.extend_from_slice(name);
            self.contig = self.shared.contigs.find(name).cloned();
        }
        if let Some(contig) = self.contig.as_ref().filter(|contig| contig.name.as_bytes() != name) {
            let name = String::from_utf8_lossy(name);
            if !part.aliases.contains_key(&*name) {
                part.aliases.insert(name.into_owned(), contig.name.clone());
            }
        }
    }

    fn is_wanted(&self, call: &Call<'_>) -> bool {
        let Some(regions) = self.shared.regions else { return true };
        let Some(contig) = &self.contig else { return false };
        let start = call.position.saturating_sub(1);
        let end = start.saturating_add(call.reference.len() as u64);
        // They are sorted and do not overlap.
        let regions = &regions[contig.id];
        let next = regions.partition_point(|region| region.end <= start);
        regions.get(next).is_some_and(|region| region.start < end)
    }

    /// Scores the alleles of a record, unless it does not fit the genome.
    fn score(&mut self, call: &Call<'_>, number: u64, part: &mut Part) -> Result<Option<Problem>> {
        let Some(contig) = self.contig.clone() else {
            let name = String::from_utf8_lossy(call.contig).into_owned();
            if self.shared.strict {
                let hint = self.shared.genome.suggestion(&name);
                return Err(self.error(number, &format!("there is no contig {name} in the genome; {hint}")));
            }
            *part.unknown.entry(name).or_default() += 1;
            part.counts.add_problem(Problem::UnknownContig);
            return Ok(Some(Problem::UnknownContig));
        };
        let length = contig.length.unwrap_or(0);
        let position = call.position.wrapping_sub(1);
        let end = call.position.saturating_sub(1).saturating_add(call.reference.len() as u64);
        if call.position == 0 || end > length {
            let (name, last) = (&contig.name, end.max(call.position));
            let message = match call.position {
                0 => format!("position 0 of {name} is before its first base"),
                _ => format!(
                    "{name}:{last} is past the end of the contig, which has {length} bases in the genome"
                ),
            };
            return self.problem(Problem::OutsideContig, number, &message, part).map(Some);
        }
        let reach = self.scorer.reach(self.longest_change(call)) as u64;
        let around = position.saturating_sub(reach)..length.min(end.saturating_add(reach));
        self.codes.clear();
        self.shared.genome.fetch(&contig, around.clone(), &mut self.codes)?;
        let (before, behind) = ((position - around.start) as usize, (end - around.start) as usize);
        let (left, right) = (&self.codes[..before], &self.codes[behind..]);
        encode(call.reference, &mut self.reference);
        let of_genome = &self.codes[before..behind];
        if !call.reference.iter().zip(of_genome).all(|(&letter, &code)| may_be(letter, code)) {
            let letters: Vec<u8> = of_genome.iter().map(|&code| ascii_of_code(code)).collect();
            let alternative = call
                .alleles()
                .zip(&self.kinds)
                .find(|(allele, kind)| **kind == Kind::Bases && allele.eq_ignore_ascii_case(&letters));
            let (problem, hint) = match alternative {
                Some(_) => (Problem::Swapped, ", its ALT: are REF and ALT swapped?"),
                None => (Problem::Mismatch, ""),
            };
            let message = format!(
                "REF at {}:{} is {}, but the genome has {}{hint}",
                contig.name,
                call.position,
                shown(call.reference),
                shown(&letters)
            );
            return self.problem(problem, number, &message, part).map(Some);
        }
        // An ambiguous letter of REF stands for the base that the genome has.
        for (code, &of_genome) in self.reference.iter_mut().zip(of_genome) {
            if *code == N {
                *code = of_genome;
            }
        }
        let targets = self.scorer.targets().len();
        self.comparisons.resize_with(self.comparisons.len().max(self.kinds.len()), Vec::new);
        self.scorer.begin_site();
        for ((allele, kind), comparisons) in call.alleles().zip(&self.kinds).zip(&mut self.comparisons) {
            comparisons.clear();
            if *kind != Kind::Bases {
                continue;
            }
            encode(allele, &mut self.alternative);
            let haplotypes =
                Haplotypes { left, reference: &self.reference, alternative: &self.alternative, right };
            self.scorer.compare(&haplotypes, around.start, comparisons)?;
            let count = |kind: Comparison| comparisons.iter().filter(|&&found| found == kind).count();
            part.counts.short += count(Comparison::TooShort) as u64;
            part.counts.unchanged += u64::from(count(Comparison::Unchanged) == targets);
            part.counts.alleles += 1;
        }
        part.counts.scored += 1;
        Ok(None)
    }

    /// Bases that an alternative allele is longer or shorter than the reference, at the most.
    fn longest_change(&self, call: &Call<'_>) -> usize {
        let alleles = call.alleles().zip(&self.kinds).filter(|(_, kind)| **kind == Kind::Bases);
        alleles.map(|(allele, _)| allele.len().abs_diff(call.reference.len())).max().unwrap_or(0)
    }

    fn problem(&self, problem: Problem, number: u64, message: &str, part: &mut Part) -> Result<Problem> {
        if self.shared.strict {
            return Err(self.error(number, message));
        }
        part.counts.add_problem(problem);
        if part.problems.len() < KEPT {
            part.problems.push(self.error(number, message).to_string());
        }
        Ok(problem)
    }

    /// Writes the line with the fields behind what INFO has.
    fn put_line(&mut self, line: &[u8], end: &[u8], call: &Call<'_>, scored: bool, out: &mut Vec<u8>) {
        let old = &line[call.info.clone()];
        self.info.clear();
        let own = |entry: &[u8]| {
            let key = entry.split(|&byte| byte == b'=').next().unwrap_or_default();
            self.shared.fields.iter().any(|fields| fields.have(key))
        };
        if self.shared.again {
            for entry in old.split(|&byte| byte == b';').filter(|entry| !own(entry)) {
                next_field(&mut self.info);
                self.info.extend_from_slice(entry);
            }
        } else if old != b"." {
            self.info.extend_from_slice(old);
        }
        if self.info == b"." {
            self.info.clear();
        }
        if scored {
            self.put_fields();
        }
        if self.info.is_empty() {
            self.info.push(b'.');
        }
        out.extend_from_slice(&line[..call.info.start]);
        out.extend_from_slice(&self.info);
        out.extend_from_slice(&line[call.info.end..]);
        out.extend_from_slice(end);
    }

    fn put_fields(&mut self) {
        let alleles = &self.comparisons[..self.kinds.len()];
        for (rank, Fields { prefix }) in self.shared.fields.iter().enumerate() {
            let known = |found: &&Comparison| **found != Comparison::TooShort;
            if !alleles.iter().any(|found| found.get(rank).filter(known).is_some()) {
                continue;
            }
            for field in Field::ALL {
                next_field(&mut self.info);
                self.info.extend_from_slice(prefix.as_bytes());
                self.info.push(b'_');
                self.info.extend_from_slice(field.name().as_bytes());
                for (number, found) in alleles.iter().enumerate() {
                    self.info.push(if number == 0 { b'=' } else { b',' });
                    field.put(found.get(rank).copied(), &mut self.info);
                }
            }
        }
    }

    /// Writes a row for each alternative allele and target.
    fn put_rows(&self, call: &Call<'_>, problem: Option<Problem>, out: &mut Vec<u8>) {
        for ((number, allele), kind) in call.alleles().enumerate().zip(&self.kinds) {
            for (rank, target) in self.scorer.targets().iter().enumerate() {
                let found = match (problem, kind) {
                    (None, Kind::Bases) => self.comparisons[number].get(rank).copied(),
                    _ => None,
                };
                out.extend_from_slice(call.contig);
                out.push(b'\t');
                push_integer(call.position, out);
                for text in [call.id, call.reference, allele, target.name.as_bytes()] {
                    out.push(b'\t');
                    out.extend_from_slice(text);
                }
                for field in TABLE_FIELDS {
                    out.push(b'\t');
                    field.put(found, out);
                }
                out.push(b'\t');
                out.extend_from_slice(status(*kind, problem, found).as_bytes());
                out.push(b'\n');
            }
        }
    }
}

/// The status of an allele in the table: whether it is scored, and why not.
fn status(kind: Kind, problem: Option<Problem>, found: Option<Comparison>) -> &'static str {
    match (kind, problem, found) {
        (Kind::Missing, ..) => "no_alt",
        (Kind::Spanned, ..) => "spanning_deletion",
        (Kind::Symbolic, ..) => "symbolic",
        (Kind::Breakend, ..) => "breakend",
        (Kind::Bases, Some(Problem::UnknownContig), _) => "unknown_contig",
        (Kind::Bases, Some(Problem::OutsideContig), _) => "outside_contig",
        (Kind::Bases, Some(Problem::Mismatch), _) => "ref_mismatch",
        (Kind::Bases, Some(Problem::Swapped), _) => "ref_alt_swapped",
        (Kind::Bases, None, Some(Comparison::Scored { .. })) => "scored",
        (Kind::Bases, None, Some(Comparison::Unchanged)) => "unchanged",
        (Kind::Bases, None, Some(Comparison::TooShort) | None) => "too_short",
    }
}

/// Columns of the table, behind those of the record.
const TABLE_FIELDS: [Field; 8] = [
    Field::Reference,
    Field::Alternative,
    Field::Difference,
    Field::Effect,
    Field::ReferenceStrand,
    Field::ReferenceOffset,
    Field::AlternativeStrand,
    Field::AlternativeOffset,
];

/// Columns of the table.
pub(crate) const TABLE_HEADER: &str = "contig\tposition\tid\tref\talt\tmodel\tref_score\talt_score\tdifference\teffect\t\
                                       ref_strand\tref_offset\talt_strand\talt_offset\tstatus\n";

impl Field {
    /// Writes the value of an allele; `.` where there is none.
    fn put(self, found: Option<Comparison>, out: &mut Vec<u8>) {
        match found {
            Some(Comparison::Scored { reference, alternative }) => {
                let effect = Effect::from_scores(reference.score, alternative.score);
                match self {
                    Field::Reference => push_score(reference.score, out),
                    Field::Alternative => push_score(alternative.score, out),
                    Field::ReferenceStrand => push_strand(&reference, out),
                    Field::AlternativeStrand => push_strand(&alternative, out),
                    Field::ReferenceOffset => push_signed(reference.offset, out),
                    Field::AlternativeOffset => push_signed(alternative.offset, out),
                    Field::Difference => push_score(effect.difference, out),
                    Field::Effect => push_score(effect.effect, out),
                }
            }
            Some(Comparison::Unchanged) if matches!(self, Field::Difference | Field::Effect) => {
                push_score(0.0, out);
            }
            _ => out.push(b'.'),
        }
    }
}

fn push_strand(best: &Best, out: &mut Vec<u8>) {
    out.push(best.strand.map_or(b'.', |strand| strand.symbol() as u8));
}

fn push_signed(number: i64, out: &mut Vec<u8>) {
    if number < 0 {
        out.push(b'-');
    }
    push_integer(number.unsigned_abs(), out);
}

fn next_field(info: &mut Vec<u8>) {
    if !info.is_empty() {
        info.push(b';');
    }
}

fn encode(letters: &[u8], codes: &mut Vec<u8>) {
    codes.clear();
    codes.extend(letters.iter().map(|&letter| CODE_OF_ASCII[usize::from(letter)]));
}
