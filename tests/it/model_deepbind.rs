//! Published DeepBind parameter files: what is read, and what is refused where.

use std::path::Path;

use bindscan::model::inspect::inspect;
use bindscan::model::{Model, PadKind, Pooling, Strands, deepbind};

/// Two filters of length 2, maxima and means, one hidden unit; numbers tell where they stand.
const PARAMETERS: &str = "# deepbind 0.1\r\nreverse_complement = 0\r\nnum_detectors = 2\r\ndetector_len = 2\r\n\
    has_avg_pooling = 1\r\nnum_hidden = 1\r\n\
    detectors = 1,2,3,4,5,6,7,8,9,10,11,12,13,14,15,16\r\nthresholds = -1,-2\r\n\
    weights1 = 1,2,3,4\r\nbiases1 = 5\r\nweights2 = 6\r\nbiases2 = 7\r\n";

fn parse(text: &str) -> Result<Model, String> {
    deepbind::parse(Path::new("D1.txt"), text.as_bytes()).map_err(|e| e.to_string())
}

#[test]
fn numbers_land_where_they_belong() {
    let model = parse(PARAMETERS).unwrap();
    let network = model.network.unwrap();
    // The file counts [position][base][filter]; the network [filter][base][position].
    assert_eq!(network.weights, [1., 9., 3., 11., 5., 13., 7., 15., 2., 10., 4., 12., 6., 14., 8., 16.]);
    assert_eq!(network.biases, [-1., -2.]);
    assert_eq!(network.pooling, Pooling::MaxAndAverage);
    // Maximum and mean alternate in the file.
    assert_eq!(network.hidden.unwrap().weights, [1., 3., 2., 4.]);
    assert_eq!((network.output.weights, network.output.bias), (vec![6.0], vec![7.0]));
    assert_eq!((network.padding.left, network.padding.right, network.padding.value), (1, 1, 0.25));
    let spec = model.spec;
    assert_eq!((spec.name.as_str(), spec.window, spec.strands), ("D1", 3, Strands::Single));
    assert_eq!((spec.padding, spec.filter_length), (PadKind::N, Some(2)));
    assert!(spec.provenance["source"].as_str().unwrap().contains("D1.txt"));
    assert_eq!(spec.provenance["source_sha256"].as_str().unwrap().len(), 64);
}

#[test]
fn without_hidden_units_the_first_weights_are_the_output() {
    let text = PARAMETERS.replace("num_hidden = 1", "num_hidden = 0").replace("weights2 = 6", "weights2 = ");
    let network = parse(&text.replace("biases2 = 7", "biases2 =")).unwrap().network.unwrap();
    assert_eq!(network.hidden, None);
    assert_eq!(network.output.weights, [1., 3., 2., 4.]);
}

#[test]
fn errors_name_the_line() {
    for (from, to, line, reason) in [
        ("thresholds = -1,-2", "thresholds = -1,-2,-3", Some(8), "3 values where 2"),
        ("thresholds = -1,-2", "thresholds = -1,nan", Some(8), "not a finite number"),
        ("thresholds = -1,-2", "thresholds = -1,1e99", Some(8), "not a finite number"),
        ("thresholds = -1,-2", "thresholds = -1,", Some(8), "not a finite number"),
        ("thresholds = -1,-2", "thresholds", Some(8), "no `key = value`"),
        ("thresholds", "threshold", Some(8), "unknown key `threshold`"),
        ("biases2 = 7", "biases1 = 7", Some(12), "again (first on line 10)"),
        ("biases2 = 7", "", None, "biases2 is missing"),
        ("num_detectors = 2", "num_detectors = 99999999999", Some(3), "whole number"),
        ("num_detectors = 2", "num_detectors = 0", Some(3), "whole number"),
        ("detector_len = 2", "detector_len = 2.5", Some(4), "whole number"),
        ("has_avg_pooling = 1", "has_avg_pooling = 2", Some(5), "0 or 1"),
        ("num_hidden = 1", "num_hidden = 0", Some(11), "weights2 has 1 values where 0"),
    ] {
        let message = parse(&PARAMETERS.replace(from, to)).unwrap_err();
        let place = line.map_or("D1.txt: ".into(), |line| format!("D1.txt, line {line}: "));
        assert!(message.starts_with(&place) && message.contains(reason), "{message} ({place}{reason})");
    }
    let binary = deepbind::parse(Path::new("D1.txt"), &[0xff, 0xfe]).unwrap_err().to_string();
    assert!(binary.contains("not text"), "{binary}");
}

#[test]
fn inspection_tells_layers_and_shapes() {
    let model = parse(PARAMETERS).unwrap();
    let inspection = inspect(&model);
    let layers: Vec<_> = inspection.layers.iter().map(|l| (l.shape.as_str(), l.parameters)).collect();
    let expected = [
        ("[N, 4, 3]", 0),
        ("[N, 4, 5]", 0),
        ("[N, 2, 4]", 18),
        ("[N, 2, 4]", 0),
        ("[N, 4]", 0),
        ("[N, 1]", 5),
        ("[N, 1]", 2),
    ];
    assert_eq!(layers, expected);
    assert_eq!(inspection.parameters(), 25);
    let text = inspection.to_string();
    for part in ["D1", "kernel engine", "3 bases", "sequence [N, 4, L]", "source_sha256", "the given one"] {
        assert!(text.contains(part), "{part} is missing in\n{text}");
    }
}

#[test]
fn inspection_of_a_foreign_graph_lists_its_nodes() {
    let path = Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/data/pytorch/deep.dynamo.onnx");
    let model = Model::open(path).unwrap();
    let text = inspect(&model).to_string();
    for part in ["Conv ", "[4, 4, 5]", "Gemm", "the dense engine: all windows", "every layer is valid"] {
        assert!(text.contains(part), "{part} is missing in\n{text}");
    }
}

#[test]
fn inspection_of_a_foreign_graph_tells_the_field_and_stride_of_each_layer() {
    let path = Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/data/pytorch/deep.dynamo.onnx");
    let model = Model::open(path).unwrap();
    let fields = inspect(&model).layers.iter().map(|layer| (layer.sees, layer.stride)).collect::<Vec<_>>();
    // A convolution of 5, a pool of 2 with stride 2, a convolution of 3, the mean over all.
    let expected = [(5, Some(1)), (5, Some(1)), (6, Some(2)), (10, Some(2)), (10, Some(2))];
    let expected: Vec<_> = expected.into_iter().map(|(sees, stride)| (Some(sees), stride)).collect();
    assert_eq!(fields[..5], expected);
    assert_eq!(fields.last(), Some(&(Some(24), None)));
}
