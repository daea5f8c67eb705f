rule report:
    input:
        genome=config["genome"],
        models=model_files(),
    output:
        page=report("results/report.html", category="sites"),
    log:
        "results/logs/report.log",
    params:
        bindscan=config["bindscan"],
        models=model_options,
        options=config["scan"],
    threads: config["threads"]
    resources:
        mem_mb=1000,
        runtime=720,
    conda:
        "../envs/bindscan.yaml"
    shell:
        "{params.bindscan} scan {params.models} {input.genome:q} {params.options} --threads {threads} "
        "-o /dev/null --format bed --report {output.page:q} 2> {log:q}"
