//! Sequences that are not bound, to tell the bound ones from.
