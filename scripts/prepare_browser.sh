#!/bin/sh
# Installs what the tests of pages need from Debian's or Ubuntu's packages, with apt-get: Chromium, Chinese glyphs, and
# pdftotext. Safe to run again. Exit code 10 with one sentence where that is not possible.
set -eu

lacking=
command -v chromium >/dev/null 2>&1 || command -v chromium-browser >/dev/null 2>&1 ||
    command -v google-chrome >/dev/null 2>&1 || lacking="$lacking chromium"
command -v pdftotext >/dev/null 2>&1 || lacking="$lacking poppler-utils"
fc-list :lang=zh 2>/dev/null | grep -q . || lacking="$lacking fontconfig fonts-noto-cjk"
[ -n "$lacking" ] || exit 0

if ! command -v apt-get >/dev/null 2>&1; then
    echo "there is no apt-get here: install these yourself:$lacking" >&2
    exit 10
fi
root=
[ "$(id -u)" = 0 ] || root=sudo
log=$(mktemp)
export DEBIAN_FRONTEND=noninteractive
echo "browser: installing$lacking" >&2
# shellcheck disable=SC2086  # several packages; and sudo or nothing
if ! { $root apt-get update && $root apt-get install -y --no-install-recommends $lacking; } >"$log" 2>&1; then
    echo "apt-get could not install$lacking; see $log" >&2
    exit 10
fi
rm -f "$log"
