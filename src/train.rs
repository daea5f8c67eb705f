//! Fitting models to measurements: data sets, negatives, metrics, and the report on a training.

pub mod dataset;
pub mod evaluation;
pub mod metric;
pub mod negatives;
pub mod report;
