//! Expected counts at base resolution, from networks with two heads: a profile and the logarithm of its sum.
//!
//! A profile network (BPNet, ChromBPNet and their kin) reads a window and gives a number at each position of its middle, and
//! the logarithm of the counts there. The counts expected at a position are softmax(profile) · exp(log counts). Where there
//! are as many log counts as tracks (strands), each track has its own sum; where there is one, it is that of all tracks
//! together. Inputs for control tracks are fed zeros, or these tracks ([`ControlTracks`]).
//!
//! A genome is covered by tiles of the profile's length; of tiles that overlap each gives its middle. Tiles start at the
//! same places whatever regions are wanted, so that the values of a base depend on the genome alone. Columns of N, and those
//! past a contig's ends, are zeros, as those networks are trained.

use std::ops::Range;
use std::path::Path;
use std::sync::Arc;
use std::sync::atomic::AtomicBool;

use crate::engine::Device;
use crate::engine::onnx::graph::{Graph, Named};
use crate::genome::random_access::Lookup;
use crate::io::digest::hex;
use crate::model::bundled;
use crate::model::file::ModelFile;
use crate::model::onnx::control::with_inputs;
use crate::model::onnx::interface;
use crate::model::onnx::{self, ModelProto};
use crate::model::{Input, Layout};
use crate::pipeline;
use crate::seq::contig::Contig;
use crate::track::bigwig::BaseSink;
use crate::{Error, Result};

mod control;

use control::ControlInputs;
pub use control::ControlTracks;

/// Tiles that a worker takes at a time.
const BATCH: usize = 4;

/// Roles of the heads, where they do not follow from their shapes.
#[derive(Debug, Clone, Default)]
pub struct ProfileOptions {
    /// Name of the output with the profile.
    pub profile: Option<String>,
    /// Name of the output with the log counts.
    pub counts: Option<String>,
    /// Window, of a model that takes any.
    pub window: Option<usize>,
    /// Control tracks that are fed; without any, zeros are.
    pub controls: usize,
}

/// A network with a profile and log counts.
#[derive(Debug, Clone)]
pub struct ProfileModel {
    /// Its name: that of its file.
    pub name: String,
    /// SHA-256 of its file.
    pub digest: String,
    /// Changes to its graph, one line each.
    pub notes: Vec<String>,
    /// Bases that it reads.
    pub window: usize,
    graph: ModelProto,
    input: Input,
    profile: Profile,
    counts: Counts,
    /// Inputs for control tracks, if these are fed.
    controls: Option<ControlInputs>,
}

/// The log counts of a network.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
struct Counts {
    /// Rank of the output.
    output: usize,
    /// Log counts of a window: one, or one a track.
    sums: usize,
}

/// The profile of a network.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
struct Profile {
    /// Rank of the output.
    output: usize,
    positions: usize,
    tracks: usize,
    /// True if the tracks come one after another, each with all its positions.
    by_track: bool,
}

impl ProfileModel {
    /// Opens an ONNX file, and looks at what its outputs are.
    ///
    /// # Errors
    /// A file that is no model, or one without both heads; ONNX Runtime missing.
    pub fn open(path: &Path, options: &ProfileOptions) -> Result<ProfileModel> {
        if !path.exists() && path.to_str().and_then(bundled::find).is_some() {
            let message =
                "this bundled network has no profile: give a BPNet or ChromBPNet model (.h5, .keras, .onnx)";
            return Err(Error::format(path, None, message));
        }
        let file = ModelFile::read(path)?;
        let name = path.file_stem().unwrap_or_default().to_string_lossy().into_owned();
        let wrong = |message: String| Error::format(path, None, message);
        let decoded = onnx::decode(&name, &file.bytes, Some(&file.folder)).map_err(|error| match error {
            Error::Model { message, .. } => wrong(message),
            other => other,
        })?;
        let onnx::Decoded { model: mut graph, notes, warnings, digest, controls: further, .. } = decoded;
        let mut notes: Vec<String> = file.notes.into_iter().chain(notes).collect();
        let digest = file.digest.unwrap_or_else(|| hex(&digest));
        warnings
            .iter()
            .for_each(|warning| log::warn!("model {name}: {warning}; it is run in inference mode"));
        let input = graph.graph.as_ref().ok_or("it holds no graph".to_owned()).and_then(interface::input);
        let input = input.map_err(wrong)?;
        let window = input.length.or(options.window).ok_or_else(|| {
            wrong("its graph takes windows of any length: give --window BASES, the length of the sequences it was trained on".into())
        })?;
        if options.window.is_some_and(|asked| asked != window) {
            return Err(wrong(format!("its graph takes windows of {window} bases only; leave out --window")));
        }
        if input.batch.is_some_and(|batch| batch != 1) {
            return Err(wrong("its graph takes batches of a fixed size; export it with a free one".into()));
        }
        let runner = Graph::open(&name, &graph, Device::Cpu)?;
        let outputs = runner.run(&[sequence(&input, &[vec![0; window]], window)])?;
        let (profile, counts) = heads(&graph, &input, &outputs, window, options).map_err(wrong)?;
        let mut controls = None;
        if options.controls > 0 {
            let shape = (window, profile.positions);
            controls = Some(ControlInputs::new(&further, shape, options.controls).map_err(wrong)?);
            graph = with_inputs(graph, &further);
            notes.retain(|note| !further.iter().any(|input| is_fed_zeros(note, input.name())));
        }
        Ok(ProfileModel { name, digest, notes, window, graph, input, profile, counts, controls })
    }

    /// Positions of the profile.
    pub fn positions(&self) -> usize {
        self.profile.positions
    }

    /// Tracks of the profile: strands, for most models.
    pub fn tracks(&self) -> usize {
        self.profile.tracks
    }

    /// Bases of the window before the profile's first.
    fn before(&self) -> usize {
        (self.window - self.profile.positions) / 2
    }
}

/// The outputs with the profile and the log counts.
fn heads(
    graph: &ModelProto,
    input: &Input,
    outputs: &[Named],
    window: usize,
    options: &ProfileOptions,
) -> Result<(Profile, Counts), String> {
    let names = || outputs.iter().map(|output| output.name.as_str()).collect::<Vec<_>>().join(", ");
    let named = |name: &String| {
        let rank = outputs.iter().position(|output| output.name == *name);
        rank.ok_or_else(|| format!("it has no head {name}; it has {}", names()))
    };
    let axis = |output: &Named| -> Option<usize> {
        let found = interface::output(graph, input, &output.name, Some(window)).ok();
        found.and_then(|found| found.positions).or_else(|| {
            // A tensor that cannot be followed has its positions on its longest axis.
            let rest = output.dims.iter().enumerate().skip(1).filter(|&(_, &n)| n > 1);
            rest.max_by_key(|&(_, &n)| n).filter(|&(_, &n)| n > MOST_TRACKS).map(|(axis, _)| axis)
        })
    };
    let asked = options.profile.as_ref().map(named).transpose()?;
    let with_positions: Vec<usize> =
        (0..outputs.len()).filter(|&rank| axis(&outputs[rank]).is_some()).collect();
    let profile = match (asked, &with_positions[..]) {
        (Some(rank), _) => rank,
        (None, [only]) => *only,
        (None, []) => {
            return Err(format!("none of its heads ({}) is a profile: a value at each position", names()));
        }
        (None, _) => {
            return Err(format!(
                "several of its heads ({}) may be the profile: name it with --profile-head",
                names()
            ));
        }
    };
    let others: Vec<usize> = (0..outputs.len()).filter(|rank| !with_positions.contains(rank)).collect();
    let counts = match (options.counts.as_ref().map(named).transpose()?, &others[..]) {
        (Some(rank), _) => rank,
        (None, [only]) => *only,
        (None, []) => return Err(format!("none of its heads ({}) is that of the log counts", names())),
        (None, _) => {
            return Err(format!(
                "several of its heads ({}) may be the log counts: name it with --counts-head",
                names()
            ));
        }
    };
    let output = &outputs[profile];
    let axis = axis(output).ok_or_else(|| format!("its head {} has no axis of positions", output.name))?;
    let positions = output.dims[axis];
    let tracks = output.values.len() / positions.max(1);
    let by_track = output.dims[axis + 1..].iter().product::<usize>() == 1;
    if positions > window || (!by_track && output.dims[1..axis].iter().product::<usize>() != 1) {
        return Err(format!(
            "its head {} has the shape {:?}, which is no profile of {window} bases",
            output.name, output.dims
        ));
    }
    let sums = outputs[counts].values.len();
    if sums != 1 && sums != tracks {
        return Err(format!("it has {sums} log counts for {tracks} tracks; one, or one a track, is needed"));
    }
    Ok((Profile { output: profile, positions, tracks, by_track }, Counts { output: counts, sums }))
}

/// True if a note says that the input of this name is fed zeros.
fn is_fed_zeros(note: &str, name: &str) -> bool {
    note.starts_with(&format!("its input `{name}` "))
}

/// More values than this on an axis are positions.
const MOST_TRACKS: usize = 64;

/// Windows as the graph's input.
fn sequence(input: &Input, windows: &[Vec<u8>], length: usize) -> Named {
    let mut values = vec![0.0; windows.len() * 4 * length];
    let last = is_channels_last(input.layout);
    for (row, codes) in values.chunks_exact_mut(4 * length).zip(windows) {
        for (at, &code) in codes.iter().enumerate() {
            if let Some(&channel) = input.channels.get(usize::from(code)) {
                row[if last { 4 * at + channel } else { channel * length + at }] = 1.0;
            }
        }
    }
    let dims = dims(input.layout, windows.len(), length);
    Named { name: input.name.clone(), dims, values }
}

fn is_channels_last(layout: Layout) -> bool {
    matches!(layout, Layout::ChannelsLast | Layout::LastRows | Layout::LastColumns | Layout::LastImage)
}

fn dims(layout: Layout, rows: usize, length: usize) -> Vec<usize> {
    crate::engine::onnx::shape(layout, rows, length).iter().map(|&n| n as usize).collect()
}

/// Counts expected at each position, track after track, from a profile and log counts that are summed over `members`
/// networks.
fn expected(profile: &[f64], tracks: usize, counts: &[f64], members: f64) -> Vec<f32> {
    let positions = profile.len() / tracks;
    let mut values = vec![0.0; profile.len()];
    let groups = if counts.len() == tracks { tracks } else { 1 };
    let length = tracks / groups * positions;
    for (group, sum) in counts.iter().enumerate().take(groups) {
        let logits = &profile[group * length..][..length];
        let highest = logits.iter().copied().fold(f64::NEG_INFINITY, f64::max);
        let weights = logits.iter().map(|logit| ((logit - highest) / members).exp());
        let weights: Vec<f64> = weights.collect();
        let scale = (sum / members).exp() / weights.iter().sum::<f64>();
        for (value, weight) in values[group * length..].iter_mut().zip(weights) {
            *value = (weight * scale) as f32;
        }
    }
    values
}

/// Where tiles lie, and how much of each is used.
#[derive(Debug, Clone, Copy)]
struct Tiling {
    /// Bases from a tile to the next.
    step: u64,
    /// Positions of a tile's profile before those that it gives.
    trimmed: u64,
}

impl Tiling {
    /// Tiles of `positions`, of which neighbours share `overlap`.
    fn new(positions: usize, overlap: usize) -> Result<Tiling> {
        if overlap >= positions {
            let message = format!("--tile-overlap {overlap}: tiles have {positions} positions; give fewer");
            return Err(Error::Request(message));
        }
        Ok(Tiling { step: (positions - overlap) as u64, trimmed: overlap as u64 / 2 })
    }
}

/// A tile, and which of its positions are wanted.
#[derive(Debug, Clone)]
struct Tile {
    contig: Arc<Contig>,
    /// First base that it gives.
    start: u64,
    wanted: Range<u64>,
    codes: Vec<u8>,
    /// Reads of each control track at the bases of `codes`.
    controls: Vec<Vec<f32>>,
}

/// Tiles that are computed together.
#[derive(Debug, Default)]
struct Item {
    tiles: Vec<Tile>,
    /// Bases wanted of all tiles up to these.
    done: u64,
}

/// Values of the tracks of a stretch.
type Stretch = (Arc<Contig>, u64, Vec<Vec<f32>>);

#[derive(Debug, Default)]
struct Part {
    stretches: Vec<Stretch>,
    done: u64,
}

/// Sequences that are scored, and options.
#[derive(Debug)]
pub struct ProfileScan {
    /// Networks of the same shape, whose profiles and log counts are averaged.
    pub models: Vec<ProfileModel>,
    /// Where they run.
    pub device: Device,
    /// Positions that neighbouring tiles share.
    pub overlap: usize,
    /// Workers.
    pub threads: usize,
}

impl ProfileScan {
    /// Checks that the networks go together.
    ///
    /// # Errors
    /// No network, or some that differ in their window, profile or log counts.
    pub fn check(&self) -> Result<()> {
        let [first, others @ ..] = &self.models[..] else {
            return Err(Error::Request("give a model".into()));
        };
        let shape =
            |model: &ProfileModel| (model.window, model.positions(), model.tracks(), model.counts.sums);
        for other in others {
            if shape(other) != shape(first) {
                let message = format!(
                    "{} reads {} bases to {} positions of {} tracks, and {} reads {} to {} of {}: they cannot be averaged",
                    first.name,
                    first.window,
                    first.positions(),
                    first.tracks(),
                    other.name,
                    other.window,
                    other.positions(),
                    other.tracks()
                );
                return Err(Error::Mismatch(message));
            }
        }
        Tiling::new(first.positions(), self.overlap).map(drop)
    }

    /// Writes the counts that are expected at the `wanted` stretches of each contig of `genome`, a track a sink. There are as
    /// many control tracks as the networks were [opened](ProfileOptions::controls) for. `progress` is told how many bases of all are done.
    ///
    /// # Errors
    /// Whatever the genome, a network or an output meets first.
    pub fn run(
        &self,
        genome: &Lookup,
        mut controls: Option<ControlTracks>,
        wanted: &[Vec<Range<u64>>],
        mut sinks: Vec<BaseSink>,
        mut progress: impl FnMut(u64, u64),
        cancel: &AtomicBool,
    ) -> Result<u64> {
        self.check()?;
        let given = controls.as_ref().map_or(0, ControlTracks::len);
        if self.models.iter().any(|model| model.controls.as_ref().map_or(0, ControlInputs::tracks) != given) {
            let message = format!("the networks were opened for other control tracks than the {given} given");
            return Err(Error::Request(message));
        }
        let first = &self.models[0];
        let tiling = Tiling::new(first.positions(), self.overlap)?;
        let all: u64 = wanted.iter().flatten().map(|stretch| stretch.end - stretch.start).sum();
        let mut tiles = tiles(genome.contigs(), wanted, tiling);
        let mut read = 0;
        let workers = (0..self.threads).map(|_| Worker::new(self)).collect::<Result<Vec<_>>>()?;
        let before = first.before() as u64 + tiling.trimmed;
        pipeline::run(
            |item: &mut Item| {
                item.tiles.clear();
                while item.tiles.len() < BATCH {
                    let Some(mut tile) = tiles.next() else { break };
                    fetch(genome, &mut tile, before, first.window)?;
                    if let Some(controls) = &mut controls {
                        let start = tile.start as i64 - before as i64;
                        tile.controls = controls.fetch(&tile.contig, start, first.window)?;
                    }
                    read += tile.wanted.end - tile.wanted.start;
                    item.tiles.push(tile);
                }
                item.done = read;
                Ok(!item.tiles.is_empty())
            },
            workers
                .into_iter()
                .map(|worker| move |item: &Item, part: &mut Part| worker.compute(item, tiling, part))
                .collect(),
            |part: &mut Part| {
                for (contig, start, tracks) in &part.stretches {
                    for (sink, values) in sinks.iter_mut().zip(tracks) {
                        sink.write(contig, *start, values)?;
                    }
                }
                progress(part.done, all);
                Ok(())
            },
            cancel,
        )?;
        let sealed = sinks.into_iter().map(|sink| sink.seal(genome.contigs())).collect::<Result<Vec<_>>>()?;
        crate::io::output::publish(sealed)?;
        Ok(all)
    }
}

/// The tiles that have wanted positions, in the order of the genome.
fn tiles<'a>(
    contigs: &'a [Arc<Contig>],
    wanted: &'a [Vec<Range<u64>>],
    tiling: Tiling,
) -> impl Iterator<Item = Tile> + 'a {
    let step = tiling.step;
    contigs.iter().zip(wanted).flat_map(move |(contig, stretches)| {
        stretches.iter().filter(|stretch| stretch.start < stretch.end).flat_map(move |stretch| {
            let first = stretch.start / step;
            let last = (stretch.end - 1) / step;
            (first..=last).map(move |tile| {
                let start = tile * step;
                let wanted = start.max(stretch.start)..(start + step).min(stretch.end);
                Tile { contig: Arc::clone(contig), start, wanted, codes: Vec::new(), controls: Vec::new() }
            })
        })
    })
}

/// Looks up the bases that a tile's network reads, `before` of them before the tile; those past the contig's ends are N.
fn fetch(genome: &Lookup, tile: &mut Tile, before: u64, window: usize) -> Result<()> {
    let length = tile.contig.length.unwrap_or(0);
    let missing = before.saturating_sub(tile.start).min(window as u64);
    tile.codes.clear();
    tile.codes.resize(missing as usize, crate::seq::alphabet::N);
    let from = (tile.start + missing).saturating_sub(before).min(length);
    let to = (from + window as u64 - missing).min(length);
    genome.fetch(&tile.contig, from..to, &mut tile.codes)?;
    tile.codes.resize(window, crate::seq::alphabet::N);
    Ok(())
}

/// A worker's own networks.
struct Worker<'a> {
    scan: &'a ProfileScan,
    graphs: Vec<Graph>,
}

impl<'a> Worker<'a> {
    fn new(scan: &'a ProfileScan) -> Result<Worker<'a>> {
        let open = |model: &ProfileModel| Graph::open(&model.name, &model.graph, scan.device);
        Ok(Worker { scan, graphs: scan.models.iter().map(open).collect::<Result<_>>()? })
    }

    fn compute(&self, item: &Item, tiling: Tiling, part: &mut Part) -> Result<()> {
        part.stretches.clear();
        part.done = item.done;
        let models = &self.scan.models;
        let one_by_one = models.iter().any(|model| model.input.batch.is_some());
        let rows = if one_by_one { 1 } else { item.tiles.len().max(1) };
        for tiles in item.tiles.chunks(rows) {
            let windows: Vec<Vec<u8>> = tiles.iter().map(|tile| tile.codes.clone()).collect();
            let (mut profiles, mut counts) = (vec![Vec::new(); tiles.len()], vec![Vec::new(); tiles.len()]);
            for (model, graph) in models.iter().zip(&self.graphs) {
                let mut inputs = vec![sequence(&model.input, &windows, model.window)];
                if let Some(controls) = &model.controls {
                    let reads: Vec<&[Vec<f32>]> = tiles.iter().map(|tile| &*tile.controls).collect();
                    inputs.extend(controls.feed(&reads, model.window));
                }
                let outputs = graph.run(&inputs)?;
                let profile = &model.profile;
                for tile in 0..tiles.len() {
                    let row = row(&outputs[profile.output], tile, tiles.len());
                    add(&mut profiles[tile], by_track(row, *profile));
                    let row = self::row(&outputs[model.counts.output], tile, tiles.len());
                    add(&mut counts[tile], row.iter().map(|&x| f64::from(x)));
                }
            }
            for (rank, tile) in tiles.iter().enumerate() {
                let tracks = models[0].tracks();
                let values = expected(&profiles[rank], tracks, &counts[rank], models.len() as f64);
                if values.iter().any(|value| !value.is_finite()) {
                    let message = format!(
                        "the counts expected at {}:{} are not finite: is the second head the logarithm of counts?",
                        tile.contig.name,
                        tile.start + 1
                    );
                    return Err(Error::model(&models[0].name, message));
                }
                let from = (tile.wanted.start - tile.start + tiling.trimmed) as usize;
                let length = (tile.wanted.end - tile.wanted.start) as usize;
                let for_track =
                    |track: usize| values[track * models[0].positions() + from..][..length].to_vec();
                part.stretches.push((
                    Arc::clone(&tile.contig),
                    tile.wanted.start,
                    (0..tracks).map(for_track).collect(),
                ));
            }
        }
        Ok(())
    }
}

/// The values of one window of a batch.
fn row(output: &Named, window: usize, windows: usize) -> &[f32] {
    let length = output.values.len() / windows.max(1);
    &output.values[window * length..][..length]
}

/// A profile with its tracks one after another.
fn by_track(row: &[f32], profile: Profile) -> impl Iterator<Item = f64> + '_ {
    let Profile { positions, tracks, by_track, .. } = profile;
    (0..tracks * positions).map(move |i| {
        let (track, position) = (i / positions, i % positions);
        f64::from(row[if by_track { i } else { position * tracks + track }])
    })
}

fn add(sums: &mut Vec<f64>, values: impl Iterator<Item = f64>) {
    if sums.is_empty() {
        sums.extend(values);
    } else {
        sums.iter_mut().zip(values).for_each(|(sum, value)| *sum += value);
    }
}
