//! The contigs of calls among those of the genome.

use std::collections::HashMap;
use std::sync::Arc;

use crate::genome::random_access::Lookup;
use crate::seq::contig::Contig;

/// Finds the contigs of calls in a genome, by their own names or by those of another naming scheme.
pub(crate) struct Contigs<'a> {
    genome: &'a Lookup,
    /// Lengths in the header of the calls.
    lengths: HashMap<Vec<u8>, u64>,
}

impl<'a> Contigs<'a> {
    /// The contigs of calls with this header.
    pub(crate) fn new(genome: &'a Lookup, header: &[u8]) -> Contigs<'a> {
        let lines = header.split(|&byte| byte == b'\n');
        Contigs { genome, lengths: lines.filter_map(declared).collect() }
    }

    /// The contig that the calls call `name`. Another name counts only if the header tells of no other length.
    pub(crate) fn find(&self, name: &[u8]) -> Option<&'a Arc<Contig>> {
        let alias = || self.genome.alias(name).filter(|contig| !self.differs(name, contig));
        self.genome.find(name).or_else(alias)
    }

    fn differs(&self, name: &[u8], contig: &Contig) -> bool {
        self.lengths.get(name).is_some_and(|&length| contig.length != Some(length))
    }

    /// Contigs to which the header gives another length than the genome does, in words.
    pub(crate) fn other_lengths(&self) -> Vec<String> {
        let names = self.lengths.iter();
        let mut other: Vec<String> = names
            .filter_map(|(name, length)| {
                let contig = self.genome.find(name).or_else(|| self.genome.alias(name))?;
                let own = contig.length.filter(|own| own != length)?;
                Some(format!("{} ({length} bases, {own} in the genome)", String::from_utf8_lossy(name)))
            })
            .collect();
        other.sort_unstable();
        other
    }
}

/// Name and length of a contig that a line of a header defines.
fn declared(line: &[u8]) -> Option<(Vec<u8>, u64)> {
    let inner = line.trim_ascii_end().strip_prefix(b"##contig=<")?.strip_suffix(b">")?;
    let value = |key: &[u8]| inner.split(|&byte| byte == b',').find_map(|entry| entry.strip_prefix(key));
    let length = std::str::from_utf8(value(b"length=")?).ok()?.parse().ok()?;
    Some((value(b"ID=")?.to_vec(), length))
}
