//! bedGraph: contig, start (0-based), end, value.

use super::number::{push_fixed, push_integer};
use super::score::{Bin, Series};
use crate::genome::Contig;

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
