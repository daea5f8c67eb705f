//! The `bindscan` command.

#![deny(
    clippy::print_stderr,
    reason = "a message that cannot be written must not end a run: use cli::message"
)]

mod cli;

use std::process::ExitCode;

fn main() -> ExitCode {
    ExitCode::from(cli::main(std::env::args_os()))
}
