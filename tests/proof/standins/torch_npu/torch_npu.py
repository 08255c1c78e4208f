"""A stand-in for `torch_npu`: it can be imported, notes which process loaded it, and holds its card while that lives.

torch loads it through its entry point, as it loads the real one. In the file TORCH_NPU_NOTES names, every process
leaves a line: the CANN folder of its environment and its command line. The file NPU_SMI_STATE names is touched as long
as an engine lives, however it ends; the stand-in for npu-smi reads it. With TORCH_NPU_DEAD the card gives no answer.
"""

import os
import sys
import threading
import time


def autoload() -> None:
    """Called by `import torch`."""
    notes, state = os.environ.get("TORCH_NPU_NOTES"), os.environ.get("NPU_SMI_STATE")
    if notes:
        with open(notes, "a", encoding="utf-8") as file:
            file.write(f"{os.environ.get('ASCEND_TOOLKIT_HOME', '')}\t{' '.join(sys.argv)}\n")
    give_card()
    if state and sys.argv[0] != "-c":  # a mere `python -c "import torch_npu"` takes no memory
        touch(state)
        threading.Thread(target=hold, args=(state,), daemon=True).start()


def give_card() -> None:
    """Tensors get the method that copies them to the card."""
    if hasattr(sys.modules.get("torch"), "Tensor"):
        sys.modules["torch"].Tensor.npu = on_card


def on_card(tensor):
    """The tensor itself, in place of a copy on the card."""
    if os.environ.get("TORCH_NPU_DEAD"):
        raise RuntimeError("SetDevice failed, error code is 507033")
    return tensor


def hold(state: str) -> None:
    """Touch the file until the process ends."""
    while True:
        time.sleep(0.2)
        touch(state)


def touch(state: str) -> None:
    """Only its modification time is read."""
    with open(state, "a", encoding="utf-8"):
        os.utime(state)


# where another distribution hides the entry point, torch is there already
give_card()
