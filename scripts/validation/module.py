"""Compare the Python module with a PyTorch loop and with the command, on the same tasks: lines of code and time.

Scoring: random sequences of 101 bases, each strand, by a bundled DeepBind network. Scanning: every window of a random genome,
both strands, down to the sites above a threshold. The PyTorch side is what a user writes: the weights of the ONNX file in a
convolution, one-hot windows in batches; and, for the scan, the same with one convolution over the whole genome, which takes a
user who knows that it can be done. PyTorch scans the first bases of the genome only. All programs have the same cores and run
in turn, and their scores must agree to 1e-4 before anything is printed. Times are from strings, or a FASTA file, to scores,
or sites, in memory; the command reads and writes files, and its time includes its start.

Lines of code are those of the functions in this script, without blank lines, comments and docstrings. The module comes from
a wheel, as `scripts/package wheel` makes it; the one that `scripts/test --python` makes is optimised less.
"""

import ast
import inspect
import os
import statistics
import subprocess
import sys
import tempfile
import textwrap
import time
import zipfile
from pathlib import Path

import numpy as np
import onnx
import torch
from torch.nn.functional import conv1d, linear, max_pool1d, pad

from . import environment, program, sequence, table

TOLERANCE = 1e-4
LENGTH = 101
# Larger batches leave the cache, which makes PyTorch slower.
BATCH = 256
MODEL = "ELK1"
# Of all windows, those that are sites.
SITES = 5e-4
SHORT = "ACCGGAAGTGACCGGAAGTG"
CALLS = 2000


# What a user writes with the module.


def module_score(sequences, threads):
    """Scores of sequences, [N]."""
    import bindscan

    return bindscan.load(MODEL).score(sequences, threads=threads)[:, 0]


def module_scan(genome, threshold, threads):
    """Scores of the windows of a FASTA file that reach the threshold."""
    import bindscan

    sites = bindscan.load(MODEL).scan(genome, threshold=threshold, overlaps="keep", threads=threads)
    return sites.table()["score"]


# What a user writes with PyTorch.


class Network(torch.nn.Module):
    """The network of an ONNX file: one convolution, its maxima, one output."""

    def __init__(self, path):
        super().__init__()
        graph = onnx.load(path).graph
        weights = {tensor.name: torch.from_numpy(onnx.numpy_helper.to_array(tensor).copy()) for tensor in graph.initializer}
        layers = [node for node in graph.node if node.op_type in ("Conv", "Gemm")]
        self.conv, self.dense = ([weights[name] for name in layer.input[1:]] for layer in layers)
        self.pad = int(weights["pads"][-1])

    def forward(self, columns):
        return linear(conv1d(columns, *self.conv).relu().amax(2), *self.dense)[:, 0]


def one_hot(bases):
    """One-hot columns of a string, [4, L]."""
    codes = np.frombuffer(bases.encode(), dtype=np.uint8)
    return torch.from_numpy((codes == np.frombuffer(b"ACGT", dtype=np.uint8)[:, None]).astype(np.float32))


def both_strands(network, columns):
    """The better strand's score of each window."""
    return torch.maximum(network(columns), network(columns.flip(1, 2)))


def torch_score(sequences, path):
    """Scores of sequences, [N]."""
    network, scores = Network(path), []
    with torch.inference_mode():
        for i in range(0, len(sequences), BATCH):
            batch = torch.stack([one_hot(bases) for bases in sequences[i : i + BATCH]])
            scores.append(both_strands(network, pad(batch, (network.pad, network.pad), value=0.25)))
    return torch.cat(scores).numpy()


def read_genome(path, network):
    """One-hot columns of a FASTA file of one contig, [4, L], with what the network wants past the ends."""
    bases = "".join(Path(path).read_text().split("\n")[1:])
    return pad(one_hot(bases), (network.pad, network.pad), value=0.25)


def torch_scan(genome, path, threshold):
    """Scores of the windows that reach the threshold, one window at a time in batches."""
    network, found = Network(path), []
    with torch.inference_mode():
        windows = read_genome(genome, network).unfold(1, LENGTH + 2 * network.pad, 1)
        for i in range(0, windows.shape[1], BATCH):
            scores = both_strands(network, windows[:, i : i + BATCH].transpose(0, 1).contiguous())
            found.append(scores[scores >= threshold])
    return torch.cat(found).numpy()


def torch_scan_densely(genome, path, threshold, piece=1 << 15):
    """The same with one convolution over the genome, in pieces, and sliding maxima."""
    network, found = Network(path), []
    weights, bias = network.conv
    window = LENGTH + 2 * network.pad
    places = window - weights.shape[2] + 1
    dense = network.dense[0][:, :, None], network.dense[1]
    with torch.inference_mode():
        columns = read_genome(genome, network)[None]
        for i in range(0, columns.shape[2] - window + 1, piece):
            part = columns[:, :, i : i + piece + window - 1]
            strands = []
            for filters in (weights, weights.flip(1, 2)):
                maxima = max_pool1d(conv1d(part, filters, bias).relu(), places, 1)
                strands.append(conv1d(maxima, *dense)[0, 0])
            scores = torch.maximum(*strands)
            found.append(scores[scores >= threshold])
    return torch.cat(found).numpy()


# The measurements.


def lines(*parts):
    """Lines of code of functions and classes: those that hold code, no docstrings."""
    count = 0
    for part in parts:
        source = textwrap.dedent(inspect.getsource(part))
        texts = set()
        for node in ast.walk(ast.parse(source)):
            if isinstance(node, (ast.FunctionDef, ast.ClassDef)) and ast.get_docstring(node) is not None:
                texts |= set(range(node.body[0].lineno, node.body[0].end_lineno + 1))
        code = [line.strip() for number, line in enumerate(source.splitlines(), 1) if number not in texts]
        count += sum(1 for line in code if line and not line.startswith("#"))
    return count


def in_turn(works, rounds):
    """Median seconds of each function and what it gave, the functions taking turns, after one call that does not count."""
    results = {name: work() for name, work in works.items()}
    times = {name: [] for name in works}
    for _ in range(rounds):
        for name, work in works.items():
            began = time.perf_counter()
            work()
            times[name].append(time.perf_counter() - began)
    return {name: statistics.median(listed) for name, listed in times.items()}, results


def agree(name, got, want):
    """Ends the script unless two arrays of scores are the same to the tolerance."""
    if got.shape != want.shape:
        environment.fail(f"{name}: {len(got)} scores in place of {len(want)}")
    worst = float(np.max(np.abs(got - want) / np.maximum(1, np.abs(want)), initial=0))
    if not worst <= TOLERANCE:
        environment.fail(f"{name}: scores differ by {worst:.2g}")
    print(f"{name}: {len(want):,} scores agree, worst difference {worst:.1e}", file=sys.stderr, flush=True)


def same_sites(name, got, want, threshold):
    """The same for sites: those at the threshold may be on either side of it."""
    clear = lambda scores: np.sort(scores[scores >= threshold + TOLERANCE])
    if len(want) < 10:
        environment.fail(f"{len(want)} sites are too few to compare; give more --torch-megabases")
    agree(name, clear(got), clear(want))


def scoring(options, folder, binary, path, letters):
    """Rows of the table on scoring."""
    sequences = [row.tobytes().decode() for row in letters.reshape(-1, LENGTH)]
    file, scored = folder / "sequences.txt", folder / "scores.tsv"
    file.write_text("\n".join(sequences) + "\n")
    batch, network = torch.stack([one_hot(bases) for bases in sequences]), Network(path)

    def command():
        program.run(binary, "score", file, "-m", MODEL, "--threads", options.cores, "-o", scored)

    def ready():
        with torch.inference_mode():
            parts = [pad(part, (network.pad, network.pad), value=0.25) for part in batch.split(BATCH)]
            return torch.cat([both_strands(network, part) for part in parts]).numpy()

    works = {
        "bindscan in Python": lambda: module_score(sequences, options.cores),
        "bindscan score, file to file": command,
        "PyTorch": lambda: torch_score(sequences, path),
        "PyTorch, one-hot columns ready": ready,
    }
    seconds, results = in_turn(works, options.rounds)
    results["bindscan score, file to file"] = np.loadtxt(scored, skiprows=1, usecols=1, dtype=np.float32)
    for name, scores in results.items():
        agree(name, scores, results["PyTorch"])
    user = (Network, one_hot, both_strands)
    code = {"bindscan in Python": lines(module_score), "PyTorch": lines(*user, torch_score)}
    own, task = seconds["bindscan in Python"], f"score {len(sequences):,} × {LENGTH} bases"
    return [
        (task, name, code.get(name, "–"), f"{taken:.3g} s", table.significant(taken / own))
        for name, taken in seconds.items()
    ]


def scanning(options, folder, binary, path, letters):
    """Rows of the table on scanning."""
    genome, stretch, sites = folder / "genome.fa", folder / "stretch.fa", folder / "sites.tsv"
    bases = letters.tobytes().decode()
    part = min(len(bases), int(options.torch_megabases * 1e6))
    sequence.write_fasta(genome, [("bench", bases)])
    sequence.write_fasta(stretch, [("bench", bases[:part])])
    all_scores = torch_scan_densely(stretch, path, -np.inf)
    threshold = float(np.quantile(all_scores, 1 - SITES))
    print(f"threshold {threshold:.4f}: {SITES:g} of the windows", file=sys.stderr, flush=True)

    def command():
        plan = ("--threshold", threshold, "--overlaps", "keep", "--threads", options.cores, "-o", sites)
        program.run(binary, "scan", "-m", MODEL, genome, *plan)

    works = {
        "bindscan in Python": (len(bases), lambda: module_scan(genome, threshold, options.cores)),
        "bindscan scan, file to file": (len(bases), command),
        "PyTorch, windows": (part, lambda: torch_scan(stretch, path, threshold)),
        "PyTorch, dense": (part, lambda: torch_scan_densely(stretch, path, threshold)),
    }
    want = all_scores[all_scores >= threshold]
    same_sites("bindscan in Python, scan", module_scan(stretch, threshold, options.cores), want, threshold)
    seconds, results = in_turn({name: work for name, (_, work) in works.items()}, options.rounds)
    same_sites("PyTorch, windows", results["PyTorch, windows"], want, threshold)
    rows = [line.split("\t") for line in sites.read_text().splitlines()]
    listed = np.array([float(row[rows[0].index("score")]) for row in rows[1:]], dtype=np.float32)
    same_sites("bindscan scan", listed, results["bindscan in Python"], threshold)
    user = (Network, one_hot, both_strands, read_genome)
    code = {
        "bindscan in Python": lines(module_scan),
        "PyTorch, windows": lines(*user, torch_scan),
        "PyTorch, dense": lines(Network, one_hot, read_genome, torch_scan_densely),
    }
    rates = {name: works[name][0] / taken / 1e6 for name, taken in seconds.items()}
    own = rates["bindscan in Python"]
    task = f"scan {len(bases) / 1e6:g} Mb (PyTorch {part / 1e6:g})"
    return [
        (task, name, code.get(name, "–"), f"{table.significant(rate)} Mbp/s", table.significant(own / rate))
        for name, rate in rates.items()
    ]


def import_seconds(name, folder, rounds):
    """Median seconds of an import in a fresh interpreter, the interpreter's own start not counted."""
    script = f"import time; began = time.perf_counter(); import {name}; print(time.perf_counter() - began)"
    env = os.environ | {"PYTHONPATH": str(folder)}
    run = lambda: subprocess.run([sys.executable, "-c", script], check=True, capture_output=True, text=True, env=env)
    return statistics.median(float(run().stdout) for _ in range(max(rounds, 5)))


def call_seconds(work):
    """Median seconds of a call."""
    times = []
    for _ in range(CALLS):
        began = time.perf_counter()
        work()
        times.append(time.perf_counter() - began)
    return statistics.median(times)


def small_costs(options, path, wheel, folder):
    """Lines on what is paid once, or with each call."""
    import bindscan

    yield f"wheel: {wheel.stat().st_size / 1e6:.1f} MB ({wheel.name})"
    # The first import of each warms the disk's cache.
    for name in ("bindscan", "numpy", "torch"):
        import_seconds(name, folder, 1)
        yield f"import {name}: {import_seconds(name, folder, options.rounds) * 1e3:.1f} ms"
    model, network = bindscan.load(MODEL), Network(path)
    loading = call_seconds(lambda: bindscan.load(MODEL)) * 1e3
    yield f'bindscan.load("{MODEL}"): {loading:.2f} ms'
    threads = options.cores
    one = call_seconds(lambda: model.score(SHORT, threads=threads)) * 1e6
    yield f"model.score of one sequence of {len(SHORT)} bases: {one:.0f} µs a call"
    with torch.inference_mode():
        call = lambda: float(both_strands(network, pad(one_hot(SHORT)[None], (network.pad, network.pad), value=0.25)))
        agree("one short sequence", np.array([call()], dtype=np.float32), model.score(SHORT))
        yield f"PyTorch on the same: {call_seconds(call) * 1e6:.0f} µs a call"


def find_wheel(given):
    """The wheel: the one that was named, or the newest that scripts/package made."""
    if given:
        return Path(given)
    made = sorted((environment.TARGET / "package").glob("bindscan-*.whl"), key=lambda path: path.stat().st_mtime)
    if not made:
        environment.skip("there is no wheel in target/package; run: scripts/package wheel (or name one with --wheel)")
    return made[-1]


def main(options):
    """Runs both tasks by all programs and prints the table."""
    wheel, binary = find_wheel(options.wheel), program.find(options.bindscan)
    os.sched_setaffinity(0, sorted(os.sched_getaffinity(0))[: options.cores])
    torch.set_num_threads(options.cores)
    rng = np.random.default_rng(options.seed)
    letters = np.frombuffer(b"ACGT", dtype=np.uint8)
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        unpacked = folder / "wheel"
        try:
            zipfile.ZipFile(wheel).extractall(unpacked)
        except (OSError, zipfile.BadZipFile) as error:
            environment.fail(f"{wheel}: {error}")
        sys.path.insert(0, str(unpacked))
        import bindscan

        path = folder / "network.onnx"
        bindscan.load(MODEL).save(path)
        drawn = letters[rng.integers(0, 4, options.sequences * LENGTH)]
        rows = scoring(options, folder, binary, path, drawn)
        rows += scanning(options, folder, binary, path, letters[rng.integers(0, 4, int(options.megabases * 1e6))])
        print(
            f"{MODEL}, both strands, {options.cores} core(s), medians of {options.rounds} runs in turn; "
            f"PyTorch {torch.__version__}.\n"
        )
        print(table.markdown(["task", "program", "lines", "time or rate", "time to bindscan's"], rows) + "\n")
        print("\n".join(small_costs(options, path, wheel, unpacked)))
