"""Networks made with PyTorch or written as tf2onnx writes Keras's, scanned by bindscan."""

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

from . import program
from .sequence import LETTERS


class DeepSea(nn.Module):
    """Three convolutions with pools between them, a hidden layer, sigmoid outputs."""

    window, layout, outputs = 200, "first", 7

    def __init__(self):
        super().__init__()
        self.net = nn.Sequential(
            nn.Conv1d(4, 32, 8), nn.ReLU(), nn.MaxPool1d(4, 4), nn.Dropout(0.2),
            nn.Conv1d(32, 48, 8), nn.ReLU(), nn.MaxPool1d(4, 4), nn.Dropout(0.2),
            nn.Conv1d(48, 64, 8), nn.ReLU(), nn.Dropout(0.5), nn.Flatten(),
            nn.Linear(64 * 3, 40), nn.ReLU(), nn.Linear(40, self.outputs), nn.Sigmoid(),
        )

    def forward(self, x):
        return self.net(x)


class Basset(nn.Module):
    """Convolutions padded with zeros, normalised, on an image four channels deep."""

    window, layout, outputs = 150, "columns", 5

    def __init__(self):
        super().__init__()
        def block(inner, outer, size, pool):
            return [nn.Conv2d(inner, outer, (1, size), padding=(0, size // 2)), nn.BatchNorm2d(outer), nn.ReLU(),
                    nn.MaxPool2d((1, pool))]
        self.net = nn.Sequential(
            *block(4, 30, 19, 3), *block(30, 20, 11, 4), *block(20, 20, 7, 4), nn.Flatten(),
            nn.Linear(20 * 3, 30), nn.ReLU(), nn.Linear(30, self.outputs), nn.Sigmoid(),
        )

    def forward(self, x):
        return self.net(x)


class DanQ(nn.Module):
    """A convolution, a pool, a bidirectional LSTM, dense layers; channels last."""

    window, layout, outputs = 120, "last", 4

    def __init__(self):
        super().__init__()
        self.conv = nn.Conv1d(4, 24, 12)
        self.lstm = nn.LSTM(24, 16, batch_first=True, bidirectional=True)
        self.head = nn.Sequential(nn.Flatten(), nn.Linear(32 * 8, 20), nn.ReLU(), nn.Linear(20, self.outputs), nn.Sigmoid())

    def forward(self, x):
        x = torch.relu(self.conv(x.transpose(1, 2)))
        x = nn.functional.max_pool1d(x, 13).transpose(1, 2)
        return self.head(self.lstm(x)[0])


class BpNet(nn.Module):
    """Dilated residual convolutions without padding, a profile for each of two strands."""

    window, layout, outputs = 130, "first", 2

    def __init__(self):
        super().__init__()
        self.first = nn.Conv1d(4, 24, 21)
        self.blocks = nn.ModuleList(nn.Conv1d(24, 24, 3, dilation=2**i) for i in range(1, 5))
        self.profile = nn.Conv1d(24, 2, 25)

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


def check(options):
    binary = program.find(options.bindscan)
    wanted = [name for name in options.names.split(",") if name]
    failed = False
    print(f"{'network':<22}{'made by':<14}{'windows':<12}{'worst difference':>17}{'Mbp/s':>9}")
    with tempfile.TemporaryDirectory() as folder:
        folder = Path(folder)
        for name, make in NETS.items():
            if wanted and name not in wanted:
                continue
            torch.manual_seed(1)
            net = make().eval()
            settle(net)
            for dialect, dynamo in ("TorchScript", False), ("dynamo", True):
                path = folder / "net.onnx"
                try:
                    export(net, path, dynamo)
                except Exception as error:
                    print(f"{name:<22}{dialect:<14}PyTorch does not export it: {str(error).splitlines()[0][:60]}")
                    continue
                failed |= compare(binary, options, name, dialect, path, net.layout, net.window, by_torch(net), folder)
        if not wanted or "Keras" in wanted:
            path = folder / "net.onnx"
            keras_like(path)
            session = onnxruntime.InferenceSession(str(path), providers=["CPUExecutionProvider"])
            score = lambda x: session.run(None, {"dna": x})[0]
            for order in "ACGT", "TGCA":
                failed |= compare(binary, options, f"Keras, {order}", "tf2onnx-like", path, "last", 80, score, folder, order)
    sys.exit(1 if failed else 0)


def settle(net):
    """Gives normalisations statistics of their own, as training does."""
    for layer in net.modules():
        if isinstance(layer, nn.BatchNorm2d):
            layer.running_mean.uniform_(-0.2, 0.2)
            layer.running_var.uniform_(0.5, 2)


def shaped(x, layout):
    """One-hot windows [N, 4, L] in a layout."""
    return np.ascontiguousarray({"first": x, "last": x.transpose(0, 2, 1), "columns": x[:, :, None]}[layout])


def export(net, path, dynamo):
    x = torch.from_numpy(shaped(np.zeros((2, 4, net.window), np.float32), net.layout))
    arguments = {"input_names": ["dna"], "output_names": ["prediction"], "dynamo": dynamo}
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        if dynamo:
            torch.onnx.export(net, (x,), path, dynamic_shapes=({0: torch.export.Dim("batch")},), external_data=False,
                              verbose=False, **arguments)
        else:
            torch.onnx.export(net, (x,), path, dynamic_axes={"dna": {0: "batch"}, "prediction": {0: "batch"}}, **arguments)


def by_torch(net):
    def score(x):
        with torch.no_grad():
            return net(torch.from_numpy(x)).numpy()

    return score


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
    """Scores of all windows of random sequence by bindscan and by the network's maker."""
    rng = np.random.default_rng(2)
    coded = rng.integers(0, 4, options.windows + window - 1)
    genome, table = folder / "genome.fa", folder / "scores.tsv"
    genome.write_text(">random\n" + "".join(LETTERS[c] for c in coded) + "\n")
    words = ["-m", path, genome, "--all", "--strand", "+", "--format", "tsv", "--channels", order]
    _, error = program.attempt(binary, "scan", *words, "-o", table)
    if error:
        print(f"{name:<22}{dialect:<14}refused: {error}")
        return True
    with open(folder / "again.tsv", "w") as out:
        seconds = program.measure(binary, "scan", *words, "-t", "1", "--quiet", stdout=out).seconds
    inspected = program.run(binary, "inspect", path)
    how = "dense" if "densely" in inspected else "kernel" if "the kernel engine" in inspected else "one by one"
    ours = read_scores(table, options.windows)
    columns = np.eye(4, dtype=np.float32)[coded][:, ["ACGT".index(base) for base in order]]
    views = np.lib.stride_tricks.sliding_window_view(columns, window, axis=0)
    theirs = np.concatenate([reduced(score(shaped(views[at : at + 500], layout)), ours.shape[1])
                             for at in range(0, options.windows, 500)])
    worst = (np.abs(ours - theirs) / np.maximum(1, np.abs(theirs))).max()
    ok = worst <= 1e-4
    print(f"{name:<22}{dialect:<14}{how:<12}{worst:>17.1e}{options.windows / seconds / 1e6:>9.3f}{'' if ok else '  DIFFERS'}")
    return not ok


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
