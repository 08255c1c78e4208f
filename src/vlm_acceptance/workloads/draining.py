"""An engine that is asked to end while it answers: what becomes of the requests in flight, and of later ones."""

from __future__ import annotations

import threading
import time
from collections.abc import Callable, Iterator
from typing import Any

from vlm_acceptance.checks.draining import Drained
from vlm_acceptance.client.chat import chat_body
from vlm_acceptance.client.disconnecting import LeavingClient
from vlm_acceptance.client.pool import Pool
from vlm_acceptance.client.recording import RecordingClient
from vlm_acceptance.core.chance import Chance
from vlm_acceptance.core.exchange import NS, Exchange
from vlm_acceptance.workloads.leaving import LONG_TOKENS, endless_bodies, in_engine
from vlm_acceptance.workloads.load import STREAMED
from vlm_acceptance.workloads.parameters import SHORT

# half of them streamed
IN_FLIGHT = 8
LATE_TOKENS = 8
# seconds after the engine is asked to end
LATE_AT_S = (0.05, 0.3, 0.6, 1.0)
# until all are in the engine, at most; and for their first tokens
IN_ENGINE_WITHIN_S, BEGUN_S, TICK_S = 5.0, 0.5, 0.05


class _Draining:
    """Requests that take long, a stop of the engine, and short requests afterwards."""

    def __init__(self, client: RecordingClient, context: int | None, patience_s: float, chance: Chance) -> None:
        self._client, self._patience_s = client, patience_s
        self._http = LeavingClient(client.http)
        half, tokens = IN_FLIGHT // 2, LONG_TOKENS if context is None else min(LONG_TOKENS, context // 2)
        long = [endless_bodies(client.model_id, half, chance, is_streamed=is_streamed) for is_streamed in (True, False)]
        self._bodies = [{**body, "max_tokens": tokens} for bodies in long for body in bodies]
        late: dict[str, Any] = chat_body(client.model_id, SHORT, max_tokens=LATE_TOKENS, ignore_eos=True)
        self._bodies += [{**late, **STREAMED} if number % 2 else late for number in range(len(LATE_AT_S))]
        self._received: dict[int, Exchange] = {}
        self._begun, self._stopping = threading.Event(), threading.Event()
        self._stopped_ns = 0
        self._left_ns: int | None = None

    def run(self, stop: Callable[[], object]) -> Drained:
        """`stop` is called in this thread, and everything is sent in others."""
        sender = threading.Thread(target=self._send_all, name="draining", daemon=True)
        sender.start()
        self._begun.wait()
        self._stopped_ns = time.monotonic_ns()
        self._stopping.set()
        stop()
        sender.join()
        for number in sorted(self._received):
            self._client.keep(self._received[number], self._bodies[number])
        running = tuple(one for number, one in sorted(self._received.items()) if number < IN_FLIGHT)
        late = tuple(one for number, one in sorted(self._received.items()) if number >= IN_FLIGHT)
        return Drained(running, late, self._stopped_ns, self._left_ns)

    def _send_all(self) -> None:
        try:
            for pair in Pool(self._send, self._numbers(), len(self._bodies), TICK_S):
                if pair is not None:
                    self._received[pair[0]] = pair[1]
                elif self._left_ns is None and self._stopping.is_set():
                    self._leave_in_time()
        finally:
            self._begun.set()

    def _leave_in_time(self) -> None:
        """No client waits for ever, and an engine may wait for its clients."""
        now_ns = time.monotonic_ns()
        if now_ns - self._stopped_ns > self._patience_s * NS:
            self._left_ns = now_ns
            self._http.leave()

    def _send(self, number: int) -> Exchange:
        return self._http.send(self._client.request(self._bodies[number]))

    def _numbers(self) -> Iterator[int]:
        yield from range(IN_FLIGHT)
        until_s = time.monotonic() + IN_ENGINE_WITHIN_S
        while (in_engine(self._client) or 0) < IN_FLIGHT and time.monotonic() < until_s:
            time.sleep(TICK_S)
        time.sleep(BEGUN_S)
        self._begun.set()
        self._stopping.wait()
        began_s = time.monotonic()
        for number, at_s in enumerate(LATE_AT_S, IN_FLIGHT):
            time.sleep(max(0.0, began_s + at_s - time.monotonic()))
            yield number


def drain(
    client: RecordingClient, stop: Callable[[], object], context: int | None, patience_s: float, chance: Chance
) -> Drained:
    """Let requests be in flight, call `stop`, which ends the engine, and send some more meanwhile.

    All clients leave `patience_s` seconds after the call. `context` is the length of the model's context in tokens, if
    it is known.
    """
    return client.observed("drained", Drained, lambda: _Draining(client, context, patience_s, chance).run(stop))
