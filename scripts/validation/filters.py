"""Check `bindscan motifs` with NumPy, memelite's tomtom and Koo & Eddy's synthetic data.

1. p-values of `motifs --compare`: the motifs of bundled models against all JASPAR motifs, compared with memelite's
   tomtom. The worst difference is given against tomtom with all target columns and the exact median, and against its
   default, which joins columns that are nearly the same and takes the median by bins.
2. Motifs by both methods: those of bundled models, on the sequences of ENCODE's test sets, compared with NumPy's.
3. Koo & Eddy's synthetic data set: a DeepBind network is fitted (or given by --model), and its filters are compared with
   JASPAR 2016. Printed are the shares of filters that match any motif, and that match an implanted one.

The exit code is 1 if p-values differ by more than 1 %, or motifs differ at all.
"""

import csv
import gzip
import sys
import tempfile
from pathlib import Path

import memelite
import numpy as np
import onnx
from onnx import numpy_helper

from . import environment, program
from .implanted import is_implanted

BUNDLED = {"GABPA": "encode/GABPA_GM12878_B.seq.gz", "FOXA1": "encode/FOXA1_HepG2_B.seq.gz"}
JASPAR = "motifs/JASPAR_CORE_2016_vertebrates.meme"
PFM = "motifs/pfm_vertebrates.txt"
# As in bindscan: a p-value's relative difference, and what is too small to be looked at.
WORST = 0.01
SMALLEST = 1e-12


def main(options):
    binary = program.find(options.bindscan)
    failed = False
    with tempfile.TemporaryDirectory() as folder:
        folder = Path(folder)
        for name, data in BUNDLED.items():
            data = environment.data_file(options.data, data)
            failed |= compare_motifs(binary, name, data, folder)
            failed |= compare_p_values(binary, name, data, environment.data_file(options.data, JASPAR), folder)
        if not options.skip_synthetic:
            synthetic(binary, options, folder)
    sys.exit(1 if failed else 0)


def read_meme(path):
    """Probabilities [4, width] by the motif's ID."""
    return {key.split()[0]: pwm for key, pwm in memelite.io.read_meme(str(path)).items()}


def compare_motifs(binary, name, data, folder):
    """Untrimmed motifs by both methods, and NumPy's from the weights in the ONNX file."""
    sequences = [row.split("\t")[2].upper() for row in gzip.open(data, "rt").read().split("\n")[1:] if row]
    weights, biases = first_layer(environment.ROOT / "models" / f"{name}.onnx")
    failed = False
    for method in "koo-eddy", "deepbind":
        out = folder / "motifs.meme"
        words = ["--sequences", data, "--method", method, "--trim", "0", "--trim-flank", "1000", "--quiet", "-o", out]
        program.run(binary, "motifs", name, *words)
        found = read_meme(out)
        worst, same = 0.0, 0
        for key, pwm in found.items():
            k = int(key.removeprefix("filter_"))
            worst = max(worst, np.abs(learned(weights[k], biases[k], sequences, method) - pwm).max())
            same += 1
        ok = worst < 2e-6
        failed |= not ok
        print(f"{name}, {method}: {same} motifs, worst difference of a probability {worst:.1e}{'' if ok else ': DIFFERS'}")
    return failed


def first_layer(path):
    """Weights [K, 4, m] and biases [K] of the convolution."""
    graph = onnx.load(path).graph
    tensors = {tensor.name: numpy_helper.to_array(tensor) for tensor in graph.initializer}
    conv = next(node for node in graph.node if node.op_type == "Conv")
    weights = tensors[conv.input[1]]
    return weights.reshape(len(weights), 4, -1), tensors[conv.input[2]]


def learned(weights, bias, sequences, method):
    """The motif of one filter on both strands, [4, m]; sequences have no N."""
    counts, length = np.zeros((4, weights.shape[1])), weights.shape[1]
    stretches, sums, ends = [], [], []
    for letters in sequences:
        coded = np.array(["ACGT".find(letter) for letter in letters])
        for strand in coded, 3 - coded[::-1]:
            windows = np.lib.stride_tricks.sliding_window_view(strand, length)
            windows = windows[((0 <= windows) & (windows < 4)).all(axis=1)]
            stretches.append(windows)
            sums.append(weights[windows, np.arange(length)].sum(axis=1, dtype=np.float32) + bias)
        ends.append(len(sums))
    if method == "koo-eddy":
        highest = max(x.max() for x in sums)
        chosen = [windows[x > highest / 2] for windows, x in zip(stretches, sums)]
    else:
        chosen = []
        for end in ends:
            both = np.concatenate(sums[end - 2 : end])
            best = both.argmax()
            if both[best] > 0:
                chosen.append(np.concatenate(stretches[end - 2 : end])[best : best + 1])
    sites = np.concatenate(chosen)
    for base in range(4):
        counts[base] = (sites == base).sum(axis=0)
    return counts / len(sites)


def compare_p_values(binary, name, data, database, folder):
    """The p-values of all filters against all targets."""
    meme, table = folder / "motifs.meme", folder / "matches.tsv"
    words = ["--sequences", data, "--compare", database, "--evalue", "1e9", "--matches", table, "--quiet", "-o", meme]
    program.run(binary, "motifs", name, *words)
    queries, targets = read_meme(meme), read_meme(database)
    ours = np.full((len(queries), len(targets)), np.nan)
    query_ranks, target_ranks = ({key: i for i, key in enumerate(motifs)} for motifs in (queries, targets))
    offsets = np.zeros(ours.shape, dtype=int)
    with open(table) as lines:
        for row in csv.DictReader(lines, delimiter="\t"):
            place = query_ranks[row["Query_ID"]], target_ranks[row["Target_ID"]]
            ours[place], offsets[place] = float(row["p-value"]), int(row["Optimal_offset"])
    assert not np.isnan(ours).any()
    lists = list(queries.values()), list(targets.values())
    failed = False
    exact = {"n_target_bins": None, "n_median_bins": 1_000_000}
    for words, settings in ("with all columns and the median exact", exact), ("by default", {}):
        theirs, _, their_offsets, _, _ = memelite.tomtom(*lists, **settings)
        counted = np.maximum(ours, theirs) > SMALLEST
        differences = np.abs(ours / np.maximum(theirs, 1e-300) - 1)[counted]
        absolute = np.abs(ours - theirs).max()
        same = (offsets == their_offsets).mean()
        low = differences[(theirs[counted] < 1e-3)]
        print(
            f"{name}, {ours.size:,} p-values, memelite {words}: relative difference {np.median(differences):.1e} in the "
            f"middle, {np.quantile(differences, 0.99):.1e} at the 99th percentile, {differences.max():.1e} at the most "
            f"({low.max():.1e} of p below 1e-3); absolute at most {absolute:.1e}; {same:.1%} of offsets the same"
        )
        if settings:
            failed |= np.quantile(differences, 0.99) > WORST
    return failed


def synthetic(binary, options, folder):
    """Shares of the filters of a network fitted to the synthetic data that match a motif, and an implanted one."""
    pfm = environment.data_file(options.data, PFM)
    program.run(binary, "simulate", "motifs", pfm, "-o", folder / "data")
    model = options.model
    if model is None:
        model = folder / "synthetic.onnx"
        quick = ["--quick"] if options.quick else []
        program.run(binary, "train", folder / "data/train.tsv", "--target", "all", *quick, "-o", model)
    table = program.run(binary, "eval", model, folder / "data/test.tsv", "--target", "all", "--format", "tsv")
    aucs = [float(row.split("\t")[2]) for row in table.split("\n") if "\tAUC\t" in row]
    implanted = {line.split()[1] for line in open(folder / "data/motifs.meme") if line.startswith("MOTIF")}
    names = {line.split()[1]: line.split()[2] for line in open(folder / "data/motifs.meme") if line.startswith("MOTIF")}
    print(f"synthetic data: mean AUC of {len(aucs)} factors on the test set {np.mean(aucs):.3f}")
    for method in "koo-eddy", "deepbind":
        meme, matches = folder / "filters.meme", folder / "filters.tsv"
        database = environment.data_file(options.data, JASPAR)
        words = ["--sequences", folder / "data/test.tsv", "--method", method, "--compare", database]
        program.run(binary, "motifs", model, *words, "--matches", matches, "-o", meme)
        alive = sum(line.startswith("MOTIF") for line in open(meme))
        with open(matches) as lines:
            rows = list(csv.DictReader(lines, delimiter="\t"))
        any_match = {row["Query_ID"] for row in rows}
        right = {row["Query_ID"] for row in rows if is_implanted(row, implanted, names)}
        found = {row["Target_name"] for row in rows if is_implanted(row, implanted, names)}
        print(
            f"{method}: {alive} filters with sites, {len(any_match)} ({len(any_match) / alive:.0%}) match a motif of "
            f"JASPAR 2016 with E of 0.1 or less, {len(right)} ({len(right) / alive:.0%}) an implanted one; "
            f"{len(found)} of {len(implanted)} implanted motifs are matched"
        )
