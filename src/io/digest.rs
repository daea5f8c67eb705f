//! Digests as they are written: hexadecimal digits, in lower case.

use std::fs::File;
use std::io::{Read, Seek, SeekFrom};
use std::path::Path;

use sha2::{Digest, Sha256};

use crate::{Error, Result};

/// Bytes of a block that is sampled, and how many blocks there are at the most. A file of no more bytes is read whole.
const BLOCK: u64 = 64 << 10;
const BLOCKS: u64 = 256;

/// Tells a regular file from others by its content: the SHA-256 of its length and of its bytes, of a large file those of
/// blocks that lie evenly in it, the first and the last among them.
///
/// # Errors
/// A file that cannot be read.
pub fn of_file(path: &Path) -> Result<String> {
    let failed = || Error::io(path, "cannot read");
    let mut file = File::open(path).map_err(failed())?;
    let length = file.metadata().map_err(failed())?.len();
    let mut digest = Sha256::new();
    digest.update(length.to_le_bytes());
    let mut bytes = Vec::new();
    for i in 0..BLOCKS {
        let (start, end) = if length <= BLOCK * BLOCKS {
            (i * BLOCK, length.min((i + 1) * BLOCK))
        } else {
            let start = (u128::from(length - BLOCK) * u128::from(i) / u128::from(BLOCKS - 1)) as u64;
            (start, start + BLOCK)
        };
        if start >= end {
            break;
        }
        bytes.clear();
        file.seek(SeekFrom::Start(start)).map_err(failed())?;
        file.by_ref().take(end - start).read_to_end(&mut bytes).map_err(failed())?;
        digest.update(&bytes);
    }
    Ok(hex(&digest.finalize()))
}

/// The SHA-256 of bytes.
pub fn of_bytes(bytes: &[u8]) -> String {
    hex(&Sha256::digest(bytes))
}

pub(crate) fn hex(digest: &[u8]) -> String {
    digest.iter().map(|byte| format!("{byte:02x}")).collect()
}

#[cfg(test)]
mod tests {
    use std::fs;

    use super::*;

    #[test]
    fn content_decides_and_not_the_name() {
        let directory = tempfile::tempdir().unwrap();
        let of = |name: &str, bytes: &[u8]| {
            fs::write(directory.path().join(name), bytes).unwrap();
            of_file(&directory.path().join(name)).unwrap()
        };
        let small: Vec<u8> = (0..200_000u32).map(|i| (i % 251) as u8).collect();
        let want = of("a", &small);
        assert_eq!(of("b", &small), want);
        for changed in [0, 70_000, 199_999] {
            let mut other = small.clone();
            other[changed] ^= 1;
            assert_ne!(of("a", &other), want, "{changed}");
        }
        assert_ne!(of("a", &small[..199_999]), want);
        let mut large = vec![7; (BLOCK * BLOCKS) as usize + 1_000_000];
        let want = of("a", &large);
        *large.last_mut().unwrap() = 8;
        assert_ne!(of("a", &large), want);
        assert!(of_file(&directory.path().join("none")).is_err());
    }
}
