//! Control tracks: reads of a control experiment, as further inputs of a profile network.
//!
//! The networks of basepairmodels and their kin have two such inputs, made of one bigWig a channel (for most of them, the
//! plus and the minus strand): the reads at each position of the profile, `[N, positions, channels]`, and the logarithm of
//! one more than their sum over these positions, `[N, channels]`, as mseqgen makes both for training; or `[N, 1]` for the sum
//! of all channels. A base without a value, or with NaN, has no reads. mseqgen can smooth a track and put the result behind
//! it as a further channel: that is a file of its own here.

use std::collections::HashMap;
use std::path::{Path, PathBuf};

use crate::engine::onnx::graph::Named;
use crate::genome::random_access::Lookup;
use crate::model::onnx::control::lengths;
use crate::model::onnx::proto::ValueInfoProto;
use crate::seq::contig::Contig;
use crate::track::bigwig::{Reader, Values};
use crate::{Error, Result};

/// Inputs for control tracks of a network.
#[derive(Debug, Clone, PartialEq)]
pub(super) struct ControlInputs {
    /// The reads at each position.
    profile: Option<ProfileInput>,
    /// Their sums: the input's name, and how many sums it has.
    counts: Option<(String, usize)>,
    /// Tracks that it takes.
    tracks: usize,
    /// Positions that the sums are of.
    positions: usize,
}

#[derive(Debug, Clone, PartialEq)]
struct ProfileInput {
    name: String,
    /// True if the tracks come one after another, each with all its positions.
    by_track: bool,
}

impl ControlInputs {
    /// The inputs of a network that reads `window` bases and has a profile of so many `positions`, for so many `tracks`.
    ///
    /// # Errors
    /// Inputs that cannot be made of as many tracks.
    pub(super) fn new(
        inputs: &[ValueInfoProto],
        (window, positions): (usize, usize),
        tracks: usize,
    ) -> Result<ControlInputs, String> {
        if inputs.is_empty() {
            return Err("it has no inputs for control tracks; leave out --control".into());
        }
        let mut found = ControlInputs { profile: None, counts: None, tracks, positions };
        for input in inputs {
            let name = input.name().to_owned();
            let lengths = lengths(input)?;
            let twice = || format!("it has several inputs like `{name}`, and control tracks go into one");
            match lengths[..] {
                [sums] if sums == tracks || sums == 1 => {
                    if found.counts.is_some() {
                        return Err(twice());
                    }
                    found.counts = Some((name, sums));
                }
                [sums] => {
                    return Err(format!(
                        "its input `{name}` has {sums} sums, and control tracks are {tracks}: give --control once for \
                         each of them, in their order"
                    ));
                }
                [a, b] if a.max(b) <= window => {
                    let channels = a.min(b);
                    if channels != tracks {
                        return Err(format!(
                            "its input `{name}` has {channels} channels, and control tracks are {tracks}: give --control \
                             once for each channel, in their order (smoothed tracks are channels of their own, and are \
                             not made of others)"
                        ));
                    }
                    if found.profile.is_some() {
                        return Err(twice());
                    }
                    found.profile = Some(ProfileInput { name, by_track: a < b });
                    found.positions = a.max(b);
                }
                _ => {
                    return Err(format!(
                        "its input `{name}` {lengths:?} is none that control tracks go into: positions by tracks, or sums"
                    ));
                }
            }
        }
        Ok(found)
    }

    /// Tracks that are fed.
    pub(super) fn tracks(&self) -> usize {
        self.tracks
    }

    /// The inputs for windows, of which each has `window` values of each track.
    pub(super) fn feed(&self, windows: &[&[Vec<f32>]], window: usize) -> Vec<Named> {
        let (positions, tracks) = (self.positions, self.tracks);
        let start = (window - positions) / 2;
        let inside = |track: &Vec<f32>| -> Vec<f32> { track[start..start + positions].to_vec() };
        let windows: Vec<Vec<Vec<f32>>> =
            windows.iter().map(|tracks| tracks.iter().map(inside).collect()).collect();
        let mut fed = Vec::new();
        if let Some(ProfileInput { name, by_track }) = &self.profile {
            let mut values = Vec::with_capacity(windows.len() * positions * tracks);
            for window in &windows {
                match by_track {
                    true => values.extend(window.iter().flatten()),
                    false => {
                        values
                            .extend((0..positions).flat_map(|at| window.iter().map(move |track| track[at])));
                    }
                }
            }
            let [a, b] = if *by_track { [tracks, positions] } else { [positions, tracks] };
            fed.push(Named { name: name.clone(), dims: vec![windows.len(), a, b], values });
        }
        if let Some((name, sums)) = &self.counts {
            let sum = |track: &Vec<f32>| track.iter().map(|&reads| f64::from(reads)).sum::<f64>();
            let log = |sum: f64| sum.ln_1p() as f32;
            let values = windows.iter().flat_map(|window| match *sums == tracks {
                true => window.iter().map(sum).map(log).collect::<Vec<f32>>(),
                false => vec![log(window.iter().map(sum).sum())],
            });
            let values = values.collect();
            fed.push(Named { name: name.clone(), dims: vec![windows.len(), *sums], values });
        }
        fed
    }
}

/// Control tracks of a genome.
#[derive(Debug)]
pub struct ControlTracks {
    tracks: Vec<Track>,
}

#[derive(Debug)]
struct Track {
    path: PathBuf,
    reader: Reader,
    /// Its contigs, by the ids of the genome's.
    ids: HashMap<usize, usize>,
    values: Values,
}

impl ControlTracks {
    /// Opens bigWigs of a genome; their contigs are found by other names, too. What a bigWig says nothing about has no reads: contigs that it lacks
    /// are named in a warning.
    ///
    /// # Errors
    /// A file that is no bigWig; contigs that are all others than the genome's, or one of another length.
    pub fn open(paths: &[PathBuf], genome: &Lookup) -> Result<ControlTracks> {
        let tracks = paths.iter().map(|path| Track::open(path, genome)).collect::<Result<_>>()?;
        Ok(ControlTracks { tracks })
    }

    /// Number of tracks.
    pub fn len(&self) -> usize {
        self.tracks.len()
    }

    /// True if there are none.
    pub fn is_empty(&self) -> bool {
        self.tracks.is_empty()
    }

    /// The reads at so many positions from `start` on, which may lie before the contig, of each track.
    ///
    /// # Errors
    /// A file that cannot be read, or is damaged; values that are no counts.
    pub(super) fn fetch(&mut self, contig: &Contig, start: i64, length: usize) -> Result<Vec<Vec<f32>>> {
        self.tracks.iter_mut().map(|track| track.fetch(contig, start, length)).collect()
    }
}

impl Track {
    fn open(path: &Path, genome: &Lookup) -> Result<Track> {
        let reader = Reader::open(path)?;
        let mut ids = HashMap::new();
        for own in reader.contigs() {
            if let Some(contig) = genome.find(own.name.as_bytes()) {
                ids.insert(contig.id, own.id);
            } else if let Some(contig) = genome.alias(own.name.as_bytes()) {
                // One of the very name goes before.
                ids.entry(contig.id).or_insert(own.id);
            }
        }
        let (mut there, mut lacking) = (0, Vec::new());
        for contig in genome.contigs() {
            let Some(&id) = ids.get(&contig.id) else {
                lacking.push(contig.name.as_str());
                continue;
            };
            there += 1;
            let own = reader.contigs()[id].length;
            if let (Some(own), Some(length)) = (own, contig.length)
                && own != length
            {
                return Err(Error::Mismatch(format!(
                    "{}: {} has {own} bases there and {length} in the genome: give the bigWig of this genome",
                    path.display(),
                    contig.name
                )));
            }
        }
        let first = reader.contigs().first().map_or("none", |contig| contig.name.as_str());
        if there == 0 {
            return Err(Error::Mismatch(format!(
                "{}: it has no contig of the genome; its first is {first}, the genome's is {} (--aliases FILE says which are the same)",
                path.display(),
                lacking.first().unwrap_or(&"none")
            )));
        }
        if let [name, more @ ..] = &lacking[..] {
            let more = if more.is_empty() { String::new() } else { format!(" and {} more", more.len()) };
            log::warn!("{}: it has no values of {name}{more}: zeros", path.display());
        }
        Ok(Track { path: path.to_path_buf(), reader, ids, values: Values::default() })
    }

    fn fetch(&mut self, contig: &Contig, start: i64, length: usize) -> Result<Vec<f32>> {
        let mut reads = vec![0.0; length];
        let Some(&id) = self.ids.get(&contig.id) else { return Ok(reads) };
        let end = u64::try_from(start + length as i64).unwrap_or(0);
        let bases = u64::try_from(start).unwrap_or(0)..end;
        let path = &self.path;
        self.reader.fetch(id, &bases, &mut self.values, |part, value| {
            // Other programs write NaN where there is nothing.
            let value = if value.is_nan() { 0.0 } else { value };
            if !(0.0..f32::INFINITY).contains(&value) {
                let message = format!(
                    "has the value {value} at {}:{}: control tracks are counts of reads, of 0 and more",
                    contig.name,
                    part.start + 1
                );
                return Err(Error::format(path, None, message));
            }
            let place = |at: u64| (at as i64 - start) as usize;
            reads[place(part.start)..place(part.end)].fill(value);
            Ok(())
        })?;
        Ok(reads)
    }
}
