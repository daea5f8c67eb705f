"""Speed of scanning with a network of any kind: bindscan's whole command, and the network on windows in batches.

All is on one thread, and seconds are the processor's, so that other work on the machine matters less.
"""

import os
import re
import statistics
import time

import numpy as np
import onnx
import onnxruntime

from . import program, table
from .sequence import LETTERS

# Windows a batch, PyTorch's and ONNX Runtime's: of 64 to 1,024 none was better for all networks.
BATCH = 256
# Of scoring, and no less than half of what the first windows take, which are left out as other programs' first batches are:
# they come with loading the model and with memory that is touched for the first time.
ENOUGH_SECONDS, FIRST_WINDOWS, MOST_WINDOWS = 1.0, 512, 8_388_608
HEADER = ["network", "windows", "bindscan, Mbp/s", "PyTorch, windows", "times", "ONNX Runtime, windows", "times",
          "first convolution, % of ONNX Runtime's time"]


def shaped(x, layout):
    """One-hot windows [N, 4, L] in a layout."""
    forms = {"first": lambda: x, "last": lambda: x.transpose(0, 2, 1), "columns": lambda: x[:, :, None]}
    return np.ascontiguousarray(forms[layout]())


def by_torch(net):
    """Scores of windows, by a PyTorch module."""
    import torch

    def score(x):
        with torch.inference_mode():
            return net(torch.from_numpy(x)).numpy()

    return score


def session(model):
    """ONNX Runtime with one thread; `model` is a path, or a model in memory."""
    options = onnxruntime.SessionOptions()
    options.intra_op_num_threads = options.inter_op_num_threads = 1
    source = str(model) if not isinstance(model, onnx.ModelProto) else model.SerializeToString()
    return onnxruntime.InferenceSession(source, options, providers=["CPUExecutionProvider"])


def by_onnx(running):
    """Scores of windows, by an ONNX Runtime session."""
    name = running.get_inputs()[0].name
    return lambda x: running.run(None, {name: x})[0]


def how(binary, path):
    """Whether windows are scored densely, by the kernel, with their first layers together, or one by one: what `bindscan
    inspect` measured the speed of."""
    inspected = program.run(binary, "inspect", path)
    if "the kernel engine" in inspected:
        return "kernel"
    found = re.search(r"^speed .* one thread, (.*) \(--context padding", inspected, re.MULTILINE)
    words = {"densely": "densely", "windows share their first layers": "first layers together"}
    return words.get(found.group(1) if found else "", "one by one")


def up_to_first_convolution(path):
    """The graph that ends with the first convolution and, if it comes next, its activation."""
    model = onnx.load(path)
    at = next(i for i, node in enumerate(model.graph.node) if node.op_type == "Conv")
    end = model.graph.node[at].output[0]
    after = [node for node in model.graph.node if end in node.input]
    if len(after) == 1 and after[0].op_type in ("Relu", "Exp"):
        end = after[0].output[0]
    del model.graph.output[:]
    model.graph.output.append(onnx.ValueInfoProto(name=end))
    wanted, kept = {end}, []
    for node in reversed(model.graph.node):
        if wanted & set(node.output):
            kept.insert(0, node)
            wanted |= set(node.input)
    del model.graph.node[:]
    model.graph.node.extend(kept)
    initializers = [tensor for tensor in model.graph.initializer if tensor.name in wanted]
    del model.graph.initializer[:]
    model.graph.initializer.extend(initializers)
    return model


class Scan:
    """`bindscan scan`, FASTA to BED, forward strand, one thread, on as much random sequence as takes a second and more."""

    def __init__(self, binary, path, window, threshold, folder, order="ACGT"):
        self.genome = folder / "speed.fa"
        self.words = ["scan", "-m", path, self.genome, "--strand", "+", "--threshold", f"{threshold:.6f}"]
        self.words += ["--channels", order, "-t", "1", "--quiet"]
        self.binary, self.window, self.windows = binary, window, FIRST_WINDOWS
        self.start = self.seconds()
        enough = max(ENOUGH_SECONDS, self.start / 2)
        self.windows *= 4
        while self.seconds() - self.start < enough and self.windows < MOST_WINDOWS:
            self.windows *= 4

    def seconds(self):
        """Of the whole command."""
        coded = np.random.default_rng(3).integers(0, 4, self.windows + self.window - 1)
        self.genome.write_text(">random\n" + letters(coded) + "\n")
        began = program.processor_seconds()
        program.run(self.binary, *self.words, "-o", os.devnull)
        return program.processor_seconds() - began

    def rate(self):
        return (self.windows - FIRST_WINDOWS) / (self.seconds() - self.start) / 1e6


def letters(coded):
    return np.frombuffer(LETTERS.encode(), np.uint8)[coded].tobytes().decode()


def rate_of_windows(score, layout, coded, window, order="ACGT"):
    """Mbp/s of windows in batches: one-hot columns of the stretch, windows cut from them, their scores."""
    began = time.process_time()
    columns = np.eye(4, dtype=np.float32)[coded][:, ["ACGT".index(base) for base in order]]
    views = np.lib.stride_tricks.sliding_window_view(columns, window, axis=0)
    for at in range(0, len(views), BATCH):
        score(shaped(views[at : at + BATCH], layout))
    return len(views) / (time.process_time() - began) / 1e6


def row(binary, name, net, path, layout, window, threshold, folder, options, order="ACGT"):
    """One line of the table; `net` is a PyTorch module of the network's layers, or None."""
    scan = Scan(binary, path, window, threshold, folder, order)
    whole, first = session(path), session(up_to_first_convolution(path))
    rivals = [by_torch(net) if net else None, by_onnx(whole), by_onnx(first)]
    rng = np.random.default_rng(4)
    short, coded = (rng.integers(0, 4, count + window - 1) for count in (BATCH, options.batches * BATCH))
    for score in filter(None, rivals):
        rate_of_windows(score, layout, short, window, order)
    rounds = []
    for _ in range(options.rounds):
        others = [score and rate_of_windows(score, layout, coded, window, order) for score in rivals]
        rounds.append((scan.rate(), *others))
    ours, torch, ort, part = (statistics.median(side) if side[0] else None for side in zip(*rounds))
    figures = table.significant
    cells = [name, how(binary, path), figures(ours)]
    for rival in torch, ort:
        cells += [figures(rival), figures(ours / rival)] if rival else ["–", "–"]
    cells.append(f"{100 * ort / part:.0f}")
    print(*cells, sep="\t", flush=True)
    return cells
