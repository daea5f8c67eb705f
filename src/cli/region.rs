//! Regions that were asked for.

use std::path::Path;

use anyhow::{Result, ensure};
use bindscan::genome::alias::AliasTable;
use bindscan::genome::regions::read_regions;
use bindscan::seq::contig::RegionQuery;

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
        let stdin = Path::new("-");
        ensure!(
            file != stdin || input != stdin,
            "the {what} and the regions cannot both come from standard input"
        );
        regions.extend(read_regions(file)?);
    }
    regions.iter_mut().for_each(|region| region.optional = skip_bad);
    Ok(regions)
}

/// Gives regions the other names of their contigs.
pub(super) fn name(regions: &mut [RegionQuery], aliases: &AliasTable) {
    for region in regions {
        let name = match (&region.interval, &region.whole) {
            (Some(Ok(interval)), _) => Some(&interval.contig),
            (_, whole) => whole.as_ref(),
        };
        region.others = name.map_or_else(Vec::new, |name| aliases.names(name).to_vec());
    }
}
