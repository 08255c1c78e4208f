#!/bin/sh
# Collects the suite's wheel and what a vllm-ascend container lacks, pytest and pytest-timeout with their parts, in a
# folder: scripts/wheelhouse.sh DIR. On a machine without network, with that folder:
#
#     pip install --no-index --find-links DIR --no-deps vlm-acceptance pytest pluggy iniconfig pytest-timeout
#
# Takes the versions and files of constraints/ by their hashes, and removes older wheels of the suite from the folder.
# Exit code 10 with one sentence when that fails.
set -eu
if [ $# -ne 1 ]; then
    echo "usage: scripts/wheelhouse.sh DIR" >&2
    exit 4
fi
if ! mkdir -p "$1" 2>/dev/null || ! [ -w "$1" ]; then
    echo "$1 is no folder that can be written" >&2
    exit 10
fi
target=$(cd "$1" && pwd)
cd "$(dirname "$0")/.."
work=$(mktemp -d)
trap 'rm -rf "$work"' EXIT

stop() {
    cp "$work/pip.log" "$target/pip.log"
    echo "$1; see $target/pip.log" >&2
    exit 10
}

# the lines of some packages in a lock, with their hashes; $1 is the lock, $2 the names with | between them
pins() { awk -v names="^($2)==" '/^[^ ]/ { wanted = $0 ~ names } wanted' "constraints/$1.txt"; }

pins suite setuptools >"$work/build.txt"
pins runtime 'pytest|pluggy|iniconfig|pytest-timeout' >"$work/run.txt"
"${PYTHON:-python3}" -m venv "$work/venv" >"$work/pip.log" 2>&1 ||
    stop "no virtual environment could be made: install python3 and its venv module (python3-venv in Debian and Ubuntu)"
pip="$work/venv/bin/pip"
"$pip" install --require-hashes -r "$work/build.txt" >"$work/pip.log" 2>&1 ||
    stop "setuptools could not be installed: give pip an index or a directory that holds the files of constraints/suite.txt (PIP_INDEX_URL, PIP_FIND_LINKS)"
"$pip" download --no-deps --only-binary :all: --require-hashes -d "$target" -r "$work/run.txt" >"$work/pip.log" 2>&1 ||
    stop "pytest and its parts could not be fetched: give pip an index or a directory that holds the files of constraints/runtime.txt (PIP_INDEX_URL, PIP_FIND_LINKS)"
rm -rf build # files of an earlier build
rm -f "$target"/vlm_acceptance-*.whl # pip would install the newest
"$pip" wheel --no-deps --no-index --no-build-isolation -w "$target" . >"$work/pip.log" 2>&1 ||
    stop "the suite's wheel could not be built"
rm -rf build
rm -f "$target/pip.log" # of an earlier failure
ls "$target"
