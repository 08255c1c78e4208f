"""Collects log probabilities of the control from real engines, right and wrong ones: a file for each pass.

`python benchmarks/reference_runs.py OUT [--only NAME ...] [--engine-python PYTHON]` runs where torch can be imported.
Each variant is a checkpoint, an engine and its options; each of its passes asks the same prompts in another state of
batch and cache: OUT/VARIANT/PASS.jsonl holds rows of core/logprobs.py. `scored` are passes that ask for no answer: the
right engine's answers are given, and the engine says how likely it finds each of their tokens. What is there already is
not asked again. `reference_curves.py` judges the files.
"""

from __future__ import annotations

import argparse
import os
import random
import re
import shutil
import sys
import tempfile
import time
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING

ROOT = Path(__file__).resolve().parents[1]
PROOF = ROOT / "tests" / "proof"
sys.path[:0] = [str(ROOT / "src"), str(Path(__file__).resolve().parent)]

from reference_variants import RECORD, RIGHT, Pass, Variant, variants  # noqa: E402

from vlm_acceptance.client.chat import chat  # noqa: E402
from vlm_acceptance.client.http import Client  # noqa: E402
from vlm_acceptance.client.pool import send_all  # noqa: E402
from vlm_acceptance.config.options import PROFILES  # noqa: E402
from vlm_acceptance.config.profile import Profile  # noqa: E402
from vlm_acceptance.config.profile_file import load_profile  # noqa: E402
from vlm_acceptance.core.exchange import Exchange  # noqa: E402
from vlm_acceptance.core.logprobs import (  # noqa: E402
    LogProbPrompt,
    LogProbs,
    StoredLogProbs,
    line_of,
    logprobs_of,
    read_baseline,
    read_prompts,
)
from vlm_acceptance.engine.installation import find_engine  # noqa: E402
from vlm_acceptance.engine.process import run_tag  # noqa: E402
from vlm_acceptance.engine.server import launch  # noqa: E402
from vlm_acceptance.run.inputs import IMAGES  # noqa: E402
from vlm_acceptance.workloads.logprobs import logprob_body, spread  # noqa: E402

if TYPE_CHECKING:
    pass

PROMPTS = ROOT / "fixtures" / "baselines" / "prompts.jsonl"
LISTED, DEADLINE_S, START_S = 20, 120, 900
MORE = 471  # prompts beyond those of the file: known questions about other pictures


def questions(count: int) -> tuple[LogProbPrompt, ...]:
    """The prompts of the file, and `count` more: its questions about pictures that it does not ask them about."""
    asked = read_prompts(PROMPTS)
    pictures = sorted({name for one in asked for name in one.pictures})
    texts = sorted({one.prompt for one in asked if len(one.pictures) == 1})
    known = {(one.prompt, one.pictures) for one in asked}
    others = [(text, (name,)) for name in pictures for text in texts if (text, (name,)) not in known]
    random.Random(0).shuffle(others)
    more = (LogProbPrompt(f"more/{n}", text, names) for n, (text, names) in enumerate(spread(others, count)))
    return (*asked, *more)


@contextmanager
def served(variant: Variant, python: Path | None, folder: Path) -> Iterator[Client]:
    """A client of the variant's engine; SystemExit if it does not start."""
    profile = load_profile(variant.profile, PROFILES).profile
    # the engine caches tokenizers by path: every variant has a folder of its own
    model = folder / variant.name.replace("@", "-")
    shutil.copytree(ROOT / str(profile.model.path), model)
    if variant.make is not None:
        variant.make(model)
    command = find_engine(python, None, os.environ).command
    env = {**os.environ, "CONTROL_MUTANT": variant.fault, "PARTIAL_SUMS": variant.partial}
    script = PROOF / "mutant_engine.py" if variant.fault else Path(__file__).with_name("varying_engine.py")
    if variant.fault or variant.partial:
        command = (str(python or sys.executable), str(script))
    running = launch(
        _profile(profile, variant), command, model, env, folder / "server.log", run_tag(), api_key=None, progress=_quiet
    )
    try:
        if not running.ready:
            raise SystemExit(f"{variant.name} did not start: {running.stages[-1].detail}\n{running.log_text()[-2000:]}")
        yield running.client
    finally:
        running.stop()


def _quiet(_: str) -> None:
    """Nothing is said while an engine starts."""


def _profile(profile: Profile, variant: Variant) -> Profile:
    """The profile with the variant's options of the engine; an option without a value has None."""
    engine = profile.engine
    args = list(engine.args)
    for option, value in variant.args.items():
        if option in args:
            args[args.index(option) + 1] = value
        else:
            args += [option] if value is None else [option, value]
    own = {"args": [*map(str, args)], "env": {**engine.env, **variant.env}, "start_timeout_s": START_S}
    changed = engine.model_copy(update=own)
    return profile.model_copy(update={"engine": changed})


def in_order(prompts: Sequence[LogProbPrompt], way: Pass) -> list[LogProbPrompt]:
    """The prompts in the order of this pass."""
    ordered = list(prompts)
    if way.order:
        random.Random(way.order).shuffle(ordered)
    return ordered


def ask(client: Client, model: str, prompts: Sequence[LogProbPrompt], way: Pass) -> dict[str, LogProbs]:
    """Greedy answers by prompt id; prompts that got none are left out."""
    ordered = in_order(prompts, way)
    salt = way.salt or f"{way.name}-{way.order}"
    bodies = [{**logprob_body(model, one, IMAGES), "top_logprobs": LISTED, "cache_salt": salt} for one in ordered]
    exchanges = send_all(client, [chat(body, DEADLINE_S) for body in bodies], way.concurrency)
    found = {one.id: logprobs_of(exchange) for one, exchange in zip(ordered, exchanges, strict=True)}
    return {name: one for name, one in found.items() if isinstance(one, LogProbs)}


def score(client: Client, model: str, known: Sequence[StoredLogProbs], way: Pass) -> dict[str, LogProbs]:
    """What the engine thinks of given answers, by prompt id; prompts whose tokens are others are left out."""
    bodies = []
    for row in known:
        body = logprob_body(model, row.prompt, IMAGES)
        body["messages"].append({"role": "assistant", "content": row.logprobs.text})
        told = {"add_generation_prompt": False, "continue_final_message": True, "return_token_ids": True}
        bodies.append({**body, **told, "max_tokens": 1, "top_logprobs": LISTED, "prompt_logprobs": LISTED})
    exchanges = send_all(client, [chat(body, DEADLINE_S) for body in bodies], way.concurrency)
    found = {row.prompt.id: scores_of(row.logprobs, one) for row, one in zip(known, exchanges, strict=True)}
    return {name: one for name, one in found.items() if one is not None}


def scores_of(given: LogProbs, exchange: Exchange) -> LogProbs | None:
    """The lists at the tokens of an answer that was given; None without them, or when its text has other tokens."""
    if exchange.status != 200:
        return None
    answer = exchange.json()
    ids, lists = answer["prompt_token_ids"], answer["prompt_logprobs"]
    spoken = given.tokens[: len(given.tokens) - 1]  # the last one ends the answer and is no part of its text
    if not spoken or tuple(ids[-len(spoken) :]) != spoken:
        return None
    top = [{int(token): each["logprob"] for token, each in listed.items()} for listed in lists[-len(spoken) :]]
    after = logprobs_of(exchange)
    if isinstance(after, LogProbs) and given.tokens[-1] in after.top[0]:
        return LogProbs(given.text, given.tokens, (*top, after.top[0]))
    return LogProbs(given.text, spoken, tuple(top))


def collect(variant: Variant, out: Path, prompts: Sequence[LogProbPrompt], python: Path | None) -> None:
    """Make the passes that are missing."""
    missing = [way for way in variant.passes if not (out / variant.name / f"{way.name}.jsonl").exists()]
    if not missing:
        return
    began = time.monotonic()
    (out / variant.name).mkdir(parents=True, exist_ok=True)
    by_id = {one.id: one for one in prompts}
    with tempfile.TemporaryDirectory(prefix="reference-runs-") as temp, served(variant, python, Path(temp)) as client:
        model = load_profile(variant.profile, PROFILES).profile.model.id
        print(f"{variant.name}: ready after {time.monotonic() - began:.0f} s", flush=True)
        for way in missing:
            started = time.monotonic()
            some = prompts[: way.most or None]
            if way.is_scored:
                known = {row.prompt.id: row for row in read_baseline(out / RIGHT / f"{RECORD}.jsonl")}
                got = score(client, model, [known[one.id] for one in some if one.id in known], way)
            else:
                got = ask(client, model, some, way)
            path = out / variant.name / f"{way.name}.jsonl"
            lines = [line_of(StoredLogProbs(by_id[name], got[name])) for name in by_id if name in got]
            path.with_suffix(".part").write_text("\n".join(lines) + "\n", "utf-8")
            path.with_suffix(".part").replace(path)
            tokens = sum(len(one.tokens) for one in got.values())
            print(f"  {way.name}: {len(got)} of {len(some)} prompts, {tokens} tokens, "
                  f"{time.monotonic() - started:.0f} s", flush=True)  # fmt: skip


def main() -> int:
    """Collect all variants, or the named ones."""
    named = {one.name: one for one in variants()}
    parser = argparse.ArgumentParser(description=(__doc__ or "").partition("\n")[0])
    parser.add_argument("out", type=Path)
    parser.add_argument("--only", nargs="+", choices=sorted(named), metavar="NAME", help=", ".join(named))
    parser.add_argument("--engine-python", type=Path, help="interpreter with another vLLM; write to another folder")
    parser.add_argument("--prefix", default="", help="before the names of the folders, for another vLLM")
    parser.add_argument("--more", type=int, default=MORE, help=f"prompts beyond those of the file ({MORE})")
    given = parser.parse_args()
    prompts = questions(given.more)
    for name in given.only or named:
        variant = named[name]
        try:
            collect(replace(variant, name=given.prefix + variant.name), given.out, prompts, given.engine_python)
        except SystemExit as broken:
            print(re.sub(r"\n\s*\n", "\n", str(broken)), flush=True)
    return 0


if __name__ == "__main__":
    sys.exit(main())
