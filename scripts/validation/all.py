"""Run all checks that need no Python packages, and with --extras those that need some.

`--extras peers,torch,motifs,foreign,snakemake,multiqc` runs every check; that takes hours and installs several GB. Each check runs
with its default options. One that lacks a program, or the test data, skips itself with a line. A list of all checks and
their results comes last. The exit code is 1 if one of them failed.
"""

import argparse
import subprocess
import sys

from .environment import EXTRAS, SCRIPTS, fail


def main(options):
    """Runs the checks one after the other."""
    allowed = {name for name in options.extras.split(",") if name}
    unknown = allowed - set(EXTRAS.values())
    if unknown:
        fail(f"there is no extra {', '.join(sorted(unknown))}; known: {', '.join(dict.fromkeys(EXTRAS.values()))}")
    results = {}
    for check in options.checks:
        missing = [name for name in check.extras(defaults(check)) if name not in allowed]
        if missing:
            results[check.name] = f"left out, needs --extras {','.join(missing)}"
            continue
        print(f"== {check.name}", flush=True)
        code = subprocess.run([sys.executable, SCRIPTS / "validate", check.name]).returncode
        results[check.name] = "passed or skipped" if code == 0 else f"failed, exit code {code}"
    print("==", flush=True)
    for name, result in results.items():
        print(f"{name + ':':<14}{result}")
    if any(result.startswith("failed") for result in results.values()):
        sys.exit(1)


def defaults(check):
    """The options of a check that is given none."""
    parser = argparse.ArgumentParser()
    check.add_options(parser)
    return parser.parse_args([])
