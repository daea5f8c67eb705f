"""The Python environment of the comparisons, and what they need beside it.

A script parses its arguments with the standard library alone, calls `enter`, and imports third-party modules after.
"""

import importlib.util
import os
import subprocess
import sys
from pathlib import Path

SCRIPTS = Path(__file__).resolve().parent.parent
ROOT = SCRIPTS.parent
DEFAULT_DATA = ROOT.parent / "shared" / "data"
ENTERED = "BINDSCAN_VENV_ENTERED"
# Forced kernels and cache sizes make NumPy slow or wrong on processors other than the one they were set for.
DROPPED = ("OPENBLAS_CORETYPE", "OPENBLAS_L2_SIZE")


def skip(reason):
    """Ends the script as skipped, in one line."""
    print(f"skipped: {reason}")
    sys.exit(0)


def fail(reason):
    """Ends the script as failed, in one line."""
    print(f"error: {reason}", file=sys.stderr)
    sys.exit(1)


def enter(modules, requirements=("requirements-peers.txt",)):
    """Restarts the script inside the virtual environment, unless it runs there.

    The environment is $BINDSCAN_VENV or target/venv. It is made if it is missing, and the requirements are
    installed if one of `modules` cannot be found in it.
    """
    if os.environ.get(ENTERED):
        missing = [name for name in modules if importlib.util.find_spec(name) is None]
        if missing:
            fail(f"{sys.prefix} has no {', '.join(missing)}; install {' '.join(requirements)} there by hand")
        return
    folder = Path(os.environ.get("BINDSCAN_VENV", ROOT / "target" / "venv"))
    python = folder / "bin" / "python"
    env = {name: value for name, value in os.environ.items() if name not in DROPPED}
    try:
        if not python.exists():
            subprocess.run([sys.executable, "-m", "venv", folder], check=True)
        probe = "import importlib.util as u, sys; sys.exit(any(u.find_spec(m) is None for m in sys.argv[1:]))"
        if subprocess.run([python, "-c", probe, *modules], env=env).returncode != 0:
            install = [python, "-m", "pip", "install", "--quiet", "--disable-pip-version-check"]
            files = [word for name in requirements for word in ("-r", SCRIPTS / name)]
            print(f"installing {', '.join(requirements)} into {folder}", file=sys.stderr)
            subprocess.run([*install, *files], check=True, env=env, stdout=sys.stderr)
    except (OSError, subprocess.CalledProcessError) as error:
        fail(f"cannot prepare the Python environment {folder}: {error}")
    os.execve(python, [str(python), *sys.argv], env | {ENTERED: "1"})


def data_file(folder, name):
    """A file of the test data, or the end of the script where it is absent."""
    path = Path(folder) / name
    if not path.exists():
        skip(f"no test data at {path}")
    return path
