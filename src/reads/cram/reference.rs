//! The reference that the reads of a CRAM file were compressed against.

use std::collections::HashMap;
use std::io;
use std::path::{Path, PathBuf};
use std::sync::{Arc, Mutex, PoisonError};

use md5::{Digest, Md5};
use noodles::fasta;
use noodles::fasta::record::{Definition, Sequence};
use noodles::fasta::repository::Adapter;
use noodles::sam;

use crate::genome;
use crate::genome::ContigReader;
use crate::genome::regions::{namesake, suggestion};
use crate::io::digest::hex;
use crate::reads::cram::container::Container;
use crate::seq::contig::Contig;
use crate::{Error, Result};

/// A genome, and where it is.
struct File {
    path: PathBuf,
    reader: Mutex<Box<dyn ContigReader>>,
}

/// A contig as the header of the reads describes it.
struct Told {
    length: u64,
    md5: Option<String>,
}

/// A genome of which one contig at a time is read, a byte a base.
#[derive(Clone)]
pub(crate) struct Reference {
    reads: PathBuf,
    genome: Option<Arc<File>>,
    contigs: Arc<HashMap<Vec<u8>, Told>>,
    checks: Checks,
}

/// Operations on contigs.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Checks {
    /// Nothing: noodles compares the MD5 of each slice that has reads of one contig.
    Slices,
    /// Their MD5 is compared.
    Contigs,
    /// They are not looked at: all is N. Slices with reads of several contigs ask for them even where no read needs one.
    Unused,
}

impl Reference {
    /// Opens the genome at `path`, or, if none is given, the file that the contigs of `header` name (UR) if it is there.
    /// Reads without a reference need none. `reads` is the file of the reads.
    ///
    /// # Errors
    /// A genome that cannot be read.
    pub(crate) fn open(reads: &Path, path: Option<&Path>, header: &sam::Header) -> Result<Reference> {
        let path = path.map(Path::to_path_buf).or_else(|| named(header));
        let genome = path.map(|path| {
            let mut reader = genome::indexed(&path)?.into_reader();
            reader.give_letters();
            log::info!("{}: reads are compressed against {}", reads.display(), path.display());
            Ok(Arc::new(File { path, reader: Mutex::new(reader) }))
        });
        let contigs = header.reference_sequences().iter().map(|(name, map)| {
            let md5 = map.other_fields().get(b"M5").map(|md5| md5.to_string().to_lowercase());
            (name.to_vec(), Told { length: usize::from(map.length()) as u64, md5 })
        });
        Ok(Reference {
            reads: reads.to_path_buf(),
            genome: genome.transpose()?,
            contigs: Arc::new(contigs.collect()),
            checks: Checks::Slices,
        })
    }

    /// Contigs as noodles takes them: those that are asked for are kept until it is dropped.
    pub(crate) fn repository(&self, checks: Checks) -> fasta::Repository {
        fasta::Repository::new(Reference { checks, ..self.clone() })
    }

    /// True if there is such a contig, with the length and the MD5 that the header of the reads tells, as far as it does.
    pub(crate) fn agrees(&self, name: &str) -> bool {
        Reference { checks: Checks::Contigs, ..self.clone() }.letters(name).is_ok()
    }

    /// The error for reads that were compressed against other bases.
    pub(crate) fn other_bases(&self, header: &sam::Header, container: &Container) -> Error {
        let contig = container.contig.and_then(|contig| header.reference_sequences().get_index(contig));
        let name = contig.map_or("a contig".into(), |(name, _)| name.to_string());
        self.other(&name, &format!("container {}", container.number))
    }

    fn other(&self, name: &str, place: &str) -> Error {
        let path = self.genome.as_ref().map_or(&self.reads, |genome| &genome.path);
        let message = format!(
            "{name} has other bases than the reference that {} was compressed against (MD5, {place}): give that one with --reference",
            self.reads.display()
        );
        Error::format(path, None, message)
    }

    fn letters(&self, name: &str) -> Result<Vec<u8>> {
        let told = self.contigs.get(name.as_bytes());
        if let (Checks::Unused, Some(told)) = (self.checks, told) {
            return Ok(vec![b'N'; told.length as usize]);
        }
        let Some(File { path, reader }) = self.genome.as_deref() else {
            let message =
                "its reads are compressed against a reference: give the genome with --reference (-T)";
            return Err(Error::format(&self.reads, None, message));
        };
        // A thread that failed has left a reader that goes to a contig before it reads.
        let mut reader = reader.lock().unwrap_or_else(PoisonError::into_inner);
        let contigs = reader.contigs();
        let Some(contig) = contigs.iter().find(|contig| contig.name == name).map(Arc::clone) else {
            let hint = match namesake(name, contigs) {
                Some(contig) => {
                    format!("it calls it {}: give the genome that has the names of the reads", contig.name)
                }
                None => suggestion(name, contigs),
            };
            let message = format!(
                "there is no contig {name} in it, against which {} is compressed; {hint}",
                self.reads.display()
            );
            return Err(Error::format(path, None, message));
        };
        self.check_length(path, &contig, told.map(|told| told.length))?;
        let mut letters = Vec::with_capacity(contig.length.unwrap_or_default() as usize);
        reader.go_to(contig.id);
        reader.next_contig()?;
        reader.read(u64::MAX, &mut letters)?;
        reader.release();
        if let (Checks::Contigs, Some(md5)) = (self.checks, told.and_then(|told| told.md5.as_ref()))
            && *md5 != hex(&Md5::digest(&letters))
        {
            return Err(self.other(name, "M5 in the header"));
        }
        Ok(letters)
    }

    fn check_length(&self, path: &Path, contig: &Contig, told: Option<u64>) -> Result<()> {
        if told.is_some() && told != contig.length {
            let message = format!(
                "{} has {} bases, and {} in the header of {}: give the genome that its reads were compressed against",
                contig.name,
                contig.length.unwrap_or_default(),
                told.unwrap_or_default(),
                self.reads.display()
            );
            return Err(Error::format(path, None, message));
        }
        Ok(())
    }
}

/// The first file on this machine that a contig is said to be from.
fn named(header: &sam::Header) -> Option<PathBuf> {
    let named = header.reference_sequences().values().filter_map(|map| map.other_fields().get(b"UR"));
    let path = |name: &[u8]| {
        let name = std::str::from_utf8(name).ok()?;
        let name = name.strip_prefix("file:").map_or(name, |name| name.strip_prefix("//").unwrap_or(name));
        Some(PathBuf::from(name)).filter(|path| path.is_file())
    };
    named.filter_map(|name| path(name.as_ref())).next()
}

impl Adapter for Reference {
    fn get(&mut self, name: &[u8]) -> Option<io::Result<fasta::Record>> {
        let letters = self.letters(&String::from_utf8_lossy(name)).map_err(io::Error::other);
        Some(letters.map(|letters| fasta::Record::new(Definition::new(name, None), Sequence::from(letters))))
    }
}
