//! The protocol: the same model whatever the number of threads and interruptions, and clear words where there is none.

use std::path::Path;
use std::sync::Mutex;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::Duration;

use bindscan::dataset::metric;
use bindscan::dataset::{Dataset, TargetKind};
use bindscan::engine::reference;
use bindscan::model::{Alphabet, Dense, Model, Network, Padding, Pooling, Strands};
use bindscan::train::deepbind::distil::Distillation;
use bindscan::train::deepbind::ensemble::merge;
use bindscan::train::deepbind::search;
use bindscan::train::deepbind::trained;
use bindscan::train::{Outcome, Progress, Protocol, Resources};
use bindscan::train::{Recipe, Space};
use bindscan::{Error, Result};
use rand::{RngExt, SeedableRng};
use rand_xoshiro::Xoshiro256PlusPlus;

const MOTIF: [u8; 8] = [2, 0, 1, 3, 1, 0, 2, 2];

/// Random sequences of 30 to 40 bases; the first half has the motif somewhere, on either strand.
fn dataset(count: usize, seed: u64) -> Dataset {
    let mut rng = Xoshiro256PlusPlus::seed_from_u64(seed);
    let mut sequences = |with_motif: bool| -> Vec<Vec<u8>> {
        let mut one = |_| {
            let mut codes: Vec<u8> = (0..rng.random_range(30..41)).map(|_| rng.random_range(0..4)).collect();
            if with_motif {
                let mut motif = MOTIF.to_vec();
                if rng.random() {
                    motif.clear();
                    bindscan::seq::alphabet::reverse_complement_into(&MOTIF, &mut motif);
                }
                let at = rng.random_range(0..codes.len() - motif.len());
                codes[at..at + motif.len()].copy_from_slice(&motif);
            }
            codes
        };
        (0..count).map(&mut one).collect()
    };
    let (positives, negatives) = (sequences(true), sequences(false));
    Dataset::from_classes(positives, negatives).unwrap()
}

fn protocol(recipe: Recipe) -> Protocol {
    Protocol {
        space: Space {
            recipe,
            filters: 6,
            filter_length: 10,
            padded: true,
            strands: Strands::Both,
            outputs: 1,
            batch: 16,
            pooling: None,
            hidden: None,
            adam: None,
        },
        trials: 3,
        folds: 3,
        steps: 300,
        checkpoints: 3,
        finals: 2,
        distillation: None,
        motifs: Vec::new(),
        seed: 5,
    }
}

static NEVER: AtomicBool = AtomicBool::new(false);

fn resources(threads: usize, state: Option<&Path>) -> Resources<'_> {
    Resources { threads, budget: None, state, cancel: &NEVER }
}

fn run(dataset: &Dataset, protocol: &Protocol, threads: usize) -> Result<Outcome> {
    search::run(dataset, protocol, &resources(threads, None), &|_| ())
}

fn bytes(dataset: &Dataset, protocol: &Protocol, outcome: &Outcome) -> Vec<u8> {
    trained::model("test", Alphabet::Dna, dataset, protocol, outcome).unwrap().to_bytes()
}

#[test]
fn finds_the_motif_and_gives_the_same_bytes_on_any_number_of_threads() {
    let data = dataset(150, 1);
    for recipe in [Recipe::Tuned, Recipe::Published] {
        let mut protocol = protocol(recipe);
        protocol.space.adam = Some(true);
        let one = run(&data, &protocol, 1).unwrap();
        let three = run(&data, &protocol, 3).unwrap();
        assert_eq!(bytes(&data, &protocol, &one), bytes(&data, &protocol, &three));
        let other = run(&data, &Protocol { seed: 6, ..protocol.clone() }, 2).unwrap();
        assert_ne!(one.network, other.network);
        if recipe == Recipe::Tuned {
            let held_out = dataset(200, 2);
            let scores: Vec<f32> =
                held_out.sequences.iter().map(|codes| score(&one.network, codes)).collect();
            let auc = metric::auc(&scores, &held_out.targets).unwrap();
            assert!(auc > 0.95, "held-out AUC {auc}");
            assert!(one.trials[one.chosen].best().unwrap().1 > 0.95);
        }
    }
}

/// Consensus of a filter, and of its reverse complement.
fn consensus(network: &Network, filter: usize) -> [Vec<u8>; 2] {
    let length = network.filter_length;
    let weight = |base: u8, j: usize| network.weights[(filter * 4 + usize::from(base)) * length + j];
    let best = |j| (0..4u8).reduce(|a, b| if weight(b, j) > weight(a, j) { b } else { a }).unwrap();
    let forward: Vec<u8> = (0..length).map(best).collect();
    let mut reverse = Vec::new();
    bindscan::seq::alphabet::reverse_complement_into(&forward, &mut reverse);
    [forward, reverse]
}

#[test]
fn the_motif_of_the_bound_sequences_is_a_filter() {
    let data = dataset(150, 1);
    let reverse = {
        let mut codes = Vec::new();
        bindscan::seq::alphabet::reverse_complement_into(&MOTIF, &mut codes);
        codes
    };
    let mut random = data.clone();
    random.targets.iter_mut().enumerate().for_each(|(i, target)| *target = (i % 2) as f32);
    for strands in [Strands::Symmetric, Strands::Both] {
        for distilled in [false, true] {
            let mut protocol = protocol(Recipe::Tuned);
            (protocol.trials, protocol.space.strands) = (1, strands);
            (protocol.space.hidden, protocol.space.pooling) = (Some(0), Some(Pooling::Max));
            protocol.distillation = distilled.then_some(Distillation {
                filters: 4,
                length: 10,
                padded: true,
                sequences: 500,
                steps: 300,
            });
            let outcome = run(&data, &protocol, 2).unwrap();
            let motif = outcome.motif.unwrap();
            assert!(motif.sites > 130.0 && motif.sites <= 150.0, "{motif:?}");
            assert!((motif.weight - 4.0 * motif.sites / (motif.sites + 30.0)).abs() < 1e-9, "{motif:?}");
            let halves = if strands == Strands::Symmetric { 2 } else { 1 };
            let filters = outcome.network.filters / halves;
            assert_eq!(filters, if distilled { 4 } else { 13 });
            let found = consensus(&outcome.network, filters - 1);
            let holds = |word: &[u8]| found[0].windows(word.len()).any(|part| part == word);
            assert!(holds(&MOTIF) || holds(&reverse), "{found:?}");
            // The score is the network's and the motif's, whichever strand is read.
            let other = run(&random, &protocol, 1).unwrap().motif;
            assert!(other.is_none_or(|other| other.sites < 60.0), "{other:?}");
        }
    }
    // Networks with a hidden layer, and those of the published recipe, stay as they are.
    let mut hidden = protocol(Recipe::Tuned);
    hidden.space.hidden = Some(4);
    assert_eq!(run(&data, &hidden, 1).unwrap().motif, None);
    assert_eq!(run(&data, &protocol(Recipe::Published), 1).unwrap().motif, None);
}

#[test]
fn a_known_motif_counts_as_sites() {
    let data = dataset(12, 3);
    let mut protocol = protocol(Recipe::Tuned);
    (protocol.trials, protocol.folds) = (1, 2);
    (protocol.space.hidden, protocol.space.pooling) = (Some(0), Some(Pooling::Max));
    let alone = run(&data, &protocol, 1).unwrap().motif;
    let mut known = random_network(1, None, Pooling::Max, &mut Xoshiro256PlusPlus::seed_from_u64(1));
    known.filter_length = MOTIF.len();
    let word = |base| MOTIF.iter().map(move |code| if *code == base { 1.9 } else { -5.0 });
    known.weights = (0..4u8).flat_map(word).collect();
    protocol.motifs = vec![known];
    let outcome = run(&data, &protocol, 1).unwrap();
    let motif = outcome.motif.unwrap();
    assert!(motif.weight > 0.5, "{motif:?}");
    assert!(alone.is_none_or(|alone| alone.weight < motif.weight), "{alone:?} {motif:?}");
}

/// Better strand's score by the reference.
#[test]
fn a_symmetric_network_scores_both_strands_alike() {
    let data = dataset(60, 11);
    let mut protocol = protocol(Recipe::Tuned);
    protocol.space.strands = Strands::Symmetric;
    (protocol.space.hidden, protocol.space.pooling) = (Some(0), Some(Pooling::Max));
    let outcome = run(&data, &protocol, 1).unwrap();
    assert!(outcome.trials[outcome.chosen].best().unwrap().1 > 0.9);
    let Network { filters, filter_length, weights, .. } = &outcome.network;
    assert_eq!(*filters, 2 * (2 * 6 + 1), "two fits and the motif, each filter both ways round");
    assert!(outcome.finals.iter().all(|auc| auc.unwrap() > 0.9));
    let turned: Vec<f32> = weights[..4 * filter_length].iter().rev().copied().collect();
    assert_eq!(weights[filters / 2 * 4 * filter_length..][..4 * filter_length], turned);
    let mut scores = Vec::new();
    for codes in &data.sequences {
        let mut reverse = Vec::new();
        bindscan::seq::alphabet::reverse_complement_into(codes, &mut reverse);
        let score = |codes: &[u8]| reference::window_scores(&outcome.network, codes, true)[0] as f32;
        let (one, other) = (score(codes), score(&reverse));
        assert!((one - other).abs() < 1e-5 * one.abs().max(1.0), "{one} {other}");
        scores.push(one);
    }
    // The result is the network that was judged.
    let auc = metric::auc(&scores, &data.target_column(0)).unwrap();
    assert!(auc > 0.95, "{auc}");
    let model = trained::model("both", Alphabet::Dna, &data, &protocol, &outcome).unwrap();
    assert_eq!(model.spec.strands, Strands::Symmetric);
}

fn score(network: &Network, codes: &[u8]) -> f32 {
    let mut reverse = Vec::new();
    bindscan::seq::alphabet::reverse_complement_into(codes, &mut reverse);
    let [forward, reverse] = [codes, &reverse].map(|codes| reference::window_scores(network, codes, true)[0]);
    forward.max(reverse) as f32
}

#[test]
fn an_interrupted_run_goes_on_where_it_was() {
    let data = dataset(60, 3);
    let protocol = protocol(Recipe::Tuned);
    let whole = run(&data, &protocol, 2).unwrap();

    let folder = tempfile::tempdir().unwrap();
    let state = folder.path().join("state.json");
    let cancel = AtomicBool::new(false);
    let seen = Mutex::new(Vec::new());
    let watch = |progress: Progress| {
        seen.lock().unwrap().push(progress);
        if progress.done == 4 {
            cancel.store(true, Ordering::Relaxed);
        }
    };
    let interrupted = Resources { cancel: &cancel, ..resources(1, Some(&state)) };
    let error = search::run(&data, &protocol, &interrupted, &watch).unwrap_err();
    assert!(matches!(error, Error::Interrupted), "{error}");
    let last = *seen.lock().unwrap().last().unwrap();
    assert_eq!((last.done, last.total, last.trials), (4, 11, 1));

    let first = Mutex::new(None);
    let note = |progress: Progress| {
        first.lock().unwrap().get_or_insert(progress.done);
    };
    let resumed = search::run(&data, &protocol, &resources(2, Some(&state)), &note).unwrap();
    assert_eq!(*first.lock().unwrap(), Some(4), "the fits of before count");
    assert_eq!(bytes(&data, &protocol, &resumed), bytes(&data, &protocol, &whole));

    let other = Protocol { seed: 9, ..protocol.clone() };
    let error = search::run(&data, &other, &resources(1, Some(&state)), &|_| ()).unwrap_err().to_string();
    assert!(error.contains("other data or options"), "{error}");
    std::fs::write(&state, "{").unwrap();
    let error = search::run(&data, &protocol, &resources(1, Some(&state)), &|_| ()).unwrap_err().to_string();
    assert!(error.contains("not the state of a training"), "{error}");
}

#[test]
fn a_spent_budget_leaves_one_trial() {
    let data = dataset(40, 4);
    let protocol = protocol(Recipe::Tuned);
    let none = Resources { budget: Some(Duration::ZERO), ..resources(1, None) };
    let outcome = search::run(&data, &protocol, &none, &|_| ()).unwrap();
    assert_eq!(outcome.chosen, 0);
    assert_eq!(outcome.trials.iter().filter(|trial| trial.curve().is_some()).count(), 1);
}

#[test]
fn regression_with_several_outputs_and_missing_values() {
    let classes = dataset(120, 7);
    let mut rng = Xoshiro256PlusPlus::seed_from_u64(8);
    let mut targets = Vec::new();
    for (i, &bound) in classes.targets.iter().enumerate() {
        let value = bound + 0.1 * rng.random::<f32>();
        targets.extend([if i % 5 == 0 { f32::NAN } else { value }, 3.0 - 2.0 * value]);
    }
    let names = vec!["first".to_owned(), "second".to_owned()];
    let data = Dataset::new(classes.sequences, targets, names, TargetKind::Real).unwrap();
    let mut protocol = protocol(Recipe::Tuned);
    protocol.space.outputs = 2;
    let outcome = run(&data, &protocol, 2).unwrap();
    assert!(outcome.trials[outcome.chosen].best().unwrap().1 > 0.8, "{outcome:?}");
    let model = trained::model("two outputs", Alphabet::Dna, &data, &protocol, &outcome).unwrap();
    assert_eq!(model.spec.outputs, ["first", "second"]);
    assert_eq!(model.spec.name, "two_outputs");
    let again = Model::from_bytes("again", &model.to_bytes()).unwrap();
    assert_eq!(again.spec, model.spec);
}

#[test]
fn data_that_cannot_be_fitted_are_refused() {
    let protocol = protocol(Recipe::Tuned);
    let error = |dataset: &Dataset, protocol: &Protocol| run(dataset, protocol, 1).unwrap_err().to_string();
    let good = dataset(40, 4);
    let few = dataset(8, 4);
    assert!(error(&few, &protocol).contains("there are 16 sequences; 18 or more are needed"));
    let one_class = Dataset::from_classes(good.sequences.clone(), Vec::new()).unwrap();
    assert!(error(&one_class, &protocol).contains("one class"));
    let mut unpadded = protocol.clone();
    unpadded.space.padded = false;
    unpadded.space.filter_length = 31;
    assert!(error(&good, &unpadded).contains("shorter than 31 bases"));
    assert!(error(&good, &Protocol { folds: 1, ..protocol.clone() }).contains("2 folds"));
    let mut long = protocol.clone();
    long.space.filter_length = 50;
    assert!(error(&good, &long).contains("filters of 50 bases are longer than every sequence (up to 40)"));
    let mut lonely = good.clone();
    lonely.targets[2..].fill(0.0);
    assert!(error(&lonely, &protocol).contains("class 1 of column bound has 2 different sequences; 3 folds"));
    assert!(error(&good, &Protocol { steps: 0, ..protocol.clone() }).contains("steps"));

    // Targets so large that every fit runs away.
    let targets = good.targets.iter().map(|&y| (y - 0.5) * 3e38).collect();
    let extreme = Dataset::new(good.sequences.clone(), targets, vec!["y".into()], TargetKind::Real).unwrap();
    assert!(error(&extreme, &protocol).contains("none of 3 trials"));
}

#[test]
fn folds_hold_every_example_once_and_both_classes() {
    let data = dataset(50, 4);
    let folds = protocol(Recipe::Tuned).folds(&data);
    let mut all: Vec<u32> = folds.iter().flatten().copied().collect();
    all.sort_unstable();
    assert_eq!(all, (0..100).collect::<Vec<u32>>());
    for fold in &folds {
        let positives = fold.iter().filter(|&&rank| data.targets[rank as usize] > 0.5).count();
        assert!((16..=17).contains(&positives), "{positives} of {}", fold.len());
    }
    // The second copy of a sequence, or its reverse complement, is held out with the first.
    let mut copies = data.clone();
    for rank in 0..50 {
        let codes = copies.sequences[rank].clone();
        copies.sequences[99 - rank].clear();
        match rank % 2 {
            0 => copies.sequences[99 - rank].extend(codes),
            _ => bindscan::seq::alphabet::reverse_complement_into(&codes, &mut copies.sequences[99 - rank]),
        }
    }
    let folds = protocol(Recipe::Tuned).folds(&copies);
    for fold in &folds {
        assert!((32..=34).contains(&fold.len()), "{}", fold.len());
        assert!(fold.iter().all(|rank| fold.contains(&(99 - rank))));
    }
    let given = Dataset { folds: Some((0..100).map(|i| [7, 3, 9][i % 3]).collect()), ..data };
    let folds = protocol(Recipe::Tuned).folds(&given);
    assert_eq!(folds[1][..3], [0, 3, 6], "numbered by rank: 3, 7, 9");
}

#[test]
fn a_merged_network_scores_the_mean() {
    let mut rng = Xoshiro256PlusPlus::seed_from_u64(3);
    let codes: Vec<u8> = (0..40).map(|_| rng.random_range(0..5)).collect();
    for pooling in [Pooling::Max, Pooling::Average, Pooling::MaxAndAverage] {
        for hidden in [false, true] {
            let members: Vec<Network> = [(3, 4), (5, 2), (2, 6)]
                .map(|(filters, units)| random_network(filters, hidden.then_some(units), pooling, &mut rng))
                .into();
            let merged = merge(&members).unwrap();
            merged.check().unwrap();
            let have = reference::window_scores(&merged, &codes, true);
            for (output, have) in have.into_iter().enumerate() {
                let scores =
                    members.iter().map(|member| reference::window_scores(member, &codes, true)[output]);
                let want = scores.sum::<f64>() / 3.0;
                assert!((have - want).abs() < 1e-6, "{pooling:?}, hidden {hidden}: {have}, mean {want}");
            }
        }
    }
    let (a, b) =
        (random_network(2, None, Pooling::Max, &mut rng), random_network(2, Some(3), Pooling::Max, &mut rng));
    assert_eq!(merge(&[a.clone(), b]).unwrap_err(), "the networks differ in hidden layer");
    assert_eq!(merge(std::slice::from_ref(&a)).unwrap(), a);
    assert!(merge(&[]).is_err());
}

fn random_network(
    filters: usize,
    hidden: Option<usize>,
    pooling: Pooling,
    rng: &mut Xoshiro256PlusPlus,
) -> Network {
    let mut draw = |count: usize| -> Vec<f32> { (0..count).map(|_| rng.random::<f32>() - 0.5).collect() };
    let features = filters * pooling.features_per_filter();
    let mut dense = |inputs: usize, outputs: usize| Dense {
        inputs,
        outputs,
        weights: draw(inputs * outputs),
        bias: draw(outputs),
    };
    let hidden = hidden.map(|units| dense(features, units));
    let output = dense(hidden.as_ref().map_or(features, |layer| layer.outputs), 2);
    Network {
        filters,
        filter_length: 6,
        weights: draw(filters * 24),
        biases: draw(filters),
        rectify: true,
        padding: Padding::n(5),
        pooling,
        hidden,
        output,
        sigmoid: false,
    }
}
