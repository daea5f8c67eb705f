//! The tables of one strand: its filters, and their alignments that overhang a window's ends.

use crate::engine::kernel::filters::Filters;
use crate::engine::kernel::padded_edges::{End, PaddedEdge};
use crate::engine::kernel::simd::Simd;
use crate::model::Network;
use crate::seq::contig::Strand;

/// Tables of one strand.
#[derive(Debug)]
pub(crate) struct StrandTables {
    pub(crate) filters: Filters,
    /// The overhanging alignments of each group at the low and the high end of a window.
    pub(crate) ends: Vec<[PaddedEdge; 2]>,
}

impl StrandTables {
    pub(crate) fn new(network: &Network, order: &[usize], strand: Strand, simd: Simd) -> StrandTables {
        let filters = Filters::new(network, order, strand, simd);
        let sums = network.pooling.has_average();
        let ends = filters.groups.iter().map(|group| {
            [(End::Low, filters.before), (End::High, filters.after)]
                .map(|(end, padding)| PaddedEdge::new(group, end, padding, network.rectify, sums, simd))
        });
        StrandTables { ends: ends.collect(), filters }
    }
}
