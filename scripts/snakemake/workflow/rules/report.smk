rule report:
    input:
        genome=config["genome"],
        model=model_file,
    output:
        page=report("results/{model}.html", category="sites"),
    log:
        "results/logs/report/{model}.log",
    params:
        bindscan=config["bindscan"],
        model=model_argument,
        options=lambda wildcards: MODELS[wildcards.model]["scan"],
    threads: config["threads"]
    resources:
        mem_mb=1000,
        runtime=720,
    conda:
        "../envs/bindscan.yaml"
    shell:
        "{params.bindscan} scan -m {params.model:q} {input.genome:q} {params.options} --threads {threads} "
        "-o /dev/null --format bed --report {output.page:q} 2> {log:q}"
