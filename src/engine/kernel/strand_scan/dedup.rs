//! Windows with the same maxima as the window before: a hidden layer computes each of them once.
//!
//! Neighbouring windows share all alignments but one at each end, so a filter's maximum changes only where its greatest
//! activation enters or leaves. In random sequence, with n alignments, that happens in 2 of n + 1 windows: with 78
//! alignments and 16 filters, two of three windows have the maxima of the one before.

use crate::engine::kernel::dense::Apply;
use crate::engine::kernel::simd::{Lanes, Numbers, Task, Vector};
use crate::engine::kernel::strand_scan::{Buffers, StrandJob, StrandScan};

/// Batches that are not looked at after one with few repeats.
const PAUSE: usize = 15;

/// Working memory, and whether looking for repeats has been worth it of late.
#[derive(Debug, Clone, Default)]
pub(crate) struct DuplicateWindows {
    /// Windows that differ from the one before.
    fresh: Vec<u32>,
    /// For each window, how many of `fresh` lie before the one whose features it has.
    ranks: Vec<u32>,
    /// Of the windows `fresh`.
    scores: Vec<f32>,
    /// Batches to leave alone.
    pause: usize,
}

impl DuplicateWindows {
    /// Forgets what was learnt.
    pub(crate) fn reset(&mut self) {
        self.pause = 0;
    }
}

impl StrandScan<'_> {
    /// Scores the windows gathered, those with the same features once, or does nothing and says no where that saves
    /// little.
    pub(crate) fn share_repeats(&mut self) -> bool {
        let StrandJob { head, simd, network, .. } = self.job;
        // Every window has a sum of its own.
        if !head.is_deep() || network.pooling.has_average() {
            return false;
        }
        let (room, windows) = (self.room, self.filled);
        let Buffers { features, dense, repeats, .. } = &mut *self.buffers;
        let DuplicateWindows { fresh, ranks, scores: found, pause } = repeats;
        if *pause > 0 {
            *pause -= 1;
            return false;
        }
        simd.run(Compare { features, room, windows, fresh, ranks });
        if 4 * fresh.len() > 3 * windows {
            *pause = PAUSE;
            return false;
        }
        simd.run(Gather { features, room, fresh });
        found.resize(network.output.outputs * room, 0.0);
        let out = &mut found[..];
        simd.run(Apply { head, features, room, windows: fresh.len(), scratch: dense, out, pitch: room });
        for (scores, found) in self.scores.chunks_mut(self.windows).zip(found.chunks(room)) {
            let scores = &mut scores[self.scored..][..windows];
            for (score, &rank) in scores.iter_mut().zip(&*ranks) {
                *score = found[rank as usize];
            }
        }
        true
    }
}

/// Finds the windows that differ from the one before, bit for bit. The first one does.
struct Compare<'a> {
    /// [Blocks](Vector) of `room` windows.
    features: &'a [Lanes],
    room: usize,
    windows: usize,
    fresh: &'a mut Vec<u32>,
    ranks: &'a mut Vec<u32>,
}

impl Task for Compare<'_> {
    #[inline(always)]
    fn run<V: Vector>(self) {
        let Compare { features, room, windows, fresh, ranks } = self;
        let rows = V::Part::rows(features);
        fresh.resize(windows, 0);
        ranks.resize(windows, 0);
        let mut count = 1;
        for window in 1..windows {
            let mut same = true;
            for part in rows.chunks_exact(room) {
                same &= V::Part::load(&part[window]).is(V::Part::load(&part[window - 1]));
            }
            // Written whether it counts or not: there is nothing to guess.
            fresh[count] = window as u32;
            count += usize::from(!same);
            ranks[window] = count as u32 - 1;
        }
        fresh.truncate(count);
    }
}

/// Moves the windows `fresh` to the front.
struct Gather<'a> {
    /// As in [`Compare`].
    features: &'a mut [Lanes],
    room: usize,
    fresh: &'a [u32],
}

impl Task for Gather<'_> {
    #[inline(always)]
    fn run<V: Vector>(self) {
        for part in V::Part::rows_mut(self.features).chunks_exact_mut(self.room) {
            for (to, &from) in self.fresh.iter().enumerate() {
                part[to] = part[from as usize];
            }
        }
    }
}
