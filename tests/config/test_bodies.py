"""The office takes in no more of a body than it can use, whatever its length says."""

import http.client
import os
import socket
import subprocess
import sys
from collections.abc import Iterator

import pytest

from config.ports import free_ports
from tests.layers.test_imports import ROOT
from tests.waiting import until

BYTES_MAX = 2048
SLACK = 64 * 1024


@pytest.fixture(scope="module")
def port(tmp_path_factory: pytest.TempPathFactory) -> Iterator[int]:
    """A web process that serves the office, with a small limit."""
    (free,) = free_ports(1)
    log = tmp_path_factory.mktemp("office") / "web.log"
    environment = os.environ | {
        "TOKENWORKS_PLANES": "office",
        "TOKENWORKS_PORT": str(free),
        "TOKENWORKS_INGEST_BODY_BYTES_MAX": str(BYTES_MAX),
    }
    with log.open("wb") as said:
        web = subprocess.Popen([sys.executable, "-m", "config.web"], cwd=ROOT, env=environment, stderr=said)
    try:
        until(lambda: _listens(free), f"the office listens: {log}", 60, every_s=0.2)
        yield free
    finally:
        web.terminate()
        web.wait(60)


def _listens(port: int) -> bool:
    with socket.socket() as tried:
        return tried.connect_ex(("127.0.0.1", port)) == 0


def status(port: int, body: object, **headers: str) -> int:
    connection = http.client.HTTPConnection("127.0.0.1", port, timeout=30)
    try:
        connection.request("POST", "/api/usage-events/", body, headers, encode_chunked="Transfer-Encoding" in headers)  # type: ignore[arg-type]  # Bytes, or an iterable of them.
        return connection.getresponse().status
    finally:
        connection.close()


def test_a_body_within_the_limit_reaches_the_office(port: int) -> None:
    assert status(port, b"x" * BYTES_MAX) == 401


def test_a_length_over_the_limit_is_refused_before_the_body_comes(port: int) -> None:
    with socket.create_connection(("127.0.0.1", port), timeout=30) as connection:
        connection.sendall(b"POST /api/usage-events/ HTTP/1.1\r\nhost: localhost\r\ncontent-length: 999999999\r\n\r\n")
        assert connection.recv(64).startswith(b"HTTP/1.1 413 ")


def test_a_body_in_chunks_is_refused_where_it_grows_too_long(port: int) -> None:
    within = [b"x" * 1024] * 2
    assert status(port, iter(within), **{"Transfer-Encoding": "chunked"}) == 401
    over = [b"x" * 1024] * (SLACK // 1024 + 8)
    assert status(port, iter(over), **{"Transfer-Encoding": "chunked"}) == 413


def test_the_office_goes_on_after_a_refusal(port: int) -> None:
    assert status(port, b"x" * (BYTES_MAX + SLACK + 1)) == 413
    assert status(port, b"x") == 401
