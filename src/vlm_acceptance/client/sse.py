"""Splits raw bytes into server-sent events and notes when each event was complete. It reads no socket."""

from __future__ import annotations

from vlm_acceptance.core.exchange import Frame


class EventSplitter:
    """Takes bytes as they arrive and returns the events that they complete; drops comments and retry fields."""

    def __init__(self) -> None:
        self._pending = b""
        self._after_cr = False
        self._data: list[str] = []
        self._event = ""
        self._mark = "\ufeff"

    def feed(self, piece: bytes, at_ns: int) -> list[Frame]:
        """The events that `piece`, read at `at_ns`, completes; line ends are LF, CRLF or CR."""
        if not piece:
            return []
        # a CR ends its line at once; the LF of a CRLF that is split over two pieces must not end another line
        text = piece[1:] if self._after_cr and piece.startswith(b"\n") else piece
        self._after_cr = piece.endswith(b"\r")
        *lines, rest = text.replace(b"\r\n", b"\n").replace(b"\r", b"\n").split(b"\n")
        if lines:
            lines[0] = self._pending + lines[0]
            self._pending = rest
        else:
            self._pending += rest
        frames = (self._line(line.decode("utf-8", "replace"), at_ns) for line in lines)
        return [frame for frame in frames if frame is not None]

    def _line(self, line: str, at_ns: int) -> Frame | None:
        # only the first line of a stream may begin with a byte order mark
        line, self._mark = line.removeprefix(self._mark), ""
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
