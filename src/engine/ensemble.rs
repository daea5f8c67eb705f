//! Several models of one shape as one: the mean of their scores, and how far they lie apart.

use super::Engine;
use crate::Result;
use crate::model::ModelSpec;
use crate::scores::{Hit, Scores};
use crate::seq::chunk::Chunk;
use crate::seq::contig::Strand;
use crate::seq::window::{StrandChoice, WindowPlan};

/// The mean of several engines' scores.
pub struct MeanEngine {
    spec: ModelSpec,
    members: Vec<Box<dyn Engine>>,
    scores: Scores,
}

impl MeanEngine {
    /// An engine that is called as `spec` says, for members with as many outputs.
    ///
    /// # Panics
    /// If there are no members.
    pub fn new(spec: ModelSpec, members: Vec<Box<dyn Engine>>) -> MeanEngine {
        assert!(!members.is_empty(), "a mean of nothing");
        MeanEngine { spec, members, scores: Scores::default() }
    }
}

impl Engine for MeanEngine {
    fn spec(&self) -> &ModelSpec {
        &self.spec
    }

    fn description(&self) -> String {
        format!("mean of {}, {}", self.members.len(), self.members[0].description())
    }

    fn flanks(&self, plan: &WindowPlan) -> (usize, usize) {
        let flanks = self.members.iter().map(|member| member.flanks(plan));
        flanks.fold((0, 0), |most, own| (most.0.max(own.0), most.1.max(own.1)))
    }

    fn members(&mut self) -> &mut [Box<dyn Engine>] {
        &mut self.members
    }

    fn score(&mut self, chunk: &Chunk, plan: &WindowPlan, out: &mut Scores) -> Result<()> {
        let MeanEngine { members, scores, .. } = self;
        let count = members.len() as f32;
        for (rank, member) in members.iter_mut().enumerate() {
            if rank == 0 {
                member.score(chunk, plan, out)?;
                continue;
            }
            member.score(chunk, plan, scores)?;
            add(out, scores);
        }
        divide(out, count);
        Ok(())
    }
}

fn add(sums: &mut Scores, scores: &Scores) {
    for (sums, own) in [(&mut sums.forward, &scores.forward), (&mut sums.reverse, &scores.reverse)] {
        sums.iter_mut().zip(own).for_each(|(sum, x)| *sum += x);
    }
}

fn divide(sums: &mut Scores, count: f32) {
    for sums in [&mut sums.forward, &mut sums.reverse] {
        sums.iter_mut().for_each(|sum| *sum /= count);
    }
}

/// The mean of members' scores, as [`MeanEngine`] gives it.
pub(crate) fn mean(members: &[Scores]) -> Scores {
    let mut mean = members.first().cloned().unwrap_or_default();
    members.iter().skip(1).for_each(|scores| add(&mut mean, scores));
    divide(&mut mean, members.len() as f32);
    mean
}

/// Scores of every window of `chunk` under `plan` by each member of an ensemble.
///
/// # Errors
/// As [`Engine::score`].
pub(crate) fn of_members(engine: &mut dyn Engine, chunk: &Chunk, plan: &WindowPlan) -> Result<Vec<Scores>> {
    let score = |member: &mut Box<dyn Engine>| {
        let mut scores = Scores::default();
        member.score(chunk, plan, &mut scores).map(|()| scores)
    };
    engine.members().iter_mut().map(score).collect()
}

/// The standard deviation of members' scores, with one less than their number as the divisor; NaN of fewer than two.
pub(crate) fn deviation(scores: impl Iterator<Item = f32> + Clone) -> f32 {
    let count = scores.clone().count();
    if count < 2 {
        return f32::NAN;
    }
    let mean = scores.clone().map(f64::from).sum::<f64>() / count as f64;
    let squares = scores.map(|score| (f64::from(score) - mean).powi(2)).sum::<f64>();
    (squares / (count - 1) as f64).sqrt() as f32
}

/// The [standard deviation](deviation) of an ensemble's scores of the window of a hit in `chunk`; NaN for any other model.
///
/// # Errors
/// As [`Engine::score`].
pub(crate) fn spread(
    engine: &mut dyn Engine,
    output: usize,
    chunk: &Chunk,
    hit: &Hit,
    plan: &WindowPlan,
) -> Result<f32> {
    if engine.members().is_empty() {
        return Ok(f32::NAN);
    }
    let strands = match hit.strand {
        Strand::Forward => StrandChoice::Forward,
        Strand::Reverse => StrandChoice::Reverse,
    };
    let (left, right) = engine.flanks(plan);
    let window = chunk.around(hit.start, left, plan.window + right);
    let scores = of_members(engine, &window, &WindowPlan { strands, ..*plan })?;
    let of_hit = |scores: &Scores| {
        let row = if hit.strand == Strand::Forward { &scores.forward } else { &scores.reverse };
        row.get(output).copied().unwrap_or(f32::NAN)
    };
    Ok(deviation(scores.iter().map(of_hit)))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_deviation_is_that_of_a_sample() {
        assert_eq!(deviation([1.0, 3.0, 5.0].into_iter()), 2.0);
        assert_eq!(deviation([0.5; 4].into_iter()), 0.0);
        assert!(deviation([1.0].into_iter()).is_nan());
    }
}
