//! Every wrong input ends with one clear line, exit status 1, and nothing under the final name.

use std::fs;
use std::path::Path;

use crate::common::{bindscan, error_line, failure, gzip, run, simulated};

/// Asserts that the run fails with one line that contains all of `parts`, and leaves no file behind.
fn fails(directory: &Path, words: &str, parts: &[&str]) {
    let line = error_line(directory, &format!("{words} -o out.bed"));
    for part in parts {
        assert!(line.contains(part), "{words} says {line}, which has no {part:?}");
    }
    let left: Vec<_> = fs::read_dir(directory)
        .unwrap()
        .map(|entry| entry.unwrap().file_name().to_string_lossy().into_owned())
        .filter(|name| name.contains("out.bed"))
        .collect();
    assert!(left.is_empty(), "{words} left {left:?}");
}

#[test]
fn genomes() {
    let directory = simulated("20k", 1, 5);
    let at = directory.path();
    let write = |name: &str, bytes: &[u8]| fs::write(at.join(name), bytes).unwrap();
    let scan = "scan -m motif.onnx --threshold 5";
    let compressed = gzip(&fs::read(at.join("genome.fa")).unwrap());
    write("cut.fa.gz", &compressed[..compressed.len() / 2]);
    let mut corrupt = compressed;
    let middle = corrupt.len() / 2;
    corrupt[middle..middle + 64].fill(0x55);
    write("corrupt.fa.gz", &corrupt);
    write("garbage.fa", &[0x7F, b'E', b'L', b'F', 0, 1, 2, 3, 0xFF, 0xFE, b'\n', 0, 0]);
    write("empty.fa", b"");
    write("blank.fa", b"\n\n\n");
    write("headless.fa", b"ACGT\nACGT\n");
    write("letters.fa", b">chr1\nACGT\nAC?T\n");
    write("twice.fa", b">chr1\nACGT\n>chr2\nAC\n>chr1 again\nGG\n");
    fs::create_dir(at.join("folder")).unwrap();

    fails(at, "scan -m - --threshold 5 -", &["models and the genome", "standard input"]);
    fails(at, "mutmap -m motif.onnx genome.fa -r sim1", &["give --genome genome.fa"]);
    fails(at, "mutmap -m motif.onnx -r sim1", &["their genome: --genome"]);
    fails(at, "profile -m ELK1 genome.fa", &["ELK1", "has no profile"]);
    fails(at, &format!("{scan} missing.fa"), &["missing.fa", "No such file"]);
    fails(at, &format!("{scan} folder"), &["folder", "directory"]);
    fails(at, &format!("{scan} cut.fa.gz"), &["cut.fa.gz"]);
    fails(at, &format!("{scan} corrupt.fa.gz"), &["corrupt.fa.gz"]);
    fails(at, &format!("{scan} garbage.fa"), &["garbage.fa"]);
    fails(at, &format!("{scan} empty.fa"), &["empty.fa", "empty"]);
    fails(at, &format!("{scan} blank.fa"), &["blank.fa"]);
    fails(at, &format!("{scan} headless.fa"), &["headless.fa", "line 1"]);
    fails(at, &format!("{scan} letters.fa"), &["letters.fa", "line 3", "chr1"]);
    fails(at, &format!("{scan} twice.fa"), &["twice.fa", "line 5", "chr1"]);
    fails(at, &format!("{scan} genome.fa -r 1"), &["1", "sim1"]);
    fails(at, &format!("{scan} genome.fa -r sim1:100-99999"), &["sim1", "99999", "20000"]);
    fails(at, &format!("{scan} genome.fa -R missing.bed"), &["missing.bed"]);

    write("one.fa", b">chr1\nA\n");
    let output = run(at, &format!("{scan} one.fa"));
    assert!(output.status.success() && output.stdout.is_empty());
}

#[test]
fn models() {
    let directory = simulated("20k", 1, 5);
    let at = directory.path();
    let write = |name: &str, bytes: &[u8]| fs::write(at.join(name), bytes).unwrap();
    write("text.onnx", b"this is no model\n");
    write("empty.onnx", b"");
    let whole = fs::read(at.join("motif.onnx")).unwrap();
    write("cut.onnx", &whole[..whole.len() / 2]);
    for file in ["text.onnx", "empty.onnx", "cut.onnx", "genome.fa"] {
        fails(at, &format!("scan -m {file} genome.fa --threshold 5"), &[file]);
    }
    fails(at, "scan -m missing.onnx genome.fa --threshold 5", &["missing.onnx", "No such file"]);
    fails(at, "scan -m motif.onnx genome.fa --threshold 5 --window 14", &["CTCF-consensus", "14", "15"]);
    fails(at, "scan -m motif.onnx -m motif.onnx genome.fa --threshold 5", &["CTCF-consensus"]);
    fails(
        at,
        "scan -m motif.onnx genome.fa --threshold 5 --engine reference --device cuda",
        &["--engine onnx"],
    );
    fails(at, "scan -m motif.onnx genome.fa --threshold 5 --threshold 6", &["2 thresholds", "1 model"]);
}

#[test]
fn parameter_and_motif_files() {
    let directory = tempfile::tempdir().unwrap();
    let at = directory.path();
    let write = |name: &str, text: &str| fs::write(at.join(name), text).unwrap();
    let mut numbers = vec!["0.5"; 16];
    let parameters = |thresholds: &str| {
        let detectors = vec!["0.1"; 16 * 4 * 4].join(",");
        let weights = vec!["1"; 16].join(",");
        format!(
            "# deepbind 0.1\nreverse_complement = 1\nnum_detectors = 16\ndetector_len = 4\nhas_avg_pooling = 0\n\
             num_hidden = 0\ndetectors = {detectors}\n{thresholds}weights1 = {weights}\nbiases1 = 0\nweights2 = \nbiases2 = \n"
        )
    };
    write("good.txt", &parameters(&format!("thresholds = {}\n", numbers.join(","))));
    crate::common::run_ok(at, "import deepbind good.txt -o good.onnx");
    write("short.txt", &parameters(&format!("thresholds = {}\n", numbers[1..].join(","))));
    numbers[7] = "nan";
    write("nan.txt", &parameters(&format!("thresholds = {}\n", numbers.join(","))));
    write("missing.txt", &parameters(""));
    write("garbage.txt", "\u{1}\u{2}\u{3}");
    fails(at, "import deepbind short.txt", &["short.txt", "line 8"]);
    fails(at, "import deepbind nan.txt", &["nan.txt", "line 8"]);
    fails(at, "import deepbind missing.txt", &["missing.txt", "thresholds"]);
    fails(at, "import deepbind garbage.txt", &["garbage.txt"]);

    let matrix = |rows: &str| {
        format!(
            "MEME version 4\n\nALPHABET= ACGT\n\nMOTIF M1\nletter-probability matrix: alength= 4 w= 2\n{rows}"
        )
    };
    write("good.meme", &matrix("0.25 0.25 0.25 0.25\n1 0 0 0\n"));
    crate::common::run_ok(at, "import meme good.meme -o m1.onnx");
    write("short.meme", &matrix("0.25 0.25 0.25 0.25\n"));
    write("letters.meme", &matrix("0.25 0.25 x 0.25\n1 0 0 0\n"));
    write("none.meme", "MEME version 4\n\nALPHABET= ACGT\n");
    fails(at, "import meme short.meme", &["short.meme"]);
    fails(at, "import meme letters.meme", &["letters.meme", "line 7"]);
    fails(at, "import meme none.meme", &["none.meme"]);
    fails(at, "import meme good.meme --motif M2", &["good.meme", "M2", "M1"]);
}

#[test]
fn sequences_to_score() {
    let directory = simulated("20k", 1, 5);
    let at = directory.path();
    fs::write(at.join("lines.txt"), "ACGTACGTACGTACGTACGT\nACGT-CGT\n").unwrap();
    fails(at, "score -m motif.onnx lines.txt", &["lines.txt", "line 2", "'-'"]);
    fs::write(at.join("table.tsv"), "id\tseq\n1\tACGT\n").unwrap();
    fails(at, "score -m motif.onnx table.tsv --column sequence", &["table.tsv", "sequence", "id, seq"]);
    fails(at, "score -m motif.onnx missing.txt", &["missing.txt"]);
}

#[test]
fn outputs_that_cannot_be_written() {
    let directory = simulated("20k", 1, 5);
    let at = directory.path();
    let scan = "scan -m motif.onnx genome.fa --threshold 5";
    for (target, part) in
        [("no/such/folder.bed", "cannot create"), (".", "directory"), ("x.bigfoot", "--format")]
    {
        let line = error_line(at, &format!("{scan} -o {target}"));
        assert!(line.contains(part), "{line}");
    }
    if Path::new("/dev/full").exists() {
        let line = error_line(at, "scan -m motif.onnx genome.fa --all -o /dev/full");
        assert!(line.contains("/dev/full") && line.contains("space"), "{line}");
        let full = fs::File::options().write(true).open("/dev/full").unwrap();
        let words = "scan -m motif.onnx genome.fa --all";
        let output = bindscan(words.split(' ')).current_dir(at).stdout(full).output().unwrap();
        assert!(failure(output, words, 1).contains("space"));
    }
}

#[test]
fn onnx_runtime_that_is_no_library() {
    let directory = simulated("20k", 1, 5);
    let at = directory.path();
    fs::write(at.join("libonnxruntime.so"), "no library").unwrap();
    let words = "scan -m motif.onnx genome.fa --threshold 5 --engine onnx";
    for library in ["libonnxruntime.so", "missing.so"] {
        let library = at.join(library);
        let run =
            bindscan(words.split(' ')).current_dir(at).env("ORT_DYLIB_PATH", &library).output().unwrap();
        let line = failure(run, words, 1);
        assert!(line.contains(&*library.to_string_lossy()), "{line}");
    }
    let nowhere = [
        ("ORT_DYLIB_PATH", ""),
        ("XDG_DATA_HOME", "/nonexistent"),
        ("HOME", "/nonexistent"),
        ("LD_LIBRARY_PATH", ""),
    ];
    let mut run = bindscan(words.split(' '));
    run.current_dir(at).envs(nowhere).env_remove("ORT_DYLIB_PATH");
    let output = run.output().unwrap();
    // A library in a system folder would be found all the same.
    if !output.status.success() {
        let line = failure(output, words, 1);
        assert!(line.contains("install-onnxruntime"), "{line}");
    }
}

#[test]
fn wrong_usage_is_status_2() {
    let directory = tempfile::tempdir().unwrap();
    for words in ["scan", "nothing", "scan -m x g.fa --threshold ten", "scan -m x g.fa --all --stride 0"] {
        assert_eq!(run(directory.path(), words).status.code(), Some(2), "{words}");
    }
}

#[cfg(unix)]
#[test]
fn an_interrupted_scan_leaves_nothing_under_the_final_name() {
    use std::process::{Command, Stdio};
    if crate::common::ignores(2) {
        eprintln!("skipped: SIGINT is ignored here");
        return;
    }
    let directory = simulated("20M", 1, 5);
    let at = directory.path();
    let words = "scan -m motif.onnx genome.fa --all --engine reference -o out.bed";
    let mut child = bindscan(words.split(' ')).current_dir(at).stderr(Stdio::piped()).spawn().unwrap();
    std::thread::sleep(std::time::Duration::from_millis(300));
    Command::new("kill").args(["-INT", &child.id().to_string()]).status().unwrap();
    let status = child.wait().unwrap();
    assert_eq!(status.code(), Some(130));
    let left: Vec<_> = fs::read_dir(at).unwrap().map(|e| e.unwrap().file_name()).collect();
    assert!(left.iter().all(|name| !name.to_string_lossy().contains("out.bed")), "{left:?}");
}
