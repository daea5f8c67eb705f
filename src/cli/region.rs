//! Regions that were asked for.

use std::path::Path;

use anyhow::{Result, ensure};
use bindscan::genome::RegionQuery;
use bindscan::source::region::read_bed;

/// Regions as words (`chr1:1000-2000`) and those of a BED; none means that all is wanted. The `input` that they are regions of,
/// in words `what`, cannot come from standard input as well.
pub(super) fn queries(
    words: &[String],
    bed: Option<&Path>,
    (input, what): (&Path, &str),
) -> Result<Vec<RegionQuery>> {
    let mut regions: Vec<RegionQuery> = words.iter().map(|text| RegionQuery::parse(text)).collect();
    if let Some(bed) = bed {
        let stdin = Path::new("-");
        ensure!(
            bed != stdin || input != stdin,
            "the {what} and the regions cannot both come from standard input"
        );
        regions.extend(read_bed(bed)?);
    }
    Ok(regions)
}
