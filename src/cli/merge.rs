//! `bindscan merge`.

use std::path::PathBuf;

use anyhow::{Result, ensure};
use bindscan::merge::Shards;
use bindscan::output::{Output, Sealed};
use bindscan::track::Format;
use bindscan::track::line::LineSink;
use clap::Args;

/// Join the tracks of shards into what one scan of the whole genome gives
///
/// Give one track of every shard (scan --shard I/N), in any order: the result is the same, byte for byte, as without
/// --shard. Whether the files belong together and none is missing is checked by the comments that shards have.
#[derive(Debug, Args)]
pub(super) struct MergeArgs {
    /// Tracks of the shards, plain or compressed
    #[arg(required = true, value_name = "SHARD")]
    shards: Vec<PathBuf>,
    /// File to write, of the same format; - is standard output
    #[arg(short, long, value_name = "FILE", default_value = "-")]
    output: PathBuf,
    /// Put comments before the first line that say how it was made (gff3 always has them)
    #[arg(long)]
    header: bool,
}

impl MergeArgs {
    pub(super) fn run(self) -> Result<()> {
        let shards = Shards::open(&self.shards)?;
        let named = Format::of_extension(&self.output);
        ensure!(
            named.is_none_or(|named| named == shards.format()),
            "{}: the shards have another format, {}; name the output after that",
            self.output.display(),
            shards.format()
        );
        let sink = LineSink::new(Output::create(&self.output)?, &shards.header(self.header))?;
        shards.write(sink)?.into_iter().try_for_each(Sealed::publish)?;
        Ok(())
    }
}
