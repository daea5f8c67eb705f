//! `bindscan simulate motifs`: what it writes, and that `bindscan train` reads it.

use std::collections::HashMap;
use std::fs;
use std::path::Path;

use crate::common::{error_line, run_ok, shared_data, stdout};
use bindscan::model::motif;
use tempfile::tempdir;

/// Two motifs that share a name, one without a name, and one whose name could be a sequence.
const MOTIFS: &str = "\
>M1 ETS
A [ 0 0 9 9 0 ]
C [ 9 9 0 0 1 ]
G [ 0 0 0 0 9 ]
T [ 0 0 0 0 0 ]
>M2 ETS
A [ 0 9 0 9 ]
C [ 9 0 9 0 ]
G [ 0 0 0 0 ]
T [ 0 0 0 0 ]
>M3
A [ 3 3 3 3 3 3 ]
C [ 0 0 9 0 0 0 ]
G [ 9 0 0 9 0 0 ]
T [ 0 9 0 0 9 9 ]
>M4 GATA
A [ 0 9 0 9 9 9 ]
C [ 0 0 0 0 0 0 ]
G [ 9 0 0 0 0 9 ]
T [ 0 0 9 0 0 0 ]
";

/// Rows of a table, by their first column.
fn rows(at: &Path, name: &str) -> HashMap<String, Vec<String>> {
    let text = fs::read_to_string(at.join(name)).unwrap();
    let row = |line: &str| {
        let mut fields = line.split('\t').map(str::to_owned);
        (fields.next().unwrap(), fields.collect())
    };
    text.lines().map(row).collect()
}

#[test]
fn tables_truth_and_motifs_agree() {
    let directory = tempdir().unwrap();
    let at = directory.path();
    fs::write(at.join("motifs.jaspar"), MOTIFS).unwrap();
    let words = "simulate motifs motifs.jaspar --motifs M1,M2,M3,GATA --sequences 300 --length 50";
    run_ok(at, &format!("{words} -o a/b"));
    let at_data = at.join("a/b");
    let tables = ["train", "validation", "test"].map(|part| rows(&at_data, &format!("{part}.tsv")));
    assert_eq!(tables.each_ref().map(HashMap::len), [211, 31, 61]);
    assert!(tables.iter().all(|table| table["id"][1..] == ["M1", "M2", "M3", "GATA.motif"]));

    let truth = fs::read_to_string(at_data.join("truth.bed")).unwrap();
    let mut found: HashMap<&str, [bool; 4]> = HashMap::new();
    for line in truth.lines() {
        let fields: Vec<&str> = line.split('\t').collect();
        let rank = ["M1", "M2", "M3", "GATA.motif"].iter().position(|name| *name == fields[3]).unwrap();
        let row = tables.iter().find_map(|table| table.get(fields[0])).unwrap();
        let [start, end] = [1, 2].map(|i| fields[i].parse::<usize>().unwrap());
        if rank == 1 {
            assert_eq!(&row[0][start..end], if fields[5] == "+" { "CACA" } else { "TGTG" });
        }
        found.entry(fields[0]).or_default()[rank] = true;
    }
    assert_eq!(found.len(), 300);
    for (id, row) in tables.iter().flatten().filter(|(id, _)| *id != "id") {
        assert_eq!(row[0].len(), 50);
        assert_eq!(found[&**id].map(|has| if has { "1" } else { "0" }), row[1..], "{id}");
    }

    let given = motif::parse("given", MOTIFS.as_bytes()).unwrap();
    let written = motif::open(at_data.join("motifs.meme")).unwrap();
    for (given, written) in given.iter().zip(&written) {
        assert_eq!((&given.id, &given.name, given.width()), (&written.id, &written.name, written.width()));
        for (a, b) in given.counts.iter().zip(&written.counts) {
            let (sum, other): (f64, f64) = (a.iter().sum(), b.iter().sum());
            assert!(a.iter().zip(b).all(|(a, b)| (a / sum - b / other).abs() < 2e-6));
        }
    }

    run_ok(at, &format!("{words} -o again"));
    run_ok(at, &format!("{words} --seed 2 -o other"));
    for name in ["train.tsv", "validation.tsv", "test.tsv", "truth.bed", "motifs.meme"] {
        assert_eq!(fs::read(at_data.join(name)).unwrap(), fs::read(at.join("again").join(name)).unwrap());
    }
    assert_ne!(fs::read(at.join("again/test.tsv")).unwrap(), fs::read(at.join("other/test.tsv")).unwrap());

    let sizes = "--trials 1 --folds 2 --steps 40 --final 1 --filters 4 --filter-length 8 --batch 16";
    run_ok(at, &format!("train a/b/train.tsv --target all --test a/b/test.tsv {sizes} -o model.onnx"));
    let said = stdout(at, "eval model.onnx a/b/test.tsv --target all --format tsv");
    for name in ["M1", "M2", "M3", "GATA.motif"] {
        assert!(said.contains(&format!("{name}\tAUC\t")), "{said}");
    }
}

#[test]
fn the_published_factors_are_the_default() {
    let Some(file) = shared_data("motifs/pfm_vertebrates.txt") else { return };
    let directory = tempdir().unwrap();
    let at = directory.path();
    run_ok(at, &format!("simulate motifs {} --sequences 100 -o out", file.display()));
    let header = fs::read_to_string(at.join("out/train.tsv")).unwrap();
    let header = header.lines().next().unwrap();
    assert_eq!(
        header,
        "id\tsequence\tArid3a\tCEBPB\tFOSL1\tGabpa\tMAFK\tMAX\tMEF2A\tNFYB\tSP1\tSRF\tSTAT1\tYY1"
    );
}

#[test]
fn what_cannot_be_simulated_is_said() {
    let directory = tempdir().unwrap();
    let at = directory.path();
    fs::write(at.join("motifs.jaspar"), MOTIFS).unwrap();
    let cases = [
        ("", "has no motif Arid3a, one of the published twelve; choose others with --motifs"),
        ("--motifs M1,M9", "has no motif M9"),
        ("--motifs M1,M1", "named twice"),
        ("--motifs M1,M3 --length 29", "30 are needed"),
        ("--motifs M1 --sequences 2", "too few"),
    ];
    for (options, message) in cases {
        let line = error_line(at, &format!("simulate motifs motifs.jaspar {options} -o out"));
        assert!(line.contains(message), "{line}");
        assert!(!at.join("out").exists());
    }
}
