"""A collector of spans: a real OTLP/HTTP receiver on loopback, in the loop of the test."""

import asyncio
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from dataclasses import dataclass, field
from typing import Any

from opentelemetry.proto.collector.trace.v1.trace_service_pb2 import ExportTraceServiceRequest
from opentelemetry.proto.common.v1.common_pb2 import AnyValue, KeyValue
from opentelemetry.proto.trace.v1.trace_pb2 import Span, Status

SERVER, CLIENT = Span.SPAN_KIND_SERVER, Span.SPAN_KIND_CLIENT


@dataclass
class Told:
    """One span as it came."""

    span: Span
    resource: dict[str, Any]

    @property
    def says(self) -> dict[str, Any]:
        return values(self.span.attributes)

    @property
    def name(self) -> str:
        return self.span.name

    @property
    def failed(self) -> bool:
        return self.span.status.code == Status.STATUS_CODE_ERROR


@dataclass
class Collector:
    """Takes whatever comes; with another `status` it refuses it."""

    url: str = ""
    status: str = "200 OK"
    told: list[Told] = field(default_factory=list)
    bodies: list[bytes] = field(default_factory=list)
    headers: list[bytes] = field(default_factory=list)

    def of_kind(self, kind: int) -> list[Told]:
        """In the order in which they began."""
        found = [each for each in self.told if each.span.kind == kind]
        return sorted(found, key=lambda each: each.span.start_time_unix_nano)

    def the_request(self) -> Told:
        (told,) = self.of_kind(SERVER)
        return told

    def the_attempt(self) -> Told:
        (told,) = self.of_kind(CLIENT)
        return told

    async def serve(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        try:
            while True:
                head = await reader.readuntil(b"\r\n\r\n")
                lines = dict(line.split(b": ", 1) for line in head.lower().split(b"\r\n")[1:-2])
                self.take(head, await reader.readexactly(int(lines[b"content-length"])))
                writer.write(f"HTTP/1.1 {self.status}\r\ncontent-length: 0\r\n\r\n".encode())
        except (asyncio.IncompleteReadError, ConnectionError):
            writer.close()

    def take(self, head: bytes, body: bytes) -> None:
        assert head.startswith(b"POST /v1/traces ")
        self.headers.append(head)
        self.bodies.append(body)
        if self.status != "200 OK":
            return
        for of_resource in ExportTraceServiceRequest.FromString(body).resource_spans:
            resource = values(of_resource.resource.attributes)
            for of_scope in of_resource.scope_spans:
                self.told += [Told(span, resource) for span in of_scope.spans]


def values(attributes: Any) -> dict[str, Any]:
    return {each.key: value(each.value) for each in attributes if isinstance(each, KeyValue)}


def value(given: AnyValue) -> Any:
    if given.WhichOneof("value") == "array_value":
        return [value(each) for each in given.array_value.values]
    return getattr(given, given.WhichOneof("value") or "string_value")


@asynccontextmanager
async def running_collector() -> AsyncIterator[Collector]:
    collector = Collector()
    server = await asyncio.start_server(collector.serve, "127.0.0.1", 0)
    collector.url = f"http://127.0.0.1:{server.sockets[0].getsockname()[1]}/v1/traces"
    try:
        yield collector
    finally:
        server.close()
