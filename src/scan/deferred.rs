//! Sites that wait for the end of a scan: what their q-values are is known only once every window has been seen.

use std::io::{self, BufReader, Read, Seek, Write};
use std::sync::Arc;

use tempfile::SpooledTempFile;

use crate::scores::Hit;
use crate::seq::contig::{Contig, Strand};
use crate::sites::core::{Core, Located};
use crate::{Error, Result};

/// Bytes that are held in memory; more go to a temporary file.
const IN_MEMORY: usize = 64 << 20;

/// The bit of a start that says that the site lies on the reverse strand.
const REVERSE: u64 = 1 << 63;

/// Bytes of a site without its codes.
const RECORD: usize = 36;

/// Sites in input order, 36 bytes each; with the codes of their windows where statistics need them.
pub(crate) struct Spool {
    file: SpooledTempFile,
    frames: Vec<Frame>,
}

/// Next record in the file.
struct Frame {
    contig: Arc<Contig>,
    bytes: u64,
    /// Bases scanned of the contig, once that is over.
    ended: Option<u64>,
}

/// Records read back from a spool.
pub(crate) enum Entry<'a> {
    /// A site, its step, and the codes of the bases that its score depends on if they were put in.
    Site(&'a Arc<Contig>, Located, u32, &'a [u8]),
    /// The end of a contig of which so many bases were scanned.
    End(&'a Arc<Contig>, u64),
}

/// Appends a site as a spool holds it. `step` is that of its null distribution, if it has one: what is read back need not look
/// it up again.
pub(crate) fn encode(site: &Located, step: Option<u32>, codes: &[u8], out: &mut Vec<u8>) {
    let Located { hit, core, spread } = site;
    let strand = if hit.strand == Strand::Reverse { REVERSE } else { 0 };
    out.extend_from_slice(&(hit.start | strand).to_le_bytes());
    out.extend_from_slice(&(hit.target as u32).to_le_bytes());
    out.extend_from_slice(&hit.score.to_le_bytes());
    for number in [core.start, core.end, core.summit] {
        out.extend_from_slice(&number.to_le_bytes());
    }
    out.extend_from_slice(&spread.to_le_bytes());
    out.extend_from_slice(&step.unwrap_or_default().to_le_bytes());
    out.extend_from_slice(codes);
}

fn decode(record: &[u8; RECORD]) -> (Located, u32) {
    let four = |at: usize| [record[at], record[at + 1], record[at + 2], record[at + 3]];
    let low = u64::from(u32::from_le_bytes(four(0)));
    let start = low | u64::from(u32::from_le_bytes(four(4))) << 32;
    let hit = Hit {
        start: start & !REVERSE,
        target: u32::from_le_bytes(four(8)) as usize,
        score: f32::from_le_bytes(four(12)),
        strand: if start & REVERSE != 0 { Strand::Reverse } else { Strand::Forward },
    };
    let [start, end, summit] = [16, 20, 24].map(|at| i32::from_le_bytes(four(at)));
    let spread = f32::from_le_bytes(four(28));
    (Located { hit, core: Core { start, end, summit }, spread }, u32::from_le_bytes(four(32)))
}

/// The sites that were [encoded](encode) one after the other, with their codes; `windows` as in [`Spool::replay`].
pub(crate) fn sites<'a>(
    mut bytes: &'a [u8],
    windows: &'a [usize],
) -> impl Iterator<Item = (Located, &'a [u8])> {
    std::iter::from_fn(move || {
        let (record, rest) = bytes.split_first_chunk()?;
        let (site, _) = decode(record);
        let (codes, rest) = rest.split_at_checked(*windows.get(site.hit.target)?)?;
        bytes = rest;
        Some((site, codes))
    })
}

/// True if bytes are nothing but sites with their codes; `windows` as in [`Spool::replay`].
pub(crate) fn are_sites(bytes: &[u8], windows: &[usize]) -> bool {
    sites(bytes, windows).map(|(_, codes)| RECORD + codes.len()).sum::<usize>() == bytes.len()
}

fn failed(action: &'static str) -> impl FnOnce(io::Error) -> Error {
    // Called for each site, so that nothing is looked up before there is an error.
    move |error| Error::io(std::env::temp_dir(), action)(error)
}

impl Spool {
    pub(crate) fn new() -> Spool {
        Spool { file: SpooledTempFile::new(IN_MEMORY), frames: Vec::new() }
    }

    /// Appends [encoded](encode) sites of a contig.
    pub(crate) fn append(&mut self, contig: &Arc<Contig>, sites: &[u8]) -> Result<()> {
        if sites.is_empty() {
            return Ok(());
        }
        self.file.write_all(sites).map_err(failed("cannot keep sites there until the end of the scan"))?;
        let bytes = sites.len() as u64;
        match self.frames.last_mut() {
            Some(frame) if frame.contig.id == contig.id && frame.ended.is_none() => frame.bytes += bytes,
            _ => self.frames.push(Frame { contig: Arc::clone(contig), bytes, ended: None }),
        }
        Ok(())
    }

    /// Notes that a contig is over.
    pub(crate) fn end_contig(&mut self, contig: &Arc<Contig>, bases: u64) {
        match self.frames.last_mut() {
            Some(frame) if frame.contig.id == contig.id && frame.ended.is_none() => frame.ended = Some(bases),
            _ => self.frames.push(Frame { contig: Arc::clone(contig), bytes: 0, ended: Some(bases) }),
        }
    }

    /// Gives everything back in order. `windows` has the bases of each target's window if codes were put in, and zeros if
    /// not.
    pub(crate) fn replay(
        mut self,
        windows: &[usize],
        mut each: impl FnMut(Entry<'_>) -> Result<()>,
    ) -> Result<()> {
        let unreadable = "cannot read back the sites that were kept there";
        self.file.rewind().map_err(failed(unreadable))?;
        let mut file = BufReader::with_capacity(1 << 20, self.file);
        let mut codes = Vec::new();
        for Frame { contig, bytes, ended } in &self.frames {
            let mut left = *bytes;
            while left > 0 {
                let mut record = [0; RECORD];
                file.read_exact(&mut record).map_err(failed(unreadable))?;
                let (site, step) = decode(&record);
                codes.resize(windows[site.hit.target], 0);
                file.read_exact(&mut codes).map_err(failed(unreadable))?;
                left -= (RECORD + codes.len()) as u64;
                each(Entry::Site(contig, site, step, &codes))?;
            }
            if let Some(bases) = ended {
                each(Entry::End(contig, *bases))?;
            }
        }
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_goes_in_comes_out_in_order() {
        let contig = |id| Arc::new(Contig { id, name: format!("c{id}"), length: None });
        let site = |start, target, strand| {
            let core = Core { start: target as i32 - 1, end: 3, summit: 70_000 };
            let hit = Hit { start, target, score: start as f32 / 3.0, strand };
            Located { hit, core, spread: start as f32 / 7.0 }
        };
        let sites = [
            (0, site(5, 0, Strand::Forward)),
            (0, site(1 << 40, 1, Strand::Reverse)),
            (2, site(0, 0, Strand::Reverse)),
        ];
        let windows = [3, 5];
        let mut spool = Spool::new();
        let mut buffer = Vec::new();
        for (id, site) in &sites {
            let hit = site.hit;
            buffer.clear();
            let step = Some(7 * hit.target as u32);
            encode(site, step, &vec![hit.target as u8; windows[hit.target]], &mut buffer);
            spool.append(&contig(*id), &buffer).unwrap();
            if *id == 0 && hit.target == 1 {
                spool.end_contig(&contig(0), 77);
                spool.end_contig(&contig(1), 1);
            }
        }
        let (mut found, mut ends) = (Vec::new(), Vec::new());
        spool
            .replay(&windows, |entry| {
                match entry {
                    Entry::Site(contig, site, step, codes) => {
                        assert_eq!(step, 7 * site.hit.target as u32);
                        assert_eq!(codes, vec![site.hit.target as u8; windows[site.hit.target]]);
                        found.push((contig.id, site));
                    }
                    Entry::End(contig, bases) => ends.push((contig.id, bases, found.len())),
                }
                Ok(())
            })
            .unwrap();
        let all = |sites: &[(usize, Located)]| -> Vec<_> {
            sites.iter().map(|(id, site)| (*id, site.hit, site.core, site.spread)).collect()
        };
        assert_eq!(all(&found), all(&sites));
        assert_eq!(ends, [(0, 77, 2), (1, 1, 2)]);
    }
}
