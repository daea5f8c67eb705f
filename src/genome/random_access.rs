//! A genome whose bases are looked up, in any order, by several threads.

use std::collections::HashMap;
use std::ops::Range;
use std::path::Path;
use std::sync::{Arc, Mutex, PoisonError};

use crate::genome;
use crate::genome::alias::{AliasTable, Aliases};
use crate::genome::regions::{Selection, suggestion};
use crate::genome::{ContigReader, GenomeOptions};
use crate::seq::contig::{Contig, RegionQuery};
use crate::{Error, Result};

/// Look-ups after which pages of a mapped file are handed back, so that the process does not look as large as the
/// genome. One look-up may make 16 pages resident.
const KEPT: u32 = 1024;

/// A genome in random access.
///
/// FASTA that is not compressed and 2bit are mapped. A compressed FASTA is held in memory, a byte a base; so are contigs
/// whose lines are not of one length.
///
/// ```
/// # let directory = tempfile::tempdir()?;
/// # let path = directory.path().join("genome.fa");
/// # std::fs::write(&path, ">chr1\nACGT\nNNAC\n")?;
/// use bindscan::genome::random_access::Lookup;
///
/// let genome = Lookup::open(&path, false)?;
/// let chr1 = genome.find(b"chr1").unwrap();
/// let mut codes = Vec::new();
/// genome.fetch(chr1, 2..7, &mut codes)?;
/// assert_eq!(codes, [2, 3, 4, 4, 0]);
/// # Ok::<(), Box<dyn std::error::Error>>(())
/// ```
#[derive(Debug)]
pub struct Lookup {
    contigs: Vec<Arc<Contig>>,
    by_name: HashMap<Vec<u8>, usize>,
    aliases: Aliases,
    /// Further names that a file lists.
    listed: AliasTable,
    mapped: Mutex<Mapped>,
    /// Codes of contigs that cannot be reached by arithmetic.
    held: Vec<Option<Vec<u8>>>,
}

#[derive(Debug)]
struct Mapped {
    reader: Box<dyn ContigReader>,
    /// Look-ups since pages were handed back.
    lookups: u32,
}

impl Lookup {
    /// Opens a genome; with `mask_lowercase`, lower-case (soft-masked) letters are N.
    ///
    /// # Errors
    /// As [`genome::open`]; standard input.
    pub fn open(path: &Path, mask_lowercase: bool) -> Result<Lookup> {
        if path == Path::new("-") {
            let message = "the genome is read in any order: give a file, not standard input";
            return Err(Error::Request(message.into()));
        }
        let options = GenomeOptions { mask_lowercase, regions: Vec::new() };
        let mut reader = genome::open(path, &options)?.into_reader();
        let mut held = Vec::new();
        if reader.is_indexed() {
            held.resize(reader.contigs().len(), None);
            for contig in (0..held.len()).filter(|&contig| !reader.is_regular(contig)).collect::<Vec<_>>() {
                let mut codes = Vec::new();
                reader.go_to(contig);
                reader.next_contig()?;
                reader.read(u64::MAX, &mut codes)?;
                held[contig] = Some(codes);
            }
        } else {
            log::info!(
                "{}: is held in memory; 2bit, or FASTA that is not compressed, is mapped",
                path.display()
            );
            while reader.next_contig()?.is_some() {
                let mut codes = Vec::new();
                reader.read(u64::MAX, &mut codes)?;
                held.push(Some(codes));
            }
        }
        let contigs = reader.contigs().to_vec();
        let by_name = contigs.iter().map(|contig| (contig.name.clone().into_bytes(), contig.id)).collect();
        let aliases = Aliases::from_contigs(&contigs);
        let mapped = Mutex::new(Mapped { reader, lookups: 0 });
        Ok(Lookup { contigs, by_name, aliases, listed: AliasTable::default(), mapped, held })
    }

    /// Takes further names of contigs from a table.
    ///
    /// # Errors
    /// As [`AliasTable::check`].
    pub fn with_aliases(self, listed: AliasTable) -> Result<Lookup> {
        listed.check(&self.contigs)?;
        Ok(Lookup { listed, ..self })
    }

    /// All contigs, with their lengths.
    pub fn contigs(&self) -> &[Arc<Contig>] {
        &self.contigs
    }

    /// The contig of this name.
    pub fn find(&self, name: &[u8]) -> Option<&Arc<Contig>> {
        self.by_name.get(name).map(|&id| &self.contigs[id])
    }

    /// The contig that has this name in the [table of names](Lookup::with_aliases), or the only one that another naming scheme
    /// calls so: `chr1` for `1`, `chrM` for `MT`, and the other way round.
    pub fn alias(&self, name: &[u8]) -> Option<&Arc<Contig>> {
        let name = std::str::from_utf8(name).ok()?;
        let listed = self.listed.names(name).iter().find_map(|other| self.find(other.as_bytes()));
        listed.or_else(|| Some(&self.contigs[self.aliases.find(name)?]))
    }

    /// A hint for a name that is not among the contigs: names close to it, or the first few.
    pub fn suggestion(&self, name: &str) -> String {
        suggestion(name, &self.contigs)
    }

    /// Appends the codes of `stretch` (0-based, half-open, within the contig) to `out`.
    ///
    /// # Errors
    /// Letters that are no nucleotides; a damaged file.
    ///
    /// # Panics
    /// If `stretch` reaches past the contig's end.
    pub fn fetch(&self, contig: &Contig, stretch: Range<u64>, out: &mut Vec<u8>) -> Result<()> {
        assert!(stretch.end <= contig.length.unwrap_or(0));
        if let Some(codes) = &self.held[contig.id] {
            out.extend_from_slice(&codes[stretch.start as usize..stretch.end as usize]);
            return Ok(());
        }
        // If another thread panicked while it held the lock, the reader is still good: it seeks before each read.
        let mut mapped = self.mapped.lock().unwrap_or_else(PoisonError::into_inner);
        let Mapped { reader, lookups } = &mut *mapped;
        *lookups += 1;
        if *lookups == KEPT {
            reader.release();
            *lookups = 0;
        }
        reader.go_to(contig.id);
        reader.next_contig()?;
        reader.skip_to(stretch.start)?;
        reader.read(stretch.end - stretch.start, out)?;
        Ok(())
    }

    /// The stretches that `regions` ask for: a list for each contig, sorted, merged where they overlap or touch.
    ///
    /// # Errors
    /// A region that means no contig, or runs past its end.
    pub fn select(&self, regions: &[RegionQuery]) -> Result<Vec<Vec<Range<u64>>>> {
        let mut regions = regions.to_vec();
        self.listed.name_regions(&mut regions);
        let mut selection = Selection::new(regions);
        selection.resolve(&self.contigs)?;
        let of_contig = |contig: &Arc<Contig>| {
            let length = contig.length.unwrap_or(0);
            let segments = selection.take(contig)?.into_iter();
            Ok(segments.map(|segment| segment.start..segment.end.min(length)).collect())
        };
        self.contigs.iter().map(of_contig).collect()
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    fn genome(text: &[u8], mask: bool) -> (tempfile::TempDir, Lookup) {
        let directory = tempfile::tempdir().unwrap();
        let path = directory.path().join("g.fa");
        std::fs::write(&path, text).unwrap();
        let genome = Lookup::open(&path, mask).unwrap();
        (directory, genome)
    }

    proptest! {
        /// Lines of one length, of any lengths, ended either way, and compressed: the same bases.
        #[test]
        fn any_layout_gives_the_bases(
            letters in "[ACGTNacgt]{1,200}", width in 1usize..30, crlf: bool, mask: bool, ragged: bool,
            cuts in prop::collection::vec(any::<(prop::sample::Index, prop::sample::Index)>(), 1..6),
        ) {
            let end = if crlf { "\r\n" } else { "\n" };
            let mut text = format!(">a{end}GG{end}>b x{end}");
            if ragged {
                text += &format!("{}{end}", &letters[..1]);
            }
            for line in letters.as_bytes()[usize::from(ragged)..].chunks(width) {
                text += &format!("{}{end}", std::str::from_utf8(line).unwrap());
            }
            text += &format!(">c{end}TT{end}");
            let table = if mask { &crate::seq::alphabet::CODE_OF_ASCII_MASKED } else { &crate::seq::alphabet::CODE_OF_ASCII };
            let want: Vec<u8> = letters.bytes().map(|letter| table[usize::from(letter)]).collect();
            let mut gzip = flate2::write::GzEncoder::new(Vec::new(), flate2::Compression::fast());
            std::io::Write::write_all(&mut gzip, text.as_bytes()).unwrap();
            for bytes in [text.into_bytes(), gzip.finish().unwrap()] {
                let (_directory, genome) = genome(&bytes, mask);
                let b = genome.find(b"b").unwrap();
                prop_assert_eq!(b.length, Some(want.len() as u64));
                for (from, to) in &cuts {
                    let (from, to) = (from.index(want.len() + 1), to.index(want.len() + 1));
                    let (from, to) = (from.min(to), from.max(to));
                    let mut codes = vec![9];
                    genome.fetch(b, from as u64..to as u64, &mut codes).unwrap();
                    prop_assert_eq!(&codes[1..], &want[from..to]);
                }
            }
        }
    }

    #[test]
    fn what_is_no_base_is_named() {
        let (_directory, genome) = genome(b">a\nACGT\nAC!T\n", false);
        let a = genome.find(b"a").unwrap();
        let error = genome.fetch(a, 2..8, &mut Vec::new()).unwrap_err().to_string();
        assert!(error.contains("line 3: '!' is not a nucleotide letter (base 7 of a)"), "{error}");
        assert_eq!(genome.alias(b"chrA").unwrap().name, "a");
        assert!(genome.alias(b"b").is_none());
    }

    #[test]
    fn pages_that_were_handed_back_come_again() {
        let letters = b"ACGT".repeat(50_000);
        let (_directory, genome) = genome(&[b">a\n", &*letters, b"\n"].concat(), false);
        let a = genome.find(b"a").unwrap();
        for i in 0..3 * u64::from(KEPT) {
            let (mut codes, start) = (Vec::new(), i * 7919 % 199_990);
            genome.fetch(a, start..start + 5, &mut codes).unwrap();
            assert_eq!(codes, (start..start + 5).map(|at| (at % 4) as u8).collect::<Vec<_>>());
        }
    }
}
