//! `bindscan variants`, run as a user runs it, against windows scored one by one.

use std::collections::HashMap;
use std::fmt::Write as _;
use std::fs;
use std::path::Path;

use crate::common::network::{matrix, network, save};
use crate::common::{error_line, gzip, run, run_ok, stdout, stdout_of_input};
use bindscan::engine::reference::window_scores;
use bindscan::model::{Network, Padding, Pooling};
use bindscan::seq::alphabet::{ascii_of_code, reverse_complement_into};
use noodles::csi::binning_index::Indexer;
use noodles::csi::binning_index::index::reference_sequence::bin::Chunk;
use noodles::csi::binning_index::index::reference_sequence::index::BinnedIndex;
use noodles::vcf::variant::Record as _;
use noodles::vcf::variant::io::Write as _;
use noodles::{bcf, bgzf, vcf};
use rand::{RngExt, SeedableRng};
use rand_xoshiro::Xoshiro256PlusPlus as Random;

/// A model, for the test.
struct Case {
    name: &'static str,
    network: Network,
    window: usize,
    options: &'static str,
}

fn cases(random: &mut Random) -> Vec<Case> {
    let mut case = |name, window, options, network: &dyn Fn(&mut Random) -> Network| {
        let network = network(random);
        Case { name, network, window, options }
    };
    vec![
        case("padded", 20, "", &|r| network(r, (5, 7), Padding::n(6), Pooling::Max, (Some(4), 1))),
        case("two", 13, "", &|r| network(r, (17, 9), Padding::NONE, Pooling::MaxAndAverage, (None, 2))),
        case("minus", 9, "--strand -", &|r| network(r, (3, 4), Padding::n(3), Pooling::Average, (None, 1))),
        case("flank", 12, "--context flank", &|r| network(r, (4, 6), Padding::n(5), Pooling::Max, (None, 1))),
        case("short", 5, "", &|r| matrix(r, 5)),
        case("long", 16, "", &|r| matrix(r, 16)),
    ]
}

impl Case {
    /// Scores of those windows of a haplotype that `counts` (by start and end), by start from `origin` and strand, a row an
    /// output.
    fn windows(
        &self,
        contig: &[u8],
        origin: usize,
        counts: impl Fn(usize, usize) -> bool,
    ) -> Vec<(i64, char, Vec<f64>)> {
        let flank = self.options.contains("flank");
        let window = self.window.min(contig.len());
        let whole = contig.len() <= self.window;
        let needed = self.network.detector_length
            - self.network.padding.left
            - self.network.padding.right.min(self.network.detector_length - self.network.padding.left);
        if window < needed {
            return Vec::new();
        }
        let mut found = Vec::new();
        for start in (0..=contig.len() - window)
            .filter(|start| contig.len() < self.window || counts(*start, start + window))
        {
            let margin = if flank && !whole { self.network.padding.left as i64 } else { 0 };
            let from = start as i64 - margin;
            let codes: Vec<u8> = (from..from + window as i64 + 2 * margin)
                .map(|at| usize::try_from(at).ok().and_then(|at| contig.get(at)).copied().unwrap_or(4))
                .collect();
            let mut reverse = Vec::new();
            reverse_complement_into(&codes, &mut reverse);
            let padded = margin == 0;
            let offset = start as i64 - origin as i64;
            for (strand, codes) in [('+', &codes), ('-', &reverse)] {
                if strand == '-' || !self.options.contains("--strand -") {
                    found.push((offset, strand, window_scores(&self.network, codes, padded)));
                }
            }
        }
        found
    }
}

/// A genome with runs of N, lower case, and contigs shorter than windows.
fn genome(random: &mut Random) -> Vec<(String, Vec<u8>)> {
    [400, 61, 17, 4]
        .into_iter()
        .zip(["one", "two", "three", "four"])
        .map(|(length, name)| {
            let mut codes: Vec<u8> = (0..length).map(|_| random.random_range(0..4)).collect();
            if length > 60 {
                codes[20..23].fill(4);
                codes[length - 12..length - 8].fill(4);
            }
            (name.to_owned(), codes)
        })
        .collect()
}

fn letters(codes: &[u8]) -> String {
    codes.iter().map(|&code| char::from(ascii_of_code(code))).collect()
}

fn write_genome(directory: &Path, genome: &[(String, Vec<u8>)]) {
    let mut text = String::new();
    for (name, codes) in genome {
        let _ = writeln!(text, ">{name}");
        let mixed: String = letters(codes)
            .chars()
            .enumerate()
            .map(|(i, c)| if i % 7 < 3 { c.to_ascii_lowercase() } else { c })
            .collect();
        mixed.as_bytes().chunks(50).for_each(|line| {
            let _ = writeln!(text, "{}", std::str::from_utf8(line).unwrap());
        });
    }
    fs::write(directory.join("genome.fa"), &text).unwrap();
    fs::write(directory.join("genome.fa.gz"), gzip(text.as_bytes())).unwrap();
}

const HEADER: &str = "##fileformat=VCFv4.2\n##INFO=<ID=DP,Number=1,Type=Integer,Description=\"Depth\">\n\
                      ##INFO=<ID=END,Number=1,Type=Integer,Description=\"End\">\n\
                      ##FORMAT=<ID=GT,Number=1,Type=String,Description=\"Genotype\">\n\
                      ##contig=<ID=one>\n##contig=<ID=two>\n##contig=<ID=three>\n##contig=<ID=four>\n";
const COLUMNS: &str = "#CHROM\tPOS\tID\tREF\tALT\tQUAL\tFILTER\tINFO";

/// Variants of every sort at random places and at the contigs' ends, sorted.
fn calls(random: &mut Random, genome: &[(String, Vec<u8>)]) -> String {
    let mut text = HEADER.to_owned() + COLUMNS + "\tFORMAT\ts1\n";
    for (name, codes) in genome {
        let mut places: Vec<usize> =
            (0..codes.len() / 3).map(|_| random.random_range(0..codes.len())).collect();
        places.extend([0, codes.len() - 1]);
        places.sort_unstable();
        for place in places {
            let span =
                (*[1, 1, 1, 2, 3, 8].get(random.random_range(0..6usize)).unwrap()).min(codes.len() - place);
            let mut alternatives = Vec::new();
            for _ in 0..random.random_range(1..4) {
                let bases: Vec<u8> = (0..[1, 1, 2, 5, 30][random.random_range(0..5usize)])
                    .map(|_| random.random_range(0..5))
                    .collect();
                alternatives.push(match random.random_range(0..9) {
                    0 => "*".to_owned(),
                    1 => "<DEL>".to_owned(),
                    _ => letters(&bases),
                });
            }
            let reference = letters(&codes[place..place + span]);
            let _ = writeln!(
                text,
                "{name}\t{}\trs{place}\t{reference}\t{}\t30\tPASS\tDP=4\tGT\t0/1",
                place + 1,
                alternatives.join(",")
            );
        }
    }
    text
}

fn info(line: &str) -> HashMap<&str, &str> {
    let field = line.split('\t').nth(7).unwrap();
    field.split(';').filter_map(|entry| entry.split_once('=')).collect()
}

/// Every allele of every case equals the best of its windows, scored one by one in f64.
#[test]
fn every_allele_scores_as_its_windows_do() {
    let mut random = Random::seed_from_u64(7);
    for round in 0..2 {
        let directory = tempfile::tempdir().unwrap();
        let at = directory.path();
        let genome = genome(&mut random);
        write_genome(at, &genome);
        fs::write(at.join("calls.vcf"), calls(&mut random, &genome)).unwrap();
        let cases = cases(&mut random);
        cases.iter().for_each(|case| save(case.name, &case.network, case.window, at));
        // Options are for all models of a run; the matrices share one.
        let runs: [&[usize]; 5] = [&[0], &[1], &[2], &[3], &[4, 5]];
        for members in runs {
            let models: String = members.iter().map(|&i| format!("-m {}.onnx ", cases[i].name)).collect();
            let words =
                format!("variants {models} {} --genome genome.fa calls.vcf", cases[members[0]].options);
            let annotated = stdout(at, &words);
            let mut compared = 0;
            for line in annotated.lines().filter(|line| !line.starts_with('#')) {
                for &member in members {
                    compared += check(&cases[member], &genome, line);
                }
            }
            assert!(compared > 150 * members.len(), "round {round}: {compared} of {words}");
            let table = stdout(at, &format!("{words} --format tsv"));
            assert_eq!(
                rows(&annotated),
                table.lines().skip(1).map(str::to_owned).collect::<Vec<_>>(),
                "{words}"
            );
        }
    }
}

fn close(have: &str, want: f64) -> bool {
    (have.parse::<f64>().unwrap() - want).abs() <= 1e-4 * want.abs().max(1.0)
}

/// Result of the definition for two haplotypes, by comparing whole contigs: windows of each that count, or none of either.
fn definition(case: &Case, haplotypes: [&[u8]; 2], origin: usize) -> [Vec<(i64, char, Vec<f64>)>; 2] {
    let [reference, alternative] = haplotypes;
    if reference == alternative {
        return [Vec::new(), Vec::new()];
    }
    let shortest = reference.len().min(alternative.len());
    let prefix = (0..=shortest).rev().find(|&n| reference[..n] == alternative[..n]).unwrap();
    let ends = |n: usize| reference[reference.len() - n..] == alternative[alternative.len() - n..];
    let suffix = (0..=shortest).rev().find(|&n| ends(n)).unwrap();
    let changed = haplotypes
        .map(|codes| case.windows(codes, origin, |from, to| to > prefix && from < codes.len() - suffix));
    if changed[0].is_empty() == changed[1].is_empty() {
        return changed;
    }
    // The indel in every place where it makes the same haplotypes.
    let (long, short) = match reference.len() > alternative.len() {
        true => (reference, alternative),
        false => (alternative, reference),
    };
    let size = long.len() - short.len();
    let places = (0..=short.len()).filter(|&at| [&long[..at], &long[at + size..]].concat() == short);
    let places: Vec<usize> = places.collect();
    haplotypes.map(|codes| {
        let size = if codes.len() == long.len() { size } else { 0 };
        let near = |from, to| places.iter().any(|&at| to >= at && from <= at + size);
        case.windows(codes, origin, near)
    })
}

/// Compares the fields of one record with the definition; gives the number of alleles compared.
fn check(case: &Case, genome: &[(String, Vec<u8>)], line: &str) -> usize {
    let columns: Vec<&str> = line.split('\t').collect();
    let contig = &genome.iter().find(|(name, _)| name == columns[0]).unwrap().1;
    let start = columns[1].parse::<usize>().unwrap() - 1;
    let end = start + columns[3].len();
    let info = info(line);
    let outputs = case.network.output.outputs;
    let shortest = case.network.detector_length.saturating_sub(case.network.padding.left * 2).max(1);
    let mut compared = 0;
    for output in 0..outputs {
        let prefix = if outputs == 1 {
            format!("BS_{}", case.name)
        } else {
            format!("BS_{}.score_{output}", case.name)
        };
        let alternatives: Vec<&str> = columns[4].split(',').collect();
        for (i, allele) in alternatives.iter().enumerate() {
            let get = |field: &str| {
                let values = info.get(&*format!("{prefix}_{field}"));
                values.map_or(".", |values| values.split(',').nth(i).expect("a value for each allele"))
            };
            let fields = ["REF", "ALT", "REF_STRAND", "ALT_STRAND", "REF_OFFSET", "ALT_OFFSET"].map(get);
            let (difference, effect) = (get("DIFF"), get("EFFECT"));
            if matches!(*allele, "*" | "<DEL>") {
                assert_eq!((fields, difference, effect), (["."; 6], ".", "."), "{line}");
                continue;
            }
            let allele = bindscan::seq::alphabet::encode(allele.as_bytes()).unwrap();
            let haplotype = [&contig[..start], &allele, &contig[end..]].concat();
            if contig.len().min(haplotype.len()) < shortest {
                assert_eq!((fields, difference), (["."; 6], "."), "{line}");
                continue;
            }
            let windows = definition(case, [contig, &haplotype], start);
            if windows[0].is_empty() {
                assert_eq!((fields, difference, effect), (["."; 6], "0", "0"), "{line}");
                compared += 1;
                continue;
            }
            let best = [0, 1].map(|side| {
                let windows = &windows[side];
                let best =
                    windows.iter().map(|(_, _, scores)| scores[output]).fold(f64::NEG_INFINITY, f64::max);
                assert!(close(fields[side], best), "{} {line}: {} for {best}", case.name, fields[side]);
                let offset: i64 = fields[4 + side].parse().unwrap();
                let strand = fields[2 + side].chars().next().unwrap();
                let there = windows
                    .iter()
                    .find(|(at, on, _)| *at == offset && *on == strand)
                    .expect("a window that counts");
                assert!(
                    (there.2[output] - best).abs() <= 2e-4 * best.abs().max(1.0),
                    "{line}: {there:?}, best {best}"
                );
                best
            });
            let want = best[1] - best[0];
            assert!((difference.parse::<f64>().unwrap() - want).abs() < 3e-4);
            let want = want * best[1].max(best[0]).max(0.0);
            assert!((effect.parse::<f64>().unwrap() - want).abs() < 2e-3 * want.abs().max(1.0), "{line}");
            compared += 1;
        }
    }
    compared
}

/// The rows of the table that the fields of annotated records are.
fn rows(annotated: &str) -> Vec<String> {
    let models: Vec<&str> = annotated
        .lines()
        .filter_map(|line| line.strip_prefix("##INFO=<ID=BS_")?.split_once("_EFFECT,").map(|(name, _)| name))
        .collect();
    let mut rows = Vec::new();
    for line in annotated.lines().filter(|line| !line.starts_with('#')) {
        let (columns, info) = (line.split('\t').collect::<Vec<_>>(), info(line));
        for (i, allele) in columns[4].split(',').enumerate() {
            for model in &models {
                let get = |field: &str| {
                    let values = info.get(&*format!("BS_{model}_{field}"))?.split(',');
                    values.into_iter().nth(i)
                };
                let value = |field: &str| get(field).unwrap_or(".").to_owned();
                let mut row = [columns[0], columns[1], columns[2], columns[3], allele, model]
                    .map(str::to_owned)
                    .to_vec();
                row.extend(["REF", "ALT", "DIFF", "EFFECT"].map(value));
                row.extend(["REF_STRAND", "REF_OFFSET", "ALT_STRAND", "ALT_OFFSET"].map(value));
                let status = match (allele, &*row[7], &*row[8]) {
                    ("*", ..) => "spanning_deletion",
                    ("<DEL>", ..) => "symbolic",
                    (_, ".", ".") => "too_short",
                    (_, ".", _) => "unchanged",
                    _ => "scored",
                };
                row.push(status.to_owned());
                rows.push(row.join("\t"));
            }
        }
    }
    rows
}

/// A folder with a genome, its compressed copy, two models, and calls.
fn example(seed: u64) -> tempfile::TempDir {
    let mut random = Random::seed_from_u64(seed);
    let directory = tempfile::tempdir().unwrap();
    let genome = genome(&mut random);
    write_genome(directory.path(), &genome);
    cases(&mut random)[..2]
        .iter()
        .for_each(|case| save(case.name, &case.network, case.window, directory.path()));
    fs::write(directory.path().join("calls.vcf"), calls(&mut random, &genome)).unwrap();
    directory
}

#[test]
fn the_same_bytes_for_any_threads_and_input_route() {
    let directory = example(3);
    let at = directory.path();
    let text = fs::read_to_string(at.join("calls.vcf")).unwrap();
    // More than one batch.
    let (header, records) = text.split_at(text.find("one\t").unwrap());
    let contig = |name: &str| {
        records.lines().filter(|l| l.starts_with(name)).map(|l| l.to_owned() + "\n").collect::<String>()
    };
    let many = ["one\t", "two\t"].map(|name| contig(name).repeat(20)).concat();
    let text = format!("{header}{many}");
    fs::write(at.join("calls.vcf"), &text).unwrap();
    fs::write(at.join("calls.vcf.gz"), gzip(text.as_bytes())).unwrap();
    let command = "variants -m padded.onnx -m two.onnx --genome genome.fa";
    let body = |text: &str| {
        text.lines().filter(|line| !line.starts_with("##bindscan")).collect::<Vec<_>>().join("\n")
    };
    let want = stdout(at, &format!("{command} calls.vcf -t 1"));
    assert!(want.lines().count() > 2_000);
    for threads in [2, 5] {
        assert!(stdout(at, &format!("{command} calls.vcf -t {threads}")) == want, "{threads} threads");
    }
    let want = body(&want);
    for words in [format!("{command} calls.vcf.gz"), format!("{command}.gz calls.vcf")] {
        assert!(body(&stdout(at, &words)) == want, "{words}");
    }
    assert!(body(&stdout_of_input(at, &format!("{command} -"), text.as_bytes())) == want);

    let mut reader = vcf::io::Reader::new(text.as_bytes());
    let header = reader.read_header().unwrap();
    let mut bytes = Vec::new();
    let mut writer = bcf::io::Writer::new(&mut bytes);
    writer.write_variant_header(&header).unwrap();
    reader
        .record_bufs(&header)
        .for_each(|record| writer.write_variant_record(&header, &record.unwrap()).unwrap());
    writer.try_finish().unwrap();
    drop(writer);
    fs::write(at.join("calls.bcf"), &bytes).unwrap();
    let records =
        |text: &str| text.lines().filter(|line| !line.starts_with('#')).collect::<Vec<_>>().join("\n");
    for threads in [1, 3] {
        let annotated = stdout(at, &format!("{command} calls.bcf -t {threads}"));
        assert!(records(&annotated) == records(&want), "bcf");
        assert!(!annotated.contains("IDX="));
    }
    // BCF holds what VCF says, in the same blocks for any threads.
    let from_bcf = |words: &str| {
        run_ok(at, &format!("{command} {words} -o out.bcf --quiet"));
        fs::read(at.join("out.bcf")).unwrap()
    };
    let one = from_bcf("calls.vcf -t 1");
    for words in ["calls.vcf -t 5", "calls.vcf --format bcf"] {
        assert!(from_bcf(words) == one, "{words}");
    }
    let missing = text.replace("A\t30\tPASS\tDP=4\t", "A\t.\t.\tDP=.\t");
    assert_ne!(missing, text);
    fs::write(at.join("missing.vcf"), missing).unwrap();
    let with_missing = stdout(at, &format!("{command} missing.vcf"));
    for (bytes, want) in
        [(one, &want), (from_bcf("calls.bcf -t 2"), &want), (from_bcf("missing.vcf"), &with_missing)]
    {
        let mut have = bcf::io::Reader::new(&*bytes);
        let known = have.read_header().unwrap();
        let mut said = vcf::io::Reader::new(want.as_bytes());
        let header = said.read_header().unwrap();
        assert_eq!(known.infos(), header.infos());
        // As text: a value that is missing is read as none from one, and as a list of none from the other.
        let text = |records: &mut dyn Iterator<Item = std::io::Result<vcf::variant::RecordBuf>>| {
            let mut writer = vcf::io::Writer::new(Vec::new());
            records.for_each(|record| writer.write_variant_record(&header, &record.unwrap()).unwrap());
            writer.into_inner()
        };
        let (have, said) = (text(&mut have.record_bufs(&known)), text(&mut said.record_bufs(&header)));
        assert!(have == said);
    }
    fs::write(at.join("cut.bcf"), &bytes[..bytes.len() / 2]).unwrap();
    let error = error_line(at, &format!("{command} cut.bcf -o out.vcf"));
    assert!(error.contains("cut.bcf: record ") && error.contains("cut short"), "{error}");
    assert!(!at.join("out.vcf").exists());
}

#[test]
fn everything_else_is_passed_on_as_it_is() {
    let directory = example(4);
    let at = directory.path();
    let one = String::from_utf8(fs::read(at.join("genome.fa")).unwrap()).unwrap().to_uppercase();
    let base = one.lines().nth(1).unwrap().as_bytes()[29];
    let (base, other) = (char::from(base), if base == b'A' { 'C' } else { 'A' });
    let odd = [
        // Not scored.
        format!("one\t30\t.\t{base}\t.\t.\t.\t."),
        format!("one\t30\t.\t{base}\t*\t.\tPASS\tDP=1;FLAG;X=a b"),
        format!("one\t30\t.\t{base}\t<NON_REF>\t9.50\tq10;s50\t.\tGT:AD\t0|1:3,4\t./."),
        format!("one\t30\t.\t{base}\t{base}[two:9[,]two:7]{base}\t.\t.\tSVTYPE=BND"),
        format!("one\t30\t.\t{base}\t{base}.\t.\t.\t."),
        "lost\t5\t.\tA\tC\t.\t.\tDP=7".to_owned(),
        format!("one\t30\t.\t{other}\tT\t.\t.\tDP=8\tGT\t0/1"),
        "one\t401\t.\tA\tC\t.\t.\t.".to_owned(),
        "one\t0\t.\tN\tC\t.\t.\t.".to_owned(),
        // Scored.
        format!(
            "one\t30\t\u{e9};x\t{}\t{},*\t1e3\tPASS\t.\tGT\t0/1",
            base.to_lowercase(),
            other.to_lowercase()
        ),
        format!("one\t30\t.\tN\t{other}\t.\t.\tDP=7"),
    ];
    let strange = "##strange=<a,\"b\">\n##INFO=<ID=Q,Number=.,Type=Float,Description=\"\u{e9}\">\n";
    let header = HEADER.to_owned() + strange + COLUMNS + "\n";
    fs::write(at.join("odd.vcf"), header.clone() + &odd.join("\r\n")).unwrap();
    let output = run(at, "variants -m padded.onnx --genome genome.fa odd.vcf --force");
    let (text, said) = (String::from_utf8(output.stdout).unwrap(), String::from_utf8(output.stderr).unwrap());
    assert!(output.status.success(), "{said}");
    let (own, others): (Vec<&str>, Vec<&str>) =
        text.lines().partition(|line| line.starts_with("##bindscan") || line.starts_with("##INFO=<ID=BS_"));
    assert_eq!(own.len(), 3 + 8);
    assert_eq!(others[..header.lines().count()].join("\n") + "\n", header);
    let records = &text[text.find("one\t").unwrap()..];
    for (i, (line, old)) in records.split_inclusive('\n').zip(&odd).enumerate() {
        let ending = if i + 1 < odd.len() { "\r\n" } else { "\n" };
        if i < 9 {
            assert_eq!(line, format!("{old}{ending}"));
            continue;
        }
        let (new, old): (Vec<&str>, Vec<&str>) =
            (line.trim_end().split('\t').collect(), old.split('\t').collect());
        assert!(line.ends_with(ending) && new.len() == old.len());
        let added = match old[7] {
            "." => new[7],
            info => new[7].strip_prefix(info).unwrap().strip_prefix(';').unwrap(),
        };
        assert_eq!(added.split(';').count(), 8);
        assert!(added.split(';').all(|entry| entry.starts_with("BS_padded_")), "{added}");
        assert_eq!([&new[..7], &new[8..]], [&old[..7], &old[8..]]);
    }
    assert_eq!(records.lines().count(), odd.len());
    for phrase in [
        "11 records, 2 alleles scored; not scored: 1 without an ALT allele, 2 alleles *, 1 symbolic alleles, 3 breakends, \
         1 on contigs that the genome does not have, 2 past the contig's end, 1 whose REF differs",
        &format!("odd.vcf, line 18: REF at one:30 is '{other}', but the genome has '{base}'"),
        "odd.vcf, line 19: one:401 is past the end of the contig, which has 400 bases",
        "line 20: position 0 of one",
        "on contigs that the genome does not have: 1 record, lost",
    ] {
        assert!(said.contains(phrase), "{phrase} is not in {said}");
    }

    // Again: the fields are renewed, and nothing is said twice.
    fs::write(at.join("again.vcf"), &text).unwrap();
    let again = stdout(at, "variants -m padded.onnx --genome genome.fa again.vcf --force");
    let without = |text: &str| {
        text.lines().filter(|line| !line.starts_with("##bindscan")).collect::<Vec<_>>().join("\n")
    };
    assert_eq!(without(&again), without(&text));
}

#[test]
fn a_header_without_contigs_gets_those_of_the_genome() {
    let directory = example(5);
    let at = directory.path();
    fs::write(at.join("bare.vcf"), format!("##fileformat=VCFv4.3\n{COLUMNS}\none\t3\t.\tN\tA\t.\t.\t.\n"))
        .unwrap();
    let text = stdout(at, "variants -m padded.onnx --genome genome.fa bare.vcf");
    assert!(text.contains("##contig=<ID=one,length=400>\n##contig=<ID=two,length=61>\n"), "{text}");
    // It is one that others read.
    let mut reader = vcf::io::Reader::new(text.as_bytes());
    let header = reader.read_header().unwrap();
    assert_eq!(header.infos().len(), 8);
    assert_eq!(reader.record_bufs(&header).map(Result::unwrap).count(), 1);
}

#[test]
fn regions_choose_records() {
    let directory = example(6);
    let at = directory.path();
    let command = "variants -m padded.onnx --genome genome.fa calls.vcf --format tsv";
    let all = stdout(at, command);
    let some = stdout(at, &format!("{command} -r one:100-150 -r three"));
    let inside = |line: &&str| {
        let columns: Vec<&str> = line.split('\t').collect();
        let (start, length) = (columns[1].parse::<usize>().unwrap_or(0), columns[3].len());
        columns[0] == "contig"
            || columns[0] == "three"
            || (columns[0] == "one" && start <= 150 && start + length > 100)
    };
    let want: Vec<&str> = all.lines().filter(inside).collect();
    assert!(want.len() > 20);
    assert_eq!(some.lines().collect::<Vec<_>>(), want);
}

#[test]
fn compressed_output_is_indexed_if_it_is_sorted() {
    let directory = example(8);
    let at = directory.path();
    run_ok(at, "variants -m padded.onnx --genome genome.fa calls.vcf -o out.vcf.gz -o out.tsv.gz -o out.vcf");
    let plain = fs::read_to_string(at.join("out.vcf")).unwrap();
    let region = "one:101-160".parse().unwrap();
    let mut reader =
        vcf::io::indexed_reader::Builder::default().build_from_path(at.join("out.vcf.gz")).unwrap();
    let header = reader.read_header().unwrap();
    let found = reader.query(&header, &region).unwrap().records().filter(Result::is_ok).count();
    let overlapping = plain.lines().filter(|line| {
        let columns: Vec<&str> = line.split('\t').collect();
        let start = columns.get(1).and_then(|digits| digits.parse::<usize>().ok()).unwrap_or(0);
        columns[0] == "one" && start <= 160 && start + columns[3].len() > 101
    });
    let want = overlapping.count();
    assert!(want > 5);
    assert_eq!(found, want);
    assert!(at.join("out.tsv.gz.tbi").exists());
    let mut text = String::new();
    let mut reader = bgzf::io::Reader::new(fs::File::open(at.join("out.vcf.gz")).unwrap());
    std::io::Read::read_to_string(&mut reader, &mut text).unwrap();
    assert_eq!(text, plain);

    let text = fs::read_to_string(at.join("calls.vcf")).unwrap();
    let (header, records): (Vec<&str>, Vec<&str>) = text.lines().partition(|line| line.starts_with('#'));
    let backwards: Vec<&str> = records.into_iter().rev().collect();
    fs::write(at.join("back.vcf"), format!("{}\n{}\n", header.join("\n"), backwards.join("\n"))).unwrap();
    let output = run(at, "variants -m padded.onnx --genome genome.fa back.vcf -o back.vcf.gz");
    assert!(output.status.success());
    assert!(
        String::from_utf8(output.stderr)
            .unwrap()
            .contains("back.vcf.gz: has no index, as its lines are not sorted")
    );
    assert!(at.join("back.vcf.gz").exists() && !at.join("back.vcf.gz.tbi").exists());
}

#[test]
fn what_is_wrong_is_said_on_one_line() {
    let directory = example(9);
    let at = directory.path();
    let whole = |records: &str| format!("{HEADER}{COLUMNS}\n{records}");
    let cases = [
        (String::new(), "is empty; a VCF or BCF is expected"),
        ("chr1\t1\t5\n".to_owned(), "line 1: this is neither VCF nor BCF"),
        ("##fileformat=VCFv4.2\n##x=y\n".to_owned(), "has no #CHROM line"),
        ("##fileformat=VCFv4.2\n#CHROM\tPOS\tID\tREF".to_owned(), "line 2: the #CHROM line does not begin"),
        ("##fileformat=VCFv4.2\none\t1\t.\tA\tC\t.\t.\t.\n".to_owned(), "line 2: a line of the header"),
        (
            whole("one\t1\t.\tA\n"),
            "line 10: a record of VCF has 8 columns or more, separated by tabs; this line has 4",
        ),
        (whole("one\tx\t.\tA\tC\t.\t.\t.\n"), "line 10: POS 'x' is not a position"),
        (whole("\none\t1\t.\tA-\tC\t.\t.\t.\n"), "line 11: REF 'A-' is not a sequence"),
        (whole("one\t1\t.\tN\tC?\t.\t.\t.\n"), "line 10: the ALT allele 'C?' is neither"),
        (whole("one\t1\t.\tN\tC\t.\t.\t.\n").lines().skip(9).collect(), "line 1: this VCF has no header"),
    ];
    for (text, message) in cases {
        fs::write(at.join("wrong.vcf"), &text).unwrap();
        let error = error_line(at, "variants -m padded.onnx --genome genome.fa wrong.vcf -o out.vcf");
        assert!(error.contains("wrong.vcf") && error.contains(message), "{message} is not in {error}");
        assert!(!at.join("out.vcf").exists());
    }
    let strict = [
        ("one\t399\t.\tNNN\tC\t.\t.\t.\n", "line 10: one:401 is past the end of the contig"),
        (
            "lost\t3\t.\tN\tC\t.\t.\t.\n",
            "line 10: there is no contig lost in the genome; it has one, two, three and 1 more",
        ),
    ];
    for (record, message) in strict {
        fs::write(at.join("wrong.vcf"), whole(record)).unwrap();
        let command = "variants -m padded.onnx --genome genome.fa wrong.vcf";
        assert!(run(at, &format!("{command} --force")).status.success());
        let error = error_line(at, &format!("{command} -o out.vcf --strict"));
        assert!(error.contains(message), "{message} is not in {error}");
    }
    fs::write(
        at.join("cut.vcf.gz"),
        &gzip(whole(&"one\t1\t.\tN\tC\t.\t.\t.\n".repeat(3000)).as_bytes())[..300],
    )
    .unwrap();
    fs::write(at.join("undefined.vcf"), whole("one\t1\t.\tN\tC\t.\t.\tNOT=1")).unwrap();
    let others = [
        ("calls.vcf -r five", "there is no contig five"),
        ("calls.vcf -o out.bcf.gz", "BCF is compressed by itself"),
        ("undefined.vcf -o out.bcf", "the record at one:1 makes no record of BCF"),
        ("calls.vcf -o out.bed", "unknown output extension"),
        ("calls.vcf -o out.vcf -o out.vcf", "two outputs"),
        ("cut.vcf.gz", "cut.vcf.gz: cannot decompress"),
        ("none.vcf", "none.vcf: cannot open"),
        ("calls.vcf --window 0", ""),
    ];
    for (words, message) in &others[..7] {
        let output = run(at, &format!("variants -m padded.onnx --genome genome.fa {words}"));
        let said = String::from_utf8(output.stderr).unwrap();
        assert_eq!(output.status.code(), Some(1), "{words}: {said}");
        assert!(said.lines().count() == 1 && said.contains(message), "{message} is not in {said}");
    }
    let error = error_line(at, "variants -m padded.onnx --genome - calls.vcf -o out.vcf");
    assert!(error.contains("the genome is read in any order"), "{error}");
}

/// A random way to write the haplotype `alternative` as a record: REF and ALT from `from` of the reference.
fn representation(random: &mut Random, reference: &[u8], alternative: &[u8]) -> (usize, String, String) {
    let shortest = reference.len().min(alternative.len());
    let prefix = (0..shortest).take_while(|&at| reference[at] == alternative[at]).count();
    let end = |codes: &[u8], at: usize| codes[codes.len() - 1 - at];
    let suffix = (0..shortest).take_while(|&at| end(reference, at) == end(alternative, at)).count();
    let longer = alternative.len() as i64 - reference.len() as i64;
    loop {
        let from = prefix.saturating_sub(random.random_range(0..30));
        let to = (reference.len() - suffix + random.random_range(0..30)).min(reference.len());
        let other = to as i64 + longer;
        if to > from && other > from as i64 {
            return (from, letters(&reference[from..to]), letters(&alternative[from..other as usize]));
        }
    }
}

/// In sequence full of repeats, a haplotype has one effect, and the same windows, however it is written.
#[test]
fn a_haplotype_has_one_effect_however_it_is_written() {
    const WAYS: usize = 6;
    let mut random = Random::seed_from_u64(21);
    let directory = tempfile::tempdir().unwrap();
    let at = directory.path();
    let mut codes = Vec::new();
    while codes.len() < 600 {
        let unit: Vec<u8> = (0..random.random_range(1..5)).map(|_| random.random_range(0..4)).collect();
        let copies = random.random_range(1..9);
        codes.extend((0..copies).flat_map(|_| unit.clone()));
    }
    write_genome(at, &[("one".to_owned(), codes.clone())]);
    let cases = cases(&mut random);
    cases.iter().for_each(|case| save(case.name, &case.network, case.window, at));
    let mut text = HEADER.to_owned() + COLUMNS + "\n";
    for site in 0..300 {
        let start = random.random_range(0..codes.len() - 12);
        let removed = random.random_range(0..10usize);
        let mut haplotype = codes.clone();
        // Half of the changes leave repeats: bases beside them are taken out, or put in again.
        let added: Vec<u8> = match site % 2 {
            0 => codes[start..start + random.random_range(0..8usize)].to_vec(),
            _ => (0..random.random_range(0..6)).map(|_| random.random_range(0..4)).collect(),
        };
        haplotype.splice(start..start + if site % 4 == 0 { 0 } else { removed }, added);
        if haplotype == codes {
            haplotype[start] = (haplotype[start] + 1) % 4;
        }
        for way in 0..WAYS {
            let (from, reference, alternative) = representation(&mut random, &codes, &haplotype);
            let alternatives = match way {
                0 => format!("{alternative},{reference}A"),
                _ => alternative,
            };
            let _ = writeln!(text, "one\t{}\t{site}\t{reference}\t{alternatives}\t.\t.\t.", from + 1);
        }
    }
    fs::write(at.join("ways.vcf"), text).unwrap();
    for (words, names) in [
        ("-m padded.onnx -m two.onnx", 3),
        ("-m flank.onnx --context flank", 1),
        ("-m short.onnx -m long.onnx", 2),
    ] {
        let table = stdout(at, &format!("variants {words} --genome genome.fa ways.vcf --format tsv"));
        let mut sites: HashMap<(&str, &str), Vec<Vec<String>>> = HashMap::new();
        for line in table.lines().skip(1) {
            let columns: Vec<&str> = line.split('\t').collect();
            let position: i64 = columns[1].parse().unwrap();
            let place = |offset: &str| {
                offset.parse::<i64>().map_or(offset.to_owned(), |at| (position + at).to_string())
            };
            let mut values: Vec<String> = columns[6..11].iter().map(|&value| value.to_owned()).collect();
            values.extend([
                place(columns[11]),
                columns[12].to_owned(),
                place(columns[13]),
                columns[14].to_owned(),
            ]);
            sites.entry((columns[2], columns[5])).or_default().push(values);
        }
        assert_eq!(sites.len(), 300 * names, "{words}");
        for (site, ways) in &mut sites {
            // The second allele of the first record.
            ways.remove(1);
            assert_eq!(ways.len(), WAYS, "{words}: {site:?}");
            assert!(ways.iter().all(|way| way == &ways[0]), "{words}: {site:?}: {ways:?}");
        }
        let with = |status: &str| sites.values().filter(|ways| ways[0][8] == status).count();
        assert!(
            with("scored") > 200 * names && (words.contains("padded") || with("unchanged") > 5),
            "{words}"
        );
    }
}

/// A run of bases that is longer than the window looks the same with one base less; an SNV counts alone.
#[test]
fn windows_that_stay_as_they_are_do_not_count() {
    let mut random = Random::seed_from_u64(2);
    let directory = tempfile::tempdir().unwrap();
    let at = directory.path();
    save("m", &matrix(&mut random, 8), 8, at);
    let genome = format!("GCTAGCTCGATCGTACGGATCTTGCATC{}GGCTAGCATCGATCGTACGATTGCATCG", "A".repeat(20));
    fs::write(at.join("g.fa"), format!(">c\n{genome}\n")).unwrap();
    let run = "A".repeat(20);
    let shorter = &run[1..];
    let records = [
        String::from("28\tleft\tCA\tC"),
        String::from("47\tright\tAA\tA"),
        String::from("38\tmiddle\tAA\tA"),
        String::from("28\tlonger\tC\tCA"),
        format!("28\tcomplex\tC{run}\tC{shorter}"),
        String::from("28\tnothing\tC\tC"),
        String::from("28\tsnv\tC\tG"),
        String::from("28\tmember\tCA\tGA,C"),
    ];
    let body: String = records.iter().map(|record| format!("c\t{record}\t.\t.\t.\n")).collect();
    fs::write(at.join("c.vcf"), format!("##fileformat=VCFv4.2\n{COLUMNS}\n{body}")).unwrap();
    let table = stdout(at, "variants -m m.onnx --genome g.fa c.vcf --format tsv");
    let rows: Vec<Vec<&str>> = table.lines().skip(1).map(|line| line.split('\t').collect()).collect();
    assert_eq!(rows.len(), 9);
    for row in rows[..6].iter().chain([&rows[8]]) {
        assert_eq!(row[6..], [".", ".", "0", "0", ".", ".", ".", ".", "unchanged"], "{row:?}");
    }
    assert_eq!(rows[6][6..], rows[7][6..]);
    assert_eq!(rows[6][14], "scored");
}

#[test]
fn calls_of_another_genome_are_refused() {
    let directory = example(10);
    let at = directory.path();
    let genome = fs::read_to_string(at.join("genome.fa")).unwrap().to_uppercase();
    let base = genome.as_bytes()[genome.find('\n').unwrap() + 1] as char;
    let other = if base == 'A' { 'C' } else { 'A' };
    let fits = format!("one\t1\t.\t{base}\t{other}\t.\t.\t.\n");
    let swapped = format!("one\t1\t.\t{other}\t{base}\t.\t.\t.\n");
    let lost = "lost\t1\t.\tA\tC\t.\t.\t.\n".to_owned();
    let write = |records: &[&String]| {
        let records: String = records.iter().map(|record| record.as_str()).collect();
        fs::write(at.join("c.vcf"), format!("{HEADER}{COLUMNS}\n{records}")).unwrap();
    };
    let command = "variants -m padded.onnx --genome genome.fa c.vcf -o out.vcf";
    for (records, message) in [
        (
            vec![&swapped],
            "none of 1 records is scored (1 whose REF differs from the genome, 1 of them with the genome's",
        ),
        (vec![&fits, &lost, &swapped], "2 of 3 records do not fit the genome (1 on contigs"),
        (vec![&lost], "none of 1 records is scored"),
    ] {
        write(&records);
        let output = run(at, command);
        let said = String::from_utf8(output.stderr).unwrap();
        assert_eq!(output.status.code(), Some(1), "{said}");
        assert!(said.contains(message) && said.contains("--force"), "{said}");
        assert!(!at.join("out.vcf").exists());
        run_ok(at, &format!("{command} --force"));
        fs::remove_file(at.join("out.vcf")).unwrap();
    }
    write(&[&fits, &swapped]);
    let output = run(at, command);
    let said = String::from_utf8(output.stderr).unwrap();
    assert!(output.status.success() && said.contains("are REF and ALT swapped?"), "{said}");
    write(&[]);
    run_ok(at, command);
    // Every allele has a row, with the reason if it has no score.
    write(&[&fits, &swapped, &lost, &"one\t1\t.\tN\t*,<DEL>,N[two:7[\t.\t.\t.\n".to_owned()]);
    let table = stdout(at, "variants -m padded.onnx --genome genome.fa c.vcf --format tsv --force");
    let statuses: Vec<&str> = table.lines().skip(1).map(|line| line.rsplit('\t').next().unwrap()).collect();
    let want = ["scored", "ref_alt_swapped", "unknown_contig", "spanning_deletion", "symbolic", "breakend"];
    assert_eq!(statuses, want);
}

#[test]
fn contigs_by_other_names_are_found_and_said() {
    let directory = example(11);
    let at = directory.path();
    let command = "variants -m padded.onnx --genome genome.fa";
    let text = fs::read_to_string(at.join("calls.vcf")).unwrap();
    let want = stdout(at, &format!("{command} calls.vcf"));
    let renamed = text.replace("\none\t", "\nchrOne\t").replace("\ntwo\t", "\nchrTwo\t");
    fs::write(at.join("chr.vcf"), &renamed).unwrap();
    let output = run(at, &format!("{command} chr.vcf"));
    let said = String::from_utf8(output.stderr).unwrap();
    assert!(said.contains("contigs have other names in the genome: chrOne is one, chrTwo is two"), "{said}");
    let body = |text: &str| {
        text.lines().filter(|line| !line.starts_with("##bindscan")).collect::<Vec<_>>().join("\n")
    };
    let have = String::from_utf8(output.stdout)
        .unwrap()
        .replace("\nchrOne\t", "\none\t")
        .replace("\nchrTwo\t", "\ntwo\t");
    assert!(body(&have) == body(&want));
    // A contig of another length is another contig.
    let long = renamed.replacen("##contig=<ID=one>", "##contig=<ID=chrOne,length=401>", 1);
    fs::write(at.join("long.vcf"), long).unwrap();
    let output = run(at, &format!("{command} long.vcf --force"));
    let said = String::from_utf8(output.stderr).unwrap();
    assert!(
        said.contains("contigs of other lengths in the header: chrOne (401 bases, 400 in the genome)"),
        "{said}"
    );
    assert!(said.contains("on contigs that the genome does not have"), "{said}");
}

/// Writes a .csi beside a BCF.
fn index_bcf(path: &Path) {
    let mut reader = bcf::io::Reader::new(fs::File::open(path).unwrap());
    let header = reader.read_header().unwrap();
    let mut indexer = Indexer::<BinnedIndex>::new(14, 5).unwrap();
    let mut record = bcf::Record::default();
    let mut start = reader.get_ref().virtual_position();
    while reader.read_record(&mut record).unwrap() > 0 {
        let end = reader.get_ref().virtual_position();
        let first = record.variant_start().unwrap().unwrap();
        let last = record.variant_end(&header).unwrap();
        let place = (record.reference_sequence_id().unwrap(), first, last, true);
        indexer.add_record(Some(place), Chunk::new(start, end)).unwrap();
        start = end;
    }
    let index = indexer.build(header.contigs().len());
    let mut path = path.as_os_str().to_owned();
    path.push(".csi");
    noodles::csi::fs::write(path, &index).unwrap();
}

#[test]
fn an_index_is_used_and_changes_nothing() {
    let directory = example(12);
    let at = directory.path();
    let command = "variants -m padded.onnx --genome genome.fa";
    run_ok(at, &format!("{command} calls.vcf -o in.vcf.gz -o in.bcf"));
    index_bcf(&at.join("in.bcf"));
    let regions =
        ["-r one:100-150", "-r three -r one:1-20", "-r two:7-7", "-r one:399-400 -r one:30-300", "-r four"];
    for file in ["in.vcf.gz", "in.bcf"] {
        fs::copy(at.join(file), at.join(format!("no-index-{file}"))).unwrap();
        for region in regions {
            for form in ["vcf", "tsv"] {
                let of = |file: &str| {
                    let output = run(at, &format!("{command} {file} {region} --force --format {form} -v"));
                    (String::from_utf8(output.stdout).unwrap(), String::from_utf8(output.stderr).unwrap())
                };
                let ((have, said), (want, all)) = (of(file), of(&format!("no-index-{file}")));
                let body = |text: &str| {
                    text.lines().filter(|line| !line.starts_with("##bindscan")).collect::<Vec<_>>().join("\n")
                };
                assert!(body(&have) == body(&want), "{file} {region}");
                assert!(all.contains("has no index beside it; all of it is read"), "{all}");
                assert!(!said.contains("all of it is read"), "{said}");
            }
        }
    }
    // Damaged ones are not believed.
    let whole = fs::read(at.join("in.vcf.gz.tbi")).unwrap();
    let mut plain = Vec::new();
    std::io::Read::read_to_end(&mut bgzf::io::Reader::new(&*whole), &mut plain).unwrap();
    let want = stdout(at, &format!("{command} in.vcf.gz -r one:100-150 --format tsv"));
    for cut in [0, 3, 20, plain.len() / 2] {
        let mut damaged = plain.clone();
        damaged.truncate(cut);
        fs::write(at.join("in.vcf.gz.tbi"), gzip(&damaged)).unwrap();
        let output = run(at, &format!("{command} in.vcf.gz -r one:100-150 --format tsv"));
        assert!(String::from_utf8(output.stderr).unwrap().contains("and is not used"), "{cut}");
        assert!(String::from_utf8(output.stdout).unwrap() == want, "{cut}");
    }
}

#[test]
fn nothing_that_a_damaged_file_says_is_believed() {
    let directory = example(13);
    let at = directory.path();
    let command = "variants -m padded.onnx --genome genome.fa";
    run_ok(at, &format!("{command} calls.vcf -o in.bcf"));
    let mut plain = Vec::new();
    let file = fs::read(at.join("in.bcf")).unwrap();
    std::io::Read::read_to_end(&mut bgzf::io::Reader::new(&*file), &mut plain).unwrap();
    let header = 9 + u32::from_le_bytes(plain[5..9].try_into().unwrap()) as usize;
    let mut random = Random::seed_from_u64(4);
    for round in 0..40 {
        let mut damaged = plain.clone();
        match round {
            // Lengths of a record, and of a header.
            0 => damaged[header + 3] = 0xff,
            1 => damaged[header + 7] = 0xff,
            2 => damaged[8] = 0xff,
            _ => {
                let place = random.random_range(header..plain.len().min(header + 400));
                damaged[place] = random.random();
            }
        }
        fs::write(at.join("damaged.bcf"), gzip(&damaged)).unwrap();
        let output = run(at, &format!("{command} damaged.bcf --force --quiet -o out.vcf"));
        let said = String::from_utf8(output.stderr).unwrap();
        assert!(!said.contains("panicked") && !said.contains("bug"), "{round}: {said}");
        assert!(
            output.status.success() || said.lines().last().unwrap().contains("damaged.bcf"),
            "{round}: {said}"
        );
        assert!(round > 2 || !output.status.success(), "{round}");
    }
    let far = format!(
        "{HEADER}{COLUMNS}\none\t1\t.\tN\tC\t.\t.\tEND=18446744073709551615\n\
                       one\t18446744073709551615\t.\tA\tC\t.\t.\t.\n"
    );
    fs::write(at.join("far.vcf"), far).unwrap();
    run_ok(at, &format!("{command} far.vcf --force -o far.vcf.gz -o far.tsv.gz"));
    assert!(at.join("far.vcf.gz").exists());
}
