rule scan:
    input:
        genome=config["genome"],
        model=model_file,
    output:
        temp(
            multiext(
                "results/shards/{model}/{shard}-of-{of}",
                *[f".{track}" for track in config["tracks"]],
            )
        ),
    log:
        "results/logs/scan/{model}.{shard}-of-{of}.log",
    params:
        bindscan=config["bindscan"],
        model=model_argument,
        options=lambda wildcards: MODELS[wildcards.model]["scan"],
        outputs=lambda wildcards, output: [f"-o {path}" for path in output],
    threads: config["threads"]
    resources:
        mem_mb=1000,
        runtime=120,
    conda:
        "../envs/bindscan.yaml"
    # A job that is killed and retried goes on where it was.
    shell:
        "{params.bindscan} scan -m {params.model:q} {input.genome:q} {params.options} --shard {wildcards.shard}/{wildcards.of} "
        "--threads {threads} --resume {params.outputs} 2> {log:q}"


rule merge:
    input:
        expand(
            "results/shards/{{model}}/{shard}-of-{of}.{{track}}",
            shard=range(1, config["shards"] + 1),
            of=config["shards"],
        ),
    output:
        "results/{model}.{track}",
    log:
        "results/logs/merge/{model}.{track}.log",
    params:
        bindscan=config["bindscan"],
    resources:
        mem_mb=500,
        runtime=60,
    conda:
        "../envs/bindscan.yaml"
    shell:
        "{params.bindscan} merge {input:q} -o {output:q} 2> {log:q}"
