//! The convolution and its pools by table look-up, and their gradients by the same tables.
//!
//! Three consecutive columns of sixteen filters have 125 possible contributions (N is a letter of its own, a quarter
//! of each base), kept as a table of vectors: a filter of 24 bases takes 8 look-ups. The gradient of a table entry
//! is the sum of what arrives at the placements that looked it up; folding the tables' gradients gives that of the
//! filters. A maximum is reached at one placement, so only that one is visited.

use crate::simd::{Lanes, WIDTH};
use crate::train::deepbind::kmer_index::{ENTRIES, Row, STEP};

/// Contributions of three columns, or their gradients: entry `25 a + 5 b + c` for the letters a, b, c.
pub(crate) type Table = [Lanes; ENTRIES];

/// A maximum that no placement exceeds zero for.
pub(crate) const NOWHERE: u32 = u32::MAX;

/// Placements that are summed side by side, to hide the latency of addition.
const ABREAST: usize = 4;

/// Pooled values of sixteen filters over a row.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Pooled {
    /// Greatest rectified activation.
    pub(crate) maximum: Lanes,
    /// The placement it was met at, or [`NOWHERE`] if it is 0.
    pub(crate) at: [u32; WIDTH],
    /// Sum of the rectified activations over all placements; 0 if not asked for.
    pub(crate) sum: Lanes,
}

/// Fills the tables of sixteen filters. `weights[4 j + base]` for the columns j, as many as the filters are long.
#[inline(always)]
pub(crate) fn build(weights: &[Lanes], bias: Lanes, tables: &mut [Table]) {
    for (g, (table, columns)) in tables.iter_mut().zip(weights.chunks(4 * STEP)).enumerate() {
        let [first, second, third] = [0, 1, 2].map(|i| letters(columns.get(4 * i..4 * i + 4)));
        for a in 0..5 {
            let start = if g == 0 { bias + first[a] } else { first[a] };
            for b in 0..5 {
                let pair = start + second[b];
                for c in 0..5 {
                    table[25 * a + 5 * b + c] = pair + third[c];
                }
            }
        }
    }
}

/// Contribution of each letter at a column; none past the filter's end.
#[inline(always)]
fn letters(column: Option<&[Lanes]>) -> [Lanes; 5] {
    match column {
        Some(&[a, c, g, t]) => [a, c, g, t, (a + c + g + t) * Lanes::splat(0.25)],
        _ => [Lanes::ZERO; 5],
    }
}

/// Sums of the looked-up vectors at `COUNT` placements of one phase, the first at `at`.
#[inline(always)]
fn activations<const COUNT: usize>(tables: &[Table], phase: &[u8], at: usize) -> [Lanes; COUNT] {
    let mut sums = [Lanes::ZERO; COUNT];
    for (table, entries) in tables.iter().zip(phase[at..].windows(COUNT)) {
        for u in 0..COUNT {
            sums[u] += table[usize::from(entries[u]) & (ENTRIES - 1)];
        }
    }
    sums
}

/// Pools sixteen filters over a row.
#[inline(always)]
pub(crate) fn pool<const AVERAGE: bool>(tables: &[Table], row: Row<'_>) -> Pooled {
    let mut pooled = Pooled { maximum: Lanes::ZERO, at: [NOWHERE; WIDTH], sum: Lanes::ZERO };
    for (r, phase) in row.phases.into_iter().enumerate() {
        let count = (phase.len() + 1).saturating_sub(tables.len());
        let mut q = 0;
        while q + ABREAST <= count {
            let sums = activations::<ABREAST>(tables, phase, q);
            for (u, sum) in sums.into_iter().enumerate() {
                pooled.take::<AVERAGE>(sum, (STEP * (q + u) + r) as u32);
            }
            q += ABREAST;
        }
        while q < count {
            let [sum] = activations::<1>(tables, phase, q);
            pooled.take::<AVERAGE>(sum, (STEP * q + r) as u32);
            q += 1;
        }
    }
    pooled
}

impl Pooled {
    #[inline(always)]
    fn take<const AVERAGE: bool>(&mut self, activation: Lanes, placement: u32) {
        for l in 0..WIDTH {
            let x = activation.0[l];
            let better = x > self.maximum.0[l];
            self.maximum.0[l] = if better { x } else { self.maximum.0[l] };
            self.at[l] = if better { placement } else { self.at[l] };
            if AVERAGE {
                self.sum.0[l] += if x > 0.0 { x } else { 0.0 };
            }
        }
    }
}

/// Adds the gradient of the maxima to the tables' gradients.
#[inline(always)]
pub(crate) fn scatter_maximum(gradients: &mut [Table], row: Row<'_>, at: &[u32; WIDTH], gradient: Lanes) {
    for (l, (&placement, g)) in at.iter().zip(gradient.0).enumerate() {
        if placement == NOWHERE || g == 0.0 {
            continue;
        }
        let phase = row.phases[placement as usize % STEP];
        for (table, &entry) in gradients.iter_mut().zip(&phase[placement as usize / STEP..]) {
            table[usize::from(entry) & (ENTRIES - 1)].0[l] += g;
        }
    }
}

/// Adds the gradient of the sums over placements to the tables' gradients.
#[inline(always)]
pub(crate) fn scatter_sum(tables: &[Table], gradients: &mut [Table], row: Row<'_>, gradient: Lanes) {
    for phase in row.phases {
        for q in 0..(phase.len() + 1).saturating_sub(tables.len()) {
            let [sum] = activations::<1>(tables, phase, q);
            let active = sum.zip(gradient, |x, g| if x > 0.0 { g } else { 0.0 });
            for (table, &entry) in gradients.iter_mut().zip(&phase[q..]) {
                table[usize::from(entry) & (ENTRIES - 1)] += active;
            }
        }
    }
}

/// Adds the tables' gradients to those of the filters (laid out as in [`build`]) and of their biases.
#[inline(always)]
pub(crate) fn fold(tables: &[Table], weights: &mut [Lanes], bias: &mut Lanes) {
    for (g, (table, columns)) in tables.iter().zip(weights.chunks_mut(4 * STEP)).enumerate() {
        let mut sums = [[Lanes::ZERO; 5]; STEP];
        for a in 0..5 {
            for b in 0..5 {
                let mut pair = Lanes::ZERO;
                for c in 0..5 {
                    let entry = table[25 * a + 5 * b + c];
                    pair += entry;
                    sums[2][c] += entry;
                }
                sums[0][a] += pair;
                sums[1][b] += pair;
            }
        }
        if g == 0 {
            sums[0].iter().for_each(|&sum| *bias += sum);
        }
        for (column, sums) in columns.chunks_exact_mut(4).zip(&sums) {
            let share = sums[4] * Lanes::splat(0.25);
            for (weight, &sum) in column.iter_mut().zip(sums) {
                *weight += sum + share;
            }
        }
    }
}
