//! Errors in the command line.

use std::ffi::OsString;
use std::io::{self, IsTerminal};

use bindscan::model::bundled;
use clap::builder::StyledStr;
use clap::error::{ContextKind, ContextValue, ErrorKind};

/// Adds what the user probably meant to an error in the command line `words`.
pub(super) fn with_hint(mut error: clap::Error, words: &[OsString]) -> clap::Error {
    if let Some(hint) = hint(&error, words) {
        let tip = StyledStr::from(hint);
        error.insert(ContextKind::Suggested, ContextValue::StyledStrs(vec![tip]));
    }
    error
}

fn hint(error: &clap::Error, words: &[OsString]) -> Option<String> {
    match (error.kind(), error.get(ContextKind::InvalidArg)?) {
        (ErrorKind::MissingRequiredArgument, ContextValue::Strings(missing))
            if missing.iter().any(|argument| argument.contains("--model")) =>
        {
            let name = bare_model(words).unwrap_or_else(|| "ELK1".into());
            Some(format!("-m takes an ONNX file, a motif file or a bundled model: -m {name}"))
        }
        (ErrorKind::UnknownArgument, ContextValue::String(word)) if is_region(word) => {
            Some(format!("regions are given with -r: -r {word}"))
        }
        (ErrorKind::UnknownArgument, ContextValue::String(word)) if !word.starts_with('-') => {
            let name = bare_model(words)?;
            Some(format!("models are given with -m: -m {name}"))
        }
        (ErrorKind::ArgumentConflict, _) => {
            let region = bare(words, &["-r", "--region"], is_region)?;
            Some(format!("regions are given with -r: -r {region}"))
        }
        _ => None,
    }
}

/// A word that names a model, and has no -m before it.
fn bare_model(words: &[OsString]) -> Option<String> {
    bare(words, &["-m", "--model"], is_model)
}

/// The first word of a kind that does not follow one of `options`.
fn bare(words: &[OsString], options: &[&str], is_wanted: fn(&str) -> bool) -> Option<String> {
    let words: Vec<String> = words.iter().map(|word| word.to_string_lossy().into_owned()).collect();
    let pairs = words.windows(2).filter(|pair| !options.contains(&pair[0].as_str()));
    pairs.map(|pair| &pair[1]).find(|word| is_wanted(word)).cloned()
}

fn is_model(word: &str) -> bool {
    const EXTENSIONS: [&str; 6] = [".onnx", ".meme", ".jaspar", ".transfac", ".pfm", ".pwm"];
    EXTENSIONS.iter().any(|extension| word.ends_with(extension)) || bundled::names().any(|name| name == word)
}

/// True if a word looks like a region: `chr1:1-1,000`, `chr1`, `X:5-9`.
fn is_region(word: &str) -> bool {
    let is_number = |text: &str| {
        text.starts_with(|c: char| c.is_ascii_digit()) && text.chars().all(|c| c.is_ascii_digit() || c == ',')
    };
    let span = word.rsplit_once(':').and_then(|(_, span)| span.split_once('-'));
    match span {
        Some((start, end)) => is_number(start) && (end.is_empty() || is_number(end)),
        None => word.len() <= 5 && word.starts_with("chr"),
    }
}

/// Prints a usage error, with the prefix that all errors have; or a help text or a version on standard output.
pub(crate) fn print(error: &clap::Error) {
    if !error.use_stderr() {
        // There is nobody else to tell if this cannot be written.
        let _ = error.print();
        return;
    }
    let colours =
        io::stderr().is_terminal() && std::env::var_os("NO_COLOR").is_none_or(|value| value.is_empty());
    let text = error.render();
    let text = if colours { text.ansi().to_string() } else { text.to_string() };
    let _ = io::Write::write_all(
        &mut io::stderr().lock(),
        text.replacen("error:", "bindscan: error:", 1).as_bytes(),
    );
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn regions_are_recognised() {
        for word in ["chr1:1-1,000", "X:5-9", "chr20", "NC_000913.3:10-"] {
            assert!(is_region(word), "{word}");
        }
        for word in ["genome.fa", "chromosomes.fa", "a:b-c", "-r", "http://host:80/a-b"] {
            assert!(!is_region(word), "{word}");
        }
    }
}
