//! Words in drawings: as text of SVG, or as outlines, which need no fonts where the drawing is shown.

use std::fmt::Write;

#[cfg(feature = "png")]
mod outlines;

/// Style of a label.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Lettering {
    /// As text: in the fonts of whoever shows it.
    Text,
    /// As paths, in Ubuntu Light.
    #[cfg(feature = "png")]
    Outlines,
}

/// Position of a label.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Anchor {
    Start,
    Middle,
    End,
}

/// Words of a drawing.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Label<'a> {
    pub(crate) words: &'a str,
    /// Anchor on the base line.
    pub(crate) at: (f64, f64),
    pub(crate) anchor: Anchor,
    /// Height of the font in units of the drawing.
    pub(crate) size: f64,
    pub(crate) color: &'a str,
    pub(crate) bold: bool,
    /// True if they are read from below to above.
    pub(crate) turned: bool,
    /// For the marks of an axis, which style sheets know as `tick`.
    pub(crate) tick: bool,
}

impl<'a> Label<'a> {
    pub(crate) fn new(
        words: &'a str,
        at: (f64, f64),
        anchor: Anchor,
        size: f64,
        color: &'a str,
    ) -> Label<'a> {
        Label { words, at, anchor, size, color, bold: false, turned: false, tick: false }
    }

    pub(crate) fn draw(&self, svg: &mut String, lettering: Lettering) {
        match lettering {
            Lettering::Text => self.draw_text(svg),
            #[cfg(feature = "png")]
            Lettering::Outlines => self.draw_outlines(svg),
        }
    }

    fn draw_text(&self, svg: &mut String) {
        let (x, y) = self.at;
        let class = if self.tick { " class=\"tick\"" } else { "" };
        let family = if self.tick { " font-family=\"sans-serif\"" } else { "" };
        let anchor = match self.anchor {
            Anchor::Start => "",
            Anchor::Middle => " text-anchor=\"middle\"",
            Anchor::End => " text-anchor=\"end\"",
        };
        let weight = if self.bold { " font-weight=\"bold\"" } else { "" };
        let place = match self.turned {
            true => format!("transform=\"translate({x:.1} {y:.1}) rotate(-90)\""),
            false => format!("x=\"{x:.1}\" y=\"{y:.1}\""),
        };
        let _ = write!(
            svg,
            "<text{class} {place}{anchor} font-size=\"{}\"{weight} fill=\"{}\"{family}>{}</text>",
            self.size,
            self.color,
            escape(self.words)
        );
    }
}

/// Text as it may stand in XML and HTML, attributes included.
pub(crate) fn escape(text: &str) -> String {
    let mut escaped = String::with_capacity(text.len());
    for letter in text.chars() {
        match letter {
            '&' => escaped += "&amp;",
            '<' => escaped += "&lt;",
            '>' => escaped += "&gt;",
            '"' => escaped += "&quot;",
            letter if letter.is_control() => escaped.push(' '),
            letter => escaped.push(letter),
        }
    }
    escaped
}

#[cfg(test)]
mod tests {
    use super::*;

    fn drawn(words: &str, lettering: Lettering) -> String {
        let mut svg = String::new();
        Label::new(words, (3.0, 4.0), Anchor::End, 8.0, "#555").draw(&mut svg, lettering);
        svg
    }

    #[test]
    fn text_is_text_and_outlines_are_paths() {
        let want =
            "<text x=\"3.0\" y=\"4.0\" text-anchor=\"end\" font-size=\"8\" fill=\"#555\">a&lt;b</text>";
        assert_eq!(drawn("a<b", Lettering::Text), want);
        let outlines = drawn("a<b", Lettering::Outlines);
        assert!(outlines.starts_with("<path ") && outlines.matches('M').count() >= 5, "{outlines}");
        assert_eq!(drawn(" ", Lettering::Outlines), "");
        // A letter that the font lacks is a question mark.
        assert_eq!(drawn("\u{6f22}", Lettering::Outlines), drawn("?", Lettering::Outlines));
    }
}
