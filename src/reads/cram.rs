//! CRAM: containers, decoded by several threads into the records of BAM.

use std::collections::VecDeque;
use std::io;
use std::ops::Range;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::thread::{self, JoinHandle};

use crossbeam_channel::{Receiver, Sender, bounded, unbounded};
use noodles::fasta::Repository;
use noodles::sam::alignment::Record;
use noodles::sam::alignment::io::Write;
use noodles::{bam, cram, sam};

use crate::io::guard;
use crate::io::input::{Counted, RawInput};
use crate::reads::header::Header;
use crate::reads::{ReadOptions, RecordReader};
use crate::{Error, Result};

mod container;
mod difference;
mod index;
mod reference;

use crate::reads::cram::container::Container;
use crate::reads::cram::index::Index;
use crate::reads::cram::reference::{Checks, Reference};

/// Bytes of the length that stands before a record.
const LENGTH: usize = 4;

/// Place of the mapping quality in a record.
const MAPPING_QUALITY: usize = 9;

/// Reads the records of a CRAM file.
pub(crate) struct Reader {
    path: PathBuf,
    input: Counted<RawInput>,
    consumed: Arc<AtomicU64>,
    index: Option<Index>,
    /// Places of the containers that are still to be read, of a region.
    places: std::vec::IntoIter<u64>,
    decoder: Arc<Decoder>,
    /// True if the reference's contig in hand is that of the header: only then tags are made of it.
    agrees: bool,
    /// The contig that containers in hand need.
    repository: Repository,
    /// Contigs of containers with reads of several.
    several: Repository,
    /// The same of containers that have no need of them.
    unused: Repository,
    /// Contig of the last container that has one.
    contig: Option<usize>,
    containers: u64,
    ended: bool,
    /// Containers to be decoded; none once all are.
    work: Option<Sender<Work>>,
    threads: Vec<JoinHandle<()>>,
    /// Results of the containers that the threads decode, in order.
    order: VecDeque<Receiver<Decoded>>,
    /// Records that are decoded, each behind its length, and how far they are read.
    decoded: Vec<u8>,
    read: usize,
}

/// A container, and where its records go.
struct Work {
    container: Container,
    repository: Repository,
    /// True if tags that CRAM leaves out can be made of it.
    agrees: bool,
    done: Sender<Decoded>,
}

/// Records as BAM has them, each behind its length.
type Decoded = Result<Vec<u8>>;

impl Reader {
    /// Reads the header, and the index if one is needed.
    ///
    /// # Errors
    /// A file that is cut short, damaged or of another version, a reference that cannot be read, no index, or one that is
    /// older than the file.
    pub(crate) fn new(path: &Path, input: RawInput, options: &ReadOptions) -> Result<(Reader, Header)> {
        if let RawInput::Mapped(map) = &input
            && !map.content().ends_with(&container::END)
            && map.content().starts_with(b"CRAM\x03")
        {
            return Err(no_end(path));
        }
        let index = if options.regions.is_empty() { None } else { Some(Index::beside(path)?) };
        let consumed = Arc::new(AtomicU64::new(0));
        let mut input = Counted::new(input, Arc::clone(&consumed));
        let text = header_text(path, &mut input)?;
        let (header, known) = Header::from_lines(path, &text)?;
        let reference = Reference::open(path, options.reference.as_deref(), &header)?;
        // Whatever is waiting is bounded by `order`.
        let (work, waiting) = unbounded::<Work>();
        let decoder = Arc::new(Decoder {
            path: path.to_path_buf(),
            header,
            reference: reference.clone(),
            all_tags: options.all_tags,
        });
        let threads = (0..options.threads.max(1)).map(|_| {
            let (decoder, waiting) = (Arc::clone(&decoder), waiting.clone());
            let run = move || {
                for Work { container, repository, agrees, done } in waiting {
                    // Nobody waits for it once another region is read.
                    let _ = done.send(decoder.decode(&container, &repository, agrees));
                }
            };
            thread::Builder::new().name("cram".into()).spawn(run)
        });
        let threads = threads.collect::<io::Result<_>>().map_err(Error::io(path, "cannot start threads"))?;
        let reader = Reader {
            path: path.to_path_buf(),
            input,
            consumed,
            index,
            places: Vec::new().into_iter(),
            repository: reference.repository(Checks::Slices),
            several: reference.repository(Checks::Contigs),
            unused: reference.repository(Checks::Unused),
            decoder,
            agrees: false,
            contig: None,
            containers: 0,
            ended: false,
            work: Some(work),
            threads,
            order: VecDeque::new(),
            decoded: Vec::new(),
            read: 0,
        };
        Ok((reader, known))
    }

    /// Reads the next container; `None` at the end.
    fn next_container(&mut self) -> Result<Option<Container>> {
        if self.index.is_some() {
            let Some(place) = self.places.next() else { return Ok(None) };
            io::Seek::seek(&mut self.input, io::SeekFrom::Start(place))
                .map_err(Error::io(&self.path, "cannot read"))?;
        }
        let number = self.containers + 1;
        let container = Container::read(&mut self.input, number).map_err(|error| {
            if error.kind() != io::ErrorKind::UnexpectedEof {
                return Error::io(&self.path, "cannot read")(error);
            }
            let message = match number {
                1 => "it ends before its first reads: it is cut short".to_owned(),
                _ => format!("it ends behind {} containers: it is cut short", number - 1),
            };
            Error::format(&self.path, None, message)
        })?;
        self.containers = number;
        Ok(container)
    }

    /// Hands containers to the threads, as many as they may have.
    fn hand_out(&mut self) -> Result<()> {
        while !self.ended && self.order.len() <= self.threads.len() {
            let Some(container) = self.next_container()? else {
                self.ended = true;
                break;
            };
            // One contig after another is in memory, as far as containers have one.
            if let Some(contig) = container.contig
                && self.contig.replace(contig) != Some(contig)
            {
                self.repository = self.decoder.reference.repository(Checks::Slices);
                self.agrees = self.decoder.all_tags && self.decoder.agrees(contig);
            }
            let (done, result) = bounded(1);
            let (repository, agrees) = match (container.of_several, container.needs_reference()) {
                (true, true) => (&self.several, true),
                (true, false) => (&self.unused, false),
                (false, _) => (&self.repository, self.agrees),
            };
            let work = Work { repository: repository.clone(), agrees, container, done };
            let sent = self.work.as_ref().is_some_and(|threads| threads.send(work).is_ok());
            if !sent {
                return Err(self.lost());
            }
            self.order.push_back(result);
        }
        Ok(())
    }

    fn lost(&self) -> Error {
        Error::format(&self.path, None, "a thread that decodes it was lost")
    }
}

/// Reads all before the first reads: gives the lines of the header (CRAM specification, sections 6 and 8.3).
fn header_text(path: &Path, input: &mut Counted<RawInput>) -> Result<Vec<u8>> {
    let wrong = |error: io::Error| match error.kind() {
        io::ErrorKind::UnexpectedEof => {
            Error::format(path, None, "it ends within the header: it is cut short")
        }
        _ => Error::format(path, None, format!("the header is wrong: {error}")),
    };
    let mut reader = cram::io::Reader::new(input);
    let definition = reader.read_file_definition().map_err(wrong)?;
    let (major, minor) = (definition.version().major(), definition.version().minor());
    if major != 3 || minor > 1 {
        let message = format!(
            "CRAM {major}.{minor} is not read; 3.0 and 3.1 are: samtools view -C --output-fmt-option version=3.0 makes it anew"
        );
        return Err(Error::format(path, None, message));
    }
    let mut text = Vec::new();
    let mut reader = reader.header_reader();
    let mut container = reader.container_reader().map_err(wrong)?;
    let mut lines = container.raw_sam_header_reader().map_err(wrong)?;
    io::Read::read_to_end(&mut lines, &mut text).map_err(wrong)?;
    lines.discard_to_end().map_err(wrong)?;
    drop(lines);
    container.discard_to_end().map_err(wrong)?;
    // Some writers leave room behind it.
    let end = text.iter().rposition(|&byte| byte != 0).map_or(0, |last| last + 1);
    text.truncate(end);
    Ok(text)
}

fn no_end(path: &Path) -> Error {
    Error::format(
        path,
        None,
        "the end-of-file container of CRAM is missing: it is cut short (samtools quickcheck)",
    )
}

impl RecordReader for Reader {
    fn read(&mut self, out: &mut Vec<u8>) -> Result<bool> {
        while self.read == self.decoded.len() {
            self.hand_out()?;
            let Some(result) = self.order.pop_front() else {
                if self.index.is_none() {
                    self.work = None;
                    let joined = self.threads.drain(..).try_for_each(JoinHandle::join);
                    joined.map_err(|_| self.lost())?;
                }
                return Ok(false);
            };
            self.decoded = result.recv().map_err(|_| self.lost())??;
            self.read = 0;
        }
        let rest = &self.decoded[self.read..];
        let length = rest.first_chunk().map_or(0, |&length| u32::from_le_bytes(length) as usize);
        out.extend_from_slice(&rest[LENGTH..LENGTH + length]);
        self.read += LENGTH + length;
        Ok(true)
    }

    fn go_to(&mut self, contig: usize, region: &Range<u64>) -> Result<()> {
        let index = self.index.as_ref().expect("regions have an index");
        self.places = index.places(contig, region).into_iter();
        self.order.clear();
        self.decoded.clear();
        self.read = 0;
        self.ended = false;
        Ok(())
    }

    fn position(&self) -> u64 {
        self.consumed.load(Ordering::Relaxed)
    }
}

/// Decoder of containers.
struct Decoder {
    path: PathBuf,
    header: sam::Header,
    reference: Reference,
    /// True if tags that CRAM leaves out are wanted.
    all_tags: bool,
}

impl Decoder {
    /// True if the reference's contig is the one that the header tells of. Embedded bases are not compared with it.
    fn agrees(&self, contig: usize) -> bool {
        let contig = self.header.reference_sequences().get_index(contig);
        contig.is_some_and(|(name, _)| self.reference.agrees(&name.to_string()))
    }

    fn decode(&self, container: &Container, repository: &Repository, agrees: bool) -> Decoded {
        let number = container.number;
        let damaged = |what: &str| {
            Error::format(&self.path, None, format!("container {number} cannot be decoded: {what}"))
        };
        if let Some(message) = container.fault() {
            return Err(damaged(message));
        }
        // noodles panics where the contents of a container contradict each other.
        match guard::caught(|| self.records(container, repository, agrees)) {
            Some(Ok(records)) => Ok(records),
            Some(Err(error)) => match error.downcast::<Error>() {
                Ok(error) => Err(error),
                Err(error) if error.to_string().starts_with("reference sequence checksum") => {
                    Err(self.reference.other_bases(&self.header, container))
                }
                Err(error) => Err(damaged(&error.to_string())),
            },
            None => Err(damaged("it is damaged, or its reference is another one")),
        }
    }

    fn records(&self, container: &Container, repository: &Repository, agrees: bool) -> io::Result<Vec<u8>> {
        let mut reader = cram::io::Reader::new(&container.bytes[..]);
        let mut content = cram::io::reader::Container::default();
        if reader.read_container(&mut content)? == 0 {
            return Ok(Vec::new());
        }
        let compression = content.compression_header()?;
        let mut encoder = bam::io::Writer::from(Vec::new());
        let genome = agrees.then_some(repository);
        for slice in content.slices() {
            let slice = slice?;
            let (core, external) = slice.decode_blocks()?;
            let records = slice.records(repository.clone(), &self.header, &compression, &core, &external)?;
            for record in &records {
                let start = encoder.get_ref().len();
                encoder.write_alignment_record(&self.header, record)?;
                if record.flags()?.is_unmapped() {
                    // CRAM does not keep it of these; htslib writes 0, noodles 255.
                    encoder.get_mut()[start + LENGTH + MAPPING_QUALITY] = 0;
                }
                if self.all_tags {
                    difference::add(record, &self.header, genome, encoder.get_mut(), start)?;
                }
            }
        }
        Ok(encoder.into_inner())
    }
}
