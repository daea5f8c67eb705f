"""Compare scores and hits of JASPAR matrices on E. coli with lightmotif's and MOODS'.

Every matrix is imported with `bindscan import meme`, and built a second time here as log2 odds, which the other programs
get. For each matrix and strand, these are compared: the scores of all windows with lightmotif; those of the first bases
with MOODS too; and with both, the hits at or above the score that a window reaches by chance with p = 1e-4. Scores must
agree within 1e-4 · max(1, |score|), and hits must be the same but for windows that close to the threshold.

The exit code is 1 if anything differs.
"""

import subprocess
import sys
import tempfile
from pathlib import Path

import lightmotif
import MOODS.scan
import MOODS.tools
import numpy as np

from . import environment, motifs, program, sequence, table

PSEUDOCOUNT = 0.1
P_VALUE = 1e-4
TOLERANCE = 1e-4
BACKGROUND = [0.25] * 4
EVERY_SCORE = -1e9
FILES = ("JASPAR2018_CORE_fungi.meme", "JASPAR2018_CORE_vertebrates.meme")


def main(options):
    """Compares all matrices, prints the table, and ends the script with 1 if anything differs."""
    genome = environment.data_file(options.data, "genomes/ecoli.fa.gz")
    chosen = [pair for name in FILES for pair in spread(options, name)]
    (contig, bases), = sequence.read_fasta(genome).items()
    striped = lightmotif.stripe(bases)
    binary = program.find(options.bindscan)
    rows, failed = [], False
    with tempfile.TemporaryDirectory() as folder:
        for source, motif in chosen:
            model = Path(folder) / f"{motif.id}.onnx"
            program.run(
                binary, "import", "meme", source, "--motif", motif.id, "--pseudocount", PSEUDOCOUNT, "-o", model
            )
            scan = Scan(binary, model, genome, contig, options.engine)
            row = Row(motif)
            matrix = motifs.log_odds(motif, PSEUDOCOUNT)
            threshold = MOODS.tools.threshold_from_p(matrix.tolist(), BACKGROUND, P_VALUE)
            for strand, oriented in (("+", matrix), ("-", matrix[::-1, ::-1].copy())):
                row.add(scan, strand, oriented, threshold, bases, striped, options.moods_bases)
            rows.append(row.cells())
            failed |= not row.same
            print(f"{motif.id}: {'same' if row.same else 'DIFFERENT'}", file=sys.stderr, flush=True)
    only = [f"{name} only" for name in ("lightmotif", "MOODS", "bindscan")]
    header = ["matrix", "length", "windows", "lightmotif", "MOODS", "hits", *only, "at threshold", "same"]
    print(f"{contig}, {len(bases):,} bases, both strands; hits at p = {P_VALUE:g}. The columns lightmotif and MOODS hold")
    print("the worst difference of a score; `at threshold` counts hits of some programs within it of the threshold.\n")
    print(table.markdown(header, rows))
    if failed:
        environment.fail("scores or hits differ")


def spread(options, name):
    """Matrices from all over a file."""
    path = environment.data_file(options.data, f"motifs/{name}")
    found = motifs.read_meme(path)
    wanted = max(1, options.motifs // len(FILES))
    return [(path, found[i * len(found) // wanted]) for i in range(wanted)]


class Scan:
    """bindscan with one model on one genome."""

    def __init__(self, binary, model, genome, contig, engine):
        self.contig = contig
        self.command = [binary, "scan", "-m", model, genome, "--engine", engine, "--quiet"]

    def all_scores(self, strand):
        """The score of every window, in order of its start."""
        columns = self.read(["--all", "--strand", strand, "--format", "tsv"], "2,6", 1)
        starts, scores = columns[0::2], columns[1::2]
        if not np.array_equal(starts, np.arange(len(starts))):
            environment.fail(f"{self.contig}: windows are missing or out of order")
        return scores

    def hits(self, strand, threshold):
        """Starts and scores of the hits."""
        shown = ["--threshold", f"{threshold:.9g}", "--strand", strand, "--overlaps", "keep", "--format", "bed"]
        columns = self.read(shown, "2,7", 0)
        return dict(zip(columns[0::2].astype(int).tolist(), columns[1::2].tolist()))

    def read(self, options, fields, header):
        """Two numeric columns of the output, interleaved: hundreds of megabytes, so cut before they are parsed."""
        scan = subprocess.Popen([*map(str, self.command), *options], stdout=subprocess.PIPE)
        text = subprocess.run(["cut", "-f", fields], stdin=scan.stdout, stdout=subprocess.PIPE, check=True).stdout
        scan.stdout.close()
        if scan.wait() != 0:
            environment.fail(f"bindscan scan {' '.join(options)}: exit {scan.returncode}")
        for _ in range(header):
            text = text[text.index(b"\n") + 1 :]
        return np.fromstring(text.decode(), sep=" ") if text.strip() else np.empty(0)


class Row:
    """What was found for one matrix, over both strands."""

    def __init__(self, motif):
        self.motif = motif
        self.windows = self.hits = self.close = 0
        self.worst = {"lightmotif": 0.0, "MOODS": 0.0}
        self.only = {"lightmotif": 0, "MOODS": 0, "bindscan": 0}

    def add(self, scan, strand, matrix, threshold, bases, striped, moods_bases):
        """Compares one strand; `matrix` is already turned to it."""
        length = matrix.shape[1]
        scores = scan.all_scores(strand)
        if len(scores) != len(bases) - length + 1:
            environment.fail(f"{self.motif.id} {strand}: {len(scores)} windows where {len(bases) - length + 1} are")
        self.windows += len(scores)
        scoring = motifs.lightmotif_matrix(matrix)
        self.score("lightmotif", scores, np.array(scoring.calculate(striped)).ravel()[: len(scores)])
        table_ = matrix.tolist()
        every = MOODS.scan.scan_dna(bases[:moods_bases], [table_], BACKGROUND, [EVERY_SCORE], 7)[0]
        self.score("MOODS", scores[[hit.pos for hit in every]], np.array([hit.score for hit in every]))

        own = scan.hits(strand, threshold)
        moods = {hit.pos: hit.score for hit in MOODS.scan.scan_dna(bases, [table_], BACKGROUND, [threshold], 7)[0]}
        light = {hit.position: hit.score for hit in lightmotif.scan(scoring, striped, threshold=threshold)}
        self.hits += len(own)
        margin = TOLERANCE * max(1, abs(threshold))
        for name, theirs in (("lightmotif", light), ("MOODS", moods)):
            for start in own.keys() ^ theirs.keys():
                if abs(scores[start] - threshold) <= margin:
                    self.close += 1
                else:
                    self.only["bindscan" if start in own else name] += 1
        shown = np.array(list(own.values())) - scores[list(own)]
        if len(shown) and np.abs(shown).max() > 1e-4:
            environment.fail(f"{self.motif.id} {strand}: a hit's score is not its window's")

    def score(self, name, ours, theirs):
        if len(ours) != len(theirs):
            environment.fail(f"{self.motif.id}: {name} gives {len(theirs)} scores where bindscan gives {len(ours)}")
        worst = np.max(np.abs(ours - theirs) / np.maximum(1, np.abs(theirs)), initial=0.0)
        self.worst[name] = max(self.worst[name], float(worst))

    @property
    def same(self):
        return max(self.worst.values()) <= TOLERANCE and not any(self.only.values()) and self.hits > 0

    def cells(self):
        worst = [f"{self.worst[name]:.1e}" for name in ("lightmotif", "MOODS")]
        only = [self.only[name] for name in ("lightmotif", "MOODS", "bindscan")]
        label = f"{self.motif.id} {self.motif.name}"
        counts = [len(self.motif.probabilities), f"{self.windows:,}"]
        return [label, *counts, *worst, f"{self.hits:,}", *only, self.close, "yes" if self.same else "NO"]
