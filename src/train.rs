//! Fitting models to measurements: data sets, negatives and metrics; networks, fits and the search for
//! hyper-parameters; evaluation and the report on a training.

pub mod dataset;
pub mod metric;
pub mod negatives;

mod convolution;
pub mod gradient;
pub(crate) mod lanes;
mod optimizer;
mod parameters;
mod triplets;

pub mod candidate;
pub mod ensemble;
pub mod fit;
pub(crate) mod fold;
pub mod initial;
pub mod search;
mod state;
pub mod symmetric;
pub mod trained;

pub mod evaluation;
pub mod report;

pub use candidate::{Candidate, Recipe, Space};
pub use optimizer::{Optimizer, Penalty};
pub use parameters::Architecture;
pub use search::{Outcome, Progress, Protocol, Resources};
