//! bedGraph: contig, start (0-based), end, value.

use super::score::{Encoded, Stretch, TileValues};
use crate::io::bbi::Block;
use crate::io::deflate::{BGZF_INPUT, Deflater};
use crate::io::number::{push_integer, push_score};
use crate::seq::contig::Contig;

/// Compression of lines: dense scores are long, and workers have to keep up with the scan.
pub(super) const LEVEL: i32 = 1;

/// Appends a line for each bin.
pub(super) fn write(contig: &Contig, values: TileValues<'_>, out: &mut Vec<u8>) {
    (0..values.len()).for_each(|i| write_line(contig, values.at(i), out));
}

fn write_line(contig: &Contig, stretch: Stretch, out: &mut Vec<u8>) {
    out.extend_from_slice(contig.name.as_bytes());
    out.push(b'\t');
    push_integer(stretch.start, out);
    out.push(b'\t');
    push_integer(stretch.end, out);
    out.push(b'\t');
    push_score(stretch.value, out);
    out.push(b'\n');
}

/// Appends the lines in blocks of BGZF, each of whole lines.
pub(super) fn write_blocks(
    contig: &Contig,
    values: TileValues<'_>,
    (deflater, lines): (&mut Deflater, &mut Vec<u8>),
    out: &mut Encoded,
) {
    lines.clear();
    let mut end_block = |lines: &[u8], first: usize, next: usize| {
        let from = out.bytes.len();
        lines.chunks(BGZF_INPUT).for_each(|piece| deflater.bgzf(piece, &mut out.bytes));
        let (start, end) = (values.at(first).start, values.at(next - 1).end);
        let items = (next - first) as u64;
        out.blocks.push(Block { start, end, bytes: out.bytes.len() - from, items });
    };
    let mut first = 0;
    for i in 0..values.len() {
        let before = lines.len();
        write_line(contig, values.at(i), lines);
        if lines.len() > BGZF_INPUT && i > first {
            end_block(&lines[..before], first, i);
            lines.drain(..before);
            first = i;
        }
    }
    end_block(lines, first, values.len());
}
