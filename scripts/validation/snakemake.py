"""Check the Snakemake workflow: its lint, a scan in shards on this machine, and the same through Slurm.

A simulated genome is scanned in shards, and the merged output must have the bytes of one run; a model is trained, pages are
written. The script that fills the conda environment is run on a folder, if the program is built here (conda itself is not
run). Then the shards go through a Slurm of one node, started for this and stopped at the end: once undisturbed, and once
with a job that is cancelled and a scan that is killed, both of which must be retried. Printed are shards, wall times, and
whether the output is the same.

Snakemake and its Slurm plugin are installed into $BINDSCAN_SNAKEMAKE_VENV or target/snakemake-venv. Slurm needs root,
slurm-wlm and munge (installed with apt-get where that works); it is left out with a line where it cannot be had. Nothing
of an installed Slurm is touched: configuration, keys, sockets and state are in a folder of their own.
"""

import os
from pathlib import Path

from . import environment, program


def main(options):
    """Prepares the environment and hands over to the shell script."""
    given = options.bindscan or os.environ.get("BINDSCAN")
    binary = program.given_or_built(options.bindscan)
    folder = os.environ.get("BINDSCAN_SNAKEMAKE_VENV", environment.TARGET / "snakemake-venv")
    python = environment.install(Path(folder), ["snakemake"])
    script = environment.SCRIPTS / "validation" / "snakemake.sh"
    words = [binary, python.parent, "local" if options.local else "slurm", "given" if given else "built"]
    os.execvp("bash", ["bash", str(script), *map(str, words)])
