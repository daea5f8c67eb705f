//! The `bindscan` command.

#![deny(
    clippy::print_stderr,
    reason = "a message that cannot be written must not end a run: use cli::message"
)]

mod cli;

use std::process::ExitCode;

fn main() -> ExitCode {
    let Err(error) = cli::run() else { return ExitCode::SUCCESS };
    if cli::is_broken_pipe(&error) {
        return ExitCode::SUCCESS;
    }
    if let Some(usage) = error.downcast_ref::<clap::Error>() {
        cli::usage::print(usage);
        return ExitCode::from(usage.exit_code() as u8);
    }
    let status = cli::signals::received().map_or(1, cli::signals::exit_status);
    cli::signals::claim_end();
    cli::message(format_args!("error: {}", cli::one_line(&error)));
    ExitCode::from(status as u8)
}
