//! bigBed: sites in compressed blocks that browsers read piece by piece.
//!
//! An item is what a line of BED says, contig, start and end as numbers and the other columns as text; their names and
//! types stand in the file as AutoSql. Zoom levels show how many sites lie over each base.
//!
//! Layout: Kent et al. 2010, "BigWig and BigBed", Bioinformatics 26:2204, supplement.

use std::cmp::Reverse;
use std::collections::{BinaryHeap, HashMap};
use std::sync::Arc;

use super::site::Columns;
use crate::Result;
use crate::io::bbi;
use crate::io::bbi::{BigFile, Block, Cell, Content, Summary};
use crate::io::deflate::Deflater;
use crate::io::output::{Output, Sealed};
use crate::seq::contig::Contig;

const MAGIC: u32 = 0x8789_F2EB;

/// Items of a block, at the most, and bytes after which no further one is added.
const ITEMS: usize = 512;
const BYTES: usize = 32 << 10;

/// Bases of a cell in the finest zoom level.
const CELL: u64 = 1024;

/// A bigBed that is being written. Its contigs are those that have sites, as with UCSC's bedToBigBed.
#[derive(Debug)]
pub struct BigBedSink {
    file: Box<BigFile>,
    deflater: Deflater,
    /// Contigs with sites so far; their ids count from 0.
    contigs: Vec<Contig>,
    /// The block at hand.
    block: Vec<u8>,
    items: usize,
    start: u64,
    end: u64,
    coverage: Coverage,
}

impl BigBedSink {
    /// Writes sites with the columns of a BED track and `columns` to `output`. Comments stand where other readers have
    /// nothing to look for.
    ///
    /// # Errors
    /// An output that cannot be written, or is no file.
    pub fn new(output: Output, columns: Columns, comments: &str) -> Result<BigBedSink> {
        let auto_sql = auto_sql(columns);
        let content = Content {
            magic: MAGIC,
            columns: auto_sql.lines().filter(|line| line.contains(';')).count() as u16,
            items: ITEMS as u32,
            auto_sql,
        };
        Ok(BigBedSink {
            file: Box::new(BigFile::new(content, output, CELL, comments, false)?),
            deflater: Deflater::new(bbi::LEVEL),
            contigs: Vec::new(),
            block: Vec::new(),
            items: 0,
            start: 0,
            end: 0,
            coverage: Coverage::default(),
        })
    }

    /// Appends sites as whole lines of BED, sorted by start within each contig.
    pub(super) fn write(&mut self, lines: &[u8]) -> Result<()> {
        for line in lines.split(|&byte| byte == b'\n').filter(|line| !line.is_empty()) {
            let mut columns = line.splitn(4, |&byte| byte == b'\t');
            let mut next =
                || columns.next().and_then(|text| std::str::from_utf8(text).ok()).unwrap_or_default();
            let (name, start, end, rest) = (next(), next(), next(), next());
            let position = |text: &str| text.parse::<u64>().expect("lines have positions");
            self.add(name, (position(start), position(end)), rest)?;
        }
        Ok(())
    }

    fn add(&mut self, name: &str, (start, end): (u64, u64), rest: &str) -> Result<()> {
        if self.contigs.last().is_none_or(|contig| contig.name != name) {
            self.end_contig()?;
            self.contigs.push(Contig { id: self.contigs.len(), name: name.to_owned(), length: None });
        }
        if self.items == ITEMS || self.block.len() >= BYTES {
            self.end_block()?;
        }
        if self.items == 0 {
            self.start = start;
        }
        let id = self.contigs.len() - 1;
        for number in [id as u64, start, end] {
            self.block.extend_from_slice(&(number as u32).to_le_bytes());
        }
        self.block.extend_from_slice(rest.as_bytes());
        self.block.push(0);
        self.end = self.end.max(end);
        self.items += 1;
        self.coverage.add(start, end);
        Ok(())
    }

    fn end_block(&mut self) -> Result<()> {
        let Some(contig) = self.contigs.last().filter(|_| self.items > 0) else { return Ok(()) };
        let mut bytes = Vec::new();
        self.deflater.zlib(&self.block, &mut bytes);
        let items = self.items as u64;
        let block = Block { start: self.start, end: self.end, bytes: bytes.len(), items };
        let sizes = (items, self.block.len());
        self.file.write(contig, &bytes, &[block], &self.coverage.cells, sizes)?;
        self.coverage.cells.clear();
        self.block.clear();
        (self.items, self.end) = (0, 0);
        Ok(())
    }

    fn end_contig(&mut self) -> Result<()> {
        self.coverage.end();
        self.end_block()
    }

    /// Writes what is left; `contigs` are all that were read.
    pub(super) fn seal(mut self, contigs: &[Arc<Contig>]) -> Result<Sealed> {
        self.end_contig()?;
        let lengths: HashMap<&str, Option<u64>> =
            contigs.iter().map(|contig| (contig.name.as_str(), contig.length)).collect();
        let with_length = |contig: Contig| {
            let length = lengths.get(contig.name.as_str()).copied().flatten();
            Arc::new(Contig { length, ..contig })
        };
        let contigs: Vec<Arc<Contig>> = self.contigs.into_iter().map(with_length).collect();
        self.file.seal(&contigs)
    }
}

/// Coverage of a contig by sites, summed in cells.
#[derive(Debug, Default)]
struct Coverage {
    /// Ends of the sites that reach past `at`.
    ends: BinaryHeap<Reverse<u64>>,
    /// Everything before is in a cell.
    at: u64,
    open: Option<Cell>,
    cells: Vec<Cell>,
}

impl Coverage {
    fn add(&mut self, start: u64, end: u64) {
        self.go_to(start);
        self.at = start;
        if end > start {
            self.ends.push(Reverse(end));
        }
    }

    /// Sums up what lies before `position`.
    fn go_to(&mut self, position: u64) {
        while let Some(&Reverse(end)) = self.ends.peek() {
            let depth = self.ends.len();
            let to = end.min(position);
            self.put(to, depth as f64);
            if end > position {
                break;
            }
            self.ends.pop();
        }
    }

    /// Counts the bases up to `to`, over each of which as many sites lie.
    fn put(&mut self, to: u64, depth: f64) {
        while self.at < to {
            let cell_end = (self.at - self.at % CELL + CELL).min(to);
            if self.open.is_some_and(|open| open.start / CELL != self.at / CELL) {
                self.cells.extend(self.open.take());
            }
            let open =
                self.open.get_or_insert(Cell { start: self.at, end: self.at, summary: Summary::EMPTY });
            open.summary.add(depth, cell_end - self.at);
            open.end = cell_end;
            self.at = cell_end;
        }
    }

    fn end(&mut self) {
        self.go_to(u64::MAX);
        self.at = 0;
        self.cells.extend(self.open.take());
    }
}

/// The columns of an item.
fn auto_sql(Columns { p, q, .. }: Columns) -> String {
    let mut text = String::from(
        "table bindscan\n\
         \"Sites found by bindscan\"\n\
         (\n\
         string chrom; \"Contig\"\n\
         uint chromStart; \"Start of the site, 0-based\"\n\
         uint chromEnd; \"End of the site\"\n\
         string name; \"Model\"\n\
         uint score; \"Shade, 0 to 1000\"\n\
         char[1] strand; \"Strand on which the window scores better\"\n\
         float rawScore; \"Score of the window\"\n",
    );
    let more = [
        (p, "double pValue; \"Probability that a strand of a window of background scores as high\"\n"),
        (q, "double qValue; \"Lowest false discovery rate at which the site is reported\"\n"),
        (p || q, "string pSource; \"How the p-value is known: exact, sampled or extrapolated\"\n"),
    ];
    more.iter().filter(|(wanted, _)| *wanted).for_each(|(_, line)| text += line);
    text + ")\n"
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    proptest! {
        #[test]
        fn coverage_is_that_of_every_base(mut sites in prop::collection::vec((0u64..5_000, 0u64..1_500), 0..40)) {
            sites.sort_unstable();
            let mut coverage = Coverage::default();
            let mut depth = vec![0u64; 7_000];
            for &(start, length) in &sites {
                coverage.add(start, start + length);
                depth[start as usize..(start + length) as usize].iter_mut().for_each(|depth| *depth += 1);
            }
            coverage.end();
            let mut cells = depth.chunks(CELL as usize).zip(0u64..).filter(|(depth, _)| depth.iter().any(|&depth| depth > 0));
            for cell in &coverage.cells {
                let (depth, rank) = cells.next().unwrap();
                prop_assert_eq!(cell.start / CELL, rank);
                let covered: Vec<usize> = (0..depth.len()).filter(|&i| depth[i] > 0).collect();
                prop_assert_eq!(cell.start % CELL, covered[0] as u64);
                prop_assert_eq!(cell.end, rank * CELL + covered[covered.len() - 1] as u64 + 1);
                let mut want = Summary::EMPTY;
                covered.iter().for_each(|&i| want.add(depth[i] as f64, 1));
                prop_assert_eq!(cell.summary, want);
            }
            prop_assert!(cells.next().is_none());
        }
    }
}
