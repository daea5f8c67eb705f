//! Contigs of peaks and of a genome that is read once, whose names may follow different schemes.

use std::collections::{BTreeMap, HashMap};

use crate::genome::regions::{plain_name, renaming};
use crate::{Error, Result};

/// Finds the name that peaks have for each contig of a genome, met one after another: the same name, or the only one that
/// means the same in another naming scheme (`1` and `chr1`, `MT` and `chrM`).
pub(super) struct ContigNames {
    /// Names that the peaks have, by what all schemes agree on.
    by_scheme: HashMap<String, Vec<String>>,
    /// The contig of the genome that a name was found to mean.
    met: BTreeMap<String, String>,
}

impl ContigNames {
    /// For peaks on contigs of these names.
    pub(super) fn new<'a>(names: impl Iterator<Item = &'a String>) -> ContigNames {
        let mut by_scheme: HashMap<String, Vec<String>> = HashMap::new();
        for name in names {
            by_scheme.entry(plain_name(name)).or_default().push(name.clone());
        }
        ContigNames { by_scheme, met: BTreeMap::new() }
    }

    /// The name that the peaks have for the contig `name` of the genome; `None` if they have none.
    ///
    /// # Errors
    /// A name of theirs that was found to mean another contig before.
    pub(super) fn of(&mut self, name: &str) -> Result<Option<String>> {
        let candidates = self.by_scheme.get(&plain_name(name)).map_or(&[][..], Vec::as_slice);
        let own = candidates.iter().find(|other| *other == name);
        if let Some(before) = own.and_then(|own| self.met.get(own)) {
            return Err(Error::Mismatch(format!(
                "the contig {name} of the peaks is {before} or {name} of the genome: rename one of them"
            )));
        }
        let theirs = own.or(match candidates {
            [only] if !self.met.contains_key(only) => Some(only),
            _ => None,
        });
        if let Some(theirs) = theirs {
            self.met.insert(theirs.clone(), name.to_owned());
        }
        Ok(theirs.cloned())
    }

    /// True if a contig of the genome goes by this name of the peaks.
    pub(super) fn is_met(&self, theirs: &str) -> bool {
        self.met.contains_key(theirs)
    }

    /// Says which names differ.
    pub(super) fn tell(&self) {
        let differ = self.met.iter().filter(|(theirs, ours)| theirs != ours);
        let renamed: BTreeMap<String, String> =
            differ.map(|(theirs, ours)| (theirs.clone(), ours.clone())).collect();
        if let Some(words) = renaming(&renamed, "peaks") {
            log::warn!("{words}");
        }
    }
}

/// True if the contig `name` of a genome goes by the name `given`, in one scheme or another.
pub(super) fn means(given: &str, name: &str) -> bool {
    given == name || plain_name(given) == plain_name(name)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn names(all: &[&str]) -> Vec<String> {
        all.iter().map(|&name| name.to_owned()).collect()
    }

    #[test]
    fn names_of_other_schemes_are_found_and_two_are_not_confused() {
        let peaks = names(&["1", "chr2", "MT", "X", "chrX"]);
        let mut found = ContigNames::new(peaks.iter());
        for (contig, theirs) in [
            ("chr1", Some("1")),
            ("chr2", Some("chr2")),
            ("chrM", Some("MT")),
            ("chrX", Some("chrX")),
            ("3", None),
        ] {
            assert_eq!(found.of(contig).unwrap().as_deref(), theirs, "{contig}");
        }
        assert!(found.is_met("1") && !found.is_met("X"));
        // The genome has a contig of that very name, after all.
        assert!(found.of("1").unwrap_err().to_string().contains("chr1 or 1"));
        // The other way round, chr1 is another contig.
        let mut found = ContigNames::new(peaks.iter());
        assert_eq!(found.of("1").unwrap().as_deref(), Some("1"));
        assert_eq!(found.of("chr1").unwrap(), None);
    }
}
