//! Findings of models in regions, as files.
//!
//! - A **matrix** (TSV): a row for each region, a column for each model.
//! - **Matrix Market**: the same as coordinates, which scipy, scanpy and R's Matrix read, with the rows and the columns in
//!   files of their own: `NAME.regions.bed` and `NAME.models.tsv` beside `NAME.mtx`. Rows are regions, as chromVAR's and
//!   AnnData's are.
//! - A **long table** (TSV): a row for each region and model.

use std::io::{Read, Seek, Write};
use std::path::{Path, PathBuf};

use tempfile::SpooledTempFile;

use super::{Cell, Region, Rows};
use crate::io::deflate::{BGZF_END, BGZF_INPUT, Deflater};
use crate::io::number::{push_fixed, push_integer, push_score};
use crate::io::output::{Output, Sealed};
use crate::seq::contig::Contig;
use crate::track::Target;
use crate::{Error, Result};
use std::sync::Arc;

/// Bytes of Matrix Market that are held in memory; more go to a temporary file, as the first line has their number.
const IN_MEMORY: usize = 64 << 20;

/// Compression of text.
const LEVEL: i32 = 6;

/// A value of a region and a model.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Value {
    /// Score of the best window.
    Best,
    /// Number of sites.
    Count,
    /// 1 if there is a site, 0 if not.
    Match,
    /// -log10 of the p-value of the best window.
    LogP,
    /// Sum of the scores of the sites.
    Sum,
}

impl Value {
    /// True if it comes from the best window, and not from the sites.
    pub fn is_of_best(self) -> bool {
        matches!(self, Value::Best | Value::LogP)
    }

    /// True if it is a whole number.
    fn is_whole(self) -> bool {
        matches!(self, Value::Count | Value::Match)
    }

    /// True if a matrix of so many sites has an entry for it.
    fn is_entry(self, cell: &Cell, has_sites: bool) -> bool {
        match self {
            Value::Count | Value::Match | Value::Sum => cell.sites > 0,
            Value::Best | Value::LogP => cell.best.is_some() && (!has_sites || cell.sites > 0),
        }
    }

    fn put(self, cell: &Cell, target: &Target, out: &mut Vec<u8>) {
        match (self, cell.best) {
            (Value::Count, _) => push_integer(cell.sites.into(), out),
            (Value::Match, _) => push_integer(u64::from(cell.sites > 0), out),
            (Value::Sum, _) => push_score(cell.sum as f32, out),
            (Value::Best | Value::LogP, None) => out.extend_from_slice(b"NA"),
            (Value::Best, Some(best)) => push_score(best.score, out),
            (Value::LogP, Some(best)) => match &target.null {
                Some(null) => push_fixed(log_p(null.p(best.score, best.strand)), 4, out),
                None => out.extend_from_slice(b"NA"),
            },
        }
    }
}

/// -log10 of a p-value; that of 0 is that of the smallest number.
fn log_p(p: f64) -> f32 {
    (0.0 - p.max(f64::MIN_POSITIVE).log10()) as f32
}

/// Form of a table.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Form {
    /// A row for each region, a column for each model.
    Matrix(Value),
    /// The same as Matrix Market, with files of the rows and the columns.
    MatrixMarket(Value),
    /// A row for each region and model.
    Long,
}

/// Formats rows of a table.
#[derive(Debug, Clone, Copy)]
pub struct RowFormat<'a> {
    /// Form of the table.
    pub form: Form,
    /// Contigs of the genome.
    pub contigs: &'a [Arc<Contig>],
    /// The models.
    pub targets: &'a [Target],
    /// True if sites were looked for.
    pub has_sites: bool,
}

impl RowFormat<'_> {
    /// The line of column names; empty for Matrix Market.
    pub fn header(&self) -> String {
        let mut line = String::from("contig\tstart\tend\tname");
        match self.form {
            Form::MatrixMarket(_) => return String::new(),
            Form::Matrix(_) => {
                for target in self.targets {
                    line.push('\t');
                    line += &target.name;
                }
            }
            Form::Long => {
                line += "\tmodel\tmotif_name\tbest\tstrand\tbest_start\tbest_end";
                line += if self.has_p() { "\tp_value" } else { "" };
                line += if self.has_sites { "\tcount\tsum" } else { "" };
            }
        }
        line.push('\n');
        line
    }

    fn has_p(&self) -> bool {
        self.targets.iter().any(|target| target.null.is_some())
    }

    /// Appends what there is to say of a region: its row, its rows, or its entries.
    pub fn write(&self, rank: usize, region: &Region, cells: &[Cell], rows: &mut Rows) {
        match self.form {
            Form::Matrix(value) => {
                self.push_region(region, &mut rows.text);
                for (cell, target) in cells.iter().zip(self.targets) {
                    rows.text.push(b'\t');
                    value.put(cell, target, &mut rows.text);
                }
                rows.text.push(b'\n');
            }
            Form::MatrixMarket(value) => {
                let entries = cells.iter().zip(self.targets).enumerate();
                for (column, (cell, target)) in
                    entries.filter(|(_, (cell, _))| value.is_entry(cell, self.has_sites))
                {
                    push_integer(rank as u64 + 1, &mut rows.text);
                    rows.text.push(b' ');
                    push_integer(column as u64 + 1, &mut rows.text);
                    rows.text.push(b' ');
                    value.put(cell, target, &mut rows.text);
                    rows.text.push(b'\n');
                    rows.entries += 1;
                }
            }
            Form::Long => {
                for (cell, target) in cells.iter().zip(self.targets) {
                    self.push_region(region, &mut rows.text);
                    self.push_cell(cell, target, &mut rows.text);
                    rows.text.push(b'\n');
                }
            }
        }
    }

    /// Contig, start, end, name.
    fn push_region(&self, region: &Region, out: &mut Vec<u8>) {
        out.extend_from_slice(self.contigs[region.contig].name.as_bytes());
        out.push(b'\t');
        push_integer(region.start, out);
        out.push(b'\t');
        push_integer(region.end, out);
        out.push(b'\t');
        out.extend_from_slice(if region.name.is_empty() { b"." } else { region.name.as_bytes() });
    }

    /// The columns of a long table behind those of the region.
    fn push_cell(&self, cell: &Cell, target: &Target, out: &mut Vec<u8>) {
        let alias = if target.alias.is_empty() { "." } else { &target.alias };
        for text in [&*target.name, alias] {
            out.push(b'\t');
            out.extend_from_slice(text.as_bytes());
        }
        out.push(b'\t');
        match cell.best {
            None => out.extend_from_slice(b"NA\t.\tNA\tNA"),
            Some(best) => {
                push_score(best.score, out);
                let strand = if target.symmetric { b'.' } else { best.strand.symbol() as u8 };
                out.extend_from_slice(&[b'\t', strand, b'\t']);
                push_integer(best.start, out);
                out.push(b'\t');
                push_integer(best.start + target.window, out);
            }
        }
        if self.has_p() {
            match (cell.best, &target.null) {
                (Some(best), Some(null)) => {
                    // Writing to memory does not fail.
                    let _ = write!(out, "\t{:.4e}", null.p(best.score, best.strand));
                }
                _ => out.extend_from_slice(b"\tNA"),
            }
        }
        if self.has_sites {
            out.push(b'\t');
            push_integer(cell.sites.into(), out);
            out.push(b'\t');
            push_score(cell.sum as f32, out);
        }
    }
}

/// Text, compressed as BGZF or not.
#[derive(Debug)]
struct Text {
    output: Output,
    deflater: Option<Deflater>,
    waiting: Vec<u8>,
    blocks: Vec<u8>,
}

impl Text {
    fn create(path: &Path, compressed: bool) -> Result<Text> {
        let deflater = compressed.then(|| Deflater::new(LEVEL));
        Ok(Text { output: Output::create(path)?, deflater, waiting: Vec::new(), blocks: Vec::new() })
    }

    fn write(&mut self, text: &[u8]) -> Result<()> {
        let Some(deflater) = &mut self.deflater else { return self.output.write(text) };
        self.waiting.extend_from_slice(text);
        let whole = self.waiting.len() - self.waiting.len() % BGZF_INPUT;
        self.blocks.clear();
        self.waiting[..whole].chunks(BGZF_INPUT).for_each(|block| deflater.bgzf(block, &mut self.blocks));
        self.waiting.drain(..whole);
        self.output.write(&self.blocks)
    }

    fn seal(mut self) -> Result<Sealed> {
        if let Some(deflater) = &mut self.deflater {
            self.blocks.clear();
            if !self.waiting.is_empty() {
                deflater.bgzf(&self.waiting, &mut self.blocks);
            }
            self.blocks.extend_from_slice(&BGZF_END);
            self.output.write(&self.blocks)?;
        }
        self.output.seal()
    }
}

/// Where a table is written.
#[derive(Debug)]
pub struct TableSink {
    text: Text,
    market: Option<Market>,
}

/// Data that Matrix Market needs beside the file itself.
#[derive(Debug)]
struct Market {
    value: Value,
    /// Entries, which follow their number.
    spool: SpooledTempFile,
    entries: u64,
    regions: Output,
    models: Output,
}

/// The files of the rows and the columns of a matrix.
fn beside(path: &Path) -> [PathBuf; 2] {
    let text = path.to_string_lossy();
    let bare = ["gz", "bgz"].iter().find_map(|end| text.strip_suffix(&format!(".{end}"))).unwrap_or(&text);
    let stem = bare.strip_suffix(".mtx").unwrap_or(bare);
    [format!("{stem}.regions.bed").into(), format!("{stem}.models.tsv").into()]
}

impl TableSink {
    /// Creates the file, or the files of Matrix Market, and writes what stands before the first row.
    ///
    /// # Errors
    /// An output that cannot be written; Matrix Market on standard output.
    pub fn create(path: &Path, compressed: bool, format: &RowFormat<'_>) -> Result<TableSink> {
        let mut market = None;
        if let Form::MatrixMarket(value) = format.form {
            if path == Path::new("-") {
                let message = "a matrix in Matrix Market has three files: name it (-o NAME.mtx)";
                return Err(Error::Output(message.into()));
            }
            let [regions, models] = beside(path);
            market = Some(Market {
                value,
                spool: SpooledTempFile::new(IN_MEMORY),
                entries: 0,
                regions: Output::create(&regions)?,
                models: Output::create(&models)?,
            });
        }
        let mut text = Text::create(path, compressed)?;
        text.write(format.header().as_bytes())?;
        Ok(TableSink { text, market })
    }

    /// Appends rows.
    ///
    /// # Errors
    /// An output that cannot be written.
    pub fn write(&mut self, rows: &Rows) -> Result<()> {
        let Some(market) = &mut self.market else { return self.text.write(&rows.text) };
        market.entries += rows.entries;
        let failed = Error::io(std::env::temp_dir(), "cannot keep entries there until their number is known");
        market.spool.write_all(&rows.text).map_err(failed)
    }

    /// Writes what is left; gives the files that wait for their names.
    ///
    /// # Errors
    /// An output that cannot be written.
    pub fn seal(mut self, format: &RowFormat<'_>, regions: &[Region]) -> Result<Vec<Sealed>> {
        let Some(mut market) = self.market.take() else { return Ok(vec![self.text.seal()?]) };
        let field = if market.value.is_whole() { "integer" } else { "real" };
        let (rows, columns, entries) = (regions.len(), format.targets.len(), market.entries);
        let head = format!("%%MatrixMarket matrix coordinate {field} general\n{rows} {columns} {entries}\n");
        self.text.write(head.as_bytes())?;
        let failed = || Error::io(std::env::temp_dir(), "cannot read back the entries that were kept there");
        market.spool.rewind().map_err(failed())?;
        let mut buffer = vec![0; 1 << 20];
        loop {
            let count = market.spool.read(&mut buffer).map_err(failed())?;
            if count == 0 {
                break;
            }
            self.text.write(&buffer[..count])?;
        }
        let mut lines = Vec::new();
        for batch in regions.chunks(1 << 12) {
            lines.clear();
            for region in batch {
                format.push_region(region, &mut lines);
                lines.push(b'\n');
            }
            market.regions.write(&lines)?;
        }
        for target in format.targets {
            let alias = if target.alias.is_empty() { "." } else { &target.alias };
            market.models.write(format!("{}\t{alias}\n", target.name).as_bytes())?;
        }
        Ok(vec![self.text.seal()?, market.regions.seal()?, market.models.seal()?])
    }
}
