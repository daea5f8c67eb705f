//! The `bindscan` command.

#![deny(
    clippy::print_stderr,
    reason = "a message that cannot be written must not end a run: use cli::message"
)]
// Helpers of subcommands that features add stand with those of the others.
#![cfg_attr(not(all(feature = "onnx", feature = "train")), allow(dead_code))]

mod cli;

use std::process::ExitCode;

fn main() -> ExitCode {
    ExitCode::from(cli::main(std::env::args_os()))
}
