//! `bindscan scan --shard` and `bindscan merge`: together they give what one run gives.

use std::fs;
use std::path::{Path, PathBuf};

use crate::common::{error_line, gzip, put_runs, run, run_ok, simulated, stdout};
use bindscan::io::output::Output;
use bindscan::merge::Shards;
use rand::{RngExt, SeedableRng};
use rand_xoshiro::Xoshiro256PlusPlus as Random;

/// Scans in `of` shards with `words`, merges `track`, and gives its bytes.
fn merged(at: &Path, words: &str, track: &str, of: usize, merge: &str) -> Vec<u8> {
    let mut shards = String::new();
    for number in 1..=of {
        let output = format!("shard{number}.{track}");
        run_ok(at, &format!("scan {words} --shard {number}/{of} -o {output}"));
        // In any order.
        shards = format!("{output} {shards}");
    }
    let whole = format!("merged.{track}");
    run_ok(at, &format!("merge {shards} {merge} -o {whole}"));
    fs::read(at.join(whole)).unwrap()
}

fn whole(at: &Path, words: &str, track: &str) -> Vec<u8> {
    run_ok(at, &format!("scan {words} -o whole.{track}"));
    fs::read(at.join(format!("whole.{track}"))).unwrap()
}

fn sequence(random: &mut Random, length: usize) -> String {
    let mut text = String::new();
    while text.len() < length {
        let run = random.random_range(1..length.max(8));
        match random.random_range(0..5) {
            // Windows with the same scores, one after another: what becomes of each hangs on the one before.
            0 => text.extend(std::iter::repeat_n(b"ACGTN"[random.random_range(0..5)] as char, run)),
            1 => {
                let unit: String = (0..random.random_range(2..7)).map(|_| base(random)).collect();
                text.push_str(&unit.repeat(run / unit.len() + 1));
            }
            // Slowly from one base to another: chains of falling scores.
            2 => text.extend((0..run).map(|i| if random.random_range(0..run) < i { 'C' } else { 'A' })),
            _ => text.extend((0..run).map(|_| base(random))),
        }
    }
    text.truncate(length);
    text
}

fn base(random: &mut Random) -> char {
    b"ACGT"[random.random_range(0..4)] as char
}

/// Writes a motif of `width` columns and imports it.
fn motif(at: &Path, random: &mut Random, name: &str, width: usize) {
    let mut text = "MEME version 4\n\nALPHABET= ACGT\n\n".to_owned();
    text += &format!("MOTIF {name}\nletter-probability matrix: alength= 4 w= {width} nsites= 20\n");
    for _ in 0..width {
        let counts: [u32; 4] = std::array::from_fn(|_| random.random_range(1..20));
        let sum: u32 = counts.iter().sum();
        let row = counts.map(|count| format!("{:.9}", f64::from(count) / f64::from(sum)));
        text += &(row.join(" ") + "\n");
    }
    fs::write(at.join("motif.meme"), text).unwrap();
    run_ok(at, &format!("import meme motif.meme -o {name}.onnx"));
}

#[test]
fn shards_joined_are_the_whole_for_any_genome_model_threshold_and_number() {
    let directory = tempfile::tempdir().unwrap();
    let at = directory.path();
    let random = &mut Random::seed_from_u64(5);
    for case in 0..30 {
        let mut genome = String::new();
        for contig in 0..random.random_range(1..5) {
            let length = [0, 3, 60, 700, 3_000][random.random_range(0..5)];
            genome += &format!(">c{contig}\n{}\n", sequence(random, length));
        }
        fs::write(at.join("genome.fa"), &genome).unwrap();
        let width = random.random_range(1..25);
        motif(at, random, "a", width);
        let mut words = "-m a.onnx genome.fa -t 2 --chunk-size 200".to_owned();
        let scores = case % 3 == 2;
        if scores {
            words += &format!(" --bin-size {}", [1, 7, 250][random.random_range(0..3)]);
        } else {
            if random.random_bool(0.5) {
                motif(at, random, "b", 30 - width);
                words += " -m b.onnx";
            }
            words += [" --threshold=-40", " --threshold=-2", " --threshold=3", " --pvalue 0.02"]
                [random.random_range(0..4)];
        }
        if random.random_bool(0.3) {
            words += &format!(" --stride {}", random.random_range(2..40));
        }
        let track = if scores {
            ["bedGraph", "bw"][case % 2]
        } else {
            ["bed", "tsv", "gff3", "narrowPeak"][case % 4]
        };
        let of = [2, 3, 7, 20][random.random_range(0..4)];
        let want = whole(at, &words, track);
        assert!(merged(at, &words, track, of, "") == want, "case {case}: {words}, {of} shards, {track}");
    }
}

/// One to three regions of contigs of these lengths, as options; they may overlap.
fn regions(random: &mut Random, lengths: &[usize]) -> String {
    let mut words = String::new();
    for _ in 0..random.random_range(1..4) {
        let contig = random.random_range(0..lengths.len());
        let start = random.random_range(0..lengths[contig]);
        let end = random.random_range(start..lengths[contig]) + 1;
        words += &format!(" -r c{contig}:{}-{end}", start + 1);
    }
    words
}

#[test]
fn regions_in_shards_and_chunks_are_the_whole_for_any_stride_and_bin() {
    let directory = tempfile::tempdir().unwrap();
    let at = directory.path();
    let random = &mut Random::seed_from_u64(23);
    for case in 0..60 {
        let lengths: Vec<usize> = (0..random.random_range(1..4))
            .map(|_| [40, 700, 2_000, 6_000][random.random_range(0..4)])
            .collect();
        let mut genome = String::new();
        for (contig, &length) in lengths.iter().enumerate() {
            genome += &format!(">c{contig}\n{}\n", sequence(random, length));
        }
        fs::write(at.join("genome.fa"), genome).unwrap();
        let width = random.random_range(1..25);
        motif(at, random, "a", width);
        let mut words = format!("-m a.onnx genome.fa -t 2{}", regions(random, &lengths));
        let stride = [1, 1, 3, 40][random.random_range(0..4)];
        words += &format!(" --stride {stride}");
        let track = ["bedGraph", "bw", "bedGraph.gz", "bed"][case % 4];
        if track == "bed" {
            words += " --threshold=-4";
        } else {
            let bin = [1, 7, 100, 1_000, 2_500, 100_000][random.random_range(0..6)];
            let summary = ["mean", "max"][random.random_range(0..2)];
            words += &format!(" --bin-size {bin} --summary {summary}");
            if random.random_bool(0.3) {
                words += " --sparse --threshold=-8";
            }
        }
        let want = whole(at, &words, track);
        let chunk = [30, 137, 1_000, 5_000][random.random_range(0..4)];
        let words = format!("{words} --chunk-size {chunk}");
        assert!(whole(at, &words, track) == want, "case {case}: {words}, {track}");
        let of = [2, 3, 5][random.random_range(0..3)];
        assert!(merged(at, &words, track, of, "") == want, "case {case}: {words}, {of} shards, {track}");
    }
}

#[test]
fn q_values_are_those_of_all_shards() {
    let directory = simulated("60k", 3, 60);
    let at = directory.path();
    motif(at, &mut Random::seed_from_u64(3), "b@0.1", 9);
    let scan = "-m motif.onnx -m b@0.1.onnx genome.fa --background uniform --qvalue 0.3";
    for (track, merge) in
        [("bed", ""), ("bed", "--header"), ("tsv", ""), ("narrowPeak", ""), ("gff3", ""), ("bed.gz", "")]
    {
        let want = whole(at, &format!("{scan} {merge}"), track);
        assert!(merged(at, scan, track, 4, merge) == want, "{track} {merge}");
        let gzipped = track.ends_with("gz");
        assert!(gzipped || want.iter().filter(|&&byte| byte == b'\n').count() > 20, "{track}");
    }
    let said = run(at, &format!("scan {scan} --shard 2/4 -o again.bed")).stderr;
    assert!(
        String::from_utf8(said).unwrap().contains(" candidates for sites (merge has their q-values) in ")
    );
    // Counts of an interrupted shard are included.
    run_ok(at, &format!("scan {scan} --shard 2/4 --resume -o again.bed"));
    assert!(fs::read(at.join("again.bed")).unwrap() == fs::read(at.join("shard2.bed")).unwrap());
    // Where the background is skewed, the strands of a window have p-values of their own.
    let skewed = String::from(">s\n") + &"AAAACAAGAAAT".repeat(500) + "\n";
    fs::write(at.join("skewed.fa"), skewed).unwrap();
    let by_strand = scan.replace("--background uniform", "--background skewed.fa --background-order 0");
    let want = whole(at, &by_strand, "bed");
    assert!(want.iter().filter(|&&byte| byte == b'\n').count() > 20);
    assert!(merged(at, &by_strand, "bed", 3, "") == want);

    // Nothing is found, and nothing is lost.
    let rare = "-m motif.onnx genome.fa --background uniform --qvalue 1e-9";
    assert_eq!(merged(at, rare, "bed", 70, ""), whole(at, rare, "bed"));

    let shards = |scan: &str| {
        for number in 1..=2 {
            run_ok(at, &format!("scan {scan} --shard {number}/2 -o {number}.bed"));
        }
    };
    shards(scan);
    run_ok(at, &format!("scan {} --shard 2/2 -o 2.bed", scan.replace("0.3", "0.2")));
    let message = error_line(at, "merge 1.bed 2.bed");
    assert!(message.contains("do not belong together"), "{message}");
    shards(scan);
    let text = fs::read_to_string(at.join("1.bed")).unwrap();
    let without: String = text.split_inclusive('\n').filter(|line| !line.starts_with("# tests: ")).collect();
    fs::write(at.join("1.bed"), without).unwrap();
    assert!(error_line(at, "merge 1.bed 2.bed -o c.bed").contains("rerun this shard"));
    assert!(!at.join("c.bed").exists());
    let message = error_line(at, &format!("scan {scan} --shard 1/2 -o 1.bed --report a.html"));
    assert!(message.contains("only known after merge"), "{message}");
}

#[test]
fn networks_and_long_chains_are_cut_anywhere() {
    let directory = simulated("60k", 2, 100);
    let at = directory.path();
    // Of equal windows the leftmost is a site, and so every window's fate hangs on the run's first base.
    put_runs(at, &[(8_000..30_000, b'C'), (40_000..41_000, b'N')]);
    for words in [
        "-m motif.onnx --threshold -60",
        "-m ELK1 --threshold -4 -r sim1",
        "-m GABPA --window 60 --threshold -3 --context flank",
    ] {
        let words = format!("{words} genome.fa");
        let want = whole(at, &words, "bed");
        assert!(want.len() > 1_000, "{words}: {} bytes", want.len());
        assert!(merged(at, &words, "bed", 6, "") == want, "{words}");
    }
}

#[test]
fn regions_are_cut_as_well_and_more_shards_than_windows_do_no_harm() {
    let directory = simulated("20k", 2, 50);
    let at = directory.path();
    fs::write(at.join("regions.bed"), "sim2\t100\t260\nsim1\t5\t1500\nsim2\t400\t700\nsim1\t1700\t1708\n")
        .unwrap();
    let words = "-m motif.onnx genome.fa -R regions.bed --threshold -5";
    let want = whole(at, words, "bed");
    assert_eq!(merged(at, words, "bed", 5, ""), want);
    let words = "-m motif.onnx genome.fa -r sim1:11-40 --threshold -50";
    let want = whole(at, words, "bed");
    assert!(!want.is_empty());
    assert_eq!(merged(at, words, "bed", 40, ""), want);
}

#[test]
fn several_tracks_have_headers_where_they_are_wanted() {
    let directory = simulated("20k", 2, 50);
    let at = directory.path();
    let words = "-m motif.onnx -m ELK1 genome.fa --threshold 1";
    let tracks = ["{name}.bed", "all.gff3.gz", "{name}.{strand}.bedGraph", "{name}.bw"];
    let outputs = |prefix: &str| tracks.map(|track| format!("-o {prefix}{track}")).join(" ");
    run_ok(at, &format!("scan {words} {} --header", outputs("whole.")));
    for number in 1..=3 {
        run_ok(at, &format!("scan {words} {} --shard {number}/3", outputs(&format!("shard{number}."))));
    }
    for track in ["ELK1.bed", "CTCF-consensus.bed", "all.gff3.gz", "ELK1.bw", "CTCF-consensus.minus.bedGraph"]
    {
        let shards = format!("shard1.{track} shard2.{track} shard3.{track}");
        run_ok(at, &format!("merge {shards} --header -o merged.{track}"));
        let read = |name: &str| fs::read(at.join(name)).unwrap();
        let has_header = read(&format!("whole.{track}")).windows(13).any(|text| text == b"# model: ELK1");
        assert!(has_header || track.ends_with(".gz"));
        assert_eq!(read(&format!("merged.{track}")), read(&format!("whole.{track}")));
    }
    let mixed = error_line(at, "merge shard1.ELK1.bed shard2.CTCF-consensus.bed shard3.ELK1.bed");
    assert!(mixed.contains("different models"), "{mixed}");
}

#[test]
fn shards_count_what_is_theirs() {
    let directory = simulated("20k", 3, 50);
    let at = directory.path();
    let mut genome = fs::read_to_string(at.join("genome.fa")).unwrap();
    genome += ">short\nACGTACGT\n>empty\n";
    fs::write(at.join("genome.fa"), genome).unwrap();
    let words = "scan -m motif.onnx genome.fa --threshold 5";
    let counts = |words: &str| -> Vec<u64> {
        let output = crate::common::run(at, words);
        let said = String::from_utf8(output.stderr).unwrap().replace(',', "");
        // bases, windows, sites; contigs that are skipped
        let numbers: Vec<u64> = said.split([' ', ';']).filter_map(|word| word.parse().ok()).collect();
        let skipped = if said.contains("skipped") { numbers[numbers.len() - 2] } else { 0 };
        vec![numbers[0], numbers[1], numbers[2], skipped]
    };
    let want = counts(words);
    assert_eq!((want[0], want[3]), (20_008, 2));
    let mut sum = vec![0; 4];
    for number in 1..=7 {
        let shard = counts(&format!("{words} --shard {number}/7"));
        assert!(shard[0] <= 20_008 / 7 + 1);
        sum.iter_mut().zip(shard).for_each(|(sum, more)| *sum += more);
    }
    assert_eq!(sum, want);
}

#[test]
fn shards_that_do_not_belong_together_are_refused() {
    let directory = simulated("20k", 2, 50);
    let at = directory.path();
    for number in 1..=3 {
        let scan = format!("scan -m motif.onnx genome.fa --shard {number}/3 --threshold");
        run_ok(at, &format!("{scan} 5 -o {number}.bed"));
        run_ok(at, &format!("{scan} 6 -o other{number}.bed"));
    }
    run_ok(at, "scan -m motif.onnx genome.fa --threshold 5 --header -o whole.bed");
    run_ok(at, "scan -m motif.onnx genome.fa --threshold 5 --shard 2/4 -o four.bed");
    let cases = [
        ("1.bed 3.bed", "shard 2/3 is missing"),
        ("3.bed", "shard 1/3 (and 1 more) is missing"),
        ("1.bed 2.bed 3.bed 2.bed", "2.bed and 2.bed are both shard 2/3"),
        ("1.bed other2.bed 3.bed", "different commands"),
        ("1.bed four.bed 3.bed", "different numbers of shards"),
        ("1.bed whole.bed 3.bed", "whole.bed: not the output of a shard"),
        ("1.bed genome.fa", "genome.fa: not the output of a shard"),
        ("1.bed 2.bed nowhere.bed", "nowhere.bed"),
    ];
    for (files, want) in cases {
        let said = error_line(at, &format!("merge {files} -o merged.bed"));
        assert!(said.contains(want), "{files}: {said}");
        assert!(!at.join("merged.bed").exists());
    }
    let said = error_line(at, "merge 1.bed 2.bed 3.bed -o merged.tsv");
    assert!(said.contains("another format, bed"), "{said}");

    let text = fs::read(at.join("2.bed")).unwrap();
    fs::write(at.join("2.bed"), gzip(&text)).unwrap();
    assert_eq!(
        stdout(at, "merge 3.bed 2.bed 1.bed"),
        stdout(at, "scan -m motif.onnx genome.fa --threshold 5"),
        "compressed shards, to standard output"
    );
}

/// Result of merging shards, or the error.
fn merge(paths: &[PathBuf], into: &Path) -> Result<Vec<u8>, String> {
    let compressed = into.extension().is_some_and(|extension| extension == "gz");
    let shards = Shards::open(paths).map_err(|error| error.to_string())?;
    let sealed = shards.write(Output::create(into).unwrap(), false, compressed);
    sealed.map_err(|error| error.to_string())?.into_iter().for_each(|sealed| sealed.publish().unwrap());
    Ok(fs::read(into).unwrap())
}

#[test]
fn shards_that_were_damaged_are_refused() {
    let directory = simulated("20k", 2, 50);
    let at = directory.path();
    let tracks = ["a.bed", "a.tsv", "a.gff3.gz", "a.bedGraph", "a.bw", "none.tsv", "none.bed.gz"];
    let of = |number: usize, track: &str| at.join(format!("{number}.{track}"));
    for number in 1..=2 {
        let scan = format!("scan -m motif.onnx genome.fa --shard {number}/2");
        let outputs = |prefix: &str| -> String {
            let names = tracks.iter().filter(|track| track.starts_with(prefix));
            names.map(|track| format!(" -o {number}.{track}")).collect()
        };
        run_ok(at, &format!("{scan} --threshold 5 --bin-size 20{}", outputs("a.")));
        run_ok(at, &format!("{scan} --threshold 500{}", outputs("none.")));
    }
    let random = &mut Random::seed_from_u64(11);
    for track in tracks {
        let into = at.join(format!("merged.{track}"));
        let paths = [of(1, track), of(2, track)];
        let whole = fs::read(&paths[1]).unwrap();
        let want = merge(&paths, &into).unwrap();
        let mut refused = 0;
        for case in 0..300 {
            let mut damaged = whole.clone();
            let place = random.random_range(0..whole.len());
            match case % 10 {
                0 => damaged.truncate(place),
                1 => damaged[place..].rotate_left(1),
                _ => damaged[place] ^= random.random_range(1..=255u8),
            }
            fs::write(&paths[1], &damaged).unwrap();
            match merge(&paths, &into) {
                Err(message) => {
                    assert!(!message.contains('\n') && message.contains(track), "{message}");
                    refused += 1;
                }
                // gzip has bytes without a meaning; rotating equal bytes changes nothing.
                Ok(merged) => assert!(
                    merged == want && (damaged == whole || track.ends_with("gz")),
                    "{track}, case {case}: byte {place} of {}",
                    whole.len()
                ),
            }
        }
        assert!(refused > 200, "{track}: {refused}");
    }
}

/// The checksum of gzip.
fn crc32(bytes: &[u8]) -> u32 {
    let mut crc = flate2::Crc::new();
    crc.update(bytes);
    crc.sum()
}

#[test]
fn damage_under_a_right_checksum_is_an_error_or_harmless() {
    let directory = simulated("20k", 2, 50);
    let at = directory.path();
    let random = &mut Random::seed_from_u64(17);
    let scan = "scan -m motif.onnx genome.fa --background uniform";
    for (track, words) in [
        ("a.bed", "--qvalue 0.3"),
        ("b.tsv", "--pvalue 0.01"),
        ("c.gff3", "--qvalue 0.3"),
        ("d.bedGraph", "--threshold=-3 --sparse"),
    ] {
        let words = if track == "d.bedGraph" {
            "scan -m motif.onnx genome.fa --threshold=-3 --sparse".into()
        } else {
            format!("{scan} {words}")
        };
        for number in 1..=2 {
            run_ok(at, &format!("{words} --shard {number}/2 -o {number}.{track}"));
        }
        let paths = [1, 2].map(|number| at.join(format!("{number}.{track}")));
        let whole = fs::read(&paths[1]).unwrap();
        let sealed = whole.len() - "# crc32: 12345678\n".len();
        let mut refused = 0;
        for case in 0..300 {
            let mut damaged = whole[..sealed].to_vec();
            // Numbers grow, digits and separators change, lines go.
            let place = random.random_range(0..sealed);
            match case % 4 {
                0 => drop(damaged.splice(place..place, *b"999999999999999")),
                1 => damaged[place] = b"09-.,[]\t\n"[random.random_range(0..9)],
                2 => damaged[place] ^= random.random_range(1..=255u8),
                _ => drop(damaged.drain(place..(place + 40).min(sealed))),
            }
            let seal = format!("# crc32: {:08x}\n", crc32(&damaged));
            damaged.extend_from_slice(seal.as_bytes());
            fs::write(&paths[1], &damaged).unwrap();
            // Compressed, an index is made of the lines as well.
            for into in [at.join("merged"), at.join("merged.gz")] {
                if let Err(message) = merge(&paths, &into) {
                    assert!(!message.contains('\n'), "{message}");
                    refused += 1;
                }
            }
        }
        assert!(refused > 20, "{track}: {refused}");
    }
}

#[test]
fn a_compressed_shard_without_some_of_its_blocks_is_refused() {
    let directory = simulated("60k", 2, 50);
    let at = directory.path();
    for (track, options) in [("a.bed.gz", " --threshold=-12"), ("a.bedGraph.gz", "")] {
        for number in 1..=2 {
            run_ok(
                at,
                &format!("scan -m motif.onnx genome.fa{options} --shard {number}/2 -o {number}.{track}"),
            );
        }
        let paths = [1, 2].map(|number| at.join(format!("{number}.{track}")));
        let into = at.join(format!("merged.{track}"));
        let want = merge(&paths, &into).unwrap();
        run_ok(at, &format!("scan -m motif.onnx genome.fa{options} -o whole.{track}"));
        assert!(want == fs::read(at.join(format!("whole.{track}"))).unwrap());
        let whole = fs::read(&paths[1]).unwrap();
        let (mut starts, mut start) = (Vec::new(), 0);
        while start < whole.len() {
            starts.push(start);
            start += usize::from(u16::from_le_bytes([whole[start + 16], whole[start + 17]])) + 1;
        }
        starts.push(whole.len());
        assert!(starts.len() >= 5, "{track}: {starts:?}");
        // All but the empty one at the end.
        for block in starts.windows(2).take(starts.len() - 2) {
            let cut = [&whole[..block[0]], &whole[block[1]..]].concat();
            fs::write(&paths[1], cut).unwrap();
            let message = merge(&paths, &into).unwrap_err();
            assert!(message.contains(track), "{message}");
        }
    }
}

#[test]
fn shards_of_other_content_under_the_same_names_are_refused() {
    let directory = simulated("20k", 2, 50);
    let at = directory.path();
    fs::write(at.join("regions.bed"), "sim1\t100\t6000\n").unwrap();
    fs::copy(at.join("genome.fa"), at.join("other.fa")).unwrap();
    let words = "scan -m motif.onnx genome.fa -R regions.bed --pvalue 0.01 --background other.fa";
    let shard = |number: u64| run_ok(at, &format!("{words} --shard {number}/2 -o {number}.bed"));
    shard(1);
    shard(2);
    run_ok(at, "merge 1.bed 2.bed -o merged.bed");
    run_ok(at, &format!("{words} -o whole.bed"));
    assert_eq!(fs::read(at.join("merged.bed")).unwrap(), fs::read(at.join("whole.bed")).unwrap());
    for (file, from, to) in [("regions.bed", "6000", "6001"), ("other.fa", "A", "C"), ("genome.fa", "G", "T")]
    {
        let old = fs::read_to_string(at.join(file)).unwrap();
        fs::write(at.join(file), old.replace(from, to)).unwrap();
        shard(2);
        let message = error_line(at, "merge 1.bed 2.bed -o mixed.bed");
        assert!(message.contains("different content"), "{file}: {message}");
        assert!(!at.join("mixed.bed").exists());
        fs::write(at.join(file), old).unwrap();
    }
}

#[test]
fn compressed_genomes_are_cut_as_well() {
    let directory = simulated("20k", 2, 50);
    let at = directory.path();
    fs::write(at.join("genome.fa.gz"), gzip(&fs::read(at.join("genome.fa")).unwrap())).unwrap();
    let words = "-m motif.onnx genome.fa.gz --threshold 5";
    let want = whole(at, words, "bed");
    assert!(!want.is_empty());
    assert_eq!(merged(at, words, "bed", 3, ""), want);
    let text = fs::read(at.join("genome.fa.gz")).unwrap();
    fs::write(at.join("genome.fa.gz"), &text[..text.len() / 2]).unwrap();
    let said = error_line(at, "scan -m motif.onnx genome.fa.gz --threshold 5 --shard 1/2");
    assert!(said.contains("genome.fa.gz: cannot decompress"), "{said}");
}
