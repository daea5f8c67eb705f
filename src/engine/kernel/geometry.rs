//! Positions of the alignments of windows in a chunk.

use crate::engine::kernel::strand_tables::StrandTables;
use crate::model::Network;
use crate::seq::window::{Context, WindowPlan};

/// Largest amount by which a bound may fall below the score.
pub(crate) fn slack(network: &Network) -> f32 {
    // The library's exponential may be off by a last bit, and then a bound too.
    if network.sigmoid { 1e-6 } else { 0.0 }
}

/// Positions of the alignments of windows.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Geometry {
    /// Padding columns before and after each window.
    pub(crate) padding: (usize, usize),
    /// Inner alignments of a window.
    pub(crate) inner: usize,
    /// Start, in the codes, of the alignment at position 0.
    pub(crate) origin: usize,
}

impl Geometry {
    pub(crate) fn new(network: &Network, side: &StrandTables, plan: &WindowPlan, margin: usize) -> Geometry {
        let filters = &side.filters;
        let padded = plan.context == Context::Padding;
        let padding = if padded { (filters.before, filters.after) } else { (0, 0) };
        let bases = if padded { plan.window } else { plan.window + filters.before + filters.after };
        let inner = (bases + 1).saturating_sub(network.filter_length);
        let origin = if padded { margin } else { margin - filters.before };
        Geometry { padding, inner, origin }
    }
}
