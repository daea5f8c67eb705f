//! Windows of a contig that are scored, their strands and their context.

use serde::{Deserialize, Serialize};
use std::fmt;

/// Strands that are scored.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum StrandChoice {
    /// Both; a window's score is the better one.
    Both,
    /// Forward only.
    Forward,
    /// Reverse only.
    Reverse,
}

impl StrandChoice {
    /// Number of strands scored.
    pub fn count(self) -> usize {
        if self == StrandChoice::Both { 2 } else { 1 }
    }

    /// True if the forward strand is scored.
    pub fn forward(self) -> bool {
        self != StrandChoice::Reverse
    }
    /// True if the reverse strand is scored.
    pub fn reverse(self) -> bool {
        self != StrandChoice::Forward
    }
}

impl fmt::Display for StrandChoice {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            StrandChoice::Both => "both strands",
            StrandChoice::Forward => "the forward strand",
            StrandChoice::Reverse => "the reverse strand",
        })
    }
}

/// Bases that a padded network sees past a window's ends.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum Context {
    /// The network's own padding: a window is scored for itself, as the published program does.
    #[default]
    Padding,
    /// The real bases beside the window; N only past the contig's ends.
    Flank,
}

/// Windows of a contig that are scored, and how.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct WindowPlan {
    /// Window in bases.
    pub window: usize,
    /// Bases between window starts; starts are multiples of it, counted from the contig's first base.
    pub stride: usize,
    /// Strands scored.
    pub strands: StrandChoice,
    /// Bases past a window's ends.
    pub context: Context,
}
