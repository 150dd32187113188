"""Replays a trace while the processes of a copy are killed with SIGKILL in turn, and compares the books."""

import subprocess
from collections import Counter
from collections.abc import Iterable
from itertools import cycle
from pathlib import Path
from typing import Any

from tests.stories import trace
from tests.stories.copy_of_tokenworks import Copy, command_line, environment
from tests.stories.trace import Totals

VICTIMS = ("web", "shipper", "worker", "postgres")
PAUSE_S = 2


def replay_under_fire(copy: Copy, path: Path, log: Path, *, speed_up: int) -> list[dict[str, Any]]:
    """Replay `path` and kill the victims in turn until it has ended, each at least once; return the client's log."""
    target = ("--url", copy.url, "--key", copy.tenants[0].secret, "--model", copy.models[0])
    command = command_line("replay", str(path), *target, "--speed-up", str(speed_up), "--mixed", "--log", str(log))
    with subprocess.Popen(command, env=environment(copy.home, copy.port), stdout=subprocess.DEVNULL) as client:
        killed = list(kill_in_turn(copy, client))
        assert client.wait() == 0
    assert set(killed) == set(VICTIMS), f"the trace was too short to kill everybody: {killed}"
    return trace.log_of(log)


def kill_in_turn(copy: Copy, client: "subprocess.Popen[bytes]") -> Iterable[str]:
    """Kill one process every PAUSE_S for as long as the client runs."""
    for victim in cycle(VICTIMS):
        try:
            client.wait(PAUSE_S)
        except subprocess.TimeoutExpired:
            copy.kill(victim)
            yield victim
        else:
            return


def assert_billed_is_answered(copy: Copy, received: list[dict[str, Any]], *, rows: int) -> int:
    """Compare, request by request, what the client holds with what is billed; return how many were interrupted.

    A kill between a closed record and the write to the client's socket bills an answer that the client saw cut: the
    one window that the order of these two leaves open (docs/architecture.md). Its length is one system call, so it
    is told apart here and bounded by the number of requests that were cut at all.
    """
    assert len(received) == rows
    answered = {row["request_id"]: row for row in received if row["outcome"] == "answered"}
    cut = [row for row in received if row["outcome"] == "cut"]
    assert len(answered) + len(cut) == rows, {row["outcome"] for row in received}
    assert cut, "no request was cut: the kills hit nobody"
    billed = {
        str(event_id): (read, written)
        for event_id, read, written in copy.sql("SELECT id, input_uncached, output FROM metering_event WHERE billed")
    }
    assert answered.keys() <= billed.keys(), "an answer was given away"
    for request_id, row in answered.items():
        assert billed[request_id] == (row["prompt_tokens"], row["completion_tokens"])
    in_the_window = billed.keys() - answered.keys()
    assert len(in_the_window) <= 1, f"{len(in_the_window)} requests are billed that were not answered"
    unbilled = dict(copy.sql("SELECT id::text, outcome FROM metering_event WHERE NOT billed"))
    assert set(unbilled.values()) <= {"interrupted"}, Counter(unbilled.values())
    assert len(unbilled) + len(in_the_window) <= len(cut)
    begun = {row["request_id"] for row in cut if row["request_id"]}  # Cut after the answer's head had come.
    assert begun <= unbilled.keys() | in_the_window
    return len(unbilled)


def answered_totals(received: list[dict[str, Any]]) -> Totals:
    """What the client holds in whole answers."""
    answered = [row for row in received if row["outcome"] == "answered"]
    tokens = (sum(row[kind] for row in answered) for kind in ("prompt_tokens", "completion_tokens"))
    return Totals(len(answered), *tokens)
