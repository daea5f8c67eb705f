//! The tables of FIMO and HOMER: the sites of the BED, with the bases of the genome.

use std::fs;
use std::path::Path;

use noodles::csi::BinningIndex;
use noodles::tabix;

use crate::common::{error_line, run_ok, simulated, stdout};

const MOTIFS: &str = "MEME version 4\n\nMOTIF M1.1 GATA\nletter-probability matrix: w= 4 nsites= 50\n\
    .01 .01 .97 .01\n.97 .01 .01 .01\n.01 .01 .01 .97\n.90 .03 .04 .03\n\
    MOTIF M2.1\nletter-probability matrix: w= 6 nsites= 50\n\
    .01 .97 .01 .01\n.01 .97 .01 .01\n.97 .01 .01 .01\n.97 .01 .01 .01\n.01 .01 .01 .97\n.01 .01 .97 .01\n";

/// The bases of a stretch of `genome.fa`, on a strand.
fn bases(at: &Path, contig: &str, start: usize, end: usize, strand: &str) -> String {
    let text = fs::read_to_string(at.join("genome.fa")).unwrap();
    let mut records = text.split('>').filter(|record| record.lines().next() == Some(contig));
    let sequence: String = records.next().unwrap().lines().skip(1).collect();
    let site = sequence[start..end].to_ascii_uppercase();
    if strand == "+" {
        return site;
    }
    let complement = |base| match base {
        'A' => 'T',
        'C' => 'G',
        'G' => 'C',
        'T' => 'A',
        other => other,
    };
    site.chars().rev().map(complement).collect()
}

#[test]
fn tables_have_the_sites_of_the_bed() {
    let directory = simulated("30k", 2, 5);
    let at = directory.path();
    fs::write(at.join("m.meme"), MOTIFS).unwrap();
    let options = "scan genome.fa -m m.meme --background uniform";
    // Chunks so small that sites are decided at their seams.
    for (rate, more) in
        [("--pvalue 1e-2", "--chunk-size 700"), ("--qvalue 0.9", ""), ("--pvalue 1e-2", "--overlaps keep")]
    {
        let outputs = "-o s.bed -o fimo.tsv -o a.homer.txt -o s.fimo.tsv.gz -o s.gff3";
        run_ok(at, &format!("{options} {rate} {more} {outputs}"));
        let read = |name: &str| fs::read_to_string(at.join(name)).unwrap();
        let (bed, fimo, homer) = (read("s.bed"), read("fimo.tsv"), read("a.homer.txt"));
        let mut lines = fimo.lines();
        assert_eq!(
            lines.next().unwrap(),
            "motif_id\tmotif_alt_id\tsequence_name\tstart\tstop\tstrand\tscore\tp-value\tq-value\tmatched_sequence"
        );
        let rows: Vec<Vec<&str>> = lines.map(|line| line.split('\t').collect()).collect();
        let homer: Vec<Vec<&str>> = homer.lines().map(|line| line.split('\t').collect()).collect();
        let bed: Vec<Vec<&str>> = bed.lines().map(|line| line.split('\t').collect()).collect();
        assert!(
            rows.len() == bed.len()
                && homer.len() == bed.len()
                && bed.len() > if rate.contains("pvalue") { 100 } else { 10 },
            "{rate}: {}",
            bed.len()
        );
        let mut ids: Vec<&str> = homer.iter().map(|row| row[0]).collect();
        for ((site, row), homer) in bed.iter().zip(&rows).zip(&homer) {
            let (start, end): (usize, usize) = (site[1].parse().unwrap(), site[2].parse().unwrap());
            let sequence = bases(at, site[0], start, end, site[5]);
            let first = (start + 1).to_string();
            let name = if site[3] == "M1.1" { "GATA" } else { "" };
            let q = if rate.contains("qvalue") { site[8] } else { "" };
            assert_eq!(
                *row,
                [site[3], name, site[0], &first, site[2], site[5], site[6], site[7], q, &sequence]
            );
            assert_eq!(homer[1..], [site[0], &first, site[2], site[5], site[6], &sequence]);
            assert!(homer[0].starts_with(site[3]), "{homer:?}");
        }
        ids.sort_unstable();
        ids.dedup();
        assert_eq!(ids.len(), homer.len());
        // A motif of four bases has no window rare enough for a site by its q-value.
        assert_eq!(read("s.gff3").contains("Name=M1.1;Alias=GATA;"), rate.contains("pvalue"));
        let index = tabix::fs::read(at.join("s.fimo.tsv.gz.tbi")).unwrap();
        let header = index.header().unwrap();
        assert_eq!((header.reference_sequence_name_index(), header.start_position_index()), (2, 3));
    }
}

#[test]
fn shards_merge_into_the_table_of_one_run() {
    let directory = simulated("30k", 2, 5);
    let at = directory.path();
    fs::write(at.join("m.meme"), MOTIFS).unwrap();
    for rate in ["--pvalue 1e-2", "--qvalue 0.9"] {
        let options = format!("scan genome.fa -m m.meme --background uniform {rate} --format fimo");
        let whole = stdout(at, &options);
        for shard in 1..=3 {
            run_ok(at, &format!("{options} --shard {shard}/3 -o {shard}.tsv"));
        }
        assert_eq!(whole, stdout(at, "merge 1.tsv 2.tsv 3.tsv"));
    }
}

#[test]
fn what_a_table_lacks_is_asked_for() {
    let directory = simulated("30k", 1, 5);
    let at = directory.path();
    fs::write(at.join("m.meme"), MOTIFS).unwrap();
    let line = error_line(at, "scan genome.fa -m m.meme --threshold 5 -o fimo.tsv");
    assert!(line.contains("choose sites with --pvalue or --qvalue"), "{line}");
    let line = error_line(at, "scan genome.fa -m m.meme --qvalue 0.1 --shard 1/2 -o homer.txt");
    assert!(line.contains("leave out --shard"), "{line}");
}
