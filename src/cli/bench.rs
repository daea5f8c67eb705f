//! `bindscan bench`.

use std::io::Write;
use std::path::PathBuf;
use std::sync::Arc;
use std::thread;
use std::time::Instant;

use anyhow::Result;
use bindscan::Error;
use bindscan::calibrate::nulls::{BackgroundSource, NullOptions, Setting};
use bindscan::engine;
use bindscan::engine::planned::{self, PlanOptions, Planned};
use bindscan::engine::scanner::{Scanners, chunk_shape, find_in_all_windows};
use bindscan::engine::{Device, EngineKind, Workload};
use bindscan::model::{Model, OpenOptions};
use bindscan::null::distribution::Null;
use bindscan::scores::{Hit, HitRule, HitStrands, Scores};
use bindscan::seq::alphabet;
use bindscan::seq::chunk::Chunk;
use bindscan::seq::contig::Strand;
use bindscan::seq::window::{StrandChoice, WindowPlan};
use bindscan::simulate::Simulation;
use clap::Args;

use super::heading;
use super::models::{MotifFileArgs, StrandArg};
use super::significance::NullProgress;
use super::{CANCELLED, Session};

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
///
/// With --pvalue only the windows that reach it are looked for, as in a scan, and the motifs of a file are measured
/// together. The rate is of bases, each read for all motifs and strands.
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
    /// Measure how fast windows with this p-value or a lower one are found
    ///
    /// P-values are those that are stored with the model, or relative to uniform bases.
    #[arg(long, value_name = "P", value_parser = super::significance::parse_probability, help_heading = heading::MODEL)]
    pvalue: Option<f64>,
    /// Set the window length [default: the model's own]
    #[arg(long, value_name = "BASES", value_parser = super::parse_positive, help_heading = heading::MODEL)]
    window: Option<usize>,
    /// Set the distance between window starts
    #[arg(long, value_name = "BASES", default_value = "1", value_parser = super::parse_positive, help_heading = heading::MODEL)]
    stride: usize,
    /// Choose the strands to score
    #[arg(long, value_name = "both|+|-", default_value = "both", allow_hyphen_values = true, help_heading = heading::MODEL)]
    strand: StrandArg,
    /// Measure these engines, separated by commas [default: kernel,dense,onnx]
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
    #[arg(long, default_value = "1", value_parser = parse_seconds, help_heading = heading::RUN)]
    seconds: f64,
}

impl BenchArgs {
    pub(super) fn run(self, session: Session) -> Result<()> {
        let heads = super::models::heads(&self.head);
        let options = OpenOptions { heads, ..OpenOptions::default() };
        let models = match (self.pvalue, self.motifs.models_of_only(&self.model)?) {
            (Some(_), Some(models)) => models,
            (None, Some(_)) => self.motifs.model(&self.model)?.into_iter().collect(),
            (_, None) => vec![Model::find_with(&self.model, &options)?],
        };
        let mut out = std::io::stdout();
        let windows =
            models.iter().map(|model| model.window(self.window)).collect::<bindscan::Result<Vec<_>>>()?;
        let (shortest, longest) = (windows.iter().min().unwrap_or(&0), windows.iter().max().unwrap_or(&0));
        let name = match models.as_slice() {
            [model] => format!("model {}", model.spec.name),
            models => format!("{} motifs", models.len()),
        };
        let windows =
            if shortest == longest { shortest.to_string() } else { format!("{shortest} to {longest}") };
        let above = self.pvalue.map_or_else(String::new, |p| format!(", p-values of at most {p}"));
        writeln!(
            out,
            "{name}, window {windows}, stride {}, {}{above}; median of {} rounds of {} s",
            self.stride,
            strands(self.strand.into()),
            self.rounds,
            self.seconds
        )?;
        writeln!(out, "{:<16} {:>7} {:>12} {:>14}", "engine", "threads", "Mbp/s", "windows/s")?;
        let rules = self.pvalue.map(|p| self.rules(&models, p, session)).transpose()?;
        for kind in self.kinds() {
            let measured = match &rules {
                Some(rules) => self.measure_hits(&models, kind, rules),
                None => self.measure_scores(&models[0], kind),
            };
            match measured {
                Ok((engine, rate)) => {
                    let (windows, rate, threads) = (rate / self.stride as f64, rate / 1e6, self.threads);
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
            ([], Device::Cpu) => vec![EngineKind::Kernel, EngineKind::Dense, EngineKind::Onnx],
            ([], Device::Cuda(_)) => vec![EngineKind::Onnx],
            (chosen, _) => chosen.to_vec(),
        }
    }

    /// The engine's description, and the bases it scores a second.
    fn measure_scores(&self, model: &Model, kind: EngineKind) -> Result<(String, f64)> {
        let plan = WindowPlan {
            window: model.window(self.window)?,
            stride: self.stride,
            strands: self.strand.into(),
            context: model.spec.context,
        };
        let mut engines = engine::open(model, kind, self.device, self.threads, Workload::Contigs(plan))?;
        let first = &mut engines[0];
        let (left, right) = first.flanks(&plan);
        let mut scores = Scores::default();
        let chunk = self
            .fitting_chunk(left + plan.window - 1 + right, |chunk| first.score(chunk, &plan, &mut scores))?;
        let bases = (scores.windows * plan.stride) as u64;
        let rate = self.median_rate(&mut engines, bases, |engine, scores: &mut Scores| {
            engine.score(&chunk, &plan, scores)
        })?;
        Ok((engines[0].description(), rate))
    }

    /// The models, with their windows.
    fn plan(&self, models: &[Model], kind: EngineKind) -> bindscan::Result<Vec<Planned>> {
        let strands = StrandChoice::from(self.strand);
        let options = PlanOptions::default()
            .window(self.window)
            .stride(self.stride)
            // Both strands of a model whose scores do not depend on the strand are one.
            .strands((strands != StrandChoice::Both).then_some(strands))
            .engine(kind)
            .device(self.device);
        models.iter().map(|model| Planned::new(model.clone(), &options)).collect()
    }

    /// The rule by which each output of the models has hits; an output without so low a p-value has none.
    fn rules(&self, models: &[Model], p: f64, session: Session) -> Result<Vec<HitRule>> {
        let setting =
            Setting { genome: None, mask_lowercase: false, threads: self.threads, cancel: &CANCELLED };
        // A motif has none with it.
        let is_calibrated = models.iter().all(|model| model.spec.null.is_some());
        let background = (!is_calibrated).then_some(BackgroundSource::Uniform);
        let options = NullOptions::default().background(background);
        let planned = self.plan(models, EngineKind::Auto)?;
        let calibrated = options.for_models(&planned, &setting, &mut NullProgress::new(session))?;
        let rule = |null: &Arc<Null>| {
            let strand = |strand| null.threshold(p, strand).unwrap_or(f32::INFINITY);
            let thresholds = [Strand::Forward, Strand::Reverse].map(strand);
            HitRule { thresholds, strands: HitStrands::default() }
        };
        Ok(calibrated.iter().flat_map(|calibrated| &calibrated.nulls).map(rule).collect())
    }

    /// As [`measure_scores`](BenchArgs::measure_scores), where only hits by these rules are looked for.
    fn measure_hits(&self, models: &[Model], kind: EngineKind, rules: &[HitRule]) -> Result<(String, f64)> {
        let planned = self.plan(models, kind)?;
        let (mut scanners, places) = planned::scanners(&planned, self.threads)?;
        let outputs = planned::model_outputs(&planned, &places);
        let shape = chunk_shape(CHUNK, &scanners[0]);
        let find = |chunk: &Chunk, scanners: &mut Scanners, hits: &mut Vec<Vec<Hit>>| {
            for (number, scanner) in scanners.iter_mut().enumerate() {
                let of_scanner = outputs.iter().zip(rules).filter(|(output, _)| output.scanner == number);
                let rules = of_scanner.map(|(output, &rule)| (output.output, rule));
                let not_a_number =
                    |_, start| Error::Data(format!("the score of the window at {start} is not a number"));
                find_in_all_windows(scanner.as_mut(), chunk, rules, hits, &not_a_number)?;
            }
            Ok(())
        };
        let first = &mut scanners[0];
        let (mut hits, beside) = (Vec::new(), shape.left + shape.right);
        let chunk = self.fitting_chunk(beside, |chunk| find(chunk, first, &mut hits))?;
        let bases = chunk.own.end - beside as u64;
        let rate = self.median_rate(&mut scanners, bases, |scanners, hits: &mut Vec<Vec<Hit>>| {
            find(&chunk, scanners, hits)
        })?;
        Ok((scanners[0].first().map(|scanner| scanner.description()).unwrap_or_default(), rate))
    }

    /// Bases a second, over all workers, where `work` does so many `bases` with one of them.
    fn median_rate<W: Send, B: Default>(
        &self,
        workers: &mut [W],
        bases: u64,
        work: impl Fn(&mut W, &mut B) -> bindscan::Result<()> + Sync,
    ) -> Result<f64> {
        let mut rates = Vec::new();
        for _ in 0..self.rounds {
            let started = Instant::now();
            let done = thread::scope(|scope| {
                let threads: Vec<_> = workers
                    .iter_mut()
                    .map(|worker| {
                        let work = &work;
                        scope.spawn(move || -> bindscan::Result<u64> {
                            let (mut buffer, mut done) = (B::default(), 0);
                            while started.elapsed().as_secs_f64() < self.seconds {
                                work(worker, &mut buffer)?;
                                done += bases;
                            }
                            Ok(done)
                        })
                    })
                    .collect();
                let join = |thread: thread::ScopedJoinHandle<'_, bindscan::Result<u64>>| {
                    thread.join().unwrap_or_else(|panic| std::panic::resume_unwind(panic))
                };
                threads.into_iter().map(join).sum::<bindscan::Result<u64>>()
            })?;
            rates.push(done as f64 / started.elapsed().as_secs_f64());
        }
        rates.sort_by(f64::total_cmp);
        Ok(rates[rates.len() / 2])
    }

    /// A chunk that is scored several times a round, as long as one of a scan at the most; windows see so many bases `beside` the
    /// first of each.
    fn fitting_chunk(
        &self,
        beside: usize,
        mut work: impl FnMut(&Chunk) -> bindscan::Result<()>,
    ) -> Result<Chunk> {
        let mut own = FIRST_CHUNK;
        loop {
            let chunk = random_chunk(own + beside);
            // The first time may include what an engine prepares for a size.
            work(&chunk)?;
            let started = Instant::now();
            work(&chunk)?;
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
