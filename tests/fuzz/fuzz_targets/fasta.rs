//! Any bytes as a FASTA: the mapped route and the stream end alike, with the same chunks or the same error.
//!
//! The first four bytes choose the shape of the chunks and whether regions are asked for.

#![no_main]

use std::io::{Cursor, Write};
use std::path::Path;

use bindscan::Result;
use bindscan::genome;
use bindscan::genome::sequence_source::SequenceSource;
use bindscan::genome::{Genome, GenomeOptions};
use bindscan::seq::chunk::{Chunk, ChunkShape};
use bindscan::seq::contig::RegionQuery;
use libfuzzer_sys::fuzz_target;

/// A chunk's contig, place, codes and flags.
type Row = (String, u64, Vec<u8>, std::ops::Range<u64>, u64, bool, bool);

fn rows(fasta: Result<Genome>, shape: ChunkShape) -> Result<Vec<Row>> {
    let mut source = fasta?.into_chunks(shape);
    let (mut chunk, mut rows) = (Chunk::default(), Vec::new());
    while source.read_chunk(&mut chunk)? {
        let Chunk { contig, start, codes, own, end, first, last, .. } = chunk.clone();
        assert!(codes.iter().all(|&code| code <= 4) && own.start <= own.end && own.end <= end);
        assert!((own.end - own.start) as usize <= shape.own);
        rows.push((contig.name.clone(), start, codes, own, end, first, last));
    }
    Ok(rows)
}

/// True if a contig may be meant by the regions although its name differs.
fn has_other_name(path: &Path) -> bool {
    let is_other = |name: &str| {
        let lower = name.to_ascii_lowercase();
        !["a", "b"].contains(&name) && ["a", "b"].contains(&lower.strip_prefix("chr").unwrap_or(&lower))
    };
    let genome = genome::open(path, &GenomeOptions { mask_lowercase: false, regions: Vec::new() });
    let contigs = genome.ok().and_then(|genome| Some(genome.contigs()?.to_vec())).unwrap_or_default();
    contigs.iter().any(|contig| is_other(&contig.name))
}

fuzz_target!(|data: &[u8]| {
    let Some((&[own, left, right, regions], text)) = data.split_first_chunk() else { return };
    let (left, right) = (usize::from(left % 16), usize::from(right % 16));
    let shape = ChunkShape { own: usize::from(own) + 1, left, right, reach: right / 2 };
    let wanted = ["a:2-5", "a", "b:3-"].iter().take(usize::from(regions % 4));
    let options = GenomeOptions {
        mask_lowercase: regions >= 128,
        regions: wanted.map(|text| RegionQuery::parse(text)).collect(),
    };
    let mut file = tempfile::NamedTempFile::new().expect("a temporary file");
    file.write_all(text).expect("a temporary file");
    let opened = rows(genome::open(file.path(), &options), shape);
    let streamed = rows(genome::from_reader(Cursor::new(text.to_vec()), Path::new("-"), &options), shape);
    match (opened, streamed) {
        (Ok(opened), Ok(streamed)) => assert_eq!(opened, streamed),
        // A stream whose regions have all been read stops there; an index sees the whole file.
        (Err(_), Ok(_)) => assert!(!options.regions.is_empty()),
        // A stream takes a contig of another name for the one that is meant, until that comes.
        (Ok(_), Err(error)) => assert!(has_other_name(file.path()), "only the stream fails: {error}"),
        (Err(_), Err(_)) => {}
    }
});
