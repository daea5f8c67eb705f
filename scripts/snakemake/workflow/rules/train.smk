rule train:
    input:
        peaks=lambda wildcards: MODELS[wildcards.model]["peaks"],
        genome=config["genome"],
    output:
        model="results/models/{model}.onnx",
        page=report("results/models/{model}.html", category="training"),
    log:
        "results/logs/train/{model}.log",
    params:
        bindscan=config["bindscan"],
        options=lambda wildcards: MODELS[wildcards.model].get("train", ""),
    threads: config["threads"]
    resources:
        mem_mb=2000,
        runtime=240,
    conda:
        "../envs/bindscan.yaml"
    shell:
        "{params.bindscan} train {input.peaks:q} --genome {input.genome:q} {params.options} --threads {threads} "
        "-o {output.model:q} --report {output.page:q} 2> {log:q}"
