"""Usage in the columns of FOCUS 1.2, the FinOps Open Cost and Usage Specification (https://focus.finops.org).

Metering knows quantities. Costs, unit prices and the invoice are null here, although FOCUS wants costs always: 0 would
say that the usage was free, and the specification forbids placeholders.
"""

from collections.abc import Callable, Iterator
from dataclasses import dataclass, replace
from datetime import date, datetime
from typing import Any
from zoneinfo import ZoneInfo

from metering.exports import Column, Row
from metering.totals import Question, UsageTotal, usage_rows
from metering.usage import TOKEN_UNITS, Unit, sold_as
from metering.zones import charge_period, midnight, next_month
from tenants.models import Project, Tenant

DIMENSIONS = ("project", "api_key", "offering", "deployment", "grade", "service_tier", "billed", "unit")
# How FOCUS calls what is counted: a plural noun.
NOUNS = {
    **dict.fromkeys(TOKEN_UNITS, "Tokens"),
    Unit.IMAGE: "Images",
    Unit.SECOND: "Seconds",
    Unit.CHARACTER: "Characters",
    Unit.REQUEST: "Requests",
}


@dataclass(frozen=True)
class _Account:
    """What a row says of its tenant."""

    name: str
    currency: str
    zone: ZoneInfo


@dataclass(frozen=True)
class _Usage:
    """One row: a quantity of one unit within one charge period."""

    group: dict[str, Any]
    quantity: int
    account: _Account
    project_name: str | None
    start: datetime
    end: datetime
    seller: str | None

    @property
    def billing_month(self) -> date:
        return self.start.astimezone(self.account.zone).date().replace(day=1)

    @property
    def noun(self) -> str:
        return NOUNS[Unit(self.group["unit"])]

    @property
    def sku(self) -> str:
        return f"{sold_as(self.group['offering'], self.group['service_tier'])}/{self.group['unit']}"


Value = Callable[[_Usage], Any]
COLUMNS: dict[Column, Value] = {
    Column("BilledCost", "amount"): lambda row: None,
    Column("BillingAccountId", "text"): lambda row: row.group["tenant"],
    Column("BillingAccountName", "text"): lambda row: row.account.name,
    Column("BillingAccountType", "text"): lambda row: "Tenant",
    Column("BillingCurrency", "text"): lambda row: row.account.currency,
    Column("BillingPeriodEnd", "instant"): lambda row: midnight(next_month(row.billing_month), row.account.zone),
    Column("BillingPeriodStart", "instant"): lambda row: midnight(row.billing_month, row.account.zone),
    Column("ChargeCategory", "text"): lambda row: "Usage",
    Column("ChargeClass", "text"): lambda row: None,
    Column("ChargeDescription", "text"): lambda row: f"{row.group['offering']}: {row.group['unit'].replace('_', ' ')}",
    Column("ChargeFrequency", "text"): lambda row: "Usage-Based",
    Column("ChargePeriodEnd", "instant"): lambda row: row.end,
    Column("ChargePeriodStart", "instant"): lambda row: row.start,
    Column("ConsumedQuantity", "count"): lambda row: row.quantity,
    Column("ConsumedUnit", "text"): lambda row: row.noun,
    Column("ContractedCost", "amount"): lambda row: None,
    Column("ContractedUnitPrice", "amount"): lambda row: None,
    Column("EffectiveCost", "amount"): lambda row: None,
    Column("InvoiceId", "text"): lambda row: None,
    Column("InvoiceIssuerName", "text"): lambda row: row.seller,
    Column("ListCost", "amount"): lambda row: None,
    Column("ListUnitPrice", "amount"): lambda row: None,
    Column("PricingQuantity", "count"): lambda row: row.quantity,
    Column("PricingUnit", "text"): lambda row: row.noun,
    Column("ProviderName", "text"): lambda row: row.seller,
    Column("PublisherName", "text"): lambda row: row.seller,
    Column("ServiceCategory", "text"): lambda row: "AI and Machine Learning",
    Column("ServiceName", "text"): lambda row: row.group["offering"],
    Column("ServiceSubcategory", "text"): lambda row: "Generative AI",
    Column("SkuId", "text"): lambda row: row.sku,
    Column("SkuMeter", "text"): lambda row: row.group["unit"].replace("_", " ").capitalize(),
    Column("SkuPriceId", "text"): lambda row: None,
    Column("SubAccountId", "text"): lambda row: row.group["project"],
    Column("SubAccountName", "text"): lambda row: row.project_name,
    Column("SubAccountType", "text"): lambda row: "Project",
    Column("x_ApiKeyId", "count"): lambda row: row.group["api_key"],
    Column("x_Billed", "flag"): lambda row: row.group["billed"],
    Column("x_Deployment", "text"): lambda row: row.group["deployment"],
    Column("x_Grade", "text"): lambda row: row.group["grade"] or None,
    Column("x_ServiceTier", "text"): lambda row: row.group["service_tier"],
    Column("x_Unit", "text"): lambda row: row.group["unit"],
}


def nobody() -> str | None:
    return None


# Who sells is known higher up: config puts it in here.
seller: Callable[[], str | None] = nobody


def rows(question: Question, period: str) -> Iterator[Row]:
    """A row for each quantity within each `period` (quarter, hour, day or month), in the order of tenants and time."""
    asked = replace(question, group_by=("tenant", period, *DIMENSIONS))
    accounts, project_names, sold_by = _accounts(question), _project_names(question), seller()

    def row(total: UsageTotal) -> Row:
        group: dict[str, Any] = total.group
        account = accounts.get(group["tenant"]) or _Account(group["tenant"], "XXX", ZoneInfo("UTC"))
        zone = ZoneInfo(question.zone) if question.zone else account.zone
        start, end = charge_period(group[period], period, zone)
        found = _Usage(group, _quantity(total), account, project_names.get(group["project"]), start, end, sold_by)
        return [value(found) for value in COLUMNS.values()]

    return map(row, usage_rows(asked))


def _quantity(total: UsageTotal) -> int:
    (quantity,) = total.units.values()
    return quantity


def _accounts(question: Question) -> dict[str, _Account]:
    found = Tenant.objects.all()
    if question.tenant_ids is not None:
        found = found.filter(id__in=question.tenant_ids)
    return {tenant.slug: _Account(tenant.name, tenant.currency, ZoneInfo(tenant.time_zone)) for tenant in found}


def _project_names(question: Question) -> dict[str, str]:
    found = Project.objects.all()
    if question.tenant_ids is not None:
        found = found.filter(tenant_id__in=question.tenant_ids)
    return {f"{tenant}/{slug}": name for tenant, slug, name in found.values_list("tenant__slug", "slug", "name")}
