//! Scores of the published DeepBind program against each engine.
//!
//! All published scores are compared where the shared data are present; each such test says in one line that it is
//! skipped where they are absent. `tests/data/deepbind` has small models of our own with scores that an independent
//! implementation of the program's definition gives (`scripts/regenerate deepbind-golden`): they are compared in any clone.

use std::collections::BTreeMap;
use std::io::Read;
use std::path::{Path, PathBuf};
use std::sync::OnceLock;

use bindscan::engine;
use bindscan::engine::onnx::library::find_library;
use bindscan::engine::summary::{Summary, score_sequence};
use bindscan::engine::{Device, Engine, EngineKind, Workload};
use bindscan::model::{Model, Strands, deepbind};
use bindscan::scores::Scores;
use bindscan::seq::alphabet::encode;
use bindscan::seq::chunk::Chunk;
use bindscan::seq::window::{Context, StrandChoice, WindowPlan};
use flate2::read::MultiGzDecoder;

/// An engine under test. `every` thins out all but the smallest tables: the reference engine would need minutes.
#[derive(Clone, Copy)]
struct Candidate {
    kind: EngineKind,
    every: usize,
}

impl Candidate {
    fn engine(self, model: &Model) -> Box<dyn Engine> {
        engine::open(model, self.kind, Device::Cpu, 1, Workload::Sequences).unwrap().remove(0)
    }
}

/// Every engine; without ONNX Runtime (unless it is required) all but that one.
fn candidates() -> Vec<Candidate> {
    let required = std::env::var_os("BINDSCAN_REQUIRE_ONNXRUNTIME").is_some_and(|value| value == "1");
    let mut candidates = vec![
        Candidate { kind: EngineKind::Kernel, every: 1 },
        Candidate { kind: EngineKind::Reference, every: 13 },
    ];
    if required || find_library().is_ok() {
        candidates.push(Candidate { kind: EngineKind::Onnx, every: 1 });
    } else {
        eprintln!(
            "skipped: the onnx engine, since ONNX Runtime is not installed (scripts/install-onnxruntime)"
        );
    }
    candidates
}

/// One published score.
struct Case {
    model: String,
    sequence: String,
    score: f64,
}

/// The models and the folder of scores; `None`, said once, where they are absent.
fn data() -> Option<&'static (BTreeMap<String, Model>, PathBuf)> {
    static DATA: OnceLock<Option<(BTreeMap<String, Model>, PathBuf)>> = OnceLock::new();
    DATA.get_or_init(|| {
        let folder = Path::new(env!("CARGO_MANIFEST_DIR")).join("../shared/data");
        if !folder.join("golden").is_dir() {
            eprintln!("skipped: no published scores in {}", folder.display());
            return None;
        }
        Some((models(&folder.join("deepbind/params.tar.gz")), folder.join("golden")))
    })
    .as_ref()
}

/// Every parameter file of the archive, through the bytes of an ONNX file, by its stem.
fn models(archive: &Path) -> BTreeMap<String, Model> {
    let bytes = read(archive);
    let mut models = BTreeMap::new();
    let mut at = 0;
    while at + 512 <= bytes.len() && bytes[at] != 0 {
        let field = |from: usize, to: usize| {
            let text = String::from_utf8_lossy(&bytes[at + from..at + to]).into_owned();
            text.trim_matches(['\0', ' ']).to_owned()
        };
        let (path, size) = (field(0, 100), usize::from_str_radix(&field(124, 136), 8).unwrap());
        let name = path.rsplit('/').next().unwrap_or_default();
        if let Some(name) = name.strip_suffix(".txt").filter(|name| name.starts_with('D')) {
            let imported = deepbind::parse(&path, &bytes[at + 512..at + 512 + size]).unwrap();
            let read = Model::from_bytes(name, &imported.to_bytes()).unwrap();
            assert_eq!(read.network, imported.network);
            models.insert(name.to_owned(), read);
        }
        at += 512 + size.next_multiple_of(512);
    }
    models
}

fn read(path: &Path) -> Vec<u8> {
    let mut bytes = Vec::new();
    MultiGzDecoder::new(std::fs::File::open(path).unwrap()).read_to_end(&mut bytes).unwrap();
    bytes
}

fn table(path: &Path) -> Vec<Vec<String>> {
    let text = String::from_utf8(read(path)).unwrap();
    text.lines().map(|line| line.split('\t').map(str::to_owned).collect()).collect()
}

/// Cases of a table with sequences in the rows and models in the columns.
fn matrix(path: &Path) -> Vec<Case> {
    let rows = table(path);
    let case = |row: &Vec<String>, column: usize| Case {
        model: rows[0][column].clone(),
        sequence: row[0].clone(),
        score: row[column].parse().unwrap(),
    };
    rows[1..].iter().flat_map(|row| (1..row.len()).map(|column| case(row, column))).collect()
}

fn plan(model: &Model, window: Option<usize>, context: Context) -> WindowPlan {
    let strands = match model.spec.strands {
        Strands::Both => StrandChoice::Both,
        Strands::Single | Strands::Symmetric => StrandChoice::Forward,
    };
    WindowPlan { window: window.unwrap_or(model.spec.window), stride: 1, strands, context }
}

/// Difference in units of the tolerance's scale, max(1, |score|).
fn difference(found: f32, score: f64) -> f64 {
    (f64::from(found) - score).abs() / score.abs().max(1.0)
}

/// Scores the cases of published models, where the shared data are present.
fn check(what: &str, cases: &[Case], window: Option<usize>, context: Context, summary: Summary) {
    let Some((models, _)) = data() else { return };
    check_models(models, what, cases, window, context, summary);
}

/// Scores the cases with every engine on two threads, prints the worst difference, and fails above 1e-4.
fn check_models(
    models: &BTreeMap<String, Model>,
    what: &str,
    cases: &[Case],
    window: Option<usize>,
    context: Context,
    summary: Summary,
) {
    assert!(!cases.is_empty(), "{what} has no values");
    for candidate in candidates() {
        let every = if cases.len() < 100 { 1 } else { candidate.every };
        let mut by_model: BTreeMap<&str, Vec<&Case>> = BTreeMap::new();
        let mut tried = 0;
        for case in cases.iter().step_by(every) {
            by_model.entry(&case.model).or_default().push(case);
            tried += 1;
        }
        // Models with few cases each, or one with many: either way two shares of about the same size.
        let pieces: Vec<(&str, &[&Case])> = by_model
            .iter()
            .flat_map(|(&model, cases)| cases.chunks(cases.len().div_ceil(2)).map(move |half| (model, half)))
            .collect();
        let score = |&(name, cases): &(&str, &[&Case])| {
            let model = &models[name];
            let (mut engine, plan) = (candidate.engine(model), plan(model, window, context));
            let one = move |case: &&Case| {
                let codes = encode(case.sequence.as_bytes()).unwrap();
                let found = score_sequence(engine.as_mut(), &codes, &plan, summary).unwrap();
                (difference(found[0], case.score), format!("{} on {}", case.model, case.sequence))
            };
            cases.iter().map(one).max_by(by_difference).unwrap()
        };
        let worst = std::thread::scope(|scope| {
            let halves: Vec<_> = pieces
                .chunks(pieces.len().div_ceil(2))
                .map(|half| scope.spawn(move || half.iter().map(score).max_by(by_difference)))
                .collect();
            halves.into_iter().filter_map(|half| half.join().unwrap()).max_by(by_difference)
        });
        report(what, candidate, tried, cases.len(), &worst.unwrap());
    }
}

fn by_difference(a: &(f64, String), b: &(f64, String)) -> std::cmp::Ordering {
    a.0.total_cmp(&b.0)
}

fn report(what: &str, candidate: Candidate, tried: usize, of: usize, (worst, place): &(f64, String)) {
    let engine = candidate.kind;
    eprintln!("{what}, {engine}: worst difference {worst:.2e} in {tried} of {of} values ({place})");
    assert!(*worst <= 1e-4, "{what}, {engine}: {worst:e} at {place}");
}

#[test]
fn models_of_our_own_score_by_the_published_definition() {
    let folder = Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/data/deepbind");
    let text = std::fs::read_to_string(folder.join("scores.tsv")).unwrap();
    let rows: Vec<Vec<&str>> = text.lines().skip(1).map(|line| line.split('\t').collect()).collect();
    let models: BTreeMap<String, Model> = ["hidden", "max", "max_average", "one_strand"]
        .map(|name| (name.to_owned(), deepbind::open(folder.join(format!("{name}.txt"))).unwrap()))
        .into();
    for (column, what, window, summary) in [
        (2, "maximum", None, Summary::Max),
        (3, "average", None, Summary::Average),
        (4, "window 40", Some(40), Summary::Max),
    ] {
        let case = |row: &Vec<&str>| Case {
            model: row[0].to_owned(),
            sequence: row[1].to_owned(),
            score: row[column].parse().unwrap(),
        };
        let cases: Vec<Case> = rows.iter().map(case).collect();
        assert_eq!(cases.len(), 72);
        check_models(&models, what, &cases, window, Context::Padding, summary);
    }
}

#[test]
fn the_programs_own_example() {
    let Some((_, golden)) = data() else { return };
    let rows = table(&golden.join("example_v011.tsv.gz"));
    let models = &rows[0];
    let sequences = [
        "AGGUAAUAAUUUGCAUGAAAUAACUUGGAGAGGAUAGC",
        "AGACAGAGCUUCCAUCAGCGCUAGCAGCAGAGACCAUU",
        "GAGGTTACGCGGCAAGATAA",
        "TACCACTAGGGGGCGCCACC",
    ];
    let cases = rows[1..].iter().zip(sequences).flat_map(|(row, sequence)| {
        row.iter().zip(models).map(|(score, model)| Case {
            model: model.clone(),
            sequence: sequence.to_owned(),
            score: score.parse().unwrap(),
        })
    });
    check("example", &cases.collect::<Vec<_>>(), None, Context::Padding, Summary::Max);
}

#[test]
fn all_models_on_the_probe_sequences() {
    let Some((models, golden)) = data() else { return };
    assert_eq!(models.len(), 927);
    for name in ["rc0", "rc1"] {
        let cases = matrix(&golden.join(format!("{name}_models_on_probe_v011_defaultwindow.tsv.gz")));
        check(name, &cases, None, Context::Padding, Summary::Max);
    }
}

#[test]
fn mixed_lengths() {
    let Some((_, golden)) = data() else { return };
    for (name, window, context, summary) in [
        ("max", None, Context::Padding, Summary::Max),
        ("avg", None, Context::Padding, Summary::Average),
        ("w101", Some(101), Context::Padding, Summary::Max),
        ("flank.max", None, Context::Flank, Summary::Max),
        ("flank.avg", None, Context::Flank, Summary::Average),
    ] {
        let cases = matrix(&golden.join(format!("mixed_lengths.{name}.tsv.gz")));
        check(&format!("mixed lengths, {name}"), &cases, window, context, summary);
    }
}

#[test]
fn encode_test_sets() {
    let Some((_, golden)) = data() else { return };
    for (model, factor) in [
        ("D00360.007", "ELK1"),
        ("D00409.004", "GABPA"),
        ("D00700.006", "USF1"),
        ("D00736.002", "ARID3A"),
        ("D00753.001", "CTCFL"),
        ("D00761.001", "FOXA1"),
        ("D00785.001", "MYC"),
    ] {
        let sequences = encode_sequences(&golden.join("../encode"), factor);
        let rows = table(&golden.join(format!("encode_B_{model}_{factor}.tsv.gz")));
        for (column, window) in [(2, None), (3, Some(101))] {
            let case = |row: &Vec<String>| Case {
                model: model.to_owned(),
                sequence: sequences[&row[0]].clone(),
                score: row[column].parse().unwrap(),
            };
            let cases: Vec<Case> = rows.iter().map(case).collect();
            let what =
                format!("{factor}, window {}", window.map_or("default".into(), |w: usize| w.to_string()));
            check(&what, &cases, window, Context::Padding, Summary::Max);
        }
    }
}

/// Sequences of a factor's test set by their identifier.
fn encode_sequences(folder: &Path, factor: &str) -> BTreeMap<String, String> {
    let mut files = std::fs::read_dir(folder).unwrap().map(|entry| entry.unwrap().path());
    let wanted = |path: &PathBuf| {
        let name = path.file_name().unwrap().to_string_lossy().into_owned();
        name.starts_with(&format!("{factor}_")) && name.ends_with("_B.seq.gz")
    };
    let rows = table(&files.find(wanted).unwrap());
    rows[1..].iter().map(|row| (row[1].clone(), row[2].clone())).collect()
}

#[test]
fn rnacompete_probes() {
    let Some((_, golden)) = data() else { return };
    let rows = table(&golden.join("rnacompete_RNCMPT00001_D00084.001.tsv.gz"));
    let case = |row: &Vec<String>| Case {
        model: "D00084.001".to_owned(),
        sequence: row[2].clone(),
        score: row[1].parse().unwrap(),
    };
    let cases: Vec<Case> = rows.iter().map(case).collect();
    check("RNAcompete", &cases, None, Context::Padding, Summary::Max);
}

/// Every window of stretches of two chromosomes, N runs included, each stretch scored in one go.
#[test]
fn every_window_of_a_stretch() {
    let Some((models, golden)) = data() else { return };
    for (model, window) in [("D00210.001", 24), ("D00328.003", 30), ("D00761.001", 36)] {
        let rows = table(&golden.join(format!("window_scores_grch38_{model}_w{window}.tsv.gz")));
        let mut stretches: Vec<(String, Vec<f64>)> = Vec::new();
        for (i, row) in rows.iter().enumerate().skip(1) {
            let before = &rows[i - 1];
            let follows =
                row[0] == before[0] && row[1].parse() == before[1].parse::<u64>().map(|start| start + 1);
            if !follows {
                stretches.push((row[3].clone(), Vec::new()));
            } else if let Some((bases, _)) = stretches.last_mut() {
                bases.push_str(&row[3][window - 1..]);
            }
            stretches.last_mut().unwrap().1.push(row[4].parse().unwrap());
        }
        for candidate in candidates() {
            let model = &models[model];
            let (mut engine, mut scores) = (candidate.engine(model), Scores::default());
            let mut worst = (0.0, String::new());
            for (bases, expected) in &stretches {
                let chunk = Chunk::whole("stretch", encode(bases.as_bytes()).unwrap());
                engine.score(&chunk, &plan(model, Some(window), Context::Padding), &mut scores).unwrap();
                assert_eq!(scores.windows, expected.len());
                for (i, &score) in expected.iter().enumerate() {
                    let reverse = scores.reverse.get(i).copied().unwrap_or(f32::NEG_INFINITY);
                    let place = format!("window {i} of {}", expected.len());
                    let found = (difference(scores.forward[i].max(reverse), score), place);
                    worst = std::cmp::max_by(worst, found, by_difference);
                }
            }
            report(
                &format!("{} windows", model.spec.name),
                candidate,
                rows.len() - 1,
                rows.len() - 1,
                &worst,
            );
        }
    }
}
