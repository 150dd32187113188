"""What somebody else counted, in the one shape that all formats give, and why it is refused. Pure.

IngestRefused
├── Malformed            the body as a whole cannot be read (400)
├── TooManyEvents        more events in a call than one may hold (413)
└── UnknownFormat        no reader for this content type (415)
"""

from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta
from typing import TYPE_CHECKING, Annotated, Any

import msgspec
from msgspec import UNSET, Meta, Struct, UnsetType
from msgspec.structs import astuple

from metering.usage import COUNT_MAX, REPORTED_UNITS, Outcome, ServiceTier, Usage, billed

EPOCH = datetime(1970, 1, 1, tzinfo=UTC)
TEXT_BYTES_MAX = 256
INTEGER_MAX = 2**63 - 1  # What a bigint column holds.
DURATION_US_MAX = 366 * 86_400 * 1_000_000


class IngestRefused(ValueError):
    """The call cannot be taken."""


class Malformed(IngestRefused):
    """The body is not what its content type says."""


class TooManyEvents(IngestRefused):
    """There are more events in this call than one may hold. Send them in several."""


class UnknownFormat(IngestRefused):
    """Nothing reads this content type."""


class BadEvent(ValueError):
    """One event says something that cannot be taken; `field` is where."""

    def __init__(self, where: str, reason: str) -> None:
        self.field = where
        self.reason = reason
        super().__init__(f"{where}: {reason}")


@dataclass(frozen=True)
class Refusal:
    """Why the event at this place in the call (from 0) is refused. `id` is what it calls itself, if that is known."""

    index: int
    id: str | None
    field: str
    reason: str


class ReportedUsage(Struct, frozen=True, array_like=True):
    """One event that was counted elsewhere. Its encoding is what a repetition must equal, so fields are only added.

    None stands for what was not said. A void says nothing but whose event it takes away.
    """

    source: str
    external_id: str
    occurred_at_us: int | None  # Microseconds since the epoch; None only for corrections.
    offering: str
    deployment: str
    project: str | None
    api_key: int | None
    service_tier: str
    grade: str
    outcome: str
    billed: bool
    streamed: bool
    duration_us: int
    usage: Usage
    amends: str | None = None
    voids: str | None = None

    @property
    def corrects(self) -> str | None:
        """The id of the event that this one amends or voids."""
        return self.amends if self.voids is None else self.voids


@dataclass
class Reading:
    """A call as it was read: what can be taken, what cannot, and how many spans were no usage at all."""

    events: list[tuple[int, ReportedUsage]] = field(default_factory=list)
    refusals: list[Refusal] = field(default_factory=list)
    skipped: int = 0


if TYPE_CHECKING:

    class Counts(Struct, frozen=True):
        def __init__(self, **counts: int | None) -> None: ...

else:
    Counts = msgspec.defstruct(
        "Counts",
        [(str(unit), Annotated[int, Meta(ge=0, le=COUNT_MAX)] | None, None) for unit in REPORTED_UNITS],
        forbid_unknown_fields=True,
        frozen=True,
    )
"""Counts by unit, as Usage has them, but by their names. A null was not reported, as if it were absent."""


class Statement(Struct, kw_only=True, forbid_unknown_fields=True, frozen=True):
    """What an event says of its usage; the data of a CloudEvent. Whatever it does not know is refused."""

    offering: str | UnsetType = UNSET
    usage: Counts | UnsetType = UNSET
    deployment: str = ""
    tenant: str | None = None
    project: str | None = None
    api_key: Annotated[int, Meta(ge=1, le=INTEGER_MAX)] | None = None
    service_tier: ServiceTier | UnsetType = UNSET
    grade: str = ""
    outcome: Outcome | UnsetType = UNSET
    billed: bool | UnsetType = UNSET
    streamed: bool = False
    duration_us: Annotated[int, Meta(ge=0, le=DURATION_US_MAX)] = 0
    amends: str | None = None
    voids: str | None = None


_SAYS_NOTHING = Statement()
_TEXTS = ("offering", "deployment", "grade", "project", "amends", "voids")
_NOT_OF_A_VOID = [name for name in Statement.__struct_fields__ if name not in ("voids", "tenant")]


def reported(source: str, external_id: str, at: datetime | None, statement: Statement, *, tenant: str) -> ReportedUsage:
    """The event that a statement makes; `tenant` is the slug of the one whose key sends it. Raises BadEvent."""
    _refuse_foreign(statement.tenant, tenant)
    _check_text("source", source)
    _check_text("id", external_id)
    for name in _TEXTS:
        said = getattr(statement, name)
        if said != getattr(_SAYS_NOTHING, name):
            _check_text(name, said)
    is_correction = statement.amends is not None or statement.voids is not None
    if at is None and not is_correction:
        raise BadEvent("time", "An event needs the time at which it happened.")
    occurred_at_us = None if at is None else microseconds(at)
    if statement.voids is not None:
        _check_void(statement)
        usage, outcome = Usage(), Outcome.COMPLETED
    else:
        usage, outcome = _counted(statement)
    return ReportedUsage(
        source=source,
        external_id=external_id,
        occurred_at_us=occurred_at_us,
        offering=statement.offering or "",
        deployment=statement.deployment,
        project=statement.project,
        api_key=statement.api_key,
        service_tier=statement.service_tier or ServiceTier.STANDARD,
        grade=statement.grade,
        outcome=outcome,
        billed=billed(outcome, usage) if statement.billed is UNSET else statement.billed,
        streamed=statement.streamed,
        duration_us=statement.duration_us,
        usage=usage,
        amends=statement.amends,
        voids=statement.voids,
    )


def microseconds(at: datetime) -> int:
    """Since the epoch. `at` knows its offset from UTC."""
    return (at - EPOCH) // timedelta(microseconds=1)


def _refuse_foreign(said: str | None, tenant: str) -> None:
    if said is not None and said != tenant:
        raise BadEvent("tenant", "Your key decides the tenant, and it is another one. Leave this member out.")


def _check_text(name: str, said: str) -> None:
    if not said or said.isspace():
        raise BadEvent(name, "This is empty.")
    if len(said) > TEXT_BYTES_MAX or (not said.isascii() and len(said.encode()) > TEXT_BYTES_MAX):
        raise BadEvent(name, f"This is longer than {TEXT_BYTES_MAX} bytes.")
    if "\0" in said:
        raise BadEvent(name, "This has a NUL character, which the database cannot keep.")


def _check_void(statement: Statement) -> None:
    for name in _NOT_OF_A_VOID:
        if getattr(statement, name) != getattr(_SAYS_NOTHING, name):
            raise BadEvent(name, "A void says what it takes away and nothing else.")


def _counted(statement: Statement) -> tuple[Usage, Outcome]:
    if statement.offering is UNSET:
        raise BadEvent("offering", "An event needs the name of what was sold.")
    if statement.usage is UNSET:
        raise BadEvent("usage", "An event needs its counts, by unit.")
    usage = Usage(*astuple(statement.usage))
    outcome = statement.outcome or Outcome.COMPLETED
    if not usage.known and (statement.billed is True or outcome == Outcome.COMPLETED):
        raise BadEvent("usage", "No unit is counted. Missing is not zero: say 0 where it was none.")
    return usage, outcome


def described(problem: Exception) -> BadEvent:
    """msgspec's own words about an event, with the place taken out of them."""
    words, _, path = str(problem).partition(" - at `$")
    where = path.rstrip("`").lstrip(".")
    for opening in ("Object contains unknown field `", "Object missing required field `"):
        if words.startswith(opening):
            where = ".".join(part for part in (where, words.removeprefix(opening).rstrip("`")) if part)
    return BadEvent(shortened(where), shortened(words))


def shortened(text: Any) -> str:
    """Somebody's own text within an answer: what was sent may be long, and is not sent back whole."""
    shown = str(text)
    return shown if len(shown) <= TEXT_BYTES_MAX else shown[:TEXT_BYTES_MAX] + "..."
