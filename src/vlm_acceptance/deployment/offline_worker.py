"""Runs in the engine's own interpreter: one offline `LLM`, all requests in one batch, answers to a file.

Usage: offline_worker.py JOB.json OUT.json. Imports nothing of the suite; JOB holds llm, sampling, requests, prepare.
"""

import importlib.metadata
import importlib.util
import json
import sys
import time
from pathlib import Path

# Python puts a script's folder first, and modules of ours there have names that packages of the engine have too.
sys.path[:] = [place for place in sys.path if place != str(Path(__file__).absolute().parent)]


def main() -> None:
    """Answer every request of the job; any exception ends the process with its traceback in the log."""
    from vllm import LLM, SamplingParams

    with open(sys.argv[1], encoding="utf-8") as file:
        job = json.load(file)
    began = time.monotonic()
    llm = LLM(**job["llm"])
    ready_s = time.monotonic() - began
    params = []
    for request in job["requests"]:
        limit = min(request["max_tokens"], job["sampling"].get("max_tokens", request["max_tokens"]))
        params.append(SamplingParams(**{**job["sampling"], "max_tokens": limit}))
    began = time.monotonic()
    outputs = llm.chat([request["messages"] for request in job["requests"]], params, use_tqdm=False, **job["chat"])
    batch_s = time.monotonic() - began
    answers = [
        {
            "id": request["id"],
            "text": output.outputs[0].text,
            "finish_reason": output.outputs[0].finish_reason,
            "prompt_tokens": len(output.prompt_token_ids),
            "completion_tokens": len(output.outputs[0].token_ids),
        }
        for request, output in zip(job["requests"], outputs, strict=True)
    ]
    version = importlib.metadata.version("vllm")
    with open(sys.argv[2], "w", encoding="utf-8") as file:
        json.dump({"answers": answers, "ready_s": ready_s, "batch_s": batch_s, "vllm": version}, file)


# spawned workers import this file again and must be prepared too, hence at module level
if __name__ in ("__main__", "__mp_main__") and len(sys.argv) > 1:
    with open(sys.argv[1], encoding="utf-8") as prepared:
        preparation = json.load(prepared)["prepare"]
    if preparation:
        spec = importlib.util.spec_from_file_location("cpu_engine", preparation)
        spec.loader.exec_module(importlib.util.module_from_spec(spec))
if __name__ == "__main__":
    main()
