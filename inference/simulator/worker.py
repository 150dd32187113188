"""The simulated worker as an ASGI application.

A request waits until fewer than `running_max` run, is read and answered at the worker's speed, and is aborted when
its client hangs up: not one more token is counted then.
"""

import asyncio
import time
import uuid
from collections.abc import AsyncIterator, Awaitable, Callable, Iterator
from contextlib import asynccontextmanager, contextmanager
from dataclasses import dataclass
from typing import Any

import msgspec

from inference.simulator import LABEL, answer
from inference.simulator.answer import CHAT, TEXT, Shape
from inference.simulator.chat import Refused, Task, accept
from inference.simulator.completion import Embedding, accept_completion, accept_embedding
from inference.simulator.metrics import Metrics
from inference.simulator.speed import MAX, Speed

Scope = dict[str, Any]
Receive = Callable[[], Awaitable[dict[str, Any]]]
Send = Callable[[dict[str, Any]], Awaitable[None]]

SERVER = b"tokenworks-simulator (simulated)"
EVENTS_PER_WRITE = 64  # At full speed, events go out in groups: one write to the socket costs more than 64 events.


@dataclass(frozen=True)
class WorkerLimits:
    """What one simulated worker takes on. `running_max` is vLLM's default for `max_num_seqs`."""

    body_bytes_max: int = 32 * 2**20
    context_tokens_max: int = 131_072
    running_max: int = 256
    waiting_max: int = 4096


class ClientGone(Exception):
    """The client hung up before its request was whole."""


class SimulatedWorker:
    """One model at one speed."""

    def __init__(self, model: str, speed: Speed = MAX, limits: WorkerLimits = WorkerLimits()) -> None:
        self.model = model
        self.speed = speed
        self.limits = limits
        self.metrics = Metrics(model)
        self._requests_open = 0
        self._slots = asyncio.Semaphore(limits.running_max)
        self._routes: dict[tuple[str, str], Callable[[Receive, Send], Awaitable[None]]] = {
            ("POST", "/v1/chat/completions"): self._chat,
            ("POST", "/v1/completions"): self._complete,
            ("POST", "/v1/embeddings"): self._embed,
            ("GET", "/v1/models"): self._models,
            ("GET", "/health"): self._health,
            ("GET", "/metrics"): self._metrics,
        }

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        route = self._routes.get((scope["method"], scope["path"]))
        try:
            if route is None:
                raise Refused("Not Found", status=404, type_="NotFoundError")
            await route(receive, send)
        except Refused as refused:
            await _respond(send, refused.status, b"application/json", refused.body)
        except ClientGone:
            return

    async def _models(self, receive: Receive, send: Send) -> None:
        card = {
            "id": self.model,
            "object": "model",
            "created": int(time.time()),
            "owned_by": f"tokenworks ({LABEL})",
            "root": self.model,
            "parent": None,
            "max_model_len": self.limits.context_tokens_max,
        }
        await _respond(send, 200, b"application/json", msgspec.json.encode({"object": "list", "data": [card]}))

    async def _health(self, receive: Receive, send: Send) -> None:
        await _respond(send, 200, b"text/plain", b"")

    async def _metrics(self, receive: Receive, send: Send) -> None:
        await _respond(send, 200, b"text/plain; version=0.0.4; charset=utf-8", self.metrics.text())

    async def _chat(self, receive: Receive, send: Send) -> None:
        with self._open():
            body = await self._read(receive)
            task = accept(body, model=self.model, context_tokens_max=self.limits.context_tokens_max)
            await self._work(CHAT, [task], receive, send)

    async def _complete(self, receive: Receive, send: Send) -> None:
        with self._open():
            body = await self._read(receive)
            tasks = accept_completion(body, model=self.model, context_tokens_max=self.limits.context_tokens_max)
            await self._work(TEXT, tasks, receive, send)

    async def _work(self, shape: Shape, tasks: list[Task], receive: Receive, send: Send) -> None:
        async with _watching(receive) as gone, self._running():
            work = Work(shape, tasks, self.model, self.speed, self.metrics, gone)
            await (work.stream(send) if tasks[0].streamed else work.answer(send))

    async def _embed(self, receive: Receive, send: Send) -> None:
        with self._open():
            body = await self._read(receive)
            task = accept_embedding(body, model=self.model, context_tokens_max=self.limits.context_tokens_max)
            async with self._running():
                await self._read_texts(task)
                identity = _identity("embd-", self.model)
                await _respond(send, 200, b"application/json", answer.vectors(task, **identity))

    async def _read_texts(self, task: Embedding) -> None:
        """Take as long as a prompt of these tokens takes."""
        self.metrics.prompt_tokens += task.prompt_tokens
        await asyncio.sleep(self.speed.token_due_s(task.prompt_tokens, 0))
        self.metrics.finished["stop"] += 1

    @contextmanager
    def _open(self) -> Iterator[None]:
        """Counts a request in before its body is read, so that bodies cannot fill the memory either."""
        open_max = self.limits.running_max + self.limits.waiting_max
        if self._requests_open >= open_max:
            message = f"{open_max} requests are open already. Send fewer at once, or start another worker."
            raise Refused(message, status=503, type_="ServiceUnavailableError")
        self._requests_open += 1
        try:
            yield
        finally:
            self._requests_open -= 1

    async def _read(self, receive: Receive) -> bytes:
        parts: list[bytes] = []
        size = 0
        while True:
            message = await receive()
            if message["type"] == "http.disconnect":
                raise ClientGone
            size += len(message["body"])
            if size > self.limits.body_bytes_max:
                problem = f"The request has more than {self.limits.body_bytes_max} bytes. Send a shorter one."
                raise Refused(problem, status=413, type_="RequestEntityTooLarge")
            parts.append(message["body"])
            if not message["more_body"]:
                return b"".join(parts)

    @asynccontextmanager
    async def _running(self) -> AsyncIterator[None]:
        self.metrics.waiting += 1
        try:
            await self._slots.acquire()
        finally:
            self.metrics.waiting -= 1
        self.metrics.running += 1
        try:
            yield
        finally:
            self.metrics.running -= 1
            self._slots.release()


def _identity(id_start: str, model: str) -> dict[str, Any]:
    return {"request_id": f"{id_start}{uuid.uuid4().hex}", "model": model, "created_s": int(time.time())}


class Work:
    """One request while it runs: a task for each prompt, one after the other."""

    def __init__(
        self, shape: Shape, tasks: list[Task], model: str, speed: Speed, metrics: Metrics, gone: asyncio.Event
    ) -> None:
        self._shape = shape
        self._tasks = tasks
        self._speed = speed
        self._metrics = metrics
        self._gone = gone
        self._identity = _identity(shape.id_start, model)

    async def answer(self, send: Send) -> None:
        for task in self._tasks:
            async for _ in self._steps(task):
                pass
        if not self._gone.is_set():
            await _respond(send, 200, b"application/json", answer.whole(self._shape, self._tasks, **self._identity))

    async def stream(self, send: Send) -> None:
        events = answer.Events(self._shape, self._tasks, **self._identity)
        await send(_start(200, b"text/event-stream; charset=utf-8"))
        for index, task in enumerate(self._tasks):
            pending = events.first(index)
            async for start, stop in self._steps(task):
                await send(_body(pending + b"".join(events.tokens(index, start, stop)), more=True))
                pending = b""
        if not self._gone.is_set():
            await send(_body(events.last(), more=False))

    async def _steps(self, task: Task) -> AsyncIterator[tuple[int, int]]:
        """The tokens as they are made, as ranges of numbers from 1, both ends included; ends early if the client left.

        A token is due at a time counted from the start, so that late wake-ups of the event loop do not add up.
        """
        if self._gone.is_set():  # It may have left while it waited.
            self._metrics.finished["abort"] += 1
            return
        began = time.monotonic()
        step = 1 if self._speed.is_paced else EVENTS_PER_WRITE
        self._metrics.prompt_tokens += task.prompt_tokens
        for start in range(1, task.output_tokens + 1, step):
            due = self._speed.token_due_s(task.prompt_tokens, start)
            await asyncio.sleep(max(0.0, began + due - time.monotonic()))
            if self._gone.is_set():
                self._metrics.finished["abort"] += 1
                return
            stop = min(start + step - 1, task.output_tokens)
            self._metrics.generation_tokens += stop - start + 1
            yield start, stop
        self._metrics.finished[task.finish_reason] += 1


@asynccontextmanager
async def _watching(receive: Receive) -> AsyncIterator[asyncio.Event]:
    """An event that is set when the client hangs up. The body has been read, so nothing else can come."""
    gone = asyncio.Event()

    async def watch() -> None:
        while (await receive())["type"] != "http.disconnect":
            pass
        gone.set()

    watcher = asyncio.create_task(watch())
    try:
        yield gone
    finally:
        watcher.cancel()


def _start(status: int, content_type: bytes, *more: tuple[bytes, bytes]) -> dict[str, Any]:
    headers = [(b"content-type", content_type), (b"server", SERVER), *more]
    return {"type": "http.response.start", "status": status, "headers": headers}


def _body(body: bytes, *, more: bool) -> dict[str, Any]:
    return {"type": "http.response.body", "body": body, "more_body": more}


async def _respond(send: Send, status: int, content_type: bytes, body: bytes) -> None:
    await send(_start(status, content_type, (b"content-length", str(len(body)).encode())))
    await send(_body(body, more=False))
