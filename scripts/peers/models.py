"""The real models of the comparisons, imported from the test data by bindscan."""

import tarfile

import numpy as np

from . import environment, program

CTCF = "D00328.003"
YEAST_MOTIF = "REB1"


def deepbind(binary, data, folder, params=None):
    """A published DeepBind model (CTCF unless a parameter file is given) as ONNX."""
    if not params:
        archive = environment.data_file(data, "deepbind/params.tar.gz")
        params = folder / f"{CTCF}.txt"
        with tarfile.open(archive) as members:
            member = next(m for m in members if m.name.endswith(f"/{CTCF}.txt"))
            params.write_bytes(members.extractfile(member).read())
    model = folder / "deepbind.onnx"
    program.run(binary, "import", "deepbind", params, "-o", model)
    return model


def matrix(binary, data, folder, motif=YEAST_MOTIF):
    """A JASPAR fungi matrix as ONNX."""
    source = environment.data_file(data, "motifs/JASPAR2018_CORE_fungi.meme")
    model = folder / f"{motif}.onnx"
    program.run(binary, "import", "meme", source, "--motif", motif, "-o", model)
    return model


def both(binary, options, folder):
    """The published model and the matrix that a script with --data and --params compares."""
    return [deepbind(binary, options.data, folder, options.params), matrix(binary, options.data, folder)]


def threshold(binary, model, genome, region, engine, bases_a_site):
    """The score that one window in `bases_a_site` of a region reaches, on either strand."""
    shown = ["--all", "--format", "tsv", "--engine", engine]
    listed = program.run(binary, "scan", "-m", model, genome, "--region", region, *shown)
    scores = np.sort([float(line.rsplit("\t", 1)[1]) for line in listed.splitlines()[1:]])
    return float(scores[-max(1, len(scores) // bases_a_site)])
