"""Check `bindscan variants` against every window scored by itself, and measure it.

The GIAB calls of chromosome 20 (as far as the genome file reaches) and a yeast strain's are annotated with published
DeepBind models, a bundled model and a JASPAR matrix. For a random sample of alleles (--alleles; 0: all) this script builds
the haplotypes by itself (pysam reads calls and genome), cuts every window that lies neither in their longest common prefix
nor in their longest common suffix, scores each on both strands with ONNX Runtime, one window a row, and takes the best. Scores, difference and effect must agree, and the window
that bindscan names must be one of the best. BCF must contain the records of VCF. Printed are the rates of the loop in ONNX
Runtime and in PyTorch, and of bindscan with --threads and its peak memory. Then a call set of --records simulated SNVs is
annotated whole.

The exit code is 1 if anything differs.
"""

import gzip
import random
import shutil
import statistics
import subprocess
import tempfile
import time
from collections import namedtuple
from pathlib import Path

import numpy as np
import onnx
import onnxruntime
import pysam

from . import environment, models, program, sequence, table

TOLERANCE = 1e-4
PRINTED = 0.5e-6
SETS = (
    ("GIAB chr20", "variants/HG002_GRCh38_1_22_v4.2.1_benchmark.chr20.vcf.gz", "genomes/grch38.chr20_and_21_10M.fa.gz"),
    ("yeast RM11-1A", "variants/yeast_RM11-1A.vcf.gz", "genomes/sacCer3.fa.gz"),
)
PUBLISHED = ("D00328.003", "D00551.002")  # CTCF with a hidden layer, and one without
BUNDLED = {"GIAB chr20": "GABPA", "yeast RM11-1A": "Reb1"}
MOTIFS = {
    "GIAB chr20": ("motifs/JASPAR2018_CORE_vertebrates.meme", "CTCF"),
    "yeast RM11-1A": ("motifs/JASPAR2018_CORE_fungi.meme", "REB1"),
}

Allele = namedtuple("Allele", "contig start reference alternative")
# Changed windows end behind `prefix` and start before `suffix`, which are places in `bases`, as is that of POS.
Haplotype = namedtuple("Haplotype", "bases prefix suffix position")


def main(options):
    """Runs all cases, prints the tables, and ends the script with 1 if anything differs."""
    binary = program.find(options.bindscan)
    sets = [(name, *(environment.data_file(options.data, file) for file in files)) for name, *files in SETS]
    compared, measured, failures = [], [], []
    with tempfile.TemporaryDirectory() as folder:
        folder = Path(folder)
        published = [models.published(binary, options.data, folder, name) for name in PUBLISHED]
        for name, calls, packed in sets:
            genome = plain(packed, folder)
            source, motif = MOTIFS[name]
            matrix = folder / f"{motif}.onnx"
            program.run(binary, "import", "meme", environment.data_file(options.data, source), "--motif", motif, "-o", matrix)
            bundled = environment.ROOT / "models" / f"{BUNDLED[name]}.onnx"
            for model in [*published, bundled, matrix]:
                case = Case(options, binary, folder, (name, calls, genome), model)
                case.compare()
                compared.append(case.cells())
                failures += case.failures
                measured += case.measure()
        header = ["calls", "model", "records", "alleles", "compared", "of them indels", "worst difference", "effect", "window"]
        print(table.markdown(header, compared))
        print()
        print(table.markdown(["calls", "model", "program", "alleles/s", "ratio", "peak MiB"], measured))
        if options.records:
            print()
            print(simulated(options, binary, folder, genome, published))
    if failures:
        environment.fail("; ".join(failures[:5]) + (f" and {len(failures) - 5} more" if len(failures) > 5 else ""))


def plain(packed, folder):
    """The genome as plain FASTA with an index."""
    path = folder / packed.name.removesuffix(".gz")
    sequence.write_fasta(path, sequence.read_fasta(packed).items())
    pysam.faidx(str(path))
    return path


class Loop:
    """A model that scores windows one a row, in ONNX Runtime or PyTorch."""

    def __init__(self, binary, model):
        self.window = described(binary, model)
        loaded = onnx.load(str(model))
        spec = next(p.value for p in loaded.metadata_props if p.key == "bindscan.spec")
        self.reverse = '"strands":"both"' in spec.replace(" ", "")
        settings = onnxruntime.SessionOptions()
        settings.intra_op_num_threads = 1
        self.session = onnxruntime.InferenceSession(str(model), settings, providers=["CPUExecutionProvider"])
        self.torch = torch_module(loaded)

    def inputs(self, haplotype):
        """One-hot changed windows, on each strand that is read, and their offsets; None where no window is changed."""
        bases = haplotype.bases
        first = max(0, haplotype.prefix - self.window + 1)
        starts = range(first, min(haplotype.suffix - 1, len(bases) - self.window) + 1)
        if not starts:
            return None
        coded = [sequence.codes(bases[start : start + self.window]) for start in starts]
        rows = [sequence.one_hot(codes) for codes in coded]
        if self.reverse:
            rows += [np.ascontiguousarray(row[::-1, ::-1]) for row in rows]
        return np.stack(rows), [start - haplotype.position for start in starts]

    def scores(self, rows, by_torch=False):
        if by_torch:
            return self.torch(rows)
        return self.session.run(None, {self.session.get_inputs()[0].name: rows})[0][:, 0]


def torch_module(model):
    """The same network in PyTorch, from the nodes of the ONNX file."""
    import torch

    torch.set_num_threads(1)
    values = {t.name: torch.from_numpy(onnx.numpy_helper.to_array(t).copy()) for t in model.graph.initializer}

    def run(rows):
        known = dict(values)
        known[model.graph.input[0].name] = torch.from_numpy(rows)
        for node in model.graph.node:
            attributes = {a.name: onnx.helper.get_attribute_value(a) for a in node.attribute}
            if node.op_type == "Constant":
                known[node.output[0]] = torch.from_numpy(onnx.numpy_helper.to_array(attributes["value"]).copy())
                continue
            x = [known.get(name) for name in node.input]
            known[node.output[0]] = OPERATORS[node.op_type](torch, x, attributes)
        return known[model.graph.output[0].name][:, 0].numpy()

    def guarded(rows):
        with torch.no_grad():
            return run(rows)

    return guarded


def pad(torch, x, attributes):
    sizes = x[1].tolist() if len(x) > 1 else attributes["pads"]
    value = float(x[2]) if len(x) > 2 and x[2] is not None else attributes.get("value", 0.0)
    half = len(sizes) // 2
    flat = [size for axis in reversed(range(half)) for size in (sizes[axis], sizes[axis + half])]
    return torch.nn.functional.pad(x[0], flat, value=value)


def gemm(torch, x, attributes):
    weights = x[1].T if attributes.get("transB") else x[1]
    return x[0] @ weights + (x[2] if len(x) > 2 else 0)


OPERATORS = {
    "Pad": pad,
    "Conv": lambda torch, x, a: torch.nn.functional.conv1d(x[0], x[1], x[2] if len(x) > 2 else None),
    "Relu": lambda torch, x, a: torch.relu(x[0]),
    "ReduceMax": lambda torch, x, a: x[0].amax(a["axes"], keepdim=bool(a["keepdims"])),
    "ReduceMean": lambda torch, x, a: x[0].mean(a["axes"], keepdim=bool(a["keepdims"])),
    "Concat": lambda torch, x, a: torch.cat(x, a["axis"]),
    "Gemm": gemm,
}


def described(binary, model):
    for line in program.run(binary, "inspect", model).splitlines():
        if line.startswith("default window"):
            return int(line.split()[2])
    environment.fail(f"{model}: bindscan inspect names no window")


class Case:
    """One set of calls with one model."""

    def __init__(self, options, binary, folder, calls, model):
        self.options, self.binary, self.folder, self.model = options, binary, folder, model
        self.name, self.genome = calls[0], calls[2]
        # pysam reads VCF that is plain or BGZF, not gzip.
        self.calls = folder / calls[1].name.removesuffix(".gz")
        with gzip.open(calls[1]) as packed, open(self.calls, "wb") as out:
            shutil.copyfileobj(packed, out)
        self.loop = Loop(binary, model)
        self.fasta = pysam.FastaFile(str(self.genome))
        self.failures, self.worst, self.worst_effect, self.worst_window = [], 0.0, 0.0, 0.0

    def command(self, *more):
        # The genome may be a part of that of the calls: the records beyond it are not scored.
        return ["variants", "-m", self.model, "--genome", self.genome, self.calls, "--force", *more]

    def compare(self):
        """Compares a sample of alleles, drawn from what is in the file and not from what bindscan says of it."""
        out, binary = self.folder / "annotated.vcf", self.folder / "annotated.bcf"
        # As the graphs are, so that windows can be scored one by one.
        program.run(self.binary, *self.command("--context", "padding", "-o", out, "-o", binary, "--quiet"))
        with pysam.VariantFile(str(out)) as text, pysam.VariantFile(str(binary)) as records:
            if not all(str(one) == str(other) for one, other in zip(text, records, strict=True)):
                self.failures.append(f"{self.name}, {self.model.stem}: BCF and VCF differ")
        lengths = dict(zip(self.fasta.references, self.fasta.lengths))
        wanted, self.records, self.alleles = [], 0, 0
        with pysam.VariantFile(str(out)) as annotated, pysam.VariantFile(str(self.calls)) as original:
            key = next(k for k in annotated.header.info if k.startswith("BS_") and k.endswith("_EFFECT"))
            prefix = key.removesuffix("_EFFECT")
            for ours, record in zip(annotated, original, strict=True):
                self.records += 1
                same = (ours.chrom, ours.pos, ours.ref, ours.alts) == (record.chrom, record.pos, record.ref, record.alts)
                if not same:
                    self.failures.append(f"{self.name}: record {self.records} is not in its place")
                    return
                inside = record.stop <= lengths.get(record.chrom, 0)
                if not inside or self.fasta.fetch(record.chrom, record.start, record.stop).upper() != record.ref.upper():
                    if f"{prefix}_REF" in ours.info:
                        self.failures.append(f"{self.name}: {record.chrom}:{record.pos} does not fit and is scored")
                    continue
                for number, alternative in enumerate(record.alts or ()):
                    if set(alternative.upper()) <= set("ACGTN"):
                        self.alleles += 1
                        said = {f: value(ours.info.get(f"{prefix}_{f}"), number) for f in FIELDS}
                        wanted.append((Allele(record.chrom, record.start, record.ref, alternative), said))
        if self.options.alleles:
            wanted = random.Random(1).sample(wanted, min(self.options.alleles, len(wanted)))
        self.sample = [allele for allele, _ in wanted]
        for allele, said in wanted:
            self.compare_allele(allele, said)

    def haplotypes(self, allele):
        """The haplotypes of the reference and the alternative allele."""
        reach = 2 * self.loop.window + abs(len(allele.reference) - len(allele.alternative))
        end = allele.start + len(allele.reference)
        left = self.fasta.fetch(allele.contig, max(0, allele.start - reach), allele.start)
        right = self.fasta.fetch(allele.contig, end, end + reach)
        both = [(left + bases + right).upper() for bases in (allele.reference, allele.alternative)]
        prefix, suffix = shared(*both), shared(*(bases[::-1] for bases in both))
        return [Haplotype(bases, prefix, len(bases) - suffix, len(left)) for bases in both]

    def compare_allele(self, allele, said):
        best = []
        inputs = [self.loop.inputs(haplotype) for haplotype in self.haplotypes(allele)]
        if inputs == [None, None]:
            self.note("worst", said["DIFF"], 0, allele, 0)
        if None in inputs:
            # Where only one has changed windows, those around the indel count; the tests of bindscan check that.
            return
        for side, (rows, offsets) in zip(("REF", "ALT"), inputs):
            scores = self.loop.scores(rows)
            best.append(float(scores.max()))
            self.note("worst", said[side], best[-1], allele, TOLERANCE)
            if said[f"{side}_OFFSET"] not in offsets:
                self.failures.append(f"{allele}: no window of {side} has the offset {said[f'{side}_OFFSET']}")
                continue
            row = offsets.index(said[f"{side}_OFFSET"]) + (len(offsets) if said[f"{side}_STRAND"] == "-" else 0)
            # The window is the first of those with the best score when rounded to four decimals.
            self.note("worst_window", float(scores[row]), best[-1], allele, 2 * TOLERANCE)
        difference = best[1] - best[0]
        self.note("worst", said["DIFF"], difference, allele, 2 * TOLERANCE)
        scale = max(1, abs(difference), max(best))
        self.note("worst_effect", said["EFFECT"], difference * max(0, *best), allele, 4 * TOLERANCE * scale)

    def note(self, what, have, want, allele, tolerance):
        if have is None:
            self.failures.append(f"{self.name}, {self.model.stem}: {allele} has no score")
            return
        setattr(self, what, max(getattr(self, what), abs(have - want)))
        if abs(have - want) > tolerance * max(1, abs(want)) + PRINTED:
            self.failures.append(f"{self.name}, {self.model.stem}: {allele}: {have} where {want} is right")

    def cells(self):
        indels = sum(len(allele.reference) != len(allele.alternative) for allele in self.sample)
        counts = [f"{count:,}" for count in (self.records, self.alleles, len(self.sample), indels)]
        worst = [f"{number:.1e}" for number in (self.worst, self.worst_effect, self.worst_window)]
        return [self.name, self.model.stem, *counts, *worst]

    def measure(self):
        """Rates of bindscan on the whole set, and of the loops on some alleles of it."""
        rows = []
        for threads in map(int, self.options.threads.split(",")):
            runs = []
            for _ in range(self.options.rounds):
                with open(self.folder / "measured.vcf", "w") as out:
                    command = self.command("--threads", threads, "--quiet")
                    runs.append(program.measure(self.binary, *command, stdout=out))
            seconds = statistics.median(run.seconds for run in runs)
            rows.append((f"bindscan, {threads} thread(s)", self.alleles / seconds, max(run.peak_mib for run in runs)))
        for name, by_torch in (("ONNX Runtime, windows", False), ("PyTorch, windows", True)):
            started, done = time.perf_counter(), 0
            for allele in self.sample[:200]:
                for inputs in map(self.loop.inputs, self.haplotypes(allele)):
                    if inputs:
                        self.loop.scores(inputs[0], by_torch).max()
                done += 1
            rows.append((name, done / (time.perf_counter() - started), None))
        first = rows[0][1]
        peak = lambda mib: "–" if mib is None else f"{mib:.0f}"
        rates = lambda rate: [table.significant(rate), table.significant(first / rate)]
        return [[self.name, self.model.stem, name, *rates(rate), peak(mib)] for name, rate, mib in rows]


def shared(one, other):
    """The length of the longest common prefix."""
    pairs = enumerate(zip(one, other))
    return next((at for at, (a, b) in pairs if a != b), min(len(one), len(other)))


FIELDS = ("REF", "REF_STRAND", "REF_OFFSET", "ALT", "ALT_STRAND", "ALT_OFFSET", "DIFF", "EFFECT")


def value(field, number):
    """One value of a field, of those that have one for each allele."""
    return field[number] if isinstance(field, tuple) else field


def simulated(options, binary, folder, genome, published):
    """Annotates a large call set of SNVs on the genome, as a whole run of a user."""
    contigs = sequence.read_fasta(genome)
    total, rng, calls = sum(map(len, contigs.values())), random.Random(2), folder / "many.vcf.gz"
    others = {base: [other for other in "ACGT" if other != base] for base in "ACGT"}
    with gzip.open(folder / "many.vcf", "wt", compresslevel=1) as out:
        out.write("##fileformat=VCFv4.2\n#CHROM\tPOS\tID\tREF\tALT\tQUAL\tFILTER\tINFO\n")
        for name, bases in contigs.items():
            for place in sorted(rng.sample(range(len(bases)), options.records * len(bases) // total)):
                if bases[place] in others:
                    alternative = rng.choice(others[bases[place]])
                    out.write(f"{name}\t{place + 1}\t.\t{bases[place]}\t{alternative}\t.\tPASS\tDP=30\n")
    (folder / "many.vcf").rename(calls)
    rows = []
    for model in published:
        for threads in options.threads.split(","):
            out = folder / "many.out.vcf.gz"
            command = ["variants", "-m", model, "--genome", genome, calls, "--threads", threads, "-o", out, "--quiet"]
            run = program.measure(binary, *command, stdout=subprocess.DEVNULL)
            rate = options.records / run.seconds
            rows.append([model.stem, threads, f"{options.records:,}", f"{run.seconds:.1f}", f"{rate:,.0f}", f"{run.peak_mib:.0f}"])
    return table.markdown(["model", "threads", "simulated SNVs", "seconds", "records/s", "peak MiB"], rows)
