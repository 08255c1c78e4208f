"""Lines of a start log about eager and graph mode, in the words of vLLM. Standard library only."""

from __future__ import annotations

import os

VERSION = "0.18.0"
SIZES = [1, 2, 4, *range(8, 257, 8)]
SKIPPED = "Skipping CUDA graph capture. To turn on CUDA graph capture, ensure `cudagraph_mode` was not manually set"


def config(model: str, eager: bool) -> str:
    """The engine's configuration; VLM_STANDIN_GRAPHS=none: not eager, and without graphs."""
    kind = "NONE: 0" if eager or not captures(eager) else "PIECEWISE: 1"
    sizes = [] if eager else SIZES
    graphs = f"'cudagraph_mode': <CUDAGraphMode.{kind}>, 'cudagraph_capture_sizes': {sizes}"
    words = f"model='{model}', dtype=torch.bfloat16, max_seq_len=4096, enforce_eager={eager}"
    return f"Initializing a V1 LLM engine (v{VERSION}) with config: {words}, compilation_config={{{graphs}}}"


def captures(eager: bool) -> bool:
    """Whether graphs are captured."""
    return not eager and os.environ.get("VLM_STANDIN_GRAPHS") != "none"


def capture(eager: bool) -> list[str]:
    """What is logged after the weights are loaded; nothing in eager mode."""
    if eager:
        return []
    if not captures(eager):
        return [SKIPPED]
    bar = f"Capturing CUDA graphs (mixed prefill-decode, PIECEWISE): 100%|██| {len(SIZES)}/{len(SIZES)}"
    return [f"{bar} [00:13<00:00,  2.67it/s]", "Graph capturing finished in 14 secs, took 0.16 GiB"]
