//! The strongest sites of a target, one below the other, and what its model looks for.

use std::fmt::Write;

use super::{AROUND, ReportTarget, browser};
use crate::model::{Alphabet, Network};
use crate::report::detector::{Detector, Stretch, active, counts, shares};
use crate::report::grouped;
use crate::report::logo::Logo;
use crate::report::svg::escape;
use crate::scan::statistics::{FoundSite, TargetStatistics};
use crate::scores::Hit;
use crate::seq::alphabet::{ascii_of_code, reverse_complement_into};
use crate::seq::contig::Strand;

/// Logos of a network's detectors.
const LOGOS: usize = 4;

/// Fewer stretches than this make no logo; the weights are shown instead.
const STRETCHES: usize = 10;

/// Bases shown on either side of what a detector fits.
const FLANK: usize = 10;

/// Longest window that is shown whole, if nothing says which part of it matters.
const WHOLE: usize = 60;

/// Counts that make the correction for few sites vanish.
const MANY: f64 = 1e9;

/// Logos, and a table of the sites.
/// `q` has the q-value of each step of the null distribution.
pub(super) fn strongest(target: &ReportTarget<'_>, found: &TargetStatistics, q: Option<&[f64]>) -> String {
    let read = |sites: &[FoundSite]| sites.iter().map(as_read).collect::<Vec<_>>();
    if let (Some(background), Some(network)) = (target.matrix, target.network) {
        let logo = matrix_logo(network, background, target.alphabet);
        let svg = logo.to_svg(&format!("Logo of {}", target.target.name));
        let figure = format!("<figure>{svg}<figcaption>The matrix</figcaption></figure>\n");
        return logos(&figure) + &table(target, found, &read(&found.strongest), q, None);
    }
    let Some(network) = target.network else {
        return table(target, found, &read(&found.strongest), q, None);
    };
    let drawn = read(&found.drawn);
    let leading = leading_detectors(network, target.output, &drawn);
    let mut figures = String::new();
    for &(k, share) in &leading {
        let detector = Detector::new(network, k);
        let stretches: Vec<Stretch> =
            drawn.iter().map(|codes| detector.strongest(codes, target.both_strands)).collect();
        let active = active(&stretches);
        let (logo, made_of) = if active.len() < STRETCHES {
            (Logo::of_weights(&detector.weights, target.alphabet), "weights; too few sites for a logo".into())
        } else {
            let counts = counts(&active, network.detector_length);
            (
                Logo::of_counts(&counts, target.alphabet),
                format!("in {} of {} sites", active.len(), drawn.len()),
            )
        };
        let svg = logo.to_svg(&format!("Logo of detector {}", k + 1));
        let _ = writeln!(
            figures,
            "<figure>{svg}<figcaption>Detector {}: adds {share:.2} to the score, {made_of}</figcaption></figure>",
            k + 1
        );
    }
    let aligned = leading.first().map(|&(k, _)| Detector::new(network, k));
    logos(&figures) + &table(target, found, &read(&found.strongest), q, aligned.as_ref())
}

fn logos(figures: &str) -> String {
    if figures.is_empty() {
        String::new()
    } else {
        format!("<div class=\"figures logos\">\n{figures}</div>\n")
    }
}

/// A site's codes as the model reads them.
fn as_read(site: &FoundSite) -> Vec<u8> {
    match site.hit.strand {
        Strand::Forward => site.codes.clone(),
        Strand::Reverse => {
            let mut codes = Vec::with_capacity(site.codes.len());
            reverse_complement_into(&site.codes, &mut codes);
            codes
        }
    }
}

/// The probabilities behind log-odds in bits.
fn matrix_logo(network: &Network, background: [f64; 4], alphabet: Alphabet) -> Logo {
    let width = network.detector_length;
    let column = |j: usize| {
        let odds: [f64; 4] = std::array::from_fn(|base| {
            background[base] * f64::from(network.weights[base * width + j]).exp2()
        });
        let sum: f64 = odds.iter().sum();
        odds.map(|p| MANY * p / sum)
    };
    Logo::of_counts(&(0..width).map(column).collect::<Vec<_>>(), alphabet)
}

/// The detectors that the scores of these sequences owe most to, the one that they owe most first, and how much: the
/// quadratic mean, since a detector that makes some of the sites tells more than one that adds a little everywhere.
fn leading_detectors(network: &Network, output: usize, sequences: &[Vec<u8>]) -> Vec<(usize, f64)> {
    if sequences.is_empty() {
        return Vec::new();
    }
    let detectors: Vec<Detector> = (0..network.detectors).map(|k| Detector::new(network, k)).collect();
    let mut squares = vec![0.0; detectors.len()];
    for codes in sequences {
        let maxima: Vec<f32> =
            detectors.iter().map(|detector| detector.strongest(codes, false).activation).collect();
        let means: Vec<f32> = detectors.iter().map(|detector| detector.mean(codes)).collect();
        let shares = shares(network, output, &maxima, &means);
        squares.iter_mut().zip(shares).for_each(|(sum, share)| *sum += share.max(0.0).powi(2));
    }
    let share = |sum: f64| (sum / sequences.len() as f64).sqrt();
    let mut leading: Vec<(usize, f64)> =
        squares.into_iter().map(share).enumerate().filter(|(_, share)| *share > 0.0).collect();
    leading.sort_by(|a, b| b.1.total_cmp(&a.1).then(a.0.cmp(&b.0)));
    leading.truncate(LOGOS);
    leading
}

/// The table: the sequences as the model reads them, one below the other where the detector fits best.
fn table(
    target: &ReportTarget<'_>,
    found: &TargetStatistics,
    sequences: &[Vec<u8>],
    q: Option<&[f64]>,
    aligned: Option<&Detector>,
) -> String {
    if sequences.is_empty() {
        return "<p>There is no site.</p>\n".into();
    }
    let window = target.target.window;
    let null = target.target.null.as_ref();
    let significance = |hit: &Hit| {
        let Some(null) = null else { return String::new() };
        let step = null.step(hit.score, hit.strand);
        let q = q.map(|q| format!("<td>{:.1e}</td>", q[step])).unwrap_or_default();
        format!("<td>{:.1e}</td>{q}", null.p_of(step))
    };
    let heads = match (null, q) {
        (None, _) => "",
        (Some(_), None) => "<th scope=\"col\">p</th>",
        (Some(_), Some(_)) => "<th scope=\"col\">p</th><th scope=\"col\">q</th>",
    };
    let mut rows = String::new();
    for (site, codes) in found.strongest.iter().zip(sequences) {
        let sequence = match aligned {
            Some(detector) => around(codes, detector, target),
            None if codes.len() > WHOLE => {
                let from = (codes.len() - WHOLE) / 2;
                letters(&codes[from..from + WHOLE], 0..WHOLE, target.alphabet)
            }
            None => letters(codes, 0..codes.len(), target.alphabet),
        };
        let _ = writeln!(
            rows,
            "<tr><td><span class=\"locus\" data-locus=\"{}\">{}</span></td><td>{}</td><td>{}</td>{}<td class=\"sequence\">{sequence}</td></tr>",
            escape(&browser::locus(&site.contig.name, site.hit.start, window, AROUND)),
            escape(&browser::locus(&site.contig.name, site.hit.start, window, 0)),
            match site.hit.strand {
                _ if target.target.symmetric => ".",
                Strand::Forward => "+",
                Strand::Reverse => "−",
            },
            site.hit.score,
            significance(&site.hit)
        );
    }
    let what = match aligned {
        Some(_) => "sequence where the first detector fits best, as that reads it, with some bases beside it",
        None if window as usize > WHOLE => "sequence on that strand, the middle of the window",
        None => "sequence on that strand",
    };
    format!(
        "<div class=\"scroll\"><table class=\"sites\">\n<thead><tr><th scope=\"col\">Window</th><th scope=\"col\">Strand</th>\
         <th scope=\"col\">Score</th>{heads}<th scope=\"col\">Sequence</th></tr></thead>\n<tbody>\n{rows}</tbody>\n</table></div>\n\
         <p class=\"soft\">{} of {} sites. Window: 1-based, both ends included; {what}.</p>\n",
        grouped(sequences.len() as u64),
        grouped(found.sites.total())
    )
}

/// The stretch that a detector fits best, and flanks, as the detector reads it; blank past the window's ends.
fn around(codes: &[u8], detector: &Detector, target: &ReportTarget<'_>) -> String {
    let length = detector.weights.len();
    let mut stretch = detector.strongest(codes, false);
    let mut codes = std::borrow::Cow::Borrowed(codes);
    if target.both_strands {
        let mut reverse = Vec::with_capacity(codes.len());
        reverse_complement_into(&codes, &mut reverse);
        let other = detector.strongest(&reverse, false);
        if other.activation > stretch.activation {
            (stretch, codes) = (other, reverse.into());
        }
    }
    let start = stretch.start;
    let (from, to) = (start.saturating_sub(FLANK), (start + length + FLANK).min(codes.len()));
    let blank = " ".repeat(FLANK - (start - from));
    let end = (start + length).min(codes.len());
    blank + &letters(&codes[from..to], start - from..end - from, target.alphabet)
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
