//! Short sequences for `bindscan score`: FASTA, one a line, or a column of a table; gzip or not.

use std::cell::Cell;
use std::io::BufRead;
use std::path::{Path, PathBuf};

use crate::io::input::Input;
use crate::seq::alphabet;
use crate::{Error, Result};

/// A named sequence.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Sequence {
    /// FASTA name, or the letters themselves where the format has no names.
    pub name: String,
    /// Codes of the bases.
    pub codes: Vec<u8>,
}

/// Column of a table that holds the sequences.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Column {
    /// 1-based rank; the table has no header.
    Rank(usize),
    /// Name in the header line.
    Name(String),
}

enum Form {
    /// The header line that was read last: the next record's.
    Fasta {
        header: Option<String>,
    },
    /// The line that was read last: a name, a sequence and more.
    Located {
        first: Option<String>,
    },
    Lines,
    /// 0-based column.
    Table {
        column: usize,
    },
}

/// Reads sequences one by one. Without a column, an input whose first character is `>` is FASTA and any other has one
/// sequence a line.
pub struct SequenceReader {
    path: PathBuf,
    input: Input,
    form: Form,
    line: u64,
    text: String,
    ambiguous: Cell<u64>,
}

impl SequenceReader {
    /// Opens `path`; `-` is standard input.
    ///
    /// # Errors
    /// An unreadable file, an empty one, or one without the column.
    pub fn open(path: &Path, column: Option<&Column>) -> Result<SequenceReader> {
        SequenceReader::new(path, Input::open(path)?, column)
    }

    /// Reads from an input that is open already; `path` stands for it in messages.
    ///
    /// # Errors
    /// As [`SequenceReader::open`].
    pub fn new(path: &Path, input: Input, column: Option<&Column>) -> Result<SequenceReader> {
        let mut reader = SequenceReader {
            path: path.to_path_buf(),
            input,
            form: Form::Lines,
            line: 0,
            text: String::new(),
            ambiguous: Cell::new(0),
        };
        match column {
            Some(Column::Rank(rank)) => reader.form = Form::Table { column: rank - 1 },
            Some(Column::Name(name)) => {
                if !reader.next_line()? {
                    return Err(reader.error("is empty; a header line was expected"));
                }
                let found = reader.text.split('\t').position(|field| field == name);
                let columns = reader.text.replace('\t', ", ");
                let missing = || reader.error(format!("has no column {name}; it has {columns}"));
                reader.form = Form::Table { column: found.ok_or_else(missing)? };
            }
            None => {
                let first = reader.input.fill_buf().map_err(Error::io(path, "cannot read"))?.first().copied();
                if first == Some(b'>') {
                    reader.next_line()?;
                    let line = Some(reader.text.clone());
                    reader.form = match is_located(&reader.text) {
                        true => Form::Located { first: line },
                        false => Form::Fasta { header: line },
                    };
                }
            }
        }
        Ok(reader)
    }

    /// Reads FASTA from behind its first header, which is line `line` of the file.
    pub(crate) fn after_header(path: &Path, input: Input, line: u64, header: String) -> SequenceReader {
        let form = Form::Fasta { header: Some(header) };
        let (text, ambiguous) = (String::new(), Cell::new(0));
        SequenceReader { path: path.to_path_buf(), input, form, line, text, ambiguous }
    }

    /// Letters read so far that stand for several bases (R, Y and others) and were read as N.
    pub fn ambiguous(&self) -> u64 {
        self.ambiguous.get()
    }

    /// The next sequence; `None` at the end.
    ///
    /// # Errors
    /// Unreadable input, or a character that is no nucleotide, with its line.
    pub fn read(&mut self) -> Result<Option<Sequence>> {
        match &mut self.form {
            Form::Fasta { header } => {
                let Some(header) = header.take() else { return Ok(None) };
                self.read_record(&header).map(Some)
            }
            Form::Located { first } => {
                match first.take() {
                    Some(first) => self.text = first,
                    None if !self.next_filled_line()? => return Ok(None),
                    None => {}
                }
                let mut words = self.text.split_whitespace();
                let (Some(name), Some(letters)) = (words.next(), words.next()) else {
                    return Err(self.error("has no sequence after its name"));
                };
                let name = name.trim_start_matches('>').to_owned();
                Ok(Some(Sequence { codes: self.encode(letters)?, name }))
            }
            Form::Lines => {
                if !self.next_filled_line()? {
                    return Ok(None);
                }
                if self.text.contains('\t') {
                    return Err(self.error("has several columns; name the one with the sequences (--column)"));
                }
                let name = self.text.clone();
                Ok(Some(Sequence { codes: self.encode(&name)?, name }))
            }
            &mut Form::Table { column } => {
                if !self.next_filled_line()? {
                    return Ok(None);
                }
                let field = self.text.split('\t').nth(column).map(str::to_owned);
                let name = field.ok_or_else(|| self.error(format!("has no column {}", column + 1)))?;
                Ok(Some(Sequence { codes: self.encode(&name)?, name }))
            }
        }
    }

    fn read_record(&mut self, header: &str) -> Result<Sequence> {
        let name = header[1..].split_whitespace().next().unwrap_or_default().to_owned();
        if name.is_empty() {
            return Err(self.error("a record has no name after >"));
        }
        let mut codes = Vec::new();
        while self.next_line()? {
            if self.text.starts_with('>') {
                self.form = Form::Fasta { header: Some(self.text.clone()) };
                break;
            }
            codes.extend(self.encode(&self.text)?);
        }
        Ok(Sequence { name, codes })
    }

    fn encode(&self, letters: &str) -> Result<Vec<u8>> {
        self.ambiguous.set(self.ambiguous.get() + alphabet::count_ambiguous(letters.as_bytes()));
        alphabet::encode(letters.as_bytes()).map_err(|(at, byte)| {
            let shown = char::from(byte).escape_default();
            let header = if self.line == 1 && matches!(self.form, Form::Table { .. }) {
                "; if this is a header, give the column's name"
            } else {
                ""
            };
            self.error(format!("'{shown}' (character {}) is not a nucleotide{header}", at + 1))
        })
    }

    fn next_filled_line(&mut self) -> Result<bool> {
        while self.next_line()? {
            if !self.text.trim().is_empty() {
                return Ok(true);
            }
        }
        Ok(false)
    }

    /// Reads a line, without its end, into `text`.
    fn next_line(&mut self) -> Result<bool> {
        self.text.clear();
        let count = {
            let action = self.input.read_action();
            self.input.read_line(&mut self.text).map_err(Error::io(&self.path, action))?
        };
        self.line += 1;
        self.text.truncate(self.text.trim_end_matches(['\n', '\r']).len());
        Ok(count > 0)
    }

    fn error(&self, message: impl Into<String>) -> Error {
        Error::format(&self.path, self.line, message)
    }
}

/// Letters that the second word of a header has at least if it is to be taken for the record's sequence.
const SHORTEST_IN_HEADER: usize = 8;

/// True if a line that starts with `>` is a whole record, as `>chr20:307938-308038 ACGT… 0`: a name, a sequence and
/// numbers.
pub(crate) fn is_located(line: &str) -> bool {
    let mut words = line.split_whitespace();
    let named = words.next().is_some_and(|name| name.len() > 1 && name.starts_with('>'));
    let is_sequence = |word: &str| {
        word.len() >= SHORTEST_IN_HEADER && word.bytes().all(|letter| b"ACGTUNacgtun".contains(&letter))
    };
    named
        && words.next().is_some_and(is_sequence)
        && words.next().is_some_and(|word| word.parse::<f32>().is_ok())
        && words.all(|word| word.parse::<f32>().is_ok())
}

#[cfg(test)]
mod tests {
    use super::*;

    fn read(text: &str, column: Option<&Column>) -> Result<Vec<(String, Vec<u8>)>> {
        let file = tempfile::NamedTempFile::new().unwrap();
        std::fs::write(file.path(), text).unwrap();
        let mut reader = SequenceReader::open(file.path(), column)?;
        let mut all = Vec::new();
        while let Some(sequence) = reader.read()? {
            all.push((sequence.name, sequence.codes));
        }
        Ok(all)
    }

    fn sequence(name: &str, codes: &[u8]) -> (String, Vec<u8>) {
        (name.into(), codes.into())
    }

    #[test]
    fn three_forms_are_read() {
        let want = [sequence("a", &[0, 1, 4]), sequence("b", &[]), sequence("c", &[3, 3])];
        assert_eq!(read(">a x\r\nAC\r\nn\r\n>b\n>c\n\ntU", None).unwrap(), want);
        assert_eq!(read("ACn\n\nGG", None).unwrap(), [sequence("ACn", &[0, 1, 4]), sequence("GG", &[2, 2])]);
        let table = "id\tseq\n1\tAC\n2\tGT\n";
        let want = [sequence("AC", &[0, 1]), sequence("GT", &[2, 3])];
        assert_eq!(read(table, Some(&Column::Name("seq".into()))).unwrap(), want);
        assert_eq!(read("1\tAC\n2\tGT\n", Some(&Column::Rank(2))).unwrap(), want);
        assert_eq!(read("", None).unwrap(), []);
    }

    #[test]
    fn what_is_wrong_is_said_with_its_line() {
        let cases = [
            ("ACGT\nAC!T\n", None, "line 2: '!' (character 3) is not a nucleotide"),
            ("ACGT\tx\n", None, "several columns"),
            (">\nACGT\n", None, "no name"),
            ("id\tseq\n", Some(&Column::Name("sequence".into())), "no column sequence; it has id, seq"),
            ("AC\n", Some(&Column::Rank(2)), "line 1: has no column 2"),
        ];
        for (text, column, message) in cases {
            let error = read(text, column).unwrap_err().to_string();
            assert!(error.contains(message), "{error}");
        }
    }
}
