"""The variants of reference_runs.py on offline engines, each forked from one process that has imported vLLM already.

`python benchmarks/reference_forks.py OUT [--only NAME ...]` runs in vLLM's interpreter, with OMP_NUM_THREADS=1: a start
takes seconds in place of minutes on a busy machine. The first pass finds an empty cache, the others a warm one. Files
as those of reference_runs.py, and with the same bits where both were made.
"""

from __future__ import annotations

import argparse
import os
import shutil
import sys
import tempfile
import time
import traceback
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

ROOT = Path(__file__).resolve().parents[1]
PROOF = ROOT / "tests" / "proof"
sys.path[:0] = [str(ROOT / "src"), str(Path(__file__).resolve().parent), str(PROOF)]
OWN = {"VLLM_ENABLE_V1_MULTIPROCESSING": "0", "TORCHDYNAMO_DISABLE": "1", "VLLM_CPU_OMP_THREADS_BIND": "nobind"}

import mutant_engine  # noqa: E402
import varying_engine  # noqa: E402
from reference_runs import LISTED, MORE, in_order, questions  # noqa: E402
from reference_variants import RECORD, RIGHT, Pass, Variant, variants  # noqa: E402

from vlm_acceptance.config.options import PROFILES  # noqa: E402
from vlm_acceptance.config.profile_file import load_profile  # noqa: E402
from vlm_acceptance.core.logprobs import (  # noqa: E402
    LogProbPrompt,
    LogProbs,
    StoredLogProbs,
    line_of,
    read_baseline,
)
from vlm_acceptance.run.inputs import IMAGES  # noqa: E402
from vlm_acceptance.workloads.logprobs import logprob_body  # noqa: E402


def started(variant: Variant, folder: Path) -> Any:
    """The variant's engine, in this process."""
    from vllm import LLM

    profile = load_profile(variant.profile, PROFILES).profile
    model = folder / variant.name.replace("@", "-")
    shutil.copytree(ROOT / str(profile.model.path), model)
    if variant.make is not None:
        variant.make(model)
    if variant.fault:
        mutant_engine.break_tiling(variant.fault)
    if variant.partial:
        varying_engine.vary(variant.partial)
    options = {name.removeprefix("--").replace("-", "_"): value for name, value in variant.args.items()}
    off = {name.removeprefix("no_"): False for name, value in options.items() if value is None}
    given = {name: value for name, value in options.items() if value is not None}
    return LLM(model=str(model), max_logprobs=LISTED, **{**profile.offline.llm, **given, **off})


def ask(engine: Any, prompts: Sequence[LogProbPrompt], way: Pass) -> dict[str, LogProbs]:
    """Greedy answers by prompt id."""
    from vllm import SamplingParams

    found: dict[str, LogProbs] = {}
    ordered = in_order(prompts, way)
    for start in range(0, len(ordered), way.concurrency):
        some = ordered[start : start + way.concurrency]
        talks = [logprob_body("", one, IMAGES)["messages"] for one in some]
        how = [SamplingParams(temperature=0, max_tokens=one.max_tokens, logprobs=LISTED) for one in some]
        for one, answer in zip(some, engine.chat(talks, how, use_tqdm=False), strict=True):
            said = answer.outputs[0]
            found[one.id] = LogProbs(said.text, tuple(said.token_ids), tuple(map(_listed, said.logprobs)))
    return found


def score(engine: Any, known: Sequence[StoredLogProbs], way: Pass) -> dict[str, LogProbs]:
    """What the engine thinks of given answers, by prompt id; prompts whose tokens are others are left out."""
    from vllm import SamplingParams

    how = SamplingParams(temperature=0, max_tokens=1, logprobs=LISTED, prompt_logprobs=LISTED)
    found: dict[str, LogProbs] = {}
    for start in range(0, len(known), way.concurrency):
        some = known[start : start + way.concurrency]
        talks = []
        for row in some:
            said = {"role": "assistant", "content": row.logprobs.text}
            talks.append([*logprob_body("", row.prompt, IMAGES)["messages"], said])
        answers = engine.chat(
            talks, how, use_tqdm=False, add_generation_prompt=False, continue_final_message=True
        )  # fmt: skip
        for row, answer in zip(some, answers, strict=True):
            given, spoken = row.logprobs, row.logprobs.tokens[:-1]
            if not spoken or tuple(answer.prompt_token_ids[-len(spoken) :]) != spoken:
                continue
            top = [*map(_listed, answer.prompt_logprobs[-len(spoken) :])]
            after = _listed(answer.outputs[0].logprobs[0])
            whole = given.tokens[-1] in after
            tokens = given.tokens if whole else spoken
            found[row.prompt.id] = LogProbs(given.text, tokens, tuple([*top, after] if whole else top))
    return found


def _listed(top: Mapping[int, Any]) -> dict[int, float]:
    return {token: each.logprob for token, each in top.items()}


def collect(variant: Variant, missing: Sequence[Pass], out: Path, prompts: Sequence[LogProbPrompt]) -> None:
    """Make these passes, in a process of their own."""
    began = time.monotonic()
    (out / variant.name).mkdir(parents=True, exist_ok=True)
    by_id = {one.id: one for one in prompts}
    with tempfile.TemporaryDirectory(prefix="reference-forks-") as temp:
        engine = started(variant, Path(temp))
        print(f"{variant.name}: ready after {time.monotonic() - began:.0f} s", flush=True)
        for way in missing:
            some = prompts[: way.most or None]
            if way.is_scored:
                known = {row.prompt.id: row for row in read_baseline(out / RIGHT / f"{RECORD}.jsonl")}
                got = score(engine, [known[one.id] for one in some if one.id in known], way)
            else:
                got = ask(engine, some, way)
            path = out / variant.name / f"{way.name}.jsonl"
            lines = [line_of(StoredLogProbs(by_id[name], got[name])) for name in by_id if name in got]
            path.with_suffix(".part").write_text("\n".join(lines) + "\n", "utf-8")
            path.with_suffix(".part").replace(path)
            print(f"  {way.name}: {len(got)} of {len(some)} prompts, {time.monotonic() - began:.0f} s", flush=True)


def forked(variant: Variant, out: Path, prompts: Sequence[LogProbPrompt]) -> bool:
    """Collect what is missing in a child process; whether it ended well."""
    missing = [way for way in variant.passes if not (out / variant.name / f"{way.name}.jsonl").exists()]
    if not missing:
        return True
    child = os.fork()
    if child == 0:
        code = 1
        try:
            collect(variant, missing, out, prompts)
            code = 0
        except BaseException:  # noqa: BLE001  the child must never return to the parent's loop
            traceback.print_exc()
        finally:
            sys.stdout.flush()
            os._exit(code)
    return os.waitpid(child, 0)[1] == 0


def main() -> int:
    """Collect all variants, or the named ones; 1 when one failed."""
    named = {one.name: one for one in variants()}
    parser = argparse.ArgumentParser(description=(__doc__ or "").partition("\n")[0])
    parser.add_argument("out", type=Path)
    parser.add_argument("--only", nargs="+", choices=sorted(named), metavar="NAME", help=", ".join(named))
    parser.add_argument("--more", type=int, default=MORE, help=f"prompts beyond those of the file ({MORE})")
    given = parser.parse_args()
    os.environ.update(OWN)
    mutant_engine.load_launcher()
    import vllm.v1.worker.cpu_worker  # noqa: F401  all that takes long is imported before the forks

    prompts = questions(given.more)
    ended = [forked(named[name], given.out, prompts) for name in given.only or named]
    return int(not all(ended))


if __name__ == "__main__":
    sys.exit(main())
