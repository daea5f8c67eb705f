"""Check coordinates, strands and scores of sites with bedtools, samtools and pysam.

sacCer3 and the first bases of human chr20 are scanned with a published DeepBind model and with a JASPAR matrix, and the
windows of the sites are written. The sequence at every reported site is extracted by `bedtools getfasta -s`,
`samtools faidx` and pysam. All three must agree, and the sequence must have the score that the BED gives: once by
`bindscan score`, and once as a contig of its own, forward strand only, by `bindscan scan` (a wrong strand would fail
here). The BED must be sorted as `bedtools sort` sorts by the FASTA's order. Every site must have a window's length and
lie within its contig.

samtools and bedtools are installed with apt-get where that is possible, and else left out with a line. The exit code is
1 if anything differs.
"""

import os
import shutil
import subprocess
import tempfile
from collections import namedtuple
from pathlib import Path

import pysam

from . import environment, models, program, sequence, table

TOLERANCE = 1e-4

Site = namedtuple("Site", "contig start end strand score")


def main(options):
    """Runs all cases, prints the table, and ends the script with 1 if anything differs."""
    genomes = [
        (environment.data_file(options.data, "genomes/sacCer3.fa.gz"), None),
        (environment.data_file(options.data, "genomes/grch38.chr20_and_21_10M.fa.gz"), options.human_bases),
    ]
    binary = program.find(options.bindscan)
    tools = {name: tool(name) for name in ("bedtools", "samtools")}
    rows, failures = [], []
    with tempfile.TemporaryDirectory() as folder:
        folder = Path(folder)
        chosen = models.both(binary, options, folder)
        for packed, bases in genomes:
            genome = Genome(packed, folder, bases)
            for model in chosen:
                case = Case(options, binary, genome, model, folder)
                case.run(tools)
                rows.append(case.cells())
                failures += [f"{genome.name}, {model.stem}: {what}" for what in case.failures]
    worst = ["worst `score`", "worst `scan`"]
    header = ["genome", "model", "threshold", "sites", "+", "-", "extracted by", *worst, "BED", "same"]
    print(table.markdown(header, rows))
    if failures:
        environment.fail("; ".join(failures))


def tool(name):
    """A program of the system, installed if that can be done, or None with a line."""
    if not shutil.which(name) and os.geteuid() == 0 and shutil.which("apt-get"):
        quiet = {"stdout": subprocess.DEVNULL, "stderr": subprocess.DEVNULL}
        subprocess.run(["apt-get", "update"], **quiet)
        subprocess.run(["apt-get", "install", "--yes", "--no-install-recommends", name], **quiet)
    found = shutil.which(name)
    if not found:
        print(f"skipped: {name} is not installed, its part of the check is left out")
    return found


class Genome:
    """A compressed genome, and the plain FASTA with index from which the other programs extract."""

    def __init__(self, packed, folder, bases):
        self.packed, self.name = packed, packed.name.removesuffix(".fa.gz")
        contigs = sequence.read_fasta(packed)
        self.lengths = {name: len(text) for name, text in contigs.items()}
        first = next(iter(contigs))
        self.region = ["--region", f"{first}:1-{bases}"] if bases else []
        if bases:
            self.name += f" {first}:1-{bases:,}"
        middle = min(bases or self.lengths[first], self.lengths[first])
        self.sample = f"{first}:{max(1, middle - 2_000_000)}-{middle}"
        self.plain = folder / packed.name.removesuffix(".gz")
        sequence.write_fasta(self.plain, contigs.items())
        pysam.faidx(str(self.plain))


class Case:
    """One model on one genome."""

    def __init__(self, options, binary, genome, model, folder):
        self.options, self.binary, self.genome, self.model, self.folder = options, binary, genome, model, folder
        self.bed, self.failures, self.extractors = folder / "sites.bed", [], ["pysam"]

    def run(self, tools):
        """Scans, extracts and scores again."""
        engine = ["--engine", self.options.engine]
        self.threshold = models.threshold(
            self.binary,
            self.model,
            self.genome.packed,
            self.genome.sample,
            self.options.engine,
            self.options.bases_a_site,
        )
        shown = ["--threshold", f"{self.threshold:.6f}", "--site", "window", "-o", self.bed]
        program.run(self.binary, "scan", "-m", self.model, self.genome.packed, *self.genome.region, *engine, *shown)
        self.sites = list(map(site, self.bed.read_text().splitlines()))
        self.require(self.sites, "no sites")
        self.check_bounds()
        if tools["bedtools"]:
            self.check_order(tools["bedtools"])
        found = self.by_pysam()
        for name, extract in (("bedtools", self.by_bedtools), ("samtools", self.by_samtools)):
            if tools[name]:
                self.extractors.append(name)
                self.require(extract(tools[name]) == found, f"{name} and pysam extract different sequences")
        self.worst = {command: self.worst_difference(command, found) for command in ("score", "scan")}

    def require(self, condition, failure):
        if not condition:
            self.failures.append(failure)

    def check_bounds(self):
        """Every site lies within its contig and is as long as the others."""
        lengths = self.genome.lengths
        inside = all(0 <= s.start < s.end <= lengths[s.contig] for s in self.sites)
        self.require(inside, "a site is outside of its contig")
        self.require(len({s.end - s.start for s in self.sites}) == 1, "sites differ in length")

    def check_order(self, bedtools):
        """The BED is sorted as bedtools sorts it in the order of the FASTA."""
        index = f"{self.genome.plain}.fai"
        command = [bedtools, "sort", "-faidx", index, "-i", self.bed]
        done = subprocess.run(command, capture_output=True, text=True, check=True)
        place = lambda s: (s.contig, s.start)
        in_order = [place(site(line)) for line in done.stdout.splitlines()] == list(map(place, self.sites))
        self.require(in_order, "the BED is not sorted as bedtools sort does")

    def by_pysam(self):
        with pysam.FastaFile(str(self.genome.plain)) as fasta:
            forward = [fasta.fetch(s.contig, s.start, s.end).upper() for s in self.sites]
        turned = zip(self.sites, forward)
        return [sequence.reverse_complement(text) if s.strand == "-" else text for s, text in turned]

    def by_bedtools(self, bedtools):
        command = [bedtools, "getfasta", "-s", "-tab", "-fi", self.genome.plain, "-bed", self.bed]
        done = subprocess.run(command, capture_output=True, text=True, check=True)
        return [line.split("\t")[1].upper() for line in done.stdout.splitlines()]

    def by_samtools(self, samtools):
        """One call a strand, since samtools turns all regions of a call or none."""
        found = {}
        for strand, turn in (("+", []), ("-", ["--reverse-complement"])):
            ranks = [i for i, s in enumerate(self.sites) if s.strand == strand]
            regions = self.folder / "regions.txt"
            places = (self.sites[i] for i in ranks)
            regions.write_text("".join(f"{s.contig}:{s.start + 1}-{s.end}\n" for s in places))
            if ranks:
                command = [samtools, "faidx", *turn, "--region-file", regions, self.genome.plain]
                done = subprocess.run(command, capture_output=True, text=True, check=True)
                records = done.stdout.split(">")[1:]
                texts = ["".join(record.splitlines()[1:]).upper() for record in records]
                found |= dict(zip(ranks, texts, strict=True))
        return [found[i] for i in sorted(found)]

    def worst_difference(self, command, found):
        """Worst relative difference of the extracted sequences' scores from the BED's."""
        extracted = self.folder / "extracted.fa"
        sequence.write_fasta(extracted, ((f"site{i}", text) for i, text in enumerate(found)))
        words = ["--strand", "+", "--all", "--format", "tsv"] if command == "scan" else []
        listed = program.run(self.binary, command, "-m", self.model, extracted, "--engine", self.options.engine, *words)
        scores = [float(line.rsplit("\t", 1)[1]) for line in listed.splitlines()[1:]]
        if len(scores) != len(self.sites):
            self.failures.append(f"{command} gives {len(scores)} scores for {len(self.sites)} sites")
            return float("inf")
        pairs = zip(scores, self.sites)
        worst = max((abs(x - s.score) / max(1, abs(s.score)) for x, s in pairs), default=0)
        self.require(worst <= TOLERANCE, f"extracted sequences score differently by bindscan {command}")
        return worst

    def cells(self):
        plus = sum(s.strand == "+" for s in self.sites)
        worst = [f"{self.worst[command]:.1e}" for command in ("score", "scan")]
        counts = [f"{n:,}" for n in (len(self.sites), plus, len(self.sites) - plus)]
        order = "sorted" if "bedtools" in self.extractors else "order not checked"
        same = "NO" if self.failures else "yes"
        shown = f"{self.threshold:.4f}"
        return [self.genome.name, self.model.stem, shown, *counts, ", ".join(self.extractors), *worst, order, same]


def site(line):
    """A site from a BED line."""
    contig, start, end, _, _, strand, score = line.split("\t")
    return Site(contig, int(start), int(end), strand, float(score))
