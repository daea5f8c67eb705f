"""Compare training steps a second with PyTorch's, on one core.

Networks of 16 filters of 24 bases, N-padded; batches of 64 sequences of 101 bases, both strands, the better one
counting; Nesterov SGD. Both programs train the same networks on the same batches in one run, and take turns. PyTorch gets
its input ready-made on the device: neither side reads or encodes anything. Printed is the median of several rounds.

Needs cargo: bindscan's part is `cargo bench --bench train`.
"""

import json
import os
import statistics
import subprocess
import time

# PyTorch reads them when it is imported.
for variable in ("OMP_NUM_THREADS", "MKL_NUM_THREADS"):
    os.environ[variable] = "1"

import torch
import torch.nn.functional as F

from .environment import ROOT, TARGET

BATCH, LENGTH, DETECTORS, DETECTOR_LENGTH, HIDDEN = 64, 101, 16, 24, 32
NETWORKS = {
    "max": (False, 0),
    "max, hidden 32": (False, HIDDEN),
    "max and average": (True, 0),
    "max and average, hidden 32": (True, HIDDEN),
}


def pytorch_steps_per_second(average, hidden, steps=60, warm_up=15):
    torch.manual_seed(1)
    conv = torch.nn.Conv1d(4, DETECTORS, DETECTOR_LENGTH)
    features = DETECTORS * (2 if average else 1)
    layers = [torch.nn.Linear(features, hidden), torch.nn.ReLU()] if hidden else []
    dense = torch.nn.Sequential(*layers, torch.nn.Linear(hidden or features, 1))
    parameters = [*conv.parameters(), *dense.parameters()]
    optimizer = torch.optim.SGD(parameters, lr=1e-3, momentum=0.98, nesterov=True)
    pad = DETECTOR_LENGTH - 1
    # Both strands of a batch go through as one of twice the size.
    batches = []
    for _ in range(8):
        codes = torch.randint(0, 4, (BATCH, LENGTH))
        x = F.one_hot(torch.cat([codes, (3 - codes).flip(1)]), 4).float().transpose(1, 2)
        batches.append((F.pad(x, (pad, pad), value=0.25).contiguous(), torch.randint(0, 2, (BATCH,)).float()))
    for step in range(warm_up + steps):
        if step == warm_up:
            began = time.perf_counter()
        x, target = batches[step % len(batches)]
        y = conv(x).relu()
        z = torch.cat([y.amax(2), y.mean(2)], 1) if average else y.amax(2)
        score = dense(z).view(2, BATCH).amax(0)
        loss = F.binary_cross_entropy_with_logits(score, target)
        optimizer.zero_grad(set_to_none=True)
        loss.backward()
        optimizer.step()
    return steps / (time.perf_counter() - began)


def bindscan_steps_per_second(name):
    command = ["cargo", "bench", "--quiet", "--bench", "train", "--"]
    command += [f"step/{name}", "--exact", "--warm-up-time", "0.3", "--measurement-time", "1"]
    subprocess.run(command, cwd=ROOT, check=True, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL)
    folder = TARGET / "criterion/step" / name.replace("/", "_") / "new"
    seconds = json.loads((folder / "estimates.json").read_text())["median"]["point_estimate"] / 1e9
    steps = json.loads((folder / "benchmark.json").read_text())["throughput"]["Elements"]
    return steps / seconds


def main(options):
    """Times both programs and prints the table."""
    rounds = options.rounds
    torch.set_num_threads(1)
    subprocess.run(["cargo", "bench", "--quiet", "--bench", "train", "--no-run"], cwd=ROOT, check=True)
    print(f"steps a second, one core, median of {rounds} rounds; PyTorch {torch.__version__}\n")
    print(f"{'network':<28}{'PyTorch':>9}{'bindscan':>10}{'ratio':>8}")
    for name, (average, hidden) in NETWORKS.items():
        pairs = [
            (pytorch_steps_per_second(average, hidden), bindscan_steps_per_second(name)) for _ in range(rounds)
        ]
        theirs, ours = (statistics.median(side) for side in zip(*pairs))
        ratio = statistics.median(ours / theirs for theirs, ours in pairs)
        print(f"{name:<28}{theirs:>9.0f}{ours:>10.0f}{ratio:>7.1f}x", flush=True)
