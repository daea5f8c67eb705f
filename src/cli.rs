//! The command line: one file a subcommand, each a clap structure and a `run`.

use std::ffi::OsString;
use std::io::{self, IsTerminal, Write};
use std::path::Path;
use std::sync::atomic::AtomicBool;
use std::time::{Duration, Instant};

use bindscan::io::output;
use bindscan::model::name::printable;
use clap::error::ErrorKind;
use clap::{FromArgMatches, Parser, Subcommand};

mod bench;
mod bundled;
mod calibrate;
mod completions;
mod data;
mod enrich;
mod estimate;
mod eval;
mod heading;
mod help;
mod import;
mod inspect;
mod invocation;
mod man;
mod merge;
mod models;
mod motifs;
mod mutmap;
#[cfg(feature = "onnx")]
mod profile;
mod progress;
mod reads;
mod region;
mod regions;
mod report;
mod scan;
mod score;
pub(crate) mod signals;
mod significance;
mod simulate;
mod summary;
mod track;
#[cfg(feature = "train")]
mod train;
pub(crate) mod usage;
mod variants;
mod version;
mod warnings;

use invocation::Invocation;

/// Scan genomes with DeepBind and other sequence models of protein binding
#[derive(Debug, Parser)]
#[command(name = "bindscan", version, long_version = version::long(), arg_required_else_help = true)]
pub(crate) struct Args {
    #[command(subcommand)]
    command: Command,
    /// Print the version as JSON (with --version)
    #[arg(long, requires = "version")]
    json: bool,
    /// Print only errors
    #[arg(long, global = true, display_order = 900, help_heading = heading::MESSAGES)]
    quiet: bool,
    /// Print more messages (repeat it for still more)
    #[arg(short, long, global = true, display_order = 901, action = clap::ArgAction::Count, conflicts_with = "quiet",
          help_heading = heading::MESSAGES)]
    verbose: u8,
}

#[derive(Debug, Subcommand)]
enum Command {
    Scan(scan::ScanArgs),
    Merge(merge::MergeArgs),
    Score(score::ScoreArgs),
    Regions(regions::RegionsArgs),
    Enrich(enrich::EnrichArgs),
    Variants(variants::VariantsArgs),
    Mutmap(mutmap::MutmapArgs),
    #[cfg(feature = "onnx")]
    Profile(profile::ProfileArgs),
    Eval(eval::EvalArgs),
    Import(import::ImportArgs),
    Inspect(inspect::InspectArgs),
    Models(bundled::ModelsArgs),
    Motifs(motifs::MotifsArgs),
    Calibrate(calibrate::CalibrateArgs),
    Simulate(simulate::SimulateArgs),
    #[cfg(feature = "train")]
    Train(train::TrainArgs),
    Bench(bench::BenchArgs),
    Completions(completions::CompletionsArgs),
    Man(man::ManArgs),
}

/// Settings that every subcommand takes.
#[derive(Debug, Clone, Copy)]
struct Session {
    quiet: bool,
    /// True if progress may be drawn.
    terminal: bool,
    /// When the program was started.
    started: Instant,
    /// The command line.
    invocation: &'static Invocation,
}

impl Session {
    /// The time since the program was started.
    fn elapsed(&self) -> Duration {
        self.started.elapsed()
    }
}

/// Set by a signal that ends the run.
static CANCELLED: AtomicBool = AtomicBool::new(false);

/// Writes a line on standard error. It may be lost, on a full disk for example: the work goes on.
pub(crate) fn message(text: impl std::fmt::Display) {
    let line = format!("bindscan: {}\n", printable(&text.to_string()));
    let _ = io::stderr().lock().write_all(line.as_bytes());
}

/// Runs a command line, of which the first word is the program's name, and gives the exit status.
pub(crate) fn main(arguments: impl IntoIterator<Item = OsString>) -> u8 {
    let Err(error) = run(arguments) else { return 0 };
    if is_broken_pipe(&error) {
        return 0;
    }
    if let Some(usage) = error.downcast_ref::<clap::Error>() {
        usage::print(usage);
        return usage.exit_code() as u8;
    }
    let status = signals::received().map_or(1, signals::exit_status);
    signals::claim_end();
    message(format_args!("error: {}", one_line(&error)));
    status as u8
}

/// Parses the command line and runs the subcommand.
fn run(arguments: impl IntoIterator<Item = OsString>) -> anyhow::Result<()> {
    let started = Instant::now();
    let command = help::command();
    let words: Vec<OsString> = arguments.into_iter().collect();
    let matches = match command.clone().try_get_matches_from(&words) {
        Err(error)
            if error.kind() == ErrorKind::DisplayVersion && words.iter().any(|word| word == "--json") =>
        {
            return Ok(writeln!(io::stdout(), "{:#}", version::json())?);
        }
        matches => matches.map_err(|error| usage::with_hint(error, &words))?,
    };
    let args = Args::from_arg_matches(&matches)?;
    let invocation = Invocation::new(&command, &matches, &words);
    let inputs = invocation.inputs();
    output::protect(inputs.clone());
    start_log(&args);
    signals::watch(inputs)?;
    let session = Session {
        quiet: args.quiet,
        terminal: !args.quiet && io::stderr().is_terminal(),
        started,
        // It lives as long as the program.
        invocation: Box::leak(Box::new(invocation)),
    };
    args.run(session)
}

fn start_log(args: &Args) {
    let level = match (args.quiet, args.verbose) {
        (true, _) => log::LevelFilter::Error,
        (_, 0) => log::LevelFilter::Warn,
        (_, 1) => log::LevelFilter::Info,
        _ => log::LevelFilter::Debug,
    };
    let printed = env_logger::Builder::new()
        .filter_module("bindscan", level)
        .format(|out, record| {
            let (level, text) = (record.level().as_str().to_lowercase(), record.args().to_string());
            writeln!(out, "bindscan: {level}: {}", printable(&text))
        })
        .build();
    warnings::install(printed);
}

impl Args {
    fn run(self, session: Session) -> anyhow::Result<()> {
        match self.command {
            Command::Scan(args) => args.run(session),
            Command::Merge(args) => args.run(),
            Command::Score(args) => args.run(session),
            Command::Regions(args) => args.run(session),
            Command::Enrich(args) => args.run(session),
            Command::Variants(args) => args.run(session),
            Command::Mutmap(args) => args.run(session),
            #[cfg(feature = "onnx")]
            Command::Profile(args) => args.run(session),
            Command::Eval(args) => args.run(session),
            Command::Import(args) => args.run(session),
            Command::Inspect(args) => args.run(),
            Command::Models(args) => args.run(),
            Command::Motifs(args) => args.run(session),
            Command::Calibrate(args) => args.run(session),
            Command::Simulate(args) => args.run(session),
            #[cfg(feature = "train")]
            Command::Train(args) => args.run(session),
            Command::Bench(args) => args.run(session),
            Command::Completions(args) => args.run(),
            Command::Man(args) => args.run(),
        }
    }
}

/// True if the reader of our output went away, which is not a failure.
fn is_broken_pipe(error: &anyhow::Error) -> bool {
    error.downcast_ref::<bindscan::Error>().is_some_and(bindscan::Error::is_broken_pipe)
        || error
            .downcast_ref::<std::io::Error>()
            .is_some_and(|error| error.kind() == std::io::ErrorKind::BrokenPipe)
}

/// The error on one line; of a run that was interrupted, that alone.
fn one_line(error: &anyhow::Error) -> String {
    // Errors of the library hold their cause in their own text. Names of files and models may hold anything.
    printable(&error.to_string().replace(['\n', '\r'], " ")).into_owned()
}

/// Parses a count with an optional suffix k, M or G (powers of 1,000).
fn parse_count(text: &str) -> Result<u64, String> {
    let bare = text.strip_suffix("bp").unwrap_or(text);
    let (digits, factor) = match bare.char_indices().next_back() {
        Some((at, 'k' | 'K')) => (&bare[..at], 1e3),
        Some((at, 'm' | 'M')) => (&bare[..at], 1e6),
        Some((at, 'g' | 'G')) => (&bare[..at], 1e9),
        _ => (bare, 1.0),
    };
    let number: f64 = digits.replace([',', '_'], "").parse().map_err(|_| format!("{text} is not a count"))?;
    let number = number * factor;
    if !(0.0..1e15).contains(&number) || number.fract() != 0.0 {
        return Err(format!("{text} is not a count"));
    }
    Ok(number as u64)
}

/// Refuses to read two inputs, each a file and what it is in words, from standard input.
fn check_stdin((one, one_is): (&Path, &str), (other, other_is): (&Path, &str)) -> anyhow::Result<()> {
    let stdin = Path::new("-");
    anyhow::ensure!(
        one != stdin || other != stdin,
        "the {one_is} and the {other_is} cannot both come from standard input"
    );
    Ok(())
}

/// The threads asked for, or all cores.
fn threads(asked: Option<usize>) -> usize {
    asked.unwrap_or_else(|| std::thread::available_parallelism().map_or(1, usize::from))
}

/// Parses a number of threads.
fn parse_threads(text: &str) -> Result<usize, String> {
    match text.parse() {
        Ok(threads @ 1..=1024) => Ok(threads),
        _ => Err("give 1 to 1024".into()),
    }
}

/// Parses a number greater than zero.
fn parse_positive(text: &str) -> Result<usize, String> {
    match parse_count(text)? {
        0 => Err("must be at least 1".into()),
        number => usize::try_from(number).map_err(|_| format!("{text} is too large")),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_command_line_is_consistent() {
        help::command().debug_assert();
    }

    #[test]
    fn counts_have_suffixes() {
        assert_eq!(parse_count("100M"), Ok(100_000_000));
        assert_eq!(parse_count("1.5k"), Ok(1_500));
        assert_eq!(parse_count("30bp"), parse_count("0.03kbp"));
        assert_eq!(parse_count("12,071,326"), Ok(12_071_326));
        for wrong in ["", "M", "ten", "-1", "0.5", "nan", "9000000G"] {
            assert!(parse_count(wrong).is_err(), "{wrong}");
        }
        assert!(parse_positive("0").is_err());
    }
}
