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

    /// Bases before and behind a window on which its score depends too.
    pub fn flanks(&self) -> (u64, u64) {
        let (left, _, right) = self.reach();
        (left as u64, right as u64)
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
