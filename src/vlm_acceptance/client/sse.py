"""Server-sent events from raw bytes, with the time each event was complete. Pure: no sockets here."""

from __future__ import annotations

from vlm_acceptance.exchange import Frame


class EventSplitter:
    """Feed it bytes as they come; it returns the events they complete. Comments and retry fields are dropped."""

    def __init__(self) -> None:
        self._pending = b""
        self._data: list[str] = []
        self._event = ""

    def feed(self, piece: bytes, at_ns: int) -> list[Frame]:
        """Events completed by `piece`, read at `at_ns`; line ends are LF, CRLF or CR."""
        self._pending += piece
        # a CR that ends the piece may be half of a CRLF: wait for what follows
        held = b"\r" if self._pending.endswith(b"\r") else b""
        text = self._pending[: len(self._pending) - len(held)].replace(b"\r\n", b"\n").replace(b"\r", b"\n")
        *lines, rest = text.split(b"\n")
        self._pending = rest + held
        frames = []
        for line in lines:
            frame = self._line(line.decode("utf-8", "replace"), at_ns)
            if frame is not None:
                frames.append(frame)
        return frames

    def _line(self, line: str, at_ns: int) -> Frame | None:
        if not line:
            frame = Frame(at_ns, "\n".join(self._data), self._event) if self._data else None
            self._data, self._event = [], ""
            return frame
        name, _, value = line.partition(":")
        value = value.removeprefix(" ")
        if name == "data":
            self._data.append(value)
        elif name == "event":
            self._event = value
        return None
