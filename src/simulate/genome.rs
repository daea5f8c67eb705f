//! Genomes of random bases with binding sites implanted at known places: input of real size for trying, testing and
//! timing, with the truth to compare with.

use rand::RngExt;
use rand::SeedableRng;
use rand_xoshiro::Xoshiro256PlusPlus;

use super::place;
use crate::seq::contig::Strand;
use crate::{Error, Result};

/// Bases of the longest contig that is made: contigs are held in memory one at a time.
const LONGEST: u64 = 1 << 32;

/// Options of the simulation.
#[derive(Debug, Clone, PartialEq)]
pub struct Simulation {
    /// Bases in all.
    pub length: u64,
    /// Contigs, of equal length (the first ones a base longer where it does not divide).
    pub contigs: usize,
    /// Share of G and C, 0 to 1.
    pub gc: f64,
    /// Sites implanted in all, spread over the contigs by length.
    pub sites: u64,
    /// Seed of everything random: the same seed gives the same genome on every machine.
    pub seed: u64,
}

/// An implanted site.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Site {
    /// First base on the contig, 0-based.
    pub start: u64,
    /// Strand on which the motif reads.
    pub strand: Strand,
}

impl Simulation {
    /// Checks the numbers against a motif of `width` bases.
    ///
    /// # Errors
    /// A composition out of range, no contigs, or more sites than fit.
    pub fn check(&self, width: usize) -> Result<()> {
        let wrong = |message: String| Err(Error::Request(message));
        if !(0.0..=1.0).contains(&self.gc) {
            return wrong(format!("GC content must be between 0 and 1, not {}", self.gc));
        }
        if self.contigs == 0 || self.length < self.contigs as u64 {
            return wrong(format!("{} bases cannot be spread over {} contigs", self.length, self.contigs));
        }
        let longest = self.length.div_ceil(self.contigs as u64);
        if longest > LONGEST {
            return wrong(format!(
                "a contig of {longest} bases is too long; the most is {LONGEST} (use more contigs)"
            ));
        }
        // Every site has a slot of its own, so that sites never overlap.
        let shortest = self.length / self.contigs as u64;
        let most = self.sites.div_ceil(self.contigs as u64);
        if most * width as u64 > shortest {
            return wrong(format!(
                "{} sites of {width} bases do not fit into {} bases",
                self.sites, self.length
            ));
        }
        Ok(())
    }

    /// Name, bases (upper-case ASCII) and implanted sites (by start) of contig `index`.
    ///
    /// `motif[position][base]` holds counts or probabilities of A, C, G, T; each site is drawn from it, on a random
    /// strand.
    pub fn contig(&self, index: usize, motif: &[[f64; 4]]) -> (String, Vec<u8>, Vec<Site>) {
        let share = |total: u64| {
            total / self.contigs as u64 + u64::from((index as u64) < total % self.contigs as u64)
        };
        let (length, count) = (share(self.length), share(self.sites));
        // Contigs have streams of their own: one can be made without the others.
        let mut rng = Xoshiro256PlusPlus::seed_from_u64(self.seed);
        (0..index).for_each(|_| rng.jump());
        let mut bases = self.background(length as usize, &mut rng);
        let sites = (0..count).map(|i| implant(&mut bases, i, count, motif, &mut rng)).collect();
        (format!("sim{}", index + 1), bases, sites)
    }

    fn background(&self, length: usize, rng: &mut Xoshiro256PlusPlus) -> Vec<u8> {
        // 16 random bits a base: the high one picks within a pair, the other 15 pick the pair.
        let gc = (self.gc * f64::from(1u32 << 15)).round() as u64;
        let mut bases = Vec::with_capacity(length.next_multiple_of(4));
        while bases.len() < length {
            let bits: u64 = rng.random();
            for lane in [0, 16, 32, 48] {
                let draw = bits >> lane;
                let strong = draw & 0x7FFF < gc;
                bases.push(match (strong, draw & 0x8000 != 0) {
                    (true, false) => b'C',
                    (true, true) => b'G',
                    (false, false) => b'A',
                    (false, true) => b'T',
                });
            }
        }
        bases.truncate(length);
        bases
    }
}

/// Draws one site from the motif and writes it at a random place within the `i`th of `count` equal slots.
fn implant(bases: &mut [u8], i: u64, count: u64, motif: &[[f64; 4]], rng: &mut Xoshiro256PlusPlus) -> Site {
    let (length, width) = (bases.len() as u64, motif.len() as u64);
    let slot = (length * i / count)..(length * (i + 1) / count);
    let start = rng.random_range(slot.start..=slot.end - width);
    let strand = if rng.random() { Strand::Forward } else { Strand::Reverse };
    place(&mut bases[start as usize..][..motif.len()], motif, strand, rng);
    Site { start, strand }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn simulation() -> Simulation {
        Simulation { length: 300_001, contigs: 3, gc: 0.38, sites: 100, seed: 7 }
    }

    const MOTIF: [[f64; 4]; 4] = [[1., 0., 0., 0.], [0., 1., 0., 0.], [0., 0., 1., 0.], [0., 1., 0., 0.]];

    #[test]
    fn lengths_composition_and_sites_are_as_asked() {
        let made: Vec<_> = (0..3).map(|i| simulation().contig(i, &MOTIF)).collect();
        assert_eq!(made.iter().map(|(_, bases, _)| bases.len()).sum::<usize>(), 300_001);
        assert_eq!(made.iter().map(|(_, _, sites)| sites.len()).sum::<usize>(), 100);
        let gc = made.iter().flat_map(|(_, bases, _)| bases).filter(|b| b"GC".contains(b)).count();
        assert!((gc as f64 / 300_001.0 - 0.38).abs() < 0.01);
        for (_, bases, sites) in &made {
            assert!(sites.windows(2).all(|pair| pair[0].start + 4 <= pair[1].start));
            for site in sites {
                let found = &bases[site.start as usize..site.start as usize + 4];
                assert_eq!(found, if site.strand == Strand::Forward { b"ACGC" } else { b"GCGT" });
            }
        }
    }

    #[test]
    fn a_seed_gives_the_same_genome_and_another_seed_another() {
        let other = Simulation { seed: 8, ..simulation() };
        assert_eq!(simulation().contig(1, &MOTIF), simulation().contig(1, &MOTIF));
        assert_ne!(simulation().contig(1, &MOTIF).1, other.contig(1, &MOTIF).1);
    }

    #[test]
    fn what_cannot_be_simulated_is_refused() {
        let crowded = Simulation { sites: 100_000, ..simulation() };
        assert!(crowded.check(4).unwrap_err().to_string().contains("do not fit"));
        assert!(Simulation { gc: 1.5, ..simulation() }.check(4).is_err());
        assert!(Simulation { contigs: 0, ..simulation() }.check(4).is_err());
    }
}
