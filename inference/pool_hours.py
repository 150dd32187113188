"""Computes what each hour of each pool cost and who bears it: the only writer of pool-hours and their shares.

The first computation of an hour freezes its basis: the hardware's figures, the devices, the calibration and the idle
policy of that moment. Later computations take the basis from the row, so a new price changes no hour of the past;
they only take in usage that came since.
"""

from collections.abc import Iterator
from dataclasses import asdict, dataclass
from datetime import UTC, datetime

from django.db import transaction
from django.db.models import Sum
from django.utils import timezone

from inference import cost
from inference.allocation import Allocation, Calibration, allocate
from inference.basis import Basis
from inference.models import HOUR, CostShare, Pool, PoolHour
from metering.models import Bucket
from money.amount import Money
from providers.models import Deployment

NS_PER_HOUR = 3600 * 10**9


class NotAnHour(ValueError):
    """A pool-hour begins on a full hour of UTC."""

    def __init__(self, at: datetime) -> None:
        super().__init__(f"{at.isoformat()} is not a full hour of UTC. Give one such as 2026-01-31T13:00:00+00:00.")


@dataclass(frozen=True)
class Group:
    """Usage that is costed together, and the device time it took."""

    tenant_id: int
    project_id: int
    offering: str
    deployment: str
    billed: bool
    device_ns: int


def allocate_hour(pool: Pool, hour_start: datetime) -> PoolHour:
    """Compute one hour, replacing what was computed before. May run beside itself: one waits for the other."""
    if hour_start.astimezone(UTC) != start_of_hour(hour_start):
        raise NotAnHour(hour_start)
    with transaction.atomic():
        # The lock is taken before the buckets are read, so that the later of two runs sees the newer usage.
        locked = Pool.objects.select_for_update(no_key=True, of=("self",)).select_related("hardware").get(pk=pool.pk)
        computed_at = timezone.now()
        stored = PoolHour.objects.filter(pool=locked, hour_start=hour_start).first()
        basis = Basis.from_json(stored.basis["given"]) if stored else Basis.of(locked)
        groups = list(_groups(locked, hour_start, basis.calibration))
        return _write(locked, hour_start, computed_at, basis, groups)


def _write(pool: Pool, hour_start: datetime, computed_at: datetime, basis: Basis, groups: list[Group]) -> PoolHour:
    used = [group.device_ns for group in groups]
    available = basis.devices * NS_PER_HOUR
    hour = cost.device_hour(basis.figures, cost.utilisation(sum(used), available))
    whole = cost.pool_hour(hour, basis.devices)
    allocation = allocate(whole, used, available, basis.idle_policy)
    row, _ = PoolHour.objects.update_or_create(
        pool=pool,
        hour_start=hour_start,
        defaults={
            "currency": basis.currency,
            "cost": Money(whole, basis.currency).decimal,
            "allocated": Money(allocation.allocated, basis.currency).decimal,
            "unallocated": Money(allocation.unallocated, basis.currency).decimal,
            "device_ns_used": sum(used),
            "device_ns_available": available,
            "basis": {"given": basis.as_json(), "device_hour": _shown(hour)},
            "computed_at": computed_at,
        },
    )
    _write_shares(row, groups, allocation)
    return row


def _write_shares(row: PoolHour, groups: list[Group], allocation: Allocation) -> None:
    row.shares.all().delete()
    CostShare.objects.bulk_create(
        CostShare(pool_hour=row, cost=Money(share, row.currency).decimal, **asdict(group))
        for group, share in zip(groups, allocation.shares, strict=True)
    )


def _shown(hour: cost.DeviceHour) -> dict[str, str]:
    """The parts of a device-hour for people to read, to six digits."""
    parts = {**asdict(hour), "total": hour.total}
    return {name: f"{value:.6f}" for name, value in parts.items()}


def _groups(pool: Pool, hour_start: datetime, calibration: Calibration) -> Iterator[Group]:
    """The hour's usage of the pool's deployments, without groups that took no device time."""
    key = ("tenant_id", "project_id", "offering", "deployment", "billed")
    found = (
        Bucket.objects.filter(start__gte=hour_start, start__lt=hour_start + HOUR, deployment__in=deployments(pool))
        .order_by(*key)
        .values_list(*key, "unit")
        .annotate(tokens=Sum("quantity"))
    )
    units: dict[tuple[int, int, str, str, bool], dict[str, int]] = {}
    for tenant_id, project_id, offering, deployment, billed, unit, tokens in found:
        units.setdefault((tenant_id, project_id, offering, deployment, billed), {})[unit] = tokens
    for group, tokens_by_unit in units.items():
        if device_ns := calibration.device_ns(tokens_by_unit):
            yield Group(*group, device_ns)


def deployments(pool: Pool) -> list[str]:
    """The names by which usage refers to what the pool serves."""
    return list(Deployment.objects.filter(upstream_id=pool.upstream_id).values_list("slug", flat=True))


def start_of_hour(at: datetime) -> datetime:
    """The full hour of UTC that the instant lies in."""
    return at.astimezone(UTC).replace(minute=0, second=0, microsecond=0)
