"""The one writer of what freezes prices: publishing a version, and giving a tenant a plan."""

from datetime import datetime

from django.db import transaction
from django.db.models import Max, QuerySet
from django.utils import timezone

from billing.agreements import refuse_currency
from billing.errors import CurrencyIsNotTheTenants, IncompletePrices, PastIsInvoiced
from billing.matching import gaps
from billing.models import Invoice, Plan, PlanTerms, PriceBook, PriceBookVersion
from billing.rating import UNITS_OF_CHAT
from tenants.models import Tenant

GAPS_NAMED_MAX = 20


@transaction.atomic
def publish(version: PriceBookVersion) -> PriceBookVersion:
    """Freeze a version, complete as it is, so that it prices usage from `valid_from` on. Twice is once.

    Raises `IncompletePrices` where an offering lacks a unit that its answers can contain, in a grade or service tier in
    which it is sold, and `PastIsInvoiced` where usage after `valid_from` was invoiced by this book already.
    """
    locked = PriceBookVersion.objects.select_for_update().select_related("price_book").get(pk=version.pk)
    if locked.published_at is None:
        _refuse_incomplete(locked)
        _refuse_invoiced(locked.valid_from, Invoice.objects.filter(tenant__plans__price_book=locked.price_book))
        locked.published_at = timezone.now()
        PriceBookVersion.objects.filter(pk=locked.pk).update(published_at=locked.published_at)
    return locked


@transaction.atomic
def agree(tenant: Tenant, price_book: PriceBook, starts_at: datetime, terms: PlanTerms | None = None) -> Plan:
    """Give a tenant a plan from an instant on, which is not one that has been invoiced already."""
    plan = Plan(tenant=tenant, price_book=price_book, terms=terms, starts_at=starts_at)
    refuse_plan(plan)
    plan.full_clean()
    plan.save(force_insert=True)
    return plan


def refuse_plan(plan: Plan) -> None:
    """Raise where a plan would price in another currency than the tenant's, or what was invoiced already."""
    if plan.tenant.currency != plan.price_book.currency:
        raise CurrencyIsNotTheTenants(
            f"{plan.tenant.slug} pays in {plan.tenant.currency}, and {plan.price_book.slug} is in "
            f"{plan.price_book.currency}. Choose a price book in the tenant's currency."
        )
    refuse_currency(plan.tenant, plan.terms)
    _refuse_invoiced(plan.starts_at, Invoice.objects.filter(tenant=plan.tenant))


def _refuse_incomplete(version: PriceBookVersion) -> None:
    rates = list(version.rates.all())
    if not rates:
        raise IncompletePrices(f"{version} has no rates. Enter some before publishing it.")
    lacking = gaps([rate.match for rate in rates], UNITS_OF_CHAT)
    if lacking:
        named = "; ".join(str(gap) for gap in lacking[:GAPS_NAMED_MAX])
        more = f"; and {len(lacking) - GAPS_NAMED_MAX} more" if len(lacking) > GAPS_NAMED_MAX else ""
        raise IncompletePrices(f"{version}: {named}{more}. Give each of them a rate; 0 is a price.")


def _refuse_invoiced(begins_at: datetime, invoices: QuerySet[Invoice]) -> None:
    invoiced_until = invoices.aggregate(latest=Max("usage_until"))["latest"]
    if invoiced_until is not None and begins_at < invoiced_until:
        raise PastIsInvoiced(
            f"Usage up to {invoiced_until:%Y-%m-%d %H:%M} UTC has been invoiced. "
            f"Prices cannot begin before it, at {begins_at:%Y-%m-%d %H:%M} UTC."
        )
