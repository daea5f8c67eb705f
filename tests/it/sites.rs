//! Windows that become sites, and their numbers: scores are compared exactly, windows with too much N are left out,
//! and a scaled model finds the same.

use std::collections::{BTreeSet, HashMap};
use std::fs;
use std::path::Path;

use crate::common::network::{matrix, network, save, word_network};
use crate::common::{error_line, motif_file, run, run_ok, simulated, stdout};
use bindscan::engine::planned::{PlanOptions, Planned};
use bindscan::engine::{Device, EngineKind, Workload, open};
use bindscan::model::{Dense, Model, ModelSpec, Network, Padding, Pooling, Strands};
use bindscan::scores::Scores;
use bindscan::seq::alphabet::encode;
use bindscan::seq::chunk::Chunk;
use bindscan::seq::window::{Context, StrandChoice, WindowPlan};
use rand::{RngExt, SeedableRng};
use rand_xoshiro::Xoshiro256PlusPlus as Random;

fn rows(text: &str) -> Vec<Vec<&str>> {
    text.lines().filter(|line| !line.starts_with('#')).map(|line| line.split('\t').collect()).collect()
}

/// Messages of a run that must succeed.
fn said(directory: &Path, words: &str) -> String {
    let output = run(directory, words);
    let text = String::from_utf8(output.stderr).unwrap();
    assert!(output.status.success(), "{words}: {text}");
    text
}

fn random_bases(random: &mut Random, length: usize, letters: &[u8]) -> Vec<u8> {
    (0..length).map(|_| letters[random.random_range(0..letters.len())]).collect()
}

fn write_genome(directory: &Path, name: &str, contigs: &[(&str, &[u8])]) {
    let mut text = Vec::new();
    for (contig, bases) in contigs {
        text.extend_from_slice(format!(">{contig}\n").as_bytes());
        text.extend_from_slice(bases);
        text.push(b'\n');
    }
    fs::write(directory.join(name), text).unwrap();
}

/// One output of the word network, its scores multiplied by `factor`.
fn one_output(factor: f32, bias: f32, sigmoid: bool) -> Network {
    let words = word_network(&[("CACGTGAC", 1.0), ("GGGAAATT", 1.5)]).network.unwrap();
    let output =
        Dense { inputs: 2, outputs: 1, weights: vec![factor, factor * 0.7], bias: vec![bias * factor] };
    Network { output, sigmoid, ..words }
}

#[test]
fn runs_of_n_do_not_change_q_values() {
    let directory = simulated("100k", 1, 40);
    let at = directory.path();
    save("words", &one_output(1.0, 0.0, false), 24, at);
    let genome = fs::read_to_string(at.join("genome.fa")).unwrap();
    let mut bases: Vec<u8> = genome.lines().skip(1).flat_map(str::bytes).collect();
    for at in (1_000..91_000).step_by(3_000) {
        bases[at..at + 18].copy_from_slice(b"CACGTGACAAGGGAAATT");
    }
    let runs = [&bases[..], &vec![b'N'; 150_000]].concat();
    write_genome(at, "plain.fa", &[("sim1", &bases)]);
    write_genome(at, "runs.fa", &[("sim1", &runs)]);
    // Windows that end in one or two N count for the network unless no N is allowed.
    for (model, options) in [("motif", ""), ("words", "--max-n 0 --background-length 1000000")] {
        let scan = format!("scan -m {model}.onnx --qvalue 0.4 {options} --background plain.fa");
        let plain = stdout(at, &format!("{scan} plain.fa"));
        assert!(rows(&plain).len() > 5, "{model}");
        assert_eq!(stdout(at, &format!("{scan} runs.fa")), plain, "{model}");
        let said = said(at, &format!("{scan} runs.fa -o out.bed"));
        assert!(said.contains("; 150,000 windows with any N left out"), "{said}");
    }
    let said = said(at, "scan -m words.onnx runs.fa --all -o out.bed");
    assert!(said.contains("; 149,998 windows with more than 10% N left out"), "{said}");
}

/// Bases as a scan reads them: with lower case as N if it is masked.
fn has_too_much_n(window: &[u8], masked: bool, most: usize) -> bool {
    window
        .iter()
        .filter(|base| base.eq_ignore_ascii_case(&b'N') || (masked && base.is_ascii_lowercase()))
        .count()
        > most
}

#[test]
fn windows_with_too_much_n_are_in_no_output() {
    let directory = tempfile::tempdir().unwrap();
    let at = directory.path();
    let mut random = Random::seed_from_u64(11);
    save("pwm", &matrix(&mut random, 9), 9, at);
    save("words", &one_output(1.0, 0.0, false), 24, at);
    let mut contigs = Vec::new();
    for name in ["a", "b"] {
        let mut bases = random_bases(&mut random, 3_000, b"ACGT");
        for _ in 0..25 {
            let from = random.random_range(0..bases.len());
            let length = if random.random_bool(0.2) { 400 } else { random.random_range(1..12) };
            let end = (from + length).min(bases.len());
            match random.random_bool(0.5) {
                true => bases[from..end].fill(b'N'),
                false => bases[from..end].make_ascii_lowercase(),
            }
        }
        contigs.push((name, bases));
    }
    let parts: Vec<(&str, &[u8])> = contigs.iter().map(|(name, bases)| (*name, &bases[..])).collect();
    write_genome(at, "g.fa", &parts);
    fs::write(at.join("g.fa.fai"), "a\t3000\t3\t3000\t3001\nb\t3000\t3007\t3000\t3001\n").unwrap();
    for (model, window, fraction) in [
        ("pwm", 9, None),
        ("pwm", 9, Some(0.34)),
        ("words", 24, None),
        ("words", 24, Some(0.0)),
        ("words", 24, Some(1.0)),
    ] {
        for masked in [false, true] {
            let most = match (model, fraction) {
                ("pwm", None) => 0,
                (_, fraction) => (fraction.unwrap_or(0.1) * window as f64) as usize,
            };
            let mut want = BTreeSet::new();
            for (contig, bases) in &contigs {
                for (start, codes) in bases.windows(window).enumerate() {
                    if !has_too_much_n(codes, masked, most) {
                        want.insert(((*contig).to_owned(), start));
                    }
                }
            }
            let all = 2 * (3_000 - window + 1);
            assert_eq!(want.len() == all, fraction == Some(1.0), "{model}");
            let options = fraction.map_or(String::new(), |fraction| format!(" --max-n {fraction}"))
                + if masked { " --mask-lowercase" } else { "" };
            let scan = format!("scan -m {model}.onnx g.fa{options}");
            let place = |row: &Vec<&str>| (row[0].to_owned(), row[1].parse::<usize>().unwrap());
            let mut first = None;
            for (threads, chunk) in [(1, 65_536), (2, 700), (3, 40), (1, 7)] {
                let words = format!("{scan} --all -t {threads} --chunk-size {chunk} -o s.bed -o s.bedgraph");
                let said = said(at, &words);
                let left_out = all - want.len();
                let counted = said.split("; ").find(|part| part.contains("left out"));
                match left_out {
                    0 => assert_eq!(counted, None, "{said}"),
                    _ => {
                        let counted = counted.unwrap().replace(',', "");
                        assert!(counted.starts_with(&format!("{left_out} window")), "{words}: {counted}");
                    }
                }
                assert_eq!(said.contains("(or lower case)"), masked && left_out > 0, "{said}");
                let bed = fs::read_to_string(at.join("s.bed")).unwrap();
                let found: BTreeSet<_> = rows(&bed).iter().map(place).collect();
                assert!(found == want, "{words}");
                // Each bin of one base has the window with its centre there.
                let graph = fs::read_to_string(at.join("s.bedgraph")).unwrap();
                let centre = |(contig, at): (String, usize)| (contig, at - window / 2);
                let found: BTreeSet<_> = rows(&graph).iter().map(place).map(centre).collect();
                assert!(found == want, "{words}: bins");
                assert!(rows(&graph).iter().all(|row| row[2].parse::<usize>().unwrap() == place(row).1 + 1));
                assert!(*first.get_or_insert((bed.clone(), graph.clone())) == (bed, graph), "{words}");
            }
            let (bed, graph) = first.unwrap();
            for number in 1..=3 {
                let words = format!("{scan} --all --shard {number}/3 -o {number}.bed -o {number}.bedgraph");
                run_ok(at, &words);
            }
            assert!(stdout(at, "merge 1.bed 2.bed 3.bed") == bed, "{scan}: shards");
            assert!(stdout(at, "merge 1.bedgraph 2.bedgraph 3.bedgraph") == graph, "{scan}: shards");
            // Larger bins hold what their windows have.
            let binned = stdout(at, &format!("{scan} --format bedgraph --bin-size 50 --chunk-size 333"));
            let bins: BTreeSet<_> =
                rows(&binned).iter().map(|row| (row[0].to_owned(), place(row).1 / 50)).collect();
            let want_bins: BTreeSet<_> =
                want.iter().map(|(contig, at)| (contig.clone(), (at + window / 2) / 50)).collect();
            assert!(bins == want_bins, "{scan}: larger bins");
        }
    }
}

#[test]
fn what_is_left_out_of_reads_is_counted() {
    let directory = tempfile::tempdir().unwrap();
    let at = directory.path();
    let mut random = Random::seed_from_u64(3);
    save("pwm", &matrix(&mut random, 6), 6, at);
    let sam = "@HD\tVN:1.6\tSO:unsorted\n@SQ\tSN:c\tLN:1000\n\
               one\t0\tc\t1\t60\t20M\t*\t0\t0\tACGTACGTACNACGTACGTA\t*\n";
    fs::write(at.join("r.sam"), sam).unwrap();
    let bed = stdout(at, "scan -m pwm.onnx r.sam --all");
    let starts: Vec<usize> = rows(&bed).iter().map(|row| row[1].parse().unwrap()).collect();
    assert_eq!(starts, [0, 1, 2, 3, 4, 11, 12, 13, 14]);
    assert!(said(at, "scan -m pwm.onnx r.sam --all -o r.bed").contains("9 windows, 9 sites"));
    assert!(said(at, "scan -m pwm.onnx r.sam --all -o r.bed").contains("; 6 windows with any N left out"));
    assert_eq!(stdout(at, "scan -m pwm.onnx r.sam --all --max-n 1").lines().count(), 15);
}

#[test]
fn printed_scores_read_back_bit_for_bit() {
    let directory = tempfile::tempdir().unwrap();
    let at = directory.path();
    let mut random = Random::seed_from_u64(5);
    let bases = random_bases(&mut random, 4_000, b"ACGT");
    write_genome(at, "g.fa", &[("c", &bases)]);
    fs::write(at.join("s.fa"), format!(">w\n{}\n", String::from_utf8_lossy(&bases[..24]))).unwrap();
    let networks = [
        one_output(1.0, 0.1, false),
        one_output(3e-4, 0.3, false),
        one_output(1e9, 0.3, false),
        one_output(1.0, -14.0, true),
    ];
    for (number, network) in networks.iter().enumerate() {
        let name = format!("m{number}");
        save(&name, network, 24, at);
        let model = Model::open(at.join(format!("{name}.onnx"))).unwrap();
        let plan =
            WindowPlan { window: 24, stride: 1, strands: StrandChoice::Both, context: Context::Padding };
        let mut engines = open(&model, EngineKind::Kernel, Device::Cpu, 1, Workload::Contigs(plan)).unwrap();
        let mut scores = Scores::default();
        let chunk = Chunk::whole("c", encode(&bases).unwrap());
        engines[0].score(&chunk, &plan, &mut scores).unwrap();
        let want: Vec<u32> = scores
            .forward
            .iter()
            .zip(&scores.reverse)
            .map(|(forward, reverse)| if reverse > forward { reverse.to_bits() } else { forward.to_bits() })
            .collect();
        for (format, column) in [("bed", 6), ("tsv", 5), ("narrowpeak", 6), ("gff3", 5), ("bedgraph", 3)] {
            let sites = if format == "bedgraph" { "" } else { "--all" };
            let text = stdout(at, &format!("scan -m {name}.onnx g.fa {sites} --format {format}"));
            let rows = rows(&text);
            let found: Vec<u32> = rows[usize::from(format == "tsv")..]
                .iter()
                .map(|row| row[column].parse::<f32>().unwrap().to_bits())
                .collect();
            assert!(found == want, "{name} as {format}");
        }
        let scored = stdout(at, &format!("score -m {name}.onnx s.fa"));
        let scored = rows(&scored);
        let score: f32 = scored[1][1].parse().unwrap();
        assert_eq!(score.to_bits(), want[0], "{name} by score");
    }
}

#[test]
fn a_scaled_model_has_the_same_sites() {
    const FACTOR: f32 = 1.0 / 16_384.0;
    let directory = simulated("200k", 1, 100);
    let at = directory.path();
    let genome = fs::read_to_string(at.join("genome.fa")).unwrap();
    let mut bases: Vec<u8> = genome.lines().skip(1).flat_map(str::bytes).collect();
    for at in (1_000..190_000).step_by(3_000) {
        bases[at..at + 18].copy_from_slice(b"CACGTGACAAGGGAAATT");
    }
    write_genome(at, "genome.fa", &[("sim1", &bases)]);
    let mut random = Random::seed_from_u64(8);
    let pwm = matrix(&mut random, 8);
    let scaled = |network: &Network| {
        let Dense { inputs, outputs, weights, bias } = network.output.clone();
        let [weights, bias] = [weights, bias].map(|list| list.iter().map(|x| x * FACTOR).collect());
        Network { output: Dense { inputs, outputs, weights, bias }, ..network.clone() }
    };
    let words = one_output(1.0, -0.4, false);
    for (name, network, window, rate) in [("words", &words, 24, 0.5), ("pwm", &pwm, 8, 1.0)] {
        // Both files have the same name of the model, so that lines are the same.
        for (folder, network) in [("plain", network.clone()), ("small", scaled(network))] {
            fs::create_dir_all(at.join(folder)).unwrap();
            save(name, &network, window, &at.join(folder));
        }
        for options in
            ["--pvalue 1e-3", &format!("--qvalue {rate}"), "--pvalue 1e-3 --strand + --overlaps keep"]
        {
            let scan = |folder: &str| {
                stdout(
                    at,
                    &format!(
                        "scan -m {folder}/{name}.onnx genome.fa {options} --background-length 6000000 --format tsv"
                    ),
                )
            };
            let (plain, small) = (scan("plain"), scan("small"));
            let (plain, small) = (rows(&plain), rows(&small));
            assert!(plain.len() > 20 && plain.len() == small.len(), "{name} {options}");
            for (a, b) in plain[1..].iter().zip(&small[1..]) {
                assert_eq!((&a[..5], &a[6..]), (&b[..5], &b[6..]), "{name} {options}");
                let [a, b] = [a, b].map(|row| row[5].parse::<f32>().unwrap());
                assert_eq!(a * FACTOR, b);
            }
        }
    }
}

#[test]
fn the_better_of_two_overlapping_windows_is_kept_however_small_the_scores() {
    let directory = tempfile::tempdir().unwrap();
    let at = directory.path();
    save("prob", &one_output(1.0, -24.0, true), 24, at);
    let mut random = Random::seed_from_u64(21);
    let bases = random_bases(&mut random, 20_000, b"ACGT");
    write_genome(at, "g.fa", &[("c", &bases)]);
    let all = stdout(at, "scan -m prob.onnx g.fa --all");
    let score = |row: &Vec<&str>| row[6].parse::<f32>().unwrap();
    let start = |row: &Vec<&str>| row[1].parse::<usize>().unwrap();
    let all = rows(&all);
    let mut sorted: Vec<f32> = all.iter().map(score).collect();
    sorted.sort_by(f32::total_cmp);
    let threshold = sorted[sorted.len() * 4 / 5];
    assert!(threshold < 5e-5, "{threshold}");
    let mut hits: Vec<_> = all.iter().filter(|row| score(row) >= threshold).collect();
    hits.sort_by_key(|row| start(row));
    let found = stdout(at, &format!("scan -m prob.onnx g.fa --threshold {threshold} --site window"));
    let found: Vec<(usize, f32)> = rows(&found).iter().map(|row| (start(row), score(row))).collect();
    assert!(found.len() > 100 && found.windows(2).all(|pair| pair[1].0 - pair[0].0 >= 24));
    // Each site is a hit, and each hit overlaps a site that is as good.
    let of = |at: usize| hits.iter().find(|hit| start(hit) == at).map(|hit| score(hit));
    assert!(found.iter().all(|&(at, score)| of(at) == Some(score)));
    for hit in &hits {
        let covers = |&&(at, best): &&(usize, f32)| at.abs_diff(start(hit)) < 24 && best >= score(hit);
        assert!(found.iter().any(|site| covers(&site)), "{hit:?}");
    }
    // Its p-values are not all 1.
    let said = said(at, "scan -m prob.onnx g.fa --pvalue 1e-3 --background-length 1000000 -o p.bed");
    assert!(!said.contains("the same score"), "{said}");
    assert!(fs::read_to_string(at.join("p.bed")).unwrap().lines().count() > 5);
}

#[test]
fn the_p_value_of_a_site_is_that_of_its_strand() {
    let directory = tempfile::tempdir().unwrap();
    let at = directory.path();
    let mut random = Random::seed_from_u64(33);
    save("pwm", &matrix(&mut random, 8), 8, at);
    let words = one_output(1.0, 0.0, false);
    let spec = ModelSpec { window: 24, ..ModelSpec::from_network("words", &words) };
    Model::from_network(spec, words).unwrap().save(at.join("words.onnx")).unwrap();
    // Of much more A and G than T and C, so that the strands differ.
    let skewed = random_bases(&mut random, 60_000, b"AAAAAGGGGGCT");
    write_genome(at, "skewed.fa", &[("c", &skewed)]);
    let bases = random_bases(&mut random, 30_000, b"ACGT");
    write_genome(at, "g.fa", &[("c", &bases)]);
    for (model, length) in [("pwm", ""), ("words", "--background-length 2000000")] {
        let scan = |options: &str| {
            let text = stdout(
                at,
                &format!(
                    "scan -m {model}.onnx g.fa --background skewed.fa --overlaps keep --format tsv {length} {options}"
                ),
            );
            let rows = rows(&text);
            rows[1..].iter().map(|row| [row[1], row[4], row[5], row[6]].join(" ")).collect::<Vec<_>>()
        };
        let single: BTreeSet<String> =
            ["+", "-"].iter().flat_map(|strand| scan(&format!("--strand {strand} --pvalue 0.02"))).collect();
        let both = scan("--pvalue 0.02");
        assert!(both.len() > 100 && both.iter().any(|row| row.contains(" + ")), "{model}");
        assert!(both.iter().any(|row| row.contains(" - ")), "{model}");
        for row in &both {
            assert!(single.contains(row), "{model}: {row}");
        }
        // Each window with a low p-value on some strand is a site.
        let starts = |rows: &mut dyn Iterator<Item = &String>| -> BTreeSet<String> {
            rows.map(|row| row.split(' ').next().unwrap().to_owned()).collect()
        };
        assert_eq!(starts(&mut both.iter()), starts(&mut single.iter()), "{model}");
    }
}

#[test]
fn both_strands_have_the_sites_of_each() {
    let directory = simulated("60k", 2, 60);
    let at = directory.path();
    let mut random = Random::seed_from_u64(34);
    save("pwm", &matrix(&mut random, 8), 8, at);
    let palindrome = word_network(&[("CACGTG", 1.0)]).network.unwrap();
    save("palindrome", &palindrome, 16, at);
    let models = "-m pwm.onnx -m palindrome.onnx --threshold 1.2 --threshold 4.5";
    for options in ["", "--overlaps keep", "--site window --stride 3"] {
        let scan = |more: &str| stdout(at, &format!("scan {models} genome.fa {options} {more}"));
        let mut single: Vec<String> = Vec::new();
        for strand in ["+", "-"] {
            single.extend(scan(&format!("--strand {strand}")).lines().map(str::to_owned));
        }
        let both = scan("--both-strands");
        let mut sorted: Vec<&str> = both.lines().collect();
        sorted.sort_unstable();
        single.sort_unstable();
        assert_eq!(sorted, single, "{options}");
        let better = scan("");
        assert!(both.lines().count() > better.lines().count() + 20, "{options}");
        for more in ["-t 3 --chunk-size 700", "-t 1 --chunk-size 13", "-t 2 --resume -o a.bed"] {
            let text = scan(&format!("--both-strands {more}"));
            let text = if more.contains("-o") { fs::read_to_string(at.join("a.bed")).unwrap() } else { text };
            assert!(text == both, "{options} {more}");
        }
        for shard in 1..=3 {
            run_ok(
                at,
                &format!("scan {models} genome.fa {options} --both-strands --shard {shard}/3 -o {shard}.bed"),
            );
        }
        assert!(stdout(at, "merge 1.bed 2.bed 3.bed") == both, "{options}: merged");
    }
    let line = error_line(at, "scan -m pwm.onnx genome.fa --both-strands --qvalue 0.1");
    assert!(line.contains("--overlaps keep"), "{line}");
    let line = error_line(at, "scan -m pwm.onnx genome.fa --both-strands --strand + --threshold 1");
    assert!(line.contains("pwm is scored on one strand"), "{line}");
    let motif = motif_file();
    let scan = format!("scan -m {} genome.fa --qvalue 0.2 --overlaps keep --format tsv", motif.display());
    let (both, better) = (stdout(at, &format!("{scan} --both-strands")), stdout(at, &scan));
    assert!(rows(&both).len() >= rows(&better).len() && rows(&better).len() > 30, "{better}");
}

#[test]
fn overlapping_windows_of_a_short_last_chunk_are_kept() {
    let directory = tempfile::tempdir().unwrap();
    let at = directory.path();
    let mut random = Random::seed_from_u64(35);
    save("short", &matrix(&mut random, 8), 8, at);
    save("long", &word_network(&[("CACGTG", 1.0)]).network.unwrap(), 60, at);
    // The last chunk has windows of the short model, and is shorter than those of the long one.
    let bases = random_bases(&mut random, 65_536 + 40, b"ACGT");
    write_genome(at, "g.fa", &[("c", &bases)]);
    for options in ["--all", "--threshold -100 --overlaps keep"] {
        let lines = |models: &str| stdout(at, &format!("scan {models} g.fa {options}")).lines().count();
        assert_eq!(lines("-m short.onnx"), bases.len() - 7);
        assert_eq!(lines("-m short.onnx -m long.onnx"), 2 * bases.len() - 7 - 59, "{options}");
    }
}

#[test]
fn logits_are_the_scores_before_the_sigmoid() {
    let directory = simulated("60k", 1, 40);
    let at = directory.path();
    save("bounded", &one_output(3.0, 0.5, true), 24, at);
    save("plain", &one_output(3.0, 0.5, false), 24, at);
    let scan = |model: &str, options: &str| {
        stdout(at, &format!("scan -m {model}.onnx genome.fa --format tsv {options}"))
            .replace("bounded", "plain")
    };
    for engine in ["kernel", "reference"] {
        let rest = format!("--engine {engine} --threshold 2");
        let wanted = scan("plain", &rest);
        assert!(rows(&wanted).len() > 20, "{wanted}");
        assert_eq!(scan("bounded", &format!("{rest} --logit")), wanted, "{engine}");
        assert_eq!(scan("plain", &format!("{rest} --logit")), wanted, "{engine}");
        let words = said(at, &format!("scan -m plain.onnx genome.fa {rest} --logit -o p.bed"));
        assert!(words.contains("`score` ends in no sigmoid or softmax: --logit changes nothing"), "{words}");
        assert_eq!(rows(&scan("bounded", &rest)).len(), 1);
    }
    // What is stored of the probabilities does not hold for logits.
    run_ok(at, "calibrate bounded.onnx --background uniform --background-length 2000000 -o stored.onnx");
    let said = said(
        at,
        "scan -m stored.onnx genome.fa --pvalue 1e-3 --background-length 2000000 --logit -v -o l.bed",
    );
    assert!(said.contains("p-values made for this run"), "{said}");
    let page = stdout(at, "inspect bounded.onnx");
    assert!(page.contains("sigmoid; unbounded with --logit"), "{page}");
}

/// Three networks of one shape, with two outputs and without padding, as a.onnx, b.onnx and c.onnx.
fn save_folds(directory: &Path) {
    let mut random = Random::seed_from_u64(21);
    for name in ["a", "b", "c"] {
        let fold = network(&mut random, (4, 6), Padding::NONE, Pooling::Max, (None, 2));
        save(name, &fold, 15, directory);
    }
}

/// The mean of several models, and their standard deviation, at each reported site: as the models have them one by one.
#[test]
fn an_ensemble_says_how_far_its_members_lie_apart() {
    let directory = simulated("30k", 2, 20);
    let at = directory.path();
    save_folds(at);
    // By window, strand and output.
    let key = |row: &[&str], start: usize| {
        let output = row[3].split('.').next_back().unwrap();
        [row[0], row[start], row[4], output].join(":")
    };
    let scores_of = |name: &str| -> HashMap<String, f64> {
        let words = format!("scan -m {name}.onnx genome.fa --both-strands --all --format tsv -o -");
        let all = stdout(at, &words);
        rows(&all)[1..].iter().map(|row| (key(row, 1), row[5].parse().unwrap())).collect()
    };
    let each = ["a", "b", "c"].map(scores_of);
    let mut sorted: Vec<f64> =
        each[0].iter().map(|(key, x)| (x + each[1][key] + each[2][key]) / 3.0).collect();
    sorted.sort_by(f64::total_cmp);
    let threshold = sorted[sorted.len() - sorted.len() / 200];
    for more in ["", "--overlaps keep", "--chunk-size 1k -t 3", "--both-strands"] {
        let ensemble = "-m a.onnx -m b.onnx -m c.onnx --ensemble mean";
        let words = format!("scan {ensemble} genome.fa --threshold {threshold} {more} --format tsv -o -");
        let found = stdout(at, &words);
        let found = rows(&found);
        let column = |name: &str| found[0].iter().position(|other| *other == name);
        let (score, spread) = (column("score").unwrap(), column("score_sd").unwrap());
        let start = column("window_start").unwrap_or(1);
        assert!(found.len() > 50, "{words}: {} lines", found.len());
        for row in &found[1..] {
            let own: Vec<f64> = each.iter().map(|scores| scores[&key(row, start)]).collect();
            let mean = own.iter().sum::<f64>() / 3.0;
            let deviation = (own.iter().map(|x| (x - mean).powi(2)).sum::<f64>() / 2.0).sqrt();
            let shown = |at: usize| row[at].parse::<f64>().unwrap();
            assert!((shown(score) - mean).abs() < 1e-4, "{row:?}: {mean}");
            assert!((shown(spread) - deviation).abs() < 1e-4, "{row:?}: {deviation}");
        }
    }
    // A model by itself has no such column.
    let alone = stdout(at, &format!("scan -m a.onnx genome.fa --threshold {threshold} --format tsv -o -"));
    assert!(!alone.contains("score_sd"));
}

/// The sites of a mean are the same ones, in the same places, whichever member is named first.
#[test]
fn sites_of_an_ensemble_are_the_same_in_any_order() {
    let directory = simulated("30k", 2, 20);
    let at = directory.path();
    save_folds(at);
    let sites = |models: &str, name: &str| {
        let words = format!("scan {models} --ensemble mean genome.fa --pvalue 1e-2 --background uniform");
        stdout(at, &format!("{words} --background-length 100k --format tsv -o -")).replace(name, "mean")
    };
    let one = sites("-m a.onnx -m b.onnx", "a_mean");
    assert!(one.lines().count() > 20, "{}", one.lines().count());
    assert_eq!(one, sites("-m b.onnx -m a.onnx", "b_mean"));
}

#[test]
fn an_ensemble_is_of_models_with_the_same_outputs() {
    let directory = tempfile::tempdir().unwrap();
    save_folds(directory.path());
    let model = |name: &str| Model::open(directory.path().join(name)).unwrap();
    let plan = |model: Model| Planned::new(model, &PlanOptions::default()).unwrap();
    let swapped = model("b.onnx").with_outputs(&["score_1".to_owned(), "score_0".to_owned()]).unwrap();
    let error = Planned::mean(vec![plan(model("a.onnx")), plan(swapped)]).unwrap_err().to_string();
    assert!(error.contains("differ in their window, strands, outputs"), "{error}");
    let mut stranded = model("b.onnx");
    stranded.spec.strands = Strands::Symmetric;
    let mut single = model("a.onnx");
    single.spec.strands = Strands::Single;
    assert!(Planned::mean(vec![plan(single), plan(stranded)]).is_err());
}

/// Scores of sequences: at the best window of the mean, or on the strand with the better average.
#[test]
fn scores_of_an_ensemble_have_their_deviation() {
    let directory = tempfile::tempdir().unwrap();
    let at = directory.path();
    save_folds(at);
    let sequences =
        ["TTACCGGAAGTGATTTGCATGCATCCAGTA", "ACCGGAAGTG", "GGCATTCCGGATTACACGTTGACCATTACACAATTTCC", "AC"];
    let fasta = |sequences: &[&str]| -> String {
        sequences.iter().enumerate().map(|(i, bases)| format!(">s{i}\n{bases}\n")).collect()
    };
    fs::write(at.join("s.fa"), fasta(&sequences)).unwrap();
    let numbers = |words: &str| -> Vec<Vec<f64>> {
        let text = stdout(at, words);
        rows(&text)[1..].iter().map(|row| row[1..].iter().map(|x| x.parse().unwrap()).collect()).collect()
    };
    let ensemble = "score -m a.onnx -m b.onnx --ensemble mean";
    let header = stdout(at, &format!("{ensemble} s.fa"));
    let columns = "sequence\ta_mean.score_0\ta_mean.score_0_sd\ta_mean.score_1\ta_mean.score_1_sd\n";
    assert!(header.starts_with(columns), "{header}");
    // Of each window by itself, on each strand.
    let windows: Vec<(usize, &str)> = sequences
        .iter()
        .enumerate()
        .flat_map(|(i, bases)| {
            let last = bases.len().saturating_sub(15);
            (0..=last).map(move |start| (i, &bases[start..(start + 15).min(bases.len())]))
        })
        .collect();
    let letters: Vec<&str> = windows.iter().map(|(_, window)| *window).collect();
    fs::write(at.join("w.fa"), fasta(&letters)).unwrap();
    let by_strand = ["+", "-"].map(|strand| {
        ["a", "b"].map(|model| numbers(&format!("score -m {model}.onnx w.fa --strand {strand}")))
    });
    let close = |have: f64, want: f64| (have - want).abs() < 1e-4 || (have.is_nan() && want.is_nan());
    for (i, row) in numbers(&format!("{ensemble} s.fa")).iter().enumerate() {
        for output in 0..2 {
            let of = windows.iter().enumerate().filter(|(_, (sequence, _))| *sequence == i);
            let pairs = of.flat_map(|(w, _)| by_strand.each_ref().map(|[a, b]| (a[w][output], b[w][output])));
            let (a, b) = pairs.max_by(|x, y| (x.0 + x.1).total_cmp(&(y.0 + y.1))).unwrap();
            assert!(close(row[2 * output], (a + b) / 2.0), "{row:?}: {a} {b}");
            assert!(close(row[2 * output + 1], (a - b).abs() / 2f64.sqrt()), "{row:?}: {a} {b}");
        }
    }
    // The deviation of averages is that of the models' own averages.
    let averages = numbers(&format!("{ensemble} s.fa --average --strand +"));
    let own = ["a", "b"].map(|model| numbers(&format!("score -m {model}.onnx s.fa --average --strand +")));
    for (i, row) in averages.iter().enumerate() {
        let (a, b) = (own[0][i][1], own[1][i][1]);
        assert!(close(row[2], (a + b) / 2.0) && close(row[3], (a - b).abs() / 2f64.sqrt()), "{row:?}");
    }
}
