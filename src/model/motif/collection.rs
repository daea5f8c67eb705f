//! The motifs of a file, with those that cannot be used, and the choice of some of them.

use std::collections::HashSet;
use std::fmt;
use std::path::{Path, PathBuf};

use super::Motif;
use super::matrix::Fault;
use crate::error::listed;
use crate::model::name;
use crate::{Error, Result};

/// Most motifs that a message names.
const NAMED: usize = 8;

/// Format of a motif file.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
#[non_exhaustive]
pub enum Format {
    /// MEME text: full, minimal, of DREME or STREME.
    Meme,
    /// `>ID name` and a row for each base.
    Jaspar,
    /// `>consensus name threshold` and a row for each position.
    Homer,
    /// `>ID` and a row for each position, as in Cluster-Buster's and HOCOMOCO's files.
    PositionRows,
    /// Lines with keys of two letters.
    Transfac,
    /// A line of text and a table, or a table alone: UniPROBE, CIS-BP, bare matrices.
    Table,
    /// Aligned sites, FASTA.
    Sites,
}

impl fmt::Display for Format {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Format::Meme => "MEME",
            Format::Jaspar => "JASPAR",
            Format::Homer => "HOMER",
            Format::PositionRows => "rows of positions",
            Format::Transfac => "TRANSFAC",
            Format::Table => "tables",
            Format::Sites => "aligned sites",
        })
    }
}

/// The motifs of a file.
#[derive(Debug, Clone, PartialEq)]
pub struct Collection {
    /// The file.
    pub path: PathBuf,
    /// Its format.
    pub format: Format,
    /// Motifs in the order of the file. No two have the same ID.
    pub motifs: Vec<Motif>,
    /// Motifs that cannot be used.
    pub unusable: Vec<Unusable>,
    /// Motifs whose ID a motif before them has.
    pub renamed: Vec<Renamed>,
}

/// A motif that cannot be used.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Unusable {
    /// Its ID.
    pub id: String,
    /// The line where the fault shows.
    pub line: usize,
    /// The fault.
    pub reason: String,
}

/// A motif whose ID a motif before it has.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Renamed {
    /// Its ID in the file.
    pub given: String,
    /// Its ID here.
    pub id: String,
    /// Line of its first row or header.
    pub line: usize,
}

/// Collects motifs as a reader finds them.
#[derive(Debug, Default)]
pub(super) struct Builder {
    motifs: Vec<(usize, Motif)>,
    unusable: Vec<Unusable>,
}

impl Builder {
    /// Adds a motif that begins at a line, or the fault that it has.
    pub(super) fn add(&mut self, line: usize, id: &str, motif: Result<Motif, Fault>) {
        match motif {
            Ok(motif) => self.motifs.push((line, motif)),
            Err(fault) => {
                let line = if fault.line == 0 { line } else { fault.line };
                self.unusable.push(Unusable { id: id.to_owned(), line, reason: fault.reason });
            }
        }
    }

    /// Tells motifs of the same ID apart. A file without a motif that can be used is an error.
    pub(super) fn finish(self, path: &Path, format: Format) -> Result<Collection> {
        let Builder { mut motifs, mut unusable } = self;
        for (_, motif) in &mut motifs {
            motif.id = name::clean(&motif.id);
            // Names may have blanks, and may be missing.
            motif.name = motif.name.split_whitespace().map(name::clean).collect::<Vec<_>>().join(" ");
        }
        unusable.iter_mut().for_each(|bad| bad.id = name::clean(&bad.id));
        let mut taken: HashSet<String> = motifs.iter().map(|(_, motif)| motif.id.clone()).collect();
        let mut seen: HashSet<String> = HashSet::new();
        let mut renamed = Vec::new();
        let mut told_apart = Vec::with_capacity(motifs.len());
        for (line, mut motif) in motifs {
            if !seen.insert(motif.id.clone()) {
                let id = (2..).map(|rank| format!("{}.{rank}", motif.id)).find(|id| !taken.contains(id));
                let id = id.unwrap_or_default();
                taken.insert(id.clone());
                renamed.push(Renamed { given: std::mem::replace(&mut motif.id, id.clone()), id, line });
            }
            told_apart.push(motif);
        }
        let collection =
            Collection { path: path.to_path_buf(), format, motifs: told_apart, unusable, renamed };
        match (collection.motifs.is_empty(), collection.unusable.is_empty()) {
            (true, true) => Err(Error::format(path, None, "it holds no motif")),
            (true, false) => {
                Err(collection.strict().err().unwrap_or(Error::format(path, None, "it holds no motif")))
            }
            _ => Ok(collection),
        }
    }
}

impl Collection {
    /// The collection if all of its motifs can be used.
    ///
    /// # Errors
    /// A motif that cannot be used: the first one, and how many more there are.
    pub fn strict(self) -> Result<Collection> {
        let Some(Unusable { id, line, reason }) = self.unusable.first() else { return Ok(self) };
        let more = match self.unusable.len() - 1 {
            0 => String::new(),
            1 => "; 1 more motif cannot be used".to_owned(),
            more => format!("; {more} more motifs cannot be used"),
        };
        Err(Error::format(&self.path, *line as u64, format!("motif {id} cannot be used: {reason}{more}")))
    }

    /// Sentences on the motifs that cannot be used and on those with a new ID, one line each.
    pub fn notes(&self) -> Vec<String> {
        let mut notes = Vec::new();
        let path = self.path.display();
        if !self.unusable.is_empty() {
            let all = self.motifs.len() + self.unusable.len();
            let each =
                self.unusable.iter().map(|bad| format!("{} (line {}: {})", bad.id, bad.line, bad.reason));
            let count = self.unusable.len();
            notes.push(format!("{path}: {count} of {all} motifs cannot be used: {}", listed(each, NAMED)));
        }
        if !self.renamed.is_empty() {
            let each = self.renamed.iter().map(|motif| format!("{} (line {})", motif.id, motif.line));
            let count = self.renamed.len();
            let motifs = if count == 1 { "motif has an ID" } else { "motifs have IDs" };
            notes.push(format!(
                "{path}: {count} {motifs} that others have, and new ones here: {}",
                listed(each, NAMED)
            ));
        }
        notes
    }

    /// Keeps the motifs that some of `patterns` name, by ID, name or glob (`*` for any characters, `?` for one); all of
    /// them if there are no patterns.
    ///
    /// # Errors
    /// A pattern that names no motif.
    pub fn choose(mut self, patterns: &[String]) -> Result<Collection> {
        if patterns.is_empty() {
            return Ok(self);
        }
        let mut wanted = vec![false; self.motifs.len()];
        for pattern in patterns {
            let exact = self.motifs.iter().any(|motif| motif.is_called(pattern));
            let named = |motif: &Motif| {
                if exact {
                    motif.is_called(pattern)
                } else {
                    matches(pattern, &motif.id) || matches(pattern, &motif.name)
                }
            };
            let mut found = false;
            for (wanted, motif) in wanted.iter_mut().zip(&self.motifs) {
                let named = named(motif);
                found |= named;
                *wanted |= named;
            }
            if !found {
                return Err(self.lacks(pattern));
            }
        }
        let mut wanted = wanted.into_iter();
        self.motifs.retain(|_| wanted.next().unwrap_or(false));
        Ok(self)
    }

    /// The error that no motif is called so.
    fn lacks(&self, pattern: &str) -> Error {
        let message = match self.unusable.iter().find(|bad| bad.id == pattern) {
            Some(bad) => format!("motif {pattern} cannot be used: {}", bad.reason),
            None => format!("has no motif {pattern}; it has {}", self.listed_ids()),
        };
        Error::format(&self.path, None, message)
    }

    /// The first IDs, for messages.
    pub fn listed_ids(&self) -> String {
        listed(self.motifs.iter().map(|motif| motif.id.clone()), NAMED)
    }
}

/// True if a glob is of all of `text`.
fn matches(glob: &str, text: &str) -> bool {
    let (glob, text): (Vec<char>, Vec<char>) = (glob.chars().collect(), text.chars().collect());
    let (mut g, mut t) = (0, 0);
    // Where the last star stood, and what it has taken up to.
    let mut star = None;
    while t < text.len() {
        match glob.get(g) {
            Some('*') => {
                star = Some((g, t));
                g += 1;
            }
            Some(&letter) if letter == '?' || letter == text[t] => {
                g += 1;
                t += 1;
            }
            _ => {
                let Some((at, taken)) = star else { return false };
                star = Some((at, taken + 1));
                g = at + 1;
                t = taken + 1;
            }
        }
    }
    glob[g..].iter().all(|&letter| letter == '*')
}

#[cfg(test)]
mod tests {
    use super::matches;

    #[test]
    fn globs() {
        for (glob, text, expected) in [
            ("CTCF", "CTCF", true),
            ("CTCF", "CTCFL", false),
            ("CTCF*", "CTCFL", true),
            ("*CF*", "CTCFL", true),
            ("MA0139.?", "MA0139.1", true),
            ("MA0139.?", "MA0139.10", false),
            ("*a*b", "xaxaxb", true),
            ("*a*b", "xaxaxbx", false),
            ("*", "", true),
            ("?", "", false),
        ] {
            assert_eq!(matches(glob, text), expected, "{glob} {text}");
        }
    }
}
