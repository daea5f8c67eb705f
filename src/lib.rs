//! Scan genomes with sequence models of protein binding.
//!
//! A [`genome`] (or [`reads`]) is cut into chunks of bases. An [`engine`] scores every window of a chunk with a [`model`],
//! [`sites`] turns scores into binding sites, a [`track`] writes them, and a [`pipeline`] of bounded channels joins the stages;
//! [`scan`] puts them together.
//!
//! # Levels
//!
//! A module imports only from modules above it in this list (`tests/it/levels.rs` checks that):
//!
//! 1. Values without input or output: [`seq`], [`scores`], [`pipeline`].
//! 2. Files, and null distributions of scores: [`io`], [`genome`], [`reads`], [`null`].
//! 3. Models: [`model`].
//! 4. Scoring: [`engine`].
//! 5. Results: [`sites`], [`calibrate`], [`track`], and what pages and trainers share: [`report`], [`dataset`].
//! 6. Applications: [`train`], [`motifs`], [`simulate`], [`merge`], [`scan`], [`variants`].
//!
//! # Conventions
//!
//! Coordinates are `u64`, 0-based and half-open everywhere in the library; each format converts where it is read or written.
//! Bases are codes: A 0, C 1, G 2, T 3, N 4.
//!
//! # Glossary
//!
//! - **window**: the bases that a model scores at once; **stride**: bases between window starts.
//! - **context**: what a padded network sees beside a window, its own padding or the real flanking bases.
//! - **filter**: a first-layer convolution kernel with its bias (DeepBind's *motif detector*).
//! - **receptive field**: the input positions that one value of a layer depends on.
//! - **target**: one output of one model, scored with a threshold of its own.
//! - **hit**: a window that reaches the threshold; **site**: a hit that is left after overlapping ones are suppressed.
//! - **chunk**: bases of one contig with the window starts that a worker scores; **segment**: a contig or a region of it.
//! - **shard**: one of several equal parts of a genome, scanned by a process of its own and merged afterwards.
//! - **null distribution**: the scores of background sequence, from which p-values follow; **calibration**: such
//!   distributions stored with a model.
//! - **reverse-complement sharing**: filters tied to their reverse complements, so that both strands get one score.

pub mod error;

pub mod pipeline;
pub mod scores;
pub mod seq;
pub(crate) mod simd;

pub mod genome;
pub mod io;
pub mod null;
pub mod reads;

pub mod model;

pub mod engine;

pub mod calibrate;
pub mod dataset;
pub mod report;
pub mod sites;
pub mod track;

pub mod merge;
pub mod motifs;
pub mod scan;
pub mod simulate;
pub mod train;
pub mod variants;

pub use error::{Error, Result};
pub use model::Model;
pub use scan::{Scan, ScoreTrack, Scores, Sites};
pub use track::record::SiteRecord;
