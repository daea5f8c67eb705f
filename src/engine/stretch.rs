//! Bases that an engine is fed with: as a strand reads them, each as the channel that stands for it.

use crate::Error;
use crate::model::ACGT;
use crate::seq::alphabet::{N, reverse_complement_into};
use crate::seq::chunk::Chunk;
use crate::seq::contig::Strand;
use crate::seq::window::WindowPlan;

/// The codes as `strand` reads them, each base as the channel that stands for it.
pub(super) fn oriented<'a>(
    codes: &'a mut [u8],
    strand: Strand,
    channels: [usize; 4],
    reversed: &'a mut Vec<u8>,
) -> &'a mut [u8] {
    let read = if strand == Strand::Forward {
        codes
    } else {
        reversed.clear();
        reverse_complement_into(codes, reversed);
        reversed
    };
    if channels != ACGT {
        read.iter_mut().filter(|code| **code < N).for_each(|code| *code = channels[usize::from(*code)] as u8);
    }
    read
}

/// Bases, first and last as `strand` reads them, that lie past the contig's ends, of `length` bases from position `start` on.
pub(super) fn past_ends(chunk: &Chunk, start: i64, length: usize, strand: Strand) -> (usize, usize) {
    let offset = start - chunk.start as i64;
    let before = (-offset).clamp(0, length as i64) as usize;
    let behind = (offset + length as i64 - chunk.codes.len() as i64).clamp(0, length as i64) as usize;
    if strand == Strand::Forward { (before, behind) } else { (behind, before) }
}

/// The error for a graph that takes windows of `length` bases only.
pub(super) fn other_length(model: &str, length: usize, plan: &WindowPlan) -> Error {
    let message = format!(
        "its graph takes windows of {length} bases only, not of {}; use --window {length}",
        plan.window
    );
    Error::model(model, message)
}

/// The error for a score that is not a number, of the window that starts at `start`.
pub(super) fn not_a_number(
    model: &str,
    chunk: &Chunk,
    start: u64,
    plan: &WindowPlan,
    strand: Strand,
) -> Error {
    let (first, last) = (start + 1, start + plan.window as u64);
    let contig = &chunk.contig.name;
    let message =
        format!("the score of the window {contig}:{first}-{last}, strand {strand}, is not a number");
    Error::model(model, message)
}
