"""An engine that ends while it answers: no answer is a half one that looks whole."""

from __future__ import annotations

from dataclasses import dataclass

from vlm_acceptance.checks.load import finished
from vlm_acceptance.core import finding_classes as kinds
from vlm_acceptance.core.exchange import NS, Exchange, NoReply
from vlm_acceptance.core.finding import Finding
from vlm_acceptance.core.numbers import is_at_least

# of a promised time: clocks and signals take some of it
SLACK_S = 1.0


@dataclass(frozen=True, slots=True)
class Drained:
    """Requests in flight when the engine was asked to end, at `stopped_ns`, and `late` ones, sent after that.

    At `left_ns` the clients left that still waited; None: none did.
    """

    running: tuple[Exchange, ...]
    late: tuple[Exchange, ...]
    stopped_ns: int
    left_ns: int | None = None

    @property
    def in_flight(self) -> list[Exchange]:
        """Those that were not answered before."""
        return [one for one in self.running if one.finished_ns > self.stopped_ns]


def half_answers(seen: Drained) -> list[Finding]:
    """Each answer is whole, or shows that it is not: by an error, a closed connection, or its finish_reason.

    Every request demands so many tokens, whatever the model says: a whole answer has all of them.
    """
    found = []
    for where, exchanges in (("in flight", seen.in_flight), ("sent afterwards", seen.late)):
        for exchange in exchanges:
            reply, wanted = finished(exchange.reply), exchange.request.body["max_tokens"]
            if isinstance(reply, NoReply) or (reply.usage is not None and reply.usage.completion == wanted):
                continue
            tokens = "an unknown number of" if reply.usage is None else reply.usage.completion
            observed = f"an answer that looks whole (finish_reason {reply.finish_reason!r}) after {tokens} tokens"
            expected = f"{wanted} tokens as requested, or an error, or a closed connection"
            found.append(Finding(kinds.RELEASE_HALF, expected, observed, where, exchange))
    return found


def left_open(seen: Drained) -> list[Finding]:
    """A request that the ending engine neither answers nor refuses is closed, too: its client need not wait."""
    left_ns = seen.left_ns
    open_ = [] if left_ns is None else [one for one in (*seen.in_flight, *seen.late) if one.finished_ns >= left_ns]
    if left_ns is None or not open_:
        return []
    waited_s = (left_ns - seen.stopped_ns) / NS
    observed = f"{len(open_)} of {len(seen.in_flight) + len(seen.late)} requests still open after {waited_s:.0f} s"
    expected = "each request answered, refused or closed by the engine that ends"
    return [Finding(kinds.RELEASE_OPEN, expected, observed, exchange=open_[0])]


def cut_too_early(seen: Drained, promised_s: float) -> list[Finding]:
    """With `--shutdown-timeout`, requests in flight get so many seconds to end before they are cut."""
    cut = [one for one in seen.in_flight if isinstance(finished(one.reply), NoReply)]
    found = []
    for exchange in cut:
        lasted_s = (exchange.finished_ns - seen.stopped_ns) / NS
        if not is_at_least(lasted_s, promised_s - SLACK_S):
            observed = f"a request in flight was cut {lasted_s:.1f} s after SIGTERM: {finished(exchange.reply)}"
            expected = f"requests in flight to go on for {promised_s:g} s (--shutdown-timeout)"
            found.append(Finding(kinds.RELEASE_CUT, expected, observed, exchange=exchange))
    return found[:1]


def figures(seen: Drained) -> dict[str, str]:
    """What a report shows: how the requests ended, in words."""
    shown = {"in_flight": seen.in_flight, "sent_afterwards": list(seen.late)}
    return {name: ", ".join(_ending(seen, one) for one in all_) or "none" for name, all_ in shown.items()}


def _ending(seen: Drained, exchange: Exchange) -> str:
    if seen.left_ns is not None and exchange.finished_ns >= seen.left_ns:
        return "left open"
    if exchange.error is not None:
        return exchange.error.kind
    if exchange.status != 200:
        return f"HTTP {exchange.status}"
    reply = exchange.reply
    return "no whole answer" if isinstance(reply, NoReply) else f"finish_reason {reply.finish_reason}"
