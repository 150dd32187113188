"""What a tenant has agreed to beside prices, as `billing.statement` reckons with it; and redeeming coupons."""

from dataclasses import dataclass
from datetime import date

from django.db import IntegrityError, transaction

from billing.errors import CouponTwice, PastIsInvoiced, TermsInAnotherCurrency
from billing.models import Coupon, Invoice, Plan, PlanTerms, Redemption
from billing.terms import Coupon as HeldCoupon
from billing.terms import Run, runs
from tenants.models import Tenant


@dataclass(frozen=True)
class Agreement:
    """The runs of a tenant's terms from the beginning of time to its end, and its coupons in the order of their use."""

    runs: list[Run]
    coupons: list[HeldCoupon]


def agreement_of(tenant: Tenant) -> Agreement:
    plans = Plan.objects.filter(tenant=tenant).order_by("starts_at").prefetch_related("terms__included")
    held = Redemption.objects.filter(tenant=tenant).select_related("coupon", "tenant")
    return Agreement(
        runs=runs([(plan.starts_at, plan.terms.as_agreed() if plan.terms else None) for plan in plans]),
        coupons=[redemption.as_held() for redemption in held.order_by("first_month", "id")],
    )


def refuse_currency(tenant: Tenant, terms: PlanTerms | Coupon | None) -> None:
    """Raise where terms, or a coupon over an amount, are in another currency than the tenant's."""
    if terms is not None and terms.currency not in ("", tenant.currency):
        raise TermsInAnotherCurrency(
            f"{tenant.slug} pays in {tenant.currency}, and {terms} is in {terms.currency}. "
            "Choose what is in the tenant's currency."
        )


def redeem(tenant: Tenant, coupon: Coupon, first_month: date) -> Redemption:
    """Give a tenant a coupon, from a month on that has not been invoiced. Raises one of `PricesRefused`."""
    redemption = Redemption(tenant=tenant, coupon=coupon, first_month=first_month.replace(day=1))
    refuse_redemption(redemption)
    try:
        with transaction.atomic():
            redemption.save(force_insert=True)
    except IntegrityError as conflict:
        raise CouponTwice from conflict
    return redemption


def refuse_redemption(redemption: Redemption) -> None:
    tenant, coupon = redemption.tenant, redemption.coupon
    refuse_currency(tenant, coupon)
    if Redemption.objects.filter(tenant=tenant, coupon=coupon).exclude(pk=redemption.pk).exists():
        raise CouponTwice(f"{tenant.slug} has {coupon.code} already. Each coupon is redeemed once.")
    latest = _latest_final_month(tenant)
    if latest is not None and redemption.first_month <= latest:
        raise PastIsInvoiced(f"{latest:%Y-%m} has been invoiced. Let the coupon begin later.")


def is_used(redemption: Redemption) -> bool:
    """Whether a final invoice has taken the coupon into account, so that it is not taken back."""
    latest = _latest_final_month(redemption.tenant)
    return latest is not None and redemption.first_month <= latest


def _latest_final_month(tenant: Tenant) -> date | None:
    final = Invoice.objects.filter(tenant=tenant, kind=Invoice.Kind.INVOICE, status=Invoice.Status.FINAL)
    return final.order_by("-period__month").values_list("period__month", flat=True).first()
