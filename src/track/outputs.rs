//! The outputs of a scan: their formats, their names, and how they are opened.

use std::path::{Path, PathBuf};

use super::bigbed::BigBedSink;
use super::bigwig::BigWigSink;
use super::provenance::Provenance;
use super::score::{ScoreSink, Series, Shown, Summary};
use super::site::{Columns, SiteLines, SiteSink};
use super::{Format, ReadsFormat, ScoreFormat, SiteFormat, Target};
use crate::engine::planned::Planned;
use crate::io::line::LineSink;
use crate::io::output::Output;
use crate::io::tabix::Layout;
use crate::seq::window::StrandChoice;
use crate::{Error, Result};

/// The format that an output's name shows.
#[derive(Debug)]
pub struct Extension {
    /// Its extension in lower case, without the .gz (or .bgz) behind it.
    pub name: Option<String>,
    /// True if there is a .gz.
    pub compressed: bool,
}

impl Extension {
    /// Reads the extension of a file name.
    pub fn from_path(path: &Path) -> Extension {
        let extension = |path: &Path| Some(path.extension()?.to_string_lossy().to_ascii_lowercase());
        match extension(path) {
            Some(gz) if gz == "gz" || gz == "bgz" => {
                Extension { name: extension(&path.with_extension("")), compressed: true }
            }
            name => Extension { name, compressed: false },
        }
    }
}

/// An output that was asked for: the name may hold {name} and {strand}.
#[derive(Debug)]
struct Wanted {
    path: PathBuf,
    format: Format,
    /// Compressed, with an index.
    compressed: bool,
}

/// The outputs of a scan, with their formats, before they are opened.
#[derive(Debug)]
pub struct Outputs {
    wanted: Vec<Wanted>,
    bin: u64,
    summary: Summary,
    sparse: bool,
    header: bool,
    columns: Columns,
}

/// The tracks of a scan.
#[derive(Debug, Default)]
pub struct Tracks {
    /// Tracks of sites.
    pub sites: Vec<(SiteLines, SiteSink)>,
    /// Tracks of scores.
    pub scores: Vec<(Series, ScoreSink)>,
    /// Files of reads, each with the target that its tags are of.
    pub reads: Vec<(usize, Output)>,
    /// The files that are written, every link followed; `None` if something else than files is.
    pub regular: Option<Vec<PathBuf>>,
    /// Their destinations.
    pub files: Vec<TrackFile>,
}

/// Destination of a track, which need not be a file.
#[derive(Debug, Clone)]
pub struct TrackFile {
    /// As it was given.
    pub path: PathBuf,
    /// The format.
    pub format: Format,
}

impl Wanted {
    fn new(path: &Path, format: Option<Format>) -> Result<Wanted> {
        let Extension { compressed, .. } = Extension::from_path(path);
        let bare = if compressed { path.with_extension("") } else { path.to_path_buf() };
        let format = match format {
            Some(format) => format,
            None => format_of(&bare)?,
        };
        let binary = matches!(
            format,
            Format::Scores(ScoreFormat::BigWig)
                | Format::Sites(SiteFormat::BigBed)
                | Format::Reads(ReadsFormat::Bam)
        );
        if compressed && binary {
            return Err(Error::Output(format!(
                "{}: {format} is compressed by itself; leave out the .gz",
                path.display()
            )));
        }
        Ok(Wanted { path: path.to_path_buf(), format, compressed })
    }
}

fn format_of(path: &Path) -> Result<Format> {
    let extension = path.extension().map(|extension| extension.to_string_lossy().into_owned());
    let device = path.exists() && !path.is_file();
    match (Format::from_extension(path), extension) {
        (Some(format), _) => Ok(format),
        (None, Some(other)) if !device => Err(Error::Output(format!(
            "unknown output extension .{other}; use .bed, .tsv or another listed in the help, or --format"
        ))),
        _ => Ok(Format::Sites(SiteFormat::Bed)),
    }
}

const NAME: &str = "{name}";
const STRAND: &str = "{strand}";

impl Outputs {
    /// Finds the format of each output: that of its name, or `format`, which goes with one output only.
    ///
    /// # Errors
    /// A name that no format goes with.
    ///
    /// ```
    /// use bindscan::track::outputs::Outputs;
    ///
    /// let outputs = Outputs::new(&["sites.bed.gz".into(), "{name}.bw".into()], None)?;
    /// assert!(outputs.have_sites() && outputs.have_scores());
    /// assert!(Outputs::new(&["sites.docx".into()], None).is_err());
    /// # Ok::<(), bindscan::Error>(())
    /// ```
    pub fn new(paths: &[PathBuf], format: Option<Format>) -> Result<Outputs> {
        if format.is_some() && paths.len() != 1 {
            let message = "--format is for one output; give names whose extensions say the formats";
            return Err(Error::Request(message.into()));
        }
        let wanted = paths.iter().map(|path| Wanted::new(path, format)).collect::<Result<_>>()?;
        let (summary, columns) = (Summary::Max, Columns::default());
        Ok(Outputs { wanted, bin: 1, summary, sparse: false, header: false, columns })
    }

    /// Sets the columns of significance of the formats that have room for them.
    pub fn columns(self, columns: Columns) -> Self {
        Outputs { columns, ..self }
    }

    /// Sets the bases that have one value in a track of scores.
    pub fn bin(self, bin: u64) -> Self {
        Outputs { bin, ..self }
    }

    /// Sets which value a track of scores shows where a bin has several.
    pub fn summary(self, summary: Summary) -> Self {
        Outputs { summary, ..self }
    }

    /// Leaves scores below the threshold out of tracks of scores, if `sparse`.
    pub fn sparse(self, sparse: bool) -> Self {
        Outputs { sparse, ..self }
    }

    /// Puts comments before the first line that say how it was made, if `header`.
    pub fn header(self, header: bool) -> Self {
        Outputs { header, ..self }
    }

    /// True if there are tracks of scores.
    pub fn have_scores(&self) -> bool {
        self.wanted.iter().any(|wanted| matches!(wanted.format, Format::Scores(_)))
    }

    /// Number of which the seams between shards are multiples: a bin belongs to one shard.
    pub fn seam_unit(&self) -> u64 {
        if self.have_scores() { self.bin } else { 1 }
    }

    /// True if tracks of scores show only what reaches the threshold.
    pub fn are_sparse(&self) -> bool {
        self.sparse
    }

    /// True if sites are written, so that a threshold is needed.
    pub fn have_sites(&self) -> bool {
        self.wanted.iter().any(|wanted| matches!(wanted.format, Format::Sites(_)))
    }

    /// An output of scores, if there is one.
    pub fn of_scores(&self) -> Option<&Path> {
        let of_scores = |wanted: &&Wanted| matches!(wanted.format, Format::Scores(_));
        self.wanted.iter().find(of_scores).map(|wanted| &*wanted.path)
    }

    /// An output of reads, if there is one.
    pub fn of_reads(&self) -> Option<&Path> {
        self.wanted
            .iter()
            .find(|wanted| matches!(wanted.format, Format::Reads(_)))
            .map(|wanted| &*wanted.path)
    }

    /// Checks that every format of sites can be written if sites have p-values or not, and q-values now, never, or after the
    /// merge of shards.
    ///
    /// # Errors
    /// A format that shows what is not known.
    pub fn check_significance(&self, p: bool, q_later: bool) -> Result<()> {
        for Wanted { path, format, .. } in &self.wanted {
            let path = path.display();
            match format {
                Format::Sites(SiteFormat::Fimo) => require(p, || {
                    format!("{path}: the table of FIMO has p-values: choose sites with --pvalue or --qvalue")
                })?,
                Format::Sites(SiteFormat::Homer) => require(!q_later, || {
                    format!(
                        "{path}: lines of HOMER have no q-value, which merge needs: write another format, or leave out --shard"
                    )
                })?,
                _ => {}
            }
        }
        Ok(())
    }

    /// True if sites are written as indexed files.
    pub fn have_indexed_sites(&self) -> bool {
        self.wanted.iter().any(|wanted| wanted.compressed && matches!(wanted.format, Format::Sites(_)))
    }

    /// Makes lines tell of reads, and checks that every output can; `aggregate` says whether reads become one value a
    /// position.
    pub fn show_reads(&mut self, aggregate: bool) -> Result<()> {
        (self.columns.read, self.columns.summit, self.columns.spread) = (true, false, false);
        for Wanted { path, format, .. } in &self.wanted {
            match format {
                Format::Sites(SiteFormat::Bed | SiteFormat::Tsv) | Format::Reads(_) => {}
                Format::Sites(format) => {
                    let format = Format::Sites(*format);
                    return Err(Error::Output(format!(
                        "{}: sites in reads are written as BED or TSV, not as {format}",
                        path.display()
                    )));
                }
                Format::Scores(_) => require(aggregate, || {
                    format!(
                        "{}: say how the reads at a position become one value: --aggregate max, mean or count",
                        path.display()
                    )
                })?,
            }
        }
        require(
            !aggregate || self.wanted.iter().any(|wanted| matches!(wanted.format, Format::Scores(_))),
            || "--aggregate is for tracks of scores, and none is written: name a .bedGraph or .bw".to_owned(),
        )?;
        Ok(())
    }

    /// Opens the outputs for `targets`, each of which is scored on the strands that stand beside it.
    pub fn open(
        &self,
        targets: &[Target],
        strands: &[StrandChoice],
        provenance: &Provenance,
    ) -> Result<Tracks> {
        let (taken, tracks) = (Vec::new(), Tracks::default());
        let mut opener =
            Opener { outputs: self, targets, provenance, compressed: false, taken, others: false, tracks };
        for Wanted { path, format, compressed } in &self.wanted {
            opener.compressed = *compressed;
            let text = path.to_string_lossy();
            let each = text.contains(NAME);
            match format {
                Format::Sites(format) => {
                    require(!text.contains(STRAND), || {
                        format!("{text}: {STRAND} is for scores; a line of sites says its strand")
                    })?;
                    if !each {
                        opener.sites(path, *format, None)?;
                    }
                    for (rank, target) in targets.iter().enumerate().filter(|_| each) {
                        opener.sites(&expanded(&text, target, ""), *format, Some(rank))?;
                    }
                }
                Format::Reads(_) => {
                    require(each || targets.len() == 1, || {
                        format!(
                            "{text}: the tags of a read are of one model, and there are {}; put {NAME} into its name",
                            targets.len()
                        )
                    })?;
                    require(!text.contains(STRAND), || {
                        format!("{text}: {STRAND} is for scores; a tag says the strand")
                    })?;
                    for (rank, target) in targets.iter().enumerate() {
                        let output = opener.open(&expanded(&text, target, ""))?;
                        opener.tracks.reads.push((rank, output));
                    }
                }
                Format::Scores(format) => {
                    require(each || targets.len() == 1, || {
                        format!(
                            "{text}: scores of {} models need a file each; put {NAME} into its name",
                            targets.len()
                        )
                    })?;
                    for (rank, (target, strands)) in targets.iter().zip(strands).enumerate() {
                        for (shown, word) in shown(text.contains(STRAND), *strands) {
                            opener.scores(&expanded(&text, target, word), *format, rank, shown)?;
                        }
                    }
                }
            }
        }
        let regular = (!opener.others).then_some(opener.taken);
        Ok(Tracks { regular, ..opener.tracks })
    }
}

/// The strands that have a file of their own, and what stands for them in its name.
fn shown(each: bool, strands: StrandChoice) -> Vec<(Shown, &'static str)> {
    let (forward, reverse) = ((Shown::Forward, "plus"), (Shown::Reverse, "minus"));
    match (each, strands) {
        (false, _) => vec![(Shown::Better, "")],
        (true, StrandChoice::Both) => vec![forward, reverse],
        (true, StrandChoice::Forward) => vec![forward],
        (true, StrandChoice::Reverse) => vec![reverse],
    }
}

fn expanded(text: &str, target: &Target, strand: &str) -> PathBuf {
    let name = crate::model::name::file_part(&target.name);
    text.replace(STRAND, strand).replace(NAME, &name).into()
}

/// Opens outputs.
struct Opener<'a> {
    outputs: &'a Outputs,
    targets: &'a [Target],
    provenance: &'a Provenance,
    /// True if lines are compressed.
    compressed: bool,
    taken: Vec<PathBuf>,
    /// True if something else than files is written.
    others: bool,
    tracks: Tracks,
}

impl Opener<'_> {
    /// True if there are comments: a shard's say which one it is.
    fn has_header(&self) -> bool {
        self.outputs.header || self.provenance.shard.is_some()
    }

    fn open(&mut self, path: &Path) -> Result<Output> {
        let output = Output::create(path)?;
        if output.target().is_none() {
            self.others = true;
        }
        self.taken.extend(output.target().map(Path::to_path_buf));
        Ok(output)
    }

    fn sites(&mut self, path: &Path, format: SiteFormat, target: Option<usize>) -> Result<()> {
        let lines = SiteLines { format, target, columns: self.outputs.columns };
        let track = target.map(|rank| self.targets[rank].name.clone());
        let provenance = self.provenance.for_track(Format::Sites(format), track, None);
        let header = lines.header(&provenance, self.has_header());
        let sink = if format == SiteFormat::BigBed {
            require(self.provenance.shard.is_none(), || {
                format!(
                    "{}: shards of bigBed cannot be merged; write .bed and make a bigBed of the whole (bedToBigBed)",
                    path.display()
                )
            })?;
            let sink = BigBedSink::new(self.open(path)?, self.outputs.columns, &header)?;
            SiteSink::BigBed(Box::new(sink))
        } else {
            SiteSink::Lines(self.lines(path, &header, format.layout())?)
        };
        self.tracks.sites.push((lines, sink));
        self.tracks.files.push(TrackFile { path: path.to_path_buf(), format: Format::Sites(format) });
        Ok(())
    }

    fn lines(&mut self, path: &Path, header: &str, layout: Layout) -> Result<LineSink> {
        let output = self.open(path)?;
        Ok(if self.compressed && self.provenance.shard.is_some() {
            LineSink::compressed_and_checked(output, header, layout)?
        } else if self.compressed {
            LineSink::compressed(output, header, layout)?
        } else if self.provenance.shard.is_some() {
            LineSink::checked(output, header)?
        } else {
            LineSink::new(output, header)?
        })
    }

    fn scores(&mut self, path: &Path, format: ScoreFormat, target: usize, strand: Shown) -> Result<()> {
        let lowest = if self.outputs.sparse { self.targets[target].lowest() } else { f32::NEG_INFINITY };
        let series = Series { target, strand, bin: self.outputs.bin, summary: self.outputs.summary, lowest };
        let name = &self.targets[target].name;
        let track = match strand {
            Shown::Better => name.clone(),
            Shown::Forward => format!("{name} +"),
            Shown::Reverse => format!("{name} -"),
        };
        let provenance = self.provenance.for_track(Format::Scores(format), Some(track), Some(series.bin));
        let comments = if self.has_header() { provenance.comments() } else { String::new() };
        let sink = match format {
            ScoreFormat::BedGraph => ScoreSink::BedGraph(self.lines(path, &comments, Layout::Bed)?),
            ScoreFormat::BigWig => {
                let output = self.open(path)?;
                ScoreSink::BigWig(if self.provenance.shard.is_some() {
                    BigWigSink::checked(output, series.bin, &comments)?
                } else {
                    BigWigSink::new(output, series.bin, &comments)?
                })
            }
        };
        self.tracks.scores.push((series, sink));
        self.tracks.files.push(TrackFile { path: path.to_path_buf(), format: Format::Scores(format) });
        Ok(())
    }
}

/// Provenance of tracks of these models that `command` made; `significance` has the origin of each model's p-values.
pub fn provenance(command: String, models: &[Planned], significance: &[(String, String)]) -> Provenance {
    let name_and_digest = |planned: &Planned| {
        (planned.model.spec.name.clone(), planned.model.digest.clone().unwrap_or_default())
    };
    Provenance {
        command,
        models: models.iter().map(name_and_digest).collect(),
        significance: significance.iter().map(|(name, words)| format!("{name}: {words}")).collect(),
        shard: None,
    }
}

/// Refuses a request unless a condition `holds`.
fn require(holds: bool, message: impl FnOnce() -> String) -> Result<()> {
    if holds { Ok(()) } else { Err(Error::Request(message())) }
}
