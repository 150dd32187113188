"""A document as rows of FOCUS 1.2, the FinOps Foundation's format of cost and usage. Pure.

A row for each line, for each tax, and one that takes off what prepaid credit paid, so that `BilledCost` sums up to what
is to be paid; on a credit note all amounts are below zero. Columns of our own begin with `x_`, as the format wants.

Source: FinOps Open Cost and Usage Specification 1.2, "Columns" and "Attributes".
"""

from collections.abc import Iterator
from datetime import UTC, datetime
from decimal import Decimal

from billing.documents.content import Content, Item, Tax

COLUMNS = [
    "BilledCost", "BillingAccountId", "BillingAccountName", "BillingAccountType", "BillingCurrency", "BillingPeriodEnd",
    "BillingPeriodStart", "ChargeCategory", "ChargeClass", "ChargeDescription", "ChargeFrequency", "ChargePeriodEnd",
    "ChargePeriodStart", "ConsumedQuantity", "ConsumedUnit", "ContractedCost", "ContractedUnitPrice", "EffectiveCost",
    "InvoiceId", "InvoiceIssuerName", "ListCost", "ListUnitPrice", "PricingCategory", "PricingQuantity", "PricingUnit",
    "ProviderName", "PublisherName", "ServiceCategory", "ServiceName", "ServiceSubcategory", "SkuId", "SkuPriceId",
    "SubAccountId", "SubAccountName", "x_Grade", "x_ServiceTier", "x_TaxCategory", "x_TaxRatePercent",
]  # fmt: skip
USAGE, PURCHASE, CREDIT, TAX = "Usage", "Purchase", "Credit", "Tax"
CATEGORIES = {"usage": USAGE, "fee": PURCHASE, "minimum": PURCHASE, "commitment": PURCHASE}
FREQUENCIES = {"usage": "Usage-Based", "fee": "Recurring"}
CORRECTION = "Correction"

Row = dict[str, object]


def focus_rows(content: Content) -> Iterator[Row]:
    """The rows of a document; each has all of `COLUMNS`, an empty text standing for null."""
    for item in content.items:
        yield _of_line(content, item)
    for tax in content.taxes:
        if tax.tax:
            yield _of_tax(content, tax)
    if content.prepaid:
        yield _of_prepaid(content)


def _of_line(content: Content, item: Item) -> Row:
    amount = _signed(content, item.amount)
    row = _common(content, amount) | {
        "ChargeCategory": CREDIT if content.is_credit_note else CATEGORIES.get(item.kind, CREDIT),
        "ChargeClass": CORRECTION if item.is_correction or content.is_credit_note else "",
        "ChargeDescription": item.description or ", ".join(filter(None, (item.model, item.unit))) or item.kind,
        "ChargeFrequency": FREQUENCIES.get(item.kind, "One-Time"),
        "ChargePeriodStart": _instant(item.service_start),
        "ChargePeriodEnd": _instant(item.service_end),
        "SubAccountId": "" if item.project_id is None else item.project_id,
        "SubAccountName": item.project,
        "x_Grade": item.grade,
        "x_ServiceTier": item.service_tier,
        "x_TaxCategory": item.tax_category,
        "x_TaxRatePercent": _text(item.tax_rate_percent),
    }
    return row | _sku(item) | (_quantities(content, item) if item.kind == "usage" else {})


def _sku(item: Item) -> Row:
    sku = "/".join(filter(None, (item.model, item.unit, item.service_tier)))
    return {"SkuId": sku, "SkuPriceId": sku and f"{sku}/{item.month:%Y-%m}"}


def _quantities(content: Content, item: Item) -> Row:
    quantity = -item.quantity if content.is_credit_note else item.quantity
    row: Row = {"ConsumedQuantity": quantity, "ConsumedUnit": item.unit}
    if item.price is None:
        return row
    price = _text(item.price.amount.decimal / item.price.per)
    return row | {
        "PricingCategory": "Standard",
        "PricingQuantity": quantity,
        "PricingUnit": item.unit,
        "ContractedUnitPrice": price,
        "ListUnitPrice": price,
    }


def _of_tax(content: Content, tax: Tax) -> Row:
    amount = _signed(content, tax.tax)
    return _common(content, amount) | {
        "ChargeCategory": TAX,
        "ChargeClass": CORRECTION if content.is_credit_note else "",
        "ChargeDescription": f"Tax {_text(tax.rate_percent)} %",
        "ChargeFrequency": "One-Time",
        "x_TaxCategory": tax.category,
        "x_TaxRatePercent": _text(tax.rate_percent),
    }


def _of_prepaid(content: Content) -> Row:
    """What was prepaid is not billed again; its cost lies with the usage that it pays for."""
    paid: Row = {"ChargeCategory": CREDIT, "ChargeDescription": "Paid by prepaid credit", "ChargeFrequency": "One-Time"}
    return _common(content, -content.prepaid) | paid | {"EffectiveCost": "0", "ListCost": "0", "ContractedCost": "0"}


def _common(content: Content, amount: Decimal) -> Row:
    cost = _text(amount)
    empty: Row = dict.fromkeys(COLUMNS, "")
    return empty | {
        "BilledCost": cost,
        "ContractedCost": cost,
        "EffectiveCost": cost,
        "ListCost": cost,
        "BillingAccountId": content.buyer_slug,
        "BillingAccountName": content.buyer.name,
        "BillingAccountType": "Tenant",
        "BillingCurrency": content.currency,
        "BillingPeriodStart": _instant(content.period_start),
        "BillingPeriodEnd": _instant(content.period_end),
        "ChargePeriodStart": _instant(content.period_start),
        "ChargePeriodEnd": _instant(content.period_end),
        "InvoiceId": content.number,
        "InvoiceIssuerName": content.seller.name,
        "ProviderName": content.seller.name,
        "PublisherName": content.seller.name,
        "ServiceCategory": "AI and Machine Learning",
        "ServiceSubcategory": "Generative AI",
        "ServiceName": "Tokens",
    }


def _signed(content: Content, amount: Decimal) -> Decimal:
    return -amount if content.is_credit_note else amount


def _text(value: Decimal) -> str:
    return f"{value.normalize():f}"


def _instant(at: datetime) -> str:
    return f"{at.astimezone(UTC):%Y-%m-%dT%H:%M:%SZ}"
