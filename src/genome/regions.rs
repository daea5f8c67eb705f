//! Parts of a genome that are wanted: regions matched to contigs, checked, sorted and merged.

use std::collections::{BTreeMap, HashMap};
use std::io::BufRead;
use std::path::Path;
use std::sync::Arc;

use crate::genome::alias::Aliases;
use crate::io::input::Input;
use crate::seq::contig::{Contig, Region, RegionQuery};
use crate::{Error, Result};

/// Number of names that an error suggests.
const SUGGESTIONS: usize = 3;

/// Reads regions from a file: BED with three columns or more, narrowPeak or GFF, told apart by content; gzip too; `-` is
/// standard input. Lines that are blank or start with `#`, `track` or `browser` are skipped.
///
/// An empty interval is a region like any other here: it is refused, or left out, with those that do not fit the genome.
///
/// # Errors
/// The file cannot be read, is of another format or has no region, or a line is none; the line is named.
pub fn read_regions(path: &Path) -> Result<Vec<RegionQuery>> {
    let mut input = Input::open(path)?;
    let (mut queries, mut lines) = (Vec::new(), RegionLines::default());
    let mut line = Vec::new();
    for number in 1.. {
        line.clear();
        let action = input.read_action();
        if input.read_until(b'\n', &mut line).map_err(Error::io(path, action))? == 0 {
            break;
        }
        let text = std::str::from_utf8(&line)
            .map_err(|_| Error::format(path, number, "not a text file; regions are given as BED or GFF"))?;
        let interval = lines.parse(text).map_err(|message| Error::format(path, number, message))?;
        if lines.ended {
            break;
        }
        queries.extend(interval.map(|(contig, start, end)| region_of_line(contig, start, end, path, number)));
    }
    if queries.is_empty() {
        return Err(Error::format(path, None, "it has no region"));
    }
    Ok(queries)
}

fn region_of_line(contig: &str, start: u64, end: u64, path: &Path, line: u64) -> RegionQuery {
    let place = format!("({}, line {line})", path.display());
    if end <= start {
        return RegionQuery {
            text: format!("{contig} {start} {end} {place}"),
            whole: None,
            interval: Some(Err("it is empty".into())),
            others: Vec::new(),
            optional: false,
        };
    }
    let text = format!("{contig}:{}-{end} {place}", start + 1);
    let region = Region { contig: contig.to_owned(), start, end: Some(end) };
    RegionQuery { text, whole: None, interval: Some(Ok(region)), others: Vec::new(), optional: false }
}

/// The layout of a file's lines, found at the first one that has an interval.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Layout {
    /// Start and end are columns 2 and 3, 0-based and half-open.
    Bed,
    /// Start and end are columns 4 and 5, 1-based and inclusive.
    Gff,
}

/// Reads the lines of a file of regions.
#[derive(Debug, Default)]
pub(crate) struct RegionLines {
    layout: Option<Layout>,
    /// True if what follows is no region: the sequences at the end of a GFF.
    pub(crate) ended: bool,
}

impl RegionLines {
    /// True if the lines are those of a GFF.
    pub(crate) fn are_gff(&self) -> bool {
        self.layout == Some(Layout::Gff)
    }

    /// Contig, start and end (0-based, half-open) of a line; `None` of one without an interval.
    ///
    /// # Errors
    /// Why the line is none of a file of regions.
    pub(crate) fn parse<'a>(&mut self, line: &'a str) -> Result<Option<(&'a str, u64, u64)>, String> {
        let line = line.trim_end_matches(['\n', '\r']);
        if line.starts_with("##FASTA") {
            self.ended = true;
        }
        if let Some(other) = other_format(line) {
            return Err(other.into());
        }
        let columns: Vec<&str> = line.split_whitespace().collect();
        let Some(&first) = columns.first() else { return Ok(None) };
        if first.starts_with('#') || ["track", "browser"].contains(&first) {
            return Ok(None);
        }
        let number = |i: usize| columns.get(i).and_then(|column| column.parse::<u64>().ok());
        let layout = match self.layout {
            Some(layout) => layout,
            None if number(1).is_none() && is_gff(&columns) => Layout::Gff,
            None => Layout::Bed,
        };
        self.layout = Some(layout);
        let wrong = |form: &str| {
            let hint = if looks_like_vcf(&columns) { "; is this a VCF?" } else { "" };
            format!("{form}; one of them is missing or no number{hint}")
        };
        match layout {
            Layout::Bed => {
                let (Some(start), Some(end)) = (number(1), number(2)) else {
                    return Err(wrong("a BED line has a contig, a start and an end"));
                };
                Ok(Some((first, start, end)))
            }
            Layout::Gff => {
                let (Some(start), Some(end)) = (number(3), number(4)) else {
                    return Err(wrong("a GFF line has a contig, and in columns 4 and 5 start and end"));
                };
                let before = start.checked_sub(1).ok_or("a GFF start of 0: its positions count from 1")?;
                Ok(Some((first, before, end)))
            }
        }
    }
}

/// The fourth column of a line of BED: the name of a region, if it has one.
pub(crate) fn name_of_line(line: &str) -> Option<&str> {
    let line = line.trim_end_matches(['\n', '\r']);
    let name = if line.contains('\t') { line.split('\t').nth(3) } else { line.split_whitespace().nth(3) };
    name.filter(|name| !name.is_empty() && *name != ".")
}

/// The error for a line that shows that the file has another format.
fn other_format(line: &str) -> Option<&'static str> {
    if line.starts_with("##fileformat=VCF") || line.starts_with("#CHROM\tPOS\t") {
        return Some(
            "this is a VCF, and regions are given as BED or GFF; bcftools query -f '%CHROM\\t%POS0\\t%END\\n' makes BED of it",
        );
    }
    if line.starts_with("@HD\t") || line.starts_with("@SQ\t") {
        return Some(
            "this has a SAM header, as Picard's interval lists have, and regions are given as BED or GFF",
        );
    }
    line.starts_with('>').then_some("this is FASTA, and regions are given as BED or GFF")
}

fn is_gff(columns: &[&str]) -> bool {
    let number = |i: usize| columns.get(i).is_some_and(|column: &&str| column.parse::<u64>().is_ok());
    let strand = columns.get(6).is_some_and(|strand| ["+", "-", ".", "?"].contains(strand));
    columns.len() >= 8 && number(3) && number(4) && strand
}

/// True if a line has a position, and alleles behind it.
fn looks_like_vcf(columns: &[&str]) -> bool {
    let is_allele = |i: usize| {
        columns.get(i).is_some_and(|allele: &&str| {
            !allele.is_empty() && allele.bytes().all(|letter| b"ACGTNacgtn,*.".contains(&letter))
        })
    };
    columns.get(1).is_some_and(|position| position.parse::<u64>().is_ok()) && is_allele(3) && is_allele(4)
}

/// Why a region cannot be used.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Flaw {
    /// It ends behind its contig.
    PastEnd,
    /// The genome has no such contig.
    UnknownContig,
    /// It ends before it begins, or where it does.
    Empty,
}

impl Flaw {
    const ALL: [Flaw; 3] = [Flaw::PastEnd, Flaw::UnknownContig, Flaw::Empty];

    fn words(self) -> &'static str {
        match self {
            Flaw::PastEnd => "past the end of a contig",
            Flaw::UnknownContig => "on a contig that the genome does not have",
            Flaw::Empty => "empty or no interval",
        }
    }
}

/// Regions that cannot be used, counted by their flaw.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub(crate) struct BadRegions {
    counts: [usize; Flaw::ALL.len()],
    /// The first of each, in words.
    first: [String; Flaw::ALL.len()],
    /// Those of which a part is used.
    clipped: usize,
}

impl BadRegions {
    /// Counts a region, which `words` describes.
    pub(crate) fn add(&mut self, flaw: Flaw, words: impl FnOnce() -> String) {
        let count = &mut self.counts[flaw as usize];
        *count += 1;
        if *count == 1 {
            self.first[flaw as usize] = words();
        }
    }

    /// Counts a region that is used up to its contig's end.
    pub(crate) fn add_clipped(&mut self, words: impl FnOnce() -> String) {
        self.clipped += 1;
        self.add(Flaw::PastEnd, words);
    }

    pub(crate) fn count(&self) -> usize {
        self.counts.iter().sum()
    }

    fn list(&self) -> String {
        let kinds = Flaw::ALL.into_iter().filter(|&flaw| self.counts[flaw as usize] > 0);
        let words = kinds.map(|flaw| {
            format!("{} {} ({})", self.counts[flaw as usize], flaw.words(), self.first[flaw as usize])
        });
        words.collect::<Vec<_>>().join("; ")
    }

    /// Refuses them, or says that they are left out if they are `optional`. There are `total` of `what` in all.
    ///
    /// # Errors
    /// There are some, and they are not optional; or no other is left.
    pub(crate) fn settle(&self, total: usize, what: &str, optional: bool) -> Result<()> {
        let bad = self.count();
        if bad == 0 {
            return Ok(());
        }
        let list = self.list();
        let only = self.first.iter().find(|first| !first.is_empty()).filter(|_| total == 1);
        if let Some(words) = only.filter(|_| !optional || self.clipped == 0) {
            return Err(Error::Region(format!("{} {words}", what.trim_end_matches('s'))));
        }
        if !optional {
            let message =
                format!("{bad} of {total} {what} cannot be used: {list}; --skip-bad-regions leaves them out");
            return Err(Error::Region(message));
        }
        if bad - self.clipped == total {
            return Err(Error::Region(format!("none of {total} {what} can be used: {list}")));
        }
        let (left_out, clipped) = (bad - self.clipped, self.clipped);
        log::warn!("{left_out} of {total} {what} are left out, {clipped} clipped: {list}");
        Ok(())
    }
}

/// A wanted stretch of one contig, half-open; `u64::MAX` as its end stands for the contig's.
pub(crate) type Segment = std::ops::Range<u64>;

/// The segment that is a whole contig.
pub(crate) const WHOLE: Segment = 0..u64::MAX;

/// The regions asked for, matched to contigs as these are met.
#[derive(Debug, Clone)]
pub(crate) struct Selection {
    queries: Vec<RegionQuery>,
    /// True if a query has met its contig, or has been left out.
    found: Vec<bool>,
    /// Queries by the contig that they may mean.
    by_contig: HashMap<String, Vec<usize>>,
    /// Queries by what naming schemes agree on, and by the other names that they have.
    by_alias: HashMap<String, Vec<usize>>,
    /// Contigs that the genome calls by another name: the name in a query, and the genome's.
    renamed: BTreeMap<String, String>,
    /// Queries of the contig met last, with their stretches.
    current: Vec<(usize, Segment)>,
    missing: usize,
    /// True if those that do not fit are left out.
    optional: bool,
    bad: BadRegions,
    /// True if those that do not fit have been refused or told.
    settled: bool,
}

impl Selection {
    /// A selection of everything in `queries`.
    pub(crate) fn new(queries: Vec<RegionQuery>) -> Selection {
        let mut by_contig: HashMap<String, Vec<usize>> = HashMap::new();
        let mut by_alias: HashMap<String, Vec<usize>> = HashMap::new();
        for (i, query) in queries.iter().enumerate() {
            let mut add = |name: &str| by_contig.entry(name.to_owned()).or_default().push(i);
            query.whole.iter().for_each(|name| add(name));
            if let Some(Ok(region)) = &query.interval {
                add(&region.contig);
            }
            if let Some(name) = name_of(query) {
                by_alias.entry(plain_name(name)).or_default().push(i);
            }
            for other in &query.others {
                by_alias.entry(plain_name(other)).or_default().push(i);
            }
        }
        let (found, missing) = (vec![false; queries.len()], queries.len());
        let optional = !queries.is_empty() && queries.iter().all(|query| query.optional);
        let bad = BadRegions::default();
        let (current, renamed) = (Vec::new(), BTreeMap::new());
        Selection {
            queries,
            found,
            by_contig,
            by_alias,
            renamed,
            current,
            missing,
            optional,
            bad,
            settled: false,
        }
    }

    /// Settles every query against the whole list of contigs, whose lengths are known.
    ///
    /// # Errors
    /// Queries that mean no contig, run past its end or are empty, unless they are optional; all of them are counted.
    pub(crate) fn resolve(&mut self, contigs: &[Arc<Contig>]) -> Result<()> {
        let by_name: HashMap<&str, &Contig> =
            contigs.iter().map(|contig| (contig.name.as_str(), &**contig)).collect();
        let aliases = Aliases::from_contigs(contigs);
        for i in 0..self.queries.len() {
            let query = &mut self.queries[i];
            if let Some(name) = name_of(query).filter(|name| !by_name.contains_key(name)) {
                let listed = query.others.iter().find_map(|other| by_name.get(other.as_str()).copied());
                let alias = listed.or_else(|| Some(&*contigs[aliases.find(name)?]));
                if let (Some(contig), false) = (alias, is_named_whole(query, &by_name)) {
                    self.renamed.entry(name.to_owned()).or_insert_with(|| contig.name.clone());
                    rename(query, &contig.name);
                    self.by_contig.entry(contig.name.clone()).or_default().push(i);
                }
            }
            if query.whole.as_deref().is_some_and(|name| by_name.contains_key(name)) {
                query.interval = None;
                continue;
            }
            let contig = match &query.interval {
                Some(Ok(region)) => by_name.get(region.contig.as_str()),
                _ => None,
            };
            let (Some(contig), Some(Ok(region))) = (contig, &mut query.interval) else {
                add_without_contig(&mut self.bad, query, contigs);
                self.leave_out(i);
                continue;
            };
            let Some(length) = contig.length.filter(|&length| is_past(&segment_of(region), length)) else {
                continue;
            };
            let words = past_end(&query.text, contig, length);
            if region.start < length {
                region.end = Some(length);
                self.bad.add_clipped(|| words);
            } else {
                self.bad.add(Flaw::PastEnd, || words);
                self.leave_out(i);
            }
        }
        self.settled = true;
        self.tell_renamed();
        self.bad.settle(self.queries.len(), "regions", self.optional)
    }

    /// Says which contigs have other names.
    fn tell_renamed(&self) {
        if let Some(words) = renaming(&self.renamed, "regions") {
            log::warn!("{words}");
        }
    }

    /// Lets the queries of a stream that mean `contig` by another name mean it by its own.
    ///
    /// # Errors
    /// A query that fits two contigs.
    fn adopt(&mut self, contig: &Contig) -> Result<()> {
        let exact = self.by_contig.get(&contig.name).map_or(&[][..], Vec::as_slice);
        if let Some(&twice) = exact.iter().find(|&&i| self.found[i] && name_of(&self.queries[i]).is_some()) {
            return Err(ambiguous(&self.queries[twice]));
        }
        for &i in self.by_alias.get(&plain_name(&contig.name)).map_or(&[][..], Vec::as_slice) {
            let query = &mut self.queries[i];
            let Some(name) = name_of(query).map(str::to_owned) else { continue };
            if self.found[i] || name == contig.name || query.whole.as_deref() == Some(&contig.name) {
                continue;
            }
            rename(query, &contig.name);
            self.renamed.entry(name).or_insert_with(|| contig.name.clone());
            self.by_contig.entry(contig.name.clone()).or_default().push(i);
        }
        Ok(())
    }

    /// Refuses queries that are no interval, before a stream is read for them.
    ///
    /// # Errors
    /// There are some, and they are not optional.
    pub(crate) fn check_intervals(&self) -> Result<()> {
        let mut bad = BadRegions::default();
        for query in self.queries.iter().filter(|query| query.whole.is_none()) {
            if let Some(Err(reason)) = &query.interval {
                bad.add(Flaw::Empty, || format!("{}: {reason}", query.text));
            }
        }
        if self.optional && bad.count() < self.queries.len() {
            return Ok(());
        }
        bad.settle(self.queries.len(), "regions", self.optional)
    }

    /// Forgets a query.
    fn leave_out(&mut self, i: usize) {
        let query = &mut self.queries[i];
        (query.whole, query.interval) = (None, None);
        if !std::mem::replace(&mut self.found[i], true) {
            self.missing -= 1;
        }
    }

    /// True if every query has met its contig, and none may still be meant. A stream that has a contig by another name is
    /// read on: it may have one of that very name, too.
    pub(crate) fn is_complete(&self) -> bool {
        self.missing == 0 && (self.settled || self.renamed.is_empty())
    }

    /// Regions of `contig`: sorted, and merged where they overlap or touch, so that no window is
    /// reported twice.
    ///
    /// # Errors
    /// A query that fits two contigs of a stream.
    pub(crate) fn take(&mut self, contig: &Contig) -> Result<Vec<Segment>> {
        self.current.clear();
        if !self.settled {
            self.adopt(contig)?;
        }
        for &i in self.by_contig.get(&contig.name).map_or(&[][..], Vec::as_slice) {
            let query = &self.queries[i];
            let whole = query.whole.as_deref() == Some(contig.name.as_str());
            let segment = match &query.interval {
                _ if whole => WHOLE,
                Some(Ok(region)) => segment_of(region),
                _ => continue,
            };
            if self.found[i] && whole {
                return Err(ambiguous(query));
            }
            if !std::mem::replace(&mut self.found[i], true) {
                self.missing -= 1;
                self.current.push((i, segment));
            }
        }
        Ok(merge(contig, self.current.iter().map(|(_, segment)| segment.clone()).collect()))
    }

    /// Checks the regions of the contig met last, once its length is known.
    ///
    /// # Errors
    /// Regions past the contig's end, unless they are optional.
    pub(crate) fn check_length(&mut self, contig: &Contig, length: u64) -> Result<()> {
        let mut any = false;
        for (i, segment) in self.current.drain(..).filter(|(_, segment)| is_past(segment, length)) {
            let words = || past_end(&self.queries[i].text, contig, length);
            any = true;
            if segment.start < length {
                self.bad.add_clipped(words);
            } else {
                self.bad.add(Flaw::PastEnd, words);
            }
        }
        if any && !self.optional {
            return self.bad.settle(self.queries.len(), "regions", false);
        }
        Ok(())
    }

    /// To be called when all contigs have been met, or all queries have met theirs.
    ///
    /// # Errors
    /// Queries that mean no contig, unless they are optional.
    pub(crate) fn finish(&mut self, contigs: &[Arc<Contig>]) -> Result<()> {
        if std::mem::replace(&mut self.settled, true) {
            return Ok(());
        }
        self.tell_renamed();
        for i in (0..self.queries.len()).filter(|&i| !self.found[i]) {
            add_without_contig(&mut self.bad, &self.queries[i], contigs);
        }
        self.bad.settle(self.queries.len(), "regions", self.optional)
    }
}

/// The contig that a query names, whose interval is one or that has none.
fn name_of(query: &RegionQuery) -> Option<&str> {
    match (&query.interval, &query.whole) {
        (Some(Ok(region)), _) => Some(&region.contig),
        (None, Some(whole)) => Some(whole),
        _ => None,
    }
}

/// True if the whole text of a query is a contig's name.
fn is_named_whole(query: &RegionQuery, by_name: &HashMap<&str, &Contig>) -> bool {
    query.whole.as_deref().is_some_and(|name| by_name.contains_key(name))
}

/// Puts another name in place of the contig that a query names.
fn rename(query: &mut RegionQuery, name: &str) {
    match &mut query.interval {
        Some(Ok(region)) => name.clone_into(&mut region.contig),
        _ => query.whole = Some(name.to_owned()),
    }
}

/// Says which contigs of regions or the like have other names in the genome, if any have: the names given, and the genome's.
pub(crate) fn renaming(renamed: &BTreeMap<String, String>, things: &str) -> Option<String> {
    let pairs = renamed.iter().take(SUGGESTIONS).map(|(theirs, ours)| format!("{theirs} is {ours}"));
    let shown = pairs.collect::<Vec<_>>().join(", ");
    let more = match renamed.len().saturating_sub(SUGGESTIONS) {
        0 => String::new(),
        more => format!(" and {more} more"),
    };
    let count = renamed.len();
    let (contigs, have) = if count == 1 { ("contig", "has") } else { ("contigs", "have") };
    (count > 0).then(|| {
        format!("{count} {contigs} of the {things} {have} another name in the genome: {shown}{more}")
    })
}

fn segment_of(region: &Region) -> Segment {
    region.start..region.end.unwrap_or(u64::MAX)
}

/// True if a segment does not lie within a contig of this length.
fn is_past(segment: &Segment, length: u64) -> bool {
    let open = segment.end == u64::MAX;
    if open { segment.start > 0 && segment.start >= length } else { segment.end > length }
}

fn past_end(text: &str, contig: &Contig, length: u64) -> String {
    format!("{text} runs past the end of {}, which has {length} bases", contig.name)
}

fn merge(contig: &Contig, mut segments: Vec<Segment>) -> Vec<Segment> {
    let asked = segments.len();
    segments.sort_unstable_by_key(|segment| (segment.start, segment.end));
    segments.dedup_by(|next, last| {
        let joined = next.start <= last.end;
        if joined {
            last.end = last.end.max(next.end);
        }
        joined
    });
    if segments.len() < asked {
        let kept = segments.len();
        log::info!("{}: {asked} regions overlap or touch and were merged into {kept}", contig.name);
    }
    segments
}

fn ambiguous(query: &RegionQuery) -> Error {
    let text = &query.text;
    Error::Region(format!(
        "region {text} can mean two contigs of this input; give the interval, as in {text}:1-"
    ))
}

/// The error for a query that matches no contig.
fn add_without_contig(bad: &mut BadRegions, query: &RegionQuery, contigs: &[Arc<Contig>]) {
    let text = &query.text;
    let name = match &query.interval {
        Some(Err(reason)) => return bad.add(Flaw::Empty, || format!("{text}: {reason}")),
        Some(Ok(region)) => &region.contig,
        None => query.whole.as_ref().unwrap_or(text),
    };
    bad.add(Flaw::UnknownContig, || {
        format!("{text}: there is no contig {name} in the input; {}", suggestion(name, contigs))
    });
}

/// The contig that another naming scheme calls `name`.
pub(crate) fn namesake<'a>(name: &str, contigs: &'a [Arc<Contig>]) -> Option<&'a Arc<Contig>> {
    contigs.iter().find(|contig| plain_name(&contig.name) == plain_name(name))
}

/// Names close to `name`, or the first few where none is.
pub(crate) fn suggestion(name: &str, contigs: &[Arc<Contig>]) -> String {
    let plain = plain_name(name);
    let mut near: Vec<(usize, &str)> = contigs
        .iter()
        .map(|contig| (edit_distance(&plain, &plain_name(&contig.name)), contig.name.as_str()))
        .filter(|&(distance, _)| distance <= plain.chars().count().div_ceil(3))
        .collect();
    near.sort_by_key(|&(distance, _)| distance);
    // `1` is as good as certain to be `chr1`: do not offer chr2 as well.
    if near.first().is_some_and(|&(distance, _)| distance == 0) {
        near.retain(|&(distance, _)| distance == 0);
    }
    let names: Vec<&str> = near.iter().map(|&(_, name)| name).take(SUGGESTIONS).collect();
    if !names.is_empty() {
        return format!("did you mean {}?", names.join(" or "));
    }
    let first: Vec<&str> = contigs.iter().map(|contig| contig.name.as_str()).take(SUGGESTIONS).collect();
    match contigs.len() - first.len() {
        0 => format!("it has {}", first.join(", ")),
        more => format!("it has {} and {more} more", first.join(", ")),
    }
}

/// A name without what naming schemes disagree on: case, the prefix `chr`, and M or MT for the mitochondrion.
pub(crate) fn plain_name(name: &str) -> String {
    let lower = name.to_lowercase();
    match lower.strip_prefix("chr").unwrap_or(&lower) {
        "mt" => "m".to_owned(),
        rest => rest.to_owned(),
    }
}

/// Letters to insert, delete or replace to turn `a` into `b`.
fn edit_distance(a: &str, b: &str) -> usize {
    let b: Vec<char> = b.chars().collect();
    let mut row: Vec<usize> = (0..=b.len()).collect();
    for (i, x) in a.chars().enumerate() {
        let mut diagonal = std::mem::replace(&mut row[0], i + 1);
        for (j, &y) in b.iter().enumerate() {
            let replaced = diagonal + usize::from(x != y);
            diagonal = row[j + 1];
            row[j + 1] = replaced.min(diagonal + 1).min(row[j] + 1);
        }
    }
    row[b.len()]
}

#[cfg(test)]
mod tests {
    use super::*;

    fn contigs(names: &[&str]) -> Vec<Arc<Contig>> {
        let contig = |(id, name): (usize, &&str)| {
            Arc::new(Contig { id, name: (*name).to_owned(), length: Some(1000) })
        };
        names.iter().enumerate().map(contig).collect()
    }

    fn error(text: &str, names: &[&str]) -> String {
        Selection::new(vec![RegionQuery::parse(text)]).resolve(&contigs(names)).unwrap_err().to_string()
    }

    fn take(texts: &[&str], name: &str) -> Result<Vec<Segment>> {
        let contigs = contigs(&[name]);
        let mut selection = Selection::new(texts.iter().map(|text| RegionQuery::parse(text)).collect());
        selection.resolve(&contigs)?;
        selection.take(&contigs[0])
    }

    #[test]
    fn unknown_contigs_get_near_names() {
        let human = ["chr1", "chr2", "chr10", "chrM"];
        assert!(error("scafold_12", &["scaffold_12", "x"]).ends_with("did you mean scaffold_12?"));
        assert!(error("plasmid", &human).ends_with("it has chr1, chr2, chr10 and 1 more"));
        assert!(error("chr1:0-5", &human).contains("count from 1"));
    }

    #[test]
    fn contigs_are_found_under_their_other_names() {
        let human = contigs(&["chr1", "chr2", "chrM"]);
        let mut table = RegionQuery::parse("NC_2:5-10");
        table.others = vec!["NC_2".into(), "chr2".into()];
        let queries = || vec![RegionQuery::parse("1:5-10"), RegionQuery::parse("MT"), table.clone()];
        let mut known = Selection::new(queries());
        known.resolve(&human).unwrap();
        let mut stream = Selection::new(queries());
        for (contig, segment) in human.iter().zip([4..10, 4..10, WHOLE]) {
            assert_eq!(known.take(contig).unwrap(), std::slice::from_ref(&segment));
            assert_eq!(stream.take(contig).unwrap(), [segment]);
        }
        stream.finish(&human).unwrap();
        assert!(stream.is_complete() && known.renamed == stream.renamed);
        assert_eq!(
            renaming(&known.renamed, "regions").unwrap(),
            "3 contigs of the regions have another name in the genome: 1 is chr1, MT is chrM, NC_2 is chr2"
        );
        // A name of its own wins, and a name that fits two is none.
        let mut selection = Selection::new(vec![RegionQuery::parse("1:5-10")]);
        selection.resolve(&contigs(&["chr1", "1"])).unwrap();
        assert!(selection.renamed.is_empty());
        assert!(error("x:1-5", &["chrX", "X"]).contains("there is no contig x"));
        let mut stream = Selection::new(vec![RegionQuery::parse("1:5-10")]);
        let both = contigs(&["chr1", "1"]);
        stream.take(&both[0]).unwrap();
        assert!(!stream.is_complete());
        assert!(stream.take(&both[1]).unwrap_err().to_string().contains("can mean two contigs"));
    }

    #[test]
    fn whole_names_win_over_intervals() {
        assert_eq!(take(&["HLA:1-5"], "HLA:1-5").unwrap(), [WHOLE]);
        assert_eq!(take(&["HLA:1-5"], "HLA").unwrap()[0], 0..5);
        assert_eq!(take(&["HLA:7-5"], "HLA:7-5").unwrap(), [WHOLE]);
    }

    #[test]
    fn stretches_are_sorted_and_merged() {
        let segments = take(&["c:50-60", "c:1-10", "c:11-20", "c:55-58", "c:60-70", "c:80-90"], "c").unwrap();
        assert_eq!(segments, [0..20, 49..70, 79..90]);
    }

    #[test]
    fn intervals_past_the_end_are_named() {
        for text in ["c:1-1001", "c:1001-", "c:2000"] {
            let message = take(&[text], "c").unwrap_err().to_string();
            assert!(message.contains(text) && message.contains("1000 bases"), "{message}");
        }
        assert_eq!(take(&["c:1000-1000"], "c").unwrap()[0], 999..1000);
    }

    #[test]
    fn lines_of_every_format() {
        let parse = |line: &'static str| RegionLines::default().parse(line);
        assert_eq!(parse("c\t0\t5\tname\n"), Ok(Some(("c", 0, 5))));
        assert_eq!(parse("c 3 5\r\n"), Ok(Some(("c", 3, 5))));
        assert_eq!(parse("c\t5\t5"), Ok(Some(("c", 5, 5))), "empty, which is for later");
        assert_eq!(parse("c\thavana\tgene\t11\t20\t.\t-\t.\tID=x y"), Ok(Some(("c", 10, 20))));
        assert_eq!(parse("c\t.\texon\t1\t2\t0.5\t+\t0\tgene_id \"x\""), Ok(Some(("c", 0, 2))));
        let narrow_peak = "c\t10\t20\tp\t0\t.\t4.2\t-1\t-1\t5";
        assert_eq!(parse(narrow_peak), Ok(Some(("c", 10, 20))));
        for skipped in ["", "\n", "# c 1 2", "track name=x", "browser position c:1-2", "##gff-version 3"] {
            assert_eq!(parse(skipped), Ok(None));
        }
        for bad in ["c", "c 1", "c x 5", "c -1 5", "c\ts\tgene\t0\t2\t.\t+\t.\tx"] {
            assert!(parse(bad).is_err(), "{bad}");
        }
        for (line, word) in [
            ("##fileformat=VCFv4.2", "this is a VCF"),
            ("#CHROM\tPOS\tID\tREF", "this is a VCF"),
            ("c\t100\trs1\tA\tC\t.\t.\t.", "is this a VCF?"),
            ("@SQ\tSN:c\tLN:5", "Picard"),
            (">c", "FASTA"),
        ] {
            assert!(parse(line).unwrap_err().contains(word), "{line}");
        }
        let mut lines = RegionLines::default();
        assert!(lines.parse("c\ts\tgene\t1\t2\t.\t+\t.\tx").is_ok());
        assert!(lines.parse("c\t1\t2").unwrap_err().contains("GFF"), "the first line decides");
    }

    #[test]
    fn all_that_do_not_fit_are_counted_and_left_out_if_they_may_be() {
        let texts = ["c:1-10", "c:991-1001", "c:1001-1002", "d:1-5", "x:9-8"];
        let mut queries: Vec<_> = texts.iter().map(|text| RegionQuery::parse(text)).collect();
        let all = contigs(&["c", "e"]);
        let message = Selection::new(queries.clone()).resolve(&all).unwrap_err().to_string();
        for part in [
            "4 of 5 regions",
            "2 past the end",
            "c:991-1001",
            "1 on a contig",
            "1 empty",
            "--skip-bad-regions",
        ] {
            assert!(message.contains(part), "{message}");
        }
        queries.iter_mut().for_each(|query| query.optional = true);
        let mut selection = Selection::new(queries.clone());
        selection.resolve(&all).unwrap();
        assert_eq!(selection.take(&all[0]).unwrap(), [0..10, 990..1000]);
        assert!(selection.is_complete());
        let message = Selection::new(queries[2..].to_vec()).resolve(&all).unwrap_err().to_string();
        assert!(message.starts_with("none of 3 regions can be used"), "{message}");
    }

    #[test]
    fn edit_distances() {
        for (a, b, distance) in [("", "abc", 3), ("kitten", "sitting", 3), ("flaw", "lawn", 2), ("x", "x", 0)]
        {
            assert_eq!(edit_distance(a, b), distance);
        }
    }
}
