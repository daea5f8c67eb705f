//! `bindscan eval` as its users run it.

use std::path::Path;
use std::process::{Command, Output};

use bindscan::dataset::scaling::{PROVENANCE_KEY, Scale, Scaling};

use super::evaluation::toy;
use super::{file, write};

fn eval(directory: &Path, arguments: &[&str]) -> Output {
    let mut command = Command::new(env!("CARGO_BIN_EXE_bindscan"));
    command.current_dir(directory).arg("eval").args(arguments).output().expect("the program runs")
}

fn text(bytes: &[u8]) -> String {
    String::from_utf8(bytes.to_vec()).expect("text")
}

fn printed(output: &Output) -> String {
    assert!(output.status.success(), "{}", text(&output.stderr));
    text(&output.stdout)
}

const CLASSES: &str =
    "seq\tbound\nCCGATAAGCC\t1\nTTTCTTATCA\t1\nGATAACTTTT\t1\nCCCCCCCCCC\t0\nTTGATAAGTT\t0\n";

#[test]
fn classes_are_judged_in_three_formats() {
    let (directory, _) = file("data.tsv", CLASSES);
    let directory = directory.path();
    toy().save(directory.join("toy.onnx")).unwrap();
    let table = printed(&eval(directory, &["toy.onnx", "data.tsv"]));
    let lines: Vec<&str> = table.lines().collect();
    assert_eq!(lines.len(), 5);
    let words = |line: usize| lines[line].split_whitespace().collect::<Vec<_>>();
    assert_eq!(words(0)[..3], ["output", "metric", "value"]);
    assert_eq!(words(1)[..3], ["bound", "AUC", "0.6667"]);
    // Three positives, two negatives.
    assert_eq!(words(2)[..3], ["bound", "AUPRC", "(1:0.667)"]);

    // Scores 2.5, 2.5, 1.5 against 0, 2.5: two won, two tied and two half of six.
    let rows = printed(&eval(directory, &["toy.onnx", "data.tsv", "--format", "tsv"]));
    assert!(rows.lines().nth(1).unwrap().starts_with("bound\tAUC\t0.666667\t"), "{rows}");
    assert_eq!(rows.lines().nth(2).unwrap().split('\t').next_back(), Some("0.666667"), "the ratio");
    let forward = printed(&eval(directory, &["toy.onnx", "data.tsv", "--format", "tsv", "--strand", "+"]));
    assert!(forward.lines().nth(1).unwrap().starts_with("bound\tAUC\t0.500000\t"), "{forward}");

    let json =
        printed(&eval(directory, &["toy.onnx", "data.tsv", "--format", "json", "--training", "data.tsv"]));
    let json: serde_json::Value = serde_json::from_str(&json).unwrap();
    assert_eq!((json["sequences"].as_u64(), json["also_in_training"].as_u64()), (Some(5), Some(5)));
    assert_eq!(json["metrics"][0]["metric"], "auc");
    assert_eq!(json["metrics"][0]["positives"], 3);
}

/// More rows than any buffer holds, so that none can get lost on the way.
#[test]
fn standard_input_is_read_whole() {
    let (directory, _) = file("data.tsv", "");
    let directory = directory.path();
    toy().save(directory.join("toy.onnx")).unwrap();
    let table = format!("seq\tbound\n{}", "CCGATAAGCC\t1\nCCCCCCCCCC\t0\n".repeat(20_000));
    let fasta = ">a\nCCGATAAGCC\n".repeat(30_000);
    for (name, text, count) in [("table", table, "40000"), ("fasta", fasta, "60000")] {
        write(&directory.join(name), &text);
        let mut command = Command::new(env!("CARGO_BIN_EXE_bindscan"));
        command.current_dir(directory).args(["eval", "toy.onnx", "-", "--format", "tsv"]);
        let output = command.stdin(std::fs::File::open(directory.join(name)).unwrap()).output().unwrap();
        let row = printed(&output);
        assert_eq!(row.lines().nth(1).unwrap().split('\t').nth(5), Some(count), "{name}");
    }
}

#[test]
fn a_leak_is_reported() {
    let (directory, _) = file("data.tsv", CLASSES);
    let directory = directory.path();
    toy().save(directory.join("toy.onnx")).unwrap();
    // The reverse complement of the first sequence.
    write(&directory.join("training.tsv"), "seq\tbound\nGGCTTATCGG\t1\nACACACACAC\t0\n");
    let output = eval(directory, &["toy.onnx", "data.tsv", "--training", "training.tsv"]);
    printed(&output);
    let message = text(&output.stderr);
    assert!(message.contains("1 of 5 test sequences are also in the training set"), "{message}");
}

#[test]
fn numbers_are_judged_on_the_scale_of_the_training() {
    let rows: String =
        [("CCGATAAGCC", 25), ("TTTCTTATCA", 25), ("GATAACTTTT", 15), ("CCCCCCCCCC", 0), ("TTGATAGGTT", 15)]
            .map(|(letters, value)| format!("{letters}\t{value}\n"))
            .concat();
    let (directory, _) = file("data.txt", &rows);
    let directory = directory.path();
    let mut model = toy();
    model.save(directory.join("raw.onnx")).unwrap();
    let raw = printed(&eval(directory, &["raw.onnx", "data.txt", "--format", "tsv"]));
    assert!(raw.contains("target\tPearson\t1.000000") && !raw.contains("R2"), "{raw}");

    let scaling = Scaling { scales: vec![Scale { clamp: 100.0, mean: 0.0, deviation: 10.0 }] };
    model.spec.provenance.insert(PROVENANCE_KEY.into(), serde_json::to_value(scaling).unwrap());
    model.save(directory.join("scaled.onnx")).unwrap();
    let scaled = printed(&eval(directory, &["scaled.onnx", "data.txt", "--format", "tsv", "-o", "-"]));
    assert!(scaled.contains("target\tR2\t1.000000"), "{scaled}");
}

#[test]
fn bad_requests_end_with_one_line() {
    let (directory, _) = file("data.tsv", CLASSES);
    let directory = directory.path();
    toy().save(directory.join("toy.onnx")).unwrap();
    write(&directory.join("short.tsv"), "ACGTA\t1\nACGTACGTA\t0\n");
    write(&directory.join("two.tsv"), "ACGTACGT\t1\t0\nACGTACGTA\t0\t1\n");
    write(&directory.join("zeros.tsv"), "ACGTACGT\t0\nACGTACGTA\t0\n");
    write(&directory.join("peaks.bed"), "chr1\t1\t5\n");
    let cases: [(&[&str], &str); 8] = [
        (&["none.onnx", "data.tsv"], "none.onnx: cannot read"),
        (&["toy.onnx", "none.tsv"], "none.tsv: cannot open"),
        (&["toy.onnx", "short.tsv"], "sequence 1 of the data (5 bases): "),
        (&["toy.onnx", "two.tsv", "--target", "all"], "the model has 1 outputs (score), and the data have 2"),
        (&["toy.onnx", "zeros.tsv"], "all 2 sequences are of one class (0) in column target"),
        (&["toy.onnx", "peaks.bed"], "peaks need their genome (--genome)"),
        (&["toy.onnx", "data.tsv", "--negatives-per-positive", "0"], "0 negatives per positive"),
        (&["toy.onnx", "data.tsv", "--positives-above", "nan"], "a number is needed"),
    ];
    for (arguments, message) in cases {
        let output = eval(directory, &[arguments, &["--quiet"]].concat());
        let error = text(&output.stderr);
        assert_eq!(output.status.code(), Some(1), "{error}");
        assert!(error.contains(message) && error.trim_end().lines().count() == 1, "{error}, not {message}");
        assert!(output.stdout.is_empty());
    }
}
