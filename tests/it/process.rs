//! The program as a process: files that are replaced or are not, closed pipes, full disks, signals.
#![cfg(unix)]

use std::fs::{self, File};
use std::io::{Read, Write};
use std::os::unix::fs::symlink;
use std::path::Path;
use std::process::{Child, Command, Output, Stdio};
use std::time::{Duration, Instant};

use crate::common::{bindscan, error_line, failure, run, run_ok, simulated, stdout};

/// Longer than any step of these tests takes.
const PATIENCE: Duration = Duration::from_secs(120);

const SCAN: &str = "scan -m motif.onnx genome.fa --threshold 6";

fn start(at: &Path, words: &str) -> Command {
    let mut command = bindscan(words.split_whitespace());
    command.current_dir(at).stdin(Stdio::piped()).stdout(Stdio::piped()).stderr(Stdio::piped());
    command
}

/// Waits until something is the case.
fn wait_until(what: &str, mut is_so: impl FnMut() -> bool) {
    let start = Instant::now();
    while !is_so() {
        assert!(start.elapsed() < PATIENCE, "waited in vain: {what}");
        std::thread::sleep(Duration::from_millis(10));
    }
}

fn parts(at: &Path) -> usize {
    let entries = fs::read_dir(at).unwrap().map(|entry| entry.unwrap().file_name());
    entries.filter(|name| name.to_string_lossy().ends_with(".part")).count()
}

fn send(signal: &str, child: &Child) {
    let sent = Command::new("kill").args([&format!("-{signal}"), &child.id().to_string()]).status();
    assert!(sent.unwrap().success());
}

/// A folder with inputs of all subcommands.
fn with_inputs() -> tempfile::TempDir {
    let directory = simulated("20k", 1, 20);
    let at = directory.path();
    fs::copy(crate::common::motif_file(), at.join("motif.meme")).unwrap();
    fs::write(at.join("regions.bed"), "sim1\t100\t9000\n").unwrap();
    let genome = fs::read_to_string(at.join("genome.fa")).unwrap();
    let bases: String = genome.lines().skip(1).collect();
    let base = &bases[4999..5000];
    let other = if base.eq_ignore_ascii_case("A") { "C" } else { "A" };
    let calls = format!(
        "##fileformat=VCFv4.2\n##contig=<ID=sim1>\n#CHROM\tPOS\tID\tREF\tALT\tQUAL\tFILTER\tINFO\nsim1\t5000\t.\t{base}\t{other}\t.\t.\t.\n"
    );
    fs::write(at.join("calls.vcf"), calls).unwrap();
    fs::write(at.join("short.fa"), format!(">short\n{}\n", &bases[..500])).unwrap();
    let row = |i: usize| format!("{}\t{}\n", &bases[i * 60..i * 60 + 50], i % 2);
    let table: String = (0..40).map(row).collect();
    fs::write(at.join("data.tsv"), format!("sequence\ty\n{table}")).unwrap();
    for shard in 1..=2 {
        run_ok(at, &format!("{SCAN} --shard {shard}/2 -o shard{shard}.bed"));
    }
    directory
}

#[test]
fn no_subcommand_writes_over_what_it_reads() {
    let directory = with_inputs();
    let at = directory.path();
    let tries = [
        ("genome.fa", SCAN, "--format bed -o"),
        ("motif.onnx", SCAN, "--format bed -o"),
        ("genome.fa", SCAN, "-o sites.bed --report"),
        ("regions.bed", "scan -m motif.onnx genome.fa --threshold 6 -R regions.bed", "-o"),
        ("short.fa", "scan -m motif.onnx genome.fa --pvalue 1e-4 --background short.fa", "--format bed -o"),
        ("calls.vcf", "variants -m motif.onnx --genome genome.fa calls.vcf", "-o"),
        ("genome.fa", "variants -m motif.onnx --genome genome.fa calls.vcf", "--format vcf -o"),
        ("short.fa", "mutmap -m motif.onnx short.fa", "--format tsv -o"),
        ("short.fa", "score -m motif.onnx short.fa", "-o"),
        ("motif.meme", "import meme motif.meme", "-o"),
        ("shard1.bed", "merge shard1.bed shard2.bed", "-o"),
        ("motif.meme", "simulate genome motif.meme --length 1k --sites 1 --truth new.bed", "-o"),
        ("motif.meme", "simulate genome motif.meme --length 1k --sites 1 -o new.fa", "--truth"),
        ("genome.fa", "motifs motif.onnx --sequences genome.fa", "-o"),
        ("genome.fa", "motifs motif.onnx --sequences genome.fa -o new.meme", "--report"),
        ("data.tsv", "eval --quiet motif.onnx data.tsv", "-o"),
        ("data.tsv", "train --quiet data.tsv", "-o"),
        ("data.tsv", "train --quiet data.tsv -o new.onnx", "--report"),
        ("short.fa", "calibrate motif.onnx --background short.fa", "-o"),
    ];
    for (input, words, option) in tries {
        let before = fs::read(at.join(input)).unwrap();
        let hard = at.join("hard.bed");
        let _ = fs::remove_file(&hard);
        fs::hard_link(at.join(input), &hard).unwrap();
        let link = at.join("link.bed");
        let _ = fs::remove_file(&link);
        symlink(input, &link).unwrap();
        let absolute = at.join(input).display().to_string();
        let formatted = option.contains("--format") || words.contains("--format");
        for name in [input, &format!("./{input}"), &absolute, "link.bed", "hard.bed"] {
            if name.ends_with(".bed") && words.starts_with("variants") && !formatted {
                continue;
            }
            let line = error_line(at, &format!("{words} {option} {name}"));
            assert!(line.contains("is an input of this command"), "{words} {option} {name}: {line}");
            assert_eq!(fs::read(at.join(input)).unwrap(), before, "{words} {option} {name}");
        }
    }
    assert_eq!(parts(at), 0);
    for file in ["sites.bed", "new.fa", "new.bed", "new.meme", "new.onnx"] {
        assert!(!at.join(file).exists(), "{file}");
    }
}

#[test]
fn standard_input_is_an_input_too_and_a_model_is_calibrated_in_place() {
    let directory = with_inputs();
    let at = directory.path();
    let scan = "scan -m motif.onnx - --threshold 6 --format bed -o genome.fa";
    let genome = File::open(at.join("genome.fa")).unwrap();
    let output = start(at, scan).stdin(genome).output().unwrap();
    assert!(failure(output, scan, 1).contains("is an input"));
    run_ok(at, "calibrate motif.onnx --background uniform");
}

#[test]
fn two_outputs_are_two_files() {
    let directory = with_inputs();
    let at = directory.path();
    symlink("new.bed", at.join("link.bed")).unwrap();
    let vcf = "variants -m motif.onnx --genome genome.fa calls.vcf";
    for words in [
        format!("{SCAN} -o new.bed -o ./new.bed"),
        format!("{SCAN} -o new.bed -o link.bed"),
        format!("{SCAN} -o - -o /dev/stdout"),
        format!("{SCAN} -o new.bed --report ./new.bed"),
        format!("{vcf} -o new.vcf -o ./new.vcf"),
        "mutmap -m motif.onnx short.fa -o new.tsv -o ./new.tsv".into(),
        "motifs motif.onnx --sequences genome.fa -o new.meme --report new.meme".into(),
        "train --quiet data.tsv -o new.onnx --report ./new.onnx".into(),
        "simulate genome motif.meme --length 1k --sites 1 -o new.fa --truth new.fa".into(),
    ] {
        let line = error_line(at, &words);
        assert!(line.contains("two outputs would be written to it"), "{words}: {line}");
    }
    assert_eq!(parts(at), 0);
    // The file behind standard output would be replaced by the other output.
    let path = at.join("redirected.bed");
    let words = format!("{SCAN} -o - -o redirected.bed");
    let output = start(at, &words).stdout(File::create(&path).unwrap()).output().unwrap();
    assert!(failure(output, &words, 1).contains("two outputs"), "{words}");
}

#[test]
fn a_link_is_followed_even_to_a_file_that_is_still_to_come() {
    let directory = with_inputs();
    let at = directory.path();
    fs::create_dir(at.join("far")).unwrap();
    symlink("far/second.bed", at.join("first.bed")).unwrap();
    symlink("third.bed", at.join("far/second.bed")).unwrap();
    run_ok(at, &format!("{SCAN} -o first.bed"));
    assert!(fs::symlink_metadata(at.join("first.bed")).unwrap().is_symlink());
    assert!(fs::symlink_metadata(at.join("far/third.bed")).unwrap().is_file());
    symlink("loop.bed", at.join("loop.bed")).unwrap();
    assert!(error_line(at, &format!("{SCAN} -o loop.bed")).contains("symbolic links"));
}

#[test]
fn a_file_in_dev_is_replaced_as_any_other() {
    let Ok(shm) = tempfile::tempdir_in("/dev/shm") else {
        eprintln!("skipped: there is no /dev/shm");
        return;
    };
    let directory = with_inputs();
    let at = directory.path();
    let want = stdout(at, SCAN);
    let path = shm.path().join("sites.bed");
    fs::write(&path, "old\n".repeat(want.len())).unwrap();
    run_ok(at, &format!("{SCAN} -o {}", path.display()));
    assert_eq!(fs::read_to_string(&path).unwrap(), want);
}

#[test]
fn open_descriptors_are_written_where_they_stand() {
    let directory = with_inputs();
    let at = directory.path();
    let want = stdout(at, SCAN);
    let path = at.join("log.bed");
    for name in ["-", "/dev/stdout", "/dev/fd/1", "/proc/self/fd/1"] {
        if !Path::new("/proc/self/fd").exists() && name.starts_with("/proc") {
            continue;
        }
        for append in [true, false] {
            fs::write(&path, "before\n").unwrap();
            let mut file = File::options().append(append).write(true).open(&path).unwrap();
            if !append {
                file.write_all(b"BEFORE\n").unwrap();
            }
            let words = format!("{SCAN} --format bed -o {name}");
            let status = start(at, &words).stdout(file.try_clone().unwrap()).status().unwrap();
            assert!(status.success(), "{name}");
            // The place in the file is shared.
            file.write_all(b"after\n").unwrap();
            let before = if append { "before\n" } else { "BEFORE\n" };
            let text = fs::read_to_string(&path).unwrap();
            assert!(text == format!("{before}{want}after\n"), "{name}, append {append}");
        }
    }
    let script = format!("{} {SCAN} -o /dev/fd/3 3>three.bed; true", env!("CARGO_BIN_EXE_bindscan"));
    assert!(Command::new("sh").args(["-c", &script]).current_dir(at).status().unwrap().success());
    assert_eq!(fs::read_to_string(at.join("three.bed")).unwrap(), want);
}

/// Runs with a standard output that is closed after its first byte, or at once.
fn run_with_closed_pipe(at: &Path, words: &str, first: bool) -> Output {
    let mut child = start(at, words).spawn().unwrap();
    let mut pipe = child.stdout.take().unwrap();
    if first {
        pipe.read_exact(&mut [0]).unwrap();
    }
    drop(pipe);
    child.wait_with_output().unwrap()
}

#[test]
fn a_closed_pipe_costs_no_other_output() {
    let directory = simulated("300k", 1, 20);
    let at = directory.path();
    let genome = fs::read_to_string(at.join("genome.fa")).unwrap();
    let bases: String = genome.lines().skip(1).collect();
    let other = |base: &str| if base.eq_ignore_ascii_case("A") { "C" } else { "A" };
    let call =
        |i: usize| format!("sim1\t{}\t.\t{}\t{}\t.\t.\t.\n", i + 1, &bases[i..=i], other(&bases[i..=i]));
    let calls: String = (1000..21_000).map(call).collect();
    let head = "##fileformat=VCFv4.2\n##contig=<ID=sim1>\n#CHROM\tPOS\tID\tREF\tALT\tQUAL\tFILTER\tINFO\n";
    fs::write(at.join("calls.vcf"), format!("{head}{calls}")).unwrap();
    fs::write(at.join("short.fa"), format!(">s\n{}\n", &bases[..2000])).unwrap();
    let all = "scan -m motif.onnx genome.fa --all";
    let cases = [
        (format!("{all} -o got.bw -o -"), "bw"),
        (format!("{all} -o - -o got.bed.gz"), "bed.gz"),
        ("variants -m motif.onnx --genome genome.fa calls.vcf -o got.tsv -o -".into(), "tsv"),
        ("mutmap -m motif.onnx short.fa -o got.svg -o -".into(), "svg"),
    ];
    for (words, extension) in cases {
        let (got, want) = (at.join(format!("got.{extension}")), at.join(format!("want.{extension}")));
        run_ok(at, &words.replace("got", "want"));
        let output = run_with_closed_pipe(at, &words, true);
        assert!(output.status.success(), "{words}: {}", String::from_utf8_lossy(&output.stderr));
        assert!(fs::read(&got).unwrap() == fs::read(&want).unwrap(), "{words}");
    }
    let report = format!("{all} -o - --report got.html");
    assert!(run_with_closed_pipe(at, &report, true).status.success());
    assert!(fs::read_to_string(at.join("got.html")).unwrap().ends_with("</html>\n"));
    // Alone, it ends the run, and nothing is said.
    let output = run_with_closed_pipe(at, all, true);
    assert!(output.status.success() && output.stderr.is_empty());
    let output = run_with_closed_pipe(at, &format!("{all} -o got.bed -o -"), false);
    assert!(output.status.success() && at.join("got.bed").exists());
    assert_eq!(parts(at), 0);
}

#[test]
fn messages_that_cannot_be_written_cost_nothing() {
    let Ok(full) = File::options().write(true).open("/dev/full") else {
        eprintln!("skipped: there is no /dev/full");
        return;
    };
    let directory = with_inputs();
    let at = directory.path();
    for words in [
        &format!("{SCAN} -vv -o got.bed --report got.html"),
        "variants -v -m motif.onnx --genome genome.fa calls.vcf -o got.vcf",
        "mutmap -m motif.onnx short.fa -o got.tsv",
        "score -m motif.onnx short.fa -o scores.tsv",
        "calibrate motif.onnx --background uniform -o got.onnx",
        "import meme motif.meme -o got2.onnx",
    ] {
        let status = start(at, words).stderr(full.try_clone().unwrap()).status().unwrap();
        assert!(status.success(), "{words}");
        let output = words.split_whitespace().skip_while(|word| *word != "-o").nth(1).unwrap();
        assert!(at.join(output).exists(), "{words}");
    }
    let words = "scan -m motif.onnx missing.fa --threshold 6";
    assert_eq!(start(at, words).stderr(full).status().unwrap().code(), Some(1));
}

/// A scan that waits for the rest of its input, with an unfinished output.
fn waiting_scan(at: &Path, shell: Option<&str>) -> Child {
    let words = "scan -m motif.onnx - --threshold 6 -o got.bed";
    let mut child = match shell {
        None => start(at, words).spawn().unwrap(),
        Some(before) => {
            let script = format!("{before} exec {} {words}", env!("CARGO_BIN_EXE_bindscan"));
            let mut command = Command::new("sh");
            command.args(["-c", &script]).current_dir(at).stdin(Stdio::piped()).stderr(Stdio::piped());
            command.spawn().unwrap()
        }
    };
    child.stdin.as_mut().unwrap().write_all(b">c\nACGTACGTACGTACGTACGTACGTACGTACGTACGT\n").unwrap();
    wait_until("an output is begun", || parts(at) == 1);
    child
}

#[test]
fn signals_end_a_run_with_their_status_and_leave_nothing() {
    let directory = simulated("1k", 1, 1);
    let at = directory.path();
    for (number, signal, status) in [(2, "INT", 130), (15, "TERM", 143), (1, "HUP", 129)] {
        if crate::common::ignores(number) {
            eprintln!("skipped: SIG{signal} is ignored here");
            continue;
        }
        let child = waiting_scan(at, None);
        let start = Instant::now();
        send(signal, &child);
        // The input stays open.
        let mut child = child;
        wait_until("the run has ended", || child.try_wait().unwrap().is_some());
        assert!(start.elapsed() < Duration::from_secs(30));
        assert_eq!(failure(child.wait_with_output().unwrap(), signal, status), "bindscan: interrupted");
        assert!(parts(at) == 0 && !at.join("got.bed").exists(), "{signal}");
    }
    let mut child = waiting_scan(at, None);
    send("TERM", &child);
    send("TERM", &child);
    wait_until("the run has ended", || child.try_wait().unwrap().is_some());
    assert_eq!((child.wait().unwrap().code(), parts(at)), (Some(143), 0));
}

#[test]
fn signals_that_are_ignored_at_the_start_stay_ignored() {
    if !Path::new("/proc/self/status").exists() {
        eprintln!("skipped: this system does not tell which signals are ignored");
        return;
    }
    let directory = simulated("1k", 1, 1);
    let at = directory.path();
    for signal in ["HUP", "INT"] {
        let mut child = waiting_scan(at, Some(&format!("trap '' {signal};")));
        send(signal, &child);
        std::thread::sleep(Duration::from_millis(1500));
        assert!(child.try_wait().unwrap().is_none(), "{signal}");
        drop(child.stdin.take());
        assert!(child.wait().unwrap().success(), "{signal}");
        fs::remove_file(at.join("got.bed")).unwrap();
    }
}

#[test]
fn a_genome_that_is_cut_short_during_the_scan_is_named() {
    let directory = simulated("4M", 1, 1);
    let at = directory.path();
    // Nobody reads the output at first, so that the scan stops early in the genome.
    let words = "scan -m motif.onnx genome.fa --all -t 1 --chunk-size 10k -o - -o got.tsv";
    let mut child = start(at, words).spawn().unwrap();
    let mut pipe = child.stdout.take().unwrap();
    pipe.read_exact(&mut [0]).unwrap();
    File::options().write(true).open(at.join("genome.fa")).unwrap().set_len(100).unwrap();
    std::io::copy(&mut pipe, &mut std::io::sink()).unwrap();
    let line = failure(child.wait_with_output().unwrap(), words, 1);
    assert!(line.contains("genome.fa: was cut short while it was read"), "{line}");
    assert!(parts(at) == 0 && !at.join("got.tsv").exists());
}

#[test]
fn p_values_of_a_genome_from_a_pipe_say_what_to_do() {
    let directory = simulated("20k", 1, 5);
    let at = directory.path();
    let genome = fs::read(at.join("genome.fa")).unwrap();
    let scan = |options: &str| {
        let words = format!("scan -m motif.onnx /dev/stdin --pvalue 1e-4 {options}");
        let mut child = start(at, &words).spawn().unwrap();
        // The run may end before it has read everything.
        let _ = child.stdin.take().unwrap().write_all(&genome);
        child.wait_with_output().unwrap()
    };
    let line = failure(scan(""), "pipe", 1);
    assert!(line.contains("read once") && line.contains("--background"), "{line}");
    let piped = scan("--background genome.fa");
    assert!(piped.status.success(), "{}", String::from_utf8_lossy(&piped.stderr));
    let plain = stdout(at, "scan -m motif.onnx genome.fa --pvalue 1e-4");
    assert_eq!(String::from_utf8(piped.stdout).unwrap(), plain);
}

#[test]
fn the_summary_counts_what_was_written() {
    let directory = simulated("20k", 1, 20);
    let at = directory.path();
    let says = |words: &str| String::from_utf8(run(at, words).stderr).unwrap();
    let scores = says("scan -m motif.onnx genome.fa -o scores.bw");
    assert!(scores.contains("windows in ") && !scores.contains("site"), "{scores}");
    assert!(scores.contains("bp/s)") && !scores.contains("(0.0 "), "{scores}");
    let q = says("scan -m motif.onnx genome.fa --qvalue 0.05 -o sites.bed");
    let lines = fs::read_to_string(at.join("sites.bed")).unwrap().lines().count();
    assert!(q.contains(&format!(" {lines} site")), "{q}");
}

#[test]
fn a_terminal_shows_life_before_the_first_chunk_is_done() {
    let directory = simulated("1k", 1, 1);
    let at = directory.path();
    let command =
        format!("{} scan -m motif.onnx - --threshold 6 -o got.bed < pipe", env!("CARGO_BIN_EXE_bindscan"));
    assert!(Command::new("mkfifo").arg(at.join("pipe")).status().unwrap().success());
    let mut terminal = Command::new("script");
    terminal.args(["-qec", &command, "/dev/null"]).current_dir(at).env("TERM", "xterm");
    terminal.stdin(Stdio::null()).stdout(Stdio::piped());
    let Ok(mut child) = terminal.spawn() else {
        eprintln!("skipped: there is no script(1)");
        return;
    };
    let mut pipe = File::options().write(true).open(at.join("pipe")).unwrap();
    pipe.write_all(b">contig with a long name\n").unwrap();
    let mut shown = Vec::new();
    let mut output = child.stdout.take().unwrap();
    while !String::from_utf8_lossy(&shown).contains("scanning the first chunk") {
        let mut piece = [0; 4096];
        let count = output.read(&mut piece).unwrap();
        assert!(count > 0, "{}", String::from_utf8_lossy(&shown));
        shown.extend_from_slice(&piece[..count]);
    }
    pipe.write_all(b"ACGTACGTACGTACGTACGTACGTACGTACGT\n").unwrap();
    drop(pipe);
    std::io::copy(&mut output, &mut std::io::sink()).unwrap();
    assert!(child.wait().unwrap().success());
}
