# A scan in shards, to copy into a workflow of your own, with workflow/envs if you use conda.
# results/sites.bed is made from genome.fa with all of BINDSCAN_MODELS in one pass.

BINDSCAN_MODELS = ["models/ctcf.onnx"]
BINDSCAN_SHARDS = 8


rule bindscan_scan:
    input:
        genome="genome.fa",
        models=BINDSCAN_MODELS,
    output:
        temp("results/shards/{shard}.bed"),
    log:
        "results/logs/bindscan/{shard}.log",
    params:
        models=lambda wildcards, input: [f"-m {model}" for model in input.models],
        options="--threshold 4",
        shards=BINDSCAN_SHARDS,
    threads: 2
    resources:
        mem_mb=1000,
    conda:
        "envs/bindscan.yaml"
    shell:
        "bindscan scan {params.models} {input.genome:q} {params.options} --shard {wildcards.shard}/{params.shards} "
        "--threads {threads} -o {output:q} 2> {log:q}"


rule bindscan_merge:
    input:
        expand("results/shards/{shard}.bed", shard=range(1, BINDSCAN_SHARDS + 1)),
    output:
        "results/sites.bed",
    log:
        "results/logs/bindscan/merge.log",
    conda:
        "envs/bindscan.yaml"
    shell:
        "bindscan merge {input:q} -o {output:q} 2> {log:q}"
