//! Motif files where a model is taken: the same results as of imported models, in one command.

use std::fs;

use crate::common::{error_line, gzip, run, run_ok, simulated, stdout, stdout_of_input};

/// Two motifs that can be used, and one that cannot.
const MOTIFS: &str = "MEME version 4\n\nMOTIF M1.1 GATA\nletter-probability matrix: w= 4 nsites= 50\n\
    .01 .01 .97 .01\n.97 .01 .01 .01\n.01 .01 .01 .97\n.90 .03 .04 .03\n\
    MOTIF M2.1 none\n\n\
    MOTIF M3/1 CCAAT\nletter-probability matrix: w= 5 nsites= 50\n\
    .01 .97 .01 .01\n.01 .97 .01 .01\n.97 .01 .01 .01\n.97 .01 .01 .01\n.01 .01 .01 .97\n";

/// Lines of a table or BED file without its comments.
fn rows(text: &str) -> Vec<&str> {
    text.lines().filter(|line| !line.starts_with('#')).collect()
}

#[test]
fn a_motif_file_scans_as_its_imported_models_do() {
    let directory = simulated("20k", 2, 5);
    let at = directory.path();
    fs::write(at.join("m.meme"), MOTIFS).unwrap();
    fs::write(at.join("m.gz"), gzip(MOTIFS.as_bytes())).unwrap();
    run_ok(at, "import motifs m.meme -o models");
    let mut written: Vec<_> =
        fs::read_dir(at.join("models")).unwrap().map(|entry| entry.unwrap().file_name()).collect();
    written.sort();
    assert_eq!(written, ["M1.1.onnx", "M3_1.onnx"]);
    run_ok(at, "import meme m.meme -o {name}.of.onnx");
    assert_eq!(fs::read(at.join("M1.1.of.onnx")).unwrap(), fs::read(at.join("models/M1.1.onnx")).unwrap());

    let options = "genome.fa --pvalue 1e-2";
    let apart = stdout(at, &format!("scan -m models/M1.1.onnx -m models/M3_1.onnx {options}"));
    let together = run(at, &format!("scan -m m.meme {options}"));
    let stderr = String::from_utf8_lossy(&together.stderr);
    assert!(stderr.contains("1 of 3 motifs cannot be used: M2.1 (line 9: no matrix)"), "{stderr}");
    assert!(rows(&apart).len() > 10);
    assert_eq!(apart, String::from_utf8(together.stdout).unwrap());
    assert_eq!(apart, stdout(at, &format!("scan -m m.gz --threads 1 --chunk-size 700 {options}")));
    let chosen = stdout(at, &format!("scan -m m.meme --motif CCA* {options}"));
    assert_eq!(chosen, stdout(at, &format!("scan -m models/M3_1.onnx {options}")));
    assert_ne!(chosen, stdout(at, &format!("scan -m m.meme --motif CCA* --pseudocount 20 {options}")));

    fs::write(at.join("s.txt"), "GGGATACC\nCCCCAATC\n").unwrap();
    let apart = stdout(at, "score s.txt -m models/M1.1.onnx -m models/M3_1.onnx");
    assert_eq!(apart, stdout(at, "score s.txt -m m.meme"));

    let inspected = stdout(at, "inspect m.meme");
    assert!(inspected.contains("M1.1") && inspected.contains("M3/1"), "{inspected}");
    let table = stdout(at, "calibrate m.meme --background uniform");
    assert!(table.contains("M1.1\t1e-2\t") && table.contains("M3/1\t1e-2\t"), "{table}");
}

#[test]
fn a_motif_file_may_come_from_a_pipe_and_motifs_are_chosen_of_motif_files_alone() {
    let directory = simulated("20k", 1, 5);
    let at = directory.path();
    fs::write(at.join("m.meme"), MOTIFS).unwrap();
    let want = stdout(at, "scan genome.fa -m m.meme --threshold 4");
    assert!(rows(&want).len() > 5);
    for bytes in [MOTIFS.as_bytes().to_vec(), gzip(MOTIFS.as_bytes())] {
        assert_eq!(want, stdout_of_input(at, "scan genome.fa -m - --threshold 4", &bytes));
        assert_eq!(want, stdout_of_input(at, "scan genome.fa -m /dev/stdin --threshold 4", &bytes));
    }
    for words in
        ["inspect ELK1 --motif GATA", "calibrate ELK1 --motif GATA -o x.onnx", "bench -m ELK1 --motif GATA"]
    {
        let line = error_line(at, words);
        assert!(line.contains("--motif chooses from a motif file, and ELK1 is none"), "{line}");
    }
}

#[test]
fn what_is_wrong_with_a_motif_file_is_said() {
    let directory = simulated("20k", 1, 5);
    let at = directory.path();
    fs::write(at.join("m.meme"), MOTIFS).unwrap();
    for (words, parts) in [
        (
            "scan -m m.meme --strict-motifs genome.fa --threshold 5",
            &["m.meme, line 9", "M2.1", "no matrix"][..],
        ),
        ("scan -m m.meme --motif M9* genome.fa --threshold 5", &["m.meme", "no motif M9*", "M1.1, M3/1"]),
        ("scan -m motif.onnx --motif M1.1 genome.fa --threshold 5", &["--motif", "no model is one"]),
        ("scan -m m.meme -m m.meme genome.fa --threshold 5", &["two models are named M1.1"]),
        ("import motifs m.meme --strict -o x.onnx", &["m.meme, line 9", "M2.1"]),
        ("import motifs m.meme -o x.onnx", &["2 motifs", "--motif", "{name}.onnx", "M1.1, M3/1"]),
        ("import motifs m.meme --name x -o models/", &["2 motifs", "--name"]),
        ("import motifs m.meme m.meme -o {name}.onnx", &["M1.1.onnx", "two motifs"]),
        ("import motifs motif.onnx -o x.onnx", &["motif.onnx", "not text"]),
        ("bench -m m.meme", &["m.meme", "2 motifs", "--motif"]),
        ("calibrate m.meme --background uniform -o x.onnx", &["m.meme", "import motifs"]),
    ] {
        let line = error_line(at, words);
        assert!(parts.iter().all(|part| line.contains(part)), "{words}: {line}");
        assert!(!at.join("x.onnx").exists() && !at.join("M1.1.onnx").exists());
    }
}
