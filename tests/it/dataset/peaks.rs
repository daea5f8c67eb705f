//! Windows around peaks.

use std::path::Path;

use bindscan::dataset::load::{DataRequest, Negatives, load};
use bindscan::dataset::peaks::{HeldOutOptions, PeakOptions, cut_windows, read_held_out};

use super::{codes, file, shared, write, write_gzip};

const GENOME: &str = ">chr1 first\nACGTACGTAA\nCCGGTTACGA\n>chr2\nTTTTGGGGCC\n>chr3\nNNNNNNNNNN\n";

fn options(width: usize) -> PeakOptions {
    PeakOptions { width, ..PeakOptions::default() }
}

#[test]
fn windows_stand_on_the_summits_strongest_first() {
    let (directory, genome) = file("genome.fa", GENOME);
    let peaks = directory.path().join("a.narrowPeak");
    let row = |contig: &str, start: u32, end: u32, signal: f32, summit: i32| {
        format!("{contig}\t{start}\t{end}\tx\t0\t.\t{signal}\t1\t1\t{summit}\n")
    };
    let text = row("chr1", 2, 12, 5.0, 3)   // summit 5
        + &row("chr1", 9, 14, 50.0, -1)     // middle 11
        + &row("chr2", 1, 9, 7.5, 4)        // summit 5
        + &row("chr1", 4, 7, 4.0, 1)        // summit 5 again
        + &row("chr1", 0, 3, 9.0, 0)        // too near to the end
        + &row("chr3", 2, 8, 9.0, 3)        // N
        + &row("chrX", 2, 8, 9.0, 3);
    write(&peaks, &text);
    let error = cut_windows(&genome, &peaks, &options(5)).unwrap_err().to_string();
    assert!(
        error.contains("1 of 7 peaks cannot be used: 1 on a contig that the genome does not have"),
        "{error}"
    );
    let options = |width| PeakOptions { skip_bad_regions: true, ..options(width) };
    let cut = cut_windows(&genome, &peaks, &options(5)).unwrap();
    // Positions 9..14 of chr1, 3..8 of chr2, 3..8 of chr1.
    assert_eq!(cut.training.peaks, [codes("ACCGG"), codes("TGGGG"), codes("TACGT")]);
    assert!(cut.test.peaks.is_empty());
    let skipped = cut.skipped;
    assert_eq!((skipped.unknown_contig, skipped.past_end, skipped.n_rich, skipped.same_summit), (1, 1, 1, 1));
    assert_eq!(skipped.messages().len(), 4);

    let strongest = PeakOptions { max_peaks: Some(1), ..options(5) };
    let cut = cut_windows(&genome, &peaks, &strongest).unwrap();
    assert_eq!((cut.training.peaks.as_slice(), cut.skipped.weaker), ([codes("ACCGG")].as_slice(), 2));

    let held_out = PeakOptions { test_contigs: vec!["chr2".into()], ..options(5) };
    let cut = cut_windows(&genome, &peaks, &held_out).unwrap();
    assert_eq!((cut.training.peaks.len(), cut.test.peaks), (2, vec![codes("TGGGG")]));

    let gzip = directory.path().join("genome.fa.gz");
    write_gzip(&gzip, GENOME);
    assert_eq!(
        cut_windows(&gzip, &peaks, &held_out).unwrap(),
        cut_windows(&genome, &peaks, &held_out).unwrap()
    );
}

#[test]
fn contigs_are_found_by_the_names_of_other_schemes() {
    let (directory, genome) = file("genome.fa", GENOME);
    let peaks = directory.path().join("a.bed");
    let options = |test: &str| PeakOptions { test_contigs: vec![test.into()], ..options(5) };
    write(&peaks, "chr1\t2\t9\nchr1\t9\t14\nchr2\t1\t9\n");
    let want = cut_windows(&genome, &peaks, &options("chr2")).unwrap();
    assert_eq!((want.training.peaks.len(), want.test.peaks.len()), (2, 1));
    write(&peaks, "1\t2\t9\n1\t9\t14\nCHR2\t1\t9\n");
    for test in ["chr2", "2"] {
        assert_eq!(cut_windows(&genome, &peaks, &options(test)).unwrap(), want);
    }
    let error = cut_windows(&genome, &peaks, &options("4")).unwrap_err().to_string();
    assert!(error.contains("it has no contig 4 to test on"), "{error}");
    let held_out = |test: &str| {
        let contigs = [test.to_owned()];
        let options = HeldOutOptions { contigs: &contigs, ..HeldOutOptions::default() };
        read_held_out(&genome, &peaks, &options)
    };
    let contigs = held_out("2").unwrap();
    assert_eq!((contigs.len(), &*contigs[0].name, contigs[0].summits.len()), (1, "chr2", 1));
    assert!(held_out("4").unwrap_err().to_string().contains("it has no contig 4 to test on"));
}

#[test]
fn strands_count_for_rna_only() {
    let (directory, genome) = file("genome.fa", GENOME);
    let peaks = directory.path().join("a.bed");
    write(&peaks, "track name=x\n# remark\nchr1\t4\t5\tx\t1\t-\nchr1\t11\t12\tx\t9\t+\n");
    let both = cut_windows(&genome, &peaks, &options(4)).unwrap();
    assert_eq!(both.training.peaks, [codes("ACCG"), codes("GTAC")]);
    let stranded = cut_windows(&genome, &peaks, &PeakOptions { stranded: true, ..options(3) }).unwrap();
    assert_eq!(stranded.training.peaks, [codes("CCG"), codes("GTA")], "TAC, read from the other strand");
}

#[test]
fn bad_peaks_are_refused_with_their_line() {
    let (directory, genome) = file("genome.fa", GENOME);
    let peaks = directory.path().join("a.bed");
    let cases = [
        ("", "there is no peak in it"),
        ("chr1\t1\n", "line 1: a BED line has a contig, a start and an end"),
        ("chr1\t1\t5\nchr1\tone\t5\n", "line 2: a BED line"),
        ("chr1\t5\t5\n", "peak chr1 5 5 ("),
        ("chr1\t5\t5\n", "a.bed, line 1): it is empty"),
        ("##fileformat=VCFv4.2\nchr1\t5\t.\tA\tC\n", "line 1: this is a VCF"),
        ("chr1\t1\t5\tx\t0\t.\t1\t1\t1\t4\n", "line 1: the summit 4 (column 10) is no place"),
        ("chrX\t1\t5\n", "line 1): there is no contig chrX in the genome; did you mean chr1"),
        (
            "chr1\t4\t9\nchr1\t9\t9\nchr1\t18\t40\nchr9\t1\t2\nchr8\t1\t2\n",
            "4 of 5 peaks cannot be used: 1 past",
        ),
        ("chr1\t18446744073709551614\t18446744073709551615\n", "past the end of chr1, which has 20 bases"),
    ];
    for (text, message) in cases {
        write(&peaks, text);
        let error = cut_windows(&genome, &peaks, &options(5)).unwrap_err().to_string();
        assert!(error.contains(message), "{error}, not {message}");
    }
    let skip = PeakOptions { skip_bad_regions: true, ..options(5) };
    for (text, message) in [
        ("chrX\t1\t5\n", "no peak is left (1 peak on contigs that the genome does not have"),
        ("chr1\t18446744073709551614\t18446744073709551615\n", "no peak is left (1 peak past"),
        ("chr1\t4\t9\nchrX\t4\t9\nchrY\t4\t9\n", "2 of 3 peaks are lost (2 peaks on contigs"),
    ] {
        write(&peaks, text);
        let error = cut_windows(&genome, &peaks, &skip).unwrap_err().to_string();
        assert!(error.contains(message), "{error}, not {message}");
    }
    let forced = cut_windows(&genome, &peaks, &PeakOptions { force: true, ..skip.clone() }).unwrap();
    assert_eq!((forced.training.peaks.len(), forced.skipped.unknown_contig), (1, 2));
    write(&peaks, "chr1\t4\t9\nchrX\t4\t9\n");
    assert!(cut_windows(&genome, &peaks, &skip).is_ok(), "half is not more than half");
    write(&peaks, "chr1\t4\t9\n");
    let held_out = |contig: &str| PeakOptions { test_contigs: vec![contig.into()], ..options(5) };
    let error = cut_windows(&genome, &peaks, &held_out("9")).unwrap_err().to_string();
    assert!(error.contains("no contig 9 to test on; it has chr1, chr2, chr3"), "{error}");
    let error = cut_windows(&genome, &peaks, &held_out("chr2")).unwrap_err().to_string();
    assert!(error.contains("no peak is left on the test contigs"), "{error}");
    let error = cut_windows(&genome, &peaks, &held_out("chr1")).unwrap_err().to_string();
    assert!(error.contains("no peak is left outside the test contigs"), "{error}");
    let request = DataRequest { data: peaks, negatives_per_positive: 1.0, ..DataRequest::default() };
    assert!(load(&request).unwrap_err().to_string().contains("peaks need their genome"));
}

/// Bases of a contig, from a generator of our own; GC content rises along the contig.
fn contig(length: usize) -> String {
    let mut x = 12345u64;
    let mut next = || {
        x = x.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1_442_695_040_888_963_407);
        (x >> 33) as usize
    };
    (0..length)
        .map(|i| match (next() % length < i, next() % 2) {
            (true, 0) => 'C',
            (true, _) => 'G',
            (false, 0) => 'A',
            (false, _) => 'T',
        })
        .collect()
}

#[test]
fn windows_without_peaks_match_in_gc_and_touch_no_peak() {
    let bases = contig(60_000);
    let (directory, genome) =
        file("genome.fa", &format!(">chr1\n{bases}\n>chr2\n{}\n", "ACGTTGCA".repeat(400)));
    let bed = directory.path().join("a.bed");
    let starts: Vec<usize> = (0..60).map(|i| 500 + 970 * i).collect();
    write(&bed, &starts.iter().map(|start| format!("chr1\t{start}\t{}\n", start + 200)).collect::<String>());
    let request = DataRequest {
        data: bed,
        genome: Some(genome),
        negatives: Negatives::Genome,
        negatives_per_positive: 2.0,
        peaks: options(101),
        seed: 4,
        ..DataRequest::default()
    };
    let loaded = load(&request).unwrap();
    let (positives, negatives) = loaded.training.sequences.split_at(60);
    assert_eq!(negatives.len(), 120);
    assert_eq!(loaded, load(&request).unwrap());
    assert_ne!(loaded.training, load(&DataRequest { seed: 5, ..request.clone() }).unwrap().training);
    let gc = |codes: &[u8]| codes.iter().filter(|&&code| code == 1 || code == 2).count();
    let chromosome = codes(&bases);
    let mut places = Vec::new();
    for (i, negative) in negatives.iter().enumerate() {
        assert!(gc(negative).abs_diff(gc(&positives[i / 2])) <= 3, "{i}");
        let at: Vec<usize> =
            (0..chromosome.len() - 100).filter(|&at| chromosome[at..at + 101] == negative[..]).collect();
        assert_eq!(at.len(), 1, "a random window of 101 bases is there once");
        assert!(starts.iter().all(|&start| at[0] + 101 <= start || at[0] >= start + 200), "{at:?}");
        places.push(at[0]);
    }
    places.sort_unstable();
    assert!(places.windows(2).all(|pair| pair[1] - pair[0] >= 101), "no two overlap");
}

#[test]
fn held_out_peaks_have_a_ratio_of_their_own() {
    let bases = contig(30_000);
    let (directory, genome) = file("genome.fa", &format!(">chr1\n{bases}\n>chr2\n{bases}\n"));
    let bed = directory.path().join("a.bed");
    let line = |i: usize| format!("chr{}\t{}\t{}\n", 1 + i % 2, 400 * i + 100, 400 * i + 200);
    write(&bed, &(0..40).map(line).collect::<String>());
    for negatives in [Negatives::Shuffle, Negatives::Genome] {
        let mut request = DataRequest {
            data: bed.clone(),
            genome: Some(genome.clone()),
            negatives,
            negatives_per_positive: 3.0,
            test_negatives_per_positive: Some(1.0),
            peaks: PeakOptions { test_contigs: vec!["chr2".into()], ..options(21) },
            ..DataRequest::default()
        };
        let trained = load(&request).unwrap();
        assert_eq!((trained.training.len(), trained.test.as_ref().unwrap().len()), (80, 40));
        // Peaks that eval reads by itself.
        request.negatives_per_positive = 1.0;
        assert_eq!(load(&request).unwrap().test, trained.test);
    }
}

#[test]
fn given_negatives_are_dealt_to_training_and_test() {
    let bases = contig(5_000);
    let (directory, genome) = file("genome.fa", &format!(">chr1\n{bases}\n>chr2\n{bases}\n"));
    let (bed, negatives) = (directory.path().join("a.bed"), directory.path().join("n.fa"));
    write(&bed, "chr1\t100\t200\nchr1\t400\t500\nchr1\t700\t800\nchr2\t900\t1000\n");
    write(&negatives, &(0..8).map(|i| format!(">{i}\nACGT{}\n", "ACGT".repeat(i))).collect::<String>());
    let mut request = DataRequest {
        data: bed,
        genome: Some(genome),
        negatives: Negatives::File(negatives),
        negatives_per_positive: 1.0,
        peaks: PeakOptions { test_contigs: vec!["chr2".into()], ..options(21) },
        ..DataRequest::default()
    };
    let loaded = load(&request).unwrap();
    assert_eq!((loaded.training.len(), loaded.test.unwrap().len()), (3 + 6, 1 + 2));
    request.negatives = Negatives::Shuffle;
    let loaded = load(&request).unwrap();
    assert_eq!((loaded.training.len(), loaded.test.unwrap().targets), (6, vec![1.0, 0.0]));
}

/// Windows of ENCODE peaks that were placed on the genome must be the sequences that DeepBind was given.
#[test]
fn windows_of_placed_peaks_are_the_published_sequences() {
    let (Some(genome), Some(bed), Some(published)) = (
        shared("genomes/grch38.chr20_and_21_10M.fa.gz"),
        shared("peaks/deepbind_encode_peaks_on_grch38_chr20_21_10M.bed"),
        shared("encode/FOXA1_HepG2_AC.seq.gz"),
    ) else {
        return;
    };
    let all = std::fs::read_to_string(bed).unwrap();
    let chosen: Vec<&str> =
        all.lines().filter(|line| line.contains("FOXA1_HepG2") && line.contains("|AC|")).collect();
    let directory = tempfile::tempdir().unwrap();
    let peaks = directory.path().join("foxa1.bed");
    write(&peaks, &(chosen.join("\n") + "\n"));
    let cut =
        cut_windows(&genome, &peaks, &PeakOptions { stranded: true, ..PeakOptions::default() }).unwrap();
    assert!(cut.training.peaks.len() > 100 && cut.skipped.past_end == 0, "{:?}", cut.skipped);
    let known = known_sequences(&published);
    let found = cut.training.peaks.iter().filter(|codes| known.contains(*codes)).count();
    // Another FOXA1 experiment on the same cells has peaks of its own in the file.
    assert!(found * 2 > cut.training.peaks.len(), "{found} of {}", cut.training.peaks.len());
}

fn known_sequences(path: &Path) -> std::collections::HashSet<Vec<u8>> {
    use bindscan::dataset::table::{TableOptions, read_table};
    read_table(path, &TableOptions::default()).unwrap().sequences.into_iter().collect()
}
