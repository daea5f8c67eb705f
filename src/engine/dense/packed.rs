//! The operations of a dense graph, packed for the inner loops.

use super::layers::Lookup;
use crate::engine::kernel::simd::{Lanes, WIDTH};
use crate::model::onnx::dense::program::{Combining, Function, Kind, Operand, Operation, Program, View};
use crate::seq::alphabet::ONE_HOT;

/// An operation, and the buffer that holds what it makes.
#[derive(Debug)]
pub(super) struct Step {
    pub(super) layer: Layer,
    pub(super) inputs: Vec<View>,
    /// Channels of what it makes.
    pub(super) channels: usize,
    /// Of what it makes, every so many positions belong to one window.
    pub(super) step: usize,
    /// Taps and the distance between them.
    pub(super) taps: usize,
    pub(super) dilation: usize,
    /// True if numbers below 0 become 0.
    pub(super) rectify: bool,
    pub(super) buffer: usize,
}

/// Layers, with their weights as the inner loops read them.
#[derive(Debug)]
pub(super) enum Layer {
    OneHot,
    Lookup { table: Vec<Lanes>, bias: Vec<Lanes> },
    Convolution { weights: Vec<Lanes>, bias: Vec<Lanes>, channels: usize },
    Dot { weights: Vec<Lanes>, bias: Vec<Lanes> },
    Depthwise { weights: Vec<Lanes>, bias: Vec<Lanes> },
    Maximum,
    MulAdd { factor: Option<Vec<Lanes>>, term: Option<Vec<Lanes>> },
    Each(Function),
    Combine(Combining, Vec<Operand>),
    Concat,
    Softmax { logarithm: bool },
}

/// A program ready to be run.
#[derive(Debug)]
pub(super) struct Packed {
    pub(super) steps: Vec<Step>,
    pub(super) output: View,
    /// Buffers that are needed at one time.
    pub(super) buffers: usize,
}

impl Packed {
    /// Packs the operations. Rectifiers become part of the operation before them.
    pub(super) fn new(program: &Program) -> Packed {
        let operations = &program.operations;
        let mut readers = vec![0usize; operations.len() + 1];
        let views = operations.iter().flat_map(|operation| &operation.inputs).chain([&program.output]);
        views.for_each(|view| readers[view.tensor] += 1);
        let mut steps: Vec<Step> = Vec::new();
        // The tensor of a packed step for each tensor of the program.
        let mut places = vec![0];
        for operation in operations {
            let moved = |view: &View| View { tensor: places[view.tensor], ..*view };
            let inputs: Vec<View> = operation.inputs.iter().map(moved).collect();
            if let Some(before) = rectified(operation, &readers, &mut steps, &inputs) {
                before.rectify = true;
                places.push(inputs[0].tensor);
                continue;
            }
            let of = |view: &View| view.tensor.checked_sub(1).map_or(4, |rank| steps[rank].channels);
            let channels: Vec<usize> = inputs.iter().map(of).collect();
            steps.push(step(operation, inputs, &channels));
            places.push(steps.len());
        }
        let output = View { tensor: places[program.output.tensor], ..program.output };
        let buffers = share_buffers(&mut steps, output);
        Packed { steps, output, buffers }
    }

    /// Channels of a tensor.
    pub(super) fn channels(&self, tensor: usize) -> usize {
        tensor.checked_sub(1).map_or(4, |rank| self.steps[rank].channels)
    }
}

/// The step before a rectifier that can do its work, too.
fn rectified<'a>(
    operation: &Operation,
    readers: &[usize],
    steps: &'a mut [Step],
    inputs: &[View],
) -> Option<&'a mut Step> {
    let (read, packed) = (operation.inputs.first()?, inputs.first()?);
    let before = steps.get_mut(packed.tensor.checked_sub(1)?)?;
    let can = matches!(
        before.layer,
        Layer::Lookup { .. }
            | Layer::Convolution { .. }
            | Layer::Dot { .. }
            | Layer::Depthwise { .. }
            | Layer::MulAdd { .. }
    );
    let fits = matches!(operation.kind, Kind::Each(Function::Relu))
        && readers[read.tensor] == 1
        && packed.before == 0
        && before.step == operation.step;
    (can && fits).then_some(before)
}

/// Gives each step a buffer that nobody reads any more; returns how many there are.
fn share_buffers(steps: &mut [Step], output: View) -> usize {
    let mut last = vec![0; steps.len() + 1];
    for (rank, step) in steps.iter().enumerate() {
        step.inputs.iter().for_each(|view| last[view.tensor] = rank);
    }
    last[output.tensor] = steps.len();
    let mut free: Vec<usize> = Vec::new();
    let mut count = 0;
    for rank in 0..steps.len() {
        steps[rank].buffer = free.pop().unwrap_or_else(|| {
            count += 1;
            count - 1
        });
        // Only now: a step does not write what it reads.
        let ended: Vec<usize> = (1..=rank).filter(|&tensor| last[tensor] == rank).collect();
        let mut ended: Vec<usize> = ended.into_iter().map(|tensor| steps[tensor - 1].buffer).collect();
        if last[rank + 1] <= rank {
            ended.push(steps[rank].buffer);
        }
        free.extend(ended);
    }
    count
}

/// Most outputs that are computed one by one: sixteen together would be mostly zeros.
const FEW: usize = 4;

/// Blocks of sixteen channels.
pub(super) fn blocks(channels: usize) -> usize {
    channels.div_ceil(WIDTH)
}

/// Rows of so many channels as blocks; lanes past the last channel are 0.
fn rows(channels: usize, count: usize, number: impl Fn(usize, usize) -> f32) -> Vec<Lanes> {
    let mut lanes = vec![Lanes::ZERO; count * blocks(channels)];
    for (row, blocks) in lanes.chunks_exact_mut(blocks(channels).max(1)).enumerate() {
        for channel in 0..channels {
            blocks[channel / WIDTH].0[channel % WIDTH] = number(row, channel);
        }
    }
    lanes
}

fn row(channels: usize, values: &[f32]) -> Vec<Lanes> {
    let value = |_, channel: usize| if values.len() == 1 { values[0] } else { values[channel] };
    rows(channels, 1, value)
}

/// Packs an operation on tensors of so many channels each.
fn step(operation: &Operation, inputs: Vec<View>, of_inputs: &[usize]) -> Step {
    let (outputs, channels) = (operation.channels, of_inputs[0]);
    let (mut taps, mut dilation) = (1, 1);
    let layer = match &operation.kind {
        Kind::OneHot => Layer::OneHot,
        Kind::Convolution { weights, bias, taps: wide, dilation: apart, groups } => {
            (taps, dilation) = (*wide, *apart);
            let bias = row(outputs, bias);
            let (of_group, made) = (channels / groups, outputs / groups);
            let weight = |output: usize, channel: usize, tap: usize| {
                let inside = channel / of_group == output / made;
                if inside { weights[(output * of_group + channel % of_group) * taps + tap] } else { 0.0 }
            };
            if inputs[0].tensor == 0 {
                let table = rows(outputs, taps * Lookup::CODES, |row, output| {
                    let (tap, code) = (row / Lookup::CODES, row % Lookup::CODES);
                    let column = ONE_HOT.get(code).copied().unwrap_or_default();
                    (0..4).map(|channel| column[channel] * weight(output, channel, tap)).sum()
                });
                Layer::Lookup { table, bias }
            } else if *groups == channels && outputs == channels {
                Layer::Depthwise {
                    weights: rows(outputs, taps, |tap, output| weights[output * taps + tap]),
                    bias,
                }
            } else if channels >= WIDTH && outputs <= FEW {
                let weights =
                    rows(channels, outputs * taps, |row, channel| weight(row / taps, channel, row % taps));
                Layer::Dot { weights, bias }
            } else {
                let mut packed = vec![Lanes::ZERO; blocks(outputs) * taps * channels];
                for output in 0..outputs {
                    for tap in 0..taps {
                        for channel in 0..channels {
                            let place = (output / WIDTH * taps + tap) * channels + channel;
                            packed[place].0[output % WIDTH] = weight(output, channel, tap);
                        }
                    }
                }
                Layer::Convolution { weights: packed, bias, channels }
            }
        }
        Kind::Maximum { taps: wide, dilation: apart } => {
            (taps, dilation) = (*wide, *apart);
            Layer::Maximum
        }
        Kind::Mean { taps: wide } => {
            taps = *wide;
            let share = 1.0 / taps as f32;
            Layer::Depthwise {
                weights: rows(outputs, taps, |_, _| share),
                bias: rows(outputs, 1, |_, _| 0.0),
            }
        }
        Kind::Affine { scale, shift } => {
            Layer::MulAdd { factor: Some(row(outputs, scale)), term: Some(row(outputs, shift)) }
        }
        Kind::Each(function) => Layer::Each(*function),
        Kind::Combine(combining, operands) => combine(*combining, operands, of_inputs, outputs),
        Kind::Concat => Layer::Concat,
        Kind::Softmax { logarithm } => Layer::Softmax { logarithm: *logarithm },
    };
    let step = operation.step;
    Step { layer, inputs, channels: outputs, step, taps, dilation, rectify: false, buffer: 0 }
}

/// A sum or product of two has a loop of its own.
fn combine(combining: Combining, operands: &[Operand], of_inputs: &[usize], outputs: usize) -> Layer {
    let constant = operands.iter().find_map(|operand| match operand {
        Operand::Constant(values) => Some(row(outputs, values)),
        Operand::Input => None,
    });
    let ones = || rows(outputs, 1, |_, _| 1.0);
    let zeros = || rows(outputs, 1, |_, _| 0.0);
    let plain = operands.len() == 2 && of_inputs.iter().all(|&channels| channels == outputs);
    match (combining, of_inputs.len(), constant) {
        (Combining::Add, 1, Some(term)) if plain => Layer::MulAdd { factor: Some(ones()), term: Some(term) },
        (Combining::Mul, 1, Some(factor)) if plain => {
            Layer::MulAdd { factor: Some(factor), term: Some(zeros()) }
        }
        (Combining::Add, 2, None) if plain => Layer::MulAdd { factor: Some(ones()), term: None },
        (Combining::Mul, 2, None) if plain => Layer::MulAdd { factor: None, term: Some(zeros()) },
        _ => Layer::Combine(combining, operands.to_vec()),
    }
}
