//! Scan genomes with sequence models of protein binding.
//!
//! The modules stand in the order in which the data flows: a [`source`] cuts contigs into chunks of
//! [`encode`]d bases, an [`engine`] scores every window of a chunk with a [`model`], [`sites`] turns scores into
//! binding sites, a [`track`] writes them, and the [`pipeline`] joins the stages with bounded channels.
//!
//! Coordinates are `u64`, 0-based and half-open everywhere in the library; formats convert at their own door.

pub mod dataset;
pub mod error;
pub mod genome;
pub mod io;
pub mod null;
pub mod reads;
pub mod scores;
pub mod seq;
pub(crate) mod simd;

pub mod model;

pub mod engine;

pub mod calibrate;

pub mod sites;
pub mod track;

pub mod pipeline;

pub mod scan;

pub mod merge;

pub mod variants;

pub mod report;

pub mod train;

pub mod motifs;

pub mod simulate;

pub use error::{Error, Result};
