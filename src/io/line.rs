//! Destinations of lines.

use crate::io::bbi::Block;
use crate::io::checksum;
use crate::io::checksum::{crc32, crc32_combine};
use crate::io::deflate::{BGZF_END, BGZF_INPUT, Deflater};
use crate::io::output::{Output, Sealed};
use crate::io::tabix::{IndexBuilder, Layout};
use crate::seq::contig::Contig;
use crate::{Error, Result};

/// A destination of lines that are sorted by position within each contig. (Lines of VCF need not be, but have no index
/// then.)
#[derive(Debug)]
pub struct LineSink(Sink);

#[derive(Debug)]
enum Sink {
    /// With the checksum so far, if one is written.
    Plain(Output, Option<u32>),
    Compressed(Box<Compressed>),
}

/// Lines in BGZF, and what their index needs.
#[derive(Debug)]
struct Compressed {
    output: Output,
    deflater: Deflater,
    /// Whole lines that are not compressed yet.
    text: Vec<u8>,
    /// Compressed blocks that are not written yet.
    blocks: Vec<u8>,
    index: IndexBuilder,
    /// Checksum of the text so far, if one is written.
    checksum: Option<u32>,
}

/// Compression of lines.
const LEVEL: i32 = 6;

impl LineSink {
    /// Writes `header`, and then lines, to `output`.
    ///
    /// # Errors
    /// An output that cannot be written.
    pub fn new(mut output: Output, header: impl AsRef<[u8]>) -> Result<LineSink> {
        output.write(header.as_ref())?;
        Ok(LineSink(Sink::Plain(output, None)))
    }

    /// As [`LineSink::new`], with a comment at the end that holds a checksum of everything before it.
    ///
    /// # Errors
    /// An output that cannot be written.
    pub fn checked(mut output: Output, header: &str) -> Result<LineSink> {
        output.write(header.as_bytes())?;
        Ok(LineSink(Sink::Plain(output, Some(crc32(0, header.as_bytes())))))
    }

    /// Writes `header`, and then lines of the `layout`, to `output`, as BGZF. Of a file, a tabix index (.tbi; .csi where
    /// a line reaches past 2^29 bases) appears beside it, unless lines of VCF come unsorted: then a warning says so.
    ///
    /// # Errors
    /// An output that cannot be written.
    pub fn compressed(output: Output, header: impl AsRef<[u8]>, layout: Layout) -> Result<LineSink> {
        LineSink::bgzf(output, header.as_ref(), layout, None)
    }

    /// As [`LineSink::compressed`], with a comment at the end that holds a checksum of the text before it.
    ///
    /// # Errors
    /// An output that cannot be written.
    pub fn compressed_and_checked(output: Output, header: &str, layout: Layout) -> Result<LineSink> {
        LineSink::bgzf(output, header.as_bytes(), layout, Some(crc32(0, header.as_bytes())))
    }

    fn bgzf(output: Output, header: &[u8], layout: Layout, checksum: Option<u32>) -> Result<LineSink> {
        let header_lines = header.iter().filter(|&&byte| byte == b'\n').count() as u32;
        let index = IndexBuilder::new(&output, layout, header_lines)?;
        let deflater = Deflater::new(LEVEL);
        let (text, blocks) = (header.to_vec(), Vec::new());
        let mut compressed = Compressed { output, deflater, text, blocks, index, checksum };
        compressed.end_block()?;
        Ok(LineSink(Sink::Compressed(Box::new(compressed))))
    }

    /// True if it compresses.
    pub(crate) fn is_compressed(&self) -> bool {
        matches!(self.0, Sink::Compressed(_))
    }

    /// Appends whole lines.
    ///
    /// # Errors
    /// An output that cannot be written ([`Error::is_broken_pipe`]).
    pub fn write(&mut self, lines: &[u8]) -> Result<(), Error> {
        match &mut self.0 {
            Sink::Plain(output, checksum) => {
                if let Some(checksum) = checksum {
                    *checksum = crc32(*checksum, lines);
                }
                output.write(lines)
            }
            Sink::Compressed(compressed) => compressed.write(lines),
        }
    }

    /// Appends a line that is no part of the index.
    pub(crate) fn comment(&mut self, line: &str) -> Result<()> {
        match &mut self.0 {
            Sink::Plain(..) => self.write(line.as_bytes()),
            Sink::Compressed(compressed) => compressed.comment(line),
        }
    }

    /// Hands the lines so far to a reader that may wait for them ([`Output::pass_on`]). Compressed ones wait until there are
    /// enough for a block.
    ///
    /// # Errors
    /// As [`LineSink::write`].
    pub fn pass_on(&mut self) -> Result<()> {
        match &mut self.0 {
            Sink::Plain(output, _) => output.pass_on(),
            Sink::Compressed(_) => Ok(()),
        }
    }

    /// Appends blocks of BGZF, one after the other in `bytes`, each of whole lines of one contig.
    pub(crate) fn write_blocks(&mut self, contig: &Contig, bytes: &[u8], blocks: &[Block]) -> Result<()> {
        let Sink::Compressed(compressed) = &mut self.0 else {
            unreachable!("blocks are for compressed lines")
        };
        for block in blocks {
            compressed.index.add_block(&contig.name, block);
        }
        if let Some(checksum) = &mut compressed.checksum {
            *checksum = with_blocks(*checksum, bytes);
        }
        compressed.output.write(bytes)
    }

    /// Writes what is left, and the index.
    ///
    /// # Errors
    /// As [`LineSink::write`].
    pub fn seal(self) -> Result<Vec<Sealed>> {
        match self.0 {
            Sink::Plain(mut output, checksum) => {
                if let Some(checksum) = checksum {
                    output.write(checksum::comment(checksum).as_bytes())?;
                }
                Ok(vec![output.seal()?])
            }
            Sink::Compressed(compressed) => compressed.seal(),
        }
    }
}

impl Compressed {
    fn comment(&mut self, line: &str) -> Result<()> {
        self.end_block()?;
        self.add(line.as_bytes());
        self.end_block()
    }

    /// Takes text, and adds it to the checksum.
    fn add(&mut self, text: &[u8]) {
        if let Some(checksum) = &mut self.checksum {
            *checksum = crc32(*checksum, text);
        }
        self.text.extend_from_slice(text);
    }

    fn write(&mut self, mut lines: &[u8]) -> Result<()> {
        while !lines.is_empty() {
            let length = memchr::memchr(b'\n', lines).map_or(lines.len(), |newline| newline + 1);
            let (line, rest) = lines.split_at(length);
            lines = rest;
            if self.text.len() + line.len() > BGZF_INPUT {
                self.end_block()?;
            }
            let added = self.index.add_line(line, self.text.len());
            added.map_err(|message| Error::format(self.output.path(), None, message))?;
            self.add(line);
        }
        Ok(())
    }

    fn end_block(&mut self) -> Result<()> {
        if self.text.is_empty() {
            return Ok(());
        }
        self.blocks.clear();
        // More than one block only where a line is longer than that.
        for piece in self.text.chunks(BGZF_INPUT) {
            self.deflater.bgzf(piece, &mut self.blocks);
        }
        self.index.end_block(self.text.len(), self.blocks.len());
        self.text.clear();
        self.output.write(&self.blocks)
    }

    fn seal(mut self) -> Result<Vec<Sealed>> {
        self.end_block()?;
        if let Some(checksum) = self.checksum {
            self.comment(&checksum::comment(checksum))?;
        }
        self.output.write(&BGZF_END)?;
        // An index of what stood there before would be believed, whether there is a new one or not.
        let mut sealed = vec![self.output.seal()?.replacing(self.index.places())];
        sealed.extend(self.index.seal()?);
        Ok(sealed)
    }
}

/// The checksum of a text and of what blocks of BGZF behind it hold: each has the checksum and the length of its own text at
/// its end.
fn with_blocks(mut checksum: u32, mut blocks: &[u8]) -> u32 {
    while let Some(&[low, high]) = blocks.get(16..18) {
        let (block, rest) =
            blocks.split_at(blocks.len().min(usize::from(u16::from_le_bytes([low, high])) + 1));
        blocks = rest;
        if let Some(&[a, b, c, d, length @ ..]) = block.last_chunk::<8>() {
            let length = u32::from_le_bytes(length);
            checksum = crc32_combine(checksum, u32::from_le_bytes([a, b, c, d]), length.into());
        }
    }
    checksum
}

#[cfg(test)]
mod tests {
    use std::fs;
    use std::io::Read;

    use noodles::csi::BinningIndex;
    use noodles::{bgzf, csi};

    use super::*;

    #[test]
    fn positions_too_large_for_tbi_have_a_csi() {
        let directory = tempfile::tempdir().unwrap();
        let path = directory.path().join("a.bed.gz");
        let mut sink = LineSink::compressed(Output::create(&path).unwrap(), "# far\n", Layout::Bed).unwrap();
        fs::write(path.with_extension("gz.tbi"), "of an older file").unwrap();
        let line = |i: u64| format!("chr1\t{}\t{}\tsite\n", i * 20_000, i * 20_000 + 10);
        (0..100_000).for_each(|i| sink.write(line(i).as_bytes()).unwrap());
        sink.seal().unwrap().into_iter().try_for_each(Sealed::publish).unwrap();

        assert!(!path.with_extension("gz.tbi").exists());
        let index = csi::fs::read(path.with_extension("gz.csi")).unwrap();
        let mut reader = bgzf::io::Reader::new(fs::File::open(&path).unwrap());
        for wanted in [0, 26_843, 26_844, 99_999] {
            let region: noodles::core::Region =
                format!("chr1:{}-{}", wanted * 20_000 + 5, wanted * 20_000 + 6).parse().unwrap();
            let chunks = index.query(0, region.interval()).unwrap();
            let mut text = String::new();
            csi::io::Query::new(&mut reader, chunks).read_to_string(&mut text).unwrap();
            assert!(text.contains(&line(wanted)), "{wanted}");
            assert!(text.lines().count() < 20_000);
        }
    }

    #[test]
    fn a_checksum_is_that_of_the_text_however_it_was_compressed() {
        let text: Vec<u8> =
            (0..200_000u32).flat_map(|i| format!("chr1\t{i}\t{}\n", i + 9).into_bytes()).collect();
        let (mut deflater, mut blocks) = (Deflater::new(1), Vec::new());
        text.chunks(BGZF_INPUT).for_each(|piece| deflater.bgzf(piece, &mut blocks));
        assert_eq!(with_blocks(crc32(0, b"# head\n"), &blocks), crc32(crc32(0, b"# head\n"), &text));
    }

    #[test]
    fn lines_without_a_place_are_errors() {
        let directory = tempfile::tempdir().unwrap();
        let output = Output::create(&directory.path().join("a.vcf.gz")).unwrap();
        let mut sink = LineSink::compressed(output, "", Layout::Vcf).unwrap();
        assert!(sink.write(b"chr1\tx\t.\tA\tC\t.\t.\t.\n").is_err());
    }

    #[test]
    fn lines_that_are_not_sorted_have_no_index_and_leave_no_older_one() {
        let directory = tempfile::tempdir().unwrap();
        let path = directory.path().join("a.vcf.gz");
        let old = ["gz.tbi", "gz.csi"].map(|extension| path.with_extension(extension));
        old.iter().for_each(|index| fs::write(index, "of an older file").unwrap());
        let mut sink = LineSink::compressed(Output::create(&path).unwrap(), "", Layout::Vcf).unwrap();
        for position in [20, 10] {
            sink.write(format!("chr1\t{position}\t.\tA\tC\t.\t.\t.\n").as_bytes()).unwrap();
        }
        sink.seal().unwrap().into_iter().try_for_each(Sealed::publish).unwrap();
        assert!(path.exists() && old.iter().all(|index| !index.exists()));
    }
}
