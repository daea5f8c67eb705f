//! Regions that were asked for.

use std::path::{Path, PathBuf};

use anyhow::Result;
use bindscan::genome::alias::AliasTable;
use bindscan::genome::regions::read_regions;
use bindscan::seq::contig::RegionQuery;
use clap::Args;

use super::{check_stdin, heading};

/// Options that restrict a run to regions.
#[derive(Debug, Args)]
pub(super) struct RegionArgs {
    /// Use this region only, as chr1 or chr1:1000-2000 (1-based, inclusive; repeatable)
    ///
    /// Regions that overlap or touch are joined.
    #[arg(short, long = "region", value_name = "REGION", help_heading = heading::INPUT)]
    regions: Vec<String>,
    /// Use only the regions of a BED, narrowPeak or GFF file
    #[arg(short = 'R', long, value_name = "BED", help_heading = heading::INPUT)]
    regions_file: Option<PathBuf>,
    /// Skip or clip regions that do not fit the genome, and count them
    ///
    /// Regions on unknown contigs and empty ones are left out; those that end past their contig are clipped. Without
    /// this option they are an error.
    #[arg(long, help_heading = heading::INPUT)]
    skip_bad_regions: bool,
}

/// The option that gives contigs further names.
#[derive(Debug, Args)]
pub(super) struct AliasArgs {
    /// Read further names of contigs from a file
    ///
    /// A line has the names of one contig: UCSC's chromAlias.txt, NCBI's assembly report.
    #[arg(long, value_name = "FILE", help_heading = heading::INPUT)]
    aliases: Option<PathBuf>,
}

impl AliasArgs {
    /// The file.
    pub(super) fn file(&self) -> Option<&Path> {
        self.aliases.as_deref()
    }

    /// The names in the file; none without one.
    pub(super) fn table(&self) -> Result<AliasTable> {
        Ok(self.file().map(AliasTable::read).transpose()?.unwrap_or_default())
    }
}

impl RegionArgs {
    /// As [`queries`].
    pub(super) fn queries(&self, input: (&Path, &str)) -> Result<Vec<RegionQuery>> {
        queries(&self.regions, self.file(), input, self.skip_bad_regions)
    }

    /// The file of regions.
    pub(super) fn file(&self) -> Option<&Path> {
        self.regions_file.as_deref()
    }
}

/// Regions as words (`chr1:1000-2000`) and those of a file; none means that all is wanted. The `input` that they are regions
/// of, in words `what`, cannot come from standard input as well. With `skip_bad`, those that do not fit it are left out.
pub(super) fn queries(
    words: &[String],
    file: Option<&Path>,
    (input, what): (&Path, &str),
    skip_bad: bool,
) -> Result<Vec<RegionQuery>> {
    let mut regions: Vec<RegionQuery> = words.iter().map(|text| RegionQuery::parse(text)).collect();
    if let Some(file) = file {
        check_stdin((input, what), (file, "regions"))?;
        regions.extend(read_regions(file)?);
    }
    regions.iter_mut().for_each(|region| region.optional = skip_bad);
    Ok(regions)
}
