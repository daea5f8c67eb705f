//! Headings that the options of help texts are listed under.

pub(super) const INPUT: &str = "Input";
pub(super) const MODEL: &str = "Model";
pub(super) const MOTIFS: &str = "Motif files";
pub(super) const SITES: &str = "Sites";
pub(super) const PVALUES: &str = "Significance";
pub(super) const OUTPUT: &str = "Output";
pub(super) const READS: &str = "Reads (BAM, SAM, CRAM)";
pub(super) const SHARDS: &str = "Sharding and resuming";
pub(super) const NETWORK: &str = "Network";
pub(super) const TRAINING: &str = "Training";
pub(super) const COMPARISON: &str = "Comparison";
pub(super) const GENOME: &str = "Genome";
pub(super) const SEQUENCES: &str = "Sequences";
pub(super) const RUN: &str = "Run";
pub(super) const MESSAGES: &str = "Messages";
