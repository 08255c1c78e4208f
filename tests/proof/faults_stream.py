"""Faults of a streamed answer: its events, their order and their times."""

from __future__ import annotations

import itertools
from collections.abc import Callable
from typing import Any

from fault_stages import (
    DONE,
    Call,
    Dose,
    Frames,
    Response,
    Stages,
    chunk_of,
    edits_answers,
    finishes,
    frame_of,
    object_of,
    text_of,
)

STALLS_ONE_IN = 50


def role_missing(dose: Dose) -> Stages:
    return _edits_deltas(lambda delta: delta.pop("role", None))


def _edits_deltas(edit: Callable[[dict[str, Any]], Any]) -> Stages:
    def each(call: Call, chunk: dict[str, Any]) -> None:
        for choice in chunk["choices"]:
            edit(choice["delta"])

    return Stages(frames=edits_answers(each).frames)


def role_twice(dose: Dose) -> Stages:
    def frames(call: Call, frames: Frames) -> Frames:
        is_due = True
        for frame in frames:
            chunk = chunk_of(frame) if is_due and text_of(frame) else None
            if chunk is not None:
                is_due = False
                for choice in chunk["choices"]:
                    choice["delta"] = {"role": "assistant", **choice["delta"]}
                frame = frame_of(chunk)
            yield frame

    return Stages(frames=frames)


def finish_twice(dose: Dose) -> Stages:
    def frames(call: Call, frames: Frames) -> Frames:
        for frame in frames:
            yield frame
            chunk = chunk_of(frame) if finishes(frame) else None
            if chunk is not None:
                for choice in chunk["choices"]:
                    choice["delta"] = {"content": ""}
                yield frame_of(chunk)

    return Stages(frames=frames)


def finish_missing(dose: Dose) -> Stages:
    def each(call: Call, chunk: dict[str, Any]) -> None:
        for choice in chunk["choices"]:
            choice["finish_reason"] = None

    return Stages(frames=edits_answers(each).frames)


def _repeats_one_chunk(dose: Dose, times: int) -> Stages:
    def frames(call: Call, frames: Frames) -> Frames:
        seen = 0
        for frame in frames:
            is_text = bool(text_of(frame)) and not finishes(frame)
            seen += is_text
            yield from [frame] * (times if is_text and seen == int(dose.magnitude) else 1)

    return Stages(frames=frames)


def chunk_lost(dose: Dose) -> Stages:
    return _repeats_one_chunk(dose, times=0)


def chunk_duplicated(dose: Dose) -> Stages:
    return _repeats_one_chunk(dose, times=2)


def done_missing(dose: Dose) -> Stages:
    return Stages(frames=lambda _call, frames: (frame for frame in frames if frame != DONE))


def usage_chunk_missing(dose: Dose) -> Stages:
    def is_usage(frame: bytes) -> bool:
        chunk = chunk_of(frame)
        return chunk is not None and not chunk["choices"]

    return Stages(frames=lambda _call, frames: (frame for frame in frames if not is_usage(frame)))


def error_event(dose: Dose) -> Stages:
    error = {"message": "EngineCore encountered an issue.", "type": "InternalServerError", "param": None, "code": 500}

    def frames(call: Call, frames: Frames) -> Frames:
        seen = 0
        for frame in frames:
            yield frame
            seen += bool(text_of(frame))
            if seen == int(dose.magnitude):
                break
        yield frame_of({"error": error})
        yield DONE

    return Stages(frames=frames)


def not_streamed(dose: Dose) -> Stages:
    return Stages(frames=lambda _call, frames: iter([b"".join(frames)]))


def buffered(dose: Dose) -> Stages:
    """Events arrive in blocks, as from the buffer of a gateway."""

    def frames(_call: Call, frames: Frames) -> Frames:
        block: list[bytes] = []
        for frame in frames:
            block.append(frame)
            if len(block) >= dose.magnitude:
                yield b"".join(block)
                block = []
        yield b"".join(block)

    return Stages(frames=frames)


def ttft_added(dose: Dose) -> Stages:
    def response(call: Call, response: Response) -> Response:
        dose.pause(dose.magnitude if call.is_chat else 0)
        return response

    def frames(call: Call, frames: Frames) -> Frames:
        for place, frame in enumerate(frames):
            if place == 0:
                dose.pause(dose.magnitude)
            yield frame

    return Stages(response=response, frames=frames)


def tpot_added(dose: Dose) -> Stages:
    def response(call: Call, response: Response) -> Response:
        usage = (object_of(response.body) or {}).get("usage") if call.is_chat else None
        dose.pause(dose.magnitude * max(0, usage["completion_tokens"] - 1) if usage else 0)
        return response

    def frames(call: Call, frames: Frames) -> Frames:
        texts = itertools.count()
        for frame in frames:
            if text_of(frame) and next(texts) > 0:
                dose.pause(dose.magnitude)
            yield frame

    return Stages(response=response, frames=frames)


def jitter(dose: Dose) -> Stages:
    def frames(call: Call, frames: Frames) -> Frames:
        drawn = dose.drawn(call.number)
        for frame in frames:
            if text_of(frame) and drawn.randrange(STALLS_ONE_IN) == 0:
                dose.pause(dose.magnitude)
            yield frame

    return Stages(frames=frames)
