"""Contents of documents without a database: one invoice, and ways to change it."""

from datetime import UTC, date, datetime
from decimal import Decimal

import msgspec

from billing.documents.content import Content, Item, Party, Tax
from billing.price_kinds import UnitPrice
from money.amount import Money, decimals

SELLER = Party(
    name="Tokenfabrik Betriebsgesellschaft mbH",
    address=["Große Bleichen 12", "20354 Hamburg"],
    country="DE",
    tax_number="DE811907980",
    email="invoices@tokenfabrik.example",
)
BUYER = Party(
    name="Acme GmbH",
    address=["Musterstraße 1", "10115 Berlin"],
    country="DE",
    tax_number="DE136695976",
    email="billing@acme.example",
)
AUSTRIAN = Party(
    name="Muster Ges.m.b.H.",
    address=["Ring 1", "1010 Wien"],
    country="AT",
    tax_number="ATU13585627",
    email="a@b.example",
)
AMERICAN = Party(
    name="Acme Inc.",
    address=["1 Main St", "Austin TX 78701"],
    country="US",
    tax_number="12-3456789",
    email="a@b.example",
)


def item(position: int, unit: str, quantity: int, price: str | None, amount: str, **fields: object) -> Item:
    """A line of usage; `price` is per million."""
    line = Item(
        position=position,
        kind="usage",
        project="Übersetzung",
        project_id=1,
        offering="llama-3.3-70b",
        grade="",
        service_tier="",
        unit=unit,
        month=date(2026, 11, 1),
        is_correction=False,
        description="",
        detail="",
        quantity=quantity,
        price=UnitPrice.of(price, "EUR", 1_000_000) if price is not None else None,
        amount=Decimal(amount),
        tax_category="S",
        tax_rate_percent=Decimal("19.00"),
        first_day=date(2026, 11, 1),
        last_day=date(2026, 11, 30),
        service_start=datetime(2026, 10, 31, 23, tzinfo=UTC),
        service_end=datetime(2026, 11, 30, 23, tzinfo=UTC),
    )
    return msgspec.structs.replace(line, **fields)


def fee(position: int, kind: str, amount: str, detail: str = "") -> Item:
    return item(position, "", 1, None, amount, kind=kind, offering="", project="", project_id=None, detail=detail)


ITEMS = [
    item(1, "request", 8_819, "0", "0.00"),
    item(2, "input_uncached", 18_059_974, "0.60", "10.84"),
    item(3, "output", 245_896, "2.40", "0.59"),
    item(4, "output", 1_000_000, "1.20", "1.20", service_tier="batch"),
    item(5, "output", 2_000_000, "5", "10.00", grade="grounded"),
    item(6, "input_uncached", -50_000, "0.60", "-0.03", is_correction=True, month=date(2026, 10, 1)),
    fee(7, "fee", "49.00", "Team plan"),
    fee(8, "discount", "-4.90", "10.00"),
]


def content(items: list[Item] = ITEMS, **fields: object) -> Content:
    """An invoice over `items`, taxed by their categories and rates, with a prepaid part."""
    currency = str(fields.get("currency", "EUR"))
    taxes = _taxes(items, currency)
    net, tax = sum((one.net for one in taxes), Decimal(0)), sum((one.tax for one in taxes), Decimal(0))
    whole = Content(
        is_credit_note=False,
        number="TW-2026-000001",
        issued_on=date(2026, 12, 1),
        due_on=date(2026, 12, 15),
        finalised_at=datetime(2026, 12, 1, 8, tzinfo=UTC),
        corrects="",
        corrects_issued_on=None,
        reason="",
        language="en",
        currency=currency,
        time_zone="Europe/Berlin",
        month=date(2026, 11, 1),
        first_day=date(2026, 11, 1),
        last_day=date(2026, 11, 30),
        usage_until=datetime(2026, 11, 30, 23, tzinfo=UTC),
        closed_early=False,
        cutoff=datetime(2026, 12, 1, 8, tzinfo=UTC),
        seller=SELLER,
        bank_details=["Hamburger Sparkasse", "IBAN: DE89 3704 0044 0532 0130 00", "BIC: COBADEFFXXX"],
        buyer=BUYER,
        buyer_slug="acme",
        period_start=datetime(2026, 10, 31, 23, tzinfo=UTC),
        period_end=datetime(2026, 11, 30, 23, tzinfo=UTC),
        items=items,
        taxes=taxes,
        net=net,
        tax=tax,
        gross=net + tax,
        prepaid=Decimal("10.00"),
    )
    return msgspec.structs.replace(whole, **fields)


def credit_note(**fields: object) -> Content:
    """A credit note over a part of another invoice."""
    return content(
        [item(1, "input_uncached", 1_000_000, "0.60", "0.60", kind="credit", description="Wrong price")],
        is_credit_note=True,
        number="TW-C-2026-000001",
        corrects="TW-2026-000001",
        corrects_issued_on=date(2026, 12, 1),
        reason="Wrong price",
        prepaid=Decimal(0),
        **fields,
    )


def taxed(category: str, rate: str = "0", items: list[Item] = ITEMS) -> list[Item]:
    """The lines under another category of tax."""
    return [msgspec.structs.replace(line, tax_category=category, tax_rate_percent=Decimal(rate)) for line in items]


def _taxes(items: list[Item], currency: str) -> list[Tax]:
    kinds = sorted({(line.tax_category, line.tax_rate_percent) for line in items})
    return [_tax(category, rate, items, currency) for category, rate in kinds]


def _tax(category: str, rate: Decimal, items: list[Item], currency: str) -> Tax:
    of = [line.amount for line in items if (line.tax_category, line.tax_rate_percent) == (category, rate)]
    net = sum(of, Decimal(0))
    due = Money.of(net * rate / 100, currency).rounded().decimal
    return Tax(
        category=category,
        rate_percent=rate,
        net=net,
        tax=due.quantize(Decimal(1).scaleb(-decimals(currency))),
        reason="",
    )
