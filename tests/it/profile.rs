//! Expected counts at base resolution, against what the network's heads give for each tile.
//!
//! Without the ONNX Runtime library these tests are skipped, unless `BINDSCAN_REQUIRE_ONNXRUNTIME=1` is set.

use std::fs;
use std::path::{Path, PathBuf};

use bindscan::engine::Device;
use bindscan::engine::onnx::graph::{Graph, Named};
use bindscan::model::onnx::decode;
use bindscan::track::bigwig::{Reader, Values};
use rand::{RngExt, SeedableRng};
use rand_xoshiro::Xoshiro256PlusPlus as Random;

use crate::common::onnx::library_is_there;
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
