//! Annotated calls as BCF.

use std::borrow::Cow;
use std::io;

use noodles::core::Position;
use noodles::vcf::header::StringMaps;
use noodles::vcf::header::record::value::map::format;
use noodles::vcf::header::record::value::map::info;
use noodles::vcf::header::record::value::map::info::Type;
use noodles::vcf::variant::Record;
use noodles::vcf::variant::io::Write;
use noodles::vcf::variant::record::info::field::Value;
use noodles::vcf::variant::record::info::field::value::Array;
use noodles::vcf::variant::record::{AlternateBases, Filters, Ids, Info, ReferenceBases, Samples};
use noodles::vcf::variant::record_buf;
use noodles::{bcf, vcf};

use crate::io::deflate::{BGZF_END, BGZF_INPUT, Deflater};
use crate::io::output::{Output, Sealed};
use crate::{Error, Result};

mod samples;

/// Columns of a line before that of INFO.
const BEFORE_INFO: usize = 7;
/// Columns of a line before those of the samples.
const BEFORE_SAMPLES: usize = 9;
/// Bytes of the two lengths that a record begins with (VCF specification, section 6.3).
const LENGTHS: usize = 8;
/// Place in a record of the number of its samples, and of that of their fields.
const SAMPLE_COUNTS: usize = LENGTHS + 20;

/// Compression, as bcftools has it.
const LEVEL: i32 = 6;

/// A header of VCF that the records of a BCF can refer to.
///
/// # Errors
/// The error in it.
pub(crate) fn header(text: &[u8]) -> std::result::Result<vcf::Header, String> {
    let reason = |error: io::Error| {
        // The reason is what the reader met, not that it met something.
        let inner = error.get_ref().and_then(std::error::Error::source).map(ToString::to_string);
        let reason = inner.map_or_else(|| error.to_string(), |inner| format!("{error}: {inner}"));
        format!("this header makes no BCF ({reason}); write .vcf.gz")
    };
    vcf::io::Reader::new(text).read_header().map_err(reason)
}

/// Undoes what the library does to texts when it writes the line of a record, which begins at `begin` and is the last one of
/// `lines`: in fields of one text each, it escapes the % of escapes that are there already.
pub(crate) fn unescape(header: &vcf::Header, lines: &mut Vec<u8>, begin: usize) {
    if !lines[begin..].contains(&b'%') {
        return;
    }
    let Ok(line) = String::from_utf8(lines[begin..].to_vec()) else { return };
    lines.truncate(begin);
    let is_info_text = |key: &str| {
        let field = header.infos().get(key);
        field.is_some_and(|field| field.number() == info::Number::Count(1) && field.ty() == Type::String)
    };
    let is_sample_text = |key: &str| {
        let field = header.formats().get(key).filter(|_| key != "GT");
        let one = format::Number::Count(1);
        field.is_some_and(|field| field.number() == one && field.ty() == format::Type::String)
    };
    let columns: Vec<&str> = line.trim_end_matches('\n').split('\t').collect();
    let keys: Vec<&str> =
        columns.get(BEFORE_SAMPLES - 1).map_or_else(Vec::new, |keys| keys.split(':').collect());
    let whole = columns.iter().enumerate().map(|(rank, column)| match rank {
        BEFORE_INFO => {
            let field = |field: &str| match field.split_once('=') {
                Some((key, text)) if is_info_text(key) => format!("{key}={}", text.replace("%25", "%")),
                _ => field.to_owned(),
            };
            column.split(';').map(field).collect::<Vec<_>>().join(";")
        }
        BEFORE_SAMPLES.. => {
            let field = |(field, key): (&str, &&str)| match is_sample_text(key) {
                true => field.replace("%25", "%"),
                false => field.to_owned(),
            };
            column.split(':').zip(&keys).map(field).collect::<Vec<_>>().join(":")
        }
        _ => (*column).to_owned(),
    });
    lines.extend_from_slice(whole.collect::<Vec<_>>().join("\t").as_bytes());
    lines.push(b'\n');
}

/// Turns lines of VCF into records of BCF.
pub(crate) struct Encoder<'a> {
    header: &'a vcf::Header,
    maps: StringMaps,
    writer: bcf::io::Writer<Vec<u8>>,
    record: vcf::Record,
}

impl<'a> Encoder<'a> {
    /// An encoder of lines below a header, which has been written before.
    pub(crate) fn new(header: &'a vcf::Header) -> Encoder<'a> {
        let mut writer = bcf::io::Writer::from(Vec::new());
        // So that it knows the numbers of contigs and fields.
        writer.write_header(header).expect("this header has been written before");
        let maps = StringMaps::try_from(header).expect("likewise");
        Encoder { header, maps, writer, record: vcf::Record::default() }
    }

    /// Puts the records of `lines`, in place of what is there, into `out`.
    ///
    /// # Errors
    /// The error in a line, and its position.
    pub(crate) fn encode(&mut self, lines: &[u8], out: &mut Vec<u8>) -> std::result::Result<(), String> {
        std::mem::swap(self.writer.get_mut(), out);
        self.writer.get_mut().clear();
        let mut done = Ok(());
        for line in lines.split_inclusive(|&byte| byte == b'\n') {
            if let Err(error) = self.append(line) {
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

    /// Appends the record of a line.
    fn append(&mut self, line: &[u8]) -> std::result::Result<(), String> {
        let text = str::from_utf8(line).map_err(|_| "it is not UTF-8")?;
        let mut columns: Vec<Cow<'_, str>> = text.trim_end().split('\t').map(Cow::Borrowed).collect();
        if let Some(info) = columns.get_mut(BEFORE_INFO).filter(|info| info.contains('%')) {
            // The library decodes escapes; in BCF they stand as they do in VCF.
            *info = Cow::Owned(info.replace('%', "%25"));
        }
        let site = columns[..columns.len().min(BEFORE_INFO + 1)].join("\t") + "\n";
        let begin = self.writer.get_ref().len();
        let mut reader = vcf::io::Reader::new(site.as_bytes());
        let read = reader.read_record(&mut self.record).map_err(|error| error.to_string())?;
        debug_assert!(read > 0, "a line is a record");
        let written = self.writer.write_variant_record(self.header, &Encodable(&self.record));
        written.map_err(|error| error.to_string())?;
        let Some((format, samples)) =
            columns.get(BEFORE_SAMPLES - 1).map(|format| (format, &columns[BEFORE_SAMPLES..]))
        else {
            return Ok(());
        };
        let names = self.header.sample_names().len();
        if samples.len() != names {
            return Err(format!("it has {} samples where the header names {names}", samples.len()));
        }
        let samples: Vec<&str> = samples.iter().map(AsRef::as_ref).collect();
        let out = self.writer.get_mut();
        let own = out.len();
        let fields = samples::encode((self.header, &self.maps), format, &samples, out)?;
        let length = u32::try_from(out.len() - own).map_err(|_| "its samples are too long")?;
        out[begin + LENGTHS / 2..begin + LENGTHS].copy_from_slice(&length.to_le_bytes());
        let counts =
            u32::try_from(names).ok().filter(|&names| names < 1 << 24).ok_or("it has too many samples")?;
        let counts = counts | u32::from(fields) << 24;
        out[begin + SAMPLE_COUNTS..][..4].copy_from_slice(&counts.to_le_bytes());
        Ok(())
    }
}

/// A record without its samples, in which missing values of INFO are values: the encoder knows no others.
struct Encodable<'a>(&'a vcf::Record);

impl Record for Encodable<'_> {
    fn reference_sequence_name<'a, 'h: 'a>(&'a self, header: &'h vcf::Header) -> io::Result<&'a str> {
        Record::reference_sequence_name(self.0, header)
    }

    fn variant_start(&self) -> Option<io::Result<Position>> {
        Record::variant_start(self.0)
    }

    fn ids(&self) -> Box<dyn Ids + '_> {
        Record::ids(self.0)
    }

    fn reference_bases(&self) -> Box<dyn ReferenceBases + '_> {
        Record::reference_bases(self.0)
    }

    fn alternate_bases(&self) -> Box<dyn AlternateBases + '_> {
        Record::alternate_bases(self.0)
    }

    fn quality_score(&self) -> Option<io::Result<f32>> {
        Record::quality_score(self.0)
    }

    fn filters(&self) -> Box<dyn Filters + '_> {
        Record::filters(self.0)
    }

    fn info(&self) -> Box<dyn Info + '_> {
        Box::new(EncodableInfo(Record::info(self.0)))
    }

    fn samples(&self) -> io::Result<Box<dyn Samples + '_>> {
        Ok(Box::new(record_buf::Samples::default()))
    }

    /// An END before the start counts for nothing, as for bcftools.
    fn variant_span(&self, header: &vcf::Header) -> io::Result<usize> {
        let start = self.variant_start().transpose()?.unwrap_or(Position::MIN);
        let end = self.variant_end(header)?;
        let span = usize::from(end).checked_sub(usize::from(start)).map(|last| last + 1);
        Ok(span.unwrap_or(self.reference_bases().len()))
    }
}

/// INFO of an [`Encodable`] record.
struct EncodableInfo<'a>(Box<dyn Info + 'a>);

impl Info for EncodableInfo<'_> {
    fn is_empty(&self) -> bool {
        self.0.is_empty()
    }

    fn len(&self) -> usize {
        self.0.len()
    }

    fn get<'a, 'h: 'a>(
        &'a self,
        header: &'h vcf::Header,
        key: &str,
    ) -> Option<io::Result<Option<Value<'a>>>> {
        self.0.get(header, key)
    }

    fn iter<'a, 'h: 'a>(
        &'a self,
        header: &'h vcf::Header,
    ) -> Box<dyn Iterator<Item = io::Result<(&'a str, Option<Value<'a>>)>> + 'a> {
        let whole = move |field: io::Result<(&'a str, Option<Value<'a>>)>| {
            let (key, value) = field?;
            Ok((key, Some(value.unwrap_or_else(|| missing(header, key)))))
        };
        Box::new(self.0.iter(header).map(whole))
    }
}

/// The value of a field that is there and has none, as bcftools writes it: a missing number, or the text `.`.
fn missing<'a>(header: &vcf::Header, key: &str) -> Value<'a> {
    let kind = match header.infos().get(key) {
        Some(field) => field.ty(),
        None => Type::String,
    };
    match kind {
        Type::Integer => Value::Array(Array::Integer(Box::new("."))),
        Type::Float => Value::Array(Array::Float(Box::new("."))),
        Type::Flag | Type::Character | Type::String => Value::String(Cow::Borrowed(".")),
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
    pub(crate) fn new(output: Output, text: &[u8]) -> Result<BcfSink> {
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
    pub(crate) fn write(&mut self, mut records: &[u8]) -> Result<()> {
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
    pub(crate) fn seal(mut self) -> Result<Sealed> {
        self.end_block()?;
        self.output.write(&BGZF_END)?;
        self.output.seal()
    }
}
