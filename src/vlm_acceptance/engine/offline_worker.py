"""Runs in the engine's own interpreter: one offline `LLM`, all requests of a job, answers to a file.

Usage: offline_worker.py JOB.json OUT. Imports nothing of the suite; JOB holds llm, sampling, requests, chat, prepare.
Without `chunk` OUT is one JSON value, written at the end. With it OUT is JSON lines: the engine's first, then one a
request, written as soon as its chunk of `chunk` requests is answered, then the last with `batch_s`.
"""

import base64
import contextlib
import hashlib
import importlib.metadata
import importlib.util
import json
import sys
import time
from datetime import datetime, timezone
from pathlib import Path

# Python puts a script's folder first, and modules of ours there have names that packages of the engine have too.
sys.path[:] = [place for place in sys.path if place != str(Path(__file__).absolute().parent)]


def main() -> None:
    """Answer every request of the job; any exception ends the process with its traceback in the log."""
    from vllm import LLM

    with open(sys.argv[1], encoding="utf-8") as file:
        job = json.load(file)
    began = time.monotonic()
    llm = LLM(**job["llm"])
    head = {"ready_s": time.monotonic() - began, "vllm": importlib.metadata.version("vllm")}
    began = time.monotonic()
    if "chunk" not in job:
        answers = answered(llm, job, job["requests"])
        whole = {"answers": answers, **head, "batch_s": time.monotonic() - began}
        with open(sys.argv[2], "w", encoding="utf-8") as file:
            json.dump(whole, file)
        return
    with open(sys.argv[2], "w", encoding="utf-8", buffering=1) as file:
        write(file, head)
        for start in range(0, len(job["requests"]), job["chunk"]):
            answer_chunk(llm, job, job["requests"][start : start + job["chunk"]], file)
        write(file, {"batch_s": time.monotonic() - began})


def answer_chunk(llm, job, requests, file) -> None:
    """Answer some requests and write their rows; `elapsed_s` of a row is its share of the time they took together."""
    started = datetime.now(timezone.utc).isoformat(timespec="milliseconds")
    began = time.monotonic()
    by_options = {}
    for request in requests:
        by_options.setdefault(json.dumps(request.get("chat", {}), sort_keys=True), []).append(request)
    rows = {}
    try:
        for group in by_options.values():
            rows.update((row["id"], row) for row in answered_one_by_one_if_needed(llm, job, group))
    except WrongPictureError as wrong:
        write(file, {"problem": str(wrong)})
        raise
    share = (time.monotonic() - began) / len(requests)
    for request in requests:
        write(file, {**rows[request["id"]], "started_utc": started, "elapsed_s": round(share, 6)})


def answered_one_by_one_if_needed(llm, job, requests) -> list:
    """Rows of the requests; vLLM refuses a whole batch for one request, which alone is refused here."""
    refusals = what_vllm_refuses_with()
    with contextlib.suppress(*refusals):
        return answered(llm, job, requests)
    rows = []
    for request in requests:
        try:
            rows += answered(llm, job, [request])
        except refusals as refused:
            rows.append({"id": request["id"], "error": f"{type(refused).__name__}: {refused}"[:400]})
    return rows


def what_vllm_refuses_with() -> tuple:
    """The exceptions that speak of a request and not of the engine: ValueError, and newer vLLM's own beside it."""
    try:
        from vllm.exceptions import VLLMClientError
    except ImportError:
        return (ValueError,)
    return (ValueError, VLLMClientError)


def answered(llm, job, requests) -> list:
    """Rows of requests with the same chat options, asked as one batch."""
    params = [sampling(job["sampling"], request) for request in requests]
    messages = [[with_pictures(message) for message in request["messages"]] for request in requests]
    options = {**job["chat"], **(requests[0].get("chat", {}) if requests else {})}
    outputs = llm.chat(messages, params, use_tqdm=False, **options)
    return [
        {
            "id": request["id"],
            "text": output.outputs[0].text,
            "finish_reason": output.outputs[0].finish_reason,
            "prompt_tokens": len(output.prompt_token_ids),
            "completion_tokens": len(output.outputs[0].token_ids),
            **numbers(output.outputs[0]),
        }
        for request, output in zip(requests, outputs, strict=True)
    ]


def numbers(said) -> dict:
    """Tokens and the log probabilities of the likeliest, of an answer that was asked for them; else nothing."""
    listed = getattr(said, "logprobs", None)
    if listed is None:
        return {}
    top = [{str(token): one.logprob for token, one in place.items()} for place in listed]
    return {"tokens": list(said.token_ids), "top": top}


def sampling(defaults, request):
    """Sampling parameters of a request: its own `sampling`, or `max_tokens` under the job's limit."""
    from vllm import SamplingParams

    if "sampling" in request:
        return SamplingParams(**{**defaults, **request["sampling"]})
    limit = min(request["max_tokens"], defaults.get("max_tokens", request["max_tokens"]))
    return SamplingParams(**{**defaults, "max_tokens": limit})


class WrongPictureError(Exception):
    """A picture's file is not what the job says."""


def with_pictures(message):
    """The message with every `image_file` part as the data URL that a server would be sent."""
    if isinstance(message["content"], str):
        return message
    parts = [picture(part) if part["type"] == "image_file" else part for part in message["content"]]
    return {**message, "content": parts}


def picture(part):
    """One picture file as an `image_url` part; its bytes must have the SHA-256 that the part gives."""
    try:
        data = Path(part["path"]).read_bytes()
    except OSError as broken:
        raise WrongPictureError(f"{part['path']} cannot be read ({broken.strerror})") from broken
    if hashlib.sha256(data).hexdigest() != part["sha256"]:
        raise WrongPictureError(f"{part['path']} differs from what was prepared")
    return {"type": "image_url", "image_url": {"url": part["lead"] + base64.b64encode(data).decode("ascii")}}


def write(file, row) -> None:
    """One whole line, out of this process on return."""
    file.write(json.dumps(row) + "\n")
    file.flush()


# spawned workers import this file again and must be prepared too, hence at module level
if __name__ in ("__main__", "__mp_main__") and len(sys.argv) > 1:
    with open(sys.argv[1], encoding="utf-8") as prepared:
        preparation = json.load(prepared)["prepare"]
    if preparation:
        spec = importlib.util.spec_from_file_location("cpu_launcher", preparation)
        spec.loader.exec_module(importlib.util.module_from_spec(spec))
if __name__ == "__main__":
    main()
