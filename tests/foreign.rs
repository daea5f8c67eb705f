//! Models made elsewhere: channels in another order, some of the outputs, outputs at base resolution.

mod common;

use std::path::{Path, PathBuf};

use bindscan::engine::onnx::OnnxEngine;
use bindscan::engine::reference::window_scores;
use bindscan::engine::{Context, Device, Scores, StrandChoice, WindowPlan};
use bindscan::model::{Model, bundled};
use bindscan::source::Chunk;
use common::onnx::{assert_same, codes, library_is_there, scores};
use common::{error_line, stdout};
use rand::SeedableRng;
use rand_xoshiro::Xoshiro256PlusPlus as Random;

fn path(name: &str) -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/data/pytorch").join(format!("{name}.onnx"))
}

fn exported(name: &str) -> Model {
    Model::open(path(name)).unwrap()
}

fn plan(window: usize) -> WindowPlan {
    WindowPlan { window, stride: 1, strands: StrandChoice::Forward, context: Context::Padding }
}

fn words(outputs: &[&str]) -> Vec<String> {
    outputs.iter().map(|&output| output.to_owned()).collect()
}

/// With every base as its complement.
fn complemented(codes: &[u8]) -> Vec<u8> {
    codes.iter().map(|&code| if code < 4 { 3 - code } else { code }).collect()
}

fn score_with(model: &Model, codes: &[u8], dense: bool) -> Scores {
    let engine = OnnxEngine::new(model, Device::Cpu).unwrap();
    let mut engine = if dense { engine.with_dense_graphs() } else { engine };
    let found = scores(&mut engine, &Chunk::whole("c", codes.to_vec()), &plan(model.spec.window)).unwrap();
    assert_eq!(engine.is_dense(), dense, "{}", model.spec.name);
    found
}

#[test]
fn channels_in_another_order_are_other_letters() {
    let codes = codes(&mut Random::seed_from_u64(1), 400);
    for name in ["plain.dynamo", "normalised.torchscript", "image.dynamo", "last.torchscript"] {
        let usual = exported(name);
        let turned = usual.clone().with_channels("TGCA").unwrap();
        let (Ok(a), Ok(b)) = (&usual.network, &turned.network) else { panic!("{name}") };
        let window = &codes[..24];
        assert_eq!(window_scores(b, window, false), window_scores(a, &complemented(window), false), "{name}");
        // It is kept in the file.
        let again = Model::from_bytes(name, &turned.to_bytes()).unwrap();
        assert_eq!((again.spec.channels.as_deref(), &again.network), (Some("TGCA"), &turned.network));
        assert_eq!(turned.with_channels("ACGT").unwrap().network, usual.network);
    }
    if !library_is_there() {
        return;
    }
    for (name, dense) in [("tasks.dynamo", true), ("keras.torchscript", true), ("same.dynamo", false)] {
        let usual = exported(name);
        let turned = usual.clone().with_channels("TGCA").unwrap();
        let want = score_with(&usual, &complemented(&codes), dense);
        assert_same(&score_with(&turned, &codes, dense), &want);
    }
}

#[test]
fn some_of_the_outputs_are_those_columns_of_all() {
    let codes = codes(&mut Random::seed_from_u64(2), 500);
    let all = exported("full.dynamo");
    let second = all.clone().with_outputs(&words(&["score_1"])).unwrap();
    assert_eq!(second.spec.outputs, ["score_1"]);
    let of = |model: &Model| window_scores(model.network.as_ref().unwrap(), &codes[..24], false);
    assert_eq!(of(&second), of(&all)[1..]);
    for (wanted, message) in [
        (words(&["score_2"]), "has no output score_2; it has score_0, score_1"),
        (words(&["2"]), "has no output 2"),
        (words(&["1", "score_1"]), "named twice"),
    ] {
        let error = all.clone().with_outputs(&wanted).unwrap_err().to_string();
        assert!(error.contains(message), "{error}");
    }
    if !library_is_there() {
        return;
    }
    for (name, dense) in [("tasks.torchscript", true), ("strided.dynamo", true)] {
        let all = exported(name);
        let outputs = all.spec.outputs.len();
        let some = all.clone().with_outputs(&words(&["2", "score_0"])).unwrap();
        let (want, have) = (score_with(&all, &codes, dense), score_with(&some, &codes, dense));
        assert_eq!((want.outputs, have.outputs), (outputs, 2));
        for (column, rank) in [2, 0].into_iter().enumerate() {
            let of = |scores: &Scores, output: usize| {
                scores.forward[output * scores.windows..][..scores.windows].to_vec()
            };
            let pairs = of(&have, column).into_iter().zip(of(&want, rank));
            assert!(pairs.into_iter().all(|(x, y)| (x - y).abs() < 1e-5), "{name}");
        }
    }
}

#[test]
fn a_profile_scores_by_its_highest_position() {
    for name in ["profile.torchscript", "profile.dynamo", "tracks.torchscript", "tracks.dynamo"] {
        let model = exported(name);
        assert_eq!((model.spec.outputs.len(), model.spec.window), (2, 40), "{name}");
    }
    if !library_is_there() {
        return;
    }
    let codes = codes(&mut Random::seed_from_u64(3), 300);
    let want = score_with(&exported("profile.torchscript"), &codes, true);
    for name in ["profile.torchscript", "profile.dynamo", "tracks.torchscript", "tracks.dynamo"] {
        assert_same(&score_with(&exported(name), &codes, true), &want);
        assert_same(&score_with(&exported(name), &codes, false), &want);
    }
}

#[test]
fn the_command_line_says_what_is_wrong() {
    let directory = tempfile::tempdir().unwrap();
    let at = directory.path();
    std::fs::write(at.join("a.fa"), format!(">a\n{}\n", "ACGTTGCATT".repeat(12))).unwrap();
    let full = path("full.dynamo");
    let scan = format!("scan -m {} a.fa --all --format tsv --strand +", full.display());
    let both = stdout(at, &scan);
    let one = stdout(at, &format!("{scan} --target 1"));
    let rows =
        |text: &str| text.lines().filter(|line| line.contains("score_1")).map(fields).collect::<Vec<_>>();
    let fields_of_one: Vec<String> = one.lines().skip(1).map(fields).collect();
    assert_eq!(rows(&both), fields_of_one);
    for (options, message) in [
        ("--target score_7", "has no output score_7"),
        ("--channels ACG", "it must have A, C, G and T once each"),
        ("--channels ACGG", "it must have A, C, G and T once each"),
    ] {
        let line = error_line(at, &format!("{scan} {options}"));
        assert!(line.contains(message), "{line}");
    }
    let (name, bytes) = bundled::find("ELK1").unwrap();
    std::fs::write(at.join("model.onnx"), bytes).unwrap();
    let line = error_line(at, "calibrate model.onnx --target 0 --background a.fa");
    assert!(line.contains("-o FILE") && name == "ELK1", "{line}");
}

/// Place and score of a row.
fn fields(row: &str) -> String {
    let fields: Vec<&str> = row.split('\t').collect();
    format!("{} {} {}", fields[1], fields[2], fields[fields.len() - 1])
}
