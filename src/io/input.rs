//! Inputs by path: mapped where possible, otherwise read in order, decompressed on the way.

use std::fmt;
use std::fs::File;
use std::io::{self, BufRead, BufReader, Read, Seek, SeekFrom, Write};
use std::path::Path;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};

use flate2::bufread::{GzDecoder, MultiGzDecoder};
use noodles::bgzf;

use crate::io::mmap::MappedFile;
use crate::{Error, Result};

/// Bytes that tell the formats apart: a gzip header and the first subfield of its extra field.
const HEAD: usize = 18;

const BUFFER: usize = 128 << 10;

/// The mark with which some editors begin UTF-8 text.
const BYTE_ORDER_MARK: &[u8] = b"\xEF\xBB\xBF";

/// An empty BGZF block, with which every whole BGZF file ends (SAM specification, section 4.1.2).
pub(crate) const BGZF_END: [u8; 28] =
    [31, 139, 8, 4, 0, 0, 0, 0, 0, 255, 6, 0, 66, 67, 2, 0, 27, 0, 3, 0, 0, 0, 0, 0, 0, 0, 0, 0];

/// Source of text.
pub enum Input {
    /// A plain file in memory: any offset can be reached.
    Mapped(MappedFile),
    /// Anything else: read in order.
    Stream(Stream),
}

/// Text that is read in order; compressed input is decompressed.
pub struct Stream {
    text: Box<dyn BufRead + Send>,
    consumed: Arc<AtomicU64>,
    total: Option<u64>,
    compressed: bool,
}

/// A file or stream as it is, compressed or not; what it holds shows in its first bytes.
pub enum RawInput {
    /// A file in memory.
    Mapped(MappedFile),
    /// Anything else.
    Stream(RawStream),
}

/// A stream of which the first bytes have been read, and are given once more.
pub struct RawStream {
    head: io::Cursor<Vec<u8>>,
    rest: Box<dyn Read + Send>,
    total: Option<u64>,
}

impl RawInput {
    /// Opens a file, or standard input if `path` is `-`.
    ///
    /// # Errors
    /// The file cannot be opened, or is a directory.
    pub fn open(path: &Path) -> Result<RawInput> {
        if path.as_os_str() == "-" {
            return RawInput::from_stream(path, io::stdin(), None);
        }
        let file = File::open(path).map_err(Error::io(path, "cannot open"))?;
        let metadata = file.metadata().map_err(Error::io(path, "cannot open"))?;
        if metadata.is_dir() {
            return Err(Error::format(path, None, "this is a directory; give the file in it"));
        }
        if metadata.is_file()
            && let Ok(mapped) = MappedFile::open(&file)
        {
            return Ok(RawInput::Mapped(mapped));
        }
        RawInput::from_stream(path, file, metadata.is_file().then_some(metadata.len()))
    }

    /// Wraps any reader; `path` is for messages, `total` its size in bytes where known.
    ///
    /// # Errors
    /// The first bytes cannot be read.
    pub fn from_stream(
        path: &Path,
        mut reader: impl Read + Send + 'static,
        total: Option<u64>,
    ) -> Result<RawInput> {
        // A pipe may give its first bytes one at a time.
        let mut head = Vec::with_capacity(HEAD);
        let mut take = |count: usize, head: &mut Vec<u8>| {
            let taken = reader.by_ref().take(count as u64).read_to_end(head);
            taken.map_err(Error::io(path, "cannot read"))
        };
        take(HEAD, &mut head)?;
        if is_bgzf(&head) {
            take(
                (usize::from(u16::from_le_bytes([head[16], head[17]])) + 1).saturating_sub(HEAD),
                &mut head,
            )?;
        }
        Ok(RawInput::Stream(RawStream { head: io::Cursor::new(head), rest: Box::new(reader), total }))
    }

    /// The first bytes: of BGZF, the first block, of which the first bytes can be had.
    fn head(&self) -> &[u8] {
        match self {
            RawInput::Mapped(map) => map.content(),
            RawInput::Stream(stream) => stream.head.get_ref(),
        }
    }

    /// The first bytes; of BGZF, those that are compressed in it.
    pub(crate) fn start(&self) -> Vec<u8> {
        let head = self.head();
        let mut start = Vec::new();
        // Bytes that cannot be decompressed are an error to whoever reads them.
        let _ = match is_bgzf(head) {
            true => MultiGzDecoder::new(head).take(HEAD as u64).read_to_end(&mut start),
            false => head.take(HEAD as u64).read_to_end(&mut start),
        };
        start
    }

    /// True if it is made of BGZF blocks.
    pub(crate) fn is_bgzf(&self) -> bool {
        is_bgzf(self.head())
    }

    /// True if it is a BGZF file that goes on behind its end with zeros, as a gzip file may.
    fn is_padded_bgzf(&self) -> bool {
        let RawInput::Mapped(map) = self else { return false };
        let content = map.content();
        let zeros = content.iter().rev().take_while(|&&byte| byte == 0).count();
        // The end-of-file block itself ends with zeros.
        let own = BGZF_END.iter().rev().take_while(|&&byte| byte == 0).count();
        zeros > own && content[..content.len() - (zeros - own)].ends_with(&BGZF_END)
    }

    /// Its size in bytes, where that is known.
    pub(crate) fn total(&self) -> Option<u64> {
        match self {
            RawInput::Mapped(map) => Some(map.content().len() as u64),
            RawInput::Stream(stream) => stream.total,
        }
    }
}

impl fmt::Debug for RawInput {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            RawInput::Mapped(map) => f.debug_tuple("Mapped").field(map).finish(),
            RawInput::Stream(stream) => f.debug_tuple("Stream").field(&stream.total).finish(),
        }
    }
}

impl Read for RawInput {
    fn read(&mut self, out: &mut [u8]) -> io::Result<usize> {
        match self {
            RawInput::Mapped(map) => map.read(out),
            RawInput::Stream(stream) => match stream.head.read(out)? {
                0 => stream.rest.read(out),
                count => Ok(count),
            },
        }
    }
}

impl Seek for RawInput {
    fn seek(&mut self, place: SeekFrom) -> io::Result<u64> {
        match (self, place) {
            (RawInput::Mapped(map), SeekFrom::Start(offset)) => {
                map.seek(usize::try_from(offset).unwrap_or(usize::MAX));
                Ok(map.position() as u64)
            }
            _ => Err(io::ErrorKind::Unsupported.into()),
        }
    }
}

impl Input {
    /// Opens a file, or standard input if `path` is `-`. gzip and BGZF are recognised by content.
    ///
    /// # Errors
    /// The file cannot be opened, or is a directory.
    pub fn open(path: &Path) -> Result<Input> {
        RawInput::open(path).map(Input::from)
    }

    /// Bytes of the file consumed so far (compressed ones, if it is), and in all where known.
    pub fn progress(&self) -> (u64, Option<u64>) {
        match self {
            Input::Mapped(map) => (map.position() as u64, Some(map.content().len() as u64)),
            Input::Stream(stream) => (stream.consumed.load(Ordering::Relaxed), stream.total),
        }
    }

    /// True if it is decompressed on the way.
    pub fn is_compressed(&self) -> bool {
        matches!(self, Input::Stream(Stream { compressed: true, .. }))
    }

    /// The same text, mapped: what is read in order is put into a temporary file first.
    ///
    /// # Errors
    /// Errors of reading, and of keeping what was read.
    pub fn into_mapped(self, path: &Path) -> Result<Input> {
        let action = self.read_action();
        let Input::Stream(mut stream) = self else { return Ok(self) };
        let keep =
            || Error::io(std::env::temp_dir(), "cannot unpack the genome there (TMPDIR names another place)");
        let mut file = tempfile::tempfile().map_err(keep())?;
        loop {
            let block = stream.text.fill_buf().map_err(Error::io(path, action))?;
            if block.is_empty() {
                break;
            }
            file.write_all(block).map_err(keep())?;
            let consumed = block.len();
            stream.text.consume(consumed);
        }
        MappedFile::open(&file).map(Input::Mapped).map_err(keep())
    }

    /// The error for a failed read.
    pub fn read_action(&self) -> &'static str {
        match self {
            Input::Stream(Stream { compressed: true, .. }) => "cannot decompress (cut short or damaged?)",
            _ => "cannot read",
        }
    }

    fn reader(&mut self) -> &mut dyn BufRead {
        match self {
            Input::Mapped(map) => map,
            Input::Stream(stream) => &mut *stream.text,
        }
    }
}

impl fmt::Debug for Input {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Input::Mapped(map) => f.debug_tuple("Mapped").field(map).finish(),
            Input::Stream(stream) => f.debug_tuple("Stream").field(&stream.total).finish(),
        }
    }
}

impl Read for Input {
    fn read(&mut self, out: &mut [u8]) -> io::Result<usize> {
        self.reader().read(out)
    }
}

impl BufRead for Input {
    fn fill_buf(&mut self) -> io::Result<&[u8]> {
        self.reader().fill_buf()
    }

    fn consume(&mut self, amount: usize) {
        self.reader().consume(amount);
    }
}

impl From<RawInput> for Input {
    fn from(raw: RawInput) -> Input {
        match raw {
            RawInput::Mapped(mut map) if !is_gzip(map.content()) => {
                if map.content().starts_with(BYTE_ORDER_MARK) {
                    map.consume(BYTE_ORDER_MARK.len());
                }
                Input::Mapped(map)
            }
            raw => Input::Stream(Stream::new(raw)),
        }
    }
}

impl Stream {
    fn new(raw: RawInput) -> Stream {
        let (gzip, total) = (is_gzip(raw.head()), raw.total());
        let bgzf = raw.is_bgzf() && !raw.is_padded_bgzf();
        let consumed = Arc::new(AtomicU64::new(0));
        let counted = Counted::new(raw, Arc::clone(&consumed));
        let text: Box<dyn BufRead + Send> = if bgzf {
            Box::new(BgzfText(bgzf::io::Reader::new(counted)))
        } else if gzip {
            let members = Members::new(BufReader::with_capacity(BUFFER, counted));
            Box::new(BufReader::with_capacity(BUFFER, members))
        } else {
            Box::new(BufReader::with_capacity(BUFFER, counted))
        };
        let text = Box::new(Unmarked { text, begun: false, head: io::Cursor::default() });
        Stream { text, consumed, total, compressed: gzip }
    }
}

/// Text without the byte order mark that it may begin with.
struct Unmarked {
    text: Box<dyn BufRead + Send>,
    begun: bool,
    /// First bytes that had to be taken out to tell, and are no mark.
    head: io::Cursor<Vec<u8>>,
}

impl Unmarked {
    fn begin(&mut self) -> io::Result<()> {
        let block = self.text.fill_buf()?;
        if block.starts_with(BYTE_ORDER_MARK) {
            self.text.consume(BYTE_ORDER_MARK.len());
        } else if !block.is_empty() && BYTE_ORDER_MARK.starts_with(block) {
            let mut head = Vec::new();
            self.text.by_ref().take(BYTE_ORDER_MARK.len() as u64).read_to_end(&mut head)?;
            if head != BYTE_ORDER_MARK {
                self.head = io::Cursor::new(head);
            }
        }
        self.begun = true;
        Ok(())
    }

    fn has_head(&self) -> bool {
        self.head.position() < self.head.get_ref().len() as u64
    }
}

impl BufRead for Unmarked {
    fn fill_buf(&mut self) -> io::Result<&[u8]> {
        if !self.begun {
            self.begin()?;
        }
        if self.has_head() { self.head.fill_buf() } else { self.text.fill_buf() }
    }

    fn consume(&mut self, amount: usize) {
        if self.has_head() {
            self.head.consume(amount);
        } else {
            self.text.consume(amount);
        }
    }
}

impl Read for Unmarked {
    fn read(&mut self, out: &mut [u8]) -> io::Result<usize> {
        if self.begun && !self.has_head() {
            return self.text.read(out);
        }
        let count = self.fill_buf()?.read(out)?;
        self.consume(count);
        Ok(count)
    }
}

/// The members of a gzip file, one after the other. Zeros behind one are padding, as tapes and some archives leave it.
struct Members<R>(Option<GzDecoder<R>>);

impl<R: BufRead> Members<R> {
    fn new(compressed: R) -> Members<R> {
        Members(Some(GzDecoder::new(compressed)))
    }
}

impl<R: BufRead> Read for Members<R> {
    fn read(&mut self, out: &mut [u8]) -> io::Result<usize> {
        while let Some(member) = &mut self.0 {
            let count = member.read(out)?;
            if count > 0 || out.is_empty() {
                return Ok(count);
            }
            let Some(mut compressed) = self.0.take().map(GzDecoder::into_inner) else { break };
            if pass_zeros(&mut compressed)? {
                self.0 = Some(GzDecoder::new(compressed));
            }
        }
        Ok(0)
    }
}

/// Passes zeros; `false` if the input ends with them.
fn pass_zeros(input: &mut impl BufRead) -> io::Result<bool> {
    loop {
        let block = input.fill_buf()?;
        if block.is_empty() {
            return Ok(false);
        }
        let zeros = block.iter().take_while(|&&byte| byte == 0).count();
        let more = zeros < block.len();
        input.consume(zeros);
        if more {
            return Ok(true);
        }
    }
}

fn is_gzip(head: &[u8]) -> bool {
    head.starts_with(&[0x1f, 0x8b])
}

fn is_bgzf(head: &[u8]) -> bool {
    is_gzip(head) && head.len() >= HEAD && head[3] & 4 != 0 && head[12..16] == *b"BC\x02\x00"
}

/// Counts the bytes that pass, and keeps the last ones.
pub(crate) struct Counted<R> {
    inner: R,
    count: Arc<AtomicU64>,
    tail: [u8; BGZF_END.len()],
}

impl<R> Counted<R> {
    pub(crate) fn new(inner: R, count: Arc<AtomicU64>) -> Counted<R> {
        Counted { inner, count, tail: [0; BGZF_END.len()] }
    }

    /// True if the last bytes that passed are those with which a whole BGZF file ends.
    pub(crate) fn has_bgzf_end(&self) -> bool {
        self.tail == BGZF_END
    }
}

impl<R: Seek> Seek for Counted<R> {
    fn seek(&mut self, place: SeekFrom) -> io::Result<u64> {
        self.inner.seek(place)
    }
}

impl<R: Read> Read for Counted<R> {
    fn read(&mut self, out: &mut [u8]) -> io::Result<usize> {
        let count = self.inner.read(out)?;
        self.count.fetch_add(count as u64, Ordering::Relaxed);
        let keep = self.tail.len();
        if count >= keep {
            self.tail.copy_from_slice(&out[count - keep..count]);
        } else {
            self.tail.rotate_left(count);
            self.tail[keep - count..].copy_from_slice(&out[..count]);
        }
        Ok(count)
    }
}

/// BGZF text that must end with the end marker: a file that was cut between two blocks is valid gzip otherwise.
struct BgzfText<R: Read>(bgzf::io::Reader<Counted<R>>);

impl<R: Read> BgzfText<R> {
    fn check_end(&self) -> io::Result<()> {
        if self.0.get_ref().has_bgzf_end() {
            return Ok(());
        }
        Err(io::Error::new(io::ErrorKind::UnexpectedEof, "the end-of-file block of BGZF is missing"))
    }
}

impl<R: Read> BufRead for BgzfText<R> {
    fn fill_buf(&mut self) -> io::Result<&[u8]> {
        if self.0.fill_buf()?.is_empty() {
            self.check_end()?;
        }
        self.0.fill_buf()
    }

    fn consume(&mut self, amount: usize) {
        self.0.consume(amount);
    }
}

impl<R: Read> Read for BgzfText<R> {
    fn read(&mut self, out: &mut [u8]) -> io::Result<usize> {
        let count = self.fill_buf()?.read(out)?;
        self.consume(count);
        Ok(count)
    }
}
