"""The offline worker with a stand-in for vLLM: chunks, pictures from files, and what is refused alone."""

from __future__ import annotations

import hashlib
import json
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest

from vlm_acceptance.engine.offline import WORKER

VLLM = """
import json, os
class SamplingParams:
    def __init__(self, **given): self.given = given
class Out:
    def __init__(self, text):
        self.text, self.finish_reason, self.token_ids = text, "stop", [1, 2]
        self.logprobs = [{1: P(-0.1), 9: P(-3.0)}, {2: P(-0.2)}] if "logprobs" in text.lower() else None
class P:
    def __init__(self, logprob): self.logprob = logprob
class Output:
    def __init__(self, text): self.outputs, self.prompt_token_ids = [Out(text)], [1, 2, 3]
class LLM:
    def __init__(self, **given): pass
    def chat(self, messages, params, use_tqdm, **options):
        with open(os.environ["SEEN"], "a") as file:
            seen = [messages, [one.given for one in params], options]
            file.write(json.dumps(seen) + "\\n")
        contents = [message[-1]["content"] for message in messages]
        texts = [content if isinstance(content, str) else content[-1]["text"] for content in contents]
        if any("too long" in text for text in texts):
            raise ValueError("the prompt is longer than the model allows")
        if any("newly refused" in text for text in texts):
            from vllm.exceptions import VLLMClientError
            raise VLLMClientError("no")
        if any("die" in text for text in texts):
            os._exit(9)
        return [Output(text.upper()) for text in texts]
"""


@pytest.fixture
def work(tmp_path: Path):
    """Run the worker on a job; its exit code, its output, and the arguments of each call of vLLM."""
    (tmp_path / "vllm").mkdir()
    (tmp_path / "vllm" / "__init__.py").write_text(VLLM)
    (tmp_path / "vllm-0.18.0.dist-info").mkdir()
    (tmp_path / "vllm-0.18.0.dist-info" / "METADATA").write_text("Metadata-Version: 2.1\nName: vllm\nVersion: 0.18.0\n")
    (tmp_path / "seen").touch()

    def run(requests: list[dict[str, Any]], **more: object) -> tuple[int, str, list[Any]]:
        job = {"llm": {"model": "/m"}, "sampling": {"temperature": 0.0}, "chat": {}, "prepare": None, "chunk": 64}
        (tmp_path / "job.json").write_text(json.dumps({**job, "requests": requests, **more}))
        argv = [sys.executable, str(WORKER), str(tmp_path / "job.json"), str(tmp_path / "out")]
        env = {"PYTHONPATH": str(tmp_path), "SEEN": str(tmp_path / "seen")}
        code = subprocess.run(argv, env=env, stderr=subprocess.PIPE, check=False).returncode
        calls = [json.loads(line) for line in (tmp_path / "seen").read_text().splitlines()]
        return code, (tmp_path / "out").read_text(), calls

    return run


def test_no_token_is_added_to_the_chat_template_where_the_engine_takes_the_option(work, tmp_path: Path) -> None:
    assert work([ask("a", "words")])[2][0][2] == {}
    vllm = tmp_path / "vllm" / "__init__.py"
    said = "tokenization_kwargs=None, **options):\n        options |= {'told': tokenization_kwargs}"
    vllm.write_text(VLLM.replace("use_tqdm, **options):", f"use_tqdm, {said}"))
    assert work([ask("b", "words")])[2][-1][2] == {"told": {"add_special_tokens": False}}


def ask(ident: str, text: str, *parts: object, **more: object) -> dict[str, Any]:
    message = {"role": "user", "content": [*parts, {"type": "text", "text": text}]}
    return {"id": ident, "messages": [message], "sampling": {"max_tokens": 8}, **more}


def rows_of(out: str) -> list[dict[str, Any]]:
    return [json.loads(line) for line in out.splitlines()]


def test_log_probabilities_are_in_the_row_of_an_answer_that_was_asked_for_them(work) -> None:
    code, out, _ = work([ask("a", "logprobs"), ask("b", "words")])
    with_them, without = rows_of(out)[1:-1]
    assert (code, with_them["tokens"], with_them["top"]) == (0, [1, 2], [{"1": -0.1, "9": -3.0}, {"2": -0.2}])
    assert not {"tokens", "top"} & without.keys()


def test_chunk_is_sent_at_once_with_the_smaller_token_limit_of_job_and_request(work) -> None:
    requests = [{"id": str(n), "messages": [{"role": "user", "content": "a"}], "max_tokens": 8} for n in range(3)]
    code, out, calls = work(requests, sampling={"temperature": 0.0, "max_tokens": 5})
    assert (code, [row["text"] for row in rows_of(out)[1:-1]]) == (0, ["A", "A", "A"])
    assert (len(calls), calls[0][1][0]) == (1, {"temperature": 0.0, "max_tokens": 5})


def test_chunks_are_sent_one_after_another_and_written_line_by_line(work) -> None:
    code, out, calls = work([ask(str(n), "a") for n in range(5)], chunk=2)
    rows = rows_of(out)
    assert (code, [len(call[0]) for call in calls]) == (0, [2, 2, 1])
    assert list(rows[0]) == ["ready_s", "vllm"]
    assert [row["id"] for row in rows[1:-1]] == ["0", "1", "2", "3", "4"]
    assert list(rows[-1]) == ["batch_s"]
    assert {"text", "finish_reason", "prompt_tokens", "completion_tokens", "started_utc", "elapsed_s"} < rows[1].keys()


def test_requests_own_sampling_stands_above_the_jobs(work) -> None:
    _, _, calls = work([ask("0", "a", sampling={"max_tokens": 9, "stop_token_ids": [2]})], chunk=2)
    assert calls[0][1] == [{"temperature": 0.0, "max_tokens": 9, "stop_token_ids": [2]}]


def test_requests_with_other_options_are_asked_apart_and_written_in_order(work) -> None:
    limit = {"mm_processor_kwargs": {"max_dynamic_patch": 6}}
    requests = [ask("0", "a", chat=limit), ask("1", "a"), ask("2", "a", chat=limit)]
    code, out, calls = work(requests, chunk=8, chat={"chat_template_kwargs": {"enable_thinking": False}})
    assert code == 0
    assert [(len(call[0]), call[2]) for call in calls] == [
        (2, {"chat_template_kwargs": {"enable_thinking": False}, **limit}),
        (1, {"chat_template_kwargs": {"enable_thinking": False}}),
    ]
    assert [row["id"] for row in rows_of(out)[1:-1]] == ["0", "1", "2"]


def test_one_request_that_vllm_refuses_does_not_take_its_chunk_with_it(work) -> None:
    code, out, _ = work([ask("0", "a"), ask("1", "too long"), ask("2", "b")], chunk=3)
    first, refused, last = rows_of(out)[1:-1]
    assert (code, first["text"], last["text"]) == (0, "A", "B")
    assert refused["error"] == "ValueError: the prompt is longer than the model allows"
    assert "text" not in refused


def test_newer_vllms_own_refusals_are_known(work, tmp_path: Path) -> None:
    (tmp_path / "vllm" / "exceptions.py").write_text("class VLLMClientError(Exception): ...\n")
    code, out, _ = work([ask("0", "a"), ask("1", "newly refused"), ask("2", "too long")], chunk=3)
    answer, newly, long = rows_of(out)[1:-1]
    assert (code, answer["text"], newly["error"], long["error"][:11]) == (0, "A", "VLLMClientError: no", "ValueError:")


def test_rows_before_an_engines_death_are_in_the_file(work) -> None:
    code, out, _ = work([ask("0", "a"), ask("1", "b"), ask("2", "die")], chunk=2)
    assert code == 9
    assert [row.get("id") for row in rows_of(out)] == [None, "0", "1"]


def part(path: Path, data: bytes) -> dict[str, str]:
    digest = hashlib.sha256(data).hexdigest()
    return {"type": "image_file", "path": str(path), "sha256": digest, "lead": "data:image/png;base64,"}


def test_picture_files_become_data_urls(work, tmp_path: Path) -> None:
    (tmp_path / "a.png").write_bytes(b"PNG")
    _, _, calls = work([ask("0", "a", part(tmp_path / "a.png", b"PNG"))], chunk=2)
    assert calls[0][0][0][0]["content"] == [
        {"type": "image_url", "image_url": {"url": "data:image/png;base64,UE5H"}},
        {"type": "text", "text": "a"},
    ]


@pytest.mark.parametrize(("stored", "says"), [(b"PNX", "differs from what was prepared"), (None, "cannot be read")])
def test_picture_that_is_not_the_prepared_one_is_never_asked_about(work, tmp_path: Path, stored, says: str) -> None:
    if stored is not None:
        (tmp_path / "a.png").write_bytes(stored)
    code, out, calls = work([ask("0", "a"), ask("1", "b", part(tmp_path / "a.png", b"PNG"))], chunk=1)
    assert code != 0
    assert says in rows_of(out)[-1]["problem"]
    assert len(calls) == 1
