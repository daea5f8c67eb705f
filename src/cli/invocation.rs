//! The command line as it was given.

use std::ffi::{OsStr, OsString};
use std::path::{Path, PathBuf};

use clap::parser::ValueSource;
use clap::{ArgAction, ArgMatches, Command};

/// A subcommand with the arguments that were given.
#[derive(Debug)]
pub(super) struct Invocation {
    /// The subcommand, and that of it if it has any.
    names: Vec<String>,
    arguments: Vec<Given>,
    /// The words behind the program's name, as a shell reads them.
    typed: Vec<String>,
}

/// An argument that was given.
#[derive(Debug)]
struct Given {
    id: String,
    /// The name of the option; `None` for a positional argument.
    long: Option<String>,
    /// `None` for a flag.
    values: Option<Vec<OsString>>,
    paths: Vec<PathBuf>,
}

/// Options that never change a result.
const TECHNICAL: [&str; 5] = ["threads", "chunk_size", "resume", "quiet", "verbose"];

/// Options that do not change what is in a track, but where it is written, and how.
const OF_OUTPUTS: [&str; 7] = ["output", "format", "header", "report", "report_igv", "summary_json", "shard"];

/// Arguments that are files to write.
const OUTPUTS: [&str; 7] =
    ["output", "report", "summary_json", "matches", "truth", "logos", "save_background"];

/// Arguments of text that may name a file to read.
const PERHAPS_INPUTS: [&str; 1] = ["background"];

/// Files that belong to an input, and have its name and an extension more.
const COMPANIONS: [&str; 7] = ["fai", "gzi", "bai", "csi", "crai", "tbi", "data"];

impl Invocation {
    /// The subcommand that `matches` of `command`, made from `words`, hold.
    pub(super) fn new(command: &Command, matches: &ArgMatches, words: &[OsString]) -> Invocation {
        let typed = words.iter().skip(1).map(|word| quoted(word)).collect();
        let mut invocation = Invocation { names: Vec::new(), arguments: Vec::new(), typed };
        let (mut command, mut matches) = (command, matches);
        while let Some((name, given)) = matches.subcommand() {
            invocation.names.push(name.to_owned());
            matches = given;
            let Some(subcommand) = command.find_subcommand(name) else { break };
            command = subcommand;
            for argument in command.get_arguments() {
                let id = argument.get_id().as_str();
                // Of options for all subcommands, not every one is known here.
                if matches.try_contains_id(id).is_ok()
                    && matches.value_source(id) == Some(ValueSource::CommandLine)
                {
                    let takes_values = argument.get_action().takes_values();
                    invocation.arguments.push(Given {
                        id: id.to_owned(),
                        long: argument.get_long().map(str::to_owned),
                        values: takes_values.then(|| raw_values(matches, id)),
                        paths: paths(matches, id, argument.get_action()),
                    });
                }
            }
        }
        invocation
    }

    /// The command as it was typed.
    pub(super) fn text(&self) -> String {
        let mut text = "bindscan".to_owned();
        self.typed.iter().for_each(|word| {
            text.push(' ');
            text += word;
        });
        text
    }

    /// The command, without options that never change a result.
    pub(super) fn of_result(&self) -> String {
        self.without(&[&TECHNICAL])
    }

    /// The command, with nothing but what decides the content of a track.
    pub(super) fn of_content(&self) -> String {
        self.without(&[&TECHNICAL, &OF_OUTPUTS])
    }

    /// Long options first, then the arguments without a name.
    fn without(&self, left_out: &[&[&str]]) -> String {
        let mut words = vec!["bindscan".to_owned()];
        words.extend(self.names.iter().cloned());
        let mut positional = Vec::new();
        for Given { id, long, values, .. } in &self.arguments {
            if left_out.iter().any(|ids| ids.contains(&id.as_str())) {
                continue;
            }
            let values = values.as_ref().map(|values| values.iter().map(|value| quoted(value)));
            match (long, values) {
                (Some(long), Some(values)) => {
                    for value in values {
                        words.extend([format!("--{long}"), value]);
                    }
                }
                (Some(long), None) => words.push(format!("--{long}")),
                (None, values) => positional.extend(values.into_iter().flatten()),
            }
        }
        words.extend(positional);
        words.join(" ")
    }

    /// The files that the command reads, with those that belong to them; files that do not exist, too.
    pub(super) fn inputs(&self) -> Vec<PathBuf> {
        let mut inputs = Vec::new();
        for Given { id, paths, .. } in &self.arguments {
            // A model is calibrated in its own file.
            let updated = id == "model" && self.names == ["calibrate"];
            if OUTPUTS.contains(&id.as_str()) || updated {
                continue;
            }
            for path in paths {
                if path == Path::new("-") {
                    inputs.push("/dev/stdin".into());
                    continue;
                }
                for extension in COMPANIONS {
                    let mut companion = path.clone().into_os_string();
                    companion.push(".");
                    companion.push(extension);
                    inputs.push(companion.into());
                }
                inputs.push(path.clone());
            }
        }
        inputs
    }
}

fn raw_values(matches: &ArgMatches, id: &str) -> Vec<OsString> {
    matches.get_raw(id).into_iter().flatten().map(OsStr::to_os_string).collect()
}

/// The values of an argument that is a file.
fn paths(matches: &ArgMatches, id: &str, action: &ArgAction) -> Vec<PathBuf> {
    if !action.takes_values() {
        return Vec::new();
    }
    match matches.try_get_many::<PathBuf>(id) {
        Ok(paths) => paths.into_iter().flatten().cloned().collect(),
        Err(_) if PERHAPS_INPUTS.contains(&id) => {
            raw_values(matches, id).into_iter().map(PathBuf::from).collect()
        }
        Err(_) => Vec::new(),
    }
}

/// A word as a shell reads it.
fn quoted(word: &OsStr) -> String {
    let word = word.to_string_lossy();
    let plain = |c: char| c.is_alphanumeric() || "-_./:,=+@%".contains(c);
    if !word.is_empty() && word.chars().all(plain) {
        word.into_owned()
    } else {
        format!("'{}'", word.replace('\'', r"'\''").replace(['\n', '\r'], " "))
    }
}

#[cfg(test)]
mod tests {
    use clap::CommandFactory;

    use super::*;

    fn parsed(words: &str) -> Invocation {
        let command = crate::cli::Args::command();
        let words: Vec<OsString> = words.split_whitespace().map(OsString::from).collect();
        let matches = command.clone().try_get_matches_from(&words).unwrap();
        Invocation::new(&command, &matches, &words)
    }

    #[test]
    fn words_are_quoted_where_a_shell_needs_it() {
        assert_eq!(quoted("hg38.fa.gz".as_ref()), "hg38.fa.gz");
        assert_eq!(quoted("my genome's.fa".as_ref()), r"'my genome'\''s.fa'");
        assert_eq!(quoted("".as_ref()), "''");
    }

    #[test]
    fn the_content_of_a_track_does_not_depend_on_where_it_is_written() {
        let invocation = parsed("bindscan scan -m A -t 3 g.fa --threshold 9 --quiet -o a.bed -o b.bw");
        assert_eq!(invocation.text(), "bindscan scan -m A -t 3 g.fa --threshold 9 --quiet -o a.bed -o b.bw");
        assert_eq!(
            invocation.of_result(),
            "bindscan scan --model A --threshold 9 --output a.bed --output b.bw g.fa"
        );
        assert_eq!(invocation.of_content(), "bindscan scan --model A --threshold 9 g.fa");
    }

    #[test]
    fn inputs_are_all_files_that_are_not_written() {
        let inputs = |words| {
            let mut inputs = parsed(words).inputs();
            inputs.retain(|path| !path.extension().is_some_and(|e| COMPANIONS.iter().any(|c| e == *c)));
            inputs
        };
        let scan =
            "bindscan scan -m A -R r.bed --pvalue 1e-4 --background b.fa g.fa -o a.bed --report p.html";
        let mut found = inputs(scan);
        found.sort();
        assert_eq!(found, ["A", "b.fa", "g.fa", "r.bed"].map(PathBuf::from));
        assert_eq!(inputs("bindscan import meme m.meme -o m.onnx"), [PathBuf::from("m.meme")]);
        assert_eq!(inputs("bindscan calibrate m.onnx --background b.fa"), [PathBuf::from("b.fa")]);
    }

    /// Every argument that is a path is either an output of the list, or an input.
    #[test]
    fn all_outputs_of_all_subcommands_are_in_the_list() {
        fn check(command: &Command) {
            for argument in command.get_arguments() {
                let help = argument.get_help().map(ToString::to_string).unwrap_or_default();
                let id = argument.get_id().as_str();
                let is_written =
                    help.contains("to write") || help.starts_with("Write ") || help.contains("are written");
                let is_path = argument.get_value_parser().type_id() == std::any::TypeId::of::<PathBuf>();
                assert!(!is_path || !is_written || OUTPUTS.contains(&id), "{}: {id}", command.get_name());
            }
            command.get_subcommands().for_each(check);
        }
        check(&crate::cli::Args::command());
    }
}
