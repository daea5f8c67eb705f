//! Joining the tracks of shards into the track of the whole genome.
//!
//! A shard's track says in a comment which part of what it is ([`ShardMark`]). Shards hold what starts in them and nothing
//! else, so text is joined end to end; comments are written once, and only where one run would have written them.
//!
//! A shard that was cut short or changed is refused: text, compressed or not, and bigWig hold a checksum of themselves.

use crate::track::provenance::{MARK, ShardMark, TESTS};
use std::collections::BTreeMap;
use std::io::BufRead;
use std::path::{Path, PathBuf};
use std::sync::Arc;

use crate::io::checksum;
use crate::io::checksum::crc32;
use crate::io::input::Input;
use crate::io::line::LineSink;
use crate::io::output::{Output, Sealed};
use crate::io::tabix::Layout;
use crate::null::fdr::ShardTests;
use crate::seq::contig::Contig;
use crate::track::bigwig::{self, BigWigSink, Values};
use crate::track::score::{Encoders, ScoreSink, ScoreWriter, Series, Shown, Summary, TILE};
use crate::track::site::{LATER, QValue};
use crate::track::{Format, ScoreFormat, SiteFormat};
use crate::{Error, Result};

/// The shards of one track, complete and in order.
#[derive(Debug)]
pub struct Shards {
    paths: Vec<PathBuf>,
    head: Head,
}

/// Text before a track's first line of data.
#[derive(Debug, Clone, PartialEq)]
struct Head {
    mark: ShardMark,
    /// The first line of GFF3.
    first: String,
    /// The comments that a track of the whole has as well.
    comments: String,
    /// The column names of TSV.
    columns: String,
    /// Checksum of the text so far.
    checksum: u32,
    /// The first comment behind the data, of text without a line and of bigWigs.
    last: Vec<u8>,
}

impl Shards {
    /// Reads the heads of shards, given in any order.
    ///
    /// # Errors
    /// A file that is no track of a shard; shards that do not belong together, lack one, or have one twice.
    pub fn open(paths: &[PathBuf]) -> Result<Shards> {
        let mut shards = Vec::new();
        for path in paths {
            shards.push((Head::read(path)?, path.clone()));
        }
        shards.sort_by_key(|(head, _)| head.mark.shard.number);
        let Some((first, first_path)) = shards.first() else {
            return Err(Error::Request("there are no shards to merge".into()));
        };
        for (head, path) in &shards {
            head.check_belongs(path, first, first_path)?;
        }
        for pair in shards.windows(2) {
            let [(head, a), (next, b)] = pair else { unreachable!("windows of two") };
            if head.mark.shard == next.mark.shard {
                let (a, b, shard) = (a.display(), b.display(), head.mark.shard);
                return Err(Error::Mismatch(format!("{a} and {b} are both shard {shard}: leave one out")));
            }
        }
        let of = first.mark.shard.of;
        let missing =
            |number: &u64| shards.binary_search_by_key(number, |(head, _)| head.mark.shard.number).is_err();
        if let Some(number) = (1..=of).find(missing) {
            let count = of - shards.len() as u64;
            let more = if count > 1 { format!(" (and {} more)", count - 1) } else { String::new() };
            let message = format!("shard {number}/{of}{more} is missing: give the files of all {of} shards");
            return Err(Error::Mismatch(message));
        }
        let head = first.clone();
        Ok(Shards { head, paths: shards.into_iter().map(|(_, path)| path).collect() })
    }

    /// The format of the shards, and of what they are merged into.
    pub fn format(&self) -> Format {
        self.head.mark.format
    }

    /// Header of the whole: comments if they are `wanted` (GFF3 always has them), and the
    /// column names of TSV.
    fn header(&self, wanted: bool) -> String {
        let Head { mark, first, comments, columns, .. } = &self.head;
        let always = mark.format == Format::Sites(SiteFormat::Gff3);
        let comments = if wanted || always { comments.as_str() } else { "" };
        [first, comments, columns].concat()
    }

    /// Writes everything to `output`; text is compressed, with an index beside it, if so said. Gives the files that wait for
    /// their names.
    ///
    /// # Errors
    /// A shard that cannot be read or is not the file it was; an output that cannot be written.
    pub fn write(&self, output: Output, header: bool, compressed: bool) -> Result<Vec<Sealed>> {
        let header = self.header(header);
        let layout = match self.format() {
            Format::Scores(ScoreFormat::BigWig) => return self.write_bigwig(output, &header),
            Format::Scores(ScoreFormat::BedGraph) => Layout::Bed,
            Format::Sites(SiteFormat::BigBed) | Format::Reads(_) => {
                return Err(Error::Output("shards of bigBed are not merged; write .bed".into()));
            }
            Format::Sites(format) => format.layout(),
        };
        if compressed && layout == Layout::Bed && matches!(self.format(), Format::Scores(_)) {
            return self.write_compressed_scores(LineSink::compressed(output, &header, layout)?);
        }
        let mut sink = if compressed {
            LineSink::compressed(output, &header, layout)?
        } else {
            LineSink::new(output, &header)?
        };
        let rates = self.head.mark.rate.map(|rate| self.rates(rate)).transpose()?;
        let mut kept = Vec::new();
        for path in &self.paths {
            each_block(path, &mut |lines| match &rates {
                None => sink.write(lines),
                Some(rates) => {
                    kept.clear();
                    rates.keep(path, self.format(), lines, &mut kept)?;
                    sink.write(&kept)
                }
            })?;
        }
        sink.seal()
    }

    /// The q-values, from how the windows of all shards tested.
    fn rates(&self, rate: f64) -> Result<Rates> {
        let mut targets: Vec<Vec<ShardTests>> = Vec::new();
        for path in &self.paths {
            let mut found = None;
            each_block(path, &mut |lines| {
                for line in lines.split_inclusive(|&byte| byte == b'\n') {
                    if let Some(json) = line.strip_prefix(TESTS.as_bytes()) {
                        found = serde_json::from_slice::<Vec<ShardTests>>(json).ok();
                    }
                }
                Ok(())
            })?;
            let tests = found.ok_or_else(|| {
                let message = "truncated shard: its p-value counts are missing; rerun this shard";
                Error::format(path, None, message)
            })?;
            targets.resize_with(targets.len().max(tests.len()), Vec::new);
            targets.iter_mut().zip(tests).for_each(|(all, tests)| all.push(tests));
        }
        let q = targets.iter().map(|shards| ShardTests::q_values(shards)).collect::<Option<_>>();
        let q = q.ok_or_else(|| {
            let message = "the shards were made with different distributions of scores in background: they do not belong together";
            Error::Mismatch(message.into())
        })?;
        Ok(Rates { rate, q })
    }

    /// The values of shards, as they are encoded.
    fn series(&self) -> Series {
        Series {
            target: 0,
            strand: Shown::Better,
            bin: self.head.mark.bin.unwrap_or(1).max(1),
            summary: Summary::Max,
            lowest: f32::NEG_INFINITY,
        }
    }

    /// Compresses the lines of a bedGraph anew, tile by tile as a scan does, so that the blocks do not depend on the shards.
    fn write_compressed_scores(&self, sink: LineSink) -> Result<Vec<Sealed>> {
        let mut writer = ScoreWriter::new(self.series(), ScoreSink::BedGraph(sink));
        let mut encoders = Encoders::default();
        let mut contig = Arc::new(Contig { id: 0, name: String::new(), length: None });
        let mut reached = 0;
        for path in &self.paths {
            each_block(path, &mut |lines| {
                for line in lines.split_inclusive(|&byte| byte == b'\n') {
                    let parsed = bedgraph_line(line);
                    let same = parsed.as_ref().is_some_and(|(name, _)| *name == contig.name);
                    let before = if same { reached } else { 0 };
                    let Some((name, value)) = parsed.filter(|(_, (start, ..))| *start >= before) else {
                        let message = "the file is damaged: its values are not in order";
                        return Err(Error::format(path, None, message));
                    };
                    if !same {
                        contig = Arc::new(Contig { id: contig.id + 1, name: name.to_owned(), length: None });
                    }
                    reached = value.1;
                    writer.write_values(&contig, &[value], &mut encoders)?;
                }
                Ok(())
            })?;
        }
        writer.seal(&[], &mut encoders)
    }

    /// Values are read back and encoded anew, so that what is encoded together does not depend on the shards.
    fn write_bigwig(&self, output: Output, header: &str) -> Result<Vec<Sealed>> {
        let series = self.series();
        let bin = series.bin;
        let sink = ScoreSink::BigWig(BigWigSink::new(output, bin, header)?);
        let mut writer = ScoreWriter::new(series, sink);
        let mut encoders = Encoders::default();
        let (mut values, mut bins) = (Values::default(), Vec::new());
        let mut contigs: Vec<Arc<Contig>> = Vec::new();
        let mut reached = (0, 0);
        for path in &self.paths {
            let damaged = |message| Err(Error::format(path, None, message));
            let mut reader = bigwig::Reader::open(path)?;
            if !contigs.is_empty() && contigs != reader.contigs() {
                return damaged("has other contigs than the shard before it");
            }
            contigs = reader.contigs().to_vec();
            while reader.read(&mut values)? {
                bins.clear();
                for &(start, end, value) in &values.stretches {
                    // A block is a tile at the most, and what follows comes behind it.
                    let bins_of = end.saturating_sub(start) / bin;
                    if start >= end || (values.contig, start) < reached || bins_of > TILE {
                        return damaged("the file is damaged: its values are not in order");
                    }
                    cut((start, end, value), bin, &mut bins);
                    reached = (values.contig, end);
                }
                writer.write_values(&contigs[values.contig], &bins, &mut encoders)?;
            }
        }
        writer.seal(&contigs, &mut encoders)
    }
}

/// Criterion by which sites are chosen once all shards are known.
struct Rates {
    /// The highest q-value of a site.
    rate: f64,
    /// The q-value of each step of each target.
    q: Vec<BTreeMap<usize, f64>>,
}

impl Rates {
    /// Appends those of a shard's lines that are sites, with their q-values.
    fn keep(&self, path: &Path, format: Format, lines: &[u8], out: &mut Vec<u8>) -> Result<()> {
        let Format::Sites(format) = format else {
            return Err(Error::format(path, None, "the file is damaged: scores have no q-values"));
        };
        for line in lines.split_inclusive(|&byte| byte == b'\n') {
            if line.starts_with(TESTS.as_bytes()) {
                continue;
            }
            let Some((before, q, after)) = self.parts(line) else {
                return Err(Error::format(
                    path,
                    None,
                    "the file is damaged: a line has no place for its q-value",
                ));
            };
            if q <= self.rate {
                out.extend_from_slice(before);
                QValue::Known(q).put(format, out);
                out.extend_from_slice(after);
            }
        }
        Ok(())
    }

    /// Text before a line's q-value, the q-value, and the text after it.
    fn parts<'a>(&self, line: &'a [u8]) -> Option<(&'a [u8], f64, &'a [u8])> {
        let at = memchr::memrchr(LATER, line)?;
        let (before, rest) = (&line[..at], &line[at + 1..]);
        let end = rest.iter().position(|byte| !byte.is_ascii_digit() && *byte != b'.')?;
        let (target, step) = str::from_utf8(&rest[..end]).ok()?.split_once('.')?;
        let (target, step): (usize, usize) = (target.parse().ok()?, step.parse().ok()?);
        Some((before, *self.q.get(target)?.get(&step)?, &rest[end..]))
    }
}

/// The contig of a line of bedGraph, and its start, end and value; `None` if it is none.
fn bedgraph_line(line: &[u8]) -> Option<(&str, (u64, u64, f32))> {
    let mut columns = str::from_utf8(line.strip_suffix(b"\n")?).ok()?.split('\t');
    let name = columns.next()?;
    let (start, end): (u64, u64) = (columns.next()?.parse().ok()?, columns.next()?.parse().ok()?);
    let value: f32 = columns.next()?.parse().ok()?;
    (start < end && columns.next().is_none()).then_some((name, (start, end, value)))
}

/// Cuts a stretch of one value into the bins that it was joined from.
fn cut((start, end, value): (u64, u64, f32), bin: u64, bins: &mut Vec<(u64, u64, f32)>) {
    let mut from = start;
    while from < end {
        let to = (from - from % bin).saturating_add(bin).min(end);
        bins.push((from, to, value));
        from = to;
    }
}

/// Hands over the lines of a shard without its head, whole ones, some at a time.
fn each_block(path: &Path, take: &mut dyn FnMut(&[u8]) -> Result<()>) -> Result<()> {
    let mut input = Input::open(path)?;
    let Head { mut checksum, last: mut lines, .. } = Head::from_text(path, &mut input)?;
    loop {
        let action = input.read_action();
        let block = input.fill_buf().map_err(Error::io(path, action))?;
        let consumed = block.len();
        lines.extend_from_slice(block);
        input.consume(consumed);
        if consumed == 0 {
            break;
        }
        // Whole lines, but for the last, which may be the checksum.
        let last = memchr::memrchr(b'\n', &lines).map_or(0, |end| start_of_line(&lines[..end]));
        checksum = crc32(checksum, &lines[..last]);
        take(&lines[..last])?;
        lines.drain(..last);
    }
    let damaged = |message| Err(Error::format(path, None, message));
    let Some(last) = lines.strip_suffix(b"\n") else {
        return damaged("its last line is cut short or missing: rerun this shard");
    };
    let Some(digits) = last.strip_prefix(checksum::MARK.as_bytes()) else {
        return damaged("truncated shard: its checksum is missing; rerun this shard");
    };
    if digits != format!("{checksum:08x}").as_bytes() {
        return damaged("it has another checksum than when it was written: rerun this shard");
    }
    Ok(())
}

/// Start of the last line of `lines`.
fn start_of_line(lines: &[u8]) -> usize {
    memchr::memrchr(b'\n', lines).map_or(0, |end| end + 1)
}

impl Head {
    /// Reads what stands before the data.
    fn read(path: &Path) -> Result<Head> {
        let mut input = Input::open(path)?;
        let action = input.read_action();
        if input.fill_buf().map_err(Error::io(path, action))?.starts_with(&bigwig::MAGIC.to_le_bytes()) {
            let mut reader = bigwig::Reader::open(path)?;
            let head = Head::from_comments(path, &mut reader.comments().as_bytes())?;
            reader.check()?;
            return Ok(head);
        }
        Head::from_text(path, &mut input)
    }

    /// Reads what stands before the first line of data, and leaves `input` there.
    fn from_text(path: &Path, input: &mut Input) -> Result<Head> {
        let action = input.read_action();
        let mut head = Head::from_comments(path, input)?;
        if let Format::Sites(format) = head.mark.format
            && format.has_column_names()
        {
            let mut columns = Vec::new();
            input.read_until(b'\n', &mut columns).map_err(Error::io(path, action))?;
            head.checksum = crc32(head.checksum, &columns);
            head.columns = String::from_utf8_lossy(&columns).into_owned();
        }
        Ok(head)
    }

    fn from_comments(path: &Path, input: &mut impl BufRead) -> Result<Head> {
        let (mut first, mut comments, mut mark) = (String::new(), String::new(), None);
        let (mut checksum, mut last) = (0, Vec::new());
        while let Some(line) = comment(path, input)? {
            // Without a line of data, what stands behind them.
            if line.starts_with(checksum::MARK) || line.starts_with(TESTS) {
                last = line.into_bytes();
                break;
            }
            checksum = crc32(checksum, line.as_bytes());
            if line.starts_with("##") {
                first += &line;
            } else if let Some(json) = line.strip_prefix(MARK) {
                let read = serde_json::from_str::<ShardMark>(json);
                let read = read.ok().filter(|mark| (1..=mark.shard.of).contains(&mark.shard.number));
                let unreadable = || Error::format(path, None, "its shard comment cannot be read");
                mark = Some(read.ok_or_else(unreadable)?);
            } else {
                comments += &line;
            }
        }
        let mark = mark.ok_or_else(|| {
            let message = "not the output of a shard; give files that bindscan scan --shard wrote";
            Error::format(path, None, message)
        })?;
        Ok(Head { mark, first, comments, columns: String::new(), checksum, last })
    }

    fn check_belongs(&self, path: &Path, first: &Head, first_path: &Path) -> Result<()> {
        let (a, b) = (&self.mark, &first.mark);
        let difference = if a.genome != b.genome {
            "are of different genomes"
        } else if a.inputs != b.inputs {
            "were made from files with different content (genome, regions or background)"
        } else if a.shard.of != b.shard.of {
            "are of different numbers of shards"
        } else if a.format != b.format || a.rate != b.rate {
            "have different formats"
        } else if (&a.track, a.bin) != (&b.track, b.bin) {
            "are of different models, strands or bins"
        } else if (&self.first, &self.comments, &self.columns)
            != (&first.first, &first.comments, &first.columns)
        {
            "were made by different commands, models or versions (head shows them)"
        } else {
            return Ok(());
        };
        let (a, b) = (first_path.display(), path.display());
        Err(Error::Mismatch(format!("{a} and {b} {difference}: they do not belong together")))
    }
}

/// The next line if it is a comment.
fn comment(path: &Path, input: &mut impl BufRead) -> Result<Option<String>> {
    let failed = || Error::io(path, "cannot read");
    if input.fill_buf().map_err(failed())?.first() != Some(&b'#') {
        return Ok(None);
    }
    let mut line = Vec::new();
    input.read_until(b'\n', &mut line).map_err(failed())?;
    String::from_utf8(line).map(Some).map_err(|_| Error::format(path, None, "a comment is not text"))
}
