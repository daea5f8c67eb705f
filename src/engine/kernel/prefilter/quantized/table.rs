//! Quantized activations on bases, by table look-up: the least deficits of a few positions side by side.

use std::array;

use crate::engine::kernel::prefilter::quantized::{Errors, Lane, step};
use crate::engine::kernel::simd::{BYTES, Bytes, Row, Task, Vector};
use crate::engine::kernel::triple::{TRIPLE, triple};

/// Tables that lie side by side, so that those of a filter share no part of the cache.
const SIDE_BY_SIDE: usize = 8;

/// Positions computed side by side.
pub(crate) const SIDE: usize = 8;

/// Rows of eight tables, for each index of three codes.
type Chunk = [[Row; SIDE_BY_SIDE]; 256];

/// Indices that `SIDE` positions of a chunk look at.
const SPAN: usize = SIDE_BY_SIDE * TRIPLE + SIDE;

/// Tables of 32 filters: for each three columns, the deficit that three codes add.
#[derive(Debug, Clone)]
pub(crate) struct Tables {
    chunks: Vec<Chunk>,
    count: usize,
}

impl Tables {
    /// Tables of 32 lanes with the same number of columns.
    pub(crate) fn new(lanes: &[Lane]) -> (Tables, Errors) {
        let length = lanes[0].losses.len();
        let count = length.div_ceil(TRIPLE);
        let mut chunks = vec![[[Row::ZERO; SIDE_BY_SIDE]; 256]; count.div_ceil(SIDE_BY_SIDE)];
        let mut errors = Errors::NONE;
        for table in 0..count {
            let deficits = |codes: [usize; TRIPLE]| -> [f64; BYTES] {
                array::from_fn(|lane| {
                    let lane = &lanes[lane];
                    let losses =
                        lane.losses[table * TRIPLE..].iter().zip(codes).map(|(loss, code)| loss[code]);
                    losses.sum::<f64>() + if table == 0 { lane.least() } else { 0.0 }
                })
            };
            let all = || (0..125).map(|n: usize| [n / 25, n / 5 % 5, n % 5]);
            errors.add(&Errors::from_deficits(all().map(deficits)));
            for codes in all() {
                let [a, b, c] = codes.map(|code| code as u8);
                let rows = &mut chunks[table / SIDE_BY_SIDE][usize::from(triple(a, b, c))];
                rows[table % SIDE_BY_SIDE] = Row(deficits(codes).map(step));
            }
        }
        (Tables { chunks, count }, errors)
    }

    /// Deficits at eight positions. `triples`: look-up indices from that of the first one on.
    #[inline(always)]
    fn sums<B: Bytes>(&self, triples: &[u8]) -> [B; SIDE] {
        let mut sums = [B::load(&Row::ZERO); SIDE];
        for (i, chunk) in self.chunks.iter().enumerate() {
            let triples = &triples[i * SIDE_BY_SIDE * TRIPLE..];
            let triples = triples.first_chunk().expect("indices go on past the last position");
            match self.count - i * SIDE_BY_SIDE {
                1 => add::<B, 1>(chunk, triples, &mut sums),
                2 => add::<B, 2>(chunk, triples, &mut sums),
                3 => add::<B, 3>(chunk, triples, &mut sums),
                4 => add::<B, 4>(chunk, triples, &mut sums),
                5 => add::<B, 5>(chunk, triples, &mut sums),
                6 => add::<B, 6>(chunk, triples, &mut sums),
                7 => add::<B, 7>(chunk, triples, &mut sums),
                _ => add::<B, SIDE_BY_SIDE>(chunk, triples, &mut sums),
            }
        }
        sums
    }
}

#[inline(always)]
fn add<B: Bytes, const T: usize>(chunk: &Chunk, triples: &[u8; SPAN], sums: &mut [B; SIDE]) {
    for t in 0..T {
        for (i, sum) in sums.iter_mut().enumerate() {
            *sum = sum.add(B::load(&chunk[usize::from(triples[t * TRIPLE + i])][t]));
        }
    }
}

/// Least deficits of each `UNIT` (2 or 8) positions side by side.
pub(crate) struct Minima<'a, const UNIT: usize> {
    pub(crate) tables: &'a Tables,
    /// Indices, from that of the first position on; as many more as exact convolution needs
    /// ([`slack`](crate::engine::kernel::convolve::slack)).
    pub(crate) triples: &'a [u8],
    /// One for each `UNIT` positions; a multiple of [`SIDE`] positions.
    pub(crate) out: &'a mut [Row],
}

impl<const UNIT: usize> Task for Minima<'_, UNIT> {
    #[inline(always)]
    fn run<V: Vector>(self) {
        for (i, out) in self.out.chunks_exact_mut(SIDE / UNIT).enumerate() {
            let mut sums = self.tables.sums::<V::Bytes>(&self.triples[i * SIDE..]);
            let mut width = 1;
            while width < UNIT {
                for at in (0..SIDE).step_by(2 * width) {
                    sums[at] = sums[at].min(sums[at + width]);
                }
                width *= 2;
            }
            for (out, sum) in out.iter_mut().zip(sums.iter().step_by(UNIT)) {
                sum.store(out);
            }
        }
    }
}
