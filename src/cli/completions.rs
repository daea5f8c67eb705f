//! `bindscan completions`.

use std::io::{self, Write};

use anyhow::Result;
use bindscan::model::bundled;
use clap::builder::PossibleValuesParser;
use clap::{Args, Command};
use clap_complete::{Shell, generate};

use super::help;

/// Print a completion script for a shell
#[derive(Debug, Args)]
pub(super) struct CompletionsArgs {
    /// Shell
    shell: Shell,
}

impl CompletionsArgs {
    pub(super) fn run(self) -> Result<()> {
        // Written at once: the generator panics where a pipe is closed.
        let mut script = Vec::new();
        generate(self.shell, &mut with_values(help::command()), "bindscan", &mut script);
        let script = with_files(self.shell, String::from_utf8(script)?);
        Ok(io::stdout().write_all(script.as_bytes())?)
    }
}

/// Values that complete an argument.
struct Known {
    /// Identifiers of the arguments.
    arguments: &'static [&'static str],
    values: Vec<&'static str>,
    /// True if a file is possible, too.
    or_file: bool,
}

fn known() -> [Known; 5] {
    [
        Known { arguments: &["models", "model"], values: bundled::names().collect(), or_file: true },
        Known { arguments: &["engine"], values: vec!["auto", "kernel", "onnx", "reference"], or_file: false },
        Known { arguments: &["device"], values: vec!["cpu", "cuda"], or_file: false },
        Known { arguments: &["background"], values: vec!["genome", "uniform"], or_file: true },
        Known { arguments: &["negatives"], values: vec!["shuffle", "genome"], or_file: true },
    ]
}

/// Gives arguments the values that complete them; the parser knows more than these.
fn with_values(command: Command) -> Command {
    let mut command = command;
    let names: Vec<String> = command.get_subcommands().map(|sub| sub.get_name().to_owned()).collect();
    for name in names {
        command = command.mut_subcommand(&name, with_values);
    }
    for Known { arguments, values, .. } in known() {
        for argument in arguments {
            if command.get_arguments().any(|given| given.get_id() == argument) {
                let parser = PossibleValuesParser::new(&values);
                command = command.mut_arg(argument, |given| given.default_value(None).value_parser(parser));
            }
        }
    }
    command
}

/// Lets files complete an argument beside its values: the generators offer either.
fn with_files(shell: Shell, script: String) -> String {
    let mut script = script;
    for (rank, Known { values, .. }) in known().iter().enumerate().filter(|(_, known)| known.or_file) {
        let list = values.join(" ");
        script = match shell {
            Shell::Bash => {
                script.replace(&format!("compgen -W \"{list}\" --"), &format!("compgen -f -W \"{list}\" --"))
            }
            Shell::Zsh => {
                let action = format!("_bindscan_value_or_file_{rank}");
                let function =
                    format!("\n{action}() {{ _alternative 'values:value:({list})' 'files:file:_files' }}\n");
                let (header, rest) = script.split_once('\n').unwrap_or((&script, ""));
                format!("{header}\n{function}{}", rest.replace(&format!(":({list})"), &format!(":{action}")))
            }
            Shell::Fish => {
                let list: Vec<String> = values.iter().map(|value| format!("{value}\\t''")).collect();
                let list = list.join("\n");
                script.replace(&format!(" -f -a \"{list}\""), &format!(" -F -a \"{list}\""))
            }
            _ => script,
        };
    }
    script
}
