//! Values without input or output: bases, contigs, windows and chunks.

pub mod alphabet;
pub mod chunk;
pub mod contig;
pub mod rng;
pub mod shuffle;
pub mod window;
