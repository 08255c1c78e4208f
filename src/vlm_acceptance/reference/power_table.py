"""The table of a reference's power, as text or as Markdown."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

from vlm_acceptance.checks.reference_limits import Limits, distance, limits_of, prompts_needed, worst_prompt
from vlm_acceptance.core.reference import Change

SHARE_OF_ALL = 0.9995  # shown as "yes"


def table(changes: Sequence[Change], sample: int) -> list[list[str]]:
    """A head and a row for each change: mean, worst prompt and chosen token in nats, tokens in common, refusals."""
    limits, needed = limits_of(changes, sample, count_needed=False), prompts_needed(changes)
    head = ["change", "mean", "worst prompt", "common", "chosen", f"refused at {sample}", "prompts needed"]
    return [head, *([*_figures(change), *_verdict(change, limits, needed)] for change in changes)]


def _figures(change: Change) -> list[str]:
    rows = list(change.prompts.values())
    listed, possible = sum(row.listed for row in rows), sum(row.possible for row in rows)
    chosen, tokens = sum(row.chosen for row in rows), sum(row.tokens for row in rows)
    return [
        change.name,
        f"{distance(change):.4f}",
        f"{worst_prompt(change):.3f}",
        f"{listed / max(1, possible):.1%}",
        f"{chosen / max(1, tokens):.4f}",
    ]


def _verdict(change: Change, limits: Limits, needed: Mapping[str, int | None]) -> list[str]:
    if change.floor:
        return ["floor", ""]
    rate = limits.rates[change.name]
    refused = "yes" if change.name in limits.refused else f"{rate:.1%}" if rate else "no"
    # a limit that is there for a nearer change may refuse this one with less than twice the floor
    counts = [count for count in (needed[change.name], limits.sample if refused == "yes" else None) if count]
    return [refused, str(min(counts)) if counts else f"more than {len(change.prompts)}"]


def as_text(rows: Sequence[Sequence[str]]) -> str:
    """The rows in columns, a line each."""
    widths = [max(len(row[place]) for row in rows) for place in range(len(rows[0]))]
    lines = []
    for row in rows:
        first, *others = (
            cell.ljust(width) if not place else cell.rjust(width)
            for place, (cell, width) in enumerate(zip(row, widths, strict=True))
        )
        lines.append("  ".join([first, *others]).rstrip())
    return "\n".join(lines) + "\n"


def as_markdown(rows: Sequence[Sequence[str]]) -> str:
    """The rows as a table of Markdown."""
    head, *others = (f"| {' | '.join(row)} |" for row in rows)
    return "\n".join([head, "|---" * len(rows[0]) + "|", *others]) + "\n"


def summary(limits: Limits) -> list[str]:
    """What the limits are, in a line or two."""
    if limits.tells_nothing:
        return [f"no change can be told from the floor by {limits.sample} prompts"]
    above = (
        ""
        if limits.margin_above is None
        else f"; the nearest change that it refuses is × {limits.margin_above:.2f} above"
    )
    return [
        f"limits for {limits.sample} prompts: mean {limits.alarm:.4f} (the floor is × {limits.margin_below:.2f} below"
        f"{above}), worst prompt {limits.alarm_prompt:.3f}, in common {limits.common_top:.1%}"
    ]
