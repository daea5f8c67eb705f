//! Bounds of pooled features, from the deficits of a window's alignments.

use crate::engine::kernel::prefilter::quantized::{BLOCK, GroupStrand};
use crate::engine::kernel::simd::{Bytes, Lanes, Row, Task, Vector, WIDTH};

/// Least and greatest that the least deficit of a window can be, for the windows that start in each of some blocks.
pub(crate) struct Windows<'a> {
    /// Least deficits of each `unit` positions, from the first block of window starts on.
    pub(crate) units: &'a [Row],
    pub(crate) unit: usize,
    /// Inner alignments of a window.
    pub(crate) inner: usize,
    /// Columns past the low ends, two windows at a time from the last to the first; empty without padding.
    pub(crate) low: &'a [Row],
    /// Columns past the high ends, from the first two windows to the last.
    pub(crate) high: &'a [Row],
    pub(crate) outside: &'a Row,
    /// Working memory, as long as `units`.
    pub(crate) scratch: &'a mut [Row],
    /// No window of the block has a lesser deficit; one a block.
    pub(crate) least: &'a mut [Row],
    /// No window of the block has a greater one.
    pub(crate) greatest: &'a mut [Row],
}

impl Task for Windows<'_> {
    #[inline(always)]
    fn run<V: Vector>(self) {
        let Windows { units, unit, inner, low, high, outside, scratch, least, greatest } = self;
        // A block's windows all cover units `from .. to`, and none past `last`.
        let (from, to, last) = ((BLOCK - 1).div_ceil(unit), inner / unit, (inner + BLOCK - 2) / unit);
        let shared = to.saturating_sub(from);
        // scratch[i] becomes the minimum over `width` units from i on, in steps that double the width.
        let (mut width, mut valid) = (1, units.len());
        if shared > 0 {
            scratch.copy_from_slice(units);
            while 2 * width <= shared {
                valid -= width;
                for i in 0..valid {
                    let pair = V::Bytes::load(&scratch[i]).min(V::Bytes::load(&scratch[i + width]));
                    pair.store(&mut scratch[i]);
                }
                width *= 2;
            }
        }
        let outside = V::Bytes::load(outside);
        let pairs = BLOCK / 2;
        for (block, (least, greatest)) in least.iter_mut().zip(greatest).enumerate() {
            let first = block * BLOCK / unit;
            let units = &units[first..=first + last];
            let mut best = outside;
            if shared > 0 {
                let shared_by_all =
                    V::Bytes::load(&scratch[first + from]).min(V::Bytes::load(&scratch[first + to - width]));
                shared_by_all.store(greatest);
                best = best.min(shared_by_all);
                for unit in units[..from].iter().chain(&units[to..]) {
                    best = best.min(V::Bytes::load(unit));
                }
            } else {
                *greatest = Row::FULL;
                for unit in units {
                    best = best.min(V::Bytes::load(unit));
                }
            }
            if !low.is_empty() {
                let end = low.len() - block * pairs;
                for overhang in low[end - pairs..end].iter().chain(&high[block * pairs..][..pairs]) {
                    best = best.min(V::Bytes::load(overhang));
                }
            }
            best.store(least);
        }
    }
}

/// Activations of 16 filters that bound those with given deficits.
pub(crate) struct Decode<'a> {
    pub(crate) deficits: &'a [Row],
    /// Lanes of a row: 0 for the first 16, 1 for the others.
    pub(crate) side: usize,
    pub(crate) half: &'a GroupStrand,
    /// From above, or else from below.
    pub(crate) above: bool,
    /// True if activations below 0 count as 0.
    pub(crate) rectify: bool,
    /// A [block](Vector) of no fewer.
    pub(crate) out: &'a mut [Lanes],
}

impl Task for Decode<'_> {
    #[inline(always)]
    fn run<V: Vector>(self) {
        let Decode { deficits, side, half, above, rectify, out } = self;
        let top = V::load(if above { &half.greatest } else { &half.least });
        let step = V::load(&half.step).mul(V::splat(-1.0));
        let floor = V::splat(if rectify { 0.0 } else { f32::MIN });
        for (i, row) in deficits.iter().enumerate() {
            let lanes: &[u8; WIDTH] = row.0[side * WIDTH..].first_chunk().expect("16 of 32");
            V::widen(lanes).mul(step).add(top).max(floor).store_to(out, i);
        }
    }
}

/// The features that give one output its highest score within bounds: for 16 filters, [blocks](Vector) of the same size.
pub(crate) struct Favour<'a> {
    /// The output's weights of these filters.
    pub(crate) weights: &'a Lanes,
    pub(crate) least: &'a [Lanes],
    pub(crate) greatest: &'a [Lanes],
    pub(crate) out: &'a mut [Lanes],
}

impl Task for Favour<'_> {
    #[inline(always)]
    fn run<V: Vector>(self) {
        // Each lane is one of the two times 1 plus the other times 0: exact.
        let positive = Lanes(self.weights.0.map(|weight| if weight > 0.0 { 1.0 } else { 0.0 }));
        let negative = Lanes(positive.0.map(|x| 1.0 - x));
        let (positive, negative) = (V::load(&positive), V::load(&negative));
        for i in 0..self.out.len() {
            let (least, greatest) = (V::load_from(self.least, i), V::load_from(self.greatest, i));
            greatest.mul(positive).add(least.mul(negative)).store_to(self.out, i);
        }
    }
}
