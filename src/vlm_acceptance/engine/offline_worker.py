"""Runs in the engine's own interpreter: one offline `LLM` answers all requests of a job.

Usage: offline_worker.py JOB.json ROWS.jsonl. Imports nothing of the suite. JOB holds llm, sampling, requests, chat,
prepare and chunk. ROWS gets one JSON line with `ready_s`, one for each request as soon as its chunk is answered,
then one with `batch_s`.
"""

import base64
import contextlib
import hashlib
import importlib.metadata
import importlib.util
import inspect
import json
import sys
import time
from datetime import datetime, timezone
from pathlib import Path

# Python puts a script's folder first; modules of the suite there could hide packages of the engine with the same name.
sys.path[:] = [place for place in sys.path if place != str(Path(__file__).absolute().parent)]


def main() -> None:
    """Answer every request of the job; any exception ends the process with its traceback in the log."""
    from vllm import LLM

    with open(sys.argv[1], encoding="utf-8") as file:
        job = json.load(file)
    began = time.monotonic()
    llm = LLM(**job["llm"])
    with open(sys.argv[2], "w", encoding="utf-8") as file:
        write(file, {"ready_s": time.monotonic() - began, "vllm": importlib.metadata.version("vllm")})
        began = time.monotonic()
        for start in range(0, len(job["requests"]), job["chunk"]):
            answer_chunk(llm, job, job["requests"][start : start + job["chunk"]], file)
        write(file, {"batch_s": time.monotonic() - began})


def answer_chunk(llm, job, requests, file) -> None:
    """Answer some requests and write their rows; `elapsed_s` is the time of the chunk divided by its requests."""
    started = datetime.now(timezone.utc).isoformat(timespec="milliseconds")
    began = time.monotonic()
    by_options = {}
    for request in requests:
        by_options.setdefault(json.dumps(request.get("chat", {}), sort_keys=True), []).append(request)
    rows = {}
    try:
        for group in by_options.values():
            rows.update((row["id"], row) for row in answered_or_refused(llm, job, group))
    except WrongPictureError as wrong:
        write(file, {"problem": str(wrong)})
        raise
    share = (time.monotonic() - began) / len(requests)
    for request in requests:
        write(file, {**rows[request["id"]], "started_utc": started, "elapsed_s": round(share, 6)})


def answered_or_refused(llm, job, requests) -> list:
    """Rows of the requests. vLLM refuses a whole batch for one bad request, so each is then sent alone."""
    refusals = refusal_types()
    with contextlib.suppress(*refusals):
        return answered(llm, job, requests)
    rows = []
    for request in requests:
        try:
            rows += answered(llm, job, [request])
        except refusals as refused:
            rows.append({"id": request["id"], "error": f"{type(refused).__name__}: {refused}"[:400]})
    return rows


def refusal_types() -> tuple:
    """The exceptions for a bad request: ValueError, in newer vLLM also VLLMClientError."""
    try:
        from vllm.exceptions import VLLMClientError
    except ImportError:
        return (ValueError,)
    return (ValueError, VLLMClientError)


def answered(llm, job, requests) -> list:
    """Rows of requests with the same chat options, sent as one batch."""
    params = [sampling(job["sampling"], request) for request in requests]
    messages = [[with_pictures(message) for message in request["messages"]] for request in requests]
    options = {**as_served(llm), **job["chat"], **(requests[0].get("chat", {}) if requests else {})}
    outputs = llm.chat(messages, params, use_tqdm=False, **options)
    return [
        {
            "id": request["id"],
            "text": output.outputs[0].text,
            "finish_reason": output.outputs[0].finish_reason,
            "prompt_tokens": len(output.prompt_token_ids),
            "completion_tokens": len(output.outputs[0].token_ids),
            **logprobs(output.outputs[0]),
        }
        for request, output in zip(requests, outputs, strict=True)
    ]


def as_served(llm) -> dict:
    """Options by which the offline engine adds no token to the chat template's text, as the server never does.

    By default vLLM 0.18 puts a second `<s>` before it if the tokenizer adds one of its own.
    """
    takes = "tokenization_kwargs" in inspect.signature(llm.chat).parameters
    return {"tokenization_kwargs": {"add_special_tokens": False}} if takes else {}


def logprobs(completion) -> dict:
    """Tokens and top log probabilities of a completion; empty when the request did not ask for them."""
    listed = getattr(completion, "logprobs", None)
    if listed is None:
        return {}
    top = [{str(token): entry.logprob for token, entry in position.items()} for position in listed]
    return {"tokens": list(completion.token_ids), "top": top}


def sampling(defaults, request):
    """The request's own `sampling`, or its `max_tokens`, at most the job's; other values come from the job."""
    from vllm import SamplingParams

    if "sampling" in request:
        return SamplingParams(**{**defaults, **request["sampling"]})
    limit = min(request["max_tokens"], defaults.get("max_tokens", request["max_tokens"]))
    return SamplingParams(**{**defaults, "max_tokens": limit})


class WrongPictureError(Exception):
    """A picture file is missing or differs from the SHA-256 of the job."""


def with_pictures(message):
    """The message with each `image_file` part replaced by an `image_url` part with the picture as a data URL."""
    if isinstance(message["content"], str):
        return message
    parts = [picture(part) if part["type"] == "image_file" else part for part in message["content"]]
    return {**message, "content": parts}


def picture(part):
    """A picture file as an `image_url` part; WrongPictureError when its SHA-256 is not the one of the part."""
    try:
        data = Path(part["path"]).read_bytes()
    except OSError as broken:
        raise WrongPictureError(f"{part['path']} cannot be read ({broken.strerror})") from broken
    if hashlib.sha256(data).hexdigest() != part["sha256"]:
        raise WrongPictureError(f"{part['path']} differs from what was prepared")
    return {"type": "image_url", "image_url": {"url": part["lead"] + base64.b64encode(data).decode("ascii")}}


def write(file, row) -> None:
    """One JSON line, flushed: the suite reads it at once, and it survives a crash of this process."""
    file.write(json.dumps(row) + "\n")
    file.flush()


# at module level, because vLLM's spawned workers import this file and need the preparation too
if __name__ in ("__main__", "__mp_main__") and len(sys.argv) > 1:
    with open(sys.argv[1], encoding="utf-8") as prepared:
        preparation = json.load(prepared)["prepare"]
    if preparation:
        spec = importlib.util.spec_from_file_location("cpu_launcher", preparation)
        spec.loader.exec_module(importlib.util.module_from_spec(spec))
if __name__ == "__main__":
    main()
