"""Check scores of networks made with PyTorch and Keras against their makers', and measure speed.

DeepSEA-, Basset-, DanQ- and BPNet-shaped networks with random weights are made with PyTorch and exported both ways
(TorchScript and dynamo). They are smaller than the originals unless --original is given. A convolution network is written
the way tf2onnx writes Keras's ([N, L, 4] with transpositions, same padding, softmax). Each scans random sequence on the
forward strand, and the scores of its windows are compared with PyTorch's, or with those of ONNX Runtime in Python. Printed
are the worst difference and how windows were scored: densely, with their first layers together, or one by one.

Then speed: Mbp/s of `scan` (FASTA to BED, a threshold that one window in 1,000 reaches; one thread, processor time, less
that of a scan of 512 windows), beside PyTorch and ONNX Runtime in Python, each given windows in batches. The last column
is the part of ONNX Runtime's time that the first convolution takes, by a graph that ends there.

Needs ONNX Runtime (scripts/install-onnxruntime). The exit code is 1 if a score differs by more than
1e-4 · max(1, |score|).
"""

import re
import sys
import tempfile
import warnings
from pathlib import Path

import numpy as np
import onnx
import onnxruntime
import torch
from onnx import TensorProto, helper, numpy_helper
from torch import nn

from . import program, scanning, table


class DeepSea(nn.Module):
    """Three convolutions with pools between them, a hidden layer, sigmoid outputs."""

    layout = "first"

    def __init__(self, original):
        super().__init__()
        self.window, a, b, c, left, units, outputs = (
            (1000, 320, 480, 960, 53, 925, 919) if original else (200, 32, 48, 64, 3, 40, 7)
        )
        self.net = nn.Sequential(
            nn.Conv1d(4, a, 8), nn.ReLU(), nn.MaxPool1d(4, 4), nn.Dropout(0.2),
            nn.Conv1d(a, b, 8), nn.ReLU(), nn.MaxPool1d(4, 4), nn.Dropout(0.2),
            nn.Conv1d(b, c, 8), nn.ReLU(), nn.Dropout(0.5), nn.Flatten(),
            nn.Linear(c * left, units), nn.ReLU(), nn.Linear(units, outputs), nn.Sigmoid(),
        )

    def forward(self, x):
        return self.net(x)


class Basset(nn.Module):
    """Convolutions padded with zeros, normalised, on an image four channels deep."""

    layout = "columns"

    def __init__(self, original):
        super().__init__()
        self.window, a, b, c, left, hidden, outputs = (
            (600, 300, 200, 200, 12, [1000, 1000], 164) if original else (150, 30, 20, 20, 3, [30], 5)
        )

        def block(inner, outer, size, pool):
            return [nn.Conv2d(inner, outer, (1, size), padding=(0, size // 2)), nn.BatchNorm2d(outer), nn.ReLU(),
                    nn.MaxPool2d((1, pool))]
        widths = [c * left, *hidden]
        dense = [layer for pair in zip(widths, hidden) for layer in (nn.Linear(*pair), nn.ReLU())]
        self.net = nn.Sequential(
            *block(4, a, 19, 3), *block(a, b, 11, 4), *block(b, c, 7, 4), nn.Flatten(), *dense,
            nn.Linear(widths[-1], outputs), nn.Sigmoid(),
        )

    def forward(self, x):
        return self.net(x)


class DanQ(nn.Module):
    """A convolution, a pool, a bidirectional LSTM, dense layers; channels last."""

    layout = "last"

    def __init__(self, original):
        super().__init__()
        self.window, filters, size, cells, left, units, outputs = (
            (1000, 320, 26, 320, 75, 925, 919) if original else (120, 24, 12, 16, 8, 20, 4)
        )
        self.conv = nn.Conv1d(4, filters, size)
        self.lstm = nn.LSTM(filters, cells, batch_first=True, bidirectional=True)
        self.head = nn.Sequential(
            nn.Flatten(), nn.Linear(2 * cells * left, units), nn.ReLU(), nn.Linear(units, outputs), nn.Sigmoid()
        )

    def forward(self, x):
        x = torch.relu(self.conv(x.transpose(1, 2)))
        x = nn.functional.max_pool1d(x, 13).transpose(1, 2)
        return self.head(self.lstm(x)[0])


class BpNet(nn.Module):
    """Dilated residual convolutions without padding, a profile for each of two strands."""

    layout = "first"

    def __init__(self, original):
        super().__init__()
        self.window, filters, layers, last = (2114, 64, 8, 75) if original else (130, 24, 4, 25)
        self.first = nn.Conv1d(4, filters, 21)
        self.blocks = nn.ModuleList(nn.Conv1d(filters, filters, 3, dilation=2**i) for i in range(1, layers + 1))
        self.profile = nn.Conv1d(filters, 2, last)

    def forward(self, x):
        x = torch.relu(self.first(x))
        for block in self.blocks:
            d = block.dilation[0]
            x = x[:, :, d:-d] + torch.relu(block(x))
        return self.profile(x)


class BpNetLast(BpNet):
    """The same with the strands on the last axis."""

    def forward(self, x):
        return super().forward(x).transpose(1, 2)


NETS = {"DeepSEA": DeepSea, "Basset": Basset, "DanQ": DanQ, "BPNet": BpNet, "BPNet, strands last": BpNetLast}


def main(options):
    binary = program.find(options.bindscan)
    wanted = [name for name in options.names.split(",") if name]
    failed, rows = False, []
    torch.set_num_threads(1)
    print(f"{'network':<22}{'made by':<14}{'windows':<12}{'worst difference':>17}")
    with tempfile.TemporaryDirectory() as folder:
        folder = Path(folder)
        path = folder / "net.onnx"
        for name, make in NETS.items():
            if wanted and name not in wanted:
                continue
            torch.manual_seed(1)
            net = make(options.original).eval()
            settle(net)
            threshold = None
            for dialect, dynamo in ("TorchScript", False), ("dynamo", True):
                try:
                    export(net, path, dynamo)
                except Exception as error:
                    print(f"{name:<22}{dialect:<14}PyTorch does not export it: {str(error).splitlines()[0][:60]}")
                    continue
                scored = scanning.by_torch(net)
                ok, threshold = compare(binary, options, name, dialect, path, net.layout, net.window, scored, folder)
                failed |= not ok
            if options.rounds and threshold is not None:
                about = (name, net, path, net.layout, net.window, threshold)
                rows.append(scanning.row(binary, *about, folder, options))
        if not options.original and (not wanted or "Keras" in wanted):
            keras_like(path)
            score = scanning.by_onnx(scanning.session(path))
            for order in "ACGT", "TGCA":
                name = f"Keras, {order}"
                ok, threshold = compare(binary, options, name, "tf2onnx-like", path, "last", 80, score, folder, order)
                failed |= not ok
            if options.rounds and threshold is not None:
                rows.append(scanning.row(binary, name, None, path, "last", 80, threshold, folder, options, order))
    if rows:
        print(f"\nPyTorch {torch.__version__}, ONNX Runtime {onnxruntime.__version__}, one thread, {options.rounds} rounds\n")
        print(table.markdown(scanning.HEADER, rows))
    sys.exit(1 if failed else 0)


def settle(net):
    """Gives normalisations statistics of their own, as training does."""
    for layer in net.modules():
        if isinstance(layer, nn.BatchNorm2d):
            layer.running_mean.uniform_(-0.2, 0.2)
            layer.running_var.uniform_(0.5, 2)


def export(net, path, dynamo):
    x = torch.from_numpy(scanning.shaped(np.zeros((2, 4, net.window), np.float32), net.layout))
    arguments = {"input_names": ["dna"], "output_names": ["prediction"], "dynamo": dynamo}
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        if dynamo:
            torch.onnx.export(net, (x,), path, dynamic_shapes=({0: torch.export.Dim("batch")},), external_data=False,
                              verbose=False, **arguments)
        else:
            torch.onnx.export(net, (x,), path, dynamic_axes={"dna": {0: "batch"}, "prediction": {0: "batch"}}, **arguments)


def keras_like(path):
    """[N, L, 4], same padding on both ends, a normalisation as product and sum, flattened channels last, softmax."""
    rng = np.random.default_rng(1)
    weights = lambda *shape: rng.normal(0, 0.3, shape).astype(np.float32)
    tensors = {
        "w1": weights(12, 4, 1, 9), "b1": weights(12), "scale": weights(1, 12, 1, 1), "shift": weights(1, 12, 1, 1),
        "w2": weights(20 * 12, 10), "b2": weights(10), "w3": weights(10, 3), "b3": weights(3),
        "flat": np.array([-1, 20 * 12]), "axis": np.array([2]),
    }
    node = helper.make_node
    nodes = [
        node("Transpose", ["dna"], ["t1"], perm=[0, 2, 1]), node("Unsqueeze", ["t1", "axis"], ["t2"]),
        node("Conv", ["t2", "w1", "b1"], ["c"], auto_pad="SAME_UPPER", kernel_shape=[1, 9]),
        node("Mul", ["c", "scale"], ["m"]), node("Add", ["m", "shift"], ["a"]), node("Relu", ["a"], ["r"]),
        node("MaxPool", ["r"], ["p"], kernel_shape=[1, 4], strides=[1, 4]), node("Squeeze", ["p", "axis"], ["s"]),
        node("Transpose", ["s"], ["t3"], perm=[0, 2, 1]), node("Reshape", ["t3", "flat"], ["f"]),
        node("MatMul", ["f", "w2"], ["h"]), node("Add", ["h", "b2"], ["h1"]), node("Relu", ["h1"], ["h2"]),
        node("MatMul", ["h2", "w3"], ["o"]), node("Add", ["o", "b3"], ["o1"]), node("Softmax", ["o1"], ["prediction"], axis=-1),
    ]
    graph = helper.make_graph(
        nodes, "keras", [helper.make_tensor_value_info("dna", TensorProto.FLOAT, ["batch", 80, 4])],
        [helper.make_tensor_value_info("prediction", TensorProto.FLOAT, ["batch", 3])],
        [numpy_helper.from_array(value, key) for key, value in tensors.items()],
    )
    model = helper.make_model(graph, opset_imports=[helper.make_opsetid("", 13)], ir_version=8)
    onnx.checker.check_model(model, full_check=True)
    onnx.save(model, path)


def compare(binary, options, name, dialect, path, layout, window, score, folder, order="ACGT"):
    """Scores of all windows of random sequence by bindscan and by the network's maker.

    Whether they agree, and the score that one window in 1,000 reaches.
    """
    rng = np.random.default_rng(2)
    coded = rng.integers(0, 4, options.windows + window - 1)
    genome, found = folder / "genome.fa", folder / "scores.tsv"
    genome.write_text(">random\n" + scanning.letters(coded) + "\n")
    words = ["-m", path, genome, "--all", "--strand", "+", "--format", "tsv", "--channels", order]
    _, error = program.attempt(binary, "scan", *words, "-o", found)
    if error:
        print(f"{name:<22}{dialect:<14}refused: {error}")
        return False, None
    ours = read_scores(found, options.windows)
    columns = np.eye(4, dtype=np.float32)[coded][:, ["ACGT".index(base) for base in order]]
    views = np.lib.stride_tricks.sliding_window_view(columns, window, axis=0)
    theirs = np.concatenate([reduced(score(scanning.shaped(views[at : at + 500], layout)), ours.shape[1])
                             for at in range(0, options.windows, 500)])
    worst = (np.abs(ours - theirs) / np.maximum(1, np.abs(theirs))).max()
    ok = worst <= 1e-4
    how = scanning.how(binary, path)
    print(f"{name:<22}{dialect:<14}{how:<12}{worst:>17.1e}{'' if ok else '  DIFFERS'}", flush=True)
    return ok, np.quantile(ours, 0.999)


def reduced(y, outputs):
    """A profile's maximum over positions."""
    if y.ndim == 3:
        y = y.max(axis=2 if y.shape[1] == outputs else 1)
    return y.reshape(len(y), outputs)


def read_scores(path, windows):
    """[windows, outputs] from rows of the table: contig, start, end, model.output, ..., score."""
    with open(path) as lines:
        header = next(lines).rstrip("\n").lstrip("#").split("\t")
        at = {key: header.index(key) for key in ("start", "score")}
        model = next(i for i, key in enumerate(header) if key in ("model", "name"))
        rows = [line.rstrip("\n").split("\t") for line in lines]
    rank = lambda name: int(found[1]) if (found := re.search(r"score_(\d+)$", name)) else 0
    outputs = max(rank(row[model]) for row in rows) + 1
    scores = np.full((windows, outputs), np.nan)
    for row in rows:
        scores[int(row[at["start"]]), rank(row[model])] = float(row[at["score"]])
    assert not np.isnan(scores).any()
    return scores
