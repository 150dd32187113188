"""Tells a worker of new events, from a thread of its own: a broker that is away must not hold up shipping."""

import logging
from collections.abc import Callable
from threading import Condition, Thread
from types import TracebackType

log = logging.getLogger(__name__)

END_TIMEOUT_S = 2.0


class Nudger:
    """Calls `send` soon after it is called itself; calls that come meanwhile are one.

    Where sending fails it is said once until it works again, for beat asks for folding anyway.
    """

    def __init__(self, send: Callable[[], object]) -> None:
        self._send = send
        self._failing = self._due = self._ending = False
        self._changed = Condition()
        self._thread = Thread(target=self._send_when_due, name="nudge", daemon=True)

    def __call__(self) -> None:
        with self._changed:
            self._due = True
            self._changed.notify()

    def __enter__(self) -> "Nudger":
        self._thread.start()
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        """Send what is due, but wait no longer than END_TIMEOUT_S for it."""
        with self._changed:
            self._ending = True
            self._changed.notify()
        self._thread.join(END_TIMEOUT_S)

    def _send_when_due(self) -> None:
        while True:
            with self._changed:
                self._changed.wait_for(lambda: self._due or self._ending)
                if not self._due:
                    return
                self._due = False
            self._send_quietly()

    def _send_quietly(self) -> None:
        try:
            self._send()
        except Exception as problem:
            if not self._failing:
                log.warning("The worker could not be told of new events, beat will see to it: %s", problem)
            self._failing = True
        else:
            self._failing = False
