"""Adds the counts of the shards up to those of the whole scan, as JSON that MultiQC shows."""

import json
import sys
from pathlib import Path

sys.stderr = open(snakemake.log[0], "w")


def sites_of(path):
    """Number of sites in a merged file: with q-values, the shards have counted candidates."""
    with open(path) as lines:
        rows = sum(1 for line in lines if not line.startswith("#") and line.strip())
    return rows - 1 if path.endswith(".tsv") else rows


shards = [json.loads(Path(path).read_text()) for path in snakemake.input.shards]
whole = shards[0]
counted = [count for shard in shards for count in shard["data"].values()]
counts = {name: sum(count[name] for count in counted) for name in counted[0]}
counts["models"] = counted[0]["models"]
if snakemake.input.sites:
    counts["sites"] = sites_of(snakemake.input.sites[0])
whole["data"] = {snakemake.params.sample: counts}
whole["bindscan"]["shard"] = None
whole["bindscan"]["command"] = [shard["bindscan"]["command"] for shard in shards]
Path(snakemake.output[0]).write_text(json.dumps(whole, indent=2) + "\n")
