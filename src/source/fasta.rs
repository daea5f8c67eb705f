//! FASTA.
