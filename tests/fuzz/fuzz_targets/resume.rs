//! What an interrupted scan leaves, with some bytes changed and the checksums right: the scan goes on, or refuses it in one
//! line. Nothing changed, it writes what one run writes.

#![no_main]

use std::fs;
use std::path::{Path, PathBuf};
use std::sync::LazyLock;
use std::sync::atomic::{AtomicBool, Ordering};

use bindscan::Result;
use bindscan::engine::planned::{PlanOptions, Planned};
use bindscan::engine::scanner::chunk_shape;
use bindscan::genome::{self, GenomeOptions};
use bindscan::model::Model;
use bindscan::scan::journal::{Journal, folder_of};
use bindscan::scan::search::{Search, SiteChoice};
use bindscan::scan::{self, Job, Overlaps};
use bindscan::track::outputs::Outputs;
use bindscan::track::provenance::Provenance;
use bindscan::track::site::Columns;
use libfuzzer_sys::fuzz_target;
use tempfile::TempDir;

const MOTIF: &str = "MEME version 4\n\nALPHABET= ACGT\n\nMOTIF m\nletter-probability matrix: alength= 4 w= 3\n\
    0.7 0.1 0.1 0.1\n0.1 0.2 0.3 0.4\n0.1 0.1 0.7 0.1\n";

/// A scan that was interrupted, and what it would have written.
struct Interrupted {
    directory: TempDir,
    model: Model,
    state: Vec<u8>,
    records: Vec<Vec<u8>>,
    whole: Vec<Vec<u8>>,
}

impl Interrupted {
    fn paths(&self) -> [PathBuf; 3] {
        ["out.bed", "out.bedGraph", "out.bw"].map(|name| self.directory.path().join(name))
    }

    /// Scans on; cancelled after some chunks if so said.
    fn scan(&self, chunks: usize) -> Result<()> {
        let models = vec![Planned::new(self.model.clone(), &PlanOptions::default())?];
        let search = Search::new(models, SiteChoice::Threshold(vec![1.0]), None, 1)?;
        let columns = Columns { p: false, q: false, read: false, spread: false, summit: true };
        let outputs = Outputs::new(&self.paths(), None)?.columns(columns).bin(10);
        let path = self.directory.path().join("genome.fa");
        let genome = genome::open(&path, &GenomeOptions { mask_lowercase: false, regions: Vec::new() })?;
        let mut source = genome.into_chunks(chunk_shape(50, &search.workers[0]));
        let tracks = outputs.open(&search.targets, &search.strands(), &Provenance::default())?;
        let journal = Journal::open(&self.paths()[0], "key".into())?;
        source.skip_to(journal.place());
        let job = Job::new(search.targets, Overlaps::Suppress).sites(tracks.sites).scores(tracks.scores).journal(Some(journal));
        let cancel = AtomicBool::new(false);
        let mut done = 0;
        let watch = |_, _: &scan::ScanSummary| {
            done += 1;
            cancel.store(done >= chunks, Ordering::Relaxed);
        };
        scan::run(Box::new(source), search.workers, job, watch, &cancel)?;
        Ok(())
    }

    fn outputs(&self) -> Vec<Vec<u8>> {
        self.paths().iter().map(|path| fs::read(path).expect("it is whole")).collect()
    }
}

static INTERRUPTED: LazyLock<Interrupted> = LazyLock::new(|| {
    let directory = tempfile::tempdir().expect("a temporary folder");
    let (genome, model) = (directory.path().join("genome.fa"), directory.path().join("m.meme"));
    let bases = "ACGTTGCAAGACCTAGGATCNNAGT".repeat(20);
    fs::write(genome, format!(">a\n{bases}\n>b\nACGTACGTAA\n>c\n{bases}\n")).expect("a temporary file");
    fs::write(&model, MOTIF).expect("a temporary file");
    let model = Model::find_all(model).expect("a motif").remove(0);
    let mut scan =
        Interrupted { directory, model, state: Vec::new(), records: Vec::new(), whole: Vec::new() };
    scan.scan(usize::MAX).expect("a scan");
    scan.whole = scan.outputs();
    scan.scan(9).expect_err("it was interrupted");
    let folder = folder_of(&scan.paths()[0]);
    scan.state = fs::read(folder.join("state")).expect("a state").split_off(4);
    let log = fs::read(folder.join("log")).expect("a log");
    let mut rest = &log[..];
    while let Some((length, after)) = rest.split_first_chunk::<8>() {
        let length = u64::from_le_bytes(*length) as usize;
        scan.records.push(after[4..4 + length].to_vec());
        rest = &after[4 + length..];
    }
    scan
});

/// Changes bytes: one is replaced, put in, or taken out.
fn change(bytes: &mut Vec<u8>, kind: u8, at: usize, byte: u8) {
    let at = at % (bytes.len() + 1);
    match (kind % 3, at < bytes.len()) {
        (0, true) => bytes[at] = byte,
        (1, true) => {
            bytes.remove(at);
        }
        _ => bytes.insert(at, byte),
    }
}

fn write(folder: &Path, state: &[u8], records: &[Vec<u8>]) {
    let mut log = Vec::new();
    for record in records {
        let length = (record.len() as u64).to_le_bytes();
        log.extend(length);
        log.extend(crc32(&[&length[..], record].concat()).to_le_bytes());
        log.extend(record);
    }
    fs::create_dir_all(folder).expect("a temporary folder");
    fs::write(folder.join("log"), log).expect("a temporary file");
    fs::write(folder.join("state"), [&crc32(state).to_le_bytes()[..], state].concat())
        .expect("a temporary file");
}

fuzz_target!(|changes: Vec<(u8, u16, u8, u8)>| {
    let scan = &*INTERRUPTED;
    let (mut state, mut records) = (scan.state.clone(), scan.records.clone());
    for &(kind, at, byte, record) in &changes {
        let at = usize::from(at);
        // Every second change is of the state.
        match records.get_mut(usize::from(record)) {
            Some(record) if kind >= 128 => change(record, kind, at, byte),
            _ => change(&mut state, kind, at, byte),
        }
    }
    let folder = folder_of(&scan.paths()[0]);
    let _ = fs::remove_dir_all(&folder);
    write(&folder, &state, &records);
    match scan.scan(usize::MAX) {
        Ok(()) => assert!(!changes.is_empty() || scan.outputs() == scan.whole),
        Err(error) => assert_eq!(error.to_string().lines().count(), 1, "{error}"),
    }
});

fn crc32(bytes: &[u8]) -> u32 {
    !bytes.iter().fold(!0u32, |sum, &byte| {
        (0..8).fold(sum ^ u32::from(byte), |sum, _| (sum >> 1) ^ (0xEDB8_8320 & (sum & 1).wrapping_neg()))
    })
}
