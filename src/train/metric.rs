//! How well scores agree with measurements.
