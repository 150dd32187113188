"""A month is closed for all tenants as a table of work items, which workers claim one at a time.

    pending -> drafted -> final -> done     drafted waits for its grace, and is drafted anew after it
    pending -> nothing                      where nothing was used
    pending | drafted | final -> parked     with the reason, until somebody approves it or lets it be tried again

A change of state is one UPDATE that names the claim and the state it starts from. A worker that dies leaves its claim,
which expires; what it had done is found by the next one, because each step finds its own outcome: a final invoice is
not made again, nor a document. What goes wrong with one tenant parks that tenant.
"""

import logging
import uuid
from datetime import date, datetime, timedelta
from time import monotonic
from typing import Any

from django.conf import settings
from django.contrib.auth.models import User
from django.db import InterfaceError, OperationalError, connection, transaction
from django.db.models import Count
from django.utils import timezone

from billing import closing, oddities, periods
from billing.documents.issue import document_of
from billing.errors import (
    ClosingRefused,
    MonthHasNotBegun,
    NothingToInvoice,
    NotParked,
    TooManyClosings,
    UsageIsNotFolded,
    WalletHasChanged,
)
from billing.finalising import finalise
from billing.models import ClosingItem, ClosingRun, Invoice
from billing.turns import turn_of
from money.amount import Money
from tenants.models import Tenant

CLAIM_EXPIRES_AFTER = timedelta(minutes=5)
TRY_AGAIN_AFTER = timedelta(minutes=1)
CLAIMS_MAX = 5
REASON_CHARACTERS_MAX = 2000
EARLIEST_ZONE = timedelta(hours=14)  # Nowhere on earth does a month begin earlier than in UTC+14.

State = ClosingItem.State
ParkedFor = ClosingItem.ParkedFor

log = logging.getLogger(__name__)

_CLAIM_SQL = """
UPDATE billing_closingitem SET claim = %(claim)s, claimed_until = %(until)s, attempts = attempts + 1
 WHERE id = (SELECT id FROM billing_closingitem
              WHERE state IN ('pending', 'drafted', 'final') AND due_at <= %(now)s
                AND (claimed_until IS NULL OR claimed_until <= %(now)s)
                AND (%(run)s::bigint IS NULL OR run_id = %(run)s)
              ORDER BY due_at, id LIMIT 1 FOR UPDATE SKIP LOCKED)
RETURNING id
"""


class ClaimIsLost(Exception):
    """The claim expired, and another worker has the item."""


def start(
    month: date, *, by: User | None = None, grace_hours: int | None = None, now: datetime | None = None
) -> ClosingRun:
    """The run of a month, with an item for every tenant that was there before the month ended.

    A run that is there keeps its grace, and gets the tenants that it lacks. Months that have not ended for a tenant are
    closed when they have. Raises `MonthHasNotBegun`.
    """
    now = now or timezone.now()
    if datetime(month.year, month.month, 1, tzinfo=now.tzinfo) - EARLIEST_ZONE > now:
        raise MonthHasNotBegun(f"{month:%Y-%m} has not begun anywhere. Close it when it has.")
    grace = settings.TOKENWORKS_CLOSING_GRACE_HOURS if grace_hours is None else grace_hours
    with transaction.atomic():
        run, _ = ClosingRun.objects.get_or_create(
            month=month, defaults={"grace_hours": grace, "started_by": by, "started_at": now}
        )
        for zone in set(Tenant.objects.values_list("time_zone", flat=True)):
            _add_tenants(run, zone, now)
    return run


def _add_tenants(run: ClosingRun, zone: str, now: datetime) -> None:
    end = periods.month(run.month, zone).end
    missing = Tenant.objects.filter(time_zone=zone, created_at__lt=end).exclude(
        pk__in=ClosingItem.objects.filter(run=run).values("tenant_id")
    )
    items = [
        ClosingItem(run=run, tenant_id=pk, due_at=end, changed_at=now) for pk in missing.values_list("pk", flat=True)
    ]
    ClosingItem.objects.bulk_create(items, batch_size=1000, ignore_conflicts=True)


def work(*, run: ClosingRun | None = None, time_s: float | None = None, now: datetime | None = None) -> int:
    """Work the items that are due, of one run or of all, for `time_s` at most; return how many were worked."""
    begun, worked = monotonic(), 0
    while time_s is None or monotonic() - begun < time_s:
        item = claim(now or timezone.now(), run)
        if item is None:
            break
        _work(item, now or timezone.now())
        worked += 1
    return worked


def claim(now: datetime, run: ClosingRun | None = None) -> ClosingItem | None:
    """The next item that is due and that nobody has, now ours until the claim expires; None where there is none."""
    given: dict[str, Any] = {
        "claim": uuid.uuid4(),
        "until": now + CLAIM_EXPIRES_AFTER,
        "now": now,
        "run": run and run.pk,
    }
    with connection.cursor() as cursor:
        cursor.execute(_CLAIM_SQL, given)
        found = cursor.fetchone()
    return found and ClosingItem.objects.select_related("run", "tenant", "invoice").get(pk=found[0])


def due(at_most: int, now: datetime | None = None) -> int:
    """How many items are due and unclaimed, counted up to `at_most`."""
    now = now or timezone.now()
    at_work = ClosingItem.objects.filter(state__in=ClosingItem.AT_WORK, due_at__lte=now)
    return at_work.exclude(claimed_until__gt=now)[:at_most].count()


def progress(run: ClosingRun) -> dict[str, int]:
    """How many items of a run are in which state."""
    counted = run.items.order_by().values_list("state").annotate(Count("id"))
    return dict(sorted(counted, key=lambda row: State.values.index(row[0])))


def approve(item_id: int, by: User, *, now: datetime | None = None) -> ClosingItem:
    """Let an invoice go out that was parked for approval, over the amount that was seen and no other.

    Usage that comes until then makes another amount, which is judged anew. Raises `NotParked`.
    """
    now = now or timezone.now()
    with transaction.atomic():
        item = _parked(item_id)
        if item.parked_for not in ClosingItem.FOR_APPROVAL:
            raise NotParked(f"{item} was {item.parked_for}: nothing is there to approve. Mend it, and try again.")
        item.approved_gross = 0 if item.invoice is None else item.invoice.gross
        item.approved_by, item.approved_at = by, now
        return _take_up(item, now)


def try_again(item_id: int, *, now: datetime | None = None) -> ClosingItem:
    """Take up an item that was parked, from its start. Raises `NotParked`."""
    with transaction.atomic():
        return _take_up(_parked(item_id), now or timezone.now())


def _parked(item_id: int) -> ClosingItem:
    locked = ClosingItem.objects.select_for_update(of=["self"]).select_related("run", "tenant", "invoice")
    item = locked.get(pk=item_id)
    if item.state != State.PARKED:
        raise NotParked(f"{item} is {item.get_state_display()}, and not parked.")
    return item


def _take_up(item: ClosingItem, now: datetime) -> ClosingItem:
    item.state, item.parked_for, item.reason = State.PENDING, "", ""
    item.due_at = item.changed_at = now
    item.save()
    return item


def _work(item: ClosingItem, now: datetime) -> None:
    """Take an item as far as it comes. Trouble of the database is not the tenant's: it ends the worker's task."""
    try:
        try:
            _advance(item, now)
        except (ClaimIsLost, OperationalError, InterfaceError):
            raise
        except Exception as failure:  # Whatever it is, it concerns this tenant, and others must go on.
            log.exception("%s is parked.", item)
            _park(item, ParkedFor.FAILED, f"{type(failure).__name__}: {failure}", now)
    except ClaimIsLost:
        log.warning("%s took longer than its claim; another worker has it.", item)


def _advance(item: ClosingItem, now: datetime) -> None:
    if item.attempts > CLAIMS_MAX:
        _park(item, ParkedFor.FAILED, f"It was begun {CLAIMS_MAX} times, and its worker never came to an end.", now)
    if item.state in (State.PENDING, State.DRAFTED):
        _close(item, now)
    if item.state == State.FINAL:
        _render(item, now)


def _close(item: ClosingItem, now: datetime) -> None:
    try:
        with turn_of(item.tenant):
            _judge(item, closing.drafted(item.tenant, item.run.month, now=now), now)
    except NothingToInvoice as refusal:
        _leave_out(item, str(refusal), now)
    except (UsageIsNotFolded, TooManyClosings, WalletHasChanged) as refusal:
        _move(item, State(item.state), now, due_at=now + TRY_AGAIN_AFTER, reason=str(refusal))
    except ClosingRefused as refusal:
        _park(item, ParkedFor.REFUSED, str(refusal), now)


def _judge(item: ClosingItem, invoice: Invoice, now: datetime) -> None:
    """Number a draft, or let it wait: for somebody's approval, or for the end of its grace."""
    is_draft = invoice.status == Invoice.Status.DRAFT
    gross = Money.of(invoice.gross, invoice.currency)
    found = _odd(item, gross, _last(item, gross.currency)) if is_draft else None
    grace_ends = invoice.period.end + timedelta(hours=item.run.grace_hours)
    if found is not None:
        _park(item, ParkedFor(found.oddity), found.reason, now, invoice=invoice)
    elif is_draft and grace_ends > now:
        _move(item, State.DRAFTED, now, due_at=grace_ends, invoice=invoice, reason="")
    else:
        final = finalise(invoice.pk, now=now)
        _move(item, State.FINAL, now, keep_claim=True, invoice=final, reason="")


def _leave_out(item: ClosingItem, reason: str, now: datetime) -> None:
    """Nothing to invoice is odd for a tenant that had something in the month before."""
    last = _last(item, item.tenant.currency)
    just_before = last is not None and periods.next_month(last.period.month) == item.run.month
    found = _odd(item, Money.zero(item.tenant.currency), last if just_before else None)
    if found is None:
        _move(item, State.NOTHING, now, invoice=None, reason=reason)
    else:
        _park(item, ParkedFor(found.oddity), f"{reason} {found.reason}", now, invoice=None)


def _last(item: ClosingItem, currency: str) -> Invoice | None:
    final = Invoice.objects.filter(tenant=item.tenant, kind=Invoice.Kind.INVOICE, status=Invoice.Status.FINAL)
    return final.filter(currency=currency).select_related("period").order_by("-ordinal").first()


def _odd(item: ClosingItem, gross: Money, last: Invoice | None) -> oddities.Odd | None:
    """What is odd about an amount that nobody approved."""
    if item.approved_gross is not None and Money.of(item.approved_gross, gross.currency) == gross:
        return None
    given = oddities.Bounds(settings.TOKENWORKS_CLOSING_JUMP_TIMES, settings.TOKENWORKS_CLOSING_JUMP_FROM)
    return oddities.odd(gross, None if last is None else Money.of(last.gross, last.currency), given)


def _render(item: ClosingItem, now: datetime) -> None:
    """Make the document that the outbox sends, so that a mail does not wait for it."""
    assert item.invoice is not None  # Postgres has a constraint that says so.
    document_of(item.invoice)
    _move(item, State.DONE, now)


def _park(item: ClosingItem, parked_for: ClosingItem.ParkedFor, reason: str, now: datetime, **fields: Any) -> None:
    _move(item, State.PARKED, now, parked_for=parked_for, reason=reason[:REASON_CHARACTERS_MAX], **fields)


def _move(item: ClosingItem, to: ClosingItem.State, now: datetime, *, keep_claim: bool = False, **fields: Any) -> None:
    """Change the state of an item by compare-and-set. Raises `ClaimIsLost` where another worker has it."""
    ours = ClosingItem.objects.filter(pk=item.pk, state=item.state, claim=item.claim)
    freed = {} if keep_claim else {"claim": None, "claimed_until": None}
    changes = {"state": to, "changed_at": now, "attempts": 0, **freed, **fields}
    if not ours.update(**changes):
        raise ClaimIsLost
    for name, value in changes.items():
        setattr(item, name, value)
