"""Check that other programs read the tracks, and read the right numbers; measure what tracks cost.

sacCer3 is scanned with a published DeepBind model and with a JASPAR matrix, once into every format. The scores of all
windows (`--all`, TSV) are the truth: every value of the bigWig as pyBigWig reads it, of each strand and of the better
one; values and sites in random regions as pysam reads them through the tabix index; sites as bedtools reads them. Lines
follow the rules of UCSC's strict readers: sorted, within the contigs, scores 0 to 1000, bedGraph without overlap.

Then the genomes of the test data, 92 Mb, are scanned into a BED, and into a BED and a bigWig. The table shows sizes,
seconds and the slowdown, medians of --rounds.

bedtools and tabix are installed with apt-get where that is possible, and else left out with a line. The exit code is 1
if anything differs.
"""

import os
import random
import statistics
import subprocess
import tempfile
from pathlib import Path

import numpy as np
import pyBigWig
import pysam

from . import environment, models, program, sequence, table
from .coordinates import tool

PRINTED = 1e-6  # scores are printed as f32, and compared after a sum or mean
SITES = ("bed", "tsv", "narrowPeak", "gff3")
GENOMES = ("sacCer3", "ecoli", "ce10.chrIII_chrM", "grch38.chr20_and_21_10M", "hg19.alt_random_unplaced")
REGIONS = 200


def main(options):
    """Runs all cases, prints the tables, and ends the script with 1 if anything differs."""
    genome = environment.data_file(options.data, "genomes/sacCer3.fa.gz")
    binary = program.find(options.bindscan)
    bedtools, tabix = tool("bedtools"), tool("tabix")
    rows, failures = [], []
    with tempfile.TemporaryDirectory() as folder:
        folder = Path(folder)
        chosen = models.both(binary, options, folder)
        lengths = {name: len(text) for name, text in sequence.read_fasta(genome).items()}
        for model in chosen:
            case = Case(binary, genome, lengths, model, folder)
            case.run(bedtools, tabix)
            rows.append(case.cells())
            failures += [f"{model.stem}: {what}" for what in case.failures]
        header = ["model", "windows", "bigWig values", "worst", "sites", "regions by index", "read by", "same"]
        print(table.markdown(header, rows))
        if options.rounds:
            print()
            measure(options, binary, chosen, folder)
    if failures:
        environment.fail("; ".join(failures))


class Case:
    """One model on one genome."""

    def __init__(self, binary, genome, lengths, model, folder):
        self.binary, self.genome, self.lengths, self.model, self.folder = binary, genome, lengths, model, folder
        self.failures, self.readers, self.worst, self.values = [], ["pyBigWig", "pysam"], 0, 0

    def run(self, bedtools, tabix):
        self.scan()
        self.read_scores()
        self.check_bigwig()
        self.check_bedgraph()
        self.check_sites(tabix)
        if bedtools:
            self.check_bedtools(bedtools)

    def path(self, name):
        return self.folder / f"{self.model.stem}.{name}"

    def require(self, condition, failure):
        if not condition and failure not in self.failures:
            self.failures.append(failure)

    def scan(self):
        """Every score once, and the sites of one window in 2,000."""
        tracks = ["all.tsv", "bw", "{strand}.bw", "bedGraph.gz"]
        outputs = [word for name in tracks for word in ("-o", self.path(name))]
        program.run(self.binary, "scan", "-m", self.model, self.genome, "--all", *outputs)
        sample = "chr4:1-1000000"
        self.threshold = models.threshold(self.binary, self.model, self.genome, sample, "auto", 2_000)
        tracks = [f"{name}{suffix}" for name in SITES for suffix in ("", ".gz")] + ["bb"]
        outputs = [word for name in tracks for word in ("-o", self.path(name))]
        shown = ["--threshold", f"{self.threshold:.6f}", "--header", "--site", "window"]
        program.run(self.binary, "scan", "-m", self.model, self.genome, *shown, *outputs)

    def read_scores(self):
        """Scores by contig, at the centres of their windows; NaN where there is none."""
        self.scores = {name: np.full(length, np.nan) for name, length in self.lengths.items()}
        self.windows = 0
        with open(self.path("all.tsv")) as lines:
            next(lines)
            for line in lines:
                contig, start, end, _, _, score = line.split("\t")
                start = int(start)
                self.scores[contig][start + (int(end) - start) // 2] = float(score)
                self.windows += 1
        self.path("all.tsv").unlink()

    def check_bigwig(self):
        """Every value, and nothing where there is no window; the summaries of zoom levels."""
        paths = [self.path(name) for name in ("bw", "plus.bw", "minus.bw")]
        better, plus, minus = (pyBigWig.open(str(path)) for path in paths)
        self.require(better.chroms() == self.lengths, "the bigWig has other contigs")
        self.require(better.header()["nBasesCovered"] == self.windows, "the bigWig covers other bases")
        for name, length in self.lengths.items():
            found, want = better.values(name, 0, length, numpy=True), self.scores[name]
            self.require(np.array_equal(np.isnan(found), np.isnan(want)), "the bigWig has values elsewhere")
            self.compare(found, want, "the bigWig has other values")
            strands = [track.values(name, 0, length, numpy=True) for track in (plus, minus)]
            either = np.isnan(found) | (found == strands[0]) | (found == strands[1])
            self.require(either.all(), "the better strand's value is neither's")
            # Strands are compared by what a BED line shows, four decimals.
            lost = np.fmax(*strands) - found
            self.require(np.nanmax(lost) <= 1.01e-4, "the better strand is not the better one")
            for kind, summarise in (("max", np.nanmax), ("min", np.nanmin), ("mean", np.nanmean)):
                summary = better.stats(name, type=kind)[0]
                close = abs(summary - summarise(want)) <= 1e-5 * max(1, abs(summary))
                self.require(close, f"zoom levels give another {kind}")

    def compare(self, found, want, failure):
        known = ~np.isnan(want)
        difference = np.abs(found[known] - want[known])
        self.values += int(known.sum())
        self.worst = max(self.worst, float(difference.max(initial=0)))
        self.require((difference <= PRINTED + 6e-8 * np.abs(want[known])).all(), failure)

    def regions(self):
        """Random regions of up to 5,000 bases, and the ends of contigs; the same for every track."""
        chance = random.Random(1)
        for name, length in self.lengths.items():
            yield name, 0, min(length, 500)
            yield name, max(0, length - 500), length
        for _ in range(REGIONS):
            name = chance.choice(list(self.lengths))
            start = chance.randrange(self.lengths[name])
            yield name, start, min(self.lengths[name], start + chance.randint(1, 5_000))

    def check_bedgraph(self):
        """Values in regions, found through the index."""
        with pysam.TabixFile(str(self.path("bedGraph.gz"))) as track:
            self.require(track.contigs == list(self.lengths), "the bedGraph has other contigs")
            for name, start, end in self.regions():
                found = np.full(end - start, np.nan)
                for line in track.fetch(name, start, end):
                    _, first, last, value = line.split("\t")
                    self.require(int(last) == int(first) + 1, "the bedGraph joins bases")
                    found[int(first) - start] = float(value)
                want = self.scores[name][start:end]
                same = np.array_equal(found, want, equal_nan=True)
                self.require(same, "the bedGraph has other values, or its index misses some")

    def check_sites(self, tabix):
        """Lines in regions, found through the index; what strict readers demand; the same sites in each format."""
        self.sites = list(self.lines("bed"))
        self.require(self.sites, "no sites")
        last = ("", 0)
        for contig, start, end, _, shade, strand, score in self.sites:
            start, end = int(start), int(end)
            self.require(0 <= start < end <= self.lengths[contig], "a site lies outside of its contig")
            self.require(contig != last[0] or start >= last[1], "sites are not sorted")
            self.require(shade.isdigit() and int(shade) <= 1000 and strand in "+-", "a column of BED is wrong")
            truth = self.scores[contig][start + (end - start) // 2]
            self.require(abs(truth - float(score)) <= 0.51e-4, "a site's score is another")
            last = (contig, start)
        places = [(c, int(s), int(e), strand) for c, s, e, _, _, strand, _ in self.sites]
        tsv = [(f[0], int(f[1]), int(f[2]), f[4]) for f in self.lines("tsv")]
        peaks = [(f[0], int(f[1]), int(f[2]), f[5]) for f in self.lines("narrowPeak")]
        gff = [(f[0], int(f[3]) - 1, int(f[4]), f[6]) for f in self.lines("gff3")]
        self.require(places == tsv == peaks == gff, "formats have different sites")
        for name in SITES:
            self.check_index(name, tabix)
        self.check_bigbed()

    def check_bigbed(self):
        """pyBigWig finds the lines of the BED, all of them and those of regions."""
        with pyBigWig.open(str(self.path("bb"))) as track:
            self.require(track.isBigBed(), "pyBigWig sees no bigBed")
            lengths = {name: self.lengths[name] for name in {f[0] for f in self.sites}}
            self.require(track.chroms() == lengths, "the bigBed has other contigs")
            wholes = [(name, 0, length) for name, length in lengths.items()]
            for contig, first, last in [*wholes, *self.regions()]:
                inside = lambda f: f[0] == contig and int(f[1]) < last and int(f[2]) > first
                want = [(int(f[1]), int(f[2]), "\t".join(f[3:])) for f in self.sites if inside(f)]
                found = (track.entries(contig, first, last) or []) if contig in lengths else []
                self.require(found == want, "the bigBed has other sites")
            covered = track.header()["nBasesCovered"]
            bases = sum(len({at for f in self.sites if f[0] == name for at in range(int(f[1]), int(f[2]))}) for name in lengths)
            self.require(covered == bases, "the bigBed covers other bases")

    def lines(self, name):
        with open(self.path(name)) as lines:
            for line in lines:
                if not line.startswith(("#", "contig\t")):
                    yield line.rstrip("\n").split("\t")

    def check_index(self, name, tabix):
        start, end, base = (3, 4, 1) if name == "gff3" else (1, 2, 0)
        lines = list(self.lines(name))
        with pysam.TabixFile(str(self.path(f"{name}.gz"))) as track:
            for contig, first, last in self.regions():
                inside = lambda f: f[0] == contig and int(f[start]) - base < last and int(f[end]) > first
                want = ["\t".join(f) for f in lines if inside(f)]
                found = list(track.fetch(contig, first, last)) if contig in track.contigs else []
                self.require(found == want, f"the index of {name}.gz misses lines")
            # Without a region, htslib starts where the index says that the lines of the first contig start.
            found = list(track.fetch())
            self.require(found == ["\t".join(f) for f in lines], f"{name}.gz cannot be read from its start")
        if tabix:
            contig = next(iter(self.lengths))
            command = [tabix, self.path(f"{name}.gz"), contig]
            done = subprocess.run(command, capture_output=True, text=True, check=True)
            self.require(len(done.stdout.splitlines()) == sum(f[0] == contig for f in lines), "tabix finds other lines")

    def check_bedtools(self, bedtools):
        """bedtools takes the compressed BED, and counts the same sites in regions."""
        regions = list(self.regions())
        file = self.folder / "regions.bed"
        file.write_text("".join(f"{name}\t{start}\t{end}\n" for name, start, end in regions))
        command = [bedtools, "intersect", "-c", "-a", file, "-b", self.path("bed.gz")]
        done = subprocess.run(command, capture_output=True, text=True, check=True)
        found = [int(line.split("\t")[3]) for line in done.stdout.splitlines()]
        inside = lambda f, name, start, end: f[0] == name and int(f[1]) < end and int(f[2]) > start
        want = [sum(inside(f, *region) for f in self.sites) for region in regions]
        self.require(found == want, "bedtools counts other sites")
        self.readers.append("bedtools")

    def cells(self):
        same = "NO" if self.failures else "yes"
        counts = [f"{n:,}" for n in (self.windows, self.values)]
        sites, regions = f"{len(self.sites):,}", f"{len(list(self.regions())):,}"
        return [self.model.stem, *counts, f"{self.worst:.1e}", sites, regions, ", ".join(self.readers), same]


def measure(options, binary, chosen, folder):
    """Prints what a bigWig costs beside a BED, on all genomes of the test data in one file."""
    genome = folder / "genomes.fa"
    with open(genome, "w") as joined:
        for name in GENOMES:
            packed = environment.data_file(options.data, f"genomes/{name}.fa.gz")
            for contig, text in sequence.read_fasta(packed).items():
                joined.write(f">{name}.{contig}\n{text}\n")
    megabases = os.path.getsize(genome) / 1e6
    rows = []
    for model in chosen:
        threshold = models.threshold(binary, model, genome, "sacCer3.chr4:1-1000000", "auto", 2_000)
        common = ["scan", "-m", model, genome, "--threads", options.threads, "--threshold", f"{threshold:.6f}", "--quiet"]
        bed, tracks = folder / "measured.bed", {}
        tracks["BED"] = []
        tracks["BED, bigWig"] = ["-o", folder / "measured.bw"]
        tracks["BED, bigWig of 10 bases"] = ["-o", folder / "measured.bw", "--bin-size", 10]
        tracks["BED, sparse bigWig"] = ["-o", folder / "measured.bw", "--sparse"]
        tracks["BED, sparse bigWig of 10 bases"] = ["-o", folder / "measured.bw", "--bin-size", 10, "--sparse"]
        tracks["BED, bedGraph.gz of 10 bases"] = ["-o", folder / "measured.bedGraph.gz", "--bin-size", 10]
        runs, sizes = {name: [] for name in tracks}, {}
        for _ in range(options.rounds):
            for name, words in tracks.items():
                with open(os.devnull, "w") as nothing:
                    runs[name].append(program.measure(binary, *common, "-o", bed, *words, stdout=nothing))
                sizes[name] = os.path.getsize(words[1]) / 1e6 if words else os.path.getsize(bed) / 1e6
        alone = statistics.median(run.seconds for run in runs["BED"])
        for name in tracks:
            seconds = statistics.median(run.seconds for run in runs[name])
            peak = max(run.peak_mib for run in runs[name])
            shown = [f"{megabases / seconds:.1f}", f"{seconds / alone:.2f}", f"{sizes[name]:.1f}", f"{peak:.0f}"]
            rows.append([model.stem, name, f"{seconds:.2f}", *shown])
    print(f"{megabases:.1f} Mb, {options.threads} threads, medians of {options.rounds}")
    print(table.markdown(["model", "tracks", "s", "Mbp/s", "slowdown", "MB", "peak MiB"], rows))
