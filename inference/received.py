"""What the client of a replay received: the record of one request, and what an answer's bytes hold.

Outcomes:

    answered      the answer came whole
    cut           the connection broke, or the answer ended early, after the request was sent
    refused       an answer came, with another status than 200
    unreachable   no connection could be made before the deadline, so nothing was sent
"""

from enum import StrEnum

import msgspec

DATA = b"data:"
DONE = b"[DONE]"


class ReplayOutcome(StrEnum):
    ANSWERED = "answered"
    CUT = "cut"
    REFUSED = "refused"
    UNREACHABLE = "unreachable"


class Received(msgspec.Struct, frozen=True):
    """One request of a replay, as its client saw it; one line of the log.

    Token counts are those that the answer reported, `None` where it reported none; `words` are counted in the text
    that came. Times are microseconds since the epoch.
    """

    row: int
    outcome: ReplayOutcome
    streamed: bool
    request_id: str | None
    status: int | None
    prompt_tokens: int | None
    completion_tokens: int | None
    words: int
    sent_at_us: int
    ended_at_us: int
    problem: str | None


class Usage(msgspec.Struct, frozen=True):
    prompt_tokens: int
    completion_tokens: int


class _Text(msgspec.Struct, frozen=True):
    content: str | None = None


class _Choice(msgspec.Struct, frozen=True):
    message: _Text = _Text()
    delta: _Text = _Text()


class _Body(msgspec.Struct, frozen=True):
    choices: list[_Choice] = []
    usage: Usage | None = None
    error: msgspec.Raw = msgspec.Raw(b"null")


_decoder = msgspec.json.Decoder(_Body)


class Answer:
    """Takes the bytes of a 200 answer as they come, and knows at the end whether it was whole.

    Bytes that are not what the OpenAI chat API sends raise msgspec.MsgspecError.
    """

    def __init__(self, *, streamed: bool) -> None:
        self._streamed = streamed
        self._buffer = bytearray()
        self._texts: list[str] = []
        self.usage: Usage | None = None
        self.whole = False
        self.error: bytes | None = None

    def feed(self, data: bytes) -> None:
        self._buffer += data
        if self._streamed:
            *events, rest = self._buffer.split(b"\n\n")
            self._buffer = rest
            for event in events:
                self._event(event)

    def end(self) -> None:
        """The last byte came: a body that is not streamed is read now."""
        if not self._streamed:
            self._read(_decoder.decode(self._buffer))
            self.whole = True

    def words(self) -> int:
        return len("".join(self._texts).split())

    def _event(self, event: bytes | bytearray) -> None:
        if not event.startswith(DATA):
            return  # A comment, which servers send to keep a connection alive.
        data = event.removeprefix(DATA).strip()
        if data == DONE:
            self.whole = self.error is None
        else:
            self._read(_decoder.decode(data))

    def _read(self, body: _Body) -> None:
        if (error := bytes(body.error)) != b"null":
            self.error = error
        if body.usage is not None:
            self.usage = body.usage
        for choice in body.choices:
            self._texts.append(choice.message.content or choice.delta.content or "")
