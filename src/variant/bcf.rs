//! Annotated calls as BCF.

use noodles::vcf::variant::io::Write;
use noodles::{bcf, vcf};

use crate::output::{Output, Sealed};
use crate::track::deflate::{BGZF_END, BGZF_INPUT, Deflater};
use crate::{Error, Result};

/// Compression, as bcftools has it.
const LEVEL: i32 = 6;

/// A header of VCF that the records of a BCF can refer to.
///
/// # Errors
/// What is wrong with it.
pub(super) fn header(text: &[u8]) -> std::result::Result<vcf::Header, String> {
    let reason = |error: std::io::Error| {
        // The reason is what the reader met, not that it met something.
        let inner = error.get_ref().and_then(std::error::Error::source).map(ToString::to_string);
        let reason = inner.map_or_else(|| error.to_string(), |inner| format!("{error}: {inner}"));
        format!("this header makes no BCF ({reason}); write .vcf.gz")
    };
    vcf::io::Reader::new(text).read_header().map_err(reason)
}

/// Turns lines of VCF into records of BCF.
pub(super) struct Encoder<'a> {
    header: &'a vcf::Header,
    writer: bcf::io::Writer<Vec<u8>>,
    record: vcf::Record,
}

impl<'a> Encoder<'a> {
    /// An encoder of lines below a header, which has been written before.
    pub(super) fn new(header: &'a vcf::Header) -> Encoder<'a> {
        let mut writer = bcf::io::Writer::from(Vec::new());
        // So that it knows the numbers of contigs and fields.
        writer.write_header(header).expect("this header has been written before");
        Encoder { header, writer, record: vcf::Record::default() }
    }

    /// Puts the records of `lines`, in place of what is there, into `out`.
    ///
    /// # Errors
    /// What is wrong with a line, and where that stands.
    pub(super) fn encode(&mut self, lines: &[u8], out: &mut Vec<u8>) -> std::result::Result<(), String> {
        std::mem::swap(self.writer.get_mut(), out);
        self.writer.get_mut().clear();
        let mut done = Ok(());
        for line in lines.split_inclusive(|&byte| byte == b'\n') {
            let mut reader = vcf::io::Reader::new(line);
            let written = reader
                .read_record(&mut self.record)
                .and_then(|_| self.writer.write_variant_record(self.header, &self.record));
            if let Err(error) = written {
                let place: Vec<_> = line.splitn(3, |&byte| byte == b'\t').take(2).collect();
                done = Err(format!(
                    "the record at {} makes no record of BCF ({error}); is all that it uses defined in the header? Or write .vcf.gz",
                    String::from_utf8_lossy(&place.join(&b':'))
                ));
                break;
            }
        }
        std::mem::swap(self.writer.get_mut(), out);
        done
    }
}

/// A destination of records of BCF.
#[derive(Debug)]
pub struct BcfSink {
    output: Output,
    deflater: Deflater,
    /// Whole records that are not compressed yet.
    records: Vec<u8>,
    blocks: Vec<u8>,
}

impl BcfSink {
    /// Writes a header of VCF, and then records, to `output`.
    ///
    /// # Errors
    /// A header that makes none of BCF; an output that cannot be written.
    pub(super) fn new(output: Output, text: &[u8]) -> Result<BcfSink> {
        let wrong = |message: String| Error::format(output.path(), None, message);
        let mut writer = bcf::io::Writer::from(Vec::new());
        let header = header(text).map_err(wrong)?;
        let written = writer.write_header(&header);
        written.map_err(|error| wrong(format!("this header makes no BCF ({error}); write .vcf.gz")))?;
        let (records, blocks) = (writer.into_inner(), Vec::new());
        let mut sink = BcfSink { output, deflater: Deflater::new(LEVEL), records, blocks };
        sink.end_block()?;
        Ok(sink)
    }

    /// Appends whole records.
    pub(super) fn write(&mut self, mut records: &[u8]) -> Result<()> {
        /// Of the two lengths that a record begins with (VCF specification, section 6.3).
        const LENGTHS: usize = 8;
        while let Some((lengths, _)) = records.split_first_chunk::<LENGTHS>() {
            let [shared, own] = [0, 4].map(|at| {
                let length: [u8; 4] = lengths[at..at + 4].try_into().expect("four bytes");
                u32::from_le_bytes(length) as usize
            });
            let (record, rest) = records.split_at(LENGTHS + shared + own);
            records = rest;
            if self.records.len() + record.len() > BGZF_INPUT {
                self.end_block()?;
            }
            self.records.extend_from_slice(record);
        }
        Ok(())
    }

    fn end_block(&mut self) -> Result<()> {
        self.blocks.clear();
        // More than one block only where a record is longer than that.
        for piece in self.records.chunks(BGZF_INPUT) {
            self.deflater.bgzf(piece, &mut self.blocks);
        }
        self.records.clear();
        self.output.write(&self.blocks)
    }

    /// Writes what is left.
    pub(super) fn seal(mut self) -> Result<Sealed> {
        self.end_block()?;
        self.output.write(&BGZF_END)?;
        self.output.seal()
    }
}
