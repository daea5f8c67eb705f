//! Memory-mapped files.
