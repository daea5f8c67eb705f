"""Check that runs of N have no sites, no tests and no values in tracks, with all published DeepBind models.

All published models and the bundled ones scan GRCh38, --batch at a time:

1. The telomere of chr20, all N, at p = 1e-3 and at any score: no site, no value in a track.
2. Stretches of chr20 and chr21 that cross the ends of gaps, at any score. Tracks (bedGraph, and bigWig by pyBigWig) have a
   value at the middle of each window with at most 10 % N, and nowhere else. Windows of sites are among these windows. The
   core of a site begins and ends with a base that is known, unless no base adds to the score and the core is the window.
3. A third of a stretch of chr20 is N. The q-values of all its windows must be Benjamini and Hochberg's with as many tests
   as it has windows with at most 10 % N, on each strand; once for both where a model gives both the same score (strand .).
   Models without a site at q = 0.99 are left out, and counted.

The counts of windows scored and left out, and of sites, in the summary must be the right ones. With --max-n 1 the same
telomere must have all its windows. The exit code is 1 if anything differs.
"""

import csv
import json
import tarfile
import tempfile
from collections import defaultdict
from pathlib import Path

import numpy as np
import pyBigWig

from . import environment, program, sequence

GENOME = "genomes/grch38.chr20_and_21_10M.fa.gz"
# 0-based, half-open.
TELOMERE = [("chr20", 0, 60_000)]
CROSSING = [
    ("chr20", 59_000, 67_000),
    ("chr21", 5_164_246, 5_168_246),
    ("chr21", 5_215_246, 5_217_246),
    ("chr21", 8_216_206, 8_218_206),
]
THIRD = [("chr20", 50_000, 80_000)]
# Of a window may be N.
MOST = 0.1
ANY_SCORE = ["--threshold=-1e9"]
# p- and q-values have five digits.
DIGITS = 2e-4


def main(options):
    """Checks all models and ends the script with 1 if anything differs."""
    binary = program.find(options.bindscan)
    genome = environment.data_file(options.data, GENOME)
    contigs = sequence.read_fasta(genome)
    failures, tested, untested = [], 0, 0
    with tempfile.TemporaryDirectory() as folder:
        folder = Path(folder)
        models = bundled(binary) | imported(binary, options, folder)
        names = list(models)[: options.models or None]
        for at in range(0, len(names), options.batch):
            batch = Batch(binary, genome, contigs, {name: models[name] for name in names[at : at + options.batch]}, folder)
            batch.telomere()
            batch.crossing()
            batch.tests(options)
            failures += batch.failures
            tested, untested = tested + batch.tested, untested + batch.untested
            done = min(at + options.batch, len(names))
            print(f"{done} models, {len(failures)} differences", flush=True)
    print(f"{len(names)} models; tests counted by the q-values of {tested}, {untested} have no site at q = 0.99")
    if failures:
        environment.fail("; ".join(failures[:5]))


def imported(binary, options, folder):
    """Published models by name: the ONNX file, and the number of strands."""
    found = {}
    with tarfile.open(environment.data_file(options.data, "deepbind/params.tar.gz")) as members:
        for member in members:
            if not member.name.endswith(".txt"):
                continue
            text = members.extractfile(member).read()
            params = folder / Path(member.name).name
            params.write_bytes(text)
            program.run(binary, "import", "deepbind", params, "-o", params.with_suffix(".onnx"), "--quiet")
            found[params.stem] = params.with_suffix(".onnx"), 1 + (b"reverse_complement = 1" in text)
    return dict(sorted(found.items()))


def bundled(binary):
    """Bundled models by name: the name, and the number of strands."""
    rows = csv.DictReader(program.run(binary, "models").splitlines(), delimiter="\t")
    return {row["model"]: (row["model"], 1 if row["data"] == "RNAcompete" else 2) for row in rows}


class Batch:
    """Some models, scanned together."""

    def __init__(self, binary, genome, contigs, models, folder):
        self.binary, self.genome, self.contigs, self.models, self.folder = binary, genome, contigs, models, folder
        self.failures, self.tested, self.untested = [], 0, 0

    def require(self, condition, failure):
        if not condition:
            self.failures.append(failure)

    def scan(self, stretches, *words, tracks=True):
        """Scans stretches of the genome: the rows of the sites, which the tracks and the summary must fit."""
        for old in self.folder.glob("out.*"):
            old.unlink()
        table, summary = self.folder / "out.tsv", self.folder / "out.json"
        chosen = [word for model, _ in self.models.values() for word in ("-m", model)]
        chosen += [word for contig, start, end in stretches for word in ("-r", f"{contig}:{start + 1}-{end}")]
        outputs = [table, *(self.folder / f"out.{{name}}.{kind}" for kind in ("bedGraph", "bw") if tracks)]
        outputs = [word for path in outputs for word in ("-o", path)]
        program.run(self.binary, "scan", *chosen, self.genome, *words, *outputs, "--summary-json", summary, "--quiet")
        with open(table) as lines:
            rows = list(csv.DictReader(lines, delimiter="\t"))
        summary = json.loads(summary.read_text())
        self.windows = {model["name"]: model["window"] for model in summary["bindscan"]["models"]}
        self.require(self.windows.keys() == self.models.keys(), "the summary lists other models")
        (self.counts,) = summary["data"].values()
        return rows

    def kept(self, stretches, window, most=MOST):
        """The starts of the windows with few N, by contig."""
        found = defaultdict(list)
        for contig, start, end in stretches:
            unknown = np.concatenate([[0], np.cumsum(sequence.codes(self.contigs[contig][start:end]) > 3)])
            found[contig] += (start + np.flatnonzero(unknown[window:] - unknown[:-window] <= most * window)).tolist()
        return found

    def check_counts(self, what, stretches, rows, most=MOST):
        """The summary has the right counts."""
        kept = sum(len(starts) for w in self.windows.values() for starts in self.kept(stretches, w, most).values())
        all_ = sum(end - start - w + 1 for w in self.windows.values() for _, start, end in stretches)
        have = [self.counts[key] for key in ("windows", "windows_left_out", "sites")]
        want = [kept, all_ - kept, len(rows)]
        self.require(have == want, f"{what}: the summary has {have} windows, windows left out and sites, not {want}")

    def telomere(self):
        """Nothing in a stretch of N."""
        for words in (["--pvalue", "1e-3", "--background-length", "100k"], ANY_SCORE):
            rows = self.scan(TELOMERE, *words)
            what = f"telomere, {' '.join(words)}"
            self.require(not rows, f"{what}: {len(rows)} sites, the first {rows[:1]}")
            self.check_counts(what, TELOMERE, rows)
            self.check_tracks(what, TELOMERE)
        # The same command sees the windows if they are not left out.
        rows = self.scan(TELOMERE, *ANY_SCORE, "--max-n", "1", tracks=False)
        self.check_counts("telomere, --max-n 1", TELOMERE, rows, 1)
        self.require(self.counts["windows_left_out"] == 0 and rows, "telomere, --max-n 1: windows are left out")

    def crossing(self):
        """Sites and tracks at the ends of gaps."""
        rows = self.scan(CROSSING, *ANY_SCORE)
        self.check_counts("crossing", CROSSING, rows)
        self.check_tracks("crossing", CROSSING)
        kept = {w: {contig: set(starts) for contig, starts in self.kept(CROSSING, w).items()} for w in self.windows.values()}
        for row in rows:
            window, core = (tuple(int(row[key]) for key in keys) for keys in (("window_start", "window_end"), ("start", "end")))
            known = window[0] in kept[self.windows[row["name"]]][row["contig"]]
            bases = self.contigs[row["contig"]][core[0] : core[1]]
            ends = core == window or "N" not in (bases[0], bases[-1])
            self.require(known and ends, f"crossing: a site in N: {row}")

    def check_tracks(self, what, stretches):
        """Both tracks of each model have values where its windows with few N have their middles."""
        for name, window in self.windows.items():
            want = {contig: np.array(starts) + window // 2 for contig, starts in self.kept(stretches, window).items() if starts}
            for kind, read in (("bedGraph", bedgraph), ("bw", bigwig)):
                have = read(self.folder / f"out.{name}.{kind}")
                same = have.keys() == want.keys() and all(np.array_equal(have[contig], want[contig]) for contig in want)
                self.require(same, f"{what}: {name}.{kind} has values in other places")

    def tests(self, options):
        """As many tests as there are windows with few N."""
        words = ["--qvalue", "0.99", "--overlaps", "keep", "--background-length", options.length]
        by_model = defaultdict(list)
        rows = self.scan(THIRD, *words, tracks=False)
        self.check_counts("q-values", THIRD, rows)
        for row in rows:
            by_model[row["name"]].append(row)
        for name, (_, strands) in self.models.items():
            sites = by_model[name]
            if not sites:
                self.untested += 1
                continue
            strands = 1 if sites[0]["strand"] == "." else strands
            (starts,) = self.kept(THIRD, self.windows[name]).values()
            inside = {int(row["start"]) for row in sites} <= set(starts)
            p, q = np.sort([(float(row["p_value"]), float(row["q_value"])) for row in sites], axis=0).T
            least = np.minimum.accumulate((p / np.arange(1, len(p) + 1))[::-1])[::-1]
            counted = q / least / strands
            self.tested += 1
            self.require(inside, f"q-values: {name} has a site in N")
            right = np.abs(counted / len(starts) - 1).max() <= DIGITS
            self.require(right, f"q-values: {name} has q-values of {np.median(counted):.0f} windows, not {len(starts)}")


def bedgraph(path):
    """Places that have a value, by contig."""
    found = defaultdict(list)
    with open(path) as lines:
        for line in lines:
            contig, start, end, _ = line.split("\t")
            found[contig].extend(range(int(start), int(end)))
    return found


def bigwig(path):
    """Places that have a value, by contig."""
    with pyBigWig.open(str(path)) as file:
        intervals = {contig: file.intervals(contig) or () for contig in file.chroms()}
    return {contig: [at for start, end, _ in parts for at in range(start, end)] for contig, parts in intervals.items() if parts}
