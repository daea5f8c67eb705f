#!/usr/bin/env bash
# Behind `scripts/validate snakemake`, which says what it does: PROGRAM BIN local|slurm given|built
# BIN is the folder of snakemake; `given` leaves out the conda environment, for which the program is built.
set -euo pipefail

cd "$(dirname "${BASH_SOURCE[0]}")/../.."
root=$PWD
program=$1 bin=$2 local_only='' built=''
[[ "$3" == local ]] && local_only=1
[[ "$4" == built ]] && built=1
target=$(realpath "${CARGO_TARGET_DIR:-target}")

work=$(mktemp -d -t bindscan-snakemake.XXXXXX)
chmod 755 "$work"
mkdir "$work/bin"
ln -s "$program" "$work/bin/bindscan"
export PATH="$work/bin:$bin:$PATH"
daemons=()
stop() {
    # The last one started first; each ends by itself.
    for ((i = ${#daemons[@]} - 1; i >= 0; i--)); do
        kill "${daemons[i]}" 2>/dev/null || true
        tail --pid="${daemons[i]}" -f /dev/null 2>/dev/null || true
    done
    rm -rf "$work"
}
trap stop EXIT

fail() {
    echo "error: $*" >&2
    exit 1
}

# Runs the workflow, quietly unless it fails: NAME ARGUMENTS...
snake() {
    local name=$1 from=$SECONDS
    shift
    if ! snakemake "$@" >"$work/$name.log" 2>&1; then
        tail -n 40 "$work/$name.log" >&2
        # What the jobs themselves said.
        find results/logs .snakemake/slurm_logs -name '*.log' -size +0 -exec tail -n 15 {} + >&2 2>/dev/null || true
        fail "$name failed"
    fi
    took=$((SECONDS - from))
}

shards=4
length=6M
[[ -n "$local_only" ]] && length=3M
bindscan --quiet simulate genome models/ctcf-consensus.meme --length $length --contigs 3 --sites 500 --truth "$work/truth.bed" \
    -o "$work/genome.fa"
bindscan --quiet import meme models/ctcf-consensus.meme -o "$work/ctcf.onnx"
mkdir "$work/whole"
# What one run gives, in the folder whole: NAME OPTIONS...
whole() {
    local name=$1
    shift
    mkdir "$work/whole/$name"
    bindscan --quiet scan "$work/genome.fa" "$@" -o "$work/whole/$name/sites.bed" -o "$work/whole/$name/{name}.bw" \
        --summary-json "$work/whole/$name/summary.json"
}
whole both -m "$work/ctcf.onnx" -m ELK1 --threshold 1

# Makes a folder with the workflow and enters it: NAME SCAN MODELS...
workflow() {
    cp -r "$root/scripts/snakemake" "$work/$1"
    cd "$work/$1"
    local scan=$2
    shift 2
    {
        echo 'genome: ../genome.fa'
        echo 'models:'
        printf '  %s\n' "$@"
        echo "scan: $scan"
        echo "shards: $shards"
        echo 'sites: [bed]'
        echo 'scores: [bw]'
        echo "report: ${report:-false}"
        echo 'threads: 1'
        echo 'bindscan: bindscan'
    } >config/config.yaml
}

# Whether the workflow's results are those of one run: NAME WHOLE
same() {
    cmp "$work/whole/$2/sites.bed" results/sites.bed || fail "$1: the sites differ from one run's"
    local path
    for path in "$work/whole/$2"/*.bw; do
        cmp "$path" "results/scores.bw/${path##*/}" || fail "$1: ${path##*/} differs from one run's"
    done
    python3 - "$work/whole/$2/summary.json" results/bindscan_mqc.json <<'PYTHON' || fail "$1: the summary has other counts than one run's"
import json, sys
whole, added = (json.load(open(path)) for path in sys.argv[1:])
sys.exit(whole["data"] != added["data"] or added["plot_type"] != "table")
PYTHON
    [[ $(ls results/scores.bw | wc -l) == $(ls "$work/whole/$2"/*.bw | wc -l) ]] || fail "$1: there are other scores than one run's"
}

elk1='ELK1: {bundled: ELK1}'
ctcf='ctcf: {file: ../ctcf.onnx}'

trained='trained: {peaks: ../truth.bed, train: --quick --trials 1 --steps 200 --final 1 --seed 1}'
report=true workflow local '--threshold 1' "$elk1" "$ctcf" "$trained"
snake lint --lint
snake 'lint of rule.smk' --lint --snakefile rule.smk
echo 'lint: clean'
if snakemake --cores 1 --dry-run --config shards=0 >"$work/wrong.log" 2>&1; then
    fail 'a wrong configuration was taken'
fi
grep -q shards "$work/wrong.log" || fail 'a wrong configuration is not explained'
echo 'a wrong configuration is refused'
snakemake --cores 1 --dry-run >"$work/jobs.log" 2>&1 || fail 'the jobs cannot be listed'
grep -qE "^scan +$shards\$" "$work/jobs.log" || fail "there are not $shards jobs of scan"
snake local --cores 2
whole trained -m results/models/trained.onnx -m "$work/ctcf.onnx" -m ELK1 --threshold 1
same local trained
echo "local: 3 models in $shards jobs, $took s, identical to one run ($(wc -l <results/sites.bed) sites)"
for page in report models/trained; do
    grep -q '</html>' "results/$page.html" || fail "there is no page results/$page.html"
done
echo 'train, report: a model trained from peaks, a page on it and one on the sites'
snakemake --cores 1 --dry-run 2>&1 | grep -q 'Nothing to be done' || fail 'a finished workflow is not finished'

if [[ -n "$built" ]]; then
    mkdir "$work/conda"
    CONDA_PREFIX=$work/conda BINDSCAN_SOURCE=$root CARGO_TARGET_DIR=$target bash workflow/envs/bindscan.post-deploy.sh \
        >"$work/conda.log" 2>&1 || { tail -n 20 "$work/conda.log" >&2; fail 'the conda environment is not filled'; }
    "$work/conda/bin/bindscan" --version >/dev/null
    echo "conda environment: filled with bindscan in $work/conda"
else
    echo 'conda environment: left out, it takes a program that is built here'
fi

mkdir -p "$work/rule/models" && cd "$work/rule"
cp "$root/scripts/snakemake/rule.smk" Snakefile
cp -r "$root/scripts/snakemake/workflow/envs" .
ln -s ../genome.fa genome.fa
ln -s ../../ctcf.onnx models/ctcf.onnx
sed -i 's/--threshold 4/--threshold 1/' Snakefile
snake rule --cores 2 results/sites.bed
bindscan --quiet scan -m "$work/ctcf.onnx" "$work/genome.fa" --threshold 1 -o "$work/ctcf.bed"
cmp "$work/ctcf.bed" results/sites.bed || fail 'rule.smk: differs from one run'
echo "rule.smk: 8 shards, $took s, identical to one run"

[[ -n "$local_only" ]] && exit 0

skip() {
    echo "Slurm: left out, $*"
    exit 0
}

[[ $(id -u) == 0 ]] || skip 'it has to be started by root'
if ! command -v slurmctld slurmd munged >/dev/null; then
    { apt-get update && apt-get install -y --no-install-recommends slurm-wlm munge; } >"$work/apt.log" 2>&1 ||
        skip 'slurm-wlm and munge cannot be installed here'
fi

# munged wants files of its own user, in folders that no other may write to.
id munge >/dev/null 2>&1 || skip 'there is no user munge to run munged'
munge=$work/munge
mkdir "$munge"
head -c 1024 /dev/urandom >"$munge/key"
chmod 400 "$munge/key"
chown -R munge: "$munge"
host=$(hostname -s)
slurm=$work/node
mkdir -p "$slurm/state" "$slurm/spool"
port() { python3 -c 'import socket; s = socket.socket(); s.bind(("127.0.0.1", 0)); print(s.getsockname()[1])'; }
cat >"$slurm/slurm.conf" <<CONF
ClusterName=check
SlurmctldHost=$host(127.0.0.1)
SlurmctldPort=$(port)
SlurmdPort=$(port)
AuthType=auth/munge
AuthInfo=socket=$munge/socket
CredType=cred/munge
SlurmUser=root
SlurmdUser=root
StateSaveLocation=$slurm/state
SlurmdSpoolDir=$slurm/spool
SlurmctldPidFile=$slurm/slurmctld.pid
SlurmdPidFile=$slurm/slurmd.pid
ProctrackType=proctrack/linuxproc
TaskPlugin=task/none
JobAcctGatherType=jobacct_gather/none
AccountingStorageType=accounting_storage/none
SelectType=select/cons_tres
SelectTypeParameters=CR_CPU
MpiDefault=none
ReturnToService=2
KillWait=2
NodeName=$host NodeAddr=127.0.0.1 CPUs=$(nproc) RealMemory=$(awk '/^MemTotal/ { print int($2 / 1024) }' /proc/meminfo) State=UNKNOWN
PartitionName=check Nodes=$host Default=YES MaxTime=INFINITE State=UP
CONF
export SLURM_CONF=$slurm/slurm.conf
# In a job, the plugin takes all variables of Slurm from its srun, also the one that says where the configuration is.
mkdir "$slurm/bin"
printf '#!/bin/sh\nSLURM_CONF=%q exec %q "$@"\n' "$SLURM_CONF" "$(command -v srun)" >"$slurm/bin/srun"
chmod 755 "$slurm/bin/srun"
export PATH="$slurm/bin:$PATH"

setpriv --reuid munge --regid munge --clear-groups munged --foreground --key-file="$munge/key" --socket="$munge/socket" \
    --pid-file="$munge/pid" --log-file="$munge/log" --seed-file="$munge/seed" 2>"$work/munged.log" &
daemons+=($!)
for ((i = 0; i < 50; i++)); do [[ -S $munge/socket ]] && break; sleep 0.1; done
slurmctld -D >"$slurm/slurmctld.log" 2>&1 &
daemons+=($!)
slurmd -D >"$slurm/slurmd.log" 2>&1 &
daemons+=($!)
for ((i = 0; i < 60; i++)); do
    [[ $(sinfo --noheader --format %T 2>/dev/null) == idle ]] && break
    sleep 0.5
done
[[ $(sinfo --noheader --format %T 2>/dev/null) == idle ]] ||
    { tail -n 20 "$slurm"/*.log "$munge/log" >&2; fail 'Slurm does not start'; }

# There is no accounting here, so that jobs are asked for with squeue; and nobody else's, so that they are asked for often.
settings=(--profile profiles/slurm --slurm-status-command squeue --slurm-init-seconds-before-status-checks 3
    --seconds-between-status-checks 2 --default-resources slurm_partition=check mem_mb=200 runtime=10)

workflow slurm '--threshold 1' "$ctcf" "$elk1"
snake slurm "${settings[@]}"
same slurm both
echo "Slurm: 2 models in $shards jobs on $(nproc) processors, $took s, identical to one run"

# A slow engine, so that there is time to kill.
slow=(--threshold 1 --region "$(sed -n '1s/^>\([^ ]*\).*/\1/p' "$work/genome.fa"):1-24000" --engine reference --chunk-size 256)
whole slow -m ELK1 "${slow[@]}"
workflow killed "${slow[*]}" "$elk1"
# Whether a shard's scan has saved something to go on from: SHARD
begun() { [[ -s results/shards/.$1-of-$shards.bed.resume/state ]]; }
snake killed "${settings[@]}" &
run=$!
job='' process=''
while [[ -z "$job" || -z "$process" ]] && kill -0 $run 2>/dev/null; do
    sleep 0.1
    if [[ -z "$job" ]] && begun 1; then
        job=$(squeue --noheader --states=running --format '%i %k' | awk '/scan.*(shard=1,|_1_)|_1_/ { print $1; exit }')
        [[ -z "$job" ]] || scancel --signal=KILL --full "$job" || job=''
    fi
    if [[ -z "$process" ]] && begun 2; then
        for pid in $(pgrep -x bindscan); do
            if [[ $(readlink "/proc/$pid/cwd") == "$PWD" ]] && tr '\0' ' ' <"/proc/$pid/cmdline" | grep -q -- "--shard 2/"; then
                kill -KILL "$pid" && process=$pid
            fi
        done
    fi
done
wait $run || exit 1
[[ -n "$job" && -n "$process" ]] || fail 'no scan was there to be killed'
(($(grep -c 'Trying to restart job' "$work/killed.log") >= 2)) || fail 'what was killed was not retried'
same killed slow
echo "Slurm, job $job cancelled and process $process killed on their way: retried, identical to one run"
