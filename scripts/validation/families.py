"""The families that `bindscan train` fits, as PyTorch modules of the same layers, and the speed of scanning with them."""

import sys
import tempfile
from pathlib import Path

import numpy as np
import torch
from torch import nn

from . import environment, program, scanning, table
from .sequence import one_hot

WINDOW = 101
# The network that the default recipe makes: four fits of 32 tied filters side by side.
DEEPBIND = environment.ROOT / "models/GABPA.onnx"
TOLERANCE = 1e-4


class Maximum(nn.Module):
    """Over all positions."""

    def forward(self, x):
        return x.amax(dim=2)


class Mean(nn.Module):
    """Over all positions."""

    def forward(self, x):
        return x.mean(dim=2)


class Cut(nn.Module):
    """What a dilated convolution without padding gives, added to the middle of what goes in."""

    def __init__(self, filters, dilation):
        super().__init__()
        self.layers = nn.Sequential(nn.Conv1d(filters, filters, 3, dilation=dilation), nn.ReLU())
        self.dilation = dilation

    def forward(self, x):
        return x[:, :, self.dilation : -self.dilation] + self.layers(x)


class Padded(nn.Module):
    """What a dilated convolution with padding gives, added to what goes in."""

    def __init__(self, filters, dilation):
        super().__init__()
        conv = nn.Conv1d(filters, filters, 3, dilation=dilation, padding=dilation)
        self.layers = nn.Sequential(conv, nn.ReLU())

    def forward(self, x):
        return x + self.layers(x)


class Recurrent(nn.Module):
    """Both directions, positions last."""

    def __init__(self, cell, inner, units):
        super().__init__()
        self.cell = cell(inner, units, batch_first=True, bidirectional=True)

    def forward(self, x):
        return self.cell(x.transpose(1, 2))[0].transpose(1, 2)


def deepbind():
    pad = nn.ConstantPad1d(15, 0.25)
    return [pad, nn.Conv1d(4, 256, 16), nn.ReLU(), Maximum(), nn.Linear(256, 128), nn.ReLU(), nn.Linear(128, 1)]


def cnn():
    return [nn.Conv1d(4, 64, 15), nn.ReLU(), nn.MaxPool1d(4), nn.Conv1d(64, 64, 5), nn.ReLU(), Maximum(), *head()]


def resnet():
    return [nn.Conv1d(4, 64, 15), nn.ReLU(), *(Cut(64, d) for d in (1, 2, 4, 8)), Maximum(), *head()]


def rnn():
    return [nn.Conv1d(4, 64, 15), nn.ReLU(), nn.MaxPool1d(4), Recurrent(nn.GRU, 64, 32), Maximum(), *head()]


def head():
    """Normalisations and dropout are not in a finished network: folded into weights, and nothing."""
    return [nn.Linear(64, 64), nn.ReLU(), nn.Linear(64, 1)]


def danq():
    dense = [nn.Flatten(), nn.Linear(640 * 5, 925), nn.ReLU(), nn.Linear(925, 1)]
    return [nn.Conv1d(4, 320, 26), nn.ReLU(), nn.MaxPool1d(13), Recurrent(nn.LSTM, 320, 320), *dense]


def bpnet():
    body = (Padded(64, 2**i) for i in range(1, 10))
    return [nn.Conv1d(4, 64, 25, padding=12), nn.ReLU(), *body, Mean(), nn.Linear(64, 1)]


FAMILIES = {"deepbind": deepbind, "cnn": cnn, "resnet": resnet, "rnn": rnn, "danq": danq, "bpnet": bpnet}


def scan(options):
    """Worst difference from ONNX Runtime in Python, then speed."""
    binary = program.find(options.bindscan)
    torch.set_num_threads(1)
    rows, failed = [], False
    names = options.names.split(",") if options.names else FAMILIES
    with tempfile.TemporaryDirectory() as folder:
        folder = Path(folder)
        write_data(folder / "train.tsv")
        for name, make in FAMILIES.items():
            if name not in names:
                continue
            path = DEEPBIND
            if name != "deepbind":
                path = folder / f"{name}.onnx"
                words = ["--arch", name, "--epochs", 1, "--strands", "single", "--threads", 1, "-o", path]
                program.run(binary, "--quiet", "train", folder / "train.tsv", *words)
            worst, threshold = difference(binary, path, options.windows, folder)
            failed |= not worst <= TOLERANCE
            print(f"{name}: worst difference from ONNX Runtime in {options.windows:,} windows: {worst:.1e}", flush=True)
            if options.rounds:
                torch.manual_seed(1)
                net = nn.Sequential(*make()).eval()
                rows.append(scanning.row(binary, name, net, path, "first", WINDOW, threshold, folder, options))
    print(f"\nPyTorch {torch.__version__}, window {WINDOW}, one thread, {options.rounds} rounds\n")
    print(table.markdown(scanning.HEADER, rows))
    sys.exit(1 if failed else 0)


def write_data(path):
    """Enough to fit something: weights do not matter for speed."""
    rng = np.random.default_rng(1)
    lines = [f"{scanning.letters(rng.integers(0, 4, WINDOW))}\t{i % 2}" for i in range(200)]
    path.write_text("sequence\tbound\n" + "\n".join(lines) + "\n")


def difference(binary, path, windows, folder):
    """The worst difference of scores from ONNX Runtime's in Python; the score that one window in 1,000 reaches."""
    coded = np.random.default_rng(2).integers(0, 4, windows + WINDOW - 1)
    genome = folder / "genome.fa"
    genome.write_text(">random\n" + scanning.letters(coded) + "\n")
    listed = program.run(binary, "scan", "-m", path, genome, "--all", "--strand", "+", "--format", "tsv")
    ours = np.array([float(line.rsplit("\t", 1)[1]) for line in listed.splitlines()[1:]])
    views = np.lib.stride_tricks.sliding_window_view(one_hot(coded), WINDOW, axis=1).transpose(1, 0, 2)
    score = scanning.by_onnx(scanning.session(path))
    parts = [score(np.ascontiguousarray(views[at : at + 500])).ravel() for at in range(0, windows, 500)]
    theirs = np.concatenate(parts)
    worst = (np.abs(ours - theirs) / np.maximum(1, np.abs(theirs))).max()
    return worst, np.quantile(ours, 0.999)
