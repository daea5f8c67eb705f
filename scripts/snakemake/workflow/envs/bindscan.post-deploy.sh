#!/usr/bin/env bash
# Builds the program into the environment, from the checkout that BINDSCAN_SOURCE names.
set -euo pipefail
cargo install --locked --root "$CONDA_PREFIX" --path "${BINDSCAN_SOURCE:?set it to the folder of the source}"
