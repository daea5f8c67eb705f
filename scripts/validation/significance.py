"""Check p- and q-values against shuffled genomes, MOODS, lightmotif and known sites.

1. Five models of different shape (a bundled DeepBind net, a published one that pads its windows, a matrix, an unpadded
   16 x 24 net, a single-stranded RNA net) are calibrated on sacCer3. The genome is then shuffled, by code of this script's
   own that keeps the 3-mers of each 16 kb, and the windows that reach the score of each nominal p-value are counted.
2. The scores at p = 1e-3 to 1e-6 of JASPAR matrices are compared with those of MOODS and lightmotif.
3. Genomes are simulated with sites implanted (of CTCF, ELK1 and Reb1) and scanned at false discovery rates of 1, 5 and
   10 % with a matrix, a published model and bundled ones. A site is false if it shares no base with an implanted one.

--oracle prints in place of all this how many sites the best threshold gives at each rate, whoever sets it: every score is
tried as one, and the false sites to expect are counted in ten other genomes without sites. So it is known whether a
factor's sites stand out from background at all; beside it is what --qvalue finds. The same of sacCer3, against sequence
that this script draws with its 3-mers.

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
CODES = {"A": 0, "C": 1, "G": 2, "T": 3}
# Bases of a sequence that is drawn.
DRAWN = 100_000
# Rates that the best threshold is looked for at, and the highest p-value of a site that is looked at.
BEST_RATES = [0.01, 0.05, 0.1, 0.25]
LOOKED_AT = 2e-3
# Of a TSV.
Q_COLUMN = 7
HEADS = [f"{rate:.0%}" for rate in BEST_RATES]
# Genomes without sites.
BACKGROUNDS = 10
YEAST = [("Reb1", "MA0363.1"), ("Abf1", "MA0265.1"), ("Rap1", "MA0359.1")]
# MOODS' grid: steps to a unit of score.
GRID = 20_000.0
# Half a printed digit, and what the grids of both programs take away.
TOLERANCE = 0.02


def main(options):
    """Runs all checks and prints their tables."""
    binary = program.find(options.bindscan)
    with tempfile.TemporaryDirectory() as folder:
        folder = Path(folder)
        if options.oracle:
            best_on_simulated(options, binary, folder)
            best_on_yeast(options, binary, folder)
            return
        curves = on_shuffled(options, binary, folder)
        if options.plot:
            plot(curves, options.plot)
        same = against_peers(options, binary, folder)
        on_simulated(options, binary, folder)
    if not same:
        environment.fail("exact p-values differ from those of MOODS")


def vertebrates(options):
    return environment.data_file(options.data, "motifs/JASPAR2018_CORE_vertebrates.meme")


def fungi(options):
    return environment.data_file(options.data, "motifs/JASPAR2018_CORE_fungi.meme")


def matrix(options, binary, folder, identifier=CTCF, file=None):
    """A JASPAR matrix as ONNX."""
    model = folder / f"{identifier}.onnx"
    program.run(binary, "import", "meme", file or vertebrates(options), "--motif", identifier, "-o", model)
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
    settings = [
        (vertebrates(options), CTCF, [(CTCF, matrix(options, binary, folder)), (PUBLISHED, published), ("CTCFL", "CTCFL")]),
        (vertebrates(options), "ELK1", [("ELK1", "ELK1")]),
        (fungi(options), "REB1", [("Reb1", "Reb1")]),
    ]
    rows = []
    for file, motif, scanned in settings:
        genome, implanted = simulate(options, binary, folder, file, motif)
        count = sum(map(len, implanted.values()))
        for label, model in scanned:
            row = [label, motif]
            for rate in RATES:
                say(f"{label} at {rate:.0%} …")
                listed = by_rate(options, binary, model, genome, rate)
                false, found = compare(listed, implanted)
                lines = listed.count("\n")
                row.append(f"{false / max(1, lines):.1%} of {lines:,}")
            rows.append([*row, f"{found / count:.1%}"])
    print(f"\n{options.bases} simulated bases with {options.sites} sites; false sites at each nominal rate\n")
    print(table.markdown(["model", "implanted", *(f"{rate:.0%}" for rate in RATES), "found at 10%"], rows))


def simulate(options, binary, folder, file, motif):
    """A genome with sites, and where they are."""
    genome, truth = folder / "simulated.fa", folder / "truth.bed"
    made = ["--motif", motif, "--length", options.bases, "--sites", options.sites]
    program.run(binary, "simulate", "genome", file, *made, "-o", genome, "--truth", truth)
    implanted = {}
    for line in truth.read_text().splitlines():
        contig, start, end, *_ = line.split("\t")
        implanted.setdefault(contig, []).append((int(start), int(end)))
    return genome, implanted


def by_rate(options, binary, model, genome, rate, *more):
    """The sites that a scan reports at a false discovery rate."""
    scan = ["scan", "-m", model, genome, "--qvalue", rate, "--background", "genome", "--quiet"]
    return program.run(binary, *scan, "--background-length", options.length, *more)


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


def best_on_simulated(options, binary, folder):
    """Prints what the best threshold finds in genomes whose sites are known."""
    factors = [
        (vertebrates(options), CTCF, [CTCF], ["CTCFL", PUBLISHED]),
        (vertebrates(options), "ELK1", ["MA0028.2"], ["ELK1"]),
        (fungi(options), "REB1", ["MA0363.1"], ["Reb1"]),
    ]
    rows = []
    for file, motif, matrices, networks in factors:
        genome, implanted = simulate(options, binary, folder, file, motif)
        free = []
        for seed in range(BACKGROUNDS):
            made = ["--motif", motif, "--length", options.bases, "--sites", 0, "--seed", 1000 + seed]
            free.append(folder / f"free{seed}.fa")
            program.run(binary, "simulate", "genome", file, *made, "-o", free[-1], "--truth", folder / "none.bed")
        known = [(name, matrix(options, binary, folder, name, file)) for name in matrices]
        for name in networks:
            model = models.published(binary, options.data, folder, name) if name == PUBLISHED else name
            known.append((name, model))
        for label, model in known:
            say(f"{label}, best thresholds …")
            rows.append([label, *best(options, binary, model, genome, free, 1 / BACKGROUNDS, implanted)])
    print(f"\n{options.bases} simulated bases with {options.sites} sites: most sites that a threshold gives at each rate")
    print("(false ones among them); found by --qvalue (false ones)\n")
    print(table.markdown(["model", *HEADS], rows))


def best_on_yeast(options, binary, folder):
    """Prints what the best threshold finds in the yeast genome, against sequence with its 3-mers."""
    genome, free = folder / "sacCer3.fa", folder / "drawn.fa"
    contigs = sequence.read_fasta(environment.data_file(options.data, "genomes/sacCer3.fa.gz"))
    sequence.write_fasta(genome, contigs.items())
    bases = sum(map(len, contigs.values()))
    sequence.write_fasta(free, drawn(contigs.values(), BACKGROUNDS * bases))
    rows = []
    for network_name, identifier in YEAST:
        known = [(identifier, matrix(options, binary, folder, identifier, fungi(options))), (network_name, network_name)]
        for label, model in known:
            say(f"{label}, best thresholds …")
            rows.append([f"{label}, {network_name}", *best(options, binary, model, genome, [free], 1 / BACKGROUNDS)])
    print("\nsacCer3, against sequence with its 3-mers: most sites that a threshold gives at each rate; found by --qvalue\n")
    print(table.markdown(["model", *HEADS], rows))


def drawn(contigs, bases):
    """Sequences of a Markov model of order KEPT - 1 of the contigs."""
    order, rng = KEPT - 1, np.random.default_rng(1)
    counts = np.zeros((4**order, 4))
    for contig in contigs:
        codes = np.array([CODES.get(base, -1) for base in contig.upper()])
        words = np.lib.stride_tricks.sliding_window_view(codes, KEPT)
        words = words[(words >= 0).all(axis=1)]
        np.add.at(counts, (words[:, :-1] @ 4 ** np.arange(order)[::-1], words[:, -1]), 1)
    steps = np.cumsum(counts / counts.sum(axis=1, keepdims=True), axis=1)
    steps[:, -1] = 1
    number = bases // DRAWN
    state = rng.choice(len(counts), number, p=counts.sum(axis=1) / counts.sum())
    made = np.empty((DRAWN, number), dtype=np.uint8)
    for row in made:
        row[:] = (rng.random(number)[:, None] >= steps[state]).sum(axis=1)
        state = (4 * state + row) % len(counts)
    letters = np.frombuffer(b"ACGT", dtype=np.uint8)[made.T]
    return [(f"drawn{i}", line.tobytes().decode()) for i, line in enumerate(letters)]


def best(options, binary, model, genome, free, share, implanted=None):
    """For each rate, the most sites that a threshold gives, and what a scan finds. `share` of the sites of `free` are to be
    expected in the genome."""
    low = ["--pvalue", LOOKED_AT, "--background", "genome", "--background-length", "1M"]
    found = sites_of(binary, model, genome, *low)
    floor = min(score for score, *_ in found)
    false = np.sort([score for file in free for score, *_ in sites_of(binary, model, file, "--threshold", floor)])
    found.sort(key=lambda site: -site[0])
    scores = np.array([score for score, *_ in found])
    expected = share * (len(false) - np.searchsorted(false, scores))
    rates = expected / np.arange(1, len(scores) + 1)
    # Sites with the same score pass a threshold together.
    rates[:-1][scores[:-1] == scores[1:]] = np.inf
    listed = by_rate(options, binary, model, genome, BEST_RATES[-1], "--format", "tsv").splitlines(keepends=True)[1:]
    reported = [(float(line.split("\t")[Q_COLUMN]), line) for line in listed]
    cells = []
    for rate in BEST_RATES:
        passing = np.flatnonzero(rates <= rate)
        count = int(passing[-1]) + 1 if len(passing) else 0
        top = "".join(f"{contig}\t{start}\t{end}\n" for _, contig, start, end in found[:count])
        by_q = "".join(line for q, line in reported if q <= rate)
        cells.append("; ".join(counted(listed, implanted) for listed in (top, by_q)))
    return cells


def sites_of(binary, model, genome, *choice):
    """Score and place of each site."""
    listed = program.run(binary, "scan", "-m", model, genome, *choice, "--format", "tsv", "--quiet").splitlines()[1:]
    fields = (line.split("\t") for line in listed)
    return [(float(score), contig, int(start), int(end)) for contig, start, end, _, _, score, *_ in fields]


def counted(listed, implanted):
    """Number of lines, and of those that overlap no implanted site."""
    lines = listed.count("\n")
    return f"{lines:,}" + (f" ({compare(listed, implanted)[0]:,})" if implanted and lines else "")
