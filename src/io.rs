//! Files: memory maps, decompression, atomic outputs, BGZF, tabix and bigWig/bigBed containers.

pub(crate) mod bbi;
pub(crate) mod binning_index;
pub(crate) mod checksum;
pub(crate) mod deflate;
pub mod digest;
pub(crate) mod guard;
pub mod input;
pub mod line;
pub mod mmap;
pub(crate) mod number;
pub mod output;
pub mod tabix;
