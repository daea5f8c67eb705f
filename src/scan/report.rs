//! The report on a scan: one web page that needs nothing else. Opened from a server, it shows the sites along the
//! genome as well ([`browser`]).

use std::fmt::Write;

use super::ScanSummary;
use super::statistics::{CONTIGS, Histogram, Statistics, TargetStatistics};
use crate::model::{Alphabet, Network};
use crate::report::chart::{Axis, Chart};
use crate::report::svg::escape;
use crate::report::{self, capitalized, figure, figures, grouped, more_than};
use crate::seq::contig::Strand;
use crate::track::Target;

pub mod browser;
mod site;

use browser::Browser;

/// Everything that the page shows, beside the statistics.
#[derive(Debug, Clone)]
pub struct ScanReport<'a> {
    /// Name of the genome.
    pub genome: String,
    /// Targets, in the order of the statistics.
    pub targets: Vec<ReportTarget<'a>>,
    /// Settings of the run: names and values.
    pub facts: Vec<(String, String)>,
    /// Warnings, one sentence each.
    pub notes: Vec<String>,
    /// Properties that differ between two runs of the same command: time and threads. They are one line of the page.
    pub run: String,
    /// The view along the genome.
    pub browser: Browser,
}

/// A target, and what is known of its model.
#[derive(Debug, Clone, Copy)]
pub struct ReportTarget<'a> {
    /// The target.
    pub target: &'a Target,
    /// Rank of the model's output.
    pub output: usize,
    /// True if the model reads both strands.
    pub both_strands: bool,
    /// Letters of the logos.
    pub alphabet: Alphabet,
    /// The model, if it is of the DeepBind family.
    pub network: Option<&'a Network>,
    /// Background probabilities, if the model is a matrix of log-odds in bits.
    pub matrix: Option<[f64; 4]>,
}

/// Bars of a histogram, about.
const BARS: usize = 100;

/// Targets that have charts and sites of their own.
const DETAILED: usize = 12;

/// Targets that have a column in the table of contigs.
const COLUMNS: usize = 6;

impl ScanReport<'_> {
    /// The page.
    pub fn to_html(&self, summary: &ScanSummary, statistics: &Statistics) -> String {
        let names: Vec<&str> = self.targets.iter().map(|target| &*target.target.name).collect();
        let what = match names.as_slice() {
            [one] => (*one).to_owned(),
            [one, two] => format!("{one} and {two}"),
            many => format!("{} models", grouped(many.len() as u64)),
        };
        let title = format!("{what} in {}", self.genome);
        let header = format!("<h1>{}</h1>\n{}", escape(&title), heads(summary, statistics));
        let sections = [
            ("Models", self.models(summary, statistics)),
            ("Sites per contig", self.contigs(statistics)),
            ("Scores and p-values", self.distributions(statistics)),
            ("Strongest sites", self.strongest(summary, statistics)),
            ("Along the genome", self.browser.to_html(&self.first_locus(statistics))),
            ("What was run", self.run(summary)),
        ];
        report::page(&format!("{title}: scan report"), &header, &sections)
    }

    /// All targets, if there are several.
    fn models(&self, summary: &ScanSummary, statistics: &Statistics) -> String {
        if self.targets.len() < 2 {
            return String::new();
        }
        let mut rows = String::new();
        for (ReportTarget { target, .. }, found) in self.targets.iter().zip(&statistics.targets) {
            let sites = found.sites.total();
            let threshold = target.threshold().map_or_else(|| "–".into(), decimal);
            let best = found.strongest.first().map_or("–".into(), |site| decimal(site.hit.score));
            let _ = writeln!(
                rows,
                "<tr><th scope=\"row\">{}</th><td>{}</td><td>{threshold}</td><td>{}</td><td>{}</td><td>{}</td><td>{best}</td></tr>",
                escape(&target.name),
                grouped(target.window),
                grouped(sites),
                per_mbp(sites, summary.bases),
                if target.symmetric { "–".into() } else { share(found.forward, sites) },
            );
        }
        table(&["Model", "Window", "Threshold", "Sites", "per Mbp", "on +", "Highest score"], &rows)
    }

    fn contigs(&self, statistics: &Statistics) -> String {
        let columns = if (2..=COLUMNS).contains(&self.targets.len()) { self.targets.len() } else { 0 };
        let most = statistics.contigs.iter().map(|count| count.sites.iter().sum()).max().unwrap_or(0);
        let mut rows = String::new();
        let mut row = |name: &str, bases: u64, sites: &[u64], bar: bool| {
            let all: u64 = sites.iter().sum();
            let bar = if bar && all > 0 {
                format!("<i style=\"width:{:.1}%\"></i>", 100.0 * all as f64 / most as f64)
            } else {
                String::new()
            };
            let each: String =
                sites.iter().take(columns).map(|&count| format!("<td>{}</td>", grouped(count))).collect();
            let _ = writeln!(
                rows,
                "<tr><th scope=\"row\">{}</th><td class=\"bar\">{bar}</td>\
                 <td>{}</td>{each}<td>{}</td><td>{}</td></tr>",
                escape(name),
                grouped(all),
                per_mbp(all, bases),
                grouped(bases)
            );
        };
        for count in &statistics.contigs {
            row(&count.contig.name, count.bases, &count.sites, true);
        }
        let others = &statistics.others;
        let mut note = String::new();
        if others.contigs > 0 {
            let name = if others.contigs == 1 {
                "1 other".into()
            } else {
                format!("{} others", grouped(others.contigs))
            };
            row(&name, others.bases, &others.sites, false);
            note = format!(
                "<p class=\"soft\">The {CONTIGS} contigs with the most bases, in the order of the input.</p>\n"
            );
        }
        if rows.is_empty() {
            return "<p>The input has no contigs.</p>".into();
        }
        let mut heads = vec!["Contig", "", "Sites"];
        heads.extend(self.targets.iter().take(columns).map(|target| &*target.target.name));
        heads.extend(["per Mbp", "Bases"]);
        note + &table(&heads, &rows)
    }

    /// Scores of windows and sites, and for targets with a null distribution the counts of windows with p-values this low.
    fn distributions(&self, statistics: &Statistics) -> String {
        let each = || self.targets.iter().zip(&statistics.targets).take(DETAILED);
        let scores = each().map(|(target, found)| score_chart(target.target, found));
        let p_values: Vec<String> =
            each().filter_map(|(target, found)| p_value_chart(target, found)).collect();
        let explained = if p_values.is_empty() {
            ""
        } else {
            "\n<p class=\"soft\">p-values: where the line runs above the dashed one, more windows have p-values so low than \
             background would have.</p>\n"
        };
        let drawn: String = scores.chain(p_values.iter().cloned()).collect();
        figures(&drawn) + explained + &more_than(self.targets.len(), DETAILED)
    }

    fn strongest(&self, summary: &ScanSummary, statistics: &Statistics) -> String {
        let mut html = String::new();
        for (rank, (target, found)) in self.targets.iter().zip(&statistics.targets).take(DETAILED).enumerate()
        {
            if self.targets.len() > 1 {
                let _ = writeln!(html, "<h3>{}</h3>", escape(&target.target.name));
            }
            let null = target.target.null.as_deref();
            let q = null.zip(summary.tests.get(rank)).map(|(null, tests)| tests.q_values(null));
            html += &site::strongest(target, found, q.as_deref());
        }
        html + &more_than(self.targets.len(), DETAILED)
    }

    /// Initial position of the genome view: around the strongest site of the first target that has one.
    fn first_locus(&self, statistics: &Statistics) -> Option<String> {
        let of = |(target, found): (&ReportTarget<'_>, &TargetStatistics)| {
            let site = found.strongest.first()?;
            Some(browser::locus(&site.contig.name, site.hit.start, target.target.window, AROUND))
        };
        self.targets.iter().zip(&statistics.targets).find_map(of)
    }

    fn run(&self, summary: &ScanSummary) -> String {
        let mut facts = self.facts.clone();
        let mut scanned = format!(
            "{} bases of {} contigs or regions, {} windows",
            grouped(summary.bases),
            grouped(summary.segments),
            grouped(summary.windows)
        );
        if summary.left_out > 0 {
            let _ = write!(scanned, "; {} more left out for their N", grouped(summary.left_out));
        }
        if summary.short_segments > 0 {
            let _ = write!(
                scanned,
                "; {} shorter than a window of a model, which skipped them: {}",
                grouped(summary.short_segments),
                summary.short_list()
            );
        }
        facts.push(("Scanned".into(), scanned));
        facts.push(("Run".into(), self.run.clone()));
        report::facts(&facts) + &report::notes(&self.notes)
    }
}

/// Bases shown on either side of a site.
const AROUND: u64 = 150;

/// The first numbers, large.
fn heads(summary: &ScanSummary, statistics: &Statistics) -> String {
    let contigs = statistics.contigs.len() as u64 + statistics.others.contigs;
    let plural = |count: u64, word: &str| format!("{word}{}", if count == 1 { "" } else { "s" });
    let entries = [
        (grouped(summary.sites), plural(summary.sites, "site")),
        (per_mbp(summary.sites, summary.bases), "sites per Mbp".into()),
        (length(summary.bases), format!("in {} {}", grouped(contigs), plural(contigs, "contig"))),
        (grouped(summary.windows), format!("{} scored", plural(summary.windows, "window"))),
    ];
    let items: String = entries
        .iter()
        .map(|(number, words)| format!("<li><b>{number}</b><span>{words}</span></li>\n"))
        .collect();
    format!("<ul class=\"heads\">\n{items}</ul>\n")
}

/// Scores of the windows and of the sites of one target.
fn score_chart(target: &Target, found: &TargetStatistics) -> String {
    let bins = Histogram::aligned_bins(&[&found.windows, &found.sites], BARS);
    let [windows, sites] = bins.as_slice() else { return String::new() };
    let ends = windows.iter().chain(sites).flat_map(|&(low, high, _)| [low, high]);
    let threshold = target.threshold();
    let x = Axis::around("Score", ends.chain(threshold.map(f64::from)));
    let most = windows.iter().chain(sites).map(|bin| bin.2).max().unwrap_or(0);
    let bars = |bins: &[(f64, f64, u64)]| -> Vec<(f64, f64, f64)> {
        bins.iter().map(|&(low, high, count)| (low, high, count as f64)).collect()
    };
    let chart =
        Chart::new(x, Axis::counts("Count", most)).bars("s6", &bars(windows)).bars("s2", &bars(sites));
    let mut legend = vec![
        ("s6 block".to_owned(), windows_label(found)),
        ("s2 block".to_owned(), format!("sites ({})", grouped(found.sites.total()))),
    ];
    let chart = match threshold {
        Some(threshold) => {
            legend.push(("guide".to_owned(), format!("threshold {}", decimal(threshold))));
            chart.mark("guide", threshold.into())
        }
        None => chart,
    };
    let (heading, title) =
        (format!("Scores of {}", target.name), format!("Scores of windows and sites: {}", target.name));
    figure(&heading, &chart, &title, &legend)
}

/// Lower p-values are not drawn.
const LOWEST_P: f64 = 1e-12;

/// Share of the windows whose better strand has a p-value of so much or less, against that.
fn p_value_chart(report: &ReportTarget<'_>, found: &TargetStatistics) -> Option<String> {
    let null = report.target.null.as_ref()?;
    let total = found.windows.total();
    let mut so_far = 0;
    let mut observed = Vec::new();
    for (low, _, count) in found.windows.bins().rev().filter(|bin| bin.2 > 0) {
        so_far += count;
        let [forward, reverse] = [Strand::Forward, Strand::Reverse].map(|strand| null.p(low as f32, strand));
        observed.push(((forward + reverse) / 2.0, so_far as f64 / total as f64));
    }
    observed.retain(|&(p, _)| p >= LOWEST_P);
    let &(lowest, _) = observed.first()?;
    let most = (-lowest.log10()).ceil().max(1.0);
    // Of two strands of background, at least one has such a p-value with this probability.
    let background = |p: f64| if report.both_strands { 1.0 - (1.0 - p).powi(2) } else { p };
    let expected: Vec<(f64, f64)> = (0..=(4.0 * most) as i32)
        .map(|quarter| f64::from(quarter) / 4.0)
        .map(|minus_log10| (minus_log10, background(10f64.powf(-minus_log10))))
        .collect();
    let observed: Vec<(f64, f64)> = observed.into_iter().map(|(p, share)| (-p.log10(), share)).collect();
    let shares = observed.iter().chain(&expected).map(|point| point.1);
    let lowest_share = 10f64.powf(shares.fold(1.0, f64::min).log10().floor());
    let chart = Chart::new(
        Axis::new("−log10 p", 0.0, most),
        Axis::shares_down_to("Share of windows as low", lowest_share),
    );
    let chart = chart.line("guide", &expected).line("s1", &observed);
    let legend = [("s1".to_owned(), windows_label(found)), ("guide".to_owned(), "background".to_owned())];
    let name = &report.target.name;
    let heading = format!("p-values of {name}");
    Some(figure(&heading, &chart, &format!("p-values of the windows: {name}"), &legend))
}

fn windows_label(found: &TargetStatistics) -> String {
    if found.sampled == found.windows.total() {
        return format!("all windows ({})", grouped(found.sampled));
    }
    format!("all windows, estimated from {} of them", grouped(found.sampled))
}

/// A table; wide and long ones scroll within the page.
fn table(heads: &[&str], rows: &str) -> String {
    let heads: String =
        heads.iter().map(|head| format!("<th scope=\"col\">{}</th>", escape(&capitalized(head)))).collect();
    let tall = if rows.lines().count() > ROWS { " tall" } else { "" };
    format!(
        "<div class=\"scroll{tall}\"><table>\n<thead><tr>{heads}</tr></thead>\n<tbody>\n{rows}</tbody>\n</table></div>"
    )
}

/// Longer tables scroll.
const ROWS: usize = 26;

fn per_mbp(sites: u64, bases: u64) -> String {
    if bases == 0 {
        return "–".into();
    }
    let rate = sites as f64 * 1e6 / bases as f64;
    if rate < 1000.0 { format!("{rate:.1}") } else { grouped(rate.round() as u64) }
}

fn share(part: u64, whole: u64) -> String {
    if whole == 0 { "–".into() } else { format!("{:.0} %", 100.0 * part as f64 / whole as f64) }
}

/// A score as the page shows it.
fn decimal(score: f32) -> String {
    format!("{score:.3}")
}

/// A length in bases with its unit.
fn length(bases: u64) -> String {
    match bases as f64 {
        giga @ 1e9.. => format!("{:.2} Gbp", giga / 1e9),
        mega @ 1e6.. => format!("{:.2} Mbp", mega / 1e6),
        kilo @ 1e4.. => format!("{:.1} kbp", kilo / 1e3),
        _ => format!("{} bp", grouped(bases)),
    }
}
