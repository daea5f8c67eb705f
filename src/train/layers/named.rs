//! Networks that have a name: families of networks with sizes that suit peaks, and published ones.

use crate::train::layers::architecture::{Architecture, Cell, Function, InputForm, Layer, Padding, PoolKind};

/// The names.
pub const NAMES: [&str; 22] = [
    "cnn",
    "cnn-exp",
    "cnn-2d",
    "resnet",
    "rnn",
    "danq",
    "deeperbind",
    "cnn-1",
    "cnn-2",
    "cnn-4",
    "cnn-10",
    "cnn-25",
    "cnn-50",
    "cnn-100",
    "cnn-50-2",
    "cnn-1-3",
    "cnn-2-1",
    "cnn9-4",
    "cnn9-25",
    "cnn3-2",
    "cnn3-50",
    "bpnet",
];

/// The network with this name.
///
/// - `cnn`: two convolutions without padding, a maximum over all positions, a dense layer; `cnn-exp` with the exponential
///   function after the first; `cnn-2d` with input `[N, 1, 4, L]`.
/// - `resnet`: a convolution, then dilated residual convolutions without padding, cut at their ends, so that the network
///   can be scanned densely; `bpnet` as Avsec et al. (2021) made the body of theirs: nine dilated, padded layers of 64.
/// - `rnn`: a convolution, a pool, and bidirectional GRUs; `danq`: Quang & Xie (2016), a bidirectional LSTM of 320 units;
///   `deeperbind`: in the manner of Hassanzadeh & Wang (2016), two LSTMs on a convolution that is hardly pooled.
/// - `cnn-1` to `cnn3-50`: the networks of Koo & Eddy (2019), all padded: 30 filters of 19 (or 9, 3) bases, a pool of so
///   many, a second convolution, a second pool.
pub(crate) fn find(name: &str) -> Option<Architecture> {
    let layers = match name {
        "cnn" | "cnn-2d" => cnn(Function::Relu),
        "cnn-exp" => cnn(Function::Exponential),
        "resnet" => resnet(),
        "bpnet" => bpnet(),
        "rnn" => rnn(),
        "danq" => danq(),
        "deeperbind" => deeperbind(),
        "cnn-1-3" => {
            let mut layers = block(30, 19, None, 0.1);
            layers.extend(block(128, 5, None, 0.1));
            layers.extend(block(128, 5, Some((100, 100)), 0.1));
            layers.extend(head(512));
            layers
        }
        "cnn-50-2" => koo_eddy(19, (50, 2), (64, 5), 50, 96),
        "cnn-2-1" => koo_eddy(19, (2, 2), (128, 1), 50, 512),
        "cnn-1" => koo_eddy(19, (1, 1), (128, 5), 100, 512),
        "cnn-2" => koo_eddy(19, (2, 2), (128, 5), 50, 512),
        "cnn-4" => koo_eddy(19, (4, 4), (128, 5), 25, 512),
        "cnn-10" => koo_eddy(19, (10, 10), (128, 5), 10, 512),
        "cnn-25" => koo_eddy(19, (25, 25), (128, 5), 4, 512),
        "cnn-50" => koo_eddy(19, (50, 50), (128, 5), 2, 512),
        "cnn-100" => koo_eddy(19, (100, 100), (128, 5), 1, 512),
        "cnn9-4" => koo_eddy(9, (4, 4), (128, 5), 25, 512),
        "cnn9-25" => koo_eddy(9, (25, 25), (128, 5), 4, 512),
        "cnn3-2" => koo_eddy(3, (2, 2), (128, 5), 50, 512),
        "cnn3-50" => koo_eddy(3, (50, 50), (128, 5), 2, 512),
        _ => return None,
    };
    let input = if name == "cnn-2d" { InputForm::Rows } else { InputForm::Sequence };
    Some(Architecture { input, layers })
}

fn convolution(filters: usize, kernel: usize, dilation: usize, padding: Padding) -> Layer {
    Layer::Convolution { filters, kernel, stride: 1, dilation, padding, groups: 1 }
}

fn relu() -> Layer {
    Layer::Activation { function: Function::Relu }
}

fn pool(size: usize, stride: usize, padding: Padding) -> Layer {
    let stride = (stride != size).then_some(stride);
    Layer::Pool { kind: PoolKind::Max, size, stride, padding }
}

/// Convolution, normalisation, rectifier, pool (size, stride), dropout, as Koo & Eddy stack them.
fn block(filters: usize, kernel: usize, pooled: Option<(usize, usize)>, rate: f32) -> Vec<Layer> {
    let mut layers = vec![convolution(filters, kernel, 1, Padding::Same), Layer::BatchNorm {}, relu()];
    layers
        .extend(pooled.filter(|&(size, _)| size > 1).map(|(size, stride)| pool(size, stride, Padding::Same)));
    layers.push(Layer::Dropout { rate });
    layers
}

/// All positions, a dense layer, normalisation, rectifier, dropout.
fn head(units: usize) -> Vec<Layer> {
    vec![Layer::Flatten {}, Layer::Dense { units }, Layer::BatchNorm {}, relu(), Layer::Dropout { rate: 0.5 }]
}

fn koo_eddy(
    kernel: usize,
    first_pool: (usize, usize),
    (filters, second_kernel): (usize, usize),
    second_pool: usize,
    units: usize,
) -> Vec<Layer> {
    let mut layers = block(30, kernel, Some(first_pool), 0.1);
    layers.extend(block(filters, second_kernel, Some((second_pool, second_pool)), 0.1));
    layers.extend(head(units));
    layers
}

fn cnn(first: Function) -> Vec<Layer> {
    vec![
        convolution(64, 15, 1, Padding::Valid),
        Layer::BatchNorm {},
        Layer::Activation { function: first },
        Layer::Dropout { rate: 0.1 },
        pool(4, 4, Padding::Valid),
        convolution(64, 5, 1, Padding::Valid),
        Layer::BatchNorm {},
        relu(),
        Layer::Dropout { rate: 0.1 },
        Layer::GlobalPool { kind: PoolKind::Max },
        Layer::Dense { units: 64 },
        relu(),
        Layer::Dropout { rate: 0.5 },
    ]
}

/// A dilated convolution of as many filters as channels, added to its input.
fn dilated(filters: usize, dilation: usize, padding: Padding, normalised: bool) -> Layer {
    let mut layers = vec![convolution(filters, 3, dilation, padding)];
    layers.extend(normalised.then_some(Layer::BatchNorm {}));
    layers.push(relu());
    Layer::Residual { layers }
}

fn resnet() -> Vec<Layer> {
    let mut layers = vec![convolution(64, 15, 1, Padding::Valid), Layer::BatchNorm {}, relu()];
    layers.extend([1, 2, 4, 8].map(|dilation| dilated(64, dilation, Padding::Valid, true)));
    layers.extend([
        Layer::Dropout { rate: 0.1 },
        Layer::GlobalPool { kind: PoolKind::Max },
        Layer::Dense { units: 64 },
        relu(),
        Layer::Dropout { rate: 0.5 },
    ]);
    layers
}

fn bpnet() -> Vec<Layer> {
    let mut layers = vec![convolution(64, 25, 1, Padding::Same), relu()];
    layers.extend((1..=9).map(|i| dilated(64, 1 << i, Padding::Same, false)));
    layers.push(Layer::GlobalPool { kind: PoolKind::Avg });
    layers
}

fn rnn() -> Vec<Layer> {
    vec![
        convolution(64, 15, 1, Padding::Valid),
        Layer::BatchNorm {},
        relu(),
        pool(4, 4, Padding::Valid),
        Layer::Dropout { rate: 0.2 },
        Layer::Recurrent { cell: Cell::Gru, units: 32, bidirectional: true },
        Layer::GlobalPool { kind: PoolKind::Max },
        Layer::Dense { units: 64 },
        relu(),
        Layer::Dropout { rate: 0.5 },
    ]
}

fn danq() -> Vec<Layer> {
    vec![
        convolution(320, 26, 1, Padding::Valid),
        relu(),
        pool(13, 13, Padding::Valid),
        Layer::Dropout { rate: 0.2 },
        Layer::Recurrent { cell: Cell::Lstm, units: 320, bidirectional: true },
        Layer::Dropout { rate: 0.5 },
        Layer::Flatten {},
        Layer::Dense { units: 925 },
        relu(),
    ]
}

fn deeperbind() -> Vec<Layer> {
    vec![
        convolution(16, 24, 1, Padding::Valid),
        relu(),
        pool(2, 2, Padding::Valid),
        Layer::Recurrent { cell: Cell::Lstm, units: 20, bidirectional: false },
        Layer::Recurrent { cell: Cell::Lstm, units: 20, bidirectional: false },
        Layer::Dropout { rate: 0.2 },
        Layer::Flatten {},
        Layer::Dense { units: 32 },
        relu(),
    ]
}
