//! `bindscan scan --resume`: interrupted at any moment, a scan leaves whole files or none, and goes on to the same bytes.

use std::fs::{self, File};
use std::path::Path;
use std::process::{Child, Stdio};
use std::time::{Duration, Instant};

use crate::common::{bindscan, error_line, failure, put_runs, run, run_ok, simulated};
use flate2::Crc;
use rand::{RngExt, SeedableRng};
use rand_xoshiro::Xoshiro256PlusPlus as Random;
use serde_json::{Value, json};

const TRACKS: [&str; 5] = ["sites.bed", "sites.gff3.gz", "sites.gff3.gz.tbi", "plus.bedGraph", "scores.bw"];

const OUTPUTS: &str = "-o sites.bed -o sites.gff3.gz -o {strand}.bedGraph -o scores.bw";

fn start(at: &Path, words: &str) -> Child {
    let mut command = bindscan(words.split_whitespace());
    command.current_dir(at).stdout(Stdio::null()).stderr(Stdio::piped()).spawn().unwrap()
}

/// Files in the folder by their names, without what the test itself has put there.
fn files(at: &Path) -> Vec<String> {
    let names = fs::read_dir(at).unwrap().map(|entry| entry.unwrap().file_name().into_string().unwrap());
    let mut names: Vec<String> =
        names.filter(|name| !["genome", "motif", "truth"].iter().any(|own| name.starts_with(own))).collect();
    names.sort();
    names
}

fn take_tracks(at: &Path) -> Vec<Vec<u8>> {
    let take = |track: &&str| {
        let bytes = fs::read(at.join(track)).unwrap();
        fs::remove_file(at.join(track)).unwrap();
        bytes
    };
    let tracks = TRACKS.iter().map(take).collect();
    fs::remove_file(at.join("minus.bedGraph")).unwrap();
    tracks
}

/// Kills scans `kills` times, and more until one has gone on from where another was killed, each after a random while, and
/// compares whatever they finish. Gives how many went on.
fn kill_and_compare(at: &Path, words: &str, kills: usize) -> usize {
    let begun = Instant::now();
    run_ok(at, words);
    let whole = begun.elapsed();
    let want = take_tracks(at);
    let random = &mut Random::seed_from_u64(kills as u64);
    let words = format!("{words} --resume");
    let (mut killed, mut resumed) = (0, 0);
    while killed < kills || (resumed == 0 && killed < 50 * kills) {
        let mut scan = start(at, &words);
        // Half of them once something is done that another can go on from.
        while killed % 2 == 1
            && !at.join(".sites.bed.resume/state").exists()
            && scan.try_wait().unwrap().is_none()
        {
            std::thread::sleep(Duration::from_millis(1));
        }
        // Preparing p-values may take most of the time.
        std::thread::sleep(whole.mul_f64(random.random_range(0.0..1.0)));
        if scan.try_wait().unwrap().is_none() {
            scan.kill().unwrap();
            killed += 1;
        }
        let output = scan.wait_with_output().unwrap();
        resumed += usize::from(String::from_utf8_lossy(&output.stderr).contains("continuing after"));
        let there: Vec<String> = files(at).into_iter().filter(|name| !name.starts_with('.')).collect();
        if output.status.success() {
            assert!(files(at).iter().all(|name| !name.starts_with('.')), "left: {:?}", files(at));
            assert!(take_tracks(at) == want);
        } else {
            // Between two renames, some have their names; these are whole.
            for track in TRACKS.iter().zip(&want).filter(|(track, _)| there.iter().any(|name| name == *track))
            {
                assert!(&fs::read(at.join(track.0)).unwrap() == track.1, "{} is not whole", track.0);
            }
        }
    }
    let last = run(at, &words);
    assert!(last.status.success(), "{}", String::from_utf8_lossy(&last.stderr));
    assert!(files(at).iter().all(|name| !name.starts_with('.')), "left: {:?}", files(at));
    assert!(take_tracks(at) == want);
    resumed
}

#[test]
fn scans_killed_at_any_moment_go_on_to_the_same_bytes() {
    let directory = simulated("150k", 3, 300);
    let at = directory.path();
    put_runs(at, &[(60_000..70_000, b'C')]);
    let words =
        format!("scan -m motif.onnx --engine reference --threshold -8 -t 2 --chunk-size 1500 {OUTPUTS}");
    let resumed = kill_and_compare(at, &format!("{words} genome.fa"), 50);
    assert!(resumed > 0);
    // From a place in the middle of a stream, and of a shard.
    assert!(kill_and_compare(at, &format!("{words} genome.fa.gz"), 10) > 0);
    assert!(kill_and_compare(at, &format!("{words} genome.fa --shard 2/3"), 10) > 0);
    // While sites wait for their q-values.
    let words =
        format!("scan -m motif.onnx --qvalue 0.2 --background uniform -t 2 --chunk-size 1500 {OUTPUTS}");
    assert!(kill_and_compare(at, &format!("{words} genome.fa"), 10) > 0);
}

#[test]
fn a_bigbed_goes_on_as_well() {
    let directory = simulated("400k", 2, 300);
    let at = directory.path();
    let words = "scan -m ELK1 --threshold 0 -t 1 --chunk-size 1500 genome.fa";
    run_ok(at, &format!("{words} -o whole.bb"));
    let words = format!("{words} --resume -o sites.bb");
    let mut scan = start(at, &words);
    while !at.join(".sites.bb.resume/state").exists() {
        std::thread::sleep(Duration::from_millis(1));
    }
    scan.kill().unwrap();
    scan.wait().unwrap();
    run_ok(at, &words);
    assert!(fs::read(at.join("sites.bb")).unwrap() == fs::read(at.join("whole.bb")).unwrap());
}

#[test]
fn a_killed_scan_leaves_no_file_of_its_name_and_the_next_one_tidies_up() {
    let directory = simulated("1M", 2, 10);
    let at = directory.path();
    let words = "scan -m ELK1 --threshold 0 genome.fa -t 1 -o sites.bed";
    let mut scan = start(at, words);
    while !files(at).iter().any(|name| name.ends_with(".part")) {
        std::thread::sleep(Duration::from_millis(1));
    }
    scan.kill().unwrap();
    scan.wait().unwrap();
    assert!(!at.join("sites.bed").exists());
    run_ok(at, words);
    assert_eq!(files(at), ["sites.bed"]);
}

#[test]
fn a_page_tells_of_the_whole_scan_after_an_interruption() {
    let directory = simulated("120k", 3, 300);
    let at = directory.path();
    let random = &mut Random::seed_from_u64(11);
    for choose in ["-m motif.onnx -m ELK1 --threshold 4", "-m motif.onnx --qvalue 0.3 --background uniform"] {
        let scan = format!("scan genome.fa {choose} -t 2 --chunk-size 300 -o sites.bed --report page.html");
        let page = || {
            let html = fs::read_to_string(at.join("page.html")).unwrap();
            fs::remove_file(at.join("page.html")).unwrap();
            // The command and the time that it took differ.
            let mut shown = html;
            for name in ["<dt>Run</dt>", "<dt>Command</dt>"] {
                let (from, row) = shown.split_once(name).unwrap();
                shown = from.to_owned() + row.split_once("</dd>").unwrap().1;
            }
            shown
        };
        run_ok(at, &scan);
        let want = (fs::read(at.join("sites.bed")).unwrap(), page());
        let state = at.join(".sites.bed.resume/state");
        let mut resumed = 0;
        for _ in 0..200 {
            let mut child = start(at, &format!("{scan} --resume"));
            while !state.exists() && child.try_wait().unwrap().is_none() {
                std::thread::sleep(Duration::from_millis(1));
            }
            std::thread::sleep(Duration::from_millis(random.random_range(0..200)));
            let _ = child.kill();
            child.wait().unwrap();
            let _ = fs::remove_file(at.join("page.html"));
            let output = run(at, &format!("{scan} --resume"));
            let said = String::from_utf8(output.stderr).unwrap();
            assert!(output.status.success(), "{said}");
            assert!((fs::read(at.join("sites.bed")).unwrap(), page()) == want, "{choose}: {said}");
            resumed += usize::from(said.contains("continuing after"));
            if resumed == 4 {
                break;
            }
        }
        assert!(resumed > 0, "{choose}");
        // State that was kept without a page is not enough for one.
        let mut child = start(at, &scan.replace("--report page.html", "--resume"));
        while !state.exists() && child.try_wait().unwrap().is_none() {
            std::thread::sleep(Duration::from_millis(1));
        }
        if child.kill().is_ok() && !child.wait().unwrap().success() && state.exists() {
            assert!(error_line(at, &format!("{scan} --resume")).contains("was left by an interrupted scan"));
            run_ok(at, &scan.replace("--report page.html", "--resume"));
        }
    }
}

#[test]
fn a_page_that_cannot_be_written_costs_neither_state_nor_order() {
    let directory = simulated("400k", 2, 100);
    let at = directory.path();
    let words = "scan -m ELK1 genome.fa -t 1 --chunk-size 2000 --resume -o sites.bed --threshold 0 --report page.html";
    let mut scan = start(at, words);
    while !at.join(".sites.bed.resume/state").exists() {
        std::thread::sleep(Duration::from_millis(1));
    }
    // The page cannot take its name any more.
    fs::create_dir(at.join("page.html")).unwrap();
    assert!(!scan.wait().unwrap().success());
    assert!(at.join(".sites.bed.resume/state").exists());
    fs::remove_dir(at.join("page.html")).unwrap();
    let said = String::from_utf8(run(at, words).stderr).unwrap();
    assert!(said.contains("continuing after"), "{said}");
    assert!(at.join("page.html").is_file() && !at.join(".sites.bed.resume").exists());
}

#[test]
fn what_cannot_go_on_is_refused() {
    let directory = simulated("1M", 2, 10);
    let at = directory.path();
    let words = "scan -m ELK1 genome.fa -t 1 --chunk-size 2000 --resume -o sites.bed --threshold";
    let mut scan = start(at, &format!("{words} 0"));
    while !at.join(".sites.bed.resume/state").exists() {
        std::thread::sleep(Duration::from_millis(1));
    }
    let said = error_line(at, &format!("{words} 0"));
    assert!(said.contains("at work on this output already"), "{said}");
    scan.kill().unwrap();
    scan.wait().unwrap();

    let said = error_line(at, &format!("{words} 1"));
    assert!(
        said.contains(".sites.bed.resume: was left by an interrupted scan with another command"),
        "{said}"
    );
    // A regions file has other content than before.
    fs::write(at.join("motif.bed"), "sim1\t0\t500000\nsim2\t0\t400000\n").unwrap();
    let regions =
        "scan -m ELK1 genome.fa -t 1 --chunk-size 2000 --resume -o r.bed --threshold 0 -R motif.bed";
    let mut scan = start(at, regions);
    while !at.join(".r.bed.resume/state").exists() {
        std::thread::sleep(Duration::from_millis(1));
    }
    scan.kill().unwrap();
    scan.wait().unwrap();
    fs::write(at.join("motif.bed"), "sim1\t0\t500000\nsim2\t0\t400001\n").unwrap();
    assert!(error_line(at, regions).contains("was left by an interrupted scan"));
    fs::remove_dir_all(at.join(".r.bed.resume")).unwrap();

    // The genome has changed since.
    let genome = File::options().append(true).open(at.join("genome.fa")).unwrap();
    genome.set_modified(std::time::SystemTime::UNIX_EPOCH).unwrap();
    assert!(error_line(at, &format!("{words} 0")).contains("was left by an interrupted scan"));
    // Without --resume, the scan begins anew.
    run_ok(at, "scan -m ELK1 genome.fa --threshold 0 -o sites.bed");

    let said = error_line(at, "scan -m ELK1 genome.fa --threshold 0 --resume");
    assert!(said.contains("--resume") && said.contains("-o"), "{said}");
    let scan = bindscan("scan -m ELK1 - --threshold 0 --resume -o x.bed".split_whitespace())
        .current_dir(at)
        .stdin(File::open(at.join("genome.fa")).unwrap())
        .output();
    let said = failure(scan.unwrap(), "stdin", 1);
    assert!(said.contains("standard input"), "{said}");
    assert!(!at.join("x.bed").exists());
}

fn checked(json: &Value) -> Vec<u8> {
    let text = json.to_string().into_bytes();
    let mut sum = Crc::new();
    sum.update(&text);
    [&sum.sum().to_le_bytes()[..], &text].concat()
}

/// Contents that no scan has left are told from damaged bytes by nothing but themselves: the checksums are right.
#[test]
fn a_state_that_no_scan_has_left_is_refused() {
    let directory = simulated("150k", 2, 100);
    let at = directory.path();
    let words = "scan -m motif.onnx --engine reference --threshold -8 -t 1 --chunk-size 1500 genome.fa --resume -o sites.bed -o scores.bw";
    let mut scan = start(at, words);
    let folder = at.join(".sites.bed.resume");
    while !folder.join("state").exists() {
        std::thread::sleep(Duration::from_millis(1));
    }
    scan.kill().unwrap();
    scan.wait().unwrap();
    let (state, log) = (fs::read(folder.join("state")).unwrap(), fs::read(folder.join("log")).unwrap());
    let sound: Value = serde_json::from_slice(&state[4..]).unwrap();
    let refused = |what: &str| {
        let output = run(at, words);
        let said = String::from_utf8(output.stderr).unwrap();
        assert_eq!(output.status.code(), Some(1), "{what}: {said}");
        let last = said.lines().last().unwrap_or_default();
        assert!(last.contains(".sites.bed.resume: is damaged; remove this folder"), "{what}: {said}");
        assert!(!at.join("sites.bed").exists() && !at.join("scores.bw").exists(), "{what}");
        fs::write(folder.join("log"), &log).unwrap();
    };
    for (place, value) in [
        ("/pending", json!([1, 2, 3])),
        ("/scores", json!([])),
        ("/scores/0/pending", json!([[100, 50, 0, 1, 0]])),
        ("/scores/0/pending", json!([[100, 110, 0, 1, 0], [90, 95, 0, 1, 0]])),
        ("/scores/0/pending", json!([[100, u64::MAX, 0, 1, 0]])),
        ("/summary/bases", json!(u64::MAX)),
        ("/windows", json!([u64::MAX])),
        ("/place/segments", json!(u64::MAX)),
    ] {
        let mut changed = sound.clone();
        *changed.pointer_mut(place).unwrap() = value;
        fs::write(folder.join("state"), checked(&changed)).unwrap();
        refused(place);
    }
    // Values held back that come behind those that are next.
    let mut changed = sound.clone();
    changed["scores"][0]["pending"] = json!([[4000, 4001, 0, 1, 0]]);
    fs::write(folder.join("state"), checked(&changed)).unwrap();
    let output = run(at, words);
    let said = String::from_utf8(output.stderr).unwrap();
    assert!(said.contains("values are not in order") && output.status.code() == Some(1), "{said}");
    assert!(!at.join("sites.bed").exists() && !at.join("scores.bw").exists());
    fs::write(folder.join("log"), &log).unwrap();
    // A record of a track that the scan does not have.
    fs::write(folder.join("state"), &state).unwrap();
    let mut changed = log.clone();
    let length = u64::from_le_bytes(log[..8].try_into().unwrap()) as usize;
    changed[13..21].copy_from_slice(&77u64.to_le_bytes());
    let mut sum = Crc::new();
    sum.update(&changed[..8]);
    sum.update(&changed[12..12 + length]);
    changed[8..12].copy_from_slice(&sum.sum().to_le_bytes());
    fs::write(folder.join("log"), changed).unwrap();
    refused("a track");
    run_ok(at, words);
    assert!(at.join("sites.bed").exists() && !folder.exists());
}
