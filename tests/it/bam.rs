//! Reads as a source: every CIGAR, every filter, every route, and what is said of bad input.

use std::collections::BTreeMap;
use std::fs;
use std::path::Path;
use std::time::{Duration, SystemTime};

use crate::common::{Tagged, error_line, failure, run, run_ok, stdout, stdout_of_input, tagged};
use noodles::sam::alignment::io::Write;
use noodles::{bam, sam};
use proptest::prelude::*;
use tempfile::TempDir;

const HEADER: &str =
    "@HD\tVN:1.6\tSO:coordinate\n@SQ\tSN:chr1\tLN:2000\n@SQ\tSN:chr2\tLN:500\n@RG\tID:a\n@RG\tID:b\n";

/// The motif of the tests: 4 columns that only ACGA fits well.
const MOTIF: &str = "MEME version 4\n\nALPHABET= ACGT\n\nMOTIF m\nletter-probability matrix: alength= 4 w= 4 nsites= 20\n\
    0.97 0.01 0.01 0.01\n0.01 0.97 0.01 0.01\n0.01 0.01 0.97 0.01\n0.97 0.01 0.01 0.01\n";

/// A folder with `m.onnx`.
fn folder() -> TempDir {
    let directory = tempfile::tempdir().unwrap();
    fs::write(directory.path().join("m.meme"), MOTIF).unwrap();
    run_ok(directory.path(), "import meme m.meme -o m.onnx");
    directory
}

/// The records of SAM text as a BAM file.
fn bam_bytes(text: &str) -> Vec<u8> {
    let mut reader = sam::io::Reader::new(text.as_bytes());
    let header = reader.read_header().unwrap();
    let mut writer = bam::io::Writer::new(Vec::new());
    writer.write_header(&header).unwrap();
    for record in reader.records() {
        writer.write_alignment_record(&header, &record.unwrap()).unwrap();
    }
    writer.try_finish().unwrap();
    writer.into_inner().finish().unwrap()
}

/// Writes `x.bam` and `x.sam` of lines: name, flags, contig, position (1-based), mapping quality, CIGAR, sequence, and more.
fn write(at: &Path, records: &[&str]) {
    let mut text = HEADER.to_owned();
    for record in records {
        let fields: Vec<&str> = record.split(' ').collect();
        let (fixed, more) = fields.split_at(7);
        let quality = more.first().copied().unwrap_or("*");
        text += &format!("{}\t*\t0\t0\t{}\t{quality}", fixed[..6].join("\t"), fixed[6]);
        text += &more.iter().skip(1).map(|tag| format!("\t{tag}")).collect::<String>();
        text += "\n";
    }
    fs::write(at.join("x.sam"), &text).unwrap();
    fs::write(at.join("x.bam"), bam_bytes(&text)).unwrap();
}

/// Writes the index of `x.bam`.
fn index(at: &Path) {
    match bam::fs::index(at.join("x.bam")).unwrap() {
        bam::Index::Bai(index) => bam::bai::fs::write(at.join("x.bam.bai"), &index).unwrap(),
        bam::Index::Csi(_) => unreachable!("short contigs have a BAI"),
    }
}

/// The lines that a scan of `x.bam` gives with `words`; those of `x.sam`, and of both on standard input, are the same.
fn scan(at: &Path, words: &str) -> Vec<String> {
    let lines = stdout(at, &format!("scan -m m.onnx x.bam {words}"));
    assert_eq!(stdout(at, &format!("scan -m m.onnx x.sam {words}")), lines);
    for file in ["x.bam", "x.sam"] {
        let input = fs::read(at.join(file)).unwrap();
        assert_eq!(stdout_of_input(at, &format!("scan -m m.onnx - {words}"), &input), lines, "{file} piped");
    }
    lines.lines().map(str::to_owned).collect()
}

/// Place, block sizes and starts, strand, and start in the read, of the one site.
fn place(at: &Path, record: &str) -> String {
    write(at, &[record]);
    let lines = scan(at, "--threshold 5");
    let shown = |line: &String| {
        let columns: Vec<&str> = line.split('\t').collect();
        assert_eq!(columns.len(), 15, "{line}");
        assert_eq!((columns[6], columns[7], columns[8], columns[12]), (columns[1], columns[2], "0", "m"));
        [columns[0], columns[1], columns[2], columns[5], columns[10], columns[11], columns[14]].join(" ")
    };
    lines.iter().map(shown).collect::<Vec<_>>().join("; ")
}

#[test]
fn sites_are_lifted_through_every_operation() {
    let directory = folder();
    let at = directory.path();
    let cases = [
        ("r 0 chr1 101 60 10M TTTACGATTT", "chr1 103 107 + 4 0 3"),
        ("r 0 chr1 101 60 5=1X4= TTTACGATTT", "chr1 103 107 + 4 0 3"),
        // Strands are those of the reference, whatever the read's.
        ("r 16 chr1 101 60 10M TTTTCGTTTT", "chr1 103 107 - 4 0 3"),
        ("r 0 chr2 101 60 10M TTTACGATTT", "chr2 103 107 + 4 0 3"),
        // An insertion within the site, at its start, at its end, around it, and before it.
        ("r 0 chr1 101 60 4M2I4M TTTACGATTT", "chr1 103 105 + 2 0 3"),
        ("r 0 chr1 101 60 3M2I5M TTTACGATTT", "chr1 103 105 + 2 0 3"),
        ("r 0 chr1 101 60 6M3I1M TTTACGATTT", "chr1 103 106 + 3 0 3"),
        ("r 0 chr1 101 60 2M6I2M TTTACGATTT", "chr1 101 102 + 1 0 3"),
        ("r 0 chr1 101 60 1M2I7M TTTACGATTT", "chr1 101 105 + 4 0 3"),
        ("r 0 chr1 101 60 8I2M TTTACGATTT", "chr1 100 101 + 1 0 3"),
        // Deletions and introns.
        ("r 0 chr1 101 60 5M3D5M TTTACGATTT", "chr1 103 110 + 7 0 3"),
        ("r 0 chr1 101 60 5M90N5M TTTACGATTT", "chr1 103 197 + 2,2 0,92 3"),
        ("r 0 chr1 101 60 4M90N1M9N5M TTTACGATTT", "chr1 103 206 + 1,1,2 0,91,101 3"),
        ("r 0 chr1 101 60 3M90N7M TTTACGATTT", "chr1 193 197 + 4 0 3"),
        ("r 0 chr1 101 60 7M90N3M TTTACGATTT", "chr1 103 107 + 4 0 3"),
        ("r 0 chr1 101 60 5M1I2D90N3D4M TTTACGATTT", "chr1 103 201 + 2,1 0,97 3"),
        // Clips: the place is that of what is aligned, if the middle is.
        ("r 0 chr1 101 60 2S8M TTTACGATTT", "chr1 101 105 + 4 0 3"),
        ("r 0 chr1 101 60 4S6M TTTACGATTT", "chr1 100 103 + 3 0 3"),
        ("r 0 chr1 101 60 5S5M TTTACGATTT", "chr1 100 102 + 2 0 3"),
        ("r 0 chr1 101 60 6S4M TTTACGATTT", ""),
        ("r 0 chr1 101 60 6M4S TTTACGATTT", "chr1 103 106 + 3 0 3"),
        ("r 0 chr1 101 60 5M5S TTTACGATTT", ""),
        ("r 0 chr1 101 60 5H10M3H TTTACGATTT", "chr1 103 107 + 4 0 3"),
        ("r 0 chr1 101 60 5M1P1D1P5M TTTACGATTT", "chr1 103 108 + 5 0 3"),
        // Letters other than ACGT are N.
        ("r 0 chr1 101 60 10M TTTACRATTT", ""),
    ];
    for (record, want) in cases {
        assert_eq!(place(at, record), want, "{record}");
    }
}

#[test]
fn columns_tell_of_the_read() {
    let directory = folder();
    let at = directory.path();
    write(
        at,
        &[
            "pair 99 chr1 101 60 5M90N5M TTTACGATTT IIIIIIIIII",
            "pair 147 chr1 301 255 10M TTTACGATTT IIIIIIIIII",
            "lone 77 * 0 0 * TTTACGATTT IIIIIIIIII",
        ],
    );
    let lines = scan(at, "--threshold 5 --unmapped");
    assert_eq!(lines[0], "chr1\t103\t197\tpair/1\t1000\t+\t103\t197\t0\t2\t2,2\t0,92\tm\t7.8028765\t3");
    assert_eq!(lines[1], "chr1\t303\t307\tpair/2\t1000\t+\t303\t307\t0\t1\t4\t0\tm\t7.8028765\t3");
    assert_eq!(lines[2], "*\t3\t7\tlone/1\t1000\t+\t3\t7\t0\t1\t4\t0\tm\t7.8028765\t3");
    let tsv = scan(
        at,
        "--threshold 5 --format tsv --pvalue 0.01 --background uniform"
            .replace("--threshold 5 ", "")
            .as_str(),
    );
    assert_eq!(
        tsv[0],
        "contig\tstart\tend\tname\tstrand\tscore\tp_value\tp_source\tread\tread_start\tflags\tmapq\tblock_sizes\tblock_starts"
    );
    assert!(tsv[1].starts_with("chr1\t103\t197\tm\t+\t7.8028765\t"), "{}", tsv[1]);
    assert!(tsv[1].ends_with("\texact\tpair/1\t3\t99\t60\t2,2\t0,92"), "{}", tsv[1]);
}

#[test]
fn reads_are_chosen_and_what_is_skipped_is_counted() {
    let directory = folder();
    let at = directory.path();
    let of = |name: &str, flags: u16, quality: u8, tag: &str| {
        format!("{name} {flags} chr1 101 {quality} 10M TTTACGATTT 5555I55555{tag}")
    };
    let records = [
        of("plain", 0, 60, " RG:Z:a"),
        of("low", 0, 10, " RG:Z:b"),
        of("unknown", 0, 255, ""),
        of("secondary", 256, 60, ""),
        of("supplementary", 2048, 60, ""),
        of("failed", 512, 60, ""),
        of("duplicate", 1024, 60, " RG:Z:a"),
        of("reverse", 16, 60, ""),
        "empty 0 chr1 101 60 10M * *".to_owned(),
        "nowhere 0 chr1 101 60 * TTTACGATTT *".to_owned(),
        "beyond 0 chr1 1995 60 10M TTTACGATTT *".to_owned(),
        "short 0 chr1 1995 60 3M ACG *".to_owned(),
        "unmapped 4 * 0 0 * TTTACGATTT *".to_owned(),
    ];
    write(at, &records.iter().map(String::as_str).collect::<Vec<_>>());
    let names = |words: &str| {
        let lines = scan(at, &format!("--threshold 5 {words}"));
        let name = |line: &String| line.split('\t').nth(3).unwrap().to_owned();
        lines.iter().map(name).collect::<Vec<_>>().join(" ")
    };
    assert_eq!(names(""), "plain low unknown reverse");
    assert_eq!(names("-q 20"), "plain unknown reverse");
    assert_eq!(names("-F 0"), "plain low unknown secondary supplementary failed duplicate reverse");
    assert_eq!(names("-F 0x710"), "plain low unknown supplementary");
    assert_eq!(names("-f REVERSE"), "reverse");
    assert_eq!(names("-F 0 -f 1024"), "duplicate");
    assert_eq!(names("--read-group a"), "plain");
    assert_eq!(names("--read-group a --read-group b"), "plain low");
    assert_eq!(names("--unmapped -q 20"), "plain unknown reverse unmapped");

    let output = run(at, "scan -m m.onnx x.bam --threshold 5 -q 20");
    let said = String::from_utf8(output.stderr).unwrap();
    for words in [
        "bindscan: 4 reads, 33 bases",
        "3 sites in",
        "1 read shorter than a window (--window sets another): short",
        "skipped: 1 unmapped, 1 secondary, 1 supplementary, 1 that failed quality checks, 1 duplicate, \
            1 of lower mapping quality, 1 without a sequence, 1 without an aligned base, 1 aligned past the end",
    ] {
        assert!(said.contains(words), "{words}: {said}");
    }
    // The quality of the first base of the site that is not a 5 (20) is an I (40).
    let with_qualities: Vec<&str> = records[..8].iter().map(String::as_str).collect();
    write(at, &with_qualities);
    assert_eq!(names("--min-baseq 20"), "plain low unknown reverse");
    assert_eq!(names("--min-baseq 21"), "");
}

#[test]
fn regions_choose_the_reads_that_overlap_them_once() {
    let directory = folder();
    let at = directory.path();
    let starts = [90, 95, 100, 101, 150, 200, 201, 250, 400];
    let record = |start: &i32| format!("r{start} 0 chr1 {start} 60 10M TTTACGATTT *");
    let mut records: Vec<String> = starts.iter().map(record).collect();
    records.insert(4, "long 0 chr1 140 60 5M200N5M TTTACGATTT *".into());
    records.push("other 0 chr2 100 60 10M TTTACGATTT *".into());
    write(at, &records.iter().map(String::as_str).collect::<Vec<_>>());
    index(at);
    let names = |words: &str| {
        let text = stdout(at, &format!("scan -m m.onnx x.bam --threshold 5 {words}"));
        text.lines().map(|line| line.split('\t').nth(3).unwrap().to_owned()).collect::<Vec<_>>().join(" ")
    };
    assert_eq!(names("-r chr1:105-200"), "r100 r101 long r150 r200");
    // One base earlier the read that ends there overlaps.
    assert_eq!(names("-r chr1:104-199"), "r95 r100 r101 long r150");
    assert_eq!(names("-r chr1:100-101 -r chr1:200-205 -r chr2"), "r95 r100 r101 long r200 r201 other");
    assert_eq!(names("-r chr2 -r chr1:405-405"), "r400 other");
    assert_eq!(names("-r chr1:1000-2000"), "");
    // Values of positions outside the region would lack the reads that lie there.
    let track = stdout(at, "scan -m m.onnx x.bam --aggregate max -r chr1:104-105");
    assert_eq!(track.lines().count(), 2, "{track}");

    let old = SystemTime::now() - Duration::from_secs(1000);
    fs::File::options().write(true).open(at.join("x.bam.bai")).unwrap().set_modified(old).unwrap();
    let words = "scan -m m.onnx x.bam --threshold 5 -r chr1:1-10";
    assert!(error_line(at, words).contains("x.bam.bai: the index is older than the file"));
    fs::write(at.join("x.bam.bai"), b"nonsense").unwrap();
    assert!(error_line(at, words).contains("x.bam.bai: the index is damaged"));
    // Contigs, bins and chunks by the billion, of which nothing is there.
    for counts in [[u32::MAX >> 1, 0, 0], [1, u32::MAX >> 1, 0], [1, 1, 4681]] {
        let mut index = b"BAI\x01".to_vec();
        counts.iter().chain(&[u32::MAX >> 1; 8]).for_each(|count| index.extend(count.to_le_bytes()));
        fs::write(at.join("x.bam.bai"), index).unwrap();
        assert!(error_line(at, words).contains("x.bam.bai: the index is damaged"), "{counts:?}");
    }
    fs::remove_file(at.join("x.bam.bai")).unwrap();
    assert!(error_line(at, words).contains("x.bam: regions need an index"));
    assert!(error_line(at, &words.replace("x.bam", "x.sam")).contains("regions of reads need an index"));
}

#[test]
fn reads_whose_bases_are_those_of_a_reference_are_counted() {
    let directory = folder();
    let at = directory.path();
    write(
        at,
        &[
            "a 0 chr1 101 60 10M TTTACGATTT *",
            "b 0 chr1 101 60 10M ==TACGATT= *",
            "c 0 chr1 101 60 9M TTTACGAT= *",
        ],
    );
    let output = run(at, "scan -m m.onnx x.bam --threshold -99");
    let said = String::from_utf8(output.stderr).unwrap();
    assert!(said.contains("skipped: 2 with = for bases of the reference"), "{said}");
    let sites = String::from_utf8(output.stdout).unwrap();
    assert!(
        sites.lines().count() > 0 && sites.lines().all(|line| line.split('\t').nth(3) == Some("a")),
        "{sites}"
    );
}

#[test]
fn bad_input_is_told_in_one_line() {
    let directory = folder();
    let at = directory.path();
    let plain = "r 0 chr1 101 60 10M TTTACGATTT IIIIIIIIII";
    write(at, &[plain; 300]);
    let whole = fs::read(at.join("x.bam")).unwrap();
    let says = |words: &str, message: &str| {
        let words = format!("scan -m m.onnx {words}");
        let error = error_line(at, &words);
        assert!(error.contains(message), "{words}: {error}");
    };
    let file = |name: &str, bytes: &[u8]| fs::write(at.join(name), bytes).unwrap();
    file("no_end.bam", &whole[..whole.len() - 28]);
    file("cut.bam", &whole[..whole.len() / 2]);
    let mut broken = whole.clone();
    broken[whole.len() / 2] ^= 0xff;
    file("broken.bam", &broken);
    index(at);
    let th = "--threshold 5";
    says(&format!("no_end.bam {th}"), "no_end.bam: the end-of-file block of BGZF is missing");
    says(&format!("cut.bam {th} -o x.bed"), "cut.bam: the end-of-file block of BGZF is missing");
    says(&format!("broken.bam {th}"), "broken.bam: cannot decompress");
    says(&format!("x.bam {th} -r chr9:1-10"), "did you mean chr1 or chr2?");
    says(&format!("x.bam {th} -r chr2:1-501"), "chr2, which has 500 bases");
    says(&format!("x.bam {th} --read-group c"), "no read group c in the header; it has a, b");
    says(&format!("x.bam {th} -o x.narrowPeak"), "written as BED or TSV, not as narrowpeak");
    says("x.bam -o x.bw", "--aggregate max, mean or count");
    says(&format!("x.bam {th} --aggregate count --sparse -o x.bw"), "has no effect with --aggregate count");
    says(&format!("x.bam {th} --aggregate max -o x.bed"), "--aggregate is for tracks of scores");
    says(&format!("x.bam {th} --unmapped -o x.bed.gz"), "cannot be indexed");
    says("x.bam --pvalue 0.01", "--background");
    for option in ["--shard 1/2", "--resume", "--mask-lowercase", "--report x.html"] {
        says(&format!("x.bam {th} -o x.bed {option}"), "is for genomes, and x.bam holds reads");
    }
    says("x.bam --qvalue 0.1", "--qvalue is for genomes");
    for option in
        ["-q 3", "-f 1", "-F 1", "--min-baseq 3", "--unmapped", "--read-group a", "--aggregate max -o x.bw"]
    {
        says(
            &format!("m.meme {th} {option}").replace("--threshold 5 --aggregate", "--aggregate"),
            "is for reads, and m.meme is",
        );
    }
    assert!(!at.join("x.bed").exists());

    // Piped, the end is only seen when it comes.
    for (name, message) in [("no_end.bam", "-: the end-of-file block"), ("cut.bam", "-: it ends within")] {
        let input = fs::File::open(at.join(name)).unwrap();
        let words = ["scan", "-m", "m.onnx", "-", "--threshold", "5", "-o", "y.bed"];
        let output = crate::common::bindscan(words).current_dir(at).stdin(input).output().unwrap();
        assert!(failure(output, name, 1).contains(message));
        assert!(!at.join("y.bed").exists());
    }

    write(at, &["r 0 chr1 201 60 10M TTTACGATTT *", "s 0 chr1 101 60 10M TTTACGATTT *"]);
    says(&format!("x.bam {th}"), "record 2 is before its predecessor");
    let unsaid = HEADER.replace("\tSO:coordinate", "")
        + "r\t0\tchr1\t201\t60\t10M\t*\t0\t0\tTTTACGATTT\t*\ns\t0\tchr1\t101\t60\t10M\t*\t0\t0\tTTTACGATTT\t*\n";
    file("unsaid.sam", unsaid.as_bytes());
    // In the order of the reads, if nobody needs another one.
    let lines = stdout(at, "scan -m m.onnx unsaid.sam --threshold 5");
    assert!(lines.starts_with("chr1\t203\t"), "{lines}");
    says("unsaid.sam --threshold 5 -o x.bed.gz", "sort them with samtools sort");
    says("unsaid.sam --aggregate mean", "sort them with samtools sort");

    write(at, &["r 0 chr1 201 60 10M TTTACGATTT *"]);
    says(&format!("x.bam {th} --min-baseq 3"), "record 1 (r): it has no base qualities");
    file("wrong.sam", format!("{HEADER}r\t0\tchr1\tx\t60\t10M\t*\t0\t0\tTTTACGATTT\t*\n").as_bytes());
    says(&format!("wrong.sam {th}"), "record 1 is no line of SAM");
    file("unknown.sam", format!("{HEADER}r\t0\tchr9\t1\t60\t10M\t*\t0\t0\tTTTACGATTT\t*\n").as_bytes());
    says(&format!("unknown.sam {th}"), "record 1 is no line of SAM");
    file("plain.bam", b"BAM\x01\0\0\0\0\0\0\0\0 and so on");
    says(&format!("plain.bam {th}"), "not compressed");
}

#[test]
fn reads_come_out_as_they_came_with_their_best_windows_in_tags() {
    let directory = folder();
    let at = directory.path();
    write(
        at,
        &[
            "best 0 chr1 101 60 10M TTTACGATTT IIIIIIIIII RG:Z:a ys:i:7 NM:i:3 yd:Z:old",
            "reverse 16 chr1 102 60 10M TTTTCGTTTT *",
            // Clipped, so that no site has a place; the first of equals counts.
            "clipped 0 chr1 103 60 8S2M ACGAACGATT *",
            "duplicate 1024 chr1 104 60 10M TTTACGATTT * yo:i:1 RG:Z:b",
            "short 0 chr1 105 60 3M ACG *",
            "unmapped 4 * 0 0 * TTTACGATTT *",
        ],
    );
    run_ok(at, "scan -m m.onnx x.bam -o tagged.bam");
    let bytes = fs::read(at.join("tagged.bam")).unwrap();
    let (records, header) = tagged(&bytes);
    let shown: Vec<String> =
        records.iter().map(|Tagged { name, tags, .. }| format!("{name} {tags}")).collect();
    assert_eq!(
        shown,
        [
            "best RG:Z:a\tNM:i:3\tys:f:7.8028765\tyo:i:3\tyd:A:+",
            "reverse ys:f:7.8028765\tyo:i:3\tyd:A:-",
            "clipped ys:f:7.8028765\tyo:i:0\tyd:A:+",
            "duplicate RG:Z:b",
            "short ",
            "unmapped ",
        ]
    );
    assert!(header.starts_with(HEADER), "{header}");
    assert!(
        header.contains("@PG\tID:bindscan\tPN:bindscan\t") && header.contains("best window of m: ys score")
    );
    // By every route, and all that is not a tag is as it was.
    assert_eq!(tagged(&fs::read(at.join("x.bam")).unwrap()).0.len(), records.len());
    for words in ["x.sam", "x.bam -t 3 --chunk-size 1", "x.bam --threshold 5 -o x.bed"] {
        run_ok(at, &format!("scan -m m.onnx {words} -o again.bam"));
        let (others, _) = tagged(&fs::read(at.join("again.bam")).unwrap());
        assert_eq!(others, records, "{words}");
    }
    // Once more: tags are replaced, and another program is in the header.
    run_ok(at, "scan -m m.onnx tagged.bam --min-baseq 0 --unmapped -o again.bam");
    let (others, header) = tagged(&fs::read(at.join("again.bam")).unwrap());
    assert_eq!(others[..5], records[..5]);
    assert_eq!(others[5].tags, "ys:f:7.8028765\tyo:i:3\tyd:A:+");
    assert!(header.contains("@PG\tID:bindscan.1\tPN:bindscan\tPP:bindscan\t"), "{header}");
    // Of regions, the reads that overlap.
    index(at);
    run_ok(at, "scan -m m.onnx x.bam -r chr1:111-111 -o again.bam");
    let (others, _) = tagged(&fs::read(at.join("again.bam")).unwrap());
    let names: Vec<&str> = others.iter().map(|record| &*record.name).collect();
    assert_eq!(names, ["reverse"]);
    assert_eq!(others[0], records[1]);

    let says = |words: &str, message: &str| {
        let error = error_line(at, &format!("scan {words}"));
        assert!(error.contains(message), "{words}: {error}");
        assert!(!at.join("y.bam").exists());
    };
    fs::write(at.join("x.fa"), ">a\nACGAACGA\n").unwrap();
    fs::write(at.join("n.meme"), MOTIF.replace("MOTIF m", "MOTIF n")).unwrap();
    run_ok(at, "import meme n.meme -o n.onnx");
    says("-m m.onnx x.fa -o y.bam", "BAM is written of reads, and x.fa holds none");
    says("-m m.onnx -m n.onnx x.bam -o y.bam", "put {name} into its name");
    says("-m m.onnx x.bam -o y.bam.gz", "compressed by itself");
    run_ok(at, "scan -m m.onnx -m n.onnx x.bam -o y.{name}.bam");
    assert_eq!(tagged(&fs::read(at.join("y.n.bam")).unwrap()).0, records);
    let mut whole = fs::read(at.join("x.bam")).unwrap();
    whole.truncate(whole.len() - 30);
    fs::write(at.join("x.bam"), whole).unwrap();
    says("-m m.onnx x.bam -o y.bam", "end-of-file block");
}

/// A read of a test: start, operations, letters.
type Random = (u64, Vec<(usize, char)>, String);

fn reads() -> impl Strategy<Value = Vec<Random>> {
    let operations =
        prop::collection::vec((1usize..9, prop::sample::select(vec!['M', 'I', 'D', 'N', '=', 'X'])), 1..7);
    let read =
        (0u64..1500, 0usize..5, operations, 0usize..5).prop_flat_map(|(start, left, operations, right)| {
            let mut all = vec![(left, 'S')];
            all.extend(operations);
            all.extend([(7, 'M'), (right, 'S')]);
            all.retain(|(length, _)| *length > 0);
            let bases: usize =
                all.iter().filter(|(_, kind)| !"DN".contains(*kind)).map(|(length, _)| length).sum();
            prop::collection::vec(prop::sample::select(vec!["A", "C", "G", "T", "ACGA", "TCGT"]), bases)
                .prop_map(move |letters| (start, all.clone(), letters.concat()[..bases].to_owned()))
        });
    prop::collection::vec(read, 1..40)
}

/// The place of each base, by the rules as they are written down.
fn places((start, operations, letters): &Random) -> Vec<Option<u64>> {
    let (mut place, mut all) = (*start, Vec::new());
    let first = operations.iter().take_while(|(_, kind)| !"M=X".contains(*kind));
    let gap: usize = first.filter(|(_, kind)| "DN".contains(*kind)).map(|(length, _)| length).sum();
    let mut last = start + gap as u64;
    for &(length, kind) in operations {
        for _ in 0..length {
            match kind {
                'S' => all.push(None),
                'I' => all.push(Some(last)),
                'D' | 'N' => place += 1,
                _ => {
                    all.push(Some(place));
                    last = place;
                    place += 1;
                }
            }
        }
    }
    assert_eq!(all.len(), letters.len());
    all
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(12))]

    #[test]
    fn any_threads_and_batches_give_the_same_and_what_each_read_gives_by_itself(mut reads in reads()) {
        let directory = folder();
        let at = directory.path();
        reads.sort_by_key(|read| read.0);
        let (mut records, mut fasta) = (Vec::new(), String::new());
        for (i, (start, operations, letters)) in reads.iter().enumerate() {
            let cigar: String = operations.iter().map(|(length, kind)| format!("{length}{kind}")).collect();
            records.push(format!("r{i} 0 chr1 {} 60 {cigar} {letters} *", start + 1));
            fasta += &format!(">r{i}\n{letters}\n");
        }
        write(at, &records.iter().map(String::as_str).collect::<Vec<_>>());
        fs::write(at.join("x.fa"), fasta).unwrap();
        let words = "--threshold 2 -o x.bed -o x.bed.gz -o x.tsv --aggregate max -o x.bedGraph -o x.bw --bin-size 3 -o y.bam";
        let files = ["x.bed", "x.bed.gz", "x.tsv", "x.bedGraph", "x.bw", "y.bam"];
        let bytes = |words: &str| {
            run_ok(at, &format!("scan -m m.onnx x.bam {words}"));
            files.map(|file| fs::read(at.join(file)).unwrap())
        };
        let one = bytes(&format!("{words} -t 1"));
        for more in ["-t 1 --chunk-size 1", "-t 3 --chunk-size 50", "-t 2 --chunk-size 7"] {
            prop_assert!(bytes(&format!("{words} {more}")) == one, "{}", more);
        }

        // Sites are those of the reads as sequences, where their middle has a place.
        let all: Vec<Vec<Option<u64>>> = reads.iter().map(places).collect();
        let read_of = |name: &str| name[1..].parse::<usize>().unwrap();
        let sequences = stdout(at, "scan -m m.onnx x.fa --threshold 2");
        let mut want = Vec::new();
        for line in sequences.lines() {
            let columns: Vec<&str> = line.split('\t').collect();
            let start: usize = columns[1].parse().unwrap();
            if all[read_of(columns[0])][start + 2].is_some() {
                want.push((columns[0].to_owned(), start, columns[5].to_owned(), columns[6].to_owned()));
            }
        }
        let mut have = Vec::new();
        let mut last = (0, 0);
        for line in String::from_utf8_lossy(&one[0]).lines() {
            let columns: Vec<&str> = line.split('\t').collect();
            let place: (u64, u64) = (columns[1].parse().unwrap(), columns[2].parse().unwrap());
            prop_assert!(last <= place, "{line} is out of order");
            last = place;
            have.push((columns[3].to_owned(), columns[14].parse().unwrap(), columns[5].to_owned(), columns[13].to_owned()));
        }
        want.sort();
        have.sort();
        prop_assert_eq!(have, want);

        // Tags have the best window of the sequence.
        let mut best: BTreeMap<String, (f64, u64, String)> = BTreeMap::new();
        for line in stdout(at, "scan -m m.onnx x.fa --all --format tsv").lines().skip(1) {
            let columns: Vec<&str> = line.split('\t').collect();
            let (score, start) = (columns[5].parse().unwrap(), columns[1].parse().unwrap());
            let entry = best.entry(columns[0].to_owned()).or_insert((f64::MIN, 0, String::new()));
            if score > entry.0 {
                *entry = (score, start, columns[4].to_owned());
            }
        }
        for Tagged { name, tags, .. } in tagged(&one[5]).0 {
            let values: Vec<&str> = tags.split('\t').map(|tag| &tag[5..]).collect();
            let (score, start, strand) = &best[&name];
            prop_assert!((values[0].parse::<f64>().unwrap() - score).abs() < 2e-6, "{}: {}", name, tags);
            prop_assert_eq!(&values[1..], [start.to_string(), strand.clone()]);
        }

        // Tracks show the best, the mean, and the number of the windows that stand in a bin.
        for (how, more) in [("max", ""), ("mean", ""), ("count", "--threshold 2")] {
            let windows = stdout(at, "scan -m m.onnx x.fa --all --format tsv");
            let mut bins: BTreeMap<u64, Vec<f64>> = BTreeMap::new();
            for line in windows.lines().skip(1) {
                let columns: Vec<&str> = line.split('\t').collect();
                let score: f64 = columns[5].parse().unwrap();
                let centre = columns[1].parse::<usize>().unwrap() + 2;
                if let Some(place) = all[read_of(columns[0])][centre]
                    && (how != "count" || score >= 2.0)
                {
                    bins.entry(place / 3).or_default().push(score);
                }
            }
            let track = stdout(at, &format!("scan -m m.onnx x.bam --aggregate {how} {more} --bin-size 3"));
            prop_assert_eq!(track.lines().count(), bins.len());
            // A sparse one is what of it reaches the threshold.
            if how != "count" {
                let value = |line: &str| line.split('\t').nth(3).unwrap().parse::<f64>().unwrap();
                let sparse = stdout(
                    at,
                    &format!("scan -m m.onnx x.bam --aggregate {how} --sparse --threshold 1 --bin-size 3"),
                );
                let want: Vec<&str> = track.lines().filter(|line| value(line) >= 1.0).collect();
                prop_assert_eq!(sparse.lines().collect::<Vec<_>>(), want);
            }
            for (line, (bin, scores)) in track.lines().zip(bins) {
                let columns: Vec<&str> = line.split('\t').collect();
                prop_assert_eq!(columns[1].parse::<u64>().unwrap(), 3 * bin);
                let value: f64 = columns[3].parse().unwrap();
                let want = match how {
                    "max" => scores.iter().copied().fold(f64::MIN, f64::max),
                    "mean" => scores.iter().sum::<f64>() / scores.len() as f64,
                    _ => scores.len() as f64,
                };
                prop_assert!((value - want).abs() < 2e-6, "{}: {} {}", line, how, want);
            }
        }
    }
}

#[test]
fn real_reads_give_the_same_by_every_route() {
    let Some(file) = crate::common::shared_data("bam/HG002_hifi_grch38_chr20_9mb.bam") else { return };
    let directory = folder();
    let at = directory.path();
    let file = file.display();
    let words = "--threshold 6 --format tsv --quiet";
    let whole = stdout(at, &format!("scan -m m.onnx {file} -t 1 {words}"));
    assert!(whole.lines().count() > 1000);
    assert_eq!(stdout(at, &format!("scan -m m.onnx {file} -t 3 --chunk-size 9999 {words}")), whole);
    for (name, words) in [("a.bam", "-t 1"), ("b.bam", "-t 3 --chunk-size 9999")] {
        run_ok(at, &format!("scan -m m.onnx {file} {words} -o {name} --quiet"));
    }
    let [one, other] = ["a.bam", "b.bam"].map(|name| fs::read(at.join(name)).unwrap());
    assert!(one == other && tagged(&one).0.len() > 300);
    let bytes = fs::read(file.to_string()).unwrap();
    assert_eq!(stdout_of_input(at, &format!("scan -m m.onnx - -t 2 {words}"), &bytes), whole);
}
