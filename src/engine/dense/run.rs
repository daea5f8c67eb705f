//! Runs a packed program: on all positions of a stretch, or on those of one window.

use super::layers::{Convolution, Depthwise, Dot, Lookup, Maximum, MulAdd, Operand as Factor, Rows};
use super::packed::{Layer, Packed, Step, blocks};
use crate::engine::kernel::simd::{Lanes, Simd, WIDTH};
use crate::model::onnx::dense::program::{Combining, Function, Operand, View};
use crate::seq::alphabet::ONE_HOT;

/// Memory of a worker.
#[derive(Debug, Default)]
pub(super) struct Buffers {
    lanes: Vec<Vec<Lanes>>,
    /// Positions of each tensor.
    lengths: Vec<usize>,
}

/// Positions that are computed.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Positions {
    /// All of a stretch.
    All,
    /// Those that belong to the window at its start.
    OfWindow,
}

/// Where a step reads one of its inputs.
#[derive(Debug, Clone, Copy)]
struct Read {
    tensor: usize,
    /// Its first position.
    before: usize,
    /// Positions from one result to the next.
    stride: usize,
    /// Positions from one tap to the next.
    dilation: usize,
}

impl Buffers {
    /// Runs `packed` on the codes of a stretch: channels 0 to 3, N, and 5 for nothing.
    pub(super) fn run(&mut self, packed: &Packed, codes: &[u8], positions: Positions, simd: Simd) {
        self.lanes.resize_with(packed.buffers.max(self.lanes.len()), Vec::new);
        self.lengths.clear();
        self.lengths.push(codes.len());
        for step in &packed.steps {
            let reads: Vec<Read> =
                step.inputs.iter().map(|view| read(packed, step, *view, positions)).collect();
            let length = |read: &Read| {
                let last = read.before + (step.taps - 1) * read.dilation;
                self.lengths[read.tensor].checked_sub(last + 1).map_or(0, |more| more / read.stride + 1)
            };
            let results = reads.iter().map(length).min().unwrap_or(0);
            self.lengths.push(results);
            let mut out = std::mem::take(&mut self.lanes[step.buffer]);
            // What was there is written over.
            out.resize(results * blocks(step.channels), Lanes::ZERO);
            self.step(packed, step, &reads, codes, &mut out, simd);
            self.lanes[step.buffer] = out;
        }
    }

    /// The score of an output for the window that starts at this position of the stretch.
    pub(super) fn score(&self, packed: &Packed, output: usize, position: usize) -> Option<f32> {
        let View { tensor, before } = packed.output;
        if before + position >= self.lengths[tensor] {
            return None;
        }
        let lanes = &self.lanes[packed.steps[tensor - 1].buffer];
        let block = (before + position) * blocks(packed.channels(tensor)) + output / WIDTH;
        Some(lanes[block].0[output % WIDTH])
    }

    fn rows(&self, packed: &Packed, read: Read) -> Rows<'_> {
        let blocks = blocks(packed.channels(read.tensor));
        let lanes = &self.lanes[packed.steps[read.tensor - 1].buffer];
        Rows { lanes: lanes.get(read.before * blocks..).unwrap_or_default(), stride: read.stride, blocks }
    }

    fn step(
        &self,
        packed: &Packed,
        step: &Step,
        reads: &[Read],
        codes: &[u8],
        out: &mut [Lanes],
        simd: Simd,
    ) {
        let (first, taps, rectify) = (reads[0], step.taps, step.rectify);
        let dilation = first.dilation;
        let input = |rank: usize| self.rows(packed, reads[rank]);
        match &step.layer {
            Layer::OneHot => {
                for (lanes, &code) in out.iter_mut().zip(&codes[first.before..]) {
                    let column = ONE_HOT.get(usize::from(code)).copied().unwrap_or_default();
                    lanes.0[..4].copy_from_slice(&column);
                }
            }
            Layer::Lookup { table, bias } => {
                let codes = codes.get(first.before..).unwrap_or_default();
                simd.run(Lookup { codes, stride: first.stride, table, bias, taps, dilation, rectify, out });
            }
            Layer::Convolution { weights, bias, channels } => {
                let (input, channels) = (input(0), *channels);
                simd.run(Convolution { input, channels, weights, bias, taps, dilation, rectify, out });
            }
            Layer::Dot { weights, bias } => {
                let (input, channels) = (input(0), packed.channels(first.tensor));
                let outputs = step.channels;
                simd.run(Dot { input, channels, weights, bias, outputs, taps, dilation, rectify, out });
            }
            Layer::Depthwise { weights, bias } => {
                simd.run(Depthwise { input: input(0), weights, bias, taps, dilation, rectify, out });
            }
            Layer::Maximum => simd.run(Maximum { input: input(0), taps, dilation, out }),
            Layer::MulAdd { factor, term } => {
                let operand = |row: &'_ Option<Vec<Lanes>>| match row {
                    Some(_) => None,
                    None => Some(Factor::Rows(input(1))),
                };
                let factor = operand(factor).unwrap_or(Factor::Row(factor.as_deref().unwrap_or_default()));
                let term = operand(term).unwrap_or(Factor::Row(term.as_deref().unwrap_or_default()));
                simd.run(MulAdd { input: input(0), factor, term, rectify, out });
            }
            Layer::Each(function) => {
                let (input, blocks) = (input(0), blocks(step.channels));
                for (result, out) in out.chunks_exact_mut(blocks).enumerate() {
                    let row = &input.lanes[result * input.stride * blocks..][..blocks];
                    for (out, lanes) in out.iter_mut().zip(row) {
                        out.0 = lanes.0.map(|x| function.of(x));
                    }
                }
            }
            Layer::Combine(combining, operands) => {
                self.combine(packed, step, reads, (*combining, operands), out);
            }
            Layer::Concat => {
                let blocks = blocks(step.channels);
                let mut from = 0;
                for &read in reads {
                    let (rows, channels) = (self.rows(packed, read), packed.channels(read.tensor));
                    for (result, out) in out.chunks_exact_mut(blocks).enumerate() {
                        let row = &rows.lanes[result * rows.stride * rows.blocks..][..rows.blocks];
                        for channel in 0..channels {
                            let x = row[channel / WIDTH].0[channel % WIDTH];
                            let to = from + channel;
                            out[to / WIDTH].0[to % WIDTH] = x;
                        }
                    }
                    from += channels;
                }
            }
            Layer::Softmax { logarithm } => {
                let (input, blocks) = (input(0), blocks(step.channels));
                for (result, out) in out.chunks_exact_mut(blocks).enumerate() {
                    let row = &input.lanes[result * input.stride * blocks..][..blocks];
                    softmax(row, step.channels, *logarithm, out);
                }
            }
        }
    }

    /// Any function of any tensors and constants, number by number.
    fn combine(
        &self,
        packed: &Packed,
        step: &Step,
        reads: &[Read],
        (combining, operands): (Combining, &[Operand]),
        out: &mut [Lanes],
    ) {
        let blocks = blocks(step.channels);
        let inputs: Vec<(Rows<'_>, usize)> =
            reads.iter().map(|&read| (self.rows(packed, read), packed.channels(read.tensor))).collect();
        for (result, out) in out.chunks_exact_mut(blocks).enumerate() {
            for channel in 0..step.channels {
                let mut rows = inputs.iter();
                let mut number = |operand: &Operand| match operand {
                    Operand::Constant(values) => {
                        if values.len() == 1 {
                            values[0]
                        } else {
                            values[channel]
                        }
                    }
                    Operand::Input => rows.next().map_or(0.0, |(rows, channels)| {
                        let channel = if *channels == 1 { 0 } else { channel };
                        let row = &rows.lanes[result * rows.stride * rows.blocks..];
                        row[channel / WIDTH].0[channel % WIDTH]
                    }),
                };
                let mut operands = operands.iter().map(&mut number);
                let first = operands.next().unwrap_or(0.0);
                let all = match (combining, operands.next()) {
                    (_, None) => first,
                    (Combining::Where, Some(then)) => {
                        let otherwise = operands.next().unwrap_or(0.0);
                        if first == 0.0 { otherwise } else { then }
                    }
                    (_, Some(second)) => {
                        let two = combined(combining, first, second);
                        operands.fold(two, |so_far, next| combined(combining, so_far, next))
                    }
                };
                out[channel / WIDTH].0[channel % WIDTH] = all;
            }
        }
        if step.rectify {
            out.iter_mut().for_each(|lanes| lanes.0 = lanes.0.map(|x| Function::Relu.of(x)));
        }
    }
}

fn truth(is_true: bool) -> f32 {
    if is_true { 1.0 } else { 0.0 }
}

fn combined(combining: Combining, a: f32, b: f32) -> f32 {
    match combining {
        Combining::Add => a + b,
        Combining::Sub => a - b,
        Combining::Mul => a * b,
        Combining::Div => a / b,
        Combining::Max => a.max(b),
        Combining::Min => a.min(b),
        Combining::Pow => a.powf(b),
        Combining::Greater => truth(a > b),
        Combining::GreaterOrEqual => truth(a >= b),
        Combining::Less => truth(a < b),
        Combining::LessOrEqual => truth(a <= b),
        // Not of two.
        Combining::Where => b,
        Combining::PRelu => {
            if a < 0.0 {
                a * b
            } else {
                a
            }
        }
    }
}

fn softmax(row: &[Lanes], channels: usize, logarithm: bool, out: &mut [Lanes]) {
    let number = |channel: usize| row[channel / WIDTH].0[channel % WIDTH];
    let most = (0..channels).map(number).fold(f32::NEG_INFINITY, f32::max);
    let sum: f32 = (0..channels).map(|channel| (number(channel) - most).exp()).sum();
    for channel in 0..channels {
        let x = number(channel) - most;
        out[channel / WIDTH].0[channel % WIDTH] = if logarithm { x - sum.ln() } else { x.exp() / sum };
    }
}

/// Where a step reads a tensor. Of one window, a tensor has only the positions that belong to it, and all distances are so many
/// times shorter.
fn read(packed: &Packed, step: &Step, View { tensor, before }: View, positions: Positions) -> Read {
    let own = tensor.checked_sub(1).map_or(1, |rank| packed.steps[rank].step);
    match positions {
        Positions::All => Read { tensor, before, stride: 1, dilation: step.dilation },
        Positions::OfWindow => Read {
            tensor,
            before: before / own,
            stride: (step.step / own).max(1),
            dilation: if step.taps == 1 { 0 } else { step.dilation / own },
        },
    }
}
