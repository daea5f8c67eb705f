//! Progress on standard error: a bar on a terminal, and a line a minute in a log file.

use std::time::{Duration, Instant};

pub(super) use bindscan::report::grouped;
use bindscan::scan::ScanSummary;
use indicatif::{ProgressBar, ProgressStyle};

use super::Session;

/// How often the bar is drawn again.
const REDRAW: Duration = Duration::from_millis(100);

/// How often a line is written where there is no terminal.
const LINE: Duration = Duration::from_secs(60);

/// Shows how far a run is.
pub(super) struct Progress {
    /// Hidden where there is no terminal.
    bar: ProgressBar,
    /// Time between two lines; none are written on a terminal and in a quiet run.
    lines: Option<Duration>,
    started: Instant,
    shown: Instant,
}

impl Progress {
    pub(super) fn start(session: Session) -> Progress {
        let bar = if session.terminal { ProgressBar::no_length() } else { ProgressBar::hidden() };
        let lines = (!session.terminal && !session.quiet).then_some(LINE);
        let started = Instant::now();
        Progress { bar, lines, started, shown: started }
    }

    /// Shows that `done` of `total` is done, and what `message` says, if it is time to.
    pub(super) fn show(&mut self, done: u64, total: Option<u64>, message: impl FnOnce() -> String) {
        if let Some(line) = self.line(done, total, message) {
            eprintln!("bindscan: {line}");
        }
    }

    /// Draws the bar, or gives the line to write.
    fn line(&mut self, done: u64, total: Option<u64>, message: impl FnOnce() -> String) -> Option<String> {
        let interval = if self.bar.is_hidden() { self.lines? } else { REDRAW };
        if self.shown.elapsed() < interval {
            return None;
        }
        self.shown = Instant::now();
        if self.bar.is_hidden() {
            return Some(describe(done, total, self.started.elapsed(), &message()));
        }
        if let (Some(total), None) = (total, self.bar.length()) {
            let style = "{elapsed} [{wide_bar}] {percent}% {msg}, {eta} left";
            self.bar.set_style(ProgressStyle::with_template(style).expect("the template is valid"));
            self.bar.set_length(total);
        }
        self.bar.set_message(message());
        self.bar.set_position(done);
        None
    }

    /// Shows how far a scan is.
    pub(super) fn show_scan(&mut self, (done, total): (u64, Option<u64>), summary: &ScanSummary) {
        let seconds = self.started.elapsed().as_secs_f64();
        self.show(done, total, || {
            let bases = summary.bases as f64 / 1e6;
            let sites = grouped(summary.sites);
            format!("{bases:.1} Mbp, {:.1} Mbp/s, {sites} sites", bases / seconds)
        });
    }

    pub(super) fn elapsed(&self) -> Duration {
        self.started.elapsed()
    }

    pub(super) fn clear(&self) {
        self.bar.finish_and_clear();
    }
}

/// One line of a log: share of the input, message, time gone and time left.
fn describe(done: u64, total: Option<u64>, elapsed: Duration, message: &str) -> String {
    let gone = clock(elapsed);
    match total {
        Some(total) if done > 0 && total > 0 => {
            let share = done.min(total) as f64 / total as f64;
            let left = clock(elapsed.mul_f64((1.0 - share) / share));
            format!("{:.0}%, {message}, {gone} gone, {left} left", 100.0 * share)
        }
        _ => format!("{message}, {gone} gone"),
    }
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
    fn a_log_gets_lines_at_their_time_and_a_quiet_run_none() {
        let mut log = Progress::start(Session { quiet: false, terminal: false });
        assert_eq!(log.line(1, Some(4), || unreachable!("a minute has not gone")), None);
        log.lines = Some(Duration::ZERO);
        assert_eq!(log.line(1, Some(4), || "5 sites".into()).unwrap(), "25%, 5 sites, 0:00 gone, 0:00 left");
        let mut quiet = Progress::start(Session { quiet: true, terminal: false });
        assert_eq!(quiet.line(1, None, || unreachable!("nothing is to be said")), None);
    }

    #[test]
    fn lines_say_what_is_known() {
        let minute = Duration::from_secs(61);
        assert_eq!(describe(1, Some(4), minute, "x"), "25%, x, 1:01 gone, 3:03 left");
        assert_eq!(describe(7, None, 70 * minute, "x"), "x, 1:11:10 gone");
        assert_eq!(describe(0, Some(4), minute, "x"), "x, 1:01 gone");
    }
}
