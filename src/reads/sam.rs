//! SAM text: its lines as the records of BAM.

use std::io::{BufRead, BufReader};
use std::ops::Range;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};

use noodles::sam::alignment::io::Write;
use noodles::{bam, sam};

use crate::io::input::{Counted, RawInput};
use crate::reads::RecordReader;
use crate::reads::header::Header;
use crate::{Error, Result};

/// Bytes of the length that stands before a record.
const LENGTH: usize = 4;

/// Reads the lines of a SAM file.
pub(crate) struct Reader {
    path: PathBuf,
    lines: sam::io::Reader<BufReader<Counted<RawInput>>>,
    header: sam::Header,
    record: sam::Record,
    encoder: bam::io::Writer<Vec<u8>>,
    records: u64,
    consumed: Arc<AtomicU64>,
}

impl Reader {
    /// Reads the header.
    ///
    /// # Errors
    /// A header that cannot be read.
    pub(crate) fn new(path: &Path, input: RawInput) -> Result<(Reader, Header)> {
        let consumed = Arc::new(AtomicU64::new(0));
        let mut text = BufReader::new(Counted::new(input, Arc::clone(&consumed)));
        let mut head = Vec::new();
        while text.fill_buf().map_err(Error::io(path, "cannot read"))?.first() == Some(&b'@') {
            text.read_until(b'\n', &mut head).map_err(Error::io(path, "cannot read"))?;
        }
        let (header, known) = Header::from_lines(path, &head)?;
        let reader = Reader {
            path: path.to_path_buf(),
            lines: sam::io::Reader::new(text),
            header,
            record: sam::Record::default(),
            encoder: bam::io::Writer::from(Vec::new()),
            records: 0,
            consumed,
        };
        Ok((reader, known))
    }
}

impl RecordReader for Reader {
    fn read(&mut self, out: &mut Vec<u8>) -> Result<bool> {
        let number = self.records + 1;
        let path = &self.path;
        let wrong = |error: std::io::Error| {
            Error::format(path, None, format!("record {number} is no line of SAM: {error}"))
        };
        if self.lines.read_record(&mut self.record).map_err(wrong)? == 0 {
            return Ok(false);
        }
        self.encoder.get_mut().clear();
        self.encoder.write_alignment_record(&self.header, &self.record).map_err(wrong)?;
        out.extend_from_slice(&self.encoder.get_ref()[LENGTH..]);
        self.records = number;
        Ok(true)
    }

    fn go_to(&mut self, _contig: usize, _region: &Range<u64>) -> Result<()> {
        unreachable!("regions are refused where there is no index")
    }

    fn position(&self) -> u64 {
        self.consumed.load(Ordering::Relaxed)
    }
}
