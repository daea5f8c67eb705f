//! bigWig, read from its first value to its last, or here and there.

use std::fs::File;
use std::io::{self, BufReader, Read, Seek, SeekFrom};
use std::ops::Range;
use std::path::{Path, PathBuf};
use std::sync::Arc;

use zlib_rs::{InflateConfig, ReturnCode, decompress_slice};

use super::{BEDGRAPH, FIXED_STEP, HEADER as SECTION_HEADER, MAGIC, VARIABLE_STEP};
use crate::io::checksum;
use crate::io::checksum::{DIGITS, crc32};
use crate::seq::contig::Contig;
use crate::{Error, Result};

/// Longest block there is, uncompressed: a header, and as many values as it can say that there are.
const LONGEST: usize = SECTION_HEADER + u16::MAX as usize * 12;

/// Longest comments that are taken.
const LONGEST_COMMENTS: u64 = 1 << 28;

/// Magic numbers of the tree of contigs, and of the tree of blocks.
const CONTIG_TREE: u32 = 0x78CA_8C91;
const BLOCK_TREE: u32 = 0x2468_ACE0;

const CIRCLES: &str = "the file is damaged: its index runs in circles";

/// A bigWig that has been opened (little-endian, compressed: as [`BigWigSink`] and most other programs write them).
///
/// [`BigWigSink`]: super::BigWigSink
#[derive(Debug)]
pub struct Reader<R = BufReader<File>> {
    path: PathBuf,
    file: R,
    comments: String,
    /// End of the comments, and of the headers.
    front: (u64, u64),
    contigs: Vec<Arc<Contig>>,
    /// Room for the longest block, uncompressed.
    block: Vec<u8>,
    /// Nodes that may still be read: more would mean that the index runs in circles.
    left: u64,
    /// Offsets of the nodes of the tree of blocks that are still to be read, the next one last.
    nodes: Vec<Node>,
    /// The first of them, and as many as there may be.
    root: (u64, u64),
}

#[derive(Debug, Clone, Copy)]
enum Node {
    Inner(u64),
    Block { offset: u64, bytes: u64 },
}

/// The id of a contig, and a position there.
type Place = (u64, u64);

/// The values of one block.
#[derive(Debug, Clone, Default, PartialEq)]
pub struct Values {
    /// Id of their contig.
    pub contig: usize,
    /// Start (0-based), end and value of stretches, sorted.
    pub stretches: Vec<(u64, u64, f32)>,
}

impl Reader {
    /// Opens a bigWig and reads what stands before its values.
    ///
    /// # Errors
    /// A file that cannot be read, is no bigWig, or is damaged.
    pub fn open(path: &Path) -> Result<Reader> {
        let file = File::open(path).map_err(Error::io(path, "cannot read"))?;
        Reader::new(path, BufReader::new(file))
    }
}

impl<R: Read + Seek> Reader<R> {
    /// Reads what stands before the values of a bigWig; `path` stands for it in messages.
    ///
    /// # Errors
    /// As [`Reader::open`].
    pub fn new(path: &Path, file: R) -> Result<Reader<R>> {
        let mut reader = Reader {
            path: path.to_path_buf(),
            file,
            comments: String::new(),
            front: (0, 0),
            contigs: Vec::new(),
            block: Vec::new(),
            left: 0,
            nodes: Vec::new(),
            root: (0, 0),
        };
        let header = reader.bytes(0, 64)?;
        if u32_at(&header, 0) != MAGIC {
            return Err(reader.damaged("not a little-endian bigWig file"));
        }
        let zooms = u64::from(u16_at(&header, 6));
        let (contigs, blocks, summary) = (u64_at(&header, 8), u64_at(&header, 24), u64_at(&header, 44));
        reader.block = match u32_at(&header, 52) {
            0 => return Err(reader.damaged("bigWigs that are not compressed are not read")),
            // Blocks of zoom levels, which are not read, may be longer.
            longest => vec![0; (longest as usize).min(LONGEST)],
        };
        // Of the data, that begins with the number of blocks.
        reader.front = (summary, u64_at(&header, 16).saturating_add(8));
        reader.read_comments(64 + 24 * zooms.max(10), summary)?;
        reader.read_contigs(contigs)?;
        let head = reader.bytes(blocks, 48)?;
        if u32_at(&head, 0) != BLOCK_TREE {
            return Err(reader.damaged("the file is damaged: it has no index"));
        }
        // A node has one child at the least, and there are few levels of them.
        reader.left = u64_at(&head, 8).saturating_mul(64).saturating_add(1);
        reader.root = (blocks.saturating_add(48), reader.left);
        reader.nodes.push(Node::Inner(reader.root.0));
        Ok(reader)
    }

    /// Comments of its writer ([`super::BigWigSink::new`]); empty in files by other programs.
    pub fn comments(&self) -> &str {
        &self.comments
    }

    /// Compares the whole file with the checksum behind its comments ([`super::BigWigSink::checked`]).
    ///
    /// # Errors
    /// A file that has none, or another; one that cannot be read.
    pub fn check(&mut self) -> Result<()> {
        let (comments_end, end) = self.front;
        let said = self.comments.lines().last().and_then(|line| line.strip_prefix(checksum::MARK));
        let said = said.and_then(|digits| u32::from_str_radix(digits, 16).ok());
        let Some(said) = said.filter(|_| comments_end < end) else {
            return Err(self.damaged("the file is damaged: it has no checksum"));
        };
        let mut front = self.bytes(0, end)?;
        let digits = (comments_end as usize).saturating_sub(DIGITS + 1);
        front[digits..digits + DIGITS].fill(b'0');
        let (mut sum, mut piece) = (0, vec![0; 256 << 10]);
        // The file stands behind the front.
        loop {
            match self.file.read(&mut piece).map_err(Error::io(&self.path, "cannot read"))? {
                0 => break,
                count => sum = crc32(sum, &piece[..count]),
            }
        }
        if crc32(sum, &front) != said {
            return Err(self.damaged("the file is damaged: it has another checksum than when it was written"));
        }
        Ok(())
    }

    /// All contigs, in the order of their ids.
    pub fn contigs(&self) -> &[Arc<Contig>] {
        &self.contigs
    }

    /// Reads the next block; `false` if there is none.
    ///
    /// # Errors
    /// As [`Reader::open`].
    pub fn read(&mut self, values: &mut Values) -> Result<bool> {
        loop {
            match self.nodes.pop() {
                None => return Ok(false),
                Some(Node::Inner(offset)) => self.read_node(offset)?,
                Some(Node::Block { offset, bytes }) => {
                    self.read_block(offset, bytes, values)?;
                    return Ok(true);
                }
            }
        }
    }

    /// Gives the values of a contig, by its id, that lie in `bases` to `each`, in order: start and end within them, and the
    /// value. What [`Reader::read`] reads next stays the same.
    ///
    /// # Errors
    /// As [`Reader::open`], and whatever `each` gives.
    pub fn fetch(
        &mut self,
        contig: usize,
        bases: &Range<u64>,
        values: &mut Values,
        mut each: impl FnMut(Range<u64>, f32) -> Result<()>,
    ) -> Result<()> {
        let (root, mut left) = self.root;
        let mut nodes = vec![Node::Inner(root)];
        while let Some(node) = nodes.pop() {
            match node {
                Node::Inner(offset) => {
                    left = left.checked_sub(1).ok_or_else(|| self.damaged(CIRCLES))?;
                    let overlaps = |(from, to): (Place, Place)| {
                        from < (contig as u64, bases.end) && to > (contig as u64, bases.start)
                    };
                    self.children(offset, overlaps, &mut nodes)?;
                }
                Node::Block { offset, bytes } => {
                    self.read_block(offset, bytes, values)?;
                    for &(start, end, value) in values.stretches.iter().filter(|_| values.contig == contig) {
                        let part = start.max(bases.start)..end.min(bases.end);
                        if part.start < part.end {
                            each(part, value)?;
                        }
                    }
                }
            }
        }
        Ok(())
    }

    fn read_node(&mut self, offset: u64) -> Result<()> {
        self.left = self.left.checked_sub(1).ok_or_else(|| self.damaged(CIRCLES))?;
        let mut nodes = std::mem::take(&mut self.nodes);
        let read = self.children(offset, |_| true, &mut nodes);
        self.nodes = nodes;
        read
    }

    /// Appends the children of a node that are `wanted` by the places that they begin and end at, the first one last.
    fn children(
        &mut self,
        offset: u64,
        wanted: impl Fn((Place, Place)) -> bool,
        nodes: &mut Vec<Node>,
    ) -> Result<()> {
        let head = self.bytes(offset, 4)?;
        let (leaf, count) = (head[0] != 0, u64::from(u16_at(&head, 2)));
        let item = if leaf { 32 } else { 24 };
        let items = self.bytes(offset.saturating_add(4), count * item)?;
        for item in items.chunks_exact(item as usize).rev() {
            let start = u64_at(item, 16);
            if !leaf && start <= offset {
                return Err(self.damaged(CIRCLES));
            }
            let place = |at: usize| (u64::from(u32_at(item, at)), u64::from(u32_at(item, at + 4)));
            if !wanted((place(0), place(8))) {
                continue;
            }
            nodes.push(if leaf {
                Node::Block { offset: start, bytes: u64_at(item, 24) }
            } else {
                Node::Inner(start)
            });
        }
        Ok(())
    }

    fn read_block(&mut self, offset: u64, bytes: u64, values: &mut Values) -> Result<()> {
        let packed = self.bytes(offset, bytes)?;
        let (block, status) = decompress_slice(&mut self.block, &packed, InflateConfig::default());
        let read = match status {
            ReturnCode::Ok => take_section(block, self.contigs.len(), values),
            _ => Err("the file is damaged: a block cannot be decompressed"),
        };
        read.map_err(|message| self.damaged(message))
    }

    fn read_comments(&mut self, from: u64, to: u64) -> Result<()> {
        if to > from && to - from < LONGEST_COMMENTS {
            let text = self.bytes(from, to - from)?;
            self.comments =
                String::from_utf8(text).ok().filter(|text| text.starts_with('#')).unwrap_or_default();
        }
        Ok(())
    }

    fn read_contigs(&mut self, offset: u64) -> Result<()> {
        let head = self.bytes(offset, 32)?;
        let (key, count) = (u64::from(u32_at(&head, 8)), u64_at(&head, 16));
        if u32_at(&head, 0) != CONTIG_TREE || key > 1 << 20 {
            return Err(self.damaged("the file is damaged: it has no list of contigs"));
        }
        let mut contigs = Vec::new();
        let mut nodes = vec![offset.saturating_add(32)];
        while let Some(node) = nodes.pop() {
            let head = self.bytes(node, 4)?;
            let items = self.bytes(node.saturating_add(4), u64::from(u16_at(&head, 2)) * (key + 8))?;
            if contigs.len() as u64 > count {
                return Err(self.damaged(CIRCLES));
            }
            for item in items.chunks_exact(key as usize + 8) {
                let (name, value) = item.split_at(key as usize);
                if head[0] == 0 {
                    let child = u64_at(value, 0);
                    if child <= node {
                        return Err(self.damaged(CIRCLES));
                    }
                    nodes.push(child);
                    continue;
                }
                let end = name.iter().rposition(|&byte| byte != 0).map_or(0, |last| last + 1);
                let name = String::from_utf8_lossy(&name[..end]).into_owned();
                let (id, length) = (u32_at(value, 0) as usize, Some(u32_at(value, 4).into()));
                contigs.push(Arc::new(Contig { id, name, length }));
            }
        }
        contigs.sort_by_key(|contig| contig.id);
        if contigs.len() as u64 != count || contigs.iter().enumerate().any(|(i, contig)| contig.id != i) {
            return Err(self.damaged("the file is damaged: its contigs are not counted from 0 on"));
        }
        self.contigs = contigs;
        Ok(())
    }

    fn bytes(&mut self, offset: u64, count: u64) -> Result<Vec<u8>> {
        let mut bytes = Vec::new();
        let result = self.file.seek(SeekFrom::Start(offset));
        let result = result.and_then(|_| self.file.by_ref().take(count).read_to_end(&mut bytes));
        let result = result.and_then(|got| {
            if got as u64 == count { Ok(()) } else { Err(io::Error::from(io::ErrorKind::UnexpectedEof)) }
        });
        match result {
            Ok(()) => Ok(bytes),
            Err(error) if error.kind() == io::ErrorKind::UnexpectedEof => {
                Err(self.damaged("the file is cut off, or no bigWig"))
            }
            Err(error) => Err(Error::io(&self.path, "cannot read")(error)),
        }
    }

    fn damaged(&self, message: &str) -> Error {
        Error::format(&self.path, None, message)
    }
}

/// Takes the values of one block, which are of one of so many contigs.
fn take_section(block: &[u8], contigs: usize, values: &mut Values) -> Result<(), &'static str> {
    const SHORT: &str = "the file is damaged: a block is short, or of no contig";
    let (header, items) = block.split_at_checked(SECTION_HEADER).ok_or(SHORT)?;
    values.contig = u32_at(header, 0) as usize;
    values.stretches.clear();
    let (start, step, span) = (u32_at(header, 4), u32_at(header, 12), u32_at(header, 16));
    let (kind, count) = (header[20], usize::from(u16_at(header, 22)));
    let item = match kind {
        BEDGRAPH => 12,
        FIXED_STEP => 4,
        VARIABLE_STEP => 8,
        _ => return Err("the file is damaged: a block is of no known kind"),
    };
    if items.len() < count * item || values.contig >= contigs {
        return Err(SHORT);
    }
    for (i, item) in items.chunks_exact(item).take(count).enumerate() {
        let number = |at: usize| u64::from(u32_at(item, at));
        let value = |at: usize| f32::from_bits(u32_at(item, at));
        values.stretches.push(match kind {
            BEDGRAPH => (number(0), number(4), value(8)),
            VARIABLE_STEP => (number(0), number(0) + u64::from(span), value(4)),
            _ => {
                let start = u64::from(start) + i as u64 * u64::from(step);
                (start, start + u64::from(span), value(0))
            }
        });
    }
    Ok(())
}

fn u16_at(bytes: &[u8], at: usize) -> u16 {
    u16::from_le_bytes([bytes[at], bytes[at + 1]])
}

fn u32_at(bytes: &[u8], at: usize) -> u32 {
    u32::from_le_bytes(bytes[at..at + 4].try_into().expect("four bytes"))
}

fn u64_at(bytes: &[u8], at: usize) -> u64 {
    u64::from_le_bytes(bytes[at..at + 8].try_into().expect("eight bytes"))
}
