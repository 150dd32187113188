"""The books of sources: what each was told to be taken, held against the events that are stored."""

from collections import defaultdict
from collections.abc import Iterator
from dataclasses import dataclass
from uuid import UUID

from msgspec.structs import astuple

from metering.models import Batch, Event, IngestedKey
from metering.usage import REPORTED_UNITS
from tests.metering.simulation.reports import Answer, Item, Report
from tests.metering.simulation.sources import Reporting

Name = tuple[int, str, str]  # Tenant, source, id.
Counts = tuple[int | None, ...]  # By unit, in the order of REPORTED_UNITS.
Named = dict[Name, list[Counts]]


@dataclass(frozen=True)
class Row:
    """A stored event or correction. `filling` is the backfill that brought it, if one did."""

    id: UUID
    name: Name
    sign: int
    corrects: UUID | None
    filling: str | None
    held: bool
    counts: Counts


@dataclass(frozen=True)
class Stored:
    """All that Postgres has of what sources reported."""

    rows: list[Row]
    keys: set[Name]

    def has(self, tenant_id: int, item: Item) -> bool:
        """An event by its own row. A correction by its key: a void is a row of the name that it takes away."""
        name = tenant_id, item.said.source, item.said.external_id
        if item.target is not None:
            return name in self.keys
        filling = None if item.backfill is None else item.backfill.name
        return any(row.name == name and row.sign > 0 and row.filling == filling for row in self.rows)


def at_any_time(reporting: Reporting) -> Iterator[str]:
    """What was acknowledged is there from then on, whatever happens to the office that said so."""
    stored = _stored() if reporting.sources else None
    for source in reporting.sources:
        for report in source.ledger.reports:
            if report.answer is Answer.TAKEN and (report.filling is None or "revert" not in report.filling.asked):
                assert stored is not None
                missing = [item for item in report.items if not stored.has(source.caller.tenant_id, item)]
                yield from (f"{item.said} was acknowledged and is not there" for item in missing)


def at_rest(reporting: Reporting) -> Iterator[str]:
    if not reporting.sources:
        return
    stored = _stored()
    due: dict[str, Named] = {"counted": {}, "held back": {}}
    for source in reporting.sources:
        tenant_id = source.caller.tenant_id
        yield from _answers(tenant_id, source.ledger.reports, stored)
        for item in source.ledger.items:
            if _stands(tenant_id, item, stored):
                is_held = item.backfill is not None and item.backfill.state == "open"
                named = due["held back" if is_held else "counted"]
                name = tenant_id, item.said.source, item.said.external_id
                named.setdefault(name, []).append(astuple(item.said.usage))
    yield from _taken_away(stored.rows)
    found = _standing(stored.rows)
    for place, expected in due.items():
        for name in sorted(expected.keys() | found[place].keys()):
            if expected.get(name) != found[place].get(name):
                yield f"{name}: {expected.get(name)} was acknowledged, {found[place].get(name)} is {place}"


def _stored() -> Stored:
    batches = {pk: (held, name) for pk, held, name in Batch.objects.values_list("pk", "held", "backfill__name")}
    columns = ("id", "tenant_id", "source", "external_id", "sign", "corrects", "batch_id", *REPORTED_UNITS)
    rows = []
    for row_id, tenant, source, external, sign, corrects, batch, *counts in (
        Event.objects.exclude(source=None).values_list(*columns).order_by("id")
    ):
        held, filling = batches[batch]
        rows.append(Row(row_id, (tenant, source, external), sign, corrects, filling, held, tuple(counts)))
    return Stored(rows, set(IngestedKey.objects.values_list("tenant_id", "source", "external_id")))


def _answers(tenant_id: int, reports: list[Report], stored: Stored) -> Iterator[str]:
    """Nothing is left without an answer; what was refused is not there, and no call is there by half."""
    for report in reports:
        own = [item for item in report.items if not any(_may_have_stored(other) for other in item.reports)]
        there = [item for item in report.items if stored.has(tenant_id, item)]
        if report.answer is Answer.NONE:
            yield f"nobody answers {[item.said for item in report.items]}"
        if report.answer is Answer.REFUSED and any(item in there for item in own):
            yield f"{[item.said for item in own]} was refused and is there"
        if report.answer is Answer.CLOSED and 0 < len(there) < len(report.items):
            yield f"half a call is there: {[item.said for item in there]}"


def _may_have_stored(report: Report) -> bool:
    return report.answer in (Answer.TAKEN, Answer.CLOSED)


def _stands(tenant_id: int, item: Item, stored: Stored) -> bool:
    """Whether it counts, or will when its backfill is committed: it was taken, and neither corrected nor reverted."""
    if not item.reports or item.is_void or (item.backfill is not None and item.backfill.state == "revert"):
        return False
    if any(correction.is_taken() for correction in item.corrections):
        return False
    return item.is_taken() or (item.may_be_taken() and stored.has(tenant_id, item))


def _standing(rows: list[Row]) -> dict[str, Named]:
    gone = {row.corrects for row in rows if row.sign < 0}
    found: dict[str, Named] = {"counted": {}, "held back": {}}
    for row in rows:
        if row.sign > 0 and row.id not in gone:
            found["held back" if row.held else "counted"].setdefault(row.name, []).append(row.counts)
    return found


def _taken_away(rows: list[Row]) -> Iterator[str]:
    """No row is there twice, and one of sign -1 says what it takes away, as that said it."""
    by_id: dict[UUID, list[Row]] = defaultdict(list)
    for row in rows:
        by_id[row.id].append(row)
    for row in rows:
        if len(by_id[row.id]) > 1:
            yield f"{row.id} is there {len(by_id[row.id])} times"
        if row.sign < 0 and [(other.sign, other.counts) for other in by_id.get(row.corrects or row.id, [])] != [
            (1, row.counts)
        ]:
            yield f"{row} takes away what is not there"
