//! Options of the report on a scan.

use std::path::{Path, PathBuf};
use std::time::{Duration, SystemTime};

use anyhow::Result;
use bindscan::genome::shard::Shard;
use bindscan::io::output::{Output, Sealed};
use bindscan::model::ModelSpec;
use bindscan::report::counted;
use bindscan::scan::ScanSummary;
use bindscan::scan::report::browser::{Browser, BrowserTrack, IGV, absolute, relative_url};
use bindscan::scan::report::{ReportTarget, ScanReport};
use bindscan::scan::statistics::Statistics;
use bindscan::seq::window::StrandChoice;
use bindscan::track::Target;
use clap::Args;

use super::heading;
use super::models::{Place, Planned};
use super::progress::{bases_per_second, grouped};
use super::track::TrackFile;
use super::warnings;

#[derive(Debug, Args)]
pub(super) struct ReportArgs {
    /// Write a web page about the scan: sites per contig, scores, strongest sites, logos
    ///
    /// The page needs no other file. Served by a web server together with the genome (a file, best with its .fai), the
    /// tracks and igv.js, it also shows the sites along the genome.
    #[arg(long, value_name = "FILE", help_heading = heading::OUTPUT)]
    report: Option<PathBuf>,
    /// Set the address of igv.js, or its path relative to the page [default: igv.min.js]
    #[arg(long, value_name = "URL", requires = "report", help_heading = heading::OUTPUT)]
    report_igv: Option<String>,
}

/// Description of the scan in a report, beside its results.
pub(super) struct Context<'a> {
    pub(super) genome: &'a Path,
    pub(super) models: &'a [Planned],
    pub(super) places: &'a [Place],
    /// Implementation of each scanner.
    pub(super) engines: Vec<String>,
    pub(super) targets: Vec<Target>,
    pub(super) threads: usize,
    pub(super) shard: Option<Shard>,
    /// Origin of the p-values of each model, if sites are chosen by them.
    pub(super) significance: &'a [(String, String)],
    pub(super) command: String,
}

/// A report that will be written when the scan is done.
pub(super) struct Report {
    output: Output,
    /// The folder of the page.
    folder: PathBuf,
    igv: String,
    tracks: Vec<TrackFile>,
}

impl ReportArgs {
    /// True if one is to be written.
    pub(super) fn is_wanted(&self) -> bool {
        self.report.is_some()
    }

    /// Opens the page, if one is wanted: what cannot be written is found out before the scan.
    pub(super) fn open(&self, tracks: &[TrackFile]) -> Result<Option<Report>> {
        let Some(path) = &self.report else { return Ok(None) };
        let output = Output::create(path)?;
        let folder = absolute(path)?.parent().unwrap_or(Path::new("/")).to_path_buf();
        let igv = self.report_igv.clone().unwrap_or_else(|| IGV.into());
        Ok(Some(Report { output, folder, igv, tracks: tracks.to_vec() }))
    }
}

impl Context<'_> {
    /// Empty statistics, which draw sites at random for the logos of networks.
    pub(super) fn statistics(&self) -> Statistics {
        let drawn: Vec<bool> = self
            .report_targets()
            .iter()
            .map(|target| target.network.is_some() && target.matrix.is_none())
            .collect();
        Statistics::new(&drawn)
    }

    fn report_targets(&self) -> Vec<ReportTarget<'_>> {
        let mut targets = self.targets.iter();
        let mut all = Vec::new();
        for (model, plan) in self.models.iter().map(|planned| (planned.model(), planned.plan())) {
            // A model has a target for each of its outputs.
            for (output, target) in targets.by_ref().take(model.spec.outputs.len()).enumerate() {
                all.push(ReportTarget {
                    target,
                    output,
                    both_strands: plan.strands == StrandChoice::Both,
                    alphabet: model.spec.alphabet,
                    network: model.network.as_ref().ok(),
                    matrix: background(&model.spec),
                });
            }
        }
        all
    }

    fn facts(&self, tracks: &[TrackFile]) -> Vec<(String, String)> {
        let mut facts = vec![
            ("Command".to_owned(), self.command.clone()),
            ("Version".to_owned(), format!("bindscan {}", env!("CARGO_PKG_VERSION"))),
            ("Genome".to_owned(), self.genome.display().to_string()),
        ];
        facts.extend(self.shard.map(|shard| ("Shard".to_owned(), shard.to_string())));
        for (planned, place) in self.models.iter().zip(self.places) {
            let (spec, plan) = (&planned.model().spec, planned.plan());
            let strands = match plan.strands {
                StrandChoice::Both => "both strands",
                StrandChoice::Forward => "forward strand",
                StrandChoice::Reverse => "reverse strand",
            };
            let mut value = format!(
                "window {}, stride {}, {strands}, engine {}",
                plan.window, plan.stride, self.engines[place.scanner]
            );
            if let Some(digest) = &planned.model().digest {
                value += &format!(", SHA-256 {digest}");
            }
            facts.push((format!("Model {}", spec.name), value));
        }
        for (name, words) in self.significance {
            facts.push((format!("p-values of {name}"), words.clone()));
        }
        let names: Vec<String> = tracks.iter().map(|track| track.path.display().to_string()).collect();
        if !names.is_empty() {
            facts.push(("Tracks".to_owned(), names.join(", ")));
        }
        facts
    }
}

/// The background that the log-odds of a matrix are relative to; `None` if the model is none.
fn background(spec: &ModelSpec) -> Option<[f64; 4]> {
    spec.score_range?;
    let values = spec.provenance.get("background")?.as_array()?;
    let values: Vec<f64> = values.iter().filter_map(serde_json::Value::as_f64).collect();
    values.try_into().ok()
}

impl Report {
    /// Writes the page, which waits for its name as the tracks do; so many bases `before` were scanned by an interrupted
    /// run.
    pub(super) fn write(
        self,
        context: &Context<'_>,
        summary: &ScanSummary,
        before: u64,
        time: Duration,
    ) -> Result<Sealed> {
        let Report { mut output, folder, igv, mut tracks } = self;
        // Tracks have no names yet; only standard output, pipes and devices are there and no files.
        tracks.retain(|track| track.path != Path::new("-") && (track.path.is_file() || !track.path.exists()));
        let name = |path: &Path| {
            path.file_name().map_or_else(|| "-".into(), |name| name.to_string_lossy().into_owned())
        };
        let url = |path: &Path| relative_url(&folder, &absolute(path).ok()?);
        let piped = !context.genome.is_file();
        let genome = if piped { None } else { url(context.genome).map(|url| (name(context.genome), url)) };
        let track = |track: &TrackFile| {
            Some(BrowserTrack { name: name(&track.path), url: url(&track.path)?, format: track.format })
        };
        let seconds = time.as_secs_f64();
        let resumed = match before {
            0 => String::new(),
            before => format!(", after {} bases that an interrupted run had scanned", grouped(before)),
        };
        let report = ScanReport {
            genome: if piped { "standard input".into() } else { name(context.genome) },
            targets: context.report_targets(),
            facts: context.facts(&tracks),
            notes: warnings::so_far(),
            run: format!(
                "{}, {}, {seconds:.2} s, {}{resumed}",
                utc(SystemTime::now()),
                counted(context.threads as u64, "thread"),
                bases_per_second(summary.bases - before, seconds)
            ),
            browser: Browser { igv, genome, tracks: tracks.iter().filter_map(track).collect() },
        };
        let statistics = summary.statistics.as_ref().expect("a scan with a report gathers statistics");
        output.write(report.to_html(summary, statistics).as_bytes())?;
        Ok(output.seal()?)
    }
}

/// Date and time as `2026-01-31 18:05 UTC`.
pub(super) fn utc(time: SystemTime) -> String {
    let seconds = time.duration_since(SystemTime::UNIX_EPOCH).map_or(0, |since| since.as_secs());
    let (mut days, minutes) = (seconds / 86_400, seconds % 86_400 / 60);
    let is_leap =
        |year: u64| year.is_multiple_of(4) && (!year.is_multiple_of(100) || year.is_multiple_of(400));
    let mut year = 1970;
    while days >= 365 + u64::from(is_leap(year)) {
        days -= 365 + u64::from(is_leap(year));
        year += 1;
    }
    let february = 28 + u64::from(is_leap(year));
    let mut month = 1;
    for length in [31, february, 31, 30, 31, 30, 31, 31, 30, 31, 30] {
        if days < length {
            break;
        }
        days -= length;
        month += 1;
    }
    format!("{year}-{month:02}-{:02} {:02}:{:02} UTC", days + 1, minutes / 60, minutes % 60)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn dates_are_those_of_the_calendar() {
        for (seconds, want) in [
            (0, "1970-01-01 00:00 UTC"),
            (951_782_399, "2000-02-28 23:59 UTC"),
            (951_782_400, "2000-02-29 00:00 UTC"),
            (1_798_761_599, "2026-12-31 23:59 UTC"),
            (4_107_542_400, "2100-03-01 00:00 UTC"),
        ] {
            assert_eq!(utc(SystemTime::UNIX_EPOCH + Duration::from_secs(seconds)), want);
        }
    }
}
