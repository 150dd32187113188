"""Finds for each event of a call where it belongs, before anything is stored."""

from collections.abc import Iterator
from dataclasses import dataclass, field
from datetime import datetime

from django.conf import settings

from metering.ingest_errors import EventsConflict, EventsRefused
from metering.ingest_formats.reported import BadEvent, Reading, Refusal, ReportedUsage
from metering.ingest_rows import Placed, digest_of, event_id_of, name_of, time_of
from metering.ingest_window import Window
from metering.models import Backfill
from metering.reporter import Places, Reporter


@dataclass(frozen=True, slots=True)
class Correction:
    """An event that amends or voids. Where it belongs is known when the event that it corrects is found."""

    index: int
    said: ReportedUsage
    digest: bytes
    project_id: int | None
    api_key_id: int

    @property
    def member(self) -> str:
        """Which member of the event names the one that it corrects."""
        return "amends" if self.said.voids is None else "voids"

    def refusal(self, reason: str) -> Refusal:
        return Refusal(self.index, self.said.external_id, self.member, reason)


@dataclass
class Call:
    """What a call wants stored, each id once."""

    events: list[Placed] = field(default_factory=list)
    corrections: list[Correction] = field(default_factory=list)
    repeated: int = 0
    skipped: int = 0

    def __iter__(self) -> Iterator[Placed | Correction]:
        yield from self.events
        yield from self.corrections


def placed(reporter: Reporter, reading: Reading, now: datetime, backfill: Backfill | None) -> Call:
    """The call's events where they belong. Raises EventsRefused or EventsConflict with all that is wrong."""
    window = Window.at(now, backfill_days_max=settings.TOKENWORKS_BACKFILL_DAYS_MAX if backfill else None)
    places = Places(reporter, [said for _, said in reading.events])
    call = Call(skipped=reading.skipped)
    refusals = list(reading.refusals)
    contradictions: list[Refusal] = []
    digests: dict[tuple[str, str], bytes] = {}
    for index, said in reading.events:
        try:
            window.check(said)
            found = _place(reporter, places, index, said, backfill)
        except BadEvent as problem:
            refusals.append(Refusal(index, said.external_id, problem.field, problem.reason))
            continue
        known = digests.setdefault(name_of(said), found.digest)
        if known is found.digest:
            call.events.append(found) if isinstance(found, Placed) else call.corrections.append(found)
        elif known == found.digest:
            call.repeated += 1
        else:
            contradictions.append(Refusal(index, said.external_id, "id", "The call has another event of this id."))
    if refusals:
        raise EventsRefused(refusals)
    if contradictions:
        raise EventsConflict(contradictions)
    return call


def _place(
    reporter: Reporter, places: Places, index: int, said: ReportedUsage, backfill: Backfill | None
) -> Placed | Correction:
    project_id, api_key_id = places.of(said)
    digest = digest_of(said)
    if said.occurred_at_us is None or said.corrects is not None:
        if backfill is not None:
            raise BadEvent("amends" if said.voids is None else "voids", "A backfill only adds events.")
        return Correction(index, said, digest, project_id, api_key_id)
    if project_id is None:
        raise BadEvent("project", "Name a project: there is no key whose project it could be.")
    event_id = event_id_of(reporter.tenant_id, 0 if backfill is None else backfill.pk, said, said.occurred_at_us)
    at = time_of(said.occurred_at_us)
    return Placed(index, said, digest, event_id, at, reporter.tenant_id, project_id, api_key_id)
