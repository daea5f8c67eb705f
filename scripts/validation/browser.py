"""Check in a browser that the tracks and the report of a scan are shown correctly.

sacCer3 (without the test data: a simulated genome) is scanned with a motif matrix; sites and scores are written as
tracks, with a report. The report is opened in headless Chromium, from disk and from a server on loopback. On its own, it
must load nothing and be no wider than a phone. From the server, igv.js must show every track, with the chosen site among
its features and the right value, and no pixels where there is no site. Pictures are left in target/validate/browser:
igv.png, report.360.png and report.1100.png.

igv.js and playwright-core are installed from npm into target/validate/browser. Without Chromium or npm the check is left
out with a line. The exit code is 1 if anything differs.
"""

import gzip
import json
import os
import shutil
import subprocess

from . import environment, program

HERE = environment.SCRIPTS / "browser"
MOTIF = environment.ROOT / "models" / "ctcf-consensus.meme"
TRACKS = {
    "sites.bed": "sites",
    "indexed.bed.gz": "sites",
    "sites.narrowPeak": "sites",
    "sites.gff3": "sites",
    "sites.bb": "sites",
    "scores.bedGraph": "scores",
    "scores.bw": "scores",
}
EMPTY = 400  # bases of a stretch without a site


def main(options):
    """Scans, opens the results in the browser, and ends the script with 1 if something is not shown."""
    bindscan = program.find(options.bindscan)
    names = [options.chromium] if options.chromium else ["chromium", "chromium-browser", "google-chrome"]
    chromium = next(filter(None, map(shutil.which, names)), None)
    if chromium is None:
        environment.skip("no Chromium (apt-get install chromium)")
    if shutil.which("npm") is None or shutil.which("node") is None:
        environment.skip("no Node.js with npm (apt-get install nodejs npm)")

    folder = environment.ROOT / "target" / "validate" / "browser"
    folder.mkdir(parents=True, exist_ok=True)
    for script in HERE.iterdir():
        shutil.copy(script, folder)
    install = ["npm", "install", "--silent", "--no-audit", "--no-fund", "--no-package-lock"]
    if subprocess.run(install, cwd=folder).returncode != 0:
        environment.skip("npm cannot install igv and playwright-core")
    shutil.copy(folder / "node_modules" / "igv" / "dist" / "igv.min.js", folder)

    genome = prepare_genome(bindscan, options.data, folder / "genome.fa")
    program.run(bindscan, "import", "meme", MOTIF, "-o", folder / "motif.onnx")
    outputs = [word for name in TRACKS for word in ("-o", folder / name)]
    region = ["-r", first_contig(genome)]
    scan = ["scan", "-m", folder / "motif.onnx", genome, "--threshold", "8", "--quiet", *region, *outputs]
    program.run(bindscan, *scan, "--report", folder / "report.html")
    site, empty = choose(folder / "sites.bed")
    plan = {
        "folder": str(folder),
        "report": "report.html",
        "genome": genome.name,
        "chromium": chromium,
        "tracks": [{"name": name, "kind": kind} for name, kind in TRACKS.items()],
        "site": site,
        "empty": empty,
    }
    (folder / "plan.json").write_text(json.dumps(plan))
    done = subprocess.run(["node", "check.mjs", "plan.json"], cwd=folder, env={**os.environ, "HOME": str(folder)})
    if done.returncode != 0:
        environment.fail("the browser does not show what it should")


def prepare_genome(bindscan, data, path):
    """A genome with its index: sacCer3, or a simulated one."""
    real = environment.Path(data) / "genomes" / "sacCer3.fa.gz"
    if real.exists():
        with gzip.open(real) as packed, open(path, "wb") as plain:
            shutil.copyfileobj(packed, plain)
    else:
        sizes = ("--length", "300k", "--sites", "100")
        program.run(bindscan, "simulate", "genome", MOTIF, *sizes, "-o", path, "--truth", path.with_suffix(".truth.bed"))
    path.with_suffix(".fa.fai").write_text("".join(index(path)))
    return path


def index(path):
    """The lines of a FASTA's .fai; all lines of a contig but its last are equally long."""
    name, length, offset, bases, width, at = None, 0, 0, 0, 0, 0
    with open(path, "rb") as lines:
        for line in lines:
            at += len(line)
            if line.startswith(b">"):
                if name is not None:
                    yield f"{name}\t{length}\t{offset}\t{bases}\t{width}\n"
                name, length, offset, bases = line[1:].split()[0].decode(), 0, at, 0
            else:
                if bases == 0:
                    bases, width = len(line.rstrip()), len(line)
                length += len(line.rstrip())
    yield f"{name}\t{length}\t{offset}\t{bases}\t{width}\n"


def first_contig(path):
    with open(path) as lines:
        return lines.readline()[1:].split()[0]


def choose(bed):
    """The site with the highest score among those in the middle, and a stretch without a site."""
    rows = [line.rstrip("\n").split("\t") for line in open(bed)]
    sites = [
        {
            "contig": row[0],
            "start": int(row[1]),
            "end": int(row[2]),
            "name": row[3],
            "strand": row[5],
            "score": float(row[6]),
        }
        for row in rows
    ]
    site = max(sites[1:-1], key=lambda site: site["score"])
    # igv.js draws more than it shows: the middle of the widest gap.
    left, right = max(zip(sites, sites[1:]), key=lambda pair: pair[1]["start"] - pair[0]["end"])
    middle = (left["end"] + right["start"]) // 2
    return site, {"contig": left["contig"], "start": middle - EMPTY // 2, "end": middle + EMPTY // 2}
