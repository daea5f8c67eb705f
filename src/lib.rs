//! Scan genomes with sequence models of protein binding.
//!
//! A [`genome`] (or [`reads`]) is cut into chunks of bases. An [`engine`] scores every window of a chunk with a [`model`],
//! [`sites`] turns scores into binding sites, a [`track`] writes them, and a [`pipeline`] of bounded channels joins the
//! stages; [`scan`] puts them together.
//!
//! # Examples
//!
//! A [`Model`] is opened by its name or its file; a [`Scan`] looks for its sites in a genome. The sites come one by one, as
//! the program writes them.
//!
//! ```
//! use bindscan::{Model, Scan};
//!
//! # fn main() -> bindscan::Result<()> {
//! let elk1 = Model::find("ELK1")?;
//! for site in Scan::new("tests/data/genome.fa").model(elk1).threshold(1.0).region("sim1:1-9000").sites()? {
//!     let site = site?;
//!     println!("{}\t{}\t{}\t{}", site.contig, site.start, site.end, site.score);
//! }
//! # Ok(())
//! # }
//! ```
//!
//! A sequence has one score, that of its best window:
//!
//! ```
//! # fn main() -> bindscan::Result<()> {
//! let scores = bindscan::Model::find("ELK1")?.score(b"TTACCGGAAGTGCAACCGGAAGTAA")?;
//! assert!(scores[0] > 0.0);
//! # Ok(())
//! # }
//! ```
//!
//! Motif files hold several models, sites can be chosen by p-values, and tracks written to files, in one pass:
//!
//! ```
//! use bindscan::{Error, Model, Scan};
//!
//! # fn main() -> bindscan::Result<()> {
//! # let folder = tempfile::tempdir().unwrap();
//! # let bed = folder.path().join("sites.bed");
//! let motifs = Model::find_all("models/ctcf-consensus.meme")?;
//! let scan = Scan::new("tests/data/genome.fa").models(motifs).pvalue(1e-5);
//! let summary = scan.write(&[bed])?;
//! assert_eq!(summary.sites, 9);
//!
//! // What goes wrong has a kind.
//! let error = scan.region("chr9").sites().unwrap_err();
//! assert!(matches!(error, Error::Region(_)));
//! # Ok(())
//! # }
//! ```
//!
//! Programs to start from are in `tests/examples`: `scan_genome`, `score_sequences` and `custom_track`.
//!
//! # Levels
//!
//! A module imports only from modules above it in this list (`tests/it/levels.rs` checks that):
//!
//! 1. Values without input or output: [`seq`], [`scores`], [`pipeline`].
//! 2. Files, and null distributions of scores: [`io`], [`genome`], [`reads`], [`null`].
//! 3. Models: [`model`].
//! 4. Scoring: [`engine`].
//! 5. Results: [`sites`], [`calibrate`], [`track`], [`genome_wide`], and what pages and trainers share: [`report`],
//!    [`dataset`].
//! 6. Applications: [`train`], [`motifs`], [`simulate`], [`merge`], [`scan`], [`variants`], [`regions`], [`enrichment`],
//!    [`profile`].
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
//! - **filter**: a first-layer convolution kernel with its bias (DeepBind's *motif filter*).
//! - **receptive field**: the input positions that one value of a layer depends on.
//! - **target**: one output of one model, scored with a threshold of its own.
//! - **hit**: a window that reaches the threshold; **site**: a hit that is left after overlapping ones are suppressed.
//! - **chunk**: bases of one contig with the window starts that a worker scores; **segment**: a contig or a region of it.
//! - **shard**: one of several equal parts of a genome, scanned by a process of its own and merged afterwards.
//! - **null distribution**: the scores of background sequence, from which p-values follow; **calibration**: such
//!   distributions stored with a model.
//! - **reverse-complement sharing**: filters tied to their reverse complements, so that both strands get one score.

// Helpers stand with what they belong to, also where one feature alone uses them.
#![cfg_attr(not(all(feature = "cram", feature = "onnx", feature = "train")), allow(dead_code))]

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
pub mod genome_wide;
pub mod report;
pub mod sites;
pub mod track;

pub mod enrichment;
pub mod merge;
pub mod motifs;
#[cfg(feature = "onnx")]
pub mod profile;
pub mod regions;
pub mod scan;
pub mod simulate;
#[cfg(feature = "train")]
pub mod train;
pub mod variants;

// The program is part of the Python module, and names the library from outside.
#[cfg(feature = "python")]
extern crate self as bindscan;
#[cfg(feature = "python")]
mod cli;
#[cfg(feature = "python")]
mod python;

pub use error::{Error, Result};
pub use model::Model;
pub use scan::{Scan, ScoreTrack, Scores, Sites};
pub use track::record::SiteRecord;
