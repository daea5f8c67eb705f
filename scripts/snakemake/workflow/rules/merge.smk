rule merge_sites:
    input:
        expand("results/shards/{shard}.{{sites}}", shard=SHARDS),
    output:
        "results/sites.{sites}",
    log:
        "results/logs/merge/sites.{sites}.log",
    params:
        bindscan=config["bindscan"],
    resources:
        mem_mb=500,
        runtime=60,
    conda:
        "../envs/bindscan.yaml"
    shell:
        "{params.bindscan} merge {input:q} -o {output:q} 2> {log:q}"


rule merge_scores:
    input:
        shards=expand("results/shards/{shard}.scores.{{scores}}", shard=SHARDS),
    output:
        directory("results/scores.{scores}"),
    log:
        "results/logs/merge/scores.{scores}.log",
    params:
        bindscan=config["bindscan"],
        first=lambda wildcards, input: input.shards[0],
    resources:
        mem_mb=500,
        runtime=60,
    conda:
        "../envs/bindscan.yaml"
    # Every shard has a file for each model.
    shell:
        """
        mkdir -p {output:q}
        for path in {params.first:q}/*; do
            name="${{path##*/}}"
            shards=()
            for folder in {input.shards:q}; do
                shards+=("$folder/$name")
            done
            {params.bindscan} merge "${{shards[@]}}" -o {output:q}/"$name"
        done 2> {log:q}
        """


rule summary:
    input:
        shards=expand("results/shards/{shard}.json", shard=SHARDS),
        sites=[f"results/sites.{sites}" for sites in config["sites"][:1]],
    output:
        "results/bindscan_mqc.json",
    log:
        "results/logs/summary.log",
    params:
        sample=Path(config["genome"].removesuffix(".gz")).stem,
    resources:
        mem_mb=500,
        runtime=10,
    conda:
        "../envs/python.yaml"
    script:
        "../scripts/summary.py"
