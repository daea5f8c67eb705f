//! Services of the program for a shell: completions, manual pages, versions, colours.

use std::fs;
use std::io::Write;
use std::path::Path;
use std::process::{Command, Stdio};

use crate::common::{bindscan, error_line, stdout};

#[test]
fn completions_know_the_options_and_bash_can_read_them() {
    let here = Path::new(".");
    for shell in ["bash", "elvish", "fish", "powershell", "zsh"] {
        let script = stdout(here, &format!("completions {shell}"));
        for word in ["simulate", "threshold", "regions-file"] {
            assert!(script.contains(word), "{shell} completes no {word}");
        }
    }
    let script = stdout(here, "completions bash");
    let Ok(mut bash) = Command::new("bash").stdin(Stdio::piped()).stdout(Stdio::piped()).spawn() else {
        eprintln!("skipped: there is no bash");
        return;
    };
    let ask = |words: &str, word: &str, before: &str| {
        let last = words.split_whitespace().count() - 1;
        format!(
            "COMP_WORDS=({words}); COMP_CWORD={last}; _bindscan bindscan {word} {before}; echo ${{COMPREPLY[@]}}"
        )
    };
    let asked = [
        ask("bindscan scan --thr", "--thr", "scan"),
        ask("bindscan scan -m EL", "EL", "-m"),
        ask("bindscan scan --model Carg", "Carg", "--model"),
        ask("bindscan scan --engine k", "k", "--engine"),
        ask("bindscan scan --strand b", "b", "--strand"),
    ];
    write!(bash.stdin.take().unwrap(), "{script}\n{}\n", asked.join("\n")).unwrap();
    let answer = String::from_utf8(bash.wait_with_output().unwrap().stdout).unwrap();
    let answers: Vec<&str> = answer.lines().collect();
    // The tests run beside Cargo.toml: a model may be a file, too.
    let expected = ["--threshold", "ELK1", "Cargo.lock", "kernel", "both"];
    assert_eq!(answers.len(), expected.len(), "{answers:?}");
    for (expected, answer) in expected.into_iter().zip(answers) {
        assert!(
            answer.split_whitespace().any(|word| word == expected),
            "bash offers {answer:?}, not {expected}"
        );
    }
}

/// Runs a program with `script` on standard input; `None` (said on one line) where it is not installed.
fn shell(program: &str, args: &[&str], script: &str) -> Option<String> {
    let child = Command::new(program)
        .args(args)
        .env("HOME", std::env::temp_dir())
        .stdin(Stdio::piped())
        .stdout(Stdio::piped())
        .stderr(Stdio::piped())
        .spawn();
    let Ok(mut child) = child else {
        eprintln!("skipped: there is no {program}");
        return None;
    };
    child.stdin.take().unwrap().write_all(script.as_bytes()).unwrap();
    let output = child.wait_with_output().unwrap();
    let complaint = String::from_utf8_lossy(&output.stderr).into_owned();
    assert!(output.status.success() && complaint.is_empty(), "{program}: {complaint}");
    Some(String::from_utf8(output.stdout).unwrap())
}

#[test]
fn zsh_and_fish_load_their_completions() {
    let here = Path::new(".");
    let zsh = format!(
        "autoload -Uz compinit; compinit -u -D\nsource /dev/stdin <<'COMPLETIONS'\n{}\nCOMPLETIONS\nprint ${{_comps[bindscan]}}\n",
        stdout(here, "completions zsh")
    );
    if let Some(answer) = shell("zsh", &["-f"], &zsh) {
        assert_eq!(answer.trim(), "_bindscan");
    }
    let fish = format!("{}\ncomplete -C 'bindscan scan --thr'\n", stdout(here, "completions fish"));
    if let Some(answer) = shell("fish", &["--no-config"], &fish) {
        assert!(answer.contains("--threshold\t"), "fish offers {answer:?}");
    }
}

#[test]
fn manual_pages_have_no_faults_that_groff_warns_of() {
    let directory = tempfile::tempdir().unwrap();
    stdout(directory.path(), "man -o .");
    for page in fs::read_dir(directory.path()).unwrap().map(|entry| entry.unwrap().path()) {
        let text = fs::read_to_string(&page).unwrap();
        let Some(shown) = shell("groff", &["-man", "-Kutf8", "-Tutf8", "-ww", "-P-cbou"], &text) else {
            return;
        };
        assert!(shown.contains("NAME") && shown.contains("SYNOPSIS"), "{}", page.display());
    }
}

#[test]
fn more_is_said_on_request_and_nothing_when_quiet() {
    let directory = crate::common::simulated("20k", 1, 5);
    let says = |flags: &str| {
        let words = format!("scan -m motif.onnx genome.fa --threshold 9 -o sites.bed {flags}");
        String::from_utf8(crate::common::run(directory.path(), &words).stderr).unwrap()
    };
    assert_eq!(says("--quiet"), "");
    let [plain, more, most] = ["", "-v", "-vv"].map(|flags| says(flags).lines().count());
    assert_eq!(plain, 1);
    assert!(plain < more && more < most, "{plain} {more} {most}");
    assert!(says("-v").contains("engine kernel/"));
    assert!(says("-vv").contains("SHA-256"));
}

#[test]
fn each_subcommand_has_a_manual_page() {
    let directory = tempfile::tempdir().unwrap();
    assert!(stdout(directory.path(), "man").contains(".TH bindscan 1"));
    stdout(directory.path(), "man -o .");
    for page in ["bindscan", "bindscan-scan", "bindscan-import-motifs"] {
        let text = fs::read_to_string(directory.path().join(format!("{page}.1"))).unwrap();
        assert!(text.contains(&format!(".TH {page} 1")), "{page}");
    }
    // A folder is made.
    stdout(directory.path(), "man -o share/man");
    let examples = fs::read_to_string(directory.path().join("share/man/bindscan-merge.1")).unwrap();
    assert!(
        examples.contains(".SH EXAMPLES") && examples.contains("merge 1.bed 2.bed \\-o sites.bed"),
        "{examples}"
    );
    assert!(!directory.path().join("share/man/bindscan-help.1").exists());
    fs::write(directory.path().join("file"), "").unwrap();
    assert!(error_line(directory.path(), "man -o file").contains("file"));
}

#[test]
fn the_long_version_names_the_engines() {
    let here = Path::new(".");
    let version = env!("CARGO_PKG_VERSION");
    assert_eq!(stdout(here, "-V"), format!("bindscan {version}\n"));
    let long = stdout(here, "--version");
    assert!(long.starts_with(&format!("bindscan {version}\n")));
    let scalar = bindscan(["--version"]).env("BINDSCAN_SIMD", "scalar").output().unwrap();
    let scalar = String::from_utf8(scalar.stdout).unwrap();
    assert!(scalar.contains("engine kernel: scalar (here: "), "{scalar}");
    let library = bindscan(["--version"]).env("ORT_DYLIB_PATH", "/missing.so").output().unwrap();
    let library = String::from_utf8(library.stdout).unwrap();
    assert!(library.contains("engine onnx: ") && library.contains("/missing.so"), "{library}");
}

#[test]
fn no_color_is_honoured() {
    let colours = |no_color: bool| {
        let mut command = bindscan(["--help"]);
        command.env("CLICOLOR_FORCE", "1").env_remove("NO_COLOR");
        if no_color {
            command.env("NO_COLOR", "1");
        }
        command.output().unwrap().stdout.contains(&0x1B)
    };
    assert!(colours(false));
    assert!(!colours(true));
}
