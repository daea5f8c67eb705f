//! Sites as lines of `fimo.tsv`, the table of MEME's FIMO.
//!
//! The columns are `motif_id`, `motif_alt_id`, `sequence_name`, `start` and `stop` (1-based, both included), `strand`,
//! `score`, `p-value`, `q-value` (empty where none is known) and `matched_sequence` (on the strand of the site). The lines
//! are in the order of the genome; FIMO's are in the order of their p-values.

use std::io::Write;

use super::IN_MEMORY;
use super::site::{Site, SiteFormat};
use crate::io::number::{push_integer, push_score};

/// The line of column names.
pub(super) const COLUMNS: &str =
    "motif_id\tmotif_alt_id\tsequence_name\tstart\tstop\tstrand\tscore\tp-value\tq-value\tmatched_sequence\n";

/// Appends the line of a site, without its end.
pub(super) fn write(site: &Site<'_>, out: &mut Vec<u8>) {
    let Site { contig, target, hit, significance, .. } = site;
    let span = site.span();
    for text in [&target.name, &target.alias, &contig.name] {
        out.extend_from_slice(text.as_bytes());
        out.push(b'\t');
    }
    push_integer(span.start + 1, out);
    out.push(b'\t');
    push_integer(span.end, out);
    out.extend_from_slice(&[b'\t', site.strand(), b'\t']);
    push_score(hit.score, out);
    out.push(b'\t');
    match significance {
        Some(known) => write!(out, "{:.4e}", known.p).expect(IN_MEMORY),
        None => out.extend_from_slice(b"NA"),
    }
    out.push(b'\t');
    if let Some(q) = significance.and_then(|known| known.q) {
        q.put(SiteFormat::Fimo, out);
    }
    out.push(b'\t');
    site.push_sequence(out);
}
