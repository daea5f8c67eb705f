//! Charts as inline SVG, coloured by the style sheet of the page.

use std::fmt::Write;

use crate::report::svg::escape;

/// One axis of a chart.
#[derive(Debug, Clone)]
pub(crate) struct Axis {
    label: String,
    low: f64,
    high: f64,
    logarithmic: bool,
}

/// Ticks wanted on an axis, about.
const TICKS: f64 = 5.0;

impl Axis {
    /// From `low` to `high`.
    pub(crate) fn new(label: &str, low: f64, high: f64) -> Axis {
        Axis { label: label.to_owned(), low, high, logarithmic: false }
    }

    /// From 0 to 1.
    pub(crate) fn share(label: &str) -> Axis {
        Axis::new(label, 0.0, 1.0)
    }

    /// As wide as the values (those that are finite) and a little wider.
    pub(crate) fn around(label: &str, values: impl Iterator<Item = f64>) -> Axis {
        let finite = values.filter(|value| value.is_finite());
        let (low, high) =
            finite.fold((f64::INFINITY, f64::NEG_INFINITY), |(low, high), x| (low.min(x), high.max(x)));
        let (low, high) = if low > high { (0.0, 1.0) } else { (low, high) };
        let margin = if high > low { (high - low) * 0.05 } else { low.abs().max(1.0) * 0.05 };
        Axis::new(label, low - margin, high + margin)
    }

    /// As [`Axis::around`], with a logarithmic scale; for positive values.
    pub(crate) fn around_log(label: &str, values: impl Iterator<Item = f64>) -> Axis {
        let Axis { low, high, .. } = Axis::around(label, values.filter(|&value| value > 0.0).map(f64::log10));
        Axis { label: label.to_owned(), low: 10f64.powf(low), high: 10f64.powf(high), logarithmic: true }
    }

    /// Counts on a logarithmic scale, up to `most`. A bar of one thing can be seen.
    pub(crate) fn counts(label: &str, most: u64) -> Axis {
        Axis { label: label.to_owned(), low: 0.5, high: most.max(5) as f64 * 2.0, logarithmic: true }
    }

    /// Shares on a logarithmic scale, from `least` to 1.
    pub(crate) fn shares_down_to(label: &str, least: f64) -> Axis {
        Axis { label: label.to_owned(), low: least.min(0.5), high: 1.0, logarithmic: true }
    }

    /// Position of a value: 0 at the low end, 1 at the high end.
    fn place(&self, value: f64) -> f64 {
        if self.logarithmic {
            (value.log10() - self.low.log10()) / (self.high.log10() - self.low.log10())
        } else {
            (value - self.low) / (self.high - self.low)
        }
    }

    fn ticks(&self) -> Vec<(f64, String)> {
        if self.logarithmic { self.logarithmic_ticks() } else { self.linear_ticks() }
    }

    fn linear_ticks(&self) -> Vec<(f64, String)> {
        let rough = (self.high - self.low) / TICKS;
        let power = 10f64.powf(rough.log10().floor());
        let step = [1.0, 2.0, 5.0, 10.0].map(|x| x * power).into_iter().find(|&x| x >= rough * 0.999);
        let step = step.unwrap_or(rough);
        // All ticks of an axis have the same unit.
        let most = self.low.abs().max(self.high.abs());
        let (unit, suffix) = [(1e9, "G"), (1e6, "M"), (1e3, "k")]
            .into_iter()
            .find(|(unit, _)| most >= 10.0 * unit)
            .unwrap_or((1.0, ""));
        let decimals = (-(step / unit).log10().floor()).clamp(0.0, 9.0) as usize;
        let (first, last) =
            ((self.low / step - 1e-9).ceil() as i64, (self.high / step + 1e-9).floor() as i64);
        (first..=last)
            .map(|i| i as f64 * step)
            .map(|value| (value, number(value / unit, decimals, suffix)))
            .collect()
    }

    fn logarithmic_ticks(&self) -> Vec<(f64, String)> {
        let (first, last) = (self.low.log10().floor() as i32, self.high.log10().ceil() as i32);
        let digits: &[f64] = if last - first > 3 { &[1.0] } else { &[1.0, 2.0, 5.0] };
        let values =
            (first..=last).flat_map(|power| digits.iter().map(move |digit| digit * 10f64.powi(power)));
        let inside = values.filter(|value| (self.low..=self.high).contains(value));
        inside.map(|value| (value, short(value))).collect()
    }
}

/// As [`significant`], with k, M or G from a thousand on.
fn short(value: f64) -> String {
    match value {
        1e9.. => format!("{}G", significant(value / 1e9)),
        1e6.. => format!("{}M", significant(value / 1e6)),
        1e3.. => format!("{}k", significant(value / 1e3)),
        // The axis has no room for more letters.
        ..9e-4 => format!("{value:.0e}"),
        _ => significant(value),
    }
}

/// With so many decimals and a suffix for its unit; 0 has neither.
fn number(value: f64, decimals: usize, suffix: &str) -> String {
    let text = format!("{value:.decimals$}");
    let is_zero = text.trim_start_matches('-').bytes().all(|b| b == b'0' || b == b'.');
    if is_zero { "0".into() } else { text + suffix }
}

/// As few digits as tell the value: three significant ones at most.
pub(crate) fn significant(value: f64) -> String {
    if value == 0.0 || !value.is_finite() {
        return format!("{value}");
    }
    let power = value.abs().log10().floor() as i32;
    if !(-5..6).contains(&power) {
        return format!("{value:.2e}");
    }
    let decimals = (2 - power).max(0) as usize;
    let text = format!("{value:.decimals$}");
    if text.contains('.') { text.trim_end_matches('0').trim_end_matches('.').to_owned() } else { text }
}

/// Size of the drawing and of its margins.
const WIDTH: f64 = 380.0;
const HEIGHT: f64 = 270.0;
const RIGHT: f64 = 18.0;
const TOP: f64 = 10.0;
const BOTTOM: f64 = 42.0;

/// Room left of the ticks' labels, for the axis' own, and that between labels and axis.
const LABEL: f64 = 20.0;
const GAP: f64 = 6.0;
/// Width of a letter of a tick's label.
const LETTER: f64 = 6.6;
/// Letters of a tick's label that there is room for in any case, so that charts side by side look alike.
const LETTERS: usize = 4;

/// A chart under construction: axes, and marks drawn in the order in which they are added.
#[derive(Debug)]
pub(crate) struct Chart {
    x: Axis,
    y: Axis,
    /// Width of the left margin.
    left: f64,
    marks: String,
}

impl Chart {
    pub(crate) fn new(x: Axis, y: Axis) -> Chart {
        let letters = y.ticks().iter().map(|(_, label)| label.chars().count()).fold(LETTERS, usize::max);
        Chart { x, y, left: LABEL + LETTER * letters as f64 + GAP, marks: String::new() }
    }

    fn point(&self, (x, y): (f64, f64)) -> (f64, f64) {
        let (across, up) = (self.x.place(x), self.y.place(y));
        (self.left + across * (WIDTH - self.left - RIGHT), TOP + (1.0 - up) * (HEIGHT - TOP - BOTTOM))
    }

    /// A line through the points that are finite.
    pub(crate) fn line(mut self, class: &str, points: &[(f64, f64)]) -> Chart {
        let places = points.iter().map(|&point| self.point(point));
        let places = places.filter(|(x, y)| x.is_finite() && y.is_finite());
        let path: Vec<String> = places.map(|(x, y)| format!("{x:.1} {y:.1}")).collect();
        if !path.is_empty() {
            let _ = write!(self.marks, "<path class=\"line {class}\" d=\"M{}\"/>", path.join("L"));
        }
        self
    }

    /// A vertical line from bottom to top.
    pub(crate) fn mark(self, class: &str, x: f64) -> Chart {
        let (low, high) = (self.y.low, self.y.high);
        if (self.x.low..=self.x.high).contains(&x) { self.line(class, &[(x, low), (x, high)]) } else { self }
    }

    /// A dot, with a title that shows when it is pointed at.
    pub(crate) fn dot(mut self, class: &str, radius: f64, point: (f64, f64), title: Option<&str>) -> Chart {
        let (x, y) = self.point(point);
        if x.is_finite() && y.is_finite() {
            let title = title.map(|title| format!("<title>{}</title>", escape(title))).unwrap_or_default();
            let _ = write!(
                self.marks,
                "<circle class=\"dot {class}\" cx=\"{x:.1}\" cy=\"{y:.1}\" r=\"{radius}\">{title}</circle>"
            );
        }
        self
    }

    /// A histogram's outline, filled: `bars` are left edge, right edge and height, side by side.
    pub(crate) fn bars(mut self, class: &str, bars: &[(f64, f64, f64)]) -> Chart {
        let (Some(first), Some(last)) = (bars.first(), bars.last()) else { return self };
        // A logarithmic axis has no zero to stand on.
        let floor = if self.y.logarithmic { self.y.low } else { 0.0 };
        let mut corners = vec![(first.0, floor)];
        let top = |&(left, right, height): &(f64, f64, f64)| {
            [(left, height.max(floor)), (right, height.max(floor))]
        };
        corners.extend(bars.iter().flat_map(top));
        corners.push((last.1, floor));
        let path: Vec<String> = corners
            .into_iter()
            .map(|corner| self.point(corner))
            .map(|(x, y)| format!("{x:.1} {y:.1}"))
            .collect();
        let _ = write!(self.marks, "<path class=\"area {class}\" d=\"M{}Z\"/>", path.join("L"));
        self
    }

    /// The chart as an `<svg>` element; `title` says what it shows.
    pub(crate) fn to_svg(&self, title: &str) -> String {
        let mut svg = format!(
            "<svg class=\"chart\" role=\"img\" viewBox=\"0 0 {WIDTH} {HEIGHT}\"><title>{}</title>",
            escape(title)
        );
        let (left, right, bottom) = (self.left, WIDTH - RIGHT, HEIGHT - BOTTOM);
        for (value, label) in self.x.ticks() {
            let (x, _) = self.point((value, self.y.low));
            let _ = write!(
                svg,
                "<path class=\"grid\" d=\"M{x:.1} {TOP}V{bottom}\"/>\
                 <text class=\"tick\" x=\"{x:.1}\" y=\"{}\" text-anchor=\"middle\">{label}</text>",
                bottom + 15.0
            );
        }
        for (value, label) in self.y.ticks() {
            let (_, y) = self.point((self.x.low, value));
            let _ = write!(
                svg,
                "<path class=\"grid\" d=\"M{left:.1} {y:.1}H{right}\"/>\
                 <text class=\"tick\" x=\"{}\" y=\"{:.1}\" text-anchor=\"end\">{label}</text>",
                left - GAP,
                y + 4.0
            );
        }
        let _ = write!(
            svg,
            "<path class=\"axis\" d=\"M{left:.1} {TOP}V{bottom}H{right}\"/>{}\
             <text class=\"label\" x=\"{}\" y=\"{}\" text-anchor=\"middle\">{}</text>\
             <text class=\"label\" transform=\"translate(13 {}) rotate(-90)\" text-anchor=\"middle\">{}</text></svg>",
            self.marks,
            f64::midpoint(left, right),
            HEIGHT - 7.0,
            escape(&self.x.label),
            f64::midpoint(TOP, bottom),
            escape(&self.y.label)
        );
        svg
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn labels(axis: &Axis) -> Vec<String> {
        axis.ticks().into_iter().map(|(_, label)| label).collect()
    }

    #[test]
    fn ticks_are_round_numbers_within_the_axis() {
        assert_eq!(labels(&Axis::share("")), ["0", "0.2", "0.4", "0.6", "0.8", "1.0"]);
        assert_eq!(labels(&Axis::new("", 0.0, 20_000.0)), ["0", "5k", "10k", "15k", "20k"]);
        assert_eq!(labels(&Axis::new("", -1.1, 0.9)), ["-1.0", "-0.5", "0", "0.5"]);
        let rates = Axis::around_log("", [5e-4, 0.05].into_iter());
        assert_eq!(labels(&rates), ["5e-4", "0.001", "0.002", "0.005", "0.01", "0.02", "0.05"]);
    }

    #[test]
    fn values_that_cannot_be_drawn_leave_no_trace() {
        let axis = || Axis::around("x", [f64::NAN, 1.0, f64::INFINITY].into_iter());
        let none = Axis::around_log("y", std::iter::empty());
        let chart = Chart::new(axis(), none).line("a", &[(1.0, f64::NAN), (1.0, 2.0)]).dot(
            "b",
            2.0,
            (1.0, -1.0),
            None,
        );
        let svg = chart.to_svg("a & b");
        assert!(!svg.contains("NaN") && !svg.contains("inf") && svg.contains("a &amp; b"), "{svg}");
    }

    #[test]
    fn numbers_are_short() {
        let cases = [
            (0.00123456, "0.00123"),
            (12.5, "12.5"),
            (20000.0, "20000"),
            (1e-9, "1.00e-9"),
            (0.05, "0.05"),
            (0.0, "0"),
        ];
        for (value, text) in cases {
            assert_eq!(significant(value), text);
        }
    }
}
