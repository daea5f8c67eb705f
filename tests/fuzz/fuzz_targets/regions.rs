//! Files of regions (BED, narrowPeak, GFF) and tables of aliases: any bytes give regions within the genome, or an error in one
//! line.
//!
//! The first two bytes say how many of the others are the table of aliases; the next, whether bad regions are left out.

#![no_main]

use std::io::Write;
use std::path::PathBuf;
use std::sync::LazyLock;

use bindscan::Result;
use bindscan::genome::alias::AliasTable;
use bindscan::genome::random_access::Lookup;
use bindscan::genome::regions::read_regions;
use bindscan::regions::RegionList;
use libfuzzer_sys::fuzz_target;
use tempfile::{NamedTempFile, TempDir};

static GENOME: LazyLock<(TempDir, PathBuf)> = LazyLock::new(|| {
    let directory = tempfile::tempdir().expect("a temporary folder");
    let path = directory.path().join("genome.fa");
    std::fs::write(&path, ">chr1\nACGTNACGTTTACGACA\n>chrM\nAC\n>c\n>1\nACGTACGT\n")
        .expect("a temporary file");
    (directory, path)
});

fn file(bytes: &[u8]) -> NamedTempFile {
    let mut file = NamedTempFile::new().expect("a temporary file");
    file.write_all(bytes).expect("a temporary file");
    file
}

/// The value, after a check that an error has one line.
fn checked<T>(result: Result<T>) -> Option<T> {
    result.map_err(|error| assert_eq!(error.to_string().lines().count(), 1, "{error}")).ok()
}

fuzz_target!(|data: &[u8]| {
    let Some((&[low, high, skip], bytes)) = data.split_first_chunk() else { return };
    let (names, lines) = bytes.split_at(bytes.len().min(usize::from(u16::from_le_bytes([low, high]))));
    let (_, genome) = &*GENOME;
    let genome = Lookup::open(genome, false).expect("a genome");
    let aliases = checked(AliasTable::read(file(names).path())).unwrap_or_default();
    for name in ["1", "chr1", "MT", ""] {
        assert!(aliases.names(name).is_empty() || aliases.names(name).iter().any(|other| other == name));
    }
    let Some(genome) = checked(genome.with_aliases(aliases)) else { return };
    let regions = file(lines);
    let queries = checked(read_regions(regions.path()));
    let selected = queries.as_ref().and_then(|queries| checked(genome.select(queries)));
    for (segments, contig) in selected.iter().flatten().zip(genome.contigs()) {
        let inside = |end: u64| contig.length.is_some_and(|length| end <= length);
        assert!(segments.iter().all(|segment| segment.start < segment.end && inside(segment.end)));
        assert!(segments.windows(2).all(|pair| pair[0].end < pair[1].start));
    }
    if let Some(list) = checked(RegionList::read(regions.path(), &genome, skip % 2 == 0)) {
        assert!(queries.is_some_and(|queries| list.regions.len() <= queries.len()));
        for region in &list.regions {
            let length = genome.contigs()[region.contig].length;
            assert!(region.start < region.end && length.is_some_and(|length| region.end <= length));
        }
    }
});
