"""The short way of admission: it gives what the long one would, and notices whatever its leases depend on."""

from types import SimpleNamespace
from typing import cast

import pytest
from hypothesis import given
from hypothesis import strategies as st
from msgspec import structs

from gateway.admission.drawing import Drawing
from gateway.admission.leases import Hold, Lease
from gateway.admission.ledger import Ledger
from gateway.admission.terms import TenantTerms, Terms
from gateway.snapshot import Snapshot
from metering.records import Closed, Opened
from metering.usage import Outcome, Usage, UsageSource
from tenants.snapshot import BudgetRow, LimitRow, Principal
from tests.gateway.admission.limiting import KEY, PICO, PROJECT, budget, limit, snapshot
from tests.gateway.running import ACME, MODEL
from tests.gateway.upstreams import Upstream

NOW_S = 1_800_000_020.0
PRINCIPAL = Principal(KEY, PROJECT, ACME, "acme", None)
amounts = st.integers(0, 1000)


def found(*rows: BudgetRow | LimitRow) -> Snapshot:
    return snapshot(cast(Upstream, SimpleNamespace(base_url="http://127.0.0.1:9")), *rows)


def terms_of(*rows: BudgetRow | LimitRow) -> Terms:
    terms = found(*rows).terms_of(PRINCIPAL)
    assert terms is not None
    return terms


def ending(usage: Usage, *, billed: bool = True, at_us: int = int(NOW_S) * 1_000_000) -> Closed:
    opened = Opened(bytes(16), at_us, ACME, PROJECT, KEY, MODEL, "llama-at-pool", streamed=False)
    return Closed(opened, at_us, at_us, Outcome.COMPLETED, UsageSource.REPORTED, billed, usage, 200, None)


def leases_of(ledger: Ledger, terms: Terms, free: int) -> list[Lease]:
    leases = [ledger.lease(ACME, quota, NOW_S) for quota in terms.quotas]
    for lease in leases:
        lease.granted(free)
    return leases


EVERYTHING = (
    limit(requests_per_minute=10**6, tokens_per_minute=10**6, parallel_requests=10**6),
    budget(10**6),
    budget(10**6, name="budget:2", is_money=True),
)


@given(
    free=amounts,
    tokens=amounts,
    money=amounts,
    read=st.integers(0, 300),
    wrote=st.integers(0, 300),
    billed=st.booleans(),
)
def test_the_short_way_leaves_every_lease_as_the_long_one_does(
    free: int, tokens: int, money: int, read: int, wrote: int, billed: bool
) -> None:
    terms, short, long = terms_of(*EVERYTHING), Ledger(), Ledger()
    by_short, by_long = leases_of(short, terms, free), leases_of(long, terms, free)
    needs = [1, tokens, 1, tokens, money]  # In the order of the quotas.
    usage = Usage(input_uncached=read, output=wrote)
    used = [0, read + wrote, 0, read + wrote, (read * PICO["input_uncached"] + wrote * PICO["output"]) // 1000]
    held = Drawing.of(short, terms, NOW_S).hold(tokens, money, NOW_S)
    assert (held is not None) is (free >= max(needs))
    if held is None:
        assert [(each.free, each.held, each.spent) for each in by_short] == [(free, 0, 0)] * len(by_short)
        return
    hold = Hold([(lease, lease.hold_up_to(need)) for lease, need in zip(by_long, needs, strict=True)])
    hold.charge([1, 0, 0, 0, 0])  # A request is spent at once.
    standing = [(each.free, each.held, each.spent) for each in by_short]
    assert standing == [(each.free, each.held, each.spent) for each in by_long]
    held.settle(ending(usage, billed=billed))
    if billed:
        hold.charge(used)
    for _ in range(2):  # The second time gives nothing back.
        held.release()
        hold.release()
    standing = [(each.free, each.held, each.spent) for each in by_short]
    assert standing == [(each.free, each.held, each.spent) for each in by_long]


def test_a_kept_drawing_is_found_again_until_its_minute_ends() -> None:
    terms, ledger = terms_of(limit(requests_per_minute=5)), Ledger()
    (before,) = leases_of(ledger, terms, 5)
    drawing = Drawing.of(ledger, terms, NOW_S)
    assert Drawing.of(ledger, terms, NOW_S + 1) is drawing
    assert drawing.hold(0, 0, NOW_S) is not None
    assert Drawing.of(ledger, terms, NOW_S + 60).hold(0, 0, NOW_S + 60) is None  # The new minute's lease is empty.
    assert before.free == 4


def test_a_kept_drawing_is_dropped_when_another_caller_brings_a_lowered_limit() -> None:
    rows = [found(limit(tokens_per_minute=100)), found(limit(tokens_per_minute=10))]
    terms, lowered = (each.terms_of(PRINCIPAL) for each in rows)
    assert terms is not None
    assert lowered is not None
    ledger = Ledger()
    leases_of(ledger, terms, 100)
    assert Drawing.of(ledger, terms, NOW_S).hold(50, 0, NOW_S) is not None
    assert Drawing.of(ledger, lowered, NOW_S).hold(5, 0, NOW_S) is None  # What was free must be asked for again.
    assert Drawing.of(ledger, terms, NOW_S).hold(5, 0, NOW_S) is None


def test_a_kept_drawing_is_dropped_when_a_lease_was_forgotten() -> None:
    terms, ledger = terms_of(limit(parallel_requests=5)), Ledger()
    (lease,) = leases_of(ledger, terms, 0)
    drawing = Drawing.of(ledger, terms, NOW_S)
    lease.used_at_s = NOW_S - 1000
    ledger.forget_done(ACME, NOW_S)
    assert Drawing.of(ledger, terms, NOW_S) is not drawing


def test_gateways_of_one_process_do_not_draw_on_each_others_leases() -> None:
    terms, one, other = terms_of(limit(parallel_requests=5)), Ledger(), Ledger()
    leases_of(one, terms, 5)
    assert Drawing.of(one, terms, NOW_S).hold(0, 0, NOW_S) is not None
    assert Drawing.of(other, terms, NOW_S).hold(0, 0, NOW_S) is None


@pytest.mark.parametrize("limits", [{"tokens_per_minute": 10}, {"requests_per_minute": 0, "tokens_per_minute": 100}])
def test_no_request_holds_more_than_a_whole_minute_allows(limits: dict[str, int]) -> None:
    terms, ledger = terms_of(limit(**limits)), Ledger()
    leases_of(ledger, terms, 10**6)
    assert Drawing.of(ledger, terms, NOW_S).hold(11, 0, NOW_S) is None


def test_what_has_no_price_is_not_spent_and_comes_back(caplog: pytest.LogCaptureFixture) -> None:
    terms, ledger = terms_of(budget(10**6, is_money=True)), Ledger()
    (lease,) = leases_of(ledger, terms, 100)
    held = Drawing.of(ledger, terms, NOW_S).hold(0, 60, NOW_S)
    assert held is not None
    held.settle(ending(Usage(cache_write_5m=3)))
    held.release()
    assert (lease.free, lease.held, lease.spent) == (100, 0, 0)
    assert "does not count event" in caplog.text


def test_a_request_is_charged_by_the_prices_of_its_own_moment() -> None:
    rows = found(budget(10**6, is_money=True))
    tenant = rows.limited[ACME]
    assert isinstance(tenant, TenantTerms)
    terms = rows.terms_of(PRINCIPAL)
    assert terms is not None
    ledger = Ledger()
    (lease,) = leases_of(ledger, terms, 10**6)
    held = Drawing.of(ledger, terms, NOW_S).hold(0, 10, NOW_S)
    assert held is not None
    before_any_plan = structs.replace(
        ending(Usage(output=1)), opened=structs.replace(ending(Usage()).opened, opened_at_us=-1)
    )
    held.settle(before_any_plan)
    assert lease.spent == 0
    held = Drawing.of(ledger, terms, NOW_S).hold(0, 10, NOW_S)
    assert held is not None
    held.settle(ending(Usage(output=1)))
    assert lease.spent == PICO["output"] // 1000
