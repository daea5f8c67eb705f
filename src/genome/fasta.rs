//! FASTA: plain files through a memory map and an index, everything else as a stream.
//!
//! Accepted: lines of any length, equal or not, ended by LF or CRLF, the last one by nothing; blank lines; upper
//! and lower case; U for T; IUPAC ambiguity letters, read as N. gzip and BGZF are recognised by content.

use std::collections::HashMap;
use std::collections::hash_map::Entry as Slot;
use std::io::BufRead;
use std::path::{Path, PathBuf};
use std::sync::Arc;

use memchr::{memchr, memchr_iter};

use crate::genome::ContigReader;
use crate::io::input::Input;
use crate::seq::alphabet::{CODE_OF_ASCII, INVALID, encode_in_place};
use crate::seq::contig::Contig;
use crate::{Error, Result};

mod index;

use crate::genome::fasta::index::Entry;

/// Bytes of text parsed at a time: what has been copied is still in the cache when it is translated.
const BLOCK: usize = 16 << 10;

/// Longest contig name taken; a longer one means that the file is something else.
const LONGEST_NAME: usize = 64 << 10;

/// Reads records in order; jumps where there is an index.
#[derive(Debug)]
pub(crate) struct Reader {
    path: PathBuf,
    input: Input,
    mask_lowercase: bool,
    letters: bool,
    /// How the ends of lines are found.
    line_ends: Lines,
    contigs: Vec<Arc<Contig>>,
    /// On a stream: line of every header met, by name.
    headers: HashMap<String, u64>,
    index: Option<Vec<Entry>>,
    /// Records entered so far.
    entered: usize,
    /// Bases of the current record read or passed.
    position: u64,
    /// Newlines read so far; counted on streams only.
    lines: u64,
    place: Place,
}

/// Position of the text within a record's lines.
#[derive(Debug, Clone, Copy)]
struct Place {
    /// At the first byte of a line.
    line_start: bool,
    /// Behind a carriage return that ended a block: a newline must follow.
    after_return: bool,
    /// Behind the last base of the record.
    ended: bool,
}

impl Place {
    const BEFORE: Place = Place { line_start: true, after_return: false, ended: true };
    const FIRST_LINE: Place = Place { line_start: true, after_return: false, ended: false };
}

impl ContigReader for Reader {
    fn contigs(&self) -> &[Arc<Contig>] {
        &self.contigs
    }

    fn is_indexed(&self) -> bool {
        self.index.is_some()
    }

    fn go_to(&mut self, contig: usize) {
        self.entered = contig;
    }

    fn next_contig(&mut self) -> Result<Option<Arc<Contig>>> {
        if let (Some(index), Input::Mapped(map)) = (&self.index, &mut self.input) {
            let Some(entry) = index.get(self.entered) else { return Ok(None) };
            map.seek(entry.offset as usize);
        } else {
            self.advance(u64::MAX, None)?;
            let Some(name) = self.read_header()? else { return Ok(None) };
            self.add_contig(name)?;
        }
        self.place = Place::FIRST_LINE;
        self.position = 0;
        self.entered += 1;
        Ok(Some(Arc::clone(&self.contigs[self.entered - 1])))
    }

    fn contig(&self) -> Option<&Arc<Contig>> {
        self.contigs.get(self.entered.checked_sub(1)?)
    }

    fn position(&self) -> u64 {
        self.position
    }

    fn skip_to(&mut self, position: u64) -> Result<()> {
        let entry = self.index.as_ref().and_then(|index| index.get(self.entered.checked_sub(1)?));
        let inside = entry.filter(|entry| position > self.position && position < entry.length);
        match (inside.and_then(|entry| entry.seek_offset(position)), &mut self.input) {
            (Some((offset, line_start)), Input::Mapped(map)) => {
                map.seek(offset as usize);
                self.place = Place { line_start, ..Place::FIRST_LINE };
                self.position = position;
            }
            _ => {
                self.advance(position.saturating_sub(self.position), None)?;
            }
        }
        Ok(())
    }

    fn give_letters(&mut self) {
        self.letters = true;
    }

    fn read(&mut self, count: u64, out: &mut Vec<u8>) -> Result<u64> {
        self.advance(count, Some(out))
    }

    fn is_regular(&self, contig: usize) -> bool {
        let entry = self.index.as_ref().and_then(|index| index.get(contig));
        entry.is_some_and(|entry| entry.lines.is_some() || entry.length == 0)
    }

    fn release(&mut self) {
        if let Input::Mapped(map) = &self.input {
            map.release_all();
        }
    }

    fn end_contig(&mut self) -> Result<()> {
        if self.index.is_none() {
            self.advance(u64::MAX, None)?;
        }
        Ok(())
    }

    fn progress(&self) -> (u64, Option<u64>) {
        self.input.progress()
    }
}

impl Reader {
    /// Reads up to the first header, and indexes what is mapped.
    pub(crate) fn new(path: &Path, mut input: Input, mask_lowercase: bool) -> Result<Reader> {
        let index = match &mut input {
            Input::Mapped(map) => Some(index::of_file(path, map)?),
            Input::Stream(_) => None,
        };
        let contig = |(id, entry): (usize, &Entry)| {
            Arc::new(Contig { id, name: entry.name.clone(), length: Some(entry.length) })
        };
        let mut reader = Reader {
            path: path.to_path_buf(),
            input,
            mask_lowercase,
            letters: false,
            line_ends: Lines::Alike,
            contigs: index.iter().flatten().enumerate().map(contig).collect(),
            headers: HashMap::new(),
            index,
            entered: 0,
            position: 0,
            lines: 0,
            place: Place::BEFORE,
        };
        reader.find_first_header()?;
        Ok(reader)
    }

    fn advance(&mut self, count: u64, mut out: Option<&mut Vec<u8>>) -> Result<u64> {
        let mut taken = 0;
        while taken < count && !self.place.ended {
            let block = match self.input.fill_buf() {
                Ok(block) => &block[..block.len().min(BLOCK)],
                Err(error) => return Err(self.read_error(error)),
            };
            if block.is_empty() {
                self.place.ended = true;
                break;
            }
            let step = match &mut out {
                Some(out) => {
                    let have = out.len();
                    let mut read = |lines| {
                        out.truncate(have);
                        let step = scan_lines(block, self.place, count - taken, lines, |piece| {
                            out.extend_from_slice(piece);
                        });
                        let translated = if self.letters {
                            capitalise(&mut out[have..])
                        } else {
                            encode_in_place(&mut out[have..], self.mask_lowercase)
                        };
                        (step, translated)
                    };
                    let (mut step, mut translated) = read(self.line_ends);
                    if translated.is_err() && self.line_ends == Lines::Alike {
                        // A line was shorter than the one before, and its end was taken for a letter; or there is an error.
                        // Where that happens once it may happen in each record.
                        self.line_ends = Lines::Any;
                        (step, translated) = read(self.line_ends);
                    }
                    if let Err((at, byte)) = translated {
                        let before = scan_lines(block, self.place, at as u64 + 1, Lines::Any, |_| ());
                        let position = self.position + at as u64;
                        return Err(self.letter_error(byte, position, before.newlines));
                    }
                    step
                }
                None => scan_lines(block, self.place, count - taken, Lines::Any, |_| ()),
            };
            self.input.consume(step.bytes);
            self.lines += step.newlines;
            self.place = step.place;
            self.position += step.bases;
            taken += step.bases;
        }
        if self.place.ended {
            self.check_length()?;
            self.keep_length();
        }
        Ok(taken)
    }

    /// Puts the length of the record that has ended into the list of contigs.
    fn keep_length(&mut self) {
        let length = Some(self.position);
        let current = self.entered.checked_sub(1).and_then(|i| self.contigs.get_mut(i));
        if let Some(contig) = current.filter(|contig| contig.length.is_none()) {
            *contig = Arc::new(Contig { length, ..Contig::clone(contig) });
        }
    }

    /// An index that promised another number of bases has misled every jump.
    fn check_length(&self) -> Result<()> {
        let Some(contig) = self.contig() else { return Ok(()) };
        match contig.length {
            Some(length) if length != self.position => {
                let (path, name, found) = (&self.path, &contig.name, self.position);
                let message = format!(
                    "{name} has {found} bases, and {length} by the index; renew it with samtools faidx"
                );
                Err(Error::format(path, None, message))
            }
            _ => Ok(()),
        }
    }

    /// Passes blank lines before the first header.
    fn find_first_header(&mut self) -> Result<()> {
        let mut line_start = true;
        loop {
            let block = match self.input.fill_buf() {
                Ok(block) => block,
                Err(error) => return Err(self.read_error(error)),
            };
            let blank = block.iter().take_while(|&&byte| matches!(byte, b'\n' | b'\r')).count();
            self.lines += memchr_iter(b'\n', &block[..blank]).count() as u64;
            if let Some(&last) = block[..blank].last() {
                line_start = last == b'\n';
            }
            match block.get(blank) {
                Some(b'>') if line_start => {
                    self.input.consume(blank);
                    return Ok(());
                }
                Some(&byte) => {
                    let message =
                        format!("not a FASTA file: a line with '>' is expected, not {}", show(byte));
                    return Err(Error::format(&self.path, self.lines + 1, message));
                }
                None if block.is_empty() => {
                    let message = "not a FASTA file: it has no sequence";
                    return Err(Error::format(&self.path, None, message));
                }
                None => self.input.consume(blank),
            }
        }
    }

    /// The name in the header line at which the text stands; `None` at the end of the input.
    fn read_header(&mut self) -> Result<Option<String>> {
        let mut header = Vec::new();
        loop {
            let block = match self.input.fill_buf() {
                Ok(block) => block,
                Err(error) => return Err(self.read_error(error)),
            };
            let newline = memchr(b'\n', block);
            let end = newline.unwrap_or(block.len());
            // Of a long description only the start is kept.
            header.extend_from_slice(&block[..end.min((LONGEST_NAME + 2).saturating_sub(header.len()))]);
            let consumed = newline.map_or(end, |newline| newline + 1);
            self.input.consume(consumed);
            if newline.is_some() || consumed == 0 {
                break;
            }
        }
        if header.is_empty() {
            return Ok(None);
        }
        let name = contig_name(&header[1..])
            .map_err(|message| Error::format(&self.path, self.lines + 1, message))?
            .to_owned();
        self.lines += 1;
        Ok(Some(name))
    }

    fn add_contig(&mut self, name: String) -> Result<()> {
        let id = self.contigs.len();
        let line = self.lines;
        match self.headers.entry(name) {
            Slot::Occupied(first) => Err(duplicate_name(&self.path, line, first.key(), *first.get())),
            Slot::Vacant(slot) => {
                let name = slot.key().clone();
                slot.insert(line);
                self.contigs.push(Arc::new(Contig { id, name, length: None }));
                Ok(())
            }
        }
    }

    fn read_error(&self, error: std::io::Error) -> Error {
        Error::io(&self.path, self.input.read_action())(error)
    }

    fn letter_error(&self, byte: u8, position: u64, newlines_before: u64) -> Error {
        let newlines = match &self.input {
            Input::Mapped(map) => memchr_iter(b'\n', &map.content()[..map.position()]).count() as u64,
            Input::Stream(_) => self.lines,
        };
        let name = self.entered.checked_sub(1).map_or("", |i| &self.contigs[i].name);
        let message = format!(
            "{} is not a nucleotide letter (base {} of {name}); is this a FASTA of DNA or RNA?",
            show(byte),
            position + 1
        );
        Error::format(&self.path, newlines + newlines_before + 1, message)
    }
}

/// Counts of what [`scan_lines`] has passed.
struct Step {
    bytes: usize,
    bases: u64,
    newlines: u64,
    place: Place,
}

/// How the end of a line is found.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Lines {
    /// By a search.
    Any,
    /// Where the line before would end, if there is a line end; a shorter line and its end are then taken for bases, which
    /// whoever reads letters notices.
    Alike,
}

/// Hands the pieces of sequence lines in `block` to `take`, without line ends, until `limit` bases are taken, the
/// record ends at a `>`, or the block does.
#[inline]
fn scan_lines(block: &[u8], mut place: Place, limit: u64, lines: Lines, mut take: impl FnMut(&[u8])) -> Step {
    let (mut at, mut bases, mut newlines) = (0, 0, 0);
    let mut width = usize::MAX;
    if place.after_return {
        place.after_return = false;
        if block[0] != b'\n' {
            // Not the end of a line after all: let it be refused as a letter.
            take(b"\r");
            bases += 1;
        }
    }
    while at < block.len() && bases < limit {
        let rest = &block[at..];
        if place.line_start && rest[0] == b'>' {
            place.ended = true;
            break;
        }
        let newline = match rest.get(width) {
            Some(b'\n') if lines == Lines::Alike => Some(width),
            _ => memchr(b'\n', rest),
        };
        let end = newline.unwrap_or(rest.len());
        width = end;
        let line = rest[..end].strip_suffix(b"\r").unwrap_or(&rest[..end]);
        let left = usize::try_from(limit - bases).unwrap_or(usize::MAX);
        if line.len() > left {
            take(&line[..left]);
            bases += left as u64;
            at += left;
            place.line_start = false;
            break;
        }
        take(line);
        bases += line.len() as u64;
        at += end;
        place.line_start = newline.is_some();
        if newline.is_some() {
            at += 1;
            newlines += 1;
        } else {
            place.after_return = line.len() < end;
        }
    }
    Step { bytes: at, bases, newlines, place }
}

/// The contig's name: the first word of a header line (without its `>`).
///
/// # Errors
/// Why there is none.
pub(crate) fn contig_name(header: &[u8]) -> Result<&str, String> {
    let header = header.strip_suffix(b"\n").unwrap_or(header);
    let header = header.strip_suffix(b"\r").unwrap_or(header);
    if header.contains(&b'\r') {
        return Err("a header contains a carriage return; convert the line ends to newlines".into());
    }
    let end = header.iter().position(u8::is_ascii_whitespace).unwrap_or(header.len());
    if end > LONGEST_NAME {
        return Err(format!("a contig name is longer than {LONGEST_NAME} bytes; is this a FASTA file?"));
    }
    match std::str::from_utf8(&header[..end]) {
        Ok("") => Err("a header has no name after its '>'".into()),
        Ok(name) if !name.contains(char::is_control) => Ok(name),
        _ => Err("a contig name is not plain text; is this a FASTA file?".into()),
    }
}

pub(crate) fn duplicate_name(path: &Path, line: u64, name: &str, first: u64) -> Error {
    Error::format(
        path,
        line,
        format!("contig name {name} occurs twice (first on line {first}); rename one of them"),
    )
}

/// Turns letters into capitals; gives the place of the first byte that is no nucleotide letter.
fn capitalise(letters: &mut [u8]) -> Result<(), (usize, u8)> {
    match letters.iter().position(|&letter| CODE_OF_ASCII[usize::from(letter)] == INVALID) {
        Some(at) => Err((at, letters[at])),
        None => {
            letters.make_ascii_uppercase();
            Ok(())
        }
    }
}

fn show(byte: u8) -> String {
    if byte.is_ascii_graphic() || byte == b' ' {
        format!("'{}'", byte as char)
    } else {
        format!("byte {byte:#04x}")
    }
}
