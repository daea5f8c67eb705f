//! Several models of one shape as one: the mean of their scores.

use super::Engine;
use crate::Result;
use crate::model::ModelSpec;
use crate::scores::Scores;
use crate::seq::chunk::Chunk;
use crate::seq::window::WindowPlan;

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

    fn score(&mut self, chunk: &Chunk, plan: &WindowPlan, out: &mut Scores) -> Result<()> {
        let MeanEngine { members, scores, .. } = self;
        let count = members.len() as f32;
        for (rank, member) in members.iter_mut().enumerate() {
            if rank == 0 {
                member.score(chunk, plan, out)?;
                continue;
            }
            member.score(chunk, plan, scores)?;
            for (sums, own) in [(&mut out.forward, &scores.forward), (&mut out.reverse, &scores.reverse)] {
                sums.iter_mut().zip(own).for_each(|(sum, x)| *sum += x);
            }
        }
        for sums in [&mut out.forward, &mut out.reverse] {
            sums.iter_mut().for_each(|sum| *sum /= count);
        }
        Ok(())
    }
}
