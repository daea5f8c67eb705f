//! 2bit: genomes of two bits a base, as UCSC gives them (<https://genome.ucsc.edu/FAQ/FAQformat.html#format7>).
//!
//! Read from a memory map, in either byte order; version 1, which has offsets of 64 bits, too. Blocks of N and of
//! soft-masked bases are looked up where they stand in the file, so that a genome with millions of them takes no memory.

use std::collections::HashSet;
use std::io::BufRead;
use std::path::{Path, PathBuf};
use std::sync::Arc;

use crate::genome::ContigReader;
use crate::io::mmap::MappedFile;
use crate::seq::alphabet::N;
use crate::seq::contig::Contig;
use crate::{Error, Result};

const SIGNATURE: u32 = 0x1A41_2743;

/// Bytes of the header: signature, version, number of sequences, a reserved word.
const HEADER: u64 = 16;

/// Bytes decoded before their pages may be handed back.
const PIECE: u64 = 1 << 20;

/// True if a file that starts with these bytes is 2bit.
pub(crate) fn is_twobit(head: &[u8]) -> bool {
    order(head).is_some()
}

/// The byte order in which the signature reads as it should.
fn order(head: &[u8]) -> Option<Order> {
    let word = head.first_chunk()?;
    [Order::Little, Order::Big].into_iter().find(|order| order.word(*word) == SIGNATURE)
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Order {
    Little,
    Big,
}

impl Order {
    fn word(self, bytes: [u8; 4]) -> u32 {
        match self {
            Order::Little => u32::from_le_bytes(bytes),
            Order::Big => u32::from_be_bytes(bytes),
        }
    }
}

/// Intervals of a contig: their starts stand in the file one after the other, and then their lengths.
#[derive(Debug, Clone, Copy)]
struct Blocks {
    /// File offset of the first start.
    offset: u64,
    count: u64,
}

impl Blocks {
    fn end(self) -> u64 {
        self.offset + 8 * self.count
    }
}

/// Offsets of a contig's parts.
#[derive(Debug, Clone, Copy)]
struct Record {
    length: u64,
    unknown: Blocks,
    masked: Blocks,
    /// File offset of the bases.
    bases: u64,
    /// True if the blocks are known to be sorted and to lie within the contig.
    checked: bool,
}

/// Reads the contigs of a 2bit file.
#[derive(Debug)]
pub(crate) struct Reader {
    path: PathBuf,
    map: MappedFile,
    order: Order,
    mask_lowercase: bool,
    letters: bool,
    contigs: Vec<Arc<Contig>>,
    records: Vec<Record>,
    /// Contigs entered so far.
    entered: usize,
    position: u64,
}

impl Reader {
    /// Reads the index, and where the parts of each contig stand.
    ///
    /// # Errors
    /// A file that is cut short or damaged, has no sequence, or names one twice.
    pub(crate) fn new(path: &Path, map: MappedFile, mask_lowercase: bool) -> Result<Reader> {
        let Some(order) = order(map.content()) else {
            return Err(Error::format(path, None, "not a 2bit file"));
        };
        let mut reader = Reader {
            path: path.to_path_buf(),
            map,
            order,
            mask_lowercase,
            letters: false,
            contigs: Vec::new(),
            records: Vec::new(),
            entered: 0,
            position: 0,
        };
        reader.read_index()?;
        Ok(reader)
    }

    fn read_index(&mut self) -> Result<()> {
        let version = self.word(4)?;
        if version > 1 {
            return Err(self.error(format!("2bit version {version} is not known; 0 and 1 are")));
        }
        let count = self.word(8)?;
        if count == 0 {
            return Err(self.error("it has no sequence"));
        }
        let (mut at, mut names) = (HEADER, HashSet::new());
        for id in 0..count as usize {
            let length = u64::from(self.bytes(at, 1)?[0]);
            let name = match std::str::from_utf8(self.bytes(at + 1, length)?) {
                Ok(name) if !name.is_empty() && !name.contains(char::is_control) => name.to_owned(),
                _ => return Err(self.error(format!("the name of sequence {} is not plain text", id + 1))),
            };
            at += 1 + length;
            let offset = match version {
                0 => u64::from(self.word(at)?),
                _ => self.long(at)?,
            };
            at += 4 << version;
            if !names.insert(name.clone()) {
                return Err(self.error(format!("sequence name {name} occurs twice; rename one of them")));
            }
            let record = self.record(offset).map_err(|_| {
                self.error(format!("{name} reaches past the end of the file: it is cut short or damaged"))
            })?;
            self.records.push(record);
            self.contigs.push(Arc::new(Contig { id, name, length: Some(record.length) }));
        }
        Ok(())
    }

    /// The record at a file offset; an error if it does not lie within the file.
    fn record(&self, offset: u64) -> Result<Record> {
        let blocks = |at: u64| -> Result<Blocks> {
            let count = u64::from(self.word(at)?);
            let blocks = Blocks { offset: at + 4, count };
            self.bytes(blocks.offset, blocks.end() - blocks.offset)?;
            Ok(blocks)
        };
        let length = u64::from(self.word(offset)?);
        let unknown = blocks(offset + 4)?;
        let masked = blocks(unknown.end())?;
        // A reserved word stands between.
        let bases = masked.end() + 4;
        self.bytes(bases, length.div_ceil(4))?;
        Ok(Record { length, unknown, masked, bases, checked: false })
    }

    fn bytes(&self, from: u64, count: u64) -> Result<&[u8]> {
        let place = |at: u64| usize::try_from(at).ok();
        let range = from.checked_add(count).and_then(|end| Some(place(from)?..place(end)?));
        let bytes = range.and_then(|range| self.map.content().get(range));
        bytes.ok_or_else(|| self.error("the file ends too early: it is cut short or damaged"))
    }

    fn word(&self, at: u64) -> Result<u32> {
        let bytes = self.bytes(at, 4)?;
        Ok(self.order.word(bytes.try_into().expect("four bytes")))
    }

    fn long(&self, at: u64) -> Result<u64> {
        let bytes: [u8; 8] = self.bytes(at, 8)?.try_into().expect("eight bytes");
        Ok(match self.order {
            Order::Little => u64::from_le_bytes(bytes),
            Order::Big => u64::from_be_bytes(bytes),
        })
    }

    /// Start and end of a block.
    fn block(&self, blocks: Blocks, i: u64) -> Result<(u64, u64)> {
        let start = u64::from(self.word(blocks.offset + 4 * i)?);
        Ok((start, start + u64::from(self.word(blocks.offset + 4 * (blocks.count + i))?)))
    }

    /// Sees to it that blocks can be searched: each lies behind the one before and within the contig.
    fn check(&mut self, contig: usize) -> Result<()> {
        let Record { length, unknown, masked, checked, .. } = self.records[contig];
        if checked {
            return Ok(());
        }
        for (blocks, what) in [(unknown, "N"), (masked, "masked")] {
            let mut before = 0;
            for i in 0..blocks.count {
                let (start, end) = self.block(blocks, i)?;
                if start < before || end > length {
                    let name = &self.contigs[contig].name;
                    let message = format!(
                        "the {what} blocks of {name} are not in order or reach past its end: the file is damaged"
                    );
                    return Err(self.error(message));
                }
                before = end;
            }
        }
        self.records[contig].checked = true;
        Ok(())
    }

    /// Puts N where `blocks` lie in `codes`, the bases from `position` on.
    fn put_unknown(&self, blocks: Blocks, position: u64, codes: &mut [u8]) -> Result<()> {
        let end = position + codes.len() as u64;
        // The first block that ends behind the position.
        let (mut low, mut high) = (0, blocks.count);
        while low < high {
            let middle = low.midpoint(high);
            if self.block(blocks, middle)?.1 <= position { low = middle + 1 } else { high = middle }
        }
        for i in low..blocks.count {
            let (from, to) = self.block(blocks, i)?;
            if from >= end {
                break;
            }
            let within = |at: u64| (at.clamp(position, end) - position) as usize;
            codes[within(from)..within(to)].fill(N);
        }
        Ok(())
    }

    fn error(&self, message: impl Into<String>) -> Error {
        Error::format(&self.path, None, message)
    }

    fn record_in_hand(&self) -> Option<&Record> {
        self.records.get(self.entered.checked_sub(1)?)
    }
}

impl ContigReader for Reader {
    fn contigs(&self) -> &[Arc<Contig>] {
        &self.contigs
    }

    fn is_indexed(&self) -> bool {
        true
    }

    fn go_to(&mut self, contig: usize) {
        self.entered = contig;
    }

    fn next_contig(&mut self) -> Result<Option<Arc<Contig>>> {
        let Some(contig) = self.contigs.get(self.entered).cloned() else { return Ok(None) };
        self.check(self.entered)?;
        self.map.seek(self.records[self.entered].bases as usize);
        self.entered += 1;
        self.position = 0;
        Ok(Some(contig))
    }

    fn contig(&self) -> Option<&Arc<Contig>> {
        self.contigs.get(self.entered.checked_sub(1)?)
    }

    fn position(&self) -> u64 {
        self.position
    }

    fn skip_to(&mut self, position: u64) -> Result<()> {
        if let Some(record) = self.record_in_hand() {
            let (bases, position) = (record.bases, position.min(record.length));
            self.map.seek((bases + position / 4) as usize);
            self.position = position;
        }
        Ok(())
    }

    fn give_letters(&mut self) {
        self.letters = true;
    }

    fn read(&mut self, count: u64, out: &mut Vec<u8>) -> Result<u64> {
        let Some(&record) = self.record_in_hand() else { return Ok(0) };
        let stop = self.position.saturating_add(count).min(record.length);
        let (from, have) = (self.position, out.len());
        while self.position < stop {
            let piece_end = stop.min((self.position / 4 + PIECE) * 4);
            let first = self.position / 4;
            let packed = self.bytes(record.bases + first, piece_end.div_ceil(4) - first)?;
            unpack(packed, (self.position % 4) as usize, (piece_end - self.position) as usize, out);
            // The byte in which the next piece begins is read again.
            let passed = piece_end / 4 - first;
            self.map.consume(passed as usize);
            self.position = piece_end;
        }
        let codes = &mut out[have..];
        self.put_unknown(record.unknown, from, codes)?;
        if self.mask_lowercase {
            self.put_unknown(record.masked, from, codes)?;
        }
        if self.letters {
            codes.iter_mut().for_each(|code| *code = b"ACGTN"[usize::from(*code)]);
        }
        Ok(stop - from)
    }

    fn is_regular(&self, _contig: usize) -> bool {
        true
    }

    fn release(&mut self) {
        self.map.release_all();
    }

    fn end_contig(&mut self) -> Result<()> {
        Ok(())
    }

    fn progress(&self) -> (u64, Option<u64>) {
        (self.map.position() as u64, Some(self.map.content().len() as u64))
    }
}

/// The codes of the four bases in a byte, the first in the highest bits. The format's own codes are T 0, C 1, A 2, G 3.
static CODES: [[u8; 4]; 256] = codes();

const fn codes() -> [[u8; 4]; 256] {
    let code = [3, 1, 0, 2];
    let mut table = [[0; 4]; 256];
    let mut i = 0;
    while i < 1024 {
        let (byte, base) = (i / 4, i % 4);
        table[byte][base] = code[(byte >> (6 - 2 * base)) & 3];
        i += 1;
    }
    table
}

/// Appends the codes of `count` bases, of which the first is the `skip`th of the first byte.
fn unpack(packed: &[u8], skip: usize, count: usize, out: &mut Vec<u8>) {
    let Some((first, rest)) = packed.split_first() else { return };
    let stop = out.len() + count;
    out.reserve(count + 4);
    out.extend_from_slice(&CODES[usize::from(*first)][skip..]);
    for byte in rest {
        out.extend_from_slice(&CODES[usize::from(*byte)]);
    }
    out.truncate(stop);
}
