"""Runs `vllm bench serve` against the served model: its figures, or its failure, are reported and never judged."""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from vlm_acceptance.core.errors import VlmAcceptanceError
from vlm_acceptance.core.exchange import CHAT
from vlm_acceptance.core.numbers import is_figure
from vlm_acceptance.engine.process import SupervisedProcess

RESULT = "vllm-bench.json"
# the tool keeps times of each token
RESULT_BYTES = 32 << 20
GRACE_S = 5.0
INPUT_TOKENS, OUTPUT_TOKENS = 64, 32
REQUESTS_PER_SLOT = 8
# our name -> the tool's name, its unit
RATES = {
    "vllm_bench_requests_per_s": ("request_throughput", "requests/s"),
    "vllm_bench_output_tokens_per_s": ("output_throughput", "output tokens/s"),
}
TIMES = ("ttft", "tpot", "itl")


@dataclass(frozen=True, slots=True)
class Bench:
    """What is measured: the deployment at `base_url`, with `concurrency` requests in flight, within `timeout_s`."""

    base_url: str
    model_id: str
    folder: Path
    concurrency: int
    timeout_s: float


def argv(engine: Sequence[str], wanted: Bench, place: Path) -> list[str]:
    """The command line: the tool makes random texts with the model's tokenizer, so nothing is downloaded."""
    options = {
        "--backend": "openai-chat",
        "--base-url": wanted.base_url,
        "--endpoint": CHAT,
        "--model": wanted.model_id,
        "--tokenizer": wanted.folder,
        "--dataset-name": "random",
        "--random-input-len": INPUT_TOKENS,
        "--random-output-len": OUTPUT_TOKENS,
        "--num-prompts": REQUESTS_PER_SLOT * wanted.concurrency,
        "--max-concurrency": wanted.concurrency,
        "--percentile-metrics": ",".join(TIMES),
        "--metric-percentiles": "50,90,99",
        "--result-dir": place,
        "--result-filename": RESULT,
    }
    flags = ["--trust-remote-code", "--ignore-eos", "--disable-tqdm", "--save-result"]
    return [*engine, "bench", "serve", *(str(word) for pair in options.items() for word in pair), *flags]


def measure(
    engine: Sequence[str], wanted: Bench, env: Mapping[str, str], place: Path, run_id: str, api_key: str | None
) -> dict[str, str]:
    """The tool's figures as text, or why there are none. Its processes are gone on return; its log is in `place`."""
    # the tool reads the key from this variable
    keyed = {**env, "OPENAI_API_KEY": api_key} if api_key else dict(env)
    process = SupervisedProcess(argv(engine, wanted, place), keyed, place / "vllm-bench.log", run_id)
    try:
        process.start()
        try:
            code = process.wait(wanted.timeout_s)
        finally:
            process.stop(GRACE_S)
        if code is None:
            return {"vllm_bench": f"no figure: not done after {wanted.timeout_s:g} s"}
        if code:
            return {"vllm_bench": f"no figure: {process.how_it_ended}: {process.last_line()[:200]}"}
        with (place / RESULT).open("rb") as file:
            data = file.read(RESULT_BYTES + 1)
        if len(data) > RESULT_BYTES:
            raise ValueError(f"{RESULT} has more than {RESULT_BYTES} bytes")
        result = json.loads(data)
        if not isinstance(result, dict):
            raise ValueError(f"{RESULT} is not a JSON object")
        return figures(result)
    except (OSError, ValueError, RecursionError, VlmAcceptanceError) as broken:
        return {"vllm_bench": f"no figure: {' '.join(str(broken).split())[:200]}"}


def figures(result: Mapping[str, Any]) -> dict[str, str]:
    """The tool's result under our names; figures that are missing or not finite are left out."""
    done, failed = result.get("completed"), result.get("failed", 0)
    text = f"random text, {INPUT_TOKENS} in and {OUTPUT_TOKENS} out, {result.get('max_concurrency')} at once"
    row = {"vllm_bench": f"{done} answers, {failed} failed; {text}"}
    row |= {ours: f"{result[key]:.2f}" for ours, (key, _) in RATES.items() if is_figure(result.get(key))}
    for name in TIMES:
        shares = {share: result.get(f"{share}_{name}_ms") for share in ("p50", "p90", "p99")}
        if all(is_figure(value) for value in shares.values()):
            text = ", ".join(f"{share} {value / 1000:.4g}" for share, value in shares.items() if value is not None)
            row[f"vllm_bench_{name}"] = f"{text} s"
    return row


def beside(row: Mapping[str, str], requests_per_s: float, tokens_per_s: float) -> str:
    """One line for the verdict: the tool's rates and those of our soak, which sends another load."""
    rates = ", ".join(f"{row[key]} {unit}" for key, (_, unit) in RATES.items() if key in row)
    ours = f"{requests_per_s:.2f} requests/s, {tokens_per_s:.2f} output tokens/s"
    return f"vllm bench serve: {row['vllm_bench']}{': ' if rates else ''}{rates}; the soak, pictures and texts: {ours}"
