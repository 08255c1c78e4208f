"""Faults that show only when many requests are in flight, or after many requests."""

from __future__ import annotations

import re
import threading
import time
from dataclasses import replace

from fault_stages import Call, Dose, Frames, Response, Stages, error_response, object_of, text_of

ONE_IN = 50
STARVED_ONE_IN = 16
_RUNNING = re.compile(rb"^(vllm:num_requests_running(?:\{[^}]*\})? )(\S+)", re.MULTILINE)


def one_slow(dose: Dose) -> Stages:
    def instead(call: Call) -> None:
        if call.is_chat and call.number % ONE_IN == ONE_IN // 2:
            dose.pause(dose.magnitude)

    return Stages(instead=instead)


def starved(dose: Dose) -> Stages:
    last = [0.0]

    def instead(call: Call) -> None:
        if not call.is_chat:
            return
        if call.number % STARVED_ONE_IN == STARVED_ONE_IN // 2:
            while not dose.closing.is_set() and (left := last[0] + dose.magnitude - time.monotonic()) > 0:
                dose.pause(left)
        else:
            last[0] = time.monotonic()

    return Stages(instead=instead)


def failure_spreads(dose: Dose) -> Stages:
    """Each request in flight when another is refused fails, too; not streams, whose status was sent already."""
    in_flight: set[int] = set()
    doomed: set[int] = set()
    lock = threading.Lock()

    def request(call: Call) -> Call:
        if call.is_chat:
            with lock:
                in_flight.add(call.number)
        return call

    def response(call: Call, response: Response) -> Response:
        if not call.is_chat:
            return response
        with lock:
            in_flight.discard(call.number)
            if 400 <= response.status < 500:
                doomed.update(in_flight)
            elif call.number in doomed:
                return error_response(500, "EngineCore encountered an issue.")
        return response

    return Stages(request=request, response=response)


def slot_kept(dose: Dose) -> Stages:
    kept = [0]

    def frames(call: Call, frames: Frames) -> Frames:
        is_whole = False
        try:
            yield from frames
            is_whole = True
        finally:
            kept[0] += not is_whole

    def response(call: Call, response: Response) -> Response:
        if call.route != "/metrics":
            return response
        return replace(response, body=_RUNNING.sub(lambda m: m[1] + b"%.1f" % (float(m[2]) + kept[0]), response.body))

    return Stages(response=response, frames=frames)


def tpot_grows(dose: Dose) -> Stages:
    began = time.monotonic()

    def more_s() -> float:
        return dose.magnitude * (time.monotonic() - began) / 60

    def response(call: Call, response: Response) -> Response:
        usage = (object_of(response.body) or {}).get("usage") if call.is_chat else None
        dose.pause(more_s() * usage["completion_tokens"] if usage else 0)
        return response

    def frames(call: Call, frames: Frames) -> Frames:
        for frame in frames:
            if text_of(frame):
                dose.pause(more_s())
            yield frame

    return Stages(response=response, frames=frames)
