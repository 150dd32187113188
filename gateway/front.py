"""uvicorn's HTTP protocol with a limit on a request's head: uvicorn itself keeps headers of any size.

Name it when uvicorn is started: `--http gateway.front:BoundedHttp`. It sits before the office as well.
"""

from uvicorn.protocols.http.httptools_impl import HttpToolsProtocol

from gateway.errors import Refusal

HEAD_BYTES_MAX = 64 * 1024


class HeadTooLarge(Refusal):
    """The request's line and headers are over the limit."""

    status = 431
    code = "head_too_large"


class BoundedHttp(HttpToolsProtocol):
    """Ends a connection on which a head grows over HEAD_BYTES_MAX without becoming complete.

    Reads are counted that begin and end within a head, so that the body before it is never taken for a part of it. A
    head may so have what one read takes besides, 256 KB.
    """

    head_bytes = 0
    head_open = False  # A head is being read, and is not complete.
    head_begins = False  # It began in the current read.

    def data_received(self, data: bytes) -> None:
        self.head_begins = False
        super().data_received(data)
        if self.head_open and not self.head_begins:
            self.head_bytes += len(data)
            if self.head_bytes > HEAD_BYTES_MAX and not self.transport.is_closing():
                self._refuse(HeadTooLarge())

    def on_message_begin(self) -> None:
        self.head_open = self.head_begins = True
        self.head_bytes = 0
        super().on_message_begin()

    def on_headers_complete(self) -> None:
        self.head_open = False
        super().on_headers_complete()

    def _refuse(self, refusal: Refusal) -> None:
        body = refusal.body()
        self.transport.write(
            b"HTTP/1.1 %d Request Header Fields Too Large\r\ncontent-type: application/json\r\n"
            b"content-length: %d\r\nconnection: close\r\n\r\n%b" % (refusal.status, len(body), body)
        )
        self.transport.close()
