//! `bindscan variants`, run as a user runs it, against windows scored one by one.

mod errors;
mod output;
mod scores;
mod selection;

use std::collections::HashMap;
use std::fmt::Write as _;
use std::fs;
use std::path::Path;

use crate::common::gzip;
use crate::common::network::{matrix, network, save};
use bindscan::engine::reference::window_scores;
use bindscan::model::{Network, Padding, Pooling};
use bindscan::seq::alphabet::{ascii_of_code, reverse_complement_into};
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
        let needed = self.network.filter_length
            - self.network.padding.left
            - self.network.padding.right.min(self.network.filter_length - self.network.padding.left);
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
