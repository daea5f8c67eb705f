//! Keras files, as models: what ONNX Runtime gives against what Keras gave.
//!
//! `scripts/regenerate keras-examples` makes the files. Without the ONNX Runtime library the tests that run graphs are
//! skipped, unless `BINDSCAN_REQUIRE_ONNXRUNTIME=1` is set.

use std::collections::BTreeMap;
use std::fs::{self, File};
use std::io::{Cursor, Write};
use std::path::{Path, PathBuf};

use bindscan::engine::Device;
use bindscan::engine::onnx::graph::{Graph, Named};
use bindscan::model::keras;
use bindscan::model::onnx::unpad::unpad;
use bindscan::model::{Heads, Model, OpenOptions};
use serde::Deserialize;
use serde_json::{Value, json};
use zip::write::SimpleFileOptions;
use zip::{ZipArchive, ZipWriter};

use crate::common::onnx::library_is_there;
use crate::common::{error_line, run, stdout};

/// The files, and what Keras gave for each.
const FILES: [&str; 8] = [
    "bias_corrected.keras2.h5",
    "gated.keras",
    "named.keras2.h5",
    "pools.keras",
    "pools.keras2.h5",
    "recurrent.keras",
    "recurrent.keras2.h5",
    "recurrent.keras3.h5",
];

#[derive(Deserialize)]
struct Expected {
    sequences: Vec<String>,
    outputs: BTreeMap<String, Output>,
}

#[derive(Deserialize)]
struct Output {
    dims: Vec<usize>,
    values: Vec<f32>,
}

fn folder() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/data/keras")
}

fn expected() -> BTreeMap<String, Expected> {
    serde_json::from_slice(&fs::read(folder().join("expected.json")).unwrap()).unwrap()
}

/// The sequences as Keras takes them: `[N, positions, 4]`.
fn one_hot(name: &str, sequences: &[String]) -> Named {
    let column = |letter: u8| [b'A', b'C', b'G', b'T'].map(|base| f32::from(u8::from(base == letter)));
    let values = sequences.iter().flat_map(|sequence| sequence.bytes().flat_map(column)).collect();
    Named { name: name.into(), dims: vec![sequences.len(), sequences[0].len(), 4], values }
}

/// Zeros for an input of the graph that is not the sequence.
fn zeros(model: &bindscan::model::onnx::ModelProto, rows: usize) -> Vec<Named> {
    let inputs = &model.graph.as_ref().unwrap().input;
    let others = inputs.iter().filter(|input| input.name().contains("bias_input"));
    let zero = |input: &bindscan::model::onnx::proto::ValueInfoProto| {
        let shape = bindscan::model::onnx::interface::float_shape(input).unwrap().unwrap();
        let lengths = shape[1..].iter().map(|dim| dim.to_string().parse::<usize>().unwrap());
        let dims: Vec<usize> = [rows].into_iter().chain(lengths).collect();
        Named { name: input.name().into(), values: vec![0.0; dims.iter().product()], dims }
    };
    others.map(zero).collect()
}

fn assert_close(have: &[f32], want: &[f32], what: &str) {
    assert_eq!(have.len(), want.len(), "{what}");
    for (i, (x, y)) in have.iter().zip(want).enumerate() {
        assert!((x - y).abs() <= 1e-4 * y.abs().max(1.0), "{what}, value {i}: {x} against {y}");
    }
}

#[test]
fn every_output_is_what_keras_gave() {
    if !library_is_there() {
        return;
    }
    let expected = expected();
    assert!(expected.keys().eq(FILES.iter().copied()), "{:?}", expected.keys());
    for (file, want) in &expected {
        let imported = keras::open(folder().join(file)).unwrap();
        let graph = Graph::open(file, &imported.graph, Device::Cpu).unwrap();
        let input = imported.graph.graph.as_ref().unwrap().input[0].name().to_owned();
        let mut inputs = vec![one_hot(&input, &want.sequences)];
        inputs.extend(zeros(&imported.graph, want.sequences.len()));
        let outputs = graph.run(&inputs).unwrap();
        let names: Vec<&str> = outputs.iter().map(|output| output.name.as_str()).collect();
        assert_eq!(names.len(), want.outputs.len(), "{file}: {names:?}");
        for output in &outputs {
            let want = &want.outputs[&output.name];
            assert_eq!(output.dims, want.dims, "{file} {}", output.name);
            assert_close(&output.values, &want.values, &format!("{file} {}", output.name));
        }
    }
}

/// A description is the same whether the file names weights or numbers them.
#[test]
fn both_kinds_of_file_give_the_same_graph() {
    let counts = |file: &str| {
        let imported = keras::open(folder().join(file)).unwrap();
        let graph = imported.graph.graph.unwrap();
        graph.node.iter().map(|node| node.op_type().to_owned()).collect::<Vec<_>>()
    };
    assert_eq!(counts("recurrent.keras"), counts("recurrent.keras3.h5"));
    assert_eq!(counts("pools.keras"), counts("pools.keras2.h5"));
}

/// Control tracks are fed zeros, and the heads are there to be chosen; the dense graph gives the same scores.
#[test]
fn a_model_with_control_tracks_is_opened_as_it_is() {
    let open = |heads: Heads| {
        Model::open_with(folder().join("named.keras2.h5"), &OpenOptions { heads, ..OpenOptions::default() })
    };
    let error = open(Heads::Only).unwrap_err().to_string();
    assert!(error.contains("2 heads: profile_predictions, logcounts_predictions"), "{error}");
    let model = open(Heads::Named(vec!["logcounts_predictions".into()])).unwrap();
    assert_eq!((model.spec.window, model.spec.outputs.len()), (2114, 1));
    let notes = model.notes.join("\n");
    assert!(notes.contains("`profile_bias_input_0` [N, 1000, 2] is fed zeros"), "{notes}");
    assert!(notes.contains("`counts_bias_input_0` [N, 2] is fed zeros"), "{notes}");
    let dense = bindscan::model::onnx::dense::rewrite(&model.graph, &model.input, &model.output, 2114);
    assert!(dense.is_ok(), "{:?}", dense.err());
    if !library_is_there() {
        return;
    }
    let want = &expected()["named.keras2.h5"];
    let directory = tempfile::tempdir().unwrap();
    let file = folder().join("named.keras2.h5");
    fs::write(directory.path().join("s.fa"), format!(">s\n{}\n", want.sequences[0])).unwrap();
    let words = format!("scan -m {} --head logcounts_predictions --strand + --all s.fa", file.display());
    let line = stdout(directory.path(), &words);
    let score: f32 = line.trim().split('\t').nth(6).unwrap().parse().unwrap();
    assert_close(&[score], &want.outputs["logcounts_predictions"].values, "scan");
}

/// A layer that reads a window from end to end has no flanks, and the message names the node.
#[test]
fn recurrent_layers_have_no_flanks() {
    let model = Model::open(folder().join("recurrent.keras")).unwrap();
    let error = unpad(&model.graph, &model.input, &model.output, model.spec.window).unwrap_err();
    assert!(error.contains("GRU `") && error.contains("reads a window from end to end"), "{error}");
}

#[test]
fn the_program_writes_what_it_says() {
    let directory = tempfile::tempdir().unwrap();
    let file = folder().join("bias_corrected.keras2.h5");
    let output = run(directory.path(), &format!("import keras {} -o m.onnx", file.display()));
    let said = String::from_utf8(output.stderr).unwrap();
    assert_eq!(output.status.code(), Some(0), "{said}");
    assert_eq!(
        said,
        "bindscan: sequence [N, 200, 4] -> logits_profile_predictions [N, 100], logcount_predictions [N, 1] written to m.onnx\n"
    );
    let page = stdout(directory.path(), "inspect m.onnx --head logcount_predictions");
    assert!(page.contains("scanned by       the dense engine: all"), "{page}");
}

#[test]
fn what_cannot_be_read_is_named() {
    let directory = tempfile::tempdir().unwrap();
    let at = directory.path();
    fs::write(at.join("text.h5"), "no model").unwrap();
    let line = error_line(at, "import keras text.h5 -o m.onnx");
    assert!(
        line.contains("text.h5: not a Keras file; an HDF5 file (.h5) or a .keras archive is read"),
        "{line}"
    );
    let bytes = fs::read(folder().join("pools.keras2.h5")).unwrap();
    fs::write(at.join("short.h5"), &bytes[..bytes.len() / 3]).unwrap();
    let line = error_line(at, "import keras short.h5 -o m.onnx");
    assert!(line.contains("short.h5: "), "{line}");
    let bytes = fs::read(folder().join("pools.keras")).unwrap();
    fs::write(at.join("short.keras"), &bytes[..bytes.len() / 3]).unwrap();
    let line = error_line(at, "import keras short.keras -o m.onnx");
    assert!(line.contains("the archive is damaged"), "{line}");
    // A class that is not known, of the same length, where the layers are described.
    let bytes = fs::read(folder().join("pools.keras2.h5")).unwrap();
    let text = b"\"class_name\": \"MaxPooling1D\"";
    let place = bytes.windows(text.len()).position(|part| part == text).unwrap();
    let mut changed = bytes.clone();
    changed[place..place + text.len()].copy_from_slice(b"\"class_name\": \"BoxPooling1D\"");
    fs::write(at.join("box.h5"), changed).unwrap();
    let line = error_line(at, "import keras box.h5 -o m.onnx");
    assert!(line.contains("layer `max_pooling1d` (BoxPooling1D) is not known; known are Conv1D"), "{line}");
    assert!(!at.join("m.onnx").exists());
}

/// Damage anywhere gives an error or a model, and never a panic.
#[test]
fn damaged_files_do_not_panic() {
    let directory = tempfile::tempdir().unwrap();
    let path = directory.path().join("damaged.h5");
    let bytes = fs::read(folder().join("pools.keras2.h5")).unwrap();
    for at in (8..bytes.len().min(12_000)).step_by(37) {
        let mut damaged = bytes.clone();
        damaged[at] ^= 0x5a;
        fs::write(&path, damaged).unwrap();
        if let Err(error) = keras::open(&path) {
            assert!(!error.to_string().contains('\n'), "{error}");
        }
    }
}

/// The weights of a sound archive behind another description.
fn redescribed(description: &Value) -> Vec<u8> {
    let mut sound = ZipArchive::new(File::open(folder().join("pools.keras")).unwrap()).unwrap();
    let mut archive = ZipWriter::new(Cursor::new(Vec::new()));
    for name in ["config.json", "metadata.json", "model.weights.h5"] {
        archive.start_file(name, SimpleFileOptions::default()).unwrap();
        if name == "config.json" {
            archive.write_all(description.to_string().as_bytes()).unwrap();
        } else {
            std::io::copy(&mut sound.by_name(name).unwrap(), &mut archive).unwrap();
        }
    }
    archive.finish().unwrap().into_inner()
}

fn described() -> Value {
    let mut sound = ZipArchive::new(File::open(folder().join("pools.keras")).unwrap()).unwrap();
    serde_json::from_reader(sound.by_name("config.json").unwrap()).unwrap()
}

/// Puts `number` wherever a whole number stands, one place after the other.
fn with_number(description: &Value, number: u64) -> Vec<Value> {
    fn places(value: &Value, path: &str, found: &mut Vec<String>) {
        match value {
            Value::Object(object) => {
                object.iter().for_each(|(key, value)| places(value, &format!("{path}/{key}"), found));
            }
            Value::Array(values) => {
                values.iter().enumerate().for_each(|(i, value)| places(value, &format!("{path}/{i}"), found));
            }
            Value::Number(number) if number.is_u64() => found.push(path.to_owned()),
            _ => {}
        }
    }
    let mut found = Vec::new();
    places(description, "", &mut found);
    let changed = |path: &String| {
        let mut description = description.clone();
        *description.pointer_mut(path).unwrap() = number.into();
        description
    };
    found.iter().map(changed).collect()
}

#[test]
fn sizes_that_no_network_has_are_refused() {
    let directory = tempfile::tempdir().unwrap();
    let path = directory.path().join("m.keras");
    let description = described();
    let mut refused = 0;
    for number in [u64::MAX, 1 << 63, 1 << 62, (1 << 32) + 1, 0] {
        for changed in with_number(&description, number) {
            fs::write(&path, redescribed(&changed)).unwrap();
            if let Err(error) = keras::open(&path) {
                assert_eq!(error.to_string().lines().count(), 1, "{error}");
                refused += usize::from(error.to_string().contains("up to 16777216"));
            }
        }
    }
    assert!(refused > 20, "{refused}");
}

/// A layer of one activation that reads another one, as Keras 2 writes it.
fn activation(name: &str, reads: &str) -> Value {
    json!({"class_name": "Activation", "name": name, "config": {"name": name, "activation": "relu"},
        "inbound_nodes": [[[reads, 0, 0, {}]]]})
}

fn functional(layers: Vec<Value>, output: &str) -> Value {
    let input = json!({"class_name": "InputLayer", "name": "in", "inbound_nodes": [],
        "config": {"name": "in", "batch_shape": [null, 10, 4]}});
    let layers: Vec<Value> = [input].into_iter().chain(layers).collect();
    json!({"class_name": "Functional", "name": "m", "config": {"name": "m", "layers": layers,
        "input_layers": [["in", 0, 0]], "output_layers": [[output, 0, 0]]}})
}

#[test]
fn networks_within_networks_and_layers_in_any_order_end() {
    let directory = tempfile::tempdir().unwrap();
    let path = directory.path().join("m.keras");
    // Twelve calls of a network that has twelve calls of a network, and so on.
    let mut nested = functional(vec![activation("x", "in")], "x");
    for _ in 0..7 {
        nested["name"] = "x".into();
        nested["config"]["name"] = "x".into();
        nested["inbound_nodes"] = json!(vec![json!([["in", 0, 0, {}]]); 12]);
        nested = functional(vec![nested], "x");
    }
    fs::write(&path, redescribed(&nested)).unwrap();
    let error = keras::open(&path).unwrap_err().to_string();
    assert!(error.contains("100000 calls of layers"), "{error}");
    // Every layer before the one that it reads.
    let layers = (0..5_000).rev().map(|i| match i {
        0 => activation("a0", "in"),
        i => activation(&format!("a{i}"), &format!("a{}", i - 1)),
    });
    fs::write(&path, redescribed(&functional(layers.collect(), "a4999"))).unwrap();
    assert_eq!(keras::open(&path).unwrap().outputs, ["a4999 [N, 10, 4]"]);
}

#[test]
fn channels_joined_again_and_again_are_bounded() {
    let directory = tempfile::tempdir().unwrap();
    let path = directory.path().join("m.keras");
    let join = |i: usize| {
        let reads = if i == 0 { "in".to_owned() } else { format!("c{}", i - 1) };
        json!({"class_name": "Concatenate", "name": format!("c{i}"), "config": {"name": format!("c{i}"), "axis": -1},
            "inbound_nodes": [[[reads, 0, 0, {}], [reads, 0, 0, {}]]]})
    };
    fs::write(&path, redescribed(&functional((0..70).map(join).collect(), "c69"))).unwrap();
    let error = keras::open(&path).unwrap_err().to_string();
    assert!(error.contains("layer `c22` (Concatenate) joins more than 16777216 numbers"), "{error}");
}
