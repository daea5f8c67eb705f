//! Motif files, and the log-odds models made of them.

use std::path::Path;

use bindscan::encode::encode;
use bindscan::engine::reference::window_scores;
use bindscan::model::motif::{self, Background, Motif, PwmOptions};
use bindscan::model::{Alphabet, Model};

const MEME: &str = "MEME version 5\n\nALPHABET= ACGT\n\nstrands: + -\n\nBackground letter frequencies (from x):\n\
    A 0.3 C 0.2 G 0.2 T 0.3\n\nMOTIF M1 one\nlog-odds matrix: alength= 4 w= 1\n 1 2 3 4\n\
    letter-probability matrix: alength= 4 w= 2 nsites= 10 E= 1e-5\n 0.5 0.5 0 0\n 0.1 0.2 0.3 0.4\nURL x\n\
    MOTIF M2\nletter-probability matrix:\n1 0 0 0\n\n";

fn parse(text: &str) -> Result<Vec<Motif>, String> {
    motif::parse(Path::new("m"), text.as_bytes()).map_err(|e| e.to_string())
}

fn score(model: &Model, sequence: &str) -> f64 {
    window_scores(model.network.as_ref().unwrap(), &encode(sequence.as_bytes()).unwrap(), true)[0]
}

#[test]
fn meme_motifs_are_read() {
    let motifs = parse(MEME).unwrap();
    let summary: Vec<_> = motifs.iter().map(|m| (m.id.as_str(), m.name.as_str(), m.width())).collect();
    assert_eq!(summary, [("M1", "one", 2), ("M2", "", 1)]);
    assert_eq!(motifs[0].counts[0], [5.0, 5.0, 0.0, 0.0]);
    assert_eq!(motifs[0].background, Some([0.3, 0.2, 0.2, 0.3]));
    assert_eq!(motifs[1].sites(), 20.0);
}

#[test]
fn jaspar_motifs_are_read_with_and_without_letters() {
    let with = parse(">MA1.1\tRUNX1 x\r\nA [ 1 2 ]\r\nC [3 4]\r\nG [5 6 ]\r\nT [7 8]\r\n").unwrap();
    let without = parse(">MA1.1 RUNX1 x\n1 2\n3\t4\n5 6\n7 8\n").unwrap();
    assert_eq!(with, without);
    assert_eq!(with[0].counts, [[1., 3., 5., 7.], [2., 4., 6., 8.]]);
    assert!(parse(">R\nA 1\nC 1\nG 1\nU 1\n").unwrap()[0].rna);
}

/// The score by hand: p = (count + s·b)/(n + s), log2(p/b), summed.
#[test]
fn scores_are_log_odds_in_bits() {
    let motif = &parse(MEME).unwrap()[0];
    let model = motif.to_model(&PwmOptions::default()).unwrap();
    let odds = |count: f64, b: f64| ((count + 0.1 * b) / 10.1 / b).log2();
    assert!((score(&model, "AT") - (odds(5.0, 0.3) + odds(4.0, 0.3))).abs() < 1e-5);
    assert!((score(&model, "GC") - (odds(0.0, 0.2) + odds(2.0, 0.2))).abs() < 1e-5);
    let mean = [odds(5.0, 0.3), odds(5.0, 0.2), odds(0.0, 0.2), odds(0.0, 0.3)].iter().sum::<f64>() / 4.0;
    assert!((score(&model, "NT") - (mean + odds(4.0, 0.3))).abs() < 1e-5);
    let [low, high] = model.spec.score_range.unwrap();
    let all = "ACGT".chars().flat_map(|a| "ACGT".chars().map(move |b| format!("{a}{b}")));
    let scores: Vec<f64> = all.map(|pair| score(&model, &pair)).collect();
    let (least, most) = scores.iter().fold((f64::MAX, f64::MIN), |(l, m), &s| (s.min(l), s.max(m)));
    assert!((f64::from(low) - least).abs() < 1e-5 && (f64::from(high) - most).abs() < 1e-5);
    assert_eq!((model.spec.window, model.spec.detector_length), (2, Some(2)));

    let uniform = PwmOptions { background: Background::Uniform, pseudocount: 1.0 };
    let model = motif.to_model(&uniform).unwrap();
    assert!(
        (score(&model, "AT") - ((5.25f64 / 11.0 * 4.0).log2() + (4.25f64 / 11.0 * 4.0).log2())).abs() < 1e-5
    );
    let read = Model::from_bytes("x", &model.to_bytes()).unwrap();
    assert_eq!((read.spec, read.network), (model.spec, model.network));
}

#[test]
fn rna_alphabets_make_rna_models() {
    let motif = &parse(&MEME.replace("ACGT", "ACGU").replace(" T 0.3", " U 0.3")).unwrap()[0];
    assert_eq!(motif.to_model(&PwmOptions::default()).unwrap().spec.alphabet, Alphabet::Rna);
}

#[test]
fn zero_probabilities_need_a_pseudocount() {
    let motif = &parse(MEME).unwrap()[0];
    let options = PwmOptions { pseudocount: 0.0, ..PwmOptions::default() };
    assert!(motif.to_model(&options).unwrap_err().to_string().contains("pseudocount"));
    let options = PwmOptions { background: Background::Given([0.5, 0.5, 0.0, 0.0]), ..PwmOptions::default() };
    assert!(motif.to_model(&options).unwrap_err().to_string().contains("background"));
}

#[test]
fn errors_name_the_line() {
    for (text, line, reason) in [
        (MEME.replace("0.1 0.2 0.3 0.4", "0.1 0.2 0.3"), Some(15), "row 2 of 2"),
        (MEME.replace("0.1 0.2 0.3 0.4", "0.1 0.2 0.3 0.9"), Some(15), "sum to"),
        (MEME.replace("0.1 0.2 0.3 0.4", "0.1 0.2 0.3 nan"), Some(15), "sum to"),
        (MEME.replace("M2", "M1"), Some(17), "again"),
        (MEME.replace("ACGT", "ACDEFGHIKLMNPQRSTVWY"), Some(3), "alphabet"),
        (MEME.replace("T 0.3", "T x"), Some(8), "not a number"),
        (MEME.replace("w= 2", "w= 99999999"), Some(13), "width"),
        ("MEME version 4\n".into(), None, "no motif"),
        (">a\nA 1 2\nC 1 2\nG 1\nT 1 2\n".into(), Some(4), "different lengths"),
        (">a\nA 1 2\nC 1 2\n".into(), Some(3), "no row of G"),
        (">a\nA 1\nC 1\nG -1\nT 1\n".into(), Some(4), "not a count"),
        (">a\nA 0\nC 0\nG 0\nT 0\n".into(), Some(5), "no counts"),
        (">a\n".into(), Some(1), "no row of A"),
        ("chr1\t1\n".into(), None, "not a motif file"),
        (String::new(), None, "not a motif file"),
    ] {
        let message = parse(&text).unwrap_err();
        let place = line.map_or("m: ".into(), |line| format!("m, line {line}: "));
        assert!(message.starts_with(&place) && message.contains(reason), "{message} ({place}{reason})");
    }
}

#[test]
fn jaspar_collections_are_read_whole() {
    let folder = Path::new(env!("CARGO_MANIFEST_DIR")).join("../shared/data/motifs");
    let Ok(files) = std::fs::read_dir(&folder) else {
        eprintln!("skipped: no motif collections in {}", folder.display());
        return;
    };
    for file in files {
        let path = file.unwrap().path();
        let text = std::fs::read_to_string(&path).unwrap();
        let headers = text.lines().filter(|line| line.starts_with("MOTIF ") || line.starts_with('>')).count();
        let motifs = motif::open(&path).unwrap();
        assert_eq!(motifs.len(), headers, "{}", path.display());
        for motif in motifs {
            motif.to_model(&PwmOptions::default()).unwrap();
        }
    }
}
