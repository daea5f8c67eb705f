//! The best window of a scan without sites: how far below the threshold everything lies.

use crate::Result;
use crate::engine::scanner::Scanner;
use crate::genome::sequence_source::SequenceSource;
use crate::scan::chunk_hits::{Found, Need};
use crate::seq::chunk::Chunk;
use crate::track::Target;

/// The lowest p-value of a window that reaches the threshold of its target, and the rank of that target; `None` if no window
/// does. Every target has a null distribution.
///
/// # Errors
/// Whatever the source or an engine meets.
pub fn lowest_p(
    mut source: Box<dyn SequenceSource>,
    scanners: &mut [Box<dyn Scanner>],
    targets: &[Target],
) -> Result<Option<(f64, usize)>> {
    let need = Need { all: false, scores: false, hits: true };
    let (mut chunk, mut found) = (Chunk::default(), Found::default());
    let mut lowest: Option<(f64, usize)> = None;
    while source.read_chunk(&mut chunk)? {
        for (number, scanner) in scanners.iter_mut().enumerate() {
            let ranked = targets.iter().enumerate();
            let of_scanner: Vec<_> = ranked.filter(|(_, target)| target.scanner == number).collect();
            let place = |start: u64| format!("{}:{}", chunk.contig.name, start + 1);
            found.scan(scanner.as_mut(), &chunk, &of_scanner, need, |_, _, _, _| Ok(()), place)?;
            for (rank, target) in of_scanner {
                let Some(null) = &target.null else { continue };
                for hit in found.hits(target.output) {
                    let p = null.p(hit.score, hit.strand);
                    lowest = lowest.filter(|lowest| lowest.0 <= p).or(Some((p, rank)));
                }
            }
        }
    }
    Ok(lowest)
}
