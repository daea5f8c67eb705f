//! The page of an enrichment: logos of the most significant motifs, and the table.

use std::fmt::Write;

use super::Enrichment;
use crate::model::Model;
use crate::report;
use crate::report::chart::significant;
use crate::report::grouped;
use crate::report::logo::Logo;
use crate::report::svg::escape;

/// Motifs with a logo, and rows of the table.
const LOGOS: usize = 24;
const ROWS: usize = 500;

/// Everything that the page shows.
#[derive(Debug, Clone)]
pub struct EnrichmentReport<'a> {
    /// Name of the regions: that of their file.
    pub regions: String,
    /// The tests, the most significant first.
    pub tested: &'a [Enrichment],
    /// Name, other name, and logo of each model, by rank.
    pub models: &'a [Shown],
    /// Highest q-value that counts as significant.
    pub rate: f64,
    /// Settings of the run: names and values.
    pub facts: Vec<(String, String)>,
    /// Warnings, one sentence each.
    pub notes: Vec<String>,
}

/// A model as the page shows it.
#[derive(Debug, Clone)]
pub struct Shown {
    /// Its name.
    pub name: String,
    /// Its other name; empty if there is none.
    pub alias: String,
    /// Its logo, if it is a matrix.
    pub logo: Option<Logo>,
}

impl Shown {
    fn title(&self) -> String {
        if self.alias.is_empty() { self.name.clone() } else { format!("{} {}", self.name, self.alias) }
    }
}

/// The logo of a model that is a matrix: of the frequencies that its log-odds are of, with the background that its
/// provenance states (or a uniform one).
pub fn logo(model: &Model) -> Option<Logo> {
    let network = model.network.as_ref().ok()?;
    let width = network.filter_length;
    if !network.is_matrix(width) || network.hidden.is_some() {
        return None;
    }
    let stated = model.spec.provenance.get("background").and_then(serde_json::Value::as_array);
    let background = |base: usize| {
        let stated = stated.and_then(|values| values.get(base)).and_then(serde_json::Value::as_f64);
        stated.unwrap_or(0.25)
    };
    Some(Logo::from_log_odds(network, std::array::from_fn(background), model.spec.alphabet))
}

impl EnrichmentReport<'_> {
    /// The page.
    pub fn to_html(&self) -> String {
        let title = format!("Motifs enriched in {}", self.regions);
        let significant: Vec<&Enrichment> =
            self.tested.iter().filter(|tested| tested.q <= self.rate).collect();
        let header = format!("<h1>{}</h1>\n{}", escape(&title), self.heads(significant.len()));
        let logos: String = significant.iter().take(LOGOS).map(|tested| self.figure(tested)).collect();
        let logos = if logos.is_empty() {
            format!("<p>No model is enriched at a q-value of {} or less.</p>", self.rate)
        } else {
            let more = report::more_than(significant.len(), LOGOS);
            format!("<div class=\"figures logos\">\n{logos}</div>{more}")
        };
        let sections = [
            ("Enriched motifs", logos),
            ("All models", self.table()),
            ("What was run", report::facts(&self.facts) + &report::notes(&self.notes)),
        ];
        report::page(&title, &header, &sections)
    }

    fn heads(&self, enriched: usize) -> String {
        let largest = |of: fn(&Enrichment) -> u64| self.tested.iter().map(of).max().unwrap_or(0);
        let entries = [
            (enriched as u64, format!("models enriched (q ≤ {})", self.rate)),
            (self.tested.len() as u64, "models tested".to_owned()),
            (largest(|tested| tested.foreground.regions), "regions".to_owned()),
            (largest(|tested| tested.background.regions), "background regions".to_owned()),
        ];
        let item = |(number, words): &(u64, String)| {
            format!("<li><b>{}</b><span>{}</span></li>\n", grouped(*number), escape(words))
        };
        format!("<ul class=\"heads\">\n{}</ul>\n", entries.iter().map(item).collect::<String>())
    }

    fn figure(&self, tested: &Enrichment) -> String {
        let shown = &self.models[tested.target];
        let logo = shown.logo.as_ref().map_or_else(String::new, |logo| logo.to_svg(&shown.title()));
        let caption = format!(
            "in {} of the regions, {} of the background; p = {}, q = {}",
            percent(tested.foreground.share()),
            percent(tested.background.share()),
            significant(tested.p),
            significant(tested.q)
        );
        format!(
            "<figure><h3>{}</h3>{logo}<figcaption>{caption}</figcaption></figure>\n",
            escape(&shown.title())
        )
    }

    fn table(&self) -> String {
        let heads = [
            "Model",
            "Name",
            "Regions with a site",
            "%",
            "Background with a site",
            "%",
            "Fold",
            "p-value",
            "q-value",
        ];
        let heads: String = heads.map(|head| format!("<th scope=\"col\">{head}</th>")).concat();
        let mut rows = String::new();
        for tested in self.tested.iter().take(ROWS) {
            let shown = &self.models[tested.target];
            let _ = writeln!(
                rows,
                "<tr><th scope=\"row\">{}</th><td>{}</td><td>{}</td><td>{:.1}</td><td>{}</td><td>{:.1}</td><td>{}</td>\
                 <td>{}</td><td>{}</td></tr>",
                escape(&shown.name),
                escape(&shown.alias),
                grouped(tested.foreground.hits),
                100.0 * tested.foreground.share(),
                grouped(tested.background.hits),
                100.0 * tested.background.share(),
                significant(tested.fold()),
                significant(tested.p),
                significant(tested.q)
            );
        }
        format!(
            "<div class=\"scroll tall\"><table>\n<thead><tr>{heads}</tr></thead>\n<tbody>\n{rows}</tbody>\n</table></div>\n{}",
            report::more_than(self.tested.len(), ROWS)
        )
    }
}

fn percent(share: f64) -> String {
    format!("{:.1}%", 100.0 * share)
}
