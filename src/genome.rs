//! Genomes: the contigs of a FASTA or 2bit file, cut into chunks. The format is recognised by the first bytes.

pub mod alias;
pub(crate) mod fasta;
pub mod random_access;
pub mod regions;
pub mod sequence_source;
pub mod sequences;
pub mod shard;
pub(crate) mod twobit;
use std::collections::VecDeque;
use std::fmt;
use std::io::{BufRead, Read};
use std::ops::Range;
use std::path::Path;
use std::sync::Arc;

use sha2::{Digest, Sha256};

use crate::genome::regions::{Selection, WHOLE};
use crate::genome::sequence_source::{Place, SequenceSource};
use crate::genome::shard::{Shard, Stretch, Stretches};
use crate::io::digest::hex;
use crate::io::input::{Input, RawInput};
use crate::seq::chunk::{Chunk, ChunkShape};
use crate::seq::contig::{Contig, RegionQuery};
use crate::{Error, Result};

/// Options for reading a genome.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct GenomeOptions {
    /// Read lower-case (soft-masked) letters as N.
    pub mask_lowercase: bool,
    /// Read these regions only; everything if there are none.
    pub regions: Vec<RegionQuery>,
}

/// Reads the contigs of a genome in order, and jumps where it is indexed.
pub(crate) trait ContigReader: fmt::Debug + Send {
    /// All contigs if the input is indexed, those met so far otherwise.
    fn contigs(&self) -> &[Arc<Contig>];

    /// True if all contigs and their lengths are known, and any can be gone to.
    fn is_indexed(&self) -> bool;

    /// Makes `contig`, a rank in an index, the next one.
    fn go_to(&mut self, contig: usize);

    /// Goes to the start of the next contig; `None` at the end.
    fn next_contig(&mut self) -> Result<Option<Arc<Contig>>>;

    /// The current contig; its length is known once it has ended.
    fn contig(&self) -> Option<&Arc<Contig>>;

    /// Bases of the current contig read or passed so far.
    fn position(&self) -> u64;

    /// Passes the bases before `position`, or all that are left if the contig is shorter.
    fn skip_to(&mut self, position: u64) -> Result<()>;

    /// From now on, [`ContigReader::read`] gives letters, in upper case, in place of codes.
    fn give_letters(&mut self);

    /// Appends the codes of the next `count` bases to `out`; fewer only where the contig ends. Returns how many.
    fn read(&mut self, count: u64, out: &mut Vec<u8>) -> Result<u64>;

    /// True if a place in `contig`, a rank in an index, can be gone to without reading what stands before it.
    fn is_regular(&self, contig: usize) -> bool;

    /// Hands the pages of a mapped file back to the system.
    fn release(&mut self);

    /// Reads on to the end of the current contig.
    fn end_contig(&mut self) -> Result<()>;

    /// Bytes consumed so far, and in all where that is known.
    fn progress(&self) -> (u64, Option<u64>);
}

/// Opens a FASTA or 2bit file, or a FASTA on standard input if `path` is `-`.
///
/// Regular files that are not compressed are mapped. A FASTA is indexed by the `.fai` beside it if that is at least as
/// new and fits, otherwise in memory. Names and regions are then checked here; on a stream as it is read.
///
/// # Errors
/// The input cannot be read, is neither FASTA nor 2bit, or names a contig twice; a region that it does not have.
pub fn open(path: &Path, options: &GenomeOptions) -> Result<Genome> {
    from_input(path, RawInput::open(path)?, options)
}

/// Reads an input that is open already; `path` stands for it in messages.
///
/// # Errors
/// As [`open`].
pub fn from_input(path: &Path, input: RawInput, options: &GenomeOptions) -> Result<Genome> {
    Genome::new(path, input.into(), options)
}

/// As [`from_input`], always indexed, as [`Genome::into_shard`] needs it: what is compressed, or a stream, is put into a
/// temporary file first.
///
/// # Errors
/// As [`open`]; a temporary file that cannot be written.
pub fn indexed_of_input(path: &Path, input: RawInput, options: &GenomeOptions) -> Result<Genome> {
    Genome::new(path, Input::from(input).into_mapped(path)?, options)
}

/// As [`indexed_of_input`], all of the file at `path`.
///
/// # Errors
/// As [`indexed_of_input`].
pub fn indexed(path: &Path) -> Result<Genome> {
    indexed_of_input(path, RawInput::open(path)?, &GenomeOptions::default())
}

/// Reads FASTA text, plain, gzip or BGZF, from any reader; `path` stands for it in messages.
///
/// # Errors
/// As [`open`], as far as the text up to the first header shows.
pub fn from_reader(
    reader: impl Read + Send + 'static,
    path: &Path,
    options: &GenomeOptions,
) -> Result<Genome> {
    from_input(path, RawInput::from_stream(path, reader, None)?, options)
}

/// True if a file begins as FASTA (plain, gzip, BGZF) or 2bit does.
///
/// # Errors
/// A file that cannot be read.
pub fn is_genome(path: &Path) -> Result<bool> {
    let mut input = Input::open(path)?;
    let action = input.read_action();
    let first = input.fill_buf().map_err(Error::io(path, action))?;
    Ok(first.starts_with(b">") || twobit::is_twobit(first))
}

/// SHA-256 of the names and lengths of contigs, in hexadecimal digits: what tells a genome from others.
pub fn digest_of_contigs(contigs: &[Arc<Contig>]) -> String {
    let mut digest = Sha256::new();
    for contig in contigs {
        digest.update(format!("{}\t{}\n", contig.name, contig.length.unwrap_or_default()));
    }
    hex(&digest.finalize())
}

/// A genome that has been opened and not read yet.
#[derive(Debug)]
pub struct Genome {
    reader: Box<dyn ContigReader>,
    selection: Option<Selection>,
}

impl Genome {
    fn new(path: &Path, mut input: Input, options: &GenomeOptions) -> Result<Genome> {
        let action = input.read_action();
        let is_twobit = twobit::is_twobit(input.fill_buf().map_err(Error::io(path, action))?);
        let reader: Box<dyn ContigReader> = match input {
            Input::Mapped(map) if is_twobit => {
                Box::new(twobit::Reader::new(path, map, options.mask_lowercase)?)
            }
            Input::Stream(_) if is_twobit => {
                let message = "2bit needs random access: give an uncompressed file, not a pipe";
                return Err(Error::format(path, None, message));
            }
            input => Box::new(fasta::Reader::new(path, input, options.mask_lowercase)?),
        };
        let mut selection = (!options.regions.is_empty()).then(|| Selection::new(options.regions.clone()));
        match &mut selection {
            Some(selection) if reader.is_indexed() => selection.resolve(reader.contigs())?,
            Some(selection) => selection.check_intervals()?,
            None => {}
        }
        Ok(Genome { reader, selection })
    }

    pub(crate) fn into_reader(self) -> Box<dyn ContigReader> {
        self.reader
    }

    /// All contigs with their lengths if the file is indexed; `None` on a stream, which has to be read first.
    pub fn contigs(&self) -> Option<&[Arc<Contig>]> {
        self.reader.is_indexed().then(|| self.reader.contigs())
    }

    /// Identity of the genome: SHA-256 of the contigs' names and lengths, in hexadecimal digits; `None` on a
    /// stream.
    pub fn digest(&self) -> Option<String> {
        self.contigs().map(digest_of_contigs)
    }

    /// The contigs or regions that are read, in order; of a genome that is indexed.
    ///
    /// # Errors
    /// A genome that is not indexed.
    pub(crate) fn segments(&self) -> Result<Vec<(Arc<Contig>, Range<u64>)>> {
        let Some(contigs) = self.contigs() else {
            return Err(Error::Request(
                "a genome that is read as a stream has no list of its contigs".into(),
            ));
        };
        let mut selection = self.selection.clone();
        let mut segments = Vec::new();
        for contig in contigs {
            let wanted = match &mut selection {
                Some(selection) => selection.take(contig)?,
                None => vec![WHOLE],
            };
            let length = contig.length.unwrap_or_default();
            segments.extend(
                wanted.into_iter().map(|wanted| (Arc::clone(contig), wanted.start..wanted.end.min(length))),
            );
        }
        Ok(segments)
    }

    /// Starts to cut the contigs into chunks.
    ///
    /// # Panics
    /// If `shape.own` is 0, or `shape.right` less than `shape.reach`.
    pub fn into_chunks(self, shape: ChunkShape) -> GenomeSource {
        assert!(shape.own > 0 && shape.right >= shape.reach);
        GenomeSource {
            reader: self.reader,
            selection: self.selection,
            planned: None,
            shape,
            contig: None,
            stretches: VecDeque::new(),
            stretch: None,
            carry: Vec::new(),
            carry_start: 0,
            finished: false,
            wanted: None,
            passed: 0,
            done: Place::default(),
        }
    }

    /// Starts to cut what `shard` owns into chunks; its seams lie on multiples of `unit`.
    ///
    /// # Errors
    /// The genome is not indexed: it is compressed, or a stream, and was not opened by [`indexed_of_input`].
    ///
    /// # Panics
    /// As [`Genome::into_chunks`].
    pub fn into_shard(self, shape: ChunkShape, shard: &Shard, unit: u64) -> Result<GenomeSource> {
        if self.contigs().is_none() {
            return Err(Error::Request(
                "shards begin within a genome: give a file that is not compressed".into(),
            ));
        }
        let segments: Vec<_> =
            self.segments()?.into_iter().map(|(contig, stretch)| (contig.id, stretch)).collect();
        let mut source = self.into_chunks(shape);
        let planned = shard.stretches(&segments, unit);
        source.wanted = Some(planned.iter().map(|(_, stretch)| stretch.read.end - stretch.read.start).sum());
        source.planned = Some(planned);
        Ok(source)
    }
}

/// A genome as a source of chunks.
pub struct GenomeSource {
    reader: Box<dyn ContigReader>,
    selection: Option<Selection>,
    shape: ChunkShape,
    /// All that is wanted, of a shard: the stretches of one contig after another.
    planned: Option<Stretches>,
    contig: Option<Arc<Contig>>,
    /// Regions of the contig that are still to be read.
    stretches: VecDeque<Stretch>,
    /// The rest of the stretch, and a flag for a chunk of it having been given.
    stretch: Option<(Stretch, bool)>,
    /// Codes that end where the reader stands and that the next chunk may need again.
    carry: Vec<u8>,
    carry_start: u64,
    finished: bool,
    /// Window starts in all of a shard, and those passed.
    wanted: Option<u64>,
    passed: u64,
    /// Work of an earlier run that has not been passed yet.
    done: Place,
}

impl fmt::Debug for GenomeSource {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("GenomeSource").field("reader", &self.reader).field("shape", &self.shape).finish()
    }
}

impl SequenceSource for GenomeSource {
    fn contigs(&self) -> &[Arc<Contig>] {
        self.reader.contigs()
    }

    fn read_chunk(&mut self, chunk: &mut Chunk) -> Result<bool> {
        loop {
            if let Some((stretch, begun)) = self.stretch.take()
                && self.fill(chunk, stretch, begun)?
            {
                return Ok(true);
            }
            self.stretch = self.stretches.pop_front().and_then(|stretch| self.not_done(stretch));
            if self.stretch.is_none() && self.stretches.is_empty() && !self.next_contig()? {
                return Ok(false);
            }
        }
    }

    fn end_contig(&mut self) -> Result<()> {
        self.reader.end_contig()
    }

    fn progress(&self) -> (u64, Option<u64>) {
        match self.wanted {
            // Bases read past the seams come on top.
            Some(wanted) => (self.passed.min(wanted), Some(wanted)),
            None => self.reader.progress(),
        }
    }
}

impl GenomeSource {
    /// Goes on from a place that an earlier run came to. To be called before the first
    /// [`SequenceSource::read_chunk`].
    pub fn skip_to(&mut self, place: Place) {
        self.done = place;
    }

    /// The stretch as far as it is not done, and whether some of it is.
    fn not_done(&mut self, mut stretch: Stretch) -> Option<(Stretch, bool)> {
        if self.done.segments > 0 {
            self.done.segments -= 1;
            self.passed = self.passed.saturating_add(stretch.read.end - stretch.read.start);
            return None;
        }
        let begun = self.done.position.take();
        let start = begun.unwrap_or(stretch.read.start);
        self.passed = self.passed.saturating_add(start - stretch.read.start);
        stretch.read.start = start;
        Some((stretch, begun.is_some()))
    }

    /// The stretches of a shard; none if this is none.
    pub(crate) fn planned(&mut self) -> &mut Stretches {
        self.planned.get_or_insert_default()
    }

    /// Fills `chunk` with the window starts `own` of `segment`, which lies on a contig of an indexed file. Only to be
    /// called before the first [`SequenceSource::read_chunk`].
    ///
    /// # Errors
    /// As [`SequenceSource::read_chunk`].
    pub(crate) fn read_window_starts(
        &mut self,
        contig: usize,
        segment: &Range<u64>,
        own: Range<u64>,
        chunk: &mut Chunk,
    ) -> Result<()> {
        self.enter(contig)?;
        let own_length = std::mem::replace(&mut self.shape.own, (own.end - own.start) as usize);
        let filled = self.fill(chunk, Stretch { read: own, ..Stretch::whole(segment.clone()) }, false);
        self.shape.own = own_length;
        (self.stretch, self.contig, self.passed) = (None, None, 0);
        filled.map(|_| ())
    }

    /// Goes to the next contig; `false` if nothing more is wanted.
    fn next_contig(&mut self) -> Result<bool> {
        if let Some(planned) = &mut self.planned {
            let Some((contig, stretch)) = planned.pop_front() else { return Ok(false) };
            self.stretches.push_back(stretch);
            if self.contig.as_ref().is_none_or(|current| current.id != contig) {
                self.enter(contig)?;
            }
            return Ok(true);
        }
        let complete = self.selection.as_ref().is_some_and(Selection::is_complete);
        let next = if self.finished || complete { None } else { self.reader.next_contig()? };
        let Some(contig) = next else {
            self.finished = true;
            return match &mut self.selection {
                Some(selection) => selection.finish(self.reader.contigs()).map(|()| false),
                None => Ok(false),
            };
        };
        let segments = match &mut self.selection {
            Some(selection) => selection.take(&contig)?,
            None => vec![WHOLE],
        };
        self.stretches = segments.into_iter().map(Stretch::whole).collect();
        self.begin(contig);
        Ok(true)
    }

    /// Goes to a contig of an indexed file.
    fn enter(&mut self, contig: usize) -> Result<()> {
        self.reader.go_to(contig);
        let contig = self.reader.next_contig()?.expect("the index has it");
        self.begin(contig);
        Ok(())
    }

    fn begin(&mut self, contig: Arc<Contig>) {
        self.contig = Some(contig);
        self.carry.clear();
        self.carry_start = 0;
    }

    /// Fills `chunk` with the first window starts of `stretch`, and keeps what is left of it; `false` if it lies behind the
    /// end of its contig, where it may.
    fn fill(&mut self, chunk: &mut Chunk, mut stretch: Stretch, begun: bool) -> Result<bool> {
        let ChunkShape { own, left, right, reach } = self.shape;
        let from = stretch.read.start;
        let own_stop = from.saturating_add(own as u64).min(stretch.next_cut(from));
        chunk.start = from.saturating_sub(left as u64);
        chunk.codes.clear();
        // One base past the owned starts, at the least, tells whether the contig goes on.
        let wanted = own_stop.saturating_add(right.max(1) as u64);
        let contig_end = self.read_codes(chunk, wanted)?;
        let segment_end = stretch.segment.end;
        if let Some(length) = contig_end
            && (length < segment_end || length == 0)
        {
            self.check_length(length)?;
        }
        if contig_end.is_some() {
            self.contig = self.reader.contig().cloned();
        }
        if from > 0 && contig_end.is_some_and(|length| from >= length) {
            self.keep(chunk, chunk.start);
            return Ok(false);
        }
        let segment_end = contig_end.map_or(segment_end, |length| segment_end.min(length));
        let own_end = own_stop.min(segment_end);
        let last = own_end == segment_end.min(stretch.read.end);
        self.keep(chunk, own_end.saturating_sub(left as u64));
        let reached = own_end.saturating_add(right as u64) - chunk.start;
        chunk.codes.truncate(usize::try_from(reached).unwrap_or(usize::MAX));
        chunk.own = from..own_end;
        chunk.end = segment_end.min(own_end.saturating_add(reach as u64));
        (chunk.segment_start, chunk.segment_end) = (stretch.segment.start, segment_end);
        chunk.first = !begun;
        chunk.last = last;
        chunk.kept = stretch.kept.clone();
        chunk.contig.clone_from(self.contig.as_ref().expect("stretches belong to a contig"));
        self.passed = self.passed.saturating_add(own_end - from);
        stretch.read.start = own_end;
        self.stretch = (!last).then_some((stretch, true));
        Ok(true)
    }

    /// Puts contig positions from `chunk.start` to `wanted` into the chunk; gives the contig's length if it ends
    /// before.
    fn read_codes(&mut self, chunk: &mut Chunk, wanted: u64) -> Result<Option<u64>> {
        let position = self.reader.position();
        if chunk.start <= position {
            let kept = (chunk.start - self.carry_start) as usize;
            chunk.codes.extend_from_slice(&self.carry[kept..]);
        } else {
            self.reader.skip_to(chunk.start)?;
        }
        let count = wanted.saturating_sub(self.reader.position());
        let short = self.reader.read(count, &mut chunk.codes)? < count;
        Ok(short.then(|| self.reader.position()))
    }

    /// Keeps the codes from contig position `from` on for the next chunk.
    fn keep(&mut self, chunk: &Chunk, from: u64) {
        self.carry.clear();
        self.carry_start = from.max(chunk.start);
        let skipped = (self.carry_start - chunk.start) as usize;
        self.carry.extend_from_slice(&chunk.codes[skipped.min(chunk.codes.len())..]);
    }

    fn check_length(&mut self, length: u64) -> Result<()> {
        match (&mut self.selection, &self.contig) {
            // Those of a shard are checked when the file is opened.
            (Some(selection), Some(contig)) if self.planned.is_none() => {
                selection.check_length(contig, length)
            }
            _ => Ok(()),
        }
    }
}
