from datetime import date
from decimal import Decimal
from typing import Any

import pytest
from django.core.exceptions import ValidationError
from django.db import DataError, IntegrityError, transaction

from inference.models import Hardware, Pool, Worker
from providers.models import Upstream

pytestmark = pytest.mark.django_db

RENTED = {"ownership": "rented", "rent_per_hour": Decimal(2)}
BOUGHT = {"ownership": "bought", "capex": Decimal(32_000), "residual_percent": Decimal(10)}


def new_hardware(**fields: Any) -> Hardware:
    return Hardware(name="H100", device="H100", source="a contract", as_of=date(2026, 1, 1), **fields)


@pytest.mark.parametrize("good", [RENTED, BOUGHT])
def test_hardware_is_bought_or_rented(good: dict[str, Any]) -> None:
    hardware = new_hardware(**good)
    hardware.full_clean()
    hardware.save()


@pytest.mark.parametrize(
    ("wrong", "named"),
    [
        ({**RENTED, "pue": Decimal("0.99")}, "pue"),
        ({**BOUGHT, "life_months": 0}, "life_months"),
        ({**BOUGHT, "residual_percent": Decimal(101)}, "residual_percent"),
        ({**BOUGHT, "availability_percent": Decimal(0)}, "availability_percent"),
        ({**BOUGHT, "capital_percent_per_year": Decimal(-1)}, "capital_percent_per_year"),
        ({**RENTED, "electricity_per_kwh": Decimal("-0.01")}, "electricity_per_kwh"),
        ({**RENTED, "colocation_per_kw_month": Decimal(-1)}, "colocation_per_kw_month"),
        ({**RENTED, "opex_per_year": Decimal(-1)}, "opex_per_year"),
        ({**RENTED, "power_idle_kw": Decimal(2), "power_load_kw": Decimal(1)}, "power_load_kw"),
        ({**RENTED, "rent_per_hour": Decimal(0)}, "rent_per_hour"),
        ({**RENTED, "capex": Decimal(1)}, "capex"),
        ({**BOUGHT, "capex": Decimal(0)}, "capex"),
        ({**BOUGHT, "rent_per_hour": Decimal(1)}, "rent_per_hour"),
        ({**RENTED, "ownership": "borrowed"}, "ownership"),
    ],
)
def test_a_figure_that_makes_no_sense_is_refused_by_form_and_database(wrong: dict[str, Any], named: str) -> None:
    hardware = new_hardware(**wrong)
    with pytest.raises(ValidationError, match=named):
        hardware.full_clean()
    with pytest.raises((IntegrityError, DataError)), transaction.atomic():
        hardware.save()


def test_a_currency_has_three_letters() -> None:
    with pytest.raises(ValidationError, match="ISO 4217"):
        new_hardware(**RENTED, currency="usd").full_clean()


@pytest.mark.parametrize(
    ("wrong", "named"),
    [
        ({"devices": 0}, "devices"),
        ({"output_ns_per_token": 0}, "output_ns_per_token"),
        ({"input_ns_per_token": 10**9 + 1}, "input_ns_per_token"),
        ({"idle_policy": "reserved"}, "idle_policy"),
    ],
)
def test_a_pool_that_makes_no_sense_is_refused_by_form_and_database(
    pool: Pool, wrong: dict[str, Any], named: str
) -> None:
    for field, value in wrong.items():
        setattr(pool, field, value)
    with pytest.raises(ValidationError, match=named):
        pool.full_clean()
    with pytest.raises(IntegrityError), transaction.atomic():
        pool.save()


def test_an_upstream_has_one_pool(pool: Pool) -> None:
    with pytest.raises(IntegrityError), transaction.atomic():
        Pool.objects.create(
            upstream=pool.upstream, hardware=pool.hardware, devices=1, input_ns_per_token=1, output_ns_per_token=1
        )


@pytest.mark.parametrize("address", ["http://127.0.0.1:9101", "https://gpu-7.internal", "http://[::1]:9101"])
def test_a_worker_has_an_address(pool: Pool, address: str) -> None:
    Worker(pool=pool, base_url=address, engine="vllm").full_clean()


@pytest.mark.parametrize(
    "address", ["127.0.0.1:9101", "http://gpu/", "http://gpu/v1", "ftp://gpu", "http://user:pw@gpu", "http://gpu\n"]
)
def test_an_address_is_scheme_host_and_port_only(pool: Pool, address: str) -> None:
    with pytest.raises(ValidationError, match="scheme, host and port"):
        Worker(pool=pool, base_url=address, engine="vllm").full_clean()


def test_no_two_workers_share_an_address(pool: Pool) -> None:
    Worker.objects.create(pool=pool, base_url="http://gpu", engine="vllm")
    with pytest.raises(IntegrityError), transaction.atomic():
        Worker.objects.create(pool=pool, base_url="http://gpu", engine="simulator")


def test_a_simulated_worker_is_called_so(pool: Pool) -> None:
    assert "simulated" in str(Worker(pool=pool, base_url="http://gpu", engine="simulator"))
    assert "simulated" not in str(Worker(pool=pool, base_url="http://gpu", engine="vllm"))


def test_a_pool_keeps_its_upstream(pool: Pool) -> None:
    paris = Upstream.objects.create(slug="paris", name="Paris")
    moved = Pool.objects.get()
    moved.upstream = paris
    with pytest.raises(ValidationError, match="final"):
        moved.full_clean()
    with pytest.raises(IntegrityError, match="final"), transaction.atomic():
        moved.save()
    with pytest.raises(IntegrityError):
        Upstream.objects.filter(slug="berlin").delete()
