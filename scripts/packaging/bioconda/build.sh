#!/bin/bash
set -euo pipefail

export CARGO_PROFILE_RELEASE_STRIP=symbols
export CARGO_PROFILE_RELEASE_DEBUG=false
cargo-bundle-licenses --format yaml --output THIRDPARTY.yml
cargo install --no-track --locked --verbose --root "$PREFIX" --path .

bindscan="$PREFIX/bin/bindscan"
"$bindscan" man -o "$PREFIX/share/man/man1"
mkdir -p "$PREFIX/share/bash-completion/completions" "$PREFIX/share/zsh/site-functions" "$PREFIX/share/fish/vendor_completions.d"
"$bindscan" completions bash > "$PREFIX/share/bash-completion/completions/bindscan"
"$bindscan" completions zsh > "$PREFIX/share/zsh/site-functions/_bindscan"
"$bindscan" completions fish > "$PREFIX/share/fish/vendor_completions.d/bindscan.fish"
