//! Scores of whole sequences, as the published DeepBind program gives them: by one model, with an engine at hand.

use std::fmt;
use std::sync::Mutex;
use std::sync::atomic::{AtomicBool, Ordering};
use std::thread;

use crate::engine::planned::{PlanOptions, Planned};
use crate::engine::summary::{SequenceScores, Summary, score_sequence, score_sequence_and_spread};
use crate::engine::{Engine, Workload};
use crate::model::Model;
use crate::seq::alphabet;
use crate::seq::window::WindowPlan;
use crate::{Error, Result};

/// Sequences that a thread takes at a time.
const BATCH: usize = 64;

/// Scores sequences with one model.
///
/// ```
/// use bindscan::Model;
///
/// let mut scorer = Model::find("ELK1")?.scorer()?;
/// let site = scorer.score(b"ACCGGAAGTG")?;
/// let other = scorer.score(b"AATTTTTTAA")?;
/// assert!(site[0] > other[0]);
/// # Ok::<(), bindscan::Error>(())
/// ```
pub struct Scorer {
    engine: Box<dyn Engine>,
    plan: WindowPlan,
    ensemble: bool,
    /// Bases that the model needs.
    shortest: usize,
    summary: Summary,
}

impl fmt::Debug for Scorer {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Scorer").field("model", &self.engine.spec().name).field("plan", &self.plan).finish()
    }
}

impl Scorer {
    /// Opens scorers for a model, one for each of `workers`.
    ///
    /// # Errors
    /// As [`crate::engine::open`].
    pub fn open(planned: &Planned, summary: Summary, workers: usize) -> Result<Vec<Scorer>> {
        let engines = planned.engines(workers, Workload::Sequences)?;
        let (plan, ensemble, shortest) = (planned.plan, planned.is_ensemble(), planned.shortest());
        let open = |engine| Scorer { engine, plan, ensemble, shortest, summary };
        Ok(engines.into_iter().map(open).collect())
    }

    /// True if scores are the mean of several models'.
    pub fn is_ensemble(&self) -> bool {
        self.ensemble
    }

    /// Values of a score: the model's outputs.
    pub fn outputs(&self) -> usize {
        self.engine.spec().outputs.len()
    }

    /// True if a sequence of so many bases is too short for the model.
    pub fn is_too_short(&self, bases: usize) -> bool {
        bases < self.shortest
    }

    /// Scores a sequence of letters: the best window on the better strand, one value an output. A sequence no longer than
    /// the window is scored once, whole; one that is too short for the model has NaN.
    ///
    /// # Errors
    /// A letter that is no nucleotide, and any failure of the engine.
    pub fn score(&mut self, letters: &[u8]) -> Result<Vec<f32>> {
        self.score_codes(&encode(letters)?)
    }

    /// As [`Scorer::score`], of codes: A 0, C 1, G 2, T 3, N 4.
    ///
    /// # Errors
    /// Any failure of the engine.
    pub fn score_codes(&mut self, codes: &[u8]) -> Result<Vec<f32>> {
        if self.is_too_short(codes.len()) {
            return Ok(vec![f32::NAN; self.outputs()]);
        }
        score_sequence(self.engine.as_mut(), codes, &self.plan, self.summary)
    }

    /// As [`Scorer::score_codes`], with the standard deviation of the scores of an ensemble's members.
    ///
    /// # Errors
    /// As [`Scorer::score_codes`].
    pub fn score_codes_and_spread(&mut self, codes: &[u8]) -> Result<SequenceScores> {
        if self.is_too_short(codes.len()) {
            let nothing = vec![f32::NAN; self.outputs()];
            return Ok(SequenceScores { scores: nothing.clone(), spreads: nothing });
        }
        score_sequence_and_spread(self.engine.as_mut(), codes, &self.plan, self.summary)
    }
}

/// Codes of letters.
///
/// # Errors
/// A letter that is no nucleotide.
pub fn encode(letters: &[u8]) -> Result<Vec<u8>> {
    alphabet::encode(letters)
        .map_err(|(at, byte)| Error::Letter { letter: char::from(byte), position: at + 1 })
}

/// Scores many sequences of codes, with a thread for each scorer of one model: `scores[sequence * outputs + output]`,
/// whatever their number.
///
/// # Errors
/// As [`Scorer::score_codes`], with the number of the sequence; [`Error::Interrupted`] once `cancel` is set.
///
/// # Panics
/// If there is no scorer.
pub fn score_all<S: AsRef<[u8]> + Sync>(
    scorers: &mut [Scorer],
    sequences: &[S],
    cancel: &AtomicBool,
) -> Result<Vec<f32>> {
    let outputs = scorers[0].outputs();
    let mut scores = vec![f32::NAN; sequences.len() * outputs];
    let batches = Mutex::new(sequences.chunks(BATCH).zip(scores.chunks_mut(BATCH * outputs)).enumerate());
    let take = || batches.lock().unwrap_or_else(std::sync::PoisonError::into_inner).next();
    // The others need not go on once one has failed.
    let failed = AtomicBool::new(false);
    let work = |scorer: &mut Scorer| -> Result<()> {
        while let Some((batch, (sequences, scores))) = take() {
            if cancel.load(Ordering::Relaxed) {
                return Err(Error::Interrupted);
            }
            if failed.load(Ordering::Relaxed) {
                return Ok(());
            }
            for (i, (sequence, row)) in sequences.iter().zip(scores.chunks_mut(outputs)).enumerate() {
                let number = batch * BATCH + i;
                let scored = scorer.score_codes(sequence.as_ref());
                let place = |error| {
                    failed.store(true, Ordering::Relaxed);
                    Error::Data(format!("sequence {}: {error}", number + 1))
                };
                row.copy_from_slice(&scored.map_err(place)?);
            }
        }
        Ok(())
    };
    thread::scope(|scope| {
        let threads: Vec<_> = scorers.iter_mut().map(|scorer| scope.spawn(|| work(scorer))).collect();
        let joined = threads.into_iter().map(thread::ScopedJoinHandle::join);
        let results: Vec<Result<()>> =
            joined.map(|result| result.unwrap_or_else(|panic| std::panic::resume_unwind(panic))).collect();
        results.into_iter().collect::<Result<()>>()
    })?;
    Ok(scores)
}

impl Model {
    /// Opens a scorer for sequences, with the model's own window and strands.
    ///
    /// # Errors
    /// As [`Planned::new`] and [`crate::engine::open`].
    pub fn scorer(&self) -> Result<Scorer> {
        let planned = Planned::new(self.clone(), &PlanOptions::default())?;
        let mut scorers = Scorer::open(&planned, Summary::Max, 1)?;
        scorers.pop().ok_or_else(|| Error::Request("no engine was opened".into()))
    }

    /// Scores one sequence of letters, as the published DeepBind program does: a value for each output. An engine is opened
    /// for it; for many sequences, keep a [`Scorer`].
    ///
    /// ```
    /// use bindscan::Model;
    ///
    /// let score = Model::find("ELK1")?.score(b"ACCGGAAGTGACCGGAAGTG")?;
    /// assert_eq!(score.len(), 1);
    /// # Ok::<(), bindscan::Error>(())
    /// ```
    ///
    /// # Errors
    /// As [`Model::scorer`] and [`Scorer::score`].
    pub fn score(&self, letters: &[u8]) -> Result<Vec<f32>> {
        self.scorer()?.score(letters)
    }
}
