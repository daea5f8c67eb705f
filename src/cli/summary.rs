//! The counts of a scan as JSON, which MultiQC shows as a table.

use std::ffi::OsStr;
use std::path::{Path, PathBuf};

use anyhow::Result;
use bindscan::genome::shard::Shard;
use bindscan::io::output::{Output, Sealed};
use bindscan::scan::ScanSummary;
use clap::Args;
use serde_json::{Map, Value, json};

use super::heading;
use super::models::Planned;

#[derive(Debug, Args)]
pub(super) struct SummaryArgs {
    /// Write the counts of the scan as JSON, which MultiQC shows
    ///
    /// MultiQC finds files whose names end in _mqc.json, and names the sample by what stands before it; give each run
    /// a name of its own. The object has the counts, the version, the command and the models.
    #[arg(long, value_name = "JSON", help_heading = heading::OUTPUT)]
    summary_json: Option<PathBuf>,
}

/// Input that was scanned.
pub(super) struct Scanned<'a> {
    /// The summary's file.
    pub(super) file: Option<&'a Path>,
    pub(super) input: &'a Path,
    pub(super) shard: Option<Shard>,
    pub(super) models: &'a [Planned],
    pub(super) command: String,
}

/// The counts, by name, with a title for people.
const COUNTS: [(&str, &str); 7] = [
    ("models", "Models"),
    ("bases", "Bases"),
    ("windows", "Windows"),
    ("windows_left_out", "Windows left out"),
    ("sites", "Sites"),
    ("segments", "Contigs, regions or reads"),
    ("segments_too_short", "Too short for a model"),
];

impl SummaryArgs {
    /// Opens the file, if one is wanted: what cannot be written is found out before the scan.
    pub(super) fn open(&self) -> Result<Option<Output>> {
        Ok(self.path().map(Output::create).transpose()?)
    }

    /// The file, if one is wanted.
    pub(super) fn path(&self) -> Option<&Path> {
        self.summary_json.as_deref()
    }
}

/// Writes the summary, which waits for its name as the tracks do. `more` counts belong to reads.
pub(super) fn write(
    mut output: Output,
    scanned: &Scanned<'_>,
    summary: &ScanSummary,
    more: &[(&str, u64)],
) -> Result<Sealed> {
    let text = format!("{:#}\n", object(scanned, summary, more));
    output.write(text.as_bytes())?;
    Ok(output.seal()?)
}

fn object(scanned: &Scanned<'_>, summary: &ScanSummary, more: &[(&str, u64)]) -> Value {
    let values = [
        scanned.models.len() as u64,
        summary.bases,
        summary.windows,
        summary.left_out,
        summary.sites,
        summary.segments,
        summary.short_segments,
    ];
    let names = COUNTS.iter().map(|(name, _)| *name);
    let counts = names.zip(values).chain(more.iter().copied());
    let counts: Map<String, Value> = counts.map(|(name, count)| (name.to_owned(), count.into())).collect();
    let header =
        |(name, title): &(&str, &str)| ((*name).to_owned(), json!({"title": title, "format": "{:,.0f}"}));
    let models: Vec<Value> = scanned.models.iter().map(model).collect();
    json!({
        "id": "bindscan",
        "section_name": "bindscan",
        "description": "Windows scored and binding sites found by bindscan scan.",
        "plot_type": "table",
        "pconfig": {"id": "bindscan_table", "title": "bindscan: scan"},
        "headers": COUNTS.iter().map(header).collect::<Map<String, Value>>(),
        "data": {sample(scanned): counts},
        "bindscan": {
            "version": env!("CARGO_PKG_VERSION"),
            "command": scanned.command,
            "input": scanned.input.display().to_string(),
            "shard": scanned.shard.map(|shard| shard.to_string()),
            "models": models,
        },
    })
}

fn model(planned: &Planned) -> Value {
    json!({
        "name": planned.model().spec.name,
        "outputs": planned.model().spec.outputs,
        "window": planned.plan().window,
        "sha256": planned.model().digest,
    })
}

/// The sample: what stands before `_mqc.json` in the name of the summary's file, so that runs on one genome are samples of
/// their own; under another name, the input without its folder and extensions. The shard follows.
fn sample(scanned: &Scanned<'_>) -> String {
    let file = scanned.file.and_then(Path::file_name).and_then(OsStr::to_str);
    let named = file.and_then(|name| name.strip_suffix("_mqc.json")).filter(|name| !name.is_empty());
    let bare = named.map_or_else(|| input_name(scanned.input), str::to_owned);
    match scanned.shard {
        Some(shard) => format!("{bare} {shard}"),
        None => bare,
    }
}

fn input_name(input: &Path) -> String {
    let name = input.file_name().map_or_else(String::new, |name| name.to_string_lossy().into_owned());
    match name.as_str() {
        "-" => "standard input".to_owned(),
        name => {
            let name = name.strip_suffix(".gz").unwrap_or(name);
            name.rsplit_once('.').map_or(name, |(stem, _)| stem).to_owned()
        }
    }
}
