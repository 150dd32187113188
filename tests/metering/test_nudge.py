from threading import Event

import pytest

from metering.nudge import Nudger

TIMEOUT_S = 30


def test_calls_that_come_while_one_is_sent_are_one() -> None:
    sending, may_end = Event(), Event()
    sent = 0

    def send() -> None:
        nonlocal sent
        sent += 1
        sending.set()
        assert may_end.wait(TIMEOUT_S)

    with Nudger(send) as nudge:
        nudge()
        assert sending.wait(TIMEOUT_S)
        for _ in range(5):
            nudge()
        may_end.set()
    assert sent == 2


def test_nothing_is_sent_unasked() -> None:
    sent: list[None] = []
    with Nudger(lambda: sent.append(None)):
        pass
    assert sent == []


def test_trouble_is_said_once_until_it_works_again(caplog: pytest.LogCaptureFixture) -> None:
    attempts = iter([True, True, False, True])
    said: list[int] = []

    def send() -> None:
        said.append(caplog.text.count("nobody there"))
        if next(attempts):
            raise ConnectionRefusedError("nobody there")

    nudge = Nudger(send)
    for _ in range(4):
        nudge._send_quietly()
    said.append(caplog.text.count("nobody there"))
    assert said == [0, 1, 1, 1, 2]
