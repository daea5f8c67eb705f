#!/usr/bin/env bash
# Builds the wheel, installs it in an environment of its own, and runs the tests of the Python module (scripts/test --python).
#
# The wheel is built in the release profile, whose dependencies are those of the release build; bindscan itself is optimised
# lightly, as the tests need no speed.
set -euo pipefail

if [[ "${1:-}" == --help ]]; then
    cat <<'HELP'
usage: scripts/test --python [PYTEST ARGUMENTS]

Builds the wheel (maturin), installs it in target/python with numpy, pandas, polars and pytest, and runs tests/python. It is built in the
release profile, or the one that BINDSCAN_PYTHON_PROFILE names: dev in a working tree that has that.
HELP
    exit 0
fi

cd "$(dirname "${BASH_SOURCE[0]}")/../.."
environment=target/python
profile=${BINDSCAN_PYTHON_PROFILE:-release}
if [[ ! -x $environment/bin/pip ]]; then python3 -m venv "$environment"; fi
"$environment/bin/pip" install --quiet --disable-pip-version-check 'maturin>=1.9,<2' 'numpy>=1.23' 'pytest>=8' 'pandas>=2' 'polars>=1'
rm -rf "$environment/wheels"
PATH="$PWD/$environment/bin:$PATH" "$environment/bin/maturin" build --quiet --profile "$profile" --out "$environment/wheels" \
    --config "profile.$profile.package.bindscan.opt-level=1" \
    --config "profile.$profile.package.bindscan.debug=false"
"$environment/bin/pip" install --quiet --disable-pip-version-check --force-reinstall --no-deps "$environment"/wheels/*.whl
exec "$environment/bin/python" -m pytest -q tests/python "$@"
