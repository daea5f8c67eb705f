//! `bindscan merge`.

use std::path::PathBuf;

use anyhow::{Result, ensure};
use bindscan::io::output;
use bindscan::io::output::Output;
use bindscan::merge::Shards;
use bindscan::track::Format;
use clap::Args;

use super::track::Extension;

/// Join the tracks of shards into what one scan of the whole genome gives
///
/// Give one track of every shard (scan --shard I/N), in any order: the result is the same, byte for byte, as without
/// --shard. Whether the files belong together and none is missing is checked by the comments that shards have.
#[derive(Debug, Args)]
pub(super) struct MergeArgs {
    /// Tracks of the shards, plain or compressed
    #[arg(required = true, value_name = "SHARD")]
    shards: Vec<PathBuf>,
    /// File to write, of the same format; with .gz behind its extension, as BGZF with a tabix index; - is standard output
    #[arg(short, long, value_name = "FILE", default_value = "-")]
    output: PathBuf,
    /// Put comments before the first line that say how it was made (gff3 always has them)
    #[arg(long)]
    header: bool,
}

impl MergeArgs {
    pub(super) fn run(self) -> Result<()> {
        let shards = Shards::open(&self.shards)?;
        let Extension { compressed, .. } = Extension::of(&self.output);
        let bare = if compressed { self.output.with_extension("") } else { self.output.clone() };
        ensure!(
            Format::of_extension(&bare).is_none_or(|named| named == shards.format()),
            "{}: the shards have another format, {}; name the output after that",
            self.output.display(),
            shards.format()
        );
        let sealed = shards.write(Output::create(&self.output)?, self.header, compressed)?;
        output::publish(sealed)?;
        Ok(())
    }
}
