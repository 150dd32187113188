"""What a gateway process knows about the world, at one moment: who may call, what is sold, and who answers. Pure.

It is built from the rows of the office's tables, looked up by every request, and never changed: a newer one takes its
place as a whole.
"""

import logging
from collections.abc import Iterable
from itertools import groupby

import msgspec

from gateway.admission.terms import TenantTerms, TermRows, Terms, build_terms
from inference.snapshot import Worker
from providers.dialects import DIALECTS
from providers.snapshot import Deployment, Offering
from tenants.snapshot import Principal

FORMAT = 2  # Of the saved file. A file of another format is not read.

log = logging.getLogger(__name__)


class SnapshotUnreadable(ValueError):
    """The saved snapshot is damaged, or another version wrote it."""


class Route(msgspec.Struct, frozen=True):
    """A deployment and the workers that answer for it, at least one."""

    deployment: Deployment
    workers: tuple[Worker, ...]


class Sold(msgspec.Struct, frozen=True):
    """An offering and who can answer for it: tiers in the order in which they are tried."""

    offering: Offering
    tiers: tuple[tuple[Route, ...], ...]
    only: tuple[Deployment, Worker] | None = None  # Where there is nothing to choose.


class Rows(msgspec.Struct, frozen=True):
    """The rows that a snapshot is built from; this is what is saved to disk."""

    principals: list[tuple[bytes, Principal]]  # With the SHA-256 digest of the key.
    offerings: list[Offering]
    deployments: list[Deployment]
    workers: list[Worker]
    priced: list[tuple[int, str]]  # Tenant id and name of an offering that its plan prices now.
    terms: TermRows = TermRows()
    format: int = FORMAT


class Snapshot(msgspec.Struct, frozen=True):
    """What requests are looked up in. An offering that a tenant's plan does not price does not exist for it."""

    principals: dict[bytes, Principal]
    sold: dict[str, Sold]
    priced: dict[int, frozenset[str]]
    limited: dict[int, TenantTerms] = {}

    def terms_of(self, principal: Principal) -> Terms | None:
        """What limits a caller; None where nothing does."""
        tenant = self.limited.get(principal.tenant_id)
        return None if tenant is None else tenant.of(principal)

    def sold_to(self, tenant_id: int, model: str) -> Sold | None:
        return self.sold.get(model) if model in self.priced.get(tenant_id, ()) else None

    def worker_urls(self) -> set[str]:
        """The addresses of all workers that may be asked for anything."""
        return {
            worker.base_url
            for sold in self.sold.values()
            for tier in sold.tiers
            for route in tier
            for worker in route.workers
        }

    def all_sold_to(self, tenant_id: int) -> list[Sold]:
        priced = self.priced.get(tenant_id, frozenset())
        return [sold for name, sold in self.sold.items() if name in priced]


def build(rows: Rows) -> Snapshot:
    """Bring rows into the shape in which they are looked up."""
    workers: dict[str, tuple[Worker, ...]] = {}
    for upstream, group in groupby(rows.workers, lambda worker: worker.upstream):
        workers[upstream] = tuple(group)
    deployments: dict[str, list[Deployment]] = {}
    for deployment in rows.deployments:
        if deployment.dialect in DIALECTS:
            deployments.setdefault(deployment.offering, []).append(deployment)
        else:
            log.error("Deployment %s is left out: no dialect %r here.", deployment.slug, deployment.dialect)
    priced: dict[int, set[str]] = {}
    for tenant_id, offering in rows.priced:
        priced.setdefault(tenant_id, set()).add(offering)
    return Snapshot(
        principals=dict(rows.principals),
        sold={
            offering.name: _sold(offering, _tiers(deployments.get(offering.name, ()), workers))
            for offering in rows.offerings
        },
        priced={tenant_id: frozenset(names) for tenant_id, names in priced.items()},
        limited=build_terms(rows.terms),
    )


def _sold(offering: Offering, tiers: tuple[tuple[Route, ...], ...]) -> Sold:
    choices = [(route.deployment, worker) for tier in tiers for route in tier for worker in route.workers]
    return Sold(offering, tiers, choices[0] if len(choices) == 1 else None)


def _tiers(deployments: Iterable[Deployment], workers: dict[str, tuple[Worker, ...]]) -> tuple[tuple[Route, ...], ...]:
    """Deployments with workers: the lowest priority number first, then the cheapest; those alike in both together."""
    routes = [Route(each, workers[each.upstream]) for each in deployments if each.upstream in workers]
    routes.sort(key=lambda route: (*_rank(route), route.deployment.slug))
    return tuple(tuple(tier) for _, tier in groupby(routes, _rank))


def _rank(route: Route) -> tuple[int, int]:
    return route.deployment.priority, route.deployment.relative_cost


_pack = msgspec.msgpack.Encoder().encode
_unpack = msgspec.msgpack.Decoder(Rows).decode


def pack(rows: Rows) -> bytes:
    return _pack(rows)


def unpack(saved: bytes) -> Rows:
    """Raises SnapshotUnreadable."""
    try:
        rows = _unpack(saved)
    except ValueError as problem:  # Of msgspec, or a text that is not UTF-8.
        raise SnapshotUnreadable(str(problem)) from problem
    if rows.format != FORMAT:
        raise SnapshotUnreadable(f"Its format is {rows.format}, not {FORMAT}.")
    return rows
