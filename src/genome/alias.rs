//! Contigs that two files call by different names: `1` and `chr1`, `MT` and `chrM`.

use std::collections::HashMap;
use std::sync::Arc;

use crate::genome::regions::plain_name;
use crate::seq::contig::Contig;

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
    /// let aliases = Aliases::of(&[contig(0, "chr1"), contig(1, "chrM"), contig(2, "x"), contig(3, "chrX")]);
    /// assert_eq!(aliases.find("1"), Some(0));
    /// assert_eq!(aliases.find("MT"), Some(1));
    /// // Either of two contigs may be meant.
    /// assert_eq!(aliases.find("X"), None);
    /// ```
    pub fn of(contigs: &[Arc<Contig>]) -> Aliases {
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
