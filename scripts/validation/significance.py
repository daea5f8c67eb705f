"""Check p- and q-values against shuffled genomes, MOODS, lightmotif and known sites.

1. Five models of different shape (a bundled DeepBind net, a published one that pads its windows, a matrix, an unpadded
   16 x 24 net, a single-stranded RNA net) are calibrated on sacCer3. The genome is then shuffled, by code of this script's
   own that keeps the 3-mers of each 16 kb, and the windows that reach the score of each nominal p-value are counted.
2. The scores at p = 1e-3 to 1e-6 of JASPAR matrices are compared with those of MOODS and lightmotif.
3. Genomes are simulated with sites implanted (of CTCF, ELK1 and Reb1) and scanned at false discovery rates of 1, 5 and
   10 % with a matrix, a published model and bundled ones. A site is false if it shares no base with an implanted one.

--plot FILE draws observed against nominal p-values as SVG; it needs matplotlib in the environment. The exit code is 1 if
a matrix's exact p-values differ from MOODS'.
"""

import sys
import tempfile
from pathlib import Path

import MOODS.tools
import numpy as np

from . import environment, models, motifs, network, program, sequence, shuffle, table

NOMINAL = [1e-3, 1e-4, 1e-5, 1e-6]
LOOSEST = 1e-2
KEPT = 3
UNIFORM = [0.25] * 4
RATES = [0.01, 0.05, 0.1]
CTCF = "MA0139.1"
PUBLISHED = "D00328.003"
# MOODS' grid: steps to a unit of score.
GRID = 20_000.0
# Half a printed digit, and what the grids of both programs take away.
TOLERANCE = 0.02


def main(options):
    """Runs all checks and prints their tables."""
    binary = program.find(options.bindscan)
    with tempfile.TemporaryDirectory() as folder:
        folder = Path(folder)
        curves = on_shuffled(options, binary, folder)
        if options.plot:
            plot(curves, options.plot)
        same = against_peers(options, binary, folder)
        on_simulated(options, binary, folder)
    if not same:
        environment.fail("exact p-values differ from those of MOODS")


def vertebrates(options):
    return environment.data_file(options.data, "motifs/JASPAR2018_CORE_vertebrates.meme")


def matrix(options, binary, folder, identifier=CTCF):
    """A JASPAR matrix as ONNX."""
    model = folder / f"{identifier}.onnx"
    program.run(binary, "import", "meme", vertebrates(options), "--motif", identifier, "-o", model)
    return model


def say(text):
    print(text, file=sys.stderr, flush=True)


def on_shuffled(options, binary, folder):
    """Counts windows of a shuffled genome by nominal p-value; prints the table and returns the curves."""
    real, shuffled = folder / "sacCer3.fa", folder / "shuffled.fa"
    contigs = sequence.read_fasta(environment.data_file(options.data, "genomes/sacCer3.fa.gz"))
    sequence.write_fasta(real, contigs.items())
    say("shuffling …")
    contigs = {name: shuffle.genome(bases, KEPT, i) for i, (name, bases) in enumerate(contigs.items())}
    sequence.write_fasta(shuffled, contigs.items())
    net = folder / "net.onnx"
    network.write(network.window_model(network.random_network(1, 24, 101, 0, ["max"]), "both"), net)
    padded = models.published(binary, options.data, folder, PUBLISHED)
    runs = [
        ("ELK1, bundled, one score for both strands", "ELK1", ["--shuffle"], "+"),
        (f"{PUBLISHED}, published, N-padded", padded, ["--shuffle"], "+-"),
        (f"{PUBLISHED}, Markov background", padded, [], "+-"),
        (f"{CTCF}, matrix, exact", matrix(options, binary, folder), [], "+-"),
        ("16 x 24, unpadded, window 101", net, ["--shuffle"], "+-"),
        ("RNCMPT00001, RNA, one strand", "RNCMPT00001", ["--shuffle"], "+"),
    ]
    rows, curves = [], {}
    for label, model, how, strands in runs:
        say(f"{label} …")
        calibrated = folder / "calibrated.onnx"
        how = [*how, "--background", real, "--background-order", KEPT - 1]
        lengths = ["--background-length", options.length]
        program.run(binary, "calibrate", model, *how, *lengths, "-o", calibrated, "--quiet")
        tests, found = tests_of(binary, calibrated, shuffled, contigs, strands)
        rows.append([label, *(cell(tests, found, nominal) for nominal in NOMINAL)])
        p = np.sort(np.array([p for p, _, _ in found]))
        curves[label] = (np.arange(1, len(p) + 1) / tests, p)
    print(f"\nsacCer3 shuffled, {KEPT}-mers kept. Observed / nominal (tests observed, in so many clusters)\n")
    print(table.markdown(["model", *(f"{p:g}" for p in NOMINAL)], rows))
    return curves


def tests_of(binary, model, genome, contigs, strands):
    """Tests made, one a strand of a window, and p-value, place and window of those with a p-value of 1e-2 or less."""
    scan = ["scan", "-m", model, genome, "--overlaps", "keep", "--format", "tsv", "--quiet"]
    listed = [line.split("\t") for line in program.run(binary, *scan, "--pvalue", LOOSEST).splitlines()[1:]]
    window = int(listed[0][2]) - int(listed[0][1])
    tests = len(strands) * sum(len(bases) - window + 1 for bases in contigs.values())
    ranks = {name: i << 40 for i, name in enumerate(contigs)}
    found = []
    for strand in strands:
        # The p-values of this strand's scores, from the windows where it is the better one.
        known = sorted({(float(fields[5]), float(fields[6])) for fields in listed if fields[4] in (strand, ".")})
        scores, values = map(np.array, zip(*known))
        for line in program.run(binary, *scan, "--threshold", scores[0], "--strand", strand).splitlines()[1:]:
            contig, start, _, _, _, score = line.split("\t")
            at = max(0, np.searchsorted(scores, float(score), side="right") - 1)
            found.append((values[at], ranks[contig] + int(start), window))
    return tests, found


def cell(tests, found, nominal):
    """Observed over nominal, and how much that rests on."""
    places = np.sort([place for p, place, _ in found if p <= nominal])
    clusters = int(np.sum(np.diff(places) >= found[0][2])) + min(1, len(places))
    return f"{len(places) / tests / nominal:.2f} ({len(places):,}; {clusters:,})"


def plot(curves, path):
    """Nominal against observed p-values, -log10, as SVG."""
    import matplotlib

    matplotlib.use("svg")
    matplotlib.rcParams |= {"svg.hashsalt": "bindscan", "svg.fonttype": "none"}
    import matplotlib.pyplot as plt

    figure, axes = plt.subplots(figsize=(5.5, 5))
    axes.plot([2, 8], [2, 8], color="0.7", linewidth=1, label="nominal = observed")
    for label, (observed, nominal) in curves.items():
        at = np.unique(np.geomspace(1, len(observed), 80).astype(int)) - 1
        axes.plot(-np.log10(observed[at]), -np.log10(nominal[at]), linewidth=1.3, label=label)
    axes.set(xlabel="-log10 share of tests with so low a p-value", ylabel="-log10 p-value", xlim=(2, 7.6), ylim=(2, 8.5))
    axes.legend(frameon=False, fontsize=8, loc="upper left")
    axes.spines[["top", "right"]].set_visible(False)
    figure.tight_layout()
    figure.savefig(path, metadata={"Date": None})


def against_peers(options, binary, folder):
    """Compares scores at given p-values with MOODS and lightmotif; whether those of MOODS agree."""
    known = motifs.read_meme(vertebrates(options))
    rows, same = [], True
    for motif in [known[i * len(known) // options.matrices] for i in range(options.matrices)]:
        model = matrix(options, binary, folder, motif.id)
        listed = program.run(binary, "calibrate", model, "--background", "uniform", "-o", folder / "c.onnx", "--quiet")
        lines = [line.split("\t") for line in listed.splitlines()[1:]]
        ours = {float(p): float(score) for _, p, score, _, _ in lines if float(p) in NOMINAL}
        odds = motifs.log_odds(motif, 0.1)
        light = motifs.lightmotif_matrix(odds)
        worst, ratios = 0.0, []
        for p, score in ours.items():
            theirs = MOODS.tools.threshold_from_p_with_precision(odds.tolist(), UNIFORM, p, GRID)
            worst = max(worst, abs(theirs - score))
            ratios.append(light.pvalue(score) / p)
        shown = f"{min(ratios):.3f} to {max(ratios):.3f}" if ratios else "–"
        rows.append([motif.id, len(motif.probabilities), len(ours), f"{worst:.4f}", shown])
        same &= worst <= TOLERANCE
    print("\nScores at p = 1e-3 to 1e-6, as far as a matrix reaches them: worst difference from MOODS', and lightmotif's")
    print("p-values of them over p\n")
    print(table.markdown(["matrix", "length", "compared", "MOODS", "lightmotif"], rows))
    return same


def on_simulated(options, binary, folder):
    """Prints the false discoveries among the sites of genomes whose sites are known."""
    published = models.published(binary, options.data, folder, PUBLISHED)
    fungi = environment.data_file(options.data, "motifs/JASPAR2018_CORE_fungi.meme")
    settings = [
        (vertebrates(options), CTCF, [(CTCF, matrix(options, binary, folder)), (PUBLISHED, published), ("CTCFL", "CTCFL")]),
        (vertebrates(options), "ELK1", [("ELK1", "ELK1")]),
        (fungi, "REB1", [("Reb1", "Reb1")]),
    ]
    rows = []
    for file, motif, scanned in settings:
        genome, truth = folder / "simulated.fa", folder / "truth.bed"
        made = ["--motif", motif, "--length", options.bases, "--sites", options.sites]
        program.run(binary, "simulate", "genome", file, *made, "-o", genome, "--truth", truth)
        implanted = {}
        for line in truth.read_text().splitlines():
            contig, start, end, *_ = line.split("\t")
            implanted.setdefault(contig, []).append((int(start), int(end)))
        count = sum(map(len, implanted.values()))
        for label, model in scanned:
            row = [label, motif]
            for rate in RATES:
                say(f"{label} at {rate:.0%} …")
                scan = ["scan", "-m", model, genome, "--qvalue", rate, "--background", "genome", "--quiet"]
                listed = program.run(binary, *scan, "--background-length", options.length)
                false, found = compare(listed, implanted)
                lines = listed.count("\n")
                row.append(f"{false / max(1, lines):.1%} of {lines:,}")
            rows.append([*row, f"{found / count:.1%}"])
    print(f"\n{options.bases} simulated bases with {options.sites} sites; false sites at each nominal rate\n")
    print(table.markdown(["model", "implanted", *(f"{rate:.0%}" for rate in RATES), "found at 10%"], rows))


def compare(listed, implanted):
    """Lines that overlap no implanted site, and implanted sites that some line overlaps."""
    false, found = 0, 0
    lines = {}
    for line in listed.splitlines():
        contig, start, end, *_ = line.split("\t")
        lines.setdefault(contig, []).append((int(start), int(end)))
    for contig, sites in implanted.items():
        starts, ends = map(np.array, zip(*sites))
        hit = np.zeros(len(starts), dtype=bool)
        for start, end in lines.get(contig, []):
            # Sites are sorted and do not overlap.
            first, last = np.searchsorted(ends, start, side="right"), np.searchsorted(starts, end)
            false += first >= last
            hit[first:last] = True
        found += int(hit.sum())
    return false, found
