//! What a worker makes of a batch of records.

use std::collections::BTreeMap;
use std::ops::Range;
use std::path::Path;
use std::sync::Arc;

use noodles::vcf;
use noodles::vcf::variant::io::Write as _;

use super::bcf::Encoder;
use super::call::{Call, Kind, shown};
use super::header::Fields;
use super::score::{Best, Effect, Scorer, Target, fits};
use super::source::Batch;
use super::{Counts, Problem};
use crate::encode::CODE_OF_ASCII;
use crate::genome::{Contig, Strand};
use crate::source::lookup::Lookup;
use crate::track::number::{push_fixed, push_integer};
use crate::{Error, Result};

/// Lines of a batch, and what became of its records.
#[derive(Debug, Default)]
pub(super) struct Part {
    pub(super) vcf: Vec<u8>,
    /// The same as records of BCF.
    pub(super) bcf: Vec<u8>,
    pub(super) table: Vec<u8>,
    pub(super) counts: Counts,
    /// Records that could not be scored: the first few of each batch.
    pub(super) problems: Vec<String>,
    /// Contigs that the genome does not have, and their records.
    pub(super) unknown: BTreeMap<String, u64>,
    pub(super) progress: (u64, Option<u64>),
}

/// Problems of a batch that are kept.
const KEPT: usize = 5;

/// What all workers share.
#[derive(Clone, Copy)]
pub(super) struct Shared<'a> {
    /// Where the records come from, for messages.
    pub(super) path: &'a Path,
    pub(super) genome: &'a Lookup,
    pub(super) fields: &'a [Fields],
    /// Whether records may have the fields already.
    pub(super) again: bool,
    /// The wanted stretches of each contig; all if there are none.
    pub(super) regions: Option<&'a [Vec<Range<u64>>]>,
    pub(super) strict: bool,
    /// Whether lines of VCF, and of the table, are wanted.
    pub(super) wanted: (bool, bool),
    /// What records of BCF refer to, if they are wanted; lines of VCF are wanted as well then.
    pub(super) bcf: Option<&'a vcf::Header>,
    pub(super) numbered: Numbered<'a>,
}

/// What records are counted by.
#[derive(Clone, Copy)]
pub(super) enum Numbered<'a> {
    /// The lines of a VCF.
    Lines,
    /// The records of a BCF with this header.
    Records(&'a vcf::Header),
}

pub(super) struct Worker<'a> {
    shared: Shared<'a>,
    scorer: Scorer<'a>,
    encoder: Option<Encoder<'a>>,
    /// Lines made of the records of a BCF.
    lines: Vec<u8>,
    /// The contig of the record before, which most have.
    contig: Option<Arc<Contig>>,
    /// Codes of the reference with its flanks, of the reference allele, and of an alternative one.
    codes: Vec<u8>,
    reference: Vec<u8>,
    alternative: Vec<u8>,
    /// The best windows: of the reference, for each target; and of each alternative, for each target.
    best: Vec<Option<Best>>,
    best_alternatives: Vec<Option<Best>>,
    kinds: Vec<Kind>,
    info: Vec<u8>,
}

impl<'a> Worker<'a> {
    pub(super) fn new(shared: Shared<'a>, scorer: Scorer<'a>) -> Worker<'a> {
        Worker {
            shared,
            scorer,
            encoder: shared.bcf.map(Encoder::new),
            lines: Vec::new(),
            contig: None,
            codes: Vec::new(),
            reference: Vec::new(),
            alternative: Vec::new(),
            best: Vec::new(),
            best_alternatives: Vec::new(),
            kinds: Vec::new(),
            info: Vec::new(),
        }
    }

    pub(super) fn annotate(&mut self, batch: &Batch, part: &mut Part) -> Result<()> {
        part.vcf.clear();
        part.table.clear();
        part.counts = Counts::default();
        part.problems.clear();
        part.unknown.clear();
        part.progress = batch.progress;
        let mut lines = std::mem::take(&mut self.lines);
        let text = match self.shared.numbered {
            Numbered::Lines => &batch.text,
            Numbered::Records(header) => {
                lines.clear();
                let mut writer = vcf::io::Writer::new(&mut lines);
                for (record, number) in batch.records[..batch.count].iter().zip(batch.first..) {
                    writer.write_variant_record(header, record).map_err(|error| {
                        let message = format!("record {number} makes no line of VCF: {error}");
                        Error::format(self.shared.path, None, message)
                    })?;
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
            Numbered::Lines => Error::format(self.shared.path, number, message),
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
        self.enter(call.contig);
        if !self.is_wanted(&call) {
            part.counts.outside += 1;
            return Ok(());
        }
        part.counts.records += 1;
        self.kinds.clear();
        for allele in call.alleles() {
            let kind = Kind::of(allele).map_err(|message| wrong(self, message))?;
            part.counts.add(kind);
            self.kinds.push(kind);
        }
        let scored = self.kinds.contains(&Kind::Bases) && self.score(&call, number, part)?;
        if self.shared.wanted.0 {
            self.put_line(content, &line[content.len()..], &call, scored, &mut part.vcf);
        }
        if self.shared.wanted.1 && scored {
            self.put_rows(&call, &mut part.table);
        }
        Ok(())
    }

    /// Makes the contig of this name the current one.
    fn enter(&mut self, name: &[u8]) {
        if self.contig.as_ref().is_none_or(|contig| contig.name.as_bytes() != name) {
            self.contig = self.shared.genome.find(name).cloned();
        }
    }

    fn is_wanted(&self, call: &Call<'_>) -> bool {
        let Some(regions) = self.shared.regions else { return true };
        let Some(contig) = &self.contig else { return false };
        let start = call.position.saturating_sub(1);
        let end = start + call.reference.len() as u64;
        regions[contig.id].iter().any(|region| region.start < end && start < region.end)
    }

    /// Scores the alleles of a record; `false` if its reference is not what it says.
    fn score(&mut self, call: &Call<'_>, number: u64, part: &mut Part) -> Result<bool> {
        let Some(contig) = self.contig.clone() else {
            let name = String::from_utf8_lossy(call.contig).into_owned();
            // Another name for a contig of the genome means that the whole file has other names.
            if let Some(other) = self.shared.genome.namesake(&name) {
                let message = format!(
                    "contig {name} is called {} in the genome: rename one of them (bcftools annotate --rename-chrs)",
                    other.name
                );
                return Err(self.error(number, &message));
            }
            if self.shared.strict {
                let hint = self.shared.genome.suggestion(&name);
                return Err(self.error(number, &format!("there is no contig {name} in the genome; {hint}")));
            }
            *part.unknown.entry(name).or_default() += 1;
            part.counts.unknown_contig += 1;
            return Ok(false);
        };
        let length = contig.length.unwrap_or(0);
        let position = call.position.wrapping_sub(1);
        let end = call.position.saturating_sub(1).saturating_add(call.reference.len() as u64);
        if call.position == 0 || end > length {
            let (name, last) = (&contig.name, end.max(call.position));
            let message = match call.position {
                0 => format!("position 0 of {name} lies before its first base"),
                _ => format!(
                    "{name}:{last} lies past the contig's end, which has {length} bases in the genome"
                ),
            };
            self.problem(Problem::PastEnd, number, &message, part)?;
            return Ok(false);
        }
        let flank = self.scorer.flank() as u64;
        let around = position.saturating_sub(flank)..length.min(end.saturating_add(flank));
        self.codes.clear();
        self.shared.genome.fetch(&contig, around.clone(), &mut self.codes)?;
        let (before, behind) = ((position - around.start) as usize, (end - around.start) as usize);
        let (left, right) = (&self.codes[..before], &self.codes[behind..]);
        encode(call.reference, &mut self.reference);
        if !fits(&self.reference, &self.codes[before..behind]) {
            let letters: Vec<u8> =
                self.codes[before..behind].iter().map(|&code| crate::encode::ascii_of_code(code)).collect();
            let message = format!(
                "REF at {}:{} is {}, but the genome has {}",
                contig.name,
                call.position,
                shown(call.reference),
                shown(&letters)
            );
            self.problem(Problem::Mismatch, number, &message, part)?;
            return Ok(false);
        }
        self.best.clear();
        self.scorer.score((left, &self.reference, right), around.start, &mut self.best)?;
        self.best_alternatives.clear();
        for (allele, kind) in call.alleles().zip(&self.kinds) {
            let from = self.best_alternatives.len();
            if *kind == Kind::Bases {
                encode(allele, &mut self.alternative);
                let haplotype = (left, &*self.alternative, right);
                self.scorer.score(haplotype, around.start, &mut self.best_alternatives)?;
                let short = self.best_alternatives[from..].iter().zip(&self.best);
                let short = short.filter(|(a, b)| a.is_none() || b.is_none()).count() as u64;
                part.counts.short += short;
                part.counts.alleles += 1;
            } else {
                self.best_alternatives.resize(from + self.best.len(), None);
            }
        }
        part.counts.scored += 1;
        Ok(true)
    }

    fn problem(&self, problem: Problem, number: u64, message: &str, part: &mut Part) -> Result<()> {
        if self.shared.strict {
            return Err(self.error(number, message));
        }
        part.counts.add_problem(problem);
        if part.problems.len() < KEPT {
            part.problems.push(self.error(number, message).to_string());
        }
        Ok(())
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
        out.extend_from_slice(if end.is_empty() { b"\n" } else { end });
    }

    fn put_fields(&mut self) {
        let targets = self.best.len();
        for (rank, (reference, Fields { prefix })) in self.best.iter().zip(self.shared.fields).enumerate() {
            let alternatives = || self.best_alternatives.iter().skip(rank).step_by(targets);
            let info = &mut self.info;
            let Some(reference) = reference else { continue };
            if alternatives().all(Option::is_none) {
                continue;
            }
            let mut field = |name: &str, put: &mut dyn FnMut(&mut Vec<u8>)| {
                next_field(info);
                info.extend_from_slice(prefix.as_bytes());
                info.extend_from_slice(name.as_bytes());
                put(info);
            };
            field("_REF=", &mut |out| push_fixed(reference.score, DECIMALS, out));
            field("_REF_STRAND=", &mut |out| out.push(symbol(reference.strand)));
            field("_REF_OFFSET=", &mut |out| push_signed(reference.offset, out));
            let mut each = |name: &str, put: fn(&Best, &Best, &mut Vec<u8>)| {
                field(name, &mut |out| {
                    for (number, alternative) in alternatives().enumerate() {
                        if number > 0 {
                            out.push(b',');
                        }
                        match alternative {
                            Some(alternative) => put(reference, alternative, out),
                            None => out.push(b'.'),
                        }
                    }
                });
            };
            each("_ALT=", |_, best, out| push_fixed(best.score, DECIMALS, out));
            each("_ALT_STRAND=", |_, best, out| out.push(symbol(best.strand)));
            each("_ALT_OFFSET=", |_, best, out| push_signed(best.offset, out));
            each("_DIFF=", |reference, best, out| {
                push_fixed(Effect::of(reference.score, best.score).difference, DECIMALS, out);
            });
            each("_EFFECT=", |reference, best, out| {
                push_fixed(Effect::of(reference.score, best.score).effect, DECIMALS, out);
            });
        }
    }

    /// Writes a row for each alternative allele and target.
    fn put_rows(&self, call: &Call<'_>, out: &mut Vec<u8>) {
        let targets: &[Target] = self.scorer.targets();
        for (allele, best) in call.alleles().zip(self.best_alternatives.chunks(targets.len())) {
            for ((target, reference), alternative) in targets.iter().zip(&self.best).zip(best) {
                let (Some(reference), Some(alternative)) = (reference, alternative) else { continue };
                let effect = Effect::of(reference.score, alternative.score);
                out.extend_from_slice(call.contig);
                out.push(b'\t');
                push_integer(call.position, out);
                for text in [call.id, call.reference, allele, target.name.as_bytes()] {
                    out.push(b'\t');
                    out.extend_from_slice(text);
                }
                for score in [reference.score, alternative.score, effect.difference, effect.effect] {
                    out.push(b'\t');
                    push_fixed(score, DECIMALS, out);
                }
                for best in [reference, alternative] {
                    out.extend_from_slice(&[b'\t', symbol(best.strand), b'\t']);
                    push_signed(best.offset, out);
                }
                out.push(b'\n');
            }
        }
    }
}

/// Columns of the table.
pub(super) const TABLE_HEADER: &str = "contig\tposition\tid\tref\talt\tmodel\tref_score\talt_score\tdifference\teffect\t\
                                       ref_strand\tref_offset\talt_strand\talt_offset\n";

/// Digits behind the point.
const DECIMALS: usize = 6;

fn symbol(strand: Option<Strand>) -> u8 {
    strand.map_or(b'.', |strand| strand.symbol() as u8)
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
