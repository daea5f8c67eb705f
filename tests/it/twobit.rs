//! 2bit sources: whatever is written in two bits gives what the same genome gives as FASTA.

use std::fs;
use std::path::{Path, PathBuf};

use bindscan::Result;
use bindscan::genome;
use bindscan::genome::GenomeOptions;
use bindscan::genome::sequence_source::SequenceSource;
use bindscan::seq::chunk::{Chunk, ChunkShape};
use bindscan::seq::contig::RegionQuery;
use proptest::prelude::*;
use tempfile::TempDir;

/// Form of a file.
#[derive(Debug, Clone, Copy)]
struct Layout {
    big_endian: bool,
    version: u32,
}

const PLAIN: Layout = Layout { big_endian: false, version: 0 };

/// Start and length of every run of letters that are `wanted`.
fn runs(letters: &[u8], wanted: impl Fn(u8) -> bool) -> Vec<(u32, u32)> {
    let mut runs: Vec<(u32, u32)> = Vec::new();
    for (i, _) in letters.iter().enumerate().filter(|(_, letter)| wanted(**letter)) {
        match runs.last_mut() {
            Some((start, length)) if *start + *length == i as u32 => *length += 1,
            _ => runs.push((i as u32, 1)),
        }
    }
    runs
}

/// Contigs of ACGTN, upper and lower case, as a 2bit file.
fn encode(contigs: &[(String, String)], layout: Layout) -> Vec<u8> {
    let word = |number: u32| if layout.big_endian { number.to_be_bytes() } else { number.to_le_bytes() };
    let long = |number: u64| if layout.big_endian { number.to_be_bytes() } else { number.to_le_bytes() };
    let mut records = Vec::new();
    for (_, letters) in contigs {
        let letters = letters.as_bytes();
        let mut record = word(letters.len() as u32).to_vec();
        for blocks in
            [runs(letters, |c| c.eq_ignore_ascii_case(&b'N')), runs(letters, |c| c.is_ascii_lowercase())]
        {
            record.extend(word(blocks.len() as u32));
            record.extend(blocks.iter().flat_map(|block| word(block.0)));
            record.extend(blocks.iter().flat_map(|block| word(block.1)));
        }
        record.extend(word(0));
        for four in letters.chunks(4) {
            let bits = |letter: u8| {
                b"TCAG".iter().position(|c| *c == letter.to_ascii_uppercase()).unwrap_or(0) as u8
            };
            record.push(four.iter().enumerate().fold(0, |byte, (i, &c)| byte | bits(c) << (6 - 2 * i)));
        }
        records.push(record);
    }
    let offset_bytes = if layout.version == 0 { 4 } else { 8 };
    let index: usize = contigs.iter().map(|(name, _)| 1 + name.len() + offset_bytes).sum();
    let mut offset = 16 + index;
    let mut file: Vec<u8> =
        [0x1A41_2743, layout.version, contigs.len() as u32, 0].into_iter().flat_map(word).collect();
    for ((name, _), record) in contigs.iter().zip(&records) {
        file.push(name.len() as u8);
        file.extend(name.bytes());
        match layout.version {
            0 => file.extend(word(offset as u32)),
            _ => file.extend(long(offset as u64)),
        }
        offset += record.len();
    }
    file.extend(records.concat());
    file
}

fn fasta(contigs: &[(String, String)]) -> Vec<u8> {
    contigs.iter().map(|(name, letters)| format!(">{name}\n{letters}\n")).collect::<String>().into_bytes()
}

fn chunks(path: &Path, options: &GenomeOptions, shape: ChunkShape) -> Result<Vec<String>> {
    let mut source = genome::open(path, options)?.into_chunks(shape);
    let (mut chunk, mut chunks) = (Chunk::default(), Vec::new());
    while source.read_chunk(&mut chunk)? {
        chunks.push(format!("{chunk:?}"));
    }
    Ok(chunks)
}

fn write(dir: &TempDir, name: &str, bytes: &[u8]) -> PathBuf {
    let path = dir.path().join(name);
    fs::write(&path, bytes).unwrap();
    path
}

fn contigs_strategy() -> impl Strategy<Value = Vec<(String, String)>> {
    let run = prop_oneof!["[ACGT]{1,40}", "[acgt]{1,20}", "N{1,12}", "n{1,6}"];
    let letters = prop::collection::vec(run, 0..12).prop_map(|runs| runs.concat());
    prop::collection::vec(letters, 1..5)
        .prop_map(|all| all.into_iter().enumerate().map(|(i, s)| (format!("c{i}"), s)).collect())
}

proptest! {
    #[test]
    fn a_genome_is_the_same_in_two_bits_and_in_letters(
        contigs in contigs_strategy(),
        (big_endian, version, mask_lowercase) in (any::<bool>(), 0u32..2, any::<bool>()),
        (own, left, right) in (1usize..60, 0usize..9, 1usize..9),
        wanted in prop::collection::vec((0usize..5, 0u64..200, 1u64..90), 0..4),
    ) {
        let dir = TempDir::new().unwrap();
        let letters = write(&dir, "x.fa", &fasta(&contigs));
        let bits = write(&dir, "x.2bit", &encode(&contigs, Layout { big_endian, version }));
        let shape = ChunkShape { own, left, right, reach: right / 2 };
        let region = |(contig, start, length): (usize, u64, u64)| {
            let (name, letters) = &contigs[contig % contigs.len()];
            let bases = letters.len() as u64;
            let start = start % bases.max(1);
            (bases > 0).then(|| RegionQuery::parse(&format!("{name}:{}-{}", start + 1, (start + length).min(bases))))
        };
        let options = GenomeOptions { mask_lowercase, regions: wanted.into_iter().filter_map(region).collect() };
        prop_assert_eq!(
            chunks(&bits, &options, shape).unwrap(),
            chunks(&letters, &options, shape).unwrap()
        );
        let digest = |path| genome::open(path, &options).unwrap().digest();
        prop_assert_eq!(digest(&bits), digest(&letters));
    }

    #[test]
    fn a_file_cut_anywhere_is_refused(contigs in contigs_strategy(), at in 0.0f64..1.0, version in 0u32..2) {
        let dir = TempDir::new().unwrap();
        let whole = encode(&contigs, Layout { version, ..PLAIN });
        let path = write(&dir, "x.2bit", &whole[..(whole.len() as f64 * at) as usize]);
        let shape = ChunkShape { own: 50, left: 0, right: 5, reach: 5 };
        prop_assert!(chunks(&path, &GenomeOptions::default(), shape).is_err());
    }
}

#[test]
fn what_is_wrong_is_said_in_one_line() {
    let dir = TempDir::new().unwrap();
    let contigs =
        vec![("a".to_owned(), "ACGTNNNNACGT".to_owned()), ("b".to_owned(), "ACGTacgtACGT".to_owned())];
    let sound = encode(&contigs, PLAIN);
    let with = |at: usize, bytes: &[u8]| {
        let mut file = sound.clone();
        file[at..at + bytes.len()].copy_from_slice(bytes);
        file
    };
    // The index is 6 bytes a contig; a record starts with its length, the number of blocks, and their starts.
    let record = 16 + 12;
    let cases = [
        (sound[..10].to_vec(), "the file ends too early"),
        (sound[..sound.len() - 1].to_vec(), "b reaches past the end of the file"),
        (with(4, &[7]), "2bit version 7"),
        (with(8, &[0]), "no sequence"),
        (with(16 + 6 + 1, b"a"), "sequence name a occurs twice"),
        (with(16 + 1, &[7]), "not plain text"),
        (with(record, &[255, 255, 255]), "a reaches past the end of the file"),
        (with(record + 8, &[200]), "the N blocks of a"),
    ];
    for (bytes, message) in cases {
        let path = write(&dir, "x.2bit", &bytes);
        let shape = ChunkShape { own: 50, left: 0, right: 5, reach: 5 };
        let error = chunks(&path, &GenomeOptions::default(), shape).unwrap_err().to_string();
        assert!(error.contains(message) && error.lines().count() == 1, "{error}");
    }
    let stream =
        genome::from_reader(std::io::Cursor::new(sound.clone()), Path::new("-"), &GenomeOptions::default());
    assert!(stream.unwrap_err().to_string().contains("give an uncompressed file"));
    let path = write(&dir, "x.2bit", &sound);
    let options =
        GenomeOptions { regions: vec![RegionQuery::parse("chrab:1-5")], ..GenomeOptions::default() };
    assert!(genome::open(&path, &options).unwrap_err().to_string().contains("did you mean a"));
}

#[test]
fn scans_shards_and_p_values_of_both_forms_are_the_same_bytes() {
    let directory = crate::common::simulated("60k", 3, 20);
    let at = directory.path();
    let text = crate::common::put_runs(at, &[(500..900, b'N'), (30_000..31_000, b'a')]);
    let records = String::from_utf8(text).unwrap();
    let contig = |record: &str| {
        let (header, lines) = record.split_once('\n').unwrap();
        (header.split_whitespace().next().unwrap().to_owned(), lines.replace('\n', ""))
    };
    let contigs: Vec<(String, String)> = records.split('>').skip(1).map(contig).collect();
    fs::write(at.join("genome.2bit"), encode(&contigs, PLAIN)).unwrap();
    for words in
        ["--threshold 4", "--threshold 2 --mask-lowercase --shard 2/3", "--pvalue 1e-4 -r sim2:100-9,000"]
    {
        let of = |genome: &str| crate::common::stdout(at, &format!("scan -m motif.onnx {genome} {words}"));
        let (letters, bits) = (of("genome.fa"), of("genome.2bit"));
        assert!(letters.lines().count() > 1, "{words}");
        // The command, which a shard's header and checksum hold, names the file, and the shard's mark has a digest of it.
        let renamed = letters.replace("genome.fa", "genome.2bit");
        let of_the_file = |line: &&str| line.starts_with("# crc32:") || line.starts_with("# shard:");
        let others = |text: &str| -> Vec<String> {
            text.lines().filter(|line| !of_the_file(line)).map(str::to_owned).collect()
        };
        assert_eq!(others(&renamed), others(&bits), "{words}");
    }
    fs::write(at.join("genome.2bit.gz"), crate::common::gzip(&fs::read(at.join("genome.2bit")).unwrap()))
        .unwrap();
    let refused = crate::common::error_line(at, "scan -m motif.onnx genome.2bit.gz --threshold 4");
    assert!(refused.contains("give an uncompressed file"), "{refused}");
}
