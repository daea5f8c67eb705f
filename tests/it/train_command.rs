//! `bindscan train` from end to end.

use std::fmt::Write;
use std::io::Read;
use std::path::Path;
use std::process::{Command, Stdio};
use std::time::{Duration, Instant};

use crate::common::{bindscan, error_line, run, stdout};
use rand::{RngExt, SeedableRng};
use rand_xoshiro::Xoshiro256PlusPlus;
use tempfile::tempdir;

/// Sizes that are done in a moment.
const SMALL: &str = "--trials 2 --steps 300 --final 2 --filters 6 --filter-length 10 --batch 16";

/// Bound sequences of 40 bases, one a line with a header; each has TGACGTCA somewhere.
fn bound(count: usize, seed: u64) -> String {
    let mut rng = Xoshiro256PlusPlus::seed_from_u64(seed);
    let mut table = String::from("seq\tbound\n");
    for _ in 0..count {
        let mut letters: Vec<u8> = (0..40).map(|_| b"ACGT"[rng.random_range(0..4)]).collect();
        let at = rng.random_range(0..32);
        letters[at..at + 8].copy_from_slice(b"TGACGTCA");
        writeln!(table, "{}\t1", String::from_utf8(letters).unwrap()).unwrap();
    }
    table
}

fn write(directory: &Path, name: &str, text: &str) {
    std::fs::write(directory.join(name), text).unwrap();
}

#[test]
fn a_model_comes_out_that_inspect_and_eval_take() {
    let directory = tempdir().unwrap();
    let path = directory.path();
    write(path, "data.tsv", &bound(120, 1));
    write(path, "test.tsv", &bound(60, 2));
    let words = format!("train data.tsv -o creb.onnx --test test.tsv --report creb.html {SMALL}");
    let output = run(path, &words);
    let said = String::from_utf8(output.stderr).unwrap();
    assert!(output.status.success(), "{said}");
    assert!(said.contains("cross-validated AUC"), "{said}");
    assert!(said.contains("held out, bound: AUC"), "{said}");
    assert!(!path.join("creb.onnx.training.json").exists());
    let page = std::fs::read_to_string(path.join("creb.html")).unwrap();
    assert!(page.starts_with("<!DOCTYPE html>") && page.contains("creb"));

    let inspected = stdout(path, "inspect creb.onnx");
    for word in [
        "creb",
        "window   40 bases",
        "26 filters of length 10",
        "the same score on both",
        "held_out",
        "data_sha256",
    ] {
        assert!(inspected.contains(word), "{word} is missing:\n{inspected}");
    }
    let table = stdout(path, "eval creb.onnx test.tsv --format tsv");
    let auc = table.lines().find(|line| line.contains("AUC")).unwrap();
    let value: f64 = auc.split('\t').find_map(|cell| cell.parse().ok()).unwrap();
    assert!(value > 0.9, "{auc}");

    let genome: String = bound(5, 3).lines().skip(1).map(|line| line.split('\t').next().unwrap()).collect();
    write(path, "genome.fa", &format!(">chr1\n{genome}\n"));
    let sites = stdout(path, "scan -m creb.onnx genome.fa --all");
    assert_eq!(sites.lines().count(), 161);
    assert!(sites.lines().all(|line| line.split('\t').nth(5) == Some(".")), "{sites}");

    let first = std::fs::read(path.join("creb.onnx")).unwrap();
    for threads in [1, 3] {
        assert!(run(path, &format!("{words} --threads {threads}")).status.success());
        assert!(
            std::fs::read(path.join("creb.onnx")).unwrap() == first,
            "{threads} threads give other bytes"
        );
    }
}

/// 10-mers with a count and an affinity that falls with the mismatches to CACGTG, on either strand: the form of SELEX.
fn affinities(count: usize, seed: u64) -> String {
    let mut rng = Xoshiro256PlusPlus::seed_from_u64(seed);
    let mut table = String::from("kmer,count,relKa\n");
    for _ in 0..count {
        let mut kmer: Vec<u8> = (0..10).map(|_| b"ACGT"[rng.random_range(0..4)]).collect();
        if rng.random() {
            kmer[2..8].copy_from_slice(b"CACGTG");
            kmer[rng.random_range(2..8)] = b"ACGT"[rng.random_range(0..4)];
        }
        let mismatches = |window: &[u8]| window.iter().zip(b"CACGTG").filter(|(a, b)| a != b).count();
        let best = kmer.windows(6).map(mismatches).min().unwrap();
        let letters = String::from_utf8(kmer).unwrap();
        writeln!(table, "{letters},{},{:.4}", rng.random_range(20..900), 0.3f64.powi(best as i32)).unwrap();
    }
    table
}

#[test]
fn affinities_of_kmers_are_learned() {
    let directory = tempdir().unwrap();
    let path = directory.path();
    write(path, "train.csv", &affinities(900, 1));
    write(path, "test.csv", &affinities(300, 2));
    let small = "--trials 2 --steps 800 --final 2 --filters 8 --filter-length 8 --batch 32";
    let output = run(path, &format!("train train.csv --target relKa -o max.onnx --test test.csv {small}"));
    let said = String::from_utf8(output.stderr).unwrap();
    assert!(output.status.success(), "{said}");
    assert!(said.contains("test sequences are also in the training set"), "{said}");
    let table = stdout(path, "eval max.onnx test.csv --target relKa --format tsv");
    let value = |metric: &str| -> f64 {
        let line = table.lines().find(|line| line.split('\t').nth(1) == Some(metric)).unwrap();
        line.split('\t').nth(2).unwrap().parse().unwrap()
    };
    assert!(value("Pearson") > 0.8 && value("R2") > 0.5, "{table}");
}

#[test]
fn what_was_interrupted_is_not_overwritten() {
    let directory = tempdir().unwrap();
    let path = directory.path();
    write(path, "data.tsv", &bound(40, 1));
    // Without a state, --resume starts as a scan does.
    let said = run(path, &format!("train data.tsv -o first.onnx --resume {SMALL}")).stderr;
    let said = String::from_utf8(said).unwrap();
    assert!(said.contains("first.onnx.training.json): starting a new one"), "{said}");
    assert!(path.join("first.onnx").exists(), "{said}");
    write(path, "m.onnx.training.json", "{}");
    let line = error_line(path, &format!("train --quiet data.tsv -o m.onnx {SMALL}"));
    assert!(line.contains("--resume"), "{line}");
    let line = error_line(path, &format!("train --quiet data.tsv -o m.onnx --resume {SMALL}"));
    assert!(line.contains("not the state of a training"), "{line}");
    assert!(!path.join("m.onnx").exists());
}

/// Starts a training and interrupts it in its middle; the time the whole takes may differ from one run to the next.
#[cfg(unix)]
fn interrupt(path: &Path, words: &str, state: &str, whole: Duration) -> String {
    for attempt in 0..40 {
        let mut command = bindscan(words.split_whitespace());
        let mut child = command.current_dir(path).stderr(Stdio::piped()).spawn().unwrap();
        std::thread::sleep(whole.mul_f64([0.5, 0.7, 0.3, 0.9][attempt % 4]));
        Command::new("kill").args(["-TERM", &child.id().to_string()]).status().unwrap();
        let status = child.wait().unwrap();
        let mut said = String::new();
        child.stderr.take().unwrap().read_to_string(&mut said).unwrap();
        if !status.success() && path.join(state).exists() {
            assert_eq!(status.code(), Some(143), "{said}");
            return said;
        }
        // Too early or too late.
        let _ = std::fs::remove_file(path.join("m.onnx"));
    }
    panic!("was never interrupted in its middle");
}

#[cfg(unix)]
#[test]
fn after_ctrl_c_resume_goes_on_to_the_same_model() {
    for (options, state) in [
        ("--trials 12 --steps 600 --final 2 --filters 6 --filter-length 10", "m.onnx.training.json"),
        ("--arch cnn --epochs 12 --final 2", "m.onnx.training"),
    ] {
        let directory = tempdir().unwrap();
        let path = directory.path();
        write(path, "data.tsv", &bound(200, 1));
        let words = format!("train --quiet data.tsv -o m.onnx --threads 1 {options}");
        let begun = Instant::now();
        stdout(path, &words);
        let whole = begun.elapsed();
        let want = std::fs::read(path.join("m.onnx")).unwrap();
        std::fs::remove_file(path.join("m.onnx")).unwrap();
        let said = interrupt(path, &words, state, whole);
        assert_eq!(said.lines().count(), 1, "{said}");
        assert!(said.contains("interrupted") && said.contains("--resume"), "{said}");
        assert!(!path.join("m.onnx").exists());
        let line = error_line(path, &words);
        assert!(line.contains("left by an interrupted training"), "{line}");
        stdout(path, &format!("{words} --resume"));
        assert!(std::fs::read(path.join("m.onnx")).unwrap() == want, "{options}");
        assert!(!path.join(state).exists());
    }
}

#[test]
fn bad_requests_end_with_one_line() {
    let directory = tempdir().unwrap();
    let path = directory.path();
    write(path, "data.tsv", &bound(40, 1));
    write(path, "few.tsv", &bound(8, 1));
    let zeros = bound(40, 1).replace("\t1", "\t0");
    write(path, "unbound.tsv", &zeros);
    let cases = [
        ("few.tsv -o m.onnx --negatives-per-positive 1", "8 bound sequences are too few to fit a network"),
        ("data.tsv -o m.onnx --recipe published --size small", "--size"),
        ("data.tsv -o m.onnx --init-motif data.tsv", "data.tsv"),
        ("unbound.tsv -o m.onnx", "one class"),
        ("data.tsv -o m.onnx --no-padding --filter-length 41", "shorter than 41"),
        ("data.tsv -o nowhere/m.onnx", "nowhere: no such folder"),
        ("data.tsv -o .", "is a folder"),
        ("data.tsv -o m.onnx --budget 0", "--budget 0"),
        ("data.tsv -o m.onnx --budget NaN", "--budget NaN"),
        ("data.tsv -o m.onnx --folds 1", "2 folds"),
        ("data.tsv -o m.onnx --negatives-per-positive 0", "more than 0"),
        ("missing.tsv -o m.onnx", "missing.tsv"),
    ];
    for (words, expected) in cases {
        let line = error_line(path, &format!("train --quiet {words}"));
        assert!(line.contains(expected), "train {words}: {line}");
    }
    assert!(!path.join("m.onnx").exists());
}

/// A genome of two contigs, and peaks on them with TGACGTCA in the middle.
fn peaks(path: &Path) {
    let mut rng = Xoshiro256PlusPlus::seed_from_u64(7);
    let (mut genome, mut bed) = (String::new(), String::new());
    for contig in ["chr1", "chr2"] {
        let mut letters: Vec<u8> = (0..16_000).map(|_| b"ACGT"[rng.random_range(0..4)]).collect();
        for start in (200..15_800).step_by(200) {
            letters[start..start + 8].copy_from_slice(b"TGACGTCA");
            writeln!(bed, "{contig}\t{}\t{}", start - 46, start + 54).unwrap();
        }
        writeln!(genome, ">{contig}\n{}", String::from_utf8(letters).unwrap()).unwrap();
    }
    write(path, "genome.fa", &genome);
    write(path, "peaks.bed", &bed);
}

#[test]
fn held_out_peaks_are_judged_as_eval_judges_them() {
    let directory = tempdir().unwrap();
    let path = directory.path();
    peaks(path);
    let data = "peaks.bed --genome genome.fa --width 40 --test-contigs chr2";
    let small = "--trials 1 --steps 60 --final 1 --filters 4 --filter-length 8 --batch 16";
    let output = run(path, &format!("train {data} -o m.onnx --report m.html {small}"));
    let said = String::from_utf8(output.stderr).unwrap();
    assert!(output.status.success(), "{said}");
    let held_out = said.lines().find(|line| line.contains("AUPRC")).unwrap();
    assert!(held_out.contains("AUPRC (1:1) "), "{held_out}");
    let value = held_out.split_whitespace().skip_while(|word| *word != "(1:1)").nth(1).unwrap();
    let table = stdout(path, &format!("eval m.onnx {data}"));
    let row = table.lines().find(|line| line.contains("AUPRC")).unwrap();
    assert!(row.split_whitespace().any(|word| word == value), "{row}, not {value}");
    let page = std::fs::read_to_string(path.join("m.html")).unwrap();
    assert!(
        page.contains("; 1:1)") && page.contains("; 1:10)"),
        "the ratio of held-out and of training data"
    );
    let ten = stdout(path, &format!("eval m.onnx {data} --negatives-per-positive 10"));
    assert!(ten.contains("AUPRC (1:10)"), "{ten}");
}

#[test]
fn peaks_of_another_genome_are_refused() {
    let directory = tempdir().unwrap();
    let path = directory.path();
    peaks(path);
    let bed = std::fs::read_to_string(path.join("peaks.bed")).unwrap();
    let others: String = (0..200).map(|i| format!("chr{}\t100\t300\n", i + 3)).collect();
    write(path, "other.bed", &(bed + "chr1\t5\t5\n" + &others));
    let small = "--width 40 --trials 1 --steps 20 --final 1 --filters 4 --filter-length 8";
    let train = format!("train other.bed --genome genome.fa -o m.onnx {small}");
    let error = error_line(path, &train);
    assert!(
        error.contains("201 of 357 peaks cannot be used: 200 on a contig that the genome does not have"),
        "{error}"
    );
    let error = run(path, &format!("{train} --skip-bad-regions"));
    assert_eq!(error.status.code(), Some(1));
    let error = String::from_utf8(error.stderr).unwrap();
    assert!(error.contains("201 of 357 peaks are lost") && error.contains("--force"), "{error}");
    assert!(!path.join("m.onnx").exists());
    let output = run(path, &format!("{train} --skip-bad-regions --force"));
    let said = String::from_utf8(output.stderr).unwrap();
    assert!(output.status.success() && said.contains("200 peaks on contigs"), "{said}");
    assert!(error_line(path, "eval m.onnx other.bed --genome genome.fa").contains("201 of 357 peaks"));
    for command in ["scan genome.fa --threshold 1", "mutmap --genome genome.fa -o x.tsv"] {
        let words = format!("{command} -m m.onnx -R other.bed");
        assert!(error_line(path, &words).contains("201 of 357 regions cannot be used"), "{command}");
        assert!(run(path, &format!("{words} --skip-bad-regions")).status.success(), "{command}");
    }
}
