//! `bindscan profile`.

use std::ops::Range;
use std::path::PathBuf;
use std::sync::Arc;

use anyhow::{Result, bail, ensure};
use bindscan::engine::Device;
use bindscan::genome::random_access::Lookup;
use bindscan::io::output::Output;
use bindscan::profile::{ControlTracks, ProfileModel, ProfileOptions, ProfileScan};
use bindscan::report::counted;
use bindscan::seq::contig::Contig;
use bindscan::track::bigwig::BaseSink;
use bindscan::track::provenance::Provenance;
use clap::Args;

use super::heading;
use super::progress::{Progress, bases_per_second, grouped};
use super::region::{AliasArgs, RegionArgs};
use super::{CANCELLED, Session, message};

/// Compute the counts that a profile model (BPNet, ChromBPNet) expects at each base
///
/// The model has two heads: a profile and the logarithm of its sum. The counts are softmax(profile) x exp(log counts), as
/// bigWig, a file for each track (strand) of the model. Inputs for control tracks are fed zeros, or the tracks of --control.
/// Several models (folds) are averaged: their profiles before the softmax, and their log counts.
#[derive(Debug, Args)]
pub(super) struct ProfileArgs {
    /// Genome: FASTA, plain, gzip or BGZF, or 2bit
    genome: PathBuf,
    /// Use this ONNX or Keras file with a profile and log counts (repeatable)
    ///
    /// Several models (folds) must have one shape; their profiles and log counts are averaged.
    #[arg(short, long = "model", value_name = "MODEL", required = true, help_heading = heading::MODEL)]
    models: Vec<PathBuf>,
    /// Write a bigWig for each track, with {strand} in its name if there are two
    ///
    /// With more than two tracks the name has {track}, which stands for their ranks from 0.
    #[arg(short, long, value_name = "FILE", help_heading = heading::OUTPUT)]
    output: PathBuf,
    #[command(flatten)]
    regions: RegionArgs,
    #[command(flatten)]
    aliases: AliasArgs,
    /// Let neighbouring tiles share so many positions; each gives its middle
    #[arg(long, value_name = "BASES", default_value = "0", value_parser = parse_overlap, help_heading = heading::MODEL)]
    tile_overlap: usize,
    /// Take the profile from this graph output [default: the one with positions]
    #[arg(long, value_name = "HEAD", help_heading = heading::MODEL)]
    profile_head: Option<String>,
    /// Take the log counts from this graph output [default: the one without positions]
    #[arg(long, value_name = "HEAD", help_heading = heading::MODEL)]
    counts_head: Option<String>,
    /// Set the window in bases, of a model that takes any
    #[arg(long, value_name = "BASES", value_parser = super::parse_positive, help_heading = heading::MODEL)]
    window: Option<usize>,
    /// Read a control track from this bigWig (repeatable: once a channel)
    ///
    /// Channels come in their order: for a stranded model of basepairmodels, the reads of the plus strand, then those of the
    /// minus strand. An input of positions gets the reads at each base, an input of sums log(1 + their sum over these
    /// positions), of each track or of all. Bases without a value have no reads. Smoothed tracks that a model has as further
    /// channels are given as files of their own.
    #[arg(long, value_name = "FILE", help_heading = heading::INPUT)]
    control: Vec<PathBuf>,
    /// Read soft-masked (lower-case) bases as N
    #[arg(long, help_heading = heading::INPUT)]
    mask_lowercase: bool,
    /// Compute on this device: cpu, cuda or cuda:N
    #[arg(long, default_value = "cpu", help_heading = heading::RUN)]
    device: Device,
    /// Use this many threads [default: all cores]
    #[arg(short, long, value_parser = super::parse_threads, help_heading = heading::RUN)]
    threads: Option<usize>,
}

fn parse_overlap(text: &str) -> Result<usize, String> {
    super::parse_count(text).and_then(|n| usize::try_from(n).map_err(|_| format!("{text} is too large")))
}

const STRAND: &str = "{strand}";
const TRACK: &str = "{track}";

impl ProfileArgs {
    pub(super) fn run(self, session: Session) -> Result<()> {
        let options = ProfileOptions {
            profile: self.profile_head.clone(),
            counts: self.counts_head.clone(),
            window: self.window,
            controls: self.control.len(),
        };
        let models: Vec<ProfileModel> = self
            .models
            .iter()
            .map(|path| ProfileModel::open(path, &options))
            .collect::<bindscan::Result<_>>()?;
        for model in &models {
            model.notes.iter().for_each(|note| log::info!("model {}: {note}", model.name));
        }
        let threads = super::threads(self.threads);
        let scan = ProfileScan { models, device: self.device, overlap: self.tile_overlap, threads };
        scan.check()?;
        let paths = self.paths(scan.models[0].tracks())?;
        let genome = Lookup::open(&self.genome, self.mask_lowercase)?.with_aliases(self.aliases.table()?)?;
        let wanted = self.wanted(&genome)?;
        let controls = match self.control.is_empty() {
            true => None,
            false => Some(ControlTracks::open(&self.control, &genome)?),
        };
        let of_model = |model: &ProfileModel| (model.name.clone(), model.digest.clone());
        let provenance = Provenance {
            command: session.invocation.of_content(),
            models: scan.models.iter().map(of_model).collect(),
            ..Provenance::default()
        };
        let comments = provenance.comments();
        let open = |path: &PathBuf| BaseSink::new(Output::create(path)?, &comments);
        let sinks = paths.iter().map(open).collect::<bindscan::Result<Vec<_>>>()?;
        let mut progress = Progress::start(session, "computing the first tiles");
        let done = scan.run(
            &genome,
            controls,
            &wanted,
            sinks,
            |done, all| progress.show_bases(done, all),
            &CANCELLED,
        );
        progress.clear();
        let bases = done?;
        if !session.quiet {
            let seconds = session.elapsed().as_secs_f64();
            let (model, tiles) = (&scan.models[0], scan.models[0].positions());
            message(format_args!(
                "{} bases in tiles of {tiles} from windows of {}, {}, in {seconds:.2} s ({})",
                grouped(bases),
                model.window,
                counted(scan.models.len() as u64, "model"),
                bases_per_second(bases, seconds)
            ));
        }
        Ok(())
    }

    /// A file for each track.
    fn paths(&self, tracks: usize) -> Result<Vec<PathBuf>> {
        let text = self.output.to_string_lossy();
        let extension = self.output.extension().map(|extension| extension.to_string_lossy().to_lowercase());
        ensure!(
            extension.is_some_and(|extension| ["bw", "bigwig"].contains(&&*extension)),
            "{text}: counts are written as bigWig; give a name that ends with .bw"
        );
        match tracks {
            1 if !text.contains(STRAND) && !text.contains(TRACK) => Ok(vec![self.output.clone()]),
            1 => bail!("{text}: the model has one track; leave out {{strand}} and {{track}}"),
            2 if text.contains(STRAND) => {
                Ok(["plus", "minus"].map(|strand| text.replace(STRAND, strand).into()).to_vec())
            }
            _ if text.contains(TRACK) => {
                Ok((0..tracks).map(|track| text.replace(TRACK, &track.to_string()).into()).collect())
            }
            2 => bail!(
                "{text}: the model has a track for each strand; put {{strand}} into the name, as in counts.{{strand}}.bw"
            ),
            _ => bail!(
                "{text}: the model has {tracks} tracks; put {{track}} into the name, as in counts.{{track}}.bw"
            ),
        }
    }

    fn wanted(&self, genome: &Lookup) -> Result<Vec<Vec<Range<u64>>>> {
        let regions = self.regions.queries((&self.genome, "genome"))?;
        if regions.is_empty() {
            let whole = |contig: &Arc<Contig>| std::iter::once(0..contig.length.unwrap_or(0)).collect();
            return Ok(genome.contigs().iter().map(whole).collect());
        }
        Ok(genome.select(&regions)?)
    }
}
