//! The sheet of a network's filters: one web page that needs nothing else.

use std::fmt::Write;

use crate::model::Alphabet;
use crate::model::motif::similarity::Match;
use crate::model::motif::{Motif, information, reverse_complement};
use crate::motifs::Learned;
use crate::report;
use crate::report::chart::significant;
use crate::report::grouped;
use crate::report::logo::Logo;
use crate::report::svg::escape;
use crate::seq::contig::Strand;

/// Everything that the page shows.
#[derive(Debug, Clone)]
pub struct FilterReport<'a> {
    /// Name of the model.
    pub model: String,
    /// Letters of the logos.
    pub alphabet: Alphabet,
    /// Each filter, in the order of the layer.
    pub filters: Vec<FilterEntry<'a>>,
    /// Motif database with which the filters were compared.
    pub database: Option<ComparedWith<'a>>,
    /// Settings of the run: names and values.
    pub facts: Vec<(String, String)>,
    /// Warnings, one sentence each.
    pub notes: Vec<String>,
}

/// A filter, its motif unless it is dead, and the targets that it matches, the best first.
#[derive(Debug, Clone)]
pub struct FilterEntry<'a> {
    /// Motif that it has learned.
    pub learned: &'a Learned,
    /// Its trimmed motif.
    pub motif: Option<&'a Motif>,
    /// Matches within the limit.
    pub matches: Vec<Match>,
}

/// A database of motifs.
#[derive(Debug, Clone, Copy)]
pub struct ComparedWith<'a> {
    /// Name of the file.
    pub name: &'a str,
    /// Its motifs.
    pub targets: &'a [Motif],
    /// Highest E-value of a match.
    pub highest_e: f64,
}

/// Matches that a filter has in the table.
const LISTED: usize = 3;

impl FilterReport<'_> {
    /// The page. Filters with a match come first, the best first, the others by information.
    pub fn to_html(&self) -> String {
        let mut shown: Vec<&FilterEntry<'_>> =
            self.filters.iter().filter(|entry| entry.motif.is_some()).collect();
        let best = |entry: &FilterEntry<'_>| entry.matches.first().map_or(f64::INFINITY, |found| found.e);
        let bits = |entry: &FilterEntry<'_>| entry.motif.map_or(0.0, total);
        shown.sort_by(|a, b| {
            let by_rank = a.learned.filter.cmp(&b.learned.filter);
            best(a).total_cmp(&best(b)).then(bits(b).total_cmp(&bits(a))).then(by_rank)
        });
        let title = format!("Filters of {}", self.model);
        let header = format!("<h1>{}</h1>\n{}", escape(&title), self.heads(shown.len()));
        let logos: String = shown.iter().map(|entry| self.figure(entry)).collect();
        let sheet = if logos.is_empty() {
            "<p>No filter is activated by any of the sequences.</p>".to_owned()
        } else {
            format!("<div class=\"figures logos\">\n{logos}</div>")
        };
        let sections = [
            ("What the filters have learned", sheet),
            ("Matches", self.matches(&shown)),
            ("What was run", report::facts(&self.facts) + &report::notes(&self.notes)),
        ];
        report::page(&format!("{title}: motifs"), &header, &sections)
    }

    fn heads(&self, alive: usize) -> String {
        let dead = self.filters.len() - alive;
        let mut entries = vec![
            (grouped(self.filters.len() as u64), "filters".to_owned()),
            (grouped(dead as u64), "dead: no sequence activates them".to_owned()),
        ];
        if let Some(database) = self.database {
            let matching = self.filters.iter().filter(|entry| !entry.matches.is_empty()).count();
            let words = format!("match a motif of {} (E ≤ {})", database.name, database.highest_e);
            entries.push((grouped(matching as u64), words));
        }
        let item = |(number, words): &(String, String)| {
            format!("<li><b>{number}</b><span>{}</span></li>\n", escape(words))
        };
        format!("<ul class=\"heads\">\n{}</ul>\n", entries.iter().map(item).collect::<String>())
    }

    /// The logo of a filter, and below it that of its best match, column under column.
    fn figure(&self, entry: &FilterEntry<'_>) -> String {
        let Some(motif) = entry.motif else { return String::new() };
        let (filter, sites) = (entry.learned.filter, grouped(entry.learned.sites));
        let mut caption = format!("{sites} sites, {} bits", significant(total(motif)));
        let best = entry.matches.first().zip(self.database);
        let Some((found, database)) = best else {
            let logo = Logo::from_counts(&motif.counts, self.alphabet).to_svg(&format!("filter {filter}"));
            return figure(&format!("Filter {filter}"), &logo, &caption);
        };
        let target = &database.targets[found.target];
        let (upper, lower) = aligned(motif, target, found);
        let name = format!("{} {}", target.id, target.name);
        let turned = if found.strand == Strand::Reverse { ", turned round" } else { "" };
        let _ = write!(caption, "; below {}{turned}, E = {}", name.trim_end(), significant(found.e));
        let logos = Logo::from_counts(&upper, self.alphabet).to_svg(&format!("filter {filter}"))
            + &Logo::from_counts(&lower, self.alphabet).to_svg(&name);
        figure(&format!("Filter {filter}"), &logos, &caption)
    }

    fn matches(&self, shown: &[&FilterEntry<'_>]) -> String {
        let Some(database) = self.database else { return String::new() };
        let mut rows = String::new();
        for entry in shown {
            for found in entry.matches.iter().take(LISTED) {
                let target = &database.targets[found.target];
                let _ = writeln!(
                    rows,
                    "<tr><th scope=\"row\">{}</th><td>{}</td><td>{}</td><td>{}</td><td>{}</td><td>{}</td>\
                     <td>{}</td><td>{}</td></tr>",
                    entry.learned.filter,
                    escape(&target.id),
                    escape(&target.name),
                    significant(found.p),
                    significant(found.e),
                    significant(found.q),
                    found.overlap,
                    found.strand
                );
            }
        }
        if rows.is_empty() {
            return format!("<p>No filter matches a motif with E ≤ {}.</p>", database.highest_e);
        }
        let heads = ["Filter", "Target", "Name", "p-value", "E-value", "q-value", "Overlap", "Strand"];
        let heads: String = heads.map(|head| format!("<th scope=\"col\">{head}</th>")).concat();
        format!(
            "<div class=\"scroll tall\"><table>\n<thead><tr>{heads}</tr></thead>\n<tbody>\n{rows}</tbody>\n</table></div>\n\
             <p class=\"soft\">At most {LISTED} matches a filter.</p>"
        )
    }
}

fn figure(heading: &str, logos: &str, caption: &str) -> String {
    format!("<figure><h3>{heading}</h3>{logos}<figcaption>{}</figcaption></figure>\n", escape(caption))
}

/// Information in bits of all columns.
fn total(motif: &Motif) -> f64 {
    motif.counts.iter().map(information).sum()
}

/// The columns of a motif and of a target that it matches, with empty columns where only the other has one.
fn aligned(motif: &Motif, target: &Motif, found: &Match) -> (Vec<[f64; 4]>, Vec<[f64; 4]>) {
    let target = match found.strand {
        Strand::Forward => target.counts.clone(),
        Strand::Reverse => reverse_complement(&target.counts),
    };
    let before = |columns: i64| vec![[0.0; 4]; usize::try_from(columns).unwrap_or(0)];
    let (mut upper, mut lower) = (before(found.offset), before(-found.offset));
    upper.extend_from_slice(&motif.counts);
    lower.extend(target);
    let columns = upper.len().max(lower.len());
    upper.resize(columns, [0.0; 4]);
    lower.resize(columns, [0.0; 4]);
    (upper, lower)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn logos_stand_column_under_column() {
        let motif =
            |counts: &[[f64; 4]]| Motif { id: "x".into(), counts: counts.to_vec(), ..Motif::default() };
        let (a, c, g, t) = ([1., 0., 0., 0.], [0., 1., 0., 0.], [0., 0., 1., 0.], [0., 0., 0., 1.]);
        let none = [0.0; 4];
        let found =
            Match { target: 0, offset: 2, overlap: 1, strand: Strand::Reverse, p: 0.0, e: 0.0, q: 0.0 };
        let (upper, lower) = aligned(&motif(&[c, g]), &motif(&[g, a, c]), &found);
        assert_eq!((upper, lower), (vec![none, none, c, g], vec![g, t, c, none]));
        let found = Match { offset: -1, strand: Strand::Forward, ..found };
        let (upper, lower) = aligned(&motif(&[c, g]), &motif(&[g]), &found);
        assert_eq!((upper, lower), (vec![c, g], vec![none, g]));
    }
}
