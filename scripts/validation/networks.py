"""Compare ten networks of genomics with what their makers' frameworks give, and measure the speed of both.

Basset, DeepSEA, DanQ and BPNet (without padding, and padded) are made with PyTorch, as large as published, and exported to
ONNX. The others are Keras files, read by `bindscan import keras`: ChromBPNet with 512 filters (built from what its own
package saved), a residual network, a convolutional one, an LSTM, and a BPNet with two control inputs (fed zeros). Their
small files are those of --cases, from which their outputs, stored by their makers, are checked, too. All weights are random.

Each network scans the forward strand of random sequence in both contexts, and every window's score is compared with the
framework's: of one head, the first five outputs at most; of a profile, the maximum over its positions. With flanks, the
framework's convolutional layers are given the window and the bases beside it, and what they make of those is cut off before
the head. Where layers slide over a sequence without padding, the framework runs them once on the whole stretch, to compare as many
windows; else, and to time it, it is given windows in batches, for --seconds at most.

Speed is that of `scan --overlaps keep` (FASTA to BED, a threshold that one window in 1,000 reaches; one thread, processor
time, less that of a scan of 512 windows), of the framework and of ONNX Runtime in Python with the same windows in batches,
and, for networks that the dense engine scans, of ONNX Runtime on the same dense graph (`scan --engine onnx`).

Needs ONNX Runtime (scripts/install-onnxruntime). The exit code is 1 if a score differs by more than
1e-4 · max(1, |score|), or a network cannot be read.
"""

import copy
import os
import re
import statistics
import sys
import tempfile
import time
from pathlib import Path

os.environ.setdefault("TF_CPP_MIN_LOG_LEVEL", "3")
os.environ.setdefault("CUDA_VISIBLE_DEVICES", "")

import numpy as np
import onnxruntime
import torch
from torch import nn

from . import environment, foreign, program, scanning, table

OUTPUTS = 5
# Seconds of processor time that ONNX Runtime in Python is given, for speed alone.
RUNTIME_SECONDS = 6
# A scan that took as long is not repeated.
LONG_SECONDS = 4


class PaddedBpNet(nn.Module):
    """BPNet as first published: windows of 1,000 bases, nine dilated layers, all padded; a profile for each of two strands."""

    layout, window = "first", 1000

    def __init__(self):
        super().__init__()
        self.first = nn.Conv1d(4, 64, 25, padding=12)
        self.blocks = nn.ModuleList(nn.Conv1d(64, 64, 3, dilation=2**i, padding=2**i) for i in range(1, 10))
        self.profile = nn.Conv1d(64, 2, 25, padding=12)

    def forward(self, x):
        x = torch.relu(self.first(x))
        for block in self.blocks:
            x = x + torch.relu(block(x))
        return self.profile(x)


class Torch:
    """A network made with PyTorch."""

    framework = "PyTorch"
    # Of the graph; of several, the one that is scanned.
    head = None

    def __init__(self, name, size, make, dynamo, batch):
        self.name, self.size, self.batch, self.dynamo = name, size, batch, dynamo
        self.source = f"PyTorch, {'dynamo' if dynamo else 'TorchScript'}"
        torch.manual_seed(1)
        self.net = make().eval()
        foreign.settle(self.net)
        self.window, self.layout = self.net.window, self.net.layout
        self.scored = scanning.by_torch(self.net)

    def save(self, binary, path):
        foreign.export(self.net, path, self.dynamo)

    def score(self, x):
        """Of windows [N, 4, L], which may have flanks: [N, outputs]."""
        return highest(self.scored(scanning.shaped(x, self.layout)))

    def stretch(self, columns):
        """Scores of all windows of a stretch [bases, 4] where layers slide over it; else None."""
        if not isinstance(self.net, foreign.BpNet):
            return None
        y = self.scored(np.ascontiguousarray(columns.T[None]))[0]
        return sliding(y, len(columns) - self.window + 1).max(axis=2).T

    def flanked(self, columns, flank):
        """Scores of all windows of a stretch, each with so many more bases on both sides; None if no window has flanks."""
        windows = len(columns) - 2 * flank - self.window + 1
        if isinstance(self.net, PaddedBpNet):
            y = self.scored(np.ascontiguousarray(columns.T[None]))[0][:, flank : len(columns) - flank]
            return sliding(y, windows).max(axis=2).T
        if not isinstance(self.net, foreign.Basset):
            return self.stretch(columns)
        at = next(i for i, layer in enumerate(self.net.net) if isinstance(layer, nn.Flatten))
        layers, rest = scanning.by_torch(self.net.net[:at]), self.net.net[at:]
        pooled = self.window // 12

        def score(x):
            cut = layers(scanning.shaped(x, self.layout))[..., flank // 12 : flank // 12 + pooled]
            return scanning.by_torch(rest)(np.ascontiguousarray(cut))

        return in_batches(score, columns, self.window + 2 * flank, windows, self.batch)


class Keras:
    """A network that Keras saved. `cut` is the layer before the head where padding reaches, `stride` the bases of one of its
    positions, `head` the output that is scored."""

    framework = "TensorFlow"

    def __init__(self, name, size, kind, model, file, batch, head=None, cut=None, stride=1, stored=None):
        self.name, self.size, self.source, self.model, self.file = name, size, kind, model, file
        self.batch, self.head, self.cut, self.stride, self.stored = batch, head, cut, stride, stored
        shapes = model.input_shape if isinstance(model.input_shape, list) else [model.input_shape]
        self.window, self.controls = shapes[0][1], [shape[1:] for shape in shapes[1:]]
        self.layout = "last"
        self.rank = list(model.output_names).index(head) if head else 0
        self.scored = compiled(model)

    def save(self, binary, path):
        program.run(binary, "import", "keras", self.file, "-o", path)

    def feed(self, x):
        return [x, *(np.zeros((len(x), *shape), np.float32) for shape in self.controls)]

    def score(self, x):
        x = self.feed(scanning.shaped(x, self.layout))
        return highest(self.scored(x if self.controls else x[0])[self.rank])

    def rest(self):
        """The layers from the cut to the head, as a function of the cut layer's output."""
        names = [layer.name for layer in self.model.layers]
        others = {name for name in self.model.output_names if name != self.head}
        after = [layer for layer in self.model.layers[names.index(self.cut) + 1 :] if layer.name not in others]

        def score(x):
            for layer in after:
                x = layer(x, training=False) if "Dropout" in type(layer).__name__ else layer(x)
            return np.asarray(x)

        return score

    def longer(self, length, end):
        """The layers up to one, for another length of sequence."""
        kind = type(self.model)
        config = copy.deepcopy(self.model.get_config())
        first = config["layers"][0]["config"]
        key = "batch_shape" if "batch_shape" in first else "batch_input_shape"
        first[key] = (None, length, 4)
        whole = kind.from_config(config)
        # Dense layers after the end have weights for the window alone.
        for ours, theirs in zip(whole.layers, self.model.layers):
            ours.set_weights(theirs.get_weights())
            if ours.name == end:
                break
        return compiled(kind_of(self.model).Model(whole.inputs, whole.get_layer(end).output))

    def stretch(self, columns):
        """Of the mean over positions of unpadded layers: a mean that slides over those of the stretch."""
        if self.head != "logcount_predictions":
            return None
        values = self.longer(len(columns), self.cut)(np.ascontiguousarray(columns[None]))[0][0].astype(np.float64)
        weights, bias = self.model.get_layer(self.head).get_weights()
        windows = len(columns) - self.window + 1
        return sliding((values @ weights).T, windows).mean(axis=2).T + bias

    def flanked(self, columns, flank):
        if flank == 0:
            return self.stretch(columns)
        length = self.window + 2 * flank
        layers, rest = self.longer(length, self.cut), self.rest()
        kept = self.window // self.stride

        def score(x):
            y = layers(scanning.shaped(x, "last"))[0][:, flank // self.stride :][:, :kept]
            return highest(rest(y))

        return in_batches(score, columns, length, len(columns) - length + 1, self.batch)

    def check_stored(self, binary, path, folder):
        """The worst difference of scans of the sequences that lie beside the file from what its maker stored."""
        if not self.stored:
            return 0
        outputs = np.load(f"{self.stored}.outputs.npz")
        sequences = Path(f"{self.stored}.sequences.txt").read_text().split()
        genome, found = folder / "stored.fa", folder / "stored.tsv"
        theirs = highest(outputs[self.head or self.model.output_names[0]])
        worst = 0
        for row, sequence in enumerate(sequences):
            genome.write_text(f">stored\n{sequence}\n")
            words = [*head_words(self), "--all", "--strand", "+", "--format", "tsv", "--quiet", "-o", found]
            program.run(binary, "scan", "-m", path, genome, *words)
            worst = max(worst, difference(foreign.read_scores(found, 1), theirs[row : row + 1, :]))
        return worst


def kind_of(model):
    """The Keras that a model is of, 2 or 3."""
    import keras
    import tf_keras

    return tf_keras if isinstance(model, tf_keras.Model) else keras


def compiled(model):
    """A function of arrays that gives a model's outputs as a list of arrays."""
    import tensorflow as tf

    run = tf.function(lambda x: model(x, training=False), reduce_retracing=False)

    def score(x):
        y = run([tf.constant(part) for part in x] if isinstance(x, list) else tf.constant(x))
        return [part.numpy() for part in (y if isinstance(y, (list, tuple)) else [y])]

    return score


def keras_networks(cases, folder):
    """The Keras files. Without --cases there are none."""
    if not cases.is_dir():
        print(f"no Keras files at {cases}: five of the ten networks are left out", file=sys.stderr)
        return
    import keras
    import tensorflow as tf
    import tf_keras

    from fixtures import keras_examples

    tf.config.threading.set_intra_op_parallelism_threads(1)
    tf.config.threading.set_inter_op_parallelism_threads(1)
    load = lambda kind, name: kind.models.load_model(cases / name, compile=False)

    config = load(tf_keras, "chrombpnet_nobias.h5").get_config()
    for layer in config["layers"]:
        if layer["config"].get("filters") == 24:
            layer["config"]["filters"] = 512
    chrombpnet = tf_keras.Model.from_config(config)
    rng = np.random.default_rng(5)
    # As strong as the input, so that deep layers matter.
    scaled = lambda w: rng.normal(0, np.sqrt(1 / max(1, np.prod(w.shape[:-1]))), w.shape)
    chrombpnet.set_weights([scaled(w) if w.ndim > 1 else rng.normal(0, 0.1, w.shape) for w in chrombpnet.get_weights()])
    file = folder / "chrombpnet512.h5"
    chrombpnet.save(file)
    yield Keras("ChromBPNet, log counts", "as published, 512 filters", "Keras 2 .h5", chrombpnet, file, 8,
                head="logcount_predictions", cut="add_7")
    name = "resnet_keras3.keras"
    yield Keras("ResNet, normalised", "small, window 240", "Keras 3 .keras", load(keras, name), cases / name, 250,
                head="classes", cut="add_2", stored=cases / name)
    name = "basset_keras2.h5"
    yield Keras("Keras CNN, padded", "small, window 300", "Keras 2 .h5", load(tf_keras, name), cases / name, 250,
                cut="max_pooling1d_1", stride=12, stored=cases / name)
    name = "lstm_keras2.h5"
    yield Keras("bidirectional LSTM", "small, window 120", "Keras 2 .h5", load(tf_keras, name), cases / name, 250,
                stored=cases / name)
    name = "bpnet_control.h5"
    control = keras_examples.named("None", 24, 8, 2)
    control.load_weights(cases / name, by_name=True)
    yield Keras("BPNet, control inputs", "24 filters, window 2,114", "Keras 2 .h5", control, cases / name, 50,
                head="profile_predictions", stored=cases / name)


def torch_networks():
    """One at a time, so that each has its own seed and memory."""
    published = "as published"
    yield lambda: Torch("Basset, padded", published, lambda: foreign.Basset(True), False, 50)
    yield lambda: Torch("DeepSEA", published, lambda: foreign.DeepSea(True), True, 50)
    yield lambda: Torch("DanQ", published, lambda: foreign.DanQ(True), False, 50)
    yield lambda: Torch("BPNet, unpadded", "64 filters, window 2,114", lambda: foreign.BpNet(True), True, 50)
    yield lambda: Torch("BPNet, padded", published, PaddedBpNet, False, 50)


def highest(y):
    """[N, outputs]: of a profile [N, 2, L] or [N, L, 2] the maximum over positions, of a flat one of its only strand."""
    if y.ndim == 3:
        y = y.max(axis=2 if y.shape[1] < y.shape[2] else 1)
    elif y.ndim == 2 and y.shape[1] == 1000:
        y = y.max(axis=1, keepdims=True)
    return y[:, :OUTPUTS]


def sliding(values, windows):
    """[channels, windows, positions of a window] of values [channels, positions]."""
    return np.lib.stride_tricks.sliding_window_view(values, values.shape[1] - windows + 1, axis=1)


def in_batches(score, columns, length, windows, batch, seconds=None):
    """Scores of windows of a stretch, the first ones where seconds of processor time do not suffice."""
    return timed(score, columns, length, windows, batch, seconds)[0]


def timed(score, columns, length, windows, batch, seconds):
    """Scores of windows in batches, and how many a second; the first batch is done twice."""
    views = np.lib.stride_tricks.sliding_window_view(columns, length, axis=0)[:windows]
    scores = []
    score(views[:batch])
    began = time.process_time()
    for at in range(0, windows, batch):
        scores.append(score(views[at : at + batch]))
        if seconds and time.process_time() - began > seconds:
            break
    scores = np.concatenate(scores)
    return scores, len(scores) / (time.process_time() - began)


def head_words(network):
    return ["--head", network.head] if network.head else []


def inspected(binary, network, path):
    """How each context is scanned, and the bases beside a window that --context flank sees."""
    printed = program.run(binary, "inspect", path, *head_words(network))
    found = {}
    for context in "padding", "flank":
        line = re.search(rf"^speed .*one thread, engine (\S+), (.*) \(--context {context}\)", printed, re.MULTILINE)
        engine, extent = line.groups() if line else (None, None)
        found[context] = (engine.split("/")[0], extent) if line else None
    beside = re.search(r"sees (\d+) \+ (\d+) bases beside a window", printed)
    return found, max(map(int, beside.groups())) if beside else 0


def scan_words(network, context, outputs):
    words = [*head_words(network), "--context", context]
    return words + (["--target", ",".join(map(str, range(OUTPUTS)))] if outputs > OUTPUTS else [])


def difference(ours, theirs):
    return float((np.abs(ours - theirs) / np.maximum(1, np.abs(theirs))).max())


class Scan(scanning.Scan):
    """A scan that is repeated if it is short."""

    def __init__(self, binary, path, window, threshold, folder, words):
        self.extra = words
        super().__init__(binary, path, window, threshold, folder)

    def seconds(self):
        began, self.words = self.words, [*self.words, *self.extra, "--overlaps", "keep"]
        self.last = super().seconds()
        self.words = began
        return self.last

    def median(self, rounds):
        rates = [(self.windows - scanning.FIRST_WINDOWS) / (self.last - self.start) / 1e6]
        if self.last < LONG_SECONDS:
            rates += [self.rate() for _ in range(rounds - 1)]
        return statistics.median(rates)


def compare(binary, network, path, folder, options):
    """One line of each table, and whether all agree."""
    how, beside = inspected(binary, network, path)
    # Of whole positions of the layer that is cut.
    flank = -(-beside // 12) * 12
    rng = np.random.default_rng(2)
    coded = rng.integers(0, 4, options.windows + network.window - 1 + 2 * flank)
    columns = np.eye(4, dtype=np.float32)[coded]
    inner = columns[flank : len(columns) - flank]
    genome, found = folder / "genome.fa", folder / "scores.tsv"
    genome.write_text(">random\n" + scanning.letters(coded) + "\n")

    theirs, rate = timed(network.score, inner, network.window, options.windows, network.batch, options.seconds)
    outputs = theirs.shape[1]
    by_stretch = network.stretch(inner)
    say(network, f"{network.framework} scored {len(theirs)} windows")
    ours, speeds, same_graph, compared, worst = {}, {}, {}, {}, {}
    for context in "padding", "flank":
        if how[context] is None:
            continue
        words = scan_words(network, context, OUTPUTS + 1 if network.name in ("DeepSEA", "DanQ", "Basset, padded") else 1)
        arguments = ["-m", path, genome, "--all", "--strand", "+", "--format", "tsv", "-t", "1", "--quiet", *words]
        program.run(binary, "scan", *arguments, "-o", found)
        scores = foreign.read_scores(found, options.windows + 2 * flank)[flank : flank + options.windows]
        wanted = [theirs, by_stretch] if context == "padding" or flank == 0 else [network.flanked(columns, flank)[:, :outputs]]
        wanted = [one for one in wanted if one is not None]
        compared[context] = max(map(len, wanted))
        worst[context] = max(difference(scores[: len(one)], one) for one in wanted)
        words = scan_words(network, context, 1)
        if outputs == OUTPUTS:
            words += ["--target", "0"]
        threshold = np.quantile(scores, 0.999)
        scan = lambda more: Scan(binary, path, network.window, threshold, folder, [*words, *more]).median(options.rounds)
        speeds[context] = scan([])
        if how[context][0] == "dense" and not same_graph:
            same_graph[context] = speeds[context] / (onnx := scan(["--engine", "onnx"])), onnx
        say(network, f"{context}: difference {worst[context]:.1e}, {table.significant(speeds[context])} Mbp/s")
    stored = network.check_stored(binary, path, folder) if isinstance(network, Keras) else 0
    worst["padding"] = max(worst["padding"], stored)
    runtime = timed(by_runtime(network, path), inner, network.window, options.windows, network.batch, RUNTIME_SECONDS)[1]

    describe = lambda context: f"{how[context][0]}, {how[context][1]}" if how[context] else "refused"
    small = lambda value: "–" if value is None else f"{value:.0e}".replace("e-0", "e-")
    scored = f"{compared['padding']:,}" + ("" if by_stretch is None else f" ({len(theirs):,} one by one)")
    first = [network.name, network.size, network.source, describe("padding"), describe("flank"), scored,
             small(worst["padding"]), f"{compared['flank']:,}" if "flank" in compared else "–", small(worst.get("flank"))]
    number = lambda value: "–" if value is None else table.significant(value)
    flank_speed = speeds.get("flank")
    ratio, onnx = next(iter(same_graph.values()), (None, None))
    second = [network.name, number(speeds["padding"]), number(flank_speed), f"{network.framework} {number(rate / 1e6)}",
              number(speeds["padding"] / rate * 1e6), number(flank_speed and flank_speed / rate * 1e6),
              number(runtime / 1e6), number(speeds["padding"] / runtime * 1e6), number(onnx), number(ratio)]
    return first, second, max(worst.values()) <= 1e-4


def by_runtime(network, path):
    """Scores of windows by ONNX Runtime in Python, inputs for control tracks zero."""
    session = scanning.session(path)
    first, *others = session.get_inputs()
    shapes = {one.name: [size for size in one.shape[1:]] for one in others}
    feed = lambda x: {first.name: x, **{name: np.zeros((len(x), *shape), np.float32) for name, shape in shapes.items()}}
    head = [network.head] if network.head else None
    return lambda x: session.run(head, feed(scanning.shaped(x, network.layout)))[0]


def say(network, text):
    print(f"{network.name}: {text}", file=sys.stderr, flush=True)


HEADERS = (
    ["network", "size", "read from", "scanned, padding", "scanned, flanks", "windows", "worst difference",
     "windows, flanks", "worst difference, flanks"],
    ["network", "padding, Mbp/s", "flanks, Mbp/s", "maker's framework, windows", "times, padding", "times, flanks",
     "ONNX Runtime, windows", "times", "ONNX Runtime, same dense graph", "dense engine, times"],
)


def main(options):
    binary = program.find(options.bindscan)
    wanted = [name for name in options.names.split(",") if name]
    torch.set_num_threads(1)
    failed, rows = False, ([], [])
    with tempfile.TemporaryDirectory() as folder:
        folder = Path(folder)
        for make in (*torch_networks(), *((lambda network=network: network) for network in keras_networks(Path(options.cases), folder))):
            network = make()
            if wanted and not any(network.name.startswith(name) for name in wanted):
                continue
            path = folder / "net.onnx"
            network.save(binary, path)
            *lines, ok = compare(binary, network, path, folder, options)
            failed |= not ok
            for line, side in zip(lines, rows):
                side.append(line)
    versions = [f"PyTorch {torch.__version__}", f"ONNX Runtime {onnxruntime.__version__}"]
    if "tensorflow" in sys.modules:
        versions.append(f"TensorFlow {sys.modules['tensorflow'].__version__}")
    print(", ".join(versions))
    for header, side in zip(HEADERS, rows):
        print("\n" + table.markdown(header, side))
    sys.exit(1 if failed else 0)
