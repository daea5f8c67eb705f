//! The compiled scan kernel for the DeepBind family: every window of a chunk in exact `f32`, at a cost a base that
//! does not depend on the window.
//!
//! Windows that overlap share their convolution, so a detector is placed at each position once
//! (`convolve`: three bases select a precomputed row for 16 detectors), a sliding maximum or sum pools any
//! window in three operations a position (`pool`), and the dense layers take 16 windows at a time (`dense`).
//! Where a network pads its windows, the alignments that overhang the ends are pooled by a recurrence of their own
//! (`overhang`). Positions go through these stages a tile at a time, so that intermediate results stay in the
//! cache; where a register holds eight detectors, one half of them after the other, so that their tables do, too. The reverse strand is the same sweep with reversed, complemented detectors. Where only scores above a
//! threshold are wanted, activations in 8-bit fixed point, rounded so that they bound the exact ones (`coarse`), tell
//! which windows may reach it, and only those are swept.
//!
//! A window's score is made by the same operations in the same order wherever the window lies in a chunk and
//! whatever instruction set is used: it is the same bits however the input is cut.

pub mod geometry;
pub(crate) mod prefilter;
use std::sync::{Arc, OnceLock};

use self::dense::Head;
use super::reference::{check_window, flanks};
use crate::engine::Engine;
use crate::engine::kernel::filters::Detectors;
use crate::engine::kernel::padded_edges::{End, PaddedEdge};
use crate::engine::kernel::prefilter::quantized::QuantizedBounds;
use crate::engine::kernel::prefilter::{Prefilter, PrefilterBuffers};
use crate::engine::kernel::strand_scan::{Buffers, StrandJob};
use crate::model::{ModelSpec, Network};
use crate::scores::Scores;
use crate::seq::chunk::Chunk;
use crate::seq::contig::Strand;
use crate::seq::window::{Context, StrandChoice, WindowPlan};
use crate::{Error, Result};

mod convolve;
mod dense;
mod filters;
mod matrices;
mod padded_edges;
mod pool;
mod prune;
mod simd;
mod strand_scan;

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

/// What is derived from the network once.
#[derive(Debug)]
pub(crate) struct Compiled {
    network: Network,
    /// The detectors that are computed, in the order of their lanes.
    order: Vec<usize>,
    forward: StrandTables,
    reverse: StrandTables,
    /// For each choice of strands, for windows that see padding and for those that do not; made where they are first
    /// needed.
    coarse: [OnceLock<Option<QuantizedBounds>>; 6],
}

impl Compiled {
    fn coarse(&self, plan: &WindowPlan) -> Option<&QuantizedBounds> {
        let strands = match plan.strands {
            StrandChoice::Both => 0,
            StrandChoice::Forward => 1,
            StrandChoice::Reverse => 2,
        };
        let padded = plan.context == Context::Padding;
        let sides = [&self.forward, &self.reverse];
        let coarse = &self.coarse[2 * strands + usize::from(padded)];
        coarse.get_or_init(|| QuantizedBounds::new(&self.network, sides, plan.strands, padded)).as_ref()
    }
}

/// One strand's tables.
#[derive(Debug)]
pub(crate) struct StrandTables {
    detectors: Detectors,
    /// The overhanging alignments of each group at the low and the high end of a window.
    ends: Vec<[PaddedEdge; 2]>,
}

impl StrandTables {
    fn new(network: &Network, order: &[usize], strand: Strand, simd: Simd) -> StrandTables {
        let detectors = Detectors::new(network, order, strand, simd);
        let sums = network.pooling.has_average();
        let ends = detectors.groups.iter().map(|group| {
            [(End::Low, detectors.before), (End::High, detectors.after)]
                .map(|(end, padding)| PaddedEdge::new(group, end, padding, network.rectify, sums, simd))
        });
        StrandTables { ends: ends.collect(), detectors }
    }
}

impl KernelEngine {
    /// Compiles `network` for the instruction set `simd`.
    ///
    /// # Errors
    /// A network whose parts do not fit together ([`Network::check`]).
    pub fn new(spec: ModelSpec, network: Network, simd: Simd) -> Result<KernelEngine> {
        network.check().map_err(|message| Error::model(&spec.name, message))?;
        let order = prune::detectors(&network);
        let forward = StrandTables::new(&network, &order, Strand::Forward, simd);
        let reverse = StrandTables::new(&network, &order, Strand::Reverse, simd);
        let coarse = Default::default();
        let compiled = Arc::new(Compiled { network, order, forward, reverse, coarse });
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
        self.sweep(chunk, plan, None, out)
    }

    fn score_above(
        &mut self,
        chunk: &Chunk,
        plan: &WindowPlan,
        threshold: f32,
        out: &mut Scores,
    ) -> Result<()> {
        self.sweep(chunk, plan, Some(threshold), out)
    }
}

impl KernelEngine {
    fn sweep(
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
        self.buffers.load(
            self.simd,
            chunk,
            out.start as i64 - margin as i64,
            length,
            network.detector_length,
        );
        let (simd, start) = (self.simd, out.start);
        let look = threshold.zip(compiled.coarse(plan)).and_then(|(threshold, coarse)| {
            let parts = (network, &compiled.forward, coarse, &*head);
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
