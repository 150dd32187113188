"""What cannot be recorded is not given away."""

import asyncio
from pathlib import Path
from typing import Any

import pytest

from gateway.snapshot import build
from metering.journal import Journal, JournalInUse, JournalUnavailable
from metering.records import Closed, Opened
from metering.usage import Outcome
from tests.gateway.running import FixedSnapshots, Running, chat, post, rows, running_gateway
from tests.gateway.upstreams import Received, Upstream, completion, says, streams, vllm_stream, whole
from tests.metering.mounts import fill, free, small_disk


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


async def test_a_disk_that_fills_up_while_requests_are_answered_gives_none_away(
    tmp_path: Path, upstream: Upstream
) -> None:
    """A real file system of 1 MiB. Its last page takes some records yet, so it is asked until it refuses."""
    with small_disk(tmp_path / "disk") as disk:

        async def fills_the_disk(received: Received, transport: asyncio.Transport) -> None:
            fill(disk)
            await says(whole(completion(content="precious")))(received, transport)

        upstream.answer = fills_the_disk
        snapshots = FixedSnapshots(build(rows(upstream.base_url)))
        async with running_gateway(disk / "home", snapshots, journal_fsync_ms=1) as gateway:
            given = 0
            while (refused := await post(gateway, chat())).status == 200:
                given += 1
            assert (refused.status, refused.error["code"], refused.headers["retry-after"]) == (
                503,
                "not_recordable",
                "5",
            )
            assert b"precious" not in refused.body
            assert (await post(gateway, chat())).status == 503
            assert len([event for event in gateway.events() if event.outcome == Outcome.COMPLETED]) == given
            free(disk)
            upstream.answer = says(whole(completion()))
            assert (await post(gateway, chat())).status == 200
            outcomes = [event.outcome for event in gateway.events()]
        assert outcomes.count(Outcome.COMPLETED) == given + 1
