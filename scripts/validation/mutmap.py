"""Check `bindscan mutmap` against mutants scored in full, and measure it.

All substitutions in 10 kb of chromosome 20 (--bases) are mapped with a published DeepBind model, a bundled one and a
JASPAR matrix. A random sample of mutants (--mutants) is written as whole sequences of that length, and every window of
each is scored by `bindscan scan --all`. The best window that touches the substitution must have the value of the map.
Printed are the seconds of the map, those of the scan for the sample, and what all mutants would take at that rate.

The exit code is 1 if anything differs.
"""

import csv
import random
import statistics
import tempfile
from pathlib import Path

from . import environment, models, program, sequence, table

GENOME = "genomes/grch38.chr20_and_21_10M.fa.gz"
FIRST = 5_000_000
TOLERANCE = 1.2e-6  # scores are printed in full


def main(options):
    """Runs all models, prints the table, and ends the script with 1 if anything differs."""
    packed = environment.data_file(options.data, GENOME)
    motifs = environment.data_file(options.data, "motifs/JASPAR2018_CORE_vertebrates.meme")
    binary = program.find(options.bindscan)
    bases = sequence.read_fasta(packed)["chr20"][FIRST : FIRST + options.bases]
    rows, failures = [], []
    with tempfile.TemporaryDirectory() as folder:
        folder = Path(folder)
        matrix = folder / "CTCF.onnx"
        program.run(binary, "import", "meme", motifs, "--motif", "CTCF", "-o", matrix)
        sequence.write_fasta(folder / "region.fa", [("region", bases)])
        for model in (models.deepbind(binary, options.data, folder), "GABPA", matrix):
            case = Case(options, binary, folder, bases, model)
            case.run()
            rows.append(case.cells())
            failures += case.failures
    header = ["model", "substitutions", "map, s", "mutants in full", "s", "all of them, s", "ratio", "worst difference"]
    print(table.markdown(header, rows))
    if failures:
        environment.fail("; ".join(failures[:5]))


class Case:
    """One model on the region."""

    def __init__(self, options, binary, folder, bases, model):
        self.options, self.binary, self.folder, self.bases, self.model = options, binary, folder, bases, model
        self.failures, self.worst = [], 0.0

    def run(self):
        fixed = ["-m", self.model, "--threads", self.options.threads, "--quiet"]
        times = []
        for _ in range(self.options.rounds):
            with open(self.folder / "map.tsv", "w") as out:
                times.append(program.measure(self.binary, "mutmap", *fixed, self.folder / "region.fa", stdout=out).seconds)
        self.seconds = statistics.median(times)
        with open(self.folder / "map.tsv") as lines:
            mapped = list(csv.DictReader(lines, delimiter="\t"))
        self.substitutions = len(mapped)
        sample = random.Random(1).sample(mapped, min(self.options.mutants, len(mapped)))
        self.scored = len(sample)
        mutants = []
        for number, row in enumerate(sample):
            place = int(row["position"]) - 1
            assert self.bases[place] == row["ref"]
            mutants.append((f"m{number}", self.bases[:place] + row["alt"] + self.bases[place + 1 :]))
        sequence.write_fasta(self.folder / "mutants.fa", mutants)
        with open(self.folder / "windows.tsv", "w") as out:
            command = ["scan", *fixed, self.folder / "mutants.fa", "--all", "--format", "tsv"]
            self.full = program.measure(self.binary, *command, stdout=out).seconds
        best = {}
        with open(self.folder / "windows.tsv") as lines:
            for line in lines.readlines()[1:]:
                contig, start, end, _, _, score = line.split("\t")
                place = int(sample[int(contig[1:])]["position"]) - 1
                if int(start) <= place < int(end):
                    best[contig] = max(best.get(contig, float("-inf")), float(score))
        for number, row in enumerate(sample):
            difference = abs(best[f"m{number}"] - float(row["alt_score"]))
            self.worst = max(self.worst, difference)
            if difference > TOLERANCE:
                self.failures.append(f"{self.model}: {row}: the best window has {best[f'm{number}']}")

    def cells(self):
        whole = self.full * self.substitutions / self.scored
        numbers = [f"{self.substitutions:,}", f"{self.seconds:.2f}", f"{self.scored:,}", f"{self.full:.2f}", f"{whole:,.0f}"]
        return [Path(str(self.model)).stem, *numbers, table.significant(whole / self.seconds), f"{self.worst:.1e}"]
