//! CRAM as a source of reads: what samtools wrote gives what its SAM gives, by every route.
//!
//! `tests/data/cram` has simulated reads over a tiny genome: `reads.sam` is what samtools 1.16 makes of `external.cram`.

use std::fs;
use std::io::Cursor;
use std::path::{Path, PathBuf};

use crate::common::{error_line, run_ok, stdout, stdout_of_input, tagged};
use bindscan::io::input::RawInput;
use bindscan::reads::sequences::ReadSequences;
use noodles::bam;
use tempfile::TempDir;

fn data(file: &str) -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/data/cram").join(file)
}

/// Every file of reads, and whether its reference is apart.
const FILES: [(&str, bool); 7] = [
    ("external.cram", true),
    // rANS Nx16, the arithmetic coder, fqzcomp, the name tokeniser.
    ("external31.cram", true),
    // Slices with reads of several contigs.
    ("several.cram", true),
    ("embedded.cram", false),
    // A reference made of the reads, with marks of tags that they lack.
    ("consensus.cram", false),
    ("free.cram", false),
    ("several_free.cram", false),
];

/// A folder with the files, and a model.
fn folder() -> TempDir {
    let directory = tempfile::tempdir().unwrap();
    for (file, _) in FILES.into_iter().chain([("genome.fa", false), ("reads.sam", false)]) {
        fs::copy(data(file), directory.path().join(file)).unwrap();
    }
    let motif = "MEME version 4\n\nALPHABET= ACGT\n\nMOTIF m\nletter-probability matrix: alength= 4 w= 4 nsites= 20\n\
        0.97 0.01 0.01 0.01\n0.01 0.97 0.01 0.01\n0.01 0.01 0.97 0.01\n0.97 0.01 0.01 0.01\n";
    fs::write(directory.path().join("m.meme"), motif).unwrap();
    run_ok(directory.path(), "import meme m.meme -o m.onnx");
    directory
}

fn reference(apart: bool) -> &'static str {
    if apart { "-T genome.fa" } else { "" }
}

#[test]
fn what_is_written_is_what_sam_gives_by_every_route() {
    let directory = folder();
    let at = directory.path();
    let outputs =
        "--threshold 1 --aggregate mean -o x.bed -o x.tsv -o x.bedGraph -o x.bw --min-baseq 15 -q 10";
    let files = ["x.bed", "x.tsv", "x.bedGraph", "x.bw"];
    let bytes = |words: &str| {
        run_ok(at, &format!("scan -m m.onnx {words} {outputs}"));
        files.map(|file| fs::read(at.join(file)).unwrap())
    };
    let want = bytes("reads.sam");
    assert!(want[0].split(|&byte| byte == b'\n').count() > 50);
    let scores = stdout(at, "score -m m.onnx reads.sam");
    let piped = "scan -m m.onnx - --threshold 1 --unmapped --read-group b";
    let lines = stdout_of_input(at, piped, &fs::read(at.join("reads.sam")).unwrap());
    for (file, apart) in FILES {
        let source = format!("{file} {}", reference(apart));
        for more in ["-t 1", "-t 3 --chunk-size 50"] {
            assert!(bytes(&format!("{source} {more}")) == want, "{source} {more}");
        }
        assert_eq!(stdout(at, &format!("score -m m.onnx {source}")), scores, "{file}");
        let input = fs::read(at.join(file)).unwrap();
        assert_eq!(
            stdout_of_input(at, &format!("{piped} {}", reference(apart)), &input),
            lines,
            "{file} piped"
        );
    }
}

#[test]
fn records_come_out_whole() {
    let directory = folder();
    let at = directory.path();
    let of = |words: &str| {
        run_ok(at, &format!("scan -m m.onnx {words} -o x.bam"));
        tagged(&fs::read(at.join("x.bam")).unwrap()).0
    };
    let want = of("reads.sam");
    assert!(want.iter().any(|record| record.text.contains("\tMD:Z:")));
    for (file, apart) in FILES {
        let have = of(&format!("{file} {}", reference(apart)));
        if apart {
            assert_eq!(have, want, "{file}");
            continue;
        }
        // Without a reference to compare with, there are no tags of the differences.
        let tags = |text: &str| {
            text.split('\t')
                .filter(|tag| !tag.starts_with("MD:") && !tag.starts_with("NM:"))
                .collect::<Vec<_>>()
                .join("\t")
        };
        let texts = |records: &[crate::common::Tagged]| {
            records.iter().map(|record| tags(&record.text)).collect::<Vec<_>>()
        };
        assert_eq!(texts(&have), texts(&want), "{file}");
    }
    // Beside embedded bases, tags are made of the genome, but of no other one.
    assert_eq!(of("embedded.cram -T genome.fa"), want);
    fs::write(at.join("other.fa"), other_genome()).unwrap();
    assert_eq!(of("embedded.cram -T other.fa"), of("embedded.cram"));
}

/// The genome with other bases.
fn other_genome() -> String {
    fs::read_to_string(data("genome.fa")).unwrap().replacen("ACG", "AGG", 100)
}

#[test]
fn regions_are_those_of_bam() {
    let directory = folder();
    let at = directory.path();
    run_ok(at, "scan -m m.onnx reads.sam -o x.bam");
    let bam::Index::Bai(index) = bam::fs::index(at.join("x.bam")).unwrap() else {
        unreachable!("contigs are short")
    };
    bam::bai::fs::write(at.join("x.bam.bai"), &index).unwrap();
    let whole = stdout(at, "scan -m m.onnx x.bam --threshold 1").lines().count();
    for (file, apart) in FILES {
        let scan = format!("scan -m m.onnx {file} {} --threshold 1", reference(apart));
        assert!(error_line(at, &format!("{scan} -r chr2")).contains("regions need an index"), "{file}");
        fs::copy(data(&format!("{file}.crai")), at.join(format!("{file}.crai"))).unwrap();
        for regions in [
            "-r chr1:500-501",
            "-r chr2",
            "-r chr2:100-130 -r chr1:1-90 -r chr1:700-900",
            "-r chr1:1499-1500",
        ] {
            let lines = stdout(at, &format!("{scan} {regions} -t 2"));
            assert_eq!(
                lines,
                stdout(at, &format!("scan -m m.onnx x.bam --threshold 1 {regions}")),
                "{file} {regions}"
            );
            assert!(lines.lines().count() < whole);
        }
    }
    fs::write(at.join("free.cram.crai"), "nonsense").unwrap();
    assert!(
        error_line(at, "scan -m m.onnx free.cram --threshold 1 -r chr2")
            .contains("free.cram.crai: cannot read the index")
    );
}

#[test]
fn any_form_of_the_reference_serves() {
    let directory = folder();
    let at = directory.path();
    let genome = fs::read_to_string(at.join("genome.fa")).unwrap();
    fs::write(at.join("small.fa"), genome.to_lowercase().replace(">chr2", "\n>chr2 of two")).unwrap();
    fs::write(at.join("genome.fa.gz"), crate::common::gzip(genome.as_bytes())).unwrap();
    let want = stdout(at, "scan -m m.onnx external.cram -T genome.fa --threshold 1");
    for name in ["small.fa", "genome.fa.gz"] {
        for file in ["external.cram", "several.cram"] {
            assert_eq!(
                stdout(at, &format!("scan -m m.onnx {file} -T {name} --threshold 1")),
                want,
                "{name} {file}"
            );
        }
    }
}

#[test]
fn bad_input_is_told_in_one_line() {
    let directory = folder();
    let at = directory.path();
    let says = |words: &str, message: &str| {
        let error = error_line(at, &format!("scan -m m.onnx {words} --threshold 1 -o y.bed"));
        assert!(error.contains(message), "{words}: {error}");
        assert!(!at.join("y.bed").exists());
    };
    let file = |name: &str, bytes: &[u8]| fs::write(at.join(name), bytes).unwrap();
    let genome = fs::read_to_string(at.join("genome.fa")).unwrap();
    file("other.fa", other_genome().as_bytes());
    file("named.fa", genome.replace(">chr", ">").as_bytes());
    file(
        "short.fa",
        format!("{}\n", genome.trim_end().trim_end_matches(|letter| letter != '\n').trim_end()).as_bytes(),
    );
    for source in ["external.cram", "several.cram"] {
        says(source, "its reads are compressed against a reference: give the genome with --reference (-T)");
        says(&format!("{source} -T other.fa"), "other.fa: chr1 has other bases than the reference that");
        says(&format!("{source} -T named.fa"), "named.fa: there is no contig chr1 in it");
        says(&format!("{source} -T short.fa"), "500 in the header of");
        says(&format!("{source} -T absent.fa"), "absent.fa: cannot open");
    }
    says("genome.fa -T genome.fa", "--reference (-T) is for reads");
    let error = error_line(at, "score -m m.onnx genome.fa -T genome.fa");
    assert!(error.contains("--reference (-T) is for CRAM"), "{error}");

    let whole = fs::read(at.join("free.cram")).unwrap();
    file("no_end.cram", &whole[..whole.len() - 38]);
    says("no_end.cram", "the end-of-file container of CRAM is missing");
    file("garbage.cram", b"CRAM\x03\x00 and more that is not looked at");
    says("garbage.cram", "the end-of-file container of CRAM is missing");
    let mut old = whole.clone();
    old[4..6].copy_from_slice(&[2, 1]);
    file("old.cram", &old);
    says("old.cram", "CRAM 2.1 is not read; 3.0 and 3.1 are");
    let mut broken = whole.clone();
    broken[whole.len() / 2] ^= 1;
    file("broken.cram", &broken);
    says("broken.cram", "checksum mismatch");
    // Piped, the end is only seen when it comes.
    for length in [8, 30, 200, whole.len() / 2, whole.len() - 38, whole.len() - 1] {
        let words = ["scan", "-m", "m.onnx", "-", "--threshold", "1", "-o", "y.bed"];
        file("cut", &whole[..length]);
        let input = fs::File::open(at.join("cut")).unwrap();
        let output = crate::common::bindscan(words).current_dir(at).stdin(input).output().unwrap();
        let error = crate::common::failure(output, "a cut stream", 1);
        assert!(error.contains("-: it ends") && error.contains("cut short"), "{length}: {error}");
        assert!(!at.join("y.bed").exists());
    }
}

/// Reads everything; what is wrong, if something is.
fn fault(bytes: Vec<u8>) -> Option<String> {
    let path = Path::new("-");
    let input = RawInput::from_stream(path, Cursor::new(bytes), None).unwrap();
    let genome = data("genome.fa");
    let outcome = ReadSequences::open(path, input, Some(&genome)).and_then(|mut reads| {
        while reads.read()?.is_some() {}
        Ok(())
    });
    outcome.err().map(|error| error.to_string())
}

#[test]
fn any_changed_byte_is_found_or_makes_no_difference() {
    let whole = fs::read(data("several.cram")).unwrap();
    assert_eq!(fault(whole.clone()), None);
    let mut found = 0;
    for at in (4..whole.len()).step_by(7) {
        let mut bytes = whole.clone();
        bytes[at] = bytes[at].wrapping_add(1 + (at % 255) as u8);
        if let Some(message) = fault(bytes) {
            assert_eq!(message.lines().count(), 1, "{message}");
            found += 1;
        }
    }
    // All but a few bytes are below a checksum.
    assert!(found > whole.len() / 7 * 9 / 10, "{found} of {}", whole.len() / 7);
}
