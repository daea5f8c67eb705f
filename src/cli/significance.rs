//! Options of p-values.

use std::path::Path;

use bindscan::calibrate::nulls::{BackgroundSource, NullOptions, Watch};
use bindscan::null::markov::HIGHEST_ORDER;
use clap::Args;

use super::Session;
use super::heading;
use super::progress::{Progress, grouped};

#[derive(Debug, Args)]
pub(super) struct NullArgs {
    /// Take the background from the scanned genome, uniform bases or a FASTA file
    ///
    /// Background sequence is what p-values are relative to. [default: the scanned genome, if there is one]
    #[arg(long, value_name = "genome|uniform|FASTA", help_heading = heading::PVALUES)]
    background: Option<String>,
    /// Set the order of the Markov background, 0 to 5 [default: 2]
    ///
    /// Order 2 keeps the frequencies of words of three bases.
    #[arg(long, value_name = "ORDER", value_parser = parse_order, help_heading = heading::PVALUES)]
    background_order: Option<usize>,
    /// Shuffle real sequence instead of drawing from a Markov model
    ///
    /// Each 16 kb are shuffled so that their words are kept.
    #[arg(long, help_heading = heading::PVALUES)]
    shuffle: bool,
    /// Sample the p-values of motifs too, instead of computing them exactly
    #[arg(long, help_heading = heading::PVALUES)]
    sampled: bool,
    /// Sample this many windows of background, or a few more [default: 50M]
    ///
    /// They come in blocks of 1,048,576, the least that is sampled.
    #[arg(long, value_name = "WINDOWS", value_parser = super::parse_positive, help_heading = heading::PVALUES)]
    background_length: Option<usize>,
    /// Set the seed of the background [default: 1]
    ///
    /// The same seed gives the same p-values.
    #[arg(long, value_name = "SEED", help_heading = heading::PVALUES)]
    background_seed: Option<u64>,
}

fn parse_order(text: &str) -> Result<usize, String> {
    match text.parse() {
        Ok(order @ 0..=HIGHEST_ORDER) => Ok(order),
        _ => Err(format!("give 0 to {HIGHEST_ORDER}")),
    }
}

/// Reads a p-value or a false discovery rate.
pub(super) fn parse_probability(text: &str) -> Result<f64, String> {
    match text.parse::<f64>() {
        Ok(p) if p > 0.0 && p <= 1.0 => Ok(p),
        _ => Err("give a number above 0, and 1 at the most".into()),
    }
}

impl NullArgs {
    /// The options as the library has them.
    pub(super) fn options(&self) -> NullOptions {
        let background = self.background.as_deref().map(|background| match background {
            "genome" => BackgroundSource::Genome,
            "uniform" => BackgroundSource::Uniform,
            file => BackgroundSource::File(file.into()),
        });
        NullOptions::default()
            .background(background)
            .order(self.background_order)
            .shuffle(self.shuffle)
            .sampled(self.sampled)
            .windows(self.background_length.map(|length| length as u64))
            .seed(self.background_seed)
    }

    /// The file that the background is taken from, if one was given that is not standard input.
    pub(super) fn background_file(&self) -> Option<&Path> {
        let given = self.background.as_deref().filter(|given| !["genome", "uniform", "-"].contains(given));
        given.map(Path::new)
    }
}

/// Shows how far null distributions are.
pub(super) struct NullProgress {
    session: Session,
    progress: Option<Progress>,
}

impl NullProgress {
    pub(super) fn new(session: Session) -> NullProgress {
        NullProgress { session, progress: None }
    }
}

impl Watch for NullProgress {
    fn stage(&mut self, doing: &str) {
        self.progress = Some(Progress::start(self.session, doing));
    }

    fn background(&mut self, model: &str, done: u64, total: u64) {
        if let Some(progress) = &mut self.progress {
            progress.show(done, Some(total), || format!("{model}: {} windows of background", grouped(done)));
        }
    }

    fn end(&mut self) {
        self.progress = None;
    }
}
