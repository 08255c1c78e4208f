# Stands in for CANN's set_env.sh: what it exports must reach the engine, and without it there is no torch_npu.
here=$(cd "$(dirname "${BASH_SOURCE[0]}")" && pwd)
export ASCEND_TOOLKIT_HOME=/usr/local/Ascend/ascend-toolkit/latest
export PYTHONPATH="$here/../standins/torch_npu${PYTHONPATH:+:$PYTHONPATH}"
