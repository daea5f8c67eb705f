//! Progress and the closing summary on standard error.

use std::time::{Duration, Instant};

use bindscan::scan::ScanSummary;
use indicatif::{ProgressBar, ProgressStyle};

use super::Session;

/// Progress of a scan: a bar with rate and time left when standard error is a terminal.
pub(super) struct Progress {
    bar: ProgressBar,
    started: Instant,
    drawn: Instant,
}

impl Progress {
    pub(super) fn start(session: Session) -> Progress {
        let bar = if session.terminal { ProgressBar::no_length() } else { ProgressBar::hidden() };
        let started = Instant::now();
        Progress { bar, started, drawn: started }
    }

    pub(super) fn update(&mut self, (done, total): (u64, Option<u64>), summary: &ScanSummary) {
        if self.bar.is_hidden() || self.drawn.elapsed() < Duration::from_millis(100) {
            return;
        }
        self.drawn = Instant::now();
        if let (Some(total), None) = (total, self.bar.length()) {
            let style = "{elapsed} [{wide_bar}] {percent}% {msg}, {eta} left";
            self.bar.set_style(ProgressStyle::with_template(style).expect("the template is valid"));
            self.bar.set_length(total);
        }
        let rate = summary.bases as f64 / self.started.elapsed().as_secs_f64() / 1e6;
        self.bar.set_message(format!(
            "{:.1} Mbp, {rate:.1} Mbp/s, {} sites",
            summary.bases as f64 / 1e6,
            summary.sites
        ));
        self.bar.set_position(done);
    }

    pub(super) fn elapsed(&self) -> Duration {
        self.started.elapsed()
    }

    pub(super) fn clear(&self) {
        self.bar.finish_and_clear();
    }
}

/// Groups the digits of a count by thousands.
pub(super) fn grouped(count: u64) -> String {
    let digits = count.to_string();
    let mut text = String::new();
    for (i, digit) in digits.chars().enumerate() {
        if i > 0 && (digits.len() - i).is_multiple_of(3) {
            text.push(',');
        }
        text.push(digit);
    }
    text
}

#[cfg(test)]
mod tests {
    #[test]
    fn digits_are_grouped_by_three() {
        let cases = [(0, "0"), (999, "999"), (1000, "1,000"), (12_345_678, "12,345,678")];
        for (count, text) in cases {
            assert_eq!(super::grouped(count), text);
        }
    }
}
