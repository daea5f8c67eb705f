"""Run the commands of the nf-core module and the test of the Snakemake wrapper, and show their summaries to MultiQC.

The module (scripts/packaging/nf-core) has its script and its stub run for each case of main.nf.test, with the inputs that
are written there, by bash and without Nextflow: what comes out must be what main.nf.test.snap holds. --write writes that
file, in nf-test's format. Two runs on one genome are two samples in MultiQC's table, with the counts of the runs. The
wrapper (scripts/packaging/snakemake-wrapper) runs on the data of its test as snakemake-wrappers' own tests run it, but for
conda: the program is the one that --bindscan or $BINDSCAN names.

Snakemake and MultiQC are installed into $BINDSCAN_SNAKEMAKE_VENV or target/snakemake-venv.
"""

import csv
import gzip
import hashlib
import json
import os
import re
import shutil
import subprocess
import tempfile
from pathlib import Path

from . import environment, program
from .environment import fail

PACKAGING = environment.SCRIPTS / "packaging"
MODULE = PACKAGING / "nf-core" / "modules" / "nf-core" / "bindscan" / "scan"
WRAPPER = PACKAGING / "snakemake-wrapper"
CASE = re.compile(r'^    test\("(.*?)"\) \{\n(.*?)^    \}\n', re.MULTILINE | re.DOTALL)
FILE = re.compile(r"input\[(\d)\] = channel\.of\((.*?)\)\.collectFile\(name: '(.*?)'", re.DOTALL)


class Module:
    """The nf-core module, as text."""

    def __init__(self):
        self.text = (MODULE / "main.nf").read_text()
        self.cases = CASE.findall((MODULE / "tests" / "main.nf.test").read_text())
        self.args = re.search(r"ext\.args = '(.*)'", (MODULE / "tests" / "nextflow.config").read_text()).group(1)
        self.snapshot = MODULE / "tests" / "main.nf.test.snap"

    def commands(self, block, values):
        """The commands of `script` or `stub`, with the values filled in as Nextflow would."""
        quoted = re.search(rf'^    {block}:\n.*?"""\n(.*?)"""', self.text, re.MULTILINE | re.DOTALL).group(1)
        filled = re.sub(r"\$\{(.*?)\}", lambda found: values[found.group(1)], quoted)
        return filled.replace("\\\\", "\\")

    def run(self, block, folder, prefix, inputs, args, env):
        """Runs a block in a folder whose inputs are there."""
        genome, models = inputs
        chosen = " ".join(f"-m models/{name}" for name in models)
        values = {"chosen": chosen, "genome": genome, "args": args, "task.cpus": "1", "prefix": prefix}
        shell(self.commands(block, values), folder, env)

    def case(self, name, body, folder, env):
        """What a case has in the snapshot."""
        (folder / "models").mkdir()
        genome, models = None, []
        for rank, lines, file in FILE.findall(body):
            place = folder / file if rank == "0" else folder / "models" / file
            place.write_text("".join(f"{line}\n" for line in re.findall(r"'(.*?)'", lines)))
            genome, models = (file, models) if rank == "0" else (genome, [*models, file])
        stub = 'options "-stub"' in body
        self.run("stub" if stub else "script", folder, "test", (genome, models), self.args, env)
        version = shell(re.search(r'eval\("(.*?)"\)', self.text).group(1), folder, env).strip()
        versions = ["BINDSCAN_SCAN", "bindscan", version]
        outputs = re.findall(r'tuple val\(meta\), path\("(.*?)"\), emit: (\w+)', self.text)
        made = [(emit, one_file(folder, pattern.replace("${prefix}", "test"))) for pattern, emit in outputs]
        if stub:
            channels = [(emit, [[{"id": "test"}, f"{path.name}:md5,{digest(path)}"]]) for emit, path in made]
            channels.append(("versions_bindscan", [versions]))
            numbered = {str(rank): values for rank, (_, values) in enumerate(channels)}
            return [numbered | dict(sorted(channels))]
        paths = dict(made)
        rows = [line.split("\t") for line in gzip.decompress(paths["sites"].read_bytes()).decode().splitlines()]
        if len(rows) < 2:
            fail(f"nf-core, {name}: {len(rows)} sites are too few to compare")
        counts = json.loads(paths["summary"].read_text())["data"]
        if counts.keys() != {"test"} or counts["test"]["sites"] != len(rows):
            fail(f"nf-core, {name}: the summary has {counts}, the sites are {len(rows)}")
        return [[" ".join([*row[:4], row[5]]) for row in rows], {"versions_bindscan": [versions]}]


def one_file(folder, pattern):
    """The file that a pattern of the module's outputs matches; of alternatives in braces one must be there."""
    alternatives = re.search(r"\{(.*?)\}", pattern)
    names = [pattern] if alternatives is None else [
        pattern.replace(alternatives.group(), name) for name in alternatives.group(1).split(",")
    ]
    found = [folder / name for name in names if (folder / name).exists()]
    if len(found) != 1:
        fail(f"nf-core: of {' and '.join(names)} there are {len(found)}")
    return found[0]


def digest(path):
    """MD5 as nf-test takes it: of what a compressed file holds."""
    data = path.read_bytes()
    return hashlib.md5(gzip.decompress(data) if path.suffix == ".gz" else data).hexdigest()


def shell(text, folder, env):
    """Runs commands, whose failure is the script's; what they print."""
    done = subprocess.run(["bash", "-euo", "pipefail", "-c", text], cwd=folder, env=env, capture_output=True, text=True)
    if done.returncode != 0:
        fail(f"{text.strip()}\nended with {done.returncode}: {(done.stderr or done.stdout).strip()[-2000:]}")
    return done.stdout


def check_module(module, folder, env, write):
    """The snapshot of every case."""
    content = {}
    for rank, (name, body) in enumerate(module.cases):
        place = folder / f"case{rank}"
        place.mkdir()
        content[name] = {"content": module.case(name, body, place, env)}
    text = json.dumps(dict(sorted(content.items())), indent=4) + "\n"
    if write:
        module.snapshot.write_text(text)
    elif module.snapshot.read_text() != text:
        fail(f"nf-core: {module.snapshot.name} is not what the commands give (scripts/validate wrappers --write):\n{text}")
    print(f"nf-core: {len(content)} cases give what the snapshot holds", flush=True)


def check_multiqc(module, folder, env):
    """Two runs of the module on one genome are two samples."""
    folder.mkdir()
    shutil.copy(WRAPPER / "bio/bindscan/scan/test/genome.fa", folder)
    wanted = {}
    for prefix, args in (("low", "-m ELK1 --threshold 0"), ("high", "-m ELK1 -m GABPA --threshold 3")):
        module.run("script", folder, prefix, ("genome.fa", []), args, env)
        wanted[prefix] = len(gzip.decompress((folder / f"{prefix}.bed.gz").read_bytes()).splitlines())
    if len(set(wanted.values())) != 2:
        fail("MultiQC: the two runs have the same number of sites")
    shell("multiqc --quiet --no-version-check --filename page .", folder, env)
    with open(folder / "page_data" / "multiqc_bindscan_table.txt") as file:
        found = {row["Sample"]: int(float(row["sites"])) for row in csv.DictReader(file, delimiter="\t")}
    if found != wanted:
        fail(f"MultiQC shows {found} in place of {wanted}")
    print(f"MultiQC: {len(found)} runs on one genome, {found}", flush=True)


def check_wrapper(folder, env):
    """The wrapper's test, as snakemake-wrappers runs it."""
    folder.mkdir()
    (folder / "master").symlink_to(WRAPPER)
    test = folder / "test"
    shutil.copytree(WRAPPER / "bio/bindscan/scan/test", test)
    target = "sites/a.bed"
    shell(f"snakemake --cores 1 --force --wrapper-prefix file://{folder}/ {target}", test, env)
    sites = (test / target).read_text().splitlines()
    counts = json.loads((test / "sites/a_mqc.json").read_text())["data"]
    names = {line.split("\t")[3] for line in sites}
    if counts.keys() != {"a"} or counts["a"]["sites"] != len(sites) or len(names) != 2:
        fail(f"wrapper: {len(sites)} sites of {names}, and the summary has {counts}")
    if "</html>" not in (test / "sites/a.html").read_text():
        fail("wrapper: the page is not whole")
    print(f"Snakemake wrapper: {len(sites)} sites of {len(names)} models, a page and a summary", flush=True)


def main(options):
    """Runs the three checks."""
    binary = Path(program.find(options.bindscan))
    venv = Path(os.environ.get("BINDSCAN_SNAKEMAKE_VENV", environment.TARGET / "snakemake-venv"))
    python = environment.install(venv, ["snakemake", "multiqc"])
    path = os.pathsep.join([str(binary.parent), str(python.parent), os.environ["PATH"]])
    module = Module()
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        env = environment.clean_environment() | {"PATH": path, "HOME": name, "XDG_CACHE_HOME": name}
        check_module(module, folder, env, options.write)
        check_multiqc(module, folder / "multiqc", env)
        check_wrapper(folder / "wrapper", env)
