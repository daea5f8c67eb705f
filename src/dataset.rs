//! Sequences with measurements: what models are fitted to and judged by.

mod contig_names;
pub mod evaluation;
pub(crate) mod fold;
pub mod metric;
pub mod negatives;
use std::borrow::Cow;
use std::collections::{HashMap, HashSet};

use sha2::{Digest, Sha256};

use crate::io::digest::hex;
use crate::report::counted;
use crate::seq::alphabet::{N, reverse_complement_into};
use crate::{Error, Result};

pub mod fasta;
pub mod load;
pub mod peaks;
pub mod scaling;
pub mod table;
mod text;

/// Kind of the targets.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum TargetKind {
    /// 0 or 1: unbound or bound.
    Binary,
    /// Any number: an intensity, an affinity.
    Real,
}

/// Sequences with one or more targets each.
#[derive(Debug, Clone, PartialEq)]
pub struct Dataset {
    /// Codes of each sequence, 0 to 4 ([`crate::seq::alphabet`]); lengths may differ.
    pub sequences: Vec<Vec<u8>>,
    /// `targets[sequence * outputs + output]`; NaN where a value is missing.
    pub targets: Vec<f32>,
    /// Targets of a sequence.
    pub outputs: usize,
    /// Names of the targets, one an output.
    pub output_names: Vec<String>,
    /// Kind of the targets.
    pub kind: TargetKind,
    /// SHA-256 of sequences and targets, in hexadecimal: equal data, equal digest, whatever file they came in.
    pub digest: String,
    /// Cross-validation fold of each sequence, where the input assigns them; numbered from 0.
    pub folds: Option<Vec<u8>>,
}

impl Dataset {
    /// A data set from its parts, with the digest computed and without folds.
    ///
    /// # Errors
    /// No sequences, an empty sequence, or targets that do not fit in number or kind.
    pub fn new(
        sequences: Vec<Vec<u8>>,
        targets: Vec<f32>,
        output_names: Vec<String>,
        kind: TargetKind,
    ) -> Result<Dataset> {
        let outputs = output_names.len();
        let mut dataset =
            Dataset { sequences, targets, outputs, output_names, kind, digest: String::new(), folds: None };
        dataset.check().map_err(Error::Data)?;
        dataset.digest = dataset.compute_digest();
        Ok(dataset)
    }

    /// One output, `bound`: `positives` are 1, `negatives` are 0, in that order.
    ///
    /// # Errors
    /// As [`Dataset::new`].
    pub fn from_classes(positives: Vec<Vec<u8>>, negatives: Vec<Vec<u8>>) -> Result<Dataset> {
        let mut targets = vec![1.0; positives.len()];
        targets.resize(positives.len() + negatives.len(), 0.0);
        let mut sequences = positives;
        sequences.extend(negatives);
        Dataset::new(sequences, targets, vec![BOUND.into()], TargetKind::Binary)
    }

    fn check(&self) -> Result<(), String> {
        if self.sequences.is_empty() {
            return Err("the data set has no sequences".into());
        }
        if self.outputs == 0 || self.targets.len() != self.sequences.len() * self.outputs {
            return Err(format!(
                "{} targets do not go with {} sequences and {} outputs",
                self.targets.len(),
                self.sequences.len(),
                self.outputs
            ));
        }
        if let Some(empty) = self.sequences.iter().position(Vec::is_empty) {
            return Err(format!("sequence {} of the data set is empty", empty + 1));
        }
        if let Some(infinite) = self.targets.iter().position(|target| target.is_infinite()) {
            return Err(format!("a target of sequence {} is infinite", infinite / self.outputs + 1));
        }
        let binary = self.targets.iter().all(|&target| target == 0.0 || target == 1.0 || target.is_nan());
        if self.kind == TargetKind::Binary && !binary {
            return Err("targets of a binary data set must be 0 or 1".into());
        }
        Ok(())
    }

    fn compute_digest(&self) -> String {
        let mut hash = Sha256::new();
        for name in &self.output_names {
            hash.update(name.as_bytes());
            hash.update([0]);
        }
        for (codes, targets) in self.sequences.iter().zip(self.targets.chunks_exact(self.outputs)) {
            hash.update((codes.len() as u64).to_le_bytes());
            hash.update(codes);
            // Every NaN is the same missing value.
            targets.iter().for_each(|&t| hash.update(if t.is_nan() { f32::NAN } else { t }.to_le_bytes()));
        }
        hex(&hash.finalize())
    }

    /// Number of sequences.
    pub fn len(&self) -> usize {
        self.sequences.len()
    }

    /// True if there are none (never, in a data set made by [`Dataset::new`]).
    pub fn is_empty(&self) -> bool {
        self.sequences.is_empty()
    }

    /// Targets of one output, one a sequence.
    ///
    /// # Panics
    /// If there is no such output.
    pub fn target_column(&self, output: usize) -> Vec<f32> {
        assert!(output < self.outputs);
        self.targets.iter().skip(output).step_by(self.outputs).copied().collect()
    }

    /// Shortest and longest sequence, in bases.
    pub fn lengths(&self) -> (usize, usize) {
        let lengths = || self.sequences.iter().map(Vec::len);
        (lengths().min().unwrap_or(0), lengths().max().unwrap_or(0))
    }

    /// True if this is a binary data set of bound sequences only: it needs negatives ([`crate::dataset::negatives`]).
    pub fn has_positives_only(&self) -> bool {
        self.kind == TargetKind::Binary && self.targets.iter().all(|&target| target == 1.0)
    }

    /// The sequences with these ranks, in this order, with their folds.
    ///
    /// # Errors
    /// No ranks at all.
    ///
    /// # Panics
    /// If a rank is out of range.
    pub fn select(&self, ranks: &[usize]) -> Result<Dataset> {
        let row = |rank: usize| &self.targets[rank * self.outputs..(rank + 1) * self.outputs];
        let mut part = Dataset::new(
            ranks.iter().map(|&rank| self.sequences[rank].clone()).collect(),
            ranks.iter().flat_map(|&rank| row(rank).iter().copied()).collect(),
            self.output_names.clone(),
            self.kind,
        )?;
        part.folds = self.folds.as_ref().map(|folds| ranks.iter().map(|&rank| folds[rank]).collect());
        Ok(part)
    }

    /// Adds unbound sequences to a binary data set of one output. Folds go round in turn, if there are any.
    ///
    /// # Errors
    /// A data set of another kind, or an empty sequence.
    pub fn add_negatives(&mut self, negatives: Vec<Vec<u8>>) -> Result<()> {
        if self.kind != TargetKind::Binary || self.outputs != 1 {
            return Err(Error::Data("negatives go with one output of 0 and 1 only".into()));
        }
        if let Some(folds) = &mut self.folds {
            let given = folds.len();
            (0..negatives.len()).for_each(|i| folds.push(folds[i % given]));
        }
        self.targets.resize(self.targets.len() + negatives.len(), 0.0);
        self.sequences.extend(negatives);
        self.check().map_err(Error::Data)?;
        self.digest = self.compute_digest();
        Ok(())
    }

    /// Checks that a model can be fitted to the data or judged by it: enough sequences, long enough, and for every
    /// output both classes or values that differ.
    ///
    /// # Errors
    /// Description of the errors, with counts.
    pub fn require(&self, sequences: usize, length: usize) -> Result<()> {
        let wrong = |message: String| Err(Error::Data(message));
        if self.len() < sequences {
            return wrong(format!("there are {} sequences; {sequences} or more are needed", self.len()));
        }
        let short = self.sequences.iter().filter(|codes| codes.len() < length).count();
        if short > 0 {
            let (shortest, _) = self.lengths();
            return wrong(format!(
                "{short} of {} sequences are shorter than {length} bases (the shortest has {shortest}); leave them out",
                self.len()
            ));
        }
        for (output, name) in self.output_names.iter().enumerate() {
            self.require_variation(output).or_else(|why| wrong(format!("{why} in column {name}")))?;
        }
        Ok(())
    }

    fn require_variation(&self, output: usize) -> Result<(), String> {
        let mut column = self.target_column(output);
        column.retain(|target| !target.is_nan());
        let Some(&first) = column.first() else { return Err("every value is missing".into()) };
        if column.iter().any(|&target| target != first) {
            return Ok(());
        }
        Err(match self.kind {
            TargetKind::Binary => format!("all {} sequences are of one class ({first})", column.len()),
            TargetKind::Real => format!("all {} values are the same ({first})", column.len()),
        })
    }

    /// Warnings about the sequences that matter before one trusts a model fitted to them.
    pub fn quality(&self) -> Quality {
        let mut seen: HashMap<&[u8], &[f32]> = HashMap::with_capacity(self.len());
        let mut quality = Quality::default();
        for (codes, targets) in self.sequences.iter().zip(self.targets.chunks_exact(self.outputs)) {
            quality.n_rich += usize::from(2 * codes.iter().filter(|&&code| code == N).count() > codes.len());
            if let Some(first) = seen.insert(codes, targets) {
                quality.duplicates += 1;
                quality.contradictions += usize::from(differ(first, targets));
            }
        }
        let (shortest, longest) = self.lengths();
        quality.lengths = (2 * longest > 3 * shortest).then_some((shortest, longest));
        quality.lengths_of_classes =
            self.lengths_of_classes().filter(|&(a, b)| a.abs_diff(b) * 10 > a.max(b));
        quality.two_values = self.two_values();
        quality
    }

    /// Middle length of the unbound and of the bound sequences, by the first output.
    fn lengths_of_classes(&self) -> Option<(usize, usize)> {
        let middle = |class: f32| {
            let rows = self.sequences.iter().zip(self.targets.iter().step_by(self.outputs));
            let mut lengths: Vec<usize> =
                rows.filter(|(_, target)| **target == class).map(|(codes, _)| codes.len()).collect();
            lengths.sort_unstable();
            lengths.get(lengths.len() / 2).copied()
        };
        if self.kind == TargetKind::Binary { middle(0.0).zip(middle(1.0)) } else { None }
    }

    /// The two values of measured numbers that look like classes.
    fn two_values(&self) -> Option<(f32, f32)> {
        let known = || self.targets.iter().copied().filter(|target| !target.is_nan());
        let (low, high) = (known().reduce(f32::min)?, known().reduce(f32::max)?);
        let two = self.kind == TargetKind::Real && low < high && known().all(|x| x == low || x == high);
        two.then_some((low, high))
    }
}

/// Name of the only output of a data set of bound and unbound sequences.
pub const BOUND: &str = "bound";

fn differ(a: &[f32], b: &[f32]) -> bool {
    a.iter().zip(b).any(|(x, y)| x != y && !(x.is_nan() && y.is_nan()))
}

/// Oddities of a data set. None of them makes it unusable, and nothing is left out because of them.
#[derive(Debug, Clone, Copy, Default, PartialEq)]
pub struct Quality {
    /// Sequences that stand in the data set before already.
    pub duplicates: usize,
    /// Of those, how many have other targets than before.
    pub contradictions: usize,
    /// Sequences of which more than half is N.
    pub n_rich: usize,
    /// Shortest and longest sequence, where they differ by more than half.
    pub lengths: Option<(usize, usize)>,
    /// Middle length of unbound and of bound sequences, where they differ by more than a tenth.
    pub lengths_of_classes: Option<(usize, usize)>,
    /// Lower and higher value, where there are only two, and they are not 0 and 1.
    pub two_values: Option<(f32, f32)>,
}

impl Quality {
    /// One sentence for each oddity there is.
    pub fn messages(&self) -> Vec<String> {
        let mut messages = Vec::new();
        if self.duplicates > 0 {
            let other = match self.contradictions {
                0 => String::new(),
                count => format!(", {count} of them with another target"),
            };
            let sequences = counted(self.duplicates as u64, "repeated sequence");
            messages.push(format!("{sequences}{other}"));
        }
        if self.n_rich > 0 {
            messages.push(format!("{} with more than half N", counted(self.n_rich as u64, "sequence")));
        }
        if let Some((shortest, longest)) = self.lengths {
            messages.push(format!("the sequences have {shortest} to {longest} bases"));
        }
        if let Some((unbound, bound)) = self.lengths_of_classes {
            messages.push(format!(
                "unbound sequences have {unbound} bases, bound ones {bound} (the middle length): \
                 a model may tell them apart by that alone"
            ));
        }
        if let Some((low, high)) = self.two_values {
            messages.push(format!(
                "the targets {low} and {high} are taken for measured numbers; classes are 0 and 1"
            ));
        }
        messages
    }
}

/// Test sequences that a model has seen in training, and so cannot be judged by.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Leaks {
    /// Ranks of those sequences in the test set, rising.
    pub ranks: Vec<usize>,
    /// Number of sequences in the test set.
    pub tested: usize,
}

impl Leaks {
    /// Looks for sequences of `test` that are also in `training`; with `both_strands` as their reverse complement,
    /// too.
    pub fn find(training: &Dataset, test: &Dataset, both_strands: bool) -> Leaks {
        let stranded = !both_strands;
        let known: HashSet<Cow<'_, [u8]>> =
            training.sequences.iter().map(|codes| identity(codes, stranded)).collect();
        let ranks = (0..test.len())
            .filter(|&rank| known.contains(&identity(&test.sequences[rank], stranded)))
            .collect();
        Leaks { ranks, tested: test.len() }
    }

    /// One sentence, where there is a leak.
    pub fn message(&self) -> Option<String> {
        let first = self.ranks.first()? + 1;
        Some(format!(
            "{} of {} test sequences are also in the training set (the first is sequence {first}): \
             the test flatters the model",
            self.ranks.len(),
            self.tested
        ))
    }
}

/// Key that is equal for equal sequences: the sequence, or unless `stranded` its reverse complement if that comes first.
pub(crate) fn identity(codes: &[u8], stranded: bool) -> Cow<'_, [u8]> {
    if stranded {
        return codes.into();
    }
    let mut reverse = Vec::with_capacity(codes.len());
    reverse_complement_into(codes, &mut reverse);
    if reverse.as_slice() < codes { reverse.into() } else { codes.into() }
}
