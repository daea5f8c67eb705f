"""Compare networks of layers: what they predict, what their filters learn, how fast they are.

  synthetic   Koo & Eddy's synthetic data (`bindscan simulate motifs`): their networks, with rectifier and with
              exponential function after the first convolution. Mean AUC on the test set; shares of the 30 filters whose
              motif matches one of JASPAR 2016 (E of 0.1 or less) and an implanted one.
  encode      ENCODE ChIP-seq: deepbind, cnn, resnet and rnn fitted to the training sets (_AC), judged on the test
              sets (_B); AUC, and seconds of processor time that a fit took.
  speed       Steps of training a second, one thread, beside PyTorch (--burn: and burn, which needs Rust 1.95 and takes
              ten minutes to build): cnn-4, and a bidirectional LSTM on a convolution. The time of two epochs is taken
              from that of six; the others get their input ready-made.
  scan        Scanning with deepbind, cnn, resnet, rnn, danq and bpnet, window 101, random weights but deepbind's: the
              worst difference of scores from ONNX Runtime in Python, and Mbp/s of `bindscan scan` (FASTA to BED, one
              thread, processor time, less that of a scan of 512 windows) beside PyTorch with the same layers and ONNX
              Runtime, each given windows in batches.

Models are kept in a folder, and those that are there already are not fitted again. Nothing is chosen by the test data.
"""

import csv
import re
import statistics
import subprocess
import tempfile
import time
from pathlib import Path

from . import environment, program, table
from .implanted import is_implanted

PFM = "motifs/pfm_vertebrates.txt"
JASPAR = "motifs/JASPAR_CORE_2016_vertebrates.meme"
SYNTHETIC = (
    "cnn-1 cnn-2 cnn-4 cnn-10 cnn-25 cnn-50 cnn-100 cnn-50-2 cnn-1-3 cnn-2-1 cnn9-4 cnn9-25 cnn3-2 cnn3-50".split()
)
FACTORS = ["ARID3A", "CTCFL", "ELK1", "FOXA1", "GABPA", "MYC", "USF1"]
ENCODE = ["deepbind", "cnn", "cnn-exp", "resnet", "rnn"]
# As Koo & Eddy trained: one strand, batches of 100, Adam at 0.0003.
KOO_EDDY = {"--strands": "single", "--batch": "100", "--learning-rate": "0.0003"}
FILTERS = 30


def synthetic(options):
    binary, folder = program.find(options.bindscan), Path(options.models)
    pfm = environment.data_file(options.data, PFM)
    database = environment.data_file(options.data, JASPAR)
    data = folder / "synthetic"
    if not (data / "motifs.meme").exists():
        program.run(binary, "simulate", "motifs", pfm, "-o", data)
    motifs = [line.split() for line in open(data / "motifs.meme") if line.startswith("MOTIF")]
    implanted, names = {words[1] for words in motifs}, {words[1]: words[2] for words in motifs}
    rows = []
    for name in chosen(options.names, SYNTHETIC):
        for function in options.functions.split(","):
            trials = []
            for seed in options.seeds.split(","):
                model = folder / f"synthetic-{name}-{function}-{seed}.onnx"
                words = ["--arch", name, "--target", "all", "--validation", data / "validation.tsv", "--seed", seed]
                further = options.train.split()
                words += [word for pair in KOO_EDDY.items() if pair[0] not in further for word in pair]
                words += [*further, *(["--exponential"] if function == "exponential" else [])]
                fitted(binary, data / "train.tsv", model, *words, "--test", data / "test.tsv")
                trials.append((held_out(binary, model), *matched(binary, model, data, database, implanted, names)))
            rows.append([name, function, *map(spread, zip(*trials))])
            print(*rows[-1], sep="\t", flush=True)
    header = ["network", "first function", "AUC", "match JASPAR", "match an implanted motif", "implanted motifs found"]
    print("\n" + table.markdown(header, rows))


def matched(binary, model, data, database, implanted, names):
    """Shares of the filters that match a motif, and an implanted one; implanted motifs that are matched."""
    with tempfile.TemporaryDirectory() as folder:
        matches, meme = Path(folder) / "matches.tsv", Path(folder) / "filters.meme"
        words = ["--sequences", data / "test.tsv", "--column", "sequence", "--compare", database, "--evalue", "0.1"]
        program.run(binary, "--quiet", "motifs", model, *words, "--matches", matches, "-o", meme)
        with open(matches) as lines:
            rows = list(csv.DictReader(lines, delimiter="\t"))
    right = [row for row in rows if is_implanted(row, implanted, names)]
    queries = len({row["Query_ID"] for row in rows}) / FILTERS, len({row["Query_ID"] for row in right}) / FILTERS
    return *queries, len({row["Target_name"] for row in right})


def encode(options):
    binary, folder = program.find(options.bindscan), Path(options.models)
    rows = []
    for name in chosen(options.names, ENCODE):
        aucs, seconds = {}, []
        for factor in chosen(options.factors, FACTORS):
            training = environment.data_file(options.data, f"encode/{next_of(options.data, factor)}")
            test = Path(str(training).replace("_AC", "_B"))
            for seed in options.seeds.split(","):
                model = folder / f"encode-{name}-{factor}-{seed}.onnx"
                layers = [] if name == "deepbind" else ["--arch", name, *options.train.split()]
                took = fitted(binary, training, model, *layers, "--seed", seed, "--test", test)
                aucs.setdefault(factor, []).append(held_out(binary, model))
                seconds.append(took)
            print(name, factor, spread(aucs[factor]), *(f"{took:.0f} s" for took in seconds[-1:]), sep="\t", flush=True)
        means = [sum(values) / len(values) for values in zip(*aucs.values())]
        known = sorted(took for took in seconds if took)
        rows.append([name, *map(spread, aucs.values()), spread(means), f"{statistics.median(known):.0f}"])
    header = ["network", *chosen(options.factors, FACTORS), "mean", "median s"]
    print("\n" + table.markdown(header, rows))


def next_of(data, factor):
    return next(Path(data).glob(f"encode/{factor}_*_AC.seq.gz")).name


def chosen(names, all_names):
    """Those asked for, in the usual order."""
    wanted = names.split(",") if names else all_names
    return [name for name in all_names if name in wanted]


def fitted(binary, data, model, *options):
    """Fits a model unless it is there; processor seconds that it took, also if that was long ago."""
    timing = model.with_suffix(".seconds")
    if not model.exists():
        model.parent.mkdir(parents=True, exist_ok=True)
        began = program.processor_seconds()
        program.run(binary, "--quiet", "train", data, "-o", model, *options)
        timing.write_text(str(program.processor_seconds() - began))
    return float(timing.read_text())


def held_out(binary, model):
    """Mean AUC of the outputs on the held-out data, as the model's provenance has it."""
    described = program.run(binary, "inspect", model)
    (line,) = (line for line in described.splitlines() if line.startswith("held_out"))
    values = re.findall(r"\bauc ([0-9.]+)", line)
    return statistics.mean(map(float, values))


def spread(values):
    """A mean, with the standard deviation where there are several."""
    values = list(values)
    mean = f"{statistics.mean(values):.3f}"
    return f"{mean} ± {statistics.stdev(values):.3f}" if len(values) > 1 else mean


BURN = Path(__file__).parent / "burn"
BATCH, LENGTH, OUTPUTS, SEQUENCES = 100, 200, 12, 2000
BILSTM = """
layers = [
    { type = "convolution", filters = 64, kernel = 19 },
    { type = "activation", function = "relu" },
    { type = "pool", size = 4 },
    { type = "recurrent", cell = "lstm", units = 64 },
    { type = "flatten" },
    { type = "dense", units = 128 },
    { type = "activation", function = "relu" },
]
"""


def speed(options):
    import torch

    torch.set_num_threads(1)
    binary = program.find(options.bindscan)
    if options.burn:
        subprocess.run(["cargo", "build", "--release", "--manifest-path", BURN / "Cargo.toml"], check=True)
    rows = []
    with tempfile.TemporaryDirectory() as folder:
        folder = Path(folder)
        codes = torch.randint(0, 4, (SEQUENCES, LENGTH), generator=torch.Generator().manual_seed(1))
        targets = torch.randint(0, 2, (SEQUENCES, OUTPUTS), generator=torch.Generator().manual_seed(2))
        for name, count in ("train.tsv", SEQUENCES), ("validation.tsv", 50):
            lines = ["sequence\t" + "\t".join(f"t{i}.x" for i in range(OUTPUTS))]
            for row, known in zip(codes[-count:].tolist(), targets[-count:].tolist()):
                lines.append("".join("ACGT"[code] for code in row) + "\t" + "\t".join(map(str, known)))
            (folder / name).write_text("\n".join(lines) + "\n")
        (folder / "bilstm.toml").write_text(BILSTM)
        for name, arch, network in ("cnn-4", "cnn-4", cnn_4), ("BiLSTM", folder / "bilstm.toml", bilstm):
            peers = {"PyTorch": lambda: by_pytorch(network(), codes, targets)}
            if options.burn:
                peers["burn"] = lambda: by_burn(name)
            own, theirs = [], {peer: [] for peer in peers}
            for _ in range(options.rounds):
                own.append(ours(binary, folder, arch))
                for peer, steps in peers.items():
                    theirs[peer].append(steps())
            row = [name, f"{statistics.median(own):.1f}"]
            for steps in theirs.values():
                ratio = statistics.median(mine / other for mine, other in zip(own, steps))
                row += [f"{statistics.median(steps):.1f}", f"{ratio:.2f}"]
            rows.append(row)
    print(f"PyTorch {torch.__version__}, batches of {BATCH} x {LENGTH} bases, one thread, {options.rounds} rounds\n")
    header = ["network", "bindscan, steps/s", *(word for peer in peers for word in (f"{peer}, steps/s", "ratio"))]
    print(table.markdown(header, rows))


def ours(binary, folder, arch):
    """Steps a second: four epochs of them, from runs of two and of six."""
    times = []
    for epochs in 2, 6:
        words = ["train", folder / "train.tsv", "--arch", arch, "--target", "all", "--validation", folder / "validation.tsv"]
        words += ["--strands", "single", "--batch", BATCH, "--epochs", epochs, "--threads", 1, "-o", folder / "net.onnx"]
        began = time.perf_counter()
        subprocess.run([binary, "--quiet", *map(str, words)], check=True)
        times.append(time.perf_counter() - began)
    return 4 * SEQUENCES / BATCH / (times[1] - times[0])


def cnn_4():
    from torch import nn

    return nn.Sequential(
        nn.Conv1d(4, 30, 19, padding=9), nn.BatchNorm1d(30), nn.ReLU(), nn.MaxPool1d(4), nn.Dropout(0.1),
        nn.Conv1d(30, 128, 5, padding=2), nn.BatchNorm1d(128), nn.ReLU(), nn.MaxPool1d(25), nn.Dropout(0.1),
        nn.Flatten(), nn.Linear(256, 512), nn.BatchNorm1d(512), nn.ReLU(), nn.Dropout(0.5), nn.Linear(512, OUTPUTS),
    )


def bilstm():
    from torch import nn

    class Network(nn.Module):
        def __init__(self):
            super().__init__()
            self.first = nn.Sequential(nn.Conv1d(4, 64, 19), nn.ReLU(), nn.MaxPool1d(4))
            self.states = nn.LSTM(64, 64, batch_first=True, bidirectional=True)
            self.last = nn.Sequential(nn.Flatten(), nn.Linear(45 * 128, 128), nn.ReLU(), nn.Linear(128, OUTPUTS))

        def forward(self, x):
            return self.last(self.states(self.first(x).transpose(1, 2))[0])

    return Network()


def by_pytorch(network, codes, targets):
    import torch
    import torch.nn.functional as F

    x = F.one_hot(codes, 4).float().transpose(1, 2).contiguous()
    y = targets.float()
    optimizer = torch.optim.Adam(network.parameters(), lr=1e-3)

    def epoch():
        for batch in torch.randperm(SEQUENCES).split(BATCH):
            loss = F.binary_cross_entropy_with_logits(network(x[batch]), y[batch])
            optimizer.zero_grad(set_to_none=True)
            loss.backward()
            optimizer.step()

    epoch()
    began = time.perf_counter()
    epoch()
    epoch()
    return 2 * SEQUENCES / BATCH / (time.perf_counter() - began)


def by_burn(name):
    words = [BURN / "target/release/burn-steps", name.lower(), BATCH, LENGTH, OUTPUTS, SEQUENCES]
    done = subprocess.run(list(map(str, words)), check=True, capture_output=True, text=True)
    return float(done.stdout)


PARTS = {"synthetic": synthetic, "encode": encode, "speed": speed}


def main(options):
    """Runs the part that was asked for."""
    if options.what == "scan":
        from . import families

        families.scan(options)
    else:
        PARTS[options.what](options)
