//! Mutation maps: what every substitution at every position does.
//!
//! A substitution is scored as the same single-base variant would be ([`crate::variants::scorer`]): the best of the windows
//! that touch the position against the best of them on the reference. On a sequence no longer than a window that is
//! DeepBind's mutation map (Alipanahi et al. 2015, online methods): the score of the whole sequence, changed at one
//! base. On longer ones each position has the windows around it, so that one strong site does not hide the others.

use std::collections::VecDeque;
use std::ops::Range;
use std::sync::Arc;
use std::sync::atomic::AtomicBool;

use crossbeam_channel::{Receiver, Sender, unbounded};

use crate::engine::planned::ModelOutput;
use crate::engine::scanner::Scanners;
use crate::genome::random_access::Lookup;
use crate::io::line::LineSink;
use crate::io::number::{push_integer, push_score};
use crate::io::output;
use crate::io::output::Output;
use crate::pipeline;
use crate::report::svg::Lettering;
use crate::seq::alphabet::{N, ascii_of_code};
use crate::seq::contig::Contig;
use crate::track::bigwig::BaseSink;
use crate::variants::scorer::{Best, Effect, Scorer};
use crate::{Error, Result};

mod picture;
#[cfg(feature = "png")]
mod raster;

pub use crate::variants::mutation_map::picture::{Panel, RowLayout};

/// Bases of which every substitution is scored.
#[derive(Debug, Clone)]
pub struct Stretch {
    /// Their positions.
    pub contig: Arc<Contig>,
    /// Contig position of the first code.
    pub start: u64,
    /// Codes, with flanks ([`Scorer::flank`] bases on each side, where the contig has them).
    pub codes: Vec<u8>,
    /// Contig positions that are mapped.
    pub wanted: Range<u64>,
}

/// Number that pictures and tracks show.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Shown {
    /// DeepBind's effect score.
    Effect,
    /// The difference of the scores.
    Difference,
}

impl Shown {
    fn of(self, effect: Effect) -> f32 {
        match self {
            Shown::Effect => effect.effect,
            Shown::Difference => effect.difference,
        }
    }

    fn words(self) -> &'static str {
        match self {
            Shown::Effect => "effect",
            Shown::Difference => "difference",
        }
    }
}

/// Value that a track of a target shows at each base.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Series {
    /// The substitution by this code; 0 where the reference is that base.
    Base(u8),
    /// The substitution that changes most, either way.
    Strongest,
}

/// Destination of maps.
pub enum Sink {
    /// A row for each substitution and target, behind [`TABLE_HEADER`].
    Table(LineSink),
    /// Heat maps of all stretches and targets.
    Picture(Output, Picture, RowLayout),
    /// A bigWig of one target.
    Track(BaseSink, usize, Series),
    /// Arrays in memory, a map for each stretch and target, once all are whole.
    Maps(Sender<Panel>),
}

/// A sink of maps in memory, and where they come out.
pub fn maps() -> (Sink, Receiver<Panel>) {
    let (sender, receiver) = unbounded();
    (Sink::Maps(sender), receiver)
}

/// Bases of a stretch at the most: longer regions are mapped piece by piece.
const PIECE: u64 = 1 << 20;

/// Gives stretches of a genome, one after the other, with `flank` bases beside them; `wanted` has those of each contig.
pub fn stretches_of_genome(
    genome: Lookup,
    wanted: Vec<Vec<Range<u64>>>,
    flank: u64,
) -> impl FnMut() -> Result<Option<Stretch>> + Send {
    let mut left: VecDeque<(usize, Range<u64>)> = VecDeque::new();
    for (contig, regions) in wanted.into_iter().enumerate() {
        for region in regions {
            let pieces = region.clone().step_by(PIECE as usize);
            left.extend(pieces.map(|start| (contig, start..region.end.min(start + PIECE))));
        }
    }
    move || {
        let Some((id, wanted)) = left.pop_front() else { return Ok(None) };
        let contig = Arc::clone(&genome.contigs()[id]);
        let start = wanted.start.saturating_sub(flank);
        let end = contig.length.unwrap_or(0).min(wanted.end + flank);
        let mut codes = Vec::new();
        genome.fetch(&contig, start..end, &mut codes)?;
        Ok(Some(Stretch { contig, start, codes, wanted }))
    }
}

/// Format of pictures.
#[derive(Debug, Clone, Copy, PartialEq)]
pub enum Picture {
    /// SVG.
    Svg,
    /// PNG, with so many pixels a unit of the SVG.
    Png(f32),
}

/// Columns of the table.
pub const TABLE_HEADER: &str =
    "contig\tposition\tref\talt\tmodel\tref_score\talt_score\tdifference\teffect\n";

/// Positions that a picture shows, at the most, over all targets.
const MOST_DRAWN: usize = 25_000;

/// Positions that a worker takes at a time.
const BLOCK: u64 = 64;

/// Counts of a run.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct Summary {
    /// Stretches, as they were given.
    pub stretches: u64,
    /// Positions.
    pub positions: u64,
    /// Substitutions scored; one for each target.
    pub substitutions: u64,
    /// Positions, for each target, of sequences too short for it.
    pub short: u64,
}

/// Some positions of a stretch.
#[derive(Debug, Default)]
struct Block {
    stretch: Option<Arc<Stretch>>,
    range: Range<u64>,
    first: bool,
}

/// The best windows of the positions of a block.
#[derive(Debug, Default)]
struct Part {
    stretch: Option<Arc<Stretch>>,
    range: Range<u64>,
    first: bool,
    /// `best[(position * 5 + base) * targets + target]`; base 4 is the reference.
    best: Vec<Option<Best>>,
}

/// The place of the reference among the bases of a position.
const REFERENCE: usize = 4;

/// Maps what `next` gives, until it gives nothing, with one set of scanners a worker. Outputs appear together when they
/// are whole, and do not depend on the number of workers. `contigs` are all that stretches may lie on, for bigWigs;
/// `progress` is told how many positions are done.
///
/// # Errors
/// Whatever `next`, an engine or an output meets first; a picture of too many positions.
pub fn run(
    mut next: impl FnMut() -> Result<Option<Stretch>> + Send,
    (targets, scanners): (&[ModelOutput], Vec<Scanners>),
    (shown, sinks): (Shown, Vec<Sink>),
    contigs: &[Arc<Contig>],
    mut progress: impl FnMut(u64),
    cancel: &AtomicBool,
) -> Result<Summary> {
    if sinks.iter().filter(|sink| matches!(sink, Sink::Maps(_))).count() > 1 {
        return Err(crate::Error::Request("mutation maps are handed to one receiver only".into()));
    }
    let workers = scanners
        .into_iter()
        .map(|scanners| {
            let mut scorer = Scorer::new(targets, scanners);
            let mut references = Vec::new();
            move |block: &Block, part: &mut Part| map(&mut scorer, block, &mut references, part)
        })
        .collect();
    let mut current: Option<(Arc<Stretch>, u64)> = None;
    let mut writer =
        Writer { targets, shown, sinks, panels: Vec::new(), drawn: 0, summary: Summary::default() };
    pipeline::run(
        |block: &mut Block| {
            block.first = false;
            while current.as_ref().is_none_or(|(stretch, at)| *at >= stretch.wanted.end) {
                let Some(stretch) = next()? else { return Ok(false) };
                let from = stretch.wanted.start;
                current = Some((Arc::new(stretch), from));
                block.first = true;
            }
            if let Some((stretch, at)) = &mut current {
                block.range = *at..stretch.wanted.end.min(*at + BLOCK);
                *at = block.range.end;
                block.stretch = Some(Arc::clone(stretch));
            }
            Ok(true)
        },
        workers,
        |part: &mut Part| {
            writer.write(part)?;
            progress(writer.summary.positions);
            Ok(())
        },
        cancel,
    )?;
    writer.finish(contigs)
}

/// Scores the reference and every substitution at each position of a block.
fn map(
    scorer: &mut Scorer<'_>,
    block: &Block,
    references: &mut Vec<Option<Best>>,
    part: &mut Part,
) -> Result<()> {
    part.stretch.clone_from(&block.stretch);
    part.range = block.range.clone();
    part.first = block.first;
    part.best.clear();
    let Some(stretch) = &block.stretch else { return Ok(()) };
    let (flank, targets) = (scorer.flank(), scorer.targets().len());
    let bases = (block.range.start - stretch.start) as usize..(block.range.end - stretch.start) as usize;
    references.clear();
    scorer.score_bases(&stretch.codes, stretch.start, bases, references)?;
    for (position, reference) in block.range.clone().zip(references.chunks(targets)) {
        let at = (position - stretch.start) as usize;
        let from = at.saturating_sub(flank);
        let left = &stretch.codes[from..at];
        let right = &stretch.codes[at + 1..stretch.codes.len().min(at + 1 + flank)];
        for base in 0..N {
            if base == stretch.codes[at] {
                part.best.extend_from_slice(reference);
            } else {
                scorer.score((left, &[base], right), stretch.start + from as u64, &mut part.best)?;
            }
        }
        part.best.extend_from_slice(reference);
    }
    Ok(())
}

/// Puts maps where they go.
struct Writer<'a> {
    targets: &'a [ModelOutput],
    shown: Shown,
    sinks: Vec<Sink>,
    /// Contents of pictures: a panel for each stretch and target.
    panels: Vec<Panel>,
    drawn: usize,
    summary: Summary,
}

impl Writer<'_> {
    fn write(&mut self, part: &Part) -> Result<()> {
        let Some(stretch) = &part.stretch else { return Ok(()) };
        self.summary.stretches += u64::from(part.first);
        let targets = self.targets.len();
        let rows = part.best.chunks(5 * targets);
        let own = |position: u64| stretch.codes[(position - stretch.start) as usize];
        for (row, position) in rows.clone().zip(part.range.clone()) {
            let known = row[REFERENCE * targets..].iter().filter(|best| best.is_some()).count() as u64;
            self.summary.positions += u64::from(known > 0);
            self.summary.short += targets as u64 - known;
            self.summary.substitutions += known * if own(position) == N { 4 } else { 3 };
        }
        if self.sinks.iter().any(|sink| matches!(sink, Sink::Picture(..))) {
            self.limit(part)?;
        }
        if self.sinks.iter().any(|sink| matches!(sink, Sink::Picture(..) | Sink::Maps(_))) {
            self.draw(stretch, part);
        }
        for sink in &mut self.sinks {
            match sink {
                Sink::Picture(..) | Sink::Maps(_) => {}
                Sink::Table(sink) => sink.write(&table(self.targets, stretch, part))?,
                Sink::Track(sink, target, series) => {
                    let value = |(row, position): (&[Option<Best>], u64)| {
                        let effects = effects(row, targets, *target, own(position), self.shown);
                        match series {
                            Series::Base(base) => effects[usize::from(*base)],
                            Series::Strongest => strongest(&effects),
                        }
                    };
                    let values: Vec<f32> = rows.clone().zip(part.range.clone()).map(value).collect();
                    sink.write(&stretch.contig, part.range.start, &values)?;
                }
            }
        }
        Ok(())
    }

    /// Refuses a picture of too many positions.
    fn limit(&mut self, part: &Part) -> Result<()> {
        let targets = self.targets.len();
        self.drawn += (part.range.end - part.range.start) as usize * targets;
        if self.drawn > MOST_DRAWN {
            return Err(Error::Output(format!(
                "a picture shows {MOST_DRAWN} positions at the most, over all models: give a shorter region, or write .tsv or .bw"
            )));
        }
        Ok(())
    }

    fn draw(&mut self, stretch: &Stretch, part: &Part) {
        let targets = self.targets.len();
        if part.first {
            for target in self.targets {
                self.panels.push(Panel {
                    model: target.name.clone(),
                    contig: stretch.contig.name.clone(),
                    start: part.range.start,
                    codes: Vec::new(),
                    values: Vec::new(),
                });
            }
        }
        let from = self.panels.len() - targets;
        for (row, position) in part.best.chunks(5 * targets).zip(part.range.clone()) {
            let own = stretch.codes[(position - stretch.start) as usize];
            for (target, panel) in self.panels[from..].iter_mut().enumerate() {
                panel.codes.push(own);
                panel.values.push(effects(row, targets, target, own, self.shown));
            }
        }
    }

    fn finish(self, contigs: &[Arc<Contig>]) -> Result<Summary> {
        let mut sealed = Vec::new();
        let mut receivers = Vec::new();
        for sink in self.sinks {
            match sink {
                Sink::Maps(sender) => receivers.push(sender),
                Sink::Table(sink) => sealed.extend(sink.seal()?),
                Sink::Track(sink, ..) => sealed.push(sink.seal(contigs)?),
                Sink::Picture(mut output, format, layout) => {
                    let drawn = |lettering| picture::svg(&self.panels, self.shown.words(), layout, lettering);
                    let bytes = match format {
                        Picture::Svg => drawn(Lettering::Text).into_bytes(),
                        #[cfg(feature = "png")]
                        Picture::Png(scale) => {
                            raster::png(&drawn(Lettering::Outlines), scale, output.path())?
                        }
                        #[cfg(not(feature = "png"))]
                        Picture::Png(_) => {
                            let message = "this build of bindscan has no PNG (feature png): write .svg";
                            return Err(crate::Error::Output(message.into()));
                        }
                    };
                    output.write(&bytes)?;
                    sealed.push(output.seal()?);
                }
            }
        }
        output::publish(sealed)?;
        if let Some(sender) = receivers.pop() {
            // Nobody may be left to receive them.
            self.panels.into_iter().for_each(|panel| drop(sender.send(panel)));
        }
        Ok(self.summary)
    }
}

/// Effects on a target's score of substitutions by A, C, G, T at one position; 0 for the reference's own base, and
/// where there is no score.
fn effects(row: &[Option<Best>], targets: usize, target: usize, own: u8, shown: Shown) -> [f32; 4] {
    let score = |base: usize| row[base * targets + target].map(|best| best.score);
    [0, 1, 2, 3].map(|base| match (score(REFERENCE), score(base)) {
        (Some(reference), Some(alternative)) if base != usize::from(own) => {
            shown.of(Effect::from_scores(reference, alternative))
        }
        _ => 0.0,
    })
}

/// The effect that is greatest in magnitude; the first of equals.
fn strongest(effects: &[f32; 4]) -> f32 {
    effects.iter().fold(0.0, |most: f32, &effect| if effect.abs() > most.abs() { effect } else { most })
}

fn table(targets: &[ModelOutput], stretch: &Stretch, part: &Part) -> Vec<u8> {
    let mut out = Vec::new();
    for (row, position) in part.best.chunks(5 * targets.len()).zip(part.range.clone()) {
        let own = stretch.codes[(position - stretch.start) as usize];
        for base in (0..N).filter(|&base| base != own) {
            for (rank, target) in targets.iter().enumerate() {
                let best = |base: usize| row[base * targets.len() + rank];
                let (Some(reference), Some(alternative)) = (best(REFERENCE), best(base.into())) else {
                    continue;
                };
                let effect = Effect::from_scores(reference.score, alternative.score);
                out.extend_from_slice(stretch.contig.name.as_bytes());
                out.push(b'\t');
                push_integer(position + 1, &mut out);
                out.extend_from_slice(&[b'\t', ascii_of_code(own), b'\t', ascii_of_code(base), b'\t']);
                out.extend_from_slice(target.name.as_bytes());
                for number in [reference.score, alternative.score, effect.difference, effect.effect] {
                    out.push(b'\t');
                    push_score(number, &mut out);
                }
                out.push(b'\n');
            }
        }
    }
    out
}
