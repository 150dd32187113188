"""Asks the validating process, one for each process that issues documents, and starts it when it is first needed.

A document is valid, or it is refused with what it breaks, or nobody knows because validation did not run; the last two
are different errors, and neither lets a document be issued.
"""

import atexit
import os
import socket
import subprocess
import sys
import threading
import time
from pathlib import Path

import msgspec

from billing.documents.einvoice import Syntax
from billing.documents.validation.frames import FRAME_BYTES_MAX, LENGTH_BYTES, Question, Verdict, framed
from billing.errors import DocumentIsInvalid, ValidationDidNotRun

COMMAND = (sys.executable, "-m", "billing.documents.validation")
FOLDER = Path(__file__).parents[3]  # Where `billing` is found.
QUESTIONS_MAX = 5_000  # Then a new process takes over, so that whatever it does not give back is bounded.


class Validator:
    """A validating process of our own. One thread at a time asks it."""

    def __init__(self, command: tuple[str, ...] = COMMAND) -> None:
        self._command = command
        self._turn = threading.Lock()
        self._process: subprocess.Popen[bytes] | None = None
        self._line: socket.socket | None = None
        self._owner = 0
        self._asked = 0

    def validate(self, syntax: Syntax, xml: bytes, *, time_limit_s: float) -> str:
        """By what a document was found valid. Raises `DocumentIsInvalid` and `ValidationDidNotRun`."""
        with self._turn:
            verdict = self._ask(Question(syntax, xml), time.monotonic() + time_limit_s)
        if verdict.failure:
            raise ValidationDidNotRun(f"The {syntax} document was not validated: {verdict.failure}")
        if verdict.faults:
            raise DocumentIsInvalid(f"The {syntax} document breaks EN 16931: " + "; ".join(verdict.faults))
        if not verdict.rules_met:
            raise ValidationDidNotRun(f"No rule of EN 16931 found anything to check in the {syntax} document.")
        return verdict.validated_with

    def stop(self) -> None:
        """End the process, if there is one of ours. The next question starts another."""
        process, self._process = self._process, None
        line, self._line = self._line, None
        if line is not None:
            line.close()
        if process is not None and self._owner == os.getpid():  # After a fork it is the parent's, who still asks it.
            process.kill()
            process.wait()

    def _ask(self, question: Question, deadline: float) -> Verdict:
        try:
            line = self._running()
            line.settimeout(_left(deadline))
            line.sendall(framed(question))
            length = int.from_bytes(_read(line, LENGTH_BYTES, deadline), "big")
            if length > FRAME_BYTES_MAX:
                raise OSError(f"it answered with {length} bytes")
            verdict = msgspec.msgpack.decode(_read(line, length, deadline), type=Verdict)
        except (OSError, EOFError, msgspec.DecodeError) as failure:
            self.stop()  # What it says next would be the answer to this question.
            raise ValidationDidNotRun(
                f"The validating process failed: {failure or type(failure).__name__}"
            ) from failure
        self._asked += 1
        return verdict

    def _running(self) -> socket.socket:
        if self._line is None or self._owner != os.getpid() or self._asked >= QUESTIONS_MAX:
            self.stop()
            ours, theirs = socket.socketpair()
            with theirs:
                end = theirs.fileno()
                self._process = subprocess.Popen(self._command, stdin=end, stdout=end, cwd=FOLDER)
            self._line, self._owner, self._asked = ours, os.getpid(), 0
        return self._line


def _read(line: socket.socket, length: int, deadline: float) -> bytes:
    received = bytearray()
    while len(received) < length:
        line.settimeout(_left(deadline))
        part = line.recv(length - len(received))
        if not part:
            raise EOFError("it ended before it answered")
        received += part
    return bytes(received)


def _left(deadline: float) -> float:
    left = deadline - time.monotonic()
    if left <= 0:
        raise TimeoutError("timed out")
    return left


VALIDATOR = Validator()
atexit.register(VALIDATOR.stop)
