//! Speed of an engine, by trying it.

use std::time::{Duration, Instant};

use rand::{RngExt, SeedableRng};
use rand_xoshiro::Xoshiro256PlusPlus;

use super::{Engine, Sharing};
use crate::Result;
use crate::scores::Scores;
use crate::seq::alphabet::N;
use crate::seq::chunk::Chunk;
use crate::seq::window::WindowPlan;

/// A try this long is enough; shorter ones are repeated with more windows.
const ENOUGH: Duration = Duration::from_millis(100);
/// Windows of the first try, and most windows of one.
const WINDOWS: (usize, usize) = (8, 1 << 17);
/// Factor between tries.
const GROWTH: usize = 8;
/// A try took longer than the one before it if by this factor.
const GREW: f64 = 1.25;

/// Measures how many windows `engine` scores in a second under `plan`, both strands of a window counting once. It takes some
/// tenths of a second, or as long as a few windows take; less if it is more than `enough` windows.
///
/// # Errors
/// As [`Engine::score`].
pub fn windows_per_second(engine: &mut dyn Engine, plan: &WindowPlan, enough: f64) -> Result<f64> {
    let flank = engine.flanks(plan);
    let mut scores = Scores::default();
    let mut windows = WINDOWS.0;
    // The first window opens and checks graphs.
    engine.score(&chunk(1, plan, flank), plan, &mut scores)?;
    let mut before: Option<(usize, f64)> = None;
    loop {
        let chunk = chunk(windows, plan, flank);
        let started = Instant::now();
        engine.score(&chunk, plan, &mut scores)?;
        let seconds = started.elapsed().as_secs_f64().max(1e-9);
        // Where windows share what is computed, the bases beside them cost as much as the first ones, however few there are:
        // what more windows take is what counts.
        let marginal = before.filter(|(_, earlier)| seconds > GREW * earlier);
        let marginal = marginal.map(|(fewer, earlier)| (windows - fewer) as f64 / (seconds - earlier));
        let is_exact = engine.sharing() == Sharing::Nothing || marginal.is_some();
        let rate = marginal.unwrap_or(windows as f64 / seconds);
        let is_long = seconds >= ENOUGH.as_secs_f64();
        if (is_long && is_exact) || windows >= WINDOWS.1 || rate > enough {
            return Ok(rate);
        }
        before = Some((windows, seconds));
        windows = (windows * GROWTH).min(WINDOWS.1);
    }
}

/// A chunk with so many windows of bases that are not all alike.
fn chunk(windows: usize, plan: &WindowPlan, (left, right): (usize, usize)) -> Chunk {
    let starts = (windows - 1) * plan.stride + 1;
    let bases = left + plan.stride + starts + plan.window - 1 + right;
    let mut random = Xoshiro256PlusPlus::seed_from_u64(1);
    let mut chunk = Chunk::whole("measured", (0..bases).map(|_| random.random_range(0..N)).collect());
    // Starts are multiples of the stride, counted from the first base.
    let first = left.next_multiple_of(plan.stride) as u64;
    chunk.own = first..first + starts as u64;
    chunk
}
