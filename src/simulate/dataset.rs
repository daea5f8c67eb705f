//! The synthetic data set of Koo & Eddy (2019, "Representation learning of genomic sequence motifs with convolutional
//! neural networks", PLOS Computational Biology 15: e1007560): sequences of random bases in each of which sites of one to
//! five motifs lie, so that what a network has learned can be held against what there was to learn.

use rand::{RngExt, SeedableRng};
use rand_xoshiro::Xoshiro256PlusPlus;

use super::place;
use crate::model::motif::Motif;
use crate::seq::contig::Strand;
use crate::{Error, Result};

/// The factors of the published data set, by their names in JASPAR 2016.
pub const FACTORS: [&str; 12] =
    ["Arid3a", "CEBPB", "FOSL1", "Gabpa", "MAFK", "MAX", "MEF2A", "NFYB", "SP1", "SRF", "STAT1", "YY1"];

/// Shares of the sequences with one, two and so on up to five sites, as in the published data set.
pub const SITES: [f64; 5] = [0.50, 0.25, 0.17, 0.05, 0.03];

/// Shares of the sequences for training, validation and test.
pub const PARTS: [f64; 3] = [0.7, 0.1, 0.2];

/// Options of the simulation.
#[derive(Debug, Clone, PartialEq)]
pub struct DatasetSimulation {
    /// Sequences in all.
    pub sequences: usize,
    /// Bases of each.
    pub length: usize,
    /// Seed of everything random: the same one gives the same data on every machine.
    pub seed: u64,
}

impl Default for DatasetSimulation {
    /// The published data set's numbers: 25,000 sequences of 200 bases.
    fn default() -> Self {
        DatasetSimulation { sequences: 25_000, length: 200, seed: 1 }
    }
}

/// A simulated sequence.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Example {
    /// Upper-case letters.
    pub bases: Vec<u8>,
    /// The sites in it, from left to right; they do not overlap.
    pub sites: Vec<ImplantedSite>,
}

/// A site of one of several motifs.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct ImplantedSite {
    /// Rank of the motif.
    pub motif: usize,
    /// First base in the sequence, 0-based.
    pub start: usize,
    /// Strand on which the motif reads.
    pub strand: Strand,
}

impl Example {
    /// True if the sequence has a site of the motif with this rank: the target.
    pub fn has(&self, motif: usize) -> bool {
        self.sites.iter().any(|site| site.motif == motif)
    }
}

impl DatasetSimulation {
    /// The sequences in three parts, for training, validation and test ([`PARTS`]).
    ///
    /// Bases are A, C, G or T with equal probability. A sequence has one to five sites ([`SITES`]); each is of any of the
    /// motifs and on either strand with equal probability (a motif may come twice), and drawn from the motif's
    /// frequencies. Between and around the sites the other bases are divided in proportion to uniform random numbers.
    ///
    /// # Errors
    /// No motifs, sequences that are too short for five sites of the widest, and so few sequences that a part would have
    /// none.
    pub fn make(&self, motifs: &[Motif]) -> Result<[Vec<Example>; 3]> {
        let widest = motifs.iter().map(Motif::width).max();
        let Some(widest) = widest else { return Err(Error::Request("no motif to implant".into())) };
        let most = SITES.len() * widest;
        if most > self.length {
            return Err(Error::Request(format!(
                "sequences of {} bases are too short for {} sites of {widest} bases; {most} are needed",
                self.length,
                SITES.len()
            )));
        }
        let count = |share: f64| (share * self.sequences as f64).round() as usize;
        let (training, validation) = (count(PARTS[0]), count(PARTS[1]));
        if training == 0 || validation == 0 || self.sequences <= training + validation {
            let message = format!("{} sequences are too few to be divided into three parts", self.sequences);
            return Err(Error::Request(message));
        }
        let mut rng = Xoshiro256PlusPlus::seed_from_u64(self.seed);
        // All are drawn alike: no order is better than this one.
        let mut examples: Vec<Example> =
            (0..self.sequences).map(|_| self.example(motifs, &mut rng)).collect();
        let test = examples.split_off(training + validation);
        let validation = examples.split_off(training);
        Ok([examples, validation, test])
    }

    fn example(&self, motifs: &[Motif], rng: &mut Xoshiro256PlusPlus) -> Example {
        let mut draw: f64 = rng.random();
        let count = SITES.iter().position(|share| {
            draw -= share;
            draw < 0.0
        });
        let count = count.map_or(SITES.len(), |rank| rank + 1);
        let mut bases: Vec<u8> = (0..self.length).map(|_| b"ACGT"[rng.random_range(0..4)]).collect();
        let chosen: Vec<(usize, Strand)> = (0..count)
            .map(|_| {
                let strand = |forward| if forward { Strand::Forward } else { Strand::Reverse };
                (rng.random_range(0..motifs.len()), strand(rng.random()))
            })
            .collect();
        let gaps: Vec<f64> = (0..=count).map(|_| rng.random()).collect();
        let covered: usize = chosen.iter().map(|&(motif, _)| motifs[motif].width()).sum();
        let (free, all) = ((self.length - covered) as f64, gaps.iter().sum::<f64>());
        let (mut sites, mut before, mut passed) = (Vec::with_capacity(count), 0.0, 0);
        for ((motif, strand), gap) in chosen.into_iter().zip(gaps) {
            before += gap;
            let start = (before / all * free).round() as usize + passed;
            let width = motifs[motif].width();
            place(&mut bases[start..start + width], &motifs[motif].counts, strand, rng);
            passed += width;
            sites.push(ImplantedSite { motif, start, strand });
        }
        Example { bases, sites }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn motif(id: &str, letters: &[u8]) -> Motif {
        let column = |letter: &u8| [b'A', b'C', b'G', b'T'].map(|base| f64::from(u8::from(base == *letter)));
        let counts = letters.iter().map(column).collect();
        Motif { id: id.into(), counts, ..Motif::default() }
    }

    fn motifs() -> [Motif; 3] {
        [motif("a", b"ACGGTA"), motif("b", b"CCCCAAAA"), motif("c", b"TGT")]
    }

    #[test]
    fn sites_are_where_the_truth_says_and_as_many_as_published() {
        let simulation = DatasetSimulation { sequences: 20_000, length: 60, seed: 3 };
        let parts = simulation.make(&motifs()).unwrap();
        assert_eq!(parts.each_ref().map(Vec::len), [14_000, 2_000, 4_000]);
        let words = |site: &ImplantedSite| match (site.motif, site.strand) {
            (0, Strand::Forward) => &b"ACGGTA"[..],
            (0, Strand::Reverse) => b"TACCGT",
            (1, Strand::Forward) => b"CCCCAAAA",
            (1, Strand::Reverse) => b"TTTTGGGG",
            (_, Strand::Forward) => b"TGT",
            (_, Strand::Reverse) => b"ACA",
        };
        let (mut counts, mut forward, mut each, mut ends) = ([0; 5], 0, [0; 3], [0; 2]);
        for example in parts.iter().flatten() {
            assert_eq!(example.bases.len(), 60);
            counts[example.sites.len() - 1] += 1;
            let mut free = 0;
            for site in &example.sites {
                let word = words(site);
                assert!(site.start >= free);
                free = site.start + word.len();
                assert_eq!(&example.bases[site.start..free], word);
                forward += usize::from(site.strand == Strand::Forward);
                each[site.motif] += 1;
                assert!(example.has(site.motif));
            }
            ends[0] += usize::from(example.sites[0].start == 0);
            ends[1] += usize::from(free == 60);
        }
        let all: usize = each.iter().sum();
        for (count, share) in counts.into_iter().zip(SITES) {
            assert!((f64::from(count) / 20_000.0 - share).abs() < 0.01, "{counts:?}");
        }
        assert!((forward as f64 / all as f64 - 0.5).abs() < 0.01);
        assert!(each.iter().all(|&count| (count as f64 / all as f64 - 1.0 / 3.0).abs() < 0.01), "{each:?}");
        // Sites reach both ends, and neither more often than the other.
        assert!(ends[0] > 100 && (ends[0] as f64 / ends[1] as f64 - 1.0).abs() < 0.3, "{ends:?}");
    }

    #[test]
    fn a_seed_gives_the_same_data_and_another_seed_others() {
        let simulation = DatasetSimulation { sequences: 50, length: 60, seed: 3 };
        let other = DatasetSimulation { seed: 4, ..simulation.clone() };
        assert_eq!(simulation.make(&motifs()).unwrap(), simulation.make(&motifs()).unwrap());
        assert_ne!(simulation.make(&motifs()).unwrap(), other.make(&motifs()).unwrap());
    }

    #[test]
    fn what_cannot_be_simulated_is_refused() {
        let refused = |sequences, length, motifs: &[Motif]| {
            DatasetSimulation { sequences, length, seed: 1 }.make(motifs).unwrap_err().to_string()
        };
        assert!(refused(100, 39, &motifs()).contains("40 are needed"));
        assert!(refused(100, 60, &[]).contains("no motif"));
        assert!(refused(2, 60, &motifs()).contains("too few"));
    }
}
