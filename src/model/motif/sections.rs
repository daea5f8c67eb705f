//! Formats whose motifs are a name and a table of numbers: JASPAR, HOMER, Cluster-Buster and HOCOMOCO (`>ID name`),
//! TRANSFAC, UniPROBE, CIS-BP, and tables without any name.

use super::collection::Builder;
use super::matrix::{self, Axis, Fault, Table};
use super::text::Line;
use super::{Motif, Values};

/// A motif's lines.
#[derive(Debug, Default)]
pub(super) struct Section<'a> {
    /// Number of its first line.
    line: usize,
    id: String,
    name: String,
    /// Number of sites, if stated.
    sites: Option<f64>,
    rows: Vec<Line<'a>>,
}

/// Sections that start with `>`.
pub(super) fn headed<'a>(lines: &[Line<'a>]) -> Vec<Section<'a>> {
    let mut sections: Vec<Section<'a>> = Vec::new();
    for line in lines.iter().filter(|line| !line.text.is_empty() && !line.text.starts_with('#')) {
        match (line.text.strip_prefix('>'), sections.last_mut()) {
            (Some(header), _) => sections.push(Section { line: line.number, ..header_of(header) }),
            (None, Some(section)) => section.rows.push(*line),
            (None, None) => {}
        }
    }
    sections
}

/// ID and name of `ID name`, or of HOMER's `consensus name threshold …`, between tabs.
fn header_of<'a>(header: &str) -> Section<'a> {
    let fields: Vec<&str> = header.trim().split('\t').map(str::trim).collect();
    if is_homer(&fields) {
        let id = fields[1].split_whitespace().collect::<Vec<_>>().join("_");
        // The name of the database is `factor(class)/experiment/source`.
        let name = fields[1].split(['/', ',']).next().unwrap_or_default().to_owned();
        return Section {
            name: if name == id { String::new() } else { name },
            id,
            sites: homer_sites(&fields),
            ..Section::default()
        };
    }
    let mut words = header.split_whitespace();
    let id = words.next().unwrap_or_default().to_owned();
    Section { id, name: words.collect::<Vec<_>>().join(" "), ..Section::default() }
}

/// True if the fields of a header are HOMER's: a consensus, a name and a threshold.
pub(super) fn is_homer(fields: &[&str]) -> bool {
    let [consensus, name, threshold, ..] = fields else { return false };
    let letters = consensus.bytes().all(|byte| b"ACGTUNRYSWKMBDHV".contains(&byte.to_ascii_uppercase()));
    letters && !consensus.is_empty() && !name.is_empty() && threshold.parse::<f64>().is_ok()
}

/// The sites of `T:1000.0(5.4%),B:…`, the sixth field.
fn homer_sites(fields: &[&str]) -> Option<f64> {
    let sites: f64 = fields.get(5)?.strip_prefix("T:")?.split('(').next()?.parse().ok()?;
    (sites >= 1.0 && sites.is_finite()).then_some(sites)
}

/// Sections of TRANSFAC: lines start with a key of two letters, and `//` ends a motif.
pub(super) fn transfac<'a>(lines: &[Line<'a>]) -> Vec<Section<'a>> {
    let mut sections: Vec<Section<'a>> = Vec::new();
    let mut section = Section::default();
    for line in lines {
        let key = line.first_word();
        let names = matches!(key, "AC" | "ID" | "NA" | "DE");
        if key == "//" || (names && !section.rows.is_empty()) {
            close(&mut sections, &mut section);
        }
        if section.line == 0 && (names || matrix::is_row(line)) {
            section.line = line.number;
        }
        let value = || line.rest().to_owned();
        match key {
            "AC" => section.id = value(),
            // An identifier is the name of what has an accession number.
            "ID" | "DE" if section.id.is_empty() => section.id = value(),
            "ID" if section.name.is_empty() => section.name = value(),
            "NA" => section.name = value(),
            _ if matrix::is_row(line) => section.rows.push(*line),
            _ => {}
        }
    }
    close(&mut sections, &mut section);
    sections
}

/// True if a line is TRANSFAC's: its key is one of those that a motif starts with.
pub(super) fn is_transfac(line: &Line<'_>) -> bool {
    matches!(line.first_word(), "AC" | "ID" | "VV" | "DE" | "NA" | "XX" | "PO" | "P0")
}

/// Sections of tables with lines of text above them, or none: UniPROBE, CIS-BP, bare matrices.
pub(super) fn plain<'a>(lines: &[Line<'a>]) -> Vec<Section<'a>> {
    let mut sections: Vec<Section<'a>> = Vec::new();
    let mut section = Section::default();
    for line in lines {
        let is_row = matrix::is_row(line);
        let begins = is_row && matrix::heading(line).is_some();
        if !section.rows.is_empty() && (!is_row || begins) {
            close(&mut sections, &mut section);
        }
        if line.text.is_empty() || line.text.starts_with('#') {
            continue;
        }
        if section.line == 0 {
            section.line = line.number;
        }
        match is_row {
            true => section.rows.push(*line),
            false => name(&mut section, line),
        }
    }
    close(&mut sections, &mut section);
    sections
}

/// Takes the ID or name that a line of text gives.
fn name(section: &mut Section<'_>, line: &Line<'_>) {
    if let Some(header) = line.text.strip_prefix('>') {
        let Section { id, name, sites, .. } = header_of(header);
        (section.id, section.name, section.sites) = (id, name, sites);
        return;
    }
    let in_columns = matches!(line.first_word(), "Gene" | "Motif") && line.words().count() == 2;
    let (key, value) = if in_columns { (line.first_word(), line.rest()) } else { key_and_value(line) };
    let first = value.split_whitespace().next().unwrap_or_default().to_owned();
    match key.trim() {
        "Motif" => section.id = first,
        "TF Name" => section.name = value.trim().to_owned(),
        "Gene" | "Protein" if section.id.is_empty() => section.id = first,
        "TF" | "Family" | "Species" | "Gene" | "Protein" => {}
        _ if section.id.is_empty() => {
            section.id = line.first_word().to_owned();
            section.name = line.rest().to_owned();
        }
        _ => {}
    }
}

/// Key and value of a line with a tab or a colon between them.
fn key_and_value<'a>(line: &Line<'a>) -> (&'a str, &'a str) {
    line.text.split_once(['\t', ':']).unwrap_or(("", line.text))
}

fn close<'a>(sections: &mut Vec<Section<'a>>, section: &mut Section<'a>) {
    let done = std::mem::take(section);
    if done.line > 0 {
        sections.push(done);
    }
}

/// Makes motifs of sections; those without an ID are called `unnamed`, numbered if there are several.
pub(super) fn build(sections: Vec<Section<'_>>, unnamed: &str, builder: &mut Builder) {
    let several = sections.iter().filter(|section| section.id.is_empty()).count() > 1;
    let tables: Vec<Result<Table, Fault>> = sections.iter().map(Section::table).collect();
    let of_file = common_axis(&tables);
    for (rank, (mut section, table)) in sections.into_iter().zip(tables).enumerate() {
        if section.id.is_empty() {
            section.id = if several { format!("{unnamed}_{}", rank + 1) } else { unnamed.to_owned() };
        }
        let line = section.line;
        let id = section.id.split_whitespace().collect::<Vec<_>>().join("_");
        let values = table.and_then(|table| Ok((table.rna, table.values(of_file)?)));
        builder.add(line, &id.clone(), values.map(|(rna, values)| section.motif(id, rna, values)));
    }
}

/// Orientation on which all decidable matrices of a file agree; `None` if they disagree or none is decidable.
fn common_axis(tables: &[Result<Table, Fault>]) -> Option<Axis> {
    let mut axes = tables.iter().flatten().filter_map(Table::axis);
    let first = axes.next()?;
    axes.all(|axis| axis == first).then_some(first)
}

impl Section<'_> {
    fn table(&self) -> Result<Table, Fault> {
        if self.rows.is_empty() {
            return Err(Fault::new(self.line, "no matrix"));
        }
        Table::read(&self.rows)
    }

    fn motif(self, id: String, rna: bool, values: Values) -> Motif {
        let Values { mut counts, scores } = values;
        if let Some(sites) = self.sites {
            for counts in &mut counts {
                let sum: f64 = counts.iter().sum();
                *counts = counts.map(|count| count / sum * sites);
            }
        }
        Motif { id, name: self.name, counts, scores, rna, ..Motif::default() }
    }

    /// True if the rows are positions by their number and length.
    pub(super) fn has_position_rows(&self) -> bool {
        self.table().is_ok_and(|table| table.axis() == Some(Axis::Positions))
    }

    /// True if the first row is a sequence.
    pub(super) fn is_sites(&self) -> bool {
        self.rows.first().is_some_and(|row| super::sites::is_sequence(row.text))
    }

    /// The ID in the header, and the sequence below it.
    pub(super) fn site(&self) -> (&str, &str, String, usize) {
        (&self.id, &self.name, self.rows.iter().map(|row| row.text).collect(), self.line)
    }
}
