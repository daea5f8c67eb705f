//! The page on models judged by whole contigs.

use std::fmt::Write;

use crate::genome_wide::{FALSE_DISCOVERY_RATES, Judgement};
use crate::report;
use crate::report::chart::{Axis, Chart};
use crate::report::svg::escape;
use crate::report::{figure, figures};

/// Curves that are told apart by colour.
const SERIES: usize = 6;

/// Points of a curve that are drawn, about.
const POINTS: usize = 400;

/// The page: a table of all models, and the curves of the first six.
pub fn page(title: &str, facts: &[(String, String)], judged: &[(String, Judgement)]) -> String {
    let header = format!("<h1>{}</h1>\n{}", escape(title), report::facts(facts));
    report::page(title, &header, &[("Models", table(judged)), ("Curves", curves(judged))])
}

fn table(judged: &[(String, Judgement)]) -> String {
    let mut html = String::from(
        "<table>\n<thead><tr><th>model</th><th>AP</th><th>95 % interval</th><th>precision at k</th>",
    );
    for rate in FALSE_DISCOVERY_RATES {
        let _ = write!(html, "<th>recall at {:.0} % FDR</th>", 100.0 * rate);
    }
    html += "</tr></thead>\n<tbody>\n";
    for (name, judgement) in judged {
        let interval =
            judgement.interval.map_or_else(|| "–".into(), |i| format!("{:.3} to {:.3}", i.low, i.high));
        let _ = write!(
            html,
            "<tr><td>{}</td><td>{:.3}</td><td>{interval}</td><td>{:.3}</td>",
            escape(name),
            judgement.average_precision,
            judgement.precision_at_k
        );
        judgement.recall_at_fdr.iter().for_each(|recall| {
            let _ = write!(html, "<td>{recall:.3}</td>");
        });
        html += "</tr>\n";
    }
    html + "</tbody>\n</table>"
}

fn curves(judged: &[(String, Judgement)]) -> String {
    let mut chart = Chart::new(Axis::share("recall"), Axis::share("precision"));
    let mut legend = Vec::new();
    for (series, (name, judgement)) in judged.iter().take(SERIES).enumerate() {
        let class = report::series(series);
        let step = judgement.curve.len().div_ceil(POINTS).max(1);
        let points: Vec<(f64, f64)> = judgement.curve.iter().copied().step_by(step).collect();
        chart = chart.line(&class, &points);
        legend.push((class, format!("{name}: AP {:.3}", judgement.average_precision)));
    }
    figures(&figure("Precision and recall", &chart, "Precision against recall, place by place", &legend))
}
