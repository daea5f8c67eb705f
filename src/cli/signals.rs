//! Signals that end a run: the run is asked to end itself, and ended if it does not.

use std::fs;
use std::path::PathBuf;
use std::sync::atomic::{AtomicBool, AtomicI32, Ordering};
use std::time::Duration;

use anyhow::Result;
use bindscan::io::output;

use super::{CANCELLED, message};

/// Time that a run may take to end itself.
const GRACE: Duration = Duration::from_secs(1);

/// The signal that ends the run; 0 while there is none.
static SIGNAL: AtomicI32 = AtomicI32::new(0);

/// True once the process has begun to end.
static ENDING: AtomicBool = AtomicBool::new(false);

/// The signal that ended the run, if one did.
pub(crate) fn received() -> Option<i32> {
    match SIGNAL.load(Ordering::SeqCst) {
        0 => None,
        signal => Some(signal),
    }
}

/// The exit status that shells expect of a process that a signal ended.
pub(crate) fn exit_status(signal: i32) -> i32 {
    128 + signal
}

/// Claims the end of the process, so that it is announced once; waits for ever if another thread has it.
pub(crate) fn claim_end() {
    if ENDING.swap(true, Ordering::SeqCst) {
        loop {
            std::thread::park();
        }
    }
}

/// Asks the run to end; ends it after a while, or at the second signal.
#[cfg_attr(not(unix), allow(dead_code))]
fn interrupt(signal: i32) {
    if SIGNAL.swap(signal, Ordering::SeqCst) != 0 {
        end_interrupted(signal);
    }
    CANCELLED.store(true, Ordering::SeqCst);
    let waiting = std::thread::Builder::new().spawn(move || {
        // Code that waits for input, or computes for long, does not see the mark.
        std::thread::sleep(GRACE);
        end_interrupted(signal);
    });
    if waiting.is_err() {
        end_interrupted(signal);
    }
}

fn end_interrupted(signal: i32) {
    claim_end();
    output::remove_unfinished();
    message("interrupted");
    std::process::exit(exit_status(signal));
}

/// An input, and its length when the run began.
struct Input {
    path: PathBuf,
    length: u64,
}

/// Ends the process after a read past the end of a file in memory.
#[cfg_attr(not(unix), allow(dead_code))]
fn end_faulted(inputs: &[Input]) {
    claim_end();
    output::remove_unfinished();
    let is_shorter = |input: &&Input| fs::metadata(&input.path).is_ok_and(|now| now.len() < input.length);
    match inputs.iter().find(is_shorter) {
        Some(input) => message(format_args!(
            "{}: was cut short while it was read; run again when it is whole",
            input.path.display()
        )),
        None => message(
            "an input was cut short while it was read, or its disk failed; run again when it is whole",
        ),
    }
    std::process::exit(1);
}

/// Handles signals from now on. `inputs` are the files that the command reads.
pub(super) fn watch(inputs: Vec<PathBuf>) -> Result<()> {
    let inputs = inputs.into_iter().filter_map(|path| {
        let length = fs::metadata(&path).ok().filter(fs::Metadata::is_file)?.len();
        Some(Input { path, length })
    });
    handle(inputs.collect())
}

#[cfg(unix)]
fn handle(inputs: Vec<Input>) -> Result<()> {
    use signal_hook::consts::{SIGBUS, SIGHUP, SIGINT, SIGTERM};
    // Whoever started the program may have chosen to ignore some (nohup).
    let mut watched: Vec<i32> =
        [SIGINT, SIGTERM, SIGHUP].into_iter().filter(|&signal| !is_ignored(signal)).collect();
    watched.push(SIGBUS);
    let mut signals = signal_hook::iterator::Signals::new(watched)?;
    bindscan::io::mmap::park_after_fault()?;
    std::thread::Builder::new().name("signals".into()).spawn(move || {
        for signal in signals.forever() {
            match signal {
                SIGBUS => end_faulted(&inputs),
                signal => interrupt(signal),
            }
        }
    })?;
    Ok(())
}

/// Leaves the signals to the system. What a run leaves unfinished then, the next one with the same outputs removes.
#[cfg(not(unix))]
fn handle(_: Vec<Input>) -> Result<()> {
    Ok(())
}

/// True if the process was started with this signal ignored. Where the system does not tell, a hang-up counts as ignored: it
/// keeps its usual effect then.
#[cfg(unix)]
fn is_ignored(signal: i32) -> bool {
    let Ok(status) = fs::read_to_string("/proc/self/status") else {
        return signal == signal_hook::consts::SIGHUP;
    };
    let mask = status.lines().find_map(|line| line.strip_prefix("SigIgn:"));
    let mask = mask.and_then(|mask| u64::from_str_radix(mask.trim(), 16).ok());
    mask.is_some_and(|mask| mask >> (signal - 1) & 1 == 1)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn statuses_are_those_of_a_shell() {
        assert_eq!([exit_status(2), exit_status(15)], [130, 143]);
    }
}
