//! Expected counts at base resolution, against what the network's heads give for each tile.
//!
//! Without the ONNX Runtime library these tests are skipped, unless `BINDSCAN_REQUIRE_ONNXRUNTIME=1` is set.

use std::fs;
use std::path::{Path, PathBuf};
use std::sync::Arc;

use bindscan::engine::Device;
use bindscan::engine::onnx::graph::{Graph, Named};
use bindscan::io::output::Output;
use bindscan::model::onnx::tensor::Tensor;
use bindscan::model::onnx::{ModelProto, decode};
use bindscan::seq::contig::Contig;
use bindscan::track::bigwig::{BaseSink, Reader, Values};
use prost::Message;
use rand::{RngExt, SeedableRng};
use rand_xoshiro::Xoshiro256PlusPlus as Random;

use crate::common::onnx::{int, ints, library_is_there, model, node, value};
use crate::common::{error_line, stdout};

fn keras(name: &str) -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/data/keras").join(name)
}

/// The values of a bigWig, of a contig with so many bases; minus one where there is none.
fn values(path: &Path, contig: &str, length: usize) -> Vec<f32> {
    let mut reader = Reader::open(path).unwrap();
    let rank = reader.contigs().iter().position(|other| other.name == contig).unwrap();
    let (mut values, mut read) = (vec![-1.0; length], Values::default());
    while reader.read(&mut read).unwrap() {
        for &(start, end, value) in read.stretches.iter().filter(|_| read.contig == rank) {
            values[start as usize..end as usize].fill(value);
        }
    }
    values
}

fn genome(directory: &Path, lengths: &[usize]) -> Vec<String> {
    let mut random = Random::seed_from_u64(5);
    let mut letters = |length: usize| {
        (0..length).map(|_| b"ACGTN"[random.random_range(0..41) % 5] as char).collect::<String>()
    };
    let contigs: Vec<String> = lengths.iter().map(|&length| letters(length)).collect();
    let text: String = contigs.iter().enumerate().map(|(i, bases)| format!(">c{i}\n{bases}\n")).collect();
    fs::write(directory.join("g.fa"), text).unwrap();
    contigs
}

/// Columns of the bases from `start` on; zeros for N and past the ends.
fn window(contig: &str, start: i64, length: usize) -> Vec<f32> {
    let column = |at: i64| {
        let letter =
            usize::try_from(at).ok().and_then(|at| contig.as_bytes().get(at).copied()).unwrap_or(b'N');
        [b'A', b'C', b'G', b'T'].map(|base| f32::from(u8::from(base == letter)))
    };
    (start..start + length as i64).flat_map(column).collect()
}

/// Outputs of the heads of a model for a window.
struct Model {
    graph: Graph,
    window: usize,
}

impl Model {
    fn open(path: &Path, window: usize) -> Model {
        let decoded = decode("model", &fs::read(path).unwrap().into(), None).unwrap();
        Model { graph: Graph::open("model", &decoded.model, Device::Cpu).unwrap(), window }
    }

    fn run(&self, contig: &str, start: i64) -> (Vec<f32>, f64) {
        let values = window(contig, start, self.window);
        let input = Named { name: "sequence".into(), dims: vec![1, self.window, 4], values };
        let [profile, counts] = &self.graph.run(&[input]).unwrap()[..] else { panic!("two heads") };
        (profile.values.clone(), f64::from(counts.values[0]))
    }
}

fn assert_close(have: f32, want: f64, what: &str) {
    assert!((f64::from(have) - want).abs() <= 1e-4 * want.abs().max(1e-3), "{what}: {have} against {want}");
}

/// One track: contigs and regions, with and without overlap, whatever the threads.
#[test]
fn counts_are_the_profiles_share_of_their_sum() {
    if !library_is_there() {
        return;
    }
    let directory = tempfile::tempdir().unwrap();
    let at = directory.path();
    let contigs = genome(at, &[730, 40]);
    stdout(at, &format!("import keras {} -o m.onnx", keras("bias_corrected.keras2.h5").display()));
    let model = Model::open(&at.join("m.onnx"), 200);
    for overlap in [0, 30] {
        let step = 100 - overlap;
        stdout(at, &format!("profile -m m.onnx g.fa -o all.bw --tile-overlap {overlap} -t 1"));
        for (rank, contig) in contigs.iter().enumerate() {
            let found = values(&at.join("all.bw"), &format!("c{rank}"), contig.len());
            for (position, &value) in found.iter().enumerate() {
                let tile = position / step;
                let first = (tile * step) as i64 - overlap as i64 / 2;
                let (profile, counts) = model.run(contig, first - 50);
                let sum: f64 = profile.iter().map(|&x| f64::from(x).exp()).sum();
                let own = f64::from(profile[(position as i64 - first) as usize]).exp();
                assert_close(
                    value,
                    own / sum * counts.exp(),
                    &format!("c{rank}, base {position}, overlap {overlap}"),
                );
            }
        }
        stdout(at, &format!("profile -m m.onnx g.fa -o part.bw --tile-overlap {overlap} -t 3 -r c0:151-420"));
        let (all, part) = (values(&at.join("all.bw"), "c0", 730), values(&at.join("part.bw"), "c0", 730));
        assert_eq!(part[150..420], all[150..420]);
        assert!(part[..150].iter().chain(&part[420..]).all(|&value| value < 0.0));
    }
    // The mean of a model with itself is its own.
    stdout(at, "profile -m m.onnx -m m.onnx g.fa -o twice.bw --tile-overlap 30");

    let (all, twice) = (values(&at.join("all.bw"), "c0", 730), values(&at.join("twice.bw"), "c0", 730));
    all.iter().zip(&twice).for_each(|(&x, &y)| assert_close(y, x.into(), "twice"));
}

/// Two strands and control tracks: the sum is that of both strands.
#[test]
fn strands_share_their_sum() {
    if !library_is_there() {
        return;
    }
    let directory = tempfile::tempdir().unwrap();
    let at = directory.path();
    let contigs = genome(at, &[1500]);
    let file = keras("named.keras2.h5");
    let words = format!("profile -m {} g.fa -o c.bw", file.display());
    let line = error_line(at, &words);
    assert!(
        line.contains("c.bw: the model has a track for each strand; put {strand} into the name"),
        "{line}"
    );
    stdout(at, &format!("profile -m {} g.fa -o c.{{strand}}.bw -r c0:1-1000", file.display()));
    stdout(at, &format!("import keras {} -o m.onnx", file.display()));
    let (profile, counts) = Model::open(&at.join("m.onnx"), 2114).run(&contigs[0], -557);
    let sum: f64 = profile.iter().map(|&x| f64::from(x).exp()).sum();
    for (track, strand) in ["plus", "minus"].into_iter().enumerate() {
        let found = values(&at.join(format!("c.{strand}.bw")), "c0", 1500);
        for position in (0..1000).step_by(7) {
            let own = f64::from(profile[2 * position + track]).exp();
            assert_close(found[position], own / sum * counts.exp(), &format!("{strand}, base {position}"));
        }
    }
}

#[test]
fn what_is_no_profile_model_is_refused() {
    if !library_is_there() {
        return;
    }
    let directory = tempfile::tempdir().unwrap();
    let at = directory.path();
    genome(at, &[300]);
    let line = error_line(at, &format!("profile -m {} g.fa -o c.bw", keras("pools.keras").display()));
    assert!(line.contains("is a profile: a value at each position"), "{line}");
    let model = keras("bias_corrected.keras2.h5");
    let line = error_line(at, &format!("profile -m {} g.fa -o c.bedgraph", model.display()));
    assert!(line.contains("c.bedgraph: counts are written as bigWig"), "{line}");
    let line = error_line(at, &format!("profile -m {} g.fa -o c.bw --tile-overlap 100", model.display()));
    assert!(line.contains("--tile-overlap 100: tiles have 100 positions; give fewer"), "{line}");
    let line = error_line(at, &format!("profile -m {} g.fa -o c.bw --counts-head x", model.display()));
    assert!(
        line.contains("it has no head x; it has logits_profile_predictions, logcount_predictions"),
        "{line}"
    );
    assert!(!at.join("c.bw").exists());
}

/// A profile network with control tracks, `window` bases and `positions`, which are added to what the sequence gives.
fn with_controls(positions: usize, channels_first: bool, sums: usize) -> ModelProto {
    const WINDOW: usize = 40;
    let mut random = Random::seed_from_u64(11);
    let mut tensor = |name: &str, dims: &[usize]| {
        Tensor::floats(dims, (0..dims.iter().product()).map(|_| random.random_range(-0.5..0.5f32)).collect())
            .write(name)
    };
    let kernel = WINDOW - positions + 1;
    let constants =
        vec![tensor("filters", &[2, 4, kernel]), tensor("share", &[1]), tensor("weights", &[2 + sums, 1])];
    let mut nodes = vec![
        node("Transpose", &["sequence"], "turned", vec![ints("perm", &[0, 2, 1])]),
        node("Conv", &["turned", "filters"], "by_track", vec![ints("kernel_shape", &[kernel])]),
        node("Transpose", &["by_track"], "found", vec![ints("perm", &[0, 2, 1])]),
    ];
    let control = if channels_first {
        nodes.push(node("Transpose", &["profile_bias_input_0"], "control", vec![ints("perm", &[0, 2, 1])]));
        "control"
    } else {
        "profile_bias_input_0"
    };
    nodes.extend([
        node("Mul", &[control, "share"], "shared", vec![]),
        node("Add", &["found", "shared"], "profile", vec![]),
        node("GlobalAveragePool", &["by_track"], "means", vec![]),
        node("Flatten", &["means"], "flat", vec![int("axis", 1)]),
        node("Concat", &["flat", "counts_bias_input_0"], "all", vec![int("axis", 1)]),
        node("MatMul", &["all", "weights"], "logcounts", vec![]),
    ]);
    let (positions, sums) = (positions as i64, sums as i64);
    let outputs =
        vec![value("profile", &[None, Some(positions), Some(2)]), value("logcounts", &[None, Some(1)])];
    let mut model =
        model(value("sequence", &[None, Some(WINDOW as i64), Some(4)]), nodes, constants, outputs);
    let profile = if channels_first { [Some(2), Some(positions)] } else { [Some(positions), Some(2)] };
    let inputs = &mut model.graph.as_mut().unwrap().input;
    inputs.push(value("profile_bias_input_0", &[None, profile[0], profile[1]]));
    inputs.push(value("counts_bias_input_0", &[None, Some(sums)]));
    model
}

/// Writes a bigWig of reads, a row of values a contig; NaN where there are none.
fn write_reads(path: &Path, contigs: &[(&str, &[f32])]) {
    let list: Vec<Arc<Contig>> = contigs
        .iter()
        .enumerate()
        .map(|(id, (name, reads))| {
            Arc::new(Contig { id, name: (*name).into(), length: Some(reads.len() as u64) })
        })
        .collect();
    let mut sink = BaseSink::new(Output::create(path).unwrap(), "").unwrap();
    for (contig, (_, reads)) in list.iter().zip(contigs) {
        for (start, &value) in reads.iter().enumerate().filter(|(_, value)| !value.is_nan()) {
            sink.write(contig, start as u64, &[value]).unwrap();
        }
    }
    sink.seal(&list).unwrap().publish().unwrap();
}

fn reads(random: &mut Random, length: usize) -> Vec<f32> {
    let read = |_| match random.random_range(0..3) {
        0 => f32::NAN,
        1 => 0.0,
        _ => random.random_range(1..9) as f32,
    };
    (0..length).map(read).collect()
}

#[test]
fn control_tracks_are_fed_as_the_shapes_of_the_inputs_say() {
    if !library_is_there() {
        return;
    }
    let directory = tempfile::tempdir().unwrap();
    let at = directory.path();
    let contigs = genome(at, &[150, 90, 60]);
    let mut random = Random::seed_from_u64(3);
    let tracks: Vec<Vec<Vec<f32>>> =
        (0..2).map(|_| [150, 90].map(|length| reads(&mut random, length)).to_vec()).collect();
    // The third contig has no values, and another that the genome lacks has.
    for (track, name) in tracks.iter().zip(["plus.bw", "minus.bw"]) {
        write_reads(&at.join(name), &[("other", &[5.0; 30]), ("c0", &track[0]), ("c1", &track[1])]);
    }
    for (positions, channels_first, sums) in [(20, false, 2), (20, true, 1), (24, false, 1)] {
        let proto = with_controls(positions, channels_first, sums);
        fs::write(at.join("m.onnx"), proto.encode_to_vec()).unwrap();
        stdout(at, "profile -m m.onnx g.fa -o c.{strand}.bw --control plus.bw --control minus.bw -t 2");
        let graph = Graph::open("m", &proto, Device::Cpu).unwrap();
        let found = ["plus", "minus"].map(|strand| {
            let file = at.join(format!("c.{strand}.bw"));
            [0, 1, 2].map(|rank| values(&file, &format!("c{rank}"), contigs[rank].len()))
        });
        for (rank, contig) in contigs.iter().enumerate() {
            for first in (0..contig.len()).step_by(positions) {
                let before = (40 - positions) / 2;
                // Reads at a position, which may lie past the end.
                let read = |track: usize, at: usize| {
                    let all = tracks[track].get(rank);
                    all.and_then(|all| all.get(first + at)).copied().filter(|x| !x.is_nan()).unwrap_or(0.0)
                };
                let sum = |track| (0..positions).map(|at| f64::from(read(track, at))).sum::<f64>();
                let profile: Vec<f32> = match channels_first {
                    true => (0..2)
                        .flat_map(|t| (0..positions).map(move |at| (t, at)))
                        .map(|(t, at)| read(t, at))
                        .collect(),
                    false => (0..positions).flat_map(|at| [read(0, at), read(1, at)]).collect(),
                };
                let logs = match sums {
                    1 => vec![(1.0 + sum(0) + sum(1)).ln() as f32],
                    _ => vec![(1.0 + sum(0)).ln() as f32, (1.0 + sum(1)).ln() as f32],
                };
                let dims = if channels_first { vec![1, 2, positions] } else { vec![1, positions, 2] };
                let sequence = window(contig, first as i64 - before as i64, 40);
                let named = |name: &str, dims, values| Named { name: name.into(), dims, values };
                let outputs = graph
                    .run(&[
                        named("sequence", vec![1, 40, 4], sequence),
                        named("profile_bias_input_0", dims, profile),
                        named("counts_bias_input_0", vec![1, sums], logs),
                    ])
                    .unwrap();
                let weights: Vec<f64> = outputs[0].values.iter().map(|&x| f64::from(x).exp()).collect();
                let scale = f64::from(outputs[1].values[0]).exp() / weights.iter().sum::<f64>();
                for position in first..(first + positions).min(contig.len()) {
                    for track in 0..2 {
                        let want = weights[2 * (position - first) + track] * scale;
                        assert_close(
                            found[track][rank][position],
                            want,
                            &format!("c{rank}, base {position}"),
                        );
                    }
                }
            }
        }
    }
}

#[test]
fn zeros_as_control_tracks_are_none() {
    if !library_is_there() {
        return;
    }
    let directory = tempfile::tempdir().unwrap();
    let at = directory.path();
    genome(at, &[1500]);
    write_reads(&at.join("zero.bw"), &[("c0", &[0.0; 1500])]);
    let file = keras("named.keras2.h5");
    let words = format!("profile -m {} g.fa -r c0:1-1000 -o", file.display());
    stdout(at, &format!("{words} none.{{strand}}.bw"));
    stdout(at, &format!("{words} zero.{{strand}}.bw --control zero.bw --control zero.bw"));
    for strand in ["plus", "minus"] {
        let file = |name: &str| values(&at.join(format!("{name}.{strand}.bw")), "c0", 1500);
        assert_eq!(file("zero"), file("none"));
    }
}

#[test]
fn control_tracks_that_do_not_fit_are_refused() {
    if !library_is_there() {
        return;
    }
    let directory = tempfile::tempdir().unwrap();
    let at = directory.path();
    genome(at, &[150]);
    fs::write(at.join("m.onnx"), with_controls(20, false, 2).encode_to_vec()).unwrap();
    write_reads(&at.join("good.bw"), &[("c0", &[1.0; 150])]);
    write_reads(&at.join("long.bw"), &[("c0", &[1.0; 151])]);
    write_reads(&at.join("other.bw"), &[("chr0", &[1.0; 150])]);
    write_reads(&at.join("negative.bw"), &[("c0", &[-2.0; 150])]);
    let bias = keras("bias_corrected.keras2.h5");
    let cases = [
        ("m.onnx --control good.bw", "has 2 channels, and control tracks are 1: give --control once"),
        (
            "m.onnx --control good.bw --control long.bw",
            "long.bw: c0 has 151 bases there and 150 in the genome",
        ),
        (
            "m.onnx --control good.bw --control other.bw",
            "other.bw: it has no contig of the genome; its first is chr0",
        ),
        ("m.onnx --control good.bw --control negative.bw", "negative.bw: has the value -2 at c0:1"),
        ("m.onnx --control good.bw --control g.fa", "g.fa: not a little-endian bigWig file"),
        (&format!("{} --control good.bw", bias.display()), "has no inputs for control tracks"),
    ];
    for (words, want) in cases {
        let line = error_line(at, &format!("profile -m {words} g.fa -o c.{{strand}}.bw"));
        assert!(line.contains(want), "{line}");
        assert!(!at.join("c.plus.bw").exists());
    }
}
