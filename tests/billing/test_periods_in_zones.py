"""Two years of months in 30 zones: contiguous, no hour twice, none missing, and days that sum to their month."""

from collections.abc import Iterator
from datetime import UTC, date, datetime, timedelta
from itertools import pairwise
from zoneinfo import ZoneInfo

import pytest

from billing import closing
from billing.models import Invoice, InvoiceUsage
from billing.periods import QUARTER_HOUR, Month, day_start, month, month_at, next_month
from metering.models import Bucket
from tests.billing.samples import LLAMA, YEAR
from tests.conftest import Person, new_tenant

# Clocks that change by an hour, by half of one, at midnight or never; offsets of quarters; both ends of the date line.
ZONES = [
    *("UTC", "Europe/Berlin", "Europe/London", "Europe/Lisbon", "Atlantic/Azores", "America/New_York"),
    *("America/St_Johns", "America/Chicago", "America/Los_Angeles", "America/Phoenix", "America/Sao_Paulo"),
    *("America/Santiago", "America/Havana", "America/Asuncion", "America/Caracas", "Africa/Cairo"),
    *("Africa/Casablanca", "Asia/Beirut", "Asia/Gaza", "Asia/Tehran", "Asia/Kolkata", "Asia/Kathmandu"),
    *("Asia/Shanghai", "Asia/Tokyo", "Australia/Lord_Howe", "Australia/Sydney", "Australia/Eucla"),
    *("Pacific/Chatham", "Pacific/Kiritimati", "Pacific/Pago_Pago"),
]
FIRST, MONTHS = date(2026, 2, 1), 24
LATER = datetime(2028, 2, 15, tzinfo=UTC)


def months(zone: str) -> list[Month]:
    found = [month(FIRST, zone)]
    while len(found) < MONTHS:
        found.append(month(next_month(found[-1].first_day), zone))
    return found


def quarters(start: datetime, end: datetime) -> Iterator[datetime]:
    while start < end:
        yield start
        start += QUARTER_HOUR


def days(of: Month) -> list[date]:
    return [of.first_day + timedelta(days=n) for n in range((of.last_day - of.first_day).days + 1)]


def test_there_are_thirty_zones_and_most_of_them_change_their_clocks() -> None:
    assert len(set(ZONES)) == 30
    hours = {zone: {str(found.end - found.start) for found in months(zone)} for zone in ZONES}
    assert sum(any("days, 0:00:00" not in length for length in lengths) for lengths in hours.values()) >= 15


@pytest.mark.parametrize("zone", ZONES)
def test_months_are_contiguous_and_every_quarter_of_an_hour_is_in_one(zone: str) -> None:
    found = months(zone)
    assert all(this.end == following.start for this, following in pairwise(found))
    seen = [at for each in found for at in quarters(each.start, each.end)]
    assert seen == list(quarters(found[0].start, found[-1].end))
    assert all(month_at(at, zone) == each for each in found for at in (each.start, each.end - QUARTER_HOUR))


@pytest.mark.parametrize("zone", ZONES)
def test_the_days_of_a_month_are_contiguous_and_sum_to_it(zone: str) -> None:
    for each in months(zone):
        starts = [day_start(day, ZoneInfo(zone)) for day in [*days(each), next_month(each.first_day)]]
        assert (starts[0], starts[-1]) == (each.start, each.end)
        lengths = [end - start for start, end in pairwise(starts)]
        assert all(timedelta(hours=22) < length < timedelta(hours=26) for length in lengths)
        assert sum(lengths, timedelta(0)) == each.end - each.start


@pytest.mark.django_db(transaction=True)
@pytest.mark.parametrize("zone", ["America/Havana", "Australia/Lord_Howe"])
def test_the_days_of_an_invoice_sum_to_its_month_and_every_hour_is_invoiced_once(priced: Person, zone: str) -> None:
    """A token in every hour of two years: an invoice has as many as its month has hours, and so have its days."""
    project = new_tenant("t", time_zone=zone).key.project
    project.tenant.plans.create(price_book=priced.tenant.plans.get().price_book, starts_at=YEAR)
    found = months(zone)
    hours = [at for each in found for at in quarters(each.start, each.end) if at.minute == 0]
    of = {"tenant_id": project.tenant_id, "project_id": project.pk, "api_key_id": 1, "billed": True}
    used = {"offering": LLAMA, "deployment": "d", "unit": "output", "quantity": 1, "updated_at": LATER}
    Bucket.objects.bulk_create((Bucket(start=at, **of, **used) for at in hours), batch_size=5000)
    for each in found:
        invoice = closing.close(project.tenant, each.first_day, now=LATER)
        starts = list(InvoiceUsage.objects.filter(invoice=invoice).values_list("start", flat=True))
        assert invoice.lines.get().quantity == len(starts) == sum(each.start <= at < each.end for at in hours)
        assert sum(_hours_of_days(each, starts)) == len(starts)
    assert InvoiceUsage.objects.count() == len(hours)
    assert Invoice.objects.count() == MONTHS


def _hours_of_days(of: Month, starts: list[datetime]) -> list[int]:
    """How many fall into each civil day of a month."""
    zone = ZoneInfo(of.time_zone)
    edges = [day_start(day, zone) for day in [*days(of), next_month(of.first_day)]]
    return [sum(start <= at < end for at in starts) for start, end in pairwise(edges)]
