#!/bin/sh
# Makes .venv-tools, what `make check`, `make lock` and `make release` run, by the hashes of constraints/tools.txt.
# Exit code 10 with one sentence when that cannot be installed; the output of pip is in .venv-tools/pip.log.
set -eu
cd "$(dirname "$0")/.."
venv=.venv-tools
lock=constraints/tools.txt

if [ -f "$venv/.lock" ] && [ "$(cat "$lock")" = "$(cat "$venv/.lock")" ]; then
    exit 0
fi
rm -rf "$venv"
.venv/bin/python -m venv "$venv"
if ! "$venv/bin/pip" install --require-hashes -r "$lock" >"$venv/pip.log" 2>&1; then
    echo "the tools could not be installed: give pip an index or a directory that holds the files of $lock (PIP_INDEX_URL, PIP_FIND_LINKS); see $venv/pip.log" >&2
    exit 10
fi
cp "$lock" "$venv/.lock"
