"""What each stage of a request costs by itself: `make bench-stages`. Nothing is asserted about time.

The names say the stage: who calls, what is asked, whether it is let in, the two journal records, and following a
streamed answer.
"""

import itertools
import time
from collections.abc import Callable, Iterator
from math import inf
from pathlib import Path
from types import SimpleNamespace
from typing import Any, cast

import pytest

from gateway.admission.admission import Admission
from gateway.admission.ledger import Ledger
from gateway.admission.terms import Terms
from gateway.admission.upkeep import Upkeep
from gateway.asgi import Request
from gateway.callers import principal_of
from gateway.metrics.counts import CountedJournal, Counts
from gateway.snapshot import Snapshot, build
from gateway.sse import EventSplitter, data_of
from metering.journal import Journal
from metering.records import Closed, Opened
from metering.usage import Outcome, Usage, UsageSource
from providers.dialects import DIALECTS
from providers.dialects.dialect import Kind
from providers.dialects.openai_chat import read_call
from tenants.keys import digest
from tenants.snapshot import Principal
from tests.gateway.admission.limiting import budget, limit
from tests.gateway.admission.limiting import snapshot as limited_snapshot
from tests.gateway.running import ACME, ALICE_KEY, MODEL, rows
from tests.gateway.upstreams import Upstream, completion, event, running

FEW, MANY = 10, 100_000
CHAT = DIALECTS["openai"][Kind.CHAT]
CALL = (
    b'{"model":"%b","messages":[{"role":"system","content":"You are a helpful assistant who answers briefly."},'
    b'{"role":"user","content":"What is a token factory and why would anybody want to meter it?"}],"max_tokens":64}'
    % MODEL.encode()
)
STREAMED = CALL[:-1] + b',"stream":true,"stream_options":{"include_usage":true}}'


def opening(number: int) -> Opened:
    return Opened(
        event_id=number.to_bytes(16, "big"),
        opened_at_us=1_700_000_000_000_000,
        tenant_id=1,
        project_id=101,
        api_key_id=11,
        offering=MODEL,
        deployment="llama-at-pool",
        streamed=False,
    )


def ending(opened: Opened) -> Closed:
    return Closed(
        opened=opened,
        closed_at_us=1_700_000_000_500_000,
        first_byte_at_us=1_700_000_000_100_000,
        outcome=Outcome.COMPLETED,
        usage_source=UsageSource.REPORTED,
        billed=True,
        usage=Usage(input_uncached=41, input_cached=16, output=28),
        upstream_status=200,
        upstream_usage=b'{"prompt_tokens":57,"completion_tokens":28,"total_tokens":85}',
    )


def snapshot(keys: int) -> Snapshot:
    given = rows("http://127.0.0.1:9")
    others = ((digest(f"other-{n}"), Principal(n, 101, ACME, "acme", None)) for n in range(100, 100 + keys))
    given.principals.extend(others)
    return build(given)


def asked() -> Request:
    async def receive() -> Any: ...

    async def send(_: Any) -> None: ...

    headers = [(b"host", b"gateway"), (b"authorization", f"Bearer {ALICE_KEY}".encode())]
    return Request({"headers": headers}, receive, send, 1_700_000_000_000_000)


@pytest.mark.parametrize("keys", [FEW, MANY])
def test_auth(benchmark: Callable[..., Principal], keys: int) -> None:
    assert benchmark(principal_of, asked(), snapshot(keys)).tenant_id == ACME


def test_parse(benchmark: Callable[..., Any]) -> None:
    assert benchmark(read_call, CALL).model == MODEL


def test_build_the_body_of_a_streamed_call(benchmark: Callable[..., list[bytes]]) -> None:
    assert b"continuous_usage_stats" in b"".join(benchmark(CHAT.request_body, read_call(STREAMED), MODEL))


FAR = 10**12
LIMIT = {"requests_per_minute": FAR, "tokens_per_minute": FAR, "parallel_requests": FAR}


def leased(terms: Terms) -> Admission:
    """Admission of a process that has leased so much of everything that it needs nobody."""
    ledger = Ledger()
    for quota in terms.quotas:
        lease = ledger.lease(terms.tenant.id, quota, time.time())
        lease.ends_s = inf  # No minute ends while this runs.
        lease.granted(10**18)
    return Admission(cast(Upkeep, SimpleNamespace(ledger=ledger, away=False)))


def test_admit_by_two_limits_and_a_budget(benchmark: Callable[..., None]) -> None:
    found = limited_snapshot(
        cast(Upstream, SimpleNamespace(base_url="http://127.0.0.1:9")),
        limit(**LIMIT), limit(id=2, key_id=11, **LIMIT), budget(FAR, is_money=True),
    )  # fmt: skip
    principal, sold = principal_of(asked(), found), found.sold[MODEL]
    terms = found.terms_of(principal)
    assert terms is not None
    assert len(terms.quotas) == 7
    admission, call, closed = leased(terms), read_call(CALL), ending(opening(1))

    def admit_settle_and_release() -> None:
        request = asked()
        assert admission.admit_at_once(terms, request, sold, call) is not None
        assert request.admitted is not None
        request.admitted.settle(closed)
        request.admitted.release()

    benchmark(admit_settle_and_release)


@pytest.fixture
def journal(tmp_path: Path) -> Iterator[Journal]:
    journal = Journal.open(tmp_path / "journal", segment_bytes_max=64 << 20, fsync_interval_ms=50)
    yield journal
    journal.close()


@pytest.fixture
def counted_journal(tmp_path: Path) -> Iterator[Journal]:
    journal = CountedJournal.open(tmp_path / "journal", segment_bytes_max=64 << 20, fsync_interval_ms=50)
    yield journal
    journal.close()


def test_journal_opened_and_closed(benchmark: Callable[..., None], journal: Journal) -> None:
    benchmark(recording(journal))


def test_journal_opened_and_closed_with_metrics(benchmark: Callable[..., None], counted_journal: Journal) -> None:
    benchmark(recording(counted_journal))


def test_count_one_ending_for_the_metrics(benchmark: Callable[..., None]) -> None:
    benchmark(Counts().closed, ending(opening(1)))


def recording(journal: Journal) -> Callable[[], None]:
    """Writes the two records of a request."""
    number = itertools.count(1)

    def record() -> None:
        opened = opening(next(number))
        journal.append_opened(opened)
        journal.append_closed(ending(opened))

    return record


def test_accumulate_an_answer_in_one_piece(benchmark: Callable[..., Any]) -> None:
    body = completion()
    assert benchmark(lambda: CHAT.count(body)).usage.output == 24


@pytest.mark.parametrize("usage", [None, running(57, 3)], ids=["plain", "counted"])
def test_accumulate_one_streamed_event(benchmark: Callable[..., Any], usage: Any) -> None:
    piece = event("token ", usage)
    splitter, stream = EventSplitter(1 << 20), CHAT.follow(read_call(STREAMED))

    def follow() -> bytes | None:
        data = splitter.data_of_one(piece, 0, len(piece))
        assert data is not None
        return stream.take(data)

    assert benchmark(follow) is not None


def test_cut_ten_events_that_came_together(benchmark: Callable[..., Any]) -> None:
    piece = event("token ") * 10
    splitter = EventSplitter(1 << 20)
    assert len(benchmark(lambda: [data_of(each) for each in splitter.feed(piece)])) == 10
