//! Any bytes as the reads of a BAM or SAM file: sequences, or an error in one line.
//!
//! CRAM is left out: noodles panics where it contradicts itself, which the reader catches, and a fuzzer does not.
//! The first byte chooses: SAM text; the bytes as they are; or, behind a sound header, the inside of a BAM file.

#![no_main]

use std::io::{Cursor, Write};
use std::path::Path;

use bindscan::io::input::RawInput;
use bindscan::reads::sequences::ReadSequences;
use libfuzzer_sys::fuzz_target;

const HEADER: &[u8] = b"BAM\x01\0\0\0\0\x01\0\0\0\x02\0\0\0c\0\xe8\x03\0\0";

fn compressed(bytes: &[u8]) -> Vec<u8> {
    let mut writer = noodles_bgzf::io::Writer::new(Vec::new());
    writer.write_all(bytes).expect("memory takes all");
    writer.finish().expect("memory takes all")
}

fuzz_target!(|data: &[u8]| {
    let Some((&choice, bytes)) = data.split_first() else { return };
    let bytes = match choice % 4 {
        0 => [b"@SQ\tSN:c\tLN:1000\n", bytes].concat(),
        1 => bytes.to_vec(),
        2 => compressed(bytes),
        _ => compressed(&[HEADER, bytes].concat()),
    };
    if bytes.starts_with(b"CRAM") {
        return;
    }
    let path = Path::new("-");
    let input = RawInput::from_stream(path, Cursor::new(bytes), None).expect("memory can be read");
    let outcome = ReadSequences::open(path, input, None).and_then(|mut reads| {
        while let Some(sequence) = reads.read()? {
            assert!(!sequence.codes.is_empty() && sequence.codes.iter().all(|&code| code <= 4));
        }
        assert_eq!(reads.read()?, None);
        Ok(())
    });
    if let Err(error) = outcome {
        assert_eq!(error.to_string().lines().count(), 1, "{error}");
    }
});
