"""Server-sent events: cuts a stream of bytes into events, and reads and writes an event's data. Pure.

Source: WHATWG HTML, "Server-sent events". An event ends with an empty line; lines end with LF, CRLF or CR.
"""

import re

# A CR that may yet be followed by its LF is no line end, so that the cuts do not depend on how the bytes arrive.
_LINE_END = rb"(?:\r\n|\n|\r(?=[^\n]))"
_EMPTY_LINE = re.compile(_LINE_END + _LINE_END)
_LINE_ENDS = re.compile(rb"\r\n|\n|\r")
_REACH_BACK = 3  # Bytes of an empty line that may have come before.


class EventTooLarge(ValueError):
    """An event of the stream is larger than the limit."""


class EventSplitter:
    """Cuts a stream into events, each with the bytes as they came, however the stream is cut into pieces."""

    __slots__ = ("_event_bytes_max", "_pending", "_returns")

    def __init__(self, event_bytes_max: int) -> None:
        self._event_bytes_max = event_bytes_max
        self._pending = bytearray()  # An event that has begun.
        self._returns = False  # Carriage returns were seen: then an empty line may have seven forms, not one.

    def data_of_one(self, stream: bytes, begin: int, end: int) -> bytes | None:
        """The data of a piece that is one whole event of one line, as most are: it needs no cutting. Else None.

        The piece lies in `stream` from `begin` to `end`.
        """
        line_end = end - 2
        if (
            end - begin > self._event_bytes_max
            or self._pending
            or self._returns
            or not stream.startswith(b"data: ", begin)
            or stream.find(b"\n", begin) != line_end
            or not stream.endswith(b"\n\n", begin, end)
            or stream.find(b"\r", begin, end) >= 0
        ):
            return None
        return stream[begin + 6 : line_end]

    def feed(self, piece: bytes) -> list[bytes]:
        """The events that this piece completes. Raises EventTooLarge."""
        scan_from = max(0, len(self._pending) - _REACH_BACK)
        stream: bytes | bytearray = piece
        if self._pending:
            self._pending += piece
            stream = self._pending
        self._returns = self._returns or b"\r" in piece
        events = []
        start = 0
        while (end := self._end(stream, scan_from)) > 0:
            events.append(bytes(stream[start:end]))
            if end - start > self._event_bytes_max:
                self._refuse(end - start)
            start = scan_from = end
        if stream is piece:
            if start < len(piece):
                self._pending = bytearray(piece[start:])
        elif start:
            del self._pending[:start]
        if len(self._pending) > self._event_bytes_max:
            self._refuse(len(self._pending))
        return events

    def finish(self) -> list[bytes]:
        """What is left at the end of the stream, closed as an event; nothing where only line ends are left."""
        left = bytes(self._pending)
        self._pending = bytearray()
        if not left.strip(b"\r\n"):
            return []
        closed = _LINE_ENDS.split(left)[-2:] == [b"", b""]
        return [left if closed else left + b"\n\n"]

    def _end(self, stream: bytes | bytearray, scan_from: int) -> int:
        if not self._returns:
            found_at = stream.find(b"\n\n", scan_from)
            return found_at + 2 if found_at >= 0 else -1
        found = _EMPTY_LINE.search(stream, scan_from)
        return found.end() if found else -1

    def _refuse(self, size: int) -> None:
        raise EventTooLarge(f"An event of at least {size} bytes is over the limit of {self._event_bytes_max}.")


def data_of(event: bytes) -> bytes | None:
    """The data of an event, its lines joined by LF; None where it has none, as a comment."""
    if event.startswith(b"data: ") and event.find(b"\n") == len(event) - 2 and b"\r" not in event:
        return event[6:-2]
    parts = []
    for line in _LINE_ENDS.split(event):
        name, _, value = line.partition(b":")
        if name == b"data":
            parts.append(value.removeprefix(b" "))
    return b"\n".join(parts) if parts else None


def event_of(data: bytes) -> bytes:
    """An event with this data, which is one line."""
    return b"data: " + data + b"\n\n"
