//! Cores and summits of sites: the bases that carry a score, on any engine and however the genome is cut.

use std::fs;
use std::path::Path;
use std::sync::atomic::AtomicBool;

use bindscan::dataset::peaks::HeldOut;
use bindscan::engine::planned::{PlanOptions, Planned};
use bindscan::engine::reference::ReferenceEngine;
use bindscan::genome_wide::{Rules, rank_places};
use bindscan::model::{Dense, Model, ModelSpec, Network, Padding, Pooling};
use bindscan::scores::Hit;
use bindscan::seq::chunk::Chunk;
use bindscan::seq::contig::Strand;
use bindscan::seq::window::{Context, StrandChoice, WindowPlan};
use bindscan::sites::contributions::{Contributions, Scratch};
use bindscan::sites::core::{Core, masking};
use rand::{RngExt, SeedableRng};
use rand_xoshiro::Xoshiro256PlusPlus as Random;

use crate::common::network::{network, save};
use crate::common::{run, run_ok, stdout};

/// The motif that networks look for, which is not its own reverse complement.
const WORD: &[u8] = b"GGATCACTTA";

fn codes(letters: &[u8]) -> Vec<u8> {
    letters.iter().map(|letter| b"ACGT".iter().position(|base| base == letter).unwrap_or(4) as u8).collect()
}

fn reverse_complement(letters: &[u8]) -> Vec<u8> {
    let complement = |letter: &u8| match letter {
        b'A' => b'T',
        b'C' => b'G',
        b'G' => b'C',
        _ => b'A',
    };
    letters.iter().rev().map(complement).collect()
}

fn bases(random: &mut Random, count: usize) -> Vec<u8> {
    (0..count).map(|_| b"ACGT"[random.random_range(0..4)]).collect()
}

/// A network whose first filter finds the word with much weight; the others are random, with little.
fn word_finder(random: &mut Random, padding: Padding, pooling: Pooling, hidden: Option<usize>) -> Network {
    let (filters, length) = (4, 12);
    let mut made = network(random, (filters, length), padding, pooling, (hidden, 1));
    made.weights.iter_mut().for_each(|weight| *weight *= 0.1);
    for (j, code) in codes(WORD).into_iter().enumerate() {
        for channel in 0..4 {
            made.weights[channel * length + j + 1] = if channel == usize::from(code) { 1.0 } else { -1.0 };
        }
    }
    made.biases = vec![-4.0, 0.0, 0.0, 0.0];
    let layer = made.hidden.as_mut().unwrap_or(&mut made.output);
    layer.weights.iter_mut().step_by(layer.inputs).for_each(|weight| *weight = 3.0);
    if hidden.is_some() {
        made.output.weights.iter_mut().for_each(|weight| *weight = weight.abs());
    }
    made
}

#[test]
fn contributions_and_masking_find_the_same_core() {
    let mut random = Random::seed_from_u64(3);
    let window = 60;
    for padding in [Padding::NONE, Padding::n(11)] {
        for (pooling, hidden) in [
            (Pooling::Max, None),
            (Pooling::Max, Some(6)),
            (Pooling::MaxAndAverage, None),
            (Pooling::MaxAndAverage, Some(6)),
        ] {
            let network = word_finder(&mut random, padding, pooling, hidden);
            let spec = ModelSpec { window, ..ModelSpec::from_network("words", &network) };
            let mut engine = ReferenceEngine::new(spec, network.clone());
            let contributions = Contributions::new(&network);
            for (context, strand) in [
                (Context::Padding, Strand::Forward),
                (Context::Padding, Strand::Reverse),
                (Context::Flank, Strand::Forward),
                (Context::Flank, Strand::Reverse),
            ] {
                let plan = WindowPlan { window, stride: 1, strands: StrandChoice::Both, context };
                let mut genome = bases(&mut random, 200);
                // A word that lies partly or wholly beside the window counts where the network sees it.
                let sees_flanks = context == Context::Flank && padding != Padding::NONE;
                let places = if sees_flanks { -10..window as i32 } else { 1..(window - WORD.len()) as i32 };
                let place = random.random_range(places);
                let word = if strand == Strand::Forward { WORD.to_vec() } else { reverse_complement(WORD) };
                let at = (70 + place) as usize;
                genome[at..at + WORD.len()].copy_from_slice(&word);
                let chunk = Chunk::whole("c", codes(&genome));
                let mut scores = Default::default();
                bindscan::engine::Engine::score(&mut engine, &chunk, &plan, &mut scores).unwrap();
                let of_strand = if strand == Strand::Forward { &scores.forward } else { &scores.reverse };
                let hit = Hit { start: 70, target: 0, score: of_strand[70], strand };
                let core = contributions.core(0, &chunk, &hit, &plan, &mut Scratch::default());
                let what = format!("{padding:?} {pooling:?} {hidden:?} {context:?} {strand:?} {place}");
                let (from, to) = (place, place + WORD.len() as i32);
                assert!(core.start + 1 >= from && core.end <= to + 1, "{what}: {core:?}");
                assert!(core.end - core.start >= 8, "{what}: {core:?}");
                assert!(core.summit.abs_diff((from + to) / 2) <= 1, "{what}: {core:?}");
                let other = masking(&mut engine, 0, &chunk, &hit, &plan).unwrap();
                assert!(core.summit.abs_diff(other.summit) <= 1, "{what}: {core:?} {other:?}");
                let apart = core.start.abs_diff(other.start).max(core.end.abs_diff(other.end));
                assert!(apart <= 2, "{what}: {core:?} {other:?}");
            }
        }
    }
}

#[test]
fn whole_contigs_are_judged_by_the_summits_of_sites() {
    let mut random = Random::seed_from_u64(7);
    let folder = tempfile::tempdir().unwrap();
    let window = 60;
    let network = word_finder(&mut random, Padding::NONE, Pooling::Max, None);
    save("words", &network, window, folder.path());
    let mut genome = bases(&mut random, 2_000);
    // All windows with the first word have it left of their middle, as the contig begins there.
    let places = [5, 700, 1_400];
    for at in places {
        genome[at..at + WORD.len()].copy_from_slice(WORD);
    }
    let summits: Vec<u64> = places.iter().map(|&at| (at + WORD.len() / 2) as u64).collect();
    let contigs = [HeldOut { name: "c".into(), codes: codes(&genome), summits: summits.clone() }];
    let rules = Rules { near: 2, places: 3, ..Rules::default() };
    let model = Model::find(folder.path().join("words.onnx")).unwrap();
    let planned = Planned::new(model, &PlanOptions::default()).unwrap();
    for threads in [1, 3] {
        let found = rank_places(&planned, &contigs, &rules, threads, &AtomicBool::new(false)).unwrap();
        let mut positions: Vec<u64> = found.iter().map(|place| place.position).collect();
        positions.sort_unstable();
        assert!(
            positions.iter().zip(&summits).all(|(a, b)| a.abs_diff(*b) <= 1),
            "{positions:?} {summits:?}"
        );
        assert!(found.iter().all(|place| place.right), "{found:?}");
    }
}

/// Bases in which a few short words come again and again, so that windows tie.
fn repetitive(random: &mut Random, count: usize) -> Vec<u8> {
    let words: [&[u8]; 5] = [WORD, b"A", b"CACACACA", b"GGATCTCTTA", b"N"];
    let mut made = Vec::new();
    while made.len() < count {
        made.extend_from_slice(words[random.random_range(0..words.len())]);
        made.extend(bases(random, 3));
    }
    made.truncate(count);
    made
}

#[test]
fn cores_are_the_same_with_and_without_memory_of_other_windows() {
    let mut random = Random::seed_from_u64(5);
    let window = 40;
    let mut unmoved = 0;
    for round in 0..60 {
        for padding in [Padding::NONE, Padding::n(11)] {
            for (pooling, hidden) in [
                (Pooling::Max, None),
                (Pooling::Max, Some(6)),
                (Pooling::Average, None),
                (Pooling::MaxAndAverage, Some(6)),
            ] {
                let mut network = word_finder(&mut random, padding, pooling, hidden);
                network.rectify = round % 4 != 0;
                let contributions = Contributions::new(&network);
                for context in [Context::Padding, Context::Flank] {
                    let plan = WindowPlan { window, stride: 1, strands: StrandChoice::Both, context };
                    let mut chunk = Chunk::whole("c", codes(&repetitive(&mut random, 130)));
                    if round % 3 == 0 {
                        (chunk.segment_start, chunk.segment_end) = (12, 117);
                    }
                    let (first, last) = if round % 3 == 0 { (12, 117 - 40) } else { (0, 130 - 40) };
                    let mut scratch = Scratch::default();
                    let mut start = first;
                    let mut before = None;
                    while start <= last {
                        let strand =
                            if random.random_range(0..8) == 0 { Strand::Reverse } else { Strand::Forward };
                        let hit = Hit { start, target: 0, score: 1.0, strand };
                        let core = contributions.core(0, &chunk, &hit, &plan, &mut scratch);
                        let alone = contributions.core(0, &chunk, &hit, &plan, &mut Scratch::default());
                        assert_eq!(core, alone, "{network:?} {context:?} {start}");
                        let place = (core.start_in(start), core.end_in(start));
                        unmoved += u64::from(before == Some(place));
                        before = Some(place);
                        // Forwards, and sometimes back.
                        start = (start + random.random_range(0..4)).saturating_sub(random.random_range(0..3));
                        start = start.max(first);
                    }
                }
            }
        }
    }
    assert!(unmoved > 10_000, "{unmoved}");
}

#[test]
fn a_core_is_the_stretch_that_stands_out() {
    let mut contributions = vec![0.1, -0.2, 0.1, 0.0, 2.0, 3.0, 0.5, 3.0, 2.0, -1.0, 0.2, 0.9, 0.1];
    let core = Core { start: 4, end: 9, summit: 6 };
    assert_eq!(Core::of(&contributions), Some(core));
    contributions.iter_mut().for_each(|contribution| *contribution *= 1e-30);
    assert_eq!(Core::of(&contributions), Some(core));
    assert_eq!(Core::of(&[0.0; 9]), None);
    assert_eq!(Core::of(&[-1.0; 4]), None);
    assert_eq!(Core::of(&[5.0, 0.0]), Some(Core { start: 0, end: 1, summit: 0 }));
    assert_eq!(Core::whole(9), Core { start: 0, end: 9, summit: 4 });
}

/// A genome with words, a model that finds them (`words.onnx`), another (`others.onnx`) and a matrix (`pwm.onnx`); the
/// places of the words' first bases.
fn written(at: &Path) -> Vec<(String, usize, char)> {
    let mut random = Random::seed_from_u64(17);
    let words = word_finder(&mut random, Padding::NONE, Pooling::Max, None);
    // One filter alone ties wherever its word lies in a window.
    let alone = Network {
        filters: 1,
        weights: words.weights[..48].to_vec(),
        biases: words.biases[..1].to_vec(),
        output: Dense { inputs: 1, outputs: 1, weights: vec![1.0], bias: vec![0.0] },
        ..words.clone()
    };
    save("words", &alone, 61, at);
    save("others", &word_finder(&mut random, Padding::n(11), Pooling::MaxAndAverage, Some(5)), 47, at);
    save("pwm", &crate::common::network::matrix(&mut random, 7), 7, at);
    let mut text = Vec::new();
    let mut places = Vec::new();
    for contig in ["a", "b"] {
        let mut genome = bases(&mut random, 9_000);
        for (i, at) in (300..8_800).step_by(401).enumerate() {
            let word = if i % 2 == 0 { WORD.to_vec() } else { reverse_complement(WORD) };
            genome[at..at + WORD.len()].copy_from_slice(&word);
            places.push((contig.to_owned(), at, if i % 2 == 0 { '+' } else { '-' }));
        }
        text.extend_from_slice(format!(">{contig}\n").as_bytes());
        text.extend_from_slice(&genome);
        text.push(b'\n');
    }
    fs::write(at.join("g.fa"), text).unwrap();
    fs::write(at.join("g.fa.fai"), "a\t9000\t3\t9000\t9001\nb\t9000\t9007\t9000\t9001\n").unwrap();
    places
}

fn fields(text: &str) -> Vec<Vec<&str>> {
    text.lines().map(|line| line.split('\t').collect()).collect()
}

#[test]
fn sites_lie_on_the_words_and_windows_around_them() {
    let directory = tempfile::tempdir().unwrap();
    let at = directory.path();
    let places = written(at);
    let scan = "scan -m words.onnx g.fa --threshold 5";
    let peaks = stdout(at, &format!("{scan} --format narrowpeak"));
    let windows = stdout(at, &format!("{scan} --format narrowpeak --site window"));
    let bed = stdout(at, scan);
    let (peaks, windows, bed) = (fields(&peaks), fields(&windows), fields(&bed));
    assert_eq!((peaks.len(), windows.len(), bed.len()), (places.len(), places.len(), places.len()));
    let number = |text: &str| text.parse::<usize>().unwrap();
    for (((peak, window), bed), (contig, place, strand)) in peaks.iter().zip(&windows).zip(&bed).zip(&places)
    {
        assert_eq!((peak[0], peak[5]), (contig.as_str(), strand.to_string().as_str()));
        assert_eq!(peak[..6], bed[..6]);
        let (start, end, summit) = (number(peak[1]), number(peak[2]), number(peak[1]) + number(peak[9]));
        assert!(start + 1 >= *place && end <= place + WORD.len() + 1, "{peak:?}, {place}");
        assert!(summit.abs_diff(place + WORD.len() / 2) <= 1, "{peak:?}, {place}");
        // Of the windows that hold the word, all of which have the same score, the one around it.
        let (from, to) = (number(window[1]), number(window[2]));
        assert_eq!(to - from, 61);
        assert_eq!(from + number(window[9]), summit);
        assert!(number(window[9]).abs_diff(30) <= 1, "{window:?}");
    }
    // Scores differ in their last digits.
    let of_reference = stdout(at, &format!("{scan} --format narrowpeak --engine reference"));
    for (row, other) in peaks.iter().zip(fields(&of_reference)) {
        assert_eq!((&row[..4], row[5], row[9]), (&other[..4], other[5], other[9]));
    }
    let all = stdout(at, "scan -m words.onnx g.fa --threshold 5 --overlaps keep");
    assert!(fields(&all).iter().all(|row| number(row[2]) - number(row[1]) == 61));
    let both = run(at, &format!("{scan} --overlaps keep --site core"));
    assert!(!both.status.success() && String::from_utf8_lossy(&both.stderr).contains("--site core"));
}

#[test]
fn the_same_cores_for_any_threads_chunks_and_shards() {
    let directory = tempfile::tempdir().unwrap();
    let at = directory.path();
    written(at);
    // So low that sites lie side by side, and windows of the models that end behind each other.
    let scan =
        "scan -m words.onnx -m others.onnx -m pwm.onnx g.fa --threshold 1 --threshold 1 --threshold 0.5";
    let regions = "-r a:200-4000 -r a:4010-4090 -r b";
    for options in [
        "",
        "--site window",
        "--stride 3",
        regions,
        "--context flank --format tsv",
        "--context flank --site window --stride 2",
        &format!("--context flank --format tsv {regions}"),
    ] {
        let want = stdout(at, &format!("{scan} {options} -t 1"));
        let rows: Vec<_> = fields(&want).into_iter().filter(|row| row[0] != "contig").collect();
        assert!(rows.len() > 300, "{options}: {}", rows.len());
        let place = |row: &Vec<&str>| (row[0].to_owned(), row[1].parse::<u64>().unwrap());
        assert!(rows.is_sorted_by_key(place), "{options}");
        for (threads, chunk) in [(1, 37), (2, 61), (3, 97), (2, 700), (2, 4_001)] {
            let found = stdout(at, &format!("{scan} {options} -t {threads} --chunk-size {chunk}"));
            assert!(found == want, "{options} -t {threads} --chunk-size {chunk}");
        }
        if options.contains(regions) {
            continue;
        }
        for shards in [2, 7] {
            let format = if options.contains("tsv") { "tsv" } else { "bed" };
            let parts: Vec<String> = (1..=shards).map(|i| format!("{i}.{format}")).collect();
            for (i, part) in (1..).zip(&parts) {
                run_ok(at, &format!("{scan} {options} --shard {i}/{shards} -o {part} --chunk-size 500"));
            }
            let merged = stdout(at, &format!("merge {}", parts.join(" ")));
            assert!(merged == want, "{options}: {shards} shards");
        }
    }
    // One of the models alone has the same sites.
    let mine = stdout(at, "scan -m others.onnx g.fa --threshold 1");
    let all = stdout(at, scan);
    let of_it: String =
        all.lines().filter(|line| line.contains("\tothers\t")).map(|line| format!("{line}\n")).collect();
    assert!(mine == of_it);
}
