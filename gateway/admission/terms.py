"""What holds for a caller, read from the snapshot: who may call from where, and which quotas it draws on. Pure."""

import ipaddress
from collections.abc import Iterable
from dataclasses import dataclass
from datetime import UTC, datetime
from enum import StrEnum
from typing import TYPE_CHECKING

import msgspec

from billing.matching import Match
from billing.price_kinds import Price, price_of
from billing.rating import Prices, Tariff, Timeline
from billing.snapshot import PlanRow, PriceRow
from gateway.admission.pricing import Pricing
from gateway.errors import AddressRefused, KeyExpired
from money.amount import Money
from tenants.snapshot import BudgetRow, LimitedTenant, LimitRow, Principal

if TYPE_CHECKING:
    from gateway.admission.drawing import Drawing

Network = ipaddress.IPv4Network | ipaddress.IPv6Network


class Draws(StrEnum):
    """What a request draws from a quota."""

    REQUESTS = "requests"  # One, given back by nothing.
    PARALLEL = "parallel"  # One, while it runs.
    TOKENS = "tokens"  # Input and output.
    MONEY = "money"  # In 10^-9 of the tenant's currency.


class Quota(msgspec.Struct, frozen=True):
    """So much of one thing in one window, for one tenant, project or key. `name` begins its counters' names."""

    name: str
    draws: Draws
    limit: int
    window: str  # minute, day, month, total, or empty for what has none.
    level: str  # Whom it limits, for people.
    hard: bool = True
    since_s: int = 0
    time_zone: str = "UTC"

    @property
    def is_budget(self) -> bool:
        """Whether it outlives its gateways: what it affords may never be given away twice."""
        return self.window not in ("minute", "")


class TermRows(msgspec.Struct, frozen=True):
    """The rows that terms are built from."""

    tenants: list[LimitedTenant] = []
    limits: list[LimitRow] = []
    budgets: list[BudgetRow] = []
    plans: list[PlanRow] = []
    prices: list[PriceRow] = []


@dataclass(slots=True, eq=False)
class Terms:
    """All that holds for one caller, of all levels."""

    tenant: LimitedTenant
    quotas: tuple[Quota, ...]
    tariff: Tariff | None
    pricing: Pricing | None  # Of that tariff.
    models_allowed: tuple[frozenset[str], ...]
    networks: tuple[tuple[Network, ...], ...]
    expires_at_us: int | None
    drawn: frozenset[Draws]  # What the quotas draw.
    drawing: "Drawing | None" = None  # Where admission keeps the leases that stand for the quotas now.

    def check_access(self, address: str | None, now_us: int) -> None:
        """`address` is that of the connection, for a caller can write any header. Raises a Refusal."""
        if self.expires_at_us is not None and now_us >= self.expires_at_us:
            raise KeyExpired
        if self.networks:
            if address is None:
                raise AddressRefused
            ip = ipaddress.ip_address(address)
            if not all(any(ip in network for network in allowed) for allowed in self.networks):
                raise AddressRefused

    def allows(self, model: str) -> bool:
        return not self.models_allowed or all(model in names for names in self.models_allowed)


class TenantTerms:
    """A tenant's rows, and the terms of its callers, put together when each first calls."""

    def __init__(self, tenant: LimitedTenant, tariff: Tariff | None) -> None:
        self.tenant = tenant
        self.limits: list[LimitRow] = []
        self.budgets: list[BudgetRow] = []
        self.tariff = tariff
        self._pricing = None if tariff is None else Pricing(tariff)
        self._of: dict[tuple[int, int], Terms] = {}

    def of(self, principal: Principal) -> Terms:
        who = (principal.project_id, principal.key_id)
        terms = self._of.get(who)
        if terms is None:
            terms = self._of[who] = self._put_together(*who)
        return terms

    def budget(self, name: str) -> tuple[BudgetRow, Quota] | None:
        """A budget of this tenant by its name."""
        zone = self.tenant.time_zone
        return next(((row, _budget(row, zone)) for row in self.budgets if row.name == name), None)

    def _put_together(self, project_id: int, key_id: int) -> Terms:
        limits = [row for row in self.limits if _concerns(row, project_id, key_id)]
        budgets = [row for row in self.budgets if _concerns(row, project_id, key_id)]
        ends = [row.expires_at_us for row in limits if row.expires_at_us is not None]
        quotas = (
            *(quota for row in limits for quota in _quotas(row)),
            *(_budget(row, self.tenant.time_zone) for row in budgets),
        )
        return Terms(
            self.tenant,
            quotas,
            self.tariff,
            self._pricing,
            tuple(frozenset(row.models_allowed) for row in limits if row.models_allowed is not None),
            tuple(
                tuple(map(ipaddress.ip_network, row.ip_allowed)) for row in limits if row.ip_allowed is not None
            ),
            min(ends, default=None),
            frozenset(quota.draws for quota in quotas),
        )  # fmt: skip


def build_terms(rows: TermRows) -> dict[int, TenantTerms]:
    """By the tenant's id; a tenant without limits and budgets is not in it."""
    tariffs = _tariffs(rows)
    terms = {tenant.id: TenantTerms(tenant, tariffs.get(tenant.id)) for tenant in rows.tenants}
    for limit in rows.limits:
        if limit.tenant_id in terms:
            terms[limit.tenant_id].limits.append(limit)
    for budget in rows.budgets:
        if budget.tenant_id in terms:
            terms[budget.tenant_id].budgets.append(budget)
    return terms


def _tariffs(rows: TermRows) -> dict[int, Tariff]:
    """The prices by which billing rates, in the shape in which it reads them."""
    books: dict[int, list[tuple[datetime, dict[Match, Price]]]] = {}
    for row in rows.prices:
        versions = books.setdefault(row.book_id, [])
        valid_from = datetime.fromtimestamp(row.valid_from_s, UTC)
        if not versions or versions[-1][0] != valid_from:
            versions.append((valid_from, {}))
        amounts = [Money(int(pico), row.currency) for pico in (row.pico, *row.picos_above)]
        match = Match(row.offering, row.unit, row.grade, row.service_tier)
        versions[-1][1][match] = price_of(row.kind, amounts, row.per, row.above)
    timelines: dict[int, Timeline[Prices]] = {book: Timeline(versions) for book, versions in books.items()}
    plans: dict[int, list[tuple[datetime, int]]] = {}
    for plan in rows.plans:
        plans.setdefault(plan.tenant_id, []).append((datetime.fromtimestamp(plan.starts_s, UTC), plan.book_id))
    return {tenant_id: Tariff(Timeline(entries), timelines) for tenant_id, entries in plans.items()}


def _concerns(row: LimitRow | BudgetRow, project_id: int, key_id: int) -> bool:
    return row.project_id in (None, project_id) and row.key_id in (None, key_id)


def _level(row: LimitRow | BudgetRow) -> str:
    if row.key_id is not None:
        return "this API key"
    return "this project" if row.project_id is not None else "this account"


def _quotas(row: LimitRow) -> Iterable[Quota]:
    name, level = f"limit:{row.id}", _level(row)
    if row.requests_per_minute is not None:
        yield Quota(f"{name}:requests", Draws.REQUESTS, row.requests_per_minute, "minute", level)
    if row.tokens_per_minute is not None:
        yield Quota(f"{name}:tokens", Draws.TOKENS, row.tokens_per_minute, "minute", level)
    if row.parallel_requests is not None:
        yield Quota(f"{name}:parallel", Draws.PARALLEL, row.parallel_requests, "", level)


def _budget(row: BudgetRow, time_zone: str) -> Quota:
    draws = Draws.MONEY if row.is_money else Draws.TOKENS
    return Quota(row.name, draws, row.limit, row.window, _level(row), row.hard, row.since_s, time_zone)
