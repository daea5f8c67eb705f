//! Containers of a CRAM file: what surrounds the records (CRAM specification, section 7).

use std::io::{self, Read};

/// The container with which every whole file of version 3 ends (section 9).
pub(crate) const END: [u8; 38] = [
    15, 0, 0, 0, 255, 255, 255, 255, 15, 224, 69, 79, 70, 0, 0, 0, 0, 1, 0, 5, 189, 217, 79, 0, 1, 0, 6, 6,
    1, 0, 1, 0, 1, 0, 238, 99, 1, 75,
];

/// Contig number of a container with reads of several contigs.
const SEVERAL: i32 = -2;

/// A container as it stands in the file.
pub(crate) struct Container {
    /// Its rank among those that were read, from 1.
    pub(crate) number: u64,
    /// Contig of all its reads, if there is one.
    pub(crate) contig: Option<usize>,
    /// True if it has reads of several contigs.
    pub(crate) of_several: bool,
    /// Places of its slices among the bytes behind the header.
    slices: Vec<usize>,
    /// Bytes behind the header.
    length: usize,
    /// All of it, its header included.
    pub(crate) bytes: Vec<u8>,
}

impl Container {
    /// Reads a container; `None` if it is the last, which holds nothing. What it says of itself is not checked.
    ///
    /// # Errors
    /// It cannot be read, or is cut short.
    pub(crate) fn read(input: &mut impl Read, number: u64) -> io::Result<Option<Container>> {
        let mut head = Head { input, bytes: Vec::new() };
        let length = u32::from_le_bytes(head.take()?);
        let contig = head.number(4)?;
        // Start, span, records, records before, bases, and blocks.
        for longest in [4, 4, 4, 8, 8, 4] {
            head.number(longest)?;
        }
        let count = head.number(4)?;
        let slices = (0..count).map(|_| Ok(head.number(4)? as usize)).collect::<io::Result<_>>()?;
        head.take::<4>()?;
        let Head { input, mut bytes } = head;
        let taken = input.take(u64::from(length)).read_to_end(&mut bytes)?;
        if taken < length as usize {
            return Err(io::ErrorKind::UnexpectedEof.into());
        }
        if bytes == END {
            return Ok(None);
        }
        let contig = contig as i32;
        let (contig, of_several) = (usize::try_from(contig).ok(), contig == SEVERAL);
        Ok(Some(Container { number, contig, of_several, slices, length: taken, bytes }))
    }

    /// True if its reads need their reference, as its compression header says (RR, section 8.4.1), or does not say.
    pub(crate) fn needs_reference(&self) -> bool {
        self.preserved_reference().unwrap_or(true)
    }

    /// RR of the preservation map; `None` if the map is compressed, or cannot be read.
    fn preserved_reference(&self) -> Option<bool> {
        let mut blocks = &self.bytes[self.bytes.len() - self.length..];
        let mut head = Head { input: &mut blocks, bytes: Vec::new() };
        let [method, _] = head.take().ok()?;
        if method != 0 {
            return None;
        }
        // The block's rank and its two sizes, and that of the map.
        for _ in 0..4 {
            head.number(4).ok()?;
        }
        for _ in 0..head.number(4).ok()? {
            let length = match &head.take().ok()? {
                b"RR" => return head.take().ok().map(|[needed]| needed != 0),
                b"RN" | b"AP" => 1,
                b"SM" => 5,
                b"TD" => head.number(4).ok()?,
                _ => return None,
            };
            for _ in 0..length {
                head.take::<1>().ok()?;
            }
        }
        None
    }

    /// The error in the offsets of its slices.
    pub(crate) fn fault(&self) -> Option<&'static str> {
        let sorted = self.slices.is_sorted() && self.slices.last().is_none_or(|&last| last <= self.length);
        (!sorted).then_some("its slices lie outside it")
    }
}

/// Reads the numbers of a header, and keeps their bytes.
struct Head<'a, R> {
    input: &'a mut R,
    bytes: Vec<u8>,
}

impl<R: Read> Head<'_, R> {
    fn take<const COUNT: usize>(&mut self) -> io::Result<[u8; COUNT]> {
        let mut bytes = [0; COUNT];
        self.input.read_exact(&mut bytes)?;
        self.bytes.extend_from_slice(&bytes);
        Ok(bytes)
    }

    /// A number of up to 4 bytes (ITF8) or 8 (LTF8) behind the first, whose leading bits tell how many (section 2.3).
    /// Of one that does not fit into 32 and 64 bits nobody asks.
    fn number(&mut self, longest: u32) -> io::Result<u64> {
        let [first] = self.take()?;
        let more = first.leading_ones().min(longest);
        // The fifth byte of ITF8 has four bits, and so has the first then.
        let shared = longest == 4 && more == 4;
        let mut number = u64::from(first) & if shared { 0x0f } else { 0xff >> (more + 1).min(8) };
        for rank in 1..=more {
            let [next] = self.take()?;
            let bits = if shared && rank == 4 { 4 } else { 8 };
            number = (number << bits) | (u64::from(next) & (0xff >> (8 - bits)));
        }
        Ok(number)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn number(bytes: &[u8], longest: u32) -> u64 {
        let mut input = bytes;
        let number = Head { input: &mut input, bytes: Vec::new() }.number(longest).unwrap();
        assert!(input.is_empty(), "{bytes:?}");
        number
    }

    #[test]
    fn numbers_are_those_of_the_specification() {
        for (bytes, value) in [
            (&[0][..], 0),
            (&[0x7f], 127),
            (&[0x80, 0x80], 128),
            (&[0xc0, 0x40, 0x00], 0x4000),
            (&[0xe0, 0x20, 0x00, 0x00], 0x20_0000),
            (&[0xf1, 0x00, 0x00, 0x00, 0x00], 0x1000_0000),
            // -1 and -2.
            (&[0xff, 0xff, 0xff, 0xff, 0x0f], 0xffff_ffff),
            (&[0xff, 0xff, 0xff, 0xff, 0x0e], 0xffff_fffe),
        ] {
            assert_eq!(number(bytes, 4), value, "{bytes:?}");
        }
        assert_eq!(number(&[0xf8, 1, 0, 0, 0, 0], 8), 1 << 32);
        assert_eq!(number(&[0xff, 0x80, 0, 0, 0, 0, 0, 0, 1], 8), (1 << 63) + 1);
    }

    #[test]
    fn the_end_is_an_end() {
        assert!(Container::read(&mut &END[..], 1).unwrap().is_none());
        for length in 0..END.len() {
            let cut = Container::read(&mut &END[..length], 1).err().map(|error| error.kind());
            assert_eq!(cut, Some(io::ErrorKind::UnexpectedEof));
        }
    }
}
