"""Compare the engines on real genomes: same sites, wall time, rate and peak memory.

Genomes: sacCer3, E. coli, ce10 (chrIII and chrM), and the two human files. Models: the published CTCF model (D00328.003,
windows padded with N) and a yeast matrix (REB1). The whole command is measured, from compressed FASTA to the BED of the sites'
windows on both strands.

Engines that score every window by itself have a limit: they scan that many bases at the middle of the longest contig, and
are compared with the first engine on the same bases. The table shows how much each scanned.

Sites are the same if contig, start and strand are, and the score within 1e-4 · max(1, |score|). A site that only one
engine reports is accepted where the threshold, or a better overlapping site of the other engine, is that close; such
sites are counted. The exit code is 1 if anything differs.
"""

import tempfile
from collections import defaultdict
from pathlib import Path

from . import environment, models, program, sequence, table

TOLERANCE = 1e-4
GENOMES = (
    "sacCer3.fa.gz",
    "ecoli.fa.gz",
    "ce10.chrIII_chrM.fa.gz",
    "grch38.chr20_and_21_10M.fa.gz",
    "hg19.alt_random_unplaced.fa.gz",
)


def main(options):
    """Scans everything, prints the table, and ends the script with 1 if anything differs."""
    wanted = [name for name in GENOMES if any(part in name for part in options.genomes.split(","))]
    genomes = [environment.data_file(options.data, f"genomes/{name}") for name in wanted]
    binary = program.find(options.bindscan)
    first, *others = options.engines.split(",")
    rows, failed = [], False
    with tempfile.TemporaryDirectory() as folder:
        folder = Path(folder)
        chosen = [models.deepbind(binary, options.data, folder), models.matrix(binary, options.data, folder)]
        for path in genomes:
            contigs = {name: len(text) for name, text in sequence.read_fasta(path).items()}
            for model in chosen:
                case = Case(options, binary, path, contigs, model, folder)
                truth = {0: case.scan(first, 0)}
                rows.append(case.cells(first, truth[0], "–", 0))
                for engine in others:
                    limit = options.limits.get(engine, 0)
                    if limit not in truth:
                        truth[limit] = case.scan(first, limit)
                    found = case.scan(engine, limit)
                    verdict, close = case.difference(truth[limit], found)
                    failed |= "differ" in verdict
                    rows.append(case.cells(engine, found, verdict, close))
    measured = ["Mb", "sites", "seconds", "Mbp/s", "peak MiB"]
    header = ["genome", "model", "engine", *measured, f"BED vs {first}", "close calls"]
    print(f"Both strands, {options.threads} thread(s), whole command.\n")
    print(table.markdown(header, rows))
    if failed:
        environment.fail("engines differ")


class Found:
    """A scan: its sites by (contig, start, strand), bytes, bases, time and memory."""

    def __init__(self, bed, bases, run):
        self.bytes, self.bases, self.run = bed.read_bytes(), bases, run
        self.sites = {}
        for line in self.bytes.decode().splitlines():
            contig, start, end, _, _, strand, score = line.split("\t")
            self.sites[contig, int(start), strand] = float(score)
            self.window = int(end) - int(start)


class Case:
    """One model on one genome."""

    def __init__(self, options, binary, path, contigs, model, folder):
        self.options, self.binary, self.path, self.model, self.folder = options, binary, path, model, folder
        self.contigs = contigs
        # The longest contig's middle: away from the runs of N at the ends.
        longest = max(contigs, key=contigs.get)
        middle = contigs[longest] // 2
        sample = f"{longest}:{max(1, middle - 1_000_000)}-{min(contigs[longest], middle + 1_000_000)}"
        engine = options.engines.split(",")[0]
        self.threshold = models.threshold(binary, model, path, sample, engine, options.bases_a_site)

    def scan(self, engine, limit):
        """One scan with an engine, of everything or of some bases at the middle of the longest contig."""
        longest = max(self.contigs, key=self.contigs.get)
        length, region, bases = self.contigs[longest], [], sum(self.contigs.values())
        if 0 < limit < bases:
            bases = min(limit, length)
            start = (length - bases) // 2
            region = ["--region", f"{longest}:{start + 1}-{start + bases}"]
        bed = self.folder / "sites.bed"
        fixed = ["--engine", engine, "--threads", self.options.threads, "--threshold", f"{self.threshold:.6f}"]
        fixed += ["--site", "window"]
        with open(bed, "w") as out:
            run = program.measure(self.binary, "scan", "-m", self.model, self.path, *region, *fixed, stdout=out)
        return Found(bed, bases, run)

    def difference(self, truth, found):
        """Whether two scans report the same sites, and how many hang on the last digits."""
        margin = lambda score: TOLERANCE * max(1, abs(score))
        wrong = close = 0
        for ours, theirs in ((truth, found), (found, truth)):
            nearby = starts(theirs)
            for place, score in ours.sites.items():
                if place in theirs.sites:
                    wrong += abs(score - theirs.sites[place]) > margin(score)
                elif score - self.threshold <= margin(score) or rivalled(place, score, ours.window, nearby, margin):
                    close += 1
                else:
                    wrong += 1
        same = "same bytes" if truth.bytes == found.bytes else "same sites"
        return (f"{wrong} differ" if wrong else same), close

    def cells(self, engine, found, verdict, close):
        name = self.path.name.removesuffix(".fa.gz")
        seconds, peak = found.run
        rates = [f"{seconds:.2f}", table.significant(found.bases / seconds / 1e6), f"{peak:.0f}"]
        scanned = [table.significant(found.bases / 1e6), f"{len(found.sites):,}"]
        return [name, self.model.stem, engine, *scanned, *rates, verdict, close]


def starts(found):
    """Sites by contig and block of a window's length, to find those that overlap."""
    blocks = defaultdict(list)
    for (contig, start, _), score in found.sites.items():
        blocks[contig, start // found.window].append((start, score))
    return blocks


def rivalled(place, score, window, nearby, margin):
    """Whether an overlapping site scores so nearly the same that suppression may have chosen either."""
    contig, start, _ = place
    around = (site for block in range(start // window - 1, start // window + 2) for site in nearby[contig, block])
    return any(abs(other - start) < window and abs(theirs - score) <= margin(score) for other, theirs in around)
