//! Bases as codes, codes as one-hot columns, and the reverse complement.
//!
//! A code is one byte: A 0, C 1, G 2, T (and U) 3, and 4 for N and every other IUPAC letter. As a model input a
//! base is a one-hot column over the channels A, C, G, T, and an N is 0.25 in each (Alipanahi et al. 2015,
//! supplementary notes, section 1).

/// The code of N: any base.
pub const N: u8 = 4;

/// Marks a byte that is no nucleotide letter in [`CODE_OF_ASCII`].
pub const INVALID: u8 = 255;

/// Code of every ASCII letter, upper or lower case: 0 to 3 for ACGT/U, 4 for the other IUPAC nucleotide
/// letters (gaps are not accepted), [`INVALID`] for everything else.
pub static CODE_OF_ASCII: [u8; 256] = code_table(false);

/// As [`CODE_OF_ASCII`], but lower-case (soft-masked) letters are read as N.
pub static CODE_OF_ASCII_MASKED: [u8; 256] = code_table(true);

const fn code_table(mask_lowercase: bool) -> [u8; 256] {
    let mut table = [INVALID; 256];
    let iupac = b"RYSWKMBDHVNX";
    let mut i = 0;
    while i < iupac.len() {
        table[iupac[i] as usize] = N;
        table[iupac[i].to_ascii_lowercase() as usize] = N;
        i += 1;
    }
    let bases = b"ACGTU";
    let codes = [0, 1, 2, 3, 3];
    let mut i = 0;
    while i < bases.len() {
        table[bases[i] as usize] = codes[i];
        table[bases[i].to_ascii_lowercase() as usize] = if mask_lowercase { N } else { codes[i] };
        i += 1;
    }
    table
}

/// Upper-case letter of a code (A, C, G, T, N).
pub fn ascii_of_code(code: u8) -> u8 {
    b"ACGTN"[usize::from(code.min(N))]
}

/// Complement of a code: A and T, C and G swap; N stays.
#[inline]
pub fn complement(code: u8) -> u8 {
    if code < N { 3 - code } else { N }
}

/// Codes of a string of letters, or the position (0-based) and byte of the first that is no nucleotide.
pub fn encode(letters: &[u8]) -> Result<Vec<u8>, (usize, u8)> {
    letters
        .iter()
        .enumerate()
        .map(|(i, &letter)| match CODE_OF_ASCII[usize::from(letter)] {
            INVALID => Err((i, letter)),
            code => Ok(code),
        })
        .collect()
}

/// True if a letter may stand for the base with this code; N may stand for all, and all for N.
pub fn may_be(letter: u8, code: u8) -> bool {
    let bases: &[u8] = match letter & !LOWERCASE_BIT {
        b'A' => b"A",
        b'C' => b"C",
        b'G' => b"G",
        b'T' | b'U' => b"T",
        b'R' => b"AG",
        b'Y' => b"CT",
        b'S' => b"CG",
        b'W' => b"AT",
        b'K' => b"GT",
        b'M' => b"AC",
        b'B' => b"CGT",
        b'D' => b"AGT",
        b'H' => b"ACT",
        b'V' => b"ACG",
        _ => return CODE_OF_ASCII[usize::from(letter)] == N,
    };
    code == N || bases.contains(&ascii_of_code(code))
}

/// Number of letters that stand for two or three bases: they are read as N.
pub fn count_ambiguous(letters: &[u8]) -> u64 {
    let ambiguous =
        |&&letter: &&u8| letter & !LOWERCASE_BIT != b'N' && CODE_OF_ASCII[usize::from(letter)] == N;
    letters.iter().filter(ambiguous).count() as u64
}

/// A sentence about letters that were read as N; `None` if there are none.
pub fn ambiguous_note(count: u64) -> Option<String> {
    let subject = if count == 1 { "1 letter that stands" } else { &format!("{count} letters that stand") };
    (count > 0).then(|| format!("{subject} for several bases (as R and Y do) read as N"))
}

/// Bytes that [`encode_in_place`] checks and translates at a time: few enough to stay in the first-level cache.
const ENCODE_BLOCK: usize = 2048;

/// Turns letters into codes where they stand; lower case is read as N if `mask_lowercase`.
///
/// Blocks of A, C, G, T, U and N, by far the most, take a path without look-ups that compiles to vector code.
///
/// # Errors
/// The position (0-based) and byte of the first letter that is no nucleotide; the rest is then unspecified.
pub fn encode_in_place(letters: &mut [u8], mask_lowercase: bool) -> Result<(), (usize, u8)> {
    let table = if mask_lowercase { &CODE_OF_ASCII_MASKED } else { &CODE_OF_ASCII };
    for (number, block) in letters.chunks_mut(ENCODE_BLOCK).enumerate() {
        let common = block.iter().fold(true, |all, &letter| all & is_common(letter));
        if common {
            let masked = if mask_lowercase { LOWERCASE_BIT } else { 0 };
            block.iter_mut().for_each(|letter| *letter = encode_common(*letter, masked));
            continue;
        }
        for (i, letter) in block.iter_mut().enumerate() {
            match table[usize::from(*letter)] {
                INVALID => return Err((number * ENCODE_BLOCK + i, *letter)),
                code => *letter = code,
            }
        }
    }
    Ok(())
}

/// The bit that tells a lower-case ASCII letter from its upper case.
const LOWERCASE_BIT: u8 = 0x20;

#[inline(always)]
fn is_common(letter: u8) -> bool {
    let upper = letter & !LOWERCASE_BIT;
    (upper == b'A') | (upper == b'C') | (upper == b'G') | (upper == b'T') | (upper == b'U') | (upper == b'N')
}

/// Code of a letter that [`is_common`]; N if it has a bit of `masked`.
#[inline(always)]
fn encode_common(letter: u8, masked: u8) -> u8 {
    let upper = letter & !LOWERCASE_BIT;
    // Each comparison takes from N what its letter lies below it: no branch, no look-up.
    let below = (u8::from(upper == b'A') * 4)
        | (u8::from(upper == b'C') * 3)
        | (u8::from(upper == b'G') * 2)
        | u8::from((upper == b'T') | (upper == b'U'));
    if letter & masked != 0 { N } else { N - below }
}

/// Turns codes into their reverse complement.
pub fn reverse_complement(codes: &mut [u8]) {
    codes.reverse();
    codes.iter_mut().for_each(|code| *code = complement(*code));
}

/// Appends the reverse complement of `codes` to `out`.
pub fn reverse_complement_into(codes: &[u8], out: &mut Vec<u8>) {
    out.extend(codes.iter().rev().map(|&code| complement(code)));
}

/// Writes codes as one-hot columns into `out`, channel-major: `out[channel * codes.len() + position]`, shape
/// `[4, L]`. An N is 0.25 in each channel.
///
/// # Panics
/// If `out.len() != 4 * codes.len()`.
pub fn one_hot(codes: &[u8], out: &mut [f32]) {
    assert_eq!(out.len(), 4 * codes.len());
    for (channel, row) in out.chunks_exact_mut(codes.len().max(1)).enumerate() {
        for (x, &code) in row.iter_mut().zip(codes) {
            *x = ONE_HOT[usize::from(code.min(N))][channel];
        }
    }
}

/// One-hot column of each code, channels A, C, G, T.
pub const ONE_HOT: [[f32; 4]; 5] =
    [[1., 0., 0., 0.], [0., 1., 0., 0.], [0., 0., 1., 0.], [0., 0., 0., 1.], [0.25, 0.25, 0.25, 0.25]];

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    /// Every byte, alone and among common letters, at the edges of blocks.
    #[test]
    fn in_place_is_the_table() {
        for (mask, table) in [(false, &CODE_OF_ASCII), (true, &CODE_OF_ASCII_MASKED)] {
            for byte in 0..=255u8 {
                for at in [0, 1, ENCODE_BLOCK - 1, ENCODE_BLOCK, 2 * ENCODE_BLOCK + 5] {
                    let mut letters = b"ACGTNUacgtnu".repeat(400);
                    letters[at] = byte;
                    let codes: Vec<u8> = letters.iter().map(|&b| table[usize::from(b)]).collect();
                    let expected = if codes[at] == INVALID { Err((at, byte)) } else { Ok(codes) };
                    assert_eq!(encode_in_place(&mut letters, mask).map(|()| letters), expected);
                }
            }
        }
    }

    proptest! {
        #[test]
        fn in_place_is_encode(letters in "[ACGTUNRYacgtunry.]{0,5000}") {
            let mut codes = letters.clone().into_bytes();
            let expected = encode(letters.as_bytes());
            prop_assert_eq!(encode_in_place(&mut codes, false).map(|()| codes), expected);
        }
    }
}
