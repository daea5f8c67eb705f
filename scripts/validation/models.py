"""The real models of the comparisons, imported from the test data by bindscan."""

import tarfile

from . import environment, program

CTCF = "D00328.003"
YEAST_MOTIF = "REB1"


def published(binary, data, folder, name):
    """A published DeepBind model as ONNX, named after its ID."""
    params, model = folder / f"{name}.txt", folder / f"{name}.onnx"
    with tarfile.open(environment.data_file(data, "deepbind/params.tar.gz")) as members:
        params.write_bytes(members.extractfile(f"params/{name}.txt").read())
    program.run(binary, "import", "deepbind", params, "-o", model)
    return model


def deepbind(binary, data, folder, params=None):
    """A published DeepBind model (CTCF unless a parameter file is given) as ONNX."""
    model = folder / "deepbind.onnx"
    if params:
        program.run(binary, "import", "deepbind", params, "-o", model)
    else:
        published(binary, data, folder, CTCF).rename(model)
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
    scores = sorted(float(line.rsplit("\t", 1)[1]) for line in listed.splitlines()[1:])
    return scores[-max(1, len(scores) // bases_a_site)]
