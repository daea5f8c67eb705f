//! Scanners: what one worker of a scan scores chunks with.

use crate::engine::Engine;
use crate::engine::kernel::MatrixScanner;
use crate::seq::chunk::ChunkShape;
use crate::seq::window::WindowPlan;

/// Scanners of a worker.
pub enum Scanner {
    /// A model: each of its outputs is a target.
    Model {
        /// The worker's own engine.
        engine: Box<dyn Engine>,
        /// Which windows it scores.
        plan: WindowPlan,
    },
    /// Motif matrices: each is a target.
    Matrices(MatrixScanner),
}

impl Scanner {
    /// Bases that a window looks at: of its left flank, past its first base, and of its right flank.
    fn reach(&self) -> (usize, usize, usize) {
        match self {
            Scanner::Model { engine, plan } => {
                let (left, right) = engine.flanks(plan);
                (left, plan.window - 1, right)
            }
            Scanner::Matrices(matrices) => (0, matrices.longest() - 1, 0),
        }
    }

    /// Bases that the score of a window depends on: the window, and its flanks where the model sees them. Windows that share
    /// one of them see the same match of a filter.
    pub fn seen(&self, output: usize) -> u64 {
        match self {
            Scanner::Model { .. } => {
                let (left, reach, right) = self.reach();
                (left + reach + 1 + right) as u64
            }
            Scanner::Matrices(matrices) => matrices.plan(output).window as u64,
        }
    }

    /// The engine in a word or two for people, with its instruction set or device.
    pub fn description(&self) -> String {
        match self {
            Scanner::Model { engine, .. } => engine.description(),
            Scanner::Matrices(matrices) => matrices.description(),
        }
    }
}

/// The chunk shape that serves several scanners at once, with `own` window starts a chunk.
pub fn chunk_shape(own: usize, scanners: &[Scanner]) -> ChunkShape {
    let mut shape = ChunkShape { own, left: 0, right: 0, reach: 0 };
    for (left, reach, right) in scanners.iter().map(Scanner::reach) {
        shape.left = shape.left.max(left);
        shape.right = shape.right.max(reach + right);
        shape.reach = shape.reach.max(reach);
    }
    shape
}
