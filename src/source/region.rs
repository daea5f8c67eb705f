//! Which parts of a genome are wanted: regions matched to contigs, checked, sorted and merged.

use std::collections::HashMap;
use std::io::BufRead;
use std::path::Path;
use std::sync::Arc;

use super::input::Input;
use crate::genome::{Contig, Region, RegionQuery};
use crate::{Error, Result};

/// How many names an error suggests.
const SUGGESTIONS: usize = 3;

/// Reads the regions of a BED file (three columns or more; gzip too; `-` is standard input). Lines that are blank
/// or start with `#`, `track` or `browser` are skipped.
///
/// # Errors
/// The file cannot be read or has no region, a line is no BED line, or an interval is empty; the line is named.
pub fn read_bed(path: &Path) -> Result<Vec<RegionQuery>> {
    let mut input = Input::open(path)?;
    let mut queries = Vec::new();
    let mut line = Vec::new();
    for number in 1.. {
        line.clear();
        let action = input.read_action();
        if input.read_until(b'\n', &mut line).map_err(Error::io(path, action))? == 0 {
            break;
        }
        let text = std::str::from_utf8(&line)
            .map_err(|_| Error::format(path, number, "this is no text; a BED file is expected"))?;
        let region = parse_bed_line(text).map_err(|message| Error::format(path, number, message))?;
        queries.extend(region.map(|region| RegionQuery {
            text: format!("{} ({}, line {number})", describe(&region), path.display()),
            whole: None,
            interval: Some(Ok(region)),
        }));
    }
    if queries.is_empty() {
        return Err(Error::format(path, None, "there is no region in it"));
    }
    Ok(queries)
}

fn parse_bed_line(line: &str) -> Result<Option<Region>, String> {
    let mut columns = line.split_whitespace();
    let contig = match columns.next() {
        None | Some("track" | "browser") => return Ok(None),
        Some(word) if word.starts_with('#') => return Ok(None),
        Some(contig) => contig.to_owned(),
    };
    let mut position = || columns.next().and_then(|column| column.parse::<u64>().ok());
    let (Some(start), Some(end)) = (position(), position()) else {
        return Err("a BED line has a contig, a start and an end; one of them is missing or no number".into());
    };
    if end <= start {
        return Err(format!("the interval {start} to {end} is empty; BED ends lie after their starts"));
    }
    Ok(Some(Region { contig, start, end: Some(end) }))
}

/// A region as the user writes it.
fn describe(Region { contig, start, end }: &Region) -> String {
    match end {
        Some(end) => format!("{contig}:{}-{end}", start + 1),
        None if *start == 0 => contig.clone(),
        None => format!("{contig}:{}-", start + 1),
    }
}

/// A wanted stretch of one contig, half-open; `u64::MAX` as its end stands for the contig's.
pub(crate) type Segment = std::ops::Range<u64>;

/// The segment that is a whole contig.
pub(crate) const WHOLE: Segment = 0..u64::MAX;

/// The regions asked for, matched to contigs as these are met.
#[derive(Debug)]
pub(crate) struct Selection {
    queries: Vec<RegionQuery>,
    found: Vec<bool>,
    /// Queries by the contig that they may mean.
    by_contig: HashMap<String, Vec<usize>>,
    /// Queries of the contig met last, with their stretches.
    current: Vec<(usize, Segment)>,
    missing: usize,
}

impl Selection {
    /// A selection of everything in `queries`.
    pub(crate) fn new(queries: Vec<RegionQuery>) -> Selection {
        let mut by_contig: HashMap<String, Vec<usize>> = HashMap::new();
        for (i, query) in queries.iter().enumerate() {
            let mut add = |name: &str| by_contig.entry(name.to_owned()).or_default().push(i);
            query.whole.iter().for_each(|name| add(name));
            if let Some(Ok(region)) = &query.interval {
                add(&region.contig);
            }
        }
        let (found, missing) = (vec![false; queries.len()], queries.len());
        Selection { queries, found, by_contig, current: Vec::new(), missing }
    }

    /// Settles every query against the whole list of contigs, whose lengths are known.
    ///
    /// # Errors
    /// A query that means no contig, or runs past its end.
    pub(crate) fn resolve(&mut self, contigs: &[Arc<Contig>]) -> Result<()> {
        let by_name: HashMap<&str, &Contig> =
            contigs.iter().map(|contig| (contig.name.as_str(), &**contig)).collect();
        for query in &mut self.queries {
            if query.whole.as_deref().is_some_and(|name| by_name.contains_key(name)) {
                query.interval = None;
                continue;
            }
            let Some(Ok(region)) = &query.interval else { return Err(unknown_region(query, contigs)) };
            match by_name.get(region.contig.as_str()) {
                Some(contig) => check_end(query, &segment_of(region), contig, contig.length)?,
                None => return Err(unknown_region(query, contigs)),
            }
        }
        Ok(())
    }

    /// Whether every query has met its contig.
    pub(crate) fn is_complete(&self) -> bool {
        self.missing == 0
    }

    /// What is wanted of `contig`: sorted, and merged where stretches overlap or touch, so that no window is
    /// reported twice.
    ///
    /// # Errors
    /// A query that fits two contigs of a stream.
    pub(crate) fn take(&mut self, contig: &Contig) -> Result<Vec<Segment>> {
        self.current.clear();
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
    /// A region past the contig's end.
    pub(crate) fn check_length(&self, contig: &Contig, length: u64) -> Result<()> {
        self.current
            .iter()
            .try_for_each(|(i, segment)| check_end(&self.queries[*i], segment, contig, Some(length)))
    }

    /// To be called when all contigs have been met.
    ///
    /// # Errors
    /// A query that means no contig.
    pub(crate) fn finish(&self, contigs: &[Arc<Contig>]) -> Result<()> {
        match self.found.iter().position(|found| !found) {
            Some(i) => Err(unknown_region(&self.queries[i], contigs)),
            None => Ok(()),
        }
    }
}

fn segment_of(region: &Region) -> Segment {
    region.start..region.end.unwrap_or(u64::MAX)
}

fn check_end(query: &RegionQuery, segment: &Segment, contig: &Contig, length: Option<u64>) -> Result<()> {
    let Some(length) = length else { return Ok(()) };
    let open = segment.end == u64::MAX;
    let past = if open { segment.start > 0 && segment.start >= length } else { segment.end > length };
    if !past {
        return Ok(());
    }
    let (text, name) = (&query.text, &contig.name);
    Err(Error::Request(format!("region {text} runs past the end of {name}, which has {length} bases")))
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
    Error::Request(format!(
        "region {text} can mean two contigs of this input; give the interval, as in {text}:1-"
    ))
}

fn unknown_region(query: &RegionQuery, contigs: &[Arc<Contig>]) -> Error {
    let text = &query.text;
    let name = match &query.interval {
        Some(Err(reason)) => return Error::Request(format!("region {text}: {reason}")),
        Some(Ok(region)) => &region.contig,
        None => query.whole.as_ref().unwrap_or(text),
    };
    let hint = suggestion(name, contigs);
    Error::Request(format!("region {text}: there is no contig {name} in the input; {hint}"))
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
        assert!(error("1:5-10", &human).ends_with("did you mean chr1?"));
        assert!(error("chrMT", &human).ends_with("did you mean chrM?"));
        assert!(error("MT", &human).ends_with("did you mean chrM?"));
        assert!(error("scafold_12", &["scaffold_12", "x"]).ends_with("did you mean scaffold_12?"));
        assert!(error("plasmid", &human).ends_with("it has chr1, chr2, chr10 and 1 more"));
        assert!(error("chr1:0-5", &human).contains("count from 1"));
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
    fn bed_lines() {
        let region = |start, end| Ok(Some(Region { contig: "c".into(), start, end: Some(end) }));
        assert_eq!(parse_bed_line("c\t0\t5\tname\n"), region(0, 5));
        assert_eq!(parse_bed_line("c 3 5\r\n"), region(3, 5));
        for skipped in ["", "\n", "# c 1 2", "track name=x", "browser position c:1-2"] {
            assert_eq!(parse_bed_line(skipped), Ok(None));
        }
        for bad in ["c", "c 1", "c x 5", "c 5 5", "c 6 5", "c -1 5"] {
            assert!(parse_bed_line(bad).is_err(), "{bad}");
        }
    }

    #[test]
    fn edit_distances() {
        for (a, b, distance) in [("", "abc", 3), ("kitten", "sitting", 3), ("flaw", "lawn", 2), ("x", "x", 0)]
        {
            assert_eq!(edit_distance(a, b), distance);
        }
    }
}
