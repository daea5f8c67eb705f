//! Fitting models to measurements: data sets, negatives, metrics, and the report on a training.

pub mod dataset;
pub mod metric;
pub mod negatives;
