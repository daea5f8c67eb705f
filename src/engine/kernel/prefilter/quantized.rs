//! Quantized bounds: activations in 8-bit fixed point that bound the exact ones at a fraction of their cost.
//!
//! A quantized activation is a deficit: its distance from the highest activation of its filter, in steps of about a 250th of
//! the range that matters (of the positive activations under a rectifier). Each base adds the deficit of its column, so a
//! deficit is a sum of bytes, and a maximum over activations is a minimum over deficits. Sums that do not fit saturate at
//! 255, which stands for everything that is no longer of interest. One row of 32 bytes holds 16 filters on both strands, or
//! 32 on one: one addition where exact activations need two or four.
//!
//! Table entries are rounded. Their largest error is added up for each lane when the tables are made, together with a margin
//! for the rounding of the exact sums. A deficit therefore gives one activation that is no less than the exact one, and one
//! that is no greater.

use std::array;

use crate::engine::kernel::filters::Group;
use crate::engine::kernel::prefilter::quantized::end::End;
use crate::engine::kernel::prefilter::quantized::table::Tables;
use crate::engine::kernel::prune;
use crate::engine::kernel::simd::{BYTES, Lanes, Row, WIDTH};
use crate::engine::kernel::strand_tables::StrandTables;
use crate::engine::kernel::triple::TRIPLE;
use crate::model::{Network, Pooling};
use crate::seq::window::StrandChoice;

pub(crate) mod end;
pub(crate) mod table;
pub(crate) mod window;

/// Window starts that are bounded together.
pub(crate) const BLOCK: usize = 8;

/// Bound on the rounding error of any sum of magnitude 1 computed in `f32` from `columns` columns, relative to
/// the sum of its terms' absolute values.
pub(crate) fn margin(columns: usize) -> f64 {
    (columns + 16) as f64 * f64::from(f32::EPSILON)
}

/// A filter in one lane, in steps.
#[derive(Debug, Clone)]
pub(crate) struct Lane {
    /// For each column, what each code falls short of the best one.
    losses: Vec<[f64; 5]>,
    /// For each column, what the best code adds to an alignment with padding there.
    gains: Vec<f64>,
    /// Deficit of an alignment on padding alone.
    padded: f64,
}

impl Lane {
    /// Lane `lane` of `group`; the deficit counts from `top`, `scale` steps to a unit.
    pub(crate) fn new(group: &Group, lane: usize, top: f64, scale: f64) -> Lane {
        let column = |j: usize| array::from_fn(|code| f64::from(group.columns[j][code].0[lane]));
        let columns: Vec<[f64; 5]> = (0..group.columns.len()).map(column).collect();
        let best = |column: &[f64; 5]| column.iter().copied().fold(f64::NEG_INFINITY, f64::max);
        Lane {
            losses: columns.iter().map(|column| column.map(|x| (best(column) - x) * scale)).collect(),
            gains: columns.iter().map(|column| best(column) * scale).collect(),
            padded: (top - f64::from(group.padded.0[lane])) * scale,
        }
    }

    /// A lane whose deficits are always 255.
    pub(crate) fn saturated(columns: usize) -> Lane {
        Lane { losses: vec![[0.0; 5]; columns], gains: vec![0.0; columns], padded: f64::from(u8::MAX) }
    }

    /// For each column, what each code falls short of the best one.
    pub(crate) fn losses(&self) -> &[[f64; 5]] {
        &self.losses
    }

    /// Least deficit of an alignment that lies on bases.
    pub(crate) fn least(&self) -> f64 {
        self.padded - self.gains.iter().sum::<f64>()
    }
}

/// The step nearest to a deficit.
pub(crate) fn step(deficit: f64) -> u8 {
    deficit.round().clamp(0.0, f64::from(u8::MAX)) as u8
}

/// By how many steps the deficits of each lane may be wrong.
#[derive(Debug, Clone)]
pub(crate) struct Errors {
    /// Too great by so much at most.
    above: [f64; BYTES],
    /// Too little by so much at most, unless they are 255.
    below: [f64; BYTES],
}

impl Errors {
    const NONE: Errors = Errors { above: [0.0; BYTES], below: [0.0; BYTES] };

    /// Sum of the rounding errors of the entries `deficits`.
    fn from_deficits(deficits: impl Iterator<Item = [f64; BYTES]>) -> Errors {
        let mut errors = Errors::NONE;
        for deficits in deficits {
            for (lane, deficit) in deficits.into_iter().enumerate() {
                let off = f64::from(step(deficit)) - deficit;
                errors.above[lane] = errors.above[lane].max(off);
                if step(deficit) < u8::MAX {
                    errors.below[lane] = errors.below[lane].max(-off);
                }
            }
        }
        errors
    }

    /// Takes in those of another term of the same sums.
    fn add(&mut self, other: &Errors) {
        for lane in 0..BYTES {
            self.above[lane] += other.above[lane];
            self.below[lane] += other.below[lane];
        }
    }
}

/// A network's filters in fixed point, 32 to a rank.
#[derive(Debug)]
pub(crate) struct QuantizedBounds {
    pub(crate) ranks: Vec<PackedGroup>,
    /// Two to a rank; the last one may be missing.
    pub(crate) halves: Vec<GroupStrand>,
}

/// Contents of a row.
#[derive(Debug)]
pub(crate) struct PackedGroup {
    pub(crate) tables: Tables,
    /// Columns past the low and the high end of padded windows.
    pub(crate) ends: Option<[End; 2]>,
    /// Deficits of the alignments on padding alone; 255 where there are none.
    pub(crate) outside: Row,
}

/// Sixteen filters on one strand.
#[derive(Debug)]
pub(crate) struct GroupStrand {
    /// 0 for forward, 1 for reverse.
    pub(crate) strand: usize,
    pub(crate) group: usize,
    /// Size of a step, in score.
    pub(crate) step: Lanes,
    /// An activation is no greater than this less its deficit.
    pub(crate) greatest: Lanes,
    /// An activation is no less than this less its deficit, or it is not positive.
    pub(crate) least: Lanes,
}

/// One lane while tables are made.
struct Scaled {
    top: f64,
    bottom: f64,
    /// Steps to a unit; 0 where all activations count the same.
    scale: f64,
    margin: f64,
}

impl QuantizedBounds {
    /// Tables of `network` for the strands scanned, or `None` for networks whose windows they would not bound:
    /// `padded` windows see padding past their ends.
    pub(crate) fn new(
        network: &Network,
        sides: [&StrandTables; 2],
        strands: StrandChoice,
        padded: bool,
    ) -> Option<QuantizedBounds> {
        let padding = network.padding;
        let sized = |side: &StrandTables| {
            side.filters.groups.iter().all(|group| group.size.0.iter().all(|&x| x < 1e30))
        };
        if network.pooling != Pooling::Max
            || padding.left != padding.right
            || !sides.iter().all(|side| sized(side))
        {
            return None;
        }
        let wanted: Vec<usize> = [strands.forward(), strands.reverse()]
            .iter()
            .zip(0..)
            .filter(|(w, _)| **w)
            .map(|(_, s)| s)
            .collect();
        let groups = sides[0].filters.groups.len();
        let places: Vec<(usize, usize)> =
            (0..groups).flat_map(|group| wanted.iter().map(move |&strand| (strand, group))).collect();
        let mut coarse = QuantizedBounds { ranks: Vec::new(), halves: Vec::new() };
        for places in places.chunks(2) {
            let padding = if padded { padding.left } else { 0 };
            coarse.add(network, sides, places, padding);
        }
        Some(coarse)
    }

    fn add(
        &mut self,
        network: &Network,
        sides: [&StrandTables; 2],
        places: &[(usize, usize)],
        padding: usize,
    ) {
        let length = network.filter_length;
        let group = |&(strand, group): &(usize, usize)| &sides[strand].filters.groups[group];
        let fits = padding.min(length - 1);
        let outside = padding > fits;
        let (mut lanes, mut scaled) = (Vec::new(), Vec::new());
        for group in places.iter().map(group) {
            for lane in 0..WIDTH {
                let lane_scale = Scaled::new(group, lane, network.rectify, fits, outside);
                lanes.push(Lane::new(group, lane, lane_scale.top, lane_scale.scale));
                scaled.push(lane_scale);
            }
        }
        lanes.resize(BYTES, Lane::saturated(length));
        let (tables, mut errors) = Tables::new(&lanes);
        let below = errors.below;
        let ends = (fits > 0).then(|| {
            [false, true].map(|reversed| {
                let placed = |group: &Group| {
                    let mut columns = group.columns.clone();
                    if reversed {
                        columns.reverse();
                    }
                    if network.rectify { prune::columns_on_padding(group, &columns) } else { fits }
                };
                let placed = places.iter().map(|place| placed(group(place))).max().unwrap_or(0);
                let (end, above) = End::new(&lanes, reversed, placed.min(fits));
                for (error, above) in errors.above.iter_mut().zip(above) {
                    *error = error.max(above);
                }
                end
            })
        });
        let outside = Row(array::from_fn(|lane| {
            if outside && lane < scaled.len() {
                lanes[lane].padded.floor().clamp(0.0, 255.0) as u8
            } else {
                u8::MAX
            }
        }));
        self.ranks.push(PackedGroup { tables, ends, outside });
        for (side, &(strand, group)) in places.iter().enumerate() {
            let first = side * WIDTH;
            let by_lane = |f: &dyn Fn(usize, &Scaled) -> f64| {
                Lanes(array::from_fn(|i| f(first + i, &scaled[first + i]) as f32))
            };
            let worth = |scaled: &Scaled| if scaled.scale > 0.0 { 1.0 / scaled.scale } else { 0.0 };
            self.halves.push(GroupStrand {
                strand,
                group,
                step: by_lane(&|_, scaled| worth(scaled)),
                greatest: by_lane(&|lane, scaled| {
                    scaled.top + errors.above[lane] * worth(scaled) + scaled.margin
                }),
                least: by_lane(&|lane, scaled| {
                    let top = if scaled.scale > 0.0 { scaled.top } else { scaled.bottom };
                    top - below[lane] * worth(scaled) - scaled.margin
                }),
            });
        }
    }
}

impl Scaled {
    /// `fits`: columns that may lie on padding; `outside`: all of them may.
    fn new(group: &Group, lane: usize, rectify: bool, fits: usize, outside: bool) -> Scaled {
        let length = group.columns.len();
        let padded = f64::from(group.padded.0[lane]);
        // The greatest activation of any alignment, and with columns turned over the least.
        let reach = |sign: f64| {
            let column = |j: usize| {
                (0..5)
                    .map(|code| sign * f64::from(group.columns[j][code].0[lane]))
                    .fold(f64::NEG_INFINITY, f64::max)
            };
            let columns: Vec<f64> = (0..length).map(column).collect();
            let whole: f64 = columns.iter().sum();
            let (mut best, mut low, mut high) = (whole, whole, whole);
            for t in 0..fits {
                low -= columns[t];
                high -= columns[length - 1 - t];
                best = best.max(low).max(high);
            }
            sign * padded + if outside { best.max(0.0) } else { best }
        };
        let (top, bottom) = (reach(1.0), if rectify { 0.0 } else { -reach(-1.0) });
        let size = f64::from(group.size.0[lane]);
        let (range, margin) = (top - bottom, margin(length) * size);
        // Entries that are off by half a step each must not lead past the last one.
        let terms = length.div_ceil(TRIPLE).max(length / 2 + 2);
        let steps = f64::from(u8::MAX) - 2.0 - terms as f64 / 2.0;
        let scale = if range > margin { steps / range } else { 0.0 };
        Scaled { top, bottom, scale, margin }
    }
}
