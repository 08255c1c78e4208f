#!/usr/bin/env bash
# Start a command with CANN's environment, which only interactive shells of the image have: with-cann COMMAND...
# Exit code: that of the command; 10 when CANN is missing, 4 without a command.
set -o pipefail

if [ $# = 0 ]; then
    echo "with-cann: no command was given, for example: with-cann vlm-acceptance smoke" >&2
    exit 4
fi
command=("$@")
set -- # a file that is sourced reads the arguments of this script as its own
for part in ascend-toolkit nnal/atb; do
    file=/usr/local/Ascend/$part/set_env.sh
    if [ ! -f "$file" ]; then
        echo "with-cann: $file does not exist; the image must be made from vllm-ascend" >&2
        exit 10
    fi
    # shellcheck disable=SC1090  # it is in the image only
    source "$file"
done
# in place of this shell, so that the command gets the signals that end a container
exec "${command[@]}"
