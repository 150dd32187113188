"""Takes Postgres away for minutes while callers ask, and compares all books afterwards: `make soak-postgres-away`.

    python -m tests.stories.soak_postgres_away [--minutes N]

Postgres is stopped with SIGSTOP and not killed, for its supervisor would start it again at once: it answers nobody.
"""

import argparse
import os
import signal
import tempfile
import threading
import time
from contextlib import suppress
from pathlib import Path

import psutil
from openai import OpenAI
from openai.types import CompletionUsage

from tests.stories.books import by_buckets, by_events, by_usage_api
from tests.stories.copy_of_tokenworks import Copy, running_copy
from tests.stories.trace import Totals

PAUSE_S = 0.2
BEFORE_S = 5


class Callers:
    """One caller that asks all the time, in one piece and streamed in turn, and adds up what it was told it used."""

    def __init__(self, copy: Copy) -> None:
        self.got = Totals(0, 0, 0)
        self.failed: list[str] = []
        self._client = OpenAI(base_url=f"{copy.url}/v1", api_key=copy.tenants[0].secret, max_retries=0, timeout=30)
        self._model = copy.models[0]
        self._stopping = threading.Event()
        self._thread = threading.Thread(target=self._ask)
        self._thread.start()

    def stop(self) -> None:
        self._stopping.set()
        self._thread.join()

    def _ask(self) -> None:
        streamed = False
        while not self._stopping.wait(PAUSE_S):
            streamed = not streamed
            try:
                usage = self._streamed() if streamed else self._whole()
            except Exception as problem:
                self.failed.append(repr(problem))
                continue
            got = self.got
            self.got = Totals(got.requests + 1, got.input + usage.prompt_tokens, got.output + usage.completion_tokens)

    def _whole(self) -> CompletionUsage:
        answer = self._client.chat.completions.create(
            model=self._model, messages=[{"role": "user", "content": "How are you today?"}], max_tokens=16
        )
        assert answer.usage is not None
        return answer.usage

    def _streamed(self) -> CompletionUsage:
        events = self._client.chat.completions.create(
            model=self._model,
            messages=[{"role": "user", "content": "How are you today?"}],
            max_tokens=16,
            stream=True,
            stream_options={"include_usage": True},
        )
        usage = [event.usage for event in events][-1]
        assert usage is not None
        return usage


def take_away(copy: Copy, minutes: float) -> None:
    """Stop Postgres with all its backends, and let it go on after so many minutes."""
    postmaster = copy.pid("postgres")
    assert postmaster is not None
    stopped = [psutil.Process(postmaster), *psutil.Process(postmaster).children(recursive=True)]
    for process in stopped:
        os.kill(process.pid, signal.SIGSTOP)
    try:
        time.sleep(minutes * 60)
    finally:
        for process in stopped:
            with suppress(ProcessLookupError):  # One that is gone must not keep the others from going on.
                os.kill(process.pid, signal.SIGCONT)


def main() -> None:
    parser = argparse.ArgumentParser()
    parser.add_argument("--minutes", type=float, default=10)
    options = parser.parse_args()
    with tempfile.TemporaryDirectory(prefix="tokenworks-away-") as folder:
        home = Path(folder) / "home"
        home.mkdir(mode=0o700)
        with running_copy(home, speed="b200") as copy:
            callers = Callers(copy)
            try:
                time.sleep(BEFORE_S)
                before = callers.got
                take_away(copy, options.minutes)
                during = callers.got
                time.sleep(BEFORE_S)
            finally:
                callers.stop()
            copy.wait_until_counted()
            books = (by_events(copy), by_buckets(copy), by_usage_api(copy, copy.tenants[0]))
            meanwhile = during.requests - before.requests
            print(f"{options.minutes} minutes without Postgres: {meanwhile} requests answered meanwhile")
            print(f"caller {callers.got}, events {books[0]}, buckets {books[1]}, usage API {books[2]}")
            print(f"refused or broken: {len(callers.failed)} {callers.failed[:3]}")
            assert not callers.failed
            assert set(books) == {callers.got}


if __name__ == "__main__":
    main()
