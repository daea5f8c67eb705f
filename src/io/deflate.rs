//! Blocks compressed one by one: zlib for bigWig, BGZF for text and records.

use std::fmt;

use zlib_rs::{Deflate, DeflateConfig, DeflateFlush, Status, adler32::adler32, compress_bound, crc32::crc32};

/// A deflate state that is used again and again, and room for what it gives.
pub(crate) struct Deflater(Deflate, Vec<u8>);

impl fmt::Debug for Deflater {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("Deflater")
    }
}

impl Deflater {
    /// A state of a level from 1, the fastest, to 9. What it gives depends on nothing but the input.
    pub(crate) fn new(level: i32) -> Deflater {
        const RAW: bool = false;
        Deflater(Deflate::new(level, RAW, DeflateConfig::default().window_bits as u8), Vec::new())
    }

    /// Appends `input` as a raw deflate stream.
    fn raw(&mut self, input: &[u8], out: &mut Vec<u8>) {
        let Deflater(state, room) = self;
        let bound = compress_bound(input.len());
        room.resize(room.len().max(bound), 0);
        state.reset();
        let status = state.compress(input, room, DeflateFlush::Finish);
        assert!(matches!(status, Ok(Status::StreamEnd)), "the bound leaves room for every input: {status:?}");
        out.extend_from_slice(&room[..state.total_out() as usize]);
    }

    /// Appends `input` as a zlib stream (RFC 1950). What deflate would make longer is stored as it is.
    pub(crate) fn zlib(&mut self, input: &[u8], out: &mut Vec<u8>) {
        out.extend_from_slice(&[0x78, 0x01]);
        let from = out.len();
        self.raw(input, out);
        let stored = 5 * input.len().div_ceil(LONGEST_STORED) + input.len();
        if out.len() - from > stored && !input.is_empty() {
            out.truncate(from);
            store(input, out);
        }
        out.extend_from_slice(&adler32(1, input).to_be_bytes());
    }

    /// Appends `input`, [`BGZF_INPUT`] bytes at the most, as one block of BGZF (SAM specification, section 4.1).
    pub(crate) fn bgzf(&mut self, input: &[u8], out: &mut Vec<u8>) {
        assert!(input.len() <= BGZF_INPUT);
        let start = out.len();
        out.extend_from_slice(&[31, 139, 8, 4, 0, 0, 0, 0, 0, 255, 6, 0, b'B', b'C', 2, 0, 0, 0]);
        let from = out.len();
        self.raw(input, out);
        if out.len() - from > input.len() + 5 {
            out.truncate(from);
            store(input, out);
        }
        out.extend_from_slice(&crc32(0, input).to_le_bytes());
        out.extend_from_slice(&(input.len() as u32).to_le_bytes());
        let last = u16::try_from(out.len() - start - 1).expect("a block has 65,536 bytes at the most");
        out[start + 16..start + 18].copy_from_slice(&last.to_le_bytes());
    }
}

/// Bytes that fit into a block of BGZF whether they can be compressed or not.
pub(crate) const BGZF_INPUT: usize = 0xFF00;

/// The empty block that ends a BGZF file.
pub(crate) const BGZF_END: [u8; 28] =
    [31, 139, 8, 4, 0, 0, 0, 0, 0, 255, 6, 0, 66, 67, 2, 0, 27, 0, 3, 0, 0, 0, 0, 0, 0, 0, 0, 0];

/// Bytes of a stored block of deflate (RFC 1951, 3.2.4).
const LONGEST_STORED: usize = 0xFFFF;

fn store(input: &[u8], out: &mut Vec<u8>) {
    let blocks = input.len().div_ceil(LONGEST_STORED);
    for (i, block) in input.chunks(LONGEST_STORED).enumerate() {
        let length = block.len() as u16;
        out.push(u8::from(i + 1 == blocks));
        out.extend_from_slice(&length.to_le_bytes());
        out.extend_from_slice(&(!length).to_le_bytes());
        out.extend_from_slice(block);
    }
}

#[cfg(test)]
mod tests {
    use std::io::Read;

    use flate2::read::ZlibDecoder;
    use proptest::prelude::*;

    use super::*;

    fn inputs() -> impl Strategy<Value = Vec<u8>> {
        let noise = proptest::collection::vec(any::<u8>(), 0..70_000);
        let letters = proptest::collection::vec(0u8..4, 0..70_000);
        prop_oneof![noise, letters]
    }

    proptest! {
        #![proptest_config(ProptestConfig::with_cases(60))]

        #[test]
        fn what_is_compressed_is_read_back_and_depends_on_nothing_before(first in inputs(), second in inputs()) {
            let (mut used, mut fresh) = (Deflater::new(1), Deflater::new(1));
            let (mut out, mut again) = (Vec::new(), Vec::new());
            used.zlib(&first, &mut out);
            out.clear();
            used.zlib(&second, &mut out);
            fresh.zlib(&second, &mut again);
            prop_assert_eq!(&out, &again);
            prop_assert!(out.len() <= second.len() + 21);
            let mut read = Vec::new();
            ZlibDecoder::new(out.as_slice()).read_to_end(&mut read).unwrap();
            prop_assert_eq!(read, second);
        }

        #[test]
        fn bgzf_is_read_by_another_reader(input in inputs()) {
            let (mut deflater, mut out) = (Deflater::new(6), Vec::new());
            for block in input.chunks(BGZF_INPUT) {
                deflater.bgzf(block, &mut out);
            }
            out.extend_from_slice(&BGZF_END);
            let mut read = Vec::new();
            noodles::bgzf::io::Reader::new(out.as_slice()).read_to_end(&mut read).unwrap();
            prop_assert_eq!(read, input);
        }
    }
}
