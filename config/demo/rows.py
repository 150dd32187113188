"""The rows of the demo: what an operator would enter in the admin, entered once; a second demo adds new tenants."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime
from decimal import Decimal
from itertools import count
from typing import Any

from django.db import transaction
from django.utils import timezone

from billing import publishing, standard_rates
from billing.models import PriceBook, PriceBookVersion, Rate, Seller
from inference import catalogue
from inference.models import Pool, Worker
from metering.usage import Unit
from providers.models import Deployment, Offering, Upstream
from tenants import registry
from tenants.models import Project, Tenant

CURRENCY = "USD"
DEVICES = 2  # In each pool.


@dataclass(frozen=True)
class DemoPool:
    """A pool of simulated workers and the one model it serves, which says by its name that it is simulated.

    `slug` is also the name of its hardware in the catalogue.
    """

    slug: str
    offering: str
    prices: Mapping[Unit, str]  # In USD: per million tokens, and per request.


POOLS = (
    DemoPool(
        slug="h100",
        offering="simulated-70b",
        prices={Unit.INPUT_UNCACHED: "0.59", Unit.INPUT_CACHED: "0.295", Unit.OUTPUT: "0.79", Unit.REASONING: "0.79"},
    ),
    DemoPool(
        slug="b200",
        offering="simulated-70b-turbo",
        prices={Unit.INPUT_UNCACHED: "0.90", Unit.INPUT_CACHED: "0.0375", Unit.OUTPUT: "1.20", Unit.REASONING: "1.20"},
    ),
)

TENANTS: Sequence[dict[str, Any]] = (
    {
        "slug": "acme",
        "name": "Acme",
        "legal_name": "Acme Maschinenbau GmbH",
        "address_lines": "Musterstraße 12\n10115 Berlin",
        "country": "DE",
        "tax_number": "DE136695976",
        "time_zone": "Europe/Berlin",
        "invoice_email": "invoices@acme.example",
    },
    {
        "slug": "umbrella",
        "name": "Umbrella Research",
        "legal_name": "Umbrella Research, Inc.",
        "address_lines": "1 Market Street\nSan Francisco, CA 94105",
        "country": "US",
        "time_zone": "America/Los_Angeles",
        "invoice_email": "ap@umbrella.example",
    },
)


@dataclass(frozen=True)
class DemoTenant:
    tenant: Tenant
    project: Project
    secret: str


@transaction.atomic
def lay_out(ports: Mapping[str, int]) -> list[DemoTenant]:
    """Enter everything and return this run's tenants. `ports` says where each pool's simulator listens, by slug."""
    now = timezone.now()
    standard_rates.enter()
    for pool in POOLS:
        _pool(pool, ports[pool.slug])
    Seller.objects.get_or_create(
        invoice_prefix="DEMO",
        defaults={
            "legal_name": "Demo Token Factory AG (simulated)",
            "address_lines": "Rechenzentrumsweg 1\n60311 Frankfurt am Main",
            "country": "DE",
            "tax_number": "DE811907980",
            "bank_details": "IBAN DE89 3704 0044 0532 0130 00\nBIC COBADEFFXXX",
            "email": "billing@factory.example",
            "payment_terms_days": 14,
        },
    )
    book = _price_book(now)
    run = first_free_run()
    return [_tenant(dict(fields), run, book, now) for fields in TENANTS]


def slug_in(run: int, slug: str) -> str:
    return slug if run == 1 else f"{slug}-{run}"


def first_free_run() -> int:
    """The number of this demo in its home: the first one whose tenants do not exist yet."""
    taken = set(Tenant.objects.values_list("slug", flat=True))
    return next(run for run in count(1) if not taken & {slug_in(run, fields["slug"]) for fields in TENANTS})


def _pool(demo: DemoPool, port: int) -> None:
    """The pool, its worker at this run's port, and the offering that it serves."""
    hardware, calibration = catalogue.hardware(demo.slug), catalogue.entry(demo.slug).calibration
    upstream, _ = Upstream.objects.get_or_create(slug=demo.slug, defaults={"name": f"{hardware} (simulated)"})
    pool, _ = Pool.objects.get_or_create(
        upstream=upstream,
        defaults={
            "hardware": hardware,
            "devices": DEVICES,
            "input_ns_per_token": calibration.input_ns_per_token,
            "output_ns_per_token": calibration.output_ns_per_token,
        },
    )
    offering, _ = Offering.objects.get_or_create(
        name=demo.offering, defaults={"description": "Simulated: it counts words and computes nothing."}
    )
    Deployment.objects.get_or_create(
        slug=f"{demo.offering}-{demo.slug}".replace(".", "-"),
        defaults={"offering": offering, "upstream": upstream, "model_name": demo.offering},
    )
    pool.workers.all().delete()
    Worker.objects.create(pool=pool, base_url=f"http://127.0.0.1:{port}", engine=Worker.Engine.SIMULATOR)


def _price_book(now: datetime) -> PriceBook:
    book, made = PriceBook.objects.get_or_create(slug="demo", defaults={"name": "Demo", "currency": CURRENCY})
    if made:
        version = PriceBookVersion.objects.create(price_book=book, valid_from=month_before(now))
        for pool in POOLS:
            for unit, amount in pool.prices.items():
                Rate.objects.create(
                    version=version, offering=pool.offering, unit=unit, amount=Decimal(amount), per=1_000_000
                )
            Rate.objects.create(version=version, offering=pool.offering, unit=Unit.REQUEST, amount=Decimal(0), per=1)
        publishing.publish(version)
    return book


def month_before(now: datetime) -> datetime:
    """Early enough that the demo's month, which begins earlier in some time zones, lies within the prices' validity."""
    first = now.replace(day=1, hour=0, minute=0, second=0, microsecond=0)
    return first.replace(year=first.year - 1) if first.month == 1 else first.replace(month=first.month - 1)


def _tenant(fields: dict[str, Any], run: int, book: PriceBook, now: datetime) -> DemoTenant:
    if run > 1:
        fields |= {"slug": slug_in(run, fields["slug"]), "name": f"{fields['name']} {run}"}
    issued = registry.admit(Tenant(**fields, currency=CURRENCY), key="demo")
    tenant = issued.key.project.tenant
    publishing.agree(tenant, book, month_before(now))
    return DemoTenant(tenant, issued.key.project, issued.secret)
