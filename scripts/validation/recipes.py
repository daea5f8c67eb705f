"""Run the steps of the container recipes, and install the .deb, in bare Debian roots.

debootstrap makes the root of the release that the Dockerfile names (scripts/packaging). The commands of its build stage run
as written, but for the one that compiles: the program that --bindscan or $BINDSCAN names is put where it would be. The files
are copied as the Dockerfile says, the commands of the final stage run, and a sequence is scanned by the kernel and by ONNX
Runtime. apptainer.def must have the same steps, files and images. The newest .deb of target/package, if there is
one, is installed by apt, run and removed. Needs root and a Debian mirror. No container program takes part.
"""

import subprocess
import sys

from . import environment, program


def main(options):
    """Runs the script."""
    made = sorted((environment.TARGET / "package").glob("bindscan_*.deb"), key=lambda path: path.stat().st_mtime)
    if not made:
        print("no .deb in target/package (scripts/package deb): none is installed", flush=True)
    script = environment.SCRIPTS / "validation" / "recipes.sh"
    command = [script, program.find(options.bindscan), made[-1] if made else "", environment.TARGET / "recipes"]
    sys.exit(subprocess.run(["bash", *map(str, command)]).returncode)
