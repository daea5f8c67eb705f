//! The index beside compressed calls: where in the file the records of some regions are.

use std::collections::HashMap;
use std::fs::{self, File};
use std::io::{self, BufRead, Read};
use std::ops::Range;
use std::path::{Path, PathBuf};
use std::vec::IntoIter;

use flate2::read::MultiGzDecoder;
use noodles::bgzf;
use noodles::bgzf::VirtualPosition;

use crate::{Error, Result};

/// Virtual positions of a BGZF file, half-open.
type Stretch = Range<u64>;

/// A .tbi or .csi (tabix and CSI specifications).
pub(crate) struct Index {
    min_shift: u32,
    depth: u32,
    /// Names of the contigs; none where the file itself has them.
    pub(crate) names: Vec<Vec<u8>>,
    contigs: Vec<ContigIndex>,
}

#[derive(Default)]
struct ContigIndex {
    bins: HashMap<u32, Vec<Stretch>>,
    /// Where the first record that overlaps each stretch of the smallest bin's length starts, of a .tbi.
    linear: Vec<u64>,
}

/// Bytes of an index. No number in it is believed before the bytes that it counts are there.
struct Bytes<'a>(&'a [u8]);

impl<'a> Bytes<'a> {
    fn take(&mut self, count: usize) -> Option<&'a [u8]> {
        let (taken, rest) = self.0.split_at_checked(count)?;
        self.0 = rest;
        Some(taken)
    }

    fn u32(&mut self) -> Option<u32> {
        let (taken, rest) = self.0.split_first_chunk()?;
        self.0 = rest;
        Some(u32::from_le_bytes(*taken))
    }

    fn u64(&mut self) -> Option<u64> {
        let (taken, rest) = self.0.split_first_chunk()?;
        self.0 = rest;
        Some(u64::from_le_bytes(*taken))
    }
}

impl Index {
    /// Reads the index beside a file; `None` without one that can be used, for a reason that is logged.
    pub(crate) fn beside(file: &Path, extensions: &[&str]) -> Option<Index> {
        let place = |extension: &&str| {
            let mut name = file.as_os_str().to_owned();
            name.push(format!(".{extension}"));
            PathBuf::from(name)
        };
        let Some(path) = extensions.iter().map(place).find(|path| path.exists()) else {
            log::info!("{}: has no index beside it; all of it is read", file.display());
            return None;
        };
        let modified = |path: &Path| fs::metadata(path).and_then(|metadata| metadata.modified()).ok();
        let ignored = |why: &str| {
            log::warn!("{}: {why}, and is not used; all of {} is read", path.display(), file.display());
            None
        };
        if modified(&path) < modified(file) {
            return ignored("is older than the file");
        }
        let mut bytes = Vec::new();
        let read = File::open(&path).and_then(|file| MultiGzDecoder::new(file).read_to_end(&mut bytes));
        if let Err(error) = read {
            return ignored(&format!("cannot be read ({error})"));
        }
        match Index::parse(&mut Bytes(&bytes)) {
            Some(index) => Some(index),
            None => ignored("is damaged, or no index of calls"),
        }
    }

    fn parse(bytes: &mut Bytes<'_>) -> Option<Index> {
        let mut index = Index { min_shift: 14, depth: 5, names: Vec::new(), contigs: Vec::new() };
        let csi = match bytes.take(4)? {
            b"TBI\x01" => false,
            b"CSI\x01" => true,
            _ => return None,
        };
        let contigs = if csi {
            index.min_shift = bytes.u32().filter(|&shift| shift < 32)?;
            index.depth = bytes.u32().filter(|&depth| depth <= 10)?;
            let length = bytes.u32()?;
            let mut header = Bytes(bytes.take(length as usize)?);
            if header.take(6 * 4).is_some() {
                index.names = names(&mut header)?;
            }
            bytes.u32()?
        } else {
            let contigs = bytes.u32()?;
            bytes.take(6 * 4)?;
            index.names = names(bytes)?;
            contigs
        };
        for _ in 0..contigs {
            index.contigs.push(ContigIndex::parse(bytes, csi)?);
        }
        Some(index)
    }

    /// Where records lie that overlap `regions` of a contig; they are among those of these stretches.
    pub(crate) fn stretches(&self, contig: usize, regions: &[Range<u64>], out: &mut Vec<Stretch>) {
        let Some(ContigIndex { bins, linear }) = self.contigs.get(contig) else { return };
        for (&bin, stretches) in bins {
            let Some(covered) = self.covered(bin) else { continue };
            for region in
                regions.iter().filter(|region| region.start < covered.end && covered.start < region.end)
            {
                let window = usize::try_from(region.start >> self.min_shift).unwrap_or(usize::MAX);
                let least = linear.get(window).copied().unwrap_or(0);
                out.extend(stretches.iter().filter(|stretch| stretch.end > least).cloned());
            }
        }
    }

    /// The positions of a bin; `None` of one that holds counts.
    fn covered(&self, bin: u32) -> Option<Range<u64>> {
        let mut first = 0;
        for level in 0..=self.depth {
            let bins = 1u64 << (3 * level);
            let rank = u64::from(bin) - first;
            if rank < bins {
                let shift = self.min_shift + 3 * (self.depth - level);
                return Some(rank << shift..(rank + 1) << shift);
            }
            first += bins;
        }
        None
    }
}

/// The names of an index, each with a zero behind it.
fn names(bytes: &mut Bytes<'_>) -> Option<Vec<Vec<u8>>> {
    let length = bytes.u32()?;
    let text = bytes.take(length as usize)?;
    let text = text.strip_suffix(&[0]).unwrap_or(text);
    Some(text.split(|&byte| byte == 0).map(<[u8]>::to_vec).collect())
}

impl ContigIndex {
    fn parse(bytes: &mut Bytes<'_>, csi: bool) -> Option<ContigIndex> {
        let mut contig = ContigIndex::default();
        for _ in 0..bytes.u32()? {
            let bin = bytes.u32()?;
            if csi {
                bytes.u64()?;
            }
            let mut stretches = Vec::new();
            for _ in 0..bytes.u32()? {
                stretches.push(bytes.u64()?..bytes.u64()?);
            }
            contig.bins.insert(bin, stretches);
        }
        if !csi {
            for _ in 0..bytes.u32()? {
                contig.linear.push(bytes.u64()?);
            }
        }
        Some(contig)
    }
}

/// Text of some stretches of a BGZF file.
pub(crate) struct Stretches {
    reader: bgzf::io::Reader<File>,
    left: IntoIter<Stretch>,
    end: u64,
    /// Compressed bytes of the stretches that are done, and of all.
    done: u64,
    total: u64,
}

impl Stretches {
    /// The text of `stretches`, in the order of the file; none of it twice.
    pub(crate) fn open(path: &Path, mut stretches: Vec<Stretch>) -> Result<Stretches> {
        let file = File::open(path).map_err(Error::io(path, "cannot open"))?;
        stretches.sort_unstable_by_key(|stretch| (stretch.start, stretch.end));
        stretches.dedup_by(|next, last| {
            let joined = next.start <= last.end;
            if joined {
                last.end = last.end.max(next.end);
            }
            joined
        });
        let total = stretches.iter().map(compressed).sum();
        let left = stretches.into_iter();
        Ok(Stretches { reader: bgzf::io::Reader::new(file), left, end: 0, done: 0, total })
    }

    /// Goes to the next record's place; `false` after the last.
    pub(crate) fn go_on(&mut self) -> io::Result<bool> {
        // What is at the end of a block is at the start of the next one.
        while self.reader.fill_buf()?.is_empty() || u64::from(self.reader.virtual_position()) >= self.end {
            let Some(next) = self.left.next() else { return Ok(false) };
            self.reader.seek(VirtualPosition::from(next.start))?;
            self.done += compressed(&next);
            self.end = next.end;
        }
        Ok(true)
    }

    /// Bytes read, and in all.
    pub(crate) fn progress(&self) -> (u64, Option<u64>) {
        (self.done, Some(self.total))
    }
}

fn compressed(stretch: &Stretch) -> u64 {
    (stretch.end >> 16).saturating_sub(stretch.start >> 16)
}

impl Read for Stretches {
    fn read(&mut self, out: &mut [u8]) -> io::Result<usize> {
        self.reader.read(out)
    }
}

impl BufRead for Stretches {
    fn fill_buf(&mut self) -> io::Result<&[u8]> {
        self.reader.fill_buf()
    }

    fn consume(&mut self, amount: usize) {
        self.reader.consume(amount);
    }
}
