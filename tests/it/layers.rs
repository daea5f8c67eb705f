//! Networks of layers: what the theory of convolutions says of them, and their ONNX form.

use std::fmt::Write;
use std::path::Path;
use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering};

use crate::common::onnx::{assert_same, codes, library_is_there, scores};
use crate::common::{error_line, run, stdout};
use bindscan::Error;
use bindscan::dataset::{Dataset, TargetKind};
use bindscan::engine::onnx::OnnxEngine;
use bindscan::engine::reference::ReferenceEngine;
use bindscan::engine::{Device, Engine, Sharing};
use bindscan::model::onnx::dense::rewrite;
use bindscan::model::{Alphabet, Model, Strands};
use bindscan::seq::chunk::Chunk;
use bindscan::seq::window::{Context, StrandChoice, WindowPlan};
use bindscan::train::Resources;
use bindscan::train::layers::export;
use bindscan::train::layers::export::Labels;
use bindscan::train::layers::training::Training;
use bindscan::train::layers::{
    Architecture, Cell, Function, InputForm, Layer, NAMES, Network, NetworkEngine, Padding, PoolKind,
    Settings,
};
use proptest::prelude::*;
use proptest::test_runner::Config;
use rand::{RngExt, SeedableRng};
use rand_xoshiro::Xoshiro256PlusPlus as Random;
use tempfile::tempdir;

/// Geometry of a layer's slide.
#[derive(Debug, Clone, Copy)]
struct Sliding {
    kernel: usize,
    stride: usize,
    dilation: usize,
    padding: Padding,
    pools: bool,
}

fn sliding() -> impl Strategy<Value = Sliding> {
    let padding = prop_oneof![Just(Padding::Valid), Just(Padding::Same)];
    (1usize..5, 1usize..4, 1usize..4, padding, any::<bool>()).prop_map(
        |(kernel, stride, dilation, padding, pools)| {
            let dilation = if pools { 1 } else { dilation };
            Sliding { kernel, stride, dilation, padding, pools }
        },
    )
}

impl Sliding {
    fn layer(self) -> Layer {
        let Sliding { kernel, stride, dilation, padding, pools } = self;
        match pools {
            true => Layer::Pool { kind: PoolKind::Max, size: kernel, stride: Some(stride), padding },
            false => Layer::Convolution { filters: 6, kernel, stride, dilation, padding, groups: 1 },
        }
    }

    /// Places over so many positions, and zeros before the first: the textbook's formulas.
    fn arithmetic(self, positions: usize) -> Option<(usize, usize)> {
        let span = (self.kernel - 1) * self.dilation + 1;
        match self.padding {
            Padding::Valid => (span <= positions).then(|| ((positions - span) / self.stride + 1, 0)),
            Padding::Same => {
                let places = positions.div_ceil(self.stride);
                let needed = (places - 1) * self.stride + span;
                Some((places, needed.saturating_sub(positions) / 2))
            }
        }
    }
}

/// A stack that begins with a convolution and ends with a pool of all positions.
fn stack(layers: &[Sliding]) -> Architecture {
    let first = Layer::Convolution {
        filters: 6,
        kernel: 5,
        stride: 1,
        dilation: 1,
        padding: Padding::Valid,
        groups: 1,
    };
    let mut all = vec![first, Layer::Activation { function: Function::Tanh }];
    all.extend(layers.iter().map(|sliding| sliding.layer()));
    all.push(Layer::GlobalPool { kind: PoolKind::Max });
    Architecture { input: InputForm::Sequence, layers: all }
}

fn network(architecture: &Architecture, window: usize, seed: u64) -> Result<Network, String> {
    Network::new(architecture, window, 2, &mut Random::seed_from_u64(seed))
}

fn bases(random: &mut Random, count: usize) -> Vec<u8> {
    (0..count).map(|_| random.random_range(0..4)).collect()
}

/// Output of the last layer with positions for one window: `[position][channel]`.
fn last_positions(network: &mut Network, codes: &[u8]) -> Vec<Vec<f32>> {
    let all = network.activations(codes, 1);
    let last = all.iter().rev().find(|layer| layer.shape.positions.is_some()).unwrap();
    last.values.chunks(last.shape.channels).map(<[f32]>::to_vec).collect()
}

proptest! {
    #![proptest_config(Config::with_cases(64))]

    /// Output lengths are those of the formulas, and a stack that does not fit says which layer it is.
    #[test]
    fn shapes_are_those_of_the_arithmetic(layers in prop::collection::vec(sliding(), 1..5), window in 5usize..60) {
        let shapes = stack(&layers).shapes(window);
        let mut positions = vec![window - 4];
        for (rank, layer) in layers.iter().enumerate() {
            let before = positions[rank];
            let Some((places, _)) = layer.arithmetic(before) else {
                let message = shapes.unwrap_err();
                prop_assert!(message.starts_with(&format!("layer {} ", rank + 3)), "{}", message);
                prop_assert!(message.ends_with(&format!("positions where there are {before}")), "{}", message);
                return Ok(());
            };
            positions.push(places);
        }
        let shapes = shapes.unwrap();
        let have: Vec<Option<usize>> = shapes.iter().skip(1).map(|shape| shape.positions).collect();
        let mut want: Vec<Option<usize>> = positions.into_iter().map(Some).collect();
        want.push(None);
        prop_assert_eq!(have, want);
    }

    /// Each position of a stack depends on the bases of its receptive field and on no other; it lies where the strides and
    /// paddings before it put it.
    #[test]
    fn receptive_fields_are_those_of_the_arithmetic(
        layers in prop::collection::vec(sliding(), 1..4),
        seed in any::<u64>(),
    ) {
        let window = 70;
        let architecture = stack(&layers);
        let Ok(mut network) = network(&architecture, window, seed) else { return Ok(()) };
        // First base and number of bases that position 0 sees, and bases from a position to the next.
        let (mut start, mut field, mut step, mut positions) = (0i64, 5i64, 1i64, window - 4);
        for layer in &layers {
            let (places, before) = layer.arithmetic(positions).unwrap();
            start -= before as i64 * step;
            field += ((layer.kernel - 1) * layer.dilation) as i64 * step;
            step *= layer.stride as i64;
            positions = places;
        }
        let mut random = Random::seed_from_u64(seed);
        let codes = bases(&mut random, window);
        let before = last_positions(&mut network, &codes);
        prop_assert_eq!(before.len(), positions);
        for _ in 0..8 {
            let at = random.random_range(0..window);
            let mut changed = codes.clone();
            changed[at] = (changed[at] + random.random_range(1..4)) % 4;
            let after = last_positions(&mut network, &changed);
            for (place, (a, b)) in before.iter().zip(&after).enumerate() {
                let first = start + place as i64 * step;
                if !(first..first + field).contains(&(at as i64)) {
                    prop_assert_eq!(a, b, "position {} saw base {}", place, at);
                }
            }
        }
    }

    /// Without padding, a sequence shifted by a stack's stride gives the same numbers one position further on.
    #[test]
    fn a_shifted_sequence_gives_shifted_numbers(
        layers in prop::collection::vec(sliding(), 1..4),
        seed in any::<u64>(),
    ) {
        let layers: Vec<Sliding> =
            layers.into_iter().map(|layer| Sliding { padding: Padding::Valid, ..layer }).collect();
        let (window, step) = (60, layers.iter().map(|layer| layer.stride).product::<usize>());
        let Ok(mut network) = network(&stack(&layers), window, seed) else { return Ok(()) };
        let codes = bases(&mut Random::seed_from_u64(seed), window + step);
        let first = last_positions(&mut network, &codes[..window]);
        let second = last_positions(&mut network, &codes[step..]);
        prop_assert_eq!(&first[1..], &second[..second.len() - 1]);
    }

    /// A dilated convolution is the one of a longer kernel with zeros between: every d-th position is as in the sequence of
    /// every d-th base.
    #[test]
    fn dilation_looks_at_every_so_manieth_position(dilation in 2usize..5, kernel in 2usize..5, seed in any::<u64>()) {
        let layer = |dilation| Architecture {
            input: InputForm::Sequence,
            layers: vec![
                Layer::Convolution { filters: 3, kernel, stride: 1, dilation, padding: Padding::Valid, groups: 1 },
                Layer::GlobalPool { kind: PoolKind::Max },
            ],
        };
        let codes = bases(&mut Random::seed_from_u64(seed), 60);
        let thinned: Vec<u8> = codes.iter().copied().step_by(dilation).collect();
        // The same seed gives the same weights.
        let wide = last_positions(&mut network(&layer(dilation), 60, seed).unwrap(), &codes);
        let near = last_positions(&mut network(&layer(1), thinned.len(), seed).unwrap(), &thinned);
        prop_assert_eq!(wide.into_iter().step_by(dilation).take(near.len()).collect::<Vec<_>>(), near);
    }
}

/// Random sequences with random numbers.
fn random_data(window: usize, seed: u64) -> Dataset {
    let mut random = Random::seed_from_u64(seed);
    let sequences = (0..16).map(|_| bases(&mut random, window)).collect();
    let targets = (0..32).map(|_| random.random_range(-1.0..1.0)).collect();
    Dataset::new(sequences, targets, vec!["a".into(), "b".into()], TargetKind::Real).unwrap()
}

/// A network after some steps, so that none of its numbers is an initial one, and its ONNX form.
fn written(architecture: &Architecture, window: usize, seed: u64) -> (Model, Network) {
    let data = random_data(window, seed);
    let settings = Settings {
        rate: 0.003,
        penalty: 1e-6,
        batch: 8,
        epochs: 2,
        patience: 2,
        strands: Strands::Single,
        seed,
    };
    let training = Training { architecture, training: &data, validation: &data, settings, fits: 1 };
    let cancel = AtomicBool::new(false);
    let resources = Resources { threads: 1, budget: None, state: None, cancel: &cancel };
    let network = training.run(&resources, &|_| {}).unwrap().network;
    let labels = Labels {
        name: "written".into(),
        outputs: vec!["a".into(), "b".into()],
        alphabet: Alphabet::Dna,
        strands: Strands::Both,
        provenance: serde_json::Map::new(),
    };
    (export::model(&network, labels).unwrap(), network)
}

fn plan(window: usize) -> WindowPlan {
    WindowPlan { window, stride: 1, strands: StrandChoice::Both, context: Context::Padding }
}

/// The network's own scores of the windows of a stretch against those of ONNX Runtime, and how they were made.
fn agree(architecture: &Architecture, window: usize, seed: u64) -> bool {
    let (model, network) = written(architecture, window, seed);
    let again = Model::from_bytes("again", &model.to_bytes()).unwrap();
    assert_eq!(again.spec, model.spec);
    let mut random = Random::seed_from_u64(seed);
    let chunk = Chunk::whole("c", codes(&mut random, window + 130));
    let want = scores(&mut NetworkEngine::new(model.spec.clone(), network), &chunk, &plan(window)).unwrap();
    assert!(
        want.forward.iter().any(|score| (score - want.forward[0]).abs() > 1e-3),
        "all scores are the same"
    );
    let mut by_window = OnnxEngine::new(&model, Device::Cpu).unwrap();
    assert_same(&scores(&mut by_window, &chunk, &plan(window)).unwrap(), &want);
    let mut densely = OnnxEngine::new(&model, Device::Cpu).unwrap().scoring_together();
    assert_same(&scores(&mut densely, &chunk, &plan(window)).unwrap(), &want);
    densely.sharing() == Sharing::Everything
}

#[test]
fn named_networks_score_as_they_were_made() {
    for name in NAMES {
        let architecture = Architecture::find(name).unwrap();
        let window = 200;
        let padded = architecture.is_padded();
        let (model, _) = written(&architecture, window, 1);
        let dense = rewrite(&model.graph, &model.input, &model.output, window);
        let recurrent = architecture.layers.iter().any(|layer| matches!(layer, Layer::Recurrent { .. }));
        assert_eq!(dense.is_ok(), !padded && !recurrent, "{name}: {:?}", dense.err());
        // The largest is checked in its parts, with the stacks below.
        if library_is_there() && name != "danq" {
            assert_eq!(agree(&architecture, window, 2), !padded && !recurrent, "{name}");
        }
    }
}

/// Stacks with every kind of layer, and whether they can be scanned densely.
fn stacks() -> Vec<(Vec<Layer>, bool)> {
    use Padding::{Same, Valid};
    let convolution = |filters, kernel, stride, dilation, padding, groups| Layer::Convolution {
        filters,
        kernel,
        stride,
        dilation,
        padding,
        groups,
    };
    let function = |function| Layer::Activation { function };
    let pool = |kind, size, stride, padding| Layer::Pool { kind, size, stride: Some(stride), padding };
    let recurrent = |cell, bidirectional| Layer::Recurrent { cell, units: 5, bidirectional };
    let inner =
        |padding| vec![convolution(8, 3, 1, 2, padding, 2), Layer::BatchNorm {}, function(Function::Tanh)];
    let tail = || vec![Layer::Dense { units: 7 }, Layer::BatchNorm {}, function(Function::Sigmoid)];
    let with_tail = |mut layers: Vec<Layer>| {
        layers.extend(tail());
        layers
    };
    vec![
        (
            with_tail(vec![
                convolution(8, 7, 1, 1, Valid, 1),
                Layer::BatchNorm {},
                function(Function::Exponential),
                pool(PoolKind::Max, 3, 2, Valid),
                Layer::BatchNorm {},
                convolution(8, 3, 2, 1, Valid, 4),
                Layer::Residual { layers: inner(Valid) },
                pool(PoolKind::Avg, 2, 2, Valid),
                Layer::Dropout { rate: 0.3 },
                Layer::Flatten {},
            ]),
            true,
        ),
        (
            with_tail(vec![
                convolution(8, 6, 2, 2, Same, 1),
                Layer::Residual { layers: inner(Same) },
                pool(PoolKind::Max, 4, 3, Same),
                pool(PoolKind::Avg, 3, 2, Same),
                Layer::GlobalPool { kind: PoolKind::Avg },
                Layer::BatchNorm {},
            ]),
            false,
        ),
        (
            with_tail(vec![
                convolution(6, 5, 1, 1, Valid, 1),
                pool(PoolKind::Max, 3, 3, Valid),
                recurrent(Cell::Lstm, true),
                recurrent(Cell::Gru, true),
                Layer::Flatten {},
            ]),
            false,
        ),
        (
            with_tail(vec![
                convolution(6, 5, 1, 1, Valid, 1),
                recurrent(Cell::Gru, false),
                recurrent(Cell::Lstm, false),
                Layer::GlobalPool { kind: PoolKind::Max },
            ]),
            false,
        ),
    ]
}

#[test]
fn every_layer_scores_as_it_was_made_in_every_form() {
    if !library_is_there() {
        return;
    }
    for (number, (layers, dense)) in stacks().into_iter().enumerate() {
        for input in [InputForm::Sequence, InputForm::Rows, InputForm::Channels] {
            let architecture = Architecture { input, layers: layers.clone() };
            assert_eq!(agree(&architecture, 61, number as u64), dense, "stack {number}, {input:?}");
        }
    }
}

/// A network that is of the DeepBind family is known as such, and needs no ONNX Runtime.
#[test]
fn one_convolution_is_a_deepbind_network() {
    let convolution = Layer::Convolution {
        filters: 9,
        kernel: 7,
        stride: 1,
        dilation: 1,
        padding: Padding::Valid,
        groups: 1,
    };
    let relu = || Layer::Activation { function: Function::Relu };
    let layers = vec![
        convolution,
        Layer::BatchNorm {},
        relu(),
        Layer::GlobalPool { kind: PoolKind::Max },
        Layer::Dense { units: 6 },
        relu(),
    ];
    for input in [InputForm::Sequence, InputForm::Rows, InputForm::Channels] {
        let (model, network) = written(&Architecture { input, layers: layers.clone() }, 30, 3);
        let known = model.network.clone().unwrap();
        let chunk = Chunk::whole("c", codes(&mut Random::seed_from_u64(4), 200));
        let mut reference: Box<dyn Engine> = Box::new(ReferenceEngine::new(model.spec.clone(), known));
        let want = scores(reference.as_mut(), &chunk, &plan(30)).unwrap();
        let have = scores(&mut NetworkEngine::new(model.spec.clone(), network), &chunk, &plan(30)).unwrap();
        assert_same(&have, &want);
    }
}

#[test]
fn a_description_is_read_and_written() {
    let text = r#"
        input = "2d-rows"
        layers = [
            { type = "convolution", filters = 8, kernel = 5, padding = "same" },
            { type = "batch-norm" },
            { type = "activation", function = "exponential" },
            { type = "pool", size = 4 },
            { type = "residual", layers = [{ type = "convolution", filters = 8, kernel = 3, dilation = 2, groups = 4 }] },
            { type = "recurrent", cell = "lstm", units = 3 },
            { type = "dropout", rate = 0.25 },
            { type = "global-pool", kind = "avg" },
            { type = "dense", units = 3 },
        ]
    "#;
    let architecture = Architecture::parse(text).unwrap();
    let shapes = architecture.shapes(40).unwrap();
    let positions: Vec<Option<usize>> = shapes.iter().map(|shape| shape.positions).collect();
    assert_eq!(positions, [Some(40), Some(40), Some(40), Some(10), Some(6), Some(6), Some(6), None, None]);
    let written = toml::to_string(&architecture).unwrap();
    assert_eq!(Architecture::parse(&written).unwrap(), architecture);
}

#[test]
fn what_describes_no_network_is_refused_with_the_place() {
    let layer = |text: &str| {
        format!("layers = [\n{{ type = \"convolution\", filters = 4, kernel = 5 }},\n{text},\n]")
    };
    for (text, line, message) in [
        ("layers = 3".to_owned(), Some(1), "invalid type"),
        (layer("{ type = \"convolve\" }"), Some(3), "unknown variant `convolve`"),
        (layer("{ type = \"pool\", size = 4, stied = 1 }"), Some(3), "unknown field `stied`"),
        (layer("{ type = \"dense\" }"), Some(3), "missing field `units`"),
        (layer("{ type = \"batch-norm\", scale = 1 }"), Some(3), "unknown field `scale`"),
        ("layers = [\n".to_owned(), Some(1), "unclosed array"),
    ] {
        let (at, why) = Architecture::parse(&text).unwrap_err();
        assert!(why.contains(message), "{why}");
        assert_eq!(at, line, "{why}");
    }
    for (text, message) in [
        (
            "{ type = \"dense\", units = 4 }",
            "layer 2 (dense): there are positions; put global-pool or flatten before it",
        ),
        ("{ type = \"pool\", size = 99 }", "layer 2 (pool): spans 99 positions where there are 26"),
        ("{ type = \"pool\", size = 0 }", "layer 2 (pool): size 0 is not within 1 to 65536"),
        ("{ type = \"dropout\", rate = 1.5 }", "layer 2 (dropout): rate 1.5 is not within 0 to 1"),
        (
            "{ type = \"convolution\", filters = 6, kernel = 3, groups = 3 }",
            "layer 2 (convolution): 3 groups do not divide 4 channels and 6 filters",
        ),
        (
            "{ type = \"activation\", function = \"tanh\" }",
            "the network ends with positions; put global-pool or flatten at its end",
        ),
        (
            "{ type = \"residual\", layers = [{ type = \"convolution\", filters = 9, kernel = 3 }] }",
            "layer 2 (residual): 9 channels come out where 4 go in; end it with a convolution of 4 filters",
        ),
        (
            "{ type = \"residual\", layers = [{ type = \"convolution\", filters = 4, kernel = 2 }] }",
            "layer 2 (residual): 26 positions become 25, which cannot be centred; use odd kernels",
        ),
        (
            "{ type = \"residual\", layers = [{ type = \"pool\", size = 2 }] }",
            "layer 2 (residual): its layer 1 (pool): layers in a residual block must have stride 1",
        ),
    ] {
        let architecture = Architecture::parse(&layer(text)).unwrap();
        assert_eq!(architecture.shapes(30).unwrap_err(), message);
    }
}

/// Sequences of 60 bases as a table; half of them have TGACGTCA somewhere, the others its letters in another order.
fn labelled(count: usize, seed: u64) -> String {
    let mut random = Random::seed_from_u64(seed);
    let mut table = String::from("seq\tbound\n");
    for i in 0..count {
        let mut letters: Vec<u8> = (0..60).map(|_| b"ACGT"[random.random_range(0..4)]).collect();
        let at = random.random_range(0..52);
        letters[at..at + 8].copy_from_slice(if i % 2 == 0 { b"TGACGTCA" } else { b"TAGGCCTA" });
        writeln!(table, "{}\t{}", String::from_utf8(letters).unwrap(), (i + 1) % 2).unwrap();
    }
    table
}

const SMALL: &str = r#"
layers = [
    { type = "convolution", filters = 12, kernel = 9 },
    { type = "batch-norm" },
    { type = "activation", function = "relu" },
    { type = "pool", size = 2 },
    { type = "convolution", filters = 8, kernel = 3 },
    { type = "activation", function = "relu" },
    { type = "global-pool" },
    { type = "dropout", rate = 0.1 },
]
"#;

fn put(directory: &Path, name: &str, text: &str) {
    std::fs::write(directory.join(name), text).unwrap();
}

#[test]
fn a_network_comes_out_that_inspect_motifs_and_scan_take() {
    let directory = tempdir().unwrap();
    let path = directory.path();
    put(path, "data.tsv", &labelled(600, 1));
    put(path, "test.tsv", &labelled(200, 2));
    put(path, "small.toml", SMALL);
    let words = "train data.tsv --arch small.toml --epochs 12 --learning-rate 0.01 --final 2 --batch 32 -o net.onnx --test test.tsv --report net.html";
    let output = run(path, words);
    let said = String::from_utf8(output.stderr).unwrap();
    assert!(output.status.success(), "{said}");
    assert!(said.contains("validation sequences") && said.contains("held out, bound: AUC"), "{said}");
    assert!(!path.join("net.onnx.training").exists());
    let inspected = stdout(path, "inspect net.onnx");
    for word in
        ["window   60 bases", "densely", "both, the higher score", "held_out", "data_sha256", "architecture"]
    {
        assert!(inspected.contains(word), "{word} is missing:\n{inspected}");
    }
    let page = std::fs::read_to_string(path.join("net.html")).unwrap();
    for word in ["A network of 8 layers", "on the validation data", "Filter"] {
        assert!(page.contains(word), "{word} is missing");
    }
    let motifs = stdout(path, "motifs net.onnx --sequences data.tsv");
    assert!(motifs.contains("MOTIF filter_"), "{motifs}");
    let first = std::fs::read(path.join("net.onnx")).unwrap();
    for threads in [1, 3] {
        assert!(run(path, &format!("{words} --threads {threads}")).status.success());
        assert!(std::fs::read(path.join("net.onnx")).unwrap() == first, "{threads} threads give other bytes");
    }
    if !library_is_there() {
        return;
    }
    let table = stdout(path, "eval net.onnx test.tsv --format tsv");
    let auc = table.lines().find(|line| line.contains("AUC")).unwrap();
    let value: f64 = auc.split('\t').find_map(|cell| cell.parse().ok()).unwrap();
    assert!(value > 0.9, "{auc}");
    // ONNX Runtime judges as the training did.
    assert!(said.contains(&format!("held out, bound: AUC {value:.4}")), "{said} {auc}");
}

#[test]
fn an_interrupted_training_goes_on_to_the_same_end() {
    let directory = tempdir().unwrap();
    let state = directory.path().join("state");
    let architecture = Architecture::parse(
        "layers = [{ type = 'convolution', filters = 6, kernel = 5 }, { type = 'batch-norm' }, \
         { type = 'recurrent', cell = 'gru', units = 3 }, { type = 'global-pool' }, { type = 'dropout', rate = 0.2 }]",
    )
    .unwrap();
    let data = random_data(20, 5);
    let settings = Settings {
        rate: 0.01,
        penalty: 1e-5,
        batch: 5,
        epochs: 6,
        patience: 6,
        strands: Strands::Both,
        seed: 3,
    };
    let training =
        Training { architecture: &architecture, training: &data, validation: &data, settings, fits: 2 };
    let cancel = AtomicBool::new(false);
    let whole = Resources { threads: 1, budget: None, state: None, cancel: &cancel };
    let want = training.run(&whole, &|_| {}).unwrap();
    for at in [1, 4, 8] {
        let noted = Resources { state: Some(&state), ..whole };
        let end = training.run(&noted, &|progress| cancel.store(progress.epochs >= at, Ordering::Relaxed));
        assert!(matches!(end, Err(Error::Interrupted)), "{at}");
        cancel.store(false, Ordering::Relaxed);
        let other = Settings { seed: 4, ..settings };
        let message = Training { settings: other, ..training }.run(&noted, &|_| {}).unwrap_err().to_string();
        assert!(message.contains("a training with other data or options"), "{message}");
        let mut have = training.run(&noted, &|_| {}).unwrap();
        assert_eq!((have.chosen, &have.fits), (want.chosen, &want.fits));
        let codes = &data.sequences[0];
        assert_eq!(have.network.scores(codes, 1), want.network.clone().scores(codes, 1));
        std::fs::remove_file(&state).unwrap();
    }
    // A budget ends fits early; an epoch is always made.
    let short = Resources { budget: Some(std::time::Duration::ZERO), ..whole };
    assert!(training.run(&short, &|_| {}).unwrap().fits.iter().all(|fit| (1..6).contains(&fit.epochs.len())));
}

#[test]
fn a_fit_that_fails_ends_the_others() {
    let directory = tempdir().unwrap();
    let state = directory.path().join("state");
    let architecture = Architecture::parse(
        "layers = [{ type = 'convolution', filters = 4, kernel = 5 }, { type = 'global-pool' }]",
    )
    .unwrap();
    let data = random_data(20, 5);
    let settings = Settings {
        rate: 0.01,
        penalty: 0.0,
        batch: 5,
        epochs: 3000,
        patience: 3000,
        strands: Strands::Single,
        seed: 1,
    };
    let training =
        Training { architecture: &architecture, training: &data, validation: &data, settings, fits: 2 };
    let cancel = AtomicBool::new(false);
    let resources = Resources { threads: 1, budget: None, state: Some(&state), cancel: &cancel };
    training.run(&resources, &|_| cancel.store(true, Ordering::Relaxed)).unwrap_err();
    cancel.store(false, Ordering::Relaxed);
    // One number of the first fit is lost, and the header knows.
    let bytes = std::fs::read(&state).unwrap();
    let end = bytes.iter().position(|&byte| byte == b'\n').unwrap();
    let mut header: serde_json::Value = serde_json::from_slice(&bytes[..end]).unwrap();
    let count = header["fits"][0][1].as_u64().unwrap();
    header["fits"][0][1] = (count - 1).into();
    let short = [header.to_string().as_bytes(), &bytes[end..bytes.len() - 4]].concat();
    std::fs::write(&state, short).unwrap();
    let most = AtomicUsize::new(0);
    let error = training.run(&Resources { threads: 2, ..resources }, &|progress| {
        most.fetch_max(progress.epochs, Ordering::Relaxed);
    });
    let message = error.unwrap_err().to_string();
    assert!(message.contains("does not fit its network"), "{message}");
    assert!(most.into_inner() < settings.epochs);
}

#[test]
fn what_cannot_be_fitted_is_said_on_one_line() {
    let directory = tempdir().unwrap();
    let path = directory.path();
    put(path, "data.tsv", &labelled(80, 1));
    put(path, "lengths.tsv", &format!("{}ACGTACGTACGT\t1\n", labelled(80, 1)));
    put(path, "wrong.toml", "layers = [\n  { type = \"convolute\" },\n]\n");
    put(path, "long.toml", &SMALL.replace("kernel = 9", "kernel = 99"));
    for (words, message) in [
        ("data.tsv --arch cnn-3", "unknown architecture cnn-3; known: cnn,"),
        ("data.tsv --arch missing.toml", "missing.toml: cannot read"),
        ("data.tsv --arch wrong.toml", "wrong.toml, line "),
        (
            "data.tsv --quiet --arch long.toml",
            "the network does not go with windows of 60 bases: layer 1 (convolution): spans 99 positions where there are 60",
        ),
        ("lengths.tsv --quiet --arch cnn", "sequences have 12 to 60 bases"),
        ("data.tsv --arch cnn --trials 3", "--trials is only valid with --arch deepbind"),
        ("data.tsv --epochs 3", "--epochs is only valid for networks of layers"),
        ("data.tsv --quiet --arch cnn --strands symmetric", "only DeepBind networks can be made symmetric"),
        ("data.tsv --quiet --arch cnn --learning-rate 0", "--learning-rate 0: a number above 0"),
    ] {
        let line = error_line(path, &format!("train {words} -o out.onnx"));
        assert!(line.contains(message), "{words}: {line}");
        assert!(!path.join("out.onnx").exists());
    }
    put(path, "out.onnx.training", "nonsense");
    let line = error_line(path, "train data.tsv --quiet --arch cnn -o out.onnx --resume");
    assert!(line.contains("out.onnx.training: not the state of a training"), "{line}");
}
