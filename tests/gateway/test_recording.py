"""What cannot be recorded is not given away."""

from pathlib import Path
from typing import Any

import pytest

from gateway.snapshot import build
from metering.journal import Journal, JournalInUse, JournalUnavailable
from metering.records import Closed, Opened
from tests.gateway.running import FixedSnapshots, Running, chat, post, rows, running_gateway
from tests.gateway.upstreams import Upstream, completion, says, streams, vllm_stream, whole


def full(*_: Any) -> None:
    raise JournalUnavailable("no space left")


async def test_where_nothing_can_be_opened_nothing_leaves(
    gateway: Running, upstream: Upstream, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(Journal, "append_opened", full)
    answered = await post(gateway, chat())
    assert (answered.status, answered.error["code"], answered.headers["retry-after"]) == (503, "not_recordable", "5")
    assert upstream.received == []


async def test_where_an_answer_cannot_be_closed_it_is_not_given_away(
    gateway: Running, upstream: Upstream, monkeypatch: pytest.MonkeyPatch
) -> None:
    upstream.answer = says(whole(completion(content="precious")))
    monkeypatch.setattr(Journal, "append_closed", full)
    answered = await post(gateway, chat())
    assert (answered.status, answered.error["code"]) == (503, "not_recordable")
    assert b"precious" not in answered.body


async def test_where_a_stream_cannot_be_closed_its_last_event_says_so(
    gateway: Running, upstream: Upstream, monkeypatch: pytest.MonkeyPatch
) -> None:
    upstream.answer = streams(*vllm_stream(["a"]))
    monkeypatch.setattr(Journal, "append_closed", full)
    answered = await post(gateway, chat(stream=True))
    assert b"[DONE]" not in answered.body
    assert b"not_recordable" in answered.body


async def test_the_journal_of_a_running_gateway_cannot_be_opened_by_another(gateway: Running) -> None:
    with pytest.raises(JournalInUse):
        async with running_gateway(gateway.home, FixedSnapshots(None)):
            pass


async def test_a_gateway_goes_on_behind_what_an_earlier_one_recorded(home: Path, upstream: Upstream) -> None:
    upstream.answer = says(whole(completion()))
    snapshots = FixedSnapshots(build(rows(upstream.base_url)))
    for _ in range(2):
        async with running_gateway(home, snapshots) as gateway:
            await post(gateway, chat())
    kinds = [type(record) for record in gateway.records()]
    assert kinds == [Opened, Closed, Opened, Closed]
