//! Sites: as lines of BED, TSV, narrowPeak or GFF3, or as bigBed.

use std::io::Write;
use std::ops::Range;
use std::sync::Arc;

use serde::{Deserialize, Serialize};

use super::IN_MEMORY;
use super::bigbed::BigBedSink;
use super::record::{self, RecordSink};
use crate::Result;
use crate::io::line::LineSink;
use crate::io::number::{push_fixed, push_integer, push_score};
use crate::io::output::Sealed;
use crate::io::tabix::Layout;
use crate::null::distribution::{Null, Origin};
use crate::scores::Hit;
use crate::seq::alphabet::{ascii_of_code, complement};
use crate::seq::contig::Contig;
use crate::sites::core::{Core, CoreSource, Located};
use crate::track::Span;
use crate::track::Target;
use crate::track::provenance::Provenance;

/// A format of sites.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum SiteFormat {
    /// BED6 and more: contig, start (0-based), end, name, score 0-1000, strand, raw score.
    Bed,
    /// A line of column names; contig, start (0-based), end, name, strand, raw score.
    Tsv,
    /// ENCODE's narrowPeak, BED6+4: the raw score is the signal, the summit the peak.
    NarrowPeak,
    /// GFF3: 1-based, both ends included.
    Gff3,
    /// bigBed, with the columns of [`SiteFormat::Bed`].
    BigBed,
    /// The table of MEME's FIMO ([`super::fimo`]).
    Fimo,
    /// HOMER's position file ([`super::homer`]).
    Homer,
    /// Records in memory ([`super::record`]).
    #[serde(skip)]
    Records,
}

impl SiteFormat {
    /// Columns of a line that give the place of the site.
    pub fn layout(self) -> Layout {
        match self {
            SiteFormat::Bed
            | SiteFormat::Tsv
            | SiteFormat::NarrowPeak
            | SiteFormat::BigBed
            | SiteFormat::Records => Layout::Bed,
            SiteFormat::Gff3 => Layout::Gff,
            SiteFormat::Fimo => Layout::Fimo,
            SiteFormat::Homer => Layout::Homer,
        }
    }

    /// True if a line shows the bases of its site.
    pub fn shows_sequence(self) -> bool {
        matches!(self, SiteFormat::Fimo | SiteFormat::Homer)
    }

    /// True if a line of column names, which is no comment, stands before the sites.
    pub fn has_column_names(self) -> bool {
        matches!(self, SiteFormat::Tsv | SiteFormat::Fimo)
    }
}

/// A site, and all that is said about it.
#[derive(Debug, Clone, Copy)]
pub struct Site<'a> {
    /// Its position.
    pub contig: &'a Contig,
    /// Its target.
    pub target: &'a Target,
    /// Start, strand and score.
    pub hit: &'a Hit,
    /// Where in its window the score comes from.
    pub core: Core,
    /// Standard deviation of the scores of an ensemble's members, or NaN.
    pub spread: f32,
    /// The bases that it spans, on the forward strand, as codes; none where no format [shows](SiteFormat::shows_sequence)
    /// them.
    pub codes: &'a [u8],
    /// P-value of the score, where it is known.
    pub significance: Option<Significance>,
}

impl Site<'_> {
    /// The bases that it spans in the track.
    pub fn span(&self) -> Range<u64> {
        self.target.span_of(&Located { hit: *self.hit, core: self.core, spread: self.spread })
    }

    /// The base at the centre of its core.
    pub fn summit(&self) -> u64 {
        let summit = self.core.summit_in(self.hit.start);
        match self.target.span {
            Span::Core => summit,
            // A core may lie beside the window.
            Span::Window => summit.clamp(self.hit.start, self.hit.start + self.target.window - 1),
        }
    }

    /// `+`, `-`, or `.` where strands make no difference.
    pub(super) fn strand(&self) -> u8 {
        if self.target.symmetric { b'.' } else { self.hit.strand.symbol() as u8 }
    }

    /// Appends the bases on the strand of the site, as letters.
    pub(super) fn push_sequence(&self, out: &mut Vec<u8>) {
        if self.strand() == b'-' {
            out.extend(self.codes.iter().rev().map(|&code| ascii_of_code(complement(code))));
        } else {
            out.extend(self.codes.iter().map(|&code| ascii_of_code(code)));
        }
    }

    /// BED's score, 0 to 1000.
    pub(super) fn shade(&self) -> u16 {
        let Hit { score, strand, .. } = *self.hit;
        let stored = || self.target.shades.as_ref().map(|null| null.p(score, strand));
        match self.significance.map(|known| known.p).or_else(stored) {
            Some(p) => bed_score_of(p),
            None => self.target.scale.bed_score(score),
        }
    }
}

/// P-value of a score, and its source.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct Significance {
    /// Probability of such a score or a higher one in background sequence.
    pub p: f64,
    /// Lowest false discovery rate at which the site is reported; `None` before all windows are seen.
    pub q: Option<QValue>,
    /// Source of the p-value.
    pub origin: Origin,
}

impl Significance {
    /// That of a [step](Null::step) of a null distribution.
    pub fn new(null: &Null, step: usize, q: Option<QValue>) -> Significance {
        Significance { p: null.p_of(step), q, origin: null.origin(step) }
    }
}

/// A q-value, or what it depends on.
#[derive(Debug, Clone, Copy, PartialEq)]
pub enum QValue {
    /// It is this.
    Known(f64),
    /// It depends on other shards: the target's rank and the step of its null distribution, for [`crate::merge`].
    Later(usize, usize),
}

/// Mark before the rank and the step, in place of a q-value.
pub(crate) const LATER: u8 = b'@';

impl QValue {
    /// Appends it as lines of the format have it.
    pub(crate) fn put(self, format: SiteFormat, out: &mut Vec<u8>) {
        match (self, format) {
            (QValue::Later(target, step), _) => {
                write!(out, "{}{target}.{step}", char::from(LATER)).expect(IN_MEMORY);
            }
            (QValue::Known(q), SiteFormat::NarrowPeak) => push_log(q, out),
            (QValue::Known(q), _) => write!(out, "{q:.4e}").expect(IN_MEMORY),
        }
    }
}

/// The BED score, 0 to 1000, of a p-value: -100 log10 p, as in the JASPAR tracks.
fn bed_score_of(p: f64) -> u16 {
    // A p-value of 0 gives 1000.
    (-100.0 * p.log10()).round().clamp(0.0, 1000.0) as u16
}

/// Writes sites as lines of one format.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct SiteLines {
    /// The format.
    pub format: SiteFormat,
    /// Rank of the only target whose sites are written; `None` for all.
    pub target: Option<usize>,
    /// Columns past those that every site has.
    pub columns: Columns,
}

/// Columns of significance, with one after them that says how the p-value is known (`exact`, `sampled`, `extrapolated`).
/// Formats with a place of their own for it fill that in any case.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct Columns {
    /// A column of p-values.
    pub p: bool,
    /// A column of q-values.
    pub q: bool,
    /// Columns that say which read a site is in, and where ([`super::read`]).
    pub read: bool,
    /// Columns of TSV with the motif's name, the summit, the window and the sequence of a site; attributes of GFF3 with
    /// summit and window.
    pub summit: bool,
    /// A column of TSV with the standard deviation of the scores of an ensemble's members.
    pub spread: bool,
}

impl Columns {
    fn any(self) -> bool {
        self.p || self.q
    }
}

impl SiteLines {
    /// True if a line shows the bases of its site.
    pub(crate) fn shows_sequence(&self) -> bool {
        self.format.shows_sequence() || (self.format == SiteFormat::Tsv && self.columns.summit)
    }

    /// True if a line shows how far the members of an ensemble lie apart.
    pub(crate) fn shows_spread(&self) -> bool {
        self.format == SiteFormat::Tsv && self.columns.spread
    }

    /// Header before the first site: the column names of TSV, the first line of GFF3, and the comments of
    /// `provenance` (GFF3 always has them, the others where they are `wanted`).
    pub fn header(&self, provenance: &Provenance, wanted: bool) -> String {
        let comments = if wanted { provenance.comments() } else { String::new() };
        match self.format {
            SiteFormat::Records => String::new(),
            SiteFormat::Bed | SiteFormat::NarrowPeak | SiteFormat::BigBed | SiteFormat::Homer => comments,
            SiteFormat::Fimo => comments + super::fimo::COLUMNS,
            SiteFormat::Gff3 => format!("##gff-version 3\n{}", provenance.comments()),
            SiteFormat::Tsv => {
                let Columns { p, q, .. } = self.columns;
                let (p, q) = (if p { "\tp_value" } else { "" }, if q { "\tq_value" } else { "" });
                let source = if self.columns.any() { "\tp_source" } else { "" };
                let spread = if self.columns.spread { "\tscore_sd" } else { "" };
                let summit = if self.columns.summit {
                    "\tmotif\tsummit\twindow_start\twindow_end\tsequence"
                } else {
                    ""
                };
                let read = if self.columns.read { super::read::TSV_COLUMNS } else { "" };
                format!(
                    "{comments}contig\tstart\tend\tname\tstrand\tscore{p}{q}{source}{spread}{summit}{read}\n"
                )
            }
        }
    }

    /// Appends the line of a site.
    pub fn write(&self, site: &Site<'_>, out: &mut Vec<u8>) {
        match self.format {
            SiteFormat::Bed | SiteFormat::BigBed => self.bed(site, out),
            SiteFormat::Tsv => self.tsv(site, out),
            SiteFormat::NarrowPeak => narrow_peak(site, out),
            SiteFormat::Gff3 => self.gff3(site, out),
            SiteFormat::Records => return record::encode(site, out),
            SiteFormat::Fimo => super::fimo::write(site, out),
            SiteFormat::Homer => super::homer::write(site, out),
        }
        out.push(b'\n');
    }

    fn bed(&self, site: &Site<'_>, out: &mut Vec<u8>) {
        bed6(site, out);
        out.push(b'\t');
        push_score(site.hit.score, out);
        self.significance_columns(site, out);
    }

    fn tsv(&self, site: &Site<'_>, out: &mut Vec<u8>) {
        place_and_name(site, out);
        out.push(b'\t');
        out.push(site.strand());
        out.push(b'\t');
        push_score(site.hit.score, out);
        self.significance_columns(site, out);
        if self.columns.spread {
            out.push(b'\t');
            match site.spread.is_nan() {
                true => out.extend_from_slice(b"NA"),
                false => push_score(site.spread, out),
            }
        }
        if self.columns.summit {
            let start = site.hit.start;
            out.push(b'\t');
            out.extend_from_slice(site.target.alias.as_bytes());
            for position in [site.summit(), start, start + site.target.window] {
                out.push(b'\t');
                push_integer(position, out);
            }
            out.push(b'\t');
            site.push_sequence(out);
        }
    }

    pub(super) fn significance_columns(&self, site: &Site<'_>, out: &mut Vec<u8>) {
        let known = site.significance;
        let (p, q) = (known.map(|known| QValue::Known(known.p)), known.and_then(|known| known.q));
        for (_, value) in [(self.columns.p, p), (self.columns.q, q)].into_iter().filter(|(wanted, _)| *wanted)
        {
            out.push(b'\t');
            match value {
                Some(value) => value.put(self.format, out),
                None => out.extend_from_slice(b"NA"),
            }
        }
        if self.columns.any() {
            match known {
                Some(known) => write!(out, "\t{}", known.origin).expect(IN_MEMORY),
                None => out.extend_from_slice(b"\tNA"),
            }
        }
    }

    /// The type is of the Sequence Ontology (SO:0000410).
    fn gff3(&self, site: &Site<'_>, out: &mut Vec<u8>) {
        let Site { contig, target, hit, significance, .. } = site;
        let span = site.span();
        push_escaped(&contig.name, |c| c.is_ascii_alphanumeric() || b".:^*$@!+_?-|".contains(&c), out);
        out.extend_from_slice(b"\tbindscan\tprotein_binding_site\t");
        push_integer(span.start + 1, out);
        out.push(b'\t');
        push_integer(span.end, out);
        out.push(b'\t');
        push_score(hit.score, out);
        out.push(b'\t');
        out.push(site.strand());
        out.extend_from_slice(b"\t.\tName=");
        let plain = |c: u8| !c.is_ascii_control() && !b";=&,%".contains(&c);
        push_escaped(&target.name, plain, out);
        if !target.alias.is_empty() {
            out.extend_from_slice(b";Alias=");
            push_escaped(&target.alias, plain, out);
        }
        if let (true, Some(known)) = (self.columns.p, significance) {
            write!(out, ";p_value={:.4e}", known.p).expect(IN_MEMORY);
        }
        if let (true, Some(q)) = (self.columns.q, significance.and_then(|known| known.q)) {
            out.extend_from_slice(b";q_value=");
            q.put(self.format, out);
        }
        if let (true, Some(known)) = (self.columns.any(), significance) {
            write!(out, ";p_source={}", known.origin).expect(IN_MEMORY);
        }
        if self.columns.summit && !matches!(target.cores, CoreSource::Window) {
            let (first, last) = (hit.start + 1, hit.start + target.window);
            write!(out, ";summit={};window={first}-{last}", site.summit() + 1).expect(IN_MEMORY);
        }
    }
}

/// Destination of a site track.
#[derive(Debug)]
pub enum SiteSink {
    /// Text.
    Lines(LineSink),
    /// bigBed, which takes the lines of a BED.
    BigBed(Box<BigBedSink>),
    /// Records in memory.
    Records(RecordSink),
}

impl SiteSink {
    /// True if it has to know the length of every contig in the end.
    pub(crate) fn needs_lengths(&self) -> bool {
        matches!(self, SiteSink::BigBed(_))
    }

    /// True if its lines are compressed and indexed.
    pub(crate) fn is_compressed(&self) -> bool {
        matches!(self, SiteSink::Lines(sink) if sink.is_compressed())
    }

    /// Appends whole lines.
    pub(crate) fn write(&mut self, lines: &[u8]) -> Result<()> {
        match self {
            SiteSink::Lines(sink) => sink.write(lines),
            SiteSink::BigBed(sink) => sink.write(lines),
            SiteSink::Records(sink) => sink.write(lines),
        }
    }

    /// Hands the lines so far to a reader that may wait for them ([`LineSink::pass_on`]); bigBed is for files, and records
    /// are not kept back.
    pub(crate) fn pass_on(&mut self) -> Result<()> {
        match self {
            SiteSink::Lines(sink) => sink.pass_on(),
            SiteSink::BigBed(_) | SiteSink::Records(_) => Ok(()),
        }
    }

    /// Appends a comment behind the sites; bigBed and records have none.
    pub(crate) fn comment(&mut self, line: &str) -> Result<()> {
        match self {
            SiteSink::Lines(sink) => sink.comment(line),
            SiteSink::BigBed(_) | SiteSink::Records(_) => Ok(()),
        }
    }

    /// Writes what is left; `contigs` are all that were read, in their order.
    pub(crate) fn seal(self, contigs: &[Arc<Contig>]) -> Result<Vec<Sealed>> {
        match self {
            SiteSink::Lines(sink) => sink.seal(),
            SiteSink::BigBed(sink) => Ok(vec![sink.seal(contigs)?]),
            SiteSink::Records(_) => Ok(Vec::new()),
        }
    }
}

/// Contig, start, end, name.
fn place_and_name(site: &Site<'_>, out: &mut Vec<u8>) {
    let span = site.span();
    out.extend_from_slice(site.contig.name.as_bytes());
    out.push(b'\t');
    push_integer(span.start, out);
    out.push(b'\t');
    push_integer(span.end, out);
    out.push(b'\t');
    out.extend_from_slice(site.target.name.as_bytes());
}

/// The six columns that BED formats share.
fn bed6(site: &Site<'_>, out: &mut Vec<u8>) {
    place_and_name(site, out);
    out.push(b'\t');
    push_integer(site.shade().into(), out);
    out.push(b'\t');
    out.push(site.strand());
}

/// signalValue, pValue and qValue (-log10; -1 where unknown), peak.
fn narrow_peak(site: &Site<'_>, out: &mut Vec<u8>) {
    bed6(site, out);
    out.push(b'\t');
    push_score(site.hit.score, out);
    let known = site.significance;
    for value in [known.map(|known| QValue::Known(known.p)), known.and_then(|known| known.q)] {
        out.push(b'\t');
        match value {
            Some(value) => value.put(SiteFormat::NarrowPeak, out),
            None => out.extend_from_slice(b"-1"),
        }
    }
    out.push(b'\t');
    push_integer(site.summit() - site.span().start, out);
}

/// -log10 of a probability.
fn push_log(value: f64, out: &mut Vec<u8>) {
    // f32 holds what four decimals show; a value of 0 would be infinite.
    push_fixed((0.0 - value.max(f64::MIN_POSITIVE).log10()) as f32, 4, out);
}

/// Appends `text` with every byte that is not `plain` as `%` and two hexadecimal digits.
fn push_escaped(text: &str, plain: impl Fn(u8) -> bool, out: &mut Vec<u8>) {
    for byte in text.bytes() {
        if plain(byte) {
            out.push(byte);
        } else {
            write!(out, "%{byte:02X}").expect(IN_MEMORY);
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::seq::contig::Strand;
    use crate::track::ScoreScale;

    fn line(format: SiteFormat, columns: Columns, significance: Option<Significance>) -> String {
        let contig = Contig { id: 0, name: "chr 1".into(), length: None };
        let target = Target { alias: "A".into(), scale: ScoreScale::Probability, ..Target::new("a;b", 10) };
        let hit = Hit { start: 99, target: 0, score: 0.25, strand: Strand::Reverse };
        let codes = &[3, 1, 0, 0, 0, 0, 0, 0, 0, 4];
        let core = Core::whole(10);
        let site =
            Site { contig: &contig, target: &target, hit: &hit, core, spread: 0.125, codes, significance };
        let mut out = Vec::new();
        SiteLines { format, target: None, columns }.write(&site, &mut out);
        String::from_utf8(out).unwrap()
    }

    #[test]
    fn each_format_counts_positions_in_its_own_way() {
        let plain = |format| line(format, Columns::default(), None);
        assert_eq!(plain(SiteFormat::Bed), "chr 1\t99\t109\ta;b\t250\t-\t0.25\n");
        assert_eq!(plain(SiteFormat::Tsv), "chr 1\t99\t109\ta;b\t-\t0.25\n");
        assert_eq!(plain(SiteFormat::NarrowPeak), "chr 1\t99\t109\ta;b\t250\t-\t0.25\t-1\t-1\t5\n");
        assert_eq!(
            plain(SiteFormat::Gff3),
            "chr%201\tbindscan\tprotein_binding_site\t100\t109\t0.25\t-\t.\tName=a%3Bb;Alias=A\n"
        );
    }

    #[test]
    fn tables_of_other_programs_show_the_bases_of_a_site() {
        let significance = Some(Significance { p: 1e-5, q: None, origin: Origin::Exact });
        let fimo = line(SiteFormat::Fimo, Columns::default(), significance);
        assert_eq!(fimo, "a;b\tA\tchr 1\t100\t109\t-\t0.25\t1.0000e-5\t\tNTTTTTTTGA\n");
        let homer = line(SiteFormat::Homer, Columns::default(), None);
        assert_eq!(homer, "a;b-100000001002\tchr 1\t100\t109\t-\t0.25\tNTTTTTTTGA\n");
    }

    #[test]
    fn the_spread_has_its_column_in_tables() {
        let columns = Columns { p: true, spread: true, ..Columns::default() };
        assert_eq!(line(SiteFormat::Tsv, columns, None), "chr 1\t99\t109\ta;b\t-\t0.25\tNA\tNA\t0.125\n");
        assert!(line(SiteFormat::Bed, columns, None).ends_with("\t0.25\tNA\tNA\n"));
        let lines = SiteLines { format: SiteFormat::Tsv, target: None, columns };
        assert!(
            lines.header(&Provenance::default(), false).ends_with("\tscore\tp_value\tp_source\tscore_sd\n")
        );
    }

    #[test]
    fn significance_has_its_columns() {
        let columns = Columns { p: true, q: true, ..Columns::default() };
        let known = |format| {
            line(
                format,
                columns,
                Some(Significance { p: 1e-5, q: Some(QValue::Known(0.05)), origin: Origin::Extrapolated }),
            )
        };
        assert_eq!(
            known(SiteFormat::Bed),
            "chr 1\t99\t109\ta;b\t500\t-\t0.25\t1.0000e-5\t5.0000e-2\textrapolated\n"
        );
        assert!(known(SiteFormat::NarrowPeak).ends_with("\t500\t-\t0.25\t5.0000\t1.3010\t5\n"));
        assert!(
            known(SiteFormat::Gff3)
                .ends_with("Name=a%3Bb;Alias=A;p_value=1.0000e-5;q_value=5.0000e-2;p_source=extrapolated\n")
        );
        assert!(line(SiteFormat::Tsv, columns, None).ends_with("\t0.25\tNA\tNA\tNA\n"));
        assert_eq!((bed_score_of(0.0), bed_score_of(1e-4), bed_score_of(1.0)), (1000, 400, 0));
    }
}
