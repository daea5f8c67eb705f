"""Compare ten networks of genomics with what their makers' frameworks give, and measure the speed of both.

Basset, DeepSEA, DanQ and BPNet (without padding, and padded) are made with PyTorch, as large as published, and exported to
ONNX. The others are Keras files, read by `bindscan import keras`: ChromBPNet with 512 filters (built from what its own
package saved), a residual network, a convolutional one, an LSTM, and a BPNet with two control inputs (fed zeros). Their
small files are those of --cases, from which their outputs, stored by their makers, are checked, too. All weights are random.

Each network scans the forward strand of random sequence in both contexts, and every window's score is compared with the
framework's: of one head, the first five outputs at most; of a profile, the maximum over its positions. With flanks, the
framework's convolutional layers are given the window and the bases beside it, and what they make of those is cut off before
the head. Where layers slide over a sequence without padding, the framework runs them once on the whole stretch, to compare
as many windows; else, and to time it, it is given windows in batches, for --seconds at most (half as long with flanks).

Speed is that of `scan --overlaps keep` (FASTA to BED, a threshold that one window in 1,000 reaches; one thread, processor
time, less that of a scan of 512 windows; of one output), of the framework and of ONNX Runtime in Python with the same
windows in batches, and, for networks that the dense engine scans, of ONNX Runtime on the same dense graph (`scan --engine onnx`).

Needs ONNX Runtime (scripts/install-onnxruntime). The exit code is 1 if a score differs by more than
1e-4 · max(1, |score|), or a network cannot be read.
"""

import copy
import multiprocessing
import os
import re
import statistics
import sys
import tempfile
import time
from concurrent.futures import ProcessPoolExecutor
from pathlib import Path

os.environ.setdefault("TF_CPP_MIN_LOG_LEVEL", "3")
os.environ.setdefault("CUDA_VISIBLE_DEVICES", "")

import numpy as np
import onnxruntime
import torch
from torch import nn

from . import foreign, program, scanning, table

OUTPUTS = 5
# Seconds of processor time that ONNX Runtime in Python is given, for speed alone.
RUNTIME_SECONDS = 6
# A scan that took as long is not repeated.
LONG_SECONDS = 2.5


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
    # Of several outputs of the graph, the one that is scanned.
    head = None

    def __init__(self, name, size, make, dynamo, batch, step=1):
        self.name, self.size, self.batch, self.dynamo, self.step = name, size, batch, dynamo, step
        self.source = f"PyTorch, {'dynamo' if dynamo else 'TorchScript'}"
        torch.manual_seed(1)
        self.net = make().eval()
        foreign.settle(self.net)
        for layer in self.net.modules():
            # Else the scores of deep networks hardly differ from window to window.
            if isinstance(layer, (nn.Conv1d, nn.Conv2d, nn.Linear)):
                nn.init.kaiming_normal_(layer.weight, nonlinearity="relu")
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

    def flanked(self, columns, flank, seconds):
        """Scores of the windows of a stretch, each with so many more bases on both sides."""
        windows = len(columns) - 2 * flank - self.window + 1
        if isinstance(self.net, PaddedBpNet):
            y = self.scored(np.ascontiguousarray(columns.T[None]))[0][:, flank : len(columns) - flank]
            return sliding(y, windows).max(axis=2).T
        at = next(i for i, layer in enumerate(self.net.net) if isinstance(layer, nn.Flatten))
        layers, rest = scanning.by_torch(self.net.net[:at]), self.net.net[at:]
        first, kept = flank // self.step, self.window // self.step

        def score(x):
            cut = layers(scanning.shaped(x, self.layout))[..., first : first + kept]
            return scanning.by_torch(rest)(np.ascontiguousarray(cut))

        return timed(score, columns, self.window + 2 * flank, windows, self.batch, seconds)[0]


class Keras:
    """A network that Keras saved. `cut` is the layer before the head, `step` the bases of one of its positions, `head` the
    output that is scored."""

    framework = "TensorFlow"

    def __init__(self, name, size, kind, model, file, batch, head=None, cut=None, step=1, stored=None):
        self.name, self.size, self.source, self.model, self.file = name, size, kind, model, file
        self.batch, self.head, self.cut, self.step, self.stored = batch, head, cut, step, stored
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
        others = {name for name in self.model.output_names if self.head and name != self.head}
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

    def flanked(self, columns, flank, seconds):
        length = self.window + 2 * flank
        layers, rest = self.longer(length, self.cut), self.rest()
        kept = self.window // self.step

        def score(x):
            y = layers(scanning.shaped(x, "last"))[0][:, flank // self.step :][:, :kept]
            return highest(rest(y))

        return timed(score, columns, length, len(columns) - length + 1, self.batch, seconds)[0]

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


def torch_networks(cases, folder):
    """Names, and functions that make the networks, so that each has its own seed and memory."""
    published = "as published"
    makers = [
        ("Basset, padded", published, lambda: foreign.Basset(True), False, 50, 48),
        ("DeepSEA", published, lambda: foreign.DeepSea(True), True, 50),
        ("DanQ", published, lambda: foreign.DanQ(True), False, 50),
        ("BPNet, unpadded", "64 filters, window 2,114", lambda: foreign.BpNet(True), True, 50),
        ("BPNet, padded", published, PaddedBpNet, False, 50),
    ]
    for about in makers:
        yield about[0], lambda: Torch(*about)


def keras_networks(cases, folder):
    """The same of the Keras files; none without their folder."""
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

    def chrombpnet():
        config = load(tf_keras, "chrombpnet_nobias.h5").get_config()
        for layer in config["layers"]:
            if layer["config"].get("filters") == 24:
                layer["config"]["filters"] = 512
        model = tf_keras.Model.from_config(config)
        rng = np.random.default_rng(5)
        # Each layer's output is about as strong as its input, so that deep layers matter.
        random = lambda w: rng.normal(0, 1 / np.sqrt(np.prod(w.shape[:-1])) if w.ndim > 1 else 0.1, w.shape)
        model.set_weights([random(w) for w in model.get_weights()])
        file = folder / "chrombpnet512.h5"
        model.save(file)
        return model, file

    def control():
        # The file does not describe its layers: Keras needs them from elsewhere.
        model = keras_examples.named("None", 24, 8, 2)
        model.load_weights(cases / "bpnet_control.h5", by_name=True)
        return model

    def stored(name, size, file, model, batch, **more):
        kind = "Keras 3 .keras" if file.endswith(".keras") else "Keras 2 .h5"
        return name, lambda: Keras(name, size, kind, model(), cases / file, batch, stored=cases / file, **more)

    name, size = "ChromBPNet, log counts", "as published, 512 filters"
    yield name, lambda: Keras(name, size, "Keras 2 .h5", *chrombpnet(), 8, head="logcount_predictions", cut="add_7")
    file = "resnet_keras3.keras"
    yield stored("ResNet, normalised", "small, window 240", file, lambda: load(keras, file), 250, head="counts", cut="add_2")
    file = "basset_keras2.h5"
    yield stored("Keras CNN, padded", "small, window 300", file, lambda: load(tf_keras, file), 250,
                 cut="max_pooling1d_1", step=12)
    file = "lstm_keras2.h5"
    yield stored("LSTM, bidirectional", "small, window 120", file, lambda: load(tf_keras, file), 250)
    yield stored("BPNet with control", "24 filters, window 2,114", "bpnet_control.h5", control, 50, head="profile_predictions")


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
    flank = -(-beside // network.step) * network.step
    rng = np.random.default_rng(2)
    coded = rng.integers(0, 4, options.windows + network.window - 1 + 2 * flank)
    columns = np.eye(4, dtype=np.float32)[coded]
    inner = columns[flank : len(columns) - flank]
    theirs, rate = timed(network.score, inner, network.window, options.windows, network.batch, options.seconds)
    outputs = theirs.shape[1]
    by_stretch = network.stretch(inner)
    # As many windows as the framework scored.
    windows = len(theirs) if by_stretch is None else options.windows
    columns = columns[: windows + network.window - 1 + 2 * flank]
    genome, found = folder / "genome.fa", folder / "scores.tsv"
    genome.write_text(">random\n" + scanning.letters(coded[: len(columns)]) + "\n")
    say(network, f"{network.framework} scored {len(theirs)} windows")
    ours, speeds, same_graph, compared, worst = {}, {}, {}, {}, {}
    for context in "padding", "flank":
        if how[context] is None:
            continue
        words = [*head_words(network), "--context", context]
        words += ["--chunk-size", options.chunk_size] if options.chunk_size else []
        arguments = ["-m", path, genome, "--all", "--strand", "+", "--format", "tsv", "-t", "1", "--quiet", *words]
        arguments += ["--target", ",".join(map(str, range(outputs)))] if outputs > 1 else []
        program.run(binary, "scan", *arguments, "-o", found)
        scores = foreign.read_scores(found, windows + 2 * flank)[flank : flank + windows]
        if context == "padding" or flank == 0:
            wanted = [one for one in (theirs, by_stretch) if one is not None]
        else:
            wanted = [network.flanked(columns, flank, options.seconds / 2)[:, :outputs]]
        compared[context] = max(map(len, wanted))
        worst[context] = max(difference(scores[: len(one)], one) for one in wanted)
        words += ["--target", "0"] if outputs > 1 else []
        threshold = np.quantile(scores[:, 0], 0.999)
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
             table.significant(float(theirs.std(axis=0).max()), 2), small(worst["padding"]),
             f"{compared['flank']:,}" if "flank" in compared else "–", small(worst.get("flank"))]
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
    ["network", "size", "read from", "scanned, padding", "scanned, flanks", "windows", "sd of scores", "worst difference",
     "windows, flanks", "worst difference, flanks"],
    ["network", "padding, Mbp/s", "flanks, Mbp/s", "maker's framework, windows", "times, padding", "times, flanks",
     "ONNX Runtime, windows", "times", "ONNX Runtime, same dense graph", "dense engine, times"],
)


def measure(family, options):
    """Lines of both tables, whether all agree, and the frameworks' versions."""
    torch.set_num_threads(1)
    wanted = [name for name in options.names.split(",") if name]
    binary = program.find(options.bindscan)
    rows, agree = ([], []), True
    with tempfile.TemporaryDirectory() as folder:
        folder = Path(folder)
        path = folder / "net.onnx"
        for name, make in family(Path(options.cases), folder):
            if wanted and not any(name.startswith(start) for start in wanted):
                continue
            network = make()
            network.save(binary, path)
            *lines, ok = compare(binary, network, path, folder, options)
            agree &= ok
            for line, side in zip(lines, rows):
                side.append(line)
    loaded = ("PyTorch", "torch"), ("TensorFlow", "tensorflow")
    versions = [f"{name} {sys.modules[module].__version__}" for name, module in loaded if module in sys.modules]
    return rows, agree, versions


def main(options):
    rows, agreed, versions = ([], []), True, {f"ONNX Runtime {onnxruntime.__version__}"}
    for family in torch_networks, keras_networks:
        # A process each: PyTorch and TensorFlow bring a copy of LLVM each, which one process does not bear.
        with ProcessPoolExecutor(1, mp_context=multiprocessing.get_context("fork")) as pool:
            lines, agree, loaded = pool.submit(measure, family, options).result()
        agreed &= agree
        versions |= set(loaded)
        for side, more in zip(rows, lines):
            side += more
    print(", ".join(sorted(versions)))
    for header, side in zip(HEADERS, rows):
        print("\n" + table.markdown(header, side))
    sys.exit(0 if agreed else 1)
