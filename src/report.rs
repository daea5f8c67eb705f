//! Parts that the reports share: a self-contained web page for wide and narrow screens, light and dark, and for paper.

pub mod logo;
pub(crate) mod svg;
use std::fmt::Write;

use crate::report::svg::escape;

pub(crate) mod chart;
pub(crate) mod filter;

use chart::Chart;

/// The page: a title for the browser's tab, the header as HTML, and sections, of which the empty ones are left out.
pub(crate) fn page(title: &str, header: &str, sections: &[(&str, String)]) -> String {
    let mut page = format!(
        "<!DOCTYPE html>\n<html lang=\"en\">\n<head>\n<meta charset=\"utf-8\">\n\
         <meta name=\"viewport\" content=\"width=device-width, initial-scale=1\">\n\
         <title>{}</title>\n<style>\n{}</style>\n</head>\n<body>\n<header>\n{header}</header>\n<main>\n",
        escape(title),
        include_str!("report/style.css")
    );
    for (title, content) in sections.iter().filter(|(_, content)| !content.is_empty()) {
        let _ = write!(page, "<section>\n<h2>{title}</h2>\n{content}\n</section>\n");
    }
    let _ = write!(
        page,
        "</main>\n<footer>Made by bindscan {}.</footer>\n</body>\n</html>\n",
        env!("CARGO_PKG_VERSION")
    );
    page
}

/// A list of names and values.
pub(crate) fn facts(facts: &[(String, String)]) -> String {
    if facts.is_empty() {
        return String::new();
    }
    let mut html = String::from("<dl class=\"facts\">\n");
    for (name, value) in facts {
        let _ = writeln!(html, "<dt>{}</dt><dd>{}</dd>", escape(name), escape(value));
    }
    html + "</dl>\n"
}

/// A list of sentences.
pub(crate) fn notes(notes: &[String]) -> String {
    if notes.is_empty() {
        return String::new();
    }
    let mut html = String::from("<ul class=\"notes\">\n");
    for note in notes {
        let _ = writeln!(html, "<li>{}</li>", escape(note));
    }
    html + "</ul>\n"
}

/// A chart with a heading and a legend: class of the key (none if empty) and words.
pub(crate) fn figure(heading: &str, chart: &Chart, title: &str, legend: &[(String, String)]) -> String {
    let mut entries = String::new();
    for (class, words) in legend.iter().filter(|(_, words)| !words.is_empty()) {
        let key =
            if class.is_empty() { String::new() } else { format!("<span class=\"key {class}\"></span>") };
        let _ = write!(entries, "<li>{key}{}</li>", escape(words));
    }
    format!(
        "<figure><h3>{}</h3>{}<figcaption><ul>{entries}</ul></figcaption></figure>\n",
        escape(heading),
        chart.to_svg(title)
    )
}

/// Class of the i-th series of a chart.
pub(crate) fn series(i: usize) -> String {
    format!("s{}", i + 1)
}

/// Figures side by side.
pub(crate) fn figures(figures: &str) -> String {
    if figures.is_empty() { String::new() } else { format!("<div class=\"figures\">\n{figures}</div>") }
}

/// Says how many of `count` things are not among the `shown`.
pub(crate) fn more_than(count: usize, shown: usize) -> String {
    match count.saturating_sub(shown) {
        0 => String::new(),
        more => format!("<p class=\"soft\">{more} more are not shown.</p>"),
    }
}

/// A count with its digits grouped by thousands.
///
/// ```
/// assert_eq!(bindscan::report::grouped(12_345_678), "12,345,678");
/// ```
pub fn grouped(count: u64) -> String {
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

/// A count with its noun, which takes an s unless there is one.
///
/// ```
/// assert_eq!(bindscan::report::counted(1, "site"), "1 site");
/// assert_eq!(bindscan::report::counted(1200, "site"), "1,200 sites");
/// ```
pub fn counted(count: u64, noun: &str) -> String {
    format!("{} {noun}{}", grouped(count), if count == 1 { "" } else { "s" })
}

pub(crate) fn capitalized(text: &str) -> String {
    let mut letters = text.chars();
    letters.next().map_or_else(String::new, |first| first.to_uppercase().chain(letters).collect())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn digits_are_grouped_by_three() {
        let cases = [(0, "0"), (999, "999"), (1000, "1,000"), (12_345_678, "12,345,678")];
        for (count, text) in cases {
            assert_eq!(grouped(count), text);
        }
    }
}
