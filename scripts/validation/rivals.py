"""Other programs on the benchmark's sequence: each is prepared outside of the clock, then run.

A network rival has `score(columns)`, which takes one-hot columns [4, L] and gives one score a window start; one that
`takes_codes` is given one code a base [L] instead. A
matrix rival scans with a list of log-odds matrices [4, length]. PyTorch is imported only where it is used, so that
the other comparisons do without it.
"""

import lightmotif
import MOODS.scan
import numpy as np
import onnxruntime

from . import motifs, network

BATCH = 4096


def cut(columns, window, stride):
    """Windows of one-hot columns as a view, [windows, 4, window]."""
    return np.lib.stride_tricks.sliding_window_view(columns, window, axis=1)[:, ::stride].transpose(1, 0, 2)


def in_batches(score, columns, window, stride):
    """Scores of all windows, `BATCH` at a time; making the batch is part of the work."""
    windows = cut(columns, window, stride)
    parts = [score(np.ascontiguousarray(windows[i : i + BATCH])) for i in range(0, len(windows), BATCH)]
    return np.concatenate(parts).ravel()


def in_pieces(score, columns, window, stride, piece):
    """Scores of all windows by a dense graph, from pieces that overlap by a window less one."""
    starts = columns.shape[-1] - window + 1
    piece -= piece % stride
    parts = []
    for first in range(0, starts, piece):
        stop = min(first + piece, starts) + window - 1
        parts.append(score(np.ascontiguousarray(columns[None, ..., first:stop])).ravel())
    return np.concatenate(parts)


class OnnxWindows:
    """ONNX Runtime, one window at a time in batches."""

    name = "ONNX Runtime, windows"

    def __init__(self, net, cores, stride):
        self.window, self.stride = net.window, stride
        self.session = onnx_session(network.window_model(net, "single"), cores)

    def score(self, columns):
        run = lambda batch: self.session.run(None, {"sequence": batch})[0]
        return in_batches(run, columns, self.window, self.stride)


class OnnxDense:
    """ONNX Runtime, the dense graph."""

    name = "ONNX Runtime, dense graph"
    model = staticmethod(network.dense_model)

    def __init__(self, net, cores, stride, piece):
        self.window, self.stride, self.piece = net.window, stride, piece
        self.session = onnx_session(self.model(net, stride), cores)
        self.input = self.session.get_inputs()[0].name

    def score(self, columns):
        run = lambda stretch: self.session.run(None, {self.input: stretch})[0]
        return in_pieces(run, columns, self.window, self.stride, self.piece)


class OnnxCodes(OnnxDense):
    """ONNX Runtime, the dense graph with one-hot columns made in it of one code a base."""

    name = "ONNX Runtime, dense graph, codes in"
    takes_codes = True
    model = staticmethod(network.codes_model)


def onnx_session(model, cores):
    options = onnxruntime.SessionOptions()
    options.intra_op_num_threads, options.inter_op_num_threads = cores, 1
    return onnxruntime.InferenceSession(model.SerializeToString(), options, providers=["CPUExecutionProvider"])


def torch_layers(net, cores):
    """Tensors of the network, with PyTorch held to `cores` threads."""
    import torch

    torch.set_num_threads(cores)
    conv, bias = torch.from_numpy(net.conv), torch.from_numpy(net.bias)
    return conv, bias, [(torch.from_numpy(weights), torch.from_numpy(b)) for weights, b in net.layers]


class TorchWindows:
    """PyTorch, one window at a time in batches."""

    name = "PyTorch, windows"

    def __init__(self, net, cores, stride):
        self.net, self.stride = net, stride
        self.conv, self.bias, self.layers = torch_layers(net, cores)

    def score(self, columns):
        import torch
        from torch.nn.functional import conv1d, linear, relu

        pool = {"max": lambda y: y.amax(2), "avg": lambda y: y.mean(2)}

        def run(batch):
            activations = relu(conv1d(torch.from_numpy(batch), self.conv, self.bias))
            x = torch.cat([pool[name](activations) for name in self.net.pools], 1)
            for i, (weights, bias) in enumerate(self.layers):
                x = linear(relu(x) if i else x, weights, bias)
            return x.numpy()

        with torch.inference_mode():
            return in_batches(run, columns, self.net.window, self.stride)


class TorchDense:
    """PyTorch, the dense graph: sliding pools and 1×1 convolutions."""

    name = "PyTorch, dense graph"

    def __init__(self, net, cores, stride, piece):
        self.net, self.stride, self.piece = net, stride, piece
        self.conv, self.bias, self.layers = torch_layers(net, cores)

    def score(self, columns):
        import torch
        from torch.nn.functional import avg_pool1d, conv1d, max_pool1d, relu

        pool = {"max": max_pool1d, "avg": avg_pool1d}

        def run(stretch):
            activations = relu(conv1d(torch.from_numpy(stretch), self.conv, self.bias))
            x = torch.cat([pool[p](activations, self.net.alignments, self.stride) for p in self.net.pools], 1)
            for i, (weights, bias) in enumerate(self.layers):
                x = conv1d(relu(x) if i else x, weights[:, :, None], bias)
            return x.numpy()

        with torch.inference_mode():
            return in_pieces(run, columns, self.net.window, self.stride, self.piece)


class Lightmotif:
    """lightmotif's Python bindings (the Rust crate's own kernels), the sequence striped beforehand."""

    def __init__(self, matrices, bases, piece):
        self.matrices = [motifs.lightmotif_matrix(matrix) for matrix in matrices]
        longest = max(matrix.shape[1] for matrix in matrices)
        # Pieces that stay in the cache, overlapping so that no window is lost.
        self.sequences = [
            lightmotif.stripe(bases[i : i + piece + longest - 1]) for i in range(0, len(bases) - longest + 1, piece)
        ]

    def score_all(self):
        """Every score of every matrix; the sum of lengths, so that nothing can be left out."""
        return sum(len(matrix.calculate(sequence)) for sequence in self.sequences for matrix in self.matrices)

    def hits(self, thresholds):
        """Number of hits of all matrices at or above their thresholds."""
        scan = lightmotif.scan
        return sum(
            sum(1 for _ in scan(matrix, sequence, threshold=threshold))
            for sequence in self.sequences
            for matrix, threshold in zip(self.matrices, thresholds)
        )


class Moods:
    """MOODS' Python bindings."""

    def __init__(self, matrices, bases, thresholds):
        self.bases = bases
        self.scanner = MOODS.scan.Scanner(7)
        tables = [matrix.tolist() for matrix in matrices]
        self.scanner.set_motifs(tables, [0.25] * 4, thresholds)

    def hits(self):
        """Number of hits of all matrices at or above their thresholds."""
        return sum(len(found) for found in self.scanner.scan(self.bases))
