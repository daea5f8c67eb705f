//! p- and q-values: `bindscan calibrate`, and `bindscan scan` with `--pvalue` and `--qvalue`.

use std::fs;
use std::path::Path;
use std::sync::atomic::AtomicBool;

use crate::common::network::word_network;
use crate::common::{error_line, failure, put_runs, run, run_ok, simulated, stdout, stdout_of_input};
use bindscan::calibrate::background::Background;
use bindscan::calibrate::sample::{Amount, sample};
use bindscan::engine::{Device, Engine, EngineKind, Workload, open};
use bindscan::model::{Model, ModelSpec};
use bindscan::scores::Scores;
use bindscan::seq::chunk::Chunk;
use bindscan::seq::contig::Strand;
use bindscan::seq::window::{Context, StrandChoice, WindowPlan};

fn rows(text: &str) -> Vec<Vec<&str>> {
    text.lines().map(|line| line.split('\t').collect()).collect()
}

fn number(text: &str) -> f64 {
    text.parse().unwrap()
}

fn warnings(directory: &Path, words: &str) -> String {
    let output = run(directory, words);
    assert!(output.status.success(), "{words}");
    String::from_utf8(output.stderr).unwrap()
}

/// Benjamini and Hochberg as their paper has it, for the lowest p-values of so many tests.
fn q_values(p: &[f64], tests: usize) -> Vec<f64> {
    let mut order: Vec<usize> = (0..p.len()).collect();
    order.sort_by(|&a, &b| p[a].total_cmp(&p[b]));
    let (mut q, mut lowest) = (vec![1.0; p.len()], 1.0f64);
    for (rank, &i) in order.iter().enumerate().rev() {
        lowest = lowest.min(p[i] * tests as f64 / (rank + 1) as f64);
        q[i] = lowest;
    }
    q
}

#[test]
fn q_values_are_those_of_all_windows() {
    let directory = simulated("60k", 2, 60);
    let at = directory.path();
    let scan = "scan -m motif.onnx genome.fa --overlaps keep --format tsv --background uniform";
    for strand in ["+", "-"] {
        let all = stdout(at, &format!("{scan} --strand {strand} --pvalue 1"));
        let all = rows(&all);
        assert_eq!(all[0].join(" "), "contig start end name strand score p_value p_source");
        assert_eq!(all.len(), 1 + 60_000 - 2 * 14);
        let p: Vec<f64> = all[1..].iter().map(|row| number(row[6])).collect();
        let q = q_values(&p, p.len());
        let found = stdout(at, &format!("{scan} --strand {strand} --qvalue 0.3"));
        let found = rows(&found);
        let want: Vec<usize> = (0..p.len()).filter(|&i| q[i] <= 0.3).collect();
        assert!(want.len() > 20);
        assert_eq!(found.len(), 1 + want.len());
        for (row, i) in found[1..].iter().zip(want) {
            assert_eq!(row[..7], all[1 + i][..7]);
            assert!((number(row[7]) / q[i] - 1.0).abs() < 1e-3, "{row:?} {}", q[i]);
        }
    }
    // Each strand is a test: with both, twice as many. The better one stands for a window.
    let p = |strand: &str| -> Vec<f64> {
        let all = stdout(at, &format!("{scan} --strand {strand} --pvalue 1"));
        rows(&all)[1..].iter().map(|row| number(row[6])).collect()
    };
    let (forward, reverse) = (p("+"), p("-"));
    let better: Vec<f64> = forward.iter().zip(&reverse).map(|(a, b)| a.min(*b)).collect();
    let want = q_values(&better, 2 * better.len()).into_iter().filter(|q| *q <= 0.2).count();
    assert!(want > 20);
    let found = stdout(at, &format!("{scan} --qvalue 0.2"));
    assert_eq!(found.lines().count(), 1 + want);
}

#[test]
fn sites_are_those_of_the_threshold_that_the_p_value_means() {
    let directory = simulated("200k", 2, 100);
    let at = directory.path();
    let table =
        stdout(at, "calibrate motif.onnx --strand + --background genome.fa --background-order 1 -o c.onnx");
    let table = rows(&table);
    let row = table.iter().find(|row| row[1] == "1e-5").unwrap();
    assert_eq!(row[3], "exact");
    let by_p = stdout(at, "scan -m c.onnx genome.fa --strand + --pvalue 1e-5");
    let by_score = stdout(at, &format!("scan -m c.onnx genome.fa --strand + --threshold {}", row[2]));
    let cut = |text: &str| -> Vec<String> {
        rows(text).iter().map(|row| [&row[..4], &row[5..7]].concat().join(" ")).collect()
    };
    assert!(by_p.lines().count() > 20);
    assert_eq!(cut(&by_p), cut(&by_score));
    for row in rows(&by_p) {
        let p = number(row[7]);
        assert!(p <= 1e-5);
        // The p-value is printed with five digits.
        assert!((number(row[4]) - (-100.0 * p.log10()).min(1000.0)).abs() < 0.51, "{row:?}");
    }
    // A stored calibration is what a run of its own with the same options makes.
    let own = stdout(
        at,
        "scan -m motif.onnx genome.fa --strand + --pvalue 1e-5 --background genome --background-order 1",
    );
    assert_eq!(own, by_p);
    assert!(
        warnings(at, "scan -m c.onnx genome.fa --strand + --pvalue 1e-5 -v")
            .contains("by its own calibration: exact")
    );
    let other = warnings(at, "scan -m c.onnx genome.fa --pvalue 1e-5 -v");
    assert!(
        other.contains("does not serve: it is for the forward strand") && other.contains("made for this run")
    );
}

#[test]
fn sampled_p_values_agree_with_exact_ones() {
    let directory = simulated("100k", 1, 10);
    let at = directory.path();
    let score = |options: &str| -> Vec<f64> {
        let table = stdout(at, &format!("calibrate motif.onnx --background genome.fa -o c.onnx {options}"));
        let rows = rows(&table);
        let at_p = |p: &str| number(rows.iter().find(|row| row[1] == p).unwrap()[2]);
        ["1e-2", "1e-3", "1e-4"].map(at_p).to_vec()
    };
    let exact = score("");
    for options in ["--sampled --background-length 2M", "--shuffle --background-length 2M"] {
        let sampled = score(options);
        // A bit of score is about a factor of two in p; 4 million tests give 1e-4 to 5 %.
        for (a, b) in exact.iter().zip(&sampled) {
            assert!((a - b).abs() < 0.3, "{options}: {exact:?} {sampled:?}");
        }
    }
}

#[test]
fn the_same_bytes_for_any_threads_chunk_size_and_input_route() {
    let directory = simulated("300k", 2, 200);
    let at = directory.path();
    let genome = put_runs(at, &[(50_000..52_000, b'N'), (60_000..60_900, b'C')]);
    let sampled = "--sampled --background genome.fa --background-length 1M";
    for options in [
        format!("--pvalue 1e-3 {sampled}"),
        format!("--qvalue 0.2 {sampled}"),
        "--qvalue 0.9 --background genome.fa".into(),
    ] {
        let scan = format!("scan -m motif.onnx {options}");
        let want = stdout(at, &format!("{scan} genome.fa -t 1"));
        assert!(want.lines().count() > 100, "{options}");
        for (threads, chunk) in [(2, 97), (3, 1_000)] {
            let words = format!("{scan} genome.fa -t {threads} --chunk-size {chunk}");
            assert!(stdout(at, &words) == want, "{words}");
        }
        assert!(stdout(at, &format!("{scan} genome.fa.gz")) == want, "gzip");
        assert!(stdout_of_input(at, &format!("{scan} -"), &genome) == want, "stdin");
    }
}

#[test]
fn what_is_chosen_by_must_be_clear() {
    let directory = simulated("20k", 1, 5);
    let at = directory.path();
    for (options, words) in [
        ("", "choose which sites"),
        ("--pvalue 1e-3 --qvalue 0.1", "cannot be used with"),
        ("--pvalue 1e-3 --threshold 4", "cannot be used with"),
        ("--qvalue 0.1 --all", "cannot be used with"),
        ("--pvalue 0", "above 0"),
        ("--qvalue 1.5", "above 0"),
        ("--threshold 4 --background uniform", "need --pvalue or --qvalue"),
        (
            "--pvalue 0.1 -o x.bedGraph",
            "--pvalue chooses sites, and none are written: x.bedGraph holds the scores",
        ),
        ("--pvalue 0.1 --background-order 6", "0 to 5"),
    ] {
        let output = run(at, &format!("scan -m motif.onnx genome.fa {options}"));
        let stderr = String::from_utf8(output.stderr).unwrap();
        assert_eq!(output.status.code(), Some(2), "{options}: {stderr}");
        assert!(stderr.contains(words), "{options}: {stderr}");
    }
}

#[test]
fn what_has_no_p_values_is_said() {
    let directory = simulated("20k", 1, 5);
    let at = directory.path();
    fs::write(at.join("n.fa"), format!(">a\n{}\n", "N".repeat(500))).unwrap();
    fs::write(at.join("empty.fa"), ">a\n>b\n").unwrap();
    let scan = "scan -m motif.onnx --pvalue 1e-4";
    let line = error_line(at, &format!("{scan} n.fa"));
    assert!(
        line.contains(
            "n.fa: a background cannot be fitted to it: it has not even 3 bases in a row without N"
        ),
        "{line}"
    );
    assert!(error_line(at, &format!("{scan} empty.fa")).contains("empty.fa"));
    let none = run(at, &format!("{scan} n.fa --background uniform"));
    assert!(none.status.success() && none.stdout.is_empty());
    let none = run(at, "scan -m motif.onnx --qvalue 0.1 empty.fa --background uniform");
    assert!(none.status.success() && none.stdout.is_empty());
    let output = crate::common::bindscan(format!("{scan} -").split(' ')).current_dir(at).output().unwrap();
    assert!(failure(output, "stdin", 1).contains("--background"));
    let line = error_line(at, &format!("{scan} genome.fa --shuffle --background uniform"));
    assert!(line.contains("--shuffle"), "{line}");
    let warned = warnings(at, "scan -m motif.onnx --pvalue 1e-30 genome.fa");
    assert!(warned.contains("no score of CTCF-consensus has a p-value of 1e-30 or less"), "{warned}");
    let warned = warnings(at, "scan -m motif.onnx --pvalue 1e-8 genome.fa --sampled --background-length 1M");
    assert!(warned.contains("extrapolated"), "{warned}");
    assert!(error_line(at, "calibrate ELK1 --background uniform").contains("-o FILE"));
    assert!(error_line(at, "calibrate motif.onnx").contains("--background"));

    // No threshold is shown where none can be reached.
    run_ok(
        at,
        "scan -m motif.onnx -m ELK1 --pvalue 1e-30 genome.fa --background uniform -o none.bed --report none.html",
    );
    let page = fs::read_to_string(at.join("none.html")).unwrap();
    assert!(!page.contains("3402823"), "the largest float is no threshold");

    // The windows that were sampled are counted, not those that were asked for.
    run_ok(at, "calibrate motif.onnx --background uniform --sampled --background-length 1 -o c.onnx");
    assert!(stdout(at, "inspect c.onnx").contains("1048576 windows"));

    // A damaged calibration is refused as a damaged specification is.
    run_ok(at, "calibrate motif.onnx --background uniform --sampled --background-length 1M -o c.onnx");
    let bytes = fs::read(at.join("c.onnx")).unwrap();
    let text = b"\"counts\":[";
    let place = bytes.windows(text.len()).position(|part| part == text).unwrap() + text.len();
    let mut damaged = bytes;
    damaged[place] = b'0';
    fs::write(at.join("d.onnx"), damaged).unwrap();
    assert!(error_line(at, "scan -m d.onnx genome.fa --pvalue 0.1").contains("d.onnx"));
}

#[test]
fn several_models_have_p_and_q_values_of_their_own() {
    let directory = simulated("100k", 1, 100);
    let at = directory.path();
    let motif = crate::common::motif_file();
    run_ok(at, &format!("import meme {} --name other --pseudocount 20 -o other.onnx", motif.display()));
    for choose in ["--pvalue 1e-4", "--qvalue 0.1"] {
        let both = stdout(at, &format!("scan -m motif.onnx -m other.onnx genome.fa {choose}"));
        for (model, name) in [("motif", "CTCF-consensus"), ("other", "other")] {
            let alone = stdout(at, &format!("scan -m {model}.onnx genome.fa {choose}"));
            assert!(alone.lines().count() > 30);
            let mine: String = both.lines().filter(|l| l.contains(name)).map(|l| format!("{l}\n")).collect();
            assert_eq!(mine, alone);
        }
    }
    for (format, place) in [("narrowpeak", 7), ("gff3", 8)] {
        let found = stdout(at, &format!("scan -m motif.onnx genome.fa --qvalue 0.1 --format {format}"));
        let line = found.lines().find(|line| !line.starts_with('#')).unwrap();
        let field = line.split('\t').nth(place).unwrap();
        assert!(if format == "gff3" { field.contains(";q_value=") } else { number(field) > 4.0 }, "{line}");
    }
}

#[test]
fn a_scan_with_next_to_no_site_says_what_a_higher_rate_gives() {
    let directory = simulated("2M", 1, 400);
    let at = directory.path();
    // A genome without sites of the network.
    let none = warnings(
        at,
        "scan -m ELK1 genome.fa --qvalue 1e-3 --background uniform --background-length 1M -o n.bed",
    );
    for part in [
        "no site at a false discovery rate of 0.001: the lowest q-value is ",
        " of ELK1, where background has ",
        "Give a higher --qvalue",
        ", or leave out --qvalue for all that reach the model's own threshold",
    ] {
        assert!(none.contains(part), "{none}");
    }
    let scan = "scan -m motif.onnx genome.fa --background uniform --qvalue";
    let found = |rate: &str| stdout(at, &format!("{scan} {rate}")).lines().count();
    let few = "5e-3";
    let few_found = found(few);
    assert!((1..10).contains(&few_found), "{few_found} at {few}");
    let said = warnings(at, &format!("{scan} {few} -o n.bed"));
    assert!(said.contains(&format!("only {few_found} site")), "{said}");
    assert!(said.contains(&format!("--qvalue 0.1 reports {} sites", found("0.1"))), "{said}");
    assert!(!said.contains("own threshold"), "{said}");
    let many = warnings(at, &format!("{scan} 0.1 -o n.bed"));
    assert!(!many.contains("false discovery rate"), "{many}");
}

#[test]
fn sites_of_a_network_are_counted_in_as_many_windows_as_its_scores() {
    let directory = simulated("20k", 1, 5);
    let at = directory.path();
    run_ok(at, "calibrate ELK1 --background uniform --background-length 12M -o c.onnx --quiet");
    let calibration = Model::open(at.join("c.onnx")).unwrap().spec.null.unwrap();
    let rates = serde_json::to_value(calibration.peaks.unwrap()).unwrap();
    let lowest = rates[0]["steps"].as_array().unwrap().last().unwrap()[1].as_f64().unwrap();
    // The lowest rate rests on ten sites or a few more.
    assert!((10.0..13.0).contains(&(lowest * 12e6)), "{lowest:e}");
}

/// Writes the words in turn into the lines of a genome, more of them than chance has.
fn implant(genome: &Path, words: &[&str]) {
    let text = fs::read_to_string(genome).unwrap();
    let mut lines: Vec<String> = text.lines().map(str::to_owned).collect();
    let sequence = lines.iter_mut().filter(|line| !line.starts_with('>') && line.len() > 30);
    for (line, word) in sequence.step_by(8).zip(words.iter().cycle()) {
        line.replace_range(20..20 + word.len(), word);
    }
    fs::write(genome, lines.join("\n") + "\n").unwrap();
}

#[test]
fn every_output_of_a_model_has_its_own_null_distribution() {
    let directory = simulated("100k", 2, 20);
    let at = directory.path();
    let words = [("CACGTGAC", 1.0), ("GGGAAATT", 2.5)];
    implant(&at.join("genome.fa"), &words.map(|(word, _)| word));
    let both = word_network(&words);
    both.save(at.join("both.onnx")).unwrap();
    // Others than those of the genome, so that what is found tells that they were stored.
    let null = "--background uniform --background-length 10M";
    let table = stdout(at, &format!("calibrate both.onnx {null} -o both.onnx"));
    let found = ["--pvalue 1e-3", "--qvalue 0.5"]
        .map(|by| (by, stdout(at, &format!("scan -m both.onnx genome.fa --format tsv {by}"))));
    for (word, output) in words.iter().zip(&both.spec.outputs) {
        let name = format!("words.{output}");
        word_network(&[*word]).save(at.join("one.onnx")).unwrap();
        let alone = stdout(at, &format!("calibrate one.onnx {null} -o one.onnx"));
        // The lowest score of p = 1e-3; the background is another sample.
        let score = |table: &str, name: &str| {
            let rows = rows(table);
            number(rows.iter().find(|row| row[0] == name && row[1] == "1e-3").unwrap()[2])
        };
        let (have, want) = (score(&table, &name), score(&alone, "words"));
        assert!((have / want - 1.0).abs() < 0.05, "{name}: {have}, {want}");
        for (by, found) in &found {
            let want = stdout(at, &format!("scan -m one.onnx genome.fa --format tsv {by}"));
            let (found, want) = (rows(found), rows(&want));
            let found: Vec<_> = found.iter().filter(|row| row[3] == name).collect();
            let mut same = 0;
            for row in &want[1..] {
                let site = |other: &&&Vec<&str>| other[..3] == row[..3] && other[4..6] == row[4..6];
                let Some(other) = found.iter().find(site) else { continue };
                // p, and q where it is wanted. One occurrence of a word makes several windows: samples differ.
                let numbers = if by.starts_with("--qvalue") { 6..8 } else { 6..7 };
                for (a, b) in other[numbers.clone()].iter().zip(&row[numbers]) {
                    assert!((number(a) / number(b)).ln().abs() < 0.3, "{name}, {by}: {other:?} {row:?}");
                }
                same += 1;
            }
            assert!(same > 10 && 10 * same >= 9 * found.len().max(want.len() - 1), "{name}, {by}: {same}");
        }
    }
    let scores: Vec<&str> =
        rows(&table).iter().filter(|row| row[1] == "1e-3" && row[4] != "-").map(|row| row[2]).collect();
    assert!(number(scores[1]) > 2.0 * number(scores[0]), "{scores:?}");
}

/// An engine that rules nothing out.
struct Unhurried(Box<dyn Engine>);

impl Engine for Unhurried {
    fn spec(&self) -> &ModelSpec {
        self.0.spec()
    }

    fn description(&self) -> String {
        self.0.description()
    }

    fn flanks(&self, plan: &WindowPlan) -> (usize, usize) {
        self.0.flanks(plan)
    }

    fn score(&mut self, chunk: &Chunk, plan: &WindowPlan, out: &mut Scores) -> bindscan::Result<()> {
        self.0.score(chunk, plan, out)
    }
}

#[test]
fn windows_that_are_ruled_out_do_not_change_a_null_distribution() {
    let model = word_network(&[("CACGTGAC", 1.0), ("GGGAAATT", 2.5)]);
    let plan = WindowPlan {
        window: model.spec.window,
        stride: 1,
        strands: StrandChoice::Both,
        context: Context::Padding,
    };
    let amount = Amount { windows: 6 << 20, seed: 3 };
    assert_eq!((amount.full(), Amount { windows: 4 << 20, seed: 3 }.full()), (Some(4 << 20), None));
    let made = |workers: usize, hurried: bool| {
        let engines = open(&model, EngineKind::Kernel, Device::Cpu, workers, Workload::Contigs(plan))
            .unwrap()
            .into_iter();
        let engines: Vec<Box<dyn Engine>> = match hurried {
            true => engines.collect(),
            false => engines.map(|engine| Box::new(Unhurried(engine)) as Box<dyn Engine>).collect(),
        };
        let mut told = Vec::new();
        let progress = |done, all| told.push((done, all));
        let made = sample(engines, &plan, &Background::uniform(), amount, progress, &AtomicBool::new(false))
            .unwrap();
        assert_eq!(told, (1..=6).map(|block| (block << 20, 6 << 20)).collect::<Vec<(u64, u64)>>());
        made
    };
    let want = made(1, false);
    assert!(made(1, true) == want && made(2, true) == want);
    let full = Amount { windows: 4 << 20, seed: 3 };
    let engines = open(&model, EngineKind::Kernel, Device::Cpu, 2, Workload::Contigs(plan)).unwrap();
    let first =
        sample(engines, &plan, &Background::uniform(), full, |_, _| (), &AtomicBool::new(false)).unwrap();
    for (all, first) in want.iter().zip(&first) {
        let (all, first) = (all.null(), first.null());
        // Common words are spread as in the first windows, rare ones are counted in half as many more.
        for p in [0.5, 0.1, 0.01, 2e-3, 1e-4] {
            let score = first.threshold(p, Strand::Forward).unwrap();
            let ratio = all.p(score, Strand::Forward) / first.p(score, Strand::Forward);
            assert!((ratio - 1.0).abs() < if p > 1e-3 { 0.03 } else { 0.2 }, "{p}: {ratio}");
        }
    }
}

#[test]
fn a_calibration_knows_its_genome() {
    let directory = simulated("20k", 2, 5);
    let at = directory.path();
    run_ok(at, "calibrate motif.onnx -o c.onnx --background genome.fa");
    let genome = fs::read_to_string(at.join("genome.fa")).unwrap();
    fs::write(at.join("other.fa"), genome.replace(">sim1", ">chrI")).unwrap();
    let scan = "scan -m c.onnx --pvalue 1e-3 -o x.bed";
    let warning = "were calibrated on other contigs than those that are scanned";
    assert!(!warnings(at, &format!("{scan} genome.fa")).contains(warning));
    let said = warnings(at, &format!("{scan} other.fa"));
    assert!(said.contains(warning) && said.contains("(genome.fa)"), "{said}");
    assert!(!warnings(at, &format!("{scan} other.fa --background genome")).contains(warning));
    fs::write(at.join("r.bed"), "chrI\t100\t4000\nsim2\t100\t4000\n").unwrap();
    for words in ["regions r.bed --value logp", "regions r.bed --pvalue 1e-2", "enrich r.bed --pvalue 1e-2"] {
        let said = warnings(at, &format!("{words} -m c.onnx -g other.fa -o x.tsv"));
        assert!(said.contains(warning), "{words}: {said}");
    }
    run_ok(at, "calibrate motif.onnx -o u.onnx --background uniform");
    assert!(!warnings(at, "scan -m u.onnx --pvalue 1e-3 -o x.bed other.fa").contains(warning));
}
