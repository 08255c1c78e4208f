"""Server-sent events from raw bytes, with the time each event was complete. Pure: no sockets here."""

from __future__ import annotations

from vlm_acceptance.core.exchange import Frame


class EventSplitter:
    """Feed it bytes as they come; it returns the events they complete. Comments and retry fields are dropped."""

    def __init__(self) -> None:
        self._pending = b""
        self._after_cr = False
        self._data: list[str] = []
        self._event = ""

    def feed(self, piece: bytes, at_ns: int) -> list[Frame]:
        """Events completed by `piece`, read at `at_ns`; line ends are LF, CRLF or CR."""
        if not piece:
            return []
        # a CR ends its line at once; the LF of a CRLF that was cut in two is then no line of its own
        fresh = piece[1:] if self._after_cr and piece.startswith(b"\n") else piece
        self._after_cr = piece.endswith(b"\r")
        *lines, rest = fresh.replace(b"\r\n", b"\n").replace(b"\r", b"\n").split(b"\n")
        if lines:
            lines[0] = self._pending + lines[0]
            self._pending = rest
        else:
            self._pending += rest
        frames = (self._line(line.decode("utf-8", "replace"), at_ns) for line in lines)
        return [frame for frame in frames if frame is not None]

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
