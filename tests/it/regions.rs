//! Regions scored by models: the matrix, Matrix Market, the long table, and enrichment against the definitions.

use std::collections::HashMap;
use std::fs;
use std::path::Path;

use bindscan::enrichment::{benjamini_hochberg, upper_tail};

use crate::common::{error_line, run, run_ok, simulated, stdout};

/// Two motifs, one of 4 and one of 5 positions.
const MOTIFS: &str = "MEME version 4\n\nMOTIF M1.1 GATA\nletter-probability matrix: w= 4 nsites= 50\n\
    .01 .01 .97 .01\n.97 .01 .01 .01\n.01 .01 .01 .97\n.90 .03 .04 .03\n\
    MOTIF M2.1 CCAAT\nletter-probability matrix: w= 5 nsites= 50\n\
    .01 .97 .01 .01\n.01 .97 .01 .01\n.97 .01 .01 .01\n.97 .01 .01 .01\n.01 .01 .01 .97\n";

/// Regions of two contigs in no order, one of them shorter than the second motif, with names or without.
const REGIONS: &str = "sim2\t100\t400\tb\nsim1\t0\t250\ta\nsim1\t900\t904\tshort\nsim2\t9000\t10000\nsim1\t100\t300\toverlaps\n";

const OPTIONS: &str = "-m m.meme -g genome.fa";

fn folder() -> tempfile::TempDir {
    let directory = simulated("20k", 2, 5);
    let at = directory.path();
    fs::write(at.join("m.meme"), MOTIFS).unwrap();
    fs::write(at.join("r.bed"), REGIONS).unwrap();
    directory
}

fn table(text: &str) -> Vec<Vec<String>> {
    text.lines().map(|line| line.split('\t').map(str::to_owned).collect()).collect()
}

/// The hits of a scan of one region: model, score, start and strand.
fn scanned(at: &Path, region: &str, options: &str) -> Vec<(String, f32, u64, String)> {
    let text = stdout(at, &format!("scan genome.fa -m m.meme -r {region} {options}"));
    let hit = |line: &str| {
        let columns: Vec<&str> = line.split('\t').collect();
        let strand = columns[5].to_owned();
        (columns[3].to_owned(), columns[6].parse().unwrap(), columns[1].parse().unwrap(), strand)
    };
    text.lines().map(hit).collect()
}

#[test]
fn a_region_has_what_a_scan_of_it_alone_finds() {
    let directory = folder();
    let at = directory.path();
    let long = table(&stdout(at, &format!("regions r.bed {OPTIONS} --long --threshold 3")));
    let matrix = table(&stdout(at, &format!("regions r.bed {OPTIONS}")));
    let counts = table(&stdout(at, &format!("regions r.bed {OPTIONS} --threshold 3")));
    assert_eq!(matrix[0], ["contig", "start", "end", "name", "M1.1", "M2.1"]);
    assert_eq!(matrix[0], counts[0]);
    assert_eq!((matrix.len(), long.len()), (6, 11));
    for (rank, region) in table(REGIONS).iter().enumerate() {
        let name = region.get(3).map_or(".", String::as_str);
        let place = [region[0].as_str(), &region[1], &region[2], name];
        let words = format!("{}:{}-{}", region[0], region[1].parse::<u64>().unwrap() + 1, region[2]);
        let all = if name == "short" { Vec::new() } else { scanned(at, &words, "--all") };
        let sites = if name == "short" { Vec::new() } else { scanned(at, &words, "--threshold 3") };
        for (column, model) in ["M1.1", "M2.1"].into_iter().enumerate() {
            let row = &long[1 + 2 * rank + column];
            assert_eq!(row[..4], place);
            assert_eq!((row[4].as_str(), row[5].as_str()), (model, ["GATA", "CCAAT"][column]));
            assert_eq!((&matrix[rank + 1][4 + column], &counts[rank + 1][4 + column]), (&row[6], &row[10]));
            if name == "short" {
                continue;
            }
            let best =
                all.iter().filter(|hit| hit.0 == model).fold(None, |best: Option<&(_, f32, u64, _)>, hit| {
                    if best.is_none_or(|best| hit.1 > best.1) { Some(hit) } else { best }
                });
            let (_, score, start, strand) = best.unwrap();
            assert_eq!(
                (row[6].parse(), &row[7], row[8].parse()),
                (Ok(*score), strand, Ok(*start)),
                "{row:?}"
            );
            assert_eq!(row[9], (start + 4 + column as u64).to_string());
            let found: Vec<f64> = sites.iter().filter(|hit| hit.0 == model).map(|hit| hit.1.into()).collect();
            assert_eq!(row[10], found.len().to_string());
            assert!((row[11].parse::<f64>().unwrap() - found.iter().sum::<f64>()).abs() < 1e-4, "{row:?}");
        }
    }
    // Four bases are enough for the first motif and not for the second.
    assert!(long[5][6].parse::<f32>().is_ok());
    assert_eq!(long[6][6..], ["NA", ".", "NA", "NA", "0", "0"]);
    let counted = |row: &Vec<String>| row[10].parse::<u32>().unwrap_or(0);
    assert!(long.iter().any(|row| counted(row) > 2));
}

#[test]
fn matrix_market_has_the_entries_of_the_matrix() {
    let directory = folder();
    let at = directory.path();
    for (options, is_entry) in [("--threshold 3", "0"), ("", "NA"), ("--threshold 3 --value match", "0")] {
        let matrix = table(&stdout(at, &format!("regions r.bed {OPTIONS} {options}")));
        run_ok(at, &format!("regions r.bed {OPTIONS} {options} -o x.mtx"));
        let text = fs::read_to_string(at.join("x.mtx")).unwrap();
        let mut lines = text.lines();
        let field = if options.is_empty() { "real" } else { "integer" };
        assert_eq!(lines.next().unwrap(), format!("%%MatrixMarket matrix coordinate {field} general"));
        let size = lines.next().unwrap();
        let entries: HashMap<(usize, usize), String> = lines
            .map(|line| {
                let [row, column, value] = line.split(' ').collect::<Vec<_>>()[..] else { panic!("{line}") };
                ((row.parse().unwrap(), column.parse().unwrap()), value.to_owned())
            })
            .collect();
        assert_eq!(size, format!("5 2 {}", entries.len()));
        for (row, cells) in matrix.iter().enumerate().skip(1) {
            for (column, cell) in cells[4..].iter().enumerate() {
                let entry = entries.get(&(row, column + 1)).map_or(is_entry, String::as_str);
                assert_eq!(entry, cell, "{row} {column} {options}");
            }
        }
    }
    let rows = table(&fs::read_to_string(at.join("x.regions.bed")).unwrap());
    assert_eq!(rows[0], ["sim2", "100", "400", "b"]);
    assert_eq!(rows[3], ["sim2", "9000", "10000", "."]);
    assert_eq!(fs::read_to_string(at.join("x.models.tsv")).unwrap(), "M1.1\tGATA\nM2.1\tCCAAT\n");
}

#[test]
fn rows_do_not_depend_on_threads_or_on_how_the_genome_is_stored() {
    let directory = folder();
    let at = directory.path();
    let many: String = (0..3000).map(|i| format!("sim{}\t{}\t{}\n", i % 2 + 1, i * 3, i * 3 + 200)).collect();
    fs::write(at.join("many.bed"), many).unwrap();
    let options = "-m m.meme --long --pvalue 1e-2 --background uniform";
    let want = stdout(at, &format!("regions many.bed -g genome.fa {options} --threads 1"));
    assert_eq!(want.lines().count(), 6001);
    assert_eq!(want, stdout(at, &format!("regions many.bed -g genome.fa {options} --threads 3")));
    fs::write(at.join("g.fa.gz"), crate::common::gzip(&fs::read(at.join("genome.fa")).unwrap())).unwrap();
    assert_eq!(want, stdout(at, &format!("regions many.bed -g g.fa.gz {options}")));
    run_ok(at, &format!("regions many.bed -g genome.fa {options} -o x.tsv.gz"));
    let mut text = String::new();
    let file = fs::File::open(at.join("x.tsv.gz")).unwrap();
    std::io::Read::read_to_string(&mut flate2::read::MultiGzDecoder::new(file), &mut text).unwrap();
    assert_eq!(want, text);
}

#[test]
fn regions_that_do_not_fit_are_counted_and_contigs_have_other_names() {
    let directory = folder();
    let at = directory.path();
    let bad = "sim1\t10\t90\nsim1\t9990\t10010\nsim1\t5\t5\nsim9\t1\t9\nsim1\t30000\t30009\n";
    fs::write(at.join("bad.bed"), bad).unwrap();
    let line = error_line(at, &format!("regions bad.bed {OPTIONS}"));
    for part in ["4 of 5 regions", "2 past the end", "1 on a contig", "1 empty", "--skip-bad-regions"] {
        assert!(line.contains(part), "{line}");
    }
    let output = run(at, &format!("regions bad.bed {OPTIONS} --skip-bad-regions"));
    let (text, said) = (String::from_utf8(output.stdout).unwrap(), String::from_utf8(output.stderr).unwrap());
    let places: Vec<String> = table(&text)[1..].iter().map(|row| row[..3].join(":")).collect();
    assert_eq!(places, ["sim1:10:90", "sim1:9990:10000"]);
    assert!(said.contains("3 of 5 regions are left out, 1 clipped"), "{said}");

    fs::write(at.join("chr.bed"), "chrSIM1\t10\t90\tx\nCM1\t10\t90\ty\n").unwrap();
    fs::write(at.join("names.txt"), "# ucsc\tgenbank\nsim1\tCM1\nsim2\tCM2\n").unwrap();
    let line = error_line(at, &format!("regions chr.bed {OPTIONS}"));
    assert!(line.contains("1 of 2 regions") && line.contains("no contig CM1"), "{line}");
    let output = run(at, &format!("regions chr.bed {OPTIONS} --aliases names.txt"));
    let (text, said) = (String::from_utf8(output.stdout).unwrap(), String::from_utf8(output.stderr).unwrap());
    assert!(said.contains("CM1 is sim1, chrSIM1 is sim1"), "{said}");
    let rows = table(&text);
    assert_eq!(rows[1][4..], rows[2][4..]);
    for (words, part) in [
        ("regions r.bed -m m.meme -g genome.fa -o x.h5ad", "scanpy.read_mtx"),
        ("regions r.bed -m m.meme -g genome.fa --value count", "--pvalue or --threshold"),
        ("enrich r.bed -m m.meme -g genome.fa", "say what a site is"),
    ] {
        let line = error_line(at, words);
        assert!(line.contains(part), "{line}");
    }
    fs::write(at.join("tiny.bed"), "sim1\t5\t8\n").unwrap();
    let line = error_line(at, &format!("regions tiny.bed {OPTIONS}"));
    assert!(line.contains("the longest region has 3 bases, the shortest window 4"), "{line}");
}

#[test]
fn a_scan_finds_the_regions_of_contigs_by_other_names() {
    let directory = folder();
    let at = directory.path();
    fs::write(at.join("g.fa.gz"), crate::common::gzip(&fs::read(at.join("genome.fa")).unwrap())).unwrap();
    fs::write(at.join("names.txt"), "sim1\tCM1\nsim2\tCM2\n").unwrap();
    fs::write(at.join("r.bed"), "chrSIM1\t100\t900\nCM2\t5000\t6000\n").unwrap();
    let want = stdout(at, "scan genome.fa -m m.meme --threshold 3 -r sim1:101-900 -r sim2:5001-6000");
    assert!(want.lines().count() > 10);
    for genome in ["genome.fa", "g.fa.gz"] {
        let words = format!("scan {genome} -m m.meme --threshold 3 -R r.bed --aliases names.txt");
        let output = run(at, &words);
        assert_eq!(want, String::from_utf8(output.stdout).unwrap());
        let said = String::from_utf8(output.stderr).unwrap();
        assert!(said.contains("CM2 is sim2, chrSIM1 is sim1"), "{said}");
    }
    let line = error_line(at, "scan genome.fa -m m.meme --threshold 3 -R r.bed");
    assert!(line.contains("1 of 2 regions") && line.contains("there is no contig CM2"), "{line}");
}

#[test]
fn calls_and_maps_have_contigs_by_other_names() {
    let directory = folder();
    let at = directory.path();
    fs::write(at.join("names.txt"), "sim1\tCM1\nsim2\tCM2\n").unwrap();
    let genome = fs::read_to_string(at.join("genome.fa")).unwrap();
    let first: String = genome.lines().skip(1).take_while(|line| !line.starts_with('>')).collect();
    let reference = &first[200..201].to_uppercase();
    let other = if reference == "A" { "C" } else { "A" };
    let calls = |name: &str| {
        format!(
            "##fileformat=VCFv4.2\n#CHROM\tPOS\tID\tREF\tALT\tQUAL\tFILTER\tINFO\n{name}\t201\t.\t{reference}\t{other}\t.\t.\t.\n"
        )
    };
    fs::write(at.join("own.vcf"), calls("sim1")).unwrap();
    fs::write(at.join("other.vcf"), calls("CM1")).unwrap();
    let scores = |words: &str| -> Vec<Vec<String>> {
        let rows = table(&stdout(at, words));
        assert_eq!(rows.len(), 3, "{words}");
        rows[1..].iter().map(|row| row[1..].to_vec()).collect()
    };
    let own = scores("variants own.vcf -m m.meme --genome genome.fa --format tsv");
    assert_eq!(
        own,
        scores("variants other.vcf -m m.meme --genome genome.fa --format tsv --aliases names.txt")
    );
    let line = error_line(at, "variants other.vcf -m m.meme --genome genome.fa -o x.tsv");
    assert!(!at.join("x.tsv").exists());
    assert!(line.contains("CM1"), "{line}");

    let map = "mutmap --genome genome.fa -m m.meme --format tsv -r";
    let own = stdout(at, &format!("{map} sim1:101-120"));
    assert_eq!(own, stdout(at, &format!("{map} CM1:101-120 --aliases names.txt")));
    let line = error_line(at, "mutmap genome.fa -m m.meme --aliases names.txt");
    assert!(line.contains("--genome"), "{line}");
}

#[test]
fn a_line_of_aliases_names_one_contig() {
    let directory = folder();
    let at = directory.path();
    fs::write(at.join("both.txt"), "sim1\tsim2\tx\n").unwrap();
    fs::write(at.join("x.bed"), "x\t100\t200\n").unwrap();
    for words in ["regions x.bed -m m.meme -g genome.fa", "scan genome.fa -m m.meme --threshold 3 -R x.bed"] {
        let line = error_line(at, &format!("{words} --aliases both.txt"));
        assert!(line.contains("a line names sim1 and sim2, which are two contigs"), "{line}");
    }
}

#[test]
fn an_enriched_motif_is_found_with_the_numbers_of_the_definition() {
    let directory = simulated("200k", 2, 400);
    let at = directory.path();
    let motif = crate::common::motif_file();
    fs::copy(motif, at.join("m.meme")).unwrap();
    // Regions around the implanted sites.
    let truth = fs::read_to_string(at.join("truth.bed")).unwrap();
    let regions: Vec<(String, u64)> = truth
        .lines()
        .filter(|line| !line.starts_with('#'))
        .map(|line| {
            let columns: Vec<&str> = line.split('\t').collect();
            (columns[0].to_owned(), columns[1].parse::<u64>().unwrap().saturating_sub(40))
        })
        .step_by(8)
        .collect();
    let bed: String =
        regions.iter().map(|(contig, start)| format!("{contig}\t{start}\t{}\n", start + 100)).collect();
    fs::write(at.join("r.bed"), bed).unwrap();
    let command = "enrich r.bed -m m.meme -g genome.fa --pvalue 1e-4 --each 2 --save-background b.bed";
    let text = stdout(at, &format!("{command} --report page.html"));
    let row = &table(&text)[1];
    let number = |column: usize| row[column].parse::<f64>().unwrap();
    let [hits, all, others, background] = [2, 3, 4, 5].map(|column| number(column) as u64);
    assert_eq!((all, background), (regions.len() as u64, 2 * regions.len() as u64));
    assert!(hits > all * 3 / 4 && others * 4 < background, "{row:?}");
    let p = upper_tail(hits, hits + others, all, all + background);
    assert!((number(8) / p - 1.0).abs() < 1e-3 && number(8) == number(9), "{row:?}");
    // Drawn regions lie beside the others and beside each other, and are as long.
    let mut taken: Vec<(String, u64)> = table(&fs::read_to_string(at.join("b.bed")).unwrap())
        .iter()
        .map(|row| {
            let (start, end): (u64, u64) = (row[1].parse().unwrap(), row[2].parse().unwrap());
            assert_eq!(end - start, 100);
            (row[0].clone(), start)
        })
        .collect();
    taken.sort();
    assert!(taken.windows(2).all(|pair| pair[0].0 != pair[1].0 || pair[1].1 - pair[0].1 >= 100));
    assert!(taken.iter().all(|(contig, start)| {
        regions.iter().all(|(other, at)| contig != other || start.abs_diff(*at) >= 100)
    }));
    // Given, they are the same test.
    let given = stdout(at, "enrich r.bed -m m.meme -g genome.fa --pvalue 1e-4 --against b.bed");
    assert_eq!(text, given);
    assert_eq!(text, stdout(at, &format!("{command} --threads 1")));
    let page = fs::read_to_string(at.join("page.html")).unwrap();
    assert!(page.contains("Motifs enriched in r.bed") && page.contains("<svg class=\"logo\""));
}

#[test]
fn tails_are_those_of_the_hypergeometric_distribution() {
    // Sums over the distribution in whole numbers.
    let choose = |n: u64, k: u64| -> f64 {
        if k > n { 0.0 } else { (0..k).fold(1.0, |c, i| c * (n - i) as f64 / (i + 1) as f64) }
    };
    for (marked, drawn, population) in
        [(5u64, 4u64, 10u64), (30, 50, 120), (1, 1, 2), (60, 70, 100), (0, 5, 9)]
    {
        for hits in 0..=marked.min(drawn) + 1 {
            let exact: f64 = (hits..=marked.min(drawn))
                .filter(|&k| drawn - k <= population - marked)
                .map(|k| {
                    choose(marked, k) * choose(population - marked, drawn - k) / choose(population, drawn)
                })
                .sum();
            let tail = upper_tail(hits, marked, drawn, population);
            assert!(
                (tail - exact).abs() <= 1e-9 * exact.max(1e-300),
                "{hits} {marked} {drawn} {population}: {tail} {exact}"
            );
        }
    }
    // scipy 1.16: hypergeom.sf(hits - 1, population, marked, drawn)
    for (hits, marked, drawn, population, expected) in [
        (400, 1000, 3000, 20_000, 1.531_775_887_243_786_6e-87),
        (200, 1000, 3000, 20_000, 7.184_744_266_716_901e-6),
        (140, 1000, 3000, 20_000, 0.829_779_767_916_303_1),
        (80, 1200, 50_000, 2_000_000, 1.018_136_324_371_893_6e-14),
    ] {
        let tail = upper_tail(hits, marked, drawn, population);
        assert!((tail / expected - 1.0).abs() < 1e-8, "{tail} {expected}");
    }
    let q = benjamini_hochberg(&[0.04, 0.001, 0.03, 0.5]);
    let expected = [0.04 * 4.0 / 3.0, 0.004, 0.04 * 4.0 / 3.0, 0.5];
    assert!(q.iter().zip(expected).all(|(q, expected)| (q - expected).abs() < 1e-12), "{q:?}");
}
