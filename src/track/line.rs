//! Where lines go.

use crate::output::{Output, Sealed};
use crate::{Error, Result};

/// A destination of lines that are sorted by position within each contig.
#[derive(Debug)]
pub struct LineSink(Output);

impl LineSink {
    /// Writes `header`, and then lines, to `output`.
    ///
    /// # Errors
    /// An output that cannot be written.
    pub fn new(mut output: Output, header: &str) -> Result<LineSink> {
        output.write(header.as_bytes())?;
        Ok(LineSink(output))
    }

    /// Appends whole lines.
    ///
    /// # Errors
    /// An output that cannot be written ([`Error::is_broken_pipe`]).
    pub fn write(&mut self, lines: &[u8]) -> Result<(), Error> {
        self.0.write(lines)
    }

    /// Writes what is left.
    ///
    /// # Errors
    /// As [`LineSink::write`].
    pub fn seal(self) -> Result<Vec<Sealed>> {
        Ok(vec![self.0.seal()?])
    }
}
