//! State of a scan, saved so that it can resume after an interruption.
//!
//! Beside the first output lies a folder with two files. `log` holds what the tracks and statistics have been given so far,
//! call by call: a scan that goes on gives them the same once more, and needs to know nothing of their formats. `state` says
//! to which chunk of the input that belongs, how many bytes of the log, and what waits for the next chunk. It is replaced as
//! a whole, after the log has reached the disk; what the log holds past it is forgotten.
//!
//! Every record of the log has a checksum, and so has `state`. The log also holds earlier states, few enough to take little
//! room: where a record or `state` is damaged, the scan goes on from the last one before the damage.
//!
//! The state belongs to one scan, identified by its key: the command, the models, the genome and the outputs.

use std::fs::{self, File, TryLockError};
use std::io::{BufReader, BufWriter, Read, Seek, SeekFrom, Write};
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::{Duration, Instant};

use serde::{Deserialize, Serialize};

use crate::genome::sequence_source::Place;
use crate::io::checksum::crc32;
use crate::null::fdr::TestCounts;
use crate::scan::deferred;
use crate::scan::statistics::{Sampled, Stretch};
use crate::seq::contig::Contig;
use crate::sites::core::Located;
use crate::track::score::{Encoded, ScoreState};
use crate::{Error, Result};

/// Ratio of the time spent scanning to the time spent saving state.
const SPACING: u32 = 20;

/// Keeps what a scan has done.
#[derive(Debug)]
pub struct Journal {
    folder: PathBuf,
    log: BufWriter<File>,
    /// Bytes of the log.
    logged: u64,
    /// Of these, those behind the last state in it.
    since: u64,
    key: String,
    /// The state that was found.
    found: Option<State>,
    saved: Instant,
    /// Time from one state to the next.
    spacing: Duration,
}

/// State of a scan between two chunks.
#[derive(Debug, Clone, Default, Serialize, Deserialize)]
pub(super) struct State {
    pub(super) key: String,
    pub(super) logged: u64,
    pub(super) place: Place,
    /// Sites that wait for the next chunk, [encoded](deferred::encode) without codes.
    pub(super) pending: Vec<u8>,
    pub(super) windows: Vec<u64>,
    pub(super) counts: bool,
    pub(super) scores: Vec<ScoreState>,
    /// Counts of tests of each target, if q-values are asked for.
    pub(super) tests: Vec<TestCounts>,
    /// If statistics are wanted: rank, name, length and bases so far of the contig in hand, and the codes of pending hits.
    pub(super) contig: Option<(usize, String, Option<u64>, u64)>,
    pub(super) codes: Vec<Stretch>,
    pub(super) summary: Counts,
}

/// Progress of a scan.
#[derive(Debug, Clone, Default, Serialize, Deserialize)]
pub(super) struct Counts {
    pub(super) bases: u64,
    pub(super) windows: u64,
    pub(super) left_out: u64,
    pub(super) sites: u64,
    pub(super) segments: u64,
    pub(super) short_segments: u64,
    pub(super) short_names: Vec<String>,
}

impl State {
    pub(super) fn hold(&mut self, sites: &[Located]) {
        self.pending.clear();
        sites.iter().for_each(|site| deferred::encode(site, None, &[], &mut self.pending));
    }

    pub(super) fn sites(&self, targets: usize) -> Vec<Located> {
        deferred::sites(&self.pending, &vec![0; targets]).map(|(site, _)| site).collect()
    }
}

impl Journal {
    /// The journal of the scan whose first output is `output`, the one that an interrupted scan left or a new one. `key` is
    /// a line that tells the scan from all others.
    ///
    /// # Errors
    /// A scan that is at work on the same output; what another scan left; files that cannot be read or written.
    pub fn open(output: &Path, key: String) -> Result<Journal> {
        let folder = folder_of(output);
        let failed = |action| Error::io(&folder, action);
        fs::create_dir_all(&folder).map_err(failed("cannot create"))?;
        let log =
            File::options().read(true).write(true).create(true).truncate(false).open(folder.join("log"));
        let mut log = log.map_err(failed("cannot write"))?;
        if let Err(TryLockError::WouldBlock) = log.try_lock() {
            return Err(Error::Output(format!(
                "{}: a scan is at work on this output already",
                output.display()
            )));
        }
        let found = find_state(&folder, &log)?;
        if found.as_ref().is_some_and(|found| found.key != key) {
            let message = "was left by an interrupted scan with another command, model, genome, regions, background or version; finish that, or \
                remove this folder to begin anew";
            return Err(Error::format(&folder, None, message));
        }
        let logged = found.as_ref().map_or(0, |found| found.logged);
        log.set_len(logged).map_err(failed("cannot write"))?;
        log.seek(SeekFrom::Start(0)).map_err(failed("cannot read"))?;
        let log = BufWriter::with_capacity(1 << 18, log);
        Ok(Journal {
            folder,
            log,
            logged,
            since: 0,
            key,
            found,
            saved: Instant::now(),
            spacing: Duration::ZERO,
        })
    }

    /// Position at which the scan resumes.
    pub fn place(&self) -> Place {
        self.found.as_ref().map(|found| found.place).unwrap_or_default()
    }

    /// Bases that were scanned before.
    pub fn bases(&self) -> u64 {
        self.found.as_ref().map_or(0, |found| found.summary.bases)
    }

    /// The error for contents that no scan has left.
    pub(super) fn damaged(&self) -> impl Fn() -> Error + use<> {
        let folder = self.folder.clone();
        move || Error::format(&folder, None, DAMAGED)
    }

    /// Takes the state that was found, and hands everything in the log to `replay`.
    pub(super) fn replay(&mut self, mut replay: impl FnMut(Entry) -> Result<()>) -> Result<Option<State>> {
        let Some(state) = self.found.take() else { return Ok(None) };
        let failed = |error| Error::io(&self.folder, "cannot read")(error);
        let mut log = BufReader::with_capacity(1 << 18, self.log.get_ref()).take(self.logged);
        let mut record = Vec::new();
        while log.limit() > 0 {
            if !read_record(&mut log, &mut record).map_err(failed)? {
                return Err(self.damaged()());
            }
            if record.first() != Some(&STATE) {
                replay(Entry::read(&mut &*record).map_err(failed)?)?;
            }
        }
        self.log.seek(SeekFrom::Start(self.logged)).map_err(failed)?;
        Ok(Some(state))
    }

    /// Keeps lines that site track `track` is given.
    pub(super) fn lines(&mut self, track: usize, lines: &[u8]) -> Result<()> {
        if lines.is_empty() {
            return Ok(());
        }
        self.write(&[&[LINES], &number(track as u64), &number(lines.len() as u64), lines])
    }

    /// Keeps what score track `track` is given.
    pub(super) fn scores(&mut self, track: usize, contig: &Contig, encoded: &Encoded) -> Result<()> {
        self.of_contig(SCORES, track, contig, &encoded.to_bytes())
    }

    /// Keeps sites of a contig that wait for their q-values, or that statistics are made of.
    pub(super) fn sites(&mut self, contig: &Contig, sites: &[u8]) -> Result<()> {
        if sites.is_empty() {
            return Ok(());
        }
        self.of_contig(SITES, 0, contig, sites)
    }

    /// Keeps that so many bases of a contig are all that were scanned of it.
    pub(super) fn end(&mut self, contig: &Contig, bases: u64) -> Result<()> {
        self.of_contig(END, 0, contig, &number(bases))
    }

    /// Keeps what statistics have of a chunk's windows.
    pub(super) fn sample(&mut self, sampled: &[Sampled]) -> Result<()> {
        let bytes = serde_json::to_vec(sampled).expect("numbers are JSON");
        self.write(&[&[SAMPLE], &number(0), &number(bytes.len() as u64), &bytes])
    }

    fn of_contig(&mut self, kind: u8, track: usize, contig: &Contig, bytes: &[u8]) -> Result<()> {
        let name = contig.name.as_bytes();
        self.write(&[
            &[kind],
            &number(track as u64),
            &number(contig.id as u64),
            &number(contig.length.map_or(0, |length| length + 1)),
            &number(name.len() as u64),
            name,
            &number(bytes.len() as u64),
            bytes,
        ])
    }

    /// Appends a record: its length, its checksum, and the parts.
    fn write(&mut self, parts: &[&[u8]]) -> Result<()> {
        let length = number(parts.iter().map(|part| part.len() as u64).sum());
        let checksum = parts.iter().fold(crc32(0, &length), |sum, part| crc32(sum, part)).to_le_bytes();
        for part in [&length[..], &checksum].iter().chain(parts) {
            self.log.write_all(part).map_err(Error::io(&self.folder, "cannot write"))?;
            self.logged += part.len() as u64;
            self.since += part.len() as u64;
        }
        Ok(())
    }

    /// True if it is time for a state.
    pub(super) fn is_due(&self) -> bool {
        self.saved.elapsed() >= self.spacing
    }

    /// Saves where the scan stands: the log up to here, and `state`.
    pub(super) fn save(&mut self, state: State) -> Result<()> {
        let begun = Instant::now();
        let failed = || Error::io(&self.folder, "cannot write");
        let mut state = State { key: self.key.clone(), logged: self.logged, ..state };
        let mut json = serde_json::to_vec(&state).map_err(|error| failed()(error.into()))?;
        if self.since >= STATE_SHARE * json.len() as u64 {
            self.write(&[&[STATE], &json])?;
            self.since = 0;
            state.logged = self.logged;
            json = serde_json::to_vec(&state)
                .map_err(|error| Error::io(&self.folder, "cannot write")(error.into()))?;
        }
        let saved = (|| {
            self.log.flush()?;
            self.log.get_ref().sync_data()?;
            let (new, name) = (self.folder.join("state.new"), self.folder.join("state"));
            let mut file = File::create(&new)?;
            file.write_all(&crc32(0, &json).to_le_bytes())?;
            file.write_all(&json)?;
            file.sync_data()?;
            fs::rename(new, name)
        })();
        saved.map_err(Error::io(&self.folder, "cannot write"))?;
        self.spacing = begun.elapsed() * SPACING;
        self.saved = Instant::now();
        Ok(())
    }

    /// Forgets everything: the outputs have their names.
    ///
    /// # Errors
    /// A folder that cannot be removed.
    pub fn remove(self) -> Result<()> {
        // The state first: without it, the rest means nothing.
        let state = fs::remove_file(self.folder.join("state"));
        let removed = match state {
            Err(error) if error.kind() != std::io::ErrorKind::NotFound => Err(error),
            _ => fs::remove_dir_all(&self.folder),
        };
        removed.map_err(Error::io(&self.folder, "cannot remove"))
    }
}

/// Folder in which an interrupted scan leaves its state.
pub fn folder_of(output: &Path) -> PathBuf {
    let name = output.file_name().unwrap_or_default().to_string_lossy();
    output.with_file_name(format!(".{name}.resume"))
}

const DAMAGED: &str = "is damaged; remove this folder to begin anew";

/// The state to go on from: what `state` says if that and the log before it are whole, or else the last state in the log
/// that has no damage before it.
fn find_state(folder: &Path, log: &File) -> Result<Option<State>> {
    let failed = || Error::io(folder, "cannot read");
    let bytes = match fs::read(folder.join("state")) {
        // Nothing was saved, or the outputs have their names: the log means nothing then.
        Err(error) if error.kind() == std::io::ErrorKind::NotFound => return Ok(None),
        read => read.map_err(failed())?,
    };
    let saved = bytes
        .split_first_chunk()
        .filter(|(checksum, json)| u32::from_le_bytes(**checksum) == crc32(0, json))
        .and_then(|(_, json)| serde_json::from_slice::<State>(json).ok());
    let mut log = BufReader::with_capacity(1 << 18, log).take(u64::MAX);
    let (mut earlier, mut record) = (None, Vec::new());
    while read_record(&mut log, &mut record).map_err(failed())? {
        let whole = u64::MAX - log.limit();
        if let Some(json) = record.strip_prefix(&[STATE]) {
            let state = serde_json::from_slice::<State>(json).ok();
            earlier = state.map(|state| State { logged: whole, ..state }).or(earlier);
        }
        if saved.as_ref().is_some_and(|saved| saved.logged <= whole) {
            return Ok(saved);
        }
    }
    if saved.as_ref().is_some_and(|saved| saved.logged == 0) {
        return Ok(saved);
    }
    let from = if earlier.is_some() { "continuing from before the damage" } else { "starting anew" };
    log::warn!("{}: is damaged: the scan {from}", folder.display());
    Ok(earlier)
}

/// Reads the next record; `false` if there is none that is whole.
fn read_record(log: &mut impl Read, record: &mut Vec<u8>) -> std::io::Result<bool> {
    let mut head = Vec::new();
    log.by_ref().take(12).read_to_end(&mut head)?;
    let Some((length, checksum)) = head.split_first_chunk::<8>() else { return Ok(false) };
    let bytes = u64::from_le_bytes(*length);
    record.clear();
    let read = log.by_ref().take(bytes).read_to_end(record)?;
    let sum = crc32(crc32(0, length), record).to_le_bytes();
    Ok(bytes > 0 && read as u64 == bytes && checksum == sum)
}

const LINES: u8 = 0;
const SCORES: u8 = 1;
const SITES: u8 = 2;
const END: u8 = 3;
const SAMPLE: u8 = 4;
const STATE: u8 = 5;

/// Ratio of the bytes of other records to those of states in the log.
const STATE_SHARE: u64 = 16;

/// One call to a track, to the sites that wait, or to the statistics.
#[derive(Debug)]
pub(super) enum Entry {
    Lines(usize, Vec<u8>),
    Scores(usize, Arc<Contig>, Encoded),
    Sites(Arc<Contig>, Vec<u8>),
    End(Arc<Contig>, u64),
    Sample(Vec<Sampled>),
}

impl Entry {
    fn read(log: &mut impl Read) -> std::io::Result<Entry> {
        let mut kind = [0];
        log.read_exact(&mut kind)?;
        let track = read_number(log)? as usize;
        if kind[0] == LINES {
            return Ok(Entry::Lines(track, read_bytes(log)?));
        }
        if kind[0] == SAMPLE {
            return Ok(Entry::Sample(serde_json::from_slice(&read_bytes(log)?)?));
        }
        let (id, length) = (read_number(log)? as usize, read_number(log)?.checked_sub(1));
        let name = String::from_utf8_lossy(&read_bytes(log)?).into_owned();
        let (contig, bytes) = (Arc::new(Contig { id, name, length }), read_bytes(log)?);
        if kind[0] == SITES {
            return Ok(Entry::Sites(contig, bytes));
        }
        if kind[0] == END {
            return Ok(Entry::End(contig, read_number(&mut &*bytes)?));
        }
        let encoded = Encoded::from_bytes(&bytes).ok_or(std::io::ErrorKind::InvalidData)?;
        Ok(Entry::Scores(track, contig, encoded))
    }
}

fn number(number: u64) -> [u8; 8] {
    number.to_le_bytes()
}

fn read_number(log: &mut impl Read) -> std::io::Result<u64> {
    let mut bytes = [0; 8];
    log.read_exact(&mut bytes)?;
    Ok(u64::from_le_bytes(bytes))
}

/// A number, and so many bytes.
fn read_bytes(log: &mut impl Read) -> std::io::Result<Vec<u8>> {
    let length = read_number(log)?;
    let mut bytes = Vec::new();
    if log.take(length).read_to_end(&mut bytes)? as u64 == length {
        Ok(bytes)
    } else {
        Err(std::io::ErrorKind::UnexpectedEof.into())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn line(i: u64) -> Vec<u8> {
        format!("line {i}\n").repeat(200).into_bytes()
    }

    /// Opens the journal and gives how many lines belong to its state, after a check that it gives back these.
    fn replayed(output: &Path) -> u64 {
        let mut journal = Journal::open(output, "key".into()).unwrap();
        let mut lines = Vec::new();
        let state = journal.replay(|entry| match entry {
            Entry::Lines(0, bytes) => {
                lines.push(bytes);
                Ok(())
            }
            other => panic!("{other:?}"),
        });
        let count = state.unwrap().map_or(0, |state| state.windows[0]);
        assert_eq!(lines, (0..count).map(line).collect::<Vec<_>>());
        count
    }

    #[test]
    fn damage_costs_what_came_after_the_last_state_before_it() {
        let directory = tempfile::tempdir().unwrap();
        let output = directory.path().join("a.bed");
        let mut journal = Journal::open(&output, "key".into()).unwrap();
        // Where the log ends after each state.
        let mut ends = Vec::new();
        for i in 0..60 {
            journal.lines(0, &line(i)).unwrap();
            journal.save(State { windows: vec![i + 1], ..State::default() }).unwrap();
            ends.push(fs::metadata(folder_of(&output).join("log")).unwrap().len() as usize);
        }
        drop(journal);
        assert_eq!(replayed(&output), 60);
        let names = ["log", "state"].map(|name| folder_of(&output).join(name));
        let whole = names.clone().map(|name| fs::read(name).unwrap());
        let mut counts = Vec::new();
        for place in (0..whole[0].len()).step_by(whole[0].len() / 50) {
            let mut log = whole[0].clone();
            log[place] ^= 1;
            fs::write(&names[0], &log).unwrap();
            fs::write(&names[1], &whole[1]).unwrap();
            let count = replayed(&output);
            // No more is lost than what stands between two states.
            let before = ends.partition_point(|&end| end <= place) as u64;
            assert!(count <= before + 1 && count + 12 >= before, "{count} of {before}");
            counts.push(count);
        }
        assert!(counts.contains(&0) && counts.iter().any(|&count| count > 30), "{counts:?}");
        for place in 0..whole[1].len() {
            let mut state = whole[1].clone();
            state[place] ^= 1;
            fs::write(&names[0], &whole[0]).unwrap();
            fs::write(&names[1], &state).unwrap();
            assert!(replayed(&output) >= 48, "{place}");
        }
        fs::write(&names[0], &whole[0][..whole[0].len() / 2]).unwrap();
        fs::write(&names[1], &whole[1]).unwrap();
        assert!((10..31).contains(&replayed(&output)));
        // Without a state the log means nothing.
        fs::remove_file(&names[1]).unwrap();
        assert_eq!(replayed(&output), 0);
    }
}
