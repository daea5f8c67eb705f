//! Fitting models to measurements: data sets, negatives, metrics, the search and the fits.

pub mod candidate;
mod convolution;
pub mod dataset;
pub mod ensemble;
pub mod fit;
pub mod gradient;
pub mod initial;
mod lanes;
pub mod metric;
pub mod negatives;
mod optimizer;
mod parameters;
pub mod search;
mod state;
mod triplets;

pub use candidate::{Candidate, Recipe, Space};
pub use optimizer::{Optimizer, Penalty};
pub use parameters::Architecture;
pub use search::{Outcome, Progress, Protocol, Resources};
