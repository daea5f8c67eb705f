#!/usr/bin/env bash
# Behind `scripts/validate recipes`, which says what it does: PROGRAM DEB FOLDER (DEB may be empty)
set -euo pipefail

cd "$(dirname "${BASH_SOURCE[0]}")/../.."
program=$1 deb=$2 folder=$3
recipe=scripts/packaging/Dockerfile
apptainer=scripts/packaging/apptainer.def

fail() {
    echo "error: $*" >&2
    exit 1
}

[[ $(id -u) == 0 ]] || { echo 'skipped: it has to be started by root'; exit 0; }
if ! command -v debootstrap >/dev/null; then
    { apt-get update && apt-get install -y --no-install-recommends debootstrap; } >/dev/null 2>&1 ||
        { echo 'skipped: there is no debootstrap'; exit 0; }
fi

suite=$(sed -n 's/^FROM debian:\([a-z]*\)-slim$/\1/p' "$recipe")
[[ -n "$suite" ]] || fail "$recipe is not from a Debian release"
mkdir -p "$folder"
if [[ ! -d "$folder/$suite" ]]; then
    rm -rf "$folder/partial"
    debootstrap --variant=minbase "$suite" "$folder/partial" >"$folder/debootstrap.log" 2>&1 ||
        { echo "skipped: no bare Debian can be made: $(tail -n 1 "$folder/debootstrap.log")"; exit 0; }
    mv "$folder/partial" "$folder/$suite"
fi

# A fresh copy of the bare root: NAME
fresh() {
    rm -rf "${folder:?}/$1"
    cp -a "$folder/$suite" "$folder/$1"
    cp -L /etc/resolv.conf "$folder/$1/etc/resolv.conf"
    # The certificates that this machine trusts, as a container's builder would have them.
    if [[ -f /etc/ssl/certs/ca-certificates.crt ]]; then
        mkdir -p "$folder/$1/etc/ssl/certs"
        cp -L /etc/ssl/certs/ca-certificates.crt "$folder/$1/etc/ssl/certs/host.crt"
    fi
}

# Runs a command line in a root, with an environment of its own: NAME DIRECTORY COMMANDS
inside() {
    local certificates=()
    [[ -f "$folder/$1/etc/ssl/certs/host.crt" ]] && certificates=(PIP_CERT=/etc/ssl/certs/host.crt)
    # /proc is mounted in a namespace that ends with the command.
    # shellcheck disable=SC2016
    env -i PATH=/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin HOME=/root LANG=C.UTF-8 \
        DEBIAN_FRONTEND=noninteractive "${certificates[@]}" "${settings[@]}" \
        unshare --mount bash -c 'mount -t proc proc "$1/proc" && exec chroot "$1" bash -ec "cd \"$2\"; $3"' - "$folder/$1" "$2" "$3" \
        >"$folder/step.log" 2>&1 || { tail -n 20 "$folder/step.log" >&2; fail "in a bare $suite: $3"; }
}

settings=()
# The commands of a stage of the Dockerfile, but for the one that compiles: NUMBER
steps() {
    awk -v stage="$1" '/^FROM/ { at++ } at == stage && sub(/^RUN /, "")' "$recipe" | grep -v '^cargo build'
}

fresh build
mkdir "$folder/build/src"
git ls-files -z | tar --null -T - -cf - | tar -xf - -C "$folder/build/src"
while read -r step; do
    inside build /src "$step"
    echo "build stage: $step"
done < <(steps 1)
install -D -m 755 "$program" "$folder/build/src/target/dist/bindscan"

fresh final
while read -r from to; do
    [[ -e "$folder/build$from" ]] || fail "$recipe copies $from, which the build stage does not make"
    mkdir -p "$(dirname "$folder/final$to")"
    cp -a "$folder/build$from" "$folder/final$to"
    echo "final stage: $from to $to"
done < <(sed -n 's/^COPY --from=build //p' "$recipe")
mapfile -t settings < <(sed -n 's/^ENV //p' "$recipe")
while read -r step; do
    inside final / "$step"
    echo "final stage: $step"
done < <(steps 2)
printf '>s\nTTGACCGGAAGTGACTTGACCGGAAGTGACTTGACCGGAAGTGACTTGACCGGAAGTGAC\n' >"$folder/final/root/s.fa"
entry=$(sed -n 's/^ENTRYPOINT \["\(.*\)"\]$/\1/p' "$recipe")
for engine in kernel onnx; do
    inside final /root "$entry scan -m ELK1 s.fa --window 24 --all --engine $engine -o $engine.bed"
done
cmp <(cut -f1-4 "$folder/final/root/kernel.bed") <(cut -f1-4 "$folder/final/root/onnx.bed") ||
    fail 'the kernel and ONNX Runtime find other sites in the container'
echo "container: scans by the kernel and by ONNX Runtime, $(wc -l <"$folder/final/root/onnx.bed") sites"

# Apptainer's recipe has the same commands and files.
plain() { sed -E 's/^ +//; s#/usr/local/cargo/bin/##; s/ && rm -rf .*//' | sort; }
diff <(sed -n 's/^RUN //p' "$recipe" | sed 's/ && /\n/g' | grep -v '^rm -rf' | plain) \
    <(awk '/^%post/ || /^%test/ { on = 1; next } /^%/ || /^Bootstrap/ { on = 0 } on' "$apptainer" | sed 's/ && /\n/g' | grep -vE '^ *(cd |$)' | plain) ||
    fail "$apptainer and $recipe have different steps"
diff <(sed -n 's/^COPY --from=build //p' "$recipe") \
    <(awk '/^%files from build/ { on = 1; next } /^(%|$)/ { on = 0 } on { print $1, $2 }' "$apptainer") ||
    fail "$apptainer and $recipe copy different files"
[[ $(sed -n 's/^FROM \([^ ]*\).*/\1/p' "$recipe") == "$(sed -n 's/^From: //p' "$apptainer")" ]] ||
    fail "$apptainer and $recipe start from different images"
echo 'apptainer.def: the same steps, files and images'

if [[ -n "$deb" ]]; then
    settings=()
    fresh deb
    cp "$deb" "$folder/deb/root/"
    inside deb /root "apt-get update; apt-get install -y --no-install-recommends ./${deb##*/}; bindscan inspect ELK1"
    inside deb / 'dpkg --verify bindscan; apt-get purge -y bindscan; ! command -v bindscan'
    echo "${deb##*/}: installs, runs and is removed"
fi
for root in build final deb; do rm -rf "${folder:?}/$root"; done
