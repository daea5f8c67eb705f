//! Index of the records of a plain FASTA file: read from a `.fai` that fits the file, or built from the file.

use std::collections::{HashMap, HashSet};
use std::fs;
use std::io::BufRead;
use std::path::{Path, PathBuf};

use memchr::memchr;

use crate::genome::fasta::{contig_name, duplicate_name};
use crate::io::mmap::MappedFile;
use crate::{Error, Result};

/// Bytes of a line looked at before their pages may be handed back.
const PIECE: usize = 1 << 20;

/// One record of an index.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Entry {
    pub(crate) name: String,
    /// Bases.
    pub(crate) length: u64,
    /// File offset of the first line after the header.
    pub(crate) offset: u64,
    /// Line layout, where all lines but the last have the same: else the record can only be read in order.
    pub(crate) lines: Option<Lines>,
}

/// Bases and bytes of a line.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Lines {
    pub(crate) bases: u64,
    pub(crate) width: u64,
}

impl Entry {
    /// File offset of base `position`, and whether it starts a line; `None` if only reading can tell.
    pub(crate) fn seek_offset(&self, position: u64) -> Option<(u64, bool)> {
        let Lines { bases, width } = self.lines?;
        let column = position % bases;
        let offset = (position / bases).checked_mul(width)?.checked_add(column)?.checked_add(self.offset)?;
        Some((offset, column == 0))
    }
}

/// The index of `map`: from the `.fai` beside `path` where that is at least as new as the file and fits it,
/// otherwise from the file itself.
pub(crate) fn of_file(path: &Path, map: &mut MappedFile) -> Result<Vec<Entry>> {
    match beside(path, map) {
        Some(entries) => Ok(entries),
        None => build(path, map),
    }
}

fn beside(path: &Path, map: &mut MappedFile) -> Option<Vec<Entry>> {
    let mut name = path.as_os_str().to_owned();
    name.push(".fai");
    let index = PathBuf::from(name);
    if !index.exists() {
        return None;
    }
    let ignored = |reason: &str| {
        log::warn!("{}: {reason}; it is ignored (samtools faidx renews it)", index.display());
        None
    };
    let modified = |path: &Path| fs::metadata(path).and_then(|metadata| metadata.modified());
    match (modified(&index), modified(path)) {
        (Ok(index), Ok(file)) if index < file => return ignored("the index is older than the file"),
        (Err(_), _) | (_, Err(_)) => return ignored("the index has no time of change"),
        _ => {}
    }
    let entries = fs::read_to_string(&index).ok().and_then(|fai| parse_fai(&fai));
    match entries.filter(|entries| fits(entries, map)) {
        Some(entries) => Some(entries),
        None => ignored("the index does not fit the file"),
    }
}

/// Reads name, length, offset, bases and bytes a line.
fn parse_fai(fai: &str) -> Option<Vec<Entry>> {
    fai.lines()
        .map(|line| {
            let mut columns = line.split('\t');
            let name = columns.next()?.to_owned();
            let mut number = || columns.next()?.parse::<u64>().ok();
            let (length, offset, bases, width) = (number()?, number()?, number()?, number()?);
            let lines = (length > 0).then_some(Lines { bases, width });
            let sound = length == 0 || (bases > 0 && width >= bases);
            sound.then_some(Entry { name, length, offset, lines })
        })
        .collect()
}

/// True if the entries follow each other through the file from its first byte to its last: each stands behind a
/// header of its name, and where its bases end the next begins. Leaves the map where it stands.
fn fits(entries: &[Entry], map: &mut MappedFile) -> bool {
    let (start, mut names) = (map.position(), HashSet::new());
    let follow = entries.iter().all(|entry| {
        let end = end_if_next(entry, &map.content()[map.position()..], map.position());
        map.consume(end.unwrap_or(0));
        end.is_some() && names.insert(entry.name.as_str())
    });
    let whole = !entries.is_empty() && map.content()[map.position()..].trim_ascii().is_empty();
    map.seek(start);
    follow && whole
}

/// Number of bytes of `text`, which starts at file offset `at`, reach to the end of the bases of `entry`, if it is
/// the first record there.
fn end_if_next(entry: &Entry, text: &[u8], at: usize) -> Option<usize> {
    let within = |offset: u64| usize::try_from(offset).ok()?.checked_sub(at).filter(|&i| i <= text.len());
    let header = text[..within(entry.offset)?].trim_ascii_start().strip_prefix(b">")?;
    let one_line = memchr(b'\n', header).is_none_or(|newline| newline + 1 == header.len());
    if !one_line || contig_name(header).ok()? != entry.name {
        return None;
    }
    match entry.length.checked_sub(1) {
        Some(last) => within(entry.seek_offset(last)?.0.checked_add(1)?),
        None => within(entry.offset),
    }
}

/// Finds the records of `map` line by line from where it stands, and leaves it there.
fn build(path: &Path, map: &mut MappedFile) -> Result<Vec<Entry>> {
    let mut builder = Builder { path, entries: Vec::new(), names: HashMap::new(), layout: Layout::default() };
    let (start, size) = (map.position(), map.content().len());
    let mut line_number = 0;
    while map.position() < size {
        line_number += 1;
        let offset = map.position();
        pass_line(map);
        builder.line(&map.content()[offset..map.position()], offset as u64, line_number)?;
    }
    map.seek(start);
    builder.finish()
}

/// Consumes a line piece by piece: a chromosome on one line is not to be resident all at once.
fn pass_line(map: &mut MappedFile) {
    loop {
        let rest = &map.content()[map.position()..];
        let piece = &rest[..rest.len().min(PIECE)];
        let newline = memchr(b'\n', piece);
        let (passed, last) = (newline.map_or(piece.len(), |at| at + 1), piece.len() == rest.len());
        map.consume(passed);
        if newline.is_some() || last {
            return;
        }
    }
}

struct Builder<'a> {
    path: &'a Path,
    entries: Vec<Entry>,
    /// Header line of each name.
    names: HashMap<String, u64>,
    layout: Layout,
}

/// State of the current record's lines so far.
#[derive(Default)]
struct Layout {
    lines: Option<Lines>,
    /// A line was shorter than the first, or blank: no line may follow in a regular record.
    ended: bool,
    irregular: bool,
}

impl Builder<'_> {
    fn line(&mut self, line: &[u8], offset: u64, number: u64) -> Result<()> {
        if line[0] == b'>' {
            self.close();
            let name = contig_name(&line[1..]).map_err(|m| Error::format(self.path, number, m))?;
            if let Some(first) = self.names.insert(name.to_owned(), number) {
                return Err(duplicate_name(self.path, number, name, first));
            }
            let offset = offset + line.len() as u64;
            self.entries.push(Entry { name: name.to_owned(), length: 0, offset, lines: None });
            return Ok(());
        }
        let content = line.strip_suffix(b"\n").unwrap_or(line);
        let content = content.strip_suffix(b"\r").unwrap_or(content);
        let Some(entry) = self.entries.last_mut() else {
            // Blank lines before the first header; the reader reports anything else.
            return Ok(());
        };
        entry.length += content.len() as u64;
        self.layout.add(content.len() as u64, line.len() as u64);
        Ok(())
    }

    fn close(&mut self) {
        let layout = std::mem::take(&mut self.layout);
        if let Some(entry) = self.entries.last_mut() {
            entry.lines = layout.lines.filter(|_| !layout.irregular);
        }
    }

    fn finish(mut self) -> Result<Vec<Entry>> {
        self.close();
        Ok(self.entries)
    }
}

impl Layout {
    fn add(&mut self, bases: u64, width: u64) {
        if bases == 0 {
            // A blank first line shifts all that follow.
            self.irregular |= self.lines.is_none();
            self.ended = true;
            return;
        }
        let first = *self.lines.get_or_insert(Lines { bases, width });
        self.irregular |= self.ended || bases > first.bases;
        let same = bases == first.bases && width == first.width;
        self.ended |= !same;
    }
}
