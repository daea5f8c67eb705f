//! `bindscan motifs`: sites of filters by both methods, first layers of exported networks, and likeness to known motifs.

use std::fs;
use std::path::Path;

use crate::common::html::elements;
use crate::common::{error_line, gzip, motif_file, run, simulated, stdout, stdout_of_input};
use bindscan::model::motif::similarity::Database;
use bindscan::model::motif::{self, Motif};
use bindscan::model::onnx::recognize::Transfer;
use bindscan::model::{Model, bundled};
use bindscan::motifs::sequences::Sequences;
use bindscan::motifs::sites::{Learned, Method, Search, learn};
use bindscan::motifs::{Filter, filters, without_complements};
use bindscan::seq::alphabet::{encode, reverse_complement_into};
use rand::{RngExt, SeedableRng};
use rand_xoshiro::Xoshiro256PlusPlus;

fn exported(name: &str) -> Model {
    Model::open(Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/data/pytorch").join(name)).unwrap()
}

/// Random letters with an N now and then, `count` sequences of `length` bases, as FASTA.
fn fasta(count: usize, length: usize) -> String {
    let mut rng = Xoshiro256PlusPlus::seed_from_u64(5);
    let mut text = String::new();
    for rank in 0..count {
        let letter = |_| b"ACGT"[rng.random_range(0..4)];
        let mut letters: Vec<u8> = (0..length).map(letter).collect();
        if rank % 3 == 0 {
            letters[length / 2] = b'N';
        }
        text += &format!(">s{rank}\n{}\n", String::from_utf8(letters).unwrap());
    }
    text
}

/// Sites of a filter by the definitions: their bases, as the filter reads them.
fn sites(filter: &Filter, sequences: &[Vec<u8>], method: Method) -> Vec<Vec<u8>> {
    let length = filter.length();
    let sum = |window: &[u8]| {
        let each = filter.weights.iter().zip(window).map(|(column, &code)| column[usize::from(code)]);
        filter.bias + each.sum::<f32>()
    };
    let placed = |codes: &Vec<u8>| -> Vec<(f32, Vec<u8>)> {
        let mut reversed = Vec::new();
        reverse_complement_into(codes, &mut reversed);
        // The reverse strand from its end on: the order of the places on the forward strand.
        let (forward, reverse) = (codes.windows(length), reversed.windows(length).rev());
        let clear = forward.chain(reverse).filter(|window| window.iter().all(|&code| code < 4));
        clear.map(|window| (sum(window), window.to_vec())).collect()
    };
    let all: Vec<Vec<(f32, Vec<u8>)>> = sequences.iter().map(placed).collect();
    let value = |sum: f32| if filter.transfer == Transfer::Exponential { sum.exp() } else { sum };
    let highest = all.iter().flatten().map(|place| value(place.0)).fold(f32::MIN, f32::max);
    let places: Vec<(f32, Vec<u8>)> = match method {
        Method::KooEddy if highest <= 0.0 => Vec::new(),
        Method::KooEddy => all.into_iter().flatten().filter(|place| value(place.0) > highest / 2.0).collect(),
        Method::DeepBind => {
            let first = |places: Vec<(f32, Vec<u8>)>| {
                places.into_iter().reduce(|best, place| if place.0 > best.0 { place } else { best })
            };
            all.into_iter().filter_map(first).filter(|place| value(place.0) > 0.0).collect()
        }
    };
    places.into_iter().map(|place| place.1).collect()
}

fn count(sites: &[Vec<u8>], length: usize) -> Vec<[f64; 4]> {
    let mut counts = vec![[0.0; 4]; length];
    for site in sites {
        counts.iter_mut().zip(site).for_each(|(column, &code)| column[usize::from(code)] += 1.0);
    }
    counts
}

#[test]
fn sites_are_those_of_the_definitions() {
    let directory = tempfile::tempdir().unwrap();
    let path = directory.path().join("sequences.fa");
    let text = fasta(40, 90);
    fs::write(&path, &text).unwrap();
    let codes: Vec<Vec<u8>> =
        text.lines().skip(1).step_by(2).map(|line| encode(line.as_bytes()).unwrap()).collect();
    let (name, bytes) = bundled::find("GABPA").unwrap();
    let models = [Model::from_bytes(name, bytes).unwrap(), exported("exponential.dynamo.onnx")];
    for model in models {
        let (filters, _) = without_complements(filters(&model).unwrap());
        let filters = &filters[..filters.len().min(12)];
        let sequences = Sequences::open(&path, None, &Default::default(), &Default::default()).unwrap();
        for method in [Method::KooEddy, Method::DeepBind] {
            let search = Search { method, both_strands: true, piece: 1000 };
            let learned = learn(filters, &sequences, &search).unwrap();
            assert!(learned.iter().any(|learned| learned.sites > 1));
            for (Learned { sites: found, counts, .. }, filter) in learned.iter().zip(filters) {
                let want = sites(filter, &codes, method);
                assert_eq!(*found, want.len() as u64, "{method:?}, filter {}", filter.rank);
                assert_eq!(*counts, count(&want, filter.length()), "{method:?}, filter {}", filter.rank);
            }
        }
    }
}

#[test]
fn a_first_layer_is_read_whoever_exported_it() {
    let close = |a: &Filter, b: &Filter| {
        let pairs = a.weights.iter().flatten().zip(b.weights.iter().flatten());
        a.rank == b.rank
            && (a.length(), a.transfer) == (b.length(), b.transfer)
            && pairs.chain([(&a.bias, &b.bias)]).all(|(x, y)| (x - y).abs() < 1e-5)
    };
    let nets = [
        ("deep", 4, 5, Transfer::Proportional),
        ("exponential", 8, 15, Transfer::Exponential),
        ("residual", 6, 7, Transfer::Proportional),
        ("strided", 8, 9, Transfer::Proportional),
        ("tasks", 8, 8, Transfer::Proportional),
        ("normalised", 6, 9, Transfer::Proportional),
        ("image", 5, 6, Transfer::Proportional),
        ("last", 4, 5, Transfer::Proportional),
    ];
    for (name, count, length, transfer) in nets {
        let [script, dynamo] = ["torchscript", "dynamo"].map(|dialect| {
            filters(&exported(&format!("{name}.{dialect}.onnx")))
                .unwrap_or_else(|why| panic!("{name} {dialect}: {why}"))
        });
        assert_eq!(
            (script.len(), script[0].length(), script[0].transfer),
            (count, length, transfer),
            "{name}"
        );
        assert!(script.iter().zip(&dynamo).all(|(a, b)| close(a, b)) && dynamo.len() == count, "{name}");
    }
}

#[derive(serde::Deserialize)]
struct Oracle {
    targets: Vec<Vec<[f64; 4]>>,
    queries: Vec<Vec<[f64; 4]>>,
    both: Compared,
    forward: Compared,
}

#[derive(serde::Deserialize)]
struct Compared {
    p: Vec<Vec<f64>>,
    offset: Vec<Vec<i64>>,
    overlap: Vec<Vec<usize>>,
}

/// `scripts/regenerate tomtom` writes the values. memelite takes the median by bins, which shifts a few scores by a step.
#[test]
fn p_values_are_those_of_memelite() {
    let oracle: Oracle = serde_json::from_str(include_str!("../data/memelite_tomtom.json")).unwrap();
    let motif = |(rank, counts): (usize, &Vec<[f64; 4]>)| Motif {
        id: rank.to_string(),
        counts: counts.clone(),
        ..Motif::default()
    };
    let targets: Vec<Motif> = oracle.targets.iter().enumerate().map(motif).collect();
    for (both_strands, want) in [(true, &oracle.both), (false, &oracle.forward)] {
        let database = Database::new(&targets, both_strands);
        let (mut differences, mut placed, mut all) = (Vec::new(), 0, 0);
        for (query, counts) in oracle.queries.iter().enumerate() {
            for found in database.compare(&motif((query, counts))) {
                let theirs = want.p[query][found.target];
                differences.push((found.p - theirs).abs() / theirs.max(1e-14));
                all += 1;
                placed += usize::from(
                    (found.offset, found.overlap)
                        == (want.offset[query][found.target], want.overlap[query][found.target]),
                );
            }
        }
        assert_eq!(all, oracle.queries.len() * targets.len());
        differences.sort_by(f64::total_cmp);
        let at = |share: f64| differences[((all - 1) as f64 * share) as usize];
        assert!(at(0.5) < 1e-6 && at(0.95) < 0.02 && at(1.0) < 0.2, "{} {} {}", at(0.5), at(0.95), at(1.0));
        assert!(placed as f64 > 0.97 * all as f64, "{placed} of {all} placed alike");
    }
}

/// True if two motifs have nearly the same probabilities.
fn alike(a: &Motif, b: &Motif) -> bool {
    let shares = |motif: &Motif| -> Vec<f64> {
        motif
            .counts
            .iter()
            .flat_map(|column| column.map(|count| count / column.iter().sum::<f64>()))
            .collect()
    };
    a.width() == b.width() && shares(a).iter().zip(shares(b)).all(|(x, y)| (x - y).abs() < 0.15)
}

#[test]
fn a_matrix_shows_the_motif_that_it_is_whatever_the_route() {
    let directory = simulated("200k", 2, 300);
    let at = directory.path();
    let database = motif_file();
    let words = format!(
        "motifs motif.onnx --sequences genome.fa --compare {} --matches matches.tsv --report sheet.html --logos logos",
        database.display()
    );
    let meme = stdout(at, &format!("{words} -t 1"));
    let [found] = &motif::parse("meme", meme.as_bytes()).unwrap()[..] else { panic!("{meme}") };
    let [known] = &motif::open(&database).unwrap()[..] else { panic!() };
    assert_eq!((&*found.id, &*found.name), ("filter_0", &*known.id));
    assert!(alike(found, known), "{meme}");
    assert!(found.sites() >= 250.0);

    let table = fs::read_to_string(at.join("matches.tsv")).unwrap();
    let [header, row] = table.lines().collect::<Vec<_>>()[..] else { panic!("{table}") };
    let fields: Vec<&str> = row.split('\t').collect();
    assert_eq!(
        (header.split('\t').count(), fields[0], fields[1], fields[9]),
        (11, "filter_0", &*known.id, "+")
    );
    assert!(fields[3].parse::<f64>().unwrap() < 1e-6, "{row}");

    let page = fs::read_to_string(at.join("sheet.html")).unwrap();
    assert_eq!(elements(&page).iter().filter(|name| *name == "svg").count(), 2);
    assert!(page.contains(&known.id) && page.contains(&format!("Filters of {}", known.id)));
    let logo = fs::read_to_string(at.join("logos/filter_0.svg")).unwrap();
    assert!(logo.starts_with("<svg") && logo.contains("filter_0"));

    assert_eq!(stdout(at, &format!("{words} -t 3")), meme);
    let genome = fs::read(at.join("genome.fa")).unwrap();
    fs::write(at.join("genome.fa.gz"), gzip(&genome)).unwrap();
    assert_eq!(stdout(at, "motifs motif.onnx --sequences genome.fa.gz"), meme);
    assert_eq!(stdout_of_input(at, "motifs motif.onnx --sequences -", &genome), meme);
    // One site each 1,000 bases at the most.
    let best = stdout(at, "motifs motif.onnx --sequences genome.fa --method deepbind --quiet");
    let [best] = &motif::parse("meme", best.as_bytes()).unwrap()[..] else { panic!("{best}") };
    assert!((190.0..=200.0).contains(&best.sites().round()));
}

#[test]
fn peaks_and_tables_are_sequences_too() {
    let directory = simulated("100k", 1, 200);
    let at = directory.path();
    let run = |from: &str| stdout(at, &format!("motifs motif.onnx --method deepbind --quiet {from}"));
    let of_peaks = run("--sequences truth.bed --genome genome.fa --width 61");
    let of_peaks = &motif::parse("meme", of_peaks.as_bytes()).unwrap()[0];
    assert!((190.0..=200.0).contains(&of_peaks.sites().round()));
    fs::write(at.join("table.tsv"), "seq\tbound\nACGTACGTACGTACGTACGTACGTACGT\t1\n").unwrap();
    assert!(run("--sequences table.tsv").starts_with("MEME version 4"));
}

#[test]
fn dead_filters_and_complements_are_counted() {
    let directory = tempfile::tempdir().unwrap();
    let at = directory.path();
    let site = format!(">a\n{0}CACCGGAAGTG{0}\n", "A".repeat(20));
    fs::write(at.join("site.fa"), site).unwrap();
    let output = run(at, "motifs GABPA --sequences site.fa -o out.meme --report sheet.html");
    let said = String::from_utf8(output.stderr).unwrap();
    assert!(output.status.success(), "{said}");
    let (name, bytes) = bundled::find("GABPA").unwrap();
    let all = filters(&Model::from_bytes(name, bytes).unwrap()).unwrap();
    let (kept, complements) = without_complements(all.clone());
    assert_eq!(2 * complements, all.len());
    assert!(said.contains(&format!("{} filters, ", kept.len())), "{said}");
    assert!(said.contains(&format!("{complements} filters more are reverse complements")), "{said}");
    assert!(said.contains("dead, no sequence activates them"), "{said}");
    let alive = motif::open(at.join("out.meme")).unwrap();
    assert!(!alive.is_empty() && alive.len() < kept.len());
    assert!(alive.iter().all(|motif| motif.sites() >= 1.0));
    elements(&fs::read_to_string(at.join("sheet.html")).unwrap());

    // A model of one strand reads one strand.
    let rna = stdout(at, "motifs RNCMPT00001 --sequences site.fa --quiet");
    assert!(rna.contains("ALPHABET= ACGU") && rna.contains("strands: +\n"));
}

#[test]
fn what_cannot_be_done_is_said() {
    let directory = tempfile::tempdir().unwrap();
    let at = directory.path();
    fs::write(at.join("short.fa"), ">a\nACGT\n>b\nNNNNNNNNNNNNNNNNNNNNNNNNNNNNNNNN\n").unwrap();
    fs::write(at.join("peaks.bed"), "chr1\t1\t100\n").unwrap();
    for (words, message) in [
        ("GABPA --sequences short.fa", "free of N"),
        ("GABPA --sequences peaks.bed", "--genome"),
        ("GABPA --sequences none.fa", "none.fa"),
        ("GABPA --sequences short.fa --trim 3", "0 to 2 bits"),
        ("GABPA --sequences short.fa --strand -", "use + or both"),
        ("GABPA --sequences short.fa --compare short.fa", "short.fa"),
    ] {
        let line = error_line(at, &format!("motifs {words} -o out.meme"));
        assert!(line.contains(message), "{line}");
        assert!(!at.join("out.meme").exists());
    }
    let usage = run(at, "motifs GABPA --sequences short.fa --matches out.tsv");
    assert_eq!(usage.status.code(), Some(2));
}
