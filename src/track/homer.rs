//! Sites as lines of HOMER's position files, as its `scanMotifGenomeWide.pl` writes them.
//!
//! The columns are an ID, contig, start and end (1-based, both included), strand, score, and the sequence on the strand of
//! the site. An ID is the motif's with a number behind it that no other site of the motif has: the rank of the contig, the
//! start in ten digits, and 1 or 2 for the strand. It does not depend on the rest of the scan.

use std::io::Write;

use super::IN_MEMORY;
use super::site::Site;
use crate::io::number::{push_integer, push_score};
use crate::seq::contig::Strand;

/// Appends the line of a site, without its end.
pub(super) fn write(site: &Site<'_>, out: &mut Vec<u8>) {
    let Site { contig, target, hit, .. } = site;
    let span = site.span();
    let strand = if hit.strand == Strand::Reverse { 2 } else { 1 };
    out.extend_from_slice(target.name.as_bytes());
    write!(out, "-{}{:010}{strand}\t", contig.id + 1, span.start + 1).expect(IN_MEMORY);
    out.extend_from_slice(contig.name.as_bytes());
    out.push(b'\t');
    push_integer(span.start + 1, out);
    out.push(b'\t');
    push_integer(span.end, out);
    // HOMER takes any strand but `-` for the forward one, and some of its programs refuse a dot.
    let symbol = if site.strand() == b'-' { b'-' } else { b'+' };
    out.extend_from_slice(&[b'\t', symbol, b'\t']);
    push_score(hit.score, out);
    out.push(b'\t');
    site.push_sequence(out);
}
