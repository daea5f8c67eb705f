"""Measure how far the summits of sites lie from measured summits.

The bundled networks of ten yeast factors, fitted to the ChIP-exo summits on the odd-numbered chromosomes, and the factors'
JASPAR matrices scan the even-numbered ones. Of each, the best sites are taken, as many as there are measured summits; those
within 50 bases of a measured summit are compared with it. Printed are the median and the quartiles of the distance of the
middle of the network's window, of the network's summit, and of the middle of the matrix.
"""

import tempfile
from pathlib import Path

import numpy as np

from . import environment, program, table

FACTORS = ["Abf1", "Cbf1", "Fkh1", "Gcn4", "Hsf1", "Leu3", "Mbp1", "Mcm1", "Rap1", "Reb1"]
EVEN = [f"chr{i}" for i in range(2, 17, 2)]
NEAR = 50
# Low enough for as many sites as there are summits.
P = 1e-3


def main(options):
    """Measures all factors and prints the table."""
    binary = program.find(options.bindscan)
    genome = environment.data_file(options.data, "genomes/sacCer3.fa.gz")
    motifs = environment.data_file(options.data, "motifs/JASPAR2018_CORE_fungi.meme")
    rows, medians = [], []
    with tempfile.TemporaryDirectory() as folder:
        for name in options.names.split(",") if options.names else FACTORS:
            summits = measured(environment.data_file(options.data, f"peaks/yeast_chipexo/{name}.bed"))
            network, matrix = ["-m", name], ["-m", motifs, "--motif", name.upper()]
            lines = [
                best(binary, genome, Path(folder), [*network, "--site", "window"], summits, middle=True),
                best(binary, genome, Path(folder), network, summits),
                best(binary, genome, Path(folder), matrix, summits),
            ]
            rows.append([name, sum(map(len, summits.values())), *map(shown, lines)])
            medians.append([np.median(line) for line in lines])
            print(*rows[-1], sep="\t", flush=True)
    rows.append(["mean of medians", "", *(f"{mean:.1f}" for mean in np.nanmean(medians, axis=0))])
    header = ["factor", "summits", "window's middle", "network's summit", "matrix' middle"]
    print("\nDistance to the ChIP-exo summit in bases: median (quartiles; sites)\n")
    print(table.markdown(header, rows))


def measured(path):
    """The summits on the scanned chromosomes."""
    summits = {}
    for line in path.read_text().splitlines():
        contig, start, end, *_ = line.split("\t")
        if contig in EVEN:
            summits.setdefault(contig, []).append((int(start) + int(end)) // 2)
    return {contig: np.array(positions) for contig, positions in summits.items()}


def best(binary, genome, folder, model, summits, middle=False):
    """Distances of the best sites from the measured summits near them."""
    output = folder / "sites.narrowPeak"
    regions = [word for contig in EVEN for word in ("-r", contig)]
    program.run(binary, "--quiet", "scan", *model, genome, *regions, "--pvalue", P, "-o", output)
    lines = [line.split("\t") for line in output.read_text().splitlines()]
    lines.sort(key=lambda line: -float(line[6]))
    distances = []
    for contig, start, end, *columns in lines[: sum(map(len, summits.values()))]:
        offset = (int(end) - int(start)) // 2 if middle else int(columns[6])
        apart = np.abs(summits.get(contig, np.array([10**9])) - int(start) - offset).min()
        if apart <= NEAR:
            distances.append(apart)
    return distances


def shown(distances):
    """Median, quartiles and number."""
    if not distances:
        return "–"
    low, median, high = np.percentile(distances, [25, 50, 75])
    return f"{median:.0f} ({low:.0f}–{high:.0f}; {len(distances)})"
