//! The parts of a header of reads that scanning needs.

use std::collections::HashSet;
use std::path::Path;
use std::sync::Arc;

use noodles::sam;

use crate::Error;
use crate::seq::contig::Contig;

/// Contigs, order, and read groups.
#[derive(Debug, Default)]
pub(crate) struct Header {
    /// Its lines, as they are.
    pub(crate) text: Vec<u8>,
    pub(crate) contigs: Vec<Arc<Contig>>,
    /// True if it says that reads are sorted by coordinate.
    pub(crate) sorted: bool,
    pub(crate) groups: Vec<String>,
}

impl Header {
    /// A header of the lines in `text`, apart from the contigs, which are given.
    ///
    /// # Errors
    /// A contig name that is no plain text, or occurs twice.
    pub(crate) fn new(text: &[u8], contigs: Vec<(String, u64)>) -> Result<Header, String> {
        let mut header = Header { text: text.to_vec(), ..Header::default() };
        for line in text.split(|&byte| byte == b'\n' || byte == 0) {
            let line = String::from_utf8_lossy(line);
            let mut fields = line.trim_end_matches('\r').split('\t');
            let kind = fields.next();
            for field in fields {
                match (kind, field.split_once(':')) {
                    (Some("@HD"), Some(("SO", order))) => header.sorted = order == "coordinate",
                    (Some("@RG"), Some(("ID", group))) => header.groups.push(group.to_owned()),
                    _ => {}
                }
            }
        }
        let mut names = HashSet::new();
        for (id, (name, length)) in contigs.into_iter().enumerate() {
            if name.is_empty() || name.contains(char::is_control) {
                return Err(format!("the name of contig {} in the header is no plain text", id + 1));
            }
            if !names.insert(name.clone()) {
                return Err(format!("contig {name} occurs twice in the header"));
            }
            header.contigs.push(Arc::new(Contig { id, name, length: Some(length) }));
        }
        Ok(header)
    }

    /// A header of the lines in `text`, which name its contigs, and the same as noodles has it; `path` stands for the reads
    /// in messages.
    ///
    /// # Errors
    /// Lines that are no header, or as [`Header::new`].
    pub(crate) fn from_lines(path: &Path, text: &[u8]) -> crate::Result<(sam::Header, Header)> {
        let wrong =
            |error: std::io::Error| Error::format(path, None, format!("the header is wrong: {error}"));
        let lines = sam::io::Reader::new(text).read_header().map_err(wrong)?;
        let contigs = lines.reference_sequences().iter();
        let contigs =
            contigs.map(|(name, map)| (name.to_string(), usize::from(map.length()) as u64)).collect();
        let header = Header::new(text, contigs).map_err(|message| Error::format(path, None, message))?;
        Ok((lines, header))
    }
}
