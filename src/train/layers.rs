//! Networks of many layers: convolutions in depth, residual and recurrent ones. Their description, their fitting, and
//! their ONNX form.
//!
//! A network is described layer by layer ([`Architecture`]), by a TOML file or a name. It is fitted with gradients that
//! go back through the layers, each of which knows its own; matrix products do most of the work. One fit has one thread:
//! several fits go side by side.

mod architecture;
mod engine;
pub mod export;
mod fit;
mod function;
mod layer;
mod named;
mod network;
mod parameter;
mod tensor;
pub mod trained;
pub mod training;

pub use self::architecture::{Architecture, Cell, Function, InputForm, Layer, Padding, PoolKind, Shape};
pub use self::engine::NetworkEngine;
pub use self::fit::{SLOWER, Settings};
pub use self::named::NAMES;
pub use self::network::{Activations, Network};
