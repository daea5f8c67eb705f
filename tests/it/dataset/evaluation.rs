//! Published models judged on the test sets that were published with them.

use std::collections::BTreeMap;
use std::io::Read;
use std::sync::atomic::AtomicBool;

use bindscan::Error;
use bindscan::dataset::Dataset;
use bindscan::dataset::evaluation::{choose_outputs, measure_dataset, score_dataset};
use bindscan::dataset::metric::Metric;
use bindscan::dataset::table::{TableOptions, read_table};
use bindscan::engine::Engine;
use bindscan::engine::reference::ReferenceEngine;
use bindscan::model::{Dense, Model, ModelSpec, Network, Padding, Pooling, deepbind};
use bindscan::seq::window::{Context, StrandChoice, WindowPlan};
use bindscan::train::report::filter::profiles;

use super::{codes, shared};

static GO_ON: AtomicBool = AtomicBool::new(false);

/// Test set, model and its AUC, as known from the original program's scores.
const PUBLISHED: [(&str, &str, f64); 7] = [
    ("ARID3A_K562", "D00736.002", 0.8848),
    ("CTCFL_K562", "D00753.001", 0.9865),
    ("ELK1_GM12878", "D00360.007", 0.9526),
    ("FOXA1_HepG2", "D00761.001", 0.9815),
    ("GABPA_GM12878", "D00409.004", 0.9794),
    ("MYC_H1", "D00785.001", 0.9281),
    ("USF1_HepG2", "D00700.006", 0.9930),
];

/// Parameter files in the archive (ustar: 512 bytes of header, then the content in whole blocks), by name.
fn parameters() -> Option<BTreeMap<String, Vec<u8>>> {
    let archive = std::fs::File::open(shared("deepbind/params.tar.gz")?).unwrap();
    let mut bytes = Vec::new();
    flate2::read::MultiGzDecoder::new(archive).read_to_end(&mut bytes).unwrap();
    let mut files = BTreeMap::new();
    let mut rest = bytes.as_slice();
    while rest.len() > 512 && rest[0] != 0 {
        let (header, content) = rest.split_at(512);
        let text =
            |range: std::ops::Range<usize>| String::from_utf8_lossy(&header[range]).replace(['\0', ' '], "");
        let size = usize::from_str_radix(&text(124..136), 8).unwrap();
        if let Some(name) = text(0..100).rsplit('/').next().and_then(|name| name.strip_suffix(".txt")) {
            files.insert(name.to_owned(), content[..size].to_vec());
        }
        rest = &content[size.next_multiple_of(512)..];
    }
    Some(files)
}

fn whole(strands: StrandChoice) -> WindowPlan {
    WindowPlan { window: usize::MAX, stride: 1, strands, context: Context::Padding }
}

fn engines(model: &Model, count: usize) -> Vec<Box<dyn Engine>> {
    let network = model.network.as_ref().unwrap();
    let engine = || Box::new(ReferenceEngine::new(model.spec.clone(), network.clone())) as Box<dyn Engine>;
    (0..count).map(|_| engine()).collect()
}

#[test]
fn published_models_reach_their_auc() {
    let Some(parameters) = parameters() else { return };
    for (set, model, expected) in PUBLISHED {
        let Some(path) = shared(&format!("encode/{set}_B.seq.gz")) else { return };
        let dataset = read_table(&path, &TableOptions::default()).unwrap();
        let model = deepbind::parse(model, &parameters[model]).unwrap();
        let scores =
            score_dataset(&mut engines(&model, 2), &dataset, &whole(StrandChoice::Both), &GO_ON).unwrap();
        let measured = measure_dataset(&dataset, &scores, 4.0, 1);
        let auc = measured.iter().find(|measured| measured.metric == Metric::Auc).unwrap();
        let (value, interval) = (auc.value.unwrap(), auc.interval.unwrap());
        assert!((value - expected).abs() <= 5.001e-5, "{set}: {value}, not {expected}");
        assert!(interval.low < value && value < interval.high && interval.high - interval.low < 0.06);
        assert_eq!((auc.count, auc.positives), (1000, Some(500)));
    }
}

/// One filter without padding, which counts the letters that agree with GATAAG.
pub(super) fn toy() -> Model {
    let motif = codes("GATAAG");
    let mut weights = vec![0.0; 4 * motif.len()];
    motif.iter().enumerate().for_each(|(j, &code)| weights[usize::from(code) * motif.len() + j] = 1.0);
    let network = Network {
        filters: 1,
        filter_length: motif.len(),
        weights,
        biases: vec![-3.5],
        rectify: true,
        padding: Padding::NONE,
        pooling: Pooling::Max,
        hidden: None,
        output: Dense { inputs: 1, outputs: 1, weights: vec![1.0], bias: vec![0.0] },
        sigmoid: false,
    };
    Model::from_network(ModelSpec::from_network("toy", &network), network).unwrap()
}

fn toy_data() -> Dataset {
    let positives = [codes("CCGATAAGCC"), codes("TTTCTTATCA"), codes("GATAAGTTTT")];
    let negatives = [codes("CCCCCCCCCC"), codes("TTGCATTTTT")];
    Dataset::from_classes(positives.to_vec(), negatives.to_vec()).unwrap()
}

#[test]
fn scores_do_not_depend_on_the_threads() {
    let dataset = toy_data();
    let expected = [2.5, 2.5, 2.5, 0.0, 0.0];
    for threads in [1, 2, 3, 5, 9] {
        let scores =
            score_dataset(&mut engines(&toy(), threads), &dataset, &whole(StrandChoice::Both), &GO_ON)
                .unwrap();
        assert_eq!(scores, expected, "{threads} threads");
    }
    let forward =
        score_dataset(&mut engines(&toy(), 1), &dataset, &whole(StrandChoice::Forward), &GO_ON).unwrap();
    assert_eq!(forward, [2.5, 0.0, 2.5, 0.0, 0.0]);
}

#[test]
fn what_cannot_be_scored_is_named() {
    let mut dataset = toy_data();
    dataset.sequences[3] = codes("ACG");
    let error = score_dataset(&mut engines(&toy(), 2), &dataset, &whole(StrandChoice::Both), &GO_ON)
        .unwrap_err()
        .to_string();
    assert!(error.starts_with("sequence 4 of the data (3 bases): ") && error.contains("toy"), "{error}");
    let plan = whole(StrandChoice::Both);
    let stopped = score_dataset(&mut engines(&toy(), 2), &toy_data(), &plan, &AtomicBool::new(true));
    assert!(matches!(stopped, Err(Error::Interrupted)));
}

#[test]
fn outputs_are_matched_by_name_or_by_number() {
    let names = |names: &[&str]| names.iter().map(|&name| name.to_owned()).collect::<Vec<_>>();
    let scores = [1.0, 2.0, 3.0, 4.0, 5.0, 6.0];
    let choose = |wanted: &[&str]| choose_outputs(&scores, &names(&["a", "b", "c"]), &names(wanted));
    assert_eq!(choose(&["c", "a"]).unwrap(), [3.0, 1.0, 6.0, 4.0]);
    assert_eq!(choose(&["x", "y", "z"]).unwrap(), scores);
    let error = choose(&["a", "y"]).unwrap_err().to_string();
    assert!(error.starts_with("the model has 3 outputs (a, b, c), and the data have 2 (a, y)"), "{error}");
}

#[test]
fn filters_are_shown_by_what_activates_them() {
    let model = toy();
    let network = model.network.as_ref().unwrap();
    let both = profiles(network, &toy_data(), true);
    assert_eq!((both.len(), both[0].sites, both[0].alone), (1, 3, Some(1.0)));
    let consensus: Vec<u8> = both[0]
        .counts
        .iter()
        .map(|column| (0..4).find(|&code| column[usize::from(code)] == 3.0).expect("all three agree"))
        .collect();
    assert_eq!(consensus, codes("GATAAG"));
    assert_eq!(both[0].weights[0], [0.0, 0.0, 1.0, 0.0]);
    let single = profiles(network, &toy_data(), false);
    assert_eq!(single[0].sites, 2);
}
