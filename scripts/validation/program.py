"""Running bindscan."""

import os
import resource
import shutil
import subprocess
import sys
from collections import namedtuple

from .environment import ROOT, TARGET, fail, skip

Run = namedtuple("Run", "seconds peak_mib")

# Runs its arguments and ends with their exit code; wall seconds and peak KiB are the last line on standard error.
LAUNCHER = """
import os, sys, time
started = time.perf_counter()
child = os.posix_spawn(sys.argv[1], sys.argv[1:], os.environ)
_, status, usage = os.wait4(child, 0)
seconds = time.perf_counter() - started
code = os.waitstatus_to_exitcode(status)
code or sys.stderr.write(f"\\n{seconds} {usage.ru_maxrss}")
sys.exit(code)
"""


def add_option(parser):
    """Adds --bindscan, the program to be compared, to an argument parser."""
    parser.add_argument("--bindscan", metavar="PATH", help="the program (default: $BINDSCAN, then target/release/bindscan, then the search path)")


def find(path=None):
    """The program as an absolute path, or the end of the script."""
    path = path or os.environ.get("BINDSCAN")
    for candidate in [path] if path else [TARGET / "release" / "bindscan", "bindscan"]:
        found = shutil.which(candidate)
        if found:
            return os.path.abspath(found)
    if path:
        fail(f"{path} is not a program")
    skip("bindscan is not built; run: cargo build --release")


def given_or_built(path=None):
    """The program that --bindscan or $BINDSCAN names; without one, cargo's release build, brought up to date."""
    if not path and not os.environ.get("BINDSCAN"):
        if subprocess.run(["cargo", "build", "--release", "--quiet"], cwd=ROOT).returncode != 0:
            fail("bindscan cannot be built")
        return str(TARGET / "release" / "bindscan")
    return find(path)


def attempt(program, *arguments):
    """Runs the program: what it prints, and None or its error message."""
    done = subprocess.run([program, *map(str, arguments)], capture_output=True, text=True)
    return done.stdout, done.stderr.strip() if done.returncode != 0 else None


def run(program, *arguments):
    """Runs the program and returns what it prints; its failure is the script's."""
    printed, error = attempt(program, *arguments)
    if error is not None:
        fail(f"{' '.join([program, *map(str, arguments)])}: {error}")
    return printed


def processor_seconds():
    """Of all programs that this one ran and that have ended."""
    used = resource.getrusage(resource.RUSAGE_CHILDREN)
    return used.ru_utime + used.ru_stime


def measure(program, *arguments, stdout):
    """Runs the program with its output in the open file `stdout`; wall seconds and peak resident memory.

    A process starts with the peak of the one that it was made from, so a small launcher stands between.
    """
    command = [program, *map(str, arguments)]
    launcher = [sys.executable, "-I", "-S", "-c", LAUNCHER, *command]
    done = subprocess.run(launcher, stdout=stdout, stderr=subprocess.PIPE, text=True)
    measured = done.stderr.rpartition("\n")[2]
    if done.returncode != 0:
        fail(f"{' '.join(command)}: exit {done.returncode}: {done.stderr.strip()}")
    seconds, peak_kib = map(float, measured.split())
    return Run(seconds, peak_kib / 1024)
