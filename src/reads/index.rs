//! The index beside a file of reads.

use std::fs;
use std::io::Read;
use std::ops::Range;
use std::path::{Path, PathBuf};

use flate2::read::MultiGzDecoder;
use noodles::core::Position;
use noodles::core::region::Interval;
use noodles::csi::BinningIndex;
use noodles::csi::binning_index::index::reference_sequence::bin::Chunk;
use noodles::{bam, csi};

use crate::{Error, Result};

/// The index of a file of reads: `x.bam.EXTENSION`, or else `x.EXTENSION`, with the first of `extensions` that there is.
///
/// # Errors
/// There is none, or it is older than the file.
pub(crate) fn path_beside(file: &Path, extensions: &[&str]) -> Result<PathBuf> {
    let longer = |extension: &&str| {
        let mut name = file.as_os_str().to_owned();
        name.push(format!(".{extension}"));
        PathBuf::from(name)
    };
    let places = extensions.iter().map(longer);
    let mut places = places.chain(extensions.iter().map(|extension| file.with_extension(extension)));
    let Some(path) = places.find(|path| path.exists()) else {
        let message = "regions need an index, and there is none beside it; make it with samtools index";
        return Err(Error::format(file, None, message));
    };
    let modified = |path: &Path| {
        let modified = fs::metadata(path).and_then(|metadata| metadata.modified());
        modified.map_err(Error::io(path, "cannot read"))
    };
    if modified(&path)? < modified(file)? {
        let message =
            "the index is older than the file; renew it with samtools index, or touch it if it is right";
        return Err(Error::format(&path, None, message));
    }
    Ok(path)
}

/// The most bits that CSI gives to the smallest bin, and the most levels of bins: 8 levels above 2^14 bases reach 2^38, and
/// what is looked up takes memory for all the bins of the levels.
const MOST_SHIFT: u32 = 32;
const MOST_DEPTH: u32 = 8;

/// The counts of an index, read without believing any: what is counted has to be there.
struct Counts<'a>(&'a [u8]);

impl Counts<'_> {
    fn number(&mut self) -> Option<u32> {
        let (number, rest) = self.0.split_first_chunk()?;
        self.0 = rest;
        Some(u32::from_le_bytes(*number))
    }

    /// Passes `count` times `size` bytes.
    fn pass(&mut self, count: u32, size: usize) -> Option<()> {
        self.0 = self.0.get((count as usize).checked_mul(size)?..)?;
        Some(())
    }

    /// A count of what takes `least` bytes each, at the least.
    fn count(&mut self, least: usize) -> Option<u32> {
        let count = self.number()?;
        (count as usize <= self.0.len() / least).then_some(count)
    }
}

/// True if all that a BAI index counts is there (SAM specification, section 5.2), so that it can be read with the memory that
/// it takes itself; `None` if not.
pub(crate) fn check_bai(content: &[u8]) -> Option<()> {
    let mut counts = Counts(content.strip_prefix(b"BAI\x01")?);
    for _ in 0..counts.count(8)? {
        for _ in 0..counts.count(8)? {
            counts.number()?;
            let chunks = counts.count(16)?;
            counts.pass(chunks, 16)?;
        }
        let intervals = counts.count(8)?;
        counts.pass(intervals, 8)?;
    }
    Some(())
}

/// The same of a CSI index that has been decompressed.
pub(crate) fn check_csi(content: &[u8]) -> Option<()> {
    let mut counts = Counts(content.strip_prefix(b"CSI\x01")?);
    let (shift, depth) = (counts.number()?, counts.number()?);
    if shift > MOST_SHIFT || depth > MOST_DEPTH {
        return None;
    }
    let extra = counts.count(1)?;
    counts.pass(extra, 1)?;
    for _ in 0..counts.count(4)? {
        for _ in 0..counts.count(16)? {
            counts.pass(3, 4)?;
            let chunks = counts.count(16)?;
            counts.pass(chunks, 16)?;
        }
    }
    Some(())
}

/// The text of gzip or BGZF.
pub(crate) fn decompressed(content: &[u8]) -> std::io::Result<Vec<u8>> {
    let mut plain = Vec::new();
    MultiGzDecoder::new(content).read_to_end(&mut plain)?;
    Ok(plain)
}

/// The index of a BAM file, and where it was found.
pub(crate) struct Index {
    path: PathBuf,
    index: Box<dyn BinningIndex + Send>,
}

impl Index {
    /// Reads the index of the file at `path`: `x.bam.csi`, `x.bam.bai`, `x.csi` or `x.bai`, the first there is.
    ///
    /// # Errors
    /// There is none, it cannot be read, or it is older than the file.
    pub(crate) fn beside(file: &Path) -> Result<Index> {
        let path = path_beside(file, &["csi", "bai"])?;
        let csi = path.extension().is_some_and(|extension| extension == "csi");
        let content = fs::read(&path).map_err(Error::io(&path, "cannot read the index"))?;
        let damaged = || Error::format(&path, None, "the index is damaged; renew it with samtools index");
        let index: std::io::Result<Box<dyn BinningIndex + Send>> = if csi {
            let plain = decompressed(&content).map_err(Error::io(&path, "cannot decompress the index"))?;
            check_csi(&plain).ok_or_else(damaged)?;
            csi::io::Reader::new(&content[..]).read_index().map(|index| Box::new(index) as _)
        } else {
            check_bai(&content).ok_or_else(damaged)?;
            bam::bai::io::Reader::new(&content[..]).read_index().map(|index| Box::new(index) as _)
        };
        let index = index.map_err(Error::io(&path, "cannot read the index"))?;
        Ok(Index { path, index })
    }

    /// Stretches of the file that hold the reads of a region (0-based half-open) of a contig.
    ///
    /// # Errors
    /// The index is damaged, or of another file.
    pub(crate) fn chunks(&self, contig: usize, region: &Range<u64>) -> Result<Vec<Chunk>> {
        if region.is_empty() {
            return Ok(Vec::new());
        }
        let position = |at: u64| usize::try_from(at).ok().and_then(Position::new);
        let interval = position(region.start + 1).zip(position(region.end));
        let interval = interval.map(|(first, last)| Interval::from(first..=last));
        let Some(interval) = interval else { return Ok(Vec::new()) };
        self.index.query(contig, interval).map_err(Error::io(&self.path, "cannot look up a region"))
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    /// Two contigs: one with a bin of two chunks and three intervals, one with nothing.
    fn bai() -> Vec<u8> {
        let numbers: [u32; 21] = [2, 1, 4681, 2, 0, 1, 0, 2, 0, 2, 0, 3, 3, 0, 1, 0, 1, 0, 1, 0, 0];
        let mut content = b"BAI\x01".to_vec();
        numbers.iter().for_each(|number| content.extend(number.to_le_bytes()));
        content
    }

    /// The same as CSI, without intervals.
    fn csi() -> Vec<u8> {
        let numbers: [u32; 16] = [14, 5, 0, 2, 1, 4681, 0, 1, 2, 0, 1, 0, 2, 0, 2, 0];
        let mut content = b"CSI\x01".to_vec();
        numbers.iter().for_each(|number| content.extend(number.to_le_bytes()));
        content.extend([0; 8]);
        content
    }

    #[test]
    fn whole_indices_are_sound_and_cut_ones_are_not() {
        assert_eq!(check_bai(&[bai(), vec![0; 4]].concat()), Some(()));
        assert_eq!(check_bai(&[bai(), vec![0; 12]].concat()), Some(()), "with reads that have no place");
        assert_eq!(check_csi(&csi()), Some(()));
        for end in 0..bai().len() {
            assert_eq!(check_bai(&bai()[..end]), None, "{end}");
        }
        let mut deep = csi();
        deep[8] = 9;
        assert_eq!(check_csi(&deep), None);
    }

    proptest! {
        /// A count that stands for more than there is, is found out, wherever it stands.
        #[test]
        fn no_count_is_believed(at in 1usize..21, count in 1_000u32..) {
            let mut content = [bai(), vec![0; 4]].concat();
            content[4 * at..4 * at + 4].copy_from_slice(&count.to_le_bytes());
            // Places and offsets may be anything.
            if [1, 2, 4, 13, 21].contains(&at) {
                prop_assert_eq!(check_bai(&content), None);
            }
        }
    }
}
