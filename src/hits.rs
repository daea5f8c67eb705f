//! Scores to sites.
