//! Motif files, and the log-odds models made of them.

use std::path::Path;

use bindscan::engine::reference::window_scores;
use bindscan::model::motif::{self, Background, Motif, PwmOptions};
use bindscan::model::{Alphabet, Model};
use bindscan::seq::alphabet::encode;

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
    assert_eq!((model.spec.window, model.spec.filter_length), (2, Some(2)));

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
        (MEME.replace("0.1 0.2 0.3 0.4", "0.1 0.2 0.3 nan"), Some(15), "NaN is no probability"),
        (MEME.replace("0.1 0.2 0.3 0.4", "-0.1 0.4 0.3 0.4"), Some(15), "-0.1 is no probability"),
        (
            MEME.replace(" 0.1 0.2 0.3 0.4\n", " 0.1 0.2 0.3 0.4\n 1 0 0 0\n"),
            Some(16),
            "more than the 2 rows",
        ),
        (MEME.replace("ACGT", "ACDEFGHIKLMNPQRSTVWY"), Some(3), "alphabet"),
        (MEME.replace("T 0.3", "T x"), Some(8), "not a number"),
        (MEME.replace("w= 2", "w= 99999999"), Some(13), "width"),
        ("MEME version 4\n".into(), None, "no motif"),
        (">a\nA 1 2\nC 1 2\nG 1\nT 1 2\n".into(), Some(4), "different lengths"),
        (">a\nA 1 2\nC 1 2\n".into(), Some(3), "no row of G"),
        (">a\nA 1\nC 1\nG -1\nT 1\n".into(), Some(5), "no log-odds"),
        (">a\nA 1 2\nC 1 x\nG 1 1\nT 1 2\n".into(), Some(3), "`x` is not a number"),
        (">a\nA 1 2\nC 1 2\nC 1 1\nT 1 2\n".into(), Some(4), "two rows of C"),
        (">a\n1 2 3\n1 2 3\n".into(), Some(3), "2 rows and 3 columns"),
        (">a\n0.1 0.2\n0.1 0.2\n0.1 0.2\n0.1 0.2\n".into(), Some(5), "neither probabilities"),
        ("<html>\n".into(), None, "HTML"),
        (">a\nACGT\n".into(), Some(1), "one site"),
        (">a\nA 0\nC 0\nG 0\nT 0\n".into(), Some(5), "no counts"),
        (">a\n".into(), Some(1), "no matrix"),
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

/// The same motif in every format: probabilities of 20 sites, three positions.
const COLUMNS: [[f64; 4]; 3] = [[14.0, 2.0, 2.0, 2.0], [0.0, 20.0, 0.0, 0.0], [5.0, 5.0, 1.0, 9.0]];

#[test]
fn every_format_gives_the_same_motif() {
    let sites: String = {
        let site = |rank: usize| -> String {
            let letter = |counts: &[f64; 4]| {
                let mut left = rank as f64;
                let base = counts.iter().position(|&count| {
                    left -= count;
                    left < 0.0
                });
                b"ACGT"[base.unwrap()] as char
            };
            COLUMNS.iter().map(letter).collect()
        };
        (0..20).map(|rank| format!(">M1\tone\t{rank}\n{}ccg\n", site(rank))).collect()
    };
    for (format, text) in [
        ("JASPAR", ">M1 one\nA [14 0 5]\nC [ 2 20 5 ]\nG [2 0 1]\nT [2 0 9]\n"),
        ("rows of other order", ">M1 one\nT 2 0 9\nA 14 0 5\nC 2 20 5\nG 2 0 1"),
        ("raw", ">M1 one\n14 0 5\n2 20 5\n2 0 1\n2 0 9\n"),
        ("Cluster-Buster", ">M1 one\n# WEIGHT: 3.0\n14 2 2 2\n0 20 0 0\n5 5 1 9\n"),
        ("probabilities", ">M1 one\n.7\t.1\t.1\t.1\n0\t1\t0\t0\n.25\t.25\t.05\t.45\n"),
        (
            "HOMER",
            ">MCN\tM1,x\t4.5\t-10\t0\tT:20.0(5%),B:1\n.7\t.1\t.1\t.1\n0\t1\t0\t0\n.25\t.25\t.05\t.45\n",
        ),
        (
            "TRANSFAC",
            "AC M1\nXX\nID one\nXX\nPO A C G T\n01 14 2 2 2 A\n02 0 20 0 0 C\n03 5 5 1 9 N\nXX\nCC x\n//\n",
        ),
        (
            "TRANSFAC of letters in another order",
            "AC M1\nID one\nP0 T G C A\n1 2 2 2 14\n2 0 0 20 0\n3 9 1 5 5\n//",
        ),
        ("UniPROBE", "M1 one\nA:\t.7\t0\t.25\nC:\t.1\t1\t.25\nG:\t.1\t0\t.05\nT:\t.1\t0\t.45\n"),
        (
            "UniPROBE's other",
            "Gene:  M1  Motif:  M.CN  Enrichment Score:  0.49\nA:\t.7\t0\t.25\nC:\t.1\t1\t.25\nG:\t.1\t0\t.05\nT:\t.1\t0\t.45\n",
        ),
        (
            "CIS-BP",
            "TF\tT1\nTF Name\tone\nGene\tg\nMotif\tM1\nPos\tA\tC\tG\tT\n1\t.7\t.1\t.1\t.1\n2\t0\t1\t0\t0\n3\t.25\t.25\t.05\t.45\n",
        ),
        ("letters", "A\t14\t0\t5\nC\t2\t20\t5\nG\t2\t0\t1\nT\t2\t0\t9\n"),
        ("MOODS", "14 0 5\n2 20 5\n2 0 1\n2 0 9\n"),
        ("four columns", "14 2 2 2\n0 20 0 0\n5 5 1 9\n"),
        ("numbered rows", "1 14 2 2 2\n2 0 20 0 0\n3 5 5 1 9\n"),
        (
            "MEME",
            "MEME version 4\nMOTIF\tM1 one\nletter-probability matrix: w= 3 nsites= 20.0 E=\n.7 .1 .1 .1\n0 1 0 0\n.25 .25 .05 .45",
        ),
        (
            "MEME without w",
            "MEME version 3.0\n\nMOTIF M1 one\nletter-probability matrix:\n.7 .1 .1 .1\n0 1 0 0\n.25 .25 .05 .45\nURL x\n",
        ),
        ("sites", sites.as_str()),
    ] {
        for (kind, text) in [
            ("plain", text.to_owned()),
            ("byte order mark", format!("\u{FEFF}{text}")),
            ("CRLF", text.replace('\n', "\r\n")),
            ("CR", text.replace('\n', "\r")),
            ("no final newline", text.trim_end().to_owned()),
        ] {
            let motifs = motif::parse(Path::new("M1.pfm.gz"), text.as_bytes());
            let motifs = motifs.unwrap_or_else(|error| panic!("{format}, {kind}: {error}"));
            let [motif] = &motifs[..] else { panic!("{format}, {kind}: {motifs:?}") };
            assert!(
                motif.id.starts_with("M1")
                    && ["one", "", "M1", "Motif:  M.CN  Enrichment Score:  0.49"].contains(&&*motif.name),
                "{format}: {motif:?}"
            );
            assert_eq!(motif.width(), 3, "{format}, {kind}");
            let differ =
                motif.counts.iter().flatten().zip(COLUMNS.as_flattened()).any(|(a, b)| (a - b).abs() > 1e-9);
            assert!(!differ && motif.scores.is_none(), "{format}, {kind}: {motif:?}");
        }
    }
}

/// A matrix of four rows and four columns is read as its sums, its file or its letters say, or not at all.
#[test]
fn square_matrices_are_never_transposed_in_silence() {
    let positions = ".01 .01 .97 .01\n.97 .01 .01 .01\n.01 .01 .01 .97\n.90 .03 .04 .03\n";
    let by_sums = &parse(&format!(">GATA\n{positions}")).unwrap()[0];
    let meme = format!("MEME version 4\nMOTIF GATA\nletter-probability matrix: w= 4\n{positions}");
    assert_eq!(by_sums.consensus(), "GATA");
    assert_eq!(by_sums.counts, parse(&meme).unwrap()[0].counts);
    let transposed = ">GATA\n.01 .97 .01 .90\n.01 .01 .01 .03\n.97 .01 .01 .04\n.01 .01 .97 .03\n";
    assert_eq!(parse(transposed).unwrap()[0].counts, by_sums.counts);

    let open = "7 1 1 1\n1 7 1 1\n1 1 1 7\n1 1 7 1\n";
    for open in [open, "7 1 1 1\n1 6 1 1\n1 1 1 9\n1 1 8 1\n"] {
        let message = parse(&format!(">M1\n{open}")).unwrap_err();
        assert!(
            message.contains("m, line 5: motif M1") && message.contains("start its rows with A, C, G and T"),
            "{message}"
        );
    }
    let with_letters = parse(">M1\nA 7 1 1 1\nC 1 7 1 1\nG 1 1 1 7\nT 1 1 7 1\n").unwrap();
    assert_eq!(with_letters[0].consensus(), "ACTG");
    let with_heading = parse(&format!(">M1\nA C G T\n{open}")).unwrap();
    assert_eq!(with_heading[0].consensus(), "ACTG");
    let of_positions = parse(&format!(">M1\n{open}>M2\n1 2 3 4\n4 3 2 1\n")).unwrap();
    assert_eq!(of_positions[0].consensus(), "ACTG");
    let of_bases =
        parse(&format!(">M1\n{}>M2\n1\n2\n3\n4\n", "7 1 1 1\n1 6 1 1\n1 1 1 9\n1 1 8 1\n")).unwrap();
    assert_eq!(of_bases[0].consensus(), "ACTG");
    assert!(
        parse("1 1 2 3 4\n2 4 3 2 1\n3 1 1 1 7\n4 7 1 1 1\n").unwrap_err().contains("4 rows and 5 columns")
    );
}

#[test]
fn log_odds_are_kept_as_they_are() {
    for base in [2.0f64, std::f64::consts::E] {
        let odds = |p: f64| (p * 4.0).ln() / base.ln();
        let row = |p: [f64; 4]| p.map(|p| format!("{:.12}", odds(p))).join("\t");
        let text = format!(">M1\n{}\n{}\n", row([0.7, 0.1, 0.15, 0.05]), row([0.01, 0.01, 0.97, 0.01]));
        let motif = &parse(&text).unwrap()[0];
        let close = |a: f64, b: f64| (a - b).abs() < 1e-6;
        assert!(close(motif.counts[0][0], 14.0) && close(motif.counts[1][2], 19.4), "{motif:?}");
        let model = motif.to_model(&PwmOptions::default()).unwrap();
        assert!((score(&model, "AG") - odds(0.7) - odds(0.97)).abs() < 1e-5);
        assert!(
            model.spec.provenance.contains_key("scores")
                && !model.spec.provenance.contains_key("pseudocount")
        );
    }
}

/// One motif that cannot be used, and two of one ID, lose no other.
#[test]
fn a_bad_motif_does_not_lose_the_file() {
    let text = "MEME version 4\n\nMOTIF 1 a\nletter-probability matrix: w= 1\n1 0 0 0\nMOTIF 2 b\n\nMOTIF 3 c\n\n\
                MOTIF 1 d\nletter-probability matrix: w= 1\n0 1 0 0\nMOTIF 1.2\nletter-probability matrix: w= 1\n0 0 1 0\n";
    let collection = motif::read_bytes("m", text.as_bytes()).unwrap();
    let ids: Vec<&str> = collection.motifs.iter().map(|motif| motif.id.as_str()).collect();
    assert_eq!(ids, ["1", "1.3", "1.2"]);
    assert_eq!(
        collection.notes(),
        [
            "m: 2 of 5 motifs cannot be used: 2 (line 6: no matrix), 3 (line 8: no matrix)",
            "m: 1 motif has an ID that others have, and new ones here: 1.3 (line 10)"
        ]
    );
    let refused = collection.clone().strict().unwrap_err().to_string();
    assert_eq!(refused, "m, line 6: motif 2 cannot be used: no matrix; 1 more motif cannot be used");
    let chosen = |patterns: &[&str]| {
        let patterns: Vec<String> = patterns.iter().map(|&pattern| pattern.to_owned()).collect();
        let chosen = collection.clone().choose(&patterns).map_err(|error| error.to_string());
        chosen.map(|chosen| chosen.motifs.into_iter().map(|motif| motif.id).collect::<Vec<_>>())
    };
    assert_eq!(chosen(&["d", "1"]).unwrap(), ["1", "1.3"]);
    assert_eq!(chosen(&["1.*"]).unwrap(), ["1.3", "1.2"]);
    assert!(chosen(&["2"]).unwrap_err().contains("motif 2 cannot be used: no matrix"));
    assert!(chosen(&["1", "x*"]).unwrap_err().contains("has no motif x*; it has 1, 1.3, 1.2"));

    let jaspar = ">a\nA 1 2\nC 1 2\nG 1 2\nT 1 2\n>b\nA 1 2\nC 1\nG 1 2\nT 1 2\n>c\nA 1\nC 1\nG 1\nU 1\n";
    let collection = motif::read_bytes("m", jaspar.as_bytes()).unwrap();
    assert_eq!(
        collection.notes(),
        ["m: 1 of 3 motifs cannot be used: b (line 8: the rows have different lengths)"]
    );
}
