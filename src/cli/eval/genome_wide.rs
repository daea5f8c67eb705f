//! `bindscan eval --genome-wide`.

use std::fmt::Write;

use anyhow::{Result, ensure};
use bindscan::dataset::peaks::{HeldOut, read_held_out};
use bindscan::engine::planned::{PlanOptions, Planned};
use bindscan::genome_wide::page::page;
use bindscan::genome_wide::{FALSE_DISCOVERY_RATES, Judgement, Rules, judge, rank_places};
use bindscan::io::output::Output;
use bindscan::model::{Model, OpenOptions};
use bindscan::seq::window::StrandChoice;

use super::{EvalArgs, FormatArg, aligned};
use crate::cli::models::heads;
use crate::cli::progress::{Progress, grouped};
use crate::cli::{CANCELLED, Session, message, threads};

/// Most bases from a site to a summit that is near.
const FARTHEST: u64 = 1_000_000;

/// Judges the models and writes the table and the page.
pub(super) fn run(args: &EvalArgs, session: Session) -> Result<()> {
    let models = models(args)?;
    let Some(genome) = args.data.genome() else { return Ok(()) };
    let contigs = read_held_out(genome, args.data.path(), &args.data.held_out_options())?;
    let rules = Rules { near: args.near, seed: args.seed, ..Rules::default() };
    ensure!((1..=FARTHEST).contains(&rules.near), "--near: give 1 to {} bases", grouped(FARTHEST));
    tell(&contigs, &rules, session);
    let mut judged = Vec::new();
    for planned in &models {
        let name = planned.model().spec.name.clone();
        let _progress = Progress::start(session, &format!("{name}: scoring"));
        judged.push((name, judge_one(planned, &contigs, &rules, threads(args.threads))?));
    }
    if let Some(path) = &args.report {
        let title = format!("Genome-wide: {}", args.data.path().display());
        let mut file = Output::create(path)?;
        file.write(page(&title, &facts(&contigs, &rules), &judged).as_bytes())?;
        file.finish()?;
    }
    let mut output = Output::create(&args.output)?;
    output.write(text(args.format, &judged).as_bytes())?;
    Ok(output.finish()?)
}

/// Judges one model, which has one output, by whole contigs.
pub(in crate::cli) fn judge_one(
    planned: &Planned,
    contigs: &[HeldOut],
    rules: &Rules,
    threads: usize,
) -> Result<Judgement> {
    let spec = &planned.model().spec;
    ensure!(
        spec.outputs.len() == 1,
        "{}: has {} outputs; a model with one can be judged",
        spec.name,
        spec.outputs.len()
    );
    let places = rank_places(planned, contigs, rules, threads, &CANCELLED)?;
    Ok(judge(&places, contigs, rules))
}

fn models(args: &EvalArgs) -> Result<Vec<Planned>> {
    let mut planned = Vec::new();
    for path in std::iter::once(&args.model).chain(&args.others) {
        let models = match args.motifs.models(path)? {
            Some(models) => models,
            None => {
                let options = OpenOptions { heads: heads(&args.head), ..OpenOptions::default() };
                vec![Model::find_with(path, &options)?]
            }
        };
        for model in models {
            let options = PlanOptions::default()
                .window(args.window)
                .strands(args.strand.map(StrandChoice::from))
                .engine(args.engine)
                .device(args.device);
            planned.push(Planned::new(model, &options)?);
        }
    }
    Ok(planned)
}

fn tell(contigs: &[HeldOut], rules: &Rules, session: Session) {
    if session.quiet {
        return;
    }
    for (name, value) in facts(contigs, rules) {
        message(format_args!("{name}: {value}"));
    }
}

fn facts(contigs: &[HeldOut], rules: &Rules) -> Vec<(String, String)> {
    let summits: usize = contigs.iter().map(|contig| contig.summits.len()).sum();
    let bases: usize = contigs.iter().map(|contig| contig.codes.len()).sum();
    let names: Vec<&str> = contigs.iter().map(|contig| contig.name.as_str()).collect();
    vec![
        ("contigs".into(), format!("{} ({bases} bases, {summits} summits)", names.join(", "))),
        (
            "places".into(),
            format!(
                "the summits of the best {} windows, {} bases or more apart; right within {} bases of a measured summit, each once",
                rules.places,
                2 * rules.near,
                rules.near
            ),
        ),
    ]
}

fn text(format: FormatArg, judged: &[(String, Judgement)]) -> String {
    match format {
        FormatArg::Text => table(judged),
        FormatArg::Tsv => tsv(judged),
        FormatArg::Json => {
            let object = |(name, judgement): &(String, Judgement)| serde_json::json!({"model": name, "genome_wide": judgement});
            format!("{:#}\n", serde_json::Value::from(judged.iter().map(object).collect::<Vec<_>>()))
        }
    }
}

fn table(judged: &[(String, Judgement)]) -> String {
    let header = ["model", "AP", "95% interval", "precision at k", "recall at 10 % FDR", "25 %", "50 %"];
    let row = |(name, judgement): &(String, Judgement)| {
        let [ten, quarter, half] = judgement.recall_at_fdr.map(|recall| format!("{recall:.3}"));
        [
            name.clone(),
            format!("{:.3}", judgement.average_precision),
            judgement.interval.map_or_else(|| "-".into(), |i| format!("{:.3} to {:.3}", i.low, i.high)),
            format!("{:.3}", judgement.precision_at_k),
            ten,
            quarter,
            half,
        ]
    };
    let rows: Vec<[String; 7]> =
        std::iter::once(header.map(str::to_owned)).chain(judged.iter().map(row)).collect();
    aligned(&rows, 1)
}

fn tsv(judged: &[(String, Judgement)]) -> String {
    let mut text = String::from("model\tsummits\tplaces\taverage_precision\tlow\thigh\tprecision_at_k");
    for rate in FALSE_DISCOVERY_RATES {
        let _ = write!(text, "\trecall_at_fdr_{rate}");
    }
    text.push('\n');
    for (name, judgement) in judged {
        let Judgement { summits, places, average_precision, interval, precision_at_k, .. } = judgement;
        let end = |of: fn(&bindscan::dataset::metric::Interval) -> f64| {
            interval.as_ref().map_or_else(|| "nan".into(), |interval| format!("{:.6}", of(interval)))
        };
        let (low, high) = (end(|i| i.low), end(|i| i.high));
        let _ = write!(
            text,
            "{name}\t{summits}\t{places}\t{average_precision:.6}\t{low}\t{high}\t{precision_at_k:.6}"
        );
        judgement.recall_at_fdr.iter().for_each(|recall| {
            let _ = write!(text, "\t{recall:.6}");
        });
        text.push('\n');
    }
    text
}
