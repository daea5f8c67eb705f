"""Compare the speed of bindscan and of other programs on the same sequence, network and cores.

The network is DeepBind's: 16 filters, rectifier, global pool, dense output, random weights, window 101, no padding. The
script writes it as ONNX, so that every program scores the same one, and compares their scores with an f64 computation of
its own before it times anything. Networks in PyTorch and ONNX Runtime get one-hot columns in memory, matrix scanners their
own encoding: none of that is timed. bindscan's `scan` rows are the whole command, from FASTA to BED. Scoring window by
window is timed on a part of the sequence and given as a rate.

Matrix scanners (lightmotif, MOODS) scan random matrices as long as the filters, or motifs of a MEME file, each at the
threshold at which it has a hit by chance in 100,000 windows.
"""

import os
import statistics
import sys
import tempfile
import time
from pathlib import Path

import MOODS.tools
import numpy as np

from . import environment, motifs, network, program, rivals, sequence, table

PIECES = (1 << 13, 1 << 15, 1 << 17, 1 << 19)
P_VALUE = 1e-5
PSEUDOCOUNT = 0.1
TOLERANCE = 1e-4


class Bench:
    """The sequence, the network, and what has been timed."""

    def __init__(self, options, folder):
        self.options, self.folder, self.rows = options, folder, []
        self.strands = 2 if options.strands == "both" else 1
        self.genome = folder / "genome.fa"
        self.bases = genome(options)
        sequence.write_fasta(self.genome, [("bench", self.bases)])
        self.coded = sequence.codes(self.bases)
        self.columns = sequence.one_hot(self.coded)
        self.net = network.random_network(
            options.seed, options.filter_length, options.window, options.hidden, options.pools
        )
        self.model = folder / "network.onnx"
        network.write(network.window_model(self.net, "both" if self.strands == 2 else "single"), self.model)

    def say(self, text):
        if not self.options.markdown:
            print(text, file=sys.stderr, flush=True)

    def median(self, work, repeats=None):
        """Median seconds of `work`, after one call that does not count."""
        work()
        times = []
        for _ in range(repeats or self.options.repeats):
            started = time.perf_counter()
            work()
            times.append(time.perf_counter() - started)
        return statistics.median(times), len(times)

    def add(self, kind, name, bases, timing):
        seconds, repeats = timing
        self.rows.append((kind, name, bases / seconds / 1e6, bases, repeats))
        self.say(f"{kind}: {name}: {bases / seconds / 1e6:.3g} Mbp/s")

    # Networks.

    def check(self, name, scores, bases):
        """Compares the scores of the first windows of a stretch with the definition."""
        starts = range(0, min(bases - self.net.window + 1, 2000 * self.options.stride), self.options.stride)
        truth = network.window_scores(self.net, self.coded, starts)
        if self.strands == 2:
            truth = np.maximum(truth, network.window_scores(self.net.flipped(), self.coded, starts))
        worst = np.max(np.abs(scores[: len(truth)] - truth) / np.maximum(1, np.abs(truth)))
        self.say(f"{name}: worst difference from f64 on {len(truth)} windows: {worst:.1e}")
        if not worst <= TOLERANCE:
            environment.fail(f"{name} does not score the same network: difference {worst:.3g}")

    def time_network(self, make, bases, repeats=None):
        """Times a network rival on the first `bases`; with both strands, a second network scores the reverse."""
        bases = min(bases, len(self.bases))
        rivals = [make(net) for net in (self.net, self.net.flipped())[: self.strands]]
        columns = self.coded[:bases] if getattr(rivals[0], "takes_codes", False) else self.columns[:, :bases]

        def work():
            scores = [rival.score(columns) for rival in rivals]
            return np.maximum(*scores) if len(scores) == 2 else scores[0]

        self.check(rivals[0].name, work(), bases)
        return rivals[0].name, bases, self.median(work, repeats)

    def windows(self, rival):
        cores, stride = self.options.cores, self.options.stride
        bases = (10 if not self.options.quick else 2) * rivals.BATCH * stride + self.net.window - 1
        name, bases, timing = self.time_network(lambda net: rival(net, cores, stride), bases)
        self.add("network", name, bases, timing)

    def dense(self, rival):
        """Times a dense rival in the pieces that suit it best."""
        cores, stride = self.options.cores, self.options.stride
        bases = min(len(self.bases), 2_000_000 if not self.options.quick else 500_000)
        make = lambda piece: lambda net: rival(net, cores, stride, piece)
        trial = {piece: self.time_network(make(piece), bases // 2, 1)[2][0] for piece in PIECES}
        piece = min(trial, key=trial.get)
        name, bases, timing = self.time_network(make(piece), bases)
        self.add("network", f"{name} ({piece:,} bases a piece)", bases, timing)

    # Matrices.

    def matrices(self):
        """Motifs, given or random; their log-odds for the strands scanned, and the threshold of each."""
        rng = np.random.default_rng(self.options.seed)
        shape = (self.options.filter_length,)
        found = motifs.read_meme(self.options.meme)[: self.options.motifs] if self.options.meme else []
        for i in range(len(found), 0 if self.options.meme else self.options.motifs):
            probabilities = rng.dirichlet([0.3] * 4, shape).clip(1e-3)
            probabilities /= probabilities.sum(axis=1, keepdims=True)
            found.append(motifs.Motif(f"M{i + 1}", f"M{i + 1}", probabilities, 1000))
        odds = [motifs.log_odds(motif, PSEUDOCOUNT) for motif in found]
        thresholds = [MOODS.tools.threshold_from_p(matrix.tolist(), [0.25] * 4, P_VALUE) for matrix in odds]
        if self.strands == 2:
            odds, thresholds = odds + [matrix[::-1, ::-1].copy() for matrix in odds], 2 * thresholds
        lengths = [len(motif.probabilities) for motif in found]
        count = f"{len(found)} matrices" if len(found) > 1 else "1 matrix"
        columns = f"{min(lengths)} to {max(lengths)}" if min(lengths) < max(lengths) else str(lengths[0])
        self.motifs = f"{count} of {columns} columns"
        return found, odds, thresholds

    def lightmotif(self, odds, thresholds):
        for label, all_scores in (("thresholded", False), ("all scores", True)):
            trial = {}
            for piece in (*PIECES, len(self.bases)):
                rival = rivals.Lightmotif(odds, self.bases, piece)
                work = rival.score_all if all_scores else lambda rival=rival: rival.hits(thresholds)
                trial[piece] = (self.median(work, 1)[0], work)
            piece = min(trial, key=lambda piece: trial[piece][0])
            note = f"lightmotif (Python bindings, {min(piece, len(self.bases)):,} bases a piece), {label}"
            self.add("matrices", note, len(self.bases), self.median(trial[piece][1]))

    def moods(self, odds, thresholds):
        rival = rivals.Moods(odds, self.bases, thresholds)
        repeats = min(3, self.options.repeats)
        self.add("matrices", "MOODS (Python bindings), thresholded", len(self.bases), self.median(rival.hits, repeats))

    # bindscan.

    def scan(self, binary, models, extra, out=None):
        """Seconds of one whole `bindscan scan`."""
        words = [word for model in models for word in ("-m", model)]
        fixed = ["--strand", self.options.strands, "--stride", self.options.stride, "--threads", self.options.cores]
        with open(out or os.devnull, "w") as sink:
            return program.measure(binary, "scan", *words, self.genome, *fixed, *extra, stdout=sink).seconds

    def bindscan(self, binary):
        """The network by every engine: the whole command, and `bindscan bench`, which times the engine alone."""
        few = self.folder / "few.fa"
        stretch = 2000 * self.options.stride
        sequence.write_fasta(few, [("bench", self.bases[: stretch + self.net.window - 1])])
        plan = ["--strand", self.options.strands, "--stride", self.options.stride]
        for engine in self.options.engines.split(","):
            shown = ["--all", "--format", "tsv", "--engine", engine]
            listed, error = program.attempt(binary, "scan", "-m", self.model, few, *plan, *shown)
            if error is not None:
                self.say(f"skipped: bindscan, engine {engine}: {error}")
                continue
            scores = np.array([float(line.rsplit("\t", 1)[1]) for line in listed.splitlines()[1:]])
            self.check(f"bindscan {engine}", scores, stretch + self.net.window - 1)
            self.bindscan_bench(binary, engine, "network", [self.model])
            if engine == "kernel":
                quiet = ["--threshold", f"{np.quantile(scores, 0.999):.6f}"]
                work = lambda: self.scan(binary, [self.model], quiet)
                self.add("network", "bindscan scan, FASTA to BED", len(self.bases), self.median(work))

    def bindscan_matrices(self, binary, found):
        """The motifs, thresholded: by `bindscan bench`, and by the whole command."""
        source = self.folder / "motifs.meme"
        motifs.write_meme(source, found)
        chosen = ["--pvalue", P_VALUE, "--pseudocount", PSEUDOCOUNT]
        self.bindscan_bench(binary, "kernel", "matrices", [source, *chosen])
        work = lambda: self.scan(binary, [source], [*chosen, "--background", "uniform", "--overlaps", "keep"])
        self.add("matrices", "bindscan scan, thresholded, FASTA to BED", len(self.bases), self.median(work))

    def bindscan_bench(self, binary, engine, kind, model):
        """The rate that `bindscan bench` gives for one engine: nothing read, nothing written."""
        repeats, seconds = self.options.repeats, 0.2 if self.options.quick else 1
        listed = program.run(
            binary, "bench", "-m", *model, "--engine", engine, "--threads", self.options.cores,
            "--strand", self.options.strands, "--stride", self.options.stride,
            "--rounds", repeats, "--seconds", seconds,
        )
        header, row = (line.split() for line in listed.splitlines()[1:3])
        bases = float(row[header.index("Mbp/s")]) * seconds * 1e6
        self.add(kind, f"bindscan bench, {engine} engine", bases, (seconds, repeats))


def genome(options):
    """The sequence: given, or random with 41 % G and C."""
    if options.fasta:
        return next(iter(sequence.read_fasta(options.fasta).values()))[: int(options.megabases * 1e6)]
    rng = np.random.default_rng(options.seed)
    letters = np.frombuffer(b"ACGT", dtype=np.uint8)
    return letters[rng.choice(4, int(options.megabases * 1e6), p=[0.295, 0.205, 0.205, 0.295])].tobytes().decode()


def report(bench):
    """The table: rates, and how many times faster bindscan is than each."""
    own = {}
    for kind, name, rate, *_ in bench.rows:
        if name.startswith("bindscan"):
            own.setdefault(kind, rate)
    rows = []
    for kind, name, rate, bases, repeats in bench.rows:
        ratio = table.significant(own[kind] / rate) if kind in own else "–"
        rows.append((kind, name, table.significant(rate), ratio, table.significant(bases / 1e6), repeats))
    options = bench.options
    hidden = f", {options.hidden} hidden units" if options.hidden else ""
    print(
        f"16 × {options.filter_length} network, {options.pool} pool{hidden}, window {options.window}, "
        f"stride {options.stride}; {bench.motifs} at "
        f"p = {P_VALUE:g}; strand {options.strands}; {options.cores} core(s); "
        f"{len(bench.bases) / 1e6:g} Mb. The ratio is bindscan's first row of the same kind to this one.\n"
    )
    print(table.markdown(["kind", "program", "Mbp/s", "ratio", "Mb timed", "median of"], rows))


def main(options):
    """Times everything that was asked for and prints the table."""
    os.sched_setaffinity(0, sorted(os.sched_getaffinity(0))[: options.cores])
    with tempfile.TemporaryDirectory() as folder:
        bench = Bench(options, Path(folder))
        found, odds, thresholds = bench.matrices()
        if "bindscan" in options.groups:
            binary = program.find(options.bindscan)
            bench.bindscan(binary)
            bench.bindscan_matrices(binary, found)
        for group, windows, *dense in (
            ("torch", rivals.TorchWindows, rivals.TorchDense),
            ("onnxruntime", rivals.OnnxWindows, rivals.OnnxDense, rivals.OnnxCodes),
        ):
            if group in options.groups:
                bench.windows(windows)
                for rival in dense:
                    bench.dense(rival)
        if "lightmotif" in options.groups:
            bench.lightmotif(odds, thresholds)
        if "moods" in options.groups:
            bench.moods(odds, thresholds)
        report(bench)
