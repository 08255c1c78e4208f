#!/bin/sh
# Writes dist/: the wheel, its bill of materials (CycloneDX: all that it needs, with versions and licences), and their
# checksums; and docs/licences.md from that bill. What is built from one commit is the same each time.
set -eu
cd "$(dirname "$0")/.."
tools=.venv-tools/bin
needs=.venv-release
SOURCE_DATE_EPOCH=$(git log -1 --format=%ct)
export SOURCE_DATE_EPOCH

rm -rf dist build "$needs"
"$tools/python" -m build --wheel --no-isolation --outdir dist . >/dev/null
"$tools/python" -m venv --without-pip "$needs"
"$tools/pip" --python "$needs/bin/python" install -q --require-hashes -r constraints/runtime.txt
wheel=$(ls dist/*.whl)
bill=${wheel%.whl}.cdx.json
"$tools/cyclonedx-py" environment "$needs" --pyproject pyproject.toml --output-reproducible --of JSON -o "$bill"
"$tools/python" scripts/bill.py "$bill" "$wheel" docs/licences.md
rm -rf "$needs" build
(cd dist && sha256sum -- * >SHA256SUMS)
ls dist
