//! Models with large weights: these are held once, and the file is read where it lies.

use std::fs;
use std::io::{BufRead, BufReader, Write};
use std::process::Stdio;

use bindscan::engine::Device;
use bindscan::engine::onnx::OnnxEngine;
use bindscan::model::Model;
use bindscan::model::onnx::proto::{ModelProto, TensorProto};
use bindscan::model::onnx::tensor::Tensor;
use bindscan::seq::chunk::Chunk;
use bindscan::seq::window::{Context, StrandChoice, WindowPlan};
use prost::Message;
use rand::SeedableRng;
use rand_xoshiro::Xoshiro256PlusPlus as Random;

use crate::common::bindscan;
use crate::common::onnx::{
    assert_same, codes, floats, int, ints, library_is_there, model, node, scores, value,
};

const WINDOW: usize = 400;
const CELLS: usize = 8;

/// A network with a recurrent layer, so that windows are scored one at a time, and `units` hidden units that see all of its
/// positions, which have nearly all of the weights.
fn recurrent(units: usize) -> ModelProto {
    let mut random = Random::seed_from_u64(7);
    let mut tensor = |name: &str, dims: &[usize], scale: f32| -> TensorProto {
        let numbers = floats(&mut random, dims.iter().product());
        Tensor::floats(dims, numbers.iter().map(|x| x * scale).collect()).write(name)
    };
    let constants = vec![
        tensor("w", &[1, 4 * CELLS, 4], 1.0),
        tensor("r", &[1, 4 * CELLS, CELLS], 0.3),
        tensor("hidden", &[WINDOW * CELLS, units], 0.02),
        tensor("out", &[units, 1], 0.1),
        Tensor::ints(vec![-1, (WINDOW * CELLS) as i64]).write("flat"),
    ];
    let nodes = vec![
        node("Transpose", &["dna"], "steps", vec![ints("perm", &[2, 0, 1])]),
        node("LSTM", &["steps", "w", "r"], "cells", vec![int("hidden_size", CELLS)]),
        node("Transpose", &["cells"], "turned", vec![ints("perm", &[2, 0, 1, 3])]),
        node("Reshape", &["turned", "flat"], "all", vec![]),
        node("MatMul", &["all", "hidden"], "sums", vec![]),
        node("Relu", &["sums"], "active", vec![]),
        node("MatMul", &["active", "out"], "score", vec![]),
    ];
    let input = value("dna", &[None, Some(4), Some(WINDOW as i64)]);
    model(input, nodes, constants, vec![value("score", &[None, Some(1)])])
}

#[test]
fn the_graph_of_a_large_file_is_read_there_as_long_as_it_is_the_same() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("large.onnx");
    let bytes = recurrent(1600).encode_to_vec();
    fs::write(&path, &bytes).unwrap();
    let large = Model::open(&path).unwrap();
    assert_eq!(large.graph_file(), Some(&*path.canonicalize().unwrap()));
    let turned = large.clone().with_channels("TGCA").unwrap();
    assert!(turned.graph_file().is_some(), "the order of channels is none of the graph's");
    let mut other = large.clone();
    other.graph.graph.as_mut().unwrap().initializer[3] =
        Tensor::floats([1600, 1], vec![0.5; 1600]).write("out");
    assert_eq!(other.graph_file(), None);
    if library_is_there() {
        let mut random = Random::seed_from_u64(1);
        let chunk = Chunk::whole("c", codes(&mut random, WINDOW + 20));
        let plan =
            WindowPlan { window: WINDOW, stride: 3, strands: StrandChoice::Both, context: Context::Padding };
        let score =
            |model: &Model| scores(&mut OnnxEngine::new(model, Device::Cpu).unwrap(), &chunk, &plan).unwrap();
        let in_memory = Model::from_bytes("large", &bytes).unwrap();
        assert_eq!(in_memory.graph_file(), None);
        assert_same(&score(&large), &score(&in_memory));
        assert_ne!(score(&other).forward, score(&large).forward);
    }
    // A file that was replaced is not what was read.
    fs::write(folder.path().join("new"), &bytes[1..]).unwrap();
    fs::rename(folder.path().join("new"), &path).unwrap();
    assert_eq!(large.graph_file(), None);
    let small = folder.path().join("small.onnx");
    fs::write(&small, recurrent(10).encode_to_vec()).unwrap();
    assert_eq!(Model::open(&small).unwrap().graph_file(), None);
}

/// Most memory that a process has held so far, in bytes.
#[cfg(target_os = "linux")]
fn peak_memory(process: u32) -> u64 {
    let status = fs::read_to_string(format!("/proc/{process}/status")).unwrap();
    let line = status.lines().find(|line| line.starts_with("VmHWM:")).unwrap();
    line.split_whitespace().nth(1).unwrap().parse::<u64>().unwrap() * 1024
}

#[test]
#[cfg(target_os = "linux")]
fn weights_are_held_once_and_batches_are_bounded() {
    if !library_is_there() {
        return;
    }
    let folder = tempfile::tempdir().unwrap();
    let weights = folder.path().join("large.onnx");
    fs::write(&weights, recurrent(8000).encode_to_vec()).unwrap();
    let weights = fs::metadata(weights).unwrap().len();
    let words = "scan -m large.onnx - --all --format tsv --strand + -t 1 --stride 5 -o -";
    let mut child = bindscan(words.split_whitespace())
        .current_dir(folder.path())
        .stdin(Stdio::piped())
        .stdout(Stdio::piped())
        .spawn()
        .unwrap();
    // The first contig is over; the second keeps the process.
    let mut input = child.stdin.take().unwrap();
    let bases = "ACGTTGCA".repeat(WINDOW / 2);
    write!(input, ">a\n{bases}\n>b\n{bases}\n").unwrap();
    input.flush().unwrap();
    let mut lines = BufReader::new(child.stdout.take().unwrap()).lines();
    assert!(lines.next().unwrap().unwrap().starts_with("contig"));
    lines.next().unwrap().unwrap();
    let peak = peak_memory(child.id());
    drop(input);
    lines.for_each(|line| drop(line.unwrap()));
    assert!(child.wait().unwrap().success());
    // ONNX Runtime has them twice while it opens the graph.
    let most = 2 * weights + weights / 2 + (64 << 20);
    assert!(peak < most, "{peak} bytes for weights of {weights}");
}
