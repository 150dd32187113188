"""The office as a process of its own, on the tests' database, that reports usage over HTTP and may be killed."""

import os
import subprocess
import sys
from http.client import HTTPConnection, HTTPException
from pathlib import Path
from typing import Any
from urllib.parse import quote

import msgspec
from django.conf import settings
from django.db import connection

from config.ports import free_ports
from tests.metering.reported import NDJSON
from tests.waiting import until

DEADLINE_S = 120  # Of what surely comes. No test is about how soon.
STARTS_MAX = 3  # A port that was free a moment ago may be taken.


class Unanswered(Exception):
    """The office died, or had trouble, before it answered."""


class Office:
    """One at a time: `start` begins the next one, on a port of its own."""

    def __init__(self, home: Path, secret: str) -> None:
        self._home, self._secret = home, secret
        self._log = home / "office.log"
        self.port = 0
        self.process: subprocess.Popen[bytes] | None = None

    def start(self) -> None:
        for _ in range(STARTS_MAX):
            (self.port,) = free_ports(1)
            with self._log.open("ab") as log:
                self.process = subprocess.Popen(
                    [sys.executable, "-m", "config.web"], cwd=settings.BASE_DIR, env=self._environment(),
                    stdout=log, stderr=subprocess.STDOUT,
                )  # fmt: skip
            until(lambda: self._has_ended() or self._is_ready(), "the office is ready", DEADLINE_S)
            if not self._has_ended():
                return
        raise AssertionError(self._log.read_text())

    def kill(self) -> None:
        """With SIGKILL: nothing of it runs on."""
        assert self.process is not None
        self.process.kill()
        self.process.wait()

    def report(self, body: bytes) -> dict[str, Any]:
        """Its answer to a call that reports this body. Raises Unanswered."""
        client = self._client()
        try:
            self._ask(client, body)
            answer = client.getresponse()
            said = answer.read()
        except (OSError, HTTPException) as problem:  # Half an answer is none.
            raise Unanswered from problem
        finally:
            client.close()
        if answer.status != 200:
            raise Unanswered(said)
        found: dict[str, Any] = msgspec.json.decode(said)
        return found

    def send(self, body: bytes) -> HTTPConnection:
        """Send the call, and leave the answer where it is."""
        client = self._client()
        self._ask(client, body)
        return client

    def _client(self) -> HTTPConnection:
        return HTTPConnection("127.0.0.1", self.port, timeout=DEADLINE_S)

    def _ask(self, client: HTTPConnection, body: bytes) -> None:
        headers = {"Authorization": f"Bearer {self._secret}", "Content-Type": NDJSON}
        client.request("POST", "/api/usage-events/", body, headers)

    def _has_ended(self) -> bool:
        assert self.process is not None
        return self.process.poll() is not None

    def _is_ready(self) -> bool:
        client = self._client()
        try:
            client.request("GET", "/api/usage/")
            return client.getresponse().status < 500
        except (OSError, HTTPException):
            return False
        finally:
            client.close()

    def _environment(self) -> dict[str, str]:
        database = connection.settings_dict
        return {
            **os.environ,
            "TOKENWORKS_HOME": str(self._home),
            "TOKENWORKS_PLANES": "office",
            "TOKENWORKS_PORT": str(self.port),
            "TOKENWORKS_SECRET_KEY": "of-a-test" * 6,
            "DATABASE_URL": f"postgresql://{database['USER']}@/{database['NAME']}?host={quote(database['HOST'])}",
            "REDIS_URL": settings.REDIS_URL,
        }
