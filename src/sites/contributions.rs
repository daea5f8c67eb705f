//! Contributions of bases to a score of a network of the DeepBind family.
//!
//! Neighbouring windows have most of their bases in common, and of windows that tie, suppression asks for every core. So
//! what was found for one window serves the next: the activations at a place are computed once for all windows, and where
//! the same filters win at the same places, the core is the same.

use std::ops::Range;

use crate::model::{Dense, Network};
use crate::scores::Hit;
use crate::seq::alphabet::{N, ONE_HOT, reverse_complement};
use crate::seq::chunk::Chunk;
use crate::seq::contig::Strand;
use crate::seq::window::{Context, WindowPlan};
use crate::simd::{self, Lanes, WIDTH};
use crate::sites::core::{Core, LARGEST, reach, within};

/// Codes of [`Contributions`]: bases, N, and what the network pads with.
const CODES: usize = 6;
const PAD: u8 = N + 1;

/// Places before the current window that are remembered, at most.
const REMEMBERED: i64 = 4096;

/// Finds what each base contributes to a score of a network of the DeepBind family.
#[derive(Debug)]
pub struct Contributions {
    filters: usize,
    length: usize,
    /// Contribution of a code to the activation of each filter, sixteen filters together:
    /// `columns[(j * CODES + code) * biases.len() + filter / 16]`.
    columns: Vec<Lanes>,
    biases: Vec<Lanes>,
    /// Contribution of a base less the mean of the four bases': `gains[(j * CODES + code) * filters + filter]`.
    gains: Vec<f32>,
    /// Activations up to here count as this: 0 for a rectified network.
    floor: f32,
    has_max: bool,
    has_average: bool,
    padding: [usize; 2],
    hidden: Option<Hidden>,
    output: Dense,
}

/// A hidden layer.
#[derive(Debug)]
struct Hidden {
    layer: Dense,
    /// The weights, all units of a feature together.
    by_feature: Vec<f32>,
}

impl Hidden {
    fn new(layer: &Dense) -> Hidden {
        let of_feature = |feature| layer.weights.iter().skip(feature).step_by(layer.inputs).copied();
        Hidden { by_feature: (0..layer.inputs).flat_map(of_feature).collect(), layer: layer.clone() }
    }

    /// Puts the sums of the units, before they are rectified, into `sums`.
    fn sums(&self, features: impl Iterator<Item = f32>, sums: &mut Vec<f32>) {
        sums.clear();
        sums.extend_from_slice(&self.layer.bias);
        let features = features.zip(self.by_feature.chunks_exact(self.layer.outputs));
        for (feature, weights) in features.filter(|(feature, _)| *feature != 0.0) {
            sums.iter_mut().zip(weights).for_each(|(sum, weight)| *sum += weight * feature);
        }
    }
}

/// Scratch memory of [`Contributions`], and what is remembered of the windows before: of one chunk and one output, until
/// [`Scratch::forget`].
#[derive(Debug, Default)]
pub struct Scratch {
    codes: Vec<u8>,
    /// Of the forward and of the reverse strand.
    places: [Places; 2],
    edges: Vec<f32>,
    highest: Vec<f32>,
    winners: Vec<u32>,
    sums: Vec<f32>,
    units: Vec<f32>,
    slopes: Vec<f64>,
    active: Vec<f32>,
    of_filters: Vec<f32>,
    contributions: Vec<f64>,
    explained: Option<Explained>,
}

impl Scratch {
    /// Forgets the windows before. Another chunk or another output may come.
    pub fn forget(&mut self) {
        self.places.iter_mut().for_each(|places| places.rows.clear());
        self.explained = None;
    }
}

/// Activations of all filters at places one behind the other, from contig position `from` on.
#[derive(Debug, Default)]
struct Places {
    from: i64,
    /// `[place][filter]`, the filters of a place filled up to a multiple of sixteen.
    rows: Vec<f32>,
}

/// A window whose core was found.
#[derive(Debug)]
struct Explained {
    strand: Strand,
    /// Contig positions of its places.
    places: Range<i64>,
    /// Places where filters win, and the positions from the first of their bases to the last.
    winners: Range<i64>,
    carried: Range<i64>,
    /// Start of the window, and its core; `None` for the whole window.
    start: u64,
    core: Option<Core>,
}

impl Contributions {
    /// Prepares to explain scores of a network.
    pub fn new(network: &Network) -> Contributions {
        let (filters, length) = (network.filters, network.filter_length);
        let biases = in_lanes(&network.biases);
        let mut columns = Vec::with_capacity(length * CODES * biases.len());
        let mut gains = Vec::with_capacity(length * CODES * filters);
        let pad = [network.padding.value; 4];
        for (j, code) in (0..length).flat_map(|j| (0..CODES).map(move |code| (j, code))) {
            let inputs = if code == usize::from(PAD) { pad } else { ONE_HOT[code] };
            let mut column = Vec::with_capacity(filters);
            for filter in 0..filters {
                let weights: [f32; 4] =
                    std::array::from_fn(|channel| network.weights[(filter * 4 + channel) * length + j]);
                let mean = weights.iter().sum::<f32>() / 4.0;
                column.push(inputs.iter().zip(&weights).map(|(input, weight)| input * weight).sum());
                gains.push(if code < usize::from(N) { weights[code] - mean } else { 0.0 });
            }
            columns.extend(in_lanes(&column));
        }
        Contributions {
            filters,
            length,
            columns,
            gains,
            biases,
            floor: if network.rectify { 0.0 } else { f32::NEG_INFINITY },
            has_max: network.pooling.has_max(),
            has_average: network.pooling.has_average(),
            padding: [network.padding.left, network.padding.right],
            hidden: network.hidden.as_ref().map(Hidden::new),
            output: network.output.clone(),
        }
    }

    /// The core of a hit in `chunk`, whose score is this output.
    pub fn core(
        &self,
        output: usize,
        chunk: &Chunk,
        hit: &Hit,
        plan: &WindowPlan,
        scratch: &mut Scratch,
    ) -> Core {
        let reverse = hit.strand == Strand::Reverse;
        let [left, right] = self.padding;
        // The real bases that filters see, and what stands before and behind them as they are read.
        let (first, length, pads) = match plan.context {
            Context::Padding => (hit.start as i64, plan.window, [left, right]),
            Context::Flank => {
                let before = if reverse { right } else { left };
                (hit.start as i64 - before as i64, left + plan.window + right, [0, 0])
            }
        };
        if pads[0] + length + pads[1] < self.length {
            return Core::whole(plan.window as u64);
        }
        let reach = reach(first..first + length as i64, chunk, hit, plan);
        // Contig positions of the places where a filter sees nothing but real bases.
        let places = first..first + (length as i64 + 1 - self.length as i64).max(0);
        self.activate_places(&places, chunk, reverse, &mut scratch.places[usize::from(reverse)]);
        let is_shared = pads == [0, 0] && !self.has_average && reach.end - reach.start >= LARGEST as i64;
        if is_shared && let Some(core) = self.remembered(hit, &places, &reach, scratch) {
            return core;
        }

        let codes = &mut scratch.codes;
        codes.clear();
        codes.resize(pads[0], PAD);
        chunk.codes_at(first, length, codes);
        if reverse {
            reverse_complement(&mut codes[pads[0]..]);
        }
        codes.resize(pads[0] + length + pads[1], PAD);
        self.explain(output, &places, pads[0], reverse, scratch);
        let contributions = &mut scratch.contributions[pads[0]..pads[0] + length];
        if reverse {
            contributions.reverse();
        }
        let core = within(contributions, first, &reach, hit);
        scratch.explained = None;
        if is_shared {
            let position = |place: u32| match hit.strand {
                Strand::Forward => places.start + i64::from(place),
                Strand::Reverse => places.end - 1 - i64::from(place),
            };
            let winning = scratch.highest.iter().zip(&scratch.winners);
            let mut winners = winning.filter(|(highest, _)| **highest > self.floor);
            let first = winners.next().map_or(places.start, |(_, &place)| position(place));
            let winners = winners.fold(first..first + 1, |range, (_, &place)| {
                range.start.min(position(place))..range.end.max(position(place) + 1)
            });
            let carried = winners.start..winners.end + self.length as i64 - 1;
            if holds(&reach, &carried) {
                let (strand, start) = (hit.strand, hit.start);
                scratch.explained = Some(Explained { strand, places, winners, carried, start, core });
            }
        }
        core.unwrap_or_else(|| Core::whole(plan.window as u64))
    }

    /// The core of a hit if it is that of the window before: the same filters win at the same places, and all they see may be
    /// in the core of either.
    fn remembered(
        &self,
        hit: &Hit,
        places: &Range<i64>,
        reach: &Range<i64>,
        scratch: &mut Scratch,
    ) -> Option<Core> {
        let Scratch { places: known, highest, explained, .. } = scratch;
        let before = explained.as_mut()?;
        let core = before.core?;
        let overlaps = places.start < before.places.end && before.places.start < places.end;
        if before.strand != hit.strand
            || !overlaps
            || !holds(places, &before.winners)
            || !holds(reach, &before.carried)
        {
            return None;
        }
        let known = &known[usize::from(hit.strand == Strand::Reverse)];
        let mut new = (places.start..before.places.start).chain(before.places.end..places.end);
        let wins = |place: i64| {
            let row = known.row(place, self.filters).iter().zip(&*highest);
            row.fold(false, |any, (&activation, &highest)| {
                any | ((activation >= highest) & (activation > self.floor))
            })
        };
        if new.any(wins) {
            return None;
        }
        before.places = places.clone();
        Some(core.moved((before.start as i64 - hit.start as i64) as i32))
    }

    /// Puts what each of `scratch.codes` contributes to an output into `scratch.contributions`. `places` are the contig
    /// positions of the places of real bases, of which the first has number `first_real` as filters read.
    fn explain(
        &self,
        output: usize,
        places: &Range<i64>,
        first_real: usize,
        reverse: bool,
        scratch: &mut Scratch,
    ) {
        let Scratch { codes, places: known, edges, highest, winners, sums, units, slopes, .. } = scratch;
        let Scratch { active, of_filters, contributions, .. } = scratch;
        let known = &known[usize::from(reverse)];
        let filters = self.filters;
        let count = codes.len() + 1 - self.length;
        let real = first_real..first_real + (places.end - places.start) as usize;
        edges.clear();
        // Places before the real ones, and behind.
        for places in [0..real.start, real.end..count] {
            if !places.is_empty() {
                self.activate(&codes[places.start..places.end + self.length - 1], false, edges);
            }
        }
        let row = |place: usize| {
            if real.contains(&place) {
                let ahead = (place - real.start) as i64;
                let position = if reverse { places.end - 1 - ahead } else { places.start + ahead };
                known.row(position, filters)
            } else {
                let edge = if place < real.start { place } else { place - real.len() };
                row_of(edges, edge, filters)
            }
        };

        for (values, first) in [(&mut *highest, f32::NEG_INFINITY), (&mut *sums, 0.0)] {
            values.clear();
            values.resize(filters, first);
        }
        winners.clear();
        winners.resize(filters, 0);
        let least = self.floor.max(f32::MIN);
        for place in 0..count {
            if self.has_max {
                let best = highest.iter_mut().zip(winners.iter_mut()).zip(row(place));
                for ((highest, winner), &activation) in best {
                    *winner = if activation > *highest { place as u32 } else { *winner };
                    *highest = if activation > *highest { activation } else { *highest };
                }
            }
            if self.has_average {
                let sums = sums.iter_mut().zip(row(place));
                sums.for_each(|(sum, &activation)| *sum += activation.max(least));
            }
        }
        let inputs = self.output.inputs;
        let output = &self.output.weights[output * inputs..(output + 1) * inputs];
        self.slopes(output, count, (highest, sums), units, slopes);

        contributions.clear();
        contributions.resize(codes.len(), 0.0);
        if self.has_average {
            let slopes = &slopes[slopes.len() - filters..];
            of_filters.clear();
            of_filters.resize(codes.len() * filters, 0.0);
            for place in 0..count {
                active.clear();
                active.extend(row(place).iter().zip(slopes).map(|(&activation, &slope)| {
                    if activation > self.floor { (slope / count as f64) as f32 } else { 0.0 }
                }));
                self.add_active(active, &codes[place..], &mut of_filters[place * filters..]);
            }
            for (contribution, of_filters) in contributions.iter_mut().zip(of_filters.chunks_exact(filters)) {
                *contribution = of_filters.iter().map(|&x| f64::from(x)).sum();
            }
        }
        if self.has_max {
            for filter in 0..filters {
                if slopes[filter] != 0.0 && highest[filter] > self.floor {
                    let place = winners[filter] as usize;
                    self.add(filter, slopes[filter], &codes[place..], &mut contributions[place..]);
                }
            }
        }
    }

    /// Lets `known` have the activations at `places`, and forgets those far before.
    fn activate_places(&self, places: &Range<i64>, chunk: &Chunk, reverse: bool, known: &mut Places) {
        let row = self.biases.len() * WIDTH;
        let have = (known.rows.len() / row) as i64;
        if places.start < known.from || places.start > known.from + have {
            known.rows.clear();
        }
        if known.rows.is_empty() {
            known.from = places.start;
        } else if places.start - known.from > REMEMBERED {
            known.rows.drain(..(places.start - known.from) as usize * row);
            known.from = places.start;
        }
        let have = (known.rows.len() / row) as i64;
        let new = known.from + have..places.end;
        if new.is_empty() {
            return;
        }
        let count = (new.end - new.start) as usize;
        let mut codes = Vec::with_capacity(count + self.length);
        chunk.codes_at(new.start, count + self.length - 1, &mut codes);
        if reverse {
            reverse_complement(&mut codes);
        }
        self.activate(&codes, reverse, &mut known.rows);
    }

    /// Appends the activations of all filters at all places of the codes, in their order or in the opposite one.
    fn activate(&self, codes: &[u8], backwards: bool, rows: &mut Vec<f32>) {
        simd::run(Activate { of: self, codes, backwards, rows });
    }

    /// Puts into `slopes` by how much the score rises with each feature: with maxima, then with means. `output` has the
    /// weights of the output.
    fn slopes(
        &self,
        output: &[f32],
        places: usize,
        (highest, sums): (&[f32], &[f32]),
        units: &mut Vec<f32>,
        slopes: &mut Vec<f64>,
    ) {
        slopes.clear();
        let Some(hidden) = &self.hidden else {
            slopes.extend(output.iter().map(|&weight| f64::from(weight)));
            return;
        };
        let least = self.floor.max(f32::MIN);
        let maxima = highest.iter().filter(|_| self.has_max).map(|&highest| highest.max(least));
        let means = sums.iter().filter(|_| self.has_average).map(|&sum| sum / places as f32);
        hidden.sums(maxima.chain(means), units);
        let Dense { inputs, weights, .. } = &hidden.layer;
        slopes.resize(*inputs, 0.0);
        let active = weights.chunks_exact(*inputs).zip(output).zip(&*units).filter(|(_, sum)| **sum > 0.0);
        for ((row, &weight), _) in active {
            let weight = f64::from(weight);
            slopes.iter_mut().zip(row).for_each(|(slope, &own)| *slope += weight * f64::from(own));
        }
    }

    /// Adds what bases contribute through one filter that is aligned with the first of the codes.
    fn add(&self, filter: usize, slope: f64, codes: &[u8], contributions: &mut [f64]) {
        let of_codes = codes[..self.length].iter().zip(contributions).enumerate();
        for (j, (&code, contribution)) in of_codes {
            let gain = self.gains[(j * CODES + usize::from(code)) * self.filters + filter];
            *contribution += slope * f64::from(gain);
        }
    }

    /// Adds what bases contribute through each filter, aligned with the first of the codes, to
    /// `contributions[base][filter]`. `slopes` are 0 for filters that are not active.
    fn add_active(&self, slopes: &[f32], codes: &[u8], contributions: &mut [f32]) {
        let of_codes =
            codes[..self.length].iter().zip(contributions.chunks_exact_mut(self.filters)).enumerate();
        for (j, (&code, contributions)) in of_codes {
            let gains = &self.gains[(j * CODES + usize::from(code)) * self.filters..][..self.filters];
            for ((contribution, gain), slope) in contributions.iter_mut().zip(gains).zip(slopes) {
                *contribution += slope * gain;
            }
        }
    }
}

struct Activate<'a> {
    of: &'a Contributions,
    codes: &'a [u8],
    backwards: bool,
    rows: &'a mut Vec<f32>,
}

impl simd::Task for Activate<'_> {
    type Output = ();

    #[inline(always)]
    fn run(self) {
        let Activate { of: Contributions { length, columns, biases, .. }, codes, backwards, rows } = self;
        let (lanes, count) = (biases.len(), codes.len() + 1 - length);
        for place in 0..count {
            let place = if backwards { count - 1 - place } else { place };
            let codes = &codes[place..place + length];
            for (lane, bias) in biases.iter().enumerate() {
                let mut sum = *bias;
                for (columns, &code) in columns.chunks_exact(CODES * lanes).zip(codes) {
                    sum += columns[usize::from(code) * lanes + lane];
                }
                rows.extend_from_slice(&sum.0);
            }
        }
    }
}

fn in_lanes(values: &[f32]) -> Vec<Lanes> {
    let lanes = |values: &[f32]| {
        let mut lanes = Lanes::ZERO;
        lanes.0[..values.len()].copy_from_slice(values);
        lanes
    };
    values.chunks(WIDTH).map(lanes).collect()
}

/// The values of `filters` filters in row `rank`.
fn row_of(rows: &[f32], rank: usize, filters: usize) -> &[f32] {
    &rows[rank * filters.next_multiple_of(WIDTH)..][..filters]
}

fn holds(whole: &Range<i64>, part: &Range<i64>) -> bool {
    whole.start <= part.start && part.end <= whole.end
}

impl Places {
    /// The activations at a contig position.
    fn row(&self, position: i64, filters: usize) -> &[f32] {
        row_of(&self.rows, (position - self.from) as usize, filters)
    }
}
