//! Fitting networks of the DeepBind family.

mod convolution;
pub mod gradient;
mod lanes;
mod optimizer;
mod parameters;
mod triplets;

pub use optimizer::{Optimizer, Penalty};
pub use parameters::Architecture;
