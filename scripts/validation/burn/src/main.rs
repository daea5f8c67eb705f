//! Steps of training a second with burn, one thread: the networks of `scripts/compare architectures speed`.
//!
//! `burn-steps cnn-4|bilstm BATCH LENGTH OUTPUTS SEQUENCES` trains on random sequences, ready-made: an epoch to warm up,
//! then two that are timed.

use std::time::Instant;

use burn::module::Module;
use burn::nn::conv::{Conv1d, Conv1dConfig};
use burn::nn::loss::{BinaryCrossEntropyLoss, BinaryCrossEntropyLossConfig};
use burn::nn::pool::{MaxPool1d, MaxPool1dConfig};
use burn::nn::{
    BatchNorm, BatchNormConfig, BiLstm, BiLstmConfig, Dropout, DropoutConfig, Linear, LinearConfig,
    PaddingConfig1d,
};
use burn::optim::{AdamConfig, GradientsParams};
use burn::tensor::activation::relu;
use burn::tensor::{Device, Distribution, Int, Tensor};

trait Network: Module + Sized {
    fn forward(&self, x: Tensor<3>) -> Tensor<2>;
}

#[derive(Module, Debug)]
struct Cnn4 {
    first: Conv1d,
    first_norm: BatchNorm,
    first_pool: MaxPool1d,
    second: Conv1d,
    second_norm: BatchNorm,
    second_pool: MaxPool1d,
    light: Dropout,
    dense: Linear,
    dense_norm: BatchNorm,
    heavy: Dropout,
    last: Linear,
}

impl Cnn4 {
    fn new(outputs: usize, device: &Device) -> Cnn4 {
        Cnn4 {
            first: Conv1dConfig::new(4, 30, 19).with_padding(PaddingConfig1d::Explicit(9, 9)).init(device),
            first_norm: BatchNormConfig::new(30).init(device),
            first_pool: MaxPool1dConfig::new(4).init(),
            second: Conv1dConfig::new(30, 128, 5).with_padding(PaddingConfig1d::Explicit(2, 2)).init(device),
            second_norm: BatchNormConfig::new(128).init(device),
            second_pool: MaxPool1dConfig::new(25).init(),
            light: DropoutConfig::new(0.1).init(),
            dense: LinearConfig::new(256, 512).init(device),
            dense_norm: BatchNormConfig::new(512).init(device),
            heavy: DropoutConfig::new(0.5).init(),
            last: LinearConfig::new(512, outputs).init(device),
        }
    }
}

impl Network for Cnn4 {
    fn forward(&self, x: Tensor<3>) -> Tensor<2> {
        let x = self.first_pool.forward(relu(self.first_norm.forward(self.first.forward(x))));
        let x = self.second.forward(self.light.forward(x));
        let x = self.light.forward(self.second_pool.forward(relu(self.second_norm.forward(x))));
        let x: Tensor<2> = self.dense.forward(x.flatten(1, 2));
        self.last.forward(self.heavy.forward(relu(self.dense_norm.forward(x))))
    }
}

#[derive(Module, Debug)]
struct OnLstm {
    first: Conv1d,
    pool: MaxPool1d,
    states: BiLstm,
    dense: Linear,
    last: Linear,
}

impl OnLstm {
    fn new(length: usize, outputs: usize, device: &Device) -> OnLstm {
        OnLstm {
            first: Conv1dConfig::new(4, 64, 19).init(device),
            pool: MaxPool1dConfig::new(4).init(),
            states: BiLstmConfig::new(64, 64, true).init(device),
            dense: LinearConfig::new((length - 18) / 4 * 128, 128).init(device),
            last: LinearConfig::new(128, outputs).init(device),
        }
    }
}

impl Network for OnLstm {
    fn forward(&self, x: Tensor<3>) -> Tensor<2> {
        let x = self.pool.forward(relu(self.first.forward(x))).swap_dims(1, 2);
        let (states, _) = self.states.forward(x, None);
        self.last.forward(relu(self.dense.forward(states.flatten(1, 2))))
    }
}

fn main() {
    let words: Vec<String> = std::env::args().collect();
    let [batch, length, outputs, sequences] = [2, 3, 4, 5].map(|i| words[i].parse().expect("a number"));
    let device = Device::flex().autodiff();
    let batches = (0..sequences / batch).map(|_| example(batch, length, outputs, &device)).collect();
    let steps = match words[1].as_str() {
        "cnn-4" => steps_per_second(Cnn4::new(outputs, &device), batches, &device),
        "bilstm" => steps_per_second(OnLstm::new(length, outputs, &device), batches, &device),
        other => panic!("no network {other}"),
    };
    println!("{steps}");
}

/// One-hot sequences [batch, 4, length], and classes [batch, outputs].
fn example(batch: usize, length: usize, outputs: usize, device: &Device) -> (Tensor<3>, Tensor<2, Int>) {
    let codes =
        Tensor::<2>::random([batch, length], Distribution::Uniform(0.0, 4.0), device).int().clamp(0, 3);
    let classes = Tensor::<2>::random([batch, outputs], Distribution::Bernoulli(0.5), device).int();
    (codes.one_hot::<3>(4).float().swap_dims(1, 2), classes)
}

fn steps_per_second(
    mut network: impl Network,
    batches: Vec<(Tensor<3>, Tensor<2, Int>)>,
    device: &Device,
) -> f64 {
    let mut optimizer = AdamConfig::new().with_epsilon(1e-8).init();
    let loss: BinaryCrossEntropyLoss = BinaryCrossEntropyLossConfig::new().with_logits(true).init(device);
    let mut began = Instant::now();
    for epoch in 0..3 {
        if epoch == 1 {
            began = Instant::now();
        }
        for (x, y) in &batches {
            let gradients = loss.forward(network.forward(x.clone()), y.clone()).backward();
            let gradients = GradientsParams::from_grads(gradients, &network);
            network = optimizer.step(1e-3, network, gradients);
        }
    }
    2.0 * batches.len() as f64 / began.elapsed().as_secs_f64()
}
