//! A checksum that stands in a track itself, so that [`crate::merge`] knows a shard to be the file that was written.
//!
//! It is gzip's CRC-32, in a comment. In text that is the last line, and sums up everything before it. In a bigWig it is
//! the last of the comments, and sums up what follows the front, and then the front with eight zeros in its place.

pub(crate) use zlib_rs::crc32::{crc32, crc32_combine};

/// Text before the digits.
pub(crate) const MARK: &str = "# crc32: ";

/// Hexadecimal digits of a checksum.
pub(crate) const DIGITS: usize = 8;

/// The comment.
pub(crate) fn comment(checksum: u32) -> String {
    format!("{MARK}{checksum:08x}\n")
}
