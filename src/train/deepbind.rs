//! Fitting networks of the DeepBind family.

pub(crate) mod convolution;
pub mod distil;
pub mod ensemble;
pub mod fit;
pub mod gradient;
pub mod hyperparameters;
pub mod init;
pub(crate) mod kmer_index;
pub mod motif_filter;
pub(crate) mod optimizer;
pub(crate) mod parameters;
pub mod rc_tied;
pub mod search;
pub(crate) mod state;
pub mod trained;
