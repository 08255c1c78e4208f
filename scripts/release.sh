#!/bin/sh
# Writes dist/: the sources, the wheel made from them, its bill of materials (CycloneDX: all that it needs, with versions
# and licences), and their checksums; and docs/licences.md from that bill. One commit gives the same files each time.
set -eu
cd "$(dirname "$0")/.."
tools=.venv-tools/bin
needs=.venv-release
SOURCE_DATE_EPOCH=$(git log -1 --format=%ct)
export SOURCE_DATE_EPOCH

rm -rf dist build "$needs"
"$tools/python" -m build --no-isolation --outdir dist . >/dev/null
sources=$(ls dist/*.tar.gz)
unpacked=$(mktemp -d)
tar -xzf "$sources" -C "$unpacked"
# setuptools writes the present time and this machine's users into the archive
tar --sort=name --mtime="@$SOURCE_DATE_EPOCH" --owner=0 --group=0 --numeric-owner --mode=a=rX,u+w \
    -C "$unpacked" -cf - "$(basename "$sources" .tar.gz)" | gzip -n9 >"$sources"
"$tools/python" -m venv --without-pip "$needs"
"$tools/pip" --python "$needs/bin/python" install -q --require-hashes -r constraints/runtime.txt
wheel=$(ls dist/*.whl)
bill=${wheel%.whl}.cdx.json
"$tools/cyclonedx-py" environment "$needs" --pyproject pyproject.toml --output-reproducible --of JSON -o "$bill"
"$tools/python" scripts/bill.py "$bill" "$wheel" docs/licences.md
rm -rf "$needs" build "$unpacked"
(cd dist && sha256sum -- * >SHA256SUMS)
ls dist
