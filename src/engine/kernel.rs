//! The scan kernel of the DeepBind family: exact `f32` scores of every window of a chunk.
//!
//! By definition, a window's score on one strand is
//!
//! ```text
//! for each filter f:
//!     for each alignment p of f with the window, padding included:
//!         x[f][p] = sum over columns c of weight[f][c][base[p + c]]  +  bias[f]
//!     feature[f] = max over p of x[f][p], rectified      (or the mean; or both)
//! score = output(hidden(feature))
//! ```
//!
//! Scored one by one, windows of w bases repeat the inner loop w times for each base. The kernel computes the same
//! numbers as follows; the order is that of the gain.
//!
//! 1. **Windows share the convolution** (`convolve`). `x[f][p]` does not depend on the window, so it is computed once for
//!    each position of the chunk. The cost of a base does not depend on the window.
//! 2. **Three columns are one look-up** (`convolve`). Three bases (or N) select a precomputed row with the partial
//!    sums of 16 filters; a filter of 24 columns is eight additions. Partial sums travel along the diagonal, so that one
//!    index serves the positions whose alignments meet there.
//! 3. **Pooling slides** (`pool`). A maximum over any window takes three operations a position (running
//!    maxima of blocks from the left and from the right); sums are made the same way, and nothing is subtracted.
//! 4. **Padded edges are a recurrence** (`padded_edges`). Alignments that overhang a window's ends see padding there, and
//!    cannot be shared as they are; those of neighbouring windows follow from each other column by column.
//! 5. **Dense layers take 16 windows at a time** (`dense`), and windows with equal features once
//!    (`strand_scan`): neighbours often share all maxima.
//! 6. **Tiles stay in the cache** (`strand_scan`). Positions pass through the stages a tile at a time. Where a register
//!    holds eight filters, one half of them goes first and then the other, so that the tables of a half stay in the
//!    first-level cache.
//! 7. **The reverse strand** is the same scan with reversed, complemented filters; codes are never reversed.
//! 8. **With a threshold, most windows are not scored** (`prefilter`). Activations in 8-bit fixed point, rounded so that
//!    they bound the exact ones, tell which windows may reach the threshold. Only those are scored exactly, so what is
//!    reported does not change. A scan backs off where the bounds rule out too little.
//! 9. **Filters that cannot matter are dropped** (`prune`): those that no sequence can make positive under a rectifier.
//!
//! A window's score is made by the same operations in the same order wherever the window lies in a chunk and whatever the
//! instruction set: it is the same bits however the input is cut. [`reference`](mod@super::reference) is the definition
//! above in `f64`, and the oracle of the tests.

use std::sync::{Arc, OnceLock};

use crate::engine::Engine;
use crate::engine::kernel::dense::Head;
use crate::engine::kernel::prefilter::quantized::QuantizedBounds;
use crate::engine::kernel::prefilter::{Prefilter, PrefilterBuffers};
use crate::engine::kernel::strand_scan::{Buffers, StrandJob};
use crate::engine::kernel::strand_tables::StrandTables;
use crate::engine::reference::{check_window, flanks};
use crate::model::{ModelSpec, Network};
use crate::scores::Scores;
use crate::seq::chunk::Chunk;
use crate::seq::contig::Strand;
use crate::seq::window::{Context, StrandChoice, WindowPlan};
use crate::{Error, Result};

mod convolve;
mod dense;
mod filters;
mod geometry;
mod matrices;
mod padded_edges;
mod pool;
pub(crate) mod prefilter;
mod prune;
pub(crate) mod simd;
mod strand_scan;
mod strand_tables;
mod triple;

pub use matrices::MatrixScanner;
pub use simd::{Simd, VARIABLE};

/// Scores windows with a compiled [`Network`]. Clones share the tables, so that one a thread costs little.
#[derive(Debug, Clone)]
pub struct KernelEngine {
    spec: ModelSpec,
    compiled: Arc<Compiled>,
    simd: Simd,
    /// The dense layers for the number of alignments that was met last.
    head: Option<(usize, Head)>,
    buffers: Buffers,
    looks: PrefilterBuffers,
}

/// Tables that are derived from the network once.
#[derive(Debug)]
pub(crate) struct Compiled {
    network: Network,
    /// The filters that are computed, in the order of their lanes.
    order: Vec<usize>,
    forward: StrandTables,
    reverse: StrandTables,
    /// For each choice of strands, for windows that see padding and for those that do not; made where they are first
    /// needed.
    quantized: [OnceLock<Option<QuantizedBounds>>; 6],
}

impl Compiled {
    fn quantized(&self, plan: &WindowPlan) -> Option<&QuantizedBounds> {
        let strands = match plan.strands {
            StrandChoice::Both => 0,
            StrandChoice::Forward => 1,
            StrandChoice::Reverse => 2,
        };
        let padded = plan.context == Context::Padding;
        let sides = [&self.forward, &self.reverse];
        let quantized = &self.quantized[2 * strands + usize::from(padded)];
        quantized.get_or_init(|| QuantizedBounds::new(&self.network, sides, plan.strands, padded)).as_ref()
    }
}

impl KernelEngine {
    /// Compiles `network` for the instruction set `simd`.
    ///
    /// # Errors
    /// A network whose parts do not fit together ([`Network::check`]).
    pub fn new(spec: ModelSpec, network: Network, simd: Simd) -> Result<KernelEngine> {
        network.check().map_err(|message| Error::model(&spec.name, message))?;
        let order = prune::active_filters(&network);
        let forward = StrandTables::new(&network, &order, Strand::Forward, simd);
        let reverse = StrandTables::new(&network, &order, Strand::Reverse, simd);
        let quantized = Default::default();
        let compiled = Arc::new(Compiled { network, order, forward, reverse, quantized });
        Ok(KernelEngine {
            spec,
            compiled,
            simd,
            head: None,
            buffers: Buffers::default(),
            looks: PrefilterBuffers::default(),
        })
    }

    /// The instruction set in use.
    pub fn simd(&self) -> Simd {
        self.simd
    }

    /// The network that was compiled.
    pub fn network(&self) -> &Network {
        &self.compiled.network
    }
}

impl Engine for KernelEngine {
    fn spec(&self) -> &ModelSpec {
        &self.spec
    }

    fn description(&self) -> String {
        format!("kernel/{}", self.simd())
    }

    fn flanks(&self, plan: &WindowPlan) -> (usize, usize) {
        flanks(&self.compiled.network, plan)
    }

    fn score(&mut self, chunk: &Chunk, plan: &WindowPlan, out: &mut Scores) -> Result<()> {
        self.scan(chunk, plan, None, out)
    }

    fn score_above(
        &mut self,
        chunk: &Chunk,
        plan: &WindowPlan,
        threshold: f32,
        out: &mut Scores,
    ) -> Result<()> {
        self.scan(chunk, plan, Some(threshold), out)
    }
}

impl KernelEngine {
    fn scan(
        &mut self,
        chunk: &Chunk,
        plan: &WindowPlan,
        threshold: Option<f32>,
        out: &mut Scores,
    ) -> Result<()> {
        let compiled = Arc::clone(&self.compiled);
        let network = &compiled.network;
        check_window(&self.spec, network, plan.window)?;
        out.reset(chunk, plan, network.output.outputs);
        if out.windows == 0 {
            return Ok(());
        }
        let alignments = network.alignments(plan.window);
        if self.head.as_ref().is_none_or(|(made_for, _)| *made_for != alignments) {
            self.head = Some((alignments, Head::new(network, &compiled.order, alignments)));
        }
        let Some((_, head)) = &mut self.head else { return Ok(()) };
        if threshold.is_some() {
            head.make_bounds();
        }

        let margin = flanks(network, plan).0;
        let length = (out.windows - 1) * plan.stride + plan.window + 2 * margin;
        self.buffers.load(self.simd, chunk, out.start as i64 - margin as i64, length, network.filter_length);
        let (simd, start) = (self.simd, out.start);
        let look = threshold.zip(compiled.quantized(plan)).and_then(|(threshold, quantized)| {
            let parts = (network, &compiled.forward, quantized, &*head);
            Prefilter::new(parts, simd, plan, margin, threshold, self.buffers.sequence())
        });
        let looked = look.is_some();
        if let Some(look) = look {
            look.find(out.windows, &mut self.looks);
        }
        let strands = [(&compiled.forward, &mut out.forward), (&compiled.reverse, &mut out.reverse)];
        for ((side, scores), promising) in strands.into_iter().zip(&self.looks.candidates) {
            if !scores.is_empty() {
                let job = StrandJob { network, side, head, simd, plan, margin, start, threshold };
                let promising = looked.then_some(promising.as_slice());
                job.run(out.windows, promising, &mut self.buffers, scores);
            }
        }
        Ok(())
    }
}
