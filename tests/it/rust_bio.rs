//! The `bio` crate as an oracle: reverse complements, matrices, overlaps of regions, and files read by other code.

use std::fmt::Write as _;
use std::fs;
use std::path::Path;

use bindscan::engine::kernel::{MatrixScanner, Simd};
use bindscan::genome::random_access::Lookup;
use bindscan::genome::regions::read_regions;
use bindscan::model::motif::{self, Background, PwmOptions};
use bindscan::seq::alphabet::{ascii_of_code, encode, reverse_complement};
use bindscan::seq::chunk::Chunk;
use bindscan::seq::contig::{Region, RegionQuery};
use bindscan::seq::window::{Context, StrandChoice, WindowPlan};
use bindscan::{Model, Scan};
use bio::alphabets::dna::revcomp;
use bio::data_structures::interval_tree::ArrayBackedIntervalTree;
use bio::io::{bed, fasta, gff};
use bio::pattern_matching::pssm::{DNAMotif, Motif as _};
use rand::{RngExt, SeedableRng};
use rand_xoshiro::Xoshiro256PlusPlus as Random;

/// Random bases, of which the first `kinds` letters of `ACGTN` occur.
fn letters(random: &mut Random, length: usize, kinds: u8) -> Vec<u8> {
    (0..length).map(|_| ascii_of_code(random.random_range(0..kinds))).collect()
}

#[test]
fn reverse_complements_are_the_same() {
    let mut random = Random::seed_from_u64(1);
    for length in 0..200 {
        let letters = letters(&mut random, length, 5);
        let mut codes = encode(&letters).unwrap();
        reverse_complement(&mut codes);
        assert_eq!(codes.into_iter().map(ascii_of_code).collect::<Vec<u8>>(), revcomp(&letters));
    }
}

/// Both make probabilities of aligned sites; the log-odds of a window are sums over its bases.
#[test]
fn matrices_of_sites_score_windows_alike() {
    let mut random = Random::seed_from_u64(2);
    for width in [4, 7, 12, 23] {
        let sites: Vec<Vec<u8>> = (0..9).map(|_| letters(&mut random, width, 4)).collect();
        let pseudocount = 2.0;
        let oracle = DNAMotif::from_seqs(&sites, Some(&[pseudocount as f32 / 4.0; 4])).unwrap();
        let text: Vec<u8> = sites.iter().flat_map(|site| [b">site\n", &**site, b"\n"].concat()).collect();
        let motif = motif::parse("motif.sites", &text).unwrap().remove(0);
        let model = motif.to_model(&PwmOptions { background: Background::Uniform, pseudocount }).unwrap();
        let network = model.network.unwrap();

        let bases = letters(&mut random, 400, 4);
        let odds = |i: usize, base: u8| {
            let probability = oracle.get_scores()[[i, DNAMotif::lookup(base).unwrap()]];
            (f64::from(probability) * 4.0).log2()
        };
        let score =
            |window: &[u8]| -> f64 { window.iter().enumerate().map(|(i, &base)| odds(i, base)).sum() };
        let plan =
            WindowPlan { window: width, stride: 1, strands: StrandChoice::Both, context: Context::Padding };
        let chunk = Chunk::whole("contig", encode(&bases).unwrap());
        let mut scanner = MatrixScanner::new(&[&network], &plan, Simd::detect());
        scanner
            .score(&chunk, |_, scores| -> Result<(), ()> {
                assert_eq!(scores.windows, 400 - width + 1);
                for (start, window) in bases.windows(width).enumerate() {
                    for (have, want) in [
                        (scores.forward[start], score(window)),
                        (scores.reverse[start], score(&revcomp(window))),
                    ] {
                        assert!(
                            (f64::from(have) - want).abs() <= 1e-4 * want.abs().max(1.0),
                            "{have} {want}"
                        );
                    }
                }
                Ok(())
            })
            .unwrap();
    }
}

/// A base is in the merged regions if some region in the tree overlaps it.
#[test]
fn regions_hold_the_bases_that_an_interval_tree_finds() {
    let directory = tempfile::tempdir().unwrap();
    let mut random = Random::seed_from_u64(3);
    let path = directory.path().join("genome.fa");
    let lengths = [700u64, 300, 40];
    let mut text = String::new();
    for (rank, length) in lengths.iter().enumerate() {
        let bases = letters(&mut random, *length as usize, 4);
        writeln!(text, ">c{rank}\n{}", String::from_utf8(bases).unwrap()).unwrap();
    }
    fs::write(&path, text).unwrap();
    let genome = Lookup::open(&path, false).unwrap();
    for regions in [1, 2, 10, 40, 200] {
        let mut trees: Vec<ArrayBackedIntervalTree<u64, ()>> =
            lengths.iter().map(|_| ArrayBackedIntervalTree::new()).collect();
        let mut queries = Vec::new();
        for _ in 0..regions {
            let contig = random.random_range(0..lengths.len());
            let start = random.random_range(0..lengths[contig]);
            let end = random.random_range(start + 1..=(start + 12).min(lengths[contig]));
            trees[contig].insert(start..end, ());
            queries.push(RegionQuery::parse(&format!("c{contig}:{}-{end}", start + 1)));
        }
        trees.iter_mut().for_each(ArrayBackedIntervalTree::index);
        let selected = genome.select(&queries).unwrap();
        for ((tree, ranges), length) in trees.iter().zip(selected).zip(lengths) {
            for at in 0..length {
                let found = !tree.find(at..at + 1).is_empty();
                assert_eq!(ranges.iter().any(|range| range.contains(&at)), found, "{at}");
            }
        }
    }
}

#[test]
fn fasta_has_the_same_bases() {
    let path = Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/data/genome.fa");
    let genome = Lookup::open(&path, false).unwrap();
    let mut contigs = genome.contigs().iter();
    for record in fasta::Reader::from_file(&path).unwrap().records() {
        let record = record.unwrap();
        let contig = contigs.next().unwrap();
        assert_eq!((&*contig.name, contig.length), (record.id(), Some(record.seq().len() as u64)));
        let mut codes = Vec::new();
        genome.fetch(contig, 0..record.seq().len() as u64, &mut codes).unwrap();
        assert_eq!(codes, encode(record.seq()).unwrap());
    }
    assert!(contigs.next().is_none());
}

/// The sites of a scan as BED and GFF3 hold the same places for the readers of `bio` and for ours.
#[test]
fn sites_are_read_back_as_they_were_written() {
    let directory = tempfile::tempdir().unwrap();
    let genome = Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/data/genome.fa");
    let [bed, gff3] = ["sites.bed", "sites.gff3"].map(|name| directory.path().join(name));
    let scan = Scan::new(&genome).model(Model::find("ELK1").unwrap()).threshold(0.0);
    scan.write(&[bed.clone(), gff3.clone()]).unwrap();
    let ours = |path: &Path| -> Vec<Region> {
        let regions = read_regions(path).unwrap();
        regions.into_iter().map(|region| region.interval.unwrap().unwrap()).collect()
    };
    let region = |contig: &str, start, end| Region { contig: contig.to_owned(), start, end: Some(end) };
    let of_bed: Vec<Region> = bed::Reader::from_file(&bed)
        .unwrap()
        .records()
        .map(|record| record.map(|record| region(record.chrom(), record.start(), record.end())).unwrap())
        .collect();
    let of_gff: Vec<Region> = gff::Reader::from_file(&gff3, gff::GffType::GFF3)
        .unwrap()
        .records()
        .map(|record| {
            record.map(|record| region(record.seqname(), record.start() - 1, *record.end())).unwrap()
        })
        .collect();
    assert!(of_bed.len() > 10);
    assert_eq!(of_bed, of_gff);
    assert_eq!(of_bed, ours(&bed));
    assert_eq!(of_bed, ours(&gff3));
}
