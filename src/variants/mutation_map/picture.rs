//! Mutation maps as pictures: the sequence as a logo, and below it a heat map of the substitutions.
//!
//! A letter is as high as the most that a substitution there takes away, so that what the score needs stands out.

use std::fmt::Write;

use crate::model::Alphabet;
use crate::report::chart::significant;
use crate::report::grouped;
use crate::report::logo;
use crate::report::logo::Logo;
use crate::report::svg::{Anchor, Label, Lettering};
use crate::seq::alphabet::{N, ascii_of_code};

/// A map of one stretch and target.
#[derive(Debug, Clone, PartialEq)]
pub struct Panel {
    /// Name of the target.
    pub model: String,
    /// Name of the contig.
    pub contig: String,
    /// Contig position of the first base, 0-based.
    pub start: u64,
    /// Codes of the bases that are mapped.
    pub codes: Vec<u8>,
    /// The effect of a substitution by A, C, G, T at each position; 0 for the base that is there.
    pub values: Vec<[f32; 4]>,
}

/// Positions of a row at most, unless it is said otherwise; longer maps have several rows of about the same length.
pub(crate) const ROW: usize = 110;

/// Positions up to which each cell says what it is when it is pointed at.
const EXPLAINED: usize = 3000;

/// Sizes in units of the drawing.
const CELL: f64 = 9.0;
const TITLE: f64 = 24.0;
const LEGEND: f64 = 14.0;
const SEQUENCE: f64 = 11.0;
const TICKS: f64 = 14.0;
const GAP: f64 = 12.0;
const MARGIN: f64 = 10.0;
/// Width of the scale of colours with its gap, less what it sticks out to the left.
const SCALE: f64 = 78.0;
/// Width of a letter of the legend.
const LETTER: f64 = 4.0;

const ROW_HEIGHT: f64 = logo::TOP + logo::HEIGHT + SEQUENCE + 4.0 * CELL + TICKS + GAP;

/// All panels below each other, as a file of SVG; `what` is the number that is shown. With outlines in place of text, cells
/// do not say what they are.
pub(crate) fn svg(panels: &[Panel], what: &str, layout: RowLayout, lettering: Lettering) -> String {
    let row = layout.columns.unwrap_or(ROW);
    let columns = panels.iter().map(|panel| panel.columns(row)).max().unwrap_or(0);
    // The number of the last position may stick out.
    let width = 3.0 * MARGIN + logo::AXIS_WIDTH + columns as f64 * logo::COLUMN;
    let width = width.max(2.0 * MARGIN + logo::AXIS_WIDTH + SCALE + LETTER * legend(what).len() as f64);
    let height: f64 = panels.iter().map(|panel| panel.height(row)).sum::<f64>() + 2.0 * MARGIN;
    let mut svg = format!(
        "<svg xmlns=\"http://www.w3.org/2000/svg\" viewBox=\"0 0 {width:.0} {height:.0}\" width=\"{width:.0}\" \
         height=\"{height:.0}\" font-family=\"Helvetica, Arial, sans-serif\">\n<rect width=\"100%\" height=\"100%\" \
         fill=\"#fff\"/>\n"
    );
    let positions = panels.iter().map(|panel| panel.codes.len()).sum::<usize>();
    let explained = positions <= EXPLAINED && lettering == Lettering::Text;
    let highest = |of: fn(&Panel) -> f64| panels.iter().map(of).fold(0.0, f64::max);
    let shared = [highest(Panel::most), highest(Panel::high)];
    let mut y = MARGIN;
    for panel in panels {
        let [most, high] = if layout.one_scale { shared } else { [panel.most(), panel.high()] };
        panel.draw(&mut svg, y, what, Style { lettering, explained, row, most: most as f32, high });
        y += panel.height(row);
    }
    svg + "</svg>\n"
}

/// What cells and letters show.
fn legend(what: &str) -> String {
    format!("{what} by a substitution to the row's base; letters: greatest loss")
}

/// Layout of the maps of a picture.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct RowLayout {
    /// Positions of a row at most; `None` leaves it to the program.
    pub columns: Option<usize>,
    /// True if all maps have the same scale of colours and heights.
    pub one_scale: bool,
}

/// Layout of panels.
#[derive(Debug, Clone, Copy)]
struct Style {
    lettering: Lettering,
    /// True if each cell says what it is when it is pointed at.
    explained: bool,
    /// Positions of a row at most.
    row: usize,
    /// The value that has the deepest colour.
    most: f32,
    /// The loss that has the highest letter.
    high: f64,
}

impl Panel {
    /// Positions of each row but the last, which may have some fewer.
    fn columns(&self, row: usize) -> usize {
        let rows = self.codes.len().div_ceil(row).max(1);
        self.codes.len().div_ceil(rows)
    }

    fn height(&self, row: usize) -> f64 {
        TITLE + LEGEND + self.codes.len().div_ceil(row) as f64 * ROW_HEIGHT
    }

    /// The largest value, either way.
    fn most(&self) -> f64 {
        self.values.iter().flatten().fold(0.0f32, |most, value| most.max(value.abs())).into()
    }

    /// The greatest loss.
    fn high(&self) -> f64 {
        let heights = self.codes.iter().zip(&self.values).map(height);
        heights.flatten().fold(0.0, f64::max)
    }

    fn draw(&self, svg: &mut String, top: f64, what: &str, style: Style) {
        let (most, high) = (style.most, style.high);
        let heights: Vec<[f64; 4]> = self.codes.iter().zip(&self.values).map(height).collect();
        self.draw_title(svg, top, what, most, style.lettering);
        let columns = self.columns(style.row);
        for (row, start) in (0..self.codes.len()).step_by(columns.max(1)).enumerate() {
            let y = top + TITLE + LEGEND + row as f64 * ROW_HEIGHT;
            let end = self.codes.len().min(start + columns);
            let logo = Logo {
                heights: heights[start..end].to_vec(),
                low: 0.0,
                high,
                unit: "loss",
                alphabet: Alphabet::Dna,
            };
            let _ = write!(svg, "<g transform=\"translate({MARGIN} {y:.1})\">");
            logo.draw(svg, style.lettering);
            for i in start..end {
                self.draw_position(svg, i, i - start, what, (most, style));
            }
            for base in 0..4u8 {
                let y = heat_top() + (f64::from(base) + 0.75) * CELL;
                let letter = char::from(ascii_of_code(base)).to_string();
                Label::new(&letter, (logo::AXIS_WIDTH - 4.0, y), Anchor::End, 7.0, "#555")
                    .draw(svg, style.lettering);
            }
            svg.push_str("</g>\n");
        }
    }

    fn draw_title(&self, svg: &mut String, top: f64, what: &str, most: f32, lettering: Lettering) {
        let (first, last) = (self.start + 1, self.start + self.codes.len() as u64);
        let title = format!("{}, {}:{}-{}", self.model, self.contig, grouped(first), grouped(last));
        let label = Label::new(&title, (MARGIN, top + 11.0), Anchor::Start, 11.0, "#222");
        Label { bold: true, ..label }.draw(svg, lettering);
        let (x, top) = (MARGIN + logo::AXIS_WIDTH - 24.0, top + TITLE - 9.0);
        for step in 0..=20 {
            let value = (f64::from(step) / 10.0 - 1.0) as f32;
            let _ = write!(
                svg,
                "<rect x=\"{:.1}\" y=\"{:.1}\" width=\"3.1\" height=\"8\" fill=\"{}\"/>",
                x + 24.0 + 3.0 * f64::from(step),
                top + 3.5,
                color(value)
            );
        }
        let shown = significant(f64::from(most));
        let ticks = [(24.0, format!("-{shown}")), (55.5, "0".to_owned()), (87.0, shown)];
        for (at, number) in &ticks {
            let (x, y) = (x + at, top + 11.5);
            let _ = write!(svg, "<path d=\"M{x:.1} {y:.1}v2.5\" stroke=\"#777\" stroke-width=\".6\"/>");
            Label::new(number, (x, y + 9.0), Anchor::Middle, 7.0, "#555").draw(svg, lettering);
        }
        Label::new(
            &legend(what),
            (MARGIN + logo::AXIS_WIDTH + SCALE, top + 10.5),
            Anchor::Start,
            8.0,
            "#555",
        )
        .draw(svg, lettering);
        svg.push('\n');
    }

    /// The letter, the four cells, and a tick.
    fn draw_position(
        &self,
        svg: &mut String,
        i: usize,
        column: usize,
        what: &str,
        (most, style): (f32, Style),
    ) {
        let x = logo::AXIS_WIDTH + column as f64 * logo::COLUMN;
        let (own, position) = (self.codes[i], self.start + i as u64 + 1);
        let middle = x + logo::COLUMN / 2.0;
        let letter = char::from(ascii_of_code(own));
        let color_of_letter = if own == N { "#999" } else { logo::COLORS[usize::from(own)] };
        Label::new(&letter.to_string(), (middle, heat_top() - 2.5), Anchor::Middle, 8.0, color_of_letter)
            .draw(svg, style.lettering);
        for (base, &value) in self.values[i].iter().enumerate() {
            let y = heat_top() + base as f64 * CELL;
            if base == usize::from(own) {
                let _ = write!(
                    svg,
                    "<circle cx=\"{middle:.1}\" cy=\"{:.1}\" r=\"1.3\" fill=\"#999\"/>",
                    y + CELL / 2.0
                );
                continue;
            }
            let share = if most > 0.0 { value / most } else { 0.0 };
            let _ = write!(
                svg,
                "<rect x=\"{x:.1}\" y=\"{y:.1}\" width=\"{}\" height=\"{CELL}\" fill=\"{}\"",
                logo::COLUMN,
                color(share)
            );
            match style.explained {
                true => {
                    let to = char::from(ascii_of_code(base as u8));
                    let _ =
                        write!(svg, "><title>{position} {letter}&gt;{to}: {what} {value:.4}</title></rect>");
                }
                false => svg.push_str("/>"),
            }
        }
        if position.is_multiple_of(10) {
            let bottom = heat_top() + 4.0 * CELL;
            let _ =
                write!(svg, "<path d=\"M{middle:.1} {bottom:.1}v3\" stroke=\"#777\" stroke-width=\".6\"/>");
            Label::new(&grouped(position), (middle, bottom + 10.0), Anchor::Middle, 7.0, "#555")
                .draw(svg, style.lettering);
        }
    }
}

/// Top of the heat map within a row.
fn heat_top() -> f64 {
    logo::TOP + logo::HEIGHT + SEQUENCE
}

/// The reference's letter, as high as the most that a substitution takes away.
fn height((&own, values): (&u8, &[f32; 4])) -> [f64; 4] {
    let mut heights = [0.0; 4];
    if let Some(height) = heights.get_mut(usize::from(own)) {
        *height = values.iter().fold(0.0, |most, &value| f64::max(most, f64::from(-value)));
    }
    heights
}

/// Red for a loss, blue for a gain, the paler the smaller; from -1 to 1.
fn color(share: f32) -> String {
    let full = if share < 0.0 { [178.0, 24.0, 43.0] } else { [33.0, 102.0, 172.0] };
    // The square root keeps small effects visible.
    let depth = share.abs().min(1.0).sqrt();
    let [r, g, b] = full.map(|part: f32| (247.0 + (part - 247.0) * depth).round() as u8);
    format!("#{r:02x}{g:02x}{b:02x}")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_map_has_a_cell_for_each_substitution() {
        let panel = Panel {
            model: "a<b".into(),
            contig: "chr1".into(),
            start: 995,
            codes: (0..230).map(|i| if i == 5 { N } else { (i % 4) as u8 }).collect(),
            values: (0..230).map(|i| [0.5 * i as f32, -1.0, 0.0, 2.0]).collect(),
        };
        let picture = svg(&[panel], "effect", RowLayout::default(), Lettering::Text);
        assert_eq!(picture.matches("<title>").count(), 229 * 3 + 4);
        assert_eq!(picture.matches("<circle").count(), 229);
        assert!(picture.contains("a&lt;b, chr1:996-1,225") && picture.contains(">1,000</text>"));
        assert!(!picture.contains("NaN") && picture.ends_with("</svg>\n"));
        assert_eq!(picture.matches("<g transform").count(), 3);
    }

    #[test]
    fn rows_have_about_the_same_length() {
        let panel = |length: usize, value: f32| Panel {
            model: "m".into(),
            contig: "s".into(),
            start: 0,
            codes: vec![0; length],
            values: vec![[0.0, value, 0.0, -value]; length],
        };
        assert_eq!(
            [1, 101, 110, 111, 230].map(|length| panel(length, 1.0).columns(ROW)),
            [1, 101, 110, 56, 77]
        );
        let rows = |layout| {
            svg(&[panel(101, 1.0)], "effect", layout, Lettering::Text).matches("<g transform").count()
        };
        assert_eq!(rows(RowLayout::default()), 1);
        assert_eq!(rows(RowLayout { columns: Some(40), one_scale: false }), 3);
        // On one scale, half the effect is paler.
        let deepest = |one_scale| {
            let layout = RowLayout { columns: None, one_scale };
            let picture = svg(&[panel(5, 1.0), panel(5, 2.0)], "effect", layout, Lettering::Text);
            picture.matches(&color(1.0)).count()
        };
        assert_eq!(deepest(false) - deepest(true), 5);
    }

    #[test]
    fn nothing_is_still_a_picture() {
        let flat = Panel {
            model: "m".into(),
            contig: "s".into(),
            start: 0,
            codes: vec![0, 1],
            values: vec![[0.0; 4]; 2],
        };
        for panels in [&[][..], &[flat]] {
            let picture = svg(panels, "effect", RowLayout::default(), Lettering::Text);
            assert!(!picture.contains("NaN") && !picture.contains("inf"), "{picture}");
        }
    }

    #[test]
    fn colors_go_from_red_to_blue() {
        assert_eq!([-1.0, 0.0, 1.0].map(color), ["#b2182b", "#f7f7f7", "#2166ac"]);
    }
}
