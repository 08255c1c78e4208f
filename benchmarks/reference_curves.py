"""How many output tokens tell a wrong deployment from a right one: tables from the files of reference_runs.py.

`python benchmarks/reference_curves.py RUNS [--table NAME ...] [--draws 1000] [--fp32 FILE] [--bf16 FILE]` prints
Markdown. The references are a record of the right deployment, its network in float32 and in bfloat16 (of another
implementation: the engine with other sums, if no file is given). Prompts are drawn with replacement until their answers
have so many tokens. Exit code 1 when a bar is not reached.
"""

from __future__ import annotations

import argparse
import random
import sys
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from functools import lru_cache
from pathlib import Path

ROOT = Path(__file__).resolve().parents[1]
sys.path[:0] = [str(ROOT / "src"), str(Path(__file__).resolve().parent)]

from token_distances import Sampler, Token, auc, distances, rows_together, summed  # noqa: E402

from vlm_acceptance.checks.reference_limits import Limits, is_refused, limits_of, worst_prompt  # noqa: E402
from vlm_acceptance.core.logprobs import LogProbs, read_baseline  # noqa: E402
from vlm_acceptance.core.reference import Change, PromptDistance  # noqa: E402
from vlm_acceptance.core.reference_file import read_about  # noqa: E402
from vlm_acceptance.stats.resampling import upper  # noqa: E402

SIZES = (1, 3, 10, 25, 50, 100, 200, 300, 500)
FAULTS = ("int8", "fp8", "int4", "kv-fp8", "noise1", "foreign-system")
# of the right deployment, beside restarts: threads, steps, caches and another release
STATES = ("threads", "small-steps", "no-cache", "warm-blocks", "release", "0.18-release")
# must a draw of 12 prompts be refused? None: no bar, the figure as it is
MUSTS: dict[str, bool | None] = {
    **dict.fromkeys(("right", "fp16", "fp32", "varying", *STATES), False),
    **dict.fromkeys(("int4", "noise5", "no-bos", "nearest", "eps1000", "no-thumbnail", "tiles-reversed"), True),
    **dict.fromkeys(("eps10", "int8", "fp8", "kv-fp8", "noise1", "foreign-system"), None),
}
PROMPTS_DRAWN, TRIES = 12, 20
BAR, TOKENS_BAR = 0.001, 300
SAMPLE = 32  # prompts: about 300 tokens
Value = Callable[[Token], float]
Rows = Mapping[str, LogProbs]


@dataclass(frozen=True, slots=True)
class Against:
    """A reference, the runs of the right deployment that are compared with it, and where a fault's run is found."""

    title: str
    known: str
    right: tuple[str, ...]
    wrong: str
    value: Value
    predicted: str = ""


def mean(token: Token) -> float:
    """The distance that the suite takes."""
    return token.mean


# by name: what the table of curves compares; {fault} is replaced
WAYS: dict[str, Against] = {
    "record": Against(
        "record of the deployment; same bits in every batch (the CPU engine)",
        "right/alone", ("right/together", "right/eight", "right/warm"), "{fault}/together", mean,
    ),
    "record-card": Against(
        "record of the deployment, whose sums depend on the batch as on a card",
        "varying/alone", ("varying/together", "varying/eight", "varying/warm"), "{fault}~varying/together", mean,
    ),
    "bf16": Against(
        "bfloat16 by another implementation", "BF16", ("right/together",), "{fault}/together", mean,
    ),
    "fp32": Against("float32", "FP32", ("right/together",), "{fault}/together", mean),
    "fp32-signature": Against(
        "float32, share of the change that the fault is predicted to make",
        "fp32/scored", ("right/scored",), "{fault}/scored", lambda token: token.share_of_fault, "{fault}@fp32/scored",
    ),
    "fp32-signature-card": Against(
        "the same, from the engine whose sums depend on the batch",
        "fp32/scored", ("varying/scored",), "{fault}~varying/scored", lambda token: token.share_of_fault,
        "{fault}@fp32/scored",
    ),
    "tokens": Against(
        "greedy tokens alone, against a record, same bits",
        "right/alone", ("right/together", "right/eight", "right/warm"), "{fault}/together",
        lambda token: token.other_share,
    ),
    "tokens-card": Against(
        "greedy tokens alone, against a record, sums depend on the batch",
        "varying/alone", ("varying/together", "varying/eight", "varying/warm"), "{fault}~varying/together",
        lambda token: token.other_share,
    ),
}  # fmt: skip


class Runs:
    """The collected files, read once each."""

    def __init__(
        self, folder: Path, fp32: Path | None, bf16: Path | None, also: Sequence[tuple[str, Path]] = ()
    ) -> None:
        self._folder, self.also = folder, also
        self._named = {"FP32": fp32 or folder / "fp32/together.jsonl", "BF16": bf16 or folder / "varying/alone.jsonl"}
        self.rows = lru_cache(maxsize=None)(self._rows)

    def path(self, name: str) -> Path:
        """The file of VARIANT/PASS, or of the reference FP32 or BF16."""
        return self._named.get(name, self._folder / f"{name}.jsonl")

    def has(self, name: str) -> bool:
        """Whether this pass was collected."""
        return self.path(name).exists()

    def names(self) -> list[str]:
        """Every pass that was collected, as VARIANT/PASS."""
        return sorted(f"{path.parent.name}/{path.stem}" for path in self._folder.glob("*/*.jsonl"))

    def _rows(self, name: str) -> Rows:
        return {row.prompt.id: row.logprobs for row in read_baseline(self.path(name))}


Samples = tuple[list[float], list[float]]


def sampled(runs: Runs, way: Against, fault: str, draws: int) -> list[Samples] | None:
    """Values of drawn samples of the right and of the wrong deployment, by size; None when a run is missing."""
    wrong, predicted = way.wrong.format(fault=fault), way.predicted.format(fault=fault)
    if not all(map(runs.has, (way.known, wrong, *way.right, *([predicted] if predicted else [])))):
        return None
    known, fault_alone = runs.rows(way.known), runs.rows(predicted) if predicted else None
    seen = runs.rows(wrong)
    right = Sampler(rows_together(*(distances(known, runs.rows(one), fault_alone, list(seen)) for one in way.right)))
    broken = Sampler(distances(known, seen, fault_alone))
    dice = random.Random(0)
    one, two = (
        [[way.value(each.draw(size, dice)) for _ in range(draws)] for size in SIZES] for each in (right, broken)
    )
    return list(zip(one, two, strict=True))


def curves(runs: Runs, draws: int) -> bool:
    """Tables of AUC, one a reference; whether every one finds 4-bit weights within 100 tokens."""
    reached = []
    for name, fault, values in _curves(runs, draws, FAULTS, tuple(WAYS), auc):
        if fault == "int4" and not name.startswith("tokens"):
            reached.append(values[SIZES.index(100)] >= 0.999)
    return all(reached) and bool(reached)


def refusals(runs: Runs, draws: int) -> bool:
    """Share of samples that are refused by a limit that refuses a right deployment in one sample of a thousand."""

    def refused(right: Sequence[float], wrong: Sequence[float]) -> float:
        limit = upper(right, BAR)
        return sum(value > limit for value in wrong) / len(wrong)

    ways = ("record", "record-card", "bf16", "fp32", "fp32-signature", "fp32-signature-card", "tokens")
    return bool(_curves(runs, draws, ("int8", "fp8", "int4"), ways, refused))


def _curves(
    runs: Runs, draws: int, faults: Sequence[str], ways: Sequence[str], judged: Callable[..., float]
) -> list[tuple[str, str, list[float]]]:
    """Print a table for each way to compare, a row for each fault; the rows."""
    made = []
    for name in ways:
        print(f"\n{name}: {WAYS[name].title}\n\n| fault | {' | '.join(map(str, SIZES))} |\n|---|{'---|' * len(SIZES)}")
        for fault in faults:
            found = sampled(runs, WAYS[name], fault, draws)
            if found is not None:
                values = [judged(*each) for each in found]
                print(f"| {fault} | {' | '.join(f'{value:.4f}' for value in values)} |", flush=True)
                made.append((name, fault, values))
    return made


def table_of_distances(runs: Runs, _: int) -> bool:
    """How far every run is from each reference."""
    print("\n| run | reference | prompts | tokens | mean |Δ| | worst prompt | in common | other token |")
    print("|---|---|---|---|---|---|---|---|")
    for name in runs.names():
        for title in ("right/alone", "BF16", "FP32"):
            if not runs.has(title) or (name.endswith("scored") and title != "right/alone"):
                continue
            found = distances(runs.rows(title), runs.rows(name))
            totals = {prompt: summed(tokens) for prompt, tokens in found.items()}
            if totals:
                all_of = summed(list(totals.values()))
                worst = max(one.mean for one in totals.values())
                print(f"| {name} | {title} | {len(totals)} | {all_of.tokens} | {all_of.mean:.5f} | {worst:.3f} | "
                      f"{all_of.common:.4f} | {all_of.others} |", flush=True)  # fmt: skip
    return True


def int8(runs: Runs, draws: int) -> bool:
    """Int8 weights against a record: share refused of bootstrapped samples, and of whole runs.

    The limit comes from three repeats of the right deployment, and from what int8 weights change in float32.
    """
    good = True
    for base, broken in (("right", "int8"), ("varying", "int8~varying")):
        right, wrong = (_repeats(runs, name, f"{base}/alone") for name in (base, broken))
        if not right or not wrong:
            print(f"\n{base}: not collected")
            good = False
            continue
        known = runs.rows(f"{base}/alone")
        repeats = [f"{base}/{name}" for name in ("eight", "together", "warm")]
        floors = [_change(f"repeat {name}", True, distances(known, runs.rows(name))) for name in repeats]
        predicted = distances(runs.rows("fp32/scored"), runs.rows("int8@fp32/scored"))
        limits = limits_of([*floors, _change("int8", False, predicted)], SAMPLE)
        print(f"\nrecord {base}/alone: alarm {limits.alarm:.5f} for {SAMPLE} prompts, floor {limits.floor:.5f} of "
              f"{', '.join(repeats)}\n")  # fmt: skip
        print("| runs | " + " | ".join(f"{size} tokens" for size in SIZES) + " | whole runs refused |")
        print("|---|" + "---|" * (len(SIZES) + 1))
        for title, names, must in (("right", right, 0.0), ("int8", wrong, 1.0)):
            prompts = [distances(known, runs.rows(one)) for one in names]
            whole = sum(_together(one).mean > limits.alarm for one in prompts)
            sampler, dice = Sampler(rows_together(*prompts)), random.Random(1)
            shares = [sum(sampler.draw(size, dice).mean > limits.alarm for _ in range(draws)) / draws for size in SIZES]
            print(f"| {title}, {len(names)} runs | {' | '.join(f'{share:.3f}' for share in shares)} | "
                  f"{whole} of {len(names)} |", flush=True)  # fmt: skip
            good &= abs(shares[SIZES.index(TOKENS_BAR)] - must) <= BAR and whole == must * len(names)
    return good


def _change(name: str, is_floor: bool, prompts: Mapping[str, Sequence[Token]]) -> Change:
    totals = {prompt: summed(tokens) for prompt, tokens in prompts.items() if tokens}
    rows = {prompt: PromptDistance(t.shift, 0, t.listed, t.possible, 0, t.tokens) for prompt, t in totals.items()}
    return Change(name, is_floor, rows)


def _together(prompts: Mapping[str, Sequence[Token]]) -> Token:
    return summed([token for tokens in prompts.values() for token in tokens])


def _repeats(runs: Runs, base: str, record: str) -> list[str]:
    """Every pass of a variant, of its restarts and of its other states, but the record itself and fixed answers."""
    folders = {base, *(f"{base}-{number}" for number in range(1, 5)), *(STATES if base == "right" else ())}
    names = [name for name in runs.names() if name.split("/")[0] in folders]
    return [name for name in names if not name.endswith("/scored") and name != record]


def draws_of_twelve(runs: Runs, draws: int) -> bool:
    """How many of 20 draws of 12 prompts, and of all draws, the limits of a float32 reference with power refuse."""
    good = True
    for reference, judged in ((runs.path("FP32"), MUSTS), *((path, {name: False}) for name, path in runs.also)):
        changes = read_about(reference).changes
        if not changes:
            print(f"\n{reference.name} holds no power: record it with power, and name it (--fp32)")
            return False
        limits = limits_of(changes, PROMPTS_DRAWN)
        known = {row.prompt.id: row.logprobs for row in read_baseline(reference)}
        print(f"\n{reference.name}: alarm {limits.alarm:.4f}, floor {limits.floor:.4f}, of a prompt "
              f"{limits.alarm_prompt:.4f}, in common {limits.common_top:.1%}\n")  # fmt: skip
        print(f"| run | must be | refused of {TRIES} | of {draws} | mean |Δ| of all | worst prompt | in common |")
        print("|---|---|---|---|---|---|---|")
        for name, must in judged.items():
            if not runs.has(f"{name}/together"):
                print(f"| {name} | not collected | | | | | |")
                good = False
                continue
            good &= _row_of_draws(name, must, distances(known, runs.rows(f"{name}/together")), limits, draws)
    return good


def _row_of_draws(
    name: str, must: bool | None, prompts: Mapping[str, Sequence[Token]], limits: Limits, draws: int
) -> bool:
    change, whole, dice = _change(name, False, prompts), _together(prompts), random.Random(3)
    totals = list(change.prompts.values())
    refused = [is_refused(limits, dice.sample(totals, PROMPTS_DRAWN)) for _ in range(draws)]
    words = {True: "refused", False: "accepted", None: "–"}
    print(f"| {name} | {words[must]} | {sum(refused[:TRIES])} | {sum(refused)} | {whole.mean:.4f} | "
          f"{worst_prompt(change):.3f} | {whole.common:.3f} |", flush=True)  # fmt: skip
    return must is None or sum(refused[:TRIES]) == (TRIES if must else 0)


TABLES: dict[str, Callable[[Runs, int], bool]] = {
    "distances": table_of_distances,
    "int8": int8,
    "curves": curves,
    "refusals": refusals,
    "draws": draws_of_twelve,
}


def _pair(text: str) -> tuple[str, Path]:
    name, sign, path = text.partition("=")
    if not sign:
        raise argparse.ArgumentTypeError(f"{text!r} is not RUN=FILE")
    return name, Path(path)


def main() -> int:
    """Print the tables."""
    parser = argparse.ArgumentParser(description=(__doc__ or "").partition("\n")[0])
    parser.add_argument("runs", type=Path)
    parser.add_argument("--table", nargs="+", choices=TABLES, default=list(TABLES))
    parser.add_argument("--draws", type=int, default=1000)
    parser.add_argument("--fp32", type=Path, help="reference in float32 (default: the engine's own)")
    parser.add_argument("--bf16", type=Path, help="reference in bfloat16 (default: the engine with other sums)")
    parser.add_argument("--also", nargs="+", type=_pair, default=(), metavar="RUN=FILE", help="runs of another model")
    given = parser.parse_args()
    runs = Runs(given.runs, given.fp32, given.bf16, given.also)
    results = {name: TABLES[name](runs, given.draws) for name in given.table}
    print("\n" + "; ".join(f"{name}: {'reached' if ok else 'NOT reached'}" for name, ok in results.items()))
    return int(not all(results.values()))


if __name__ == "__main__":
    sys.exit(main())
