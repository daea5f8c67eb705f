//! Sequences of random bases with sites of motifs implanted at known places: input of real size for trying, testing and
//! timing, with the truth to compare with.

use rand::RngExt;
use rand_xoshiro::Xoshiro256PlusPlus;

use crate::seq::contig::Strand;

pub mod dataset;
pub mod genome;

pub use genome::Simulation;

/// Draws one site from a motif and writes it over `bases`, which are as many.
fn place(bases: &mut [u8], motif: &[[f64; 4]], strand: Strand, rng: &mut Xoshiro256PlusPlus) {
    for (j, column) in motif.iter().enumerate() {
        let total: f64 = column.iter().sum();
        let mut draw = rng.random::<f64>() * total;
        let base = column[..3].iter().position(|&p| {
            draw -= p;
            draw < 0.0
        });
        let base = base.unwrap_or(3);
        let (at, letter) = match strand {
            Strand::Forward => (j, b"ACGT"[base]),
            Strand::Reverse => (motif.len() - 1 - j, b"TGCA"[base]),
        };
        bases[at] = letter;
    }
}
