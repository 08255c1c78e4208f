#!/usr/bin/env bash
# Run the suite in a container on one card of this machine: deploy/docker-run.sh smoke|nightly|... [OPTIONS]
# Exit code: that of the command; 10 when a device or a part of the driver is missing here; 125 to 127 are docker's own:
# the container did not start. Environment, all optional:
#     IMAGE    the image that deploy/Dockerfile makes
#     CARD     N of /dev/davinciN, by default 0
#     CACHE    folder of weights and prepared data, by default ~/.cache
#     REPORTS  folder of reports, by default reports/ here
set -euo pipefail

image=${IMAGE:-vlm-acceptance:v0.18.0rc1}
cache=${CACHE:-$HOME/.cache}
reports=${REPORTS:-$PWD/reports}
devices=("/dev/davinci${CARD:-0}" /dev/davinci_manager /dev/devmm_svm /dev/hisi_hdc)
driver=(
    /usr/local/Ascend/driver/lib64
    /usr/local/Ascend/driver/version.info
    /usr/local/dcmi
    /usr/local/bin/npu-smi
    /etc/ascend_install.info
)

if [ $# = 0 ]; then
    echo "docker-run.sh: no command was given, for example: deploy/docker-run.sh smoke" >&2
    exit 4
fi
options=(--rm --init --shm-size=1g --stop-timeout=300)
if [ -t 0 ] && [ -t 1 ]; then
    options+=(--interactive --tty)
fi
for device in "${devices[@]}"; do
    if [ ! -e "$device" ]; then
        echo "docker-run.sh: $device does not exist on this machine; CARD=N names another card" >&2
        exit 10
    fi
    options+=("--device=$device")
done
for path in "${driver[@]}"; do
    if [ ! -e "$path" ]; then
        echo "docker-run.sh: $path does not exist on this machine; install the driver of the card" >&2
        exit 10
    fi
    options+=("--volume=$path:$path:ro")
done
mkdir -p "$cache" "$reports"
options+=("--volume=$(realpath "$cache"):/root/.cache" "--volume=$(realpath "$reports"):/reports")
exec docker run "${options[@]}" "$image" vlm-acceptance "$@"
