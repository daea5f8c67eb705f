//! Progress on standard error: a bar on a terminal, and a line from time to time in a log file.
//!
//! A thread of its own draws, so that there are signs of life while the first chunk is computed.

use std::sync::{Arc, Condvar, Mutex, MutexGuard, PoisonError};
use std::thread::JoinHandle;
use std::time::{Duration, Instant};

use bindscan::report::counted;
pub(super) use bindscan::report::grouped;
use bindscan::scan::ScanSummary;
use indicatif::{ProgressBar, ProgressStyle};

use super::{Session, message};

/// Interval between redraws of the bar.
const REDRAW: Duration = Duration::from_millis(100);

/// Delay before the bar is first drawn: short runs have none.
const FIRST_DRAW: Duration = Duration::from_millis(300);

/// When the first line is written where there is no terminal. Each interval is twice as long as the one before.
const FIRST_LINE: Duration = Duration::from_secs(10);

/// The longest time between two lines.
const LONGEST_INTERVAL: Duration = Duration::from_secs(60);

/// Shows how far a run is, until it is cleared or dropped.
pub(super) struct Progress {
    shared: Arc<Shared>,
    /// The thread that draws; `None` in a quiet run.
    thread: Option<JoinHandle<()>>,
    started: Instant,
}

#[derive(Debug)]
struct Shared {
    state: Mutex<State>,
    ended: Condvar,
}

/// Contents of the bar.
#[derive(Debug, Clone)]
struct State {
    done: u64,
    total: Option<u64>,
    message: String,
    /// When the message was made.
    fresh: Option<Instant>,
    ended: bool,
}

/// Counts of a scan so far.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Findings {
    /// Sites.
    Sites,
    /// Windows that become sites if their q-values are low enough.
    Candidates,
    /// Only scores are written.
    Nothing,
}

impl Findings {
    /// `, 12 sites`, or nothing.
    pub(super) fn describe(self, count: u64) -> String {
        let one_or_more = |word: &str| format!(", {}", counted(count, word));
        match self {
            Findings::Sites => one_or_more("site"),
            Findings::Candidates => one_or_more("candidate"),
            Findings::Nothing => String::new(),
        }
    }
}

impl Progress {
    /// Shows `doing` until there is more to show.
    pub(super) fn start(session: Session, doing: &str) -> Progress {
        let state = State { done: 0, total: None, message: doing.to_owned(), fresh: None, ended: false };
        let shared = Arc::new(Shared { state: Mutex::new(state), ended: Condvar::new() });
        let started = Instant::now();
        let view = View { shared: Arc::clone(&shared), session, started };
        let spawn = || std::thread::Builder::new().name("progress".into()).spawn(move || view.run());
        // Without a thread there is no progress, and the work goes on.
        let thread = if session.quiet { None } else { spawn().ok() };
        Progress { shared, thread, started }
    }

    /// Notes that `done` of `total` is done, and what there is to say.
    pub(super) fn show(&mut self, done: u64, total: Option<u64>, message: impl FnOnce() -> String) {
        if self.thread.is_none() {
            return;
        }
        let mut state = self.shared.lock();
        (state.done, state.total) = (done, total);
        if state.fresh.is_none_or(|fresh| fresh.elapsed() >= REDRAW / 2) {
            state.message = message();
            state.fresh = Some(Instant::now());
        }
    }

    /// Shows how far a scan is that began behind `before` bases.
    pub(super) fn show_scan(
        &mut self,
        (done, total): (u64, Option<u64>),
        summary: &ScanSummary,
        before: u64,
        findings: Findings,
    ) {
        let seconds = self.started.elapsed().as_secs_f64();
        self.show(done, total, || {
            let rate = bases_per_second(summary.bases - before, seconds);
            format!("{}, {rate}{}", amount(summary.bases as f64), findings.describe(summary.sites))
        });
    }

    /// Shows how many bases of all are done.
    pub(super) fn show_bases(&mut self, done: u64, all: u64) {
        let seconds = self.started.elapsed().as_secs_f64();
        self.show(done, Some(all), || {
            format!("{}, {}", amount(done as f64), bases_per_second(done, seconds))
        });
    }

    /// The time since this work was begun.
    pub(super) fn elapsed(&self) -> Duration {
        self.started.elapsed()
    }

    /// Takes away the bar.
    pub(super) fn clear(&mut self) {
        self.shared.lock().ended = true;
        self.shared.ended.notify_all();
        if let Some(thread) = self.thread.take() {
            // If it panicked, there is nothing left to take away.
            let _ = thread.join();
        }
    }
}

impl Drop for Progress {
    fn drop(&mut self) {
        self.clear();
    }
}

impl Shared {
    fn lock(&self) -> MutexGuard<'_, State> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Waits; gives what is to be shown then, or nothing if it is over.
    fn wait(&self, time: Duration) -> Option<State> {
        let waited = self.ended.wait_timeout_while(self.lock(), time, |state| !state.ended);
        let (state, _) = waited.unwrap_or_else(PoisonError::into_inner);
        (!state.ended).then(|| state.clone())
    }
}

/// The side of the thread that draws.
struct View {
    shared: Arc<Shared>,
    session: Session,
    started: Instant,
}

impl View {
    fn run(&self) {
        if self.session.terminal { self.draw() } else { self.write_lines() }
    }

    fn draw(&self) {
        let Some(mut state) = self.shared.wait(FIRST_DRAW) else { return };
        let bar = ProgressBar::no_length();
        bar.set_style(style("{prefix} {wide_msg}"));
        loop {
            if let (Some(total), None) = (state.total, bar.length()) {
                bar.set_style(style("{prefix} [{wide_bar}] {percent}% {msg}"));
                bar.set_length(total);
            }
            bar.set_prefix(clock(self.session.elapsed()));
            bar.set_position(state.done);
            bar.set_message(match left(state.done, state.total, self.started.elapsed()) {
                Some(left) => format!("{}, {} left", state.message, clock(left)),
                None => state.message,
            });
            bar.tick();
            match self.shared.wait(REDRAW) {
                Some(next) => state = next,
                None => break,
            }
        }
        bar.finish_and_clear();
    }

    fn write_lines(&self) {
        let mut interval = FIRST_LINE;
        while let Some(state) = self.shared.wait(interval) {
            message(describe(&state, self.session.elapsed(), self.started.elapsed()));
            interval = (interval * 2).min(LONGEST_INTERVAL);
        }
    }
}

fn style(template: &str) -> ProgressStyle {
    ProgressStyle::with_template(template).expect("the template is valid")
}

/// The time that is left, if the rest goes as what is done; unknown before anything is.
fn left(done: u64, total: Option<u64>, elapsed: Duration) -> Option<Duration> {
    let total = total.filter(|&total| done > 0 && total > 0)?;
    let share = done.min(total) as f64 / total as f64;
    Some(elapsed.mul_f64((1.0 - share) / share))
}

/// One line of a log: share of the input, message, time gone since the start of the program and time left.
fn describe(state: &State, gone: Duration, elapsed: Duration) -> String {
    let (message, gone) = (&state.message, clock(gone));
    match (left(state.done, state.total, elapsed), state.total) {
        (Some(left), Some(total)) => {
            let percent = 100.0 * state.done.min(total) as f64 / total as f64;
            format!("{percent:.0}%, {message}, {gone} gone, {} left", clock(left))
        }
        _ => format!("{message}, {gone} gone"),
    }
}

/// Three digits, more before the point.
fn three_digits(value: f64) -> String {
    match value {
        100.0.. => format!("{value:.0}"),
        10.0..100.0 => format!("{value:.1}"),
        _ => format!("{value:.2}"),
    }
}

/// `1.23 Mbp`: bases in a unit that leaves digits.
fn amount(bases: f64) -> String {
    match bases {
        1e9.. => format!("{} Gbp", three_digits(bases / 1e9)),
        1e6..1e9 => format!("{} Mbp", three_digits(bases / 1e6)),
        1e3..1e6 => format!("{} kbp", three_digits(bases / 1e3)),
        _ => format!("{bases:.0} bp"),
    }
}

/// `1.23 Mbp/s`.
pub(super) fn bases_per_second(bases: u64, seconds: f64) -> String {
    format!("{}/s", amount(bases as f64 / seconds.max(1e-9)))
}

/// `12,345` or `0.12` things a second.
pub(super) fn per_second(count: u64, seconds: f64) -> String {
    let rate = count as f64 / seconds.max(1e-9);
    if rate < 100.0 { three_digits(rate) } else { grouped(rate as u64) }
}

/// `2:05`, or `1:02:05`.
fn clock(time: Duration) -> String {
    let (hours, minutes, seconds) = (time.as_secs() / 3600, time.as_secs() / 60 % 60, time.as_secs() % 60);
    match hours {
        0 => format!("{minutes}:{seconds:02}"),
        _ => format!("{hours}:{minutes:02}:{seconds:02}"),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn lines_say_what_is_known() {
        let line = |done, total, seconds| {
            let state = State { done, total, message: "x".into(), fresh: None, ended: false };
            let time = Duration::from_secs(seconds);
            describe(&state, time + Duration::from_secs(10), time)
        };
        assert_eq!(line(1, Some(4), 61), "25%, x, 1:11 gone, 3:03 left");
        assert_eq!(line(7, None, 70 * 61), "x, 1:11:20 gone");
        assert_eq!(line(0, Some(4), 61), "x, 1:11 gone");
    }

    #[test]
    fn rates_have_digits_at_any_speed() {
        let rates = [(0, "0 bp/s"), (77, "77 bp/s"), (4_321, "4.32 kbp/s"), (99_960, "100.0 kbp/s")];
        for (bases, shown) in rates {
            assert_eq!(bases_per_second(bases, 1.0), shown);
        }
        assert_eq!(bases_per_second(12_345_678, 0.1), "123 Mbp/s");
        assert_eq!(bases_per_second(3_100_000_000, 1.0), "3.10 Gbp/s");
        assert_eq!([per_second(1, 8.0), per_second(12_345, 1.0)], ["0.12", "12,345"]);
    }

    #[test]
    fn findings_are_named_after_what_they_are() {
        assert_eq!(Findings::Sites.describe(1), ", 1 site");
        assert_eq!(Findings::Candidates.describe(78), ", 78 candidates");
        assert_eq!(Findings::Nothing.describe(0), "");
    }
}
