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
    let _ = reader.check();
});
