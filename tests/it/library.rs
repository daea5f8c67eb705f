//! The library's front door gives what the program writes.

use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};

use bindscan::engine::planned::PlanOptions;
use bindscan::engine::scorer::score_all;
use bindscan::scan::Overlaps;
use bindscan::scan::search::SiteChoice;
use bindscan::seq::contig::Strand;
use bindscan::track::push_score;
use bindscan::track::score::Summary;
use bindscan::{Error, Model, Scan, SiteRecord};
use tempfile::TempDir;

use crate::common::{gzip, stdout};

const MATRIX: &str = "models/ctcf-consensus.meme";

fn root() -> &'static Path {
    Path::new(env!("CARGO_MANIFEST_DIR"))
}

fn genome() -> PathBuf {
    root().join("tests/data/genome.fa")
}

fn matrix() -> Vec<Model> {
    Model::find_all(root().join(MATRIX)).unwrap()
}

/// The sites of a scan as the program's TSV has them, with as many columns of significance.
fn tsv(scan: &Scan) -> String {
    table(scan, true)
}

/// The same; with or without the columns of cores.
fn table(scan: &Scan, cores: bool) -> String {
    let mut sites = scan.sites().unwrap();
    let names = sites.names().to_vec();
    let mut text = String::new();
    for site in &mut sites {
        let site = site.unwrap();
        let SiteRecord { contig, start, end, target, strand, score, p_value, q_value, p_source, .. } = site;
        let strand = strand.map_or('.', Strand::symbol);
        let mut number = Vec::new();
        push_score(score, &mut number);
        let score = String::from_utf8(number).unwrap();
        text += &format!("{contig}\t{start}\t{end}\t{}\t{strand}\t{score}", names[target]);
        for value in p_value.into_iter().chain(q_value) {
            text += &format!("\t{value:.4e}");
        }
        if let Some(origin) = p_source {
            text += &format!("\t{origin}");
        }
        if cores {
            text += &format!("\t{}\t{}\t{}", site.summit, site.window.start, site.window.end);
        }
        text += "\n";
    }
    assert_eq!(sites.summary().unwrap().sites, text.lines().count() as u64);
    text
}

/// The lines that the program writes in place of it, without the columns that a record does not have.
fn program(options: &str) -> String {
    let text = stdout(root(), &format!("scan tests/data/genome.fa --format tsv --quiet {options}"));
    let (header, lines) = text.split_once('\n').unwrap();
    let kept: Vec<bool> = header.split('\t').map(|name| !["motif", "sequence"].contains(&name)).collect();
    let line = |line: &str| {
        let fields = line.split('\t').zip(&kept).filter(|(_, kept)| **kept);
        fields.map(|(field, _)| field).collect::<Vec<_>>().join("\t") + "\n"
    };
    lines.lines().map(line).collect()
}

#[test]
fn sites_are_those_of_the_program() {
    let elk1 = || Scan::new(genome()).model(Model::find("ELK1").unwrap());
    let matrices = || Scan::new(genome()).models(matrix());
    let cases = [
        (elk1().threshold(0.5), "-m ELK1 --threshold 0.5".to_owned()),
        (elk1().threshold(0.5).overlaps(Overlaps::Keep), "-m ELK1 --threshold 0.5 --overlaps keep".into()),
        (elk1().choose(SiteChoice::All).region("sim2:101-400"), "-m ELK1 --all --region sim2:101-400".into()),
        (matrices().pvalue(1e-4), format!("-m {MATRIX} --pvalue 1e-4")),
        (matrices().qvalue(0.2), format!("-m {MATRIX} --qvalue 0.2")),
        (
            matrices().model(Model::find("ELK1").unwrap()).choose(SiteChoice::Threshold(vec![12.0, 1.0])),
            format!("-m {MATRIX} -m ELK1 --threshold 12 --threshold 1"),
        ),
        (
            elk1().threshold(0.0).plan(PlanOptions::default().window(40).stride(3)),
            "-m ELK1 --threshold 0 --window 40 --stride 3".into(),
        ),
    ];
    for (scan, options) in cases {
        let want = program(&options);
        assert!(want.lines().count() > 3, "{options}: {want}");
        // All windows have no cores.
        let cores = !options.contains("--overlaps keep") && !options.contains("--all");
        assert_eq!(table(&scan, cores), want, "{options}");
        assert_eq!(
            table(&scan.clone().threads(3).chunk_size(700), cores),
            want,
            "{options}, in small chunks"
        );
    }
}

#[test]
fn a_compressed_genome_gives_the_same_sites_and_scores() {
    let directory = TempDir::new().unwrap();
    let compressed = directory.path().join("genome.fa.gz");
    std::fs::write(&compressed, gzip(&std::fs::read(genome()).unwrap())).unwrap();
    let model = Model::find("ELK1").unwrap();
    let scans = [genome(), compressed].map(|path| Scan::new(path).model(model.clone()).threshold(0.5));
    assert_eq!(tsv(&scans[0]), tsv(&scans[1]));
    let [first, second] = scans.map(|scan| bedgraph(&scan));
    assert_eq!(first, second);
}

/// The scores of a scan as lines of a bedGraph.
fn bedgraph(scan: &Scan) -> String {
    let mut text = String::new();
    for track in scan.scores().unwrap() {
        let track = track.unwrap();
        for (i, &value) in track.values.iter().enumerate().filter(|(_, value)| !value.is_nan()) {
            let first = track.start - track.start % track.bin + i as u64 * track.bin;
            let mut number = Vec::new();
            push_score(value, &mut number);
            let start = first.max(track.start);
            text += &format!("{}\t{start}\t{}\n", track.contig, String::from_utf8(number).unwrap());
        }
    }
    text
}

#[test]
fn scores_are_those_of_the_program() {
    let scan = Scan::new(genome()).model(Model::find("ELK1").unwrap());
    let cases = [
        (scan.clone(), "-m ELK1"),
        (scan.clone().bin(10).summary(Summary::Mean), "-m ELK1 --bin-size 10 --summary mean"),
        (
            scan.clone().bin(7).region("sim1:1001-1500").region("sim2:18-3000").region("sim1:1503-2010"),
            "-m ELK1 --bin-size 7 --region sim1:1001-1500 --region sim1:1503-2010 --region sim2:18-3000",
        ),
    ];
    for (scan, options) in cases {
        let text = stdout(root(), &format!("scan tests/data/genome.fa --format bedgraph --quiet {options}"));
        // Ends follow from the bin size.
        let without_end = |line: &str| {
            let fields: Vec<&str> = line.split('\t').collect();
            format!("{}\t{}\t{}\n", fields[0], fields[1], fields[3])
        };
        let want: String = text.lines().map(without_end).collect();
        assert!(want.lines().count() > 300);
        assert_eq!(bedgraph(&scan), want, "{options}");
        assert_eq!(bedgraph(&scan.threads(2).chunk_size(300)), want, "{options}, in small chunks");
    }
}

#[test]
fn every_contig_and_target_has_an_array_of_its_length() {
    let scan = Scan::new(genome()).models(matrix()).model(Model::find("ELK1").unwrap());
    let tracks: Vec<_> = scan.scores().unwrap().map(Result::unwrap).collect();
    let mut shapes: Vec<_> = tracks
        .iter()
        .map(|track| (track.contig.to_string(), track.name.to_string(), track.values.len()))
        .collect();
    shapes.sort();
    let shape = |contig: &str, name: &str| (contig.to_owned(), name.to_owned(), 10_000);
    let (ctcf, elk1) = ("CTCF-consensus", "ELK1");
    assert_eq!(shapes, [shape("sim1", ctcf), shape("sim1", elk1), shape("sim2", ctcf), shape("sim2", elk1)]);
    // Windows of 101 bases have their centre at base 50 at the earliest.
    let first = tracks.iter().find(|track| &*track.name == elk1).unwrap();
    assert!(first.values[..50].iter().all(|value| value.is_nan()) && !first.values[50].is_nan());
}

#[test]
fn written_tracks_are_the_bytes_of_the_program() {
    let directory = TempDir::new().unwrap();
    let paths: Vec<PathBuf> = ["a.bed", "a.bw"].map(|name| directory.path().join(name)).into();
    let scan = Scan::new(genome()).model(Model::find("ELK1").unwrap()).threshold(0.5);
    let summary = scan.write(&paths).unwrap();
    let options = format!("scan {} -m ELK1 --threshold 0.5 -o b.bed -o b.bw", genome().display());
    stdout(directory.path(), &options);
    let read = |name: &str| std::fs::read(directory.path().join(name)).unwrap();
    assert_eq!(read("a.bed"), read("b.bed"));
    assert_eq!(read("a.bw"), read("b.bw"));
    assert_eq!(summary.sites, read("a.bed").iter().filter(|&&byte| byte == b'\n').count() as u64);
}

#[test]
fn sequences_have_the_scores_of_the_program() {
    let directory = TempDir::new().unwrap();
    let sequences = ["ACCGGAAGTGACCGGAAGTG", "acgtnacgtnacgtn", "A", "GGGGGGGGGGGGGGGGGCCCCCCTTTTTTTT"];
    std::fs::write(directory.path().join("s.txt"), sequences.join("\n")).unwrap();
    let text = stdout(directory.path(), "score s.txt -m ELK1 --quiet");
    let want: Vec<f32> =
        text.lines().skip(1).map(|line| line.split('\t').nth(1).unwrap().parse().unwrap()).collect();
    let model = Model::find("ELK1").unwrap();
    let same = |a: &f32, b: &f32| (a - b).abs() <= 1e-6 * a.abs().max(1.0) || (a.is_nan() && b.is_nan());
    for (sequence, want) in sequences.iter().zip(&want) {
        let score = model.score(sequence.as_bytes()).unwrap();
        assert!(score.len() == 1 && same(&score[0], want), "{sequence}: {score:?}, {want}");
    }
    let codes: Vec<Vec<u8>> =
        sequences.iter().map(|text| bindscan::seq::alphabet::encode(text.as_bytes()).unwrap()).collect();
    let mut scorers = vec![model.scorer().unwrap(), model.scorer().unwrap()];
    let many = score_all(&mut scorers, &codes, &AtomicBool::new(false)).unwrap();
    assert!(many.iter().zip(&want).all(|(a, b)| same(a, b)), "{many:?}");
    let error = model.score(b"ACGT!").unwrap_err().to_string();
    assert!(error.contains("'!' (character 5) is not a nucleotide"), "{error}");
}

#[test]
fn what_goes_wrong_has_a_kind() {
    let model = || Model::find("ELK1").unwrap();
    let sites = |scan: Scan| scan.sites().map(|_| ()).unwrap_err();
    assert!(matches!(Model::find("nothing"), Err(Error::UnknownModel { .. })));
    let missing = sites(Scan::new("no/such.fa").model(model()).threshold(1.0));
    assert!(matches!(missing, Error::Io { .. }), "{missing:?}");
    let contig = sites(Scan::new(genome()).model(model()).threshold(1.0).region("chrX"));
    assert!(matches!(contig, Error::Region(_)) && contig.to_string().contains("chrX"), "{contig:?}");
    let past = sites(Scan::new(genome()).model(model()).threshold(1.0).region("sim1:9000-20000"));
    assert!(matches!(past, Error::Region(_)), "{past:?}");
    assert!(matches!(sites(Scan::new(genome()).model(model())), Error::Request(_)));
    assert!(matches!(sites(Scan::new(genome()).threshold(1.0)), Error::Request(_)));
    let text = sites(Scan::new(root().join("Cargo.toml")).model(model()).threshold(1.0));
    assert!(matches!(text, Error::Format { .. }), "{text:?}");
    let twice = sites(Scan::new(genome()).models([model(), model()]).threshold(1.0));
    assert!(matches!(twice, Error::Mismatch(_)), "{twice:?}");
    let written = Scan::new(genome()).model(model()).threshold(1.0).write(&["sites.docx".into()]);
    assert!(matches!(written, Err(Error::Output(_))), "{written:?}");
}

#[test]
fn a_scan_ends_when_it_is_cancelled_or_dropped() {
    let cancel = Arc::new(AtomicBool::new(false));
    let scan = Scan::new(genome()).model(Model::find("ELK1").unwrap()).choose(SiteChoice::All);
    let scan = scan.chunk_size(10).threads(1).cancel(Arc::clone(&cancel));
    let mut sites = scan.sites().unwrap();
    assert!(sites.next().unwrap().is_ok());
    drop(sites);
    // The flag is for the caller, and serves the next scan, too.
    assert!(!cancel.load(Ordering::Relaxed));
    assert!(scan.sites().unwrap().next().unwrap().is_ok());
    cancel.store(true, Ordering::Relaxed);
    let last = scan.sites().unwrap().last().unwrap();
    assert!(matches!(last, Err(Error::Interrupted)), "{last:?}");
}
