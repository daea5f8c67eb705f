//! Provenance of a track: the comment lines that say what it was made from.

use std::fmt::Write;

use crate::genome::shard::Shard;
use crate::null::fdr::ShardTests;
use crate::track::Format;
use serde::{Deserialize, Serialize};

/// Description of a shard's track, in JSON.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct ShardMark {
    /// Rank of the part.
    #[serde(flatten)]
    pub shard: Shard,
    /// The track's format.
    pub format: Format,
    /// Subject of the track, where a run writes one for each: the target's name and the strand.
    pub track: Option<String>,
    /// Bases of a bin, of scores.
    pub bin: Option<u64>,
    /// The false discovery rate, of sites whose q-values depend on all shards.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub rate: Option<f64>,
    /// Contigs of the genome: SHA-256 of their names and lengths.
    pub genome: String,
    /// Input files, with the digest of each file's content: paths may be equal where files differ.
    #[serde(default)]
    pub inputs: Vec<(String, String)>,
}

/// Text before the mark.
pub(crate) const MARK: &str = "# shard: ";

/// Text before the tests of a shard, in JSON.
pub(crate) const TESTS: &str = "# tests: ";

/// A comment that says how a shard's windows tested: what the q-values depend on.
pub(crate) fn tests_comment(targets: &[ShardTests]) -> String {
    format!("{TESTS}{}\n", serde_json::to_string(targets).expect("counts are plain data"))
}

impl ShardMark {
    /// The line of a header.
    pub fn comment(&self) -> String {
        let json = serde_json::to_string(self).expect("a mark is plain data");
        format!("{MARK}{json}\n")
    }
}

/// Provenance of tracks, for their headers.
#[derive(Debug, Clone, Default, PartialEq)]
pub struct Provenance {
    /// The command, without what never changes a track.
    pub command: String,
    /// Name of each model, and the SHA-256 of its file in hexadecimal digits.
    pub models: Vec<(String, String)>,
    /// Origin of the p-values of each model, in words; empty without p-values.
    pub significance: Vec<String>,
    /// Of the track of a shard, which that is.
    pub shard: Option<ShardMark>,
}

impl Provenance {
    /// The provenance of one of the tracks: of a shard's, it says which track.
    pub fn for_track(&self, format: Format, track: Option<String>, bin: Option<u64>) -> Provenance {
        let shard = self.shard.as_ref().map(|mark| {
            let rate = mark.rate.filter(|_| matches!(format, Format::Sites(_)));
            ShardMark { format, track, bin, rate, ..mark.clone() }
        });
        Provenance { shard, ..self.clone() }
    }

    /// The lines of a header, each of which starts with `# `.
    pub fn comments(&self) -> String {
        let mut lines = format!("# bindscan {}\n# command: {}\n", env!("CARGO_PKG_VERSION"), self.command);
        for (name, digest) in &self.models {
            writeln!(lines, "# model: {name} sha256:{digest}").expect("writing to memory does not fail");
        }
        for words in &self.significance {
            writeln!(lines, "# p-values: {words}").expect("writing to memory does not fail");
        }
        lines += &self.shard.as_ref().map(ShardMark::comment).unwrap_or_default();
        lines
    }
}
