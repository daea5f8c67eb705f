rule scan:
    input:
        genome=config["genome"],
        models=model_files(),
    output:
        # Where only scores are wanted, the sites' file is missing.
        sites=temp([f"results/shards/{{shard}}-of-{{of}}.{sites}" for sites in config["sites"]]),
        summary=temp("results/shards/{shard}-of-{of}.json"),
        **{
            f"scores_{scores}": temp(directory(f"results/shards/{{shard}}-of-{{of}}.scores.{scores}"))
            for scores in config["scores"]
        },
    log:
        "results/logs/scan/{shard}-of-{of}.log",
    params:
        bindscan=config["bindscan"],
        models=model_options,
        options=config["scan"],
        sites=lambda wildcards, output: [f"-o {path}" for path in output.sites],
        scores=score_options,
        folders=lambda wildcards, output: [output[f"scores_{scores}"] for scores in config["scores"]],
    threads: config["threads"]
    resources:
        mem_mb=1000,
        runtime=120,
    conda:
        "../envs/bindscan.yaml"
    # A job that is killed and retried continues where it was.
    shell:
        "mkdir -p results/shards {params.folders} && "
        "{params.bindscan} scan {params.models} {input.genome:q} {params.options} --shard {wildcards.shard}/{wildcards.of} "
        "--threads {threads} --resume --summary-json {output.summary:q} {params.sites} {params.scores} 2> {log:q}"
