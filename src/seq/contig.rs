//! Contigs, regions and strands.

use std::fmt;

/// One sequence of a genome.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Contig {
    /// 0-based rank in the input.
    pub id: usize,
    /// The first word of the FASTA header.
    pub name: String,
    /// Bases, where the source knows before reading (indexed files); `None` on a stream.
    pub length: Option<u64>,
}

/// A stretch of a contig, 0-based half-open.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord)]
pub struct Region {
    /// Contig name.
    pub contig: String,
    /// First base, 0-based.
    pub start: u64,
    /// One past the last base; `None` means the contig's end.
    pub end: Option<u64>,
}

/// A region as the user asks for it. A contig's name may itself look like `name:start-end`, so what is meant is
/// settled only once the contigs are known.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct RegionQuery {
    /// The user's text and its place, for messages.
    pub text: String,
    /// The contig that is meant if the whole text is a contig's name: preferred where there is one.
    pub whole: Option<String>,
    /// The text read as `contig:start-end`, or why it cannot be. `None` without a colon.
    pub interval: Option<Result<Region, String>>,
    /// Names that its contig has beside the one given, as a table of names says; the genome may have one of them.
    pub others: Vec<String>,
    /// True if it is left out, or clipped at its contig's end, where it does not fit the genome; otherwise it is refused.
    pub optional: bool,
}

impl RegionQuery {
    /// Reads `contig`, `contig:start-end`, `contig:start-`, `contig:start` (to the contig's end) or
    /// `contig:-end`: 1-based, both ends included, commas allowed in numbers, as samtools has it.
    ///
    /// ```
    /// use bindscan::seq::contig::{Region, RegionQuery};
    ///
    /// let query = RegionQuery::parse("chr1:1,001-2,000");
    /// let region = Region { contig: "chr1".into(), start: 1000, end: Some(2000) };
    /// assert_eq!(query.interval, Some(Ok(region)));
    /// ```
    pub fn parse(text: &str) -> RegionQuery {
        let interval = text.rsplit_once(':').and_then(|(contig, span)| parse_span(contig, span));
        let (text, whole) = (text.to_owned(), Some(text.to_owned()));
        RegionQuery { text, whole, interval, others: Vec::new(), optional: false }
    }
}

/// `None` if `span` is no pair of numbers, so that the colon can only be part of a name.
fn parse_span(contig: &str, span: &str) -> Option<Result<Region, String>> {
    let shaped = |c: char| c.is_ascii_digit() || c == ',';
    let (start, end) = span.split_once('-').unwrap_or((span, ""));
    if contig.is_empty() || span.is_empty() || span == "-" || !start.chars().chain(end.chars()).all(shaped) {
        return None;
    }
    let number = |digits: &str, default| match digits {
        "" => Ok(default),
        _ => digits.replace(',', "").parse().map_err(|_| format!("{digits} is not a valid position")),
    };
    let region = || -> Result<Region, String> {
        let (first, last): (u64, u64) = (number(start, 1)?, number(end, u64::MAX)?);
        if first == 0 {
            return Err("positions count from 1".to_owned());
        }
        if last < first {
            return Err("the end is before the start".to_owned());
        }
        let end = (!end.is_empty()).then_some(last);
        Ok(Region { contig: contig.to_owned(), start: first - 1, end })
    };
    Some(region())
}

/// The strand on which a model reads a window.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum Strand {
    /// As written in the reference.
    Forward,
    /// The reverse complement.
    Reverse,
}

impl Strand {
    /// `+` or `-`, as BED writes it.
    pub fn symbol(self) -> char {
        match self {
            Strand::Forward => '+',
            Strand::Reverse => '-',
        }
    }
}

impl fmt::Display for Strand {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}", self.symbol())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn interval(text: &str) -> Option<Result<Region, String>> {
        RegionQuery::parse(text).interval
    }

    #[test]
    fn regions_read_as_samtools_reads_them() {
        let region = |contig: &str, start, end| Some(Ok(Region { contig: contig.to_owned(), start, end }));
        let chr1 = |start, end| region("chr1", start, end);
        assert_eq!(interval("chr1"), None);
        assert_eq!(interval("chr1:1,000-2,000"), chr1(999, Some(2000)));
        assert_eq!(interval("chr1:1000-"), chr1(999, None));
        assert_eq!(interval("chr1:1000"), chr1(999, None));
        assert_eq!(interval("chr1:-1000"), chr1(0, Some(1000)));
        assert_eq!(interval("chr1:5-5"), chr1(4, Some(5)));
        assert_eq!(interval("HLA-A*01:02"), region("HLA-A*01", 1, None));
        assert_eq!(interval("HLA-A*01:02N"), None);
        assert_eq!(interval("chr1:"), None);
        assert_eq!(interval("chr1:-"), None);
        assert_eq!(interval(":1-2"), None);
    }

    #[test]
    fn impossible_intervals_are_explained() {
        for text in ["chr1:0-5", "chr1:6-5", "chr1:1-99999999999999999999", "chr1:,-5"] {
            assert!(matches!(interval(text), Some(Err(_))), "{text}");
        }
    }
}
