//! Help texts: their form, and every example of them run as it is written.
#![cfg(unix)]

use std::collections::BTreeSet;
use std::fs;
use std::path::Path;
use std::process::{Command, Output};

use noodles::sam::alignment::io::Write as _;
use noodles::{bam, sam};
use tempfile::TempDir;

use crate::common::onnx::library_is_there;
use crate::common::{bindscan, failure, gzip, motif_file, run, run_ok, stdout};
use bindscan::engine::onnx::library::find_library;

/// The subcommands as they are called, and nothing for the program itself.
fn subcommands() -> Vec<String> {
    let mut paths = vec![String::new()];
    let listed = |words: &str| -> Vec<String> {
        let help = stdout(Path::new("."), words);
        let Some((_, rest)) = help.split_once("Commands:\n") else { return Vec::new() };
        let lines = rest.lines().take_while(|line| !line.is_empty());
        let names = lines.filter(|line| line.starts_with("  ") && !line.starts_with("   "));
        names.filter_map(|line| line.split_whitespace().next()).map(str::to_owned).collect()
    };
    for name in listed("-h").into_iter().filter(|name| name != "help") {
        paths.extend(
            listed(&format!("{name} -h"))
                .iter()
                .filter(|inner| *inner != "help")
                .map(|inner| format!("{name} {inner}")),
        );
        paths.push(name);
    }
    assert!(paths.len() > 15, "{paths:?}");
    paths
}

/// The short help of a subcommand, on lines of any length.
fn wide_help(path: &str, flag: &str) -> String {
    let output = bindscan(path.split_whitespace().chain([flag])).env("COLUMNS", "1000").output().unwrap();
    assert!(output.status.success());
    String::from_utf8(output.stdout).unwrap()
}

/// The examples of a subcommand's help: scripts of one or several command lines.
fn examples(path: &str) -> Vec<String> {
    let help = wide_help(path, "--help");
    let Some((_, text)) = help.split_once("Examples:\n") else { return Vec::new() };
    let mut examples = Vec::new();
    for line in text.lines() {
        match line.strip_prefix("    ") {
            Some(line) => {
                assert!(line.len() <= 76, "{path}: {line} does not fit a terminal");
                let example: &mut String = examples.last_mut().expect("a purpose comes first");
                example.push_str(line);
                example.push('\n');
            }
            None if line.is_empty() => {}
            None => {
                assert!(line.starts_with("  ") && line.ends_with(':'), "{path}: {line}");
                examples.push(String::new());
            }
        }
    }
    examples
}

/// A folder with small files of the names that examples use.
fn with_inputs() -> TempDir {
    let directory = tempfile::tempdir().unwrap();
    let at = directory.path();
    let motifs = fs::read_to_string(motif_file()).unwrap().replace("CTCF-consensus", "MA0139.2 CTCF");
    let ets = "\nMOTIF MA0028.3 ELK1\nletter-probability matrix: alength= 4 w= 8 nsites= 100\n";
    let row = |base| ["A", "C", "G", "T"].map(|other| if other == base { "0.91" } else { "0.03" }).join(" ");
    let rows: Vec<String> = ["C", "C", "G", "G", "A", "A", "G", "T"].into_iter().map(row).collect();
    fs::write(at.join("JASPAR.meme"), format!("{motifs}{ets}{}\n", rows.join("\n"))).unwrap();
    run_ok(
        at,
        "simulate genome JASPAR.meme --motif MA0028.3 --length 60k --contigs 2 --sites 60 -o hg38.fa --truth truth.bed",
    );
    let rename = |text: String| text.replace("sim1", "chr8").replace("sim2", "chr20");
    let genome = rename(fs::read_to_string(at.join("hg38.fa")).unwrap());
    fs::write(at.join("hg38.fa"), &genome).unwrap();
    fs::write(at.join("hg38.fa.gz"), gzip(genome.as_bytes())).unwrap();
    let truth = rename(fs::read_to_string(at.join("truth.bed")).unwrap());
    let peak = |line: &str| {
        let fields: Vec<&str> = line.split('\t').collect();
        let start: u64 = fields[1].parse().unwrap();
        let (from, to) = (start.saturating_sub(100), start + 100);
        format!("{}\t{from}\t{to}\t.\t100\t.\t{start}\t-1\t-1\t{}\n", fields[0], start - from)
    };
    fs::write(at.join("peaks.narrowPeak"), truth.lines().map(peak).collect::<String>()).unwrap();

    let bases: String = genome.split_once(">chr20").unwrap().1.lines().skip(1).collect();
    let other = |base: &str| if base.eq_ignore_ascii_case("A") { "C" } else { "A" };
    let call = |position: usize| {
        let base = &bases[position - 1..position];
        format!("chr20\t{position}\t.\t{base}\t{}\t.\t.\t.\n", other(base))
    };
    let header = "##fileformat=VCFv4.2\n##contig=<ID=chr20>\n#CHROM\tPOS\tID\tREF\tALT\tQUAL\tFILTER\tINFO\n";
    let calls: String = [1010, 2020, 3030].map(call).concat();
    fs::write(at.join("calls.vcf.gz"), gzip(format!("{header}{calls}").as_bytes())).unwrap();

    let pieces: Vec<&str> = (0..120).map(|rank| &bases[rank * 100..rank * 100 + 100]).collect();
    let fasta: String =
        pieces[..6].iter().enumerate().map(|(rank, bases)| format!(">s{rank}\n{bases}\n")).collect();
    fs::write(at.join("sequences.fa"), fasta).unwrap();
    let label = |(rank, bases): (usize, &&str)| format!("{bases}\t{}\n", rank % 2);
    let table: String = pieces.iter().enumerate().map(label).collect();
    fs::write(at.join("labelled.tsv"), format!("sequence\tbound\n{table}")).unwrap();
    write_reads(&at.join("reads.bam"), &bases);
    let keras = Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/data/keras/bias_corrected.keras2.h5");
    fs::copy(keras, at.join("model.h5")).unwrap();
    let weights = vec!["0.5"; 16].join(",");
    let parameters = format!(
        "# deepbind 0.1\nreverse_complement = 1\nnum_detectors = 1\ndetector_len = 4\nhas_avg_pooling = 0\nnum_hidden = 0\n\
         detectors = {weights}\nthresholds = -1\nweights1 = 2\nbiases1 = 5\nweights2 = \nbiases2 = \n"
    );
    fs::write(at.join("D00328.003.txt"), parameters).unwrap();
    directory
}

fn write_reads(path: &Path, bases: &str) {
    let read = |rank: usize| {
        let start = rank * 300;
        let quality = "I".repeat(150);
        format!(
            "r{rank}\t0\tchr20\t{}\t60\t150M\t*\t0\t0\t{}\t{quality}\n",
            start + 1,
            &bases[start..start + 150]
        )
    };
    let text = format!("@SQ\tSN:chr20\tLN:{}\n{}", bases.len(), (0..20).map(read).collect::<String>());
    let mut reader = sam::io::Reader::new(text.as_bytes());
    let header = reader.read_header().unwrap();
    let mut writer = bam::io::Writer::new(fs::File::create(path).unwrap());
    writer.write_header(&header).unwrap();
    for record in reader.record_bufs(&header) {
        writer.write_alignment_record(&header, &record.unwrap()).unwrap();
    }
    writer.try_finish().unwrap();
}

/// Runs a script with the program on the search path.
fn bash(at: &Path, script: &str) -> Output {
    let program = Path::new(env!("CARGO_BIN_EXE_bindscan")).parent().unwrap();
    let path = format!("{}:{}", program.display(), std::env::var("PATH").unwrap());
    let mut command = Command::new("bash");
    command.args(["-euo", "pipefail", "-c", script]).current_dir(at).env("PATH", path).env("HOME", at);
    if let Ok(library) = find_library() {
        command.env("ORT_DYLIB_PATH", library);
    }
    command.output().unwrap()
}

#[test]
fn every_example_runs_as_it_is_written() {
    let mut ran = BTreeSet::new();
    for path in subcommands() {
        let scripts = examples(&path);
        assert!(!scripts.is_empty(), "{path}: has no example");
        for script in scripts {
            if !ran.insert(script.clone()) {
                continue;
            }
            if script.contains("bindscan profile") && !library_is_there() {
                continue;
            }
            if cfg!(debug_assertions) && script.contains("bindscan train") {
                eprintln!("left out, training takes minutes in an unoptimised build: {script}");
                continue;
            }
            let directory = with_inputs();
            let before = fs::read_dir(directory.path()).unwrap().count();
            let output = bash(directory.path(), &script);
            let complaint = String::from_utf8_lossy(&output.stderr);
            assert!(output.status.success(), "{path}: {script}: {complaint}");
            let written = fs::read_dir(directory.path()).unwrap().count() > before;
            assert!(written || !output.stdout.is_empty(), "{path}: {script} gives nothing");
        }
    }
    assert!(ran.len() >= 25, "{}", ran.len());
}

/// Words that begin the help of an option.
const VERBS: &str = "Add Also Annotate Call Choose Combine Compare Compute Continue Count Cut Decode Describe Divide Draw Fail Find \
    Fit Give Hold Implant Judge Keep Leave Let Limit Make Map Measure Place Print Read Report Sample Scale Scan Score Search Set \
    Show Shuffle Skip Stop Take Treat Trim Use Write";

#[test]
fn each_option_is_described_by_a_short_imperative() {
    let verbs: BTreeSet<&str> = VERBS.split_whitespace().collect();
    for path in subcommands() {
        let help = wide_help(&path, "-h");
        let (_, options) = help.split_once("Options:\n").unwrap();
        let mut lines = options.split("Examples:").next().unwrap().lines().peekable();
        let mut seen = 0;
        while let Some(line) = lines.next() {
            let Some(option) = line.split_whitespace().find(|word| word.starts_with("--")) else {
                continue;
            };
            if !line.trim_start().starts_with('-') {
                continue;
            }
            // The text stands behind two blanks, or on the next line.
            let text = match line.trim_start().split_once("  ") {
                Some((_, text)) => text.trim(),
                None => lines.next().unwrap_or_default().trim(),
            };
            let verb = text.split_whitespace().next().unwrap_or_default();
            assert!(verbs.contains(verb), "{path} {option}: `{text}` does not begin with a verb");
            let sentence = text.split(" [").next().unwrap();
            assert!(sentence.len() <= 90, "{path} {option}: `{sentence}` is long");
            assert!(!sentence.ends_with('.') && !sentence.contains(". "), "{path} {option}: `{sentence}`");
            seen += 1;
        }
        assert!(seen >= 3, "{path}: {seen} options");
    }
}

#[test]
fn help_is_a_subcommand_too() {
    let here = Path::new(".");
    assert_eq!(stdout(here, "help merge"), stdout(here, "merge --help"));
    assert_eq!(stdout(here, "help import motifs"), stdout(here, "import motifs --help"));
}

#[test]
fn a_forgotten_option_is_hinted_at() {
    let here = Path::new(".");
    for (words, hint) in [
        (
            "scan genome.fa --threshold 2",
            "tip: -m takes an ONNX file, a motif file or a bundled model: -m ELK1",
        ),
        ("scan mine.onnx --threshold 2", "-m mine.onnx"),
        ("scan ELK1 genome.fa --threshold 2", "tip: models are given with -m: -m ELK1"),
        (
            "scan -m ELK1 genome.fa chr1:1-1,000 --threshold 2",
            "tip: regions are given with -r: -r chr1:1-1,000",
        ),
        ("mutmap -m ELK1 --genome genome.fa chr20", "-r chr20"),
        ("scan -m ELK1 genome.fa --treshold 2", "'--threshold'"),
        ("scan -m a.meme genome.fa --motif-background 3,2,2,3 --threshold 2", "must add up to 1"),
    ] {
        let output = run(here, words);
        let text = String::from_utf8_lossy(&output.stderr).into_owned();
        assert_eq!(output.status.code(), Some(2), "{words}: {text}");
        assert!(text.contains(hint), "{words}: {text}");
    }
}

#[test]
fn errors_have_one_prefix() {
    let here = Path::new(".");
    for (words, status) in [
        ("scan -m ELK1 missing.fa --threshold 2", 1),
        ("scan -m missing.onnx missing.fa --threshold 2", 1),
        ("scan --nonsense", 2),
        ("scan -m models/ctcf-consensus.meme missing.fa", 2),
        ("nonsense", 2),
    ] {
        let output = run(here, words);
        assert_eq!(output.status.code(), Some(status), "{words}");
        let text = String::from_utf8(output.stderr).unwrap();
        assert!(text.starts_with("bindscan: error: "), "{words}: {text}");
        assert_eq!(text.matches("error: ").count(), 1, "{words}: {text}");
    }
    assert!(
        failure(run(here, "score -m ELK1 missing.fa"), "score", 1).starts_with("bindscan: error: missing.fa")
    );
}

#[test]
fn the_version_is_json_on_request() {
    let here = Path::new(".");
    for words in ["--version --json", "--json --version", "-V --json"] {
        let version: serde_json::Value = serde_json::from_str(&stdout(here, words)).unwrap();
        assert_eq!(version["version"], env!("CARGO_PKG_VERSION"));
        assert!(
            version["engines"]["kernel"]["available"].as_array().unwrap().iter().any(|name| name == "scalar")
        );
        assert!(version["engines"]["onnx"].get("library").is_some());
        assert!(version["bundled_models"].as_array().unwrap().iter().any(|name| name == "ELK1"));
    }
    assert!(stdout(here, "--version").contains("bundled models: ARID3A, "));
}
