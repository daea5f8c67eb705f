//! Joining the tracks of shards into the track of the whole genome.
//!
//! A shard's track says in a comment which part of what it is ([`ShardMark`]). Shards hold what starts in them and nothing
//! else, so text is joined end to end; comments are written once, and only where one run would have written them.

use std::io::BufRead;
use std::path::{Path, PathBuf};

use serde::{Deserialize, Serialize};

use crate::output::Sealed;
use crate::source::input::Input;
use crate::source::shard::Shard;
use crate::track::line::LineSink;
use crate::track::{Format, SiteFormat};
use crate::{Error, Result};

/// What a shard's track says of itself, in JSON.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct ShardMark {
    /// Which part it is.
    #[serde(flatten)]
    pub shard: Shard,
    /// The track's format.
    pub format: Format,
    /// What the track is of, where a run writes one for each: the target's name, and the strand.
    pub track: Option<String>,
    /// Contigs of the genome: SHA-256 of their names and lengths.
    pub genome: String,
}

/// What stands before the mark.
const MARK: &str = "# shard: ";

impl ShardMark {
    /// The line of a header.
    pub fn comment(&self) -> String {
        let json = serde_json::to_string(self).expect("a mark is plain data");
        format!("{MARK}{json}\n")
    }
}

/// The shards of one track, complete and in order.
#[derive(Debug)]
pub struct Shards {
    paths: Vec<PathBuf>,
    head: Head,
}

/// What stands before a track's first line of data.
#[derive(Debug, Clone, PartialEq, Eq)]
struct Head {
    mark: ShardMark,
    /// The first line of GFF3.
    first: String,
    /// The comments that a track of the whole has as well.
    comments: String,
    /// The column names of TSV.
    columns: String,
}

impl Shards {
    /// Reads the heads of shards, given in any order.
    ///
    /// # Errors
    /// A file that is no track of a shard; shards that do not belong together, lack one, or have one twice.
    pub fn open(paths: &[PathBuf]) -> Result<Shards> {
        let mut shards = Vec::new();
        for path in paths {
            shards.push((Head::read(path, &mut Input::open(path)?)?, path.clone()));
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
                return Err(Error::Request(format!("{a} and {b} are both shard {shard}: leave one out")));
            }
        }
        let of = first.mark.shard.of;
        let missing =
            |number: &u64| shards.binary_search_by_key(number, |(head, _)| head.mark.shard.number).is_err();
        if let Some(number) = (1..=of).find(missing) {
            let count = of - shards.len() as u64;
            let more = if count > 1 { format!(" (and {} more)", count - 1) } else { String::new() };
            let message = format!("shard {number}/{of}{more} is missing: give the files of all {of} shards");
            return Err(Error::Request(message));
        }
        let head = first.clone();
        Ok(Shards { head, paths: shards.into_iter().map(|(_, path)| path).collect() })
    }

    /// The format of the shards, and of what they are merged into.
    pub fn format(&self) -> Format {
        self.head.mark.format
    }

    /// What stands before the first line of the whole: comments if they are `wanted` (GFF3 always has them), and the
    /// column names of TSV.
    pub fn header(&self, wanted: bool) -> String {
        let Head { mark, first, comments, columns } = &self.head;
        let always = mark.format == Format::Sites(SiteFormat::Gff3);
        let comments = if wanted || always { comments.as_str() } else { "" };
        [first, comments, columns].concat()
    }

    /// Writes the lines of all shards, and what is left.
    ///
    /// # Errors
    /// A shard that cannot be read or is not the file it was; an output that cannot be written.
    pub fn write(&self, mut sink: LineSink) -> Result<Vec<Sealed>> {
        let mut lines = Vec::new();
        for path in &self.paths {
            let mut input = Input::open(path)?;
            Head::read(path, &mut input)?;
            loop {
                let action = input.read_action();
                let block = input.fill_buf().map_err(Error::io(path, action))?;
                // Whole lines: what a sink is given, and what tells that a shard was not cut short.
                let whole = memchr::memrchr(b'\n', block).map_or(0, |end| end + 1);
                let consumed = block.len();
                if whole > 0 {
                    lines.extend_from_slice(&block[..whole]);
                    sink.write(&lines)?;
                    lines.clear();
                }
                lines.extend_from_slice(&block[whole..]);
                input.consume(consumed);
                if consumed == 0 {
                    break;
                }
            }
            if !lines.is_empty() {
                return Err(Error::format(path, None, "the last line is cut short: make this shard again"));
            }
        }
        sink.seal()
    }
}

impl Head {
    /// Reads what stands before the first line of data, and leaves `input` there.
    fn read(path: &Path, input: &mut Input) -> Result<Head> {
        let (mut first, mut comments, mut mark) = (String::new(), String::new(), None);
        while let Some(line) = comment(path, input)? {
            if line.starts_with("##") {
                first += &line;
            } else if let Some(json) = line.strip_prefix(MARK) {
                let read = serde_json::from_str::<ShardMark>(json);
                mark = Some(read.map_err(|_| Error::format(path, None, "its shard comment cannot be read"))?);
            } else {
                comments += &line;
            }
        }
        let mark = mark.ok_or_else(|| {
            let message = "this is no shard's track; give files that bindscan scan --shard wrote";
            Error::format(path, None, message)
        })?;
        let mut columns = Vec::new();
        if mark.format == Format::Sites(SiteFormat::Tsv) {
            let action = input.read_action();
            input.read_until(b'\n', &mut columns).map_err(Error::io(path, action))?;
        }
        let columns = String::from_utf8_lossy(&columns).into_owned();
        Ok(Head { mark, first, comments, columns })
    }

    fn check_belongs(&self, path: &Path, first: &Head, first_path: &Path) -> Result<()> {
        let (a, b) = (&self.mark, &first.mark);
        let difference = if a.genome != b.genome {
            "are of different genomes"
        } else if a.shard.of != b.shard.of {
            "are of different numbers of shards"
        } else if a.format != b.format {
            "have different formats"
        } else if a.track != b.track {
            "are of different models or strands"
        } else if (&self.first, &self.comments, &self.columns)
            != (&first.first, &first.comments, &first.columns)
        {
            "were made by different commands, models or versions (head shows them)"
        } else {
            return Ok(());
        };
        let (a, b) = (first_path.display(), path.display());
        Err(Error::Request(format!("{a} and {b} {difference}: they do not belong together")))
    }
}

/// The next line if it is a comment.
fn comment(path: &Path, input: &mut Input) -> Result<Option<String>> {
    let action = input.read_action();
    if input.fill_buf().map_err(Error::io(path, action))?.first() != Some(&b'#') {
        return Ok(None);
    }
    let mut line = Vec::new();
    input.read_until(b'\n', &mut line).map_err(Error::io(path, action))?;
    String::from_utf8(line).map(Some).map_err(|_| Error::format(path, None, "a comment is no text"))
}
