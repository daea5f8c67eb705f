//! Scan genomes with sequence models of protein binding.
//!
//! The modules stand in the order in which the data flows: a [`source`] cuts contigs into chunks of
//! [`encode`]d bases, an [`engine`] scores every window of a chunk with a [`model`], [`hits`] turns scores into
//! binding sites, a [`track`] writes them, and the [`pipeline`] joins the stages with bounded channels.
//!
//! Coordinates are `u64`, 0-based and half-open everywhere in the library; formats convert at their own door.

pub mod digest;
pub mod error;
pub mod genome;
mod guard;

pub mod encode;
pub mod source;

pub mod model;

pub mod engine;

pub mod shuffle;

pub mod calibrate;

pub mod hits;
pub mod output;
pub mod track;

pub mod pipeline;
pub mod scan;

pub mod merge;
pub mod variant;

mod lettering;
pub mod logo;
pub mod mutmap;
pub mod report;
pub mod train;

pub mod nn;

pub mod filter;

pub mod simulate;

pub use error::{Error, Result};
