//! Fitting models to measurements: data sets, negatives, metrics, the search and the fits.

mod convolution;
pub mod dataset;
pub mod gradient;
mod lanes;
mod optimizer;
mod parameters;
mod triplets;

pub use optimizer::{Optimizer, Penalty};
pub use parameters::Architecture;
