//! Memory-mapped files, read front to back with jumps.
//!
//! Pages that have been read are handed back to the system, so that scanning a genome does not make the process
//! look as large as the genome.

use std::fs::File;
use std::io::{self, BufRead, Read};

use memmap2::Mmap;

/// Pages are handed back in steps of this many bytes.
#[cfg(unix)]
const RELEASE_STEP: usize = 8 << 20;

/// A read-only file in memory, with a position.
#[derive(Debug)]
pub struct MappedFile {
    map: Mmap,
    position: usize,
    /// Everything from here to `position` may still be resident.
    #[cfg(unix)]
    released: usize,
}

impl MappedFile {
    /// Maps a regular, non-empty file.
    ///
    /// The file must not be shortened while it is mapped: the system answers a read past the new end with a
    /// signal. (So it is for every program that maps its input.)
    ///
    /// # Errors
    /// The system cannot map it, as is usual for pipes and devices.
    pub fn open(file: &File) -> io::Result<Self> {
        // SAFETY: the map is read-only and private to this value, and it is only ever read as bytes, for which any
        // content is valid. Another process that changes the file can change what is read, never memory that
        // this program owns.
        let map = unsafe { Mmap::map(file)? };
        #[cfg(unix)]
        // Advice only: a system that does not take it reads less far ahead.
        let _ = map.advise(memmap2::Advice::Sequential);
        Ok(MappedFile {
            map,
            position: 0,
            #[cfg(unix)]
            released: 0,
        })
    }

    /// The whole file.
    pub fn content(&self) -> &[u8] {
        &self.map
    }

    /// Offset of the next byte to be read.
    pub fn position(&self) -> usize {
        self.position
    }

    /// Moves to `offset`, at most the file's end.
    pub fn seek(&mut self, offset: usize) {
        self.release();
        self.position = offset.min(self.map.len());
        #[cfg(unix)]
        {
            self.released = self.position / RELEASE_STEP * RELEASE_STEP;
        }
    }

    /// Hands all pages back to the system, for a file that is read here and there.
    #[cfg(unix)]
    pub fn release_all(&self) {
        // SAFETY: as in `release`.
        let _ = unsafe { self.map.unchecked_advise(memmap2::UncheckedAdvice::DontNeed) };
    }

    /// Does nothing on this system.
    #[cfg(not(unix))]
    pub fn release_all(&self) {}

    /// Hands the pages read so far back to the system (it keeps them cached, as free memory).
    #[cfg(unix)]
    fn release(&mut self) {
        let done = self.position / RELEASE_STEP * RELEASE_STEP;
        if done > self.released {
            // SAFETY: the range lies in the map, which is file-backed and never written, so pages that are
            // dropped come back with the same content when they are read again.
            let _ = unsafe {
                self.map.unchecked_advise_range(
                    memmap2::UncheckedAdvice::DontNeed,
                    self.released,
                    done - self.released,
                )
            };
            self.released = done;
        }
    }

    #[cfg(not(unix))]
    fn release(&mut self) {}
}

/// Holds a thread that reads past the end of a shortened file in the signal handler, instead of ending the process. For a
/// program that handles `SIGBUS` in another thread, which can then say what happened and end the process.
///
/// # Errors
/// The system cannot handle the signal.
#[cfg(unix)]
pub fn park_after_fault() -> io::Result<()> {
    let park = || {
        loop {
            std::thread::sleep(std::time::Duration::from_secs(1));
        }
    };
    // SAFETY: the action does nothing but sleep, which a signal handler may do.
    unsafe { signal_hook::low_level::register(signal_hook::consts::SIGBUS, park)? };
    Ok(())
}

impl BufRead for MappedFile {
    fn fill_buf(&mut self) -> io::Result<&[u8]> {
        Ok(&self.map[self.position..])
    }

    fn consume(&mut self, amount: usize) {
        self.position = (self.position + amount).min(self.map.len());
        self.release();
    }
}

impl Read for MappedFile {
    fn read(&mut self, out: &mut [u8]) -> io::Result<usize> {
        let count = (&self.map[self.position..]).read(out)?;
        self.consume(count);
        Ok(count)
    }
}
