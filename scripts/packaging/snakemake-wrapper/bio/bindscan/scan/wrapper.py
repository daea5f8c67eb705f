__author__ = "The bindscan authors"
__copyright__ = "Copyright 2026, The bindscan authors"
__license__ = "MIT"

from snakemake.shell import shell

log = snakemake.log_fmt_shell(stdout=False, stderr=True)
extra = snakemake.params.get("extra", "--pvalue 1e-5")


def listed(value):
    """A value that may be missing, one word or several, as a list."""
    return [value] if isinstance(value, str) else list(value or [])


models = listed(snakemake.input.get("models")) + listed(snakemake.params.get("bundled"))
if not models:
    raise ValueError("bindscan needs a model: input.models (ONNX or motif files) or params.bundled (names)")
models = " ".join(f"--model {model}" for model in models)

regions = snakemake.input.get("regions", "")
if regions:
    regions = f"--regions-file {regions}"

tracks, report, summary = [], "", ""
for output in snakemake.output:
    if output.endswith(".html"):
        report = f"--report {output}"
    elif output.endswith(".json"):
        summary = f"--summary-json {output}"
    elif not output.endswith((".tbi", ".csi")):
        tracks.append(f"--output {output}")
tracks = " ".join(tracks)

shell(
    "bindscan scan {models} {snakemake.input.genome} {regions} {extra}"
    " --threads {snakemake.threads} {tracks} {report} {summary} {log}"
)
