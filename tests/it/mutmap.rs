//! `bindscan mutmap`, run as a user runs it, against every mutant scored by itself.

use std::collections::HashMap;
use std::fmt::Write as _;
use std::fs;
use std::path::Path;

use crate::common::network::{matrix, network, save};
use crate::common::{error_line, run, run_ok, stdout};
use bindscan::engine::reference::window_scores;
use bindscan::model::{Network, Padding, Pooling};
use bindscan::seq::alphabet::{ascii_of_code, encode, reverse_complement_into};
use bindscan::track::bigwig::{Reader, Values};
use rand::{RngExt, SeedableRng};
use rand_xoshiro::Xoshiro256PlusPlus as Random;

const WINDOW: usize = 18;

/// A folder with a model, a matrix, sequences (one shorter than a window, one with N) and a genome of them.
fn example() -> (tempfile::TempDir, Network, Vec<(String, String)>) {
    let mut random = Random::seed_from_u64(11);
    let directory = tempfile::tempdir().unwrap();
    let net = network(&mut random, (6, 8), Padding::n(7), Pooling::MaxAndAverage, (Some(5), 1));
    save("net", &net, WINDOW, directory.path());
    save("pwm", &matrix(&mut random, 7), 7, directory.path());
    let mut sequence = |length: usize| {
        (0..length).map(|_| b"ACGT"[random.random_range(0..4usize)] as char).collect::<String>()
    };
    let sequences =
        [("short", sequence(11)), ("long", sequence(60) + "NN" + &sequence(90)), ("tiny", sequence(2))];
    let sequences: Vec<_> = sequences.map(|(name, bases)| (name.to_owned(), bases)).into();
    let fasta: String = sequences.iter().map(|(name, bases)| format!(">{name} x\n{bases}\n")).collect();
    fs::write(directory.path().join("seq.fa"), fasta).unwrap();
    (directory, net, sequences)
}

/// The best of the windows that touch a position, scored one by one.
fn best(network: &Network, codes: &[u8], position: usize) -> f64 {
    let window = WINDOW.min(codes.len());
    let mut best = f64::NEG_INFINITY;
    for start in (0..=codes.len() - window).filter(|start| (*start..start + window).contains(&position)) {
        let forward = codes[start..start + window].to_vec();
        let mut reverse = Vec::new();
        reverse_complement_into(&forward, &mut reverse);
        for strand in [forward, reverse] {
            best = best.max(window_scores(network, &strand, true)[0]);
        }
    }
    best
}

fn rows(table: &str) -> Vec<Vec<&str>> {
    table.lines().skip(1).map(|line| line.split('\t').collect()).collect()
}

#[test]
fn every_substitution_scores_as_its_windows_do() {
    let (directory, net, sequences) = example();
    let table = stdout(directory.path(), "mutmap -m net.onnx -m pwm.onnx seq.fa");
    assert!(
        table.starts_with("contig\tposition\tref\talt\tmodel\tref_score\talt_score\tdifference\teffect\n")
    );
    let (rows, others): (Vec<_>, Vec<_>) = rows(&table).into_iter().partition(|row| row[4] == "net");
    let mut next = rows.iter();
    for (name, bases) in &sequences {
        let codes = encode(bases.as_bytes()).unwrap();
        for (position, letter) in bases.chars().enumerate() {
            let reference = best(&net, &codes, position);
            for base in (0..4u8).filter(|&base| char::from(ascii_of_code(base)) != letter) {
                let row = next.next().expect("a row for each substitution");
                let place = [
                    name,
                    &(position + 1).to_string(),
                    &letter.to_string(),
                    &char::from(ascii_of_code(base)).to_string(),
                ];
                assert_eq!(row[..4], place.map(String::as_str));
                let mut mutant = codes.clone();
                mutant[position] = base;
                let alternative = best(&net, &mutant, position);
                let difference = alternative - reference;
                let want =
                    [reference, alternative, difference, difference * alternative.max(reference).max(0.0)];
                for (have, want) in row[5..].iter().zip(want) {
                    let have: f64 = have.parse().unwrap();
                    assert!((have - want).abs() < 5e-4 * want.abs().max(1.0), "{row:?}: {want}");
                }
            }
        }
    }
    assert!(next.next().is_none());
    // The matrix does not fit into two bases; the network pads them.
    assert!(others.len() > 450 && others.iter().all(|row| row[4] == "pwm" && row[0] != "tiny"));
}

#[test]
fn a_region_is_mapped_as_its_variants_are_scored() {
    let (directory, _, sequences) = example();
    let at = directory.path();
    let mut calls = "##fileformat=VCFv4.2\n#CHROM\tPOS\tID\tREF\tALT\tQUAL\tFILTER\tINFO\n".to_owned();
    for (i, letter) in sequences[1].1.char_indices().filter(|(i, _)| (49..80).contains(i)) {
        for other in "ACGT".chars().filter(|&other| other != letter) {
            let _ = writeln!(calls, "long\t{}\t.\t{letter}\t{other}\t.\t.\t.", i + 1);
        }
    }
    fs::write(at.join("calls.vcf"), calls).unwrap();
    let models = "-m net.onnx -m pwm.onnx --genome seq.fa";
    let scored = stdout(at, &format!("variants {models} calls.vcf --format tsv"));
    let variants: Vec<String> =
        rows(&scored).iter().map(|row| [&row[..2], &row[3..10]].concat().join("\t")).collect();
    let mapped = stdout(at, &format!("mutmap {models} -r long:50-80"));
    assert!(variants.len() > 180);
    assert_eq!(rows(&mapped).iter().map(|row| row.join("\t")).collect::<Vec<_>>(), variants);
    // Ends of contigs, and whole genomes.
    let whole = stdout(at, &format!("mutmap {models}"));
    assert_eq!(whole, stdout(at, "mutmap -m net.onnx -m pwm.onnx seq.fa"));
    let inside = |row: &Vec<&str>| row[0] == "long" && (50..=80).contains(&row[1].parse::<usize>().unwrap());
    let part: Vec<_> = rows(&whole).into_iter().filter(inside).collect();
    assert_eq!(part, rows(&mapped));
}

fn track(path: &Path) -> HashMap<(String, u64), f32> {
    let (mut reader, mut values, mut found) =
        (Reader::open(path).unwrap(), Values::default(), HashMap::new());
    while reader.read(&mut values).unwrap() {
        let name = reader.contigs()[values.contig].name.clone();
        for &(start, end, value) in &values.stretches {
            found.extend((start..end).map(|position| ((name.clone(), position), value)));
        }
    }
    found
}

#[test]
fn tracks_have_the_numbers_of_the_table() {
    let (directory, _, sequences) = example();
    let at = directory.path();
    run_ok(at, "mutmap -m net.onnx seq.fa -o map.tsv -o effect.{base}.bw -o effect.bw");
    run_ok(at, "mutmap -m net.onnx -m pwm.onnx seq.fa -o {name}.{base}.bw --show difference");
    let table = fs::read_to_string(at.join("map.tsv")).unwrap();
    let strongest = track(&at.join("effect.bw"));
    let bases: usize = sequences.iter().map(|(_, bases)| bases.len()).sum();
    assert_eq!(strongest.len(), bases);
    let mut most: HashMap<(String, u64), f32> = HashMap::new();
    for letter in ["A", "C", "G", "T"] {
        let (effects, differences) =
            (track(&at.join(format!("effect.{letter}.bw"))), track(&at.join(format!("net.{letter}.bw"))));
        assert_eq!((effects.len(), differences.len()), (bases, bases));
        let mut seen = 0;
        for row in rows(&table).iter().filter(|row| row[3] == letter) {
            let place = (row[0].to_owned(), row[1].parse::<u64>().unwrap() - 1);
            let close = |value: f32, text: &str| {
                (value - text.parse::<f32>().unwrap()).abs() < 1e-5 * value.abs().max(1.0)
            };
            assert!(close(effects[&place], row[8]) && close(differences[&place], row[7]), "{row:?}");
            seen += 1;
            let most = most.entry(place.clone()).or_default();
            *most = most.max(effects[&place].abs());
        }
        let own: f32 = effects
            .iter()
            .filter(|((name, at), _)| {
                let bases = &sequences.iter().find(|(other, _)| other == name).unwrap().1;
                bases[*at as usize..].starts_with(letter)
            })
            .map(|(_, value)| value.abs())
            .sum();
        assert_eq!(own, 0.0);
        assert!(seen > 100);
    }
    for (place, value) in &strongest {
        assert_eq!(value.abs(), most[place]);
    }
}

#[test]
fn the_same_bytes_for_any_threads() {
    let (directory, ..) = example();
    let at = directory.path();
    let mut all = Vec::new();
    for threads in [1, 2, 5] {
        let outputs = "-o map.tsv -o map.svg -o map.bw -o map.tsv.gz -o map.png";
        run_ok(at, &format!("mutmap -m net.onnx seq.fa -t {threads} {outputs}"));
        let files = ["map.tsv", "map.svg", "map.bw", "map.tsv.gz", "map.png"];
        all.push(files.map(|name| fs::read(at.join(name)).unwrap()));
    }
    assert!(all[0] == all[1] && all[1] == all[2]);
    let picture = String::from_utf8(all[0][1].clone()).unwrap();
    let positions = 11 + 152 + 2;
    assert_eq!(picture.matches(": effect ").count(), 3 * positions + 2);
    assert!(picture.contains("net, long:1-152") && !picture.contains("NaN"));
}

/// Width and RGB pixels of a PNG.
fn pixels(png: &[u8]) -> (usize, Vec<[u8; 3]>) {
    let mut reader = png::Decoder::new(std::io::Cursor::new(png)).read_info().unwrap();
    let mut bytes = vec![0; reader.output_buffer_size().unwrap()];
    let info = reader.next_frame(&mut bytes).unwrap();
    assert_eq!(info.color_type, png::ColorType::Rgba);
    (info.width as usize, bytes.chunks(4).map(|pixel| [pixel[0], pixel[1], pixel[2]]).collect())
}

/// The value of an attribute of an element.
fn attribute<'a>(element: &'a str, name: &str) -> Option<&'a str> {
    element.split_once(&format!(" {name}=\""))?.1.split_once('"').map(|(value, _)| value)
}

#[test]
fn png_has_the_colors_of_the_svg() {
    let (directory, ..) = example();
    let at = directory.path();
    run_ok(at, "mutmap -m net.onnx seq.fa -o map.svg -o map.png");
    let svg = fs::read_to_string(at.join("map.svg")).unwrap();
    let (width, picture) = pixels(&fs::read(at.join("map.png")).unwrap());
    let number = |element: &str, name: &str| attribute(element, name).unwrap().parse::<f64>().unwrap();
    assert_eq!(width as f64, 2.0 * number(&svg, "width"));
    assert_eq!(picture.len() as f64, 4.0 * number(&svg, "width") * number(&svg, "height"));
    let at_place = |x: f64, y: f64| picture[(2.0 * y) as usize * width + (2.0 * x) as usize];
    let (mut cells, mut colors) = (0, std::collections::HashSet::new());
    for row in svg.split("<g transform=\"translate(").skip(1) {
        let (left, top) = row.split_once(')').unwrap().0.split_once(' ').unwrap();
        let (left, top): (f64, f64) = (left.parse().unwrap(), top.parse().unwrap());
        for cell in
            row.split("</g>").next().unwrap().split('<').filter(|element| element.starts_with("rect "))
        {
            let color = attribute(cell, "fill").unwrap();
            let want = [1, 3, 5].map(|i| u8::from_str_radix(&color[i..i + 2], 16).unwrap());
            let middle = |place, length| number(cell, place) + number(cell, length) / 2.0;
            let have = at_place(left + middle("x", "width"), top + middle("y", "height"));
            assert_eq!(have, want, "{cell}");
            colors.insert(want);
            cells += 1;
        }
    }
    assert!(cells > 450 && colors.len() > 50);
    // The title is dark on white.
    let title = picture[..2 * 30 * width].iter().filter(|pixel| pixel.iter().all(|&part| part < 90)).count();
    assert!(title > 100 && title < 2 * 30 * width / 10, "{title}");
    assert_eq!(picture[0], [255; 3]);

    run_ok(at, "mutmap -m net.onnx seq.fa -o map.png --scale 0.5");
    assert_eq!(pixels(&fs::read(at.join("map.png")).unwrap()).0, width / 4);
    let piped = crate::common::run(at, "mutmap -m net.onnx seq.fa --format png --scale 0.5").stdout;
    assert!(piped == fs::read(at.join("map.png")).unwrap());
}

#[test]
fn what_is_wrong_is_said_on_one_line() {
    let (directory, ..) = example();
    let at = directory.path();
    fs::write(at.join("twice.fa"), ">a\nACGTACGTACGTACG\n>a\nACGTAGGTACGTACG\n").unwrap();
    fs::write(at.join("bad.fa"), ">a\nAC!T\n").unwrap();
    fs::write(at.join("wide.fa"), format!(">w\n{}\n", "ACGTTGCA".repeat(4000))).unwrap();
    for (words, message) in [
        ("seq.fa -o map.png --scale 20", "map.png: the picture would have "),
        ("seq.fa -o map.svg --scale 3", "--scale is for PNG"),
        ("seq.fa -o map.bed", "unknown output extension .bed"),
        ("seq.fa -o map.svg.gz", "only .tsv is compressed"),
        ("seq.fa -o map.{base}.tsv", "are for bigWigs"),
        ("seq.fa -m pwm.onnx -o map.bw", "2 models do not go into one bigWig"),
        ("seq.fa -o map.tsv -o map.tsv", "two outputs"),
        ("seq.fa -o map.tsv -o x.svg --format tsv", "--format is for one output"),
        ("twice.fa -o map.bw", "two sequences are named a"),
        ("bad.fa", "line 2: '!' (character 3) is not a nucleotide"),
        ("wide.fa -o map.svg", "a picture shows 25000 positions at the most"),
        ("--genome seq.fa -r long:140-160", "runs past the end of long"),
        ("--genome seq.fa -r lon:1-9", "did you mean long?"),
        ("none.fa", "none.fa: cannot open"),
    ] {
        let error = error_line(at, &format!("mutmap -m net.onnx {words}"));
        assert!(error.contains(message), "{message} is not in {error}");
        assert!(
            ["map.svg", "map.png", "map.tsv", "map.bw"].iter().all(|name| !at.join(name).exists()),
            "{words}"
        );
    }
}

#[test]
fn positions_that_are_left_out_are_not_counted_as_scored() {
    let directory = tempfile::tempdir().unwrap();
    let at = directory.path();
    save("m", &matrix(&mut Random::seed_from_u64(9), 8), 8, at);
    fs::write(at.join("two.txt"), "ACGTTGCATTGACCATGCAAGT\nACGTA\n").unwrap();
    let output = run(at, "mutmap -m m.onnx two.txt -o map.tsv");
    let said = String::from_utf8(output.stderr).unwrap();
    assert!(output.status.success() && said.contains("22 positions, 66 substitutions scored"), "{said}");
    assert!(said.contains("5 positions of sequences too short"), "{said}");
}
