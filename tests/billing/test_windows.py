"""Windows of budgets: contiguous in every time zone, and every instant in one of them."""

from datetime import UTC, datetime, timedelta
from itertools import pairwise

import pytest
from hypothesis import given
from hypothesis import strategies as st

from billing.windows import counter_key, nano, used, window_at, windows_from

ZONES = ["UTC", "Europe/Berlin", "America/Los_Angeles", "America/St_Johns", "Asia/Kathmandu", "Pacific/Apia"]
INSTANTS = st.datetimes(datetime(2005, 1, 1), datetime(2035, 1, 1), timezones=st.just(UTC))  # noqa: DTZ001


@given(INSTANTS, st.sampled_from(ZONES), st.sampled_from(["day", "month"]))
def test_an_instant_lies_in_its_window_and_windows_are_contiguous(at: datetime, zone: str, kind: str) -> None:
    windows = list(windows_from(kind, zone, 0, at, 4))
    assert windows[0].end_s is not None
    assert windows[0].start_s <= at.timestamp() < windows[0].end_s
    assert all(earlier.end_s == later.start_s for earlier, later in pairwise(windows))


@pytest.mark.parametrize(
    ("day", "hours"), [("2026-03-29", 23), ("2026-10-25", 25), ("2026-11-23", 24)]
)  # Berlin's clocks change on the first two.
def test_a_day_is_as_long_as_its_clocks_make_it(day: str, hours: int) -> None:
    noon = datetime.fromisoformat(f"{day}T12:00:00+01:00")
    window = window_at("day", "Europe/Berlin", 0, noon)
    assert window.end_s is not None
    assert timedelta(seconds=window.end_s - window.start_s) == timedelta(hours=hours)


def test_a_budget_in_total_has_one_window_and_another_counter_in_each_window() -> None:
    now = datetime(2026, 11, 23, tzinfo=UTC)
    assert [window.end_s for window in windows_from("total", "UTC", 5, now, 3)] == [None]
    keys = {counter_key("budget:1", window) for window in windows_from("day", "UTC", 5, now, 3)}
    assert len(keys) == 3


def test_what_is_leased_is_not_used_and_a_counter_without_a_base_says_nothing() -> None:
    assert used({"journal": "life 1 50 999 7 0"}) is None
    assert used({"base": "7", "journal": "life 1 50 999 7 0"}) == 57


def test_a_thousandth_counts_as_a_whole_one() -> None:
    assert [nano(pico) for pico in (0, 1, 1000, 1001)] == [0, 1, 1, 2]
