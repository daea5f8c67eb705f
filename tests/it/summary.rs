//! `scan --summary-json`.

use std::fs;
use std::path::Path;

use serde_json::Value;

use crate::common::{error_line, run_ok, simulated};

const SCAN: &str = "scan -m motif.onnx -m ELK1 genome.fa --threshold 6 -o sites.bed";

fn summary(at: &Path, words: &str) -> Value {
    run_ok(at, &format!("{words} --quiet --summary-json scan_mqc.json"));
    serde_json::from_str(&fs::read_to_string(at.join("scan_mqc.json")).unwrap()).unwrap()
}

#[test]
fn the_counts_are_those_of_the_scan() {
    let directory = simulated("20k", 2, 10);
    let at = directory.path();
    let found = summary(at, SCAN);
    let counts = &found["data"]["scan"];
    let sites = fs::read_to_string(at.join("sites.bed")).unwrap().lines().count();
    assert!(sites > 0);
    assert_eq!(counts["sites"], sites);
    assert_eq!((&counts["bases"], &counts["segments"]), (&20_000.into(), &2.into()));
    assert_eq!((&counts["models"], &counts["segments_too_short"]), (&2.into(), &0.into()));
    assert!(counts["windows"].as_u64().unwrap() > 39_000);
    // MultiQC needs these of a table.
    assert_eq!((&found["id"], &found["plot_type"]), (&"bindscan".into(), &"table".into()));
    for name in counts.as_object().unwrap().keys() {
        assert!(found["headers"][name]["title"].is_string(), "{name}");
    }
    let details = &found["bindscan"];
    assert_eq!(details["models"][1]["name"], "ELK1");
    assert!(details["command"].as_str().unwrap().starts_with("bindscan scan --model motif.onnx"));
}

#[test]
fn it_does_not_depend_on_threads_and_names_its_shard() {
    let directory = simulated("20k", 2, 10);
    let at = directory.path();
    assert_eq!(summary(at, &format!("{SCAN} -t 1")), summary(at, &format!("{SCAN} -t 3 --chunk-size 999")));
    let shards: Vec<Value> = (1..=2)
        .map(|shard| {
            summary(at, &format!("{SCAN} --shard {shard}/2"))["data"][format!("scan {shard}/2")].clone()
        })
        .collect();
    let whole = summary(at, SCAN)["data"]["scan"].clone();
    for count in ["sites", "windows"] {
        let sum: u64 = shards.iter().map(|shard| shard[count].as_u64().unwrap()).sum();
        assert_eq!(whole[count], sum, "{count}");
    }
}

/// MultiQC joins the tables of all files, and would show one of two runs on the same genome.
#[test]
fn the_sample_has_the_name_of_the_file() {
    let directory = simulated("20k", 1, 10);
    let at = directory.path();
    let names = [
        ("first_mqc.json", "first"),
        ("second.run_mqc.json", "second.run"),
        ("_mqc.json", "genome"),
        ("scan.json", "genome"),
    ];
    for (file, sample) in names {
        run_ok(at, &format!("{SCAN} --quiet --summary-json {file}"));
        let found: Value = serde_json::from_str(&fs::read_to_string(at.join(file)).unwrap()).unwrap();
        assert_eq!(found["data"].as_object().unwrap().keys().collect::<Vec<_>>(), [sample], "{file}");
    }
}

#[test]
fn reads_have_counts_of_their_own() {
    let directory = simulated("20k", 1, 10);
    let at = directory.path();
    let genome = fs::read_to_string(at.join("genome.fa")).unwrap();
    let bases: String = genome.lines().skip(1).collect();
    let read = |flags: u16, start: usize| {
        format!(
            "r{start}\t{flags}\tsim1\t{}\t60\t200M\t*\t0\t0\t{}\t*\n",
            start + 1,
            &bases[start..start + 200]
        )
    };
    let reads = format!("@SQ\tSN:sim1\tLN:20000\n{}{}{}", read(0, 0), read(0, 500), read(1024, 900));
    fs::write(at.join("reads.sam"), reads).unwrap();
    let found = summary(at, "scan -m motif.onnx reads.sam --threshold 0 -o sites.bed");
    let counts = &found["data"]["scan"];
    assert_eq!((&counts["segments"], &counts["reads_skipped"]), (&2.into(), &1.into()));
    assert_eq!((&counts["bases"], &counts["sites_clipped"]), (&400.into(), &0.into()));
}

#[test]
fn a_failed_scan_leaves_none_and_no_input_is_written_over() {
    let directory = simulated("20k", 1, 10);
    let at = directory.path();
    let line = error_line(at, &format!("{SCAN} --summary-json genome.fa"));
    assert!(line.contains("is an input of this command"), "{line}");
    fs::write(at.join("broken.fa"), ">a\nACGT!\n").unwrap();
    error_line(at, "scan -m motif.onnx broken.fa --threshold 6 -o sites.bed --summary-json broken.json");
    assert!(!at.join("broken.json").exists() && !at.join("sites.bed").exists());
}
