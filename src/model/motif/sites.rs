//! Aligned sites as FASTA: each is one sequence, or its capitals where it has small letters beside them, as JASPAR writes
//! them.

use super::Motif;
use super::collection::Builder;
use super::matrix::Fault;
use super::sections::Section;

/// Widest site, so that sequences of other kinds are not taken for sites.
const WIDEST: usize = 100;

/// Fewest sites that make a motif.
const FEWEST: usize = 2;

/// True if a line is a sequence of two bases or more.
pub(super) fn is_sequence(text: &str) -> bool {
    text.len() > 1 && text.bytes().all(|byte| b"ACGTUN".contains(&byte.to_ascii_uppercase()))
}

/// Aligned sites of one motif, each with the line that it stands on.
struct Group<'a> {
    id: &'a str,
    name: &'a str,
    sites: Vec<(&'a str, usize)>,
}

/// Makes one motif of all sites, or one for each ID if every ID has several sites.
pub(super) fn build(sections: &[Section<'_>], unnamed: &str, builder: &mut Builder) {
    let sites: Vec<_> = sections.iter().map(Section::site).collect();
    let mut groups: Vec<Group<'_>> = Vec::new();
    for (id, name, sequence, line) in &sites {
        let site = (sequence.as_str(), *line);
        if let Some(group) = groups.iter_mut().find(|group| group.id == *id) {
            group.sites.push(site);
        } else {
            let name = name.split_whitespace().next().unwrap_or_default();
            groups.push(Group { id, name, sites: vec![site] });
        }
    }
    if groups.iter().any(|group| group.sites.len() < FEWEST) {
        let all = sites.iter().map(|(_, _, sequence, line)| (sequence.as_str(), *line)).collect();
        groups = vec![Group { id: unnamed, name: "", sites: all }];
    }
    for Group { id, name, sites } in groups {
        let motif = counts(&sites).map(|counts| Motif {
            id: id.to_owned(),
            name: name.to_owned(),
            counts,
            rna: sites.iter().any(|(sequence, _)| sequence.contains(['U', 'u'])),
            ..Motif::default()
        });
        builder.add(sites[0].1, id, motif);
    }
}

/// Counts at each position; an N counts a quarter for each base.
fn counts(sites: &[(&str, usize)]) -> Result<Vec<[f64; 4]>, Fault> {
    let (_, first) = sites[0];
    if sites.len() < FEWEST {
        return Err(Fault::new(first, "one site only; a motif needs two or more"));
    }
    let has_capitals = sites.iter().any(|(site, _)| site.contains(|c: char| c.is_ascii_uppercase()));
    let mut counts: Vec<[f64; 4]> = Vec::new();
    for (rank, &(sequence, line)) in sites.iter().enumerate() {
        let site: Vec<u8> = match has_capitals {
            true => sequence.bytes().filter(u8::is_ascii_uppercase).collect(),
            false => sequence.bytes().map(|base| base.to_ascii_uppercase()).collect(),
        };
        if rank == 0 {
            counts = vec![[0.0; 4]; site.len()];
        }
        if site.len() != counts.len() || site.is_empty() {
            let message = format!("the site has {} bases, the first one has {}", site.len(), counts.len());
            return Err(Fault::new(line, message));
        }
        if site.len() > WIDEST {
            return Err(Fault::new(
                line,
                format!("the site has {} bases; sites are up to {WIDEST}", site.len()),
            ));
        }
        for (counts, base) in counts.iter_mut().zip(site) {
            match base {
                b'A' => counts[0] += 1.0,
                b'C' => counts[1] += 1.0,
                b'G' => counts[2] += 1.0,
                b'T' | b'U' => counts[3] += 1.0,
                b'N' => counts.iter_mut().for_each(|count| *count += 0.25),
                other => return Err(Fault::new(line, format!("`{}` is not a base", char::from(other)))),
            }
        }
    }
    Ok(counts)
}
