//! Estimate of a scan's duration, by trying its engines before it starts.

use std::collections::HashMap;
use std::time::Duration;

use bindscan::engine::Engine;
use bindscan::engine::scanner::Scanner;
use bindscan::engine::speed::windows_per_second;
use bindscan::seq::window::{Context, WindowPlan};

use super::models::Planned;
use super::progress::bases_per_second;
use super::{Session, message};

/// A scan that takes longer is told of before it starts.
const LONG: Duration = Duration::from_secs(600);
/// Strides that are tried for a scan that takes long.
const STRIDES: [usize; 2] = [10, 50];

/// Time that a worker should take for a chunk, and at the most where windows are long.
const CHUNK: Duration = Duration::from_millis(500);
const LONGEST_CHUNK: Duration = Duration::from_millis(1500);
/// Fewest window starts of a chunk: a full batch.
const FEWEST_STARTS: usize = 256;

/// A change that makes a scan shorter.
#[derive(Debug, Clone, Copy)]
enum Change {
    Stride(usize),
    Flank,
}

impl Change {
    fn apply(self, plan: WindowPlan) -> WindowPlan {
        match self {
            Change::Stride(stride) => WindowPlan { stride, ..plan },
            Change::Flank => WindowPlan { context: Context::Flank, ..plan },
        }
    }

    fn words(self) -> String {
        match self {
            Change::Stride(stride) => format!("--stride {stride}"),
            Change::Flank => "--context flank (other scores at a window's ends)".to_owned(),
        }
    }
}

/// Measured speeds of a worker's engines under their own plans, so that none is tried twice.
#[derive(Debug, Default)]
pub(super) struct Speeds(HashMap<usize, Speed>);

/// Windows of an engine in a second. A trial ends early once more than `enough` are certain.
#[derive(Debug, Clone, Copy)]
struct Speed {
    windows: f64,
    enough: f64,
}

impl Speeds {
    /// Speed of the scanner with this rank, or at least that it is more than `enough`.
    fn windows_per_second(
        &mut self,
        rank: usize,
        engine: &mut dyn Engine,
        plan: &WindowPlan,
        enough: f64,
    ) -> bindscan::Result<f64> {
        let known = self.0.get(&rank).filter(|known| known.windows <= known.enough || known.windows > enough);
        if let Some(known) = known {
            return Ok(known.windows);
        }
        let windows = windows_per_second(engine, plan, enough)?;
        self.0.insert(rank, Speed { windows, enough });
        Ok(windows)
    }
}

/// Says before a scan of `bases` by `threads` such workers starts that it takes long, and what would take less. The engines
/// are tried; one that fails is left to fail in the scan.
pub(super) fn tell_if_long(
    models: &[Planned],
    worker: &mut [Box<dyn Scanner>],
    speeds: &mut Speeds,
    bases: u64,
    threads: usize,
    session: Session,
) {
    if session.quiet {
        return;
    }
    let Some(time) = time(worker, speeds, bases, threads, None) else { return };
    if time <= LONG {
        return;
    }
    let mut choices = Vec::new();
    let padded = models
        .iter()
        .all(|planned| planned.model().network.is_err() && planned.plan().context == Context::Padding);
    let strides =
        STRIDES.iter().filter(|&&stride| models.iter().all(|planned| planned.plan().stride < stride));
    for change in
        padded.then_some(Change::Flank).into_iter().chain(strides.map(|&stride| Change::Stride(stride)))
    {
        if let Some(shorter) = self::time(worker, speeds, bases, threads, Some(change))
            .filter(|shorter| shorter.as_secs_f64() < 0.7 * time.as_secs_f64())
        {
            choices.push(format!("{}: {}", change.words(), words(shorter)));
        }
    }
    choices.push("regions alone (-r, -R): their share".to_owned());
    let rate = bases_per_second(bases, time.as_secs_f64());
    message(format_args!("this scan takes about {} ({rate}); {}", words(time), choices.join("; ")));
}

/// Window starts that a worker takes at a time, so few that a slow model shows life soon and ends soon after an
/// interruption.
pub(super) fn chunk_size(worker: &mut [Box<dyn Scanner>], speeds: &mut Speeds, most: usize) -> usize {
    let (mut seconds, mut longest) = (0.0, 1);
    for (rank, scanner) in worker.iter_mut().enumerate() {
        let plan = scanner.plans()[0];
        let Some(engine) = scanner.engine() else { continue };
        longest = longest.max(plan.window);
        let enough = most as f64 / CHUNK.as_secs_f64();
        // An engine that fails is left to fail in the scan.
        let Ok(windows) = speeds.windows_per_second(rank, engine, &plan, enough) else { return most };
        seconds += 1.0 / (windows * plan.stride as f64);
    }
    let in_time = |time: Duration| (time.as_secs_f64() / seconds) as usize;
    // Chunks overlap by a window, which should not become the most of the work.
    let least = (8 * longest).min(in_time(LONGEST_CHUNK)).max(FEWEST_STARTS);
    if seconds == 0.0 {
        return most;
    }
    // A power of two: batches are full whatever was measured.
    let starts = in_time(CHUNK).max(least);
    if starts >= most { most } else { 1 << starts.ilog2() }
}

/// Time that the scanners of a worker take for so many bases, shared by `threads` of their kind.
fn time(
    worker: &mut [Box<dyn Scanner>],
    speeds: &mut Speeds,
    bases: u64,
    threads: usize,
    change: Option<Change>,
) -> Option<Duration> {
    let mut seconds = 0.0;
    for (rank, scanner) in worker.iter_mut().enumerate() {
        // Matrices are fast together, and have no plan each.
        let plan = scanner.plans()[0];
        let Some(engine) = scanner.engine() else { continue };
        let changed = change.map_or(plan, |change| change.apply(plan));
        let windows = bases as f64 / changed.stride as f64;
        let enough = 4.0 * windows / LONG.as_secs_f64() / threads as f64;
        let speed = match change {
            None => speeds.windows_per_second(rank, engine, &plan, enough),
            Some(_) => windows_per_second(engine, &changed, enough),
        };
        seconds += windows / speed.ok()? / threads as f64;
    }
    Some(Duration::from_secs_f64(seconds.min(1e12)))
}

/// `3 h 20 min`, `12 min`, `40 s`.
pub(super) fn words(time: Duration) -> String {
    let seconds = time.as_secs();
    match seconds {
        0..100 => format!("{seconds} s"),
        100..7200 => format!("{} min", seconds.div_ceil(60)),
        7200..360_000 => format!("{} h {} min", seconds / 3600, seconds / 60 % 60),
        _ => format!("{} days", seconds / 86400),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn times_are_in_units_that_fit() {
        let times =
            [(40, "40 s"), (100, "2 min"), (725, "13 min"), (7261, "2 h 1 min"), (900_000, "10 days")];
        for (seconds, shown) in times {
            assert_eq!(words(Duration::from_secs(seconds)), shown);
        }
    }
}
