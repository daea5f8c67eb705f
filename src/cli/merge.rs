//! `bindscan merge`.

use std::path::PathBuf;

use anyhow::{Result, ensure};
use bindscan::io::output;
use bindscan::io::output::Output;
use bindscan::merge::Shards;
use bindscan::track::Format;
use clap::Args;

use super::heading;
use super::track::Extension;

/// Join the outputs of shards into those of one scan
///
/// Takes one track of every shard (scan --shard I/N), in any order. The result is that of a scan without --shard, byte
/// for byte. Comments in the shards let merge check that they belong together and that none is missing.
#[derive(Debug, Args)]
pub(super) struct MergeArgs {
    /// Tracks of the shards, plain or compressed
    #[arg(required = true, value_name = "SHARD")]
    shards: Vec<PathBuf>,
    /// Write to this file, in the shards' format; - is standard output
    ///
    /// With .gz after its extension it is compressed as BGZF and indexed.
    #[arg(short, long, value_name = "FILE", default_value = "-", help_heading = heading::OUTPUT)]
    output: PathBuf,
    /// Write comments that say how the file was made (gff3 always has them)
    #[arg(long, help_heading = heading::OUTPUT)]
    header: bool,
}

impl MergeArgs {
    pub(super) fn run(self) -> Result<()> {
        let shards = Shards::open(&self.shards)?;
        let Extension { compressed, .. } = Extension::from_path(&self.output);
        let bare = if compressed { self.output.with_extension("") } else { self.output.clone() };
        ensure!(
            Format::from_extension(&bare).is_none_or(|named| named == shards.format()),
            "{}: the shards have another format, {}; name the output after that",
            self.output.display(),
            shards.format()
        );
        let sealed = shards.write(Output::create(&self.output)?, self.header, compressed)?;
        output::publish(sealed)?;
        Ok(())
    }
}
