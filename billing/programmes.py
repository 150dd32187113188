"""The one writer of programmes' grants: so much of a pool to each eligible tenant, once or each month of the tenant.

Grants of a programme take turns on its row, which keeps what was granted. Postgres refuses besides to let that pass the
pool, so it is never overdrawn however many grants run at once.
"""

import logging
from dataclasses import dataclass
from datetime import date, datetime, timedelta
from zoneinfo import ZoneInfo

from django.db import transaction
from django.db.models import F, Q, QuerySet
from django.utils import timezone

from billing import wallets
from billing.errors import GrantedAlready, PoolIsEmpty, ProgrammeIsClosed, TenantIsNotEligible
from billing.models import Programme, WalletCredit
from billing.periods import day_start, month_at
from tenants.models import Tenant

log = logging.getLogger(__name__)


@dataclass(frozen=True)
class Term:
    """What a grant is given for (the first day of its month, or the day that the programme opened), and until when."""

    granted_for: date
    expires_at: datetime | None


@transaction.atomic
def grant(programme_id: int, tenant: Tenant, now: datetime | None = None) -> WalletCredit:
    """Give a tenant its grant. Raises a `WalletRefused`, having given nothing."""
    now = now or timezone.now()
    programme = Programme.objects.select_for_update(no_key=True).get(pk=programme_id)
    term = term_of(programme, tenant, now)
    _refuse(programme, tenant, term, now)
    Programme.objects.filter(pk=programme.pk).update(granted=F("granted") + programme.amount)
    credit = WalletCredit(
        tenant=tenant,
        kind=WalletCredit.Kind.GRANTED,
        amount=programme.amount,
        note=programme.name,
        priority=programme.priority,
        expires_at=term.expires_at,
        offerings=programme.offerings,
        programme=programme,
        granted_for=term.granted_for,
        created_at=now,
    )
    return wallets.pay_in(credit, now=now)


def grant_due(now: datetime | None = None) -> int:
    """Give every eligible tenant what automatic programmes owe it; return how many grants that were."""
    now = now or timezone.now()
    return sum(_grant_all(programme, now) for programme in open_programmes(now).filter(automatic=True))


def open_programmes(now: datetime) -> "QuerySet[Programme]":
    """Those that grant now, as long as their pools last."""
    return Programme.objects.filter(Q(closes_at=None) | Q(closes_at__gt=now), opens_at__lte=now)


def eligible(programme: Programme) -> "QuerySet[Tenant]":
    """The active tenants that a programme is for."""
    found = Tenant.objects.filter(status=Tenant.Status.ACTIVE, currency=programme.currency)
    if programme.countries:
        found = found.filter(country__in=programme.countries)
    if programme.tenants.exists():
        found = found.filter(programmes=programme)
    return found


def shown_to(found: "QuerySet[Programme]", tenant_ids: set[int]) -> "QuerySet[Programme]":
    """Those that name no tenants, or one of these."""
    return found.filter(Q(tenants=None) | Q(tenants__in=tenant_ids)).distinct()


def term_of(programme: Programme, tenant: Tenant, now: datetime) -> Term:
    """For which time a tenant is granted something now: its own month, or the programme's whole."""
    zone = ZoneInfo(tenant.time_zone)
    if programme.every == Programme.Every.MONTH:
        month = month_at(now, tenant.time_zone)
        return Term(month.first_day, month.end)
    granted_for = programme.opens_at.date()
    if programme.valid_days is None:
        return Term(granted_for, None)
    last = now.astimezone(zone).date() + timedelta(days=programme.valid_days)
    return Term(granted_for, day_start(last, zone))


def _refuse(programme: Programme, tenant: Tenant, term: Term, now: datetime) -> None:
    if not open_programmes(now).filter(pk=programme.pk).exists():
        raise ProgrammeIsClosed
    if not eligible(programme).filter(pk=tenant.pk).exists():
        raise TenantIsNotEligible(
            f"{programme.name} is not for {tenant.slug}: see its currency, countries and tenants."
        )
    if programme.credits.filter(tenant=tenant, granted_for=term.granted_for).exists():
        raise GrantedAlready
    if programme.granted + programme.amount > programme.pool:
        raise PoolIsEmpty


def _grant_all(programme: Programme, now: datetime) -> int:
    given = set(programme.credits.values_list("tenant_id", "granted_for"))
    granted = 0
    for tenant in eligible(programme).order_by("pk").iterator():
        if (tenant.pk, term_of(programme, tenant, now).granted_for) in given:
            continue
        try:
            grant(programme.pk, tenant, now)
        except PoolIsEmpty:
            log.warning("The pool of programme %s is empty: %d were granted now.", programme.slug, granted)
            break
        except (GrantedAlready, TenantIsNotEligible, ProgrammeIsClosed):
            continue  # Somebody was quicker, or changed it just now.
        granted += 1
    return granted
