//! Reads as they came, each with the best of its windows in tags: BAM.
//!
//! The records keep their order and all that is in them. Each one that was scored has the score of its best window (`ys`, a
//! single-precision number), the first base of that in the read, 0-based, the read as it is stored (`yo`), and its strand
//! there, which is that of the reference (`yd`: `+`, `-`, or `.` where strands make no difference). Of windows with the same
//! score the first counts. Tags of these names that a record had are replaced.

use std::ops::Range;
use std::sync::Arc;

use crate::Result;
use crate::io::deflate::{BGZF_END, BGZF_INPUT, Deflater};
use crate::io::output::{Output, Sealed};
use crate::seq::contig::{Contig, Strand};
use crate::track::Target;
use crate::track::provenance::Provenance;

/// The names of the tags: score, offset, strand. (PacBio's reads have a `ws` of their own; none of the common sequencers and
/// aligners has tags in `y`.)
const TAGS: [[u8; 2]; 3] = [*b"ys", *b"yo", *b"yd"];

/// Bytes of the tags of a record, with its length.
pub(crate) const EXTRA: usize = 4 + 7 + 7 + 4;

/// Bytes of records that a block takes.
pub(crate) const ROOM: usize = BGZF_INPUT;

/// Compression, as samtools has it.
const LEVEL: i32 = 6;

/// The best window of a read.
#[derive(Debug, Clone, Copy, PartialEq)]
pub(crate) struct BestWindow {
    pub(crate) score: f32,
    /// First base in the read, 0-based.
    pub(crate) offset: u64,
    /// `None` where strands make no difference.
    pub(crate) strand: Option<Strand>,
}

/// Makes blocks of BGZF of records.
#[derive(Debug)]
pub(crate) struct Tagger {
    deflater: Deflater,
    /// Records that wait for the end of their block.
    records: Vec<u8>,
}

impl Tagger {
    pub(crate) fn new() -> Tagger {
        Tagger { deflater: Deflater::new(LEVEL), records: Vec::new() }
    }

    /// Takes a record, as BAM has it, without its length.
    ///
    /// # Errors
    /// The error in the record.
    pub(crate) fn put(
        &mut self,
        record: &[u8],
        best: Option<&BestWindow>,
    ) -> std::result::Result<(), String> {
        let from = self.records.len();
        self.records.extend_from_slice(&[0; 4]);
        let mut kept = 0;
        let mut tags = tags_from(record).ok_or(DAMAGED)?;
        while tags < record.len() {
            let tag = tag_at(record, tags).ok_or(DAMAGED)?;
            if TAGS.iter().any(|own| record[tags..].starts_with(own)) {
                self.records.extend_from_slice(&record[kept..tags]);
                kept = tag.end;
            }
            tags = tag.end;
        }
        self.records.extend_from_slice(&record[kept..]);
        if let Some(BestWindow { score, offset, strand }) = best {
            let [of_score, of_offset, of_strand] = TAGS;
            let mut put = |tag: [u8; 2], kind: u8, value: &[u8]| {
                self.records.extend_from_slice(&tag);
                self.records.push(kind);
                self.records.extend_from_slice(value);
            };
            put(of_score, b'f', &score.to_le_bytes());
            let offset = i32::try_from(*offset).map_err(|_| "it is too long for a tag of the best window")?;
            put(of_offset, b'i', &offset.to_le_bytes());
            put(of_strand, b'A', &[strand.map_or(b'.', |strand| strand.symbol() as u8)]);
        }
        let length = u32::try_from(self.records.len() - from - 4).map_err(|_| "it is too long")?;
        self.records[from..from + 4].copy_from_slice(&length.to_le_bytes());
        Ok(())
    }

    /// Appends the records as a block to `out`; as several only if one of them is longer than a block.
    pub(crate) fn end_block(&mut self, out: &mut Vec<u8>) {
        for piece in self.records.chunks(BGZF_INPUT) {
            self.deflater.bgzf(piece, out);
        }
        self.records.clear();
    }
}

const DAMAGED: &str = "its tags are damaged";

/// Start of the tags of a record (SAM specification, section 4.2).
fn tags_from(record: &[u8]) -> Option<usize> {
    let name = usize::from(*record.get(8)?);
    let operations = usize::from(u16::from_le_bytes(record.get(12..14)?.try_into().ok()?));
    let bases = u32::from_le_bytes(record.get(16..20)?.try_into().ok()?) as usize;
    let from = 32 + name + 4 * operations + bases.div_ceil(2) + bases;
    (from <= record.len()).then_some(from)
}

/// The bytes of the tag that stands at `at`.
fn tag_at(record: &[u8], at: usize) -> Option<Range<usize>> {
    let value = at + 3;
    let size = |kind: u8| match kind {
        b'A' | b'c' | b'C' => Some(1),
        b's' | b'S' => Some(2),
        b'i' | b'I' | b'f' => Some(4),
        _ => None,
    };
    let end = match *record.get(at + 2)? {
        b'Z' | b'H' => value + memchr::memchr(0, &record[value..])? + 1,
        b'B' => {
            let count = u32::from_le_bytes(record.get(value + 1..value + 5)?.try_into().ok()?) as usize;
            value + 5 + count.checked_mul(size(*record.get(value)?)?)?
        }
        kind => value + size(kind)?,
    };
    (end <= record.len()).then_some(at..end)
}

/// A destination of reads.
#[derive(Debug)]
pub(crate) struct BamSink(Output);

impl BamSink {
    /// Writes the header that the reads came with, `text` and `contigs`, and a line (@PG) that says what their tags are.
    pub(crate) fn new(
        output: Output,
        text: &[u8],
        contigs: &[Arc<Contig>],
        target: &Target,
        provenance: &Provenance,
    ) -> Result<BamSink> {
        let mut header = b"BAM\x01".to_vec();
        let text = with_program(text, target, provenance);
        push_bytes(&text, &mut header);
        header.extend_from_slice(&(contigs.len() as u32).to_le_bytes());
        for contig in contigs {
            push_bytes(&[contig.name.as_bytes(), b"\0"].concat(), &mut header);
            let length = contig.length.unwrap_or_default();
            header.extend_from_slice(&u32::try_from(length).unwrap_or(u32::MAX).to_le_bytes());
        }
        let (mut deflater, mut blocks) = (Deflater::new(LEVEL), Vec::new());
        header.chunks(BGZF_INPUT).for_each(|piece| deflater.bgzf(piece, &mut blocks));
        let mut sink = BamSink(output);
        sink.write(&blocks)?;
        Ok(sink)
    }

    /// Appends blocks of BGZF.
    pub(crate) fn write(&mut self, blocks: &[u8]) -> Result<()> {
        self.0.write(blocks)
    }

    /// Writes the end.
    pub(crate) fn seal(mut self) -> Result<Sealed> {
        self.0.write(&BGZF_END)?;
        self.0.seal()
    }
}

fn push_bytes(bytes: &[u8], out: &mut Vec<u8>) {
    out.extend_from_slice(&(bytes.len() as u32).to_le_bytes());
    out.extend_from_slice(bytes);
}

/// The text of a header with a line for this program behind it, which follows the last one of the programs before.
fn with_program(text: &[u8], target: &Target, provenance: &Provenance) -> Vec<u8> {
    let mut out: Vec<u8> = text.iter().copied().take_while(|&byte| byte != 0).collect();
    if !out.is_empty() && !out.ends_with(b"\n") {
        out.push(b'\n');
    }
    let programs = out.split(|&byte| byte == b'\n').filter(|line| line.starts_with(b"@PG\t"));
    let id = |line: &[u8]| {
        let id = line.split(|&byte| byte == b'\t').find_map(|field| field.strip_prefix(b"ID:"));
        id.map(|id| String::from_utf8_lossy(id.trim_ascii_end()).into_owned())
    };
    let known: Vec<String> = programs.filter_map(id).collect();
    let numbered = (1..).map(|number| format!("bindscan.{number}"));
    let own = std::iter::once("bindscan".to_owned()).chain(numbered).find(|id| !known.contains(id));
    let before = known.last().map(|last| format!("\tPP:{last}")).unwrap_or_default();
    let version = env!("CARGO_PKG_VERSION");
    let models: Vec<String> =
        provenance.models.iter().map(|(name, digest)| format!("{name} sha256:{digest}")).collect();
    let line = format!(
        "@PG\tID:{}\tPN:bindscan{before}\tVN:{version}\tCL:{}\tDS:best window of {}: ys score, yo first base in the read \
         as stored (0-based), yd strand; {}\n",
        own.expect("there are more numbers than programs"),
        plain(&provenance.command),
        plain(&target.name),
        plain(&models.join(", ")),
    );
    out.extend_from_slice(line.as_bytes());
    out
}

/// Text without what would end a field.
fn plain(text: &str) -> String {
    text.replace(char::is_control, " ")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn tags_are_passed_over_by_their_types() {
        let mut record = vec![0; 32];
        record[8] = 2;
        record.extend_from_slice(b"r\0");
        let from = record.len();
        assert_eq!(tags_from(&record), Some(from));
        let tags: [&[u8]; 8] = [
            b"NMC\x01",
            b"ysf\0\0\0\0",
            b"XAZab\0",
            b"XBBs\x02\0\0\0abcd",
            b"yos\x01\0",
            b"XSS\x01\0",
            b"ydA+",
            b"XHH1A\0",
        ];
        record.extend_from_slice(&tags.concat());
        let mut tagger = Tagger::new();
        tagger.put(&record, None).unwrap();
        let own = [1, 4, 6];
        let left: Vec<&[u8]> = (0..tags.len()).filter(|i| !own.contains(i)).map(|i| tags[i]).collect();
        let want = [&record[..from], &left.concat()].concat();
        assert_eq!(tagger.records[4..], want);
        assert_eq!(tagger.records[..4], (want.len() as u32).to_le_bytes());
        tagger.records.clear();
        let best = BestWindow { score: 1.5, offset: 3, strand: Some(Strand::Reverse) };
        tagger.put(&record, Some(&best)).unwrap();
        let more = [&want, b"ysf\0\0\xc0?yoi\x03\0\0\0ydA-".as_slice()].concat();
        assert_eq!(tagger.records[4..], more);
        assert_eq!(tagger.records.len() - want.len(), EXTRA);
        for cut in from + 1..record.len() {
            let ends: Vec<usize> = (0..=tags.len()).map(|i| from + tags[..i].concat().len()).collect();
            assert_eq!(tagger.put(&record[..cut], None).is_ok(), ends.contains(&cut), "{cut}");
        }
    }

    #[test]
    fn programs_follow_each_other() {
        let target = Target::new("m", 4);
        let provenance = Provenance { command: "bindscan scan 'a\tb'".into(), ..Provenance::default() };
        let once = with_program(b"@HD\tVN:1.6", &target, &provenance);
        let text = String::from_utf8(once.clone()).unwrap();
        assert!(text.starts_with("@HD\tVN:1.6\n@PG\tID:bindscan\tPN:bindscan\tVN:"), "{text}");
        assert!(text.contains("\tCL:bindscan scan 'a b'\tDS:best window of m: ys score"), "{text}");
        let twice = String::from_utf8(with_program(&once, &target, &provenance)).unwrap();
        assert!(twice.contains("\n@PG\tID:bindscan.1\tPN:bindscan\tPP:bindscan\tVN:"), "{twice}");
    }
}
