process BINDSCAN_SCAN {
    tag "${meta.id}"
    label 'process_medium'

    conda "${moduleDir}/environment.yml"
    container "${workflow.containerEngine in ['singularity', 'apptainer'] && !task.ext.singularity_pull_docker_container
        ? 'https://depot.galaxyproject.org/singularity/bindscan:0.2.0--0'
        : 'quay.io/biocontainers/bindscan:0.2.0--0'}"

    input:
    tuple val(meta), path(genome)
    path models, stageAs: 'models/*'

    output:
    tuple val(meta), path("${prefix}.bed.gz"), emit: sites
    tuple val(meta), path("${prefix}.bed.gz.{tbi,csi}"), emit: index
    tuple val(meta), path("${prefix}_mqc.json"), emit: summary
    tuple val("${task.process}"), val('bindscan'), eval("bindscan -V | sed 's/bindscan //'"), topic: versions, emit: versions_bindscan

    when:
    task.ext.when == null || task.ext.when

    script:
    def args = task.ext.args ?: ''
    def chosen = [models].flatten().collect { model -> "-m ${model}" }.join(' ')
    prefix = task.ext.prefix ?: "${meta.id}"
    """
    bindscan scan \\
        ${chosen} \\
        ${genome} \\
        ${args} \\
        --threads ${task.cpus} \\
        --output ${prefix}.bed.gz \\
        --summary-json ${prefix}_mqc.json
    """

    stub:
    prefix = task.ext.prefix ?: "${meta.id}"
    """
    echo "" | gzip > ${prefix}.bed.gz
    touch ${prefix}.bed.gz.tbi
    echo '{}' > ${prefix}_mqc.json
    """
}
