"""A DeepBind network with random weights, as numbers and as ONNX."""

import json
from dataclasses import dataclass

import numpy as np
from onnx import TensorProto, checker, helper, numpy_helper, save

DETECTORS = 16
SPEC_KEY = "bindscan.spec"


@dataclass
class Network:
    """Unpadded: convolution, rectifier, global pool, an optional rectified hidden layer, one output."""

    window: int
    pools: list  # of "max" and "avg", in the order of the features
    conv: np.ndarray  # [K, 4, m]
    bias: np.ndarray  # [K]
    layers: list  # of (weights [out, in], bias [out]); all but the last are rectified

    @property
    def length(self):
        return self.conv.shape[2]

    @property
    def alignments(self):
        return self.window - self.length + 1

    def flipped(self):
        """The network that gives on the forward strand what this one gives on the reverse complement."""
        return Network(self.window, self.pools, self.conv[:, ::-1, ::-1].copy(), self.bias, self.layers)


def random_network(seed, length, window, hidden, pools):
    """Weights of the size that training gives, so that rectifier and maximum both matter."""
    rng = np.random.default_rng(seed)
    normal = lambda *shape: rng.normal(0, 0.3, shape).astype(np.float32)
    widths = [DETECTORS * len(pools), *([hidden] if hidden else []), 1]
    layers = [(normal(out, inner), normal(out)) for inner, out in zip(widths, widths[1:])]
    return Network(window, pools, normal(DETECTORS, 4, length), normal(DETECTORS), layers)


def window_scores(net, coded, starts):
    """The definition in f64, one window at a time: what every program below is compared with."""
    from .sequence import COLUMNS

    scores = []
    for start in starts:
        columns = COLUMNS[coded[start : start + net.window]].T.astype(np.float64)
        views = np.lib.stride_tricks.sliding_window_view(columns, net.length, axis=1)
        activations = np.einsum("cpj,kcj->kp", views, net.conv) + net.bias[:, None]
        activations = np.maximum(activations, 0)
        x = np.concatenate([activations.max(1) if pool == "max" else activations.mean(1) for pool in net.pools])
        for i, (weights, bias) in enumerate(net.layers):
            x = weights @ x + bias
            x = np.maximum(x, 0) if i + 1 < len(net.layers) else x
        scores.append(x[0])
    return np.array(scores)


def window_model(net, strands):
    """The ONNX graph of one window, [N, 4, L] to [N, 1], with the specification that bindscan reads."""
    nodes = [
        helper.make_node("Conv", ["sequence", "conv", "bias"], ["convolved"]),
        helper.make_node("Relu", ["convolved"], ["rectified"]),
    ]
    operators = {"max": "GlobalMaxPool", "avg": "GlobalAveragePool"}
    nodes += [helper.make_node(operators[pool], ["rectified"], [pool]) for pool in net.pools]
    pooled = net.pools[0]
    if len(net.pools) > 1:
        pooled = "pooled"
        nodes.append(helper.make_node("Concat", net.pools, [pooled], axis=1))
    nodes.append(helper.make_node("Flatten", [pooled], ["features"]))
    nodes += chain(net, "features", lambda i: helper.make_node("Gemm", [f"x{i}", f"w{i}", f"b{i}"], [f"y{i}"], transB=1))
    tensors = constants(net, lambda weights: weights)
    model = build("window", nodes, tensors, ["batch", 4, net.window], ["batch", 1])
    spec = {
        "format": 1,
        "name": "bench",
        "window": net.window,
        "detector_length": net.length,
        "padding": "none",
        "alphabet": "DNA",
        "strands": strands,
        "outputs": ["score"],
        "activation": "identity",
    }
    helper.set_model_props(model, {SPEC_KEY: json.dumps(spec)})
    return model


def dense_model(net, stride):
    """The graph of a whole stretch, [N, 4, L] to [N, 1, windows]: the same network with sliding pools."""
    nodes = [
        helper.make_node("Conv", ["sequence", "conv", "bias"], ["convolved"]),
        helper.make_node("Relu", ["convolved"], ["rectified"]),
    ]
    operators = {"max": "MaxPool", "avg": "AveragePool"}
    shape = {"kernel_shape": [net.alignments], "strides": [stride]}
    nodes += [helper.make_node(operators[pool], ["rectified"], [pool], **shape) for pool in net.pools]
    features = net.pools[0]
    if len(net.pools) > 1:
        features = "features"
        nodes.append(helper.make_node("Concat", net.pools, [features], axis=1))
    nodes += chain(net, features, lambda i: helper.make_node("Conv", [f"x{i}", f"w{i}", f"b{i}"], [f"y{i}"]))
    tensors = constants(net, lambda weights: weights[:, :, None])
    return build("dense", nodes, tensors, ["batch", 4, "length"], ["batch", 1, "windows"])


def codes_model(net, stride):
    """The dense graph from codes, u8 [N, L], of which it makes the one-hot columns."""
    from .sequence import COLUMNS

    model = dense_model(net, stride)
    graph = model.graph
    graph.initializer.append(numpy_helper.from_array(COLUMNS, "columns"))
    nodes = [
        helper.make_node("Cast", ["codes"], ["indices"], to=TensorProto.INT32),
        helper.make_node("Gather", ["columns", "indices"], ["rows"], axis=0),
        helper.make_node("Transpose", ["rows"], ["sequence"], perm=[0, 2, 1]),
    ]
    for place, node in enumerate(nodes):
        graph.node.insert(place, node)
    graph.input[0].CopyFrom(helper.make_tensor_value_info("codes", TensorProto.UINT8, ["batch", "length"]))
    checker.check_model(model)
    return model


def chain(net, first, node):
    """The dense layers from the value `first` to `score`, rectified between, by a node maker."""
    nodes, value = [], first
    for i in range(len(net.layers)):
        last = i + 1 == len(net.layers)
        made = node(i)
        made.input[0], made.output[0] = value, "score" if last else f"y{i}"
        nodes.append(made)
        if not last:
            value = f"hidden{i}"
            nodes.append(helper.make_node("Relu", [f"y{i}"], [value]))
    return nodes


def constants(net, shape):
    named = {"conv": net.conv, "bias": net.bias}
    for i, (weights, bias) in enumerate(net.layers):
        named |= {f"w{i}": shape(weights), f"b{i}": bias}
    return [numpy_helper.from_array(np.ascontiguousarray(array), name) for name, array in named.items()]


def build(name, nodes, tensors, inputs, outputs):
    graph = helper.make_graph(
        nodes,
        name,
        [helper.make_tensor_value_info("sequence", TensorProto.FLOAT, inputs)],
        [helper.make_tensor_value_info("score", TensorProto.FLOAT, outputs)],
        tensors,
    )
    model = helper.make_model(graph, opset_imports=[helper.make_opsetid("", 17)], ir_version=8)
    checker.check_model(model, full_check=True)
    return model


def write(model, path):
    """Writes a model as an ONNX file."""
    save(model, str(path))
