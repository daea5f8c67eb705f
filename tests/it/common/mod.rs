//! Running the program on files made for a test.

pub(crate) mod html;
pub(crate) mod network;
pub(crate) mod onnx;

use std::fs;
use std::io::Write;
use std::ops::Range;
use std::path::{Path, PathBuf};
use std::process::{Command, Output, Stdio};

use noodles::sam::alignment::io::Write as _;
use noodles::{bam, sam};
use tempfile::TempDir;

/// The program, with colours and the user's ONNX Runtime settings as they are.
pub(crate) fn bindscan<I: AsRef<std::ffi::OsStr>>(args: impl IntoIterator<Item = I>) -> Command {
    let mut command = Command::new(env!("CARGO_BIN_EXE_bindscan"));
    command.args(args);
    command
}

/// Runs the program with words split at blanks, in `directory`.
pub(crate) fn run(directory: &Path, words: &str) -> Output {
    bindscan(words.split_whitespace()).current_dir(directory).output().unwrap()
}

/// Standard output of a run that must succeed.
pub(crate) fn stdout(directory: &Path, words: &str) -> String {
    let output = run(directory, words);
    assert!(output.status.success(), "bindscan {words}: {}", String::from_utf8_lossy(&output.stderr));
    String::from_utf8(output.stdout).unwrap()
}

/// Standard output of a run that must succeed, with `input` on standard input.
pub(crate) fn stdout_of_input(directory: &Path, words: &str, input: &[u8]) -> String {
    let mut child = bindscan(words.split_whitespace())
        .current_dir(directory)
        .stdin(Stdio::piped())
        .stdout(Stdio::piped())
        .stderr(Stdio::piped())
        .spawn()
        .unwrap();
    let mut stdin = child.stdin.take().unwrap();
    let input = input.to_vec();
    let feeder = std::thread::spawn(move || stdin.write_all(&input));
    let output = child.wait_with_output().unwrap();
    feeder.join().unwrap().unwrap();
    assert!(output.status.success(), "bindscan {words}: {}", String::from_utf8_lossy(&output.stderr));
    String::from_utf8(output.stdout).unwrap()
}

/// The one line that a failing run says; asserts exit status 1, one line, nothing on standard output.
pub(crate) fn error_line(directory: &Path, words: &str) -> String {
    failure(run(directory, words), words, 1)
}

/// As [`error_line`], for any finished run and exit status.
pub(crate) fn failure(output: Output, what: &str, status: i32) -> String {
    let stderr = String::from_utf8(output.stderr).unwrap();
    assert_eq!(output.status.code(), Some(status), "{what}: {stderr}");
    let errors: Vec<&str> = stderr.lines().filter(|line| !line.starts_with("bindscan: warn:")).collect();
    assert_eq!(errors.len(), 1, "{what} says {stderr}");
    assert!(output.stdout.is_empty(), "{what} wrote output");
    errors[0].to_owned()
}

/// True if this process, and so what it starts, ignores a signal (SIGINT is 2): so it is for background jobs of a shell.
pub(crate) fn ignores(signal: u32) -> bool {
    let status = std::fs::read_to_string("/proc/self/status").unwrap_or_default();
    let ignored = status.lines().find_map(|line| line.strip_prefix("SigIgn:"));
    ignored
        .and_then(|mask| u64::from_str_radix(mask.trim(), 16).ok())
        .is_some_and(|mask| mask >> (signal - 1) & 1 == 1)
}

/// A folder with `genome.fa` (simulated, with sites), `truth.bed` and `motif.onnx`.
pub(crate) fn simulated(length: &str, contigs: usize, sites: usize) -> TempDir {
    let directory = tempfile::tempdir().unwrap();
    let motif = motif_file();
    let motif = motif.display();
    let at = directory.path();
    run_ok(at, &format!("import meme {motif} -o motif.onnx"));
    run_ok(
        at,
        &format!(
            "simulate genome {motif} --length {length} --contigs {contigs} --sites {sites} -o genome.fa --truth truth.bed"
        ),
    );
    directory
}

/// Fills stretches of `genome.fa` with a letter each (offsets into the file, within sequence), and writes it again, and as
/// `genome.fa.gz`; gives its bytes.
pub(crate) fn put_runs(directory: &Path, runs: &[(Range<usize>, u8)]) -> Vec<u8> {
    let mut genome = fs::read(directory.join("genome.fa")).unwrap();
    for (stretch, letter) in runs {
        genome[stretch.clone()].fill(*letter);
    }
    fs::write(directory.join("genome.fa"), &genome).unwrap();
    fs::write(directory.join("genome.fa.gz"), gzip(&genome)).unwrap();
    genome
}

/// Runs the program, which must succeed.
pub(crate) fn run_ok(directory: &Path, words: &str) {
    stdout(directory, words);
}

/// The motif that comes with the project.
pub(crate) fn motif_file() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("models/ctcf-consensus.meme")
}

/// A file of the shared real data, or `None` (said on one line) where it is absent.
pub(crate) fn shared_data(file: &str) -> Option<PathBuf> {
    let path = Path::new(env!("CARGO_MANIFEST_DIR")).join("../shared/data").join(file);
    if path.exists() {
        return Some(path);
    }
    eprintln!("skipped: {file} is not in ../shared/data");
    None
}

/// A record of a BAM file.
#[derive(Debug, PartialEq, Eq)]
pub(crate) struct Tagged {
    pub(crate) name: String,
    /// All its tags, as in SAM.
    pub(crate) tags: String,
    /// Its line of SAM.
    pub(crate) text: String,
}

/// The records of a BAM file, and the text of its header.
pub(crate) fn tagged(bam: &[u8]) -> (Vec<Tagged>, String) {
    let mut reader = bam::io::Reader::new(bam);
    let header = reader.read_header().unwrap();
    let mut text = Vec::new();
    sam::io::Writer::new(&mut text).write_header(&header).unwrap();
    let records = reader.records().map(|record| {
        let mut line = sam::io::Writer::new(Vec::new());
        line.write_alignment_record(&header, &record.unwrap()).unwrap();
        let text = String::from_utf8(line.into_inner()).unwrap().trim_end().to_owned();
        let columns: Vec<&str> = text.splitn(12, '\t').collect();
        let tags = columns.get(11).copied().unwrap_or_default().to_owned();
        Tagged { name: columns[0].to_owned(), tags, text }
    });
    (records.collect(), String::from_utf8(text).unwrap())
}

/// Gzip-compresses bytes.
pub(crate) fn gzip(bytes: &[u8]) -> Vec<u8> {
    let mut encoder = flate2::write::GzEncoder::new(Vec::new(), flate2::Compression::fast());
    encoder.write_all(bytes).unwrap();
    encoder.finish().unwrap()
}
