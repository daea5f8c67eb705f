//! Tracks in every format, read back.

use std::collections::HashMap;
use std::fs;
use std::io::{BufRead, Read};
use std::path::Path;

use crate::common::network::word_network;
use crate::common::{error_line, gzip, run_ok, simulated};
use bindscan::track::bigwig::{Reader, Values};
use flate2::read::ZlibDecoder;
use noodles::core::Region;
use noodles::csi::BinningIndex;
use noodles::{bgzf, csi, tabix};

/// Contig, start, end and value.
type Stretch = (String, u64, u64, f32);

fn bedgraph(text: &str) -> Vec<Stretch> {
    let stretch = |line: &str| {
        let fields: Vec<&str> = line.split('\t').collect();
        let number = |i: usize| fields[i].parse::<u64>().unwrap();
        (fields[0].to_owned(), number(1), number(2), fields[3].parse().unwrap())
    };
    text.lines().filter(|line| !line.starts_with('#')).map(stretch).collect()
}

fn bigwig(path: &Path) -> Vec<Stretch> {
    let (mut reader, mut values, mut found) = (Reader::open(path).unwrap(), Values::default(), Vec::new());
    while reader.read(&mut values).unwrap() {
        let contig = &reader.contigs()[values.contig];
        let named = |&(start, end, value): &(u64, u64, f32)| (contig.name.clone(), start, end, value);
        found.extend(values.stretches.iter().map(named));
    }
    found
}

/// The same values at the same bases; neighbours of one value may be one stretch in `found`.
fn assert_same_values(found: &[Stretch], want: &[Stretch], what: &str) {
    let mut want = want.iter();
    for (contig, start, end, value) in found {
        let mut at = *start;
        while at < *end {
            let next = want.next().unwrap_or_else(|| panic!("{what}: {contig}:{at} is not wanted"));
            assert_eq!((&next.0, next.1), (contig, at), "{what}");
            assert!((next.3 - value).abs() <= 1e-6 * value.abs().max(1.0), "{what}: {contig}:{at}");
            at = next.2;
        }
        assert_eq!(at, *end, "{what}");
    }
    assert_eq!(want.next(), None, "{what}");
}

#[test]
fn a_bigwig_has_the_values_of_the_bedgraph_and_the_same_bytes_however_it_is_read() {
    let directory = simulated("120k", 3, 100);
    let at = directory.path();
    let mut genome = fs::read(at.join("genome.fa")).unwrap();
    genome[30_000..36_000].iter_mut().filter(|byte| **byte != b'\n').for_each(|byte| *byte = b'N');
    fs::write(at.join("genome.fa"), &genome).unwrap();
    fs::write(at.join("genome.fa.gz"), gzip(&genome)).unwrap();
    fs::write(
        at.join("regions.bed"),
        "sim1\t100\t9000\nsim1\t9020\t20000\nsim3\t4\t5000\nsim3\t5003\t39000\n",
    )
    .unwrap();
    for options in [
        "",
        "--bin-size 10",
        "--bin-size 7 --stride 3 --summary mean",
        "--bin-size 7 --stride 10",
        "--bin-size 100000 --summary mean",
        "--strand + -R regions.bed",
        "--bin-size 25 -R regions.bed",
        "-r sim2:5000-6000",
    ] {
        let scan = format!("scan -m motif.onnx {options}");
        run_ok(at, &format!("{scan} genome.fa -o a.bw -o a.bedGraph"));
        let want = bedgraph(&fs::read_to_string(at.join("a.bedGraph")).unwrap());
        assert!(!want.is_empty());
        assert_same_values(&bigwig(&at.join("a.bw")), &want, options);
        let bytes = fs::read(at.join("a.bw")).unwrap();
        for route in
            ["genome.fa -t 3 --chunk-size 97", "genome.fa -t 2 --chunk-size 5000", "genome.fa.gz -t 1"]
        {
            run_ok(at, &format!("{scan} {route} -o b.bw"));
            let again = fs::read(at.join("b.bw")).unwrap();
            // On a stream, contigs after the last region are never met.
            if !(route.contains("gz") && options.contains("-r ")) {
                assert!(again == bytes, "{options} {route}");
            }
        }
    }
    // The length of a contig is known even if only a part of it is wanted.
    run_ok(at, "scan -m motif.onnx genome.fa.gz -r sim2:5000-6000 -o b.bw --header");
    let reader = Reader::open(&at.join("b.bw")).unwrap();
    let contigs: Vec<_> =
        reader.contigs().iter().map(|contig| (contig.name.as_str(), contig.length)).collect();
    assert_eq!(contigs, [("sim1", Some(40_000)), ("sim2", Some(40_000))]);
    assert!(reader.comments().contains("# command: bindscan scan"), "{}", reader.comments());
}

#[test]
fn a_sparse_track_is_what_reaches_the_threshold_of_the_whole_one() {
    let directory = simulated("120k", 3, 100);
    let at = directory.path();
    let network = word_network(&[("CACGTGAC", 1.0), ("GGGAAATT", 2.0)]);
    network.save(at.join("words.onnx")).unwrap();
    let mut shown = 0;
    for (model, threshold, tracks, options) in [
        ("motif.onnx", 4.0, "a", ""),
        ("motif.onnx", 2.0, "a.{strand}", "--bin-size 10"),
        ("motif.onnx", 3.0, "a", "--bin-size 7 --stride 3 -r sim1:100-9000 -r sim3"),
        ("words.onnx", 6.0, "a.{name}", ""),
        ("words.onnx", 5.0, "a.{name}.{strand}", "--bin-size 25"),
        ("words.onnx", 5.0, "a.{name}", "--bin-size 7 --stride 10"),
        ("words.onnx", 3.5, "a.{name}", "--bin-size 12 --summary mean"),
    ] {
        let scan = format!("scan -m {model} {options} genome.fa -o {tracks}.bedGraph -o {tracks}.bw");
        run_ok(at, &scan);
        let files = || {
            let named = |entry: fs::DirEntry| entry.file_name().into_string().unwrap();
            let names = fs::read_dir(at).unwrap().map(|entry| named(entry.unwrap()));
            names.filter(|name| name.starts_with("a.")).collect::<Vec<_>>()
        };
        let all = files();
        let read = |name: &String| {
            let path = at.join(name);
            if name.ends_with("bw") { bigwig(&path) } else { bedgraph(&fs::read_to_string(path).unwrap()) }
        };
        let reaches = |stretch: &Stretch| stretch.3 >= threshold;
        let want: Vec<Vec<Stretch>> =
            all.iter().map(|name| read(name).into_iter().filter(reaches).collect()).collect();
        let mut first = Vec::new();
        for route in ["-t 1", "-t 3 --chunk-size 97"] {
            run_ok(at, &format!("{scan} --threshold {threshold} --sparse {route}"));
            for (name, want) in all.iter().zip(&want) {
                let found = read(name);
                assert_same_values(
                    &by_base(found),
                    &by_base(want.clone()),
                    &format!("{scan} {route}: {name}"),
                );
                shown += want.len();
            }
            let bytes: Vec<_> = all.iter().map(|name| fs::read(at.join(name)).unwrap()).collect();
            first = if first.is_empty() { bytes.clone() } else { first };
            assert!(first == bytes, "{scan} {route}");
        }
        all.iter().for_each(|name| fs::remove_file(at.join(name)).unwrap());
    }
    assert!(shown > 1000);
    let shards: Vec<String> = (1..=3).map(|i| format!("{i}.bw")).collect();
    for (i, shard) in shards.iter().enumerate() {
        let number = i + 1;
        run_ok(
            at,
            &format!("scan -m motif.onnx genome.fa --threshold 2 --sparse --shard {number}/3 -o {shard}"),
        );
    }
    run_ok(at, "scan -m motif.onnx genome.fa --threshold 2 --sparse -o whole.bw");
    run_ok(at, &format!("merge {} -o merged.bw", shards.join(" ")));
    assert!(fs::read(at.join("merged.bw")).unwrap() == fs::read(at.join("whole.bw")).unwrap());

    let scan = "scan -m motif.onnx genome.fa --sparse";
    assert!(error_line(at, &format!("{scan} --threshold 3 -o a.bed")).contains("tracks of scores"));
}

/// Each value in stretches of one base.
fn by_base(stretches: Vec<Stretch>) -> Vec<Stretch> {
    let bases = |(contig, start, end, value): Stretch| {
        (start..end).map(move |at| (contig.clone(), at, at + 1, value))
    };
    stretches.into_iter().flat_map(bases).collect()
}

/// Everything in a bigBed, found through its index: the columns' names, and each item as a line of BED.
fn bigbed(path: &Path) -> (Vec<String>, Vec<String>) {
    let bytes = fs::read(path).unwrap();
    let u16_at = |at: usize| usize::from(u16::from_le_bytes(bytes[at..at + 2].try_into().unwrap()));
    let u32_at = |at: usize| u32::from_le_bytes(bytes[at..at + 4].try_into().unwrap());
    let u64_at = |at: usize| u64::from_le_bytes(bytes[at..at + 8].try_into().unwrap()) as usize;
    let text_at = |at: usize| {
        let end = at + bytes[at..].iter().position(|&byte| byte == 0).unwrap();
        String::from_utf8(bytes[at..end].to_vec()).unwrap()
    };
    assert_eq!((u32_at(0), u16_at(4), u16_at(34)), (0x8789_F2EB, 4, 6));
    let (contig_tree, data, index) = (u64_at(8), u64_at(16), u64_at(24));
    let longest = u32_at(52) as usize;
    let column = |line: &str| line.split(';').next().unwrap().split(' ').nth(1).map(str::to_owned);
    let auto_sql = text_at(u64_at(36));
    let columns: Vec<String> =
        auto_sql.lines().filter(|line| line.contains(';')).filter_map(column).collect();
    assert_eq!(columns.len(), u16_at(32));

    let key = u32_at(contig_tree + 8) as usize;
    let mut names = HashMap::new();
    let mut nodes = vec![contig_tree + 32];
    while let Some(node) = nodes.pop() {
        for item in (0..u16_at(node + 2)).map(|item| node + 4 + item * (key + 8)) {
            if bytes[node] == 0 {
                nodes.push(u64_at(item + key));
            } else {
                let name = String::from_utf8(bytes[item..item + key].to_vec()).unwrap();
                names.insert(u32_at(item + key), name.trim_end_matches('\0').to_owned());
            }
        }
    }
    assert_eq!(names.len(), u64_at(contig_tree + 16));

    let (mut lines, mut last) = (Vec::new(), (0, 0));
    let mut nodes = vec![(index + 48, (0, 0), (u32::MAX, u32::MAX))];
    while let Some((node, from, to)) = nodes.pop() {
        let leaf = bytes[node] == 1;
        let items = (0..u16_at(node + 2)).map(|item| node + 4 + item * if leaf { 32 } else { 24 });
        for item in items.rev() {
            let (start, end) = ((u32_at(item), u32_at(item + 4)), (u32_at(item + 8), u32_at(item + 12)));
            assert!(start >= from && end <= to && start < end);
            nodes.extend((!leaf).then(|| (u64_at(item + 16), start, end)));
        }
        let items = (0..u16_at(node + 2)).map(|item| node + 4 + item * 32).filter(|_| leaf);
        for item in items {
            let (start, end) = ((u32_at(item), u32_at(item + 4)), (u32_at(item + 8), u32_at(item + 12)));
            let packed = &bytes[u64_at(item + 16)..][..u64_at(item + 24)];
            let mut block = Vec::new();
            ZlibDecoder::new(packed).read_to_end(&mut block).unwrap();
            assert!(block.len() <= longest);
            let mut rest = block.as_slice();
            while !rest.is_empty() {
                let number = |at: usize| u32::from_le_bytes(rest[at..at + 4].try_into().unwrap());
                let (contig, first, past) = (number(0), number(4), number(8));
                assert!((contig, first) >= start.max(last) && (contig, past) <= end);
                last = (contig, first);
                let zero = rest.iter().skip(12).position(|&byte| byte == 0).unwrap();
                let text = std::str::from_utf8(&rest[12..12 + zero]).unwrap();
                lines.push(format!("{}\t{first}\t{past}\t{text}", names[&contig]));
                rest = &rest[13 + zero..];
            }
        }
    }
    assert_eq!(lines.len(), u64_at(data));
    (columns, lines)
}

#[test]
fn a_bigbed_has_the_lines_of_the_bed() {
    let directory = simulated("300k", 3, 100);
    let at = directory.path();
    for (options, columns, count) in [
        ("-m motif.onnx --all", 7, 250_000),
        ("-m motif.onnx -m ELK1 --threshold 2 --overlaps keep", 7, 500),
        ("-m motif.onnx --pvalue 1e-3", 9, 100),
        ("-m motif.onnx --qvalue 0.1", 10, 10),
        ("-m motif.onnx --threshold 500", 7, 0),
    ] {
        run_ok(at, &format!("scan {options} genome.fa -o a.bb -o a.bed --header"));
        let bed = fs::read_to_string(at.join("a.bed")).unwrap();
        let want: Vec<&str> = bed.lines().filter(|line| !line.starts_with('#')).collect();
        let (names, lines) = bigbed(&at.join("a.bb"));
        assert_eq!(names.len(), columns, "{names:?}");
        assert_eq!(names[..7].join(" "), "chrom chromStart chromEnd name score strand rawScore");
        assert!(lines == want && want.len() >= count, "{options}: {} of {}", lines.len(), want.len());
        run_ok(at, &format!("scan {options} genome.fa -t 3 --chunk-size 500 -o b.bb --header"));
        assert!(fs::read(at.join("a.bb")).unwrap() == fs::read(at.join("b.bb")).unwrap());
    }
    let said = error_line(at, "scan -m motif.onnx genome.fa --all --shard 1/2 -o 1.bb");
    assert!(said.contains("1.bb: shards of bigBed cannot be merged"), "{said}");
}

#[test]
fn more_contigs_than_sixteen_bits_count_and_names_in_any_order() {
    let directory = simulated("20k", 1, 5);
    let at = directory.path();
    let name = |i: usize| {
        format!(
            "c{}{}",
            i * 7_919 % 70_000,
            if i.is_multiple_of(1_000) { "_long".repeat(5) } else { String::new() }
        )
    };
    let sequence = |i: usize| {
        if i.is_multiple_of(3) { "ACG".to_owned() } else { "ACGTTGCATGCCAGATGGCGC".repeat(1 + i % 2) }
    };
    let genome: String = (0..70_000).map(|i| format!(">{}\n{}\n", name(i), sequence(i))).collect();
    fs::write(at.join("genome.fa"), genome).unwrap();
    run_ok(at, "scan -m motif.onnx genome.fa -o a.bw -o a.bedGraph -o a.bedGraph.gz");
    let reader = Reader::open(&at.join("a.bw")).unwrap();
    assert_eq!(reader.contigs().len(), 70_000);
    for (i, contig) in reader.contigs().iter().enumerate() {
        assert_eq!((&contig.name, contig.length), (&name(i), Some(sequence(i).len() as u64)));
    }
    let want = bedgraph(&fs::read_to_string(at.join("a.bedGraph")).unwrap());
    assert!(want.len() > 500_000);
    assert_same_values(&bigwig(&at.join("a.bw")), &want, "70,000 contigs");
    let index = tabix::fs::read(at.join("a.bedGraph.gz.tbi")).unwrap();
    assert_eq!(index.header().unwrap().reference_sequence_names().len(), 70_000 - 70_000usize.div_ceil(3));
}

#[test]
fn a_scan_that_finds_nothing_gives_whole_files() {
    let directory = simulated("20k", 1, 5);
    let at = directory.path();
    fs::write(at.join("short.fa"), ">b\nACGT\n>a\nAC\n").unwrap();
    run_ok(at, "scan -m motif.onnx short.fa --all -o a.bw -o a.bed.gz -o a.bedGraph.gz");
    let mut reader = Reader::open(&at.join("a.bw")).unwrap();
    assert_eq!(reader.contigs().iter().map(|contig| contig.name.as_str()).collect::<Vec<_>>(), ["b", "a"]);
    assert!(!reader.read(&mut Values::default()).unwrap());
    for file in ["a.bed.gz", "a.bedGraph.gz"] {
        assert_eq!(decompressed(&at.join(file)), b"");
        assert!(tabix::fs::read(at.join(format!("{file}.tbi"))).unwrap().header().is_some());
    }
}

fn decompressed(path: &Path) -> Vec<u8> {
    let mut text = Vec::new();
    bgzf::io::Reader::new(fs::File::open(path).unwrap()).read_to_end(&mut text).unwrap();
    text
}

#[test]
fn compressed_tracks_are_the_plain_ones_and_their_index_finds_every_line() {
    let directory = simulated("300k", 3, 300);
    let at = directory.path();
    let formats = ["bed", "tsv", "narrowPeak", "gff3", "bedGraph"];
    let outputs: String = formats.iter().map(|f| format!(" -o a.{f} -o a.{f}.gz -o b.{f}.gz")).collect();
    run_ok(
        at,
        &format!("scan -m motif.onnx genome.fa --all --stride 2 --header -t 3 --chunk-size 777{outputs}"),
    );
    let again: String = formats.iter().map(|f| format!(" -o c.{f}.gz")).collect();
    run_ok(at, &format!("scan -m motif.onnx genome.fa --all --stride 2 --header -t 1{again}"));
    for format in formats {
        let file = at.join(format!("a.{format}.gz"));
        let plain = fs::read_to_string(at.join(format!("a.{format}"))).unwrap();
        assert!(decompressed(&file) == plain.as_bytes(), "{format}");
        for extension in ["gz", "gz.tbi"] {
            let bytes = |stem: &str| fs::read(at.join(format!("{stem}.{format}.{extension}"))).unwrap();
            assert!(bytes("a") == bytes("c"), "{format}.{extension}");
        }
        let (start, end, base) = if format == "gff3" { (3, 4, 1) } else { (1, 2, 0) };
        let place = |line: &str| {
            let fields: Vec<&str> = line.split('\t').collect();
            let number = |i: usize| fields[i].parse::<u64>().unwrap();
            (fields[0].to_owned(), number(start) - base, number(end))
        };
        let lines: Vec<&str> =
            plain.lines().filter(|l| !l.starts_with('#') && !l.starts_with("contig\t")).collect();
        let index = tabix::fs::read(at.join(format!("a.{format}.gz.tbi"))).unwrap();
        let header = index.header().unwrap();
        assert_eq!(header.reference_sequence_names().len(), 3);
        let mut reader = bgzf::io::Reader::new(fs::File::open(&file).unwrap());
        for region in ["sim1:1-100", "sim2:40000-40050", "sim2:99990-100000", "sim3:16384-16385"] {
            let region: Region = region.parse().unwrap();
            let (from, to) = (
                region.interval().start().unwrap().get() as u64 - 1,
                region.interval().end().unwrap().get() as u64,
            );
            let name: &[u8] = region.name();
            let inside = |line: &&&str| {
                let (contig, start, end) = place(line);
                contig.as_bytes() == name && start < to && end > from
            };
            let want: Vec<&str> = lines.iter().filter(inside).copied().collect();
            assert!(!want.is_empty());
            let id = header.reference_sequence_names().get_index_of(name).unwrap();
            let chunks = index.query(id, region.interval()).unwrap();
            let found: Vec<String> =
                csi::io::Query::new(&mut reader, chunks).lines().collect::<Result<_, _>>().unwrap();
            let found: Vec<&str> = found.iter().map(String::as_str).collect();
            assert!(found.len() < lines.len() / 2, "{format}: the index leaves out the most");
            let found: Vec<&str> = found.iter().filter(inside).copied().collect();
            assert_eq!(found, want, "{format} {region}");
        }
    }
}

#[test]
fn lines_keep_the_rules_of_strict_readers() {
    let directory = simulated("100k", 2, 200);
    let at = directory.path();
    run_ok(
        at,
        "scan -m motif.onnx genome.fa --threshold 3 -o a.bed -o a.narrowPeak -o a.bedGraph --bin-size 10",
    );
    let lengths: HashMap<&str, u64> = [("sim1", 50_000), ("sim2", 50_000)].into();
    for (file, sites) in [("a.bed", true), ("a.narrowPeak", true), ("a.bedGraph", false)] {
        let text = fs::read_to_string(at.join(file)).unwrap();
        let mut last = (String::new(), 0, 0);
        let mut contigs = Vec::new();
        for line in text.lines() {
            let fields: Vec<&str> = line.split('\t').collect();
            let (start, end): (u64, u64) = (fields[1].parse().unwrap(), fields[2].parse().unwrap());
            assert!(start < end && end <= lengths[fields[0]], "{line}");
            if fields[0] == last.0 {
                assert!(start >= last.1, "{file}: sorted by start");
                assert!(sites || start >= last.2, "{file}: {line} overlaps");
            } else {
                assert!(!contigs.contains(&fields[0].to_owned()), "{file}: contigs in one piece");
                contigs.push(fields[0].to_owned());
            }
            last = (fields[0].to_owned(), start, end);
            if sites {
                assert!(fields[4].parse::<u32>().unwrap() <= 1000, "{line}");
                assert!(["+", "-"].contains(&fields[5]), "{line}");
                assert_eq!(fields.len(), if file == "a.bed" { 7 } else { 10 });
            }
        }
        assert_eq!(contigs, ["sim1", "sim2"]);
    }
}

#[test]
fn what_cannot_be_written_is_refused() {
    let directory = simulated("20k", 1, 5);
    let at = directory.path();
    let pipe = error_line(at, "scan -m motif.onnx genome.fa --format bigwig");
    assert!(pipe.contains("needs a file"), "{pipe}");
    let twice = error_line(at, "scan -m motif.onnx genome.fa -o a.bw.gz");
    assert!(twice.contains("compressed by itself"), "{twice}");
    fs::create_dir(at.join("a.bed.gz.tbi")).unwrap();
    let index = error_line(at, "scan -m motif.onnx genome.fa --all -o a.bed.gz");
    assert!(index.contains("a.bed.gz.tbi"), "{index}");
    assert!(!at.join("a.bed.gz").exists());
}

#[test]
fn damaged_bigwigs_are_errors() {
    let directory = simulated("20k", 1, 5);
    let at = directory.path();
    run_ok(at, "scan -m motif.onnx genome.fa -o a.bw");
    let whole = fs::read(at.join("a.bw")).unwrap();
    let read = |bytes: &[u8]| {
        fs::write(at.join("b.bw"), bytes).unwrap();
        let mut reader = Reader::open(&at.join("b.bw"))?;
        let mut values = Values::default();
        while reader.read(&mut values)? {}
        Ok::<_, bindscan::Error>(())
    };
    read(&whole).unwrap();
    for cut in (0..whole.len()).step_by(211) {
        // Bytes cut off behind the index are never read.
        let _ = read(&whole[..cut]);
    }
    assert!(read(&whole[..whole.len() / 2]).is_err());
    assert!(read(b"track type=wiggle_0\n").is_err());
    for at in 0..whole.len().min(600) {
        let mut damaged = whole.clone();
        damaged[at] ^= 0x55;
        let _ = read(&damaged);
    }
}

/// The number of lines of each contig that an index has, by its name, and whether it says where they stand.
fn counted(path: &Path) -> Vec<(String, Option<u64>)> {
    use noodles::csi::binning_index::ReferenceSequence;
    let index = tabix::fs::read(path).unwrap();
    assert_eq!(index.unplaced_unmapped_record_count(), Some(0));
    let names = index.header().unwrap().reference_sequence_names().iter().map(ToString::to_string);
    let counts = index.reference_sequences().iter().map(|contig| {
        let metadata = contig.metadata()?;
        assert!(metadata.start_position() < metadata.end_position());
        assert_eq!(metadata.unmapped_record_count(), 0);
        Some(metadata.mapped_record_count())
    });
    names.zip(counts.collect::<Vec<_>>()).collect()
}

#[test]
fn an_index_counts_the_lines_of_each_contig() {
    let directory = simulated("60k", 3, 100);
    let at = directory.path();
    for name in ["a.bed.gz", "a.tsv.gz", "a.gff3.gz", "a.narrowPeak.gz", "a.bedGraph.gz"] {
        let choice = if name == "a.bedGraph.gz" { "" } else { "--threshold=-3" };
        run_ok(at, &format!("scan -m motif.onnx genome.fa {choice} --header -o {name}"));
        let text = String::from_utf8(decompressed(&at.join(name))).unwrap();
        let mut want: Vec<(String, Option<u64>)> = Vec::new();
        for line in text.lines().filter(|line| line.starts_with("sim")) {
            let contig = line.split('\t').next().unwrap();
            match want.last_mut() {
                Some((last, count)) if last == contig => *count = count.map(|count| count + 1),
                _ => want.push((contig.to_owned(), Some(1))),
            }
        }
        assert_eq!(want.len(), 3, "{name}");
        assert_eq!(counted(&at.join(format!("{name}.tbi"))), want, "{name}");
    }
}

#[test]
fn a_bigwig_lists_no_contig_of_length_zero() {
    let directory = simulated("2k", 1, 10);
    let at = directory.path();
    let genome = fs::read_to_string(at.join("genome.fa")).unwrap();
    fs::write(at.join("genome.fa"), format!(">first\n{genome}>last\n")).unwrap();
    run_ok(at, "scan -m motif.onnx genome.fa -o scores.bw");
    let reader = Reader::open(&at.join("scores.bw")).unwrap();
    let contigs: Vec<_> = reader.contigs().iter().map(|contig| (&*contig.name, contig.length)).collect();
    assert_eq!(contigs, [("first", Some(1)), ("sim1", Some(2_000)), ("last", Some(1))]);
}
