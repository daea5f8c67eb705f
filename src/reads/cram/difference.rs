//! Tags that CRAM leaves out, since the reference has what is in them: MD and NM.

use std::io;
use std::io::Write as _;

use noodles::fasta::Repository;
use noodles::sam;
use noodles::sam::alignment::Record;
use noodles::sam::alignment::record::cigar::op::Kind;
use noodles::sam::alignment::record::data::field::{Tag, Value};

use crate::reads::cram::LENGTH;

/// Adds to the record that stands at `start` in `out`, as BAM has it, its MD and NM, as far as it lacks them: behind its
/// other tags, and before its read group, which CRAM does not keep among the tags either. A read that is not aligned, or has
/// no sequence, has none; nor has one whose reference is not in `genome`. What htslib marks as having lacked one (tag cF: 1
/// for MD, 2 for NM) goes without it, and without the mark.
///
/// # Errors
/// The record cannot be read.
pub(crate) fn add(
    record: &impl Record,
    header: &sam::Header,
    genome: Option<&Repository>,
    out: &mut Vec<u8>,
    start: usize,
) -> io::Result<()> {
    let data = record.data();
    let lacked = take_mark(out, start);
    let wants = |tag: Tag, bit: u8| lacked & bit == 0 && data.get(&tag).is_none();
    let (md, nm) = (wants(Tag::MISMATCHED_POSITIONS, 1), wants(Tag::EDIT_DISTANCE, 2));
    let contig = record.reference_sequence(header).transpose()?;
    let (Some((contig, _)), Some(place)) = (contig, record.alignment_start().transpose()?) else {
        return Ok(());
    };
    if !(md || nm) || record.flags()?.is_unmapped() || record.sequence().is_empty() {
        return Ok(());
    }
    let Some(Ok(reference)) = genome.and_then(|genome| genome.get(contig)) else { return Ok(()) };
    let reference = reference.as_ref().as_ref().get(usize::from(place) - 1..).unwrap_or_default();
    let cigar = record.cigar();
    let operations =
        cigar.iter().map(|operation| operation.map(|operation| (operation.kind(), operation.len())));
    let operations = operations.collect::<io::Result<Vec<_>>>()?;
    let bases: Vec<u8> = record.sequence().iter().collect();
    let Some((mismatches, distance)) = difference(&operations, &bases, reference) else {
        return Ok(());
    };
    let mut tags = Vec::new();
    if md {
        tags.extend_from_slice(b"MDZ");
        tags.extend_from_slice(mismatches.as_bytes());
        tags.push(0);
    }
    if nm {
        tags.extend_from_slice(b"NMi");
        tags.write_all(&distance.to_le_bytes())?;
    }
    let mut at = out.len();
    if let Some(Ok(Value::String(group))) = data.get(&Tag::READ_GROUP) {
        let group = [&b"RGZ"[..], group.as_ref(), b"\0"].concat();
        at -= if out.ends_with(&group) { group.len() } else { 0 };
    }
    out.splice(at..at, tags);
    set_length(out, start);
    Ok(())
}

/// Writes the length of the record that stands at `start`, the last one in `out`.
fn set_length(out: &mut [u8], start: usize) {
    let length = (out.len() - start - LENGTH) as u32;
    out[start..start + LENGTH].copy_from_slice(&length.to_le_bytes());
}

/// Takes the mark out of the record that stands at `start`, the last one in `out`; 0 if it has none.
fn take_mark(out: &mut Vec<u8>, start: usize) -> u8 {
    let record = &out[start + LENGTH..];
    let Some((at, length)) = find_tag(record, *b"cF") else { return 0 };
    let (at, mark) = (start + LENGTH + at, record[at + 3]);
    out.drain(at..at + length);
    set_length(out, start);
    mark
}

/// Place and length of a tag in a record of BAM (SAM specification, section 4.2.4).
fn find_tag(record: &[u8], tag: [u8; 2]) -> Option<(usize, usize)> {
    let name = usize::from(*record.get(8)?);
    let operations = usize::from(u16::from_le_bytes(*record.get(12..)?.first_chunk()?));
    let bases = u32::from_le_bytes(*record.get(16..)?.first_chunk()?) as usize;
    let mut at = 32 + name + 4 * operations + bases.div_ceil(2) + bases;
    loop {
        let field = record.get(at..)?;
        let &[first, second, kind] = field.first_chunk()?;
        let length = 3 + match kind {
            b'Z' | b'H' => field[3..].iter().position(|&byte| byte == 0)? + 1,
            b'B' => {
                let count = u32::from_le_bytes(*field.get(4..)?.first_chunk()?) as usize;
                5 + count * size(*field.get(3)?)
            }
            kind => size(kind),
        };
        if [first, second] == tag {
            return (field.len() >= length && length > 3).then_some((at, length));
        }
        at += length;
    }
}

/// Bytes of a value of a kind.
fn size(kind: u8) -> usize {
    match kind {
        b'A' | b'c' | b'C' => 1,
        b's' | b'S' => 2,
        _ => 4,
    }
}

/// MD and NM (SAM optional fields specification, section 1.1) of a read against the reference from its first base on; `None`
/// if it reaches past the end of that.
fn difference(operations: &[(Kind, usize)], bases: &[u8], reference: &[u8]) -> Option<(String, i32)> {
    let (mut text, mut same, mut distance) = (String::new(), 0, 0);
    let (mut base, mut place) = (0, 0);
    for &(kind, length) in operations {
        match kind {
            Kind::Match | Kind::SequenceMatch | Kind::SequenceMismatch => {
                let (read, there) = (bases.get(base..base + length)?, reference.get(place..place + length)?);
                for (read, there) in read.iter().zip(there) {
                    if read.eq_ignore_ascii_case(there) {
                        same += 1;
                        continue;
                    }
                    text += &format!("{same}{}", char::from(*there));
                    (same, distance) = (0, distance + 1);
                }
                (base, place) = (base + length, place + length);
            }
            Kind::Deletion => {
                text += &format!("{same}^{}", String::from_utf8_lossy(reference.get(place..place + length)?));
                (same, distance, place) = (0, distance + length, place + length);
            }
            Kind::Insertion => (base, distance) = (base + length, distance + length),
            Kind::SoftClip => base += length,
            Kind::Skip => place += length,
            Kind::HardClip | Kind::Pad => {}
        }
    }
    Some((format!("{text}{same}"), i32::try_from(distance).ok()?))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn tags_are_found_behind_any_others() {
        let mut record = vec![0; 32];
        (record[8], record[12], record[16]) = (3, 1, 3);
        record.extend([0; 3 + 4 + 2 + 3]);
        let start = record.len();
        record.extend(b"XZZab\0XBBs\x02\0\0\0\x01\0\x01\0XfFabcdXcC\x01cFC\x03NMC\x05");
        let at = |tag: &[u8; 2]| find_tag(&record, *tag).map(|(at, length)| (at - start, length));
        assert_eq!(at(b"XZ"), Some((0, 6)));
        assert_eq!(at(b"XB"), Some((6, 12)));
        assert_eq!(at(b"cF"), Some((29, 4)));
        assert_eq!(at(b"NM"), Some((33, 4)));
        assert_eq!(at(b"MD"), None);
        let whole = record.len();
        record.splice(0..0, [0; LENGTH]);
        assert_eq!((take_mark(&mut record, 0), take_mark(&mut record, 0)), (3, 0));
        assert_eq!(record[..LENGTH], (whole as u32 - 4).to_le_bytes());
    }

    #[test]
    fn mismatches_and_deletions_are_named() {
        use Kind::{Deletion, HardClip, Insertion, Match, Skip, SoftClip};
        let reference = b"ACGTACGTACGT";
        for (operations, bases, want) in [
            (&[(Match, 4)][..], "ACGT", Some(("4", 0))),
            (&[(Match, 4)], "TCGA", Some(("0A2T0", 2))),
            (
                &[(HardClip, 2), (SoftClip, 1), (Match, 2), (Insertion, 2), (Match, 2)],
                "GACTTGA",
                Some(("3T0", 3)),
            ),
            (&[(Match, 2), (Deletion, 2), (Match, 2)], "ACCC", Some(("2^GT0A1", 3))),
            (&[(Match, 2), (Skip, 6), (Match, 2)], "ACAC", Some(("4", 0))),
            (&[(Match, 2), (Skip, 9), (Match, 2)], "ACAC", None),
            (&[(Match, 2)], "N", None),
        ] {
            let have = difference(operations, bases.as_bytes(), reference);
            assert_eq!(have, want.map(|(text, distance)| (text.to_owned(), distance)), "{bases}");
        }
    }
}
