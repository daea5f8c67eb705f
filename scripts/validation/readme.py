"""Run the quick start and all recipes of README.md as they are written.

Each block of the sections "Quick start" and "Recipes" runs in a folder of its own, with small files of the names that it
uses: a simulated genome, peaks, calls, reads, motifs, a network. What the quick start prints must look as the page shows it:
the same columns, with numbers for numbers. --write puts what is printed into the page. The page's links must lead to
files, and it may have no more than 900 words. The exit code is 1 if a block fails, gives no result, or prints something else.
"""

import os
import re
import subprocess
import sys
import tempfile
import time
from pathlib import Path

from . import inputs, program
from .environment import ROOT, fail

PAGE = Path(ROOT, "README.md")
WORDS = 900
SECTIONS = ("Quick start", "Recipes")
BLOCK = re.compile(r"^```sh\n(.*?)^```\n(?:\n```text\n(.*?)^```\n)?", re.MULTILINE | re.DOTALL)


def main(options):
    """Runs the blocks, and compares or writes what they print."""
    binary = Path(program.find(options.bindscan))
    text = PAGE.read_text()
    check_text(text)
    blocks = [found for section in SECTIONS for found in BLOCK.finditer(body(text, section))]
    if len(blocks) < 7:
        fail(f"README.md has {len(blocks)} blocks of commands in {' and '.join(SECTIONS)}; 7 are expected")
    for found in blocks:
        script, shown = found.groups()
        title = script.splitlines()[0].lstrip("# ")
        started = time.perf_counter()
        printed = run(script, binary)
        if shown is not None and options.write:
            text = text.replace(found.group(), found.group().replace(f"```text\n{shown}```", f"```text\n{printed}```"))
        elif shown is not None:
            compare(shown, printed)
        print(f"{title}: runs, {time.perf_counter() - started:.1f} s", flush=True)
    if options.write:
        PAGE.write_text(text)


def check_text(text):
    """Checks the page's length and its links to files."""
    words = len(text.split())
    if words > WORDS:
        fail(f"README.md has {words} words; {WORDS} are allowed")
    for link in re.findall(r"\]\(([^)#:]+)\)", text):
        if not (ROOT / link).exists():
            fail(f"README.md: there is no {link}")


def body(text, section):
    """The text of a section."""
    found = re.search(rf"^## {re.escape(section)}\n(.*?)(?=^## |\Z)", text, re.MULTILINE | re.DOTALL)
    if found is None:
        fail(f"README.md has no section {section}")
    return found.group(1)


def run(script, binary):
    """Runs a block in a folder with its inputs; what it prints."""
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        inputs.write(folder, str(binary))
        before = set(folder.iterdir())
        path = os.pathsep.join([str(binary.parent), os.environ["PATH"]])
        shell = ["bash", "-euo", "pipefail", "-c", script]
        done = subprocess.run(shell, cwd=folder, env={**os.environ, "PATH": path}, capture_output=True, text=True)
        if done.returncode != 0:
            fail(f"{script.strip()}\nended with {done.returncode}: {done.stderr.strip()}")
        made = set(folder.iterdir()) - before
        empty = [path.name for path in made if path.stat().st_size == 0]
        if not made or empty:
            fail(f"{script.strip()}\nwrites nothing: {', '.join(empty) or 'no file'}")
        for wanted in re.findall(r"-o (\S+)", script):
            if not (folder / wanted).exists():
                fail(f"{script.strip()}\nwrites no {wanted}")
        return done.stdout


def compare(shown, printed):
    """Compares what the page shows with what is printed; numbers may differ."""
    old, new = shown.splitlines(), printed.splitlines()
    alike = len(old) == len(new) and all(same_columns(*pair) for pair in zip(old, new))
    if not alike:
        sys.stdout.write(f"README.md shows\n{shown}and the commands print\n{printed}")
        fail("README.md does not show what is printed (scripts/validate readme --write)")


def same_columns(left, right):
    """True if two lines have the same columns, but for numbers and strands."""
    left, right = left.split("\t"), right.split("\t")
    return len(left) == len(right) and all(kind(a) == kind(b) for a, b in zip(left, right))


def kind(word):
    """The word, or what kind of word it is."""
    if word in ("+", "-", "."):
        return "strand"
    try:
        float(word)
        return "number"
    except ValueError:
        return re.sub(r"\d+", "0", word)
