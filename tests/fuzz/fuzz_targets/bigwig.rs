//! bigWig: any bytes give values, or an error; so does the comparison with the checksum.
#![no_main]

use std::io::Cursor;
use std::path::Path;

use bindscan::track::bigwig::{Reader, Values};
use libfuzzer_sys::fuzz_target;

fuzz_target!(|bytes: &[u8]| {
    let Ok(mut reader) = Reader::new(Path::new("fuzz.bw"), Cursor::new(bytes)) else { return };
    let mut values = Values::default();
    while let Ok(true) = reader.read(&mut values) {
        assert!(values.contig < reader.contigs().len());
    }
    for contig in 0..reader.contigs().len().min(3) {
        let inside = |part: std::ops::Range<u64>, _| {
            assert!(100 <= part.start && part.start < part.end && part.end <= 5_000);
            Ok(())
        };
        let _ = reader.fetch(contig, &(100..5_000), &mut values, inside);
    }
    let _ = reader.check();
});
