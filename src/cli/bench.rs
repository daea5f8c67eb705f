//! `bindscan bench`.

use std::io::Write;
use std::path::PathBuf;
use std::thread;
use std::time::Instant;

use anyhow::Result;
use bindscan::engine;
use bindscan::engine::{Device, Engine, EngineKind, Workload};
use bindscan::model::{Model, OpenOptions};
use bindscan::scores::Scores;
use bindscan::seq::alphabet;
use bindscan::seq::chunk::Chunk;
use bindscan::seq::window::{StrandChoice, WindowPlan};
use bindscan::simulate::Simulation;
use clap::Args;

use super::heading;
use super::models::{MotifFileArgs, StrandArg};

/// Bases that an engine is given at a time, as in a scan. A slow engine is given fewer, so that a round has several chunks.
const CHUNK: usize = 65_536;

/// Window starts of the first chunk, with which it is found out how slow an engine is.
const FIRST_CHUNK: usize = 1;

/// Chunks that a round has at the least, where an engine is not slower than that on the first chunk.
const CHUNKS_OF_ROUND: f64 = 8.0;

/// Measure how fast each engine scores a model on this machine
///
/// Every engine scores random bases; nothing is read or written. Windows of one strand after another are scored on the
/// given number of threads, in chunks as in a scan, or smaller ones where an engine is slow. The table has the median
/// of the rounds. The reference engine is measured only if it is named.
#[derive(Debug, Args)]
pub(super) struct BenchArgs {
    /// Measure this ONNX file, bundled model, or motif file (with --motif)
    #[arg(short, long, help_heading = heading::MODEL)]
    model: PathBuf,
    /// Score these heads (graph outputs), separated by commas; all takes every one
    ///
    /// A model with several heads needs this option. bindscan inspect lists them.
    #[arg(long, value_name = "HEADS", value_delimiter = ',', help_heading = heading::MODEL)]
    head: Vec<String>,
    #[command(flatten)]
    motifs: MotifFileArgs,
    /// Set the window length [default: the model's own]
    #[arg(long, value_name = "BASES", value_parser = super::parse_positive, help_heading = heading::MODEL)]
    window: Option<usize>,
    /// Set the distance between window starts
    #[arg(long, value_name = "BASES", default_value = "1", value_parser = super::parse_positive, help_heading = heading::MODEL)]
    stride: usize,
    /// Choose the strands to score
    #[arg(long, value_name = "both|+|-", default_value = "both", allow_hyphen_values = true, help_heading = heading::MODEL)]
    strand: StrandArg,
    /// Measure these engines, separated by commas [default: kernel,onnx]
    #[arg(long = "engine", value_name = "ENGINE,...", value_delimiter = ',', help_heading = heading::RUN)]
    engines: Vec<EngineKind>,
    /// Choose the device that ONNX Runtime uses: cpu, cuda or cuda:N
    #[arg(long, default_value = "cpu", help_heading = heading::RUN)]
    device: Device,
    /// Use this many threads
    #[arg(short, long, default_value = "1", value_parser = super::parse_threads, help_heading = heading::RUN)]
    threads: usize,
    /// Measure this many rounds; the median is printed
    #[arg(long, default_value = "5", value_parser = super::parse_positive, help_heading = heading::RUN)]
    rounds: usize,
    /// Let a round last about this many seconds
    #[arg(long, default_value = "1", allow_negative_numbers = true, value_parser = parse_seconds, help_heading = heading::RUN)]
    seconds: f64,
}

impl BenchArgs {
    pub(super) fn run(self) -> Result<()> {
        let heads = super::models::heads(&self.head);
        let model = match self.motifs.model(&self.model)? {
            Some(model) => model,
            None => Model::find_with(&self.model, &OpenOptions { heads, ..OpenOptions::default() })?,
        };
        let plan = WindowPlan {
            window: model.window(self.window)?,
            stride: self.stride,
            strands: self.strand.into(),
            context: model.spec.context,
        };
        let mut out = std::io::stdout();
        writeln!(
            out,
            "model {}, window {}, stride {}, {}; median of {} rounds of {} s",
            model.spec.name,
            plan.window,
            plan.stride,
            strands(plan.strands),
            self.rounds,
            self.seconds
        )?;
        writeln!(out, "{:<16} {:>7} {:>12} {:>14}", "engine", "threads", "Mbp/s", "windows/s")?;
        for kind in self.kinds() {
            match self.measure(&model, kind, &plan) {
                Ok((engine, rate)) => {
                    let (windows, rate, threads) = (rate / plan.stride as f64, rate / 1e6, self.threads);
                    writeln!(out, "{engine:<16} {threads:>7} {rate:>12.3} {windows:>14.0}")?;
                }
                // Measuring all engines, one that cannot run the model is a row of the table.
                Err(error) if self.engines.is_empty() => writeln!(out, "{kind:<16} {error:#}")?,
                Err(error) => return Err(error),
            }
        }
        Ok(())
    }

    fn kinds(&self) -> Vec<EngineKind> {
        match (self.engines.as_slice(), self.device) {
            ([], Device::Cpu) => vec![EngineKind::Kernel, EngineKind::Onnx],
            ([], Device::Cuda(_)) => vec![EngineKind::Onnx],
            (chosen, _) => chosen.to_vec(),
        }
    }

    /// The engine's description, and the bases it scores a second.
    fn measure(&self, model: &Model, kind: EngineKind, plan: &WindowPlan) -> Result<(String, f64)> {
        let mut engines = engine::open(model, kind, self.device, self.threads, Workload::Contigs)?;
        let chunk = self.fitting_chunk(engines[0].as_mut(), plan)?;
        let mut rates = Vec::new();
        for _ in 0..self.rounds {
            let started = Instant::now();
            let scored = thread::scope(|scope| {
                let threads: Vec<_> = engines
                    .iter_mut()
                    .map(|engine| {
                        let chunk = &chunk;
                        scope.spawn(move || -> bindscan::Result<u64> {
                            let (mut scores, mut bases) = (Scores::default(), 0);
                            while started.elapsed().as_secs_f64() < self.seconds {
                                engine.score(chunk, plan, &mut scores)?;
                                bases += (scores.windows * plan.stride) as u64;
                            }
                            Ok(bases)
                        })
                    })
                    .collect();
                let join = |thread: thread::ScopedJoinHandle<'_, bindscan::Result<u64>>| {
                    thread.join().unwrap_or_else(|panic| std::panic::resume_unwind(panic))
                };
                threads.into_iter().map(join).sum::<bindscan::Result<u64>>()
            })?;
            rates.push(scored as f64 / started.elapsed().as_secs_f64());
        }
        rates.sort_by(f64::total_cmp);
        Ok((engines[0].description(), rates[rates.len() / 2]))
    }
}

impl BenchArgs {
    /// A chunk that is scored several times a round, as long as one of a scan at the most.
    fn fitting_chunk(&self, engine: &mut dyn Engine, plan: &WindowPlan) -> Result<Chunk> {
        let (left, right) = engine.flanks(plan);
        let mut scores = Scores::default();
        let mut own = FIRST_CHUNK;
        loop {
            let chunk = random_chunk(left + own + plan.window - 1 + right);
            // The first time may include what an engine prepares for a size.
            engine.score(&chunk, plan, &mut scores)?;
            let started = Instant::now();
            engine.score(&chunk, plan, &mut scores)?;
            // The next one takes twice as long.
            if own >= CHUNK || started.elapsed().as_secs_f64() * 2.0 * CHUNKS_OF_ROUND > self.seconds {
                return Ok(chunk);
            }
            own *= 2;
        }
    }
}

fn parse_seconds(text: &str) -> Result<f64, String> {
    match text.parse() {
        Ok(seconds) if (0.001..=3600.0).contains(&seconds) => Ok(seconds),
        _ => Err("give 0.001 to 3600".into()),
    }
}

fn strands(choice: StrandChoice) -> &'static str {
    if choice == StrandChoice::Both { "both strands" } else { "one strand" }
}

/// Makes a contig of random bases.
pub(super) fn random_chunk(length: usize) -> Chunk {
    let genome = Simulation { length: length as u64, contigs: 1, gc: 0.41, sites: 0, seed: 1 };
    let (name, bases, _) = genome.contig(0, &[]);
    Chunk::whole(&name, alphabet::encode(&bases).expect("simulated bases are nucleotides"))
}
