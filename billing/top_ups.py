"""Orders a top-up when a wallet runs low: a row and a mail, one at a time, paid by whoever pays it into the wallet."""

from datetime import datetime
from decimal import Decimal

from django.core.mail import EmailMessage
from django.utils import timezone

from billing import outbox, parties
from billing.budgets import all_budgets, time_zones
from billing.counters import counters
from billing.documents import figures
from billing.errors import OrderIsNotOpen
from billing.models import TopUpOrder, TopUpRule
from billing.windows import counter_key, used, window_at

NANO_DIGITS = 9
BODY = """\
Hello,

the wallet of {tenant} still affords {affordable} {currency} before tax. When nothing is left, requests are refused.
Please transfer {amount} {currency}, with the reference {reference}, to:

{bank_details}

{seller}
"""


def notify(now: datetime | None = None) -> None:
    """Order what has become due, and send the mails that are."""
    now = now or timezone.now()
    order_due(now)
    outbox.send_due(TopUpOrder.objects.select_related("tenant"), message, now)


def order_due(now: datetime) -> None:
    """Order a top-up for each wallet that is below its threshold and has no open order. It may run twice at once."""
    rules = TopUpRule.objects.filter(enabled=True, tenant__prepaid=True).select_related("tenant")
    waiting = set(TopUpOrder.objects.filter(status=TopUpOrder.Status.OPEN).values_list("tenant_id", flat=True))
    due = [rule for rule in rules if rule.tenant_id not in waiting]
    left = affordable_of({rule.tenant_id for rule in due}, now) if due else {}
    TopUpOrder.objects.bulk_create(
        [
            _order(rule, left[rule.tenant_id], now)
            for rule in due
            if left.get(rule.tenant_id, rule.threshold) < rule.threshold
        ],
        ignore_conflicts=True,
    )


def affordable_of(tenant_ids: set[int], now: datetime) -> dict[int, Decimal]:
    """What the wallets of prepaid tenants still afford before tax, less what was used and is not invoiced yet.

    A tenant whose counter is not there yet is not among them.
    """
    zones = time_zones()
    found: dict[int, Decimal] = {}
    wallets = {f"wallet:{tenant_id}" for tenant_id in tenant_ids}
    with counters() as store:
        for row in all_budgets():
            if row.name in wallets:
                window = window_at(row.window, zones[row.tenant_id], row.since_s, now)
                spent = used(store.hgetall(counter_key(row.name, window)))
                if spent is not None:
                    found[row.tenant_id] = Decimal(row.limit - spent).scaleb(-NANO_DIGITS)
    return found


def cancel(order_id: int) -> None:
    """Expect no payment of an order any more. Raises `OrderIsNotOpen`."""
    still_open = TopUpOrder.objects.filter(pk=order_id, status=TopUpOrder.Status.OPEN)
    if not still_open.update(status=TopUpOrder.Status.CANCELLED):
        raise OrderIsNotOpen


def message(order: TopUpOrder) -> EmailMessage:
    seller = parties.the_seller()
    return EmailMessage(
        subject=f"Please top up the wallet of {order.tenant.name}",
        body=BODY.format(
            tenant=order.tenant.name,
            affordable=figures.exact(order.affordable),
            amount=figures.amount(order.amount, order.currency),
            currency=order.currency,
            reference=order.reference,
            bank_details=seller.bank_details,
            seller=seller.legal_name,
        ),
        to=[order.recipient],
        reply_to=[seller.email],
    )


def _order(rule: TopUpRule, affordable: Decimal, now: datetime) -> TopUpOrder:
    return TopUpOrder(
        tenant=rule.tenant,
        amount=rule.amount,
        currency=rule.tenant.currency,
        affordable=affordable,
        recipient=rule.tenant.invoice_email,
        created_at=now,
        next_attempt_at=now,
    )
