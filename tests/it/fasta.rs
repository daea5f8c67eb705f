//! FASTA sources: every route gives what a naive parse gives; bad input gives one clear line.

use std::fs;
use std::io::{Cursor, Read, Write};
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::{Duration, SystemTime};

use bindscan::Result;
use bindscan::genome;
use bindscan::genome::regions::read_regions;
use bindscan::genome::sequence_source::SequenceSource;
use bindscan::genome::{Genome, GenomeOptions};
use bindscan::seq::alphabet::{CODE_OF_ASCII, CODE_OF_ASCII_MASKED, INVALID};
use bindscan::seq::chunk::{Chunk, ChunkShape};
use bindscan::seq::contig::{Contig, RegionQuery};
use proptest::prelude::*;
use tempfile::TempDir;

const SHAPE: ChunkShape = ChunkShape { own: 7, left: 2, right: 5, reach: 3 };

fn gzip_member(text: &[u8]) -> Vec<u8> {
    let mut encoder = flate2::write::GzEncoder::new(Vec::new(), flate2::Compression::default());
    encoder.write_all(text).unwrap();
    encoder.finish().unwrap()
}

/// Two members, as `cat a.gz b.gz` makes them.
fn gzip(text: &[u8]) -> Vec<u8> {
    let (a, b) = text.split_at(text.len() / 2);
    [gzip_member(a), gzip_member(b)].concat()
}

fn bgzip(text: &[u8], block: usize) -> Vec<u8> {
    let mut writer = noodles::bgzf::io::Writer::new(Vec::new());
    for part in text.chunks(block) {
        writer.write_all(part).unwrap();
        writer.flush().unwrap();
    }
    writer.finish().unwrap()
}

/// Hands out a few bytes at a time, as a pipe may.
struct Trickle(Cursor<Vec<u8>>, usize);

impl Read for Trickle {
    fn read(&mut self, out: &mut [u8]) -> std::io::Result<usize> {
        let count = out.len().min(self.1);
        self.0.read(&mut out[..count])
    }
}

fn options(regions: &[&str]) -> GenomeOptions {
    let regions = regions.iter().map(|text| RegionQuery::parse(text)).collect();
    GenomeOptions { mask_lowercase: false, regions }
}

fn collect(fasta: Result<Genome>, shape: ChunkShape) -> Result<Vec<Chunk>> {
    let mut source = fasta?.into_chunks(shape);
    let (mut chunk, mut chunks) = (Chunk::default(), Vec::new());
    while source.read_chunk(&mut chunk)? {
        // Only an indexed source knows the lengths.
        let contig = Arc::new(Contig { length: None, ..(*chunk.contig).clone() });
        chunks.push(Chunk { contig, ..chunk.clone() });
    }
    assert!(!source.read_chunk(&mut chunk)?, "the end stays the end");
    Ok(chunks)
}

fn from_bytes(bytes: Vec<u8>, step: usize, options: &GenomeOptions) -> Result<Genome> {
    genome::from_reader(Trickle(Cursor::new(bytes), step), Path::new("-"), options)
}

fn write(dir: &TempDir, name: &str, bytes: &[u8]) -> PathBuf {
    let path = dir.path().join(name);
    fs::write(&path, bytes).unwrap();
    path
}

/// The chunks of the mapped route, which those of every other route must equal.
fn all_routes(text: &[u8], options: &GenomeOptions, shape: ChunkShape) -> Vec<Chunk> {
    let dir = TempDir::new().unwrap();
    let chunks = collect(genome::open(&write(&dir, "x.fa", text), options), shape).unwrap();
    for (name, bytes) in [("x.fa.gz", gzip(text)), ("x.fa.bgz", bgzip(text, 5000))] {
        let path = write(&dir, name, &bytes);
        assert_same(&chunks, &collect(genome::open(&path, options), shape).unwrap(), name);
        assert_same(&chunks, &collect(from_bytes(bytes, 3, options), shape).unwrap(), name);
    }
    for step in [1, 2, 1000] {
        assert_same(&chunks, &collect(from_bytes(text.to_vec(), step, options), shape).unwrap(), "stream");
    }
    chunks
}

fn assert_same(a: &[Chunk], b: &[Chunk], route: &str) {
    assert_eq!(a.len(), b.len(), "{route}");
    for (a, b) in a.iter().zip(b) {
        assert_eq!(format!("{a:?}"), format!("{b:?}"), "{route}");
    }
}

/// The message that the mapped route and a stream agree on.
fn error(text: &[u8], options: &GenomeOptions) -> String {
    let dir = TempDir::new().unwrap();
    let path = write(&dir, "x.fa", text);
    let mapped = collect(genome::open(&path, options), SHAPE).unwrap_err().to_string();
    let streamed = collect(from_bytes(text.to_vec(), 2, options), SHAPE).unwrap_err().to_string();
    let mapped = mapped.replace(path.to_str().unwrap(), "-");
    assert_eq!(mapped, streamed);
    assert_eq!(mapped.lines().count(), 1);
    mapped
}

type Contigs = Vec<(String, Vec<u8>)>;

/// Checks chunks against whole sequences of codes and the segments wanted: contig rank, start, end.
fn check(chunks: &[Chunk], genome: &Contigs, segments: &[(usize, u64, u64)], shape: ChunkShape) {
    let mut chunks = chunks.iter();
    for &(id, start, end) in segments {
        let (name, codes) = &genome[id];
        let mut next = start;
        loop {
            let chunk = chunks.next().expect("a chunk for every window start");
            assert_eq!((chunk.contig.id, &chunk.contig.name), (id, name));
            assert_eq!(chunk.first, next == start);
            let own = next..(next + shape.own as u64).min(end);
            assert_eq!(chunk.own, own);
            assert_eq!(chunk.last, own.end == end);
            let limit = if chunk.last { end } else { end.min(own.end + shape.reach as u64) };
            assert_eq!(chunk.end, limit);
            let from = own.start.saturating_sub(shape.left as u64);
            let to = (own.end + shape.right as u64).min(codes.len() as u64);
            assert_eq!(chunk.start, from);
            assert!(chunk.codes == codes[from as usize..to as usize], "codes at {name}:{from}");
            if chunk.last {
                break;
            }
            next = own.end;
        }
    }
    assert!(chunks.next().is_none());
}

fn encode(contigs: &[(String, String)], mask: bool) -> Contigs {
    let table = if mask { &CODE_OF_ASCII_MASKED } else { &CODE_OF_ASCII };
    let code = |letter: u8| table[usize::from(letter)];
    let codes =
        |letters: &str| letters.bytes().map(code).inspect(|&code| assert_ne!(code, INVALID)).collect();
    contigs.iter().map(|(name, letters)| (name.clone(), codes(letters))).collect()
}

fn whole(genome: &Contigs) -> Vec<(usize, u64, u64)> {
    genome.iter().enumerate().map(|(id, (_, codes))| (id, 0, codes.len() as u64)).collect()
}

/// Layout of records as text.
#[derive(Debug, Clone)]
struct Layout {
    wrap: usize,
    crlf: bool,
    ragged: bool,
    blank_every: usize,
    final_newline: bool,
}

fn layout() -> impl Strategy<Value = Layout> {
    (1..40usize, any::<bool>(), prop::bool::weighted(0.3), 0..12usize, any::<bool>()).prop_map(
        |(wrap, crlf, ragged, blank_every, final_newline)| Layout {
            wrap,
            crlf,
            ragged,
            blank_every,
            final_newline,
        },
    )
}

fn render(contigs: &[(String, String)], layout: &Layout) -> Vec<u8> {
    let newline = if layout.crlf { "\r\n" } else { "\n" };
    let mut text = String::new();
    let mut lines = 0;
    for (name, letters) in contigs {
        text += &format!(">{name} description >not a name{newline}");
        let mut rest = letters.as_str();
        while !rest.is_empty() {
            lines += 1;
            let wrap = if layout.ragged { 1 + (layout.wrap * lines) % 17 } else { layout.wrap };
            let (line, after) = rest.split_at(wrap.min(rest.len()));
            text += line;
            text += newline;
            rest = after;
            if layout.ragged && layout.blank_every > 0 && lines % layout.blank_every == 0 {
                text += newline;
            }
        }
        if layout.blank_every == 1 {
            text += newline;
        }
    }
    if !layout.final_newline {
        text.truncate(text.trim_end().len());
    }
    text.into_bytes()
}

fn sequence() -> impl Strategy<Value = String> {
    prop_oneof![
        1 => Just(String::new()),
        6 => "[ACGTacgtUunNRYryWSKMBDHVX]{1,90}",
        2 => "[ACGT]{1,30}N{1,40}[acgt]{1,30}",
    ]
}

fn contigs() -> impl Strategy<Value = Vec<(String, String)>> {
    let named = |(i, letters)| (format!("chr{i}"), letters);
    prop::collection::vec(sequence(), 1..6)
        .prop_map(move |sequences| sequences.into_iter().enumerate().map(named).collect())
}

fn shape() -> impl Strategy<Value = ChunkShape> {
    (1..60usize, 0..20usize, 0..20usize, 0..20usize).prop_map(|(own, left, reach, flank)| ChunkShape {
        own,
        left,
        right: reach + flank,
        reach,
    })
}

/// Merges by marking every base: no sorting, no interval logic.
fn mark(length: usize, intervals: &[(usize, usize)]) -> Vec<(u64, u64)> {
    let mut wanted = vec![false; length + 1];
    for &(start, end) in intervals {
        wanted[start..end].fill(true);
    }
    let mut segments = Vec::new();
    let mut open = None;
    for (i, &marked) in wanted.iter().enumerate() {
        if marked {
            open = open.or(Some(i as u64));
        } else if let Some(start) = open.take() {
            segments.push((start, i as u64));
        }
    }
    segments
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 200, failure_persistence: None, ..ProptestConfig::default() })]

    #[test]
    fn every_route_gives_every_base_once(
        contigs in contigs(), layout in layout(), shape in shape(), mask in any::<bool>(),
    ) {
        let options = GenomeOptions { mask_lowercase: mask, regions: Vec::new() };
        let chunks = all_routes(&render(&contigs, &layout), &options, shape);
        let genome = encode(&contigs, mask);
        check(&chunks, &genome, &whole(&genome), shape);
    }

    #[test]
    fn every_route_gives_the_regions(
        contigs in contigs(), layout in layout(), shape in shape(),
        picks in prop::collection::vec((any::<prop::sample::Index>(), 0.0..1.0f64, 0.0..1.0f64), 1..8),
    ) {
        let mut intervals = vec![Vec::new(); contigs.len()];
        let mut texts = Vec::new();
        for (contig, a, b) in picks {
            let id = contig.index(contigs.len());
            let (name, letters) = &contigs[id];
            if letters.is_empty() {
                continue;
            }
            let start = (a * letters.len() as f64) as usize;
            let end = start + 1 + (b * b * (letters.len() - start - 1) as f64) as usize;
            intervals[id].push((start, end));
            texts.push(format!("{name}:{}-{end}", start + 1));
        }
        prop_assume!(!texts.is_empty());
        let options = options(&texts.iter().map(String::as_str).collect::<Vec<_>>());
        let chunks = all_routes(&render(&contigs, &layout), &options, shape);
        let genome = encode(&contigs, false);
        let segments: Vec<_> = (0..contigs.len())
            .flat_map(|id| {
                let marked = mark(genome[id].1.len(), &intervals[id]);
                marked.into_iter().map(move |(start, end)| (id, start, end))
            })
            .collect();
        check(&chunks, &genome, &segments, shape);
    }

    #[test]
    fn no_text_panics_and_all_routes_agree(text in "[>ACGTNacgt \\n\\r\\tx]{0,60}") {
        let dir = TempDir::new().unwrap();
        let path = write(&dir, "x.fa", text.as_bytes());
        let mapped = collect(genome::open(&path, &options(&[])), SHAPE);
        let streamed = collect(from_bytes(text.into_bytes(), 1, &options(&[])), SHAPE);
        match (mapped, streamed) {
            (Ok(mapped), Ok(streamed)) => assert_same(&mapped, &streamed, "stream"),
            (mapped, streamed) => prop_assert!(mapped.is_err() && streamed.is_err()),
        }
    }
}

#[test]
fn letters_lines_and_names() {
    let text = b"\r\n\n>one first contig\r\nACGTU\r\nnryac\r\nGT\r\n>empty\r\n>t\x09wo\r\nACG";
    let chunks = all_routes(text, &options(&[]), ChunkShape { own: 100, left: 0, right: 9, reach: 9 });
    let expected: [(&str, &[u8]); 3] =
        [("one", &[0, 1, 2, 3, 3, 4, 4, 4, 0, 1, 2, 3]), ("empty", &[]), ("t", &[0, 1, 2])];
    assert_eq!(chunks.len(), expected.len());
    for (chunk, (name, codes)) in chunks.iter().zip(expected) {
        assert_eq!((chunk.contig.name.as_str(), chunk.codes.as_slice()), (name, codes));
        assert!(chunk.first && chunk.last);
    }
}

#[test]
fn colons_in_names() {
    let text = b">HLA:1-2\nACGT\n>HLA\nGGGG\n";
    let chunks = all_routes(text, &options(&["HLA:1-2"]), SHAPE);
    assert_eq!(chunks.iter().map(|chunk| chunk.contig.name.as_str()).collect::<Vec<_>>(), ["HLA:1-2"]);
    let chunks = all_routes(text, &options(&["HLA:1-2:2-3"]), SHAPE);
    assert_eq!((chunks[0].contig.name.as_str(), chunks[0].own.clone()), ("HLA:1-2", 1..3));
    // A stream that has used the interval cannot take it back.
    let turned = b">HLA\nGGGG\n>HLA:1-2\nACGT\n>c\nA\n".to_vec();
    let message = collect(from_bytes(turned, 9, &options(&["HLA:1-2", "c"])), SHAPE).unwrap_err().to_string();
    assert!(message.contains("can mean two contigs"), "{message}");
}

#[test]
fn malformed_text_is_refused_with_its_line() {
    let none = options(&[]);
    for (text, line, part) in [
        (&b"ACGT\n"[..], "line 1", "not a FASTA file"),
        (b"\n\n;x\n", "line 3", "not a FASTA file"),
        (b"\n\t>a\n", "line 2", "not a FASTA file"),
        (b"\r>a\nA\n", "line 1", "not a FASTA file"),
        (b">a\nAC\n>a\nGT\n", "line 3", "a occurs twice (first on line 1)"),
        (b">a\nACGT\nACJT\n", "line 3", "'J' is not a nucleotide letter (base 7 of a)"),
        (b">a\r\nACGT\r\nAC-T\r\n", "line 3", "'-'"),
        (b">a\nAC\rGT\n", "line 2", "0x0d"),
        (b">a\nAC GT\n", "line 2", "' '"),
        (b">a\nACGT\n>\nAC\n", "line 3", "no name"),
        (b"> a\nACGT\n", "line 1", "no name"),
        (b">a\rACGT\r>b\rAC\r\n", "line 1", "carriage return"),
        (b">\xff\xfe\nACGT\n", "line 1", "not plain text"),
        (b">a\x00b\nACGT\n", "line 1", "not plain text"),
        (b">a\n\xc3\x84\n", "line 2", "0xc3"),
    ] {
        let message = error(text, &none);
        assert!(message.contains(line) && message.contains(part), "{message}");
    }
    for text in [&b""[..], b"\n\r\n\n"] {
        let message = error(text, &none);
        assert!(message.contains("no sequence"), "{message}");
    }
    let long = [b">".as_slice(), &[b'x'; 70_000], b"\nACGT\n"].concat();
    assert!(error(&long, &none).contains("longer than"));
}

#[test]
fn regions_that_do_not_fit_are_refused() {
    let text = b">chr1\nACGTACGTAC\n>chr2\nAC\n>empty\n>chrM\nACGT\n";
    for (region, part) in [
        ("chr3:1-5", "there is no contig chr3 in the input; did you mean chr1 or chr2 or chrM?"),
        ("nonsense", "it has chr1, chr2, empty and 1 more"),
        ("chr1:5-11", "past the end of chr1, which has 10 bases"),
        ("chr1:11-", "past the end"),
        ("chr2:30-", "past the end of chr2, which has 2 bases"),
        ("empty:1-1", "past the end of empty, which has 0 bases"),
        ("chr1:0-3", "count from 1"),
        ("chr1:3-2", "before the start"),
    ] {
        for regions in [&[region][..], &["chr1:2-3", region], &["chr1:1-", "chr2", region]] {
            let message = error(text, &options(regions));
            assert!(message.contains(part) && message.contains(region), "{message}");
        }
    }
    let chunks = all_routes(text, &options(&["empty", "chr1:10-"]), SHAPE);
    assert_eq!(chunks.iter().map(|chunk| chunk.own.clone()).collect::<Vec<_>>(), [9..10, 0..0]);
}

#[test]
fn files_that_cannot_be_read_are_refused() {
    let dir = TempDir::new().unwrap();
    let message = |path: &Path| collect(genome::open(path, &options(&[])), SHAPE).unwrap_err().to_string();
    assert!(message(dir.path()).contains("directory"));
    assert!(message(&dir.path().join("absent.fa")).contains("cannot open"));
    let garbage: Vec<u8> = (0..5000u32).map(|i| (i.wrapping_mul(2_654_435_761) >> 13) as u8).collect();
    assert!(message(&write(&dir, "garbage", &garbage)).contains("not a FASTA file"));
    let text = [b">a\n".as_slice(), "ACGTTGCATT\n".repeat(3000).as_bytes()].concat();
    for (name, whole) in [("x.fa.gz", gzip_member(&text)), ("x.fa.bgz", bgzip(&text, 5000))] {
        // Every length, so between two BGZF blocks too.
        for cut in 3..whole.len() {
            let message = message(&write(&dir, name, &whole[..cut]));
            assert!(message.contains("cannot decompress"), "{name} cut to {cut}: {message}");
        }
        let mut damaged = whole.clone();
        let middle = whole.len() / 4;
        damaged[middle..middle + 8].iter_mut().for_each(|byte| *byte ^= 0xa5);
        assert!(message(&write(&dir, name, &damaged)).contains("cannot decompress"));
    }
}

#[test]
fn an_index_is_used_only_if_it_fits() {
    let dir = TempDir::new().unwrap();
    let text = b">a x\nACGTA\nCGTAC\nGT\n>b\nAAAA\n>c\nACG\nTTT\n";
    let path = write(&dir, "x.fa", text);
    let index_path = dir.path().join("x.fa.fai");
    let index = noodles::fasta::fs::index(&path).unwrap();
    noodles::fasta::fai::fs::write(&index_path, &index).unwrap();
    let lengths = || -> Vec<(String, u64)> {
        let fasta = genome::open(&path, &options(&[])).unwrap();
        let contigs = fasta.contigs().unwrap().iter();
        contigs.map(|contig| (contig.name.clone(), contig.length.unwrap())).collect()
    };
    let theirs: Vec<(String, u64)> =
        index.as_ref().iter().map(|record| (record.name().to_string(), record.length())).collect();
    assert_eq!(lengths(), theirs);
    let regions = options(&["a:7-12", "c:5"]);
    let expected = collect(from_bytes(text.to_vec(), 1, &regions), SHAPE).unwrap();
    assert_same(&expected, &collect(genome::open(&path, &regions), SHAPE).unwrap(), "fai");

    // Newer than the file, but of another file.
    for lie in ["a\t11\t5\t5\t6\n", "a\t12\t5\t5\t6\nb\t4\t23\t4\t5\n", "nonsense", "", "a\t12\t5\t0\t0\n"] {
        fs::write(&index_path, lie).unwrap();
        assert_eq!(lengths(), theirs, "{lie:?}");
    }

    // Older than the file: not believed, whatever it says. The lines of `a` are no longer as it has them.
    fs::write(&path, b">a x\nACGTA\nCGTACG\nT\n>b\nAAAA\n>c\nACG\nTTT\n").unwrap();
    noodles::fasta::fai::fs::write(&index_path, &index).unwrap();
    let old = SystemTime::now() - Duration::from_secs(100);
    fs::File::options().write(true).open(&index_path).unwrap().set_modified(old).unwrap();
    assert_eq!(lengths(), theirs);
    assert_same(&expected, &collect(genome::open(&path, &regions), SHAPE).unwrap(), "stale");
}

/// An index that is new and plausible, over lines that are not as it says.
#[test]
fn a_misleading_index_is_an_error_not_a_wrong_answer() {
    let dir = TempDir::new().unwrap();
    let path = write(&dir, "x.fa", b">a\nACGTAC\nA\nCGTA\nC\n>b\nA\n");
    fs::write(dir.path().join("x.fa.fai"), "a\t14\t3\t6\t7\nb\t1\t22\t1\t2\n").unwrap();
    let message = collect(genome::open(&path, &options(&[])), SHAPE).unwrap_err().to_string();
    assert!(message.contains("renew it with samtools faidx"), "{message}");
}

#[test]
fn bed_files() {
    let dir = TempDir::new().unwrap();
    let bed = b"track name=x\n#c\nbrowser position a:1-2\na\t2\t5\tpeak\n\nb 0 1\r\n";
    for (name, bytes) in [("x.bed", bed.to_vec()), ("x.bed.gz", gzip(bed))] {
        let regions = read_regions(&write(&dir, name, &bytes)).unwrap();
        let options = GenomeOptions { mask_lowercase: false, regions };
        let chunks = all_routes(b">a\nACGTACGT\n>b\nA\n", &options, SHAPE);
        assert_eq!(chunks.iter().map(|chunk| chunk.own.clone()).collect::<Vec<_>>(), [2..5, 0..1]);
    }
    for (text, part) in [
        ("##fileformat=VCFv4.2\n#CHROM\tPOS\na\t100\trs1\tA\tC\n", "line 1: this is a VCF"),
        (
            "a\t100\trs1\tA\tC\n",
            "line 1: a BED line has a contig, a start and an end; one of them is missing or no number; is this a VCF?",
        ),
        ("# x\na\t1\n", "line 2"),
        ("# only\n", "no region"),
    ] {
        let message = read_regions(&write(&dir, "bad.bed", text.as_bytes())).unwrap_err().to_string();
        assert!(message.contains(part), "{message}");
    }
    let path = write(&dir, "past.bed", b"a\t0\t9\n");
    let options = GenomeOptions { mask_lowercase: false, regions: read_regions(&path).unwrap() };
    let message = error(b">a\nACGT\n", &options);
    assert!(message.contains("region a:1-9") && message.contains("past.bed, line 1"), "{message}");
}

/// Start and end of the stretches that are read, and what an error says.
fn own(routes: Result<Vec<Chunk>, bindscan::Error>) -> Result<Vec<(u64, u64)>, String> {
    let chunks = routes.map_err(|error| error.to_string())?;
    Ok(chunks.iter().map(|chunk| (chunk.own.start, chunk.own.end)).collect())
}

#[test]
fn regions_that_do_not_fit_are_refused_together_or_left_out() {
    let dir = TempDir::new().unwrap();
    let text = b">a\nACGTACGT\n>b\nACGTAC\n>c\nAC\n";
    let plain = write(&dir, "x.fa", text);
    let packed = write(&dir, "x.fa.gz", &gzip(text));
    let bed = b"\xEF\xBB\xBFa\t1\t3\nb\t4\t9\nb\t7\t9\nz\t0\t1\nc\t1\t1\na\t5\t8\n";
    let mut regions = read_regions(&write(&dir, "bad.bed", bed)).unwrap();
    let with = |regions: &[RegionQuery]| GenomeOptions { mask_lowercase: false, regions: regions.to_vec() };
    let shape = ChunkShape { own: 100, ..SHAPE };
    let message =
        own(genome::open(&plain, &with(&regions)).and_then(|genome| collect(Ok(genome), shape))).unwrap_err();
    for part in
        ["4 of 6 regions cannot be used", "2 past the end", "bad.bed, line 2)", "1 on a contig", "1 empty"]
    {
        assert!(message.contains(part), "{message}");
    }
    let message = own(collect(genome::open(&packed, &with(&regions)), shape)).unwrap_err();
    assert!(message.contains("1 of 6 regions cannot be used: 1 empty"), "{message}");
    regions.iter_mut().for_each(|region| region.optional = true);
    for path in [&plain, &packed] {
        let read = own(collect(genome::open(path, &with(&regions)), shape));
        assert_eq!(read.unwrap(), [(1, 3), (5, 8), (4, 6)], "{}", path.display());
        let message = own(collect(genome::open(path, &with(&regions[2..5])), shape)).unwrap_err();
        assert!(message.contains("none of 3 regions can be used"), "{message}");
    }
}

#[test]
fn a_byte_order_mark_and_padding_are_passed() {
    let dir = TempDir::new().unwrap();
    let text = b">a x\nACGTAC\nGTAC\n>b\nACG\n";
    let want = collect(genome::open(&write(&dir, "x.fa", text), &options(&[])), SHAPE).unwrap();
    let marked = [b"\xEF\xBB\xBF", &text[..]].concat();
    let padded = |zeros: usize| [gzip(text), vec![0; zeros]].concat();
    let mut bgzf = noodles::bgzf::io::Writer::new(Vec::new());
    std::io::Write::write_all(&mut bgzf, &marked).unwrap();
    let bgzf = bgzf.finish().unwrap();
    let files = [
        marked.clone(),
        gzip(&marked),
        padded(1),
        padded(70_000),
        [padded(512), gzip(b">c\nA\n")].concat(),
        bgzf.clone(),
        [bgzf, vec![0; 1000]].concat(),
    ];
    for (i, file) in files.iter().enumerate() {
        let chunks = collect(genome::open(&write(&dir, "y.fa", file), &options(&[])), SHAPE).unwrap();
        let read: Vec<_> = chunks.iter().map(|chunk| (&chunk.contig.name, &chunk.codes)).collect();
        let want: Vec<_> = want.iter().map(|chunk| (&chunk.contig.name, &chunk.codes)).collect();
        assert_eq!(read[..want.len()], want, "{i}");
        assert_eq!(read.len() - want.len(), usize::from(i == 4));
    }
    for wrong in [[gzip(text), b"x".to_vec()].concat(), padded(8)[..40].to_vec()] {
        let path = write(&dir, "y.fa", &wrong);
        let message = collect(genome::open(&path, &options(&[])), SHAPE).unwrap_err().to_string();
        assert!(message.contains("cannot decompress"), "{message}");
    }
    // The beginning of a mark is none.
    for start in [&b"\xEF"[..], b"\xEF\xBB", b"\xEF\xBB>"] {
        let path = write(&dir, "y.fa.gz", &gzip(&[start, text].concat()));
        let message = collect(genome::open(&path, &options(&[])), SHAPE).unwrap_err().to_string();
        assert!(message.contains("byte 0xef"), "{message}");
    }
}

#[test]
fn many_contigs_and_one_long_line() {
    let many: String = (0..20_000).map(|i| format!(">c{i}\nACGTN\n")).collect();
    let chunks = all_routes(many.as_bytes(), &options(&[]), SHAPE);
    assert_eq!(chunks.len(), 20_000);
    assert!(chunks.iter().all(|chunk| chunk.codes == [0, 1, 2, 3, 4]));
    let long = format!(">x\n{}\n", "ACGTA".repeat(60_000));
    let shape = ChunkShape { own: 10_000, left: 10, right: 10, reach: 10 };
    let chunks = all_routes(long.as_bytes(), &options(&["x:150000-200000"]), shape);
    let codes: Vec<u8> = (0..300_000).map(|i| [0, 1, 2, 3, 0][i % 5]).collect();
    check(&chunks, &vec![("x".to_owned(), codes)], &[(0, 149_999, 200_000)], shape);
}

/// The text is parsed in blocks; here the two bytes of a line end fall on either side of a joint.
#[test]
fn line_ends_across_blocks() {
    let contigs = [("x".to_owned(), "ACGTT".repeat(300_000))];
    let layout = Layout { wrap: 61, crlf: true, ragged: false, blank_every: 0, final_newline: true };
    let text = render(&contigs, &layout);
    let genome = encode(&contigs, false);
    let dir = TempDir::new().unwrap();
    let shape = ChunkShape { own: 1_000_000, left: 3, right: 9, reach: 9 };
    let mapped = collect(genome::open(&write(&dir, "x.fa", &text), &options(&[])), shape).unwrap();
    check(&mapped, &genome, &whole(&genome), shape);
    let streamed = collect(from_bytes(text, 1 << 20, &options(&[])), shape).unwrap();
    check(&streamed, &genome, &whole(&genome), shape);
}

#[cfg(unix)]
#[test]
fn a_named_pipe_is_read_as_a_stream() {
    let dir = TempDir::new().unwrap();
    let path = dir.path().join("pipe");
    if !std::process::Command::new("mkfifo").arg(&path).status().is_ok_and(|status| status.success()) {
        eprintln!("skipped: mkfifo does not run");
        return;
    }
    let target = path.clone();
    let writer = std::thread::spawn(move || fs::write(target, b">a\nACGTACGTACGT\n").unwrap());
    let chunks = collect(genome::open(&path, &options(&["a:3-"])), SHAPE).unwrap();
    writer.join().unwrap();
    assert_eq!(chunks.iter().map(|chunk| chunk.own.clone()).collect::<Vec<_>>(), [2..9, 9..12]);
}

/// Where the real genomes are present: every base as noodles reads it.
#[test]
fn real_genomes_as_noodles_reads_them() {
    let folder = Path::new(env!("CARGO_MANIFEST_DIR")).join("../shared/data/genomes");
    if !folder.is_dir() {
        eprintln!("skipped: no real genomes at {}", folder.display());
        return;
    }
    let dir = TempDir::new().unwrap();
    let shape = ChunkShape { own: 100_000, left: 50, right: 150, reach: 100 };
    for name in ["sacCer3.fa.gz", "grch38.chr20_and_21_10M.fa.gz", "hg19.alt_random_unplaced.fa.gz"] {
        let path = folder.join(name);
        let mut text = Vec::new();
        let file = fs::File::open(&path).unwrap();
        flate2::read::MultiGzDecoder::new(file).read_to_end(&mut text).unwrap();
        let genome: Contigs = noodles::fasta::io::Reader::new(&text[..])
            .records()
            .map(|record| {
                let record = record.unwrap();
                let letters = record.sequence().as_ref().iter();
                let codes = letters.map(|&letter| CODE_OF_ASCII[usize::from(letter)]).collect();
                (String::from_utf8(record.name().to_vec()).unwrap(), codes)
            })
            .collect();
        check(&collect(genome::open(&path, &options(&[])), shape).unwrap(), &genome, &whole(&genome), shape);
        let plain = write(&dir, "plain.fa", &text);
        check(&collect(genome::open(&plain, &options(&[])), shape).unwrap(), &genome, &whole(&genome), shape);
    }
}
