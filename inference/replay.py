"""Sends a trace through a running gateway as its clients would, and writes down what they received.

One request a row. What was sent is never sent again, whatever became of it: the log is the client's side of the
account, and the other side is the gateway's journal. Only a request whose connection could not be made, so that it
was never sent, is tried again, until `unreachable_after_s`.
"""

import asyncio
import random
import time
from collections import Counter
from collections.abc import Callable, Iterable, Iterator, Sequence
from dataclasses import dataclass, field
from decimal import Decimal
from enum import StrEnum
from typing import IO

import httpx2
import msgspec

from inference.received import Answer, Received, ReplayOutcome
from inference.trace import TraceRow, prompt

ANSWER_BYTES_MAX = 256 * 2**20
ANSWER_TIMEOUT_S = 600
KEEP_ALIVE_S = 2  # Shorter than any server's: one that hangs up as we send would make a request look cut.
BACK_OFF_S = 0.1
BACK_OFF_S_MAX = 2.0
ERROR_CHARACTERS_MAX = 500
PROBLEM_KINDS_MAX = 20


class Streaming(StrEnum):
    """Which rows ask for a streamed answer; mixed is every second one."""

    ALL = "all"
    NONE = "none"
    MIXED = "mixed"

    def wanted(self, row: TraceRow) -> bool:
        return self is Streaming.ALL or (self is Streaming.MIXED and row.number % 2 == 0)


@dataclass(frozen=True)
class Plan:
    """Where a trace goes, and how. `speed_up` divides the trace's own pauses; None sends without any."""

    url: str
    key: str
    model: str
    streaming: Streaming = Streaming.NONE
    speed_up: Decimal | None = None
    concurrency: int = 32
    unreachable_after_s: int = 120

    def due_s(self, offset_us: int) -> float:
        """When to send a row that the trace has so many microseconds after its first, in seconds after the start."""
        return 0.0 if self.speed_up is None else offset_us / float(1_000_000 * self.speed_up)


@dataclass
class Totals:
    """Sums over what the client received; tokens are those of whole answers only."""

    outcomes: dict[ReplayOutcome, int] = field(default_factory=lambda: dict.fromkeys(ReplayOutcome, 0))
    prompt_tokens: int = 0
    completion_tokens: int = 0
    uncounted: int = 0  # Whole answers without usage, or with another number of words than of reported tokens.
    problems: Counter[str] = field(default_factory=Counter)  # Why requests were not answered, PROBLEM_KINDS_MAX kinds.

    @property
    def requests(self) -> int:
        return sum(self.outcomes.values())

    @property
    def all_answered(self) -> bool:
        return self.outcomes[ReplayOutcome.ANSWERED] == self.requests and not self.uncounted

    def add(self, received: Received) -> None:
        self.outcomes[received.outcome] += 1
        if received.outcome is not ReplayOutcome.ANSWERED:
            problem = f"{received.outcome}, status {received.status}: {received.problem}"
            if problem in self.problems or len(self.problems) < PROBLEM_KINDS_MAX:
                self.problems[problem] += 1
            return
        self.prompt_tokens += received.prompt_tokens or 0
        self.completion_tokens += received.completion_tokens or 0
        self.uncounted += received.prompt_tokens is None or received.words != received.completion_tokens


async def replay(
    rows: Sequence[TraceRow], plan: Plan, log: IO[bytes], on_received: Callable[[Received], None]
) -> Totals:
    """Send every row, one at least, and write each outcome to `log` as a line of JSON, flushed at once.

    No more than `plan.concurrency` requests are open, and only theirs are in memory.
    """
    totals = Totals()
    taken = iter(rows)
    began, first_us = time.monotonic(), min(row.at_us for row in rows)
    connections = httpx2.Limits(max_connections=plan.concurrency, keepalive_expiry=KEEP_ALIVE_S)
    headers = {"authorization": f"Bearer {plan.key}", "content-type": "application/json"}

    async def sender(client: httpx2.AsyncClient) -> None:
        for row in taken:
            due = began + plan.due_s(row.at_us - first_us)
            await asyncio.sleep(max(0.0, due - time.monotonic()))
            received = await _sent(client, row, plan)
            log.write(msgspec.json.encode(received) + b"\n")
            log.flush()
            totals.add(received)
            on_received(received)

    # Proxies of the environment are not asked: a replay measures the gateway at the address it was given.
    async with (
        httpx2.AsyncClient(
            base_url=plan.url, headers=headers, timeout=ANSWER_TIMEOUT_S, limits=connections, trust_env=False
        ) as client,
        asyncio.TaskGroup() as senders,
    ):
        for _ in range(plan.concurrency):
            senders.create_task(sender(client))
    return totals


async def _sent(client: httpx2.AsyncClient, row: TraceRow, plan: Plan) -> Received:
    """Send one row, again and again only while no connection can be made."""
    streamed = plan.streaming.wanted(row)
    body = _body(row, plan.model, streamed=streamed)
    deadline = time.monotonic() + plan.unreachable_after_s
    for pause_s in _back_off():
        exchange = Exchange(row, streamed)
        try:
            return await exchange.run(client, body)
        except (httpx2.ConnectError, httpx2.ConnectTimeout) as problem:
            if time.monotonic() + pause_s > deadline:
                return exchange.received(ReplayOutcome.UNREACHABLE, str(problem))
        await asyncio.sleep(pause_s)
    raise AssertionError("the back-off never ends")


def _back_off() -> Iterator[float]:
    """Growing pauses in seconds, each shortened at random so that many senders do not knock at once."""
    pause_s = BACK_OFF_S
    while True:
        yield pause_s * random.uniform(0.5, 1)  # noqa: S311 - spreads load, guards nothing
        pause_s = min(2 * pause_s, BACK_OFF_S_MAX)


def _body(row: TraceRow, model: str, *, streamed: bool) -> bytes:
    fields: dict[str, object] = {
        "model": model,
        "messages": [{"role": "user", "content": prompt(row.input_tokens)}],
        "max_tokens": row.output_tokens,
        "min_tokens": row.output_tokens,
    }
    if streamed:
        fields |= {"stream": True, "stream_options": {"include_usage": True}}
    return msgspec.json.encode(fields)


class Exchange:
    """One request and what came back."""

    def __init__(self, row: TraceRow, streamed: bool) -> None:
        self._row = row
        self._answer = Answer(streamed=streamed)
        self._streamed = streamed
        self._sent_at_us = _now_us()
        self._request_id: str | None = None
        self._status: int | None = None

    async def run(self, client: httpx2.AsyncClient, body: bytes) -> Received:
        """Raises httpx2.ConnectError or ConnectTimeout where nothing was sent."""
        try:
            async with client.stream("POST", "/v1/chat/completions", content=body) as response:
                self._status = response.status_code
                self._request_id = response.headers.get("x-request-id")
                if response.status_code != httpx2.codes.OK:
                    refusal = (await response.aread()).decode(errors="replace")
                    return self.received(ReplayOutcome.REFUSED, refusal[:ERROR_CHARACTERS_MAX])
                return await self._read(response)
        except (httpx2.ConnectError, httpx2.ConnectTimeout):
            raise
        except (httpx2.RequestError, msgspec.MsgspecError, RecursionError) as problem:
            return self.received(ReplayOutcome.CUT, f"{type(problem).__name__}: {problem}")

    async def _read(self, response: httpx2.Response) -> Received:
        answer, size = self._answer, 0
        async for data in response.aiter_bytes():
            size += len(data)
            if size > ANSWER_BYTES_MAX:
                return self.received(ReplayOutcome.CUT, f"the answer has more than {ANSWER_BYTES_MAX:,} bytes")
            answer.feed(data)
        answer.end()
        if answer.whole:
            return self.received(ReplayOutcome.ANSWERED, None)
        problem = "the stream ended without [DONE]" if answer.error is None else answer.error.decode(errors="replace")
        return self.received(ReplayOutcome.CUT, problem[:ERROR_CHARACTERS_MAX])

    def received(self, outcome: ReplayOutcome, problem: str | None) -> Received:
        usage = self._answer.usage
        return Received(
            row=self._row.number,
            outcome=outcome,
            streamed=self._streamed,
            request_id=self._request_id,
            status=self._status,
            prompt_tokens=usage.prompt_tokens if usage else None,
            completion_tokens=usage.completion_tokens if usage else None,
            words=self._answer.words(),
            sent_at_us=self._sent_at_us,
            ended_at_us=_now_us(),
            problem=problem,
        )


def _now_us() -> int:
    return time.time_ns() // 1000


def expected(rows: Iterable[TraceRow]) -> tuple[int, int]:
    """Input and output tokens of a whole trace."""
    rows = list(rows)
    return sum(row.input_tokens for row in rows), sum(row.output_tokens for row in rows)
