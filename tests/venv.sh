#!/bin/sh
# Makes the Python environment that the demo and the tests use, below the target directory: the package built from
# bindings/python, and whatever else is named:
#
#     tests/venv.sh [PACKAGE...]
set -eu

cd "$(dirname "$0")/.."
target=${CARGO_TARGET_DIR:-$PWD/target}
venv=$target/venv
export PIP_DISABLE_PIP_VERSION_CHECK=1

if [ ! -x "$venv/bin/python" ]; then
    echo "making $venv"
    "${PYTHON:-python3}" -m venv "$venv"
fi
# Anew each time: cargo knows what has to be compiled.
echo "building the Python package"
"$venv/bin/python" -m pip install --quiet --force-reinstall --no-deps ./bindings/python
for package in "$@"; do
    "$venv/bin/python" -c "import $package" 2>/dev/null || "$venv/bin/python" -m pip install --quiet "$package"
done
