//! The JSON that a model file carries: any text gives a model that is described, written and scanned with, or an error in one
//! line.

#![no_main]

use std::path::PathBuf;
use std::sync::LazyLock;

use bindscan::Scan;
use bindscan::engine::planned::{PlanOptions, Planned};
use bindscan::model::onnx::{ModelProto, set_metadata};
use bindscan::model::{Model, SPEC_KEY, inspect::inspect};
use libfuzzer_sys::fuzz_target;
use prost::Message;
use tempfile::TempDir;

static GENOME: LazyLock<(TempDir, PathBuf)> = LazyLock::new(|| {
    let directory = tempfile::tempdir().expect("a temporary folder");
    let path = directory.path().join("genome.fa");
    let bases = "ACCGGAAGTGCATTACCTAGGATCNNNACGT".repeat(6);
    std::fs::write(&path, format!(">a\n{bases}\n>b\nACGT\n")).expect("a temporary file");
    (directory, path)
});

static GRAPH: LazyLock<ModelProto> = LazyLock::new(|| Model::find("ELK1").expect("a bundled model").graph);

/// Longest window that is scanned with.
const LONGEST: usize = 500;

fuzz_target!(|text: &str| {
    let mut graph = GRAPH.clone();
    set_metadata(&mut graph, SPEC_KEY, text.to_owned());
    let model = match Model::from_bytes("fuzz", &graph.encode_to_vec()) {
        Ok(model) => model,
        Err(error) => {
            assert_eq!(error.to_string().lines().count(), 1, "{error}");
            return;
        }
    };
    let _ = inspect(&model).to_string();
    let again = Model::from_bytes("fuzz", &model.to_bytes()).expect("what was written");
    assert_eq!(again.spec, model.spec);
    let (_, genome) = &*GENOME;
    if model.spec.window <= LONGEST {
        let plan = Planned::new(model.clone(), &PlanOptions::default()).expect("a plan").plan().clone();
        // Where a stored distribution does not fit, another one is sampled, which takes its time.
        let has_null = model.spec.null.as_ref().is_some_and(|null| null.fits(&plan).is_ok());
        let scan = Scan::new(genome).model(model).threads(1);
        let scan = if has_null { scan.pvalue(0.01) } else { scan.threshold(0.0) };
        for site in scan.sites().into_iter().flatten() {
            if let Err(error) = site {
                assert_eq!(error.to_string().lines().count(), 1, "{error}");
            }
        }
    }
});
