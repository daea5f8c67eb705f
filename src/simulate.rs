//! Simulated genomes.
