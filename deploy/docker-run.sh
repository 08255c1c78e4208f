#!/usr/bin/env bash
# Run the suite in a container on one card of this machine: deploy/docker-run.sh smoke|nightly|... [OPTIONS]
# Exit code: that of the command; 10 when a device, a part of the driver or a folder is missing here; 125 to 127 are
# docker's own: the container did not start. Environment, all optional:
#     IMAGE    the image that deploy/Dockerfile makes
#     CARD     N of /dev/davinciN, by default 0
#     CACHE    folder of weights and prepared data, by default ~/.cache
#     REPORTS  folder of reports, by default reports/ here
# The container also gets the variables of proxies, VLM_*, and the one that --vlm-api-key-env names.
set -euo pipefail

image=${IMAGE:-vlm-acceptance:v0.18.0rc1}
cache=${CACHE:-${HOME:-/root}/.cache}
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
# a folder of this machine, made if it does not exist, as a folder of the container: NAME FOLDER PLACE
give_folder() {
    local folder
    if ! { mkdir -p -- "$2" && folder=$(realpath -- "$2"); } 2>/dev/null; then
        echo "docker-run.sh: the folder '$2' cannot be made or read; $1=DIR names another one" >&2
        exit 10
    fi
    options+=("--volume=$folder:$3")
}
give_folder CACHE "$cache" /root/.cache
give_folder REPORTS "$reports" /reports

# variables are given by name: a value would be in the list of processes
key=${VLM_API_KEY_ENV:-}
last=
for word in "$@"; do
    case $last in --vlm-api-key-env | --api-key-env) key=$word ;; esac
    case $word in --vlm-api-key-env=* | --api-key-env=*) key=${word#*=} ;; esac
    last=$word
done
for name in $(compgen -e); do
    case $name in
        VLM_REPORTS) ;; # a folder of this machine; the image has its own
        VLM_* | http_proxy | https_proxy | all_proxy | no_proxy | HTTP_PROXY | HTTPS_PROXY | ALL_PROXY | NO_PROXY)
            options+=("--env=$name")
            ;;
        "$key") options+=("--env=$name") ;;
    esac
done
exec docker run "${options[@]}" "$image" vlm-acceptance "$@"
