//! A line of VCF, as far as it has to be understood; everything else is passed on as it is.

use std::ops::Range;

use memchr::{memchr, memchr_iter};

use crate::seq::alphabet::{CODE_OF_ASCII, INVALID};

/// One record.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Call<'a> {
    pub(crate) contig: &'a [u8],
    /// 1-based; 0 is the telomere before the first base.
    pub(crate) position: u64,
    pub(crate) id: &'a [u8],
    pub(crate) reference: &'a [u8],
    /// Comma-separated.
    pub(crate) alternatives: &'a [u8],
    /// Position of INFO in the line.
    pub(crate) info: Range<usize>,
}

/// Kinds of alternative alleles.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Kind {
    /// A sequence.
    Bases,
    /// `.`: there is none.
    Missing,
    /// `*`: an upstream deletion spans the place.
    Spanned,
    /// `<DEL>` and so on, `<*>` and `<NON_REF>` among them.
    Symbolic,
    /// A breakend.
    Breakend,
}

/// Columns that every record has.
const COLUMNS: usize = 8;

impl<'a> Call<'a> {
    /// Reads a line without its end.
    ///
    /// # Errors
    /// The error in it.
    pub(crate) fn parse(line: &'a [u8]) -> Result<Call<'a>, String> {
        let mut ends = [0; COLUMNS];
        let mut tabs = memchr_iter(b'\t', line).chain([line.len()]);
        for (number, end) in ends.iter_mut().enumerate() {
            *end = tabs.next().ok_or_else(|| {
                format!(
                    "a record of VCF has {COLUMNS} columns or more, separated by tabs; this line has {number}"
                )
            })?;
        }
        let column = |number: usize| {
            let start = if number == 0 { 0 } else { ends[number - 1] + 1 };
            start..ends[number]
        };
        let text = |number| &line[column(number)];
        let digits = text(1);
        let position = std::str::from_utf8(digits).ok().filter(|digits| !digits.starts_with('+'));
        let position = position.and_then(|digits| digits.parse().ok());
        let position = position.ok_or_else(|| format!("POS {} is not a position", shown(digits)))?;
        let call = Call {
            contig: text(0),
            position,
            id: text(2),
            reference: text(3),
            alternatives: text(4),
            info: column(7),
        };
        if call.contig.is_empty() {
            return Err("CHROM is empty".into());
        }
        if call.reference.is_empty() || !is_sequence(call.reference) {
            return Err(format!("REF {} is not a sequence", shown(call.reference)));
        }
        Ok(call)
    }

    /// The alternative alleles.
    pub(crate) fn alleles(&self) -> impl Iterator<Item = &'a [u8]> {
        let mut rest = Some(self.alternatives);
        std::iter::from_fn(move || {
            let text = rest?;
            let comma = memchr(b',', text);
            rest = comma.map(|at| &text[at + 1..]);
            Some(&text[..comma.unwrap_or(text.len())])
        })
    }
}

impl Kind {
    /// Kind of `allele`.
    ///
    /// # Errors
    /// None of all that VCF knows.
    pub(crate) fn from_allele(allele: &[u8]) -> Result<Kind, String> {
        match allele {
            b"." => Ok(Kind::Missing),
            b"*" => Ok(Kind::Spanned),
            [b'<', .., b'>'] => Ok(Kind::Symbolic),
            [b'.', _, ..] | [_, .., b'.'] => Ok(Kind::Breakend),
            _ if allele.contains(&b'[') || allele.contains(&b']') => Ok(Kind::Breakend),
            [_, ..] if is_sequence(allele) => Ok(Kind::Bases),
            _ => Err(format!(
                "the ALT allele {} is neither a sequence nor anything that VCF knows",
                shown(allele)
            )),
        }
    }
}

fn is_sequence(letters: &[u8]) -> bool {
    letters.iter().all(|&letter| CODE_OF_ASCII[usize::from(letter)] != INVALID)
}

/// Letters of an allele or a name as a message shows them: the first of many.
pub(crate) fn shown(text: &[u8]) -> String {
    const MOST: usize = 30;
    let start = text[..text.len().min(MOST)].escape_ascii();
    if text.len() > MOST { format!("'{start}…'") } else { format!("'{start}'") }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn columns_are_found() {
        let line = b"chr1\t10\trs1\tAC\tA,<DEL>,*\t.\tPASS\tDP=3\tGT\t0/1";
        let call = Call::parse(line).unwrap();
        assert_eq!((call.contig, call.position, call.id), (&b"chr1"[..], 10, &b"rs1"[..]));
        assert_eq!(call.alleles().collect::<Vec<_>>(), [&b"A"[..], b"<DEL>", b"*"]);
        assert_eq!(&line[call.info.clone()], b"DP=3");
        let short = b"1\t1\t.\tN\tA\t.\t.\t.";
        assert_eq!(Call::parse(short).unwrap().info, 14..15);
        for (bad, why) in [
            (&b"1\t1\t.\tA\tC\t.\t."[..], "this line has 7"),
            (b"1\t-1\t.\tA\tC\t.\t.\t.", "POS '-1'"),
            (b"1\t+1\t.\tA\tC\t.\t.\t.", "POS '+1'"),
            (b"1\t1\t.\tA-\tC\t.\t.\t.", "REF 'A-'"),
            (b"\t1\t.\tA\tC\t.\t.\t.", "CHROM"),
        ] {
            let error = Call::parse(bad).unwrap_err();
            assert!(error.contains(why), "{error}");
        }
    }

    #[test]
    fn alleles_have_kinds() {
        for (allele, kind) in [
            ("A", Kind::Bases),
            ("acgtNRy", Kind::Bases),
            (".", Kind::Missing),
            ("*", Kind::Spanned),
            ("<*>", Kind::Symbolic),
            ("<INS:ME:ALU>", Kind::Symbolic),
            ("G]17:198982]", Kind::Breakend),
            ("[chr2:321681[A", Kind::Breakend),
            (".A", Kind::Breakend),
            ("A.", Kind::Breakend),
        ] {
            assert_eq!(Kind::from_allele(allele.as_bytes()), Ok(kind), "{allele}");
        }
        for wrong in ["", "A C", "-", "<", "A!"] {
            assert!(Kind::from_allele(wrong.as_bytes()).is_err(), "{wrong}");
        }
    }
}
