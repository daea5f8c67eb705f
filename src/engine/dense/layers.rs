//! Layers of the dense engine: the inner loops, compiled for every instruction set.
//!
//! Tensors are `[position][block]`: the channels of a position lie together, sixteen to a block. Lanes past the last channel
//! hold anything; nothing reads them. Each number is summed up in one order, by taps and then by channels, so that it does not
//! depend on where a stretch begins, how long it is, or which instruction set there is.

use crate::engine::kernel::simd::{Lanes, Task, Vector, WIDTH};

/// Positions of a tile: as many sums of sixteen channels as fit the registers beside weights and a factor.
const TILE: usize = 6;
/// Blocks of a tile where there are registers for so many.
const WIDE: usize = 4;
/// Registers from which on there are.
const MANY: usize = 32;
/// Columns of weights from which on a convolution takes them in passes: weights of a tile would not stay in the cache.
const LARGE: usize = 1024;
/// Columns of a pass (64 kB).
const COLUMNS: usize = 256;

/// Where an operation reads a tensor: the rows of the first position, positions from one result to the next, and blocks of a
/// position.
#[derive(Debug, Clone, Copy)]
pub(super) struct Rows<'a> {
    pub(super) lanes: &'a [Lanes],
    pub(super) stride: usize,
    pub(super) blocks: usize,
}

impl<'a> Rows<'a> {
    /// The blocks of the position that lies `ahead` of that of a result.
    #[inline(always)]
    fn at(&self, result: usize, ahead: usize) -> &'a [Lanes] {
        &self.lanes[(result * self.stride + ahead) * self.blocks..][..self.blocks]
    }
}

/// The number that is kept of a sum.
#[inline(always)]
fn rectified<V: Vector>(sum: V, rectify: bool) -> V {
    if rectify { sum.max(V::splat(0.0)) } else { sum }
}

/// A convolution of a tensor.
pub(super) struct Convolution<'a> {
    pub(super) input: Rows<'a>,
    /// Channels of the input.
    pub(super) channels: usize,
    /// `weights[(block * taps + tap) * channels + channel]`.
    pub(super) weights: &'a [Lanes],
    pub(super) bias: &'a [Lanes],
    pub(super) taps: usize,
    pub(super) dilation: usize,
    /// True if numbers below 0 become 0.
    pub(super) rectify: bool,
    pub(super) out: &'a mut [Lanes],
}

impl Task for Convolution<'_> {
    #[inline(always)]
    fn run<V: Vector>(mut self) {
        let blocks = self.bias.len();
        if self.taps * self.channels >= LARGE {
            self.in_passes::<V>();
            return;
        }
        let mut block = 0;
        if V::REGISTERS >= MANY {
            while block + WIDE <= blocks {
                self.blocks::<V, WIDE>(block);
                block += WIDE;
            }
            if block + 2 <= blocks {
                self.blocks::<V, 2>(block);
                block += 2;
            }
        }
        while block < blocks {
            self.blocks::<V, 1>(block);
            block += 1;
        }
    }
}

impl Convolution<'_> {
    /// So many blocks of all results.
    #[inline(always)]
    fn blocks<V: Vector, const B: usize>(&mut self, block: usize) {
        let results = self.out.len() / self.bias.len();
        let mut result = 0;
        while result + TILE <= results {
            self.tile::<V, B, TILE>(block, result);
            result += TILE;
        }
        while result < results {
            self.tile::<V, B, 1>(block, result);
            result += 1;
        }
    }

    #[inline(always)]
    fn tile<V: Vector, const B: usize, const P: usize>(&mut self, block: usize, result: usize) {
        let (blocks, size) = (self.bias.len(), self.taps * self.channels);
        let weights: [&[Lanes]; B] =
            std::array::from_fn(|b| &self.weights[(block + b) * size..(block + b + 1) * size]);
        let bias: [V; B] = std::array::from_fn(|b| V::load(&self.bias[block + b]));
        let mut sums = [bias; P];
        for tap in 0..self.taps {
            let rows: [&[Lanes]; P] = std::array::from_fn(|p| self.input.at(result + p, tap * self.dilation));
            for from in (0..self.channels).step_by(WIDTH) {
                let numbers: [&[f32; WIDTH]; P] = std::array::from_fn(|p| &rows[p][from / WIDTH].0);
                let width = WIDTH.min(self.channels - from);
                let weights: [&[Lanes]; B] =
                    std::array::from_fn(|b| &weights[b][tap * self.channels + from..][..width]);
                for channel in 0..width {
                    let factors: [V; B] = std::array::from_fn(|b| V::load(&weights[b][channel]));
                    for p in 0..P {
                        let x = V::splat(numbers[p][channel]);
                        for b in 0..B {
                            sums[p][b] = x.mul_add(factors[b], sums[p][b]);
                        }
                    }
                }
            }
        }
        for (p, sums) in sums.into_iter().enumerate() {
            let out = &mut self.out[(result + p) * blocks + block..][..B];
            for (sum, out) in sums.into_iter().zip(out) {
                rectified(sum, self.rectify).store(out);
            }
        }
    }
}

/// Columns of the weights that are taken in one pass over all positions: taps and channels, from the first to the one behind the
/// last.
#[derive(Debug, Clone, Copy)]
struct Pass {
    taps: (usize, usize),
    channels: (usize, usize),
}

impl Convolution<'_> {
    /// All blocks of a convolution with so many weights that they come from afar: some of them at a time for all positions.
    /// Sums wait in `out` and keep their order.
    #[inline(always)]
    fn in_passes<V: Vector>(&mut self) {
        let (blocks, taps, channels) = (self.bias.len(), self.taps, self.channels);
        self.out.chunks_exact_mut(blocks).for_each(|out| out.copy_from_slice(self.bias));
        // Several taps of few channels, or some channels of one tap.
        let (of_taps, of_channels) = ((COLUMNS / channels).max(1), channels.min(COLUMNS));
        for tap in (0..taps).step_by(of_taps) {
            for channel in (0..channels).step_by(of_channels) {
                let pass = Pass {
                    taps: (tap, (tap + of_taps).min(taps)),
                    channels: (channel, (channel + of_channels).min(channels)),
                };
                let mut block = 0;
                if V::REGISTERS >= MANY {
                    while block + WIDE <= blocks {
                        self.pass::<V, WIDE>(block, pass);
                        block += WIDE;
                    }
                }
                while block < blocks {
                    self.pass::<V, 1>(block, pass);
                    block += 1;
                }
            }
        }
        if self.rectify {
            let zero = V::splat(0.0);
            self.out.iter_mut().for_each(|lanes| V::load(lanes).max(zero).store(lanes));
        }
    }

    #[inline(always)]
    fn pass<V: Vector, const B: usize>(&mut self, block: usize, pass: Pass) {
        let results = self.out.len() / self.bias.len();
        let mut result = 0;
        while result + TILE <= results {
            self.add::<V, B, TILE>(block, result, pass);
            result += TILE;
        }
        while result < results {
            self.add::<V, B, 1>(block, result, pass);
            result += 1;
        }
    }

    /// Adds the products of a pass to sums that `out` has.
    #[inline(always)]
    fn add<V: Vector, const B: usize, const P: usize>(&mut self, block: usize, result: usize, pass: Pass) {
        let (blocks, size) = (self.bias.len(), self.taps * self.channels);
        let weights: [&[Lanes]; B] =
            std::array::from_fn(|b| &self.weights[(block + b) * size..(block + b + 1) * size]);
        let mut sums: [[V; B]; P] = std::array::from_fn(|p| {
            let out = &self.out[(result + p) * blocks + block..][..B];
            std::array::from_fn(|b| V::load(&out[b]))
        });
        for tap in pass.taps.0..pass.taps.1 {
            let rows: [&[Lanes]; P] = std::array::from_fn(|p| self.input.at(result + p, tap * self.dilation));
            for from in (pass.channels.0..pass.channels.1).step_by(WIDTH) {
                let numbers: [&[f32; WIDTH]; P] = std::array::from_fn(|p| &rows[p][from / WIDTH].0);
                let width = WIDTH.min(pass.channels.1 - from);
                let weights: [&[Lanes]; B] =
                    std::array::from_fn(|b| &weights[b][tap * self.channels + from..][..width]);
                for channel in 0..width {
                    let factors: [V; B] = std::array::from_fn(|b| V::load(&weights[b][channel]));
                    for p in 0..P {
                        let x = V::splat(numbers[p][channel]);
                        for b in 0..B {
                            sums[p][b] = x.mul_add(factors[b], sums[p][b]);
                        }
                    }
                }
            }
        }
        for (p, sums) in sums.into_iter().enumerate() {
            let out = &mut self.out[(result + p) * blocks + block..][..B];
            sums.into_iter().zip(out).for_each(|(sum, out)| sum.store(out));
        }
    }
}

/// A convolution with few outputs: products of sixteen channels at a time.
pub(super) struct Dot<'a> {
    pub(super) input: Rows<'a>,
    /// Channels of the input.
    pub(super) channels: usize,
    /// `weights[(output * taps + tap) * blocks + block]`, blocks of the input's channels.
    pub(super) weights: &'a [Lanes],
    /// A block for all outputs.
    pub(super) bias: &'a [Lanes],
    pub(super) outputs: usize,
    pub(super) taps: usize,
    pub(super) dilation: usize,
    pub(super) rectify: bool,
    pub(super) out: &'a mut [Lanes],
}

impl Task for Dot<'_> {
    #[inline(always)]
    fn run<V: Vector>(self) {
        let blocks = self.input.blocks;
        let size = self.taps * blocks;
        // Of the last block, lanes past the last channel hold anything.
        let (whole, rest) = (self.channels / WIDTH, self.channels % WIDTH);
        for (result, out) in self.out.chunks_exact_mut(self.bias.len()).enumerate() {
            out.copy_from_slice(self.bias);
            for output in 0..self.outputs {
                let weights = &self.weights[output * size..][..size];
                // Four sums at a time, as each product waits for the one before it.
                let mut sums = [V::splat(0.0); 4];
                for tap in 0..self.taps {
                    let row = self.input.at(result, tap * self.dilation);
                    let weights = &weights[tap * blocks..][..blocks];
                    for (block, (x, weight)) in row.iter().zip(weights).take(whole).enumerate() {
                        sums[block % 4] = V::load(x).mul_add(V::load(weight), sums[block % 4]);
                    }
                    if let (Some(x), Some(weight)) = (row.get(whole), weights.get(whole)) {
                        let mut known = Lanes::ZERO;
                        known.0[..rest].copy_from_slice(&x.0[..rest]);
                        sums[whole % 4] = V::load(&known).mul_add(V::load(weight), sums[whole % 4]);
                    }
                }
                let mut sum = Lanes::ZERO;
                sums[0].add(sums[1]).add(sums[2].add(sums[3])).store(&mut sum);
                let mut half = WIDTH / 2;
                while half > 0 {
                    for lane in 0..half {
                        sum.0[lane] += sum.0[lane + half];
                    }
                    half /= 2;
                }
                let number = &mut out[output / WIDTH].0[output % WIDTH];
                *number += sum.0[0];
                if self.rectify {
                    *number = number.max(0.0);
                }
            }
        }
    }
}

/// A convolution of the sequence: a base is one of a few columns, so its products are looked up.
pub(super) struct Lookup<'a> {
    /// Codes of the first position; [`Lookup::CODES`] of them.
    pub(super) codes: &'a [u8],
    pub(super) stride: usize,
    /// `table[(tap * CODES + code) * blocks + block]`.
    pub(super) table: &'a [Lanes],
    pub(super) bias: &'a [Lanes],
    pub(super) taps: usize,
    pub(super) dilation: usize,
    pub(super) rectify: bool,
    pub(super) out: &'a mut [Lanes],
}

impl Lookup<'_> {
    /// Codes: the four channels, N, and nothing, which lies past a contig's ends.
    pub(super) const CODES: usize = 6;
}

impl Task for Lookup<'_> {
    #[inline(always)]
    fn run<V: Vector>(mut self) {
        let blocks = self.bias.len();
        let mut block = 0;
        while block + WIDE <= blocks {
            self.blocks::<V, WIDE>(block);
            block += WIDE;
        }
        while block < blocks {
            self.blocks::<V, 1>(block);
            block += 1;
        }
    }
}

impl Lookup<'_> {
    #[inline(always)]
    fn blocks<V: Vector, const B: usize>(&mut self, block: usize) {
        let blocks = self.bias.len();
        let bias: [V; B] = std::array::from_fn(|b| V::load(&self.bias[block + b]));
        for (result, out) in self.out.chunks_exact_mut(blocks).enumerate() {
            let codes = &self.codes[result * self.stride..];
            let mut sums = bias;
            for tap in 0..self.taps {
                let row = tap * Lookup::CODES + usize::from(codes[tap * self.dilation]);
                let row = &self.table[row * blocks + block..][..B];
                for b in 0..B {
                    sums[b] = sums[b].add(V::load(&row[b]));
                }
            }
            for (sum, out) in sums.into_iter().zip(&mut out[block..]) {
                rectified(sum, self.rectify).store(out);
            }
        }
    }
}

/// A convolution of each channel by itself.
pub(super) struct Depthwise<'a> {
    pub(super) input: Rows<'a>,
    /// `weights[tap * blocks + block]`.
    pub(super) weights: &'a [Lanes],
    pub(super) bias: &'a [Lanes],
    pub(super) taps: usize,
    pub(super) dilation: usize,
    pub(super) rectify: bool,
    pub(super) out: &'a mut [Lanes],
}

impl Task for Depthwise<'_> {
    #[inline(always)]
    fn run<V: Vector>(self) {
        let blocks = self.bias.len();
        for (result, out) in self.out.chunks_exact_mut(blocks).enumerate() {
            for (block, out) in out.iter_mut().enumerate() {
                let mut sum = V::load(&self.bias[block]);
                for tap in 0..self.taps {
                    let x = V::load(&self.input.at(result, tap * self.dilation)[block]);
                    sum = x.mul_add(V::load(&self.weights[tap * blocks + block]), sum);
                }
                rectified(sum, self.rectify).store(out);
            }
        }
    }
}

/// The highest of some positions.
pub(super) struct Maximum<'a> {
    pub(super) input: Rows<'a>,
    pub(super) taps: usize,
    pub(super) dilation: usize,
    pub(super) out: &'a mut [Lanes],
}

impl Task for Maximum<'_> {
    #[inline(always)]
    fn run<V: Vector>(self) {
        for (result, out) in self.out.chunks_exact_mut(self.input.blocks).enumerate() {
            for (block, out) in out.iter_mut().enumerate() {
                let mut most = V::load(&self.input.at(result, 0)[block]);
                for tap in 1..self.taps {
                    most = most.max(V::load(&self.input.at(result, tap * self.dilation)[block]));
                }
                most.store(out);
            }
        }
    }
}

/// A number of each channel times another, plus a third: tensors, or constants of one row.
pub(super) struct MulAdd<'a> {
    pub(super) input: Rows<'a>,
    pub(super) factor: Operand<'a>,
    pub(super) term: Operand<'a>,
    pub(super) rectify: bool,
    pub(super) out: &'a mut [Lanes],
}

/// A factor or a term.
#[derive(Debug, Clone, Copy)]
pub(super) enum Operand<'a> {
    /// The same row for every position.
    Row(&'a [Lanes]),
    /// A row for each position.
    Rows(Rows<'a>),
}

impl<'a> Operand<'a> {
    #[inline(always)]
    fn at(&self, result: usize) -> &'a [Lanes] {
        match self {
            Operand::Row(row) => row,
            Operand::Rows(rows) => rows.at(result, 0),
        }
    }
}

impl Task for MulAdd<'_> {
    #[inline(always)]
    fn run<V: Vector>(self) {
        for (result, out) in self.out.chunks_exact_mut(self.input.blocks).enumerate() {
            let (input, factor, term) =
                (self.input.at(result, 0), self.factor.at(result), self.term.at(result));
            for (block, out) in out.iter_mut().enumerate() {
                let x = V::load(&input[block]);
                let sum = x.mul_add(V::load(&factor[block]), V::load(&term[block]));
                rectified(sum, self.rectify).store(out);
            }
        }
    }
}
