//! Three consecutive bases as the index of a table's row.

use crate::engine::kernel::simd::Lanes;

/// Bases that select one table row.
pub(crate) const TRIPLE: usize = 3;

/// Indices of three codes.
pub(crate) const TRIPLES: usize = 64 + 125;

/// Rows of a table, one for each index, and more.
pub(crate) type Table = [Lanes; 256];

/// The index of three codes: below 64 for ACGT, from 64 on with an N among them.
#[inline(always)]
pub(crate) fn triple(a: u8, b: u8, c: u8) -> u8 {
    if a.max(b).max(c) < 4 { 16 * a + 4 * b + c } else { 64 + 25 * a + 5 * b + c }
}
