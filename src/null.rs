//! Null distributions of scores: p-values, and false discovery rates.

pub mod calibration;
pub mod distribution;
pub mod fdr;
pub mod markov;
pub mod peaks;
pub mod tail;
