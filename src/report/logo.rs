//! Sequence logos as SVG: stacks of letters as high as they matter.

use crate::report::svg::escape;
use std::fmt::Write;

use crate::model::motif::information;
use crate::model::{Alphabet, Network};
use crate::report::svg::{Anchor, Label, Lettering};

/// A logo: a stack of letters for each position.
///
/// ```
/// use bindscan::report::logo::Logo;
/// use bindscan::model::Alphabet;
///
/// let counts = [[80.0, 5.0, 10.0, 5.0], [0.0, 0.0, 100.0, 0.0]];
/// let svg = Logo::from_counts(&counts, Alphabet::Dna).to_svg("a motif of two bases");
/// assert!(svg.starts_with("<svg"));
/// ```
#[derive(Debug, Clone, PartialEq)]
pub struct Logo {
    /// Height of A, C, G, T (or U) at each position; below the axis where negative.
    pub heights: Vec<[f64; 4]>,
    /// Lower end of the vertical axis, 0 or negative.
    pub low: f64,
    /// Upper end of the vertical axis, 0 or positive.
    pub high: f64,
    /// Meaning of the heights, for the axis.
    pub unit: &'static str,
    /// True if T is written U.
    pub alphabet: Alphabet,
}

impl Logo {
    /// Information content: each letter as high as its share of the position's bits (Schneider & Stephens 1990), with
    /// their correction for a small number of sites, 3 / (2 ln 2 · n).
    ///
    /// `counts[position]` holds how often A, C, G, T were seen. A position without counts stays empty.
    pub fn from_counts(counts: &[[f64; 4]], alphabet: Alphabet) -> Logo {
        let heights = counts.iter().map(letters).collect();
        Logo { heights, low: 0.0, high: 2.0, unit: "bits", alphabet }
    }

    /// The frequencies that the log-odds of a motif matrix, in bits, are of, with this background.
    pub(crate) fn from_log_odds(network: &Network, background: [f64; 4], alphabet: Alphabet) -> Logo {
        /// So many sites that no correction for few is visible.
        const MANY: f64 = 1e9;
        let width = network.filter_length;
        let scale = network.output.weights.first().copied().unwrap_or(1.0);
        let column = |j: usize| {
            let bits = |base: usize| f64::from(scale * network.weights[base * width + j]);
            let odds: [f64; 4] = std::array::from_fn(|base| background[base] * bits(base).exp2());
            let sum: f64 = odds.iter().sum();
            odds.map(|odds| MANY * odds / sum)
        };
        Logo::from_counts(&(0..width).map(column).collect::<Vec<_>>(), alphabet)
    }

    /// Weights as they are: positive ones above the axis, negative ones below.
    pub fn from_weights(weights: &[[f64; 4]], alphabet: Alphabet) -> Logo {
        let stack = |column: &[f64; 4], sign: f64| column.iter().map(|w| (w * sign).max(0.0)).sum::<f64>();
        let reach = |sign: f64| weights.iter().map(|column| stack(column, sign)).fold(0.0, f64::max);
        Logo { heights: weights.to_vec(), low: -reach(-1.0), high: reach(1.0), unit: "weight", alphabet }
    }

    /// The logo as an `<svg>` element with `label` as its title, 10 units a position wide. The letters have the classes
    /// `base-a` to `base-t`, with a colour of their own where no style sheet says otherwise.
    pub fn to_svg(&self, label: &str) -> String {
        let width = AXIS_WIDTH + COLUMN * self.heights.len() as f64 + 2.0;
        let mut svg = format!(
            "<svg class=\"logo\" role=\"img\" viewBox=\"0 0 {width:.0} {:.0}\" xmlns=\"http://www.w3.org/2000/svg\">\
             <title>{}</title>",
            TOP + HEIGHT + BOTTOM,
            escape(label)
        );
        self.draw(&mut svg, Lettering::Text);
        self.draw_ranks(&mut svg);
        svg + "</svg>"
    }

    /// Draws axis and stacks, without numbers of positions: the first stands at x = [`AXIS_WIDTH`], and letters between
    /// y = [`TOP`] and [`HEIGHT`] below it.
    pub(crate) fn draw(&self, svg: &mut String, lettering: Lettering) {
        let span = self.high - self.low;
        let unit = HEIGHT / if span > 0.0 { span } else { 1.0 };
        let zero = TOP + self.high * unit;
        self.draw_axis(svg, zero, unit, lettering);
        for (i, column) in self.heights.iter().enumerate() {
            self.draw_stack(svg, AXIS_WIDTH + COLUMN * i as f64, zero, unit, column);
        }
    }

    fn draw_ranks(&self, svg: &mut String) {
        for rank in (1..=self.heights.len()).filter(|rank| *rank == 1 || rank.is_multiple_of(5)) {
            let middle = AXIS_WIDTH + COLUMN * (rank as f64 - 0.5);
            tick(&rank.to_string(), (middle, TOP + HEIGHT + BOTTOM - 1.5), Anchor::Middle)
                .draw(svg, Lettering::Text);
        }
    }

    fn draw_axis(&self, svg: &mut String, zero: f64, unit: f64, lettering: Lettering) {
        let (x, top, bottom) = (AXIS_WIDTH - 2.0, TOP, TOP + HEIGHT);
        let right = AXIS_WIDTH + COLUMN * self.heights.len() as f64;
        let _ = write!(
            svg,
            "<path class=\"axis\" stroke=\"#777\" stroke-width=\".6\" fill=\"none\" \
             d=\"M{x} {top}V{bottom}M{x} {zero:.2}H{right}\"/>"
        );
        tick("0", (x - 2.0, zero + 2.0), Anchor::End).draw(svg, lettering);
        // An end too near to the zero has no room for its number.
        for value in [self.low, self.high].into_iter().filter(|value| (value * unit).abs() > 6.0) {
            tick(&short(value), (x - 2.0, zero - value * unit + 2.0), Anchor::End).draw(svg, lettering);
        }
        let unit = tick(self.unit, (5.5, f64::midpoint(top, bottom)), Anchor::Middle);
        Label { turned: true, ..unit }.draw(svg, lettering);
    }

    /// Letters from the axis outwards, the smallest nearest to it.
    fn draw_stack(&self, svg: &mut String, x: f64, zero: f64, unit: f64, column: &[f64; 4]) {
        let mut order = [0, 1, 2, 3];
        order.sort_by(|&a: &usize, &b| column[a].abs().total_cmp(&column[b].abs()));
        let (mut above, mut below) = (zero, zero);
        for base in order {
            let height = column[base].abs() * unit;
            if height.is_nan() || height < THINNEST {
                continue;
            }
            let y = if column[base] > 0.0 {
                above -= height;
                above
            } else {
                below += height;
                below - height
            };
            let (name, color, path) = self.letter(base);
            let (scale_x, scale_y) = ((COLUMN - 0.6) / 100.0, height / 100.0);
            let _ = write!(
                svg,
                "<path class=\"base-{name}\" fill=\"{color}\" fill-rule=\"evenodd\" \
                 transform=\"translate({:.2} {y:.2}) scale({scale_x:.4} {scale_y:.4})\" d=\"{path}\"/>",
                x + 0.3
            );
        }
    }

    /// Name, colour and outline (in a box of 100 by 100) of a base.
    fn letter(&self, base: usize) -> (char, &'static str, &'static str) {
        match (base, self.alphabet) {
            (0, _) => ('a', COLORS[0], A),
            (1, _) => ('c', COLORS[1], C),
            (2, _) => ('g', COLORS[2], G),
            (_, Alphabet::Dna) => ('t', COLORS[3], T),
            (_, Alphabet::Rna) => ('t', COLORS[3], U),
        }
    }
}

/// Sizes in units of the drawing.
pub(crate) const COLUMN: f64 = 10.0;
pub(crate) const HEIGHT: f64 = 44.0;
pub(crate) const TOP: f64 = 4.0;
const BOTTOM: f64 = 9.0;
pub(crate) const AXIS_WIDTH: f64 = 20.0;

/// Colours of A, C, G, T.
pub(crate) const COLORS: [&str; 4] = ["#109648", "#255c99", "#e69a00", "#d62839"];

/// Letters lower than this are not drawn.
const THINNEST: f64 = 0.15;

const A: &str = "M0 100L39 0H61L100 100H79L71 77H29L21 100ZM35 60H65L50 19Z";
const C: &str = "M100 67C94 88 77 100 53 100C20 100 0 80 0 50C0 20 20 0 53 0C77 0 94 12 100 33L79 38C75 24 67 17 53 17\
                 C33 17 21 29 21 50C21 71 33 83 53 83C67 83 75 76 79 62Z";
const G: &str = "M100 46V86C88 95 73 100 54 100C20 100 0 80 0 50C0 20 20 0 53 0C77 0 93 10 99 29L78 35C74 23 66 17 53 17\
                 C33 17 21 29 21 50C21 72 33 83 54 83C64 83 73 80 80 76V62H54V46Z";
const T: &str = "M0 0H100V17H60V100H40V17H0Z";
const U: &str =
    "M0 0H20V60C20 76 31 83 50 83C69 83 80 76 80 60V0H100V60C100 86 81 100 50 100C19 100 0 86 0 60Z";

/// Words at an axis.
fn tick(words: &str, at: (f64, f64), anchor: Anchor) -> Label<'_> {
    Label { tick: true, ..Label::new(words, at, anchor, 6.0, "#777") }
}

fn letters(counts: &[f64; 4]) -> [f64; 4] {
    let total: f64 = counts.iter().sum();
    if total <= 0.0 {
        return [0.0; 4];
    }
    let correction = 3.0 / (2.0 * std::f64::consts::LN_2 * total);
    let bits = (information(counts) - correction).max(0.0);
    counts.map(|count| count / total * bits)
}

fn short(value: f64) -> String {
    let text = format!("{value:.1}");
    text.strip_suffix(".0").map(str::to_owned).unwrap_or(text)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn heights_are_bits() {
        let logo = Logo::from_counts(
            &[[1e6, 0., 0., 0.], [5e5, 5e5, 0., 0.], [9., 9., 9., 9.], [0.; 4]],
            Alphabet::Dna,
        );
        let close = |got: [f64; 4], want: [f64; 4]| got.iter().zip(want).all(|(a, b)| (a - b).abs() < 1e-5);
        assert!(close(logo.heights[0], [2.0, 0.0, 0.0, 0.0]));
        assert!(close(logo.heights[1], [0.5, 0.5, 0.0, 0.0]));
        assert!(close(logo.heights[2], [0.0; 4]) && close(logo.heights[3], [0.0; 4]));
        // Ten sites: 2 - 3 / (2 ln 2 · 10) bits.
        assert!(
            (Logo::from_counts(&[[10., 0., 0., 0.]], Alphabet::Dna).heights[0][0] - 1.783_596).abs() < 1e-6
        );
    }

    #[test]
    fn weights_stand_on_both_sides_of_the_axis() {
        let logo = Logo::from_weights(&[[1.0, -0.5, 2.0, -0.25], [0.0, 0.5, -3.0, 0.0]], Alphabet::Rna);
        assert_eq!((logo.low, logo.high), (-3.0, 3.0));
        let svg = logo.to_svg("a < b");
        assert_eq!(svg.matches("<path class=\"base-").count(), 6);
        assert!(svg.contains("<title>a &lt; b</title>") && svg.ends_with("</svg>"));
        assert!(svg.contains(U) == (logo.heights.iter().any(|c| c[3] != 0.0)) && !svg.contains(T));
    }

    #[test]
    fn an_empty_logo_is_still_a_picture() {
        for logo in [Logo::from_counts(&[], Alphabet::Dna), Logo::from_weights(&[[0.0; 4]; 3], Alphabet::Dna)]
        {
            let svg = logo.to_svg("");
            assert!(!svg.contains("NaN") && !svg.contains("inf"), "{svg}");
        }
    }
}
