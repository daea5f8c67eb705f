"""Compare fitted networks with motif matrices: which finds measured binding sites better?

Yeast, ten factors: a network is fitted by `bindscan train` to the ChIP-exo summits on the odd-numbered chromosomes; the
even-numbered ones are scanned whole. CTCF, human: a network is fitted to the ENCODE training peaks of CTCFL (in these
cells most of its sites are CTCF's), without those that lie in the scanned sequence; the first 10 Mb of chr20 are scanned,
and the measured summits there are those of another laboratory's CTCF experiment.

The places of a network are the summits of its sites, as `bindscan scan` reports them. The factor's JASPAR matrix is
scanned by lightmotif on the same sequence, both strands, and its places are the middles of its sites. Places are ranked by
score, and of those within 100 bases of each other only the best counts. A place is right if a measured summit lies within 50
bases; each summit counts once. Printed are precision at k, with k the number of summits, and average precision over the best
10,000 places.

With --choose, only the odd-numbered chromosomes are used: the network is fitted to every other one of them and judged on
the rest. How networks are fitted was chosen by that.
"""

import gzip
import io
from pathlib import Path

import lightmotif
import numpy as np

from . import environment, motifs, program, sequence, table

FACTORS = ["Abf1", "Cbf1", "Fkh1", "Gcn4", "Hsf1", "Leu3", "Mbp1", "Mcm1", "Rap1", "Reb1"]
ODD = [f"chr{i}" for i in range(1, 17, 2)]
EVEN = [f"chr{i}" for i in range(2, 17, 2)]
# Bases of the ENCODE peaks.
PEAK = 101
# Windows that have a score as high as a site's, at most.
SHARE = 0.05
# Places closer than this to a better one do not count; summits this close to a place are found.
APART, NEAR = 100, 50
PLACES = 10_000
PSEUDOCOUNT = 0.1


def main(options):
    """Compares all factors and prints the table."""
    bench = Bench(options)
    rows, means = [], []
    names = options.names.split(",") if options.names else [*FACTORS, "CTCF"]
    for name in names:
        setting = ctcf(bench) if name == "CTCF" else yeast(bench, name)
        network = judge(setting.summits, bench.network_places(setting))
        matrix = judge(setting.summits, matrix_places(setting))
        figures = [network[0], matrix[0], network[1], matrix[1]]
        rows.append([name, sum(map(len, setting.summits.values())), *(f"{x:.3f}" for x in figures)])
        print(*rows[-1], sep="\t", flush=True)
        if name != "CTCF":
            means.append(figures)
    if means:
        rows.append(["mean, yeast", "", *(f"{np.mean(column):.3f}" for column in zip(*means))])
    header = ["factor", "summits", "network: precision at k", "matrix: precision at k", "network: AP", "matrix: AP"]
    print("\n" + table.markdown(header, rows))


class Setting:
    """What is scanned, with what, and the summits measured there."""

    def __init__(self, model, window, genome, contigs, summits, motif):
        self.model, self.window, self.genome = model, window, genome
        self.contigs, self.summits, self.motif = contigs, summits, motif


class Bench:
    """The program, the data, and the models made so far."""

    def __init__(self, options):
        self.program = program.find(options.bindscan)
        self.data, self.models, self.choose = Path(options.data), Path(options.models), options.choose
        self.threads = ["--threads", options.threads] if options.threads else []
        self.width, self.negatives, self.further = options.width, options.negatives, options.train.split()
        self.models.mkdir(parents=True, exist_ok=True)
        environment.data_file(self.data, "genomes/sacCer3.fa.gz")

    def train(self, name, data, *options):
        """A model fitted to the data, unless it is there already."""
        model = self.models / f"{name}.onnx"
        if not model.exists():
            arguments = [data, "-o", model, *options, *self.further, *self.threads]
            program.run(self.program, "--quiet", "train", *arguments)
        return model

    def network_places(self, setting):
        """(contig, summit) of the network's sites, best first."""
        regions = [word for contig in setting.contigs for word in ("-r", contig)]
        scan = ["scan", "-m", setting.model, setting.genome, "--window", setting.window, "--format", "tsv", *regions]
        header, _, body = program.run(self.program, "--quiet", *scan, "--pvalue", SHARE).partition("\n")
        columns = header.lstrip("#").split("\t")
        used = [columns.index(name) for name in ("summit", "score")]
        parts = []
        for contig, lines in by_contig(body):
            summits, scores = np.loadtxt(io.StringIO(lines), usecols=used, delimiter="\t", comments=None, ndmin=2).T
            parts.append((contig, summits, scores))
        return ranked(parts, 1)


def by_contig(body):
    """The lines of each contig; those of one stand together."""
    at = 0
    while at < len(body):
        contig = body[at : body.index("\t", at)]
        end = body.rfind(f"\n{contig}\t", at)
        end = body.find("\n", end + 1 if end >= 0 else at) + 1 or len(body)
        yield contig, body[at:end]
        at = end


def matrix_places(setting):
    """(contig, middle) of the matrix' placements by lightmotif, best first."""
    forward = motifs.log_odds(setting.motif, PSEUDOCOUNT)
    parts = []
    for contig, bases in setting.contigs.items():
        striped = lightmotif.stripe(bases)
        strands = [
            np.array(motifs.lightmotif_matrix(matrix).calculate(striped)).ravel()[: len(bases) - forward.shape[1] + 1]
            for matrix in (forward, forward[::-1, ::-1].copy())
        ]
        scores = np.maximum(*strands)
        parts.append((contig, np.arange(len(scores)) + forward.shape[1] // 2, scores))
    return ranked(parts, 1)


def ranked(parts, stride):
    """Best first; places side by side with one score are one, in their middle."""
    scores, contigs, middles = [], [], []
    for contig, positions, values in parts:
        order = np.argsort(positions, kind="stable")
        positions, values = positions[order], np.round(values[order], 4)
        apart = (np.diff(values) != 0) | (np.diff(positions) != stride)
        first = np.concatenate([[0], np.flatnonzero(apart) + 1])
        last = np.concatenate([first[1:], [len(values)]]) - 1
        scores.append(values[first])
        middles.append(((positions[first] + positions[last]) // 2).astype(int))
        contigs.append(np.full(len(first), contig))
    scores, contigs, middles = map(np.concatenate, (scores, contigs, middles))
    # Ties in an order that has nothing to do with the genome's.
    shuffled = np.random.default_rng(1).permutation(len(scores))
    order = shuffled[np.argsort(-scores[shuffled], kind="stable")]
    taken, places = {}, []
    for contig, middle in zip(contigs[order], middles[order]):
        near = taken.setdefault(contig, {})
        cell = middle // APART
        if all(abs(near.get(c, -APART * 2) - middle) >= APART for c in (cell - 1, cell, cell + 1)):
            near[cell] = middle
            places.append((contig, middle))
            if len(places) == PLACES:
                break
    return places


def judge(summits, places):
    """Precision at k and average precision."""
    left = {contig: set(positions) for contig, positions in summits.items()}
    count = sum(map(len, left.values()))
    right, at_k, average = 0, 0.0, 0.0
    for rank, (contig, middle) in enumerate(places, start=1):
        found = {position for position in left.get(contig, ()) if abs(position - middle) <= NEAR}
        if found:
            left[contig] -= found
            right += 1
            average += len(found) * right / rank
        if rank == count:
            at_k = right / rank
    return at_k, average / count


def yeast(bench, name):
    """One of the ten factors."""
    peaks = bench.data / f"peaks/yeast_chipexo/{name}.bed"
    genome = bench.data / "genomes/sacCer3.fa.gz"
    scanned, fitted = (ODD[1::2], ODD[::2]) if bench.choose else (EVEN, ODD)
    rows = [line.split("\t") for line in peaks.read_text().splitlines()]
    summits = {}
    for row in rows:
        if row[0] in scanned:
            summits.setdefault(row[0], set()).add((int(row[1]) + int(row[2])) // 2)
    cut = ["--genome", genome, "--width", bench.width, "--negatives", bench.negatives, "--seed", 1]
    if bench.choose:
        kept = bench.models / f"{name}-choose.bed"
        kept.write_text("".join("\t".join(row) + "\n" for row in rows if row[0] in fitted))
        model = bench.train(kept.stem, kept, *cut)
    else:
        # As `scripts/regenerate zoo` does it: these are the bundled models.
        model = bench.train(name, peaks, *cut, "--test-contigs", ",".join(EVEN), "--name", name)
    contigs = {contig: bases for contig, bases in sequence.read_fasta(genome).items() if contig in scanned}
    motif = pick(bench.data / "motifs/JASPAR2018_CORE_fungi.meme", name.upper())
    return Setting(model, bench.width, genome, contigs, summits, motif)


def ctcf(bench):
    """CTCF on human chr20."""
    genome = bench.data / "genomes/grch38.chr20_and_21_10M.fa.gz"
    (contig, bases), *_ = sequence.read_fasta(genome).items()
    with gzip.open(bench.data / "encode/CTCFL_K562_AC.seq.gz", "rt") as lines:
        header, *rows = lines
    column = header.rstrip("\n").split("\t").index("seq")
    scanned = bases + "N" + sequence.reverse_complement(bases)
    peaks = {row.split("\t")[column] for row in rows}
    known = {window for i in range(len(scanned)) if (window := scanned[i : i + PEAK]) in peaks}
    kept = bench.models / "CTCF.seq"
    kept.write_text(header + "".join(row for row in rows if row.split("\t")[column] not in known))
    print(f"CTCF: {len(known)} of {len(rows)} training peaks lie in the scanned sequence and are left out")
    model = bench.train("CTCF", kept, "--seed", 1)
    summits = {contig: set()}
    with gzip.open(bench.data / "peaks/ctcf_hg38_GSM489300.narrowPeak.gz", "rt") as lines:
        for row in map(str.split, lines):
            summit = int(row[1]) + int(row[9])
            if row[0] == contig and summit < len(bases):
                summits[contig].add(summit)
    motif = pick(bench.data / "motifs/JASPAR2018_CORE_vertebrates.meme", "CTCF")
    return Setting(model, PEAK, genome, {contig: bases}, summits, motif)


def pick(path, name):
    """The motif of that name."""
    return next(motif for motif in motifs.read_meme(path) if motif.name == name)
