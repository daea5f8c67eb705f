//! `bindscan score`.

use std::path::PathBuf;

use anyhow::{Result, ensure};
use bindscan::engine::scorer::Scorer;
use bindscan::engine::summary::Summary;
use bindscan::genome::sequences::{Column, Sequence, SequenceReader};
use bindscan::io::input::RawInput;
use bindscan::io::output::Output;
use bindscan::pipeline;
use bindscan::reads::ReadFormat;
use bindscan::reads::sequences::ReadSequences;
use bindscan::report::counted;
use bindscan::seq::alphabet::ambiguous_note;
use bindscan::track::push_score;
use clap::Args;

use super::heading;
use super::models::{ModelArgs, Planned};
use super::{CANCELLED, Session, message};

/// Bases that a worker takes at a time.
const BATCH_BASES: usize = 32 * 1024;

/// Score sequences as the published DeepBind program does
///
/// Writes one row for each sequence and one column for each model: the best window (or the average, with --average) on
/// the better strand. A sequence no longer than the window is scored once, whole. With --ensemble mean, a column NAME_sd
/// has the standard deviation of the models' scores there.
#[derive(Debug, Args)]
pub(super) struct ScoreArgs {
    /// Sequences (FASTA, one a line, a table) or reads (BAM, SAM, CRAM); - for standard input
    sequences: PathBuf,
    #[command(flatten)]
    models: ModelArgs,
    /// Read sequences from this column of a table, by name or by rank (no header)
    #[arg(long, value_name = "NAME|RANK", value_parser = super::data::parse_column, help_heading = heading::INPUT)]
    column: Option<Column>,
    /// Decode CRAM with this genome (FASTA or 2bit) [default: the one that the CRAM names]
    #[arg(short = 'T', long, value_name = "GENOME", help_heading = heading::INPUT)]
    reference: Option<PathBuf>,
    /// Write the sum of the window scores divided by the length, instead of the best
    #[arg(long, help_heading = heading::OUTPUT)]
    average: bool,
    /// Write to this file; - is standard output
    #[arg(short, long, value_name = "FILE", default_value = "-", help_heading = heading::OUTPUT)]
    output: PathBuf,
    /// Use this many threads [default: all cores]
    #[arg(short, long, value_parser = super::parse_threads, help_heading = heading::RUN)]
    threads: Option<usize>,
}

impl ScoreArgs {
    pub(super) fn run(self, session: Session) -> Result<()> {
        self.models.check_stdin(&self.sequences, "sequences")?;
        let models = self.models.open(1)?;
        let summary = if self.average { Summary::Average } else { Summary::Max };
        let threads = super::threads(self.threads);
        let mut workers: Vec<Vec<Scorer>> = (0..threads).map(|_| Vec::new()).collect();
        for planned in &models {
            let scorers = Scorer::open(planned, summary, threads)?;
            workers.iter_mut().zip(scorers).for_each(|(worker, scorer)| worker.push(scorer));
        }
        let workers = workers
            .into_iter()
            .map(|mut scorers| {
                move |batch: &Vec<Sequence>, rows: &mut Rows| score_batch(&mut scorers, batch, rows)
            })
            .collect();
        let mut reader = self.reader()?;
        let mut output = Output::create(&self.output)?;
        let names: Vec<String> = models.iter().flat_map(columns).collect();
        output.write(format!("sequence\t{}\n", names.join("\t")).as_bytes())?;

        let (mut sequences, mut short, mut unscored) = (0u64, 0u64, 0u64);
        pipeline::run(
            |batch: &mut Vec<Sequence>| {
                batch.clear();
                let mut bases = 0;
                while bases < BATCH_BASES {
                    let Some(sequence) = reader.read()? else { break };
                    // An empty sequence costs its row, too.
                    bases += sequence.codes.len() + 1;
                    sequences += 1;
                    batch.push(sequence);
                }
                Ok(!batch.is_empty())
            },
            workers,
            |rows: &mut Rows| {
                short += rows.short;
                unscored += rows.unscored;
                output.write(&rows.text)
            },
            &CANCELLED,
        )?;
        if let Reader::Reads(reads) = &reader {
            let skipped = super::reads::skipped(reads.skipped());
            if let (Some(skipped), false) = (skipped, session.quiet) {
                message(skipped);
            }
        }
        ensure!(sequences > 0, "{}: it has no sequence to score", self.sequences.display());
        ensure!(
            unscored < sequences,
            "{}: no sequence in it is long enough for a model",
            self.sequences.display()
        );
        output.finish()?;
        if !session.quiet {
            let (sequences, models) = (counted(sequences, "sequence"), counted(models.len() as u64, "model"));
            message(format_args!("{sequences} scored with {models}"));
        }
        if let Reader::Sequences(sequences) = &reader
            && let Some(note) = ambiguous_note(sequences.ambiguous())
        {
            log::warn!("{note}");
        }
        if short > 0 {
            log::warn!("{} too short for a model: scored as nan", counted(short, "sequence"));
        }
        Ok(())
    }

    fn reader(&self) -> Result<Reader> {
        let (path, input) = (&self.sequences, RawInput::open(&self.sequences)?);
        if ReadFormat::detect(&input).is_none() {
            ensure!(
                self.reference.is_none(),
                "--reference (-T) is for CRAM, and {} holds no reads",
                path.display()
            );
            return Ok(Reader::Sequences(SequenceReader::new(path, input.into(), self.column.as_ref())?));
        }
        ensure!(self.column.is_none(), "--column is for tables, and {} holds reads", path.display());
        Ok(Reader::Reads(Box::new(ReadSequences::open(path, input, self.reference.as_deref())?)))
    }
}

/// Names of a model's columns: of an ensemble, each score has one with its standard deviation beside it.
fn columns(planned: &Planned) -> Vec<String> {
    let names = planned.names().into_iter();
    match planned.is_ensemble() {
        true => names.flat_map(|name| [name.clone(), name + "_sd"]).collect(),
        false => names.collect(),
    }
}

/// Source of sequences.
enum Reader {
    Sequences(SequenceReader),
    Reads(Box<ReadSequences>),
}

impl Reader {
    fn read(&mut self) -> bindscan::Result<Option<Sequence>> {
        match self {
            Reader::Sequences(reader) => reader.read(),
            Reader::Reads(reads) => reads.read(),
        }
    }
}

/// A batch's rows, and how many of them lack a score.
#[derive(Default)]
struct Rows {
    text: Vec<u8>,
    short: u64,
    /// Those that are too short for every model.
    unscored: u64,
}

/// Scores a batch with every model of one worker and writes its rows.
fn score_batch(scorers: &mut [Scorer], batch: &[Sequence], rows: &mut Rows) -> bindscan::Result<()> {
    rows.text.clear();
    (rows.short, rows.unscored) = (0, 0);
    for sequence in batch {
        rows.text.extend_from_slice(sequence.name.as_bytes());
        let too_short = scorers.iter().filter(|scorer| scorer.is_too_short(sequence.codes.len())).count();
        rows.short += u64::from(too_short > 0);
        rows.unscored += u64::from(too_short == scorers.len());
        for scorer in &mut *scorers {
            if scorer.is_ensemble() {
                let found = scorer.score_codes_and_spread(&sequence.codes)?;
                for (score, spread) in found.scores.into_iter().zip(found.spreads) {
                    push_column(score, &mut rows.text);
                    push_column(spread, &mut rows.text);
                }
            } else {
                for score in scorer.score_codes(&sequence.codes)? {
                    push_column(score, &mut rows.text);
                }
            }
        }
        rows.text.push(b'\n');
    }
    Ok(())
}

fn push_column(score: f32, text: &mut Vec<u8>) {
    text.push(b'\t');
    match score.is_nan() {
        true => text.extend_from_slice(b"nan"),
        false => push_score(score, text),
    }
}
