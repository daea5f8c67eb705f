//! Examples of each subcommand, shown in its help and in its manual page.

use clap::builder::StyledStr;
use clap::{Command, CommandFactory};

/// Use of a subcommand.
#[derive(Debug, Clone, Copy)]
pub(super) struct Example {
    pub(super) purpose: &'static str,
    /// Command lines, as they are typed.
    pub(super) lines: &'static [&'static str],
}

const fn example(purpose: &'static str, lines: &'static [&'static str]) -> Example {
    Example { purpose, lines }
}

/// Examples by subcommand. `tests/it/help.rs` runs all of them.
const EXAMPLES: &[(&str, &[Example])] = &[
    (
        "",
        &[
            example(
                "Find the sites of all motifs of a collection",
                &["bindscan scan -m JASPAR.meme hg38.fa.gz --pvalue 1e-6 -o sites.bed.gz"],
            ),
            example(
                "Train a network on peaks, and scan with it",
                &[
                    "bindscan train peaks.narrowPeak --genome hg38.fa.gz --quick -o mine.onnx",
                    "bindscan scan -m mine.onnx hg38.fa.gz --threshold 3 -o sites.bed \\\n    -o scores.bw",
                ],
            ),
        ],
    ),
    (
        "scan",
        &[
            example(
                "Find the sites of all motifs of a collection",
                &["bindscan scan -m JASPAR.meme hg38.fa.gz --pvalue 1e-6 -o sites.bed.gz"],
            ),
            example(
                "Write sites and a track of all scores of a bundled network, on one chromosome",
                &[
                    "bindscan scan -m ELK1 hg38.fa.gz -r chr20 --threshold 3 -o sites.bed \\\n    -o scores.bw",
                ],
            ),
            example(
                "Find sites in reads of good quality",
                &["bindscan scan -m ELK1 reads.bam --threshold 2 -q 20 -o sites.bed"],
            ),
        ],
    ),
    (
        "merge",
        &[example(
            "Scan a genome in two jobs, and join their outputs",
            &[
                "bindscan scan -m JASPAR.meme hg38.fa --pvalue 1e-5 --shard 1/2 -o 1.bed",
                "bindscan scan -m JASPAR.meme hg38.fa --pvalue 1e-5 --shard 2/2 -o 2.bed",
                "bindscan merge 1.bed 2.bed -o sites.bed",
            ],
        )],
    ),
    (
        "score",
        &[
            example(
                "Score sequences with two models",
                &["bindscan score -m ELK1 -m GABPA sequences.fa -o scores.tsv"],
            ),
            example(
                "Score a column of a table",
                &["bindscan score -m ELK1 labelled.tsv --column sequence -o scores.tsv"],
            ),
        ],
    ),
    (
        "regions",
        &[
            example(
                "Count the sites of each motif in each peak, as Matrix Market",
                &[
                    "bindscan regions peaks.narrowPeak -m JASPAR.meme --genome hg38.fa \\\n    --pvalue 1e-4 -o counts.mtx",
                ],
            ),
            example(
                "Make a table of the best window of each peak",
                &["bindscan regions peaks.narrowPeak -m ELK1 --genome hg38.fa --long -o x.tsv"],
            ),
        ],
    ),
    (
        "enrich",
        &[example(
            "Find the motifs that peaks are enriched in",
            &[
                "bindscan enrich peaks.narrowPeak -m JASPAR.meme --genome hg38.fa \\\n    --pvalue 1e-4 -o enriched.tsv --report enriched.html",
            ],
        )],
    ),
    (
        "variants",
        &[
            example(
                "Annotate calls",
                &["bindscan variants -m ELK1 --genome hg38.fa calls.vcf.gz -o scored.vcf.gz"],
            ),
            example(
                "Make a table of the effects on all motifs, for one chromosome",
                &[
                    "bindscan variants -m JASPAR.meme --genome hg38.fa calls.vcf.gz -r chr20 \\\n    -o effects.tsv",
                ],
            ),
        ],
    ),
    (
        "mutmap",
        &[
            example(
                "Draw the map of a region",
                &["bindscan mutmap -m ELK1 --genome hg38.fa -r chr20:1,001-1,080 -o map.svg"],
            ),
            example(
                "Make a table for each of some sequences",
                &["bindscan mutmap -m ELK1 sequences.fa -o maps.tsv"],
            ),
        ],
    ),
    (
        "profile",
        &[example(
            "Write the expected counts around peaks",
            &["bindscan profile -m model.h5 hg38.fa -R peaks.narrowPeak -o counts.bw"],
        )],
    ),
    (
        "eval",
        &[
            example(
                "Measure a model on the peaks of a chromosome",
                &["bindscan eval ELK1 peaks.narrowPeak --genome hg38.fa --test-contigs chr8"],
            ),
            example(
                "Measure a model on labelled sequences, for a program",
                &["bindscan eval ELK1 labelled.tsv --format json -o accuracy.json"],
            ),
        ],
    ),
    (
        "import",
        &[
            example(
                "Convert a published DeepBind model",
                &["bindscan import deepbind D00328.003.txt -o CTCF.onnx"],
            ),
            example("Convert a motif collection", &["bindscan import motifs JASPAR.meme -o motifs/"]),
        ],
    ),
    (
        "import deepbind",
        &[
            example(
                "Convert a published DeepBind model",
                &["bindscan import deepbind D00328.003.txt -o CTCF.onnx"],
            ),
            example(
                "Give it a name of your own",
                &["bindscan import deepbind D00328.003.txt --name CTCF_SELEX -o CTCF.onnx"],
            ),
        ],
    ),
    #[cfg(feature = "keras")]
    (
        "import keras",
        &[
            example("Convert a Keras model", &["bindscan import keras model.h5 -o model.onnx"]),
            example(
                "Scan with one of its heads",
                &[
                    "bindscan import keras model.h5 -o model.onnx",
                    "bindscan inspect model.onnx",
                    "bindscan scan -m model.onnx --head logcount_predictions hg38.fa \\\n    -r chr20:1-2000 --threshold 1 -o sites.bed",
                ],
            ),
        ],
    ),
    (
        "import motifs",
        &[
            example("Convert each motif of a collection", &["bindscan import motifs JASPAR.meme -o motifs/"]),
            example(
                "Convert one motif",
                &["bindscan import motifs JASPAR.meme --motif MA0139.2 -o CTCF.onnx"],
            ),
        ],
    ),
    (
        "inspect",
        &[
            example("Describe a bundled network", &["bindscan inspect ELK1"]),
            example("Describe a motif of a file", &["bindscan inspect JASPAR.meme --motif MA0139.2"]),
        ],
    ),
    (
        "motifs",
        &[
            example(
                "Show what the filters find in peaks",
                &[
                    "bindscan motifs ELK1 --sequences peaks.narrowPeak --genome hg38.fa \\\n    -o filters.meme --report filters.html",
                ],
            ),
            example(
                "Compare the filters with known motifs",
                &[
                    "bindscan motifs ELK1 --sequences sequences.fa --compare JASPAR.meme \\\n    --matches matches.tsv -o filters.meme",
                ],
            ),
        ],
    ),
    ("models", &[example("List the bundled models", &["bindscan models"])]),
    (
        "calibrate",
        &[
            example(
                "Store the null distribution of a network on a genome's background",
                &["bindscan calibrate ELK1 --background hg38.fa --background-length 1M \\\n    -o ELK1.onnx"],
            ),
            example(
                "Print the p-values of the motifs of a file",
                &["bindscan calibrate JASPAR.meme --background uniform"],
            ),
        ],
    ),
    (
        "simulate",
        &[
            example(
                "Simulate a genome with sites of a motif",
                &[
                    "bindscan simulate genome JASPAR.meme --motif MA0139.2 --length 1M \\\n    --sites 100 -o genome.fa --truth truth.bed",
                ],
            ),
            example(
                "Simulate labelled sequences",
                &["bindscan simulate motifs JASPAR.meme --motifs MA0139.2 --sequences 1000 \\\n    -o data/"],
            ),
        ],
    ),
    (
        "simulate genome",
        &[
            example(
                "Simulate a genome with sites of a motif",
                &[
                    "bindscan simulate genome JASPAR.meme --motif MA0139.2 --length 1M \\\n    --sites 100 -o genome.fa --truth truth.bed",
                ],
            ),
            example(
                "Scan it without storing it",
                &[
                    "bindscan simulate genome JASPAR.meme --motif MA0139.2 --length 1M \\\n    --sites 100 --truth truth.bed | bindscan scan -m JASPAR.meme - \\\n    --threshold 12 -o sites.bed",
                ],
            ),
        ],
    ),
    (
        "simulate motifs",
        &[example(
            "Simulate labelled sequences, and measure a model on them",
            &[
                "bindscan simulate motifs JASPAR.meme --motifs MA0139.2 --sequences 1000 \\\n    -o data/",
                "bindscan eval ELK1 data/test.tsv",
            ],
        )],
    ),
    (
        "train",
        &[
            example(
                "Take a first look at peaks, holding out a chromosome",
                &[
                    "bindscan train peaks.narrowPeak --genome hg38.fa.gz --test-contigs chr8 \\\n    --quick -o mine.onnx --report mine.html",
                ],
            ),
            example(
                "Train a network of several layers on labelled sequences",
                &["bindscan train labelled.tsv --arch cnn --quick -o cnn.onnx"],
            ),
        ],
    ),
    (
        "bench",
        &[
            example("Measure a bundled network", &["bindscan bench -m ELK1 --seconds 0.2"]),
            example(
                "Measure one engine with two threads",
                &["bindscan bench -m ELK1 --engine kernel --threads 2 --seconds 0.2"],
            ),
        ],
    ),
    (
        "completions",
        &[
            example(
                "Install completions for bash",
                &[
                    "mkdir -p ~/.local/share/bash-completion/completions",
                    "bindscan completions bash > \\\n    ~/.local/share/bash-completion/completions/bindscan",
                ],
            ),
            example("Load completions in zsh, once", &["bindscan completions zsh > _bindscan"]),
        ],
    ),
    (
        "man",
        &[
            example("Install the manual pages", &["bindscan man -o ~/.local/share/man/man1"]),
            example("Print the main page", &["bindscan man > bindscan.1"]),
        ],
    ),
];

/// Examples of a subcommand, such as `import motifs`; of the program itself, if `path` is empty.
pub(super) fn examples(path: &str) -> &'static [Example] {
    EXAMPLES.iter().find(|(name, _)| *name == path).map_or(&[], |(_, examples)| examples)
}

/// The command line of the program, with examples after each help text. A negative number is a value, of which its option says
/// what is wrong with it, and no option.
pub(crate) fn command() -> Command {
    with_examples(super::Args::command(), "")
}

fn with_examples(command: Command, path: &str) -> Command {
    let mut command = command;
    let names: Vec<String> = command.get_subcommands().map(|sub| sub.get_name().to_owned()).collect();
    for name in names {
        let path = if path.is_empty() { name.clone() } else { format!("{path} {name}") };
        command = command.mut_subcommand(&name, |subcommand| with_examples(subcommand, &path));
    }
    command = command.mut_args(|arg| match arg.get_action().takes_values() {
        true => arg.allow_negative_numbers(true),
        false => arg,
    });
    match examples(path) {
        [] => command,
        examples => command.after_help(shown(examples)),
    }
}

fn shown(examples: &[Example]) -> StyledStr {
    let styles = clap::builder::Styles::default();
    let header = styles.get_header();
    let mut text = format!("{header}Examples:{header:#}");
    for (rank, Example { purpose, lines }) in examples.iter().enumerate() {
        let gap = if rank == 0 { "" } else { "\n" };
        text += &format!("{gap}\n  {purpose}:");
        for line in *lines {
            text += &format!("\n    {}", line.replace('\n', "\n    "));
        }
    }
    StyledStr::from(text)
}
