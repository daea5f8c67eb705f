"""Check that every command of models/THEORY.md prints what the page says.

The commands of the blocks marked `console` run one after another in an empty folder from which models/ and tests/ of the
repository can be reached. The exit code is 1 if a command fails or prints something else. --write puts what they print
into the page.
"""

import difflib
import os
import re
import subprocess
import sys
import tempfile
from pathlib import Path

from . import program
from .environment import ROOT, fail

PAGE = Path(ROOT, "models", "THEORY.md")
BLOCK = re.compile(r"(?<=^```console\n).*?(?=^```$)", re.MULTILINE | re.DOTALL)


def run(command, folder, binary):
    path = os.pathsep.join([str(binary.parent), os.environ["PATH"]])
    shell = ["bash", "-o", "pipefail", "-c", command]
    done = subprocess.run(shell, cwd=folder, env={**os.environ, "PATH": path}, capture_output=True, text=True)
    if done.returncode != 0:
        fail(f"`{command}` ended with {done.returncode}: {done.stderr.strip()}")
    return done.stdout


def main(options):
    """Compares the page with what its commands print, or writes it."""
    binary = Path(program.find(options.bindscan))
    commands = 0
    with tempfile.TemporaryDirectory() as folder:
        for name in ("models", "tests"):
            Path(folder, name).symlink_to(Path(ROOT, name))

        def again(block):
            nonlocal commands
            lines = [line for line in block.group().splitlines() if line.startswith("$ ")]
            commands += len(lines)
            return "".join(f"{line}\n{run(line[2:], folder, binary)}" for line in lines)

        text = PAGE.read_text()
        made = BLOCK.sub(again, text)
    if options.write:
        PAGE.write_text(made)
    elif made != text:
        sys.stdout.writelines(
            difflib.unified_diff(text.splitlines(True), made.splitlines(True), "models/THEORY.md", "what is printed")
        )
        sys.exit(1)
    print(f"{commands} commands print what models/THEORY.md says")
