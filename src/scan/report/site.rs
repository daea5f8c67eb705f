//! The strongest sites of a target, one below the other, and what its model looks for.

use std::fmt::Write;

use super::{AROUND, ReportTarget, browser, decimal};
use crate::model::{Alphabet, Network};
use crate::report::filter::{
    Distinct, Filter, Stretch, active, counts, distinct, first_orientation, like_others, shares,
};
use crate::report::grouped;
use crate::report::logo::Logo;
use crate::report::svg::escape;
use crate::scan::statistics::{FoundSite, TargetStatistics};
use crate::scores::Hit;
use crate::seq::alphabet::{ascii_of_code, reverse_complement_into};
use crate::seq::contig::Strand;
use crate::sites::core::{Core, CoreSource, Located};
use crate::track::Target;

/// Logos of a network's filters.
const LOGOS: usize = 4;

/// Fewer stretches than this make no logo; the weights are shown instead.
const STRETCHES: usize = 10;

/// Leading filters of which those that look alike share a logo.
const COMPARED: usize = 64;

/// Bases shown on either side of the longest core.
const FLANK: usize = 5;

/// Logos, and a table of the sites.
/// `q` has the q-value of each step of the null distribution.
pub(super) fn strongest(target: &ReportTarget<'_>, found: &TargetStatistics, q: Option<&[f64]>) -> String {
    if let (Some(background), Some(network)) = (target.matrix, target.network) {
        let logo = Logo::from_log_odds(network, background, target.alphabet);
        let svg = logo.to_svg(&format!("Logo of {}", target.target.name));
        let figure = format!("<figure>{svg}<figcaption>The matrix</figcaption></figure>\n");
        return logos(&figure) + &table(target, found, q, None);
    }
    let Some(network) = target.network else {
        return table(target, found, q, None);
    };
    let drawn: Vec<Vec<u8>> = found.drawn.iter().map(|site| as_read(site, target.target).0).collect();
    let mut figures = String::new();
    let mut leading = leading_filters(network, target.output, &drawn);
    let first = leading.first().map(|&(k, _)| Filter::new(network, k));
    leading.truncate(COMPARED);
    let filters: Vec<Filter> = leading.iter().map(|&(k, _)| Filter::new(network, k)).collect();
    let weights: Vec<&[[f64; 4]]> = filters.iter().map(|filter| &*filter.weights).collect();
    for Distinct { rank, alike } in distinct(&weights).into_iter().take(LOGOS) {
        let (leader, share) = leading[rank];
        let k = first_orientation(network, leader);
        let filter = Filter::new(network, k);
        let both_strands = target.both_strands || k != leader;
        let stretches: Vec<Stretch> =
            drawn.iter().map(|codes| filter.strongest(codes, both_strands)).collect();
        let active = active(&stretches);
        let (logo, made_of) = if active.len() < STRETCHES {
            (Logo::from_weights(&filter.weights, target.alphabet), "weights; too few sites for a logo".into())
        } else {
            let counts = counts(&active, network.filter_length);
            (
                Logo::from_counts(&counts, target.alphabet),
                format!("in {} of {} sites", active.len(), drawn.len()),
            )
        };
        let svg = logo.to_svg(&format!("Logo of filter {k}"));
        let others = like_others(alike);
        let _ = writeln!(
            figures,
            "<figure>{svg}<figcaption>Filter {k}{others}: adds {share:.2} to the score, {made_of}</figcaption></figure>"
        );
    }
    logos(&figures) + &table(target, found, q, first.as_ref())
}

fn logos(figures: &str) -> String {
    if figures.is_empty() {
        String::new()
    } else {
        format!("<div class=\"figures logos\">\n{figures}</div>\n")
    }
}

/// The codes that a site's score depends on as the model reads them, and its core among them.
fn as_read(site: &FoundSite, target: &Target) -> (Vec<u8>, Core) {
    let core = site.core.moved(target.flanks.0 as i32);
    match site.hit.strand {
        Strand::Forward => (site.codes.clone(), core),
        Strand::Reverse => turned(&site.codes, core),
    }
}

/// Codes and core on the other strand.
fn turned(codes: &[u8], core: Core) -> (Vec<u8>, Core) {
    let mut turned = Vec::with_capacity(codes.len());
    reverse_complement_into(codes, &mut turned);
    (turned, core.reversed(codes.len() as i32))
}

/// The filters that the scores of these sequences owe most to, the one that they owe most first, and how much: the
/// quadratic mean, since a filter that makes some of the sites tells more than one that adds a little everywhere.
fn leading_filters(network: &Network, output: usize, sequences: &[Vec<u8>]) -> Vec<(usize, f64)> {
    if sequences.is_empty() {
        return Vec::new();
    }
    let filters: Vec<Filter> = (0..network.filters).map(|k| Filter::new(network, k)).collect();
    let mut squares = vec![0.0; filters.len()];
    for codes in sequences {
        let maxima: Vec<f32> =
            filters.iter().map(|filter| filter.strongest(codes, false).activation).collect();
        let means: Vec<f32> = filters.iter().map(|filter| filter.mean(codes)).collect();
        let shares = shares(network, output, &maxima, &means);
        squares.iter_mut().zip(shares).for_each(|(sum, share)| *sum += share.max(0.0).powi(2));
    }
    let share = |sum: f64| (sum / sequences.len() as f64).sqrt();
    let mut leading: Vec<(usize, f64)> =
        squares.into_iter().map(share).enumerate().filter(|(_, share)| *share > 0.0).collect();
    leading.sort_by(|a, b| b.1.total_cmp(&a.1).then(a.0.cmp(&b.0)));
    leading
}

/// The table: the sequences as the model reads them, one below the other at their summits. Where strands make no difference,
/// `first` says which way round.
fn table(
    target: &ReportTarget<'_>,
    found: &TargetStatistics,
    q: Option<&[f64]>,
    first: Option<&Filter>,
) -> String {
    if found.strongest.is_empty() {
        return "<p>There is no site.</p>\n".into();
    }
    let symmetric = target.target.symmetric;
    let read = |site: &FoundSite| {
        let (codes, core) = as_read(site, target.target);
        let (other, other_core) = turned(&codes, core);
        let turn = first.filter(|_| symmetric).is_some_and(|filter| {
            let activation = |codes: &[u8]| filter.strongest(codes, false).activation;
            activation(&other) > activation(&codes)
        });
        if turn { (other, other_core) } else { (codes, core) }
    };
    let sequences: Vec<(Vec<u8>, Core)> = found.strongest.iter().map(read).collect();
    let before = sequences.iter().map(|(_, core)| core.summit - core.start).max().unwrap_or(0) as usize;
    let after = sequences.iter().map(|(_, core)| core.end - core.summit).max().unwrap_or(0) as usize;
    // A core that is the window has nothing beside it.
    let flank = if matches!(target.target.cores, CoreSource::Window) { 0 } else { FLANK };
    let null = target.target.null.as_ref();
    let significance = |hit: &Hit| {
        let Some(null) = null else { return String::new() };
        let step = null.step(hit.score, hit.strand);
        let q = q.map(|q| format!("<td>{}</td>", minus_log10(q[step]))).unwrap_or_default();
        format!("<td>{}</td>{q}", minus_log10(null.p_of(step)))
    };
    let heads = match (null, q) {
        (None, _) => "",
        (Some(_), None) => "<th scope=\"col\">−log<sub>10</sub> p</th>",
        (Some(_), Some(_)) => {
            "<th scope=\"col\">−log<sub>10</sub> p</th><th scope=\"col\">−log<sub>10</sub> q</th>"
        }
    };
    let mut rows = String::new();
    for (site, (codes, core)) in found.strongest.iter().zip(&sequences) {
        let span = target.target.span_of(&Located { hit: site.hit, core: site.core, spread: f32::NAN });
        let _ = writeln!(
            rows,
            "<tr><td><span class=\"locus\" data-locus=\"{}\">{}</span></td><td>{}</td><td>{}</td>{}<td class=\"sequence\">{}</td></tr>",
            escape(&browser::locus(&site.contig.name, site.hit.start, target.target.window, AROUND)),
            escape(&browser::locus(&site.contig.name, span.start, span.end - span.start, 0)),
            if symmetric { '.' } else { site.hit.strand.symbol() },
            decimal(site.hit.score),
            significance(&site.hit),
            around(codes, *core, before + flank, after + flank, target.alphabet)
        );
    }
    format!(
        "<div class=\"scroll\"><table class=\"sites\">\n<thead><tr><th scope=\"col\">Site</th><th scope=\"col\">Strand</th>\
         <th scope=\"col\">Score</th>{heads}<th scope=\"col\">Sequence</th></tr></thead>\n<tbody>\n{rows}</tbody>\n</table></div>\n\
         <p class=\"soft\">{} of {} sites. Site: 1-based, both ends included. Sequence: on the strand of the site, the bases that \
         carry the score in bold, with the bases beside them.</p>\n",
        grouped(sequences.len() as u64),
        grouped(found.sites.total())
    )
}

/// As narrowPeak has p- and q-values; 0 and not -0 for 1.
fn minus_log10(p: f64) -> String {
    format!("{:.2}", 0.0 - p.max(f64::MIN_POSITIVE).log10())
}

/// The bases around a core's summit, so many before it and from it on; blank past what the score depends on.
fn around(codes: &[u8], core: Core, before: usize, after: usize, alphabet: Alphabet) -> String {
    let summit = core.summit as usize;
    let (from, to) = (summit.saturating_sub(before), (summit + after).min(codes.len()));
    let blank = " ".repeat(before - (summit - from));
    let bold = (core.start as usize).saturating_sub(from)..(core.end as usize).saturating_sub(from);
    blank + &letters(&codes[from..to], bold, alphabet)
}

/// Letters with a colour for each base; those outside `core` are pale.
fn letters(codes: &[u8], core: std::ops::Range<usize>, alphabet: Alphabet) -> String {
    let mut html = String::new();
    let mut open: Option<(u8, bool)> = None;
    for (i, &code) in codes.iter().enumerate() {
        let kind = (code, core.contains(&i));
        if open != Some(kind) {
            if open.is_some() {
                html += "</i>";
            }
            let name = ["a", "c", "g", "t", "n"][usize::from(code.min(4))];
            let _ = write!(html, "<i class=\"{name}{}\">", if kind.1 { "" } else { " pale" });
            open = Some(kind);
        }
        html.push(match (ascii_of_code(code), alphabet) {
            (b'T', Alphabet::Rna) => 'U',
            (letter, _) => char::from(letter),
        });
    }
    if open.is_some() {
        html += "</i>";
    }
    html
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn equal_bases_share_an_element() {
        let html = letters(&[0, 0, 3, 3, 4], 1..4, Alphabet::Rna);
        assert_eq!(
            html,
            "<i class=\"a pale\">A</i><i class=\"a\">A</i><i class=\"t\">UU</i><i class=\"n pale\">N</i>"
        );
    }
}
