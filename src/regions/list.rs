//! Regions as a file lists them, found in a genome.

use std::collections::BTreeMap;
use std::io::BufRead;
use std::path::Path;

use crate::genome::random_access::Lookup;
use crate::genome::regions::{BadRegions, Flaw, RegionLines, name_of_line, renaming};
use crate::io::input::Input;
use crate::seq::contig::Contig;
use crate::{Error, Result};

/// A region of a genome.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Region {
    /// Rank of its contig.
    pub contig: usize,
    /// First base, 0-based.
    pub start: u64,
    /// One past the last base.
    pub end: u64,
    /// Its name in the file (BED's fourth column); empty if it has none.
    pub name: Box<str>,
}

/// The regions of a file, in its order.
#[derive(Debug, Clone, Default)]
pub struct RegionList {
    /// The regions. Any may overlap others.
    pub regions: Vec<Region>,
    /// Contigs that the genome has under another name: the name in the file, and the genome's.
    pub renamed: BTreeMap<String, String>,
}

impl RegionList {
    /// Reads regions from BED, narrowPeak or GFF, plain or gzip; `-` is standard input. A contig that the genome does not
    /// have is looked for under the other names for it, listed or agreed on by naming schemes (`1` and
    /// `chr1`). Regions that do not fit the genome are left out, or clipped at their contig's end, and counted, if
    /// `skip_bad` is set.
    ///
    /// # Errors
    /// A file that cannot be read, a line without an interval, no region that can be used; and regions that do not fit the
    /// genome, all of them counted, unless `skip_bad` is set.
    pub fn read(path: &Path, genome: &Lookup, skip_bad: bool) -> Result<RegionList> {
        let mut input = Input::open(path)?;
        let (mut list, mut bad, mut lines) =
            (RegionList::default(), BadRegions::default(), RegionLines::default());
        let (mut line, mut total) = (Vec::new(), 0);
        for number in 1.. {
            line.clear();
            let action = input.read_action();
            if input.read_until(b'\n', &mut line).map_err(Error::io(path, action))? == 0 {
                break;
            }
            let text = std::str::from_utf8(&line).map_err(|_| {
                Error::format(path, number, "this is no text; regions are given as BED or GFF")
            })?;
            let interval = lines.parse(text).map_err(|message| Error::format(path, number, message))?;
            if lines.ended {
                break;
            }
            let Some((contig, start, end)) = interval else { continue };
            total += 1;
            let place = format!("{contig} {start} {end} ({}, line {number})", path.display());
            if end <= start {
                bad.add(Flaw::Empty, || format!("{place}: it is empty"));
                continue;
            }
            let Some(found) = list.find(contig, genome) else {
                bad.add(Flaw::UnknownContig, || {
                    let hint = genome.suggestion(contig);
                    format!("{place}: there is no contig {contig} in the genome; {hint}")
                });
                continue;
            };
            let length = found.length.unwrap_or(end);
            if end > length {
                let words = format!("{place} runs past the end of {}, which has {length} bases", found.name);
                if start >= length {
                    bad.add(Flaw::PastEnd, || words);
                    continue;
                }
                bad.add_clipped(|| words);
            }
            let name = name_of_line(text).filter(|_| !lines.are_gff()).unwrap_or_default().into();
            list.regions.push(Region { contig: found.id, start, end: end.min(length), name });
        }
        if total == 0 {
            return Err(Error::format(path, None, "there is no region in it"));
        }
        bad.settle(total, "regions", skip_bad)?;
        Ok(list)
    }

    /// The contig of this name, or of another name for it, which is noted then.
    fn find<'a>(&mut self, name: &str, genome: &'a Lookup) -> Option<&'a Contig> {
        if let Some(contig) = genome.find(name.as_bytes()) {
            return Some(contig);
        }
        let contig = genome.alias(name.as_bytes())?;
        if !self.renamed.contains_key(name) {
            self.renamed.insert(name.to_owned(), contig.name.clone());
        }
        Some(contig)
    }

    /// Says which contigs have other names in the genome, if any have.
    pub fn renaming(&self) -> Option<String> {
        renaming(&self.renamed, "regions")
    }
}
