//! Result of `bindscan train` by default: a small network, its thresholds, and matrices where they are better.

use std::fmt::Write;
use std::path::Path;

use crate::common::{error_line, run, stdout};
use rand::{RngExt, SeedableRng};
use rand_xoshiro::Xoshiro256PlusPlus;
use tempfile::tempdir;

/// Sizes that are done in a moment.
const SMALL: &str = "--trials 1 --steps 300 --final 2 --filters 20 --batch 16";

const CREB: &str = "MEME version 4\n\nALPHABET= ACGT\n\nMOTIF creb\nletter-probability matrix: alength= 4 w= 8 nsites= 100\n\
    0.01 0.01 0.01 0.97\n0.01 0.01 0.97 0.01\n0.97 0.01 0.01 0.01\n0.01 0.97 0.01 0.01\n\
    0.01 0.01 0.97 0.01\n0.01 0.01 0.01 0.97\n0.01 0.97 0.01 0.01\n0.97 0.01 0.01 0.01\n";

/// A genome of two contigs, peaks on them with TGACGTCA in the middle, and the motif.
fn write_data(path: &Path) {
    let mut rng = Xoshiro256PlusPlus::seed_from_u64(7);
    let (mut genome, mut bed) = (String::new(), String::new());
    for contig in ["chr1", "chr2"] {
        let mut letters: Vec<u8> = (0..40_000).map(|_| b"ACGT"[rng.random_range(0..4)]).collect();
        for start in (300..39_700).step_by(400) {
            letters[start..start + 8].copy_from_slice(b"TGACGTCA");
            writeln!(bed, "{contig}\t{}\t{}", start - 46, start + 54).unwrap();
        }
        writeln!(genome, ">{contig}\n{}", String::from_utf8(letters).unwrap()).unwrap();
    }
    let few: Vec<&str> = bed.lines().take(4).collect();
    for (name, text) in [
        ("genome.fa", genome),
        ("few.bed", few.join("\n") + "\n"),
        ("peaks.bed", bed),
        ("creb.meme", CREB.into()),
    ] {
        std::fs::write(path.join(name), text).unwrap();
    }
}

fn train(path: &Path, words: &str) -> String {
    let output = run(path, &format!("train {words} --genome genome.fa"));
    let said = String::from_utf8(output.stderr).unwrap();
    assert!(output.status.success(), "{said}");
    said
}

/// Cells of the rows of a table without its header.
fn rows(table: &str) -> Vec<Vec<String>> {
    table.lines().skip(1).map(|line| line.split('\t').map(str::to_owned).collect()).collect()
}

#[test]
fn sizes_give_networks_of_their_filters_and_nearly_the_same_accuracy() {
    let directory = tempdir().unwrap();
    let path = directory.path();
    write_data(path);
    let mut areas = Vec::new();
    for (size, shape) in [
        ("small", "48 filters of length 15"),
        ("medium", "82 filters of length 15"),
        ("ensemble", "82 filters of length 16"),
    ] {
        train(path, &format!("peaks.bed --test-contigs chr2 -o {size}.onnx --size {size} {SMALL}"));
        let inspected = stdout(path, &format!("inspect {size}.onnx"));
        assert!(inspected.contains(shape), "{size}:\n{inspected}");
        assert!(inspected.contains("the real bases beside it"), "{inspected}");
        let table = stdout(
            path,
            &format!("eval {size}.onnx peaks.bed --genome genome.fa --test-contigs chr2 --format tsv"),
        );
        areas.push(rows(&table)[0][2].parse::<f64>().unwrap());
    }
    assert!(areas.iter().all(|area| *area > 0.95), "{areas:?}");
    assert!((areas[0] - areas[2]).abs() < 0.02, "{areas:?}");
}

#[test]
fn a_scan_without_a_threshold_takes_the_one_that_training_stored() {
    let directory = tempdir().unwrap();
    let path = directory.path();
    write_data(path);
    train(path, &format!("peaks.bed --test-contigs chr2 -o creb.onnx --about species=none {SMALL}"));
    let inspected = stdout(path, "inspect creb.onnx");
    for word in
        ["(lenient)", "(default)", "(strict)", "p 0.0001 on genome.fa", "held out", "motif", "species"]
    {
        assert!(inspected.contains(word), "{word} is missing:\n{inspected}");
    }
    let line = inspected.lines().find(|line| line.contains("(default)")).unwrap();
    let score = line.split_whitespace().nth(1).unwrap();
    let own = run(path, "scan -m creb.onnx genome.fa");
    let said = String::from_utf8(own.stderr).unwrap();
    assert!(said.contains(&format!("threshold {score}, the model's default")), "{said}");
    let sites = String::from_utf8(own.stdout).unwrap();
    assert_eq!(sites, stdout(path, &format!("scan -m creb.onnx genome.fa --threshold {score}")));
    assert!(sites.lines().count() < 1000, "{sites}");

    for (words, why) in [
        ("scan -m creb.onnx --window 60 genome.fa", "default window only"),
        ("scan -m creb.meme genome.fa", "creb has no threshold of its own"),
    ] {
        let output = run(path, words);
        let text = String::from_utf8(output.stderr).unwrap();
        assert_eq!(output.status.code(), Some(2), "{words}: {text}");
        assert!(text.contains("choose which sites to write") && text.contains(why), "{words}: {text}");
    }

    // Calibrated anew, the levels follow the new background.
    stdout(path, "calibrate creb.onnx -o uniform.onnx --background uniform --background-length 1000000");
    assert!(stdout(path, "inspect uniform.onnx").contains("p 0.0001 on uniform"));
}

#[test]
fn few_summits_and_better_matrices_leave_the_matrix() {
    let directory = tempdir().unwrap();
    let path = directory.path();
    write_data(path);
    let line = error_line(path, "train --quiet few.bed --genome genome.fa -o m.onnx");
    assert!(line.contains("4 bound sequences are too few") && line.contains("--init-motif"), "{line}");
    let said = train(path, "few.bed -o few.onnx --init-motif creb.meme");
    assert!(
        said.contains("4 bound sequences are too few") && said.contains("the matrix is written"),
        "{said}"
    );
    let inspected = stdout(path, "inspect few.onnx");
    assert!(inspected.contains("default window   8 bases") && inspected.contains("(default)"), "{inspected}");
    // One step teaches nothing, and the matrix is better.
    let poor = "--trials 1 --steps 1 --final 1 --filters 2 --batch 4";
    let said = train(
        path,
        &format!(
            "peaks.bed --test-contigs chr2 -o kept.onnx --init-motif creb.meme {poor} --negatives genome"
        ),
    );
    assert!(said.contains("tells the classes better") || said.contains("cross-validated AUC"), "{said}");
    let judged = stdout(
        path,
        "eval kept.onnx peaks.bed --genome genome.fa --genome-wide --test-contigs chr2 --format tsv",
    );
    assert!(rows(&judged)[0][3].parse::<f64>().unwrap() > 0.9, "{judged}");
}

#[test]
fn whole_contigs_judge_networks_and_matrices_side_by_side() {
    let directory = tempdir().unwrap();
    let path = directory.path();
    write_data(path);
    train(path, &format!("peaks.bed --test-contigs chr2 -o net.onnx --init-motif creb.meme {SMALL}"));
    let words =
        "eval net.onnx peaks.bed --genome genome.fa --test-contigs chr2 --genome-wide --with creb.meme";
    let table = stdout(path, &format!("{words} --format tsv --report page.html --threads 1"));
    assert_eq!(table, stdout(path, &format!("{words} --format tsv --threads 3")));
    let rows = rows(&table);
    assert_eq!(rows.len(), 2, "{table}");
    // 99 summits; the sites of the matrix are all exact, and a random one is met by chance at most.
    let number = |row: usize, column: usize| rows[row][column].parse::<f64>().unwrap();
    assert_eq!((number(0, 1), number(1, 1)), (99.0, 99.0));
    assert!(number(1, 3) > 0.97 && number(1, 6) > 0.97, "{table}");
    assert!(number(0, 3) > 0.5, "{table}");
    for row in 0..2 {
        assert!(number(row, 4) <= number(row, 3) && number(row, 3) <= number(row, 5), "{table}");
    }
    let page = std::fs::read_to_string(path.join("page.html")).unwrap();
    assert!(page.contains("Precision and recall") && page.contains("creb") && page.contains("net"));
    let other = std::fs::read_to_string(path.join("peaks.bed")).unwrap().replace("chr1\t", "chrI\t");
    std::fs::write(path.join("other.bed"), other).unwrap();
    let mostly = "chr1\t100\t200\nchrI\t100\t200\nchrI\t300\t400\n";
    std::fs::write(path.join("mostly.bed"), mostly).unwrap();
    for (words, expected) in [
        ("peaks.bed --test-contigs chr9", "no contig chr9"),
        ("peaks.bed --test-contigs chr1,chr2 --near 0", "--near"),
        ("peaks.bed --test-contigs chr1,chr2 --near 2000000", "--near: give 1 to 1,000,000 bases"),
        ("other.bed --test-contigs chr2", "99 of 198 summits lie on no contig of the genome"),
        (
            "mostly.bed --skip-bad-regions",
            "2 of 3 summits lie on no contig of the genome, or past its end: is this",
        ),
    ] {
        let line =
            error_line(path, &format!("eval --quiet net.onnx {words} --genome genome.fa --genome-wide"));
        assert!(line.contains(expected), "{words}: {line}");
    }
    stdout(path, "eval net.onnx mostly.bed --skip-bad-regions --force --genome genome.fa --genome-wide");
}

#[test]
fn the_bundled_models_are_listed() {
    let directory = tempdir().unwrap();
    let table = stdout(directory.path(), "models");
    assert!(
        table.starts_with("model\tspecies\tdata\twindow\tlenient\tdefault\tstrict\theld_out\n"),
        "{table}"
    );
    let listed: Vec<String> = rows(&table).into_iter().map(|row| row[0].clone()).collect();
    assert_eq!(listed, bindscan::model::bundled::names().collect::<Vec<_>>());
}
