"""Compare training on real data with the published DeepBind models, on data held out.

  encode      ENCODE ChIP-seq: fitted to the seven training sets (_AC), judged on the test sets (_B), seed by seed.
  pbm         Protein-binding microarrays, five factors: fitted to one array design, judged on the other, both ways.
              A probe whose signal is above mean + 4 standard deviations is a positive of AUC, which is not defined
              where none is.
  rnacompete  RNAcompete RNCMPT00001: fitted to the training probes, judged on the test probes.
  choose      How the default recipe was chosen, on the training sets (_AC) alone: fitted with one thing changed at a
              time to two thirds of the peaks, judged on the rest. Printed are the cross-validated AUC of single fits
              and the AUC of the merged network on the rest.
  protocol    The published protocol (30 draws x 3 folds x 20,000 steps, 6 final fits) on ELK1: wall time and AUC.

Intervals are 95 % bootstrap intervals of `bindscan eval`. Nothing is chosen by the test data. Models are kept in a
folder, and those that are there already are not fitted again. SELEX is not among them: the files of Max at hand
contain relative affinities without their sequences.
"""

import gzip
import math
import time
from pathlib import Path

from . import environment, models, program, table
from .program import run

PUBLISHED = {
    "ARID3A": "D00736.002",
    "CTCFL": "D00753.001",
    "ELK1": "D00360.007",
    "FOXA1": "D00761.001",
    "GABPA": "D00409.004",
    "MYC": "D00785.001",
    "USF1": "D00700.006",
}
ARRAYS = ["Cebpb", "Egr2", "Esr1", "Foxj2", "Sp1"]
RNA = ["--alphabet", "rna", "--filter-length", "12", "--filters", "128"]
RNA_PUBLISHED = "D00084.001"
# Factors and options by which the recipe was chosen.
CHOOSE_BY = ["ELK1", "ARID3A", "MYC", "GABPA"]
CHOOSE = ["--trials", "2", "--steps", "4000"]
FINALS = ["--final", "4"]
VARIANTS = {
    "default": [],
    "medium": ["--size", "medium"],
    "ensemble": ["--size", "ensemble"],
    "ensemble with a hidden layer": ["--size", "ensemble", "--hidden", "32"],
    "better strand instead of symmetric": ["--strands", "both"],
    "max and average": ["--pool", "max+avg"],
    "no padding": ["--no-padding"],
    "16 filters": ["--filters", "16"],
    "64 filters, 1 final fit": ["--filters", "64", "--final", "1"],
    "1 final fit": ["--final", "1"],
    "2 final fits": ["--final", "2"],
    "filters of 16 bases": ["--filter-length", "16"],
    "Nesterov SGD": ["--optimizer", "nesterov"],
    "1 negative a positive": ["--negatives-per-positive", "1"],
    "40 negatives a positive": ["--negatives-per-positive", "40"],
}


def main(options):
    """Runs the part that was asked for."""
    environment.data_file(options.data, "encode")
    Path(options.models).mkdir(parents=True, exist_ok=True)
    bench = Bench(options)
    PARTS[options.what](bench)


class Bench:
    """The program, the data, and the models made so far."""

    def __init__(self, options):
        self.program = program.find(options.bindscan)
        self.data, self.models = Path(options.data), Path(options.models)
        self.seeds = [int(seed) for seed in options.seeds.split(",")]
        self.threads = ["--threads", options.threads] if options.threads != "0" else []
        self.names = options.names.split(",") if options.names else None

    def chosen(self, names):
        return [name for name in names if self.names is None or name in self.names]

    def train(self, name, data, *options):
        """A model fitted to the data, and how many seconds it took (None if it was there already)."""
        model = self.models / f"{name}.onnx"
        if model.exists():
            return model, None
        began = time.monotonic()
        run(self.program, "--quiet", "train", data, "-o", model, *options, *self.threads)
        return model, time.monotonic() - began

    def published(self, identifier):
        """A published model."""
        model = self.models / f"{identifier}.onnx"
        if not model.exists():
            models.published(self.program, self.data, self.models, identifier)
        return model

    def judge(self, model, data, *options):
        """What `bindscan eval` measures: {metric: (value, low, high)}."""
        lines = run(self.program, "--quiet", "eval", model, data, "--format", "tsv", *options).splitlines()
        rows = [dict(zip(lines[0].split("\t"), line.split("\t"))) for line in lines[1:]]
        return {row["metric"]: tuple(float(row[key]) for key in ("value", "low", "high")) for row in rows}


def interval(measured):
    value, low, high = measured
    return "not defined" if math.isnan(value) else f"{value:.4f} ({low:.4f} to {high:.4f})"


def mean(values):
    """The mean of those that are defined."""
    values = [value for value in values if not math.isnan(value)]
    return sum(values) / len(values)


def encode(bench):
    rows, ours, theirs = [], [], []
    for factor in bench.chosen(PUBLISHED):
        (training,) = bench.data.glob(f"encode/{factor}_*_AC.seq.gz")
        test = Path(str(training).replace("_AC", "_B"))
        # As `scripts/regenerate zoo` does it: with seed 1 these are the bundled models.
        judged = ["--test", test, "--name", factor]
        fits = [bench.train(f"{factor}-{seed}", training, *judged, "--seed", seed)[0] for seed in bench.seeds]
        measured = [bench.judge(model, test)["AUC"] for model in fits]
        published = bench.judge(bench.published(PUBLISHED[factor]), test)["AUC"]
        rows.append([factor, *map(interval, measured), interval(published)])
        print(*rows[-1], sep="\t", flush=True)
        ours.append([value for value, _, _ in measured])
        theirs.append(published[0])
    means = [f"{mean(column):.4f}" for column in zip(*ours)]
    rows.append(["mean", *means, f"{mean(theirs):.4f}"])
    print("\n" + table.markdown(["AUC", *(f"seed {seed}" for seed in bench.seeds), "published"], rows))


def pbm(bench):
    rows, means = [], []
    for factor in bench.chosen(ARRAYS):
        for train, test in (("HK", "ME"), ("ME", "HK")):
            files = [bench.data / f"pbm/{factor}_{design}.txt.gz" for design in (train, test)]
            model, _ = bench.train(f"{factor}-{train}", files[0])
            measured = bench.judge(model, files[1])
            values = [measured[metric] for metric in ("Pearson", "Spearman", "AUC")]
            rows.append([factor, f"{train} to {test}", *map(interval, values)])
            print(*rows[-1], sep="\t", flush=True)
            means.append([value for value, _, _ in values])
    rows.append(["mean", "", *(f"{mean(column):.4f}" for column in zip(*means))])
    print("\n" + table.markdown(["factor", "designs", "Pearson", "Spearman", "AUC"], rows))


def rnacompete(bench):
    training, test = (bench.data / f"rna/RNCMPT00001.{part}.gz" for part in ("train", "test"))
    model, _ = bench.train("RNCMPT00001", training, *RNA, "--test", test)
    rows = []
    for name, model in (("bindscan train", model), (RNA_PUBLISHED, bench.published(RNA_PUBLISHED))):
        measured = bench.judge(model, test)
        rows.append([name, *(interval(measured[metric]) for metric in ("Pearson", "Spearman"))])
    print(table.markdown(["model", "Pearson", "Spearman"], rows))


def choose(bench):
    factors = bench.chosen(CHOOSE_BY)
    parts = {}
    for factor in factors:
        (training,) = bench.data.glob(f"encode/{factor}_*_AC.seq.gz")
        with gzip.open(training, "rt") as lines:
            header, *rows = lines
        parts[factor] = [bench.models / f"{factor}.{part}.seq" for part in ("fit", "rest")]
        parts[factor][0].write_text(header + "".join(row for i, row in enumerate(rows) if i % 3 < 2))
        parts[factor][1].write_text(header + "".join(rows[2::3]))
    rows = []
    for number, (variant, changed) in enumerate(VARIANTS.items()):
        row, means = [variant], []
        for factor in factors:
            fitted, rest = parts[factor]
            options = [*CHOOSE, *changed] if "--final" in changed else [*CHOOSE, *FINALS, *changed]
            model, _ = bench.train(f"choose-{number}-{factor}", fitted, *options)
            described = run(bench.program, "inspect", model).splitlines()
            (crossed,) = (float(line.split()[1]) for line in described if line.startswith("cross_validated"))
            means.append((crossed, bench.judge(model, rest)["AUC"][0]))
            row.append(f"{means[-1][0]:.4f} {means[-1][1]:.4f}")
        row.append(" ".join(f"{mean(column):.4f}" for column in zip(*means)))
        rows.append(row)
        print(*row, sep="\t", flush=True)
    print("\n" + table.markdown(["cross-validated, on the rest", *factors, "mean"], rows))


def protocol(bench):
    training, test = (bench.data / f"encode/ELK1_GM12878_{part}.seq.gz" for part in ("AC", "B"))
    model, seconds = bench.train("ELK1-published", training, "--recipe", "published")
    took = "fitted before" if seconds is None else f"{seconds:.0f} s"
    print(f"published protocol, ELK1: {took}; AUC {interval(bench.judge(model, test)['AUC'])}")


PARTS = {"encode": encode, "pbm": pbm, "rnacompete": rnacompete, "choose": choose, "protocol": protocol}
