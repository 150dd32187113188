"""Bounds what the office takes in: Django keeps a whole body on disk before any view can say that it is too long."""

import json
from collections.abc import Awaitable, Callable, MutableMapping
from typing import Any

Message = MutableMapping[str, Any]
Receive = Callable[[], Awaitable[Message]]
Send = Callable[[Message], Awaitable[None]]
App = Callable[[Message, Receive, Send], Awaitable[None]]


class BoundedBodies:
    """An ASGI application whose requests have at most `bytes_max` of body; longer ones are answered with 413."""

    def __init__(self, app: App, bytes_max: int) -> None:
        self._app = app
        self._bytes_max = bytes_max
        said = {"detail": f"The body is longer than {bytes_max} bytes. Send less at once."}
        self._refusal = json.dumps(said).encode()

    async def __call__(self, scope: Message, receive: Receive, send: Send) -> None:
        if scope["type"] != "http":
            await self._app(scope, receive, send)
        elif self._says_too_much(scope):
            await self._refuse(send)
        else:
            await self._bounded(scope, receive, send)

    def _says_too_much(self, scope: Message) -> bool:
        lengths = [value for name, value in scope["headers"] if name == b"content-length"]
        return any(length.isdigit() and int(length[:20]) > self._bytes_max for length in lengths)

    async def _bounded(self, scope: Message, receive: Receive, send: Send) -> None:
        """Count a body that says no length. To the application, one that is too long is a caller who left."""
        taken = 0

        async def counted() -> Message:
            nonlocal taken
            message = await receive()
            taken += len(message.get("body", b""))
            return message if taken <= self._bytes_max else {"type": "http.disconnect"}

        await self._app(scope, counted, send)
        if taken > self._bytes_max:
            await self._refuse(send)

    async def _refuse(self, send: Send) -> None:
        headers = [(b"content-type", b"application/json"), (b"connection", b"close")]
        await send({"type": "http.response.start", "status": 413, "headers": headers})
        await send({"type": "http.response.body", "body": self._refusal})
