//! `bindscan scan`, run as a user runs it.

use std::collections::HashSet;
use std::fs;

use crate::common::{gzip, put_runs, run, simulated, stdout, stdout_of_input};

/// Fields of every line of a BED or TSV.
fn rows(text: &str) -> Vec<Vec<&str>> {
    text.lines().map(|line| line.split('\t').collect()).collect()
}

#[test]
fn implanted_sites_are_found_in_genome_order_without_overlaps() {
    let directory = simulated("2M", 3, 600);
    let bed = stdout(directory.path(), "scan -m motif.onnx genome.fa --threshold 8");
    let sites = rows(&bed);
    let key = |row: &Vec<&str>| (row[0].to_owned(), row[1].parse::<u64>().unwrap());
    let keys: Vec<_> = sites.iter().map(key).collect();
    assert!(keys.windows(2).all(|pair| pair[0].0 != pair[1].0 || pair[0].1 + 15 <= pair[1].1));
    let contigs: Vec<&str> = sites.iter().map(|row| row[0]).collect::<Vec<_>>();
    assert!(contigs.is_sorted(), "sim1, sim2, sim3 as in the file");

    let found: HashSet<String> = sites.iter().map(|row| [row[0], row[1], row[2], row[5]].join(":")).collect();
    let truth = fs::read_to_string(directory.path().join("truth.bed")).unwrap();
    let implanted = rows(&truth);
    assert_eq!(implanted.len(), 600);
    let hit =
        implanted.iter().filter(|row| found.contains(&[row[0], row[1], row[2], row[5]].join(":"))).count();
    assert!(hit > 500, "{hit} of 600 found");
    for row in &sites {
        assert_eq!(row.len(), 7);
        assert_eq!(row[3], "CTCF-consensus");
        assert!(row[4].parse::<u16>().unwrap() <= 1000);
        assert!(row[6].parse::<f32>().unwrap() >= 8.0);
    }
}

#[test]
fn the_same_bytes_for_any_threads_chunk_size_and_input_route() {
    let directory = simulated("300k", 2, 300);
    let at = directory.path();
    // An N run and a low-complexity run longer than the small chunks: hits whose fate hangs on far neighbours.
    let genome = put_runs(at, &[(50_000..52_000, b'N'), (60_000..60_900, b'C')]);
    for threshold in ["6", "0", "-8"] {
        let options = format!("scan -m motif.onnx --threshold {threshold}");
        let want = stdout(at, &format!("{options} genome.fa -t 1"));
        assert!(want.lines().count() > 300);
        for (threads, chunk) in [(1, 16), (2, 97), (3, 1_000), (4, 65_536)] {
            let words = format!("{options} genome.fa -t {threads} --chunk-size {chunk}");
            assert!(stdout(at, &words) == want, "{words}");
        }
        assert!(stdout(at, &format!("{options} genome.fa.gz -t 2")) == want, "gzip");
        assert!(stdout_of_input(at, &format!("{options} - --chunk-size 500"), &genome) == want, "stdin");
        assert!(stdout_of_input(at, &format!("{options} -"), &gzip(&genome)) == want, "gzip on stdin");
    }
}

#[test]
fn kept_overlaps_are_the_windows_of_all_that_reach_the_threshold() {
    let directory = simulated("100k", 1, 100);
    let at = directory.path();
    for strand in ["both", "+", "-"] {
        let all = stdout(at, &format!("scan -m motif.onnx genome.fa --all --format tsv --strand {strand}"));
        assert_eq!(all.lines().next(), Some("contig\tstart\tend\tname\tstrand\tscore"));
        let all = rows(&all);
        assert_eq!(all.len(), 1 + 100_000 - 14);
        let want: Vec<(&str, &str, &str)> = all[1..]
            .iter()
            .filter(|row| row[5].parse::<f32>().unwrap() >= 5.0)
            .map(|row| (row[0], row[1], row[4]))
            .collect();
        let kept = stdout(
            at,
            &format!("scan -m motif.onnx genome.fa --threshold 5 --overlaps keep --strand {strand}"),
        );
        let kept: Vec<_> = rows(&kept).into_iter().map(|row| (row[0], row[1], row[5])).collect();
        assert!(want.len() > 100);
        assert_eq!(kept, want);
    }
}

#[test]
fn regions_give_the_windows_that_lie_within_them() {
    let directory = simulated("50k", 2, 20);
    let at = directory.path();
    let all = stdout(at, "scan -m motif.onnx genome.fa --all --format tsv --stride 3");
    let all = rows(&all);
    fs::write(at.join("regions.bed"), "sim2\t100\t200\nsim1\t24900\t25000\nsim2\t150\t300\n").unwrap();
    let part = stdout(
        at,
        "scan -m motif.onnx genome.fa --all --format tsv --stride 3 -R regions.bed -r sim1:101-200",
    );
    let part = rows(&part);
    let inside = |row: &Vec<&str>| {
        let (start, end): (u64, u64) = (row[1].parse().unwrap(), row[2].parse().unwrap());
        let within = |contig, from, to| row[0] == contig && start >= from && end <= to;
        within("sim1", 100, 200) || within("sim1", 24_900, 25_000) || within("sim2", 100, 300)
    };
    let want: Vec<_> = all[1..].iter().filter(|row| inside(row)).cloned().collect();
    assert!(!want.is_empty());
    assert_eq!(part[1..], want);
}

#[test]
fn two_models_share_one_pass_and_one_sorted_output() {
    let directory = simulated("50k", 1, 50);
    let at = directory.path();
    let motif = crate::common::motif_file();
    crate::common::run_ok(
        at,
        &format!("import meme {} --name other --pseudocount 20 -o other.onnx", motif.display()),
    );
    let both = stdout(
        at,
        "scan -m motif.onnx -m other.onnx genome.fa --threshold 6 --threshold 5 --chunk-size 300 -t 2",
    );
    let starts: Vec<u64> = rows(&both).iter().map(|row| row[1].parse().unwrap()).collect();
    assert!(starts.is_sorted());
    for (model, name, threshold) in [("motif", "CTCF-consensus", 6), ("other", "other", 5)] {
        let alone = stdout(at, &format!("scan -m {model}.onnx genome.fa --threshold {threshold}"));
        let mine: String = both.lines().filter(|l| l.contains(name)).map(|l| format!("{l}\n")).collect();
        assert_eq!(mine, alone);
    }
}

#[test]
fn matrices_share_a_sweep_and_score_as_the_reference_does() {
    let directory = simulated("20k", 3, 60);
    let at = directory.path();
    let mut genome = fs::read(at.join("genome.fa")).unwrap();
    genome[5_000..5_040].fill(b'N');
    fs::write(at.join("genome.fa"), genome).unwrap();
    let mut models = "-m motif.onnx".to_owned();
    // Matrices of many widths: more than one vector of them.
    for width in 1..=21 {
        let row = |i: usize| {
            let counts = [i % 7 + 1, i % 3 + 1, i % 5 + 1, i % 4 + 1];
            let sum: usize = counts.iter().sum();
            counts.map(|count| format!("{:.9}", count as f64 / sum as f64)).join(" ") + "\n"
        };
        let rows: String = (0..width).map(|i| row(i * width + 3)).collect();
        let head = "MEME version 4\n\nALPHABET= ACGT\n\n";
        let matrix =
            format!("MOTIF M{width}\nletter-probability matrix: alength= 4 w= {width} nsites= 20\n{rows}");
        fs::write(at.join("m.meme"), head.to_owned() + &matrix).unwrap();
        crate::common::run_ok(at, &format!("import meme m.meme -o m{width}.onnx"));
        models += &format!(" -m m{width}.onnx");
    }
    for options in
        ["--overlaps keep", "--strand + --stride 3", "--strand -", "-r sim2:100-900 --overlaps keep"]
    {
        let scan = format!("scan {models} genome.fa --threshold 1.5 --chunk-size 700 --format tsv {options}");
        let found = stdout(at, &scan);
        let want = stdout(at, &format!("{scan} --engine reference"));
        assert!(found.lines().count() > 500, "{options}: {} lines", found.lines().count());
        assert_eq!(found.lines().count(), want.lines().count(), "{options}");
        for (a, b) in found.lines().zip(want.lines()) {
            let (a_fields, b_fields): (Vec<&str>, Vec<&str>) =
                (a.split('\t').collect(), b.split('\t').collect());
            // Strands that score the same but for the last bit differ between engines.
            let alike = if options.contains("--strand") { 5 } else { 4 };
            assert_eq!(a_fields[..alike], b_fields[..alike]);
            if let (Ok(score), Ok(reference)) = (a_fields[5].parse::<f64>(), b_fields[5].parse::<f64>()) {
                assert!((score - reference).abs() <= 1e-4 * reference.abs().max(1.0), "{a} {b}");
            }
        }
    }
}

#[test]
fn short_contigs_are_counted_and_named() {
    let directory = simulated("50k", 1, 5);
    let at = directory.path();
    fs::write(at.join("genome.fa"), ">long\nACGTACGTACGTACGTACGT\n>empty\n>one\nA\n").unwrap();
    let output = run(at, "scan -m motif.onnx genome.fa --all");
    assert!(output.status.success());
    assert_eq!(String::from_utf8(output.stdout).unwrap().lines().count(), 6);
    let summary = String::from_utf8(output.stderr).unwrap();
    assert!(
        summary.contains(
            "2 of 3 contigs or regions shorter than a window of a model, which skipped them: empty, one"
        ),
        "{summary}"
    );
}

#[test]
fn a_closed_pipe_is_no_failure() {
    use std::io::Read;
    use std::process::Stdio;
    let directory = simulated("1M", 1, 10);
    let mut child = crate::common::bindscan(["scan", "-m", "motif.onnx", "genome.fa", "--all"])
        .current_dir(directory.path())
        .stdout(Stdio::piped())
        .stderr(Stdio::piped())
        .spawn()
        .unwrap();
    let mut first = [0u8; 64];
    child.stdout.take().unwrap().read_exact(&mut first).unwrap();
    let output = child.wait_with_output().unwrap();
    assert_eq!(output.status.code(), Some(0));
    assert!(output.stderr.is_empty(), "{}", String::from_utf8_lossy(&output.stderr));
}
