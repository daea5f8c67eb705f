//! Files of peaks: any bytes give windows of the width asked for and summits within their contigs, or an error in one line.
//!
//! The first three bytes choose width, strands, background, held-out contigs and what becomes of bad peaks.

#![no_main]

use std::io::Write;
use std::path::PathBuf;
use std::sync::LazyLock;

use bindscan::dataset::peaks::{HeldOutOptions, PeakOptions, cut_windows, read_held_out};
use libfuzzer_sys::fuzz_target;
use tempfile::TempDir;

static GENOME: LazyLock<(TempDir, PathBuf)> = LazyLock::new(|| {
    let directory = tempfile::tempdir().expect("a temporary folder");
    let path = directory.path().join("genome.fa");
    let bases = "ACGTTGCANNACCTAGGATC".repeat(20);
    std::fs::write(&path, format!(">a\n{bases}\n>b\nACGTACGTAA\n>c\n")).expect("a temporary file");
    (directory, path)
});

fuzz_target!(|data: &[u8]| {
    let Some((&[width, flags, most], lines)) = data.split_first_chunk() else { return };
    let set = |bit: u8| flags & (1 << bit) != 0;
    let (_, genome) = &*GENOME;
    let mut file = tempfile::NamedTempFile::new().expect("a temporary file");
    file.write_all(lines).expect("a temporary file");
    let options = PeakOptions {
        width: usize::from(width),
        max_peaks: set(0).then_some(usize::from(most)),
        test_contigs: set(1).then(|| "b".to_owned()).into_iter().collect(),
        stranded: set(2),
        background: if set(3) { 1.5 } else { 0.0 },
        test_background: if set(4) { 1.0 } else { 0.0 },
        seed: 1,
        skip_bad_regions: set(5),
        force: set(6),
    };
    match cut_windows(genome, file.path(), &options) {
        Ok(windows) => {
            for side in [&windows.training, &windows.test] {
                for codes in side.peaks.iter().chain(&side.background) {
                    assert!(codes.len() == options.width && codes.iter().all(|&code| code <= 4));
                }
            }
        }
        Err(error) => assert_eq!(error.to_string().lines().count(), 1, "{error}"),
    }
    let contigs = ["a".to_owned()];
    let options = HeldOutOptions {
        contigs: if set(1) { &contigs } else { &[] },
        skip_bad_regions: set(5),
        force: set(6),
    };
    match read_held_out(genome, file.path(), &options) {
        Ok(held_out) => {
            for contig in held_out {
                assert!(contig.summits.iter().all(|&summit| summit < contig.codes.len() as u64));
            }
        }
        Err(error) => assert_eq!(error.to_string().lines().count(), 1, "{error}"),
    }
});
