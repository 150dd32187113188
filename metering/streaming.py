"""An answer that is sent while it is made, under ASGI as under WSGI."""

from collections.abc import Generator

from asgiref.sync import sync_to_async
from django.core.handlers.asgi import ASGIRequest
from django.http import HttpRequest, StreamingHttpResponse


class Chunks:
    """Pieces of a file. The first is made now, so that what fails early is an error and not half a file.

    Django closes it after the answer: a caller who hangs up leaves no open cursor in the database.
    """

    def __init__(self, chunks: Generator[bytes, None, None]) -> None:
        self._first: bytes | None = next(chunks)
        self._chunks = chunks

    def following(self) -> bytes | None:
        """The next piece; None after the last."""
        first, self._first = self._first, None
        return next(self._chunks, None) if first is None else first

    def __iter__(self) -> "Chunks":
        return self

    def __next__(self) -> bytes:
        chunk = self.following()
        if chunk is None:
            raise StopIteration
        return chunk

    def close(self) -> None:
        self._chunks.close()


class AwaitedChunks:
    """The same, made in the request's own thread, which holds its connection, while the event loop goes on.

    Without it Django would make all of them first, and keep them in memory.
    """

    def __init__(self, chunks: Chunks) -> None:
        self._chunks = chunks
        self.close = chunks.close

    def __aiter__(self) -> "AwaitedChunks":
        return self

    async def __anext__(self) -> bytes:
        chunk = await sync_to_async(self._chunks.following)()
        if chunk is None:
            raise StopAsyncIteration
        return chunk


def streamed(
    request: HttpRequest, chunks: Generator[bytes, None, None], content_type: str, name: str
) -> StreamingHttpResponse:
    """A download of these pieces."""
    made = Chunks(chunks)
    return StreamingHttpResponse(
        AwaitedChunks(made) if isinstance(request, ASGIRequest) else made,
        content_type=content_type,
        headers={"Content-Disposition": f'attachment; filename="{name}"'},
    )
