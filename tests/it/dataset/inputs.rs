//! Tables and FASTA files, good and bad, and what becomes of them.

use bindscan::dataset::fasta::read_sequences;
use bindscan::dataset::load::{DataRequest, Negatives, load};
use bindscan::dataset::scaling::{Scaling, join_replicates};
use bindscan::dataset::table::{TableOptions, Targets, read_table};
use bindscan::dataset::{Dataset, Leaks, TargetKind};
use bindscan::genome::sequences::Column;

use super::{codes, file, shared, write, write_gzip};

fn table(text: &str, options: &TableOptions) -> Result<Dataset, String> {
    let (_directory, path) = file("table.tsv", text);
    read_table(&path, options).map_err(|error| error.to_string().replace(&path.display().to_string(), "FILE"))
}

fn usual(text: &str) -> Result<Dataset, String> {
    table(text, &TableOptions::default())
}

fn named(name: &str) -> Column {
    Column::Name(name.into())
}

#[test]
fn the_usual_tables_need_no_options() {
    let encode = usual("FoldID\tEventID\tseq\tBound\nA\tx_1\tACGTN\t1\nA\tx_2\tttgg\t0\r\n").unwrap();
    assert_eq!(encode.sequences, [codes("ACGTN"), codes("TTGG")]);
    assert_eq!((encode.targets.as_slice(), encode.kind), ([1.0, 0.0].as_slice(), TargetKind::Binary));
    assert_eq!((encode.output_names.as_slice(), &encode.folds), (["Bound".to_owned()].as_slice(), &None));

    let microarray = usual("AAAAC\t1557.5\t183.0\nAAAAG\t14858.0\t245.0\n").unwrap();
    assert_eq!(
        (microarray.targets.as_slice(), microarray.kind),
        ([1557.5, 14858.0].as_slice(), TargetKind::Real)
    );

    let commas = usual("id,seq,label\na,ACGT,1\nb,ACGG, 0\n").unwrap();
    assert_eq!((commas.targets.as_slice(), commas.len()), ([1.0, 0.0].as_slice(), 2));

    let compete = usual("-0.388803 AGAGGACUG\n1.25 AGAU\n").unwrap();
    assert_eq!(compete.sequences, [codes("AGAGGACTG"), codes("AGAT")]);
    assert_eq!(compete.targets, [-0.388803, 1.25]);

    let late = usual("seq\tsignal\nACGT\tNA\nACGA\t2\n").unwrap();
    assert!(late.targets[0].is_nan() && late.targets[1] == 2.0 && late.output_names == ["signal"]);

    // SELEX: k-mers with relative affinities.
    let selex = usual("kmer,count,relKa\nCACGTGAAAA,812,1.0\nACACGTGTTT,77,0.41\n");
    assert_eq!(selex.unwrap().output_names, ["relKa"], "the last");
    let affinity = TableOptions { targets: Targets::These(vec![named("relKa")]), ..TableOptions::default() };
    let selex = table("kmer,count,relKa\nCACGTGAAAA,812,1.0\nACACGTGTTT,77,0.41\n", &affinity).unwrap();
    assert_eq!((selex.targets.as_slice(), selex.kind), ([1.0, 0.41].as_slice(), TargetKind::Real));

    let bare = usual("ACGT\nGGCA\n").unwrap();
    assert_eq!((bare.targets.as_slice(), bare.has_positives_only()), ([1.0, 1.0].as_slice(), true));
}

/// The columns taken, in the words of the note, and the values of the first row.
fn taken(text: &str) -> Result<(String, Vec<f32>), String> {
    let (_directory, path) = file("table", text);
    let request = DataRequest { data: path, negatives_per_positive: 1.0, ..DataRequest::default() };
    let loaded = load(&request).map_err(|error| error.to_string())?;
    Ok((loaded.notes[0].clone(), loaded.training.targets[..loaded.training.outputs].to_vec()))
}

#[test]
fn a_column_is_the_target_only_if_named_last_or_alone_and_that_is_said() {
    let (a, b) = ("ACGTACGTAC", "GGCATTTCCA");
    let rows = |first: &str, second: &str| format!("{first}\n{second}\n").replace('$', a).replace('%', b);
    let cases = [
        // Coordinates, an identifier and the GC content are no targets.
        (rows("chr20\t0\t100\t$\t1", "chr20\t1000\t1100\t%\t0"), "sequence: column 4; target: column 5", 1.0),
        (rows("1 0 100 $ 0.25", "1 7 100 % 7"), "sequence: column 4; target: column 5", 0.25),
        (rows("id,sequence,y\n0,$,1", "1,%,0"), "sequence: column 2 (sequence); target: column 3 (y)", 1.0),
        (
            rows("sequence,gc,y\n$,0.5,1", "%,0.4,0"),
            "sequence: column 1 (sequence); target: column 3 (y)",
            1.0,
        ),
        (
            rows("seq,dose,effect\n$,5,2.5", "%,5,1"),
            "sequence: column 1 (seq); target: column 3 (effect)",
            2.5,
        ),
        (
            rows("seq,effect,remark\n$,5,x", "%,6,y"),
            "sequence: column 1 (seq); target: column 2 (effect)",
            5.0,
        ),
        (
            rows("id\tseq\tgc\n1\t$\t0.5", "2\t%\t0.4"),
            "sequence: column 2 (seq); no target: all are taken for bound",
            1.0,
        ),
        (rows("chr1 0 100 $", "chr1 7 100 %"), "sequence: column 4; no target", 1.0),
        (rows("$ 1 .", "% 0 ."), "sequence: column 1; target: column 2", 1.0),
        (rows("$\t1557.5\t183.0", "%\t14858.0\t245.0"), "sequence: column 1; target: column 2", 1557.5),
        (rows("$ 0.5 1", "% 0.4 0"), "sequence: column 1; target: column 3", 1.0),
        // Lines as published with DeepSEA's and DeepBind's comparison by Zeng et al.
        (
            rows(">chr20:307938-308038_shuf $ 0", ">chr20:1-101 % 1"),
            "sequence: column 2; target: column 3",
            0.0,
        ),
        (
            rows("\"seq\",\"label\"\n\"$\",\"1\"", "\"%\",\"0\""),
            "sequence: column 1 (seq); target: column 2 (label)",
            1.0,
        ),
        (
            rows("\"a, \"\"b\"\"\",seq,y\n\"x,y\",$,1", "z , \"%\" ,0"),
            "sequence: column 2 (seq); target: column 3 (y)",
            1.0,
        ),
        (
            rows("\u{feff}seq,label\n$,1.0", "%,0.0"),
            "sequence: column 1 (seq); target: column 2 (label)",
            1.0,
        ),
    ];
    for (text, note, first) in cases {
        let (said, targets) = taken(&text).unwrap_or_else(|error| panic!("{text}: {error}"));
        assert!(said.starts_with(note), "{said}, not {note}");
        assert_eq!(targets, [first], "{text}");
    }
    let errors = [
        (
            rows("seq,dose,time,remark\n$,5,2,x", "%,5,3,y"),
            "columns 2, 3 hold numbers: say which is the target (--target)",
        ),
        (rows("seq label\n1 $ 1", "2 % 0"), "the header has 2 columns, and the first row 3"),
        (rows("seq,label\n\"$,1", "%,0"), "line 2: a quoted field does not end on its line"),
        (rows("seq,label\n\"$\"x,1", "%,0"), "line 2: 'x' stands behind a quoted field"),
    ];
    for (text, message) in errors {
        let error = taken(&text).unwrap_err();
        assert!(error.contains(message), "{error}, not {message}");
    }
    // A description is no sequence, and a FASTA file none of lines.
    let fasta = format!(">a {a} 1\n{a}\n>b\n{b}\n");
    assert!(taken(&fasta.replace(" 1\n", " one\n")).unwrap().0.contains("dinucleotide shuffles"));
    let (note, _) = taken(&format!("seq,y\nACGTRYNN{a},1\n{b}k,0\n")).unwrap();
    assert!(note.starts_with("sequence: column 1"));
}

#[test]
fn letters_read_as_n_are_counted() {
    for text in ["seq,y\nACGTACGT,1\nACGTRYNNn,1\nACKK,0\n", ">a\nACGTRYNNn\n>b\nACKK\n"] {
        let (_directory, path) = file("data", text);
        let request = DataRequest { data: path, negatives_per_positive: 1.0, ..DataRequest::default() };
        let notes = load(&request).unwrap().notes;
        assert!(
            notes.iter().any(|note| note.starts_with("4 letters that stand for several bases")),
            "{notes:?}"
        );
    }
}

#[test]
fn columns_and_folds_are_found_by_name_and_by_rank() {
    let text =
        "#a remark\nid\tdna\ty1\ty2\tpart\nr1\tACGT\t0.5\tNA\tx\nr2\tACGA\t\t2\ty\nr3\tACGC\t1\t3\tx\n";
    let by_name = TableOptions {
        sequence: Some(named("dna")),
        targets: Targets::These(vec![named("y2"), named("y1")]),
        fold: Some(named("part")),
        kind: None,
    };
    let dataset = table(text, &by_name).unwrap();
    assert_eq!(
        (dataset.outputs, dataset.output_names.as_slice()),
        (2, ["y2".to_owned(), "y1".into()].as_slice())
    );
    assert!(dataset.targets[0].is_nan() && dataset.targets[3].is_nan());
    assert_eq!(dataset.target_column(1)[0], 0.5);
    assert_eq!(dataset.folds, Some(vec![0, 1, 0]));
    assert_eq!(dataset.select(&[2, 1]).unwrap().folds, Some(vec![0, 1]));

    let all = table(text, &TableOptions { targets: Targets::All, ..TableOptions::default() }).unwrap();
    assert_eq!(all.output_names, ["y1", "y2"]);

    let ranks = TableOptions { targets: Targets::These(vec![Column::Rank(3)]), ..TableOptions::default() };
    assert_eq!(table("r1\tACGT\t0.5\t7\nr2\tACGA\t1\t8\n", &ranks).unwrap().targets, [0.5, 1.0]);
}

#[test]
fn what_is_wrong_with_a_table_is_said_with_its_line() {
    let fold = TableOptions { fold: Some(named("cv")), ..TableOptions::default() };
    let targets = |column| TableOptions { targets: Targets::These(vec![column]), ..TableOptions::default() };
    let binary = TableOptions { kind: Some(TargetKind::Binary), ..TableOptions::default() };
    let cases: [(&str, &TableOptions, &str); 16] = [
        ("seq\ty\nACGT\tNA\nACGA\t\n", &TableOptions::default(), "FILE: every value of y is missing"),
        ("AC\0T\t1\n", &TableOptions::default(), "FILE, line 1: this is no text"),
        ("", &TableOptions::default(), "FILE: there are no rows in it"),
        ("seq\tbound\n", &TableOptions::default(), "FILE: there is a header and no rows"),
        ("relKa\n0.013\n0.014\n", &TableOptions::default(), "FILE: no column of it holds sequences"),
        (
            "ACGT\t1\nACGT\tyes\n",
            &TableOptions::default(),
            "FILE, line 2: \"yes\" in column 2 (target) is no number",
        ),
        ("ACGT\t1\nACGT\tinf\n", &TableOptions::default(), "FILE, line 2: \"inf\" in column 2"),
        (
            "seq\tbound\nACGT\t1\nAC-T\t0\n",
            &TableOptions::default(),
            "FILE, line 3: '-' (character 3) is not a nucleotide",
        ),
        ("ACGT\t1\nACGT\n", &TableOptions::default(), "FILE, line 2: column 2 is missing; the line has 1"),
        ("ACGT\t1\n\t0\n", &TableOptions::default(), "FILE, line 2: the sequence is empty"),
        ("seq\tbound\nACGT\t1\n", &fold, "FILE: there is no column cv; there are seq, bound"),
        ("ACGT\t1\n", &fold, "FILE: there is no column cv, because there is no header"),
        ("ACGT\t1\n", &targets(Column::Rank(3)), "FILE: there is no column 3; there are 2"),
        ("ACGT\t1\n", &targets(Column::Rank(0)), "FILE: there is no column 0; there are 2"),
        ("ACGT\t1\n", &targets(Column::Rank(1)), "FILE: column 1 cannot hold the targets, too"),
        ("ACGT\t1\nACGA\t2\n", &binary, "FILE: not all targets are 0 or 1"),
    ];
    for (text, options, message) in cases {
        let error = table(text, options).unwrap_err();
        assert!(error.starts_with(message), "{error}, not {message}");
        assert!(!error.contains('\n'));
    }
    let (_directory, path) = file("binary.tsv", "");
    std::fs::write(&path, [b'A', b'C', 0xff, b'\t', b'1', b'\n']).unwrap();
    let error = read_table(&path, &TableOptions::default()).unwrap_err().to_string();
    assert!(error.contains("line 1: this is no text"), "{error}");
}

#[test]
fn gzip_makes_no_difference() {
    let text = "seq\tbound\nACGT\t1\nACGA\t0\n";
    let (directory, path) = file("a.tsv", text);
    let gzip = directory.path().join("a.seq.gz");
    write_gzip(&gzip, text);
    let options = TableOptions::default();
    assert_eq!(read_table(&path, &options).unwrap(), read_table(&gzip, &options).unwrap());
    std::fs::write(&gzip, &std::fs::read(&gzip).unwrap()[..30]).unwrap();
    assert!(read_table(&gzip, &options).unwrap_err().to_string().contains("cannot decompress"));
}

#[test]
fn fasta_files_are_read_and_refused() {
    let (_directory, path) = file("a.fa", ">a one\nACGT\nAC\n\n>a\nuuGG\n");
    assert_eq!(read_sequences(&path).unwrap(), [codes("ACGTAC"), codes("TTGG")]);
    for (text, message) in [
        ("", "no sequence"),
        ("ACGT\tx\n", "line 1"),
        (">a\n>b\nACGT\n", "empty"),
        (">a\nACGT\n>b\n", "empty"),
        (">a\nAC!T\n", "line 2: '!' (character 3) is not a nucleotide"),
    ] {
        let (_directory, path) = file("a.fa", text);
        let error = read_sequences(&path).unwrap_err().to_string();
        assert!(error.contains(message), "{error}, not {message}");
    }
}

fn request(data: &std::path::Path) -> DataRequest {
    DataRequest { data: data.into(), negatives_per_positive: 1.0, seed: 1, ..DataRequest::default() }
}

#[test]
fn bound_sequences_get_unbound_ones() {
    let (directory, positives) = file("positives.fa", ">a\nACGATCGATCGGATAC\n>b\nGGATTCAGAGACC\n");
    let made = load(&request(&positives)).unwrap();
    assert_eq!(made.training.targets, [1.0, 1.0, 0.0, 0.0]);
    assert_eq!(made.training.lengths(), (13, 16));
    assert!(made.notes[0].contains("2 dinucleotide shuffles"));
    let twice = DataRequest { negatives_per_positive: 2.0, ..request(&positives) };
    assert_eq!(load(&twice).unwrap().training.len(), 6);

    let negatives = directory.path().join("negatives.fa");
    write(&negatives, ">n\nACGTACGT\n");
    let given = DataRequest { negatives: Negatives::File(negatives), ..request(&positives) };
    let given = load(&given).unwrap();
    assert_eq!(given.training.targets, [1.0, 1.0, 0.0]);
    assert_eq!(given.training.sequences[2], codes("ACGTACGT"));

    for (negatives, message) in
        [(Negatives::Genome, "for peaks only"), (Negatives::File("no.fa".into()), "no.fa")]
    {
        let error = load(&DataRequest { negatives, ..request(&positives) }).unwrap_err().to_string();
        assert!(error.contains(message), "{error}");
    }
    let error = load(&DataRequest { negatives_per_positive: 0.0, ..request(&positives) }).unwrap_err();
    assert!(error.to_string().contains("more than 0"));
}

#[test]
fn replicates_are_joined_to_their_median() {
    let text = "ACGT\t1\t\nACGA\t5\t2\nACGT\t3\t7\nACGT\t2\t9\nACGA\tNA\t4\n";
    let both = TableOptions {
        targets: Targets::These(vec![Column::Rank(2), Column::Rank(3)]),
        ..TableOptions::default()
    };
    let (joined, count) = join_replicates(&table(text, &both).unwrap()).unwrap();
    assert_eq!(count, 3);
    assert_eq!(joined.sequences, [codes("ACGT"), codes("ACGA")]);
    assert_eq!(joined.targets, [2.0, 8.0, 5.0, 3.0]);
    let (_directory, path) = file("a.tsv", "ACGT\t1\nACGT\t3\nACGA\t7\n");
    let loaded = load(&request(&path)).unwrap();
    assert_eq!(loaded.training.targets, [2.0, 7.0]);
    assert_eq!(loaded.notes[1..], ["1 replicates were joined to the median of their sequence"]);
}

/// The same steps in numpy: `numpy.minimum(x, numpy.quantile(x, 0.9995))`, then mean and `std`.
#[test]
fn scaling_clamps_and_standardises() {
    let sequences: Vec<Vec<u8>> =
        (0..2001u32).map(|i| (0..6).map(|j| (i >> (2 * j) & 3) as u8).collect()).collect();
    let targets: Vec<f32> = (0..2001).map(|i| if i == 2000 { 1e6 } else { (i % 100) as f32 }).collect();
    let mut dataset = Dataset::new(sequences, targets, vec!["y".into()], TargetKind::Real).unwrap();
    let digest = dataset.digest.clone();
    let scaling = Scaling::fit(&dataset).unwrap();
    let scale = scaling.scales[0];
    assert_eq!(scale.clamp, 99.0, "the quantile falls on the second largest value");
    scaling.apply(&mut dataset).unwrap();
    let values: Vec<f64> = dataset.targets.iter().map(|&t| f64::from(t)).collect();
    let mean = values.iter().sum::<f64>() / 2001.0;
    let variance = values.iter().map(|x| (x - mean).powi(2)).sum::<f64>() / 2001.0;
    assert!(mean.abs() < 1e-6 && (variance - 1.0).abs() < 1e-6);
    assert_eq!(dataset.targets[2000], scale.apply(99.0));
    assert_eq!(dataset.digest, digest);
    let json = serde_json::to_string(&scaling).unwrap();
    assert_eq!(serde_json::from_str::<Scaling>(&json).unwrap(), scaling);
    let constant =
        Dataset::new(vec![codes("ACGT"); 2], vec![2.0; 2], vec!["y".into()], TargetKind::Real).unwrap();
    assert!(Scaling::fit(&constant).unwrap_err().to_string().contains("column y has no values that differ"));
}

#[test]
fn oddities_and_shortages_are_named() {
    let positives = vec![codes("ACGTACGT"), codes("NNNNNNGT"), codes("ACGTACGT"), codes("ACG")];
    let dataset = Dataset::from_classes(positives, vec![codes("ACGTACGT")]).unwrap();
    let messages = dataset.quality().messages();
    assert_eq!(
        messages,
        [
            "2 repeated sequences, 1 of them with another target",
            "1 sequence with more than half N",
            "the sequences have 3 to 8 bases",
        ]
    );
    let lengths = Dataset::from_classes(vec![codes("ACGTACGT")], vec![codes("ACGTAC")]).unwrap();
    let messages = lengths.quality().messages();
    assert!(messages[0].starts_with("unbound sequences have 6 bases, bound ones 8"), "{messages:?}");
    let two =
        Dataset::new(vec![codes("AC"), codes("GT")], vec![2.0, 1.0], vec!["y".into()], TargetKind::Real);
    let messages = two.unwrap().quality().messages();
    assert_eq!(messages, ["the targets 1 and 2 are taken for measured numbers; classes are 0 and 1"]);
    let error = |dataset: &Dataset, count, length| dataset.require(count, length).unwrap_err().to_string();
    assert_eq!(error(&dataset, 20, 1), "there are 5 sequences; 20 or more are needed");
    assert!(
        error(&dataset, 5, 8).starts_with("1 of 5 sequences are shorter than 8 bases (the shortest has 3)")
    );
    assert!(dataset.require(5, 3).is_ok());
    let single = Dataset::from_classes(vec![codes("ACGT"); 3], Vec::new()).unwrap();
    assert_eq!(error(&single, 1, 1), "all 3 sequences are of one class (1) in column bound");
    let missing = Dataset::new(vec![codes("A")], vec![f32::NAN], vec!["y".into()], TargetKind::Real).unwrap();
    assert_eq!(error(&missing, 1, 1), "every value is missing in column y");
    assert!(Dataset::from_classes(vec![Vec::new()], Vec::new()).is_err());
    assert!(Dataset::from_classes(Vec::new(), Vec::new()).is_err());
}

#[test]
fn the_digest_is_of_the_data_and_nothing_else() {
    let a = usual("seq\tbound\nACGT\t1\nACGA\t0\n").unwrap();
    let b = usual("bound\tid\tseq\n1\tx\tacgu\n0\ty\tACGA\n").unwrap();
    assert_eq!(a.digest, b.digest);
    assert_eq!(a.digest.len(), 64);
    for other in
        ["seq\tbound\nACGT\t1\nACGA\t1\n", "seq\tbound\nACGT\t1\nACGC\t0\n", "seq\tlabel\nACGT\t1\nACGA\t0\n"]
    {
        assert_ne!(usual(other).unwrap().digest, a.digest);
    }
}

#[test]
fn leaks_are_found_on_both_strands() {
    let training = Dataset::from_classes(vec![codes("AACCG"), codes("TTTTT")], Vec::new()).unwrap();
    let test = vec![codes("GATTA"), codes("CGGTT"), codes("TTTTT"), codes("AAAAA")];
    let test = Dataset::from_classes(test, Vec::new()).unwrap();
    assert_eq!(Leaks::find(&training, &test, true).ranks, [1, 2, 3]);
    let stranded = Leaks::find(&training, &test, false);
    assert_eq!(stranded.ranks, [2]);
    assert!(stranded.message().unwrap().starts_with("1 of 4 test sequences are also in the training set"));
    assert_eq!(Leaks::find(&test.select(&[0]).unwrap(), &training, true).message(), None);
}

#[test]
fn the_shared_files_are_read_whole() {
    let rows = [
        ("encode/ELK1_GM12878_AC.seq.gz", 5084, TargetKind::Binary),
        ("encode/ELK1_GM12878_B.seq.gz", 1000, TargetKind::Binary),
        ("pbm/Sp1_ME.txt.gz", 40455, TargetKind::Real),
        ("rna/RNCMPT00001.train.gz", 30000, TargetKind::Real),
    ];
    for (name, count, kind) in rows {
        let Some(path) = shared(name) else { return };
        let dataset = read_table(&path, &TableOptions::default()).unwrap();
        assert_eq!((dataset.len(), dataset.kind, dataset.outputs), (count, kind, 1), "{name}");
        assert_eq!(dataset.quality().messages().len(), 0, "{name}");
    }
    let selex = shared("selex/r0_r1_max_selex_seq_10mer_150_onestrand_relKa_val.txt.gz").unwrap();
    let error = read_table(&selex, &TableOptions::default()).unwrap_err().to_string();
    assert!(error.contains("no column of it holds sequences"), "{error}");
}
