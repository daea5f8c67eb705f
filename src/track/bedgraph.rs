//! bedGraph: contig, start (0-based), end, value.

use super::bbi::Block;
use super::deflate::{BGZF_INPUT, Deflater};
use super::number::{push_fixed, push_integer};
use super::score::{Bin, Encoded, Series};
use crate::genome::Contig;

/// Compression of lines: dense scores are long, and workers have to keep up with the scan.
pub(super) const LEVEL: i32 = 1;

/// Appends a line for each bin, values with 6 decimals.
pub(super) fn write(contig: &Contig, series: &Series, bins: &[Bin], out: &mut Vec<u8>) {
    for bin in bins {
        out.extend_from_slice(contig.name.as_bytes());
        out.push(b'\t');
        push_integer(bin.start, out);
        out.push(b'\t');
        push_integer(bin.end, out);
        out.push(b'\t');
        push_fixed(series.value(bin), 6, out);
        out.push(b'\n');
    }
}

/// Appends the lines in blocks of BGZF, each of whole lines.
pub(super) fn write_blocks(
    contig: &Contig,
    series: &Series,
    bins: &[Bin],
    (deflater, lines): (&mut Deflater, &mut Vec<u8>),
    out: &mut Encoded,
) {
    lines.clear();
    let mut end_block = |lines: &[u8], bins: &[Bin]| {
        let from = out.bytes.len();
        lines.chunks(BGZF_INPUT).for_each(|piece| deflater.bgzf(piece, &mut out.bytes));
        let (start, end) = (bins[0].start, bins[bins.len() - 1].end);
        out.blocks.push(Block { start, end, bytes: out.bytes.len() - from });
    };
    let mut first = 0;
    for (i, bin) in bins.iter().enumerate() {
        let before = lines.len();
        write(contig, series, std::slice::from_ref(bin), lines);
        if lines.len() > BGZF_INPUT && i > first {
            end_block(&lines[..before], &bins[first..i]);
            lines.drain(..before);
            first = i;
        }
    }
    end_block(lines, &bins[first..]);
}
