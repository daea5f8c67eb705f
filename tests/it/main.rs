//! The tests of the library's public interface and of the program, as one binary: it links once.
//!
//! `cargo test --test it NAME` runs the tests of the module `NAME`. The kernel's tests are a binary of their own
//! (`tests/kernel.rs`), since they also run on emulated processors.

mod bad_input;
mod bam;
mod common;
mod cores;
mod cram;
mod dataset;
mod fasta;
mod foreign;
mod golden;
mod help;
#[cfg(feature = "keras")]
mod keras;
mod large_models;
mod layers;
mod levels;
mod library;
mod matrices;
mod model_deepbind;
mod model_motif;
mod model_onnx;
mod motif_files;
mod motifs;
mod mutmap;
mod onnx_dense;
mod onnx_engine;
mod padded;
mod process;
#[cfg(feature = "keras")]
mod profile;
mod receptive_field;
mod regions;
mod report;
mod resume;
mod rust_bio;
mod scan;
mod shard;
mod shell;
mod shuffle;
mod significance;
mod simulate;
mod sites;
mod summary;
mod tables;
mod track;
mod train_command;
mod train_gradient;
mod train_recipe;
mod train_search;
mod twobit;
mod variants;
