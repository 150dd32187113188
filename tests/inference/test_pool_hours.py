from dataclasses import replace
from datetime import date, timedelta
from decimal import Decimal

import pytest
from django.db import IntegrityError, transaction

from inference.basis import Basis
from inference.cost import Figures
from inference.models import HOUR, CostShare, Hardware, Pool, PoolHour
from inference.pool_hours import NotAnHour, allocate_hour
from providers.models import Deployment, Offering, Upstream
from tests.inference.samples import NOON, Use

QUARTER = timedelta(minutes=15)


def costs(row: PoolHour) -> tuple[Decimal, Decimal, Decimal]:
    return row.cost, row.allocated, row.unallocated


def shares() -> list[tuple[int, Decimal]]:
    return list(CostShare.objects.order_by("tenant_id").values_list("tenant_id", "cost"))


def test_an_hour_without_usage_costs_the_same_and_nobody_bears_it(pool: Pool) -> None:
    assert costs(allocate_hour(pool, NOON)) == (Decimal("3.6"), Decimal(0), Decimal("3.6"))
    assert shares() == []


def test_tenants_bear_what_they_used_and_idle_time_stays(pool: Pool, use: Use) -> None:
    use(72_000, tenant_id=1)  # 720 s of 7,200 s.
    use(144_000, tenant_id=2)
    row = allocate_hour(pool, NOON)
    assert costs(row) == (Decimal("3.6"), Decimal("1.08"), Decimal("2.52"))
    assert shares() == [(1, Decimal("0.36")), (2, Decimal("0.72"))]


def test_idle_time_is_spread_where_the_pool_says_so(pool: Pool, use: Use) -> None:
    pool.idle_policy = "proportional"
    pool.save()
    use(72_000, tenant_id=1)
    use(144_000, tenant_id=2)
    assert costs(allocate_hour(pool, NOON)) == (Decimal("3.6"), Decimal("3.6"), Decimal(0))
    assert shares() == [(1, Decimal("1.2")), (2, Decimal("2.4"))]


def test_quarters_keys_and_units_of_a_group_are_one_share(pool: Pool, use: Use) -> None:
    use(1000, unit="input_uncached")
    use(500, unit="output")
    use(250, unit="output", api_key_id=2)
    use(250, unit="output", start=NOON + 3 * QUARTER)
    use(70_000, unit="input_cached")
    use(12, unit="request")
    allocate_hour(pool, NOON)
    share = CostShare.objects.get()
    assert share.device_ns == 1000 * 1_000_000 + 1000 * 10_000_000


def test_projects_offerings_and_unbilled_usage_are_shares_of_their_own(pool: Pool, use: Use) -> None:
    use(1000)
    use(1000, project_id=2)
    use(1000, billed=False)
    allocate_hour(pool, NOON)
    assert CostShare.objects.count() == 3
    assert CostShare.objects.get(billed=False).cost == CostShare.objects.get(project_id=2).cost


def test_only_usage_of_that_hour_and_pool_counts(pool: Pool, use: Use) -> None:
    use(1000, start=NOON - QUARTER)
    use(1000, start=NOON + HOUR)
    use(1000, deployment="llama-at-paris")
    assert allocate_hour(pool, NOON).allocated == 0


def test_two_pools_bear_their_own_usage(pool: Pool, hardware: Hardware, use: Use) -> None:
    paris = Upstream.objects.create(slug="paris", name="Paris")
    Deployment.objects.create(
        slug="llama-at-paris", offering=Offering.objects.get(), upstream=paris, model_name="llama"
    )
    other = Pool.objects.create(
        upstream=paris, hardware=hardware, devices=1, input_ns_per_token=1, output_ns_per_token=1
    )
    use(72_000)
    use(5, deployment="llama-at-paris", tenant_id=2)
    assert allocate_hour(pool, NOON).device_ns_used == 720 * 10**9
    assert allocate_hour(other, NOON).device_ns_used == 5


def test_more_use_than_the_devices_had_time_is_flagged_and_allocated_whole(pool: Pool, use: Use) -> None:
    use(10_000_000)
    row = allocate_hour(pool, NOON)
    assert row.overcommitted
    assert costs(row) == (Decimal("3.6"), Decimal("3.6"), Decimal(0))


def test_late_usage_replaces_the_shares_and_keeps_the_cost(pool: Pool, use: Use) -> None:
    use(72_000, tenant_id=1)
    allocate_hour(pool, NOON)
    use(144_000, tenant_id=2)
    allocate_hour(pool, NOON)
    assert PoolHour.objects.count() == 1
    assert shares() == [(1, Decimal("0.36")), (2, Decimal("0.72"))]


def test_a_new_price_changes_no_hour_that_was_computed(pool: Pool, hardware: Hardware, use: Use) -> None:
    before = allocate_hour(pool, NOON)
    hardware.rent_per_hour = Decimal(99)
    hardware.save()
    pool.devices, pool.output_ns_per_token, pool.idle_policy = 50, 1, "proportional"
    pool.save()
    use(72_000)
    after = allocate_hour(pool, NOON)
    assert after.cost == before.cost
    assert after.allocated == Decimal("0.36")
    assert after.basis["given"] == before.basis["given"]
    assert allocate_hour(pool, NOON + HOUR).cost == 50 * 99


def test_the_same_hour_computed_twice_is_the_same(pool: Pool, use: Use) -> None:
    use(7)
    first, second = (costs(allocate_hour(pool, NOON)) for _ in range(2))
    assert first == second
    assert CostShare.objects.count() == 1


def test_cost_splits_to_the_last_unit(pool: Pool, use: Use) -> None:
    for tenant in range(1, 8):
        use(tenant * 3, tenant_id=tenant, unit="input_uncached")
    row = allocate_hour(pool, NOON)
    row.refresh_from_db()
    assert sum(cost for _, cost in shares()) == row.allocated
    assert row.allocated + row.unallocated == row.cost


def test_energy_follows_the_use_of_the_hour(pool: Pool, hardware: Hardware, use: Use) -> None:
    hardware.power_idle_kw, hardware.power_load_kw = Decimal("0.1"), Decimal("1.1")
    hardware.electricity_per_kwh, hardware.pue = Decimal("0.10"), Decimal("1.2")
    hardware.save()
    assert allocate_hour(pool, NOON).cost == 2 * (Decimal("1.80") + Decimal("0.1") * Decimal("0.12"))
    use(360_000)  # Half of the devices' time.
    assert allocate_hour(pool, NOON).cost == 2 * (Decimal("1.80") + Decimal("0.6") * Decimal("0.12"))


def test_the_basis_is_kept_without_loss(pool: Pool, hardware: Hardware) -> None:
    hardware.electricity_per_kwh = Decimal("0.087123")
    hardware.save()
    pool.refresh_from_db()
    basis = Basis.of(pool)
    row = allocate_hour(pool, NOON)
    row.refresh_from_db()
    assert Basis.from_json(row.basis["given"]) == basis
    assert basis.figures == replace(basis.figures, electricity_per_kwh=Decimal("0.087123"))
    assert isinstance(basis.figures, Figures)
    assert basis.as_of == date(2026, 3, 1)


def test_an_instant_within_an_hour_is_refused(pool: Pool) -> None:
    with pytest.raises(NotAnHour):
        allocate_hour(pool, NOON + QUARTER)


def test_an_hour_computed_before_it_was_over_is_provisional(pool: Pool) -> None:
    row = allocate_hour(pool, NOON)
    row.computed_at = NOON + QUARTER
    assert row.provisional
    row.computed_at = NOON + HOUR
    assert not row.provisional


def test_the_database_refuses_an_hour_that_does_not_add_up(pool: Pool) -> None:
    allocate_hour(pool, NOON)
    with pytest.raises(IntegrityError, match="whole"), transaction.atomic():
        PoolHour.objects.update(unallocated=1)
