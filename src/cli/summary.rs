//! The counts of a scan as JSON, which MultiQC shows as a table.

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
    /// MultiQC finds files whose names end in _mqc.json. The object has the counts, the version, the command and the models.
    #[arg(long, value_name = "JSON", help_heading = heading::OUTPUT)]
    summary_json: Option<PathBuf>,
}

/// Input that was scanned.
pub(super) struct Scanned<'a> {
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
        Ok(self.summary_json.as_deref().map(Output::create).transpose()?)
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

/// The name of the input without its folder and extensions, and the shard.
fn sample(scanned: &Scanned<'_>) -> String {
    let name = scanned.input.file_name().map_or_else(String::new, |name| name.to_string_lossy().into_owned());
    let bare = match name.as_str() {
        "-" => "standard input",
        name => {
            let name = name.strip_suffix(".gz").unwrap_or(name);
            name.rsplit_once('.').map_or(name, |(stem, _)| stem)
        }
    };
    scanned.shard.map_or_else(|| bare.to_owned(), |shard| format!("{bare} {shard}"))
}
