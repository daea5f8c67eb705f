//! Scores of alleles: each equals the best of its windows, however it is written.

use std::collections::HashMap;
use std::fmt::Write as _;
use std::fs;

use super::{COLUMNS, Case, HEADER, calls, cases, genome, info, letters, write_genome};
use crate::common::network::{matrix, save};
use crate::common::stdout;
use rand::{RngExt, SeedableRng};
use rand_xoshiro::Xoshiro256PlusPlus as Random;

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
    let shortest = case.network.filter_length.saturating_sub(case.network.padding.left * 2).max(1);
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
fn an_ambiguous_ref_stands_for_the_base_of_the_genome() {
    let directory = tempfile::tempdir().unwrap();
    let at = directory.path();
    save("m", &matrix(&mut Random::seed_from_u64(4), 6), 6, at);
    fs::write(at.join("genome.fa"), ">one\nACGTTGCATTGACCATGCAAGT\n").unwrap();
    let row = |reference: &str, alternative: &str| {
        let record = format!("{HEADER}{COLUMNS}\none\t9\t.\t{reference}\t{alternative}\t.\t.\t.\n");
        fs::write(at.join("calls.vcf"), record).unwrap();
        let table = stdout(at, "variants -m m.onnx --genome genome.fa calls.vcf --format tsv --force");
        let row: Vec<String> = table.lines().last().unwrap().split('\t').map(str::to_owned).collect();
        // All but the alleles.
        [&row[..3], &row[5..]].concat()
    };
    // The genome has T.
    let plain = row("T", "G");
    assert!(plain.contains(&"scored".to_owned()), "{plain:?}");
    for fitting in ["N", "Y", "k", "B"] {
        assert_eq!(row(fitting, "G"), plain, "{fitting}");
    }
    for other in ["R", "M", "v", "S"] {
        assert!(row(other, "G").contains(&"ref_mismatch".to_owned()), "{other}");
    }
}
