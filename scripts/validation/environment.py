"""The Python environment of the commands, the test data, and the two ways to end early.

A command parses its arguments with the standard library alone, then calls `enter`; only then are modules imported that
need third-party packages.
"""

import importlib.util
import os
import subprocess
import sys
from pathlib import Path

SCRIPTS = Path(__file__).resolve().parent.parent
ROOT = SCRIPTS.parent
# Of cargo.
TARGET = Path(os.environ.get("CARGO_TARGET_DIR", ROOT / "target")).resolve()
DEFAULT_DATA = ROOT.parent / "shared" / "data"
ENTERED = "BINDSCAN_VENV_ENTERED"
# Forced kernels and cache sizes make NumPy slow or wrong on processors other than the one they were set for.
DROPPED = ("OPENBLAS_CORETYPE", "OPENBLAS_L2_SIZE")
# The extra of pyproject.toml that installs a module.
EXTRAS = {
    "numpy": "peers",
    "onnx": "peers",
    "onnxruntime": "peers",
    "lightmotif": "peers",
    "MOODS": "peers",
    "pysam": "peers",
    "pyBigWig": "peers",
    "py2bit": "peers",
    "torch": "torch",
    "memelite": "motifs",
    "pymemesuite": "fimo",
    "onnxscript": "foreign",
    "snakemake": "snakemake",
    "multiqc": "multiqc",
    "tensorflow": "keras",
    "tf_keras": "keras",
}


def skip(reason):
    """Ends the script as skipped, in one line."""
    print(f"skipped: {reason}")
    sys.exit(0)


def fail(reason):
    """Ends the script as failed, in one line."""
    print(f"error: {reason}", file=sys.stderr)
    sys.exit(1)


def extras_of(modules):
    """The extras that install the modules, each once, in the order of the modules."""
    return list(dict.fromkeys(EXTRAS[name] for name in modules if name in EXTRAS))


def pins(extras):
    """The requirements of the extras, as pip takes them."""
    try:
        import tomllib
    except ImportError:
        fail("Python 3.11 or newer is needed")
    with open(SCRIPTS / "pyproject.toml", "rb") as file:
        listed = tomllib.load(file)["project"]["optional-dependencies"]
    return [pin for name in extras for pin in listed[name]]


def pinned_version(package):
    """The version of a package that pyproject.toml asks for."""
    (version,) = {pin.split("==")[1] for pin in pins(dict.fromkeys(EXTRAS.values())) if pin.startswith(f"{package}==")}
    return version


def install(folder, extras):
    """Makes the virtual environment if it is missing, and installs the extras into it; gives its Python."""
    python, env = folder / "bin" / "python", clean_environment()
    try:
        if not python.exists():
            subprocess.run([sys.executable, "-m", "venv", folder], check=True)
        if extras:
            command = [python, "-m", "pip", "install", "--quiet", "--disable-pip-version-check", *pins(extras)]
            print(f"installing {', '.join(extras)} into {folder}", file=sys.stderr)
            subprocess.run(command, check=True, env=env, stdout=sys.stderr)
    except (OSError, subprocess.CalledProcessError) as error:
        fail(f"cannot prepare the Python environment {folder}: {error}")
    return python


def clean_environment():
    return {name: value for name, value in os.environ.items() if name not in DROPPED}


def enter(modules):
    """Restarts the script inside the virtual environment, unless it runs there.

    The environment is $BINDSCAN_VENV or target/venv. It is made if it is missing, and the extras of the modules are
    installed if one of the modules cannot be found in it.
    """
    if os.environ.get(ENTERED):
        missing = [name for name in modules if importlib.util.find_spec(name) is None]
        if missing:
            fail(f"{sys.prefix} has no {', '.join(missing)}; install it there by hand")
        return
    python = install(Path(os.environ.get("BINDSCAN_VENV", ROOT / "target" / "venv")), [])
    env = clean_environment()
    probe = "import importlib.util as u, sys; sys.exit(any(u.find_spec(m) is None for m in sys.argv[1:]))"
    if subprocess.run([python, "-c", probe, *modules], env=env).returncode != 0:
        install(python.parent.parent, extras_of(modules))
    os.execve(python, [str(python), *sys.argv], env | {ENTERED: "1"})


def add_data_option(parser):
    """Adds --data, the folder of the test data, to an argument parser."""
    parser.add_argument("--data", default=DEFAULT_DATA, help="test data (default: ../shared/data)")


def data_file(folder, name):
    """A file of the test data, or the end of the script where it is absent."""
    path = Path(folder) / name
    if not path.exists():
        skip(f"no test data at {path}")
    return path
