//! Any bytes as a 2bit file: chunks of codes within what the file says, or an error; and the same codes for any chunks.
//!
//! The first byte chooses the shape of the chunks, and whether masked bases count.

#![no_main]

use std::io::Write;

use bindscan::Result;
use bindscan::genome;
use bindscan::genome::GenomeOptions;
use bindscan::genome::sequence_source::SequenceSource;
use bindscan::seq::chunk::{Chunk, ChunkShape};
use libfuzzer_sys::fuzz_target;

fn codes(path: &std::path::Path, mask_lowercase: bool, own: usize) -> Result<Vec<(String, Vec<u8>)>> {
    let options = GenomeOptions { mask_lowercase, regions: Vec::new() };
    let mut source = genome::open(path, &options)?.into_chunks(ChunkShape { own, left: 0, right: 3, reach: 3 });
    let (mut chunk, mut contigs) = (Chunk::default(), Vec::<(String, Vec<u8>)>::new());
    while source.read_chunk(&mut chunk)? {
        assert!(chunk.codes.iter().all(|&code| code <= 4) && chunk.own.end <= chunk.end);
        if chunk.first {
            contigs.push((chunk.contig.name.clone(), Vec::new()));
        }
        let own = (chunk.own.end - chunk.own.start) as usize;
        contigs.last_mut().expect("a first chunk").1.extend_from_slice(&chunk.codes[..own]);
        if chunk.last {
            assert_eq!(chunk.contig.length, Some(chunk.end));
        }
    }
    Ok(contigs)
}

fuzz_target!(|data: &[u8]| {
    let Some((&choice, bytes)) = data.split_first() else { return };
    let mut file = tempfile::NamedTempFile::new().expect("a temporary file");
    // Most of what is tried is to get past the signature.
    let bytes = [&0x1A41_2743u32.to_le_bytes()[..], bytes].concat();
    file.write_all(&bytes).expect("a temporary file");
    let (mask, own) = (choice >= 128, usize::from(choice % 128) + 1);
    match (codes(file.path(), mask, own), codes(file.path(), mask, 1 << 20)) {
        (Ok(small), Ok(large)) => assert_eq!(small, large),
        (Err(small), Err(large)) => assert_eq!(small.to_string(), large.to_string()),
        (small, large) => panic!("chunks change the outcome: {:?}, {:?}", small.err(), large.err()),
    }
});
