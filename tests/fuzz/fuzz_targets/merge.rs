//! Shards: any text behind a shard's comment, sealed with the right checksum, is merged or an error.
#![no_main]

use std::fs;

use bindscan::merge::Shards;
use bindscan::io::output::Output;
use bindscan::io::output::Sealed;
use libfuzzer_sys::fuzz_target;

const FORMATS: [&str; 5] = ["bed", "tsv", "narrowpeak", "gff3", "bedgraph"];

fuzz_target!(|input: (u8, bool, bool, &[u8])| {
    let (format, with_rate, compressed, lines) = input;
    let format = FORMATS[usize::from(format) % FORMATS.len()];
    let rate = if with_rate { r#","rate":0.1"# } else { "" };
    let mark = format!(r#"{{"number":1,"of":1,"format":"{format}","track":null,"bin":1,"genome":""{rate}}}"#);
    let mut text = format!("# shard: {mark}\n").into_bytes();
    text.extend_from_slice(lines);
    if text.last() != Some(&b'\n') {
        text.push(b'\n');
    }
    let seal = format!("# crc32: {:08x}\n", crc32(&text));
    text.extend_from_slice(seal.as_bytes());
    let Ok(directory) = tempfile::tempdir() else { return };
    let (shard, merged) = (directory.path().join("shard"), directory.path().join("merged"));
    if fs::write(&shard, text).is_err() {
        return;
    }
    let Ok(shards) = Shards::open(&[shard]) else { return };
    let Ok(output) = Output::create(&merged) else { return };
    if let Ok(sealed) = shards.write(output, false, compressed) {
        let _ = sealed.into_iter().try_for_each(Sealed::publish);
    }
});

fn crc32(bytes: &[u8]) -> u32 {
    !bytes.iter().fold(!0u32, |sum, &byte| {
        (0..8).fold(sum ^ u32::from(byte), |sum, _| (sum >> 1) ^ (0xEDB8_8320 & (sum & 1).wrapping_neg()))
    })
}
