#!/bin/sh
# Makes the Python environment of the demo and the tests in the target directory. Installs the package from
# bindings/python, and the given packages of PyPI:
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
# Every time: cargo compiles only what has changed.
echo "building the Python package"
"$venv/bin/python" -m pip install --quiet --force-reinstall --no-deps ./bindings/python
for package in "$@"; do
    "$venv/bin/python" -c "import $package" 2>/dev/null || "$venv/bin/python" -m pip install --quiet "$package"
done
