# A scan in shards, to copy into a workflow of your own, with workflow/envs if you use conda.
# results/MODEL.bed is made from genome.fa and models/MODEL.onnx.

BINDSCAN_SHARDS = 8


rule bindscan_scan:
    input:
        genome="genome.fa",
        model="models/{model}.onnx",
    output:
        temp("results/shards/{model}.{shard}.bed"),
    log:
        "results/logs/bindscan/{model}.{shard}.log",
    params:
        options="--threshold 4",
        shards=BINDSCAN_SHARDS,
    threads: 2
    resources:
        mem_mb=1000,
    conda:
        "envs/bindscan.yaml"
    shell:
        "bindscan scan -m {input.model:q} {input.genome:q} {params.options} --shard {wildcards.shard}/{params.shards} "
        "--threads {threads} -o {output:q} 2> {log:q}"


rule bindscan_merge:
    input:
        expand("results/shards/{{model}}.{shard}.bed", shard=range(1, BINDSCAN_SHARDS + 1)),
    output:
        "results/{model}.bed",
    log:
        "results/logs/bindscan/{model}.log",
    conda:
        "envs/bindscan.yaml"
    shell:
        "bindscan merge {input:q} -o {output:q} 2> {log:q}"
