//! Convolutions: a matrix product over the stretches that the filters look at; of bases, sums of the weights that each
//! selects.

use rand_xoshiro::Xoshiro256PlusPlus;

use crate::seq::alphabet::N;
use crate::simd;
use crate::simd::{Lanes, Task, WIDTH};
use crate::train::layers::architecture::{Padding, Slide};
use crate::train::layers::layer::{Pass, uniform};
use crate::train::layers::parameter::Parameter;
use crate::train::layers::tensor::{Matrix, MatrixMut, Tensor, add_rows};

/// The sizes of a convolution.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Sizes {
    pub(crate) channels: usize,
    pub(crate) filters: usize,
    pub(crate) groups: usize,
    pub(crate) kernel: usize,
    pub(crate) stride: usize,
    pub(crate) dilation: usize,
    pub(crate) padding: Padding,
}

/// `weights[group][tap][channel of the group][filter of the group]`.
#[derive(Debug, Clone)]
pub(crate) struct Convolution {
    pub(crate) sizes: Sizes,
    pub(crate) weights: Parameter,
    pub(crate) bias: Parameter,
    given: Tensor,
    /// Codes of the last batch, where the layer was given bases.
    codes: Vec<u8>,
    /// Stretches side by side: `[place][tap][channel of the group]`.
    columns: Vec<f32>,
    table: Vec<Lanes>,
}

/// Places whose stretches are laid side by side at a time, about: few enough to stay in the cache.
const PLACES: usize = 256;

impl Convolution {
    pub(crate) fn new(sizes: Sizes, rng: &mut Xoshiro256PlusPlus) -> Convolution {
        let Sizes { channels, filters, groups, kernel, .. } = sizes;
        let seen = kernel * channels / groups;
        let weights = uniform(seen * filters, seen, rng);
        Convolution {
            sizes,
            weights: Parameter::weights(weights),
            bias: Parameter::biases(vec![0.0; filters]),
            given: Tensor::default(),
            codes: Vec::new(),
            columns: Vec::new(),
            table: Vec::new(),
        }
    }

    /// Positions over an input of this length.
    pub(crate) fn slide(&self, positions: usize) -> (Slide, usize) {
        let Sizes { kernel, stride, dilation, padding, .. } = self.sizes;
        Slide::new(positions, kernel, stride, dilation, padding).expect("a convolution that fits")
    }

    pub(crate) fn forward(&mut self, x: Tensor, pass: &Pass<'_>) -> Tensor {
        let Sizes { filters, groups, .. } = self.sizes;
        let (slide, places) = self.slide(x.positions);
        let mut y = Tensor::zeros(x.rows, places, filters);
        y.values.chunks_exact_mut(filters).for_each(|row| row.copy_from_slice(&self.bias.values));
        let (seen, own) = (self.seen(), filters / groups);
        for rows in parts(x.rows, places) {
            for group in 0..groups {
                self.lay_out(&x, &slide, places, rows.clone(), group);
                let count = rows.len() * places;
                let weights = &self.weights.values[group * seen * own..(group + 1) * seen * own];
                let y = &mut y.values[rows.start * places * filters + group * own..];
                MatrixMut::spaced(y, count, own, filters)
                    .add_product(Matrix::new(&self.columns, count, seen), Matrix::new(weights, seen, own));
            }
        }
        if pass.is_training() {
            self.given = x;
        }
        y
    }

    pub(crate) fn backward(&mut self, gradient: &Tensor) -> Tensor {
        if !self.codes.is_empty() {
            self.backward_bases(gradient);
            return Tensor::default();
        }
        let Sizes { filters, groups, .. } = self.sizes;
        let given = std::mem::take(&mut self.given);
        let (slide, places) = self.slide(given.positions);
        let mut back = given.like();
        add_rows(&gradient.values, &mut self.bias.gradient);
        let (seen, own) = (self.seen(), filters / groups);
        for rows in parts(given.rows, places) {
            for group in 0..groups {
                self.lay_out(&given, &slide, places, rows.clone(), group);
                let count = rows.len() * places;
                let range = group * seen * own..(group + 1) * seen * own;
                let slopes = &gradient.values[rows.start * places * filters + group * own..];
                let slopes = Matrix::spaced(slopes, count, own, filters);
                let columns = Matrix::new(&self.columns, count, seen);
                MatrixMut::new(&mut self.weights.gradient[range.clone()], seen, own)
                    .add_product(columns.turned(), slopes);
                let weights = Matrix::new(&self.weights.values[range], seen, own);
                self.columns.fill(0.0);
                MatrixMut::new(&mut self.columns, count, seen).add_product(slopes, weights.turned());
                self.add_back(&mut back, &slide, places, rows.clone(), group);
            }
        }
        self.given = given;
        back
    }

    /// Numbers that a filter looks at.
    fn seen(&self) -> usize {
        self.sizes.kernel * self.sizes.channels / self.sizes.groups
    }

    /// Lays the stretches of some windows side by side.
    fn lay_out(
        &mut self,
        x: &Tensor,
        slide: &Slide,
        places: usize,
        rows: std::ops::Range<usize>,
        group: usize,
    ) {
        let own = x.channels / self.sizes.groups;
        self.columns.clear();
        for row in rows {
            let x = &x.values[row * x.width()..(row + 1) * x.width()];
            for place in 0..places {
                let taps = taps(slide, place, x.len() / self.sizes.channels);
                self.columns.resize(self.columns.len() + taps.start * own, 0.0);
                if slide.dilation == 1 && own == self.sizes.channels {
                    let from = (place * slide.stride + taps.start - slide.before) * own;
                    self.columns.extend_from_slice(&x[from..from + taps.len() * own]);
                } else {
                    for tap in taps.clone() {
                        let position = place * slide.stride + tap * slide.dilation - slide.before;
                        let from = position * self.sizes.channels + group * own;
                        self.columns.extend_from_slice(&x[from..from + own]);
                    }
                }
                self.columns.resize(self.columns.len() + (slide.kernel - taps.end) * own, 0.0);
            }
        }
    }

    /// Adds gradients of stretches to those of the positions.
    fn add_back(
        &self,
        back: &mut Tensor,
        slide: &Slide,
        places: usize,
        rows: std::ops::Range<usize>,
        group: usize,
    ) {
        let (channels, width) = (self.sizes.channels, back.width());
        let own = channels / self.sizes.groups;
        let mut columns = self.columns.chunks_exact(slide.kernel * own);
        for row in rows {
            let back = &mut back.values[row * width..(row + 1) * width];
            for place in 0..places {
                let column = columns.next().expect("a column for each place");
                for tap in taps(slide, place, width / channels) {
                    let position = place * slide.stride + tap * slide.dilation - slide.before;
                    let from = position * channels + group * own;
                    let column = &column[tap * own..(tap + 1) * own];
                    back[from..from + own].iter_mut().zip(column).for_each(|(x, y)| *x += y);
                }
            }
        }
    }

    /// As [`forward`](Convolution::forward), of the one-hot columns of bases: `codes[window][position]`.
    pub(crate) fn forward_bases(&mut self, codes: &[u8], rows: usize, pass: &Pass<'_>) -> Tensor {
        let positions = codes.len() / rows;
        let (slide, places) = self.slide(positions);
        let mut y = Tensor::zeros(rows, places, self.sizes.filters);
        self.make_table();
        simd::run(Sum {
            table: &self.table,
            bias: &self.bias.values,
            slide,
            places,
            codes,
            positions,
            out: &mut y,
        });
        self.codes.clear();
        if pass.is_training() {
            self.codes.extend_from_slice(codes);
        }
        y
    }

    /// `table[block of filters][tap][code]`: an N is a quarter of each base.
    fn make_table(&mut self) {
        let Sizes { kernel, filters, .. } = self.sizes;
        self.table.clear();
        self.table.resize(filters.div_ceil(WIDTH) * kernel * 5, Lanes::ZERO);
        for tap in 0..kernel {
            for code in 0..4 {
                let row = &self.weights.values[(tap * 4 + code) * filters..][..filters];
                for (filter, &weight) in row.iter().enumerate() {
                    let block = (filter / WIDTH * kernel + tap) * 5;
                    self.table[block + code].0[filter % WIDTH] = weight;
                    self.table[block + usize::from(N)].0[filter % WIDTH] += 0.25 * weight;
                }
            }
        }
    }

    fn backward_bases(&mut self, gradient: &Tensor) {
        let Sizes { kernel, filters, .. } = self.sizes;
        let positions = self.codes.len() / gradient.rows;
        let (slide, places) = self.slide(positions);
        add_rows(&gradient.values, &mut self.bias.gradient);
        self.table.fill(Lanes::ZERO);
        simd::run(Gather { table: &mut self.table, slide, places, codes: &self.codes, positions, gradient });
        for tap in 0..kernel {
            for code in 0..4 {
                let row = &mut self.weights.gradient[(tap * 4 + code) * filters..][..filters];
                for (filter, slope) in row.iter_mut().enumerate() {
                    let block = (filter / WIDTH * kernel + tap) * 5;
                    let (own, any) = (self.table[block + code], self.table[block + usize::from(N)]);
                    *slope += own.0[filter % WIDTH] + 0.25 * any.0[filter % WIDTH];
                }
            }
        }
    }
}

/// Rows that are worked on together.
fn parts(rows: usize, places: usize) -> impl Iterator<Item = std::ops::Range<usize>> {
    let together = PLACES.div_ceil(places);
    (0..rows).step_by(together).map(move |start| start..(start + together).min(rows))
}

/// The taps of a place that meet positions which exist.
#[inline(always)]
fn taps(slide: &Slide, place: usize, positions: usize) -> std::ops::Range<usize> {
    let start = place * slide.stride;
    let first = slide.before.saturating_sub(start).div_ceil(slide.dilation);
    let end = (positions + slide.before).saturating_sub(start).div_ceil(slide.dilation).min(slide.kernel);
    first.min(end)..end
}

/// The sums of a convolution on bases.
struct Sum<'a> {
    table: &'a [Lanes],
    bias: &'a [f32],
    slide: Slide,
    places: usize,
    codes: &'a [u8],
    positions: usize,
    out: &'a mut Tensor,
}

impl Task for Sum<'_> {
    type Output = ();

    #[inline(always)]
    fn run(self) {
        let Sum { table, bias, slide, places, codes, positions, out } = self;
        let filters = out.channels;
        for (block, table) in table.chunks_exact(slide.kernel * 5).enumerate() {
            let first = block * WIDTH;
            let count = WIDTH.min(filters - first);
            let mut start = Lanes::ZERO;
            start.0[..count].copy_from_slice(&bias[first..first + count]);
            for (codes, out) in
                codes.chunks_exact(positions).zip(out.values.chunks_exact_mut(places * filters))
            {
                for (place, out) in out.chunks_exact_mut(filters).enumerate() {
                    let mut sum = start;
                    for tap in taps(&slide, place, positions) {
                        let position = place * slide.stride + tap * slide.dilation - slide.before;
                        sum += table[tap * 5 + usize::from(codes[position])];
                    }
                    match out[first..].first_chunk_mut::<WIDTH>() {
                        Some(all) => *all = sum.0,
                        None => out[first..].copy_from_slice(&sum.0[..count]),
                    }
                }
            }
        }
    }
}

/// The gradient of the table of a convolution on bases.
struct Gather<'a> {
    table: &'a mut [Lanes],
    slide: Slide,
    places: usize,
    codes: &'a [u8],
    positions: usize,
    gradient: &'a Tensor,
}

impl Task for Gather<'_> {
    type Output = ();

    #[inline(always)]
    fn run(self) {
        let Gather { table, slide, places, codes, positions, gradient } = self;
        let filters = gradient.channels;
        for (block, table) in table.chunks_exact_mut(slide.kernel * 5).enumerate() {
            let first = block * WIDTH;
            let count = WIDTH.min(filters - first);
            let windows = codes.chunks_exact(positions).zip(gradient.values.chunks_exact(places * filters));
            for (codes, slopes) in windows {
                for (place, slopes) in slopes.chunks_exact(filters).enumerate() {
                    let mut slope = Lanes::ZERO;
                    match slopes[first..].first_chunk::<WIDTH>() {
                        Some(all) => slope.0 = *all,
                        None => slope.0[..count].copy_from_slice(&slopes[first..]),
                    }
                    if slope == Lanes::ZERO {
                        continue;
                    }
                    for tap in taps(&slide, place, positions) {
                        let position = place * slide.stride + tap * slide.dilation - slide.before;
                        table[tap * 5 + usize::from(codes[position])] += slope;
                    }
                }
            }
        }
    }
}
