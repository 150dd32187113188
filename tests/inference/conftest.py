"""A pool of two rented devices with one deployment, and usage by hand."""

from datetime import date, datetime
from decimal import Decimal

import pytest

from inference.models import Hardware, Pool
from metering.models import Bucket
from providers.models import Deployment, Offering, Upstream
from tests.inference.samples import NOON, Use


@pytest.fixture
def hardware(db: None) -> Hardware:
    return Hardware.objects.create(
        name="H100 SXM, rented",
        device="H100 SXM",
        ownership="rented",
        rent_per_hour=Decimal("1.80"),
        source="a contract",
        as_of=date(2026, 3, 1),
    )


@pytest.fixture
def pool(hardware: Hardware) -> Pool:
    """Two devices, so 7,200 s of device time an hour at USD 3.60; 1 ms a token in and 10 ms a token out."""
    upstream = Upstream.objects.create(slug="berlin", name="Berlin")
    offering = Offering.objects.create(name="llama-3.3-70b")
    Deployment.objects.create(slug="llama-at-berlin", offering=offering, upstream=upstream, model_name="llama")
    return Pool.objects.create(
        upstream=upstream,
        hardware=hardware,
        devices=2,
        input_ns_per_token=1_000_000,
        output_ns_per_token=10_000_000,
        created_at=NOON,
    )


@pytest.fixture
def use(db: None) -> Use:
    """Writes one bucket, as a fold would."""

    def write(quantity: int, *, unit: str = "output", start: datetime = NOON, **fields: object) -> Bucket:
        given: dict[str, object] = {
            "tenant_id": 1,
            "project_id": 1,
            "api_key_id": 1,
            "offering": "llama-3.3-70b",
            "deployment": "llama-at-berlin",
            "billed": True,
            "updated_at": start,
        }
        return Bucket.objects.create(quantity=quantity, unit=unit, start=start, **{**given, **fields})

    return write
