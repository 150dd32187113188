"""What a draft charges: of each month that it touches the statement of all usage so far, less what is charged already.

So usage that comes late, or turns out smaller, moves tiers, allowances and minimums as if it had been there in time.
Reads rows and writes none.
"""

from bisect import bisect_right
from collections.abc import Iterable, Iterator
from datetime import date, datetime
from itertools import takewhile

from billing import annex, periods
from billing.agreements import Agreement, agreement_of
from billing.charges import Charge, LineKind, difference
from billing.errors import CurrencyIsNotTheTenants, EarlierMonthIsOpen, UsageIsNotPriced
from billing.models import Invoice, InvoiceLine, Period
from billing.periods import QUARTER_HOUR, Month
from billing.rating import RatedLine, Rating, UnitPrice, rate
from billing.statement import SPENT_KINDS, commitment_term, statement
from billing.tariffs import tariff_of
from billing.terms import Span, months_later, stretches
from money.amount import Money

UNPRICED_NAMED_MAX = 20
NOT_OF_A_STATEMENT = [LineKind.GRANT, LineKind.CREDIT]


def charges_due(invoice: Invoice) -> list[Charge]:
    """The charges of a draft whose annex is written, by month from the earliest. Raises one of `ClosingRefused`."""
    own = periods.month(invoice.period.month, invoice.period.time_zone)
    agreement = agreement_of(invoice.tenant)
    months = _months(invoice, own, agreement)
    usage = _rated(invoice, months, agreement)
    due: list[Charge] = []
    for month in months:
        due += _due_of(invoice, month, agreement, usage.get(month.first_day, []), due)
    _refuse_open_months(invoice, own, agreement, due)
    return due


def _due_of(
    invoice: Invoice, month: Month, agreement: Agreement, usage: list[Charge], due_of_earlier: list[Charge]
) -> list[Charge]:
    starts = [part.span.start for part in stretches(month, agreement.runs)]

    def stretch_of(charge: Charge) -> int:
        return bisect_right(starts, charge.first_start)

    spent = _spent_before(invoice, month, agreement, due_of_earlier)
    now = statement(month, invoice.currency, usage, agreement.runs, agreement.coupons, spent)
    return difference(now, _charged(invoice, month.first_day, month.first_day), stretch_of)


def _months(invoice: Invoice, own: Month, agreement: Agreement) -> list[Month]:
    """The months of usage that is due, the draft's own, and those in which a commitment over one of these ended.

    A run that ends as the own month begins may do so since the month before it was closed: that is reckoned once more.
    """
    found = {month.first_day: month for month in annex.months_due(invoice, own)}
    if any(run.span.end == own.start for run in agreement.runs):
        before = periods.month(months_later(own.first_day, -1), own.time_zone)
        found[before.first_day] = before
    for month in list(found.values()):
        for part in stretches(month, agreement.runs):
            term = commitment_term(part)
            if term:
                end = min(term.end, part.run.span.end) - QUARTER_HOUR
                last = periods.month_at(end, own.time_zone) if end < own.start else own
                found[last.first_day] = last
    return [found[first_day] for first_day in sorted(found)]


def _rated(invoice: Invoice, months: list[Month], agreement: Agreement) -> dict[date, list[Charge]]:
    """All usage of these months so far as charges, none of which lies across a change of terms."""
    used = (one for month in months for one in annex.usage_of(invoice, month))
    ends = [month.end for month in months]

    def month_of(start: datetime) -> date:
        return months[bisect_right(ends, start)].first_day

    cuts = [run.span.start for run in agreement.runs]
    rating = rate(used, tariff_of(invoice.tenant_id), month_of, cuts)
    _refuse_unpriced(rating)
    found: dict[date, list[Charge]] = {}
    for line in rating.lines:
        _refuse_currency(invoice, line)
        found.setdefault(line.month, []).append(_usage(line))
    return found


def _usage(line: RatedLine) -> Charge:
    return Charge(
        kind=LineKind.USAGE,
        month=line.month,
        project_id=line.project_id,
        offering=line.offering,
        grade=line.grade,
        service_tier=line.service_tier,
        unit=line.unit,
        quantity=line.quantity,
        price=line.price,
        exact=line.amount,
        first_start=line.first_start,
        last_end=line.last_end,
        detail=line.detail,
    )


def _spent_before(
    invoice: Invoice, month: Month, agreement: Agreement, due_of_earlier: list[Charge]
) -> dict[datetime, Money]:
    """What was spent in earlier months of the commitments in force, by the start of their runs."""
    found: dict[datetime, Money] = {}
    for part in stretches(month, agreement.runs):
        term = commitment_term(part)
        if term and term.start < month.start:
            first = periods.month_at(term.start, month.time_zone).first_day
            charged = _charged(invoice, first, months_later(month.first_day, -1))
            earlier = (one for one in due_of_earlier if first <= one.month < month.first_day)
            found[part.run.span.start] = _spent([*charged, *earlier], part.run.span, invoice.currency)
    return found


def _spent(charges: Iterable[Charge], span: Span, currency: str) -> Money:
    counted = (one for one in charges if one.kind in SPENT_KINDS and span.start <= one.first_start < span.end)
    return sum((one.printed for one in counted), Money.zero(currency))


def _charged(invoice: Invoice, first: date, last: date) -> list[Charge]:
    """What the tenant's earlier invoices say of these months. Credit notes take back on top of that."""
    lines = InvoiceLine.objects.filter(
        invoice__tenant_id=invoice.tenant_id,
        invoice__kind=Invoice.Kind.INVOICE,
        invoice__ordinal__lt=invoice.ordinal,
        month__range=(first, last),
    )
    return [_as_charge(line, invoice.currency) for line in lines.exclude(kind__in=NOT_OF_A_STATEMENT)]


def _as_charge(line: InvoiceLine, currency: str) -> Charge:
    return Charge(
        kind=LineKind(line.kind),
        month=line.month,
        project_id=line.project_id,
        offering=line.offering,
        grade=line.grade,
        service_tier=line.service_tier,
        unit=line.unit,
        quantity=line.quantity,
        price=UnitPrice.of(line.unit_amount, currency, line.per) if line.is_priced else None,
        exact=Money.of(line.exact, currency),
        first_start=line.service_start,
        last_end=line.service_end,
        detail=line.detail,
        amount=Money.of(line.amount, currency),
    )


def _refuse_unpriced(rating: Rating) -> None:
    if rating.unpriced:
        named = "; ".join(str(usage) for usage in rating.unpriced[:UNPRICED_NAMED_MAX])
        more = len(rating.unpriced) - UNPRICED_NAMED_MAX
        raise UsageIsNotPriced(
            f"There is usage without a price: {named}{f'; and {more} more' if more > 0 else ''}. "
            "Publish prices, or give the tenant a plan, that begin before it."
        )


def _refuse_currency(invoice: Invoice, line: RatedLine) -> None:
    if line.amount.currency != invoice.currency:
        raise CurrencyIsNotTheTenants(
            f"{line.offering} is priced in {line.amount.currency}, "
            f"and {invoice.tenant.slug} pays in {invoice.currency}. One of the two has to change."
        )


def _refuse_open_months(invoice: Invoice, own: Month, agreement: Agreement, due: list[Charge]) -> None:
    """What is due of an earlier month is a correction only where that month had its own invoice."""
    closed = set(Period.objects.filter(tenant=invoice.tenant).values_list("month", flat=True))
    with_usage = {charge.month for charge in due} - closed
    if with_usage:
        raise EarlierMonthIsOpen(
            f"{invoice.tenant.slug} has usage of {min(with_usage):%Y-%m}, which was never closed. Close it first.",
            min(with_usage),
        )
    for month in _earlier_months(own, agreement):
        if month.first_day not in closed and statement(month, invoice.currency, [], agreement.runs):
            raise EarlierMonthIsOpen(
                f"{invoice.tenant.slug} has a plan that costs something in {month}, which was never closed. "
                "Close it first.",
                month.first_day,
            )


def _earlier_months(own: Month, agreement: Agreement) -> Iterator[Month]:
    """The months before the draft's own in which terms were in force that ask for something without usage."""
    asking = (run for run in agreement.runs if run.terms and run.terms.ask_without_usage)
    first_run = next(asking, None)
    if first_run is not None and first_run.span.start < own.start:
        first = periods.month_at(first_run.span.start, own.time_zone).first_day
        days = (months_later(first, number) for number in range(own.first_day.year * 12))
        for first_day in takewhile(lambda day: day < own.first_day, days):
            yield periods.month(first_day, own.time_zone)
