//! Contigs that two files call by different names: `1` and `chr1`, `MT` and `chrM`.

use std::collections::HashMap;
use std::io::BufRead;
use std::path::Path;
use std::sync::Arc;

use crate::genome::regions::plain_name;
use crate::io::input::Input;
use crate::seq::contig::{Contig, RegionQuery};
use crate::{Error, Result};

/// Contigs by what naming schemes agree on: the name without case and the prefix `chr`, M for the mitochondrion.
#[derive(Debug, Clone, Default)]
pub struct Aliases {
    /// The rank of a contig; `None` of a name that fits several.
    ranks: HashMap<String, Option<usize>>,
}

impl Aliases {
    /// The other names of `contigs`.
    ///
    /// ```
    /// use std::sync::Arc;
    /// use bindscan::seq::contig::Contig;
    /// use bindscan::genome::alias::Aliases;
    ///
    /// let contig = |id, name: &str| Arc::new(Contig { id, name: name.into(), length: Some(9) });
    /// let aliases = Aliases::from_contigs(&[contig(0, "chr1"), contig(1, "chrM"), contig(2, "x"), contig(3, "chrX")]);
    /// assert_eq!(aliases.find("1"), Some(0));
    /// assert_eq!(aliases.find("MT"), Some(1));
    /// // Either of two contigs may be meant.
    /// assert_eq!(aliases.find("X"), None);
    /// ```
    pub fn from_contigs(contigs: &[Arc<Contig>]) -> Aliases {
        let mut ranks = HashMap::new();
        for (rank, contig) in contigs.iter().enumerate() {
            ranks.entry(plain_name(&contig.name)).and_modify(|rank| *rank = None).or_insert(Some(rank));
        }
        Aliases { ranks }
    }

    /// The rank of the only contig that another naming scheme calls `name`.
    pub fn find(&self, name: &str) -> Option<usize> {
        self.ranks.get(&plain_name(name)).copied().flatten()
    }
}

/// Names that contigs have in several naming schemes, as a file lists them.
///
/// A line has the names of one contig, separated by tabs or other white space. Lines that start with `#` are comments;
/// UCSC's `chromAlias.txt` and NCBI's `assembly_report.txt` are such files.
#[derive(Debug, Clone, Default)]
pub struct AliasTable {
    /// The line that a name stands on.
    lines: HashMap<String, usize>,
    /// The names of each line.
    names: Vec<Arc<[String]>>,
}

impl AliasTable {
    /// Reads a file, plain or gzip.
    ///
    /// # Errors
    /// A file that cannot be read or has no line of two names; a name on two lines.
    pub fn read(path: &Path) -> Result<AliasTable> {
        let mut input = Input::open(path)?;
        let (mut table, mut line) = (AliasTable::default(), String::new());
        for number in 1.. {
            line.clear();
            let action = input.read_action();
            if input.read_line(&mut line).map_err(Error::io(path, action))? == 0 {
                break;
            }
            if !line.starts_with('#') {
                table.add(&line).map_err(|message| Error::format(path, number, message))?;
            }
        }
        if table.names.iter().all(|names| names.len() < 2) {
            return Err(Error::format(path, None, "it has no line with two names of a contig"));
        }
        Ok(table)
    }

    fn add(&mut self, line: &str) -> Result<(), String> {
        // Columns of `assembly_report.txt` that are no names: `na` stands for no name, the others are the same on many
        // lines.
        let fields: Vec<&str> = line.split('\t').collect();
        let fields = match fields.as_slice() {
            [name, _role, _molecule, _kind, genbank, "=" | "<>", refseq, _unit, _length, ucsc] => {
                vec![*name, *genbank, *refseq, *ucsc]
            }
            _ => line.split_whitespace().collect(),
        };
        let mut names: Vec<String> = Vec::new();
        for name in fields.into_iter().map(str::trim).filter(|name| !name.is_empty() && *name != "na") {
            if !names.iter().any(|known| known == name) {
                names.push(name.to_owned());
            }
        }
        for name in &names {
            if self.lines.insert(name.clone(), self.names.len()).is_some() {
                return Err(format!("{name} is a name of two contigs"));
            }
        }
        self.names.push(names.into());
        Ok(())
    }

    /// All names of the contig that has this name; none if the file does not list it.
    pub fn names(&self, name: &str) -> &[String] {
        self.lines.get(name).map_or(&[], |&line| &self.names[line])
    }

    /// Refuses a line that names several of `contigs`.
    ///
    /// # Errors
    /// The two names.
    pub fn check(&self, contigs: &[Arc<Contig>]) -> Result<()> {
        let mut met: HashMap<usize, &str> = HashMap::new();
        for contig in contigs {
            let Some(&line) = self.lines.get(&contig.name) else { continue };
            if let Some(other) = met.insert(line, &contig.name) {
                return Err(Error::Mismatch(format!(
                    "--aliases: a line names {other} and {}, which are two contigs of the genome",
                    contig.name
                )));
            }
        }
        Ok(())
    }

    /// Gives regions the other names of their contigs.
    pub fn name_regions(&self, regions: &mut [RegionQuery]) {
        for region in regions {
            let name = match (&region.interval, &region.whole) {
                (Some(Ok(interval)), _) => Some(&interval.contig),
                (_, whole) => whole.as_ref(),
            };
            region.others = name.map_or_else(Vec::new, |name| self.names(name).to_vec());
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn tables_of_ucsc_and_ncbi_list_the_names_of_a_contig() {
        let mut table = AliasTable::default();
        table.add("NC_000001.11\tchr1\t1 CM000663.2\n").unwrap();
        table
            .add("MT\tassembled-molecule\tMT\tMitochondrion\tJ01415.2\t=\tNC_012920.1\tnon-nuclear\t16569\tchrM\r\n")
            .unwrap();
        assert_eq!(table.names("1"), ["NC_000001.11", "chr1", "1", "CM000663.2"]);
        assert_eq!(table.names("NC_012920.1"), ["MT", "J01415.2", "NC_012920.1", "chrM"]);
        assert!(table.names("non-nuclear").is_empty());
        assert!(table.add("chr1 x").unwrap_err().contains("chr1 is a name of two"));
    }
}
